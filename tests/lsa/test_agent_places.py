"""Who is served when more programs connect than the agent has places for."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections import Counter
from pathlib import Path

import pytest

from credssp.lsa import service as module
from credssp.lsa.caller import Caller
from credssp.lsa.framing import frame
from credssp.lsa.messages import Hello
from credssp.lsa.service import AgentLimits, AgentService
from tests.lsa.agents import Store
from tests.lsa.programs import agent_program

GREETING = frame(Hello().encode())


async def served(uids: list[int], limits: AgentLimits) -> Counter[int]:
    """Connect a program of each of these users, all before the agent looks; returns whose connections it keeps."""
    service = AgentService(Store(), audit=lambda record: None, limits=limits)
    with contextlib.ExitStack() as stack:
        loop = asyncio.get_running_loop()
        programs = []
        tasks = []
        for uid in uids:
            ours, its = socket.socketpair()
            programs.append((uid, stack.enter_context(ours)))
            ours.setblocking(False)
            its.setblocking(False)
            await loop.sock_sendall(ours, GREETING)
            tasks.append(asyncio.create_task(service.serve(its, Caller(uid, 1, ""))))

        async def is_kept(ours: socket.socket) -> bool:
            """Whether the greeting is answered, and the connection stays."""
            try:
                if not await loop.sock_recv(ours, 4096):
                    return False
                async with asyncio.timeout(1.0):
                    return bool(await loop.sock_recv(ours, 4096))
            except TimeoutError:
                return True
            except ConnectionError:
                return False

        kept = await asyncio.gather(*(is_kept(ours) for _, ours in programs))
        found = Counter(uid for (uid, _), stays in zip(programs, kept, strict=True) if stays)
        assert service.connections == found.total()
        await service.close()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


def test_programs_that_connect_at_once_are_held_to_the_limit() -> None:
    found = asyncio.run(served([1000] * 60, AgentLimits(connections=5)))
    assert found[1000] <= 5


def test_a_user_who_connects_often_loses_places_to_others() -> None:
    found = asyncio.run(served([1000] * 40 + [1, 2, 3], AgentLimits(connections=8)))
    assert (found[1], found[2], found[3]) == (1, 1, 1)
    assert found.total() <= 8


def test_a_user_who_has_few_keeps_them_while_another_connects_often() -> None:
    found = asyncio.run(served([1, 1, *[1000] * 40], AgentLimits(connections=8, connections_per_uid=100)))
    assert found[1] == 2
    assert found.total() <= 8


def test_there_are_no_more_places_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "descriptors", lambda: 12)
    assert asyncio.run(served([1000] * 20, AgentLimits())).total() <= 6
    monkeypatch.setattr(module, "descriptors", lambda: None)
    assert asyncio.run(served([1000] * 20, AgentLimits())).total() == 20


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="Linux")
def test_the_agent_takes_as_many_descriptors_as_it_may(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with agent_program(tmp_path / "s") as agent:
            text = Path(f"/proc/{agent.process.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    line = next(line for line in text.splitlines() if line.startswith("Max open files"))
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
    assert line.split()[3] == str(wanted)

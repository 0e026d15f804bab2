"""Whenever and however one of the two peers goes away: the other is closed, one outcome is told, nothing is left."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from credssp import rdp
from credssp.config import Timeouts
from credssp.drivers.rdp_service import Closed, Delegated, Refused
from credssp.errors import CredSSPError
from credssp.gateway import back
from credssp.gateway.events import Connected, Ended, SessionStarted
from credssp.gateway.settings import read_settings
from tests.gateway.test_gateway import ALICE, HOST, NLA, PINNED, Scene, Server, as_selected, tls_client
from tests.rdp import session as pdus

WAYS = ["reset", "close", "half-close", "silence"]


class Cutter:
    """A relay that goes away after so many bytes from one side.

    Args:
        port: where to.
        limit: bytes from that side to pass on; None for all.
        side: ``client`` or ``server``.
        way: what the other side sees: one of WAYS.

    Attributes:
        passed: bytes from each side so far.
    """

    def __init__(self, port: int, limit: int | None, *, side: str, way: str) -> None:
        self._to, self._limit, self._side, self._way = port, limit, side, way
        self.port = 0
        self.passed = {"client": 0, "server": 0}
        self._server: asyncio.Server | None = None
        self._over = False
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Cutter:
        self._server = await asyncio.start_server(self._connect, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._over = True
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        there, back_writer = await asyncio.open_connection(HOST, self._to)
        self._writers.append(back_writer)
        if self._over:
            back_writer.transport.abort()
            return
        for name, source, sink, other in (
            ("client", reader, back_writer, writer),
            ("server", there, writer, back_writer),
        ):
            task = asyncio.create_task(self._pump(name, source, sink, other))
            self._tasks.add(task)

    async def _pump(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, other: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(65536):
                left = len(data)
                if name == self._side and self._limit is not None:
                    left = min(left, self._limit - self.passed[name])
                self.passed[name] += left
                writer.write(data[:left])
                await writer.drain()
                if left < len(data):
                    self._cut(writer)
                    return
            writer.close()
        except OSError:
            writer.transport.abort()

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        if self._way == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif self._way == "close":
            writer.close()
        elif self._way == "half-close":
            writer.write_eof()


async def session_through(scene: Scene, port: int, front: str) -> None:
    """Be a client for as long as it goes."""
    scene.server.initial = scene.server.info = None
    session: Any = None
    own = scene.gateway
    assert own is not None
    try:
        async with asyncio.timeout(20):
            session = await (nla_at(port) if front == "nla" else tls_at(port))
            session.write(as_selected(session))
            wanted = len(pdus.connect_response()) + len(pdus.fast_path(b"desktop"))
            await session.readexactly(wanted)
            session.write(b"bye")
            await session.read()
    except (CredSSPError, OSError, asyncio.IncompleteReadError):
        pass
    finally:
        if session is not None:
            session.abort()


async def nla_at(port: int) -> Any:
    return await rdp.open_connection(HOST, port, credentials=ALICE, mechanism="ntlm")


async def tls_at(port: int) -> Any:
    at: Any = SimpleNamespace(port=port)
    return await tls_client(at)


async def over(scene: Scene) -> None:
    """Wait until the connection is over, and check what was told and what is left."""
    gateway = scene.gateway
    assert gateway is not None
    async with asyncio.timeout(20):
        while not (scene.of(Closed) and not gateway._tasks and not gateway.settings.gate.total):
            await asyncio.sleep(0.01)
    assert gateway._sessions == {}
    assert len(scene.of(Closed)) == 1
    outcomes = [type(event) for event in scene.events if isinstance(event, Delegated | Refused)]
    assert len(outcomes) <= 1 or outcomes == [Delegated, Refused]
    if scene.of(SessionStarted) or scene.of(Connected):
        assert isinstance(scene.of(Closed)[0], Ended) or scene.of(Refused)


def target(front: str) -> str:
    return (
        PINNED
        + 'mechanism = "ntlm"\n'
        + ("" if front == "nla" else 'as = { user = "svc", domain = "LAB", password_file = "secret" }\n')
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("front", ["nla", "tls"])
@pytest.mark.parametrize(("place", "side"), [("front", "client"), ("back", "server")])
def test_a_peer_goes_away_at_each_step(
    tmp_path: Path, place: str, side: str, front: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(back, "TIMEOUTS", Timeouts(connect=5, leg=1.0, login=5))
    monkeypatch.setattr("credssp.drivers.relay._GOODBYE", 100.0)  # there is nobody left to take a goodbye
    back._plain.cache_clear()

    async def work(scene: Scene) -> None:
        gateway = scene.gateway
        assert gateway is not None
        file = tmp_path / "gateway.toml"
        text = file.read_text()

        async def once(limit: int | None) -> int:
            scene.events.clear()
            to = scene.port if place == "front" else scene.server.port
            async with Cutter(to, limit, side=side, way=way) as cutter:
                if place == "back":
                    file.write_text(text.replace(f":{scene.server.port}", f":{cutter.port}"))
                    await gateway.reload(read_settings(file))
                await session_through(scene, cutter.port if place == "front" else scene.port, front)
                await over(scene)
                return cutter.passed[side]

        for _ in range(5):  # where the machine is busy, the short times may be too short for a whole session
            whole = await once(None)
            if scene.of(SessionStarted):
                break
        assert scene.of(SessionStarted)
        # Each message, and the middle of each: their sizes are some hundred bytes.
        # In the middle of messages and between them; each silence waits for a deadline.
        few = {1, whole // 4, whole // 2, whole * 3 // 4}
        many = {0, 1, 10, *range(50, whole - 1, max(1, whole // 12)), whole - 1}
        for limit in sorted(few if way == "silence" else many):
            await once(limit)
        gc.collect()

    listen = NLA if front == "nla" else 'security = "tls"'
    limits = "[limits]\nleg = 1\ndeadline = 5\nlinger = 0.2\nidle = 1\nsource_failures = 10000\n"

    scene = Scene(tmp_path, listen, target(front), server=Server("nla"), limits=limits)

    async def main() -> None:
        async with asyncio.timeout(120), scene:
            await work(scene)

    asyncio.run(main())
    back._plain.cache_clear()

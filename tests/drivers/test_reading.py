"""What reading costs a connection that has nothing to say."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.drivers import reading

SESSIONS = 8


def test_an_idle_session_has_no_read_buffer() -> None:
    async def echo(session: Any) -> None:
        while data := await session.read():
            session.write(data)

    async def talk(server: Any) -> Any:
        session = await rdp.open_connection(
            *server.address, credentials=credssp.PasswordCredentials("alice", "secret", domain="LAB"), mechanism="ntlm"
        )
        session.write(b"x" * 40_000)
        assert await session.readexactly(40_000) == b"x" * 40_000
        return session

    async def main() -> int:
        accounts = credssp.MemoryAccounts({("LAB", "alice"): "secret"})
        async with asyncio.timeout(30), await rdp.start_server(echo, "127.0.0.1", 0, accounts=accounts) as server:
            sessions = [await talk(server)]
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            sessions += [await talk(server) for _ in range(SESSIONS)]
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            for session in sessions:
                session.close()
                await session.wait_closed()
        return (after - before) // SESSIONS

    assert asyncio.run(main()) < 96 * 1024  # both ends; with a buffer each they had 189 KiB


def test_connections_of_a_selector_loop_share_a_buffer() -> None:
    async def main() -> memoryview:
        assert reading.read_buffer() is reading.read_buffer()
        return reading.read_buffer()

    assert asyncio.run(main()) is not asyncio.run(main())  # but loops, which may run in several threads, do not


def test_connections_of_other_loops_have_buffers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Selector(asyncio.SelectorEventLoop):
        pass

    async def main() -> None:
        monkeypatch.setattr(asyncio, "SelectorEventLoop", type("Another", (), {}))
        assert reading.read_buffer() is not reading.read_buffer()

    with asyncio.Runner(loop_factory=Selector) as runner:
        runner.run(main())

"""Two sessions joined: every byte, back-pressure, ends of every kind, nothing left."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import credssp
from credssp import ClientConfig
from credssp.drivers import aio
from credssp.drivers.handshake import Timeouts
from credssp.drivers.relay import Filter, RelayEnd, relay
from credssp.rdp import Protocol
from credssp.rdp.front import ConnectionRequested, FrontServer
from credssp.rdp.transport import TransportClient
from credssp.tls.certificate import process_certificate

HOST = "127.0.0.1"
CONFIG = credssp.ServerConfig(certificate=process_certificate())
TIMEOUTS = Timeouts(connect=5, leg=5, login=10)


class Front(aio.LoginProtocol[FrontServer]):
    """A server's end that takes TLS."""

    def __init__(self, sessions: asyncio.Queue[aio.AsyncSession[FrontServer]]) -> None:
        super().__init__(
            FrontServer(config=CONFIG), timeouts=TIMEOUTS, finished=sessions.put_nowait, failed=print,
            on_events=self._take,
        )  # fmt: skip

    def _take(self, events: Any) -> None:
        for event in events:
            if isinstance(event, ConnectionRequested):
                self.endpoint.select(event.requested)


async def connect(port: int, protocol: Protocol = Protocol.SSL) -> aio.AsyncSession[TransportClient]:
    loop = asyncio.get_running_loop()
    result: asyncio.Future[aio.AsyncSession[TransportClient]] = loop.create_future()
    endpoint = TransportClient(host=HOST, protocol=protocol, config=ClientConfig())
    await loop.create_connection(
        lambda: aio.LoginProtocol(endpoint, timeouts=TIMEOUTS, finished=result.set_result, failed=result.set_exception),
        HOST,
        port,
    )
    return await result


class Scene:
    """A client, the relay's two sessions, and a server."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._servers: list[asyncio.Server] = []
        self.sessions: list[Any] = []

    async def __aenter__(self) -> tuple[Any, Any, Any, Any]:
        loop = asyncio.get_running_loop()
        for _ in range(2):  # the relay's front, then the server
            arrived: asyncio.Queue[Any] = asyncio.Queue()
            server = await loop.create_server(lambda arrived=arrived: Front(arrived), HOST, 0)
            self._servers.append(server)
            near = await connect(server.sockets[0].getsockname()[1], self._protocol)
            self.sessions += [near, await arrived.get()]
        client, front, back, server_end = self.sessions
        return client, front, back, server_end

    async def __aexit__(self, *error: object) -> None:
        for session in self.sessions:
            session.abort()
        for server in self._servers:
            server.close()


def run(work: Callable[[Any, Any, Any, Any], Any], protocol: Protocol = Protocol.SSL) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(30), Scene(protocol) as (client, front, back, server):
            return await work(client, front, back, server)

    return asyncio.run(main())


@pytest.mark.parametrize("protocol", [Protocol.SSL, Protocol.RDP])
def test_every_byte_arrives_in_both_directions(protocol: Protocol) -> None:
    up, down = bytes(range(256)) * 8000, bytes(reversed(range(256))) * 9000

    async def work(client: Any, front: Any, back: Any, server: Any) -> RelayEnd:
        joined = asyncio.create_task(relay(front, back))

        async def talk(session: Any, out: bytes, expected: bytes) -> None:
            async def send() -> None:
                for at in range(0, len(out), 50_000):
                    session.write(out[at : at + 50_000])
                    await session.drain()

            task = asyncio.create_task(send())
            assert await session.readexactly(len(expected)) == expected
            await task

        await asyncio.gather(talk(client, up, down), talk(server, down, up))
        client.close()
        assert await server.read() == b""
        return await joined

    end = run(work, protocol)
    assert (end.first, end.error, end.sent, end.received) == ("client", None, len(up), len(down))


def test_what_was_read_before_the_relay_is_not_lost() -> None:
    async def work(client: Any, front: Any, back: Any, server: Any) -> None:
        client.write(b"first second")
        assert await front.readexactly(6) == b"first "
        server.write(b"early")
        await asyncio.sleep(0.05)  # the relay's sessions read it into their buffers
        joined = asyncio.create_task(relay(front, back))
        assert await server.readexactly(6) == b"second"
        assert await client.readexactly(5) == b"early"
        server.close()
        assert await client.read() == b""
        assert (await joined).first == "server"

    run(work)


def test_filters_change_both_directions() -> None:
    async def work(client: Any, front: Any, back: Any, server: Any) -> None:
        joined = asyncio.create_task(relay(front, back, from_client=bytes.upper, from_server=bytes.lower))
        client.write(b"Hello")
        assert await server.readexactly(5) == b"HELLO"
        server.write(b"World")
        assert await client.readexactly(5) == b"world"
        client.close()
        await joined

    run(work)


def test_a_filter_is_not_asked_any_more_once_its_direction_is_free() -> None:
    asked: list[bytes] = []

    def first(data: bytes) -> bytes:
        asked.append(data)
        return data.upper()

    async def work(client: Any, front: Any, back: Any, server: Any) -> None:
        joined = asyncio.create_task(relay(front, back, from_client=Filter(first, lambda: len(asked) > 1)))
        for text, wanted in ((b"one", b"ONE"), (b"two", b"TWO"), (b"three", b"three")):
            client.write(text)
            assert await server.readexactly(len(text)) == wanted
        client.close()
        assert (await joined).sent == 11

    for protocol in (Protocol.SSL, Protocol.RDP):
        asked.clear()
        run(work, protocol)
        assert asked == [b"one", b"two"]


def test_what_passes_a_free_direction_is_looked_at_first() -> None:
    seen: list[bytes] = []

    def look(view: memoryview) -> None:
        seen.append(bytes(view))
        if seen[-1] == b"bad":
            raise credssp.LocalProtocolError("not with me")

    async def work(client: Any, front: Any, back: Any, server: Any) -> RelayEnd:
        joined = asyncio.create_task(relay(front, back, from_server=Filter(bytes.lower, lambda: True, look)))
        for text in (b"FIRST", b"Second"):
            server.write(text)
            assert await client.readexactly(len(text)) == (text if seen else b"first")
        server.write(b"bad")
        assert await client.read() == b""
        return await joined

    for protocol in (Protocol.SSL, Protocol.RDP):
        seen.clear()
        end = run(work, protocol)
        assert seen == [b"Second", b"bad"]
        assert (end.first, type(end.error)) == ("server", credssp.LocalProtocolError)


def test_sessions_share_the_queues_of_their_loop() -> None:
    """A queue keeps the memory of the most that it ever held."""

    async def work(client: Any, front: Any, back: Any, server: Any) -> None:
        ends = [each.endpoint.take_channel() for each in (client, front, back, server)]
        assert len({id(each._incoming) for each in ends}) == len({id(each._outgoing) for each in ends}) == 1
        assert ends[0]._incoming is not ends[0]._outgoing

    run(work)


def _reachable(start: object) -> list[object]:
    seen: dict[int, object] = {}
    found = [start]
    while found:
        each = found.pop()
        if id(each) not in seen and not isinstance(each, type | ModuleType | asyncio.AbstractEventLoop):
            seen[id(each)] = each
            module = isinstance(each, dict) and "__builtins__" in each
            found.extend([] if module else gc.get_referents(each))
    return list(seen.values())


def test_a_relay_does_not_keep_what_was_read_before_it_began() -> None:
    """It may hold a password: the Client Info PDU of a client without NLA."""

    async def work(client: Any, front: Any, back: Any, server: Any) -> None:
        client.write(b"a password")
        await front.read(0)
        while front._pump.fed < 10:
            await asyncio.sleep(0)
        front.endpoint.unused_data = b"a password too"  # as it is where it came with the last message of the login
        task = asyncio.create_task(relay(front, back, from_client=Filter(bytes.upper, lambda: True)))
        assert await server.readexactly(10) == b"A PASSWORD"
        kept = [each for each in _reachable(task.get_coro()) if isinstance(each, bytes) and b"password" in each.lower()]
        assert kept == []
        assert len(_reachable(task.get_coro())) > 50
        client.close()
        await task

    run(work)


def test_a_filter_that_fails_ends_the_session_for_both() -> None:
    def broken(data: bytes) -> bytes:
        raise credssp.LocalProtocolError("not with me")

    async def work(client: Any, front: Any, back: Any, server: Any) -> RelayEnd:
        joined = asyncio.create_task(relay(front, back, from_server=broken))
        server.write(b"x")
        assert await client.read() == b""
        assert await server.read() == b""
        return await joined

    end = run(work)
    assert (end.first, str(end.error)) == ("server", str(credssp.LocalProtocolError("not with me")))


def test_a_reset_ends_the_session_for_the_other() -> None:
    async def work(client: Any, front: Any, back: Any, server: Any) -> RelayEnd:
        joined = asyncio.create_task(relay(front, back))
        client.write(b"x")
        await server.readexactly(1)
        client.abort()
        assert await server.read() == b""
        return await joined

    assert run(work).first == "client"


def test_a_peer_that_does_not_read_stops_the_other() -> None:
    """The relay takes a few megabytes at most, and nothing is lost."""

    async def work(client: Any, front: Any, back: Any, server: Any) -> None:
        server._transport.pause_reading()
        joined = asyncio.create_task(relay(front, back))
        piece, sent = bytes(100_000), 0
        for _ in range(400):
            client.write(piece)
            sent += len(piece)
            try:
                async with asyncio.timeout(0.5):
                    await client.drain()
            except TimeoutError:
                break
        assert sent < 40_000_000
        server._transport.resume_reading()
        assert len(await server.readexactly(sent)) == sent
        client.close()
        end = await joined
        assert end.sent == sent

    run(work)


def test_silence_and_time_end_a_session() -> None:
    async def idle(client: Any, front: Any, back: Any, server: Any) -> RelayEnd:
        return await relay(front, back, idle=0.05)

    async def total(client: Any, front: Any, back: Any, server: Any) -> RelayEnd:
        async def talk() -> None:
            while True:
                client.write(b"x")
                await asyncio.sleep(0.01)

        talking = asyncio.create_task(talk())
        try:
            return await relay(front, back, idle=5, total=0.1)
        finally:
            talking.cancel()

    end = run(idle)
    assert (end.first, end.idle) == ("relay", True)
    end = run(total)
    assert (end.first, end.idle) == ("relay", False)
    assert end.sent >= 5


def test_nothing_keeps_the_ends_of_a_session_alive() -> None:
    async def work(client: Any, front: Any, back: Any, server: Any) -> list[weakref.ref[Any]]:
        held = [weakref.ref(front.endpoint), weakref.ref(back.endpoint)]
        joined = asyncio.create_task(relay(front, back))
        client.write(b"x")
        await server.readexactly(1)
        client.close()
        await joined
        return held

    async def main() -> None:
        scene = Scene(Protocol.SSL)
        async with asyncio.timeout(30):
            client, front, back, server = await scene.__aenter__()
            held = await work(client, front, back, server)
            del client, front, back, server
            await scene.__aexit__()
            scene.sessions.clear()
            await asyncio.sleep(0.01)
            assert [ref() is None for ref in held] == [True, True]

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()

"""Every connection of an RDP server ends in one of delegated and refused, then closed, whatever the socket does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.drivers.audit import reason_of
from credssp.drivers.rdp_service import Closed, Delegated, Refused, ServerLimits
from credssp.errors import CredSSPError
from credssp.rdp import Approach, AuthorizationDeniedError, Negotiated, NLAClient, Protocol
from credssp.testing import RDPServer
from tests.drivers.test_rdp_drivers import ACCOUNTS, ALICE, HOST, WRONG, Running, log_on_blocking, running, until

FLIGHTS = 5
"""What a client sends: Connection Request, ClientHello, Finished and NEGOTIATE, AUTHENTICATE, authInfo."""

STEPS = [(whole, part) for whole in range(FLIGHTS) for part in ("nothing", "half", "unread")] + [(FLIGHTS, "nothing")]
"""Flights that were answered, and what was sent of the next one. The last two are whole logins."""

ALERT = bytes.fromhex("15030300020228")  # fatal, handshake_failure
WAYS = ("close", "half-close", "reset", "alert", "garbage", "silence", "stop", "drop")


def walk(connection: socket.socket, client: NLAClient, whole: int, part: str) -> None:
    """Go so far in a login."""
    connection.settimeout(30)
    client.start()
    data = client.data_to_send()
    for _ in range(whole):
        if client.complete:
            break
        connection.sendall(data)
        with contextlib.suppress(CredSSPError):
            client.receive(connection.recv(65536))
        data = client.data_to_send()
    if part != "nothing":
        connection.sendall(data if part == "unread" else data[: len(data) // 2])


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


ENDS: dict[str, Callable[[socket.socket], Any]] = {
    "close": socket.socket.close,
    "half-close": lambda connection: connection.shutdown(socket.SHUT_WR),
    "reset": reset,
    "alert": lambda connection: connection.sendall(ALERT),
    "garbage": lambda connection: connection.sendall(b"\xff" * 300),
}


def end(connection: socket.socket, way: str) -> None:
    with contextlib.suppress(OSError):  # a refusal was faster
        ENDS.get(way, lambda _: None)(connection)


def by_connection(server: Running) -> list[list[Any]]:
    found: dict[int, list[Any]] = {}
    for number, event in list(server.events):
        found.setdefault(number, []).append(event)
    return [events for _, events in sorted(found.items())]


def assert_ended(events: list[Any]) -> Delegated | Refused:
    """Assert the order of the events of a connection; returns how it ended."""
    kinds = [type(event) for event in events]
    assert kinds[-1] is Closed
    if kinds[0] is Negotiated:
        del events[0]
    assert [type(event) for event in events] in ([Delegated, Closed], [Refused, Closed]), kinds
    outcome: Delegated | Refused = events[0]
    return outcome


@pytest.fixture(params=["asyncio", "blocking"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def walked(server: Running, credentials: Any, way: str, **options: Any) -> Iterator[list[socket.socket]]:
    """Connections that went as far as each of the steps and were ended."""
    with contextlib.ExitStack() as stack:
        held = []
        for whole, part in STEPS:
            connection = stack.enter_context(socket.create_connection(server.address))
            with contextlib.suppress(OSError):
                walk(connection, NLAClient(credentials, host=HOST, mechanism="ntlm", **options), whole, part)
            end(connection, way)
            held.append(connection)
        yield held


@pytest.mark.parametrize("credentials", [ALICE, WRONG], ids=["right", "wrong"])
@pytest.mark.parametrize("way", WAYS)
def test_every_step_and_every_end(kind: str, way: str, credentials: Any) -> None:
    options: dict[str, Any] = {"silence": {"leg": 0.3}, "drop": {"half_open_per_source": 1}}.get(way, {})
    limits = ServerLimits(**{"linger": 0.3, "leg": 3.0} | options)
    server = Running(kind, limits=limits)
    try:
        with walked(server, credentials, way):
            if way in ("stop", "drop"):
                server.stop()
            # A session waits for a silent client.
            expected = len(STEPS) - 2 * (way == "silence" and credentials is ALICE)
            until(lambda: len(server.told(Closed)) == expected)
        until(lambda: len(server.told(Closed)) == len(STEPS))
    finally:
        if server.thread.is_alive():
            server.stop()
    outcomes = [assert_ended(events) for events in by_connection(server)]
    assert len(outcomes) == len(STEPS)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert len(refused) >= (len(STEPS) if credentials is WRONG else len(STEPS) - 2)
    if way == "reset" and credentials is WRONG:
        assert any(outcome.error.ntstatus == credssp.NTStatus.STATUS_LOGON_FAILURE for outcome in refused)
    if way == "drop":
        assert "limit" in {reason_of(outcome.error) for outcome in refused}
    if way == "silence":
        assert "timeout" in {reason_of(outcome.error) for outcome in refused}


@pytest.mark.parametrize("way", ["close", "reset", "garbage"])
def test_every_step_of_the_direct_approach(kind: str, way: str) -> None:
    with (
        running(kind, limits=ServerLimits(linger=0.3, leg=0.5)) as server,
        walked(server, ALICE, way, approach=Approach.DIRECT),
    ):
        until(lambda: len(server.told(Closed)) == len(STEPS))
    for events in by_connection(server):
        assert_ended(events)


def test_no_place_is_a_refusal_of_a_silent_client(kind: str) -> None:
    silent = []
    options = {"limits": ServerLimits(connections_per_source=1)}
    with Places(kind, silent, **options) as server, rdp.connect(*server.address, credentials=ALICE) as session:
        until(lambda: not server.half_open())  # before, the newcomer takes the place
        with socket.create_connection(server.address, timeout=30) as other, contextlib.suppress(OSError):
            assert other.recv(1) == b""
        until(lambda: len(silent) == 2)
        session.sendall(b"still")
        assert session.recv_exactly(5) == b"STILL"
    refused, closed = silent
    assert isinstance(refused, Refused)
    assert reason_of(refused.error) == "limit"
    assert isinstance(closed, Closed)


class Places(Running):
    """A server that collects what it tells of silent clients."""

    def __init__(self, kind: str, silent: list[Any], **options: Any) -> None:
        super().__init__(kind, on_event=lambda c, e: silent.append(e) if c.silent else None, **options)

    def __enter__(self) -> Places:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def test_a_denied_user_is_told_with_what_was_delegated(kind: str) -> None:
    with running(kind, authorize=lambda identity, credentials: False) as server:
        with pytest.raises(AuthorizationDeniedError):
            log_on_blocking(server.address)
        until(lambda: server.told(Closed))
    assert [type(event) for _, event in server.events] == [Negotiated, Delegated, Refused, Closed]


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("error", [ValueError("secret text"), asyncio.CancelledError("secret text"), SystemExit(3)])
def test_an_authorize_callback_that_raises_is_a_no(
    kind: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "asyncio" and isinstance(error, SystemExit):
        pytest.skip("ends the event loop, as asyncio says")
    with running(kind, authorize=raising(error)) as server:
        with pytest.raises(AuthorizationDeniedError):
            log_on_blocking(server.address)
        until(lambda: server.told(Closed))
    assert [type(event) for _, event in server.events][-2:] == [Refused, Closed]
    assert f"({type(error).__name__}) in fail, test_endings.py line " in caplog.text
    assert "secret text" not in caplog.text


@pytest.mark.parametrize("error", [ValueError("secret text"), OSError("secret text"), credssp.TLSError("x")])
def test_a_handler_that_raises_is_followed_by_closed(
    kind: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []
    options: Any = {"accounts": ACCOUNTS, "on_event": lambda client, event: events.append(type(event))}

    async def broken(session: Any) -> None:
        raise error

    async def main() -> None:
        async with (
            await rdp.start_server(broken, HOST, 0, **options) as server,
            await rdp.open_connection(*server.address, credentials=ALICE) as session,
        ):
            assert await session.read() == b""

    if kind == "asyncio":
        asyncio.run(main())
    else:
        with rdp.serve(raising(error), HOST, 0, **options) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with rdp.connect(*server.address, credentials=ALICE) as session:
                assert session.recv() == b""
            until(lambda: Closed in events)
    assert events == [Negotiated, Delegated, Closed]
    assert "secret text" not in caplog.text


def test_a_handler_that_is_cancelled_before_its_first_step_is_followed_by_closed() -> None:
    """The server closes in the turn of the loop in which the login ends."""
    events: list[Any] = []
    ran: list[Any] = []

    async def handler(session: Any) -> None:
        ran.append(session)

    async def main() -> None:
        closing: list[asyncio.Task[None]] = []

        def note(client: Any, event: Any) -> None:
            events.append(type(event))
            if isinstance(event, Delegated):
                closing.append(asyncio.get_running_loop().create_task(server.close()))

        server = await rdp.start_server(handler, HOST, 0, accounts=ACCOUNTS, on_event=note)
        session = await rdp.open_connection(*server.address, credentials=ALICE)
        with contextlib.suppress(OSError):
            assert await session.read() == b""
        session.close()
        await closing[0]

    asyncio.run(main())
    assert not ran
    assert events == [Negotiated, Delegated, Closed]


def test_a_connection_whose_first_byte_comes_as_the_server_closes_is_told(kind: str) -> None:
    for _ in range(5):
        server = Running(kind)
        with socket.create_connection(server.address) as connection:
            until(lambda server=server: server.half_open())
            connection.sendall(b"\x03")
            server.stop()
        (events,) = by_connection(server)
        assert isinstance(assert_ended(events), Refused)


def test_closing_the_server_ends_sessions_whose_handlers_wait(kind: str) -> None:
    server = Running(kind)
    if kind == "blocking":
        stop = server._stop
        server._stop = lambda: stop(timeout=0.1)
    with rdp.connect(*server.address, credentials=ALICE):
        server.stop()
        until(lambda: server.told(Closed))
    (events,) = by_connection(server)
    assert isinstance(assert_ended(events), Delegated)


def test_no_thread_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with running("blocking") as server:
        monkeypatch.setattr("credssp.drivers.rdp_blocking.threading.Thread", NoThread)
        with socket.create_connection(server.address, timeout=30) as connection, contextlib.suppress(OSError):
            connection.sendall(b"\x03")
            assert connection.recv(1) == b""
        until(lambda: server.told(Closed))
        monkeypatch.undo()
    (events,) = by_connection(server)
    outcome = assert_ended(events)
    assert isinstance(outcome, Refused)
    assert reason_of(outcome.error) == "limit"


@pytest.mark.parametrize("protocols", [Protocol.HYBRID, Protocol.HYBRID_EX])
def test_assert_refused_hears_of_a_client_that_resets(protocols: Protocol) -> None:
    with RDPServer({("LAB", "alice"): "secret"}, protocols=protocols) as server:
        with socket.create_connection(server.address) as connection:
            walk(connection, NLAClient(WRONG, host=HOST, mechanism="ntlm"), 4, "unread")
            reset(connection)
        server.assert_refused(timeout=5)

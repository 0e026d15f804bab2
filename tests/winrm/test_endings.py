"""Every login of a WinRM server ends in one outcome, every connection too, then closed, whatever the socket does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from credssp import CredSSPError, NTStatus, PasswordCredentials
from credssp.drivers import winrm_connections
from credssp.drivers.audit import reason_of
from credssp.drivers.winrm_asgi import ConnectionClosed, Login, WinRMLimits
from credssp.drivers.winrm_serving import serving
from credssp.testing.winrm import WinRMServer
from credssp.winrm import ClientLogin
from tests.drivers.test_rdp_drivers import until
from tests.winrm import servers
from tests.winrm.memory import login
from tests.winrm.test_asgi import Client, run
from tests.winrm.test_serving import hypercorn

LEGS = 5
"""ClientHello, Finished, NEGOTIATE, AUTHENTICATE, authInfo."""

STEPS = [(whole, part) for whole in range(LEGS) for part in ("nothing", "half", "unread")] + [(LEGS, "nothing")]
"""Legs that were answered, and what was sent of the next one. The last two are whole logins."""

WRONG = PasswordCredentials("alice", "wrong", domain="LAB")
WAYS = ("close", "half-close", "reset", "garbage", "pipelined", "silence", "stop", "drop")


def request(header: str) -> bytes:
    return f"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: {header}\r\n\r\n".encode()


def answer(connection: socket.socket) -> tuple[int, list[str]]:
    """Return status and challenges of a response without a body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise OSError("closed")
        data += piece
    found = re.search(rb"(?im)^www-authenticate: ([^\r]*)", data)
    return int(data[9:12]), [found[1].decode()] if found else []


def walk(connection: socket.socket, side: ClientLogin, whole: int, part: str) -> None:
    """Go so far in a login."""
    connection.settimeout(30)
    header: str | None = side.start()
    for _ in range(whole):
        assert header is not None
        connection.sendall(request(header))
        header = side.receive(*answer(connection))
        if header is None:
            return
    if part != "nothing" and header is not None:
        data = request(header)
        connection.sendall(data if part == "unread" else data[: len(data) // 2])


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


ENDS: dict[str, Callable[[socket.socket], Any]] = {
    "close": socket.socket.close,
    "half-close": lambda connection: connection.shutdown(socket.SHUT_WR),
    "reset": reset,
    "garbage": lambda connection: connection.sendall(b"\xff\r\n\r\n"),
    "pipelined": lambda connection: connection.sendall(request("CredSSP AQID") * 2),
}


class Told(list[Any]):
    """What an application told."""

    @property
    def options(self) -> dict[str, Any]:
        return {"on_login": self.append, "on_close": self.append}

    def closed(self) -> int:
        return sum(isinstance(event, ConnectionClosed) for event in self)

    def outcomes(self) -> list[Login]:
        """Assert that each connection has one outcome, then is closed; returns the outcomes."""
        found: dict[str, list[Any]] = {}
        for event in self:
            found.setdefault(event.id, []).append(event)
        for events in found.values():
            assert [type(event) for event in events] == [Login, ConnectionClosed], events
        return [events[0] for events in found.values()]


def walk_all(stack: contextlib.ExitStack, port: int, way: str, **options: Any) -> None:
    for whole, part in STEPS:
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        with contextlib.suppress(OSError, CredSSPError):
            walk(connection, login(**options), whole, part)
        with contextlib.suppress(OSError):
            ENDS.get(way, lambda _: None)(connection)


@pytest.mark.parametrize("options", [{}, {"credentials": WRONG}], ids=["right", "wrong"])
@pytest.mark.parametrize("way", WAYS)
def test_every_step_and_every_end(way: str, options: dict[str, Any]) -> None:
    limits = {
        "silence": {"deadline": 0.7, "keep_alive_before_login": 1, "header_timeout": 0.5, "keep_alive": 1},
        "drop": {"half_open_per_source": 1},
    }
    told = Told()
    # One failure ends the connection, so that what is sent then is not another login.
    app = servers.application(**told.options, failures=1, limits=WinRMLimits(**limits.get(way, {})))
    with contextlib.ExitStack() as clients:
        with serving(app) as port:
            walk_all(clients, port, way, **options)
            if way not in ("stop", "drop"):
                until(lambda: told.closed() == len(STEPS))
        until(lambda: told.closed() == len(STEPS))
    if way in ("pipelined", "garbage"):  # may be the beginning of another login over the connection
        assert {event.id for event in told if isinstance(event, ConnectionClosed)} == {event.id for event in told}
        return
    outcomes = told.outcomes()
    failed = [login for login in outcomes if login.error is not None]
    assert len(failed) >= len(STEPS) - (0 if options else 2)
    reasons = {reason_of(login.error) for login in failed if login.error is not None}
    if way in ("silence", "drop"):
        assert {"silence": "timeout", "drop": "limit"}[way] in reasons
    if options:
        assert NTStatus.STATUS_LOGON_FAILURE in {login.error.ntstatus for login in failed if login.error is not None}


@pytest.mark.parametrize("way", ["close", "half-close", "reset", "stop"])
def test_every_step_on_hypercorn(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells nothing of connections over which no request came."""
    pytest.importorskip("hypercorn")
    monkeypatch.setattr(winrm_connections, "_SWEEP", 0.1)
    told = Told()
    app = servers.application(**told.options, failures=1)
    known = len(STEPS) - 2 - (way == "reset")  # a reset may overtake the first request
    with contextlib.ExitStack() as clients:
        with hypercorn(app, None) as port:
            walk_all(clients, port, way)
            if way != "stop":
                until(lambda: told.closed() >= known and not len(app.connections))
        until(lambda: told.closed() >= known)
    assert sum(login.error is None for login in told.outcomes()) in (0, 1, 2)


def test_silent_connections_and_those_without_a_place_are_told() -> None:
    told = Told()
    app = servers.application(**told.options, connections_per_source=1, header_timeout=0.3)
    with serving(app) as port:
        with socket.create_connection(("127.0.0.1", port)) as first:
            walk(first, login(), LEGS, "nothing")
            socket.create_connection(("127.0.0.1", port)).close()
            until(lambda: told.closed() == 1)
        until(lambda: told.closed() == 2)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
            assert silent.recv(1) == b""
        until(lambda: told.closed() == 3)
    outcomes = {reason_of(each.error) if each.error else "": each.silent for each in told.outcomes()}
    assert outcomes == {"limit": True, "": False, "timeout": True}


def test_tls_of_https_that_does_not_work_out_is_told(tmp_path: Path) -> None:
    told = Told()
    app = servers.application(**told.options, tls_handshake=0.5)
    with serving(app, certfile=servers.outer_certificate(tmp_path)) as port:
        for data in (b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x15\x03\x01\x00\x02\x02\x28"):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(data)
                with contextlib.suppress(OSError):
                    while connection.recv(100):
                        pass
        until(lambda: told.closed() == 3)
    assert [reason_of(each.error) for each in told.outcomes() if each.error] == ["tls", "timeout", "tls"]


# One connection in memory


def test_every_login_of_a_connection_is_told_and_then_its_end() -> None:
    told = Told()

    async def test() -> None:
        client = Client(servers.application(**told.options))
        with pytest.raises(CredSSPError):
            await client.log_on(login(credentials=WRONG))
        await client.log_on()
        await client.log_on()
        client.app.connections.lost(client.peer, None, None)

    run(test())
    *logins, closed = told
    assert [login.error is None for login in logins] == [False, True, True]
    assert {login.id for login in logins} == {closed.id}
    assert isinstance(closed, ConnectionClosed)


def test_an_object_that_goes_is_the_end_of_its_connection() -> None:
    told = Told()

    async def test() -> None:
        client = Client(servers.application(**told.options))
        await client.post(authorization=login().start())
        client.peer = None
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(test())
    (outcome,) = told.outcomes()
    assert outcome.error is not None
    assert "in the middle of a login" in outcome.error.message


@pytest.mark.parametrize("limits", [{"deadline": 0.02}, {"half_open": 1}])
def test_a_login_that_is_dropped_is_told_once(limits: dict[str, Any]) -> None:
    told = Told()

    async def test() -> None:
        app = servers.application(**told.options, limits=WinRMLimits(**limits))
        client = Client(app)
        others = Client(app)
        await client.post(authorization=login().start())
        await others.post(authorization=login().start())
        await asyncio.sleep(0.1)
        app.connections.lost(client.peer, None, None)
        assert isinstance(told[0], Login)
        assert told[0].error is not None
        assert reason_of(told[0].error) == ("timeout" if "deadline" in limits else "limit")
        assert [type(event) for event in told if event.id == told[0].id] == [Login, ConnectionClosed]

    run(test())


@pytest.mark.parametrize("end", ["lost", "deadline"])
def test_a_client_that_is_gone_before_the_verdict(end: str) -> None:
    told = Told()
    release = asyncio.Event()
    asked = asyncio.Event()

    async def authorize(identity: Any, credentials: Any) -> bool:
        asked.set()
        await release.wait()
        return True

    async def test() -> None:
        limits = WinRMLimits(deadline=0.2 if end == "deadline" else 20)
        client = Client(servers.application(**told.options, authorize=authorize, limits=limits))
        logging_on = asyncio.ensure_future(client.log_on())
        await asked.wait()
        if end == "deadline":
            while not told:
                await asyncio.sleep(0.01)
        client.app.connections.lost(client.peer, None, None)
        release.set()
        with contextlib.suppress(CredSSPError):
            await logging_on

    run(test())
    (outcome,) = told.outcomes()
    assert outcome.error is not None
    assert reason_of(outcome.error) == ("closed" if end == "lost" else "timeout")


@pytest.mark.parametrize("error", [ValueError("secret text"), asyncio.CancelledError("secret text")])
def test_an_authorize_callback_that_raises_is_a_no(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    told = Told()

    def authorize(identity: Any, credentials: Any) -> bool:
        raise error

    async def test() -> None:
        client = Client(servers.application(**told.options, authorize=authorize))
        with pytest.raises(CredSSPError):
            await client.log_on()
        client.app.connections.lost(client.peer, None, None)

    run(test())
    (outcome,) = told.outcomes()
    assert outcome.error is not None
    assert outcome.error.ntstatus == NTStatus.STATUS_ACCESS_DENIED
    assert f"({type(error).__name__}) in authorize, test_endings.py line " in caplog.text
    assert "secret text" not in caplog.text


def test_a_failed_login_says_what_was_negotiated() -> None:
    told = Told()

    async def test() -> None:
        client = Client(servers.application(**told.options))
        with pytest.raises(CredSSPError):
            await client.log_on(login(tls="1.2", credentials=WRONG))
        client.app.connections.lost(client.peer, None, None)

    run(test())
    (outcome,) = told.outcomes()
    assert (outcome.facts.version, outcome.facts.peer_version, outcome.facts.tls) == (6, 6, "TLSv1.2")
    assert outcome.facts.cipher


@contextmanager
def endpoint() -> Iterator[tuple[WinRMServer, socket.socket]]:
    with (
        WinRMServer({("LAB", "alice"): servers.PASSWORD}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection,
    ):
        yield server, connection


def test_assert_refused_hears_of_a_client_that_resets() -> None:
    with endpoint() as (server, connection):
        walk(connection, login(), 3, "unread")
        reset(connection)
        refusal = server.assert_refused(timeout=5)
    assert refusal.error is not None


def test_a_handler_that_fails_after_the_login_changes_nothing_of_its_outcome() -> None:
    told = Told()
    started = threading.Event()

    def broken(request: Any) -> Any:
        started.set()
        raise ValueError("secret text")

    async def test() -> None:
        client = Client(servers.application(broken, encryption="never", **told.options))
        await client.log_on()
        assert (await client.post(servers.IDENTIFY, content_type=servers.SOAP_TYPE)).status == 500
        client.app.connections.lost(client.peer, None, None)

    run(test())
    assert started.is_set()
    (outcome,) = told.outcomes()
    assert outcome.error is None

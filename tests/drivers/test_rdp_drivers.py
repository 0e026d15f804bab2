"""Both drivers over loopback: logins, refusals, bad peers, deadlines and limits."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.drivers import aio, blocking
from credssp.drivers.handshake import ConnectError, DeadlineError, Timeouts
from credssp.drivers.rdp_service import Closed, Delegated, Refused, ServerLimits
from credssp.errors import (
    CredSSPError,
    LimitExceededError,
    LocalProtocolError,
    PeerClosedError,
    PeerRefusedError,
    RemoteProtocolError,
    TLSAlertError,
    TLSError,
)
from credssp.rdp import AuthorizationDeniedError, EarlyUserAuthorization, NegotiationError, Protocol
from credssp.status import NTStatus

ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret"})
ALICE = credssp.PasswordCredentials("alice", "secret", domain="LAB")
WRONG = credssp.PasswordCredentials("alice", "wrong", domain="LAB")
QUICK = Timeouts(connect=5, leg=0.3, login=0.6)
HOST = "127.0.0.1"


class Running:
    """A server of either kind in a thread, with what it told."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.events: list[Any] = []
        self.address: tuple[str, int] = ("", 0)
        self._kind = kind
        self._options = {"accounts": ACCOUNTS, "on_event": lambda c, e: self.events.append((c.number, e))} | options
        self._ready = threading.Event()
        self._stop: Callable[[], Any] = lambda: None
        self.half_open: Callable[[], int] = lambda: 0
        self.thread = threading.Thread(target=self._asyncio if kind == "asyncio" else self._blocking, daemon=True)
        self.thread.start()
        assert self._ready.wait(10)

    def _asyncio(self) -> None:
        async def echo(session: Any) -> None:
            while data := await session.read():
                session.write(data.upper())
                await session.drain()

        async def main() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            self._stop = lambda: loop.call_soon_threadsafe(stop.set)
            async with await rdp.start_server(echo, HOST, 0, **self._options) as server:
                self.address = server.address
                self.half_open = lambda: len(server.half_open)
                self._ready.set()
                await stop.wait()

        asyncio.run(main())

    def _blocking(self) -> None:
        def echo(session: Any) -> None:
            while data := session.recv():
                session.sendall(data.upper())

        with rdp.serve(echo, HOST, 0, **self._options) as server:
            self.address = server.address
            self.half_open = lambda: server.half_open
            self._stop = server.close
            self._ready.set()
            server.serve_forever()

    def stop(self) -> None:
        self._stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def told(self, kind: type) -> list[Any]:
        return [event for _, event in list(self.events) if isinstance(event, kind)]


@contextmanager
def running(kind: str, **options: Any) -> Iterator[Running]:
    server = Running(kind, **options)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["asyncio", "blocking"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


Log = Callable[..., bytes]


def log_on_blocking(address: tuple[str, int], credentials: Any = ALICE, **options: Any) -> bytes:
    with rdp.connect(*address, credentials=credentials, **options) as session:
        session.settimeout(30)
        session.sendall(b"hello")
        return session.recv_exactly(5)


def log_on_asyncio(address: tuple[str, int], credentials: Any = ALICE, **options: Any) -> bytes:
    async def main() -> bytes:
        async with await rdp.open_connection(*address, credentials=credentials, **options) as session:
            session.write(b"hello")
            await session.drain()
            return await session.readexactly(5)

    return asyncio.run(main())


@pytest.fixture(params=[log_on_blocking, log_on_asyncio], ids=["blocking client", "asyncio client"])
def log_on(request: pytest.FixtureRequest) -> Log:
    return request.param  # type: ignore[no-any-return]


# Logins


def test_login_and_stream(kind: str, log_on: Log) -> None:
    with running(kind) as server:
        assert log_on(server.address) == b"HELLO"
        until(lambda: server.told(Closed))
    (delegated,) = server.told(Delegated)
    assert delegated.credentials == ALICE
    assert [type(event).__name__ for _, event in server.events] == ["Negotiated", "Delegated", "Closed"]


def test_refusal(kind: str, log_on: Log) -> None:
    with running(kind) as server:
        with pytest.raises(PeerRefusedError) as caught:
            log_on(server.address, WRONG)
        until(lambda: server.told(Closed))
    assert caught.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
    (refused,) = server.told(Refused)
    assert refused.error.ntstatus == NTStatus.STATUS_LOGON_FAILURE


@pytest.mark.parametrize("protocols", [Protocol.HYBRID, Protocol.HYBRID_EX])
def test_authorize(kind: str, log_on: Log, protocols: Protocol) -> None:
    asked = []

    def authorize(identity: Any, credentials: Any) -> EarlyUserAuthorization:
        asked.append((identity.username, credentials))
        return EarlyUserAuthorization.AUTHZ_ACCESS_DENIED

    with running(kind, authorize=authorize, protocols=protocols) as server:
        expected = AuthorizationDeniedError if protocols is Protocol.HYBRID_EX else (CredSSPError, OSError)
        with pytest.raises(expected):
            log_on(server.address)
        until(lambda: server.told(Closed))
    assert asked == [("alice", ALICE)]
    assert isinstance(server.told(Refused)[0].error, AuthorizationDeniedError)


@pytest.mark.parametrize("verdict", [True, EarlyUserAuthorization.AUTHZ_SUCCESS])
def test_what_counts_as_yes(kind: str, verdict: Any) -> None:
    with running(kind, authorize=lambda identity, credentials: verdict) as server:
        assert log_on_blocking(server.address) == b"HELLO"


@pytest.mark.parametrize("verdict", [None, 1, "yes", ValueError("secret")])
def test_whatever_is_not_plainly_a_yes_is_a_no(kind: str, verdict: Any, caplog: pytest.LogCaptureFixture) -> None:
    def authorize(identity: Any, credentials: Any) -> Any:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    with running(kind, authorize=authorize) as server, pytest.raises(AuthorizationDeniedError):
        log_on_blocking(server.address)
    assert "secret" not in caplog.text


@pytest.mark.parametrize("outcome", [True, False, ValueError])
def test_authorize_may_be_a_coroutine_on_asyncio(outcome: Any) -> None:
    async def authorize(identity: Any, credentials: Any) -> bool:
        await asyncio.sleep(0)
        if outcome is ValueError:
            raise ValueError
        return bool(outcome)

    with running("asyncio", authorize=authorize) as server:
        if outcome is True:
            assert log_on_blocking(server.address) == b"HELLO"
        else:
            with pytest.raises(AuthorizationDeniedError):
                log_on_blocking(server.address)


def test_a_client_that_is_gone_before_the_verdict() -> None:
    asked = threading.Event()
    release = threading.Event()

    async def authorize(identity: Any, credentials: Any) -> bool:
        asked.set()
        while not release.is_set():
            await asyncio.sleep(0.01)
        return True

    with running("asyncio", authorize=authorize) as server:
        with pytest.raises(DeadlineError):
            log_on_blocking(server.address, timeouts=QUICK)
        assert asked.wait(5)
        until(lambda: server.told(Refused))
        release.set()
        until(lambda: server.told(Closed))
        assert log_on_blocking(server.address) == b"HELLO"


def test_the_own_time_is_not_the_clients() -> None:
    async def authorize(identity: Any, credentials: Any) -> bool:
        await asyncio.sleep(0.5)
        return True

    with running("asyncio", authorize=authorize, limits=ServerLimits(leg=0.2, deadline=5)) as server:
        assert log_on_blocking(server.address) == b"HELLO"


def test_authorize_must_not_be_a_coroutine_on_blocking_sockets() -> None:
    async def authorize(identity: Any, credentials: Any) -> bool:
        return True

    with running("blocking", authorize=authorize) as server, pytest.raises(AuthorizationDeniedError):
        log_on_blocking(server.address)


def test_a_listener_that_fails_harms_nobody(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def on_event(client: Any, event: Any) -> None:
        raise ValueError

    with running(kind, on_event=on_event) as server:
        assert log_on_blocking(server.address) == b"HELLO"
    assert "a listener failed on Negotiated" in caplog.text


def test_octets_glued_to_the_last_message_are_read_first(kind: str) -> None:
    """The client's authInfo and its first application data in one segment."""
    with running(kind, protocols=Protocol.HYBRID) as server, socket.create_connection(server.address) as connection:
        client = rdp.NLAClient(ALICE, host=HOST, mechanism="ntlm")
        client.start()
        while True:
            data = client.data_to_send()
            if client.complete:
                connection.sendall(data + client.wrap(b"early"))
                break
            connection.sendall(data)
            client.receive(connection.recv(65536))
        connection.settimeout(30)
        assert client.unwrap(connection.recv(65536)) == b"EARLY"


def test_small_messages_do_not_wait_for_acknowledgements_of_those_before(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends send at once: TCP_NODELAY, which accepted sockets do not get from asyncio."""
    told: list[bool] = []
    at_end = aio.AsyncSession.close if kind == "asyncio" else blocking.Session.close

    def close(session: Any) -> None:
        connection = session._transport.get_extra_info("socket") if kind == "asyncio" else session._socket
        told.append(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        at_end(session)

    owner = aio.AsyncSession if kind == "asyncio" else blocking.Session
    monkeypatch.setattr(owner, "close", close)
    with running(kind) as server:
        assert log_on_asyncio(server.address) == b"HELLO" if kind == "asyncio" else log_on_blocking(server.address)
        until(lambda: len(told) >= 2)
    assert set(told) == {True}


def test_a_server_on_a_unix_domain_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "rdp.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    with running("asyncio", sock=listener), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.settimeout(10)
        client = rdp.NLAClient(ALICE, host="localhost", mechanism="ntlm")
        with blocking.log_on(connection, client, timeouts=Timeouts(connect=5, leg=5, login=10)) as session:
            session.sendall(b"hello")
            assert session.recv_exactly(5) == b"HELLO"


def test_large_data_goes_through(kind: str, log_on: Log) -> None:
    data = os.urandom(1 << 20).lower()
    with running(kind) as server, rdp.connect(*server.address, credentials=ALICE) as session:
        session.settimeout(30)
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(session.recv_exactly(len(data))))
        reader.start()
        session.sendall(data)
        reader.join(30)
    assert received == [data.upper()]


def test_unread_octets_come_again() -> None:
    with running("asyncio") as server, rdp.connect(*server.address, credentials=ALICE) as session:
        session.sendall(b"abc")
        session.unread(session.recv_exactly(3) + b"!")
        assert session.recv(2) == b"AB"
        assert session.recv() == b"C!"


def test_500_logins_at_concurrency_50_blocking_client(kind: str) -> None:
    with running(kind) as server, ThreadPoolExecutor(50) as pool:
        results = list(pool.map(lambda _: log_on_blocking(server.address), range(500)))
        assert results == [b"HELLO"] * 500
        until(lambda: len(server.told(Closed)) == 500)
    assert not server.told(Refused)


def test_500_logins_at_concurrency_50_asyncio_client(kind: str) -> None:
    async def main(address: tuple[str, int]) -> list[bytes]:
        gate = asyncio.Semaphore(50)

        async def one() -> bytes:
            async with gate, await rdp.open_connection(*address, credentials=ALICE) as session:
                session.write(b"hello")
                return await session.readexactly(5)

        return await asyncio.gather(*(one() for _ in range(500)))

    with running(kind) as server:
        assert asyncio.run(main(server.address)) == [b"HELLO"] * 500
        until(lambda: len(server.told(Closed)) == 500)
    assert not server.told(Refused)


def test_legs_in_a_thread_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    import credssp.drivers.rdp as driver

    monkeypatch.setattr(driver, "kerberos_obstacle", lambda credentials, target: None)
    with running("asyncio") as server:
        assert log_on_asyncio(server.address) == b"HELLO"
        with pytest.raises(PeerRefusedError):
            log_on_asyncio(server.address, WRONG)


# Half-open connections


def memory() -> int:
    """Resident bytes of this process now."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * resource.getpagesize()


def test_1000_half_open_connections_do_not_stop_a_login_and_are_gone_after_the_deadline(kind: str) -> None:
    half_open = 512 if kind == "asyncio" else 100
    limits = ServerLimits(half_open=half_open, leg=2.0, deadline=2.0)
    request = rdp.NLAClient(ALICE, host=HOST)
    request.start()
    first = request.data_to_send()
    with running(kind, limits=limits) as server:
        log_on_blocking(server.address)
        before = memory()
        held = []
        for number in range(1000):
            connection = socket.create_connection(server.address, timeout=30)
            if number % 2:
                connection.sendall(first[: number % len(first)])  # a part of a request, or nothing
            held.append(connection)
        until(lambda: server.half_open() <= half_open)
        assert log_on_blocking(server.address) == b"HELLO"
        grown = memory() - before
        until(lambda: server.half_open() == 0)
        until(lambda: len(server.told(Closed)) == 1002)
        for connection in held:
            connection.settimeout(30)
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
            connection.close()
        assert log_on_blocking(server.address) == b"HELLO"
    kinds = {type(event.error) for event in server.told(Refused)}
    # A thread that is woken sees an end, and takes it for the client's.
    assert kinds - {PeerClosedError} == {LimitExceededError, DeadlineError}
    assert kind == "blocking" or PeerClosedError not in kinds
    assert grown < 48 << 20


def test_a_burst_within_one_turn_of_the_loop_stays_within_the_limit() -> None:
    with running("asyncio", limits=ServerLimits(half_open=10)) as server:
        held = [socket.create_connection(server.address) for _ in range(60)]
        until(lambda: len(server.told(Refused)) == 50)
        assert server.half_open() == 10
        for connection in held:
            connection.close()


@pytest.mark.parametrize("sent", [b"", b"\x03\0\0\x2c", b"\x03\0\0\x2c\x27\xe0Cookie: mstshash="])
def test_a_silent_client_is_gone_after_a_leg(kind: str, sent: bytes) -> None:
    with (
        running(kind, limits=ServerLimits(leg=0.2, deadline=5)) as server,
        socket.create_connection(server.address, timeout=30) as connection,
    ):
        connection.sendall(sent)
        assert connection.recv(1) == b""
        until(lambda: server.told(Refused))
    error = server.told(Refused)[0].error
    assert isinstance(error, DeadlineError)
    assert "sent nothing for 0.2 s" in error.message
    assert error.ntstatus == NTStatus.STATUS_IO_TIMEOUT


def test_a_client_that_drips_is_gone_after_the_deadline(kind: str) -> None:
    with (
        running(kind, limits=ServerLimits(leg=100, deadline=0.5)) as server,
        socket.create_connection(server.address, timeout=30) as connection,
    ):
        data = b"\x03\0\0\xff\xfa\xe0" + b"\0" * 5 + b"Cookie: mstshash=endless" + b"s" * 220
        with pytest.raises(OSError, match=r".*"):  # long before the last of them, which is due after 25 s
            for octet in data:
                connection.sendall(bytes((octet,)))
                time.sleep(0.05)
        until(lambda: server.told(Refused))
    assert "did not end within 0.5 s" in str(server.told(Refused)[0].error)


def test_closing_the_server_ends_what_is_half_open(kind: str) -> None:
    with running(kind) as server:
        connection = socket.create_connection(server.address, timeout=30)
        until(lambda: server.half_open() == 1)
    with connection, suppress(ConnectionResetError):
        assert connection.recv(1) == b""


# Bad clients


@pytest.mark.parametrize(
    ("noise", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x00\x05hello", "TLS"),
        (b"\x03\0\xff\xff", "over-long cookie"),
        (b"A" * 100_000, "0x41"),
        (bytes.fromhex("030000130ee00000000000010008000b000000") + b"no TLS at all", "TLS"),
        (bytes.fromhex("030000130ee000000000000100080001000000"), "asked for SSL"),
    ],
)
def test_bad_clients_are_refused_with_their_own_text(kind: str, noise: bytes, text: str) -> None:
    with running(kind) as server:
        with socket.create_connection(server.address, timeout=30) as connection:
            try:
                connection.sendall(noise)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            except OSError:
                pass
        until(lambda: server.told(Refused))
        assert log_on_blocking(server.address) == b"HELLO"
    assert text in str(server.told(Refused)[0].error)


# Bad servers


@contextmanager
def scripted(*steps: bytes | None, close: bool = True) -> Iterator[tuple[str, int]]:
    """A server that answers what it reads with each of the steps, then closes or stays silent."""
    listener = socket.create_server((HOST, 0))
    done = threading.Event()

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(30)
            try:
                for step in steps:
                    connection.recv(65536)
                    if step:
                        connection.sendall(step)
                if close:
                    connection.shutdown(socket.SHUT_WR)
                done.wait(10)
            except OSError:
                pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        done.set()
        thread.join(10)
        listener.close()


CONFIRM = rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.HYBRID)).encode()


@pytest.mark.parametrize(
    ("steps", "error", "text"),
    [
        ((b"",), PeerClosedError, "Connection Request or Confirm"),
        ((CONFIRM[:7],), PeerClosedError, "Connection Request or Confirm"),
        ((CONFIRM,), PeerClosedError, "TLS or CredSSP"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), RemoteProtocolError, "HTTP"),
        ((b"\x80" * 100_000,), RemoteProtocolError, "0x80"),
        ((b"A" * 100_000,), RemoteProtocolError, "0x41"),
        ((CONFIRM, b"SSH-2.0-x\r\n"), TLSError, "TLS handshake failed"),
        ((CONFIRM, b"\x15\x03\x03\x00\x02\x02\x46"), TLSAlertError, "protocol_version"),
        ((rdp.ConnectionConfirm().encode(),), NegotiationError, "standard RDP security"),
        ((b"\x03\0\x00\x05",), RemoteProtocolError, "too short"),
    ],
)
def test_bad_servers_have_an_error_each(
    log_on: Log, steps: tuple[bytes, ...], error: type[CredSSPError], text: str
) -> None:
    with scripted(*steps) as address, pytest.raises(error) as caught:
        log_on(address)
    assert text in caught.value.message


@pytest.mark.parametrize("steps", [(), (CONFIRM,)])
def test_silent_servers(log_on: Log, steps: tuple[bytes, ...]) -> None:
    begin = time.monotonic()
    with scripted(*steps, None, close=False) as address, pytest.raises(DeadlineError, match=r"0\.[36] s"):
        log_on(address, timeouts=QUICK)
    assert time.monotonic() - begin < 15


def test_a_server_that_drips(log_on: Log) -> None:
    listener = socket.create_server((HOST, 0))
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            for octet in b"\x03\0\x01\x00" + bytes(100):
                if stop.wait(0.1):
                    break
                try:
                    connection.sendall(bytes((octet,)))
                except OSError:
                    break

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    with listener, pytest.raises(DeadlineError, match="within 0.6 s"):
        log_on(listener.getsockname(), timeouts=QUICK)
    stop.set()
    thread.join(5)


def test_no_server(log_on: Log) -> None:
    with socket.create_server((HOST, 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(ConnectError, match="Connection refused"):
        log_on(address)
    with pytest.raises(ConnectError):
        log_on(("host.invalid", 3389))
    with pytest.raises(LocalProtocolError):
        log_on(("a" * 300 + ".test", 3389))
    with pytest.raises(LocalProtocolError, match="port is an integer from 1 to 65535, not 70000"):
        log_on((HOST, 70000))


def test_connecting_takes_no_longer_than_allowed(log_on: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    # A listener whose queue is full lets further connections hang.
    with socket.create_server((HOST, 0), backlog=0) as listener:
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        with pytest.raises(CredSSPError) as caught:
            log_on(listener.getsockname(), timeouts=Timeouts(connect=0.3, leg=0.5, login=0.5))
        for each in held:
            each.close()
    assert isinstance(caught.value, ConnectError | DeadlineError)


def test_a_login_that_the_caller_gives_up() -> None:
    async def main(address: tuple[str, int]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await rdp.open_connection(*address, credentials=ALICE)

    with scripted(None, close=False) as address:
        asyncio.run(main(address))


# The stream's ends


def test_the_stream_ends_early(log_on: Log) -> None:
    def closing(session: Any) -> None:
        session.sendall(b"he")

    with rdp.serve(closing, HOST, 0, accounts=ACCOUNTS) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with pytest.raises((PeerClosedError, OSError)):
            log_on(server.address)


def test_handlers_that_fail_are_logged_and_closed(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(session: Any) -> None:
        raise ZeroDivisionError

    def broken_too(session: Any) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with (
            await rdp.start_server(broken, HOST, 0, accounts=ACCOUNTS) as server,
            await rdp.open_connection(*server.address, credentials=ALICE) as session,
        ):
            assert await session.read() == b""

    with caplog.at_level(logging.ERROR):
        if kind == "asyncio":
            asyncio.run(main())
        else:
            with rdp.serve(broken_too, HOST, 0, accounts=ACCOUNTS) as server:
                thread = threading.Thread(target=server.serve_forever, daemon=True)
                thread.start()
                with rdp.connect(*server.address, credentials=ALICE) as session:
                    assert session.recv() == b""
    assert "failed" in caplog.text


def test_without_a_handler_the_session_is_closed(log_on: Log) -> None:
    async def main() -> None:
        async with await rdp.start_server(None, HOST, 0, accounts=ACCOUNTS) as server:
            async with await rdp.open_connection(*server.address, credentials=ALICE) as session:
                assert session.endpoint.authorization is EarlyUserAuthorization.AUTHZ_SUCCESS
                assert await session.read() == b""
            session.close()  # once more does nothing

    asyncio.run(main())
    with rdp.serve(None, HOST, 0, accounts=ACCOUNTS) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with rdp.connect(*server.address, credentials=ALICE) as session:
            assert session.recv() == b""


# Settings


def test_settings_that_make_no_sense() -> None:
    for bad in (
        {"protocols": Protocol.SSL},
        {"half_open": 0},
        {"leg": 0},
        {"certificate": "no/such/file.pem"},
    ):
        with pytest.raises(LocalProtocolError):
            rdp.serve(None, HOST, 0, **bad)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        Timeouts(leg=-1)


def test_an_address_that_is_taken(kind: str) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectError, match="cannot listen"):
            if kind == "asyncio":
                asyncio.run(rdp.start_server(None, HOST, port))
            else:
                rdp.serve(None, HOST, port)


def test_two_servers_share_a_port() -> None:
    async def main() -> None:
        async with (
            await rdp.start_server(None, HOST, 0, accounts=ACCOUNTS, reuse_port=True) as one,
            await rdp.start_server(None, *one.address, accounts=ACCOUNTS, reuse_port=True) as two,
        ):
            assert one.address == two.address

    asyncio.run(main())


def test_ipv6() -> None:
    try:
        server = rdp.serve(None, "::1", 0, accounts=ACCOUNTS)
    except ConnectError:
        pytest.skip("no IPv6 loopback here")
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with rdp.connect("::1", server.address[1], credentials=ALICE) as session:
            assert session.endpoint.context.target_name == "TERMSRV/::1"


# Odd moments


def logged_on_by_hand(address: tuple[str, int]) -> tuple[socket.socket, rdp.NLAClient]:
    connection = socket.create_connection(address, timeout=30)
    client = rdp.NLAClient(ALICE, host=HOST, mechanism="ntlm")
    client.start()
    while True:
        data = client.data_to_send()
        if data:
            connection.sendall(data)
        if client.complete:
            return connection, client
        client.receive(connection.recv(65536))


def test_a_bad_record_after_the_login_ends_the_session(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), running(kind) as server:
        connection, _ = logged_on_by_hand(server.address)
        with connection:
            connection.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            until(lambda: server.told(Closed))
    assert "ended: TLSError" in caplog.text


def test_a_goodbye_ends_the_stream(kind: str) -> None:
    with running(kind) as server:
        connection, client = logged_on_by_hand(server.address)
        with connection:
            connection.sendall(client.wrap(b"last words") + client.shutdown())
            until(lambda: server.told(Closed))
            received = b""
            while data := connection.recv(65536):
                received += data
        assert client.unwrap(received) == b"LAST WORDS"
        assert client.peer_closed


def test_a_writer_waits_for_a_slow_reader() -> None:
    data = bytes(8 << 20)

    async def flood(session: Any) -> None:
        session.write(data)
        await session.drain()
        session.write(b"done")

    async def main() -> int:
        async with (
            await rdp.start_server(flood, HOST, 0, accounts=ACCOUNTS) as server,
            await rdp.open_connection(*server.address, credentials=ALICE) as session,
        ):
            await asyncio.sleep(0.1)
            assert await session.readexactly(len(data)) == data
            return len(await session.read())

    assert asyncio.run(main()) == 4


class Deaf:
    """An end that has a great deal to say to somebody who does not listen."""

    complete = False
    peer_closed = False
    awaited = "speak"
    unused_data = b""

    def start(self) -> None:
        pass

    def data_to_send(self) -> bytes:
        return bytes(64 << 20)

    def receive(self, data: bytes) -> list[object]:
        raise AssertionError(data)

    def receive_eof(self) -> None:
        raise PeerClosedError("gone")

    wrap = unwrap = receive  # type: ignore[assignment]

    def shutdown(self) -> bytes:
        return b""


def test_sending_takes_no_longer_than_a_leg() -> None:
    one, two = socket.socketpair()
    with one, two, pytest.raises(DeadlineError, match="nothing for 0.3 s"):
        blocking.log_on(one, Deaf(), timeouts=QUICK)  # type: ignore[type-var]


def test_sending_to_somebody_who_is_gone() -> None:
    one, two = socket.socketpair()
    two.close()
    with one, pytest.raises(PeerClosedError, match="gone"):
        blocking.log_on(one, Deaf(), timeouts=QUICK)  # type: ignore[type-var]


def test_connecting_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any, **options: Any) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", slow)
    with pytest.raises(ConnectError, match="within 10 s"):
        rdp.connect(HOST, 3389, credentials=ALICE)


def test_no_descriptors_left_and_no_threads(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with rdp.serve(None, HOST, 0, accounts=ACCOUNTS) as server:
        real, failures = server._listener.accept, [OSError(24, "Too many open files")]

        class Listener:
            def __getattr__(self, name: str) -> Any:
                return getattr(listener, name)

            def accept(self) -> Any:
                if failures:
                    raise failures.pop()
                return real()

        listener = server._listener
        server._listener = Listener()  # type: ignore[assignment]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with rdp.connect(*server.address, credentials=ALICE):
            pass
        assert "accept failed: Too many open files" in caplog.text

        class NoThread(threading.Thread):
            def start(self) -> None:
                raise RuntimeError("can't start new thread")

        monkeypatch.setattr("credssp.drivers.rdp_blocking.threading.Thread", NoThread)
        with pytest.raises(CredSSPError):
            rdp.connect(*server.address, credentials=ALICE, timeouts=QUICK)
        monkeypatch.undo()
        assert "no thread for a connection" in caplog.text

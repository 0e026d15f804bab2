"""The server behind real connections: on uvicorn and hypercorn, many clients at once, and those that mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")

from credssp.drivers import winrm_connections as connections  # noqa: E402
from credssp.drivers import winrm_serving as serving  # noqa: E402
from credssp.drivers.winrm import WinRMConnection  # noqa: E402
from credssp.drivers.winrm_asgi import WinRMApplication, WinRMLimits, WinRMRequest, WinRMResponse  # noqa: E402
from credssp.errors import LocalProtocolError, LocalRestrictionError  # noqa: E402
from credssp.testing.soap import read_identity  # noqa: E402
from credssp.tls.certificate import generate_certificate  # noqa: E402
from credssp.tls.settings import ClientTLS  # noqa: E402
from credssp.watched_file import reload_all  # noqa: E402
from credssp.winrm import ClientLogin, Leg, format_token  # noqa: E402
from tests.winrm import servers  # noqa: E402
from tests.winrm.memory import login  # noqa: E402

CLIENTS = 200


@contextmanager
def hypercorn(app: WinRMApplication, certificate: Path | None) -> Iterator[int]:
    """Serve with hypercorn."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.accesslog = config.errorlog = None
    config.keep_alive_timeout = 1  # it notices only then that a client went away
    config.graceful_timeout = config.shutdown_timeout = 0.2
    if certificate is not None:
        config.certfile = config.keyfile = str(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config.bind = [f"fd://{listener.detach()}"]
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        await serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@pytest.fixture(params=["uvicorn", "hypercorn"])
def server(request: pytest.FixtureRequest) -> Any:
    if request.param == "hypercorn":
        pytest.importorskip("hypercorn")
        return hypercorn
    return lambda app, certificate: serving.serving(app, certfile=certificate)


@contextmanager
def logged_on(port: int, *, https: bool = False) -> Iterator[tuple[WinRMConnection, ClientLogin]]:
    side = login(spn_host="srv")
    with WinRMConnection("127.0.0.1", port, https=ClientTLS() if https else None) as connection:
        connection.connect()
        connection.log_on(side)
        yield connection, side


@pytest.mark.parametrize("https", [False, True])
def test_both_servers_serve(server: Any, https: bool, tmp_path: Path) -> None:
    app = servers.application()
    certificate = servers.outer_certificate(tmp_path) if https else None
    with server(app, certificate) as port:
        for _ in range(2):
            with logged_on(port, https=https) as (connection, side):
                for _ in range(2):
                    status, answer = connection.send(side, servers.IDENTIFY + b" " * 20_000)
                    assert status == 200
                    identity = read_identity(answer.data)
                    assert identity is not None
                    assert identity["vendor"] == "credssp for Python"


def test_a_second_client_does_not_have_the_login_of_the_first(server: Any) -> None:
    """With the addresses of the first in the headers that proxies use, too."""
    app = servers.application(encryption="never", allow_proxies=True)
    with server(app, None) as port, logged_on(port) as (first, _):
        first.post(servers.IDENTIFY, content_type=servers.SOAP_TYPE)
        assert first._http.sock is not None
        host, own = first._http.sock.getsockname()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
            other.sendall(
                b'POST /wsman HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\nForwarded: for="%s:%d"\r\n'
                b"Content-Type: application/soap+xml\r\nContent-Length: %d\r\n\r\n%s"
                % (host.encode(), host.encode(), own, len(servers.IDENTIFY), servers.IDENTIFY)
            )
            assert b" 401 " in other.recv(65536).partition(b"\r\n")[0]


def test_what_is_kept_goes_when_the_client_does(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SWEEP", 0.1)
    app = servers.application()
    with server(app, None) as port:
        for _ in range(3):
            with logged_on(port):
                pass
        end = time.monotonic() + 60
        while len(app.connections) and time.monotonic() < end:
            time.sleep(0.01)
        assert len(app.connections) == 0


def test_two_hundred_clients_log_on_and_run_a_command() -> None:
    app = servers.application()
    barrier = threading.Barrier(CLIENTS, timeout=60)

    def run(number: int) -> int:
        side = login(spn_host="srv")
        with WinRMConnection("127.0.0.1", port) as connection:
            connection.connect()
            barrier.wait()
            connection.log_on(side)
            return _run_echo(connection, side, f"client {number}")

    with serving.serving(app) as port, ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(run, range(CLIENTS))) == CLIENTS
    assert not app.connections.half_open


def test_slow_handlers_of_one_user_keep_no_other_from_logging_on() -> None:
    go = threading.Event()
    busy = threading.Semaphore(0)

    def handler(request: WinRMRequest) -> WinRMResponse:
        if b"slow" in request.data:
            busy.release()
            go.wait(30)
        return WinRMResponse(b"<ok/>")

    def slow() -> int:
        with logged_on(port) as (connection, side):
            return connection.send(side, b"<slow/>")[0]

    app = servers.application(handler, handlers=4)
    with serving.serving(app) as port, ThreadPoolExecutor(40) as pool:
        slow_ones = [pool.submit(slow) for _ in range(40)]
        assert all(busy.acquire(timeout=30) for _ in range(4))
        with logged_on(port):
            pass
        assert not any(future.done() for future in slow_ones)
        go.set()
        assert [future.result(30) for future in slow_ones] == [200] * 40


def _run_echo(connection: WinRMConnection, side: ClientLogin, text: str) -> int:
    """Create a shell, run echo, receive, delete; returns 1."""
    import base64
    import re

    from credssp.testing.soap import ACTION, NS
    from credssp.testing.wsman import CMD

    def call(action: str, body: str, shell: str = "") -> str:
        selectors = f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>' if shell else ""
        prefixes = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
        status, answer = connection.send(
            side,
            f"<s:Envelope {prefixes}><s:Header><a:Action>{ACTION[action]}</a:Action><a:MessageID>uuid:1</a:MessageID>"
            f"<w:ResourceURI>{CMD}</w:ResourceURI>{selectors}</s:Header><s:Body>{body}</s:Body></s:Envelope>".encode(),
        )
        assert status == 200
        return answer.data.decode()

    shell = re.findall("<rsp:ShellId>(.*?)<", call("Create", "<rsp:Shell/>"))[0]
    command = f"<rsp:CommandLine><rsp:Command>echo</rsp:Command><rsp:Arguments>{text}</rsp:Arguments></rsp:CommandLine>"
    command_id = re.findall("<rsp:CommandId>(.*?)<", call("Command", command, shell))[0]
    stream = f'<rsp:Receive><rsp:DesiredStream CommandId="{command_id}">stdout</rsp:DesiredStream></rsp:Receive>'
    output = re.findall('Name="stdout"[^>]*>([^<]+)<', call("Receive", stream, shell))[0]
    call("Delete", "", shell)
    return int(base64.b64decode(output).decode() == f"{text}\r\n")


# Clients that mean no good


@pytest.fixture
def app() -> WinRMApplication:
    return servers.application(limits=WinRMLimits(body_size=100_000, deadline=5, body_timeout=5))


@pytest.fixture
def port(app: WinRMApplication) -> Iterator[int]:
    with serving.serving(app) as running:
        yield running
        # Whatever happened, the server serves.
        with logged_on(running) as (connection, side):
            assert connection.send(side, servers.IDENTIFY)[0] == 200


def raw(port: int, data: bytes) -> bytes:
    """Send and return what comes back until the end, or until nothing more comes."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection, contextlib.suppress(OSError):
        connection.sendall(data)
        while piece := connection.recv(65536):
            answer += piece
            if b"\r\n\r\n" in answer and b"connection: close" not in answer.lower():
                break
    return answer


def post(*headers: bytes, body: bytes = b"") -> bytes:
    lines = [b"POST /wsman HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"GARBAGE\r\n\r\n",
        post(b"X: " + b"y" * 400_000),
        post(*[b"X: y"] * 50_000),
        post(*[b"X: y"] * 200),
        post(b"Content-Length: 5"),
        post(b"Authorization: CredSSP A"),
        post(b"Authorization: CredSSP " + b"A" * 200_000),
        post(b"Authorization: CredSSP AQID", b"Authorization: CredSSP AQID"),
        b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n",
        b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /wsman HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        b"8000\r\n" + b"x" * 0x8000 + b"\r\n" + b"8000\r\n" + b"x" * 0x8000 + b"\r\n" + b"8000\r\n" + b"x" * 0x8000,
    ],
    ids=[
        "tls",
        "garbage",
        "long header",
        "header flood",
        "many headers",
        "two lengths",
        "truncated base64",
        "huge token",
        "two tokens",
        "announced body",
        "negative length",
        "chunked body",
    ],
)
def test_bad_requests_get_4xx(port: int, data: bytes) -> None:
    assert raw(port, data)[:10] in (b"HTTP/1.1 4", b"")


@pytest.mark.parametrize("size", [0, 1, 40, 700])
def test_a_connection_that_ends_anywhere_is_forgotten(port: int, app: WinRMApplication, size: int) -> None:
    request = post(b"Authorization: " + login().start().encode())[:size]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)


def test_a_client_that_says_nothing_is_closed() -> None:
    with serving.serving(servers.application(header_timeout=0.1)) as port:
        for data in (b"", b"POST /wsman HTTP/1.1\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(data)
                assert connection.recv(100) == b""


def test_many_logins_that_are_never_finished_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    app = servers.application(limits=WinRMLimits(half_open=8, deadline=30))
    with serving.serving(app) as port, contextlib.ExitStack() as stack:
        for _ in range(30):
            connection = stack.enter_context(WinRMConnection("127.0.0.1", port))
            assert connection.post(authorization=login().start()).status == 401
        assert app.connections.half_open == 8
        with logged_on(port) as (good, side):
            assert good.send(side, servers.IDENTIFY)[0] == 200


def test_bodies_for_nobody_are_not_kept(port: int, app: WinRMApplication) -> None:
    with WinRMConnection("127.0.0.1", port) as connection:
        for _ in range(3):
            assert connection.post(b"x" * 90_000, content_type=servers.SOAP_TYPE).status == 401
        assert connection.post(b"x" * 90_000, authorization=format_token(b"GET / HTTP/1.1")).status == 401


def test_the_certificate_of_https_is_read_again(tmp_path: Path) -> None:
    app = servers.application()
    path = servers.outer_certificate(tmp_path)
    with serving.serving(app, certfile=path) as port:
        before = ssl.get_server_certificate(("127.0.0.1", port))
        servers.outer_certificate(tmp_path)
        reload_all()
        end = time.monotonic() + 60
        while ssl.get_server_certificate(("127.0.0.1", port)) == before:
            assert time.monotonic() < end
            time.sleep(0.05)
        with logged_on(port, https=True):
            pass


def test_an_address_in_use_is_named() -> None:
    with serving.listen("127.0.0.1", 0) as listener, pytest.raises(LocalProtocolError, match="cannot listen"):
        serving.listen("127.0.0.1", listener.getsockname()[1])


# Before the login


def answers(port: int, data: bytes) -> bytes:
    """Send and read until the server closes the connection, which takes it less than 30 s."""
    received = b""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        while piece := connection.recv(65536):
            received += piece
    return received


HEAD = b"POST /wsman HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "data",
    [
        HEAD
        + b"Content-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 0\n\r\n\r\n",
        b"POST /wsman HTTP/1.1\nHost: x\n\n",
        HEAD + b"X-Folded: one\r\n two\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"X-CR: one\rtwo\r\nContent-Length: 0\r\n\r\n",
        (HEAD + b"Content-Length: 0\r\n\r\n") * 2,
    ],
    ids=["two lengths", "LF", "LF only", "obs-fold", "CR", "pipelined"],
)
@pytest.mark.parametrize("split", [False, True])
def test_requests_that_two_servers_read_differently_end_the_connection(port: int, data: bytes, split: bool) -> None:
    if split:
        received = b""
        address = "127.0.0.1", port
        with contextlib.suppress(ConnectionError), socket.create_connection(address, timeout=30) as connection:
            for octet in data:
                connection.sendall(bytes((octet,)))
            while piece := connection.recv(65536):
                received += piece
    else:
        received = answers(port, data)
    assert received.count(b"HTTP/1.1 ") <= 1 + (split and data.count(b"POST") == 2)
    assert b" 200 " not in received


@pytest.mark.parametrize(
    "header", ["Via: 1.1 proxy", "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"]
)
def test_requests_through_a_proxy_are_refused_unless_allowed(port: int, header: str) -> None:
    request = HEAD + header.encode() + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert answers(port, request).startswith(b"HTTP/1.1 403 ")
    with serving.serving(servers.application(allow_proxies=True)) as other:
        assert answers(other, request).startswith(b"HTTP/1.1 401 ")


def test_a_login_ends_at_its_deadline_with_the_connection() -> None:
    app = servers.application(deadline=2.0, body_timeout=100, header_timeout=100, keep_alive_before_login=100)
    requests = HEAD + b"Content-Length: 5\r\n\r\n", HEAD + b"Content-Length: 0\r\n\r\n"
    with serving.serving(app) as port, logged_on(port) as (connection, side), ThreadPoolExecutor(2) as pool:
        assert len([*pool.map(lambda request: answers(port, request), requests)]) == 2
        time.sleep(1)
        assert connection.send(side, servers.IDENTIFY)[0] == 200


def test_a_connection_without_a_login_is_kept_for_a_short_time() -> None:
    app = servers.application(keep_alive_before_login=1, deadline=100, header_timeout=100)
    with serving.serving(app) as port, logged_on(port) as (connection, side):
        begin = time.monotonic()
        assert b" 401 " in answers(port, HEAD + b"Content-Length: 0\r\n\r\n")
        assert time.monotonic() - begin > 0.5
        assert connection.send(side, servers.IDENTIFY)[0] == 200


def test_a_client_may_look_for_its_kdc_between_two_legs() -> None:
    """It takes longer than a connection without a login is kept: until the server has closed such a one."""
    app, side = servers.application(keep_alive_before_login=1), login(spn_host="srv")
    with serving.serving(app) as port, WinRMConnection("127.0.0.1", port) as connection:
        connection.offer()
        header = side.start()
        while header is not None:
            reply = connection.post(authorization=header)
            if side.leg is Leg.TLS:
                assert b" 401 " in answers(port, HEAD + b"Content-Length: 0\r\n\r\n")
            header = side.receive(reply.status, reply.challenges)
        assert not connection.closed
        assert connection.send(side, servers.IDENTIFY)[0] == 200


def test_a_silent_tls_client_costs_a_socket_and_is_gone_soon(tmp_path: Path) -> None:
    app = servers.application(header_timeout=2.0, tls_handshake=2.0, deadline=100, keep_alive_before_login=100)
    with serving.serving(app, certfile=servers.outer_certificate(tmp_path)) as port:
        for hello in (b"", b"\x16\x03\x01"):
            answers(port, hello)
        with logged_on(port, https=True) as (connection, side):
            assert connection.send(side, servers.IDENTIFY)[0] == 200


def test_headers_of_strangers_have_a_budget(port: int) -> None:
    app = servers.application(max_memory=40_000)
    with serving.serving(app) as own, contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", own), timeout=30)) for _ in range(4)]
        for connection in held:
            connection.sendall(HEAD + b"X: " + b"x" * 4000)
            time.sleep(0.05)
        gone: list[socket.socket] = []
        end = time.monotonic() + 60
        while len(gone) < 2 and time.monotonic() < end:
            gone = select.select(held, [], [], 1)[0]
        assert len(gone) == 2
        assert app.heads.held <= app.heads.size
    until_zero = time.monotonic() + 60
    while app.heads.held and time.monotonic() < until_zero:
        time.sleep(0.01)
    assert app.heads.held == 0


def test_a_connection_that_was_encrypted_takes_no_plaintext() -> None:
    with serving.serving(servers.application(encryption="never")) as port, logged_on(port) as (connection, side):
        plain = connection.post(servers.IDENTIFY, content_type=servers.SOAP_TYPE)
        assert plain.status == 200
        assert connection.send(side, servers.IDENTIFY)[0] == 200
        assert connection.post(servers.IDENTIFY, content_type=servers.SOAP_TYPE).status == 403


def test_strangers_with_bodies_cost_little_and_a_login_goes_on() -> None:
    app = servers.application(half_open=600, half_open_per_source=600, body_timeout=100, deadline=100)
    with serving.serving(app) as port, contextlib.ExitStack() as stack:
        with logged_on(port) as (connection, side):
            connection.send(side, servers.IDENTIFY)
        before = resident()
        for _ in range(150):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            held.sendall(HEAD + b"Content-Length: 500000\r\n\r\n" + b"a" * 400_000)
        begin = time.monotonic()
        with logged_on(port) as (connection, side):
            assert connection.send(side, servers.IDENTIFY)[0] == 200
        assert time.monotonic() - begin < 60  # and not when the strangers are gone
        assert resident() - before < 24 << 20
        assert app.budget.held == 0


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_certificate_of_https_that_is_too_weak_names_the_security_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine whose level is 3; uvicorn makes the context."""
    path = tmp_path / "outer.pem"
    path.touch(mode=0o600)
    made = generate_certificate("rsa", level=2)
    path.write_bytes(made.private_key.reveal() + made.chain)
    app, real = servers.application(), ssl.SSLContext.load_cert_chain

    def load(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        self.set_ciphers("DEFAULT@SECLEVEL=3")
        real(self, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    monkeypatch.setattr(serving, "security_level", lambda: 3)
    with pytest.raises(LocalRestrictionError, match="certificate of https is not allowed at security level 3"):
        serving.uvicorn_server(app, certfile=path)


GOOD_HEAD = b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("head", "bad"),
    [
        (GOOD_HEAD, False),
        (GOOD_HEAD.replace(b"x\r\n", b"x\n"), True),
        (GOOD_HEAD.replace(b"x\r\n", b"x\r"), True),
        (GOOD_HEAD.replace(b"x\r\n", b"x\r\n y\r\n"), True),
        (GOOD_HEAD.replace(b"x\r\n", b"x\r\n\ty\r\n"), True),
        (b"\n" + GOOD_HEAD, True),
        (GOOD_HEAD.replace(b"x\r\n", b"x\r\r\n"), True),
        (GOOD_HEAD.replace(b"x\r\n", b"x\r\n\n"), True),
    ],
)
def test_bad_lines_are_seen_wherever_the_head_is_split(head: bytes, bad: bool, step: int) -> None:
    held, checked, found = bytearray(), 0, False
    for at in range(0, len(head), step):
        held += head[at : at + step]
        found = found or serving._has_bad_line(held, max(0, checked - 2), len(held))
        checked = len(held)
    assert found is bad

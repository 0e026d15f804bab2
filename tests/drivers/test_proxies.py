"""RDP clients through proxies and over sockets that are connected already."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("python_socks")

from credssp import LocalProtocolError, PasswordCredentials, Timeouts, rdp
from credssp.drivers.handshake import ConnectError
from credssp.next_step import NextStep
from credssp.proxy import Proxy
from credssp.testing import RDPServer
from tests.drivers import proxies

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
GARBAGE = bytes(range(256)) * 80


@pytest.fixture(scope="module")
def server() -> Iterator[RDPServer]:
    with RDPServer({("LAB", "alice"): "secret"}) as running:
        yield running


Connect = Callable[..., str]


def blocking(host: str, port: int, **options: Any) -> str:
    with rdp.connect(host, port, credentials=ALICE, mechanism="ntlm", **options) as session:
        return session.endpoint.context.target_name


def on_asyncio(host: str, port: int, **options: Any) -> str:
    async def run() -> str:
        async with await rdp.open_connection(host, port, credentials=ALICE, mechanism="ntlm", **options) as session:
            return session.endpoint.context.target_name

    return asyncio.run(run())


@pytest.fixture(params=[blocking, on_asyncio])
def connect(request: pytest.FixtureRequest) -> Any:
    return request.param


def through(proxy: proxies.Running, scheme: str, login: str = "") -> Proxy:
    return Proxy.parse(f"{scheme}://{login}127.0.0.1:{proxy.port}")


QUICK = Timeouts(connect=0.4)


# Ways that lead there


@pytest.mark.parametrize("pieces", [False, True])
def test_login_through_an_http_proxy(connect: Connect, server: RDPServer, pieces: bool) -> None:
    with proxies.running(proxies.http(pieces=pieces)) as proxy:
        assert connect("127.0.0.1", server.port, proxy=through(proxy, "http")) == "TERMSRV/127.0.0.1"
    assert proxy.asked == [("127.0.0.1", server.port)]
    assert proxy.logins == []


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_login_through_a_socks_proxy(connect: Connect, server: RDPServer, scheme: str) -> None:
    with proxies.running(proxies.socks5()) as proxy:
        assert connect("127.0.0.1", server.port, proxy=through(proxy, scheme)) == "TERMSRV/127.0.0.1"
    assert proxy.asked == [("127.0.0.1", server.port)]


def test_socks5h_lets_the_proxy_look_the_name_up(connect: Connect, server: RDPServer) -> None:
    with proxies.running(proxies.socks5(names={"srv.no-such-zone.test": "127.0.0.1"})) as proxy:
        name = connect("srv.no-such-zone.test", server.port, proxy=through(proxy, "socks5h"))
    assert name == "TERMSRV/srv.no-such-zone.test"
    assert proxy.asked == [("srv.no-such-zone.test", server.port)]


def test_socks5_looks_the_name_up_here(connect: Connect, server: RDPServer) -> None:
    with proxies.running(proxies.socks5()) as proxy:
        connect("localhost", server.port, proxy=through(proxy, "socks5"))
    assert proxy.asked[0][0] in ("127.0.0.1", "::1")


def test_an_http_proxy_looks_the_name_up(connect: Connect, server: RDPServer) -> None:
    with proxies.running(proxies.http()) as proxy:
        connect("localhost", server.port, proxy=through(proxy, "http"))
    assert proxy.asked == [("localhost", server.port)]


@pytest.mark.parametrize(("scheme", "serve"), [("http", proxies.http), ("socks5h", proxies.socks5)])
def test_login_at_the_proxy(connect: Connect, server: RDPServer, scheme: str, serve: Any) -> None:
    with proxies.running(serve(("us er", "hunter@2"))) as proxy:
        connect("127.0.0.1", server.port, proxy=through(proxy, scheme, "us%20er:hunter%402@"))
    assert proxy.logins == [("us er", "hunter@2")]


def test_sock_is_a_way_of_the_callers_own(connect: Connect, server: RDPServer) -> None:
    with socket.create_connection(server.address) as way:
        name = connect("srv.no-such-zone.test", sock=way, port=3389)
    assert name == "TERMSRV/srv.no-such-zone.test"


def test_target_name_is_given_apart_from_sock(connect: Connect, server: RDPServer) -> None:
    with socket.create_connection(server.address) as way:
        assert connect("tunnel", 3389, sock=way, target_name="TERMSRV/srv.lab.test") == "TERMSRV/srv.lab.test"


def test_sock_may_be_a_unix_socket(connect: Connect, server: RDPServer) -> None:
    ours, theirs = socket.socketpair()
    with theirs, socket.create_connection(server.address) as upstream:
        thread = threading.Thread(target=proxies.relay, args=(theirs, upstream), daemon=True)
        thread.start()
        assert connect("srv.lab.test", 3389, sock=ours) == "TERMSRV/srv.lab.test"
        ours.close()
        thread.join(10)


def test_sock_is_closed_when_the_login_fails(connect: Connect) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"\3\0\0\7garbage")
        with pytest.raises(Exception, match=r"0x8009"):
            connect("srv.lab.test", 3389, sock=ours)
        theirs.settimeout(30)
        while theirs.recv(4096):
            pass
    assert ours.fileno() == -1


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: "socket", "not a str"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "stream socket"),
        (lambda: socket.socket(), "not connected"),
    ],
)
def test_sock_that_is_not_a_connected_stream_is_refused(connect: Connect, made: Any, text: str) -> None:
    sock = made()
    with pytest.raises(LocalProtocolError, match=text):
        connect("srv.lab.test", 3389, sock=sock)
    if isinstance(sock, socket.socket):
        sock.close()


def test_sock_and_proxy_exclude_each_other(connect: Connect) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(LocalProtocolError, match="sock and proxy exclude each other"):
        connect("srv.lab.test", 3389, sock=ours, proxy=Proxy(scheme="http", host="127.0.0.1"))


# Ways that do not


def refused(
    connect: Connect,
    serve: proxies.Serve,
    scheme: str,
    login: str = "user:hunter2@",
    *,
    timeouts: Timeouts = Timeouts(),
) -> str:
    with proxies.running(serve) as proxy:
        begin = time.monotonic()
        with pytest.raises(ConnectError) as caught:
            connect("srv.lab.test", 3389, proxy=through(proxy, scheme, login), timeouts=timeouts)
        assert time.monotonic() - begin < 20
    text = str(caught.value)
    assert f"{scheme}://127.0.0.1:{proxy.port}" in text
    assert "hunter2" not in text + repr(caught.value) + caught.value.advice
    return text


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_silent_proxy_ends_with_the_time_to_connect(connect: Connect, scheme: str) -> None:
    assert "it did not connect to srv.lab.test port 3389 within 0.4 s" in refused(
        connect, proxies.silent, scheme, timeouts=QUICK
    )


def test_dripping_proxy_ends_with_the_time_to_connect(connect: Connect) -> None:
    assert "within 0.4 s" in refused(connect, proxies.dripping, "http", timeouts=QUICK)


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
@pytest.mark.parametrize(
    "answer", [GARBAGE, b"\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"\5\1", b"\0"]
)
def test_garbage_of_a_proxy_is_an_error_of_ours(connect: Connect, scheme: str, answer: bytes) -> None:
    assert refused(connect, proxies.answering(answer, answer), scheme)


@pytest.mark.parametrize(
    "reply",
    [b"\5\0\0\1\x7f", b"\5\0\0\7", b"\5\0\1\1", b"\4\0\0\1", b"\5\x63\0\1", b"\5\0\0\3\5\xff\xff\xff\xff\xff\0\1"],
)
def test_odd_socks_reply_is_an_error_of_ours(connect: Connect, reply: bytes) -> None:
    assert refused(connect, proxies.answering(b"\5\0", reply), "socks5h")


def test_endless_head_of_an_http_proxy_is_cut(connect: Connect) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789\r\n" * 2000
    assert "did not answer as an HTTP proxy" in refused(connect, proxies.answering(head), "http")


def test_http_proxy_that_refuses_is_quoted_by_its_status_alone(connect: Connect) -> None:
    answer = b"HTTP/1.1 403 \x1b[31mevil hunter2\r\n\r\n"
    assert "it refuses srv.lab.test port 3389: HTTP 403 Forbidden" in refused(
        connect, proxies.answering(answer), "http"
    )


def test_socks_proxy_that_refuses_says_why(connect: Connect) -> None:
    serve = proxies.answering(b"\5\0", b"\5\2\0\1\0\0\0\0\0\0")
    assert "it refuses srv.lab.test port 3389: not allowed by its rules (2)" in refused(connect, serve, "socks5h")


def test_wrong_password_for_an_http_proxy(connect: Connect) -> None:
    assert "did not accept user name and password (HTTP 407)" in refused(connect, proxies.http(("u", "p")), "http")


def test_missing_password_for_an_http_proxy(connect: Connect) -> None:
    assert "wants a user name and a password (HTTP 407)" in refused(connect, proxies.http(("u", "p")), "http", "")


def test_a_proxy_that_wants_a_login_has_that_as_next_step(connect: Connect) -> None:
    with proxies.running(proxies.http(("u", "p"))) as proxy, pytest.raises(ConnectError) as caught:
        connect("srv.lab.test", 3389, proxy=through(proxy, "http", ""))
    assert caught.value.advice == NextStep.HTTP_407


def test_wrong_password_for_a_socks_proxy(connect: Connect) -> None:
    assert "did not accept our login" in refused(connect, proxies.socks5(("u", "p")), "socks5")


def test_proxy_that_is_not_there(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectError, match=rf"through the proxy http://127.0.0.1:{port}: .*Connection refused"):
        connect("srv.lab.test", 3389, proxy=Proxy(scheme="http", host="127.0.0.1", port=port))


def test_missing_library_is_told_with_what_installs_it(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(LocalProtocolError, match=r"pip install 'credssp\[proxy\]' \(in a clone: '\.\[proxy\]'\)"):
        connect("srv.lab.test", 3389, proxy=Proxy(scheme="http", host="127.0.0.1"))


def test_zone_is_not_for_a_proxy(connect: Connect) -> None:
    with pytest.raises(LocalProtocolError, match="zone"):
        connect("fe80::1%lo", 3389, proxy=Proxy(scheme="http", host="127.0.0.1"))


def test_a_cancelled_login_closes_the_connection_to_the_proxy() -> None:
    closed: list[bytes] = []

    def serve(connection: socket.socket, proxy: proxies.Running) -> None:
        connection.recv(4096)
        asked.set()
        given_up.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        closed.append(connection.recv(4096))

    async def run(proxy: proxies.Running) -> None:
        options: Any = {"credentials": ALICE, "proxy": through(proxy, "http"), "timeouts": Timeouts(connect=5)}
        task = asyncio.ensure_future(rdp.open_connection("srv.lab.test", **options))
        while not asked.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        given_up.set()

    asked, given_up = threading.Event(), threading.Event()
    with proxies.running(serve) as proxy:
        asyncio.run(run(proxy))
    assert closed[:1] == [b""]  # the next connection is the one that ends the proxy


def test_no_credentials_of_the_proxy_are_in_a_traceback() -> None:
    with proxies.running(proxies.http(("u", "p"))) as running:
        proxy = through(running, "http", "user:hunter2@")
        try:
            blocking("srv.lab.test", 3389, proxy=proxy, timeouts=QUICK)
        except ConnectError as error:
            shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "hunter2" not in shown
    assert "credssp/drivers/proxies.py" in shown

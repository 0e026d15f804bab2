"""``--proxy``, ``--load-balance-info`` and ``--cookie`` of login and probe."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from credssp import rdp
from credssp.cli import main
from credssp.rdp.tpkt import TPKTBuffer
from credssp.testing import RDPServer
from tests.drivers import proxies
from tests.winrm import proxies as relays

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", PASSWORD)
    for name in ("rdp", "http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


@pytest.fixture(scope="module")
def server() -> Iterator[RDPServer]:
    with RDPServer({("LAB", "alice"): PASSWORD}) as running:
        yield running


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    command, *rest = arguments
    if command == "login":
        rest += ["-u", "LAB\\alice", "--mechanism", "ntlm"]
    code = main([command, *rest, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", ["login", "probe"])
@pytest.mark.parametrize(("scheme", "serve"), [("http", proxies.http), ("socks5h", proxies.socks5)])
def test_rdp_through_a_proxy(
    server: RDPServer, capsys: pytest.CaptureFixture[str], command: str, scheme: str, serve: Any
) -> None:
    pytest.importorskip("python_socks")
    with proxies.running(serve()) as proxy:
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        code, facts = run(capsys, command, f"rdp://127.0.0.1:{server.port}", "--proxy", url)
    assert code == 0
    assert facts["credssp"]["version"] == 6
    assert set(proxy.asked) == {("127.0.0.1", server.port)}


@pytest.mark.parametrize("command", ["login", "probe"])
def test_proxy_of_the_environment_is_used(
    server: RDPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    pytest.importorskip("python_socks")
    with proxies.running(proxies.http(("user", "hunter2"))) as proxy:
        monkeypatch.setenv("all_proxy", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        code, _ = run(capsys, command, f"rdp://127.0.0.1:{server.port}")
        assert code == 0
        asked = len(proxy.asked)
        assert asked
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        code, _ = run(capsys, command, f"rdp://127.0.0.1:{server.port}")
        monkeypatch.delenv("no_proxy")
        code, _ = run(capsys, command, f"rdp://127.0.0.1:{server.port}", "--proxy", "")
    assert code == 0
    assert len(proxy.asked) == asked


@pytest.mark.parametrize("command", ["login", "probe"])
def test_a_proxy_that_refuses_is_no_connection(capsys: pytest.CaptureFixture[str], command: str) -> None:
    pytest.importorskip("python_socks")
    with proxies.running(proxies.answering(b"HTTP/1.1 403 No\r\n\r\n")) as proxy:
        code, facts = run(
            capsys, command, "rdp://srv.lab.test", "--proxy", f"http://user:hunter2@127.0.0.1:{proxy.port}"
        )
    assert code == 3
    text = (facts["status"] if command == "login" else facts["error"])["text"]
    assert text == (
        f"no connection through the proxy http://127.0.0.1:{proxy.port}: it refuses srv.lab.test port 3389: "
        "HTTP 403 Forbidden"
    )


@pytest.mark.parametrize("command", ["login", "probe"])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["rdp://srv", "--proxy", "https://user:hunter2@proxy"], "--proxy: a proxy's scheme is one of"),
        (["rdp://srv", "--load-balance-info", "a\nb"], "one line of text"),
        (["rdp://srv", "--load-balance-info", "a", "--cookie", "b"], "exclude each other"),
        (["rdp://srv", "--cookie", "b\u00e4"], "not ASCII"),
        (["http://srv", "--cookie", "b"], "work with rdp:// only"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], command: str, options: list[str], text: str) -> None:
    assert main([command, *options, *(["-u", "alice"] if command == "login" else [])]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert "hunter2" not in error


@pytest.mark.parametrize("command", ["login", "probe"])
def test_variable_that_makes_no_sense_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("rdp_proxy", "ftp://user:hunter2@proxy")
    assert main([command, "rdp://srv", *(["-u", "alice"] if command == "login" else [])]) == 2
    error = capsys.readouterr().err
    assert "rdp_proxy: a proxy's scheme is one of" in error
    assert "hunter2" not in error


# WinRM


@contextmanager
def winrm(**options: Any) -> Iterator[Any]:
    testing = pytest.importorskip("credssp.testing.winrm")
    with testing.WinRMServer({("LAB", "alice"): PASSWORD}, **options) as server:
        yield server


@pytest.mark.parametrize("command", ["login", "probe"])
def test_http_goes_through_a_proxy_that_passes_it_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with winrm() as server, relays.proxy() as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy)
        code, facts = run(capsys, command, server.url)
    assert (code, facts["credssp"]["version"]) == (0, 6)
    assert set(seen) == {f"POST {server.url}"}


def test_http_proxy_that_forgets_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with winrm() as server, relays.proxy(forgets=True) as (proxy, _):
        code, facts = run(capsys, "login", server.url, "--proxy", proxy)
    assert code == 3
    assert f"the proxy {proxy.removeprefix('http://')}" in facts["status"]["text"]
    assert "keep-alive" in facts["status"]["advice"]


@pytest.mark.parametrize("command", ["login", "probe"])
@pytest.mark.parametrize(("scheme", "serve"), [("http", proxies.http), ("socks5h", proxies.socks5)])
def test_https_goes_through_a_tunnel(capsys: pytest.CaptureFixture[str], command: str, scheme: str, serve: Any) -> None:
    pytest.importorskip("python_socks")
    with winrm(https=True) as server, proxies.running(serve()) as proxy:
        code, facts = run(capsys, command, server.url, "--proxy", f"{scheme}://127.0.0.1:{proxy.port}")
    assert (code, facts["credssp"]["version"]) == (0, 6)
    assert {port for _, port in proxy.asked} == {server.port}


def test_http_goes_through_a_socks_proxy(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("python_socks")
    with winrm() as server, proxies.running(proxies.socks5(("user", "hunter2"))) as proxy:
        url = f"socks5://user:hunter2@127.0.0.1:{proxy.port}"
        assert run(capsys, "login", server.url, "--proxy", url)[0] == 0
    assert proxy.logins[0] == ("user", "hunter2")


def test_http_proxy_gets_its_login_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    answer = relays.response(407, 'Proxy-Authenticate: Basic realm="p"')
    with relays.scripted(answer) as (url, requests):
        proxy = url.replace("http://", "http://user:hunter2@").removesuffix("/wsman")
        code, facts = run(capsys, "login", "http://srv.lab.test/wsman", "--proxy", proxy)
    assert code == 3
    assert facts["winrm"]["http_status"] == 407
    assert "hunter2" not in json.dumps(facts)
    head = requests[0].lower()
    assert head.startswith(b"post http://srv.lab.test:5985/wsman http/1.1\r\n")
    assert b"proxy-authorization: basic dXNlcjpodW50ZXIy".lower() in head


# Load balancers


@contextmanager
def listening() -> Iterator[tuple[int, list[rdp.ConnectionRequest]]]:
    """Take Connection Requests and close."""
    seen: list[rdp.ConnectionRequest] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.settimeout(30)
                    tpdu = TPKTBuffer().feed(connection.recv(4096))
                    if tpdu is None:
                        return
                    seen.append(rdp.ConnectionRequest.decode(tpdu))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], seen
        socket.create_connection(listener.getsockname(), timeout=30).close()
        thread.join(10)


INFO = "tsv://MS Terminal Services Plugin.1.Farm"


@pytest.mark.parametrize("command", ["login", "probe"])
@pytest.mark.parametrize(
    ("options", "cookie", "token"),
    [
        (["--load-balance-info", INFO], None, INFO.encode()),
        (["--cookie", "broker"], "broker", None),
        (["--cookie", ""], None, None),
    ],
)
def test_what_load_balancers_look_at(
    capsys: pytest.CaptureFixture[str],
    command: str,
    options: list[str],
    cookie: str | None,
    token: bytes | None,
) -> None:
    with listening() as (port, seen):
        run(capsys, command, f"rdp://127.0.0.1:{port}", *options)
    assert {(request.cookie, request.routing_token) for request in seen} == {(cookie, token)}


def test_several_logins_through_a_proxy(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("python_socks")
    url = f"rdp://127.0.0.1:{server.port}"
    with RDPServer({("LAB", "alice"): PASSWORD}, host="127.0.0.2") as other, proxies.running(proxies.http()) as proxy:
        words = ["-u", "LAB\\alice", "--json", "--proxy", f"http://127.0.0.1:{proxy.port}"]
        assert main(["login", *words, url, other.url]) == 0
        assert set(proxy.asked) == {("127.0.0.1", server.port), ("127.0.0.2", other.port)}
    assert len(capsys.readouterr().out.splitlines()) == 2

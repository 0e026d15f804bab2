"""``credssp serve winrm``, ``login`` and ``probe`` over http and https."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from credssp import ServerTLS, cli, generate_certificate
from tests.winrm import proxies, servers
from tests.winrm.test_asgi import echo


@contextmanager
def served(*options: str) -> Iterator[tuple[str, Any]]:
    """Run ``credssp serve winrm``; yields its URL without the path and a function that reads its next event."""
    command = [sys.executable, "-m", "credssp", "serve", "winrm", "--listen", "127.0.0.1:0", *options]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None

        def event() -> dict[str, Any]:
            assert process.stdout is not None
            read: dict[str, Any] = json.loads(process.stdout.readline())
            return read

        try:
            yield event()["url"].removesuffix("/wsman"), event
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", servers.PASSWORD)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    out, error = capsys.readouterr()
    return code, out, error


USER = ("-u", "LAB\\alice")


def test_serve_login_and_probe(capsys: pytest.CaptureFixture[str], password: None, tmp_path: Path) -> None:
    certificate = servers.outer_certificate(tmp_path)
    account = ("--user", f"LAB\\alice:{servers.PASSWORD}")
    with served(*account, "--tls-cert", str(certificate), "--tls", "1.2") as (url, event):
        code, out, _ = run(capsys, "login", url, *USER, "--json", "--cacert", str(certificate))
        facts = json.loads(out)
        assert (code, facts["accepted"], facts["delegated"]) == (0, True, True)
        assert facts["tls"]["version"] == "TLSv1.2"
        assert facts["winrm"]["https"]["certificate_check"] == "trusted"
        assert facts["winrm"]["identity"]["vendor"] == "credssp for Python"
        assert facts["winrm"]["http_status"] == 200
        delegated = event()
        assert (delegated["event"], delegated["user"], delegated["secret"]) == ("delegated", "alice", "********")
        code, out, _ = run(capsys, "probe", url, "--json")
        probed = json.loads(out)
        assert code == 0
        assert probed["protocols"] == {"CredSSP": "accepted"}
        assert list(probed["tls"]) == ["TLSv1.2"]
        # With the Kerberos libraries installed the server offers that too.
        assert {"ntlm", "spnego/ntlm"} <= set(probed["credssp"]["mechanisms"])
        assert probed["ntlm"]["TargetName"]
        assert probed["https"]["certificate"]["subject"] == "CN=localhost"


def test_serve_can_reveal_and_deny(capsys: pytest.CaptureFixture[str], password: None) -> None:
    with served("--user", f"LAB\\alice:{servers.PASSWORD}", "--reveal", "--authorize", "denied") as (url, event):
        code, _, error = run(capsys, "login", url, *USER)
        assert code == 1
        assert "HTTP 403" in error
        assert event()["event"] == "refused"


@pytest.mark.parametrize(
    "options",
    [("--tls-key", "x"), ("--listen", "nowhere"), ("--tls-cert", "/nonexistent"), ("--cert", "/nonexistent")],
)
def test_serve_refuses_what_makes_no_sense(capsys: pytest.CaptureFixture[str], options: tuple[str, ...]) -> None:
    code, _, error = run(capsys, "serve", "winrm", "--user", "a:b", *options)
    assert code == 2
    assert error.startswith("credssp serve: ")


@pytest.fixture
def url() -> Iterator[str]:
    with servers.running(servers.application(echo)) as running:
        yield running.removesuffix("/wsman")


def test_login_prints_for_people(capsys: pytest.CaptureFixture[str], password: None, url: str) -> None:
    code, out, _ = run(capsys, "login", url, *USER)
    assert code == 0
    assert out.startswith("accepted: http://127.0.0.1")


def test_wrong_password_is_refused(capsys: pytest.CaptureFixture[str], url: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "very-wrong")
    code, out, error = run(capsys, "login", url, *USER, "--json")
    facts = json.loads(out)
    assert (code, facts["status"]["name"]) == (1, "STATUS_LOGON_FAILURE")
    assert (facts["winrm"]["leg"], facts["winrm"]["http_status"]) == ("key", 401)
    assert "very-wrong" not in out + error


def test_our_own_checks_have_their_exit_code(capsys: pytest.CaptureFixture[str], password: None, url: str) -> None:
    code, _, error = run(capsys, "login", url, *USER, "--fingerprint", "00" * 32)
    assert (code, "fingerprint" in error) == (4, True)


@pytest.mark.parametrize("cacert", [True, False])
def test_https_certificate_is_checked(
    capsys: pytest.CaptureFixture[str], password: None, tmp_path: Path, cacert: bool
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(generate_certificate("p256").chain)
    option = ("--cacert", str(other)) if cacert else ("--fingerprint", "00" * 32)
    with servers.running(servers.application(echo), servers.outer_certificate(tmp_path)) as url:
        assert run(capsys, "login", url, *USER, *option)[0] == 4


@pytest.mark.parametrize("path", ["/nope", ""])
@pytest.mark.parametrize("command", ["login", "probe"])
def test_no_credssp_there(
    capsys: pytest.CaptureFixture[str], password: None, url: str, path: str, command: str
) -> None:
    user = USER if command == "login" else ()
    with proxies.scripted(*[proxies.response(401, "WWW-Authenticate: Negotiate")] * 3) as (other, _):
        target = f"{url}{path}" if path else other
        code, out, error = run(capsys, command, target, *user)
    assert code == (3 if command == "login" else 1 if not path else 3)
    assert "/wsman" in out + error or "Negotiate" in out + error


@pytest.mark.parametrize("command", ["login", "probe"])
@pytest.mark.parametrize("target", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://no.such.host.invalid:1"])
def test_nobody_there(
    capsys: pytest.CaptureFixture[str], password: None, command: str, target: str, monkeypatch: Any
) -> None:
    import socket

    def resolve(*arguments: Any, **options: Any) -> Any:
        if "invalid" in arguments[0]:
            raise socket.gaierror(-2, "Name or service not known")
        return original(*arguments, **options)

    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    user = USER if command == "login" else ()
    assert run(capsys, command, target, *user, "--timeout", "2")[0] == 3


def test_http_and_https_mixed_up(capsys: pytest.CaptureFixture[str], password: None, url: str) -> None:
    assert run(capsys, "login", url.replace("http", "https"), *USER)[0] == 3


def test_restricted_admin_is_for_rdp(capsys: pytest.CaptureFixture[str], password: None, url: str) -> None:
    assert run(capsys, "login", url, *USER, "--restricted-admin")[0] == 2


@pytest.mark.parametrize("answer", [b"\x03\x00\x00\x0b", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx", b""])
def test_what_is_no_http_is_no_login(capsys: pytest.CaptureFixture[str], password: None, answer: bytes) -> None:
    with contextlib.ExitStack() as stack:
        url, _ = stack.enter_context(proxies.scripted(answer))
        assert run(capsys, "login", url, *USER, "--timeout", "2")[0] == 3


def test_a_server_that_keeps_us_waiting_ends_with_the_deadline(
    capsys: pytest.CaptureFixture[str], password: None
) -> None:
    import socket
    import threading
    import time

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            with listener.accept()[0] as connection, contextlib.suppress(OSError):
                for octet in b"HTTP/1.1 401 X\r\nA: " + b"a" * 2000:
                    connection.send(bytes([octet]))
                    time.sleep(0.05)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        begin = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        code, _, error = run(capsys, "login", url, *USER, "--timeout", "0.5")
        assert code == 3
        assert "0.5 s" in error
        assert time.monotonic() - begin < 50
        thread.join(10)


# In this process, where coverage sees it


def test_serve_emits_what_happens(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    from credssp.drivers import winrm_serving as serving

    ran: list[Any] = []
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    account = f"LAB\\alice:{servers.PASSWORD}"
    try:
        with monkeypatch.context() as patched:
            patched.setattr(serving, "serve", lambda server, listener: ran.append(server.config.loaded_app))
            options = ("--listen", "127.0.0.1:0", "--user", account, "--half-open", "9", "--limit", "account_delay=7.5")
            code, out, _ = run(capsys, "serve", "winrm", *options)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert code == 0
    assert json.loads(out)["event"] == "listening"
    (app,) = ran
    assert (app.config.limits.half_open, app.config.limits.account_delay) == (9, 7.5)
    with servers.running(app) as url:
        monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
        code, out, _ = run(capsys, "login", url.removesuffix("/wsman"), *USER)
        assert code == 1
        assert '"event": "refused"' in out
        monkeypatch.setenv("CREDSSP_PASSWORD", servers.PASSWORD)
        code, out, _ = run(capsys, "login", url.removesuffix("/wsman"), *USER)
        assert code == 0
        assert '"event": "delegated"' in out


def test_serve_says_what_to_install(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    monkeypatch.delitem(sys.modules, "credssp.drivers.winrm_serving", raising=False)
    monkeypatch.delattr("credssp.drivers.winrm_serving", raising=False)
    code, _, error = run(capsys, "serve", "winrm", "--user", "a:b")
    assert (code, error) == (
        2,
        "credssp serve: credssp.drivers.winrm_serving needs h11, which is missing: "
        "pip install 'credssp[winrm-server]' (in a clone: '.[winrm-server]')\n",
    )


@pytest.mark.parametrize(
    "answers",
    [
        [proxies.response(401, "WWW-Authenticate: CredSSP")] * 30,
        [proxies.response(401, "WWW-Authenticate: CredSSP"), *[proxies.response(200)] * 3],
        [proxies.response(401, "WWW-Authenticate: CredSSP FgMDAAE=")] * 30,
        [proxies.response(401, "WWW-Authenticate: CredSSP"), proxies.response(401, "WWW-Authenticate: CredSSP AQI")],
    ],
)
def test_probe_survives_servers_that_only_look_like_one(
    capsys: pytest.CaptureFixture[str], answers: list[bytes]
) -> None:
    with proxies.scripted(*answers) as (url, _):
        code, out, _ = run(capsys, "probe", url, "--json", "--timeout", "0.3")
    facts = json.loads(out)
    assert code == 1
    assert facts["credssp"] is None


def test_a_server_with_one_mechanism_only_is_probed(capsys: pytest.CaptureFixture[str]) -> None:
    app = servers.application(echo, tls=ServerTLS(minimum="1.3"), max_legs=1)
    with servers.running(app) as url:
        code, out, _ = run(capsys, "probe", url.removesuffix("/wsman"))
    assert code == 0
    assert "TLSv1.3" in out
    assert "TLSv1.2" not in out


@pytest.mark.parametrize("limit", ["nonsense=1", "half_open=x", "half_open=0", "half_open"])
def test_a_limit_that_makes_no_sense_is_named(capsys: pytest.CaptureFixture[str], limit: str) -> None:
    for kind in ("rdp", "winrm"):
        code, _, error = run(capsys, "serve", kind, "--listen", "127.0.0.1:0", "--limit", limit)
        assert code == 2
        assert limit.partition("=")[0] in error

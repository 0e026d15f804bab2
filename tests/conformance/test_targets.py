"""Targets that are reached over sockets: programs as clients, WinRM clients over HTTP; and links."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp.conformance.client_run import ClientRun
from credssp.conformance.http import HttpAnswer, HttpConnection, HttpRequest, HttpServerTarget, SocketRequests
from credssp.conformance.links import MemoryLink, SocketLink
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rdp import CommandTarget, RdpServerTarget
from credssp.conformance.rule import Skipped, Verdict
from credssp.conformance.runner import check_client, check_server
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.errors import LocalProtocolError

PASSWORD = TEST_ACCOUNT.password.reveal()
LOGIN = f"""
import credssp
from credssp.rdp import connect
credentials = credssp.PasswordCredentials("{TEST_ACCOUNT.username}", "{PASSWORD}", domain="{TEST_ACCOUNT.domain}")
connect("{{host}}", {{port}}, credentials=credentials, mechanism="ntlm").close()
"""
WINRM = f"""
import requests, credssp
from credssp.drivers.winrm_requests import HTTPCredSSPAuth
credentials = credssp.PasswordCredentials("{TEST_ACCOUNT.username}", "{PASSWORD}", domain="{TEST_ACCOUNT.domain}")
auth = HTTPCredSSPAuth(credentials=credentials, auth_mechanism="ntlm")
requests.post("http://{{host}}:{{port}}/wsman", data=b"<soap/>", auth=auth, timeout=5,
              headers={{"Content-Type": "application/soap+xml;charset=UTF-8"}})
"""


def command(tmp_path: Path, text: str) -> str:
    """A command line that runs this text with host and port put into it."""
    script = tmp_path / "client.py"
    script.write_text(f"import sys\nexec({text!r}.replace('{{host}}', sys.argv[1]).replace('{{port}}', sys.argv[2]))\n")
    return f"{sys.executable} {script} {{host}} {{port}}"


def test_a_program_as_rdp_client(tmp_path: Path) -> None:
    target = CommandTarget(command(tmp_path, LOGIN), TEST_ACCOUNT, timeout=10)
    report = check_client(target, rules=["CSSP-NEG-01", "CSSP-PKA56-05", "CSSP-VER-14"])
    assert not report.trouble
    assert [(r.rule.id[5:], r.verdict) for r in report.results] == [
        ("VER-14", Verdict.SKIP),
        ("PKA56-05", Verdict.PASS),
        ("NEG-01", Verdict.PASS),
    ]


def test_a_program_that_does_not_connect(tmp_path: Path) -> None:
    target = CommandTarget(command(tmp_path, "import time; time.sleep(60)"), TEST_ACCOUNT, start_timeout=1.0)
    report = check_client(target)
    assert "did not connect" in report.trouble


def test_a_program_that_dies_of_a_signal(tmp_path: Path) -> None:
    text = (
        "import os, signal, socket\n"
        "s = socket.create_connection(('{host}', {port}))\n"
        "s.sendall(bytes.fromhex('030000130ee000000000000100080003000000')); s.recv(99)\n"
        "os.kill(os.getpid(), signal.SIGABRT)\n"
    )
    target = CommandTarget(command(tmp_path, text), TEST_ACCOUNT, timeout=10)
    run = ClientRun(target, {})
    play = run.try_serve()
    assert play.crash == "the program ended by SIGABRT"
    run.close()


def test_a_program_that_cannot_be_started_or_gives_up_at_once(tmp_path: Path) -> None:
    report = check_client(CommandTarget("/nowhere/client {port}", TEST_ACCOUNT))
    assert "No such file" in report.trouble
    report = check_client(CommandTarget(command(tmp_path, "sys.exit(3)"), TEST_ACCOUNT, start_timeout=30))
    assert "the program ended with exit code 3 before it connected" in report.trouble


KNOCKING = """
import socket
socket.create_connection(("{host}", {port})).close()
open_all_the_time = socket.create_connection(("{host}", {port}))
"""


def test_a_program_that_knocks_before_it_comes_in(tmp_path: Path) -> None:
    target = CommandTarget(command(tmp_path, KNOCKING + LOGIN), TEST_ACCOUNT, timeout=10)
    report = check_client(target, rules=["CSSP-NEG-01"])
    assert report.ok, report.explain()
    assert report.verdict_of("CSSP-NEG-01") is Verdict.PASS


def test_a_program_that_never_logs_on_is_told_how_far_it_went(tmp_path: Path) -> None:
    text = "import socket\ns = socket.create_connection(('{host}', {port})); s.sendall(b'GET / HTTP/1.0')\n"
    report = check_client(CommandTarget(command(tmp_path, text), TEST_ACCOUNT, timeout=10))
    assert report.trouble.endswith("with version 6: closed before its first TSRequest")


REPORTS: Any = {"features": ("x224", "report"), "timeout": 10}


@pytest.mark.parametrize(
    ("end", "crash", "told"),
    [
        ("sys.exit(0)", "", None),
        ("sys.exit(4)", "", "exit status 4"),
        ("sys.exit('warning\\nLogonError: locked out\\n')", "", "LogonError: locked out"),
        (f"sys.exit('no way to {{host}}:{{port}} with {PASSWORD}')", "", "no way to 127.0.0.1:******** with ********"),
        ("sys.exit('<Pool object at 0x7f3c2a1b5d90>')", "", "<Pool object at ********>"),
        ("print('KeyError', file=sys.stderr); sys.exit(70)", "KeyError", "KeyError"),
        ("sys.exit(70)", "the program ended with 70", "exit status 70"),
    ],
)  # fmt: skip
def test_what_a_program_reports(tmp_path: Path, end: str, crash: str, told: str | None) -> None:
    text = f"import socket\ns = socket.create_connection(('{{host}}', {{port}})); s.sendall(b'x'); s.close()\n{end}\n"
    run = ClientRun(CommandTarget(command(tmp_path, text), TEST_ACCOUNT, **REPORTS), {})
    play = run.try_serve()
    assert play.crash == crash
    assert (str(play.report) if play.report is not None else None) == told
    run.close()


def test_a_program_that_is_stopped_reports_nothing(tmp_path: Path) -> None:
    text = "import socket, time\ns = socket.create_connection(('{host}', {port})); s.sendall(b'x'); time.sleep(60)\n"
    run = ClientRun(CommandTarget(command(tmp_path, text), TEST_ACCOUNT, features=("report",), timeout=0.5), {})
    play = run.try_serve()
    assert play.report is None
    run.close()
    assert play.report is None
    assert play.crash == ""


def test_a_program_has_command_lines_for_other_set_ups(tmp_path: Path) -> None:
    negotiate = LOGIN.replace('mechanism="ntlm"', 'mechanism="negotiate", min_version=2')
    variant = tmp_path / "variant"
    variant.mkdir()
    target = CommandTarget(
        command(tmp_path, LOGIN), TEST_ACCOUNT, timeout=10, variants={"spnego": command(variant, negotiate)}
    )
    report = check_client(target, rules=["CSSP-SPNEGO-01", "CSSP-SPNEGO-05", "CSSP-VER-10"])
    assert report.verdict_of("CSSP-SPNEGO-05") is Verdict.PASS
    assert report.verdict_of("CSSP-VER-10") is Verdict.SKIP
    with pytest.raises(credssp.LocalProtocolError, match="no such set-up: kerberos"):
        CommandTarget("true {port}", TEST_ACCOUNT, variants={"kerberos": "true {port}"})


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        (Setup(hybrid_ex=True), r"^needs a command line for it \(--exec-variant hybrid-ex=CMD\)$"),
        (Setup(form="spnego"), r"^needs a command line for it \(--exec-variant spnego=CMD\)$"),
        (Setup(form="kerberos"), "^this client is judged as its command line sets it up$"),
    ],
)
def test_a_skip_names_the_option_that_a_rule_needs(setup: Setup, reason: str) -> None:
    with pytest.raises(Skipped, match=reason):
        CommandTarget("true {port}", TEST_ACCOUNT, variants={"deny": "true {port}"}).start(setup, RdpAnswer())


def test_a_program_takes_no_other_set_up() -> None:
    with pytest.raises(Skipped):
        CommandTarget("true {port}", TEST_ACCOUNT).start(Setup(min_version=5), RdpAnswer())
    with pytest.raises(Skipped):
        RdpServerTarget("127.0.0.1", 1, TEST_ACCOUNT).open(Setup(deny=True))
    with pytest.raises(Skipped):
        HttpServerTarget("http://127.0.0.1:1/", TEST_ACCOUNT).open(Setup(deny=True))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("030000130ed000001234000200080000000000", "PROTOCOL_RDP"),
        ("030000130ed000001234000200080001000000", "PROTOCOL_SSL"),
        ("030000130ed000001234000200080000010000", "PROTOCOL_256"),
        ("030000130ed000001234000300080002000000", "SSL_NOT_ALLOWED_BY_SERVER, 2"),
        ("0300000b06d00000123400", "without a negotiation response"),
    ],
)
def test_an_rdp_server_without_credssp(answer: str, told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(bytes.fromhex(answer))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        target = RdpServerTarget(*listener.getsockname()[:2], TEST_ACCOUNT, timeout=2)
        report = check_server(target, rules=["CSSP-NEG-02", "CSSP-VER-01"])
        thread.join(5)
    assert not report.ok
    assert "the server selects no CredSSP: it answered" in report.trouble
    assert told in report.trouble
    # What needs no login is judged.
    assert [result.rule.id for result in report.results] == ["CSSP-NEG-02"]
    assert report.verdict_of("CSSP-NEG-02") in (Verdict.FAIL, Verdict.SKIP)


@pytest.mark.interop
def test_a_program_as_winrm_client(tmp_path: Path) -> None:
    target = CommandTarget(command(tmp_path, WINRM), TEST_ACCOUNT, timeout=10, transport="http")
    assert target.features == ("http",)
    report = check_client(target, rules=["CSSP-WINRM-02", "CSSP-WINRM-05", "CSSP-WINRM-09"])
    assert report.ok, report.explain()
    assert report.verdict_of("CSSP-WINRM-02") is Verdict.PASS


PROBES = """
import socket
for closed in (True, False):
    probe = socket.create_connection(("{host}", {port}))
    probe.sendall(b"POST /wsman HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 0\\r\\n\\r\\n")
    assert b"401" in probe.recv(1000)
    if closed:
        probe.close()
"""


@pytest.mark.interop
def test_a_winrm_client_that_probes_on_connections_of_their_own_and_knows_a_proxy(tmp_path: Path) -> None:
    environment = dict(os.environ) | {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    target = CommandTarget(
        command(tmp_path, PROBES + WINRM), TEST_ACCOUNT, timeout=10, transport="http", environment=environment,
        features=("report",),
    )  # fmt: skip
    assert target.features == ("http", "report")
    report = check_client(target, rules=["CSSP-WINRM-03", "CSSP-WINRM-08", "CSSP-ERR-06"])
    assert report.ok, report.explain()
    assert [result.verdict for result in report.results] == [Verdict.PASS] * 3


# HTTP


def test_http_answers() -> None:
    assert HttpAnswer(401, ("Negotiate", "CredSSP AAAA")).token == b"\0\0\0"
    assert HttpAnswer(401, ("CredSSP",)).token is None
    assert HttpAnswer(401, ("CredSSP",)).offers
    assert HttpAnswer(401, ('Basic realm="x',)).token is None
    assert not HttpAnswer(401, ('Basic realm="x',)).offers
    assert HttpRequest("CredSSP !!").token == b""
    assert HttpRequest("Basic x").token == b""


def test_requests_over_a_socket_in_pieces() -> None:
    one, other = socket.socketpair()
    source = SocketRequests(SocketLink(one))
    other.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: CredSSP AAAA\r\nContent-Length: 4\r\n\r\nbo")
    other.sendall(b"dy")
    request = source.next(2)
    assert request is not None
    assert (request.token, request.body) == (b"\0\0\0", b"body")
    source.answer(HttpAnswer(401, ("CredSSP",), "text/plain", b"x"))
    assert other.recv(1000).endswith(b"\r\n\r\nx")
    assert source.next(0.05) is None
    assert not source.over
    other.close()
    assert source.next(1) is None
    assert source.over
    source.close()


def test_a_request_that_waits_for_100_continue() -> None:
    one, other = socket.socketpair()
    source = SocketRequests(SocketLink(one))
    other.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    threading.Thread(target=lambda: other.recv(100).startswith(b"HTTP/1.1 100 ") and other.sendall(b"body")).start()
    request = source.next(2)
    assert request is not None
    assert request.body == b"body"
    source.close()
    other.close()


@pytest.mark.parametrize(
    ("field", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n", 411),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 4\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 99999999\r\n", 413),
        (b"no header\r\n", 400),
        (b"X: " + b"y" * 3000, 431),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(field: bytes, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.conformance.http._MAX_HEAD", 1000)
    one, other = socket.socketpair()
    source = SocketRequests(SocketLink(one))
    other.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n")
    assert source.next(2) is None
    assert source.over
    assert other.recv(1000).startswith(b"HTTP/1.1 %d " % status)
    source.close()
    other.close()


def test_h11_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    one, other = socket.socketpair()
    with one, other, pytest.raises(LocalProtocolError, match=r"h11 is missing.*pip install 'credssp\[winrm-server\]'"):
        SocketRequests(SocketLink(one))


def test_an_http_server_that_says_nothing_or_nonsense() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        silent = HttpConnection(f"http://127.0.0.1:{port}/wsman", 0.2)
        assert silent.request() is None
        silent.close()
        rude = HttpConnection(f"http://127.0.0.1:{port}/wsman", 2)
        listener.accept()[0].close()
        thread = threading.Thread(target=lambda: _nonsense(listener), daemon=True)
        thread.start()
        answer = rude.request()
        assert answer is not None
        assert answer.status == 0
        rude.close()
        thread.join(2)


def _nonsense(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"220 mail.example\r\n\r\n")


# Links


class Looping:
    refusals: Sequence[type[BaseException]] = (credssp.CredSSPError,)
    ended = False

    def start(self) -> bytes:
        return b""

    def step(self, data: bytes) -> bytes:
        while True:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001
                data += b"x"

    def eof(self) -> None:
        raise AssertionError("not called in a peer that hangs")


def test_a_peer_that_never_returns_is_interrupted() -> None:
    link = MemoryLink(Looping(), cpu_seconds=0.2)
    link.send(b"x")
    assert link.hung
    assert link.receive(0) is None
    link.send(b"y")
    link.close()


def test_a_socket_whose_peer_is_gone() -> None:
    one, other = socket.socketpair()
    link = SocketLink(one)
    other.close()
    link.send(b"x" * 100_000)
    assert link.receive(1) == b""
    link.close()
    assert link.receive(1) == b""

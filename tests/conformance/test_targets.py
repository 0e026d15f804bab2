"""Targets that are reached over sockets: programs as clients, WinRM clients over HTTP; and links."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

import credssp
from credssp.conformance.http import HttpAnswer, HttpConnection, HttpRequest, HttpServerTarget, SocketRequests
from credssp.conformance.links import MemoryLink, SocketLink
from credssp.conformance.peers import TEST_ACCOUNT
from credssp.conformance.play import ClientRun
from credssp.conformance.rdp import CommandTarget, RdpServerTarget
from credssp.conformance.rule import Skipped, Verdict
from credssp.conformance.runner import check_client, check_server
from credssp.conformance.setup import Front, Setup

PASSWORD = TEST_ACCOUNT.password.reveal()
LOGIN = f"""
import credssp
from credssp.rdp import connect
credentials = credssp.PasswordCredentials("{TEST_ACCOUNT.username}", "{PASSWORD}", domain="{TEST_ACCOUNT.domain}")
connect("{{host}}", {{port}}, credentials=credentials, mechanism="ntlm").close()
"""
WINRM = f"""
import requests, credssp
from credssp.winrm.requests import HTTPCredSSPAuth
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


def test_a_program_takes_no_other_set_up() -> None:
    with pytest.raises(Skipped):
        CommandTarget("true {port}", TEST_ACCOUNT).start(Setup(min_version=5), Front())
    with pytest.raises(Skipped):
        RdpServerTarget("127.0.0.1", 1, TEST_ACCOUNT).open(Setup(deny=True))
    with pytest.raises(Skipped):
        HttpServerTarget("http://127.0.0.1:1/", TEST_ACCOUNT).open(Setup(deny=True))


def test_an_rdp_server_without_credssp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(bytes.fromhex("030000130ed000001234000200080000000000"))
                connection.recv(100)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        report = check_server(RdpServerTarget(*listener.getsockname()[:2], TEST_ACCOUNT, timeout=2))
        thread.join(5)
    assert report.trouble


@pytest.mark.interop
def test_a_program_as_winrm_client(tmp_path: Path) -> None:
    target = CommandTarget(command(tmp_path, WINRM), TEST_ACCOUNT, timeout=10, transport="http")
    assert target.features == ("http",)
    report = check_client(target, rules=["CSSP-WINRM-02", "CSSP-WINRM-05", "CSSP-WINRM-09"])
    assert report.ok, report.explain()
    assert report.verdict_of("CSSP-WINRM-02") is Verdict.PASS


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
    other.sendall(b"POST / HTTP/1.1\r\nAuthorization: CredSSP AAAA\r\nContent-Length: 4\r\n\r\nbo")
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


def test_a_peer_that_never_returns_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.conformance.links._CPU_SECONDS", 0.2)
    link = MemoryLink(Looping())
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

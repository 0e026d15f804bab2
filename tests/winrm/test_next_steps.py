"""What both HTTP libraries and ``credssp login`` suggest when a server is not what was hoped for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import credssp
from credssp.cli import main
from credssp.errors import CredSSPError
from credssp.next_step import NextStep

httpx = pytest.importorskip("httpx")
requests = pytest.importorskip("requests")

ALICE = credssp.PasswordCredentials("alice", "secret", domain="LAB")


@contextmanager
def web(status: int, challenge: str | None) -> Iterator[str]:
    """A server with one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name that it looks for
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            if challenge is not None:
                self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/wsman"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def by_requests(url: str) -> Any:
    from credssp.drivers.winrm_requests import HTTPCredSSPAuth

    with requests.Session() as session:
        session.trust_env = False
        return session.post(url, data=b"<x/>", auth=HTTPCredSSPAuth(ALICE, mechanism="ntlm"))


def by_httpx(url: str) -> Any:
    from credssp.drivers.winrm_httpx import CredSSPAuth

    with httpx.Client(trust_env=False, auth=CredSSPAuth(ALICE, mechanism="ntlm")) as client:
        return client.post(url, content=b"<x/>")


SITUATIONS = [
    (401, "Negotiate", NextStep.WINRM_NOT_OFFERED),
    (401, "CredSSP", NextStep.WINRM_NO_TOKEN),
]


@pytest.mark.parametrize(("status", "challenge", "expected"), SITUATIONS)
@pytest.mark.parametrize("post", [by_requests, by_httpx])
def test_a_library_gets_the_next_step_of_its_situation(
    post: Callable[[str], Any], status: int, challenge: str, expected: NextStep
) -> None:
    with web(status, challenge) as url, pytest.raises(CredSSPError) as caught:
        post(url)
    assert caught.value.advice == expected
    assert expected in str(caught.value)
    assert not caught.value.refused
    for wrong in ("Security Packages", "PROTOCOL_HYBRID", "setspn", "AllowEncryptionOracle", "password is wrong"):
        assert wrong not in str(caught.value)


@pytest.mark.parametrize(("status", "challenge", "expected"), [*SITUATIONS, (404, None, NextStep.HTTP_404)])
def test_login_suggests_the_next_step_once(
    status: int, challenge: str | None, expected: NextStep, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "secret")
    with web(status, challenge) as url:
        code = main(["login", url, "-u", "LAB\\alice", "--mechanism", "ntlm"])
    shown = capsys.readouterr()
    assert code == 3
    assert "no login: " in shown.out
    assert shown.err.count(expected) == 1
    for wrong in ("Security Packages", "PROTOCOL_HYBRID", "setspn", "AllowEncryptionOracle", "password is wrong"):
        assert wrong not in shown.err

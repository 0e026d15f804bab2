"""Interim responses, long header lines and redirects: requests, httpx and the client of the standard library."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn")
requests = pytest.importorskip("requests")
httpx = pytest.importorskip("httpx")

from credssp import PasswordCredentials, generate_certificate  # noqa: E402
from credssp.drivers.winrm import WinRMConnection  # noqa: E402
from credssp.drivers.winrm_httpx import CredSSPAuth  # noqa: E402
from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402
from credssp.errors import CredSSPError, LimitExceededError  # noqa: E402
from credssp.winrm import HTTPStatusError  # noqa: E402
from tests.winrm import servers  # noqa: E402
from tests.winrm.memory import login  # noqa: E402

ALICE = PasswordCredentials(servers.USER, servers.PASSWORD, domain=servers.DOMAIN)
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


def by_requests(url: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(url, data=servers.IDENTIFY, auth=HTTPCredSSPAuth(ALICE), timeout=20)
        assert b"IdentifyResponse" in response.content
        again = session.post(url, data=servers.IDENTIFY, auth=HTTPCredSSPAuth(ALICE), timeout=20)
        assert b"IdentifyResponse" in again.content
        return int(response.status_code)


def by_httpx(url: str) -> int:
    with httpx.Client(auth=CredSSPAuth(ALICE), trust_env=False, timeout=20) as client:
        response = client.post(url, content=servers.IDENTIFY)
        assert b"IdentifyResponse" in response.content
        return int(response.status_code)


def by_own(url: str) -> int:
    side = login(spn_host="127.0.0.1")
    with WinRMConnection("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0])) as connection:
        connection.log_on(side)
        return connection.send(side, servers.IDENTIFY)[0]


@pytest.fixture(params=[by_requests, by_httpx, by_own])
def post(request: pytest.FixtureRequest) -> Callable[[str], int]:
    return request.param  # type: ignore[no-any-return]


@contextmanager
def between(port: int, alter: Callable[[bytes], bytes]) -> Iterator[str]:
    """A relay in front of a server that alters what it answers; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                sink.sendall(change(data))
            sink.shutdown(socket.SHUT_WR)

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", port))
                held.extend((client, server))
                threading.Thread(target=pump, args=(client, server, lambda data: data), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, alter), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/wsman"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in held:
            connection.close()


def hinting(times: int) -> Callable[[bytes], bytes]:
    return lambda data: HINTS * times + data if data.startswith(b"HTTP/1.1 ") else data


@pytest.mark.parametrize("times", [1, 3])
def test_interim_responses_are_not_the_answer(post: Callable[[str], int], times: int) -> None:
    with servers.serving(servers.application()) as port, between(port, hinting(times)) as url:
        assert post(url) == 200


def test_an_end_after_an_interim_response_is_an_error_of_requests() -> None:
    def cut(data: bytes) -> bytes:
        return HINTS

    with servers.serving(servers.application()) as port, between(port, cut) as url:
        side = requests.Session()
        side.trust_env = False
        with side, pytest.raises(requests.RequestException):
            side.post(url, data=b"x", auth=HTTPCredSSPAuth(ALICE), timeout=2)


def test_a_header_line_that_is_too_long_is_named() -> None:
    """A certificate of 60 KB; httpx reads its line."""
    names = [f"host-{number:05}.some.long.domain.lab.test" for number in range(1500)]
    certificate = generate_certificate("p256", dns_names=names)
    with servers.running(servers.application(certificate=certificate)) as url:
        for client in (by_requests, by_own):
            with pytest.raises(LimitExceededError, match="header line of more than 65,536 bytes"):
                client(url)
        assert by_httpx(url) == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_leg_is_named(post: Callable[[str], int], status: int) -> None:
    def moved(count: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        if count == 3:
            answer["status"] = status
            answer["headers"] = [(b"location", b"/login"), (b"content-length", b"0")]

    app = servers.Altered(servers.application(), moved)
    with (
        servers.running(app) as url,
        pytest.raises(CredSSPError, match="Use the URL that the answer names in Location") as caught,
    ):
        post(url)
    assert isinstance(caught.value, HTTPStatusError)
    assert caught.value.http_status == status


@pytest.mark.parametrize("leg", [3, 5])
def test_a_redirect_of_a_leg_that_httpx_follows_is_named(leg: int) -> None:
    def moved(count: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        if count == leg:
            answer["status"] = 302
            answer["headers"] = [(b"location", b"/login"), (b"content-length", b"0")]

    with (
        servers.running(servers.Altered(servers.application(), moved)) as url,
        httpx.Client(trust_env=False, auth=CredSSPAuth(ALICE), follow_redirects=True) as client,
        pytest.raises(HTTPStatusError, match="Use the URL that the answer names in Location") as caught,
    ):
        client.post(url, content=b"x")
    assert caught.value.http_status == 302
    assert not caught.value.refused

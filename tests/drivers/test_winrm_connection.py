"""One HTTP connection of the standard library: its deadline, and what happens when the server closes it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from credssp import ClientTLS
from credssp.drivers.handshake import ConnectError, DeadlineError, Timeouts
from credssp.drivers.winrm import WinRMConnection

STEP = 0.02
ANSWER = b"HTTP/1.1 401 x\r\nWWW-Authenticate: CredSSP\r\nContent-Length: 0\r\n"


@contextlib.contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Let a function talk to each connection; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def drip(start: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(start)
        while True:
            connection.sendall(b"\0")
            time.sleep(STEP)

    return talk


@pytest.mark.parametrize(
    ("start", "https"),
    [
        (b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", True),  # a ServerHello of 16 KiB
        (b"HTTP/1.1 200 OK\r\nX: ", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", False),  # http.client lets go of the socket and reads on
    ],
    ids=["TLS handshake", "headers", "body"],
)
def test_a_server_that_sends_a_byte_now_and_then_meets_the_deadline(start: bytes, https: bool) -> None:
    timeouts = Timeouts(connect=100, leg=100, login=0.3)
    begin = time.monotonic()
    with server(drip(start)) as port:
        connection = WinRMConnection("127.0.0.1", port, https=ClientTLS() if https else None, timeouts=timeouts)
        with pytest.raises(DeadlineError, match=r"did not finish within 0\.3 s"), connection:
            connection.post()
    assert time.monotonic() - begin < 50


def test_a_connection_that_the_server_closes_is_opened_again_for_the_next_request() -> None:
    connections: list[None] = []

    def talk(connection: socket.socket) -> None:
        connections.append(None)
        connection.recv(4096)
        connection.sendall(ANSWER + b"Connection: close\r\n\r\n")

    with server(talk) as port, WinRMConnection("127.0.0.1", port) as connection:
        assert [connection.post().status for _ in range(2)] == [401, 401]
    assert len(connections) == 2


def test_http_where_https_was_expected_is_named() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(4096)

    expected = pytest.raises(ConnectError, match="the TLS handshake failed: wrong version number")
    with server(talk) as port, WinRMConnection("127.0.0.1", port, https=ClientTLS()) as connection, expected:
        connection.connect()


def test_a_dead_port_is_named_with_its_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    expected = pytest.raises(ConnectError, match=f"no connection to 127.0.0.1 port {port}: ")
    with WinRMConnection("127.0.0.1", port) as connection, expected:
        connection.connect()

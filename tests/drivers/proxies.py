"""Proxies in front of an RDP server: HTTP CONNECT and SOCKS5, as small as they can be, and such that misbehave."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Running:
    """A proxy.

    Attributes:
        port: where it listens.
        asked: the hosts and ports that it was asked for.
        logins: user names and passwords it was given.
    """

    port: int
    asked: list[tuple[str, int]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list, repr=False)


Serve = Callable[[socket.socket, Running], None]


@contextmanager
def running(serve: Serve) -> Iterator[Running]:
    """Run a function for every connection, in a thread each."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Running(listener.getsockname()[1])
        threads: list[threading.Thread] = []
        over = threading.Event()

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(20)
                serve(connection, proxy)

        def accept() -> None:
            while not over.is_set():
                connection = listener.accept()[0]
                threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
                threads[-1].start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            over.set()
            with contextlib.suppress(OSError):
                socket.create_connection(listener.getsockname(), timeout=30).close()
            for each in (thread, *threads):
                each.join(10)


def relay(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways until one side ends."""
    ends = [one, other]
    with contextlib.suppress(OSError):
        while True:
            for end in select.select(ends, [], [], 20)[0]:
                data = end.recv(65536)
                if not data:
                    return
                ends[end is one].sendall(data)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise OSError("closed")
        data += piece
    return data


def http(login: tuple[str, str] | None = None, *, pieces: bool = False) -> Serve:
    """CONNECT; `pieces` sends the answer byte by byte, and `login` is demanded."""

    def serve(connection: socket.socket, proxy: Running) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _exactly(connection, 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        assert method == "CONNECT"
        given = next((line.split(" ")[2] for line in lines if line.lower().startswith("proxy-authorization:")), None)
        if given is not None:
            user, _, password = base64.b64decode(given).decode("latin-1").partition(":")
            proxy.logins.append((user, password))
        if login is not None and proxy.logins[-1:] != [login]:
            connection.sendall(b"HTTP/1.1 407 Who are you hunter2\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = target.rpartition(":")
        proxy.asked.append((host, int(port)))
        with socket.create_connection((host.strip("[]"), int(port)), timeout=30) as upstream:
            answer = b"HTTP/1.1 200 Connection established\r\nVia: tests\r\n\r\n"
            for piece in (answer[i : i + 1] for i in range(len(answer))) if pieces else (answer,):
                connection.sendall(piece)
            relay(connection, upstream)

    return serve


def socks5(login: tuple[str, str] | None = None, *, names: dict[str, str] | None = None) -> Serve:
    """SOCKS5; `names` are looked up in place of DNS."""

    def serve(connection: socket.socket, proxy: Running) -> None:
        version, count = _exactly(connection, 2)
        methods = _exactly(connection, count)
        assert version == 5
        if login is None:
            connection.sendall(b"\5\0")
        elif 2 not in methods:
            connection.sendall(b"\5\xff")
            return
        else:
            connection.sendall(b"\5\2")
            user = _exactly(connection, _exactly(connection, 2)[1]).decode()
            password = _exactly(connection, _exactly(connection, 1)[0]).decode()
            proxy.logins.append((user, password))
            connection.sendall(b"\1\0" if (user, password) == login else b"\1\1")
            if (user, password) != login:
                return
        kind = _exactly(connection, 4)[3]
        if kind == 3:
            host = _exactly(connection, _exactly(connection, 1)[0]).decode()
        else:
            host = socket.inet_ntop(
                *(
                    (socket.AF_INET, _exactly(connection, 4))
                    if kind == 1
                    else (socket.AF_INET6, _exactly(connection, 16))
                )
            )
        port = int.from_bytes(_exactly(connection, 2), "big")
        proxy.asked.append((host, port))
        with socket.create_connection(((names or {}).get(host, host), port), timeout=30) as upstream:
            connection.sendall(b"\5\0\0\1\x7f\0\0\1\0\1")
            relay(connection, upstream)

    return serve


def answering(*answers: bytes) -> Serve:
    """Each answer after the next thing that is read; then the connection ends."""

    def serve(connection: socket.socket, proxy: Running) -> None:
        for answer in answers:
            if not connection.recv(4096):
                return
            connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(4096)

    return serve


def silent(connection: socket.socket, proxy: Running) -> None:
    """Reads and says nothing."""
    while connection.recv(4096):
        pass


def dripping(connection: socket.socket, proxy: Running) -> None:
    """Never stops to answer, a byte at a time."""
    connection.recv(4096)
    over = threading.Event()
    while not over.wait(0.01):
        connection.sendall(b"H")

"""Proxies as small as they can be: one that keeps a connection for each client, one that does not, and CONNECT."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit


class _Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keeps = True
    forgets = False
    upstream: http.client.HTTPConnection | None = None
    seen: list[str]

    def do_POST(self) -> None:
        self.seen.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.upstream is None or not self.keeps or self.forgets:
            if self.upstream is not None:
                self.upstream.close()
            self.upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        headers = {n: v for n, v in self.headers.items() if n.lower() not in ("proxy-connection", "host")}
        self.upstream.request("POST", parts.path, body, headers)
        response = self.upstream.getresponse()
        data = response.read()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        if not self.keeps:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(data)

    def do_CONNECT(self) -> None:
        self.seen.append(f"{self.command} {self.path}")
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as upstream:
            self.send_response(200)
            self.end_headers()
            ends = [self.connection, upstream]
            with contextlib.suppress(OSError):
                while True:
                    for end in select.select(ends, [], [], 10)[0]:
                        data = end.recv(65536)
                        if not data:
                            return
                        ends[end is self.connection].sendall(data)
        self.close_connection = True

    def finish(self) -> None:
        if self.upstream is not None:
            self.upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *arguments: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def proxy(*, keeps: bool = True, forgets: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy; yields its URL and what it was asked for.

    Args:
        keeps: whether it keeps connections.
        forgets: whether it keeps those of clients, and has a new one to the server for every request.
    """
    seen: list[str] = []
    handler = type("Handler", (_Proxy,), {"keeps": keeps, "forgets": forgets, "seen": seen})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join(5)


@contextmanager
def scripted(*responses: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one connection after the other with fixed responses; yields the URL and the requests."""
    requests: list[bytes] = []
    left = list(responses)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while left:
                    with listener.accept()[0] as connection:
                        connection.settimeout(30)
                        while left and (request := _request(connection)):
                            requests.append(request)
                            connection.sendall(left.pop(0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/wsman", requests
        finally:
            left.clear()
            with contextlib.suppress(OSError):
                socket.create_connection(listener.getsockname(), timeout=1).close()
            thread.join(5)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    size = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(body) < size:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def response(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

"""Connections to a server, directly or through a proxy (HTTP CONNECT, SOCKS5).

The library python-socks speaks with the proxy; it blocks, so that on asyncio it runs in a thread. It is given a socket
that bounds what the proxy may cost: `Timeouts.connect` for everything, however slowly bytes come, and 16 KiB. The
answer of an HTTP proxy, which python-socks takes with one read, is read to its end there and not beyond, since what
follows belongs to the server.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import http
import re
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from credssp.drivers.blocking import open_socket, reason
from credssp.drivers.handshake import ConnectError, Timeouts
from credssp.errors import LocalProtocolError
from credssp.next_step import NextStep
from credssp.secret import private

if TYPE_CHECKING:
    from credssp.proxy import Proxy

__all__ = ["as_stream", "open_tunnel", "reach", "reach_async"]

_MAX_ANSWER: Final = 16 * 1024
"""Bytes of a proxy's answers: those of HTTP proxies have a few hundred, and some set a cookie."""

_THREADS: Final = 64
"""Threads that wait for proxies: as many as ``credssp probe`` asks servers at once by default."""

_HOST: Final = re.compile(r"[\w.:-]+")

_SOCKS: Final = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
"""Replies (RFC 1928 6)."""


def as_stream(sock: object) -> socket.socket:
    """Return a socket that a caller gave.

    Raises:
        LocalProtocolError: it is not a stream socket.
    """
    if not isinstance(sock, socket.socket):
        raise LocalProtocolError(f"sock takes a connected socket, not a {type(sock).__name__}")
    if sock.type is not socket.SOCK_STREAM or sock.fileno() < 0:
        raise LocalProtocolError("sock takes a connected stream socket (SOCK_STREAM) that is open")
    try:
        sock.getpeername()
    except OSError:
        raise LocalProtocolError("sock takes a connected socket, and this one is not connected") from None
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def reach(host: str, port: int, *, timeouts: Timeouts, proxy: Proxy | None) -> socket.socket:
    """Connect to a server, through a proxy if there is one.

    Raises:
        ConnectError: there is no connection; the text says whether to the proxy, or from there on.
        LocalProtocolError: python-socks is missing.
    """
    if proxy is None:
        return open_socket(host, port, timeouts=timeouts)
    return open_tunnel(host, port, timeouts=timeouts, proxy=proxy)


async def reach_async(host: str, port: int, *, timeouts: Timeouts, proxy: Proxy) -> socket.socket:
    """Connect through a proxy on asyncio; errors as `reach`."""
    tunnel = _threads().submit(open_tunnel, host, port, timeouts=timeouts, proxy=proxy)
    try:
        connection = await asyncio.wrap_future(tunnel)
    except asyncio.CancelledError:
        tunnel.add_done_callback(_drop)  # in its thread, within `Timeouts.connect`; the loop may be over then
        raise
    connection.setblocking(False)  # as socket has it
    return connection


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="credssp proxy")


def _drop(tunnel: concurrent.futures.Future[socket.socket]) -> None:
    if not tunnel.cancelled() and tunnel.exception() is None:
        tunnel.result().close()


@private
def open_tunnel(host: str, port: int, *, timeouts: Timeouts, proxy: Proxy) -> socket.socket:
    """Connect through a proxy.

    Raises:
        ConnectError: the proxy is not there, does not answer in time or not as such a proxy does, or refuses.
        LocalProtocolError: python-socks is missing; `host` cannot be asked for.
    """
    try:
        from python_socks import ProxyError, ProxyType
        from python_socks.sync import Proxy as Tunnel
    except ModuleNotFoundError:
        raise LocalProtocolError(
            "python-socks is missing, which speaks with proxies: pip install 'credssp[proxy]' (in a clone: '.[proxy]')"
        ) from None
    if "%" in host:
        raise LocalProtocolError(f"{host} has a zone, which is about our own interfaces: no proxy can reach it")
    host = host.strip("[]")
    if not _HOST.fullmatch(host):
        raise LocalProtocolError(f"{host!r} is not a host name that a proxy can be asked for")
    end = time.monotonic() + timeouts.connect
    try:
        first = open_socket(proxy.host, proxy.port, timeouts=timeouts)
    except ConnectError as error:
        raise _failed(proxy, error.message) from None
    bounded = _Bounded(first, end, by_line=proxy.scheme == "http")

    class Connected(Tunnel):
        """python-socks asks a proxy in front for the connection to the next one: here it is there already."""

        def connect(self, dest_host: str, dest_port: int, timeout: float | None = None, **kwargs: Any) -> socket.socket:  # noqa: ARG002  # its signature
            return bounded

    kind = ProxyType.HTTP if proxy.scheme == "http" else ProxyType.SOCKS5
    tunnel = Tunnel(
        kind,
        proxy.host,
        proxy.port,
        username=proxy.username,
        password=proxy.password.reveal(),
        rdns=proxy.scheme == "socks5h",
        forward=Connected(kind, proxy.host, proxy.port),
    )
    try:
        tunnel.connect(host, port)
    except ProxyError as error:
        login = proxy.scheme == "http" and error.error_code == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        advice = NextStep.HTTP_407 if login else NextStep.PROXY
        raise _failed(proxy, _refusal(proxy, host, port, error.error_code), advice) from None
    except TimeoutError:
        raise _failed(proxy, f"it did not connect to {host} port {port} within {timeouts.connect:g} s") from None
    except socket.gaierror as error:  # socks5: we look the name up
        raise ConnectError(f"no connection to {host} port {port}: {reason(error)}") from None
    except OSError as error:
        raise _failed(proxy, reason(error)) from None
    except Exception:  # noqa: BLE001  # of the library, about an answer that makes no sense
        raise _failed(proxy, _nonsense(proxy)) from None
    except BaseException:  # which it leaves open
        bounded.close()
        raise
    connection = socket.socket(fileno=bounded.detach())
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class _Bounded(socket.socket):
    """A connection to a proxy whose answers end in time, and before `_MAX_ANSWER` bytes.

    Attributes:
        end: when, by the monotonic clock.
        by_line: whether a read goes on until an empty line.
        left: how many bytes the proxy may still send.
    """

    __slots__ = ("by_line", "end", "left")

    def __init__(self, connection: socket.socket, end: float, *, by_line: bool) -> None:
        super().__init__(connection.family, connection.type, connection.proto, fileno=connection.detach())
        self.end = end
        self.by_line = by_line
        self.left = _MAX_ANSWER

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return what came, at most `size` bytes; an HTTP answer as a whole."""
        if not self.by_line:
            return self._read(size, flags)
        answer = bytearray()
        while not answer.endswith(b"\r\n\r\n"):
            piece = self._read(1, flags)
            if not piece:
                return b""
            answer += piece
        return bytes(answer)

    def _read(self, size: int, flags: int) -> bytes:
        self._wait()
        self.left -= size
        if self.left < 0:
            raise OverflowError
        return super().recv(size, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send."""
        self._wait()
        super().sendall(data, flags)

    def _wait(self) -> None:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)


def _failed(proxy: Proxy, why: str, advice: NextStep = NextStep.PROXY) -> ConnectError:
    return ConnectError(f"no connection through the proxy {proxy}: {why}", advice=advice)


def _refusal(proxy: Proxy, host: str, port: int, code: int | None) -> str:
    """Say what a proxy refused, without its own words: it can write anything there."""
    if code is None:
        if proxy.scheme != "http":
            return "it did not accept our login (RFC 1929), or did not answer as SOCKS5 does"
        return _nonsense(proxy)
    if proxy.scheme != "http":
        return f"it refuses {host} port {port}: {_SOCKS.get(code, 'reply')} ({code})"
    if code == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        what = "did not accept user name and password" if proxy.username else "wants a user name and a password"
        return f"it {what} (HTTP 407)"
    phrase = f" {http.HTTPStatus(code).phrase}" if code in _STATUSES else ""
    return f"it refuses {host} port {port}: HTTP {code}{phrase}"


_STATUSES: Final = frozenset(int(status) for status in http.HTTPStatus)


def _nonsense(proxy: Proxy) -> str:
    return f"it did not answer as {'an HTTP proxy' if proxy.scheme == 'http' else 'a SOCKS5 proxy'} does"

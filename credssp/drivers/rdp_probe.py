"""Runs `credssp.rdp.probe` over asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from credssp.context.probing import ProbeReport
from credssp.drivers.blocking import obstacle_of, reason
from credssp.drivers.handshake import ConnectError, DeadlineError, Obstacle, Timeouts, too_late
from credssp.drivers.proxies import reach_async
from credssp.errors import CredSSPError, PeerClosedError
from credssp.proxy import Proxy
from credssp.rdp.probe import ProbeLeg, ProbeSteps
from credssp.rdp.probe import probe as probe_steps

__all__ = ["probe"]

_log = logging.getLogger("credssp.probe")

_Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""An answer of getaddrinfo."""


async def probe(
    host: str,
    port: int,
    *,
    timeouts: Timeouts,
    proxy: Proxy | None = None,
    cookie: str | None = None,
    routing_token: bytes | None = None,
    pace: Callable[[], float] | None = None,
) -> ProbeReport:
    """Find out what a server offers. Whatever it does, it becomes a report.

    Args:
        host: name or address of the server.
        port: TCP port.
        timeouts: how long to wait; `login` is for all connections.
        proxy: a proxy to connect through.
        cookie: IDENTIFIER of the cookie; None or empty for none.
        routing_token: a load balancer's token in place of the cookie.
        pace: called before each connection; returns the seconds to wait until it may be made, which do not count as
            the server's.
    """
    report = ProbeReport(host, port)
    addresses: list[_Address] = []
    begin = time.monotonic()
    try:
        async with asyncio.timeout(timeouts.login) as limit:

            async def connect() -> _Peer:
                nonlocal begin
                if pace is not None and (delay := pace()) > 0:
                    limit.reschedule((limit.when() or 0.0) + delay)
                    begin += delay
                    await asyncio.sleep(delay)
                return await _connect(host, port, timeouts, proxy, addresses)

            steps = probe_steps(report, cookie=cookie or None, routing_token=routing_token)
            await _run(steps, connect, (host, port))
    except TimeoutError:
        report.error = DeadlineError(f"the server did not finish within {timeouts.login:g} s")
    except CredSSPError as error:
        report.fail(error)
    report.begin("")
    report.seconds = time.monotonic() - begin
    return report


def _told(data: bytes) -> str:
    """Say what bytes are, by the first of them."""
    if not data:
        return "nothing"
    kind = "X.224" if data[0] == 3 else "TLS" if 20 <= data[0] <= 23 else "data"
    return f"{kind}, {len(data)} bytes"


async def _run(steps: ProbeSteps[None], connect: Callable[[], Awaitable[_Peer]], where: tuple[str, int]) -> None:
    leg = next(steps)
    peer = await connect()
    try:
        while True:
            try:
                data = await peer.exchange(leg)
            except CredSSPError as error:
                _log.debug("%s port %d: client ->  %s, then: %s", *where, _told(leg.data), error.message)
                leg = steps.throw(error)
            else:
                _log.debug("%s port %d: client ->  %s; <- server  %s", *where, _told(leg.data), _told(data))
                leg = steps.send(data)
            if leg.fresh:
                peer.abort()
                peer = await connect()
    except StopIteration:
        pass
    finally:
        peer.abort()


async def _connect(host: str, port: int, timeouts: Timeouts, proxy: Proxy | None, addresses: list[_Address]) -> _Peer:
    if proxy is not None:
        return _Peer(await reach_async(host, port, timeouts=timeouts, proxy=proxy), timeouts)
    try:
        async with asyncio.timeout(timeouts.connect):
            return _Peer(await _open(host, port, addresses), timeouts)
    except TimeoutError:
        raise ConnectError(f"no connection within {timeouts.connect:g} s").because_of(Obstacle.SILENT) from None
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConnectError(f"no connection: {reason(error)}").because_of(obstacle_of(error)) from None


async def _open(host: str, port: int, addresses: list[_Address]) -> socket.socket:
    """Connect to the first address of the host that takes it; raises what the first of them came to.

    Args:
        host: name or address.
        port: TCP port.
        addresses: those to try, which are looked up where there are none. The one that took the connection is left:
            a name may belong to several servers, and a report is about one.
    """
    loop = asyncio.get_running_loop()
    if not addresses:
        addresses += _numeric(host, port) or await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    errors: list[OSError] = []
    try:
        for found in addresses:
            family, kind, protocol, _, address = found
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                errors.append(error)
            except BaseException:
                sock.close()
                raise
            else:
                addresses[:] = [found]
                return sock
        raise errors[0]
    finally:
        del errors  # each has this frame in its traceback, and would live until the collector comes


def _numeric(host: str, port: int) -> list[_Address]:
    """Return what an address stands for, and nothing for a name; IPv4 without getaddrinfo, which costs more."""
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        try:
            return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
        except socket.gaierror:
            return []
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]


class _Peer:
    """One connection to the server, without asyncio's streams, which cost more than most answers.

    Every wait ends after `Timeouts.leg`.
    """

    def __init__(self, sock: socket.socket, timeouts: Timeouts) -> None:
        self._sock = sock
        self._timeouts = timeouts

    def abort(self) -> None:
        """Close without a word: a probe that says goodbye in TLS waits for an answer that many servers never send."""
        self._sock.close()

    async def exchange(self, leg: ProbeLeg) -> bytes:
        """Send, and return what comes if something is awaited."""
        loop = asyncio.get_running_loop()
        step = "send"
        try:
            async with asyncio.timeout(self._timeouts.leg):
                if leg.data:
                    # What came before an error is still to be read.
                    with contextlib.suppress(OSError):
                        await loop.sock_sendall(self._sock, leg.data)
                if not leg.awaited:
                    return b""
                step = leg.awaited
                data = await loop.sock_recv(self._sock, 65536)
        except TimeoutError:
            raise too_late(self._timeouts, step, whole=False) from None
        except OSError:
            data = b""
        if not data:
            raise PeerClosedError(f"the server closed the connection; the next step was to {leg.awaited}")
        return data

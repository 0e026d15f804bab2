"""Runs `credssp.rdp.probe` over asyncio."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import Awaitable, Callable

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

_NUMBER = re.compile(r"\[Errno (\d+)\]")


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
    begin = time.monotonic()
    try:
        async with asyncio.timeout(timeouts.login) as limit:

            async def connect() -> _Peer:
                nonlocal begin
                if pace is not None and (delay := pace()) > 0:
                    limit.reschedule((limit.when() or 0.0) + delay)
                    begin += delay
                    await asyncio.sleep(delay)
                return await _connect(host, port, timeouts, proxy)

            steps = probe_steps(report, cookie=cookie or None, routing_token=routing_token)
            await _run(steps, connect, (host, port))
    except TimeoutError:
        report.error = DeadlineError(f"the server did not finish within {timeouts.login:g} s")
    except CredSSPError as error:
        report.error = error
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


async def _connect(host: str, port: int, timeouts: Timeouts, proxy: Proxy | None) -> _Peer:
    if proxy is not None:
        tunnel = await reach_async(host, port, timeouts=timeouts, proxy=proxy)
        return _Peer(*await asyncio.open_connection(sock=tunnel), timeouts)
    try:
        async with asyncio.timeout(timeouts.connect):
            return _Peer(*await _open(host, port), timeouts)
    except TimeoutError:
        raise ConnectError(f"no connection within {timeouts.connect:g} s").because_of(Obstacle.SILENT) from None
    except (OSError, UnicodeError, OverflowError) as error:
        first = _first(error)
        raise ConnectError(f"no connection: {reason(first)}").because_of(obstacle_of(first)) from None


async def _open(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect; to an IPv4 address without what asyncio does for names, which costs more than a refusal itself."""
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        return await asyncio.open_connection(host, port)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        return await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


def _first(error: Exception) -> Exception:
    """Return the first of the errors that asyncio puts into one where a host has several addresses, as a text only."""
    if isinstance(error, OSError) and error.errno is None and (found := _NUMBER.search(str(error))):
        return OSError(int(found[1]), "")
    return error


class _Peer:
    """One connection to the server; every wait ends after `Timeouts.leg`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeouts: Timeouts) -> None:
        self._reader = reader
        self._writer = writer
        self._timeouts = timeouts

    def abort(self) -> None:
        """Close without a word: a probe that says goodbye in TLS waits for an answer that many servers never send."""
        self._writer.transport.abort()

    async def exchange(self, leg: ProbeLeg) -> bytes:
        """Send, and return what comes if something is awaited."""
        if leg.data:
            await self._send(leg.data)
        return await self._receive(leg.awaited) if leg.awaited else b""

    async def _send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            async with asyncio.timeout(self._timeouts.leg):
                await self._writer.drain()
        except TimeoutError:
            raise too_late(self._timeouts, "send", whole=False) from None
        except OSError:
            pass  # what came before it is still to be read

    async def _receive(self, awaited: str) -> bytes:
        try:
            async with asyncio.timeout(self._timeouts.leg):
                data = await self._reader.read(65536)
        except TimeoutError:
            raise too_late(self._timeouts, awaited, whole=False) from None
        except OSError:
            data = b""
        if not data:
            raise PeerClosedError(f"the server closed the connection; the next step was to {awaited}")
        return data

"""A relay between two sessions on asyncio: what one peer sends, the other gets, until one of them ends.

The transports are taken from the sessions, and have no buffers of their own (`credssp.drivers.reading`); a peer that
does not read stops the other from being read. An idle session therefore costs what its two TLS channels cost, and
nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from credssp.drivers.aio import AsyncSession
from credssp.drivers.handshake import DeadlineError, Handshake
from credssp.drivers.reading import BufferedReading
from credssp.errors import CredSSPError

__all__ = ["RelayEnd", "relay"]

_HIGH: Final = 1024 * 1024
"""Bytes that wait for a peer before the other is not read any more."""
_GOODBYE: Final = 5.0
"""Seconds that a peer has to take what is still to be sent when the session ends."""


@dataclass(frozen=True, slots=True)
class RelayEnd:
    """How a relay ended.

    Attributes:
        first: who ended it: ``client``, ``server`` or ``relay``.
        error: what failed, or None where the peer closed its stream.
        sent: bytes from the client to the server, before the filter.
        received: bytes from the server to the client, likewise.
        idle: whether nothing was sent for the time that was allowed.
    """

    first: str
    error: Exception | None
    sent: int
    received: int
    idle: bool = False


class _Half(BufferedReading):
    """One of the two transports."""

    other: _Half

    def __init__(self, name: str, endpoint: Handshake, transport: asyncio.Transport, owner: _Relay) -> None:
        self.name = name
        self.endpoint = endpoint
        self.transport = transport
        self.octets = 0
        self.filter: Callable[[bytes], bytes] | None = None
        self.lost = asyncio.get_running_loop().create_future()
        self._owner = owner

    def data_received(self, data: bytes) -> None:
        """Decrypt what was read and give it to the other."""
        try:
            plaintext = self.endpoint.unwrap(data)
            if plaintext:
                self.pass_on(plaintext)
            reply = self.endpoint.data_to_send()
            if reply:
                self.transport.write(reply)
        except Exception as error:  # noqa: BLE001  # of a filter, say: it ends this session
            self._owner.end(self.name, error)
            return
        if self.endpoint.peer_closed:
            self._owner.end(self.name, None)

    def pass_on(self, plaintext: bytes) -> None:
        """Send plaintext of this peer to the other, changed by the filter."""
        self.octets += len(plaintext)
        self._owner.active = True
        data = plaintext if self.filter is None else self.filter(plaintext)
        if data:
            self.other.transport.write(self.other.endpoint.wrap(data))

    def eof_received(self) -> bool:
        """End the relay; what is on its way still goes out."""
        self._owner.end(self.name, None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End the relay."""
        if not self.lost.done():
            self.lost.set_result(None)
        self._owner.end(self.name, exc)

    def pause_writing(self) -> None:
        """Stop reading the other peer: this one does not take what it says."""
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read the other peer again."""
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class _Relay:
    """The two halves and what ends them."""

    def __init__(self) -> None:
        self.over: asyncio.Future[tuple[str, Exception | None]] = asyncio.get_running_loop().create_future()
        self.active = False

    def end(self, name: str, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result((name, error))

    def check_begun(self, begun: Callable[[], bool], seconds: float) -> None:
        if not begun():
            self.end("relay", DeadlineError(f"the client did not begin its session within {seconds:g} s"))


async def relay(
    client: AsyncSession[Any],
    server: AsyncSession[Any],
    *,
    from_client: Callable[[bytes], bytes] | None = None,
    from_server: Callable[[bytes], bytes] | None = None,
    idle: float | None = None,
    total: float | None = None,
    begin: float | None = None,
    begun: Callable[[], bool] | None = None,
) -> RelayEnd:
    """Connect two sessions until one of them ends, then close both.

    Args:
        client: the session of the client; it belongs to the relay from now on.
        server: the session of the server; likewise.
        from_client: changes what goes from the client to the server; what it raises ends the relay.
        from_server: the same for the other direction.
        idle: seconds without a byte in either direction, after which it ends; None for no limit.
        total: seconds after which it ends; None for no limit.
        begin: seconds after which `begun` must be true; None for no limit.
        begun: whether the session has begun, which the filters know.

    Returns:
        Who ended it, and how. Both connections are closed then, or will be within five seconds.
    """
    owner = _Relay()
    halves = []
    for name, session, change in (("client", client, from_client), ("server", server, from_server)):
        endpoint, transport, early, ended = await session.detach()
        half = _Half(name, endpoint, transport, owner)
        half.filter = change
        if session.closed:  # which its transport has told already
            half.lost.set_result(None)
        halves.append((half, early, ended))
    (front, _, _), (back, _, _) = halves
    front.other, back.other = back, front
    for half, early, ended in halves:
        half.transport.set_protocol(half)
        half.transport.set_write_buffer_limits(high=_HIGH)
        if half.transport.is_closing():
            owner.end(half.name, None)
        try:
            if early:
                half.pass_on(early)
        except Exception as problem:  # noqa: BLE001  # as in data_received
            owner.end(half.name, problem)
        if ended:
            owner.end(half.name, None)
        if not half.transport.is_closing():
            half.transport.resume_reading()
    loop = asyncio.get_running_loop()
    timer = None if begin is None or begun is None else loop.call_later(begin, owner.check_begun, begun, begin)
    try:
        first, error, was_idle = await _until_over(owner, idle, total)
    finally:
        if timer is not None:
            timer.cancel()
        await _close(front, back)
    return RelayEnd(first, error, front.octets, back.octets, was_idle)


async def _until_over(owner: _Relay, idle: float | None, total: float | None) -> tuple[str, Exception | None, bool]:
    """Wait for the end, or for one of the two times."""
    loop = asyncio.get_running_loop()
    end = None if total is None else loop.time() + total
    while True:
        owner.active = False
        left = None if end is None else max(0.0, end - loop.time())
        wait = min((value for value in (idle, left) if value is not None), default=None)
        done, _ = await asyncio.wait([owner.over], timeout=wait)
        if done:
            first, error = owner.over.result()
            return first, error, False
        if end is not None and loop.time() >= end:
            return "relay", None, False
        if not owner.active:
            return "relay", None, True


async def _close(*halves: _Half) -> None:
    """Say goodbye to both, and give them time to take it."""
    for half in halves:
        half.filter = None
        if not half.transport.is_closing():
            try:
                goodbye = half.endpoint.shutdown()
            except CredSSPError:
                goodbye = b""
            half.transport.write(goodbye)
            half.transport.close()
    pending = [half for half in halves if not half.lost.done()]
    if pending:
        await asyncio.wait([half.lost for half in pending], timeout=_GOODBYE)
    for half in pending:
        if not half.lost.done():
            half.transport.abort()
    for half in halves:
        del half.other

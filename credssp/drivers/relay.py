"""A relay between two sessions on asyncio: what one peer sends, the other gets, until one of them ends.

The transports are taken from the sessions, and have no buffers of their own (`credssp.drivers.reading`); a peer that
does not read stops the other from being read. An idle session therefore costs what its two TLS channels cost, and
nothing more.

Once a direction is free (nothing is changed in it any more) its bytes go from channel to channel (`credssp.tls.pipe`).
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from credssp.drivers.aio import AsyncSession
from credssp.drivers.handshake import DeadlineError, Handshake
from credssp.drivers.reading import BufferedReading
from credssp.errors import CredSSPError
from credssp.tls.channel import TLSChannel
from credssp.tls.pipe import PLAINTEXT, pass_on

__all__ = ["Filter", "RelayEnd", "relay"]

_HIGH: Final = 1024 * 1024
"""Bytes that wait for a peer before the other is not read any more."""
_READ: Final = 512 * 1024
"""Bytes that are read at a time, if there are as many: fewer turns of the loop for one session, and others wait for
1 ms."""
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


@dataclass(frozen=True, slots=True)
class Filter:
    """What changes a direction for a time.

    Attributes:
        feed: takes bytes of the one peer and returns those for the other; what it raises ends the relay.
        free: whether every byte passes as it comes from now on, so that `feed` need not be asked any more.
        look: sees then what passes, before it does; what it raises ends the relay. It must not keep the view. None to
            let it pass unseen.
    """

    feed: Callable[[bytes], bytes]
    free: Callable[[], bool]
    look: Callable[[memoryview], None] | None = None


class _Endpoint(Handshake, Protocol):
    """A side of a login whose stream can be relayed."""

    def take_channel(self) -> TLSChannel | None:
        """Give away the TLS channel; None without one, and as long as the endpoint has to see what comes."""


_plaintext: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = weakref.WeakKeyDictionary()


def _plaintext_buffer() -> memoryview:
    """Return the buffer that relays of the running loop decrypt to; what is in it is sent before another one runs."""
    loop = asyncio.get_running_loop()
    held = _plaintext.get(loop)
    if held is None:
        held = _plaintext[loop] = memoryview(bytearray(PLAINTEXT))
    return held


class _Half(BufferedReading):
    """One of the two transports."""

    other: _Half
    _read_size = _READ

    def __init__(self, name: str, endpoint: _Endpoint, transport: asyncio.Transport, owner: _Relay) -> None:
        self.name = name
        self.endpoint = endpoint
        self.transport = transport
        self.octets = 0
        self.filter: Filter | None = None
        self.look: Callable[[memoryview], None] | None = None
        self.lost = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._plaintext = _plaintext_buffer()
        self._channels: tuple[TLSChannel, TLSChannel] | None = None

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        data = self.get_buffer(nbytes)[:nbytes]
        if self.filter is None and (self._channels is not None or self._take_channels()):
            self._take(self._pass_on_all, data)
        else:
            self.data_received(bytes(data))

    def _take_channels(self) -> bool:
        """Do without the endpoints, once neither has to see what passes."""
        try:
            mine, others = self.endpoint.take_channel(), self.other.endpoint.take_channel()
        except CredSSPError:  # it is about to end: the endpoint says how
            return False
        if mine is None or others is None:
            return False
        self._channels = mine, others
        return True

    def data_received(self, data: bytes) -> None:
        """Decrypt what was read and give it to the other, changed by the filter."""
        self._take(self._pass_on_changed, data)

    def _take(self, pass_on: Callable[[Any], None], data: bytes | memoryview) -> None:
        try:
            pass_on(data)
            reply = self.endpoint.data_to_send()
            if reply:
                self.transport.write(reply)
        except Exception as error:  # noqa: BLE001  # of a filter, say: it ends this session
            self._owner.end(self.name, error)
            return
        if self.endpoint.peer_closed:
            self._owner.end(self.name, None)

    def _pass_on_changed(self, data: bytes) -> None:
        plaintext = self.endpoint.unwrap(data)
        if plaintext:
            self.pass_on(plaintext)

    def _pass_on_all(self, data: memoryview) -> None:
        """Send what was read to the other as it is."""
        assert self._channels is not None  # noqa: S101  # _take_channels comes first
        mine, others = self._channels
        size = pass_on(mine, others, data, self._plaintext, look=self.look, send=self.other.transport.write)
        if size:
            self.octets += size
            self._owner.active = True

    def pass_on(self, plaintext: bytes) -> None:
        """Send plaintext of this peer to the other, changed by the filter."""
        self.octets += len(plaintext)
        self._owner.active = True
        change = self.filter
        data = plaintext
        if change is not None:
            data = change.feed(plaintext)
        elif self.look is not None:
            self.look(memoryview(plaintext))
        if data:
            self.other.transport.write(self.other.endpoint.wrap(data))
        if change is not None and change.free():
            self.filter, self.look = None, change.look

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
    """What ends the two halves: whichever of them is first, or a timer."""

    def __init__(self) -> None:
        self.over: asyncio.Future[tuple[str, Exception | None, bool]] = asyncio.get_running_loop().create_future()
        self.active = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def end(self, name: str, error: Exception | None, *, idle: bool = False) -> None:
        if not self.over.done():
            self.over.set_result((name, error, idle))

    def allow(self, *, idle: float | None, total: float | None) -> None:
        """Begin to count."""
        if idle is not None:
            self._later("idle", idle, self._check_idle, idle)
        if total is not None:
            self._later("total", total, self.end, "relay", None)

    def demand(self, begun: Callable[[], bool], seconds: float) -> None:
        """End it if it has not begun by then."""
        self._later("begin", seconds, self._check_begun, begun, seconds)

    def stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _later(self, name: str, seconds: float, work: Callable[..., object], *arguments: object) -> None:
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, work, *arguments)

    def _check_idle(self, seconds: float) -> None:
        if not self.active:
            self.end("relay", None, idle=True)
        self.active = False
        self._later("idle", seconds, self._check_idle, seconds)

    def _check_begun(self, begun: Callable[[], bool], seconds: float) -> None:
        del self._timers["begin"]  # it knows the filters, which are done with
        if not begun():
            self.end("relay", DeadlineError(f"the client did not begin its session within {seconds:g} s"))


def _never() -> bool:
    return False


async def relay(
    client: AsyncSession[Any],
    server: AsyncSession[Any],
    *,
    from_client: Filter | Callable[[bytes], bytes] | None = None,
    from_server: Filter | Callable[[bytes], bytes] | None = None,
    idle: float | None = None,
    total: float | None = None,
    begin: float | None = None,
    begun: Callable[[], bool] | None = None,
) -> RelayEnd:
    """Connect two sessions until one of them ends, then close both.

    Args:
        client: the session of the client; it belongs to the relay from now on.
        server: the session of the server; likewise.
        from_client: changes what goes from the client to the server, for a time (`Filter`) or until the end.
        from_server: the same for the other direction.
        idle: seconds without a byte in either direction, after which it ends; None for no limit.
        total: seconds after which it ends; None for no limit.
        begin: seconds after which `begun` must be true; None for no limit.
        begun: whether the session has begun, which the filters know.

    Returns:
        Who ended it, and how. Both connections are closed then, or will be within five seconds.
    """
    owner = _Relay()
    ends = [await _detach("client", client, from_client, owner), await _detach("server", server, from_server, owner)]
    # What this coroutine refers to lives as long as the session: buffers, filters, and what they have read.
    del client, server, from_client, from_server
    if begin is not None and begun is not None:
        owner.demand(begun, begin)
    del begun
    front, back = _join(owner, ends)
    del ends
    owner.allow(idle=idle, total=total)
    try:
        first, error, was_idle = await owner.over
    finally:
        owner.stop_timers()
        await _close(front, back)
    return RelayEnd(first, error, front.octets, back.octets, was_idle)


_Detached: TypeAlias = tuple[_Half, bytes, bool]
"""A half, the plaintext that was read before, and whether its peer has ended."""


async def _detach(
    name: str, session: AsyncSession[Any], change: Filter | Callable[[bytes], bytes] | None, owner: _Relay
) -> _Detached:
    endpoint, transport, early, ended = await session.detach()
    half = _Half(name, endpoint, transport, owner)
    half.filter = Filter(change, _never) if callable(change) else change
    if session.closed:  # which its transport has told already
        half.lost.set_result(None)
    return half, early, ended


def _join(owner: _Relay, ends: list[_Detached]) -> tuple[_Half, _Half]:
    """Let each half feed the other, beginning with what was read before."""
    (front, _, _), (back, _, _) = ends
    front.other, back.other = back, front
    for half, early, ended in ends:
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
    return front, back


async def _close(*halves: _Half) -> None:
    """Say goodbye to both, and give them time to take it."""
    for half in halves:
        half.filter = half.look = None
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

"""Logins over asyncio.

The login runs in a `asyncio.BufferedProtocol`, not in a coroutine over streams: a server spends most of a login inside
OpenSSL, and waking a task for each leg would be felt (benchmarks/rdp.py). With `asyncio.Protocol` the event loop makes
a buffer of 256 KiB for every read, which costs six times as much as reading a few hundred bytes into one that is
there (`credssp.drivers.reading`).

The stream after the login is an ordinary one, read with `AsyncSession.read` from an `asyncio.StreamReader`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from credssp.drivers.handshake import Handshake, Timeouts, too_late
from credssp.drivers.reading import BufferedReading, loop_queues
from credssp.errors import CredSSPError, PeerClosedError

__all__ = ["AsyncSession", "LoginProtocol", "Session"]

_READ_LIMIT = 65536

H = TypeVar("H", bound=Handshake)


class LoginProtocol(BufferedReading, Generic[H]):
    """Runs a login on a transport; `finished` or `failed` is called once.

    Attributes:
        endpoint: this side of the login.
    """

    def __init__(
        self,
        endpoint: H,
        *,
        timeouts: Timeouts,
        finished: Callable[[AsyncSession[H]], None],
        failed: Callable[[Exception], None],
        on_events: Callable[[Sequence[object]], None] | None = None,
        in_thread: bool = False,
        linger: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            endpoint: this side of the login.
            timeouts: `leg` and `login` count here.
            finished: gets the session.
            failed: gets the error, as it was raised; what had still to be sent is on its way.
            on_events: called with the events of every leg; what it raises fails the login.
            in_thread: whether legs run in a thread, because the mechanism may ask a KDC.
            linger: how many seconds, after a failure, the peer has to close first. A socket that is closed with
                something unread in it is reset, and the reset may overtake the errorCode.
        """
        self.endpoint = endpoint
        self._timeouts = timeouts
        # Methods of a subclass, mostly: let go of at the end, or the login would refer to itself, and what was
        # delegated would stay alive until the garbage collector looks.
        self._finished: Callable[[AsyncSession[H]], None] | None = finished
        self._failed: Callable[[Exception], None] | None = failed
        self._on_events = on_events
        self._in_thread = in_thread
        self._linger = linger
        self._loop = asyncio.get_running_loop()
        self._queues = loop_queues()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._waiting = False
        self._last = self._end = 0.0

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._last = self._loop.time()
        self._end = self._last + self._timeouts.login
        self._timer = self._loop.call_at(self._last + min(self._timeouts.leg, self._timeouts.login), self._check_time)
        try:
            with self._queues:
                self.endpoint.start()
                self._flush()
        except Exception as error:  # noqa: BLE001  # as in data_received
            self.fail(error)

    def data_received(self, data: bytes) -> None:
        """Go on."""
        if self._over:
            return  # lingering: whatever the peer still says, it is not heard
        self._last = self._loop.time()
        if self._in_thread:
            # Nothing further is read until the leg is done, so that legs stay in order.
            self._pause()
            self._task = self._loop.create_task(self._receive_in_thread(data))
            return
        try:
            with self._queues:
                events = self.endpoint.receive(data)
                self._flush()
                self._handle(events)
        except Exception as error:  # noqa: BLE001  # of a callback, say: the loop would log it and close the connection
            self.fail(error)

    def eof_received(self) -> bool:
        """Note that the peer will send no more; a transport is closed then."""
        self._ended()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # a reset is an end like others
        """Note that the connection is gone."""
        self._ended()
        self._stop_timer()

    # The login

    def _ended(self) -> None:
        if self._over:
            return
        try:
            self.endpoint.receive_eof()
        except CredSSPError as error:
            self.fail(error)
        else:
            self.fail(PeerClosedError("the peer closed the connection"))

    async def _receive_in_thread(self, data: bytes) -> None:
        try:
            events = await asyncio.to_thread(self.endpoint.receive, data)
            if not self._over:
                self._resume()
                self._flush()
                self._handle(events)
        except Exception as error:  # noqa: BLE001  # as in data_received
            self.fail(error)

    def _handle(self, events: Sequence[object]) -> None:
        if events and self._on_events is not None:
            self._on_events(events)
            self._flush()
        self.advance()

    def advance(self) -> None:
        """Look whether the login is over; for those who moved the endpoint themselves."""
        transport = self._transport
        if self._over or transport is None or not self.endpoint.complete:
            return
        self._over = True
        self._stop_timer()
        self._hand_over(transport)

    def _hand_over(self, transport: asyncio.Transport) -> None:
        """Make a session of the connection."""
        self._flush()
        finished = self._finished
        self._let_go()
        if finished is not None:
            finished(AsyncSession(self.endpoint, transport))

    def _let_go(self) -> None:
        self._finished = self._failed = self._on_events = None

    @property
    def over(self) -> bool:
        """Whether the login ended, well or not."""
        return self._over

    def wait(self) -> None:
        """Take the time of the own side off the peer's account, until `resume`."""
        self._waiting = True

    def resume(self) -> None:
        """Count the peer's time again."""
        self._waiting = False
        self._last = self._loop.time()

    def fail(self, error: Exception) -> None:
        """End the login. What it produced and the error's `token` go out; nothing else is read."""
        if self._over:
            return
        token = error.token if isinstance(error, CredSSPError) else b""
        self._over = True
        self._stop_timer()
        transport, failed = self._transport, self._failed
        self._let_go()
        if transport is not None and not transport.is_closing():
            self._say_last(transport, token)
        if failed is not None:
            failed(error)

    def _say_last(self, transport: asyncio.Transport, token: bytes) -> None:
        if token:
            transport.write(token)
        if not (self._linger and token):
            transport.close()
            return
        self._timer = self._loop.call_later(self._linger, transport.abort)
        try:
            if transport.can_write_eof():
                transport.write_eof()
        except Exception:  # noqa: BLE001  # OSError, or one of the loop's own: the peer has reset the connection
            transport.abort()

    def abort(self, error: CredSSPError) -> None:
        """End the login at once, without a word to the peer."""
        self._linger = 0.0
        error.token = b""
        transport = self._transport
        self.fail(error)
        if transport is not None:
            transport.abort()

    def _check_time(self) -> None:
        """Compare the clock once per `leg`, not once per message: setting a timer costs more than the look."""
        now = self._loop.time()
        if now >= self._end:
            self.fail(too_late(self._timeouts, self.endpoint.awaited, whole=True))
            return
        due = self._last + self._timeouts.leg
        if now >= due and not self._waiting:
            self.fail(too_late(self._timeouts, self.endpoint.awaited, whole=False))
            return
        if due <= now:
            due = now + self._timeouts.leg
        self._timer = self._loop.call_at(min(due, self._end), self._check_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        data = self.endpoint.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


class _Pump(BufferedReading):
    """Between the transport and a session's reader."""

    def __init__(self, endpoint: Handshake, transport: asyncio.Transport, reader: asyncio.StreamReader) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._reader = reader
        self.full: asyncio.Event | None = None  # while the peer does not take what was written
        self.closed = asyncio.get_running_loop().create_future()
        self.fed = 0

    def feed(self, plaintext: bytes) -> None:
        """Put plaintext into the reader."""
        self.fed += len(plaintext)
        self._reader.feed_data(plaintext)

    def data_received(self, data: bytes) -> None:
        try:
            plaintext = self._endpoint.unwrap(data)
        except Exception as error:  # noqa: BLE001  # the reader gets it
            self._reader.set_exception(error)
            self._transport.close()
            return
        if plaintext:
            self.feed(plaintext)
        reply = self._endpoint.data_to_send()
        if reply:
            self._transport.write(reply)
        if self._endpoint.peer_closed:
            self.end()

    def end(self) -> None:
        """Note that nothing more comes; a server that refused the login after all says so with that."""
        try:
            self._endpoint.receive_eof()
        except CredSSPError as error:
            # Its frames refer to this object, which refers to the reader: memory would wait for the garbage collector.
            self._reader.set_exception(error.with_traceback(None))
        self._reader.feed_eof()

    def eof_received(self) -> bool:
        self.end()
        return True  # we may still have something to say

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._reader.feed_eof()
        else:
            self.end()
            if self._reader.exception() is None:
                self._reader.set_exception(exc)
        self.resume_writing()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        if self.full is None:
            self.full = asyncio.Event()

    def resume_writing(self) -> None:
        full, self.full = self.full, None
        if full is not None:
            full.set()


class AsyncSession(Generic[H]):
    """The encrypted stream after a login.

    Threads: the thread of the event loop only, as for asyncio's own streams. Full duplex: one task may read while
    another writes.

    Attributes:
        endpoint: this side of the login: what was negotiated, who logged on, what TLS says.
    """

    def __init__(self, endpoint: H, transport: asyncio.Transport) -> None:
        self.endpoint = endpoint
        self._transport = transport
        self._reader = asyncio.StreamReader(_READ_LIMIT)
        self._pump = _Pump(endpoint, transport, self._reader)
        transport.set_protocol(self._pump)
        self._reader.set_transport(transport)
        self._fetched = 0
        if endpoint.unused_data:
            self._pump.feed(endpoint.unused_data)
        if endpoint.peer_closed:
            self._pump.end()

    async def read(self, size: int = _READ_LIMIT) -> bytes:
        """Return up to `size` bytes, at least one, or none at the end of the stream.

        Bytes that came together with the login's last message come first.

        Raises:
            PeerRefusedError, LoginRefusedError: the server refused the login after all (`NLAClient.accepted`).
            CredSSPError: TLS failed, or the peer sent a fatal alert.
            OSError: the connection failed.
        """
        data = await self._reader.read(size)
        self._fetched += len(data)
        return data

    async def readexactly(self, size: int) -> bytes:
        """Return exactly `size` bytes.

        Raises:
            PeerClosedError: the stream ended before.
            CredSSPError, OSError: as `read`.
        """
        try:
            data = await self._reader.readexactly(size)
            self._fetched += size
            return data
        except asyncio.IncompleteReadError as error:
            missing = size - len(error.partial)
        raise PeerClosedError(f"the stream ended {missing} bytes too early")

    def write(self, data: bytes) -> None:
        """Send bytes; follow it with `drain`. Raises CredSSPError if the session is closed."""
        self._transport.write(self.endpoint.wrap(data))

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written."""
        while self._pump.full is not None:
            await self._pump.full.wait()

    async def detach(self) -> tuple[H, asyncio.Transport, bytes, bool]:
        """Give the connection away; nothing else may be done with the session after that.

        Returns:
            The endpoint, which encrypts and decrypts; the transport, which is not read until its new owner calls
            `set_protocol` and `resume_reading`; the plaintext that was read and not fetched; whether the peer ended.

        Raises:
            CredSSPError, OSError: as `read`.
        """
        if not self._transport.is_closing():
            self._transport.pause_reading()
        early = await self.readexactly(self._pump.fed - self._fetched) if self._pump.fed > self._fetched else b""
        self.endpoint.unused_data = b""  # it came first
        return self.endpoint, self._transport, early, self._reader.at_eof()

    def close(self) -> None:
        """Say goodbye (close_notify) and close the connection once everything is sent."""
        if not self._transport.is_closing():
            goodbye = self.endpoint.shutdown()
            if goodbye:
                self._transport.write(goodbye)
            self._transport.close()

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._pump.closed.done()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        await asyncio.shield(self._pump.closed)

    def abort(self) -> None:
        """Close the connection at once; what is not sent yet is lost."""
        self._transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()


Session = AsyncSession
"""The name at 0.1.0."""

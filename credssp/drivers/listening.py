"""A listener on asyncio that strangers cannot fill.

In RDP and in HTTP the client speaks first, so a connection gets a transport, a protocol and TLS with its first byte:
until then it costs a socket (and not the 256 KiB of asyncio's TLS, say). `Gate` decides who is let in. When the
process has no descriptors left, the listener pauses until a connection is closed, and says so once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from credssp.drivers.blocking import reason
from credssp.drivers.gate import NO_PLACE, Gate, Place, host_and_port
from credssp.errors import CredSSPError, LimitExceededError, PeerClosedError

__all__ = ["BACKLOG", "BATCH", "Complaint", "Listener", "bind_all", "bind_one", "bound_to", "send_at_once"]

logger = logging.getLogger("credssp.drivers")

BACKLOG: Final = 1024
"""Connections that the kernel may hold for us; asyncio's 100 overflow when a few hundred clients come at once. This is
half a second of a flood in which the process does not run; what comes in addition is dropped, and a client tries again
after 1, 3 and 7 s. A longer queue helps no client where a flood is faster than we are: all wait in it, and as many are
dropped."""

BATCH: Final = 32
"""Connections to accept before the loop has another turn."""


_PAUSE: Final = 1.0
_SILENCE: Final = 60.0
"""Seconds before the same is said again."""


class Complaint:
    """Says that connections cannot be accepted, once a minute at most."""

    def __init__(self) -> None:
        self._said = float("-inf")

    def say(self, error: OSError, now: float) -> None:
        """Log it, unless that was done lately."""
        if now - self._said >= _SILENCE:
            logger.warning("accept failed: %s; the listener pauses until connections are closed", reason(error))
            self._said = now


def bind_one(host: str, port: int, *, backlog: int = BACKLOG, reuse_port: bool = False) -> socket.socket:
    """Return a listening socket; a host with a colon is an IPv6 address, with or without a zone (``fe80::1%eth0``).

    Raises:
        OSError, OverflowError, ValueError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address: tuple[str | int, ...] = (host, port)
    if "%" in host:
        # Where a pair is given, Python forgets the zone. The port is not asked about: getaddrinfo takes any.
        found = socket.getaddrinfo(host, 0, family=family, type=socket.SOCK_STREAM)[0][4]
        address = (host.partition("%")[0], port, *found[2:])
    return socket.create_server(address, family=family, backlog=backlog, reuse_port=reuse_port)


def bound_to(listener: socket.socket) -> tuple[str, int]:
    """Return address and port of a listening socket; the address has its zone, where it needs one to be reached."""
    host, port, *rest = listener.getsockname()
    if len(rest) == 2 and rest[1]:
        host = f"{host}%{socket.if_indextoname(rest[1])}"
    return host, port


def send_at_once(connection: socket.socket) -> None:
    """Let a small message not wait for the acknowledgement of the one before, which takes 40 ms (Nagle's algorithm).

    asyncio does so by itself only for sockets that name their protocol, and accepted ones do not.
    """
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def bind_all(host: str | None, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """Return a listening socket for every address of a host.

    Raises:
        OSError, OverflowError, ValueError: one of them cannot be listened on.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            where = (address[0], port, *address[2:])  # as it was given: getaddrinfo takes any port
            sockets.append(socket.create_server(where, family=family, backlog=BACKLOG, reuse_port=reuse_port))
    except BaseException:
        for listener in sockets:
            listener.close()
        raise
    return sockets


class Listener:
    """Accepts connections from several sockets; has what uvicorn needs of an `asyncio.Server`.

    Attributes:
        sockets: where it listens.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        gate: Gate,
        connect: Callable[[socket.socket, Place], Awaitable[object]],
        *,
        first_byte: float,
        silent: Callable[[tuple[str, int], CredSSPError | None], None] | None = None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            sockets: listening sockets, which belong to the listener.
            gate: who is let in.
            connect: makes a transport of a connection that has sent its first byte.
            first_byte: seconds that a client has for it.
            silent: told the addresses of connections that ended before that, or had no place at all, with the reason,
                or None for those that took too long.
        """
        self.sockets = sockets
        self._admission = gate
        self._connect = connect
        self._first_byte = first_byte
        self._silent = silent
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Place, tuple[socket.socket, asyncio.TimerHandle]] = {}
        self._watched: dict[Place, int] = {}  # descriptors of those that the event loop looks at
        self._tasks: set[asyncio.Future[object]] = set()
        self._room = asyncio.Event()
        self._complaint = Complaint()

    def start(self) -> None:
        """Begin to accept."""
        for listener in self.sockets:
            listener.setblocking(False)  # as socket has it
            self._spawn(self._accept(listener))

    def close(self) -> None:
        """Stop, and close connections that have not sent anything."""
        for task in self._tasks:
            task.cancel()
        for listener in self.sockets:
            listener.close()
        for place in list(self._waiting):
            self._end(place, LimitExceededError("the server is shutting down"))

    async def wait_closed(self) -> None:
        """Wait until it is closed."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def note_room(self) -> None:
        """Say that a descriptor is free."""
        self._room.set()

    def _spawn(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        count = 0
        while True:
            try:
                connection, address = await self._loop.sock_accept(listener)
            except ConnectionError:
                continue  # it was gone already
            except OSError as error:
                if listener.fileno() < 0:
                    return
                self._complaint.say(error, self._loop.time())
                self._room.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE):
                        await self._room.wait()
                continue
            self._enter(connection, address)
            count += 1
            if not count % BATCH:
                await asyncio.sleep(0)

    def _enter(self, connection: socket.socket, address: object) -> None:
        place = self._admission.enter(address, lambda why: None)  # noqa: ARG005  # in place of the one below
        if place is None:
            connection.close()
            if self._silent is not None:
                self._silent(host_and_port(address), LimitExceededError(NO_PLACE))
            return
        connection.setblocking(False)  # as above
        place.drop = lambda why: self._end(place, LimitExceededError(why))
        timer = self._loop.call_later(self._first_byte + place.hold, self._end, place, None)
        self._waiting[place] = connection, timer
        if place.hold:
            self._loop.call_later(place.hold, self._look, place)
        else:
            self._look(place)

    def _look(self, place: Place) -> None:
        """Pass a connection on if it has sent something, and wait for that otherwise."""
        found = self._waiting.get(place)
        if found is None:
            return
        connection, _ = found
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            if place in self._watched:
                return
            try:
                self._loop.add_reader(connection.fileno(), self._look, place)
                self._watched[place] = connection.fileno()
                return
            except NotImplementedError:  # pragma: no cover  # Windows' own event loop
                first = b"?"
        except OSError:
            first = b""
        if not first:
            self._end(place, PeerClosedError("the peer closed the connection"))
            return
        self._deafen(place)
        self._admission.advance(place, 1)
        self._spawn(self._pass_on(place))

    async def _pass_on(self, place: Place) -> None:
        # It waits until here, since a task that is cancelled before its first step does nothing at all.
        connection = self._forget(place)
        if connection is None:
            return
        try:
            await self._connect(connection, place)
        except BaseException as error:
            connection.close()
            self._admission.leave(place)
            if not isinstance(error, OSError):
                raise

    def _forget(self, place: Place) -> socket.socket | None:
        found = self._waiting.pop(place, None)
        if found is None:
            return None
        connection, timer = found
        timer.cancel()
        self._deafen(place)
        return connection

    def _deafen(self, place: Place) -> None:
        descriptor = self._watched.pop(place, None)
        if descriptor is not None:
            self._loop.remove_reader(descriptor)

    def _end(self, place: Place, error: CredSSPError | None) -> None:
        connection = self._forget(place)
        if connection is None:
            return
        connection.close()
        self._admission.leave(place)
        self._room.set()
        if self._silent is not None:
            self._silent(place.address, error)

"""Which TCP connection an ASGI request came on, and what is kept for it.

ASGI does not say. The addresses in ``scope["client"]`` will not do: proxies' headers overwrite them, and the same port
comes back on another connection later, which would inherit a login. So the object that stands for the connection is
taken from the server: the protocol object of uvicorn or hypercorn, or whatever another server (or a test) puts into
``scope["extensions"]["credssp.connection"]``, which must be one object for each connection that can be referenced
weakly. Of a server that is not known, nothing is guessed: it gets no logins.

What is kept hangs on that object by a weak reference and goes with it, when the connection closes. As the objects of
hypercorn refer to each other in circles and wait for the garbage collector, connections that are closed are looked for
every few seconds too: what was delegated shall not stay in memory longer than it must.

A login ends in one outcome, and its connection is closed after that; this module sees both ends that no request shows:
a login that takes too long or that no more requests come for, and the connection that is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet, finalize

from credssp.config import ServerConfig
from credssp.drivers.handshake import DeadlineError
from credssp.errors import CredSSPError, LimitExceededError, PeerClosedError
from credssp.winrm.server import ServerConnection

__all__ = ["CONNECTION", "Connections", "HTTPConnection", "connection_object", "is_closed"]

CONNECTION: Final = "credssp.connection"
"""Name of the ASGI extension that holds an object for the TCP connection."""

_UVICORN: Final = "uvicorn.protocols.http."
_HYPERCORN: Final = "hypercorn.protocol."
_SWEEP: Final = 5.0
"""Seconds between two looks for connections that are closed."""


def connection_object(scope: Any, receive: Any, send: Any) -> object | None:
    """Return an object that stands for the TCP connection of a request, or None where none is known."""
    given = (scope.get("extensions") or {}).get(CONNECTION)
    if given is not None:
        return given  # type: ignore[no-any-return]  # whatever it is
    cycle = getattr(receive, "__self__", None)
    if _is_from(cycle, _UVICORN):
        return getattr(getattr(cycle, "on_response", None), "__self__", None)
    stream = getattr(send, "__self__", None)
    if _is_from(stream, _HYPERCORN):
        return getattr(getattr(stream, "send", None), "__self__", None)
    return None


def is_closed(connection: object) -> bool:
    """Whether the TCP connection of such an object is certainly closed."""
    if hasattr(connection, "on_response_complete"):  # uvicorn's protocols, and classes made from them
        transport = getattr(connection, "transport", None)
    elif _is_from(connection, _HYPERCORN):
        server = getattr(getattr(connection, "send", None), "__self__", None)
        transport = getattr(server, "writer", None)
    else:
        return False
    return transport is not None and bool(transport.is_closing())


def _is_from(value: object, package: str) -> bool:
    return value is not None and f"{type(value).__module__}.".startswith(package)


class HTTPConnection(ServerConnection):
    """What is kept for a TCP connection.

    Attributes:
        client: the client's address and port, or None.
        outcomes: logins that were told.
        pending: whether a login has begun whose outcome was not told.
        busy: requests of which a leg is being judged: the outcome is theirs.
        lost: why the connection is gone, once it is.
    """

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(config=config)
        self.client: tuple[str, int] | None = None
        self.outcomes = 0
        self.pending = False
        self.busy = 0
        self.lost: CredSSPError | None = None


class Connections:
    """What is kept for the connections of one server."""

    def __init__(
        self,
        make: Callable[[object], HTTPConnection],
        *,
        half_open: int,
        deadline: float,
        failed: Callable[[HTTPConnection, CredSSPError], None] = lambda connection, error: None,  # noqa: ARG005
        closed: Callable[[HTTPConnection], None] = lambda connection: None,  # noqa: ARG005
    ) -> None:
        """Prepare.

        Args:
            make: makes what is kept for a connection, from the object that stands for it.
            half_open: logins that may be under way; one more, and the oldest is dropped.
            deadline: seconds for a login.
            failed: told of a login that was dropped.
            closed: told, once, of a connection that is gone and has no leg under way.
        """
        self._make = make
        self._half_open = half_open
        self._deadline = deadline
        self._failed = failed
        self._closed = closed
        self._all: WeakKeyDictionary[object, HTTPConnection] = WeakKeyDictionary()
        self._lost: WeakKeyDictionary[object, HTTPConnection] = WeakKeyDictionary()
        self._watched: WeakKeyDictionary[HTTPConnection, finalize[..., object]] = WeakKeyDictionary()
        self._logins: OrderedDict[HTTPConnection, asyncio.TimerHandle] = OrderedDict()
        self._expired: WeakSet[HTTPConnection] = WeakSet()
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[HTTPConnection]:
        return iter(list(self._all.values()))

    @property
    def half_open(self) -> int:
        """Logins that are under way."""
        return len(self._logins)

    def of(self, connection: object) -> HTTPConnection:
        """Return what is kept for a connection."""
        found = self._all.get(connection) or self._lost.get(connection)
        if found is None:
            found = self._all[connection] = self._make(connection)
            watched = self._watched[found] = finalize(connection, self._gone, asyncio.get_running_loop(), found)
            watched.atexit = False
            if self._sweeper is None or self._loop is not asyncio.get_running_loop():
                self._sweep_later()
        return found

    def _sweep_later(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        for key in list(self._all):
            if is_closed(key):
                self.lost(key, None, None)
        if self._all:
            self._sweep_later()

    def _gone(self, loop: asyncio.AbstractEventLoop, connection: HTTPConnection) -> None:
        """Take notice, in any thread, that the object of a connection is gone."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._lose, connection, None)

    def lost(self, key: object, error: CredSSPError | None, client: tuple[str, int] | None) -> None:
        """Take notice that a connection is gone; of a server that says so, for each connection.

        Args:
            key: the object that stands for it, whether a request came or not.
            error: why, if it was not the client that closed it.
            client: its address and port.
        """
        connection = self._lost[key] = self._all.get(key) or self._lost.get(key) or self._make(key)
        if key in self._all:
            del self._all[key]
        connection.client = connection.client or client
        self._lose(connection, error)

    def shut_down(self) -> None:
        """Take notice that the server ends, and all connections with it."""
        for key in list(self._all):
            self.lost(key, LimitExceededError("the server is shutting down"), None)

    def _lose(self, connection: HTTPConnection, error: CredSSPError | None) -> None:
        if connection.lost is not None:
            return
        watched = self._watched.pop(connection, None)
        if watched is not None:
            watched.detach()
        when = "in the middle of a login" if connection.pending else "without a login"
        connection.lost = error or PeerClosedError(f"the client closed the connection {when}")
        self.settle(connection)

    def settle(self, connection: HTTPConnection) -> None:
        """Let go of a connection that is gone, unless a leg is being judged; called again after each."""
        if connection.lost is None or connection.busy:
            return
        connection.reset()
        self.note(connection)
        self._closed(connection)

    def note(self, connection: HTTPConnection) -> None:
        """Take notice of a leg: a login that is under way has a deadline, and there are only so many."""
        if not connection.under_way:
            timer = self._logins.pop(connection, None)
            if timer is not None:
                timer.cancel()
            return
        if connection in self._logins:
            return
        self._logins[connection] = asyncio.get_running_loop().call_later(self._deadline, self._drop, connection)
        if len(self._logins) > self._half_open:
            self._drop(
                next(iter(self._logins)), LimitExceededError("too many logins at once, and this one is the oldest")
            )

    def _drop(self, connection: HTTPConnection, error: CredSSPError | None = None) -> None:
        self._logins.pop(connection).cancel()
        connection.reset()
        self._expired.add(connection)
        self._failed(connection, error or DeadlineError(f"the login did not end within {self._deadline:g} s"))

    def is_expired(self, connection: HTTPConnection) -> bool:
        """Whether a login on this connection was dropped: the connection is to be closed with the next answer."""
        return connection in self._expired

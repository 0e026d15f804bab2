"""Which TCP connection an ASGI request came on, and what is kept for it.

ASGI does not say. The addresses in ``scope["client"]`` will not do: proxies' headers overwrite them, and the same port
comes back on another connection later, which would inherit a login. So the object that stands for the connection is
taken from the server: the protocol object of uvicorn or hypercorn, or whatever another server (or a test) puts into
``scope["extensions"]["credssp.connection"]``, which must be one object for each connection that can be referenced
weakly. Of a server that is not known, nothing is guessed: it gets no logins.

What is kept hangs on that object by a weak reference and goes with it, when the connection closes. As the objects of
hypercorn refer to each other in circles and wait for the garbage collector, connections that are closed are looked for
every few seconds too: what was delegated shall not stay in memory longer than it must.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

from credssp.winrm.server import ServerConnection

__all__ = ["CONNECTION", "Connections", "connection_object", "is_closed"]

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


class Connections:
    """What is kept for the connections of one server."""

    def __init__(self, make: Callable[[object], ServerConnection], *, half_open: int, deadline: float) -> None:
        """Prepare.

        Args:
            make: makes what is kept for a connection, from the object that stands for it.
            half_open: logins that may be under way; one more, and the oldest is dropped.
            deadline: seconds for a login.
        """
        self._make = make
        self._half_open = half_open
        self._deadline = deadline
        self._all: WeakKeyDictionary[object, ServerConnection] = WeakKeyDictionary()
        self._logins: OrderedDict[ServerConnection, asyncio.TimerHandle] = OrderedDict()
        self._expired: WeakSet[ServerConnection] = WeakSet()
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[ServerConnection]:
        return iter(list(self._all.values()))

    @property
    def half_open(self) -> int:
        """Logins that are under way."""
        return len(self._logins)

    def of(self, connection: object) -> ServerConnection:
        """Return what is kept for a connection."""
        found = self._all.get(connection)
        if found is None:
            found = self._all[connection] = self._make(connection)
            if self._sweeper is None or self._loop is not asyncio.get_running_loop():
                self._sweep_later()
        return found

    def _sweep_later(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        for key, connection in list(self._all.items()):
            if is_closed(key):
                connection.reset()
                self.note(connection)
                del self._all[key]
        if self._all:
            self._sweep_later()

    def note(self, connection: ServerConnection) -> None:
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
            self._drop(next(iter(self._logins)))

    def _drop(self, connection: ServerConnection) -> None:
        self._logins.pop(connection).cancel()
        connection.reset()
        self._expired.add(connection)

    def is_expired(self, connection: ServerConnection) -> bool:
        """Whether a login on this connection was dropped: the connection is to be closed with the next answer."""
        return connection in self._expired

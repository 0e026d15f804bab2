"""Which TCP connection an ASGI request came on, and what is kept for it.

ASGI does not say. The addresses in ``scope["client"]`` will not do: proxies' headers overwrite them, and the same port
comes back on another connection later, which would inherit a login. So the object that stands for the connection is
taken from the server: uvicorn's transport, hypercorn's protocol, or whatever another server (or a test) puts into
``scope["extensions"]["credssp.connection"]``, which must be one object for each connection that can be referenced
weakly. Of a server that is not known, nothing is guessed: it gets no logins.

What is kept hangs on that object by a weak reference and goes with it, when the connection closes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

from credssp.winrm.server import LoginState, ServerConnection

__all__ = ["CONNECTION", "Connections", "connection_object"]

CONNECTION: Final = "credssp.connection"
"""Name of the ASGI extension that holds an object for the TCP connection."""


def connection_object(scope: Any, receive: Any, send: Any) -> object | None:
    """Return an object that stands for the TCP connection of a request, or None where none is known."""
    given = (scope.get("extensions") or {}).get(CONNECTION)
    if given is not None:
        return given  # type: ignore[no-any-return]  # whatever it is
    cycle = getattr(receive, "__self__", None)
    if _is_from(cycle, "uvicorn.protocols.http."):
        return getattr(cycle, "transport", None)
    stream = getattr(send, "__self__", None)
    if _is_from(stream, "hypercorn.protocol."):
        return getattr(getattr(stream, "send", None), "__self__", None)
    return None


def _is_from(value: object, package: str) -> bool:
    return value is not None and f"{type(value).__module__}.".startswith(package)


class Connections:
    """What is kept for the connections of one server."""

    def __init__(self, make: Callable[[], ServerConnection], *, half_open: int, deadline: float) -> None:
        """Prepare.

        Args:
            make: makes what is kept for a connection.
            half_open: logins that may be under way; one more, and the oldest is dropped.
            deadline: seconds for a login.
        """
        self._make = make
        self._half_open = half_open
        self._deadline = deadline
        self._all: WeakKeyDictionary[object, ServerConnection] = WeakKeyDictionary()
        self._logins: OrderedDict[ServerConnection, asyncio.TimerHandle] = OrderedDict()

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
            found = self._all[connection] = self._make()
        return found

    def note(self, connection: ServerConnection) -> None:
        """Take notice of a leg: a login that is under way has a deadline, and there are only so many."""
        if connection.state is not LoginState.EXPECT_LEG:
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

"""One HTTP request as ASGI brings it, and the answer to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

__all__ = ["Budget", "Call", "Disconnected", "HTTPAnswer", "HTTPRefusal", "Message", "Receive", "Scope", "Sender"]

_MAX_DIGITS: Final = 20
"""Digits of a Content-Length that count, as in h11; more of them make a number that is too large all the same."""

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Sender: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = "text/plain; charset=utf-8"
    challenge: str | None = None
    close: bool = False

    def headers(self) -> Headers:
        headers = [(b"content-length", str(len(self.body)).encode("ascii"))]
        if self.body:
            headers.append((b"content-type", self.content_type.encode("latin-1")))
        if self.challenge is not None:
            headers.append((b"www-authenticate", self.challenge.encode("ascii")))
        if self.close:
            headers.append((b"connection", b"close"))
        return headers


class HTTPRefusal(Exception):  # it is an answer that ends the request early
    def __init__(self, status: int, text: str, *, close: bool = False) -> None:
        super().__init__(text)
        self.answer = HTTPAnswer(status, f"{text}\n".encode(), close=close)


class Budget:
    """Bytes that all requests together may hold."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0

    def take(self, size: int) -> None:
        """Take some. Raises HTTPRefusal where there are not as many."""
        if self.held + size > self.size:
            raise HTTPRefusal(503, "too many messages at once", close=True)
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size


class Disconnected(Exception):
    """The client went away inside a request."""


@dataclass(slots=True)
class Call:
    """One HTTP request.

    Attributes:
        held: bytes of the body that are held.
        truncated: whether the body was longer than what is held.
    """

    scope: Scope
    receive: Receive
    headers: dict[str, list[str]] = field(default_factory=dict)
    held: int = 0
    truncated: bool = False

    def __post_init__(self) -> None:
        for name, value in self.scope["headers"]:
            self.headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def path(self) -> str:
        """The path for comparison: without regard to case, as Windows, and also that of a target in absolute-form."""
        path = str(self.scope["path"]).rstrip("/").lower()
        scheme, colons, rest = path.partition("://")
        return "".join(rest.partition("/")[1:]) if colons and scheme in ("http", "https") else path

    def header(self, name: str) -> str:
        return ", ".join(self.headers.get(name, ()))

    @property
    def client(self) -> tuple[str, int] | None:
        client = self.scope.get("client")
        return None if not client else (str(client[0]), int(client[1] or 0))

    def forwarded(self) -> bool:
        """Whether the request came through a proxy."""
        return any(name in ("via", "forwarded") or name.startswith("x-forwarded-") for name in self.headers)

    async def body(self, *, keep: int, max_size: int, discard: int, timeout: float, budget: Budget) -> bytes:
        """Read the body.

        Args:
            keep: what is held and returned of it; `truncated` tells whether there was more.
            max_size: how long it may be.
            discard: what is read of one that is longer: most clients see an answer only when they have sent all.
            timeout: seconds for all of it.
            budget: where what is held is taken from; `held` has to be given back.

        Raises:
            HTTPRefusal: it is too long, or too slow.
            Disconnected: it ends too early.
        """
        announced = self.header("content-length")
        # int() raises a ValueError at a few thousand digits, and not every ASGI server looks at the header.
        length = int(announced[:_MAX_DIGITS]) if announced.isascii() and announced.isdigit() else 0
        too_long = HTTPRefusal(413, f"at most {max_size} bytes", close=True)
        if length > discard or (length > max_size and "100-continue" in self.header("expect").lower()):
            raise too_long
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    message = await self.receive()
                    if message["type"] != "http.request":
                        raise Disconnected
                    piece = message.get("body", b"")
                    size += len(piece)
                    if size > discard:
                        raise too_long
                    if max(size, length) > max_size:
                        pieces.clear()
                        budget.give_back(self.held)
                        self.held = 0
                    elif size > keep:
                        self.truncated = True
                    elif piece:
                        budget.take(len(piece))
                        self.held += len(piece)
                        pieces.append(piece)
                    if not message.get("more_body", False):
                        if size > max_size:
                            raise too_long
                        return b"".join(pieces)
                    del message, piece  # or a stranger's last piece is held until the next one comes
        except TimeoutError:
            raise HTTPRefusal(408, "the body did not come in time", close=True) from None

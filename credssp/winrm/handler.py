"""What the HTTP server and the application exchange: a message of a user who logged on, and the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from credssp.credentials import DelegatedCredentials
from credssp.identity import Identity
from credssp.winrm.encryption import SOAP

__all__ = ["Handler", "WinRMRequest", "WinRMResponse"]


@dataclass(frozen=True, slots=True)
class WinRMRequest:
    """A message of an authenticated client.

    Attributes:
        identity: who logged on.
        credentials: what was delegated; three empty strings are an empty set.
        data: the message, decrypted.
        content_type: its type.
        client: address and port of the client, or None; for logs, not for decisions.
    """

    identity: Identity
    credentials: DelegatedCredentials
    data: bytes = field(repr=False)
    content_type: str = SOAP
    client: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class WinRMResponse:
    """The answer to it; encrypted if the request was.

    Attributes:
        data: the message.
        status: the HTTP status; 500 for a SOAP fault.
        content_type: its type.
    """

    data: bytes = field(repr=False)
    status: int = 200
    content_type: str = SOAP


Handler: TypeAlias = Callable[[WinRMRequest], WinRMResponse | Awaitable[WinRMResponse]]
"""Answers messages. A coroutine function is awaited, a function is called in a thread."""

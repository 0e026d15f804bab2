"""What an engine tells its owner."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from credssp._quick_init import quick_init
from credssp.authority import LogonQuestion
from credssp.credentials import DelegatedCredentials
from credssp.identity import Identity
from credssp.server_authentication import ServerAuthentication
from credssp.wire.ts_request import TSRequest

__all__ = [
    "AnswerRequired",
    "Authenticated",
    "CredentialsDelegated",
    "CredentialsReceived",
    "Direction",
    "Event",
    "ExchangeObserver",
    "Observer",
    "Send",
]


class Direction(enum.Enum):
    """Which way a message went."""

    SENT = "sent"
    RECEIVED = "received"


@quick_init
@dataclass(frozen=True, slots=True)
class Send:
    """A TSRequest must go to the peer, with **one** TLS write ([MS-CSSP] note <8>: Windows takes no fragments).

    Attributes:
        data: its bytes.
    """

    data: bytes = field(repr=False)


@quick_init
@dataclass(frozen=True, slots=True)
class Authenticated:
    """The peer proved that it knows the secret and sees our TLS key; credentials may follow.

    Attributes:
        version: the effective protocol version.
        mechanism: ``ntlm`` or ``kerberos``.
        identity: who logged on, on a server; None on a client.
        server_authentication: what proved the server's identity, on a client; NONE on a server.
    """

    version: int
    mechanism: str
    identity: Identity | None = None
    server_authentication: ServerAuthentication = ServerAuthentication.NONE


@quick_init
@dataclass(frozen=True, slots=True)
class CredentialsDelegated:
    """Client: the last message, with the credentials, is on its way; the exchange is complete.

    Attributes:
        empty: whether an empty set of credentials was sent (no DELEGATE, Restricted Admin).
    """

    empty: bool


@quick_init
@dataclass(frozen=True, slots=True)
class CredentialsReceived:
    """Server: the client's credentials have arrived; the exchange is complete.

    Attributes:
        credentials: what the client delegated.
    """

    credentials: DelegatedCredentials


@quick_init
@dataclass(frozen=True, slots=True)
class AnswerRequired:
    """Server: a logon authority has to be asked; continue with `answer` of the engine, the context or the endpoint.

    Attributes:
        question: what to ask, with `credssp.authority.ask`, say.
    """

    question: LogonQuestion


Event: TypeAlias = Send | Authenticated | CredentialsDelegated | CredentialsReceived | AnswerRequired

Observer: TypeAlias = Callable[[Direction, TSRequest, bytes], None]
"""Called with every TSRequest that went over, decoded and as bytes: for transcripts and traces.

It sees tokens, not secrets, but a token is worth protecting too. One that is given to a server sees the messages of all
its clients; see `ExchangeObserver` for one that can tell them apart.
"""


@runtime_checkable
class ExchangeObserver(Protocol):
    """An observer that wants to know which exchange a message belongs to."""

    def __call__(self, direction: Direction, message: TSRequest, data: bytes, /) -> None:
        """See a message whose exchange is not known."""

    def for_exchange(self, public_key: bytes) -> Observer:
        """Return what an engine calls instead, for one exchange that is bound to this SubjectPublicKey."""

"""What the blocking and the asyncio RDP servers share: settings, limits, events, who may log on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from credssp.context.options import ServerOptions
from credssp.credentials import DelegatedCredentials
from credssp.drivers.handshake import Timeouts
from credssp.engine.base import DEFAULT_MAX_LEGS, DEFAULT_MAX_MESSAGE_SIZE
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.identity import Identity
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import Negotiated
from credssp.rdp.negotiation import Protocol
from credssp.rdp.server import NLAServer
from credssp.tls.certificate import load_certificate, process_certificate
from credssp.tls.settings import ServerTLS, server_context

__all__ = [
    "Authorize",
    "Client",
    "Closed",
    "Delegated",
    "OnEvent",
    "Refused",
    "ServeOptions",
    "ServerEvent",
    "ServerLimits",
    "ServerSettings",
    "Verdict",
]


class ServeOptions(ServerOptions, total=False):
    """Keywords of `credssp.rdp.NLAServer`."""

    protocols: Protocol
    restricted_admin: bool
    remote_guard: bool
    direct: bool


logger = logging.getLogger("credssp.drivers")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What clients that have not logged on may cost.

    Attributes:
        half_open: connections whose login is not over. One more, and the **oldest** of them is closed: it is the
            likeliest to be dead, and refusing the new one would let anybody who opens this many and waits lock out
            everybody else until the deadline. 512 of them hold less than 32 MiB, even inside TLS.
        deadline: seconds for a whole login.
        leg: seconds to wait for a client's next octets.
        legs: messages of CredSSP in one login.
        message_size: octets of one of them.
    """

    half_open: int = 512
    deadline: float = 20.0
    leg: float = 10.0
    legs: int = DEFAULT_MAX_LEGS
    message_size: int = DEFAULT_MAX_MESSAGE_SIZE

    @property
    def timeouts(self) -> Timeouts:
        """The times among them, as the drivers want them."""
        return Timeouts(leg=self.leg, login=self.deadline)


@dataclass(eq=False, slots=True)
class Client:
    """One connection of a server.

    Attributes:
        number: counted from 1, as accepted.
        address: the client's address and port.
        endpoint: our side of the login.
    """

    number: int
    address: tuple[str, int]
    endpoint: NLAServer


@dataclass(frozen=True, slots=True)
class Delegated:
    """CredSSP is over, and the credentials arrived; `Refused` follows if the user is not authorized.

    Attributes:
        identity: who logged on.
        credentials: what the client delegated.
    """

    identity: Identity
    credentials: DelegatedCredentials


@dataclass(frozen=True, slots=True)
class Refused:
    """There was no login.

    Attributes:
        error: why; its `ntstatus` is what the client was told, where its version can be told.
    """

    error: CredSSPError


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over, after a login and after a refusal."""


ServerEvent: TypeAlias = Negotiated | Delegated | Refused | Closed
OnEvent: TypeAlias = Callable[[Client, ServerEvent], None]
Verdict: TypeAlias = EarlyUserAuthorization | bool
Authorize: TypeAlias = Callable[[Identity, DelegatedCredentials], Verdict | Awaitable[Verdict]]


@dataclass(slots=True, kw_only=True)
class ServerSettings:
    """Everything that the connections of a server have in common.

    Attributes:
        options: for `NLAServer` and its context; the certificate is loaded once and for all.
        authorize: says whether a user may log on; without one, everybody who can authenticate may.
        on_event: is told what happens.
        limits: what clients may cost.
    """

    options: ServeOptions
    authorize: Authorize | None = None
    on_event: OnEvent | None = None
    limits: ServerLimits = field(default_factory=ServerLimits)
    _count: int = 0

    def __post_init__(self) -> None:
        """Find what is wrong with the settings now, and not when the first client comes."""
        source = self.options.get("certificate")
        if isinstance(source, str | PathLike):
            source = Path(source)
        certificate = process_certificate() if source is None else load_certificate(source)
        server_context(self.options.get("tls") or ServerTLS(), certificate)
        self.options["certificate"] = certificate
        self.options.setdefault("max_legs", self.limits.legs)
        self.options.setdefault("max_message_size", self.limits.message_size)
        if self.limits.half_open < 1:
            raise LocalProtocolError("half_open is 1 or more: every login is half open for a while")
        _ = self.limits.timeouts
        self.endpoint()

    def endpoint(self) -> NLAServer:
        """Return our side of a new login."""
        return NLAServer(**self.options)

    def client(self, address: object, endpoint: NLAServer) -> Client:
        """Number a new connection."""
        self._count += 1
        host, port = address[:2] if isinstance(address, tuple) and len(address) >= 2 else ("", 0)
        return Client(self._count, (str(host), int(port)), endpoint)

    def tell(self, client: Client, event: ServerEvent) -> None:
        """Tell an event. A listener that fails is logged and harms nobody else."""
        if self.on_event is None:
            return
        try:
            self.on_event(client, event)
        except Exception:
            logger.exception("a listener failed on %s", type(event).__name__)


def as_result(verdict: Verdict) -> EarlyUserAuthorization:
    """Return the authorization that a callback means; whatever is not plainly a yes is a no."""
    if verdict is True or verdict is EarlyUserAuthorization.AUTHZ_SUCCESS:
        return EarlyUserAuthorization.AUTHZ_SUCCESS
    return EarlyUserAuthorization.AUTHZ_ACCESS_DENIED


def failed_authorize(error: Exception) -> EarlyUserAuthorization:
    """Log that the callback failed, by the kind of its error alone, and say no."""
    logger.error("the authorize callback failed (%s); the login is denied", type(error).__name__)
    return EarlyUserAuthorization.AUTHZ_ACCESS_DENIED

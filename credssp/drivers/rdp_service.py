"""What the blocking and the asyncio RDP servers share: settings, limits, events, who may log on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from credssp.config import RDPServiceOptions, ServerConfig, ServerLimits
from credssp.context.server import ServerContext, certificate_of
from credssp.credentials import DelegatedCredentials
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.identity import Identity
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import Negotiated
from credssp.rdp.server import NLAServer

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


logger = logging.getLogger("credssp.drivers")


ServeOptions = RDPServiceOptions
"""The name of release 0.1.0."""


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


class ServerSettings:
    """Everything that the connections of a server have in common.

    Attributes:
        config: the options; the certificate is loaded once and for all.
    """

    def __init__(self, config: ServerConfig) -> None:
        """Find what is wrong with the settings now, and not when the first client comes."""
        certificate = certificate_of(config)
        self.config = replace(config, certificate=certificate)
        self._count = 0
        self.endpoint()
        ServerContext(config=self.config)

    def endpoint(self) -> NLAServer:
        """Return our side of a new login."""
        return NLAServer(config=self.config)

    def client(self, address: object, endpoint: NLAServer) -> Client:
        """Number a new connection."""
        self._count += 1
        host, port = address[:2] if isinstance(address, tuple) and len(address) >= 2 else ("", 0)
        return Client(self._count, (str(host), int(port)), endpoint)

    def tell(self, client: Client, event: ServerEvent) -> None:
        """Tell an event. A listener that fails is logged and harms nobody else."""
        on_event = self.config.on_event
        if on_event is None:
            return
        try:
            on_event(client, event)
        except Exception:
            logger.exception("a listener failed on %s", type(event).__name__)


def refused(error: Exception) -> Refused:
    """Return the event for a login that failed; one that failed inside this server is logged, by its kind alone."""
    if isinstance(error, CredSSPError):
        return Refused(error)
    logger.error("a login failed inside the server (%s)", type(error).__name__)
    inside = LocalProtocolError(f"the login failed inside the server ({type(error).__name__})")
    inside.__cause__ = error
    return Refused(inside)


def as_result(verdict: Verdict) -> EarlyUserAuthorization:
    """Return the authorization that a callback means; whatever is not plainly a yes is a no."""
    if verdict is True or verdict is EarlyUserAuthorization.AUTHZ_SUCCESS:
        return EarlyUserAuthorization.AUTHZ_SUCCESS
    return EarlyUserAuthorization.AUTHZ_ACCESS_DENIED


def failed_authorize(error: Exception) -> EarlyUserAuthorization:
    """Log that the callback failed, by the kind of its error alone, and say no."""
    logger.error("the authorize callback failed (%s); the login is denied", type(error).__name__)
    return EarlyUserAuthorization.AUTHZ_ACCESS_DENIED

"""What the blocking and the asyncio RDP servers share: settings, limits, events, who may log on."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from credssp.config import RDPServiceOptions, ServerConfig, ServerLimits
from credssp.context.server import ServerContext, loaded_once
from credssp.credentials import DelegatedCredentials
from credssp.drivers.gate import Gate, GuardedAccounts
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.identity import Identity
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import AuthorizationRequired, Negotiated
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
        id: the same for all events of this connection, and of no other.
        silent: whether the connection ended before its first byte.
    """

    number: int
    address: tuple[str, int]
    endpoint: NLAServer
    silent: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(8))


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
        locked: whether the account was locked, which the client is not told.
    """

    error: CredSSPError
    locked: bool = False


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
        gate: who may connect.
    """

    def __init__(self, config: ServerConfig) -> None:
        """Find what is wrong with the settings now, and not when the first client comes."""
        self.config = loaded_once(config)
        self.gate = Gate(config.limits)
        self._guard: GuardedAccounts | None = None
        self._guarded = self.config
        if config.accounts is not None:
            self._guard = GuardedAccounts(config.accounts, self.gate, config.lockout)
            self._guarded = replace(self.config, accounts=self._guard)
        self._count = 0
        self.endpoint()
        ServerContext(config=self.config)

    def endpoint(self) -> NLAServer:
        """Return our side of a new login."""
        return NLAServer(config=self._guarded)

    def client(self, address: tuple[str, int], endpoint: NLAServer, *, silent: bool = False) -> Client:
        """Number a new connection."""
        self._count += 1
        return Client(self._count, address, endpoint, silent)

    def delegated(self, client: Client, event: AuthorizationRequired) -> None:
        """Tell that a client logged on; the failures of its account are forgotten."""
        if self._guard is not None and event.identity.account is not None:
            self._guard.succeeded(event.identity.account.domain, event.identity.account.username)
        self.tell(client, Delegated(event.identity, event.credentials))

    def refused(self, client: Client, error: Exception) -> None:
        """Tell that a login failed; one that failed inside this server is logged, by its kind alone."""
        if not isinstance(error, CredSSPError):
            logger.error("a login failed inside the server (%s)", type(error).__name__)
            inside = LocalProtocolError(f"the login failed inside the server ({type(error).__name__})")
            inside.__cause__ = error
            error = inside
        locked = self._guard is not None and self._guard.failed(client.address[0], error)
        if self._guard is None:
            self.gate.failed(client.address[0], error)
        self.tell(client, Refused(error, locked=locked))

    def tell(self, client: Client, event: ServerEvent) -> None:
        """Tell an event. A listener that fails is logged and affects no other connection."""
        on_event = self.config.on_event
        if on_event is None:
            return
        try:
            on_event(client, event)
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

"""What the blocking and the asyncio RDP servers share: settings, limits, events, who may log on."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from credssp.config import RDPServiceOptions, ServerConfig, ServerLimits
from credssp.context.server import ServerContext, loaded_once
from credssp.credentials import DelegatedCredentials
from credssp.drivers.audit import wrong_of
from credssp.drivers.authorization import AuthorizationRequest, Authorize, Authorizer, Verdict
from credssp.drivers.faults import fault
from credssp.drivers.gate import Gate
from credssp.drivers.guard import Guard
from credssp.drivers.handshake import too_late
from credssp.errors import CredSSPError, LocalProtocolError, Wrong
from credssp.identity import Identity
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
        silent: whether the connection ended before its first byte, or there was no place for it.
    """

    number: int
    address: tuple[str, int]
    endpoint: NLAServer
    silent: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Delegated:
    """The login is over, and the credentials arrived. `Refused` follows only if the user is not authorized.

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

    @property
    def wrong(self) -> Wrong:
        """Which of name, password and state of the account was wrong, where that is known (`Claim.wrong`)."""
        return wrong_of(self.error, locked=self.locked)


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over: the last event of each, after `Delegated` or `Refused`."""


ServerEvent: TypeAlias = Negotiated | Delegated | Refused | Closed
OnEvent: TypeAlias = Callable[[Client, ServerEvent], None]


class ServerSettings:
    """Everything that the connections of a server have in common.

    Attributes:
        config: the options; the certificate is loaded once and for all.
        gate: who may connect.
        guard: who is locked, and who is asked.
        authorizer: who may log on.
    """

    def __init__(self, config: ServerConfig) -> None:
        """Find what is wrong with the settings now, and not when the first client comes."""
        self.config = loaded_once(config)
        self.gate = Gate(config.limits)
        self.guard = Guard(self.config, self.gate)
        self.authorizer = Authorizer(self.config.authorize)
        self._guarded = self.guard.guarded(self.config)
        self._numbers = itertools.count(1)
        self._untouched = self.endpoint()
        ServerContext(config=self.config)

    def endpoint(self) -> NLAServer:
        """Return our side of a new login."""
        return NLAServer(config=self._guarded)

    def client(self, address: tuple[str, int], endpoint: NLAServer, *, silent: bool = False) -> Client:
        """Number a new connection."""
        return Client(next(self._numbers), address, endpoint, silent)

    def silent(self, address: tuple[str, int], error: CredSSPError | None) -> None:
        """Tell of a connection that ended before its first byte; without `error` it took too long for that."""
        client = self.client(address, self._untouched, silent=True)  # one for a whole flood
        if error is None:
            error = too_late(self.config.limits.timeouts, client.endpoint.awaited, whole=False)
        self.refused(client, error)
        self.tell(client, Closed())

    def proved(self, event: AuthorizationRequired) -> None:
        """Forget the failures of the account that a client logged on with."""
        self.guard.succeeded(event.identity)

    @staticmethod
    def authorization(client: Client, event: AuthorizationRequired) -> AuthorizationRequest:
        """Return what has to be decided."""
        return AuthorizationRequest(
            identity=event.identity,
            credentials=event.credentials,
            request=client.endpoint.request,
            peer=client.address,
        )

    def delegated(self, client: Client, event: AuthorizationRequired) -> None:
        """Tell that a client logged on."""
        self.tell(client, Delegated(event.identity, event.credentials))

    def refused(self, client: Client, error: BaseException) -> None:
        """Tell that a login failed; one that failed inside this server is logged, without its text."""
        if not isinstance(error, CredSSPError):
            logger.error("a login failed inside the server %s", fault(error))
            inside = LocalProtocolError(f"the login failed inside the server ({type(error).__name__})")
            inside.__cause__ = error
            error = inside
        locked = self.guard.failed(client.address[0], error)
        self.tell(client, Refused(error, locked=locked))

    def tell(self, client: Client, event: ServerEvent) -> None:
        """Tell an event. A listener that fails is logged and affects no other connection."""
        on_event = self.config.on_event
        if on_event is None:
            return
        try:
            on_event(client, event)
        except Exception as error:  # noqa: BLE001  # whatever it is
            logger.error("a listener failed on %s %s", type(event).__name__, fault(error))

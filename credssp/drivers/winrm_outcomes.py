"""What a WinRM server tells of logins and connections: each ends in one outcome, and is closed after that."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from credssp.config import ServerConfig
from credssp.credentials import DelegatedCredentials
from credssp.drivers.audit import wrong_of
from credssp.drivers.faults import fault
from credssp.drivers.guard import Guard
from credssp.drivers.handshake import DeadlineError
from credssp.drivers.winrm_connections import HTTPConnection
from credssp.errors import CredSSPError, Wrong
from credssp.identity import Identity
from credssp.winrm.server import ExchangeFacts

__all__ = ["CloseObserver", "ConnectionClosed", "Login", "LoginObserver", "Outcomes"]

logger = logging.getLogger("credssp.winrm")

_T = TypeVar("_T")

_NOTHING: Final = ExchangeFacts()


@dataclass(frozen=True, slots=True)
class Login:
    """A login that is over, or a connection that ended without one.

    Every login is told once, also one that the client gives up or that takes too long. A connection over which no login
    was begun is told as one that failed, when it is closed.

    Attributes:
        client: the client's address and port, or None.
        identity: who logged on; None without a login. A user who may not use the service is named and has an `error`.
        credentials: what was delegated, where somebody logged on.
        error: why there was no login, or None.
        version: the CredSSP version that was used, or None.
        locked: whether the account was locked, which the client is not told.
        id: the same for all logins over one connection, and over no other.
        silent: whether the connection ended before its first byte, or there was no place for it.
        facts: versions of CredSSP and TLS, as far as they were negotiated.
    """

    client: tuple[str, int] | None
    identity: Identity | None = None
    credentials: DelegatedCredentials | None = None
    error: CredSSPError | None = None
    version: int | None = None
    locked: bool = False
    id: str = ""
    silent: bool = False
    facts: ExchangeFacts = _NOTHING

    @property
    def wrong(self) -> Wrong:
        """Which of name, password and state of the account was wrong, where that is known (`Claim.wrong`)."""
        return "" if self.error is None else wrong_of(self.error, locked=self.locked)


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """A connection is over: the last that is told of it.

    Attributes:
        client: the client's address and port, or None.
        id: that of its `Login`.
        silent: as `Login.silent`.
    """

    client: tuple[str, int] | None
    id: str
    silent: bool = False


LoginObserver: TypeAlias = Callable[[Login], None]
CloseObserver: TypeAlias = Callable[[ConnectionClosed], None]


class Outcomes:
    """Tells the observers of a server, and the guard that counts failures."""

    def __init__(self, config: Callable[[], ServerConfig], guard: Guard) -> None:
        self._config = config  # as it is when something is told
        self._guard = guard

    def silent(self, address: tuple[str, int], error: CredSSPError | None) -> None:
        """Tell of a connection that ended before its first byte; without `error` it took too long for that."""
        if error is None:
            error = DeadlineError(f"the client sent nothing within {self._config().limits.header_timeout:g} s")
        number = secrets.token_hex(8)
        _observe(self._config().on_login, Login(address, error=error, id=number, silent=True))
        _observe(self._config().on_close, ConnectionClosed(address, number, silent=True))

    def closed(self, connection: HTTPConnection) -> None:
        """Tell, last of all, that a connection is closed; and before that of what ended with it."""
        if connection.lost is not None and (connection.pending or not connection.outcomes):
            connection.pending = True
            self.failed(connection, connection.lost)
        _observe(self._config().on_close, ConnectionClosed(connection.client, connection.id))

    def failed(self, connection: HTTPConnection, error: CredSSPError) -> None:
        """Tell that the login under way failed."""
        facts = connection.facts
        self.tell(
            connection,
            Login(connection.client, error=error, version=facts.version, id=connection.id, facts=facts),
        )

    def tell(self, connection: HTTPConnection, login: Login) -> None:
        """Tell, once, what became of the login under way."""
        if not connection.pending:  # dropped meanwhile, which was told
            return
        connection.pending = False
        connection.outcomes += 1
        host = "" if login.client is None else login.client[0]
        if login.error is not None:
            login = dataclasses.replace(login, locked=self._guard.failed(host, login.error))
        elif login.identity is not None:
            self._guard.succeeded(login.identity)
        _observe(self._config().on_login, login)


def _observe(observer: Callable[[_T], None] | None, event: _T) -> None:
    if observer is None:
        return
    try:
        observer(event)
    except Exception as failure:  # noqa: BLE001  # a listener harms nobody
        logger.error("a listener failed on %s %s", type(event).__name__, fault(failure))

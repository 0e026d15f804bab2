"""Credentials that wait for the client that gave them: it is sent away with a ticket, and comes back with it.

A ticket is used once, within 30 seconds, from the address that it was given to. One that is shown from another address
has leaked, and is spent with that. FreeRDP brings a ticket again after a wrong password, so spent ones must be known
from other tokens: they begin with ``pickup.``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from credssp.credentials import PasswordCredentials
from credssp.errors import CredSSPError, LimitExceededError
from credssp.status import NTStatus, SecurityStatus

__all__ = ["LIFETIME", "PickupTicket", "TicketError", "Tickets"]

LIFETIME: Final = 30.0
"""Seconds that a client has to come back; it does so at once."""
_MAX_TICKETS: Final = 1024
_MAX_PER_ADDRESS: Final = 32
"""Clients on the way back to us at the same time: from everywhere, and from one address, which may be a terminal
server or a NAT."""
_PREFIX: Final = "pickup."
_BYTES: Final = 16


class TicketError(CredSSPError):
    """A ticket is spent, expired, or was given to another client."""

    default_status = SecurityStatus.SEC_E_LOGON_DENIED
    default_ntstatus = NTStatus.STATUS_ACCESS_DENIED
    default_advice = "Connect again. If it was the first connection, see why the server refused the user."


@dataclass(frozen=True, slots=True)
class PickupTicket:
    """What a ticket stands for.

    Attributes:
        address: of the client.
        credentials: what it said.
        token: what it gave to route by.
        connection: id of the connection that it said this on.
        expires: by the clock of `Tickets`.
    """

    address: str
    credentials: PasswordCredentials = field(repr=False)
    token: str
    connection: str
    expires: float


class Tickets:
    """Those that are out.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, PickupTicket] = {}

    def __len__(self) -> int:
        return len(self._held)

    def issue(self, address: str, credentials: PasswordCredentials, *, token: str, connection: str) -> str:
        """Keep credentials, and return the ticket for them; `expire` is due after `LIFETIME`.

        Raises:
            LimitExceededError: too many are out.
        """
        self.expire()
        if len(self._held) >= _MAX_TICKETS:
            raise LimitExceededError(f"{_MAX_TICKETS} clients are on their way back already")
        if sum(ticket.address == address for ticket in self._held.values()) >= _MAX_PER_ADDRESS:
            raise LimitExceededError(f"{_MAX_PER_ADDRESS} clients of this address are on their way back already")
        name = _PREFIX + secrets.token_hex(_BYTES)
        self._held[name] = PickupTicket(address, credentials, token, connection, self._clock() + LIFETIME)
        return name

    def redeem(self, token: str, address: str) -> PickupTicket | None:
        """Return what a token stands for, once; None if it is not a ticket.

        Args:
            token: the client's routing token or cookie.
            address: of the client.

        Raises:
            TicketError: it is spent or expired, or was given to another address.
        """
        name = token.rpartition("=")[2]  # FreeRDP sends "Cookie: msts=" along
        if not name.startswith(_PREFIX):
            return None
        ticket = self._held.pop(name, None)
        if ticket is None or ticket.expires < self._clock():
            raise TicketError("the ticket is spent or expired")
        if ticket.address != address:
            raise TicketError("the ticket was given to a client of another address")
        return ticket

    def expire(self) -> None:
        """Let go of those whose time is over."""
        now = self._clock()
        for name in [name for name, ticket in self._held.items() if ticket.expires <= now]:
            del self._held[name]

    def clear(self) -> None:
        """Let go of all."""
        self._held.clear()

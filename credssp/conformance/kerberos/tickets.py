"""Where the suite's Kerberos tickets come from."""

from __future__ import annotations

from credssp.credentials import CCacheCredentials
from credssp.errors import AuthenticationError, LocalProtocolError
from credssp.exchange.account import LogonAccount
from credssp.kerberos import crypto as crypto
from credssp.kerberos import pyspnego
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.tickets import ServiceKey, ServiceTicket, password_tickets, service_keys, service_ticket
from credssp.target import Target

__all__ = ["TicketSource", "read_service_keys"]


class TicketSource:
    """Gives out tickets for services, and asks a KDC only once for each.

    Args:
        account: whose; its domain is the realm, or empty for the default one.
        ccache: a credential cache that has a ticket-granting ticket, in place of the password.
    """

    def __init__(self, account: LogonAccount, *, ccache: str | None = None) -> None:
        self._account = account
        self._cache = None if ccache is None else CCacheCredentials(ccache)
        self._tickets: dict[str, ServiceTicket] = {}

    def __call__(self, target_name: str) -> ServiceTicket:
        """Return a ticket for an SPN.

        Raises:
            AuthenticationError: there is none to be had.
            LocalProtocolError: the target is an IP address, for which there are no tickets.
            RemoteProtocolError: the ticket's session key is not one of AES.
        """
        if target_name not in self._tickets:
            target = Target.parse(target_name)
            if target.is_address:
                raise LocalProtocolError("Kerberos knows hosts by name, and the target is an IP address")
            missing = pyspnego.kerberos_missing()
            if missing:
                raise pyspnego.kerberos_unavailable(missing)
            if self._cache is None:
                account = self._account
                principal = f"{account.username}@{account.domain.upper()}" if account.domain else account.username
                self._cache = pyspnego.call(
                    "getting a ticket-granting ticket", password_tickets, principal, account.password
                )
            ticket = pyspnego.call("getting a ticket", service_ticket, target, self._cache)
            crypto.checksum_size(ticket.key.etype, ticket.key.value)  # raises where the suite does not know the type
            self._tickets[target_name] = ticket
        return self._tickets[target_name]


def read_service_keys(keytab: str) -> tuple[ServiceKey, ...]:
    """Read the keys of a keytab.

    Raises:
        AuthenticationError: it cannot be read, or Kerberos is not there.
        LocalProtocolError: there are no keys in it.
    """
    missing = pyspnego.kerberos_missing()
    if missing:
        raise pyspnego.kerberos_unavailable(missing)
    try:
        keys = tuple(pyspnego.call("reading the keytab", service_keys, keytab))
    except AuthenticationError as error:
        if keytab in error.message:
            raise
        raise failure(f"the keytab {keytab}: {error.message}", error.status) from None
    if not keys:
        raise LocalProtocolError(f"there are no keys in the keytab {keytab}")
    return keys

"""Who logs on with Kerberos: the principal of a user, what a KDC can be asked for, and the ticket that it gives."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple, TypeAlias

from credssp.credentials import (
    AgentCredentials,
    CertificateCredentials,
    KerberosCredentials,
    KeytabCredentials,
    LogonCredentials,
    NTHashCredentials,
    PasswordCredentials,
)
from credssp.errors import AuthenticationError
from credssp.kerberos import krb5_conf, pyspnego, tickets
from credssp.kerberos.gss_errors import failure
from credssp.next_step import NextStep
from credssp.status import SecurityStatus
from credssp.target import Target

__all__ = ["TICKET", "client_of", "kerberos_obstacle", "logon_tickets", "obtain", "realm_obstacle", "usable"]

TICKET: Final = "getting a Kerberos ticket"
"""What is under way, for errors."""


def kerberos_obstacle(credentials: LogonCredentials | None, target: Target) -> AuthenticationError | None:
    """Return why Kerberos cannot work whatever a KDC would say, or None where it is worth trying."""
    try:
        usable(credentials, target)
    except AuthenticationError as error:
        return error.with_traceback(None)  # its frames hold the credentials
    return None


def usable(credentials: LogonCredentials | None, target: Target) -> KerberosCredentials | None:
    """Return the credentials. Raises AuthenticationError: Kerberos cannot work with them, or at this target."""
    found = _check(credentials)
    if target.is_address:
        raise failure(
            "Kerberos knows hosts by name, and the target is an IP address",
            SecurityStatus.SEC_E_TARGET_UNKNOWN,
            advice=NextStep.KERBEROS_NAME,
        )
    return found


def _check(credentials: LogonCredentials | None) -> KerberosCredentials | None:
    missing = pyspnego.kerberos_missing()
    if missing:
        raise pyspnego.kerberos_unavailable(missing)
    if isinstance(credentials, AgentCredentials):
        raise failure("the credentials are an agent's, which logs on itself", SecurityStatus.SEC_E_NO_CREDENTIALS)
    if isinstance(credentials, NTHashCredentials):
        raise failure(
            "an NT hash logs on with NTLM only; Kerberos needs the password",
            SecurityStatus.SEC_E_NO_CREDENTIALS,
            advice=NextStep.KERBEROS_USER,
        )
    if isinstance(credentials, PasswordCredentials) and credentials.domain == ".":
        raise failure(
            "the user is a local account of the server (.\\), which no KDC knows",
            SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
            advice=NextStep.KERBEROS_USER,
        )
    if isinstance(credentials, PasswordCredentials) and not credentials.username:
        raise failure("Kerberos needs a user name", SecurityStatus.SEC_E_NO_CREDENTIALS, advice=NextStep.KERBEROS_USER)
    if isinstance(credentials, CertificateCredentials) and sys.platform == "win32":
        raise failure(
            "Windows logs on with the certificates of its own store, not with these",
            SecurityStatus.SEC_E_NO_CREDENTIALS,
        )
    return credentials


def realm_obstacle(credentials: LogonCredentials | None) -> AuthenticationError | None:
    """Return why a password is most likely not one of a Kerberos realm, or None where it is worth asking a KDC.

    A domain without a dot is a NetBIOS name (``LAB\\alice``), which only the KDC of a default realm could know. libkrb5
    takes it for a realm and looks for its KDC in DNS, for seconds where no server answers.
    """
    if not isinstance(credentials, PasswordCredentials) or sys.platform == "win32":
        return None
    name = client_of(credentials)
    if name.enterprise or not name.realm or "." in name.realm or name.realm in krb5_conf.load().realms:
        return None
    return failure(
        f"{name.realm} is a NetBIOS name, and krb5.conf has neither such a realm nor a default realm to ask about it; "
        "Kerberos wants the user as NAME@EXAMPLE.COM",
        SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
        advice=NextStep.KERBEROS_USER,
    )


class _Client(NamedTuple):
    """Who asks for a ticket.

    Attributes:
        user: the user's name, or for an enterprise name all of ``user@suffix``.
        realm: the realm in capitals; empty for the default one.
        enterprise: whether `user` is a name that the KDC of the default realm looks up (NT-ENTERPRISE, RFC 6806 5).
    """

    user: str
    realm: str
    enterprise: bool

    @property
    def principal(self) -> str:
        """As libkrb5 writes it."""
        name = self.user.replace("\\", "\\\\").replace("@", "\\@")
        return f"{name}@{self.realm}" if self.realm else name


def client_of(credentials: PasswordCredentials | CertificateCredentials) -> _Client:
    """Return the principal whose password or certificate this is.

    The realm of an Active Directory domain is its DNS name in capitals, and MIT Kerberos compares exactly; without a
    domain the default realm is taken. A NetBIOS domain, and the suffix of a UPN that is not a realm of krb5.conf, are
    names that the KDC of the default realm knows, if there is one: DNS is not asked for a realm of that name. A domain
    that is given as such, with a dot, is a realm.
    """
    user, domain = credentials.username, credentials.domain
    suffix = not domain and "@" in user
    if suffix:
        user, _, domain = user.rpartition("@")
    realm, conf = domain.upper(), krb5_conf.load()
    if domain and (suffix or "." not in domain) and realm not in conf.realms and "default_realm" in conf.libdefaults:
        return _Client(f"{user}@{domain}", "", enterprise=True)
    return _Client(user, realm, enterprise=False)


Obtaining: TypeAlias = PasswordCredentials | KeytabCredentials | CertificateCredentials


def obtain(credentials: Obtaining, workstation: str) -> tickets.MemoryTickets:
    """Ask the KDC. Raises an exception of krb5."""
    if isinstance(credentials, KeytabCredentials):
        return tickets.keytab_tickets(credentials, workstation=workstation)
    client = client_of(credentials)
    name = client.user if client.enterprise else client.principal
    if isinstance(credentials, PasswordCredentials):
        password = credentials.password
        return tickets.password_tickets(name, password, enterprise=client.enterprise, workstation=workstation)
    from credssp.kerberos import pkinit  # brings ctypes, which no other login needs

    return pkinit.certificate_tickets(name, credentials, enterprise=client.enterprise, workstation=workstation)


def logon_tickets(credentials: Obtaining, *, workstation: str = "") -> tickets.MemoryTickets:
    """Get a ticket-granting ticket for several logins, so that the KDC judges password, key or PIN once.

    Args:
        credentials: what to get it with.
        workstation: name of this machine for the KDC; empty for none.

    Returns:
        A credential cache in memory, gone with the object.

    Raises:
        AuthenticationError: there is no ticket.
    """
    _check(credentials)
    return pyspnego.call(TICKET, obtain, credentials, workstation)

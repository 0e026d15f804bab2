"""Kerberos tickets with their session keys, and the keys of services: what libkrb5 keeps and GSS-API does not show.

A login needs none of it. Remote Credential Guard puts a service ticket into a message of its own, and the conformance
suite makes AP-REQs that no library would. Everything here asks libkrb5, may ask a KDC and so may block; run it through
`credssp.kerberos.pyspnego.call`, which turns foreign exceptions into ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from credssp.credentials import CCacheCredentials
from credssp.kerberos.ap import APReq, Ticket, unframe
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.values import EncryptionKey
from credssp.secret import Secret
from credssp.status import SecurityStatus
from credssp.target import Target

__all__ = ["ServiceKey", "ServiceTicket", "password_tickets", "service_keys", "service_ticket"]

_KERBEROS: Final = "1.2.840.113554.1.2.2"


@dataclass(frozen=True, slots=True)
class ServiceTicket:
    """A ticket for a service, as its client has it.

    Attributes:
        ticket: the ticket.
        key: its session key.
        client: the client's name, ``alice`` or ``host/srv``, without the realm.
        realm: the client's realm.
        token: an AP-REQ with this ticket, as GSS-API made it.
    """

    ticket: Ticket
    key: EncryptionKey
    client: str
    realm: str
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A key out of a keytab.

    Attributes:
        service: whose it is, without the realm.
        key: the key.
    """

    service: str
    key: EncryptionKey


def service_ticket(target: Target, tickets: CCacheCredentials | None, *, delegate: bool = False) -> ServiceTicket:
    """Get a ticket for a service with the ticket-granting ticket of a credential cache, which then has it too.

    Args:
        target: the service.
        tickets: the credential cache; None for the default one.
        delegate: whether `ServiceTicket.token` forwards a ticket-granting ticket (RFC 4121 4.1.1).

    Raises:
        AuthenticationError: there is none, or it may not be forwarded.
        Exception: of gssapi or krb5.
    """
    import gssapi
    import krb5

    kerberos = gssapi.OID.from_int_seq(_KERBEROS)
    context = krb5.init_context()
    cache: Any = krb5.cc_default(context) if tickets is None else krb5.cc_resolve(context, tickets.ccache.encode())
    store = {"ccache": f"{cache.cache_type.decode()}:{cache.name.decode()}"}
    flags = gssapi.RequirementFlag.mutual_authentication
    if delegate:
        flags |= gssapi.RequirementFlag.delegate_to_peer
    initiator = gssapi.SecurityContext(
        name=gssapi.Name(f"{target.service}@{target.host}", name_type=gssapi.NameType.hostbased_service),
        creds=gssapi.Credentials(usage="initiate", mechs=[kerberos], store=store),
        mech=kerberos,
        usage="initiate",
        flags=flags,
    )
    token: bytes = initiator.step()
    if delegate and not initiator.actual_flags & gssapi.RequirementFlag.delegate_to_peer:
        raise failure(
            "the ticket-granting ticket cannot be forwarded: get one with kinit -f", SecurityStatus.SEC_E_NO_CREDENTIALS
        )
    wanted = APReq.decode(unframe(token)[1]).ticket
    for entry in cache:
        if entry.ticket == wanted:
            name, _, realm = str(entry.client).rpartition("@")
            key = EncryptionKey(entry.keyblock.enctype, Secret(bytes(entry.keyblock.data)))
            return ServiceTicket(Ticket.decode(wanted), key, name, realm, token)
    raise failure("the service ticket is not in the credential cache", SecurityStatus.SEC_E_NO_CREDENTIALS)


def password_tickets(principal: str, password: Secret[str]) -> CCacheCredentials:
    """Get a ticket-granting ticket with a password, into a credential cache in memory.

    Args:
        principal: ``alice`` or ``alice@EXAMPLE.TEST``.
        password: its password.

    Raises:
        Exception: of krb5.
    """
    import krb5

    context = krb5.init_context()
    client = krb5.parse_name_flags(context, principal.encode())
    options = krb5.get_init_creds_opt_alloc(context)
    granted = krb5.get_init_creds_password(context, client, options, password.reveal().encode())
    cache = krb5.cc_new_unique(context, b"MEMORY")
    krb5.cc_initialize(context, cache, client)
    krb5.cc_store_cred(context, cache, granted)
    return CCacheCredentials(f"MEMORY:{cache.name.decode()}")


def service_keys(keytab: str | None) -> list[ServiceKey]:
    """Read all keys of a keytab.

    Args:
        keytab: ``TYPE:residual`` or a path; None for the default keytab of the process.

    Raises:
        Exception: of krb5.
    """
    import krb5

    context = krb5.init_context()
    source = krb5.kt_default(context) if keytab is None else krb5.kt_resolve(context, keytab.encode())
    return [
        ServiceKey(
            str(entry.principal).rpartition("@")[0],
            EncryptionKey(entry.key.enctype, Secret(bytes(entry.key.data))),
        )
        for entry in source
    ]

"""Kerberos tickets with their session keys, and the keys of services: what libkrb5 keeps and GSS-API does not show.

A login needs none of it. Remote Credential Guard puts a service ticket into a message of its own, and the conformance
suite makes AP-REQs that no library would. Everything here asks libkrb5, may ask a KDC and so may block; run it through
`credssp.kerberos.pyspnego.call`, which turns foreign exceptions into ours.
"""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from credssp.credentials import CCacheCredentials, KeytabCredentials
from credssp.kerberos import krb5_conf
from credssp.kerberos.ap import APReq, Ticket, unframe
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.private_file import check_private
from credssp.kerberos.values import EncryptionKey
from credssp.secret import Secret
from credssp.status import SecurityStatus
from credssp.target import Target

if TYPE_CHECKING:
    import gssapi
    import krb5

    from credssp.kerberos.as_exchange import ASExchange

__all__ = [
    "MemoryTickets",
    "ServiceKey",
    "ServiceTicket",
    "fill_cache",
    "keytab_tickets",
    "password_tickets",
    "service_keys",
    "service_name",
    "service_ticket",
]

_KERBEROS: Final = "1.2.840.113554.1.2.2"


@dataclass(frozen=True, slots=True)
class ServiceTicket:
    """A ticket for a service, on the client's side.

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
        realm: the realm of the service.
        kvno: version of the key in the keytab.
    """

    service: str
    key: EncryptionKey
    realm: str = ""
    kvno: int = 0


def service_name(target: Target) -> gssapi.Name:
    """Return the principal of a service, exactly as the target says (RFC 4120 1.3).

    A name of GSS-API's type for services would be looked up in DNS, forwards and backwards, with libkrb5's defaults:
    an unprotected answer would choose the server. A principal is taken as it is.
    """
    import gssapi

    realm = krb5_conf.load().realm_of(target.host)
    return gssapi.Name(f"{target.service}/{target.host}@{realm}", name_type=gssapi.NameType.kerberos_principal)


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
    cache: Any = krb5.cc_resolve(context, check_cache(tickets).encode())
    store = {"ccache": f"{cache.cache_type.decode()}:{cache.name.decode()}"}
    flags = gssapi.RequirementFlag.mutual_authentication
    if delegate:
        flags |= gssapi.RequirementFlag.delegate_to_peer
    initiator = gssapi.SecurityContext(
        name=service_name(target),
        creds=gssapi.Credentials(usage="initiate", mechs=[kerberos], store=store),
        mech=kerberos,
        usage="initiate",
        flags=flags,
    )
    token: bytes = initiator.step()
    if delegate and not initiator.actual_flags & gssapi.RequirementFlag.delegate_to_peer:
        raise failure(
            "the ticket-granting ticket cannot be forwarded: get one with kinit -f; for members of Protected Users and "
            "accounts marked as sensitive, a domain issues none that can",
            SecurityStatus.SEC_E_NO_CREDENTIALS,
        )
    wanted = APReq.decode(unframe(token)[1]).ticket
    # To its end: libkrb5's bindings close the file of a cache or keytab only there.
    for entry in list(cache):
        if entry.ticket == wanted:
            name, _, realm = str(entry.client).rpartition("@")
            key = EncryptionKey(entry.keyblock.enctype, Secret(bytes(entry.keyblock.data)))
            return ServiceTicket(Ticket.decode(wanted), key, name, realm, token)
    raise failure("the service ticket is not in the credential cache", SecurityStatus.SEC_E_NO_CREDENTIALS)


def check_cache(tickets: CCacheCredentials | None) -> str:
    """Return where the credential cache is, the default one for None.

    Raises:
        AuthenticationError: others can write it.
    """
    import krb5

    location = os.fsdecode(krb5.cc_default_name(krb5.init_context())) if tickets is None else tickets.ccache
    check_private("credential cache", location)
    return location


class MemoryTickets(CCacheCredentials):
    """A credential cache in memory, gone with this object or with `close`; empty where nothing was granted yet."""

    def __init__(self, context: krb5.Context, granted: krb5.Creds | None = None) -> None:
        import krb5

        name = f"MEMORY:credssp-{secrets.token_hex(8)}"
        cache = krb5.cc_resolve(context, name.encode())
        close = weakref.finalize(self, krb5.cc_destroy, context, cache)
        if granted is not None:
            krb5.cc_initialize(context, cache, granted.client)
            krb5.cc_store_cred(context, cache, granted)
        super().__init__(name)
        object.__setattr__(self, "close", close)

    close: Callable[[], object]
    """Destroys the cache; nothing happens where that was done before."""


def in_spelling_of_cache(credentials: CCacheCredentials) -> CCacheCredentials:
    """Return the same with its principal as the cache writes it, where they differ in the case of the realm alone."""
    import krb5

    cache: Any = krb5.cc_resolve(krb5.init_context(), credentials.ccache.encode())
    theirs = str(cache.principal)
    same = _without_case_of_realm(theirs) == _without_case_of_realm(credentials.principal or "")
    return CCacheCredentials(credentials.ccache, theirs) if same else credentials


def _without_case_of_realm(principal: str) -> tuple[str, str]:
    name, _, realm = principal.rpartition("@")
    return name, realm.casefold()


def password_tickets(
    principal: str, password: Secret[str], *, enterprise: bool = False, workstation: str = ""
) -> MemoryTickets:
    """Get a ticket-granting ticket with a password, into a credential cache in memory.

    Args:
        principal: ``alice`` or ``alice@EXAMPLE.TEST``.
        enterprise: whether `principal` is all of an NT-ENTERPRISE name (RFC 6806 5) in the default realm.
        password: its password. Half surrogates, which random passwords of computers have, become U+FFFD as in NTLM.
        workstation: NetBIOS name of this machine for the KDC; empty for none.

    Raises:
        Exception: of krb5.
    """
    secret = Secret(password.reveal().encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode())
    from credssp.kerberos import as_exchange  # brings ctypes, which logins without a KDC do not need

    library = as_exchange.library()
    if library is not None:
        with as_exchange.ASExchange(library, principal, enterprise=enterprise) as exchange:
            return fill_cache(exchange, password=secret, workstation=workstation)
    import krb5

    context = krb5.init_context()
    flags = krb5.PrincipalParseFlags.enterprise if enterprise else krb5.PrincipalParseFlags.none
    client = krb5.parse_name_flags(context, principal.encode(), flags)
    granted = krb5.get_init_creds_password(context, client, _options(context), secret.reveal())
    return MemoryTickets(context, granted)


def keytab_tickets(credentials: KeytabCredentials, *, workstation: str = "") -> MemoryTickets:
    """Get a ticket-granting ticket with a key, as `password_tickets` does; by default that of the first principal."""
    import krb5

    from credssp.kerberos import as_exchange

    context = krb5.init_context()
    check_private("keytab", credentials.keytab)
    keytab = krb5.kt_resolve(context, credentials.keytab.encode())
    names = [str(entry.principal) for entry in keytab]
    name = credentials.principal or next(iter(names), "")
    wanted = _without_case_of_realm(name)
    name = next((each for each in names if _without_case_of_realm(each) == wanted), name)
    library = as_exchange.library()
    if library is not None:
        with as_exchange.ASExchange(library, name) as exchange:
            return fill_cache(exchange, keytab=credentials.keytab, workstation=workstation)
    client = krb5.parse_name_flags(context, name.encode())
    return MemoryTickets(context, krb5.get_init_creds_keytab(context, client, _options(context), keytab=keytab))


def _options(context: krb5.Context) -> krb5.GetInitCredsOpt:
    import krb5

    options = krb5.get_init_creds_opt_alloc(context)
    krb5.get_init_creds_opt_set_canonicalize(options, True)
    krb5.get_init_creds_opt_set_forwardable(options, False)
    return options


def fill_cache(
    exchange: ASExchange,
    *,
    password: Secret[bytes] | None = None,
    keytab: str | None = None,
    workstation: str = "",
) -> MemoryTickets:
    """Ask the KDC, and return what it grants."""
    import krb5

    tickets = MemoryTickets(krb5.init_context())
    try:
        if workstation:
            exchange.set_workstation(workstation)
        exchange.get(tickets.ccache, password=password, keytab=keytab)
    except BaseException:
        tickets.close()
        raise
    return tickets


def service_keys(keytab: str | None) -> list[ServiceKey]:
    """Read all keys of a keytab.

    Args:
        keytab: ``TYPE:residual`` or a path; None for the default keytab of the process.

    Raises:
        Exception: of krb5.
    """
    return [service_key(entry) for entry in read_keytab(keytab)[1]]


def read_keytab(keytab: str | None) -> tuple[krb5.Context, Iterable[krb5.KeyTabEntry]]:
    """Open a keytab as `service_keys` does; the entries live no longer than the step from one to the next."""
    import krb5

    context = krb5.init_context()
    location = krb5.kt_default_name(context) if keytab is None else keytab.encode()
    check_private("keytab", os.fsdecode(location))
    return context, krb5.kt_resolve(context, location)


def service_key(entry: krb5.KeyTabEntry) -> ServiceKey:
    """Copy an entry of a keytab."""
    service, _, realm = str(entry.principal).rpartition("@")
    return ServiceKey(service, EncryptionKey(entry.key.enctype, Secret(bytes(entry.key.data))), realm, entry.kvno)

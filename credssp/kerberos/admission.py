"""What a server lets through to GSS-API: every AP-REQ is opened here first, with the server's own keys.

libgssapi trusts what is inside an AP-REQ further than it should. A ticket of any user is enough to send it a KRB-CRED
without names, and MIT krb5 1.20 reads those through a null pointer: the process ends. Authorization data is taken to
any depth. So ticket, authenticator, the checksum of GSS-API in it (RFC 4121 4.1.1) and the KRB-CRED in that are read
strictly and completely by our own reader, and GSS-API sees nothing that it refuses.

A token that cannot be opened here is refused, whatever GSS-API could do with it: the flag that says whether credentials
are forwarded is encrypted too. So keys of 3DES and Camellia, which are not read here, are of no use to a server.

What the client says of itself is judged here as well, since the names are at hand in their components: anonymous
principals, names that are easily taken for others, channel bindings. Where a ticket has a PAC (`credssp.kerberos.pac`),
that says who the client is.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from credssp.account import upper_case
from credssp.authority import is_plain_name
from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.errors import AuthenticationError, CredSSPError, DecodeError, RemoteProtocolError
from credssp.identity import Identity
from credssp.kerberos import crypto
from credssp.kerberos.ap import (
    AP_REP,
    AP_REQ,
    APRep,
    APReq,
    Authenticator,
    Checksum,
    EncAPRepPart,
    EncTicketPart,
    Ticket,
    unframe,
)
from credssp.kerberos.cred import EncKrbCredPart, KrbCred
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.pac import LogonInfo, vouched
from credssp.kerberos.services import is_one_of
from credssp.kerberos.tickets import ServiceKey
from credssp.kerberos.values import EncryptedData, EncryptionKey, Principal
from credssp.secret import Secret
from credssp.status import SecurityStatus
from credssp.wire.der import write_oid

__all__ = ["Admission", "admit", "admit_last_leg", "check_own_tickets", "identity_of", "open_ticket"]

_CHECKSUM: Final = "RFC 4121 4.1.1"
_BINDINGS_SIZE: Final = 16
_FLAGS_AT: Final = 20
_DELEGATION_AT: Final = 24
_DELEG_FLAG: Final = 0x0001
_DCE_STYLE: Final = 0x1000
_USE_SESSION_KEY: Final = 0x40000000
_MAX_EXTENSIONS: Final = 8
_MAX_LENGTH: Final = 4
_OIDS: Final = (write_oid("1.2.840.113554.1.2.2"), write_oid("1.2.840.48018.1.2.2"))


@dataclass(frozen=True, slots=True)
class Admission:
    """What an AP-REQ says that may go to GSS-API.

    Attributes:
        identity: who the client is, by its ticket, with what it forwarded.
        session_key: of the ticket.
        dce_style: whether one more token of the client is to come ([MS-KILE] 3.4.5.1).
    """

    identity: Identity
    session_key: EncryptionKey
    dce_style: bool


def admit(
    token: bytes,
    keys: Sequence[ServiceKey],
    *,
    services: Collection[str] = (),
    channel_bindings: ChannelBindings | None = None,
    demand: BindingDemand = "match",
    accept_forwarded: bool = False,
    accept_anonymous: bool = False,
    require_pac: bool = False,
) -> Admission:
    """Open and judge a client's first token. Clocks, replays and the AP-REQ's own rules are left to GSS-API.

    Args:
        token: AP-REQ, in the framing of GSS-API or (DCE style) without.
        keys: the server's.
        services: for which of them the ticket must be, ``class/host`` or ``class/host@REALM``; none for any.
        channel_bindings: the bindings of this channel; None where they are not known, and not compared.
        demand: what the client must have sent.
        accept_forwarded: whether the identity has the tickets that the client forwards. They are examined either way.
        accept_anonymous: whether clients may be anonymous (RFC 8062).
        require_pac: whether the ticket must have a PAC that says who the client is.

    Raises:
        AuthenticationError: no key opens the ticket, it is for another service, the client's name is refused, or its
            channel bindings are.
        RemoteProtocolError: something in it is not as it must be (DecodeError: does not decode).
    """
    framed, message = _unframe(token)
    request = APReq.decode(message)
    if request.options & _USE_SESSION_KEY:
        raise RemoteProtocolError("user-to-user authentication is not accepted", section="RFC 4120 5.5.1")
    sealed = Ticket.decode(request.ticket)
    ticket, key = _open_ticket(sealed, keys)
    if services and not is_one_of(f"{sealed.service}@{sealed.realm}", services):
        raise failure(
            f"the client asked for another service than {' or '.join(sorted(services))} (spn)",
            SecurityStatus.SEC_E_WRONG_PRINCIPAL,
        )
    authenticator = Authenticator.decode(
        _open("the authenticator", request.authenticator, ticket.key, KeyUsage.AP_REQ_AUTHENTICATOR)
    )
    identity = identity_of(ticket, key, accept_anonymous=accept_anonymous, require_pac=require_pac)
    checksum = authenticator.checksum
    if checksum is None or checksum.kind != Checksum.GSS_API:
        raise RemoteProtocolError("the authenticator has no checksum of GSS-API", section=_CHECKSUM)
    flags, bindings, delegation = _take_apart(checksum.value)
    dce_style = bool(flags & _DCE_STYLE)
    if dce_style is framed:
        raise RemoteProtocolError("an AP-REQ is framed unless it is of DCE style", section="[MS-KILE] 3.4.5.1")
    _check_bindings(bindings, channel_bindings, demand)
    forwarded = None
    if delegation is not None:
        keys_of_cred = [ticket.key] if authenticator.subkey is None else [ticket.key, authenticator.subkey]
        forwarded = _open_forwarded(delegation, keys_of_cred, ticket)
    identity = replace(
        identity,
        target_name=sealed.service,
        forwarded=forwarded if accept_forwarded else None,
        channel_bindings=any(bindings),
    )
    return Admission(identity, ticket.key, dce_style)


def admit_last_leg(token: bytes, admission: Admission) -> None:
    """Check a later token: only DCE style has one, an AP-REP without framing. Raises RemoteProtocolError."""
    kind, message = unframe(token)
    if not admission.dce_style or kind != AP_REP or message is not token:
        raise RemoteProtocolError("a second token of the client, which Kerberos does not define", section="RFC 4121 4")
    EncAPRepPart.decode(_open("the AP-REP", APRep.decode(message).enc_part, admission.session_key, KeyUsage.AP_REP))


def open_ticket(ticket: Ticket, keys: Sequence[ServiceKey]) -> EncTicketPart:
    """Open a ticket with one of the keys. As libkrb5 does, any key will do: names of services have aliases.

    Raises:
        AuthenticationError: none opens it; the text says what the keys have and the ticket wants.
    """
    return _open_ticket(ticket, keys)[0]


def _open_ticket(ticket: Ticket, keys: Sequence[ServiceKey]) -> tuple[EncTicketPart, EncryptionKey]:
    sealed = ticket.enc_part
    if sealed.etype not in crypto.READABLE:
        raise _unreadable(sealed.etype)
    own = [each for each in keys if (each.service, each.realm) == (ticket.service, ticket.realm)]
    # The keys of this service and version first; a stable sort keeps the others in the keytab's order.
    for each in sorted(keys, key=lambda each: (each not in own, each.kvno != sealed.kvno)):
        if each.key.etype == sealed.etype:
            try:
                plain = crypto.decrypt(sealed.etype, each.key.value, KeyUsage.TICKET, sealed.cipher)
            except RemoteProtocolError:
                continue
            return EncTicketPart.decode(plain), each.key
    wanted = f"encryption type {sealed.etype}, kvno {'none' if sealed.kvno is None else sealed.kvno}"
    if not own:
        what, status = (
            "the keytab has no key for the service of the client's ticket, and no other key opens it",
            SecurityStatus.SEC_E_WRONG_PRINCIPAL,
        )
    elif any((each.key.etype, each.kvno) == (sealed.etype, sealed.kvno) for each in own):
        what = "the key of the keytab does not open the client's ticket: it was changed, or the key is of another KDC"
        status = SecurityStatus.SEC_E_WRONG_PRINCIPAL
    else:
        what, status = f"{wanted} not found in keytab for the client's ticket", SecurityStatus.SEC_E_NO_KERB_KEY
    raise failure(
        f"{what} ({wanted}); compare klist -ke of the keytab with the service the client asked for, "
        "and export the keytab anew",
        status,
    )


def identity_of(
    ticket: EncTicketPart, key: EncryptionKey, *, accept_anonymous: bool = False, require_pac: bool = False
) -> Identity:
    """Return who a ticket is for: by its PAC where it has one, else by the components of the name.

    Raises:
        AuthenticationError: the client is anonymous, its name could be read as another one, or there is no PAC.
        RemoteProtocolError: the PAC does not decode, or its signature does not match.
    """
    name, realm = ticket.cname, ticket.crealm
    anonymous = (
        ticket.flags & EncTicketPart.ANONYMOUS
        or name.components[:1] == ("WELLKNOWN",)
        or realm.upper().startswith("WELLKNOWN:")
    )
    if anonymous and not accept_anonymous:
        raise failure("the client is anonymous", SecurityStatus.SEC_E_LOGON_DENIED)
    sent = str(name)
    logon = None
    if len(ticket.pacs) > 1:
        raise DecodeError(f"{len(ticket.pacs)} PACs in one ticket", field="authorization-data", section="[MS-PAC] 2.1")
    if ticket.pacs:
        logon = vouched(ticket.pacs[0], key, client=sent, authtime=ticket.authtime)
    if logon is not None:
        return _vouched_identity(logon, sent, realm)
    if require_pac:
        raise failure(
            "the ticket has no PAC that says who the client is, and require_pac is set: it is of a realm that is not a "
            "domain, or was asked for without (kinit --no-request-pac)",
            SecurityStatus.SEC_E_LOGON_DENIED,
        )
    if not _plain_name(name) or not is_plain_name(realm):
        raise failure(
            "the client's name or realm has an empty part, a control character or one of / \\ @ in it",
            SecurityStatus.SEC_E_LOGON_DENIED,
        )
    return Identity(
        username=sent, domain=realm, mechanism="kerberos", sent_username=sent, sent_domain=realm, authority="realm"
    )


def _vouched_identity(logon: LogonInfo, sent: str, realm: str) -> Identity:
    if not is_plain_name(logon.username) or not is_plain_name(logon.domain):
        raise failure("the PAC has no plain name of a user and a domain", SecurityStatus.SEC_E_LOGON_DENIED)
    if logon.username.endswith("$") and upper_case(sent) != upper_case(logon.username):
        # A KDC of Windows or Samba adds the $ where there is no user of that name.
        raise failure(
            "the ticket names a user, and its account is a machine account, whose name has a $ at its end",
            SecurityStatus.SEC_E_LOGON_DENIED,
        )
    return Identity(
        username=logon.username,
        domain=logon.domain,
        mechanism="kerberos",
        sent_username=sent,
        sent_domain=realm,
        authority="domain",
        sid=logon.sid,
        groups=logon.groups,
    )


# What is inside


def _plain_name(name: Principal) -> bool:
    return bool(name.components) and all(map(is_plain_name, name.components))


def _unframe(token: bytes) -> tuple[bool, bytes]:
    """Return whether an AP-REQ is framed, and the AP-REQ. As in GSS-API the length may be longer than need be."""
    if token[:1] != b"\x60":
        return False, token
    size = token[1] & 0x7F if len(token) > 1 and token[1] & 0x80 else 0
    start = 2 + size
    length = int.from_bytes(token[2:start], "big") if size else token[1] if len(token) > 1 else 0
    for oid in _OIDS:
        if size <= _MAX_LENGTH and length == len(token) - start and token.startswith(oid + AP_REQ, start):
            return True, token[start + len(oid) + len(AP_REQ) :]
    raise DecodeError("is not an AP-REQ of Kerberos", field="InitialContextToken", section="RFC 4121 4.1")


def _unreadable(etype: int) -> AuthenticationError:
    return failure(
        f"Kerberos encryption type {etype} cannot be examined here (AES and RC4: 17 to 20, 23), and so is not accepted",
        SecurityStatus.SEC_E_KDC_UNKNOWN_ETYPE,
    )


def _open(what: str, sealed: EncryptedData, key: EncryptionKey, usage: int) -> bytes:
    if key.etype not in crypto.READABLE:
        raise _unreadable(key.etype)
    if sealed.etype != key.etype:
        raise RemoteProtocolError(
            f"encryption type {sealed.etype} where the key is of type {key.etype}", section="RFC 4120 5.2.9"
        )
    try:
        return crypto.decrypt(key.etype, key.value, usage, sealed.cipher)
    except RemoteProtocolError as error:
        problem = error
    raise failure(f"{what} of the client: {problem.message}", SecurityStatus.SEC_E_LOGON_DENIED)


def _take_apart(checksum: bytes) -> tuple[int, bytes, bytes | None]:
    """Return flags, bindings and KRB-CRED of the checksum of GSS-API: Lgth, Bnd, Flags, DlgOpt, Dlgth, Deleg, Exts."""
    if len(checksum) < _DELEGATION_AT or int.from_bytes(checksum[:4], "little") != _BINDINGS_SIZE:
        raise DecodeError("does not begin with 16 bytes of bindings and 4 of flags", field="cksum", section=_CHECKSUM)
    flags = int.from_bytes(checksum[_FLAGS_AT:_DELEGATION_AT], "little")
    rest, delegation = checksum[_DELEGATION_AT:], None
    if flags & _DELEG_FLAG:
        size = int.from_bytes(rest[2:4], "little")
        if len(rest) < 4 or rest[:2] != b"\1\0" or not size or size > len(rest) - 4:
            raise DecodeError("DlgOpt, Dlgth and Deleg do not fit", field="cksum.Deleg", section=_CHECKSUM)
        delegation, rest = rest[4 : 4 + size], rest[4 + size :]
    for _ in range(_MAX_EXTENSIONS):
        if not rest:
            break
        size = int.from_bytes(rest[4:8], "big")
        if len(rest) < 8 or size > len(rest) - 8:
            raise DecodeError("an extension does not fit", field="cksum.Exts", section=_CHECKSUM)
        rest = rest[8 + size :]
    if rest:
        raise DecodeError(f"more than {_MAX_EXTENSIONS} extensions", field="cksum.Exts", section=_CHECKSUM)
    return flags, checksum[4:_FLAGS_AT], delegation


def _check_bindings(received: bytes, own: ChannelBindings | None, demand: BindingDemand) -> None:
    """Judge what a client sent, 16 bytes of zeros for none (RFC 4121 4.1.1.2)."""
    bound = any(received)
    if own is None:
        wrong = demand == "sent" and not bound
    else:
        matches = hmac.compare_digest(received, hashlib.md5(own.encoded, usedforsecurity=False).digest())
        wrong = not matches and (bound or demand != "match_if_sent")
    if wrong:
        what = "are not those of this TLS channel" if bound else "are missing"
        raise failure(f"the client's channel bindings {what}", SecurityStatus.SEC_E_BAD_BINDINGS)


def _open_forwarded(message: bytes, keys: Sequence[EncryptionKey], ticket: EncTicketPart) -> Secret[bytes]:
    """Open a KRB-CRED, check that libkrb5 finds in it what it takes for granted, and return it readable."""
    cred = KrbCred.decode(message)
    problem: CredSSPError = failure("there is no key to open the KRB-CRED with", SecurityStatus.SEC_E_NO_KERB_KEY)
    for key in keys:
        try:
            plain = _open("the KRB-CRED", cred.enc_part, key, KeyUsage.KRB_CRED)
            break
        except (AuthenticationError, RemoteProtocolError) as error:
            problem = error
    else:
        raise problem
    part = EncKrbCredPart.decode(plain)
    check_own_tickets(cred, part, ticket)
    return Secret(KrbCred(cred.tickets, EncryptedData(0, part.encode())).encode())


def check_own_tickets(cred: KrbCred, part: EncKrbCredPart, ticket: EncTicketPart) -> None:
    """Check that what is in a KRB-CRED is complete, and the client's own. Raises RemoteProtocolError."""
    infos, field = part.ticket_info, "KRB-CRED.ticket-info"
    if not infos or len(infos) != len(cred.tickets):
        raise DecodeError(f"{len(infos)} for {len(cred.tickets)} tickets", field=field, section="RFC 4120 5.8.1")
    for data, info in zip(cred.tickets, infos, strict=True):
        inner = Ticket.decode(data)
        client, server = (info.pname, info.prealm), (info.sname, info.srealm)
        if None in (*client, *server, info.flags, info.endtime):
            raise DecodeError("names, flags or endtime are absent", field=field, section="RFC 4120 5.8.1")
        if (info.pname and info.pname.components, info.prealm) != (ticket.cname.components, ticket.crealm):
            raise RemoteProtocolError("the client sent the tickets of another user", section="RFC 4120 5.8.1")
        if (info.sname and info.sname.components, info.srealm) != (inner.sname.components, inner.realm):
            raise RemoteProtocolError("ticket and ticket-info are for different services", section="RFC 4120 5.8.1")

"""Remote Credential Guard from Kerberos tickets: made by a client, opened by a server ([MS-CSSP] 2.2.1.2.3).

The client asks for a service ticket to the server's computer account and for a forwarded ticket-granting ticket, and
sends both as KERB_TICKET_LOGON. libkrb5 makes such a pair whenever it delegates: the service ticket is in the AP-REQ,
the KRB-CRED in its authenticator (RFC 4121 4.1.1). They are taken from there. The KRB-CRED is written anew, because in
Remote Credential Guard the session key of the forwarded ticket stays on the client: a handle in the form of
KERB_RPC_ENCRYPTION_KEY takes its place, with which the server has the client do what needs the key ([MS-RDPEAR],
which is not in this library).
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from credssp.credentials import CCacheCredentials, RemoteGuardCredentials
from credssp.errors import AuthenticationError, DecodeError, LocalProtocolError, RemoteProtocolError
from credssp.identity import Identity
from credssp.kerberos import crypto as crypto
from credssp.kerberos import pyspnego
from credssp.kerberos.admission import check_own_tickets, open_ticket
from credssp.kerberos.ap import APReq, Authenticator, Checksum, EncTicketPart, Ticket, unframe
from credssp.kerberos.cred import EncKrbCredPart, KrbCred
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.remote_guard_buffers import (
    KERB_LOGON_FLAG_REDIRECTED,
    KerbRPCEncryptionKey,
    KerbTicketLogon,
    NTLMRemoteSupplementalCredential,
)
from credssp.kerberos.services import is_computer, keys_for
from credssp.kerberos.tickets import service_keys, service_ticket
from credssp.kerberos.values import EncryptedData, EncryptionKey
from credssp.secret import Secret
from credssp.status import NTStatus, SecurityStatus
from credssp.target import Target

__all__ = ["MAX_CLOCK_SKEW", "open_remote_guard", "remote_guard_credentials"]

MAX_CLOCK_SKEW: Final = 300
"""Seconds that clocks may differ by, as for Kerberos itself (RFC 4120 1.6)."""

_DELEGATION_AT: Final = 28  # after length, bindings, flags, DlgOpt and Dlgth
_HANDLE_SIZE: Final = 16


def remote_guard_credentials(
    target_name: str,
    *,
    tickets: CCacheCredentials | None = None,
    supplemental: Sequence[NTLMRemoteSupplementalCredential] = (),
    keep_key: bool = True,
    random: Callable[[int], bytes] = os.urandom,
) -> RemoteGuardCredentials:
    """Make the credentials of Remote Credential Guard from a ticket-granting ticket. Asks a KDC, so it may block.

    Args:
        target_name: SPN or name of the server; the ticket is for ``host/`` and this name.
        tickets: the credential cache; None for the default one. Its ticket-granting ticket must be forwardable.
        supplemental: for NTLM on the server.
        keep_key: whether the session key of the forwarded ticket stays here, as it should. False sends it, as FreeRDP
            does: with it the server can do all that the user can, until the ticket expires.
        random: source of the handle and of confounders.

    Raises:
        AuthenticationError: Kerberos is not there, there is no ticket, or it may not be forwarded.
        LocalProtocolError: the target is not named by a host name.
    """
    missing = pyspnego.kerberos_missing()
    if missing:
        raise pyspnego.kerberos_unavailable(missing)
    target = Target.parse(target_name)
    if target.is_address:
        raise LocalProtocolError("Remote Credential Guard needs the server's name, not its address")
    granted = pyspnego.call(
        "getting a forwarded ticket", service_ticket, Target("host", target.host), tickets, delegate=True
    )
    session_key = granted.key
    ticket, cred, part = _take_apart(granted.token, session_key)
    if keep_key:
        part = EncKrbCredPart(
            tuple(
                dataclasses.replace(
                    info, key=KerbRPCEncryptionKey(info.key_type, Secret(random(_HANDLE_SIZE))).encode()
                )
                for info in part.ticket_info
            )
        )
    sealed = crypto.encrypt(session_key.etype, session_key.value, KeyUsage.KRB_CRED, part.encode(), random=random)
    tgt = KrbCred(cred.tickets, EncryptedData(session_key.etype, sealed)).encode()
    logon = KerbTicketLogon(
        service_ticket=Secret(ticket),
        ticket_granting_ticket=Secret(tgt),
        flags=KERB_LOGON_FLAG_REDIRECTED if keep_key else 0,
    )
    return RemoteGuardCredentials(
        package_name="Kerberos",
        buffer=logon.encode(),
        supplemental=tuple(("NTLM", each.encode()) for each in supplemental),
    )


def open_remote_guard(
    credentials: RemoteGuardCredentials,
    identity: Identity,
    *,
    keytab: str | None = None,
    clock: Callable[[], float] = time.time,
) -> EncKrbCredPart:
    """Open what a client sent, with the key of this computer's account, and check that it is the client's own.

    Args:
        credentials: as they were received.
        identity: who logged on (`credssp.ServerContext.identity`); with Kerberos, or nothing is opened.
        keytab: ``TYPE:residual`` or a path; None for the default keytab of the process.
        clock: seconds since 1970. Tickets may be early or late by `MAX_CLOCK_SKEW` seconds.

    Raises:
        DecodeError: they are not a Kerberos logon, or the KRB-CRED in it is not complete.
        AuthenticationError: the keytab has no key for the service ticket, or the tickets are those of another user,
            for another host's service, or not valid now.
        RemoteProtocolError: a ticket does not open, or there is no ticket-granting ticket.
    """
    if identity.mechanism != "kerberos":
        raise _denied(f"Remote Credential Guard needs a login with Kerberos; this one was with {identity.mechanism}")
    logon = KerbTicketLogon.decode(credentials.buffer.reveal())
    cred = logon.krb_cred()
    if cred is None:
        raise RemoteProtocolError("there is no ticket-granting ticket in the logon", section="[MS-CSSP] note <22>")
    ticket = Ticket.decode(logon.service_ticket.reveal())
    missing = pyspnego.kerberos_missing()
    if missing:
        raise pyspnego.kerberos_unavailable(missing)
    if not is_computer(ticket.service):
        raise _denied("the service ticket is not for the host's own service (host/...), but for another")
    keys = pyspnego.call("reading the Kerberos keytab", service_keys, keytab)
    named = {f"{each.service}@{each.realm}" for each in keys}
    chosen = keys_for([f"{ticket.service}@{ticket.realm}"], named)
    own = [each for each in keys if f"{each.service}@{each.realm}" in chosen]
    if not own:
        raise failure("the keytab has no key for the service ticket", SecurityStatus.SEC_E_NO_KERB_KEY)
    try:
        contents = open_ticket(ticket, own)
    except AuthenticationError as error:
        if error.status is SecurityStatus.SEC_E_WRONG_PRINCIPAL:  # of this version, and yet it does not open
            error.status = SecurityStatus.SEC_E_MESSAGE_ALTERED
        raise
    key, now = contents.key, datetime.fromtimestamp(clock(), UTC)
    # A ticket's names are compared as they are, whatever an authority made of them for the identity.
    client = (identity.sent_username or identity.username, identity.sent_domain or identity.domain)
    if (str(contents.cname), contents.crealm) != client:
        raise _denied("the service ticket is not the one of the client that logged on")
    _check_times("the service ticket", contents.flags, contents.starttime, contents.endtime, now)
    if key.etype != cred.enc_part.etype:
        raise RemoteProtocolError("KRB-CRED is not encrypted with the session key", section="[MS-CSSP] note <22>")
    part = EncKrbCredPart.decode(crypto.decrypt(key.etype, key.value, KeyUsage.KRB_CRED, cred.enc_part.cipher))
    check_own_tickets(cred, part, contents)
    for info in part.ticket_info:
        if info.sname is None or info.sname.components[:1] != ("krbtgt",):
            raise _denied("a delegated ticket is not a ticket-granting ticket")
        _check_times("a delegated ticket", info.flags or 0, info.starttime, info.endtime, now)
    return part


# What is inside


def _denied(message: str) -> AuthenticationError:
    return failure(message, SecurityStatus.SEC_E_LOGON_DENIED, NTStatus.STATUS_LOGON_FAILURE)


def _check_times(what: str, flags: int, start: datetime | None, end: datetime | None, now: datetime) -> None:
    skew = timedelta(seconds=MAX_CLOCK_SKEW)
    if flags & EncTicketPart.INVALID or (start is not None and start > now + skew):
        raise _denied(f"{what} is not valid yet")
    if end is None or end < now - skew:
        raise failure(f"{what} has expired", SecurityStatus.SEC_E_CONTEXT_EXPIRED)


def _take_apart(token: bytes, session_key: EncryptionKey) -> tuple[bytes, KrbCred, EncKrbCredPart]:
    """Return the service ticket, the KRB-CRED and its contents."""
    request = APReq.decode(unframe(token)[1])
    key = session_key.value
    plain = crypto.decrypt(session_key.etype, key, KeyUsage.AP_REQ_AUTHENTICATOR, request.authenticator.cipher)
    checksum = Authenticator.decode(plain).checksum
    if checksum is None or checksum.kind != Checksum.GSS_API or len(checksum.value) < _DELEGATION_AT:
        raise DecodeError("no checksum that delegates", field="Authenticator.cksum", section="RFC 4121 4.1.1")
    size = int.from_bytes(checksum.value[_DELEGATION_AT - 2 : _DELEGATION_AT], "little")
    cred = KrbCred.decode(checksum.value[_DELEGATION_AT : _DELEGATION_AT + size])
    # With the session key, says RFC 4121 4.1.1, and not with the subkey as RFC 4120 5.8.1 allows.
    plain = crypto.decrypt(cred.enc_part.etype, key, KeyUsage.KRB_CRED, cred.enc_part.cipher)
    return request.ticket, cred, EncKrbCredPart.decode(plain)

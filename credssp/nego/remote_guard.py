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
from collections.abc import Callable, Sequence
from typing import Any, Final

from credssp.credentials import CCacheCredentials, RemoteGuardCredentials
from credssp.errors import LocalProtocolError, RemoteProtocolError
from credssp.nego import kerberos_crypto as crypto
from credssp.nego import pyspnego
from credssp.nego.gss_errors import failure
from credssp.nego.kerberos_crypto import KeyUsage
from credssp.nego.target import Target
from credssp.secret import Secret
from credssp.status import SecurityStatus
from credssp.wire.der import Reader, Tag
from credssp.wire.krb_cred import EncKrbCredPart, EncryptedData, KrbCred, read_encrypted_data
from credssp.wire.remote_guard_buffers import (
    KERB_LOGON_FLAG_REDIRECTED,
    KerbRPCEncryptionKey,
    KerbTicketLogon,
    NTLMRemoteSupplementalCredential,
)

__all__ = ["open_remote_guard", "remote_guard_credentials"]

_KERBEROS: Final = "1.2.840.113554.1.2.2"
_CHECKSUM: Final = 0x8003  # of an authenticator of GSS-API
_DELEGATION_AT: Final = 28
_HANDLE_SIZE: Final = 16

# AS-REQ to AP-REP are [APPLICATION n]; these are the identifier octets.
_AP_REQ: Final = 0x6E
_TICKET: Final = 0x61
_AUTHENTICATOR: Final = 0x62
_ENC_TICKET_PART: Final = 0x63

_Key = tuple[int, Secret[bytes]]


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
    ap_req, session_key = pyspnego.call("getting a forwarded ticket", _ask, target.host, tickets)
    ticket, cred, part = _take_apart(ap_req, session_key)
    if keep_key:
        part = EncKrbCredPart(
            tuple(
                dataclasses.replace(
                    info, key=KerbRPCEncryptionKey(info.key_type, Secret(random(_HANDLE_SIZE))).encode()
                )
                for info in part.ticket_info
            )
        )
    etype, key = session_key
    sealed = crypto.encrypt(etype, key, KeyUsage.KRB_CRED, part.encode(), random=random)
    tgt = KrbCred(cred.tickets, EncryptedData(etype, sealed)).encode()
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


def open_remote_guard(credentials: RemoteGuardCredentials, *, keytab: str | None = None) -> EncKrbCredPart:
    """Open what a client sent, with the key of this computer's account.

    Args:
        credentials: as they were received.
        keytab: ``TYPE:residual`` or a path; None for the default keytab of the process.

    Raises:
        DecodeError: they are no Kerberos logon, or there is no ticket-granting ticket in it.
        AuthenticationError: the keytab has no key for the service ticket.
        RemoteProtocolError: a ticket does not open.
    """
    logon = KerbTicketLogon.decode(credentials.buffer.reveal())
    cred = logon.krb_cred()
    if cred is None:
        raise RemoteProtocolError("there is no ticket-granting ticket in the logon", section="[MS-CSSP] note <22>")
    ticket = _Ticket(logon.service_ticket.reveal())
    missing = pyspnego.kerberos_missing()
    if missing:
        raise pyspnego.kerberos_unavailable(missing)
    keys = pyspnego.call("reading the Kerberos keytab", _service_keys, keytab, ticket)
    if not keys:
        raise failure("the keytab has no key for the service ticket", SecurityStatus.SEC_E_NO_KERB_KEY)
    etype, key = ticket.session_key(keys)
    if etype != cred.enc_part.etype:
        raise RemoteProtocolError("KRB-CRED is not encrypted with the session key", section="[MS-CSSP] note <22>")
    return EncKrbCredPart.decode(crypto.decrypt(etype, key, KeyUsage.KRB_CRED, cred.enc_part.cipher))


# libkrb5


def _ask(host: str, tickets: CCacheCredentials | None) -> tuple[bytes, _Key]:
    """Have libkrb5 make an AP-REQ that delegates; return it and the session key of its ticket."""
    import gssapi
    import krb5

    kerberos = gssapi.OID.from_int_seq(_KERBEROS)
    context = krb5.init_context()
    cache = krb5.cc_default(context) if tickets is None else krb5.cc_resolve(context, tickets.ccache.encode())
    credential = gssapi.Credentials(usage="initiate", mechs=[kerberos], store={"ccache": _full_name(cache)})
    initiator = gssapi.SecurityContext(
        name=gssapi.Name(f"host@{host}", name_type=gssapi.NameType.hostbased_service),
        creds=credential,
        mech=kerberos,
        usage="initiate",
        flags=gssapi.RequirementFlag.delegate_to_peer | gssapi.RequirementFlag.mutual_authentication,
    )
    token: bytes = initiator.step()
    if not initiator.actual_flags & gssapi.RequirementFlag.delegate_to_peer:
        raise failure(
            "the ticket-granting ticket cannot be forwarded: get one with kinit -f", SecurityStatus.SEC_E_NO_CREDENTIALS
        )
    wanted = _Ticket(_members(token)[0])
    for entry in cache:
        if entry.ticket == wanted.octets:
            return token, (entry.keyblock.enctype, Secret(bytes(entry.keyblock.data)))
    raise failure("the service ticket is not in the credential cache", SecurityStatus.SEC_E_NO_CREDENTIALS)


def _full_name(cache: Any) -> str:
    return f"{cache.cache_type.decode()}:{cache.name.decode()}"


def _service_keys(keytab: str | None, ticket: _Ticket) -> list[_Key]:
    import krb5

    context = krb5.init_context()
    source = krb5.kt_default(context) if keytab is None else krb5.kt_resolve(context, keytab.encode())
    return [
        (entry.key.enctype, Secret(bytes(entry.key.data)))
        for entry in source
        if entry.key.enctype == ticket.enc_part.etype and str(entry.principal).rpartition("@")[0] == ticket.service
    ]


# Kerberos messages (RFC 4120 5.3, 5.5)


class _Ticket:
    """A ticket, as far as anybody but its service can read it."""

    def __init__(self, octets: bytes) -> None:
        reader = Reader(octets, "RFC 4120 5.3")
        path = "Ticket"
        inner = reader.only(reader.whole, _TICKET, path)
        _, _, sname, enc_part = reader.sequence(inner, ("tkt-vno", "realm", "sname", "enc-part"), path)
        _, strings = reader.sequence(sname, ("name-type", "name-string"), f"{path}.sname")
        parts = reader.sequence_of(strings, Tag.GENERAL_STRING, f"{path}.sname", limit=16)
        self.octets = octets
        self.service = "/".join(octets[start:stop].decode("utf-8", "replace") for start, stop in parts)
        self.enc_part = read_encrypted_data(reader, enc_part, f"{path}.enc-part")

    def session_key(self, keys: Sequence[_Key]) -> _Key:
        """Open it with one of these keys."""
        problem: RemoteProtocolError | None = None
        for etype, key in keys:
            try:
                plain = crypto.decrypt(etype, key, KeyUsage.TICKET, self.enc_part.cipher)
            except RemoteProtocolError as error:
                problem = error
                continue
            reader = Reader(plain, "RFC 4120 5.3")
            names = ("flags", "key", "crealm", "cname", "transited", "authtime", "starttime", "endtime", "renew-till")
            path = "EncTicketPart"
            inner = reader.only(reader.whole, _ENC_TICKET_PART, path)
            found = reader.sequence(inner, (*names, "caddr", "authorization-data"), path)[1]
            return _read_key(reader, found, f"{path}.key")
        assert problem is not None  # noqa: S101  # there is a key
        raise problem


def _members(token: bytes) -> tuple[bytes, EncryptedData]:
    """Return ticket and authenticator of an AP-REQ in the framing of GSS-API (RFC 2743 3.1, RFC 4121 4.1)."""
    outer = Reader(token, "RFC 4121 4.1")
    start, stop = outer.only(outer.whole, Tag.APPLICATION_0, "InitialContextToken")
    _, _, start = outer.tlv(start, stop, "thisMech")
    reader = Reader(token[start + 2 : stop], "RFC 4120 5.5.1", origin=start + 2)
    path = "AP-REQ"
    inner = reader.only(reader.whole, _AP_REQ, path)
    names = ("pvno", "msg-type", "ap-options", "ticket", "authenticator")
    _, _, _, ticket, authenticator = reader.sequence(inner, names, path)
    start, stop = reader.required(ticket, f"{path}.ticket")
    return reader.data[start:stop], read_encrypted_data(reader, authenticator, f"{path}.authenticator")


def _take_apart(token: bytes, session_key: _Key) -> tuple[bytes, KrbCred, EncKrbCredPart]:
    """Return the service ticket, the KRB-CRED and its contents."""
    ticket, sealed = _members(token)
    etype, key = session_key
    reader = Reader(crypto.decrypt(etype, key, KeyUsage.AP_REQ_AUTHENTICATOR, sealed.cipher), "RFC 4120 5.5.1")
    path = "Authenticator"
    inner = reader.only(reader.whole, _AUTHENTICATOR, path)
    names = ("authenticator-vno", "crealm", "cname", "cksum", "cusec", "ctime", "subkey", "seq-number")
    found = reader.sequence(inner, (*names, "authorization-data"), path)
    kind, value = reader.sequence(found[3], ("cksumtype", "checksum"), f"{path}.cksum")
    checksum = reader.octet_string(value, f"{path}.cksum.checksum")
    if reader.integer(kind, f"{path}.cksum.cksumtype") != _CHECKSUM or len(checksum) < _DELEGATION_AT:
        raise reader.error("no checksum that delegates", f"{path}.cksum", 0)
    size = int.from_bytes(checksum[_DELEGATION_AT - 2 : _DELEGATION_AT], "little")
    cred = KrbCred.decode(checksum[_DELEGATION_AT : _DELEGATION_AT + size])
    # With the session key, says RFC 4121 4.1.1, and not with the subkey as RFC 4120 5.8.1 allows.
    plain = crypto.decrypt(cred.enc_part.etype, key, KeyUsage.KRB_CRED, cred.enc_part.cipher)
    return ticket, cred, EncKrbCredPart.decode(plain)


def _read_key(reader: Reader, span: tuple[int, int] | None, path: str) -> _Key:
    keytype, keyvalue = reader.sequence(span, ("keytype", "keyvalue"), path)
    value = reader.octet_string(keyvalue, f"{path}.keyvalue")
    return reader.integer(keytype, f"{path}.keytype"), Secret(value)

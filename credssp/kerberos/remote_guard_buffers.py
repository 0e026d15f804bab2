"""What Windows puts into credBuffer of TSRemoteGuardPackageCred ([MS-CSSP] 2.2.1.2.3.1, note <22>).

KERB_TICKET_LOGON (ntsecapi.h), little-endian, as a 64-bit self-relative structure; so FreeRDP 3 writes and reads it::

    0  MessageType = 10    4  Flags    8  ServiceTicketLength    12  TicketGrantingTicketLength
    16 offset of ServiceTicket (8 bytes)    24 offset of TicketGrantingTicket (8 bytes)    32 the tickets

NTLM_REMOTE_SUPPLEMENTAL_CREDENTIAL, flat as FreeRDP does it; whether Windows puts a header of NDR before it is not
confirmed::

    0  Version = 0xFFFF0002    4  Flags    8  CredentialKey (20)    28  CredentialKeyType    32  reservedsize
    36 reserved
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.errors import DecodeError, LocalProtocolError
from credssp.kerberos.cred import KrbCred
from credssp.secret import Secret

__all__ = ["KerbRPCEncryptionKey", "KerbTicketLogon", "NTLMRemoteSupplementalCredential", "check_logon_buffer"]

_SECTION: Final = "[MS-CSSP] 2.2.1.2.3.1 note <22>"

_TICKET_LOGON: Final = struct.Struct("<IIIIQQ")
_KERB_TICKET_LOGON: Final = 10

KERB_LOGON_FLAG_ALLOW_EXPIRED_TICKET: Final = 1
KERB_LOGON_FLAG_REDIRECTED: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class KerbTicketLogon:
    """KERB_TICKET_LOGON: log on with a ticket to the computer and, if there is one, with the user's own TGT.

    Attributes:
        service_ticket: Ticket in DER, for the computer account (``host/computer``).
        ticket_granting_ticket: KRB-CRED in DER, encrypted with the session key of the service ticket; may be empty.
        flags: 1 an expired ticket will do; 2 its key is redirected, as in Remote Credential Guard.
    """

    service_ticket: Secret[bytes]
    ticket_granting_ticket: Secret[bytes]
    flags: int = 0

    def encode(self) -> Secret[bytes]:
        """Write it."""
        ticket, tgt = self.service_ticket.reveal(), self.ticket_granting_ticket.reveal()
        first = _TICKET_LOGON.size
        head = _TICKET_LOGON.pack(_KERB_TICKET_LOGON, self.flags, len(ticket), len(tgt), first, first + len(ticket))
        return Secret(head + ticket + tgt)

    @classmethod
    def decode(cls, buffer: bytes) -> KerbTicketLogon:
        """Read it.

        Raises:
            DecodeError: this is something else, or a ticket is not inside it.
        """
        structure = "KERB_TICKET_LOGON"
        kind, flags, ticket_size, tgt_size, ticket_at, tgt_at = _unpack(_TICKET_LOGON, buffer, structure)
        if kind != _KERB_TICKET_LOGON:
            raise _error(f"{kind} where {_KERB_TICKET_LOGON} belongs", f"{structure}.MessageType", 0)
        if not ticket_size:
            raise _error("is missing", f"{structure}.ServiceTicket", 8)
        return cls(
            service_ticket=_part(buffer, ticket_at, ticket_size, f"{structure}.ServiceTicket", 16),
            ticket_granting_ticket=_part(buffer, tgt_at, tgt_size, f"{structure}.TicketGrantingTicket", 24),
            flags=flags,
        )

    def krb_cred(self) -> KrbCred | None:
        """Return TicketGrantingTicket taken apart, or None where there is none.

        Raises:
            DecodeError: it is not a KRB-CRED.
        """
        tgt = self.ticket_granting_ticket.reveal()
        return KrbCred.decode(tgt, origin=_TICKET_LOGON.size + len(self.service_ticket.reveal())) if tgt else None


def _part(buffer: bytes, offset: int, size: int, field: str, where: int) -> Secret[bytes]:
    if size and not _TICKET_LOGON.size <= offset <= len(buffer) - size:
        raise _error(f"{size} bytes at offset {offset} are not inside the buffer of {len(buffer)}", field, where)
    return Secret(buffer[offset : offset + size])


_SUPPLEMENTAL: Final = struct.Struct("<II20sII")
_VERSION: Final = 0xFFFF0002
_PADDING: Final = 84


@dataclass(frozen=True, slots=True, kw_only=True)
class NTLMRemoteSupplementalCredential:
    """NTLM_REMOTE_SUPPLEMENTAL_CREDENTIAL: lets the server log on with NTLM further on, by calls back to the client.

    Attributes:
        credential_key: CredentialKey, 20 bytes; see `derive_key`.
        flags: 1 LM OWF is there, 2 NT OWF is there, 8 the credential key is there.
        key_type: CredentialKeyType; 2 for a domain user.
        reserved: what follows; FreeRDP writes 84 zeros.
    """

    credential_key: Secret[bytes]
    flags: int = 8
    key_type: int = 2
    reserved: Secret[bytes] = field(default_factory=lambda: Secret(bytes(_PADDING)))

    def __post_init__(self) -> None:
        if len(self.credential_key.reveal()) != 20:
            raise LocalProtocolError("CredentialKey has 20 bytes")

    @staticmethod
    def derive_key(nt_hash: Secret[bytes], sid: str) -> Secret[bytes]:
        """Return the CredentialKey of a domain user.

        Args:
            nt_hash: MD4 of the password.
            sid: the user's security identifier, ``S-1-5-21-...``.
        """
        salt = sid.encode("utf-16-le")
        first = hashlib.pbkdf2_hmac("sha256", nt_hash.reveal(), salt, 10_000, 32)
        return Secret(hashlib.pbkdf2_hmac("sha256", first, salt, 1, 16) + bytes(4))

    def encode(self) -> Secret[bytes]:
        """Write it."""
        rest = self.reserved.reveal()
        head = _SUPPLEMENTAL.pack(_VERSION, self.flags, self.credential_key.reveal(), self.key_type, len(rest))
        return Secret(head + rest)

    @classmethod
    def decode(cls, buffer: bytes) -> NTLMRemoteSupplementalCredential:
        """Read it.

        Raises:
            DecodeError: this is something else.
        """
        structure = "NTLM_REMOTE_SUPPLEMENTAL_CREDENTIAL"
        version, flags, key, key_type, size = _unpack(_SUPPLEMENTAL, buffer, structure)
        if version != _VERSION:
            raise _error(f"0x{version:08X} where 0x{_VERSION:08X} belongs", f"{structure}.Version", 0)
        if not flags & 0xB:
            raise _error("none of the keys is there", f"{structure}.Flags", 4)
        start = _SUPPLEMENTAL.size
        if size > len(buffer) - start:
            raise _error(f"{size} bytes announced, {len(buffer) - start} there", f"{structure}.reservedsize", 32)
        return cls(
            credential_key=Secret(key), flags=flags, key_type=key_type, reserved=Secret(buffer[start : start + size])
        )


# [MS-RPCE] 2.2.6: common header (version 1, little-endian, 8 bytes), private header (length of what follows).
_NDR: Final = struct.Struct("<BBHIII")
_NDR_COMMON: Final = (1, 0x10, 8, 0xCCCCCCCC)
_KEY: Final = struct.Struct("<IIiIII")
_REFERENT: Final = 0x00020000


@dataclass(frozen=True, slots=True)
class KerbRPCEncryptionKey:
    """KERB_RPC_ENCRYPTION_KEY ([MS-RDPEAR] 2.2.1.2.8), NDR type serialization version 1.

    In Remote Credential Guard it takes the place of a Kerberos session key: the server sends it back with everything it
    wants done, and only the client knows what key it means.

    Attributes:
        etype: reserved2, the encryption type.
        handle: reserved3, whatever the client needs to find the key.
    """

    etype: int
    handle: Secret[bytes]

    def encode(self) -> Secret[bytes]:
        """Write it."""
        handle = self.handle.reveal()
        size = len(handle)
        body = _KEY.pack(_REFERENT, 0, self.etype, size, _REFERENT + 4, size) + handle
        body += bytes(-len(body) % 8)
        return Secret(_NDR.pack(*_NDR_COMMON, len(body), 0) + body)

    @classmethod
    def decode(cls, data: bytes) -> KerbRPCEncryptionKey:
        """Read it.

        Raises:
            DecodeError: this is something else.
        """
        structure = "KERB_RPC_ENCRYPTION_KEY"
        *common, length, _ = _unpack(_NDR, data, structure)
        if tuple(common[:3]) != _NDR_COMMON[:3]:
            raise _error("no header of NDR type serialization version 1", structure, 0)
        body = data[_NDR.size :][:length]
        referent, _, etype, size, pointer, count = _unpack(_KEY, body, structure)
        if not referent or (size and not pointer) or size != count or size > len(body) - _KEY.size:
            raise _error("the key does not fit into the structure", f"{structure}.reserved3", _NDR.size)
        return cls(etype, Secret(body[_KEY.size : _KEY.size + size]))


def check_logon_buffer(package_name: str, buffer: Secret[bytes]) -> None:
    """Check what a server received as logonCred: Kerberos has one form, other packages are not looked into.

    Raises:
        DecodeError: the Kerberos logon or its KRB-CRED does not decode.
    """
    if package_name.casefold() == "kerberos":
        KerbTicketLogon.decode(buffer.reveal()).krb_cred()


def _unpack(layout: struct.Struct, data: bytes, structure: str) -> tuple[Any, ...]:
    if len(data) < layout.size:
        raise _error(f"{len(data)} bytes, at least {layout.size} belong here", structure, 0)
    return layout.unpack_from(data)


def _error(message: str, field: str, offset: int) -> DecodeError:
    return DecodeError(message, field=field, offset=offset, section=_SECTION)

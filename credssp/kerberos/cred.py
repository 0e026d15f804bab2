"""KRB-CRED, the Kerberos message that hands over tickets (RFC 4120 5.8), as Remote Credential Guard carries it::

    KRB-CRED       ::= [APPLICATION 22] SEQUENCE { pvno [0], msg-type [1], tickets [2] SEQUENCE OF Ticket,
                                                   enc-part [3] EncryptedData }
    EncKrbCredPart ::= [APPLICATION 29] SEQUENCE { ticket-info [0] SEQUENCE OF KrbCredInfo, nonce [1] ... }
    KrbCredInfo    ::= SEQUENCE { key [0], prealm [1], pname [2], flags [3], authtime [4], starttime [5], endtime [6],
                                  renew-till [7], srealm [8], sname [9], caddr [10] }

Tickets stay bytes: only the service they are for can read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from credssp.kerberos.values import (
    EncryptedData,
    EncryptionKey,
    Principal,
    read_encrypted_data,
    read_flags,
    read_key,
    read_optional_time,
    read_realm,
    write_flags,
    write_key,
    write_realm,
    write_time,
)
from credssp.secret import Secret
from credssp.wire.der import (
    Reader,
    Span,
    Tag,
    write_explicit,
    write_integer,
    write_sequence,
    write_tlv,
)

__all__ = ["EncKrbCredPart", "KrbCred", "KrbCredInfo"]

_SECTION: Final = "RFC 4120 5.8.1"
_TICKET: Final = 0x61
_KRB_CRED: Final = 0x76
_ENC_PART: Final = 0x7D
_PVNO: Final = 5
_MSG_TYPE: Final = 22

_MAX_TICKETS: Final = 16
"""Windows and libkrb5 send one; a forest of trusts that needs more than this many does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KrbCredInfo:
    """What belongs to one ticket (KrbCredInfo). Members that are None are absent; caddr is read over.

    Attributes:
        key_type: encryption type of the session key.
        key: the session key; in Remote Credential Guard a marshalled KERB_RPC_ENCRYPTION_KEY in its place.
        prealm: realm of the client.
        pname: name of the client.
        flags: TicketFlags, the first one in the highest of 32 bits.
        authtime: when the client logged on.
        starttime: when the ticket becomes valid.
        endtime: when it expires.
        renew_till: until when it can be renewed.
        srealm: realm of the service.
        sname: name of the service.
    """

    key_type: int
    key: Secret[bytes]
    prealm: str | None = None
    pname: Principal | None = None
    flags: int | None = None
    authtime: datetime | None = None
    starttime: datetime | None = None
    endtime: datetime | None = None
    renew_till: datetime | None = None
    srealm: str | None = None
    sname: Principal | None = None

    def encode(self) -> bytes:
        """Write it as DER."""
        key = write_key(EncryptionKey(self.key_type, self.key))
        flags = None if self.flags is None else write_flags(self.flags)
        times = (self.authtime, self.starttime, self.endtime, self.renew_till)
        values = (
            key,
            write_realm(self.prealm),
            None if self.pname is None else self.pname.encode(),
            flags,
            *map(write_time, times),
            write_realm(self.srealm),
            None if self.sname is None else self.sname.encode(),
        )
        return write_sequence(*(write_explicit(n, value) for n, value in enumerate(values) if value is not None))

    @classmethod
    def read(cls, reader: Reader, span: Span, path: str) -> KrbCredInfo:
        """Read its members."""
        names = ("key", "prealm", "pname", "flags", "authtime", "starttime", "endtime", "renew-till", "srealm", "sname")
        found = reader.fields(span, (*names, "caddr"), path)
        key, prealm, pname, flags, authtime, starttime, endtime, renew_till, srealm, sname, _ = found
        session_key = read_key(reader, key, f"{path}.key")
        return cls(
            key_type=session_key.etype,
            key=session_key.value,
            prealm=read_realm(reader, prealm, f"{path}.prealm"),
            pname=None if pname is None else Principal.read(reader, pname, f"{path}.pname"),
            flags=read_flags(reader, flags, f"{path}.flags"),
            authtime=read_optional_time(reader, authtime, f"{path}.authtime"),
            starttime=read_optional_time(reader, starttime, f"{path}.starttime"),
            endtime=read_optional_time(reader, endtime, f"{path}.endtime"),
            renew_till=read_optional_time(reader, renew_till, f"{path}.renew-till"),
            srealm=read_realm(reader, srealm, f"{path}.srealm"),
            sname=None if sname is None else Principal.read(reader, sname, f"{path}.sname"),
        )


@dataclass(frozen=True, slots=True)
class EncKrbCredPart:
    """The encrypted part, decrypted; nonce, times and addresses are read over and not written.

    Attributes:
        ticket_info: one for each ticket, in their order.
    """

    ticket_info: tuple[KrbCredInfo, ...]

    def encode(self) -> bytes:
        """Write it as DER."""
        infos = write_sequence(*(info.encode() for info in self.ticket_info))
        return write_tlv(_ENC_PART, write_sequence(write_explicit(0, infos)))

    @classmethod
    def decode(cls, data: bytes) -> EncKrbCredPart:
        """Read it. Bytes after it are ignored: some encryption types pad.

        Raises:
            DecodeError: this is something else.
            LimitExceededError: there is too much of it.
        """
        reader = Reader(data, _SECTION)
        path = "EncKrbCredPart"
        tag, start, stop = reader.tlv(0, len(data), path)
        if tag != _ENC_PART:
            raise reader.error(f"tag 0x{tag:02X} where 0x{_ENC_PART:02X} belongs", path, 0)
        names = ("ticket-info", "nonce", "timestamp", "usec", "s-address", "r-address")
        infos = reader.sequence((start, stop), names, path)[0]
        path += ".ticket-info"
        items = reader.sequence_of(infos, Tag.SEQUENCE, path, limit=_MAX_TICKETS)
        return cls(tuple(KrbCredInfo.read(reader, item, f"{path}[{n}]") for n, item in enumerate(items)))


@dataclass(frozen=True, slots=True)
class KrbCred:
    """KRB-CRED.

    Attributes:
        tickets: each in DER, as the KDC made it.
        enc_part: EncKrbCredPart, encrypted.
    """

    tickets: tuple[bytes, ...]
    enc_part: EncryptedData

    def __repr__(self) -> str:
        return f"KrbCred(tickets=<{len(self.tickets)}>, enc_part={self.enc_part!r})"

    def encode(self) -> bytes:
        """Write it as DER."""
        return write_tlv(
            _KRB_CRED,
            write_sequence(
                write_explicit(0, write_integer(_PVNO)),
                write_explicit(1, write_integer(_MSG_TYPE)),
                write_explicit(2, write_sequence(*self.tickets)),
                write_explicit(3, self.enc_part.encode()),
            ),
        )

    @classmethod
    def decode(cls, data: bytes, *, origin: int = 0) -> KrbCred:
        """Read it.

        Args:
            data: the bytes.
            origin: added to offsets in errors.

        Raises:
            DecodeError: this is something else.
            LimitExceededError: there is too much of it.
        """
        reader = Reader(data, _SECTION, origin=origin)
        path = "KRB-CRED"
        inner = reader.only(reader.whole, _KRB_CRED, path)
        pvno, msg_type, tickets, enc_part = reader.sequence(inner, ("pvno", "msg-type", "tickets", "enc-part"), path)
        for span, expected, name in ((pvno, _PVNO, "pvno"), (msg_type, _MSG_TYPE, "msg-type")):
            found = reader.integer(span, f"{path}.{name}")
            if found != expected:
                raise reader.error(f"{found} where {expected} belongs", f"{path}.{name}", reader.required(span, "")[0])
        spans = reader.sequence_of(tickets, _TICKET, f"{path}.tickets", limit=_MAX_TICKETS)
        return cls(
            tuple(write_tlv(_TICKET, data[start:stop]) for start, stop in spans),
            read_encrypted_data(reader, enc_part, f"{path}.enc-part"),
        )

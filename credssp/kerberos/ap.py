"""The messages with which a client presents a ticket (RFC 4120 5.3, 5.5, 5.9), in the framing of GSS-API::

    AP-REQ         ::= [APPLICATION 14] SEQUENCE { pvno [0], msg-type [1], ap-options [2], ticket [3],
                                                   authenticator [4] EncryptedData }
    Authenticator  ::= [APPLICATION 2]  SEQUENCE { authenticator-vno [0], crealm [1], cname [2], cksum [3], cusec [4],
                                                   ctime [5], subkey [6], seq-number [7], authorization-data [8] }
    Ticket         ::= [APPLICATION 1]  SEQUENCE { tkt-vno [0], realm [1], sname [2], enc-part [3] EncryptedData }
    AP-REP         ::= [APPLICATION 15] SEQUENCE { pvno [0], msg-type [1], enc-part [2] EncryptedData }
    EncAPRepPart   ::= [APPLICATION 27] SEQUENCE { ctime [0], cusec [1], subkey [2], seq-number [3] }
    KRB-ERROR      ::= [APPLICATION 30] SEQUENCE { pvno [0], msg-type [1], ..., stime [4], susec [5], error-code [6],
                                                   ..., realm [9], sname [10], ... }

libkrb5 makes and reads them for logins. They are read here before it sees them (`credssp.kerberos.admission`) and for
Remote Credential Guard, which needs what is inside, and both made and read by the conformance suite, which gets them
wrong on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from credssp.errors import LimitExceededError
from credssp.kerberos.values import (
    EncryptedData,
    EncryptionKey,
    Principal,
    read_encrypted_data,
    read_flags,
    read_key,
    read_optional_time,
    read_realm,
    read_time,
    write_flags,
    write_key,
    write_realm,
    write_time,
)
from credssp.wire.der import (
    Reader,
    Span,
    Tag,
    write_explicit,
    write_integer,
    write_octet_string,
    write_oid,
    write_sequence,
    write_tlv,
)

__all__ = [
    "AP_REP",
    "AP_REQ",
    "KRB_ERROR",
    "APRep",
    "APReq",
    "Authenticator",
    "Checksum",
    "EncAPRepPart",
    "EncTicketPart",
    "KrbError",
    "Ticket",
    "check_authorization_data",
    "frame",
    "unframe",
]

AP_REQ: Final = b"\x01\x00"
AP_REP: Final = b"\x02\x00"
KRB_ERROR: Final = b"\x03\x00"
"""What precedes a message in GSS-API's framing (RFC 4121 4.1)."""

_KERBEROS: Final = write_oid("1.2.840.113554.1.2.2")
_PVNO: Final = 5
_TICKET: Final = 0x61
_AUTHENTICATOR: Final = 0x62
_ENC_TICKET_PART: Final = 0x63
_AP_REQ: Final = 0x6E
_AP_REP: Final = 0x6F
_ENC_AP_REP_PART: Final = 0x7B
_KRB_ERROR: Final = 0x7E
_AD_IF_RELEVANT: Final = 1
_AD_WIN2K_PAC: Final = 128
_AUTHZ: Final = "RFC 4120 5.2.6"
_MESSAGES: Final = {_AP_REQ: AP_REQ, _AP_REP: AP_REP, _KRB_ERROR: KRB_ERROR}


def frame(kind: bytes, message: bytes) -> bytes:
    """Put a message into the framing of GSS-API (RFC 2743 3.1, RFC 4121 4.1)."""
    return write_tlv(Tag.APPLICATION_0, _KERBEROS + kind + message)


def unframe(token: bytes) -> tuple[bytes, bytes]:
    """Take a message out of the framing; one without (as after DCE's style of negotiation) is taken as it is.

    Returns:
        What it is (`AP_REQ`, `AP_REP`, `KRB_ERROR` or other two bytes), and the message.

    Raises:
        DecodeError: it is neither.
    """
    reader = Reader(token, "RFC 4121 4.1")
    if token[:1] and token[0] in _MESSAGES:
        return _MESSAGES[token[0]], token
    start, stop = reader.only(reader.whole, Tag.APPLICATION_0, "InitialContextToken")
    _, _, start = reader.tlv(start, stop, "thisMech")
    return token[start : start + 2], token[start + 2 : stop]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, as far as parties other than its service can read it.

    Attributes:
        encoded: all of it, in DER.
        realm: realm of the service.
        sname: name of the service.
        enc_part: the rest, for the service.
    """

    encoded: bytes = field(repr=False)
    realm: str
    sname: Principal
    enc_part: EncryptedData

    @property
    def service(self) -> str:
        """The service as it is written, ``TERMSRV/host``."""
        return str(self.sname)

    @classmethod
    def decode(cls, encoded: bytes) -> Ticket:
        """Read it. Raises DecodeError."""
        reader = Reader(encoded, "RFC 4120 5.3")
        path = "Ticket"
        inner = reader.only(reader.whole, _TICKET, path)
        _, realm, sname, enc_part = reader.sequence(inner, ("tkt-vno", "realm", "sname", "enc-part"), path)
        return cls(
            encoded,
            read_realm(reader, reader.required(realm, f"{path}.realm"), f"{path}.realm") or "",
            Principal.read(reader, reader.required(sname, f"{path}.sname"), f"{path}.sname"),
            read_encrypted_data(reader, enc_part, f"{path}.enc-part"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncTicketPart:
    """What a ticket says to its service; transited, renew-till and caddr are read over.

    Attributes:
        flags: TicketFlags, the first one in the highest of 32 bits.
        key: the session key.
        crealm: realm of the client.
        cname: name of the client.
        authtime: when the client logged on.
        starttime: when the ticket becomes valid; authtime where it is absent.
        endtime: when it expires.
        pacs: the PACs ([MS-PAC]) among its authorization data; a KDC writes one, or none.
    """

    flags: int
    key: EncryptionKey
    crealm: str
    cname: Principal
    authtime: datetime
    starttime: datetime
    endtime: datetime
    pacs: tuple[bytes, ...] = field(default=(), repr=False)

    INVALID = 0x01000000
    ANONYMOUS = 0x00008000

    @classmethod
    def decode(cls, plain: bytes) -> EncTicketPart:
        """Read a decrypted ticket. Raises DecodeError, and LimitExceededError for too much authorization data."""
        reader = Reader(plain, "RFC 4120 5.3")
        path = "EncTicketPart"
        names = ("flags", "key", "crealm", "cname", "transited", "authtime", "starttime", "endtime", "renew-till")
        found = _members(reader, _ENC_TICKET_PART, (*names, "caddr", "authorization-data"), path)
        flags, key, crealm, cname, _, authtime, starttime, endtime, *_, authorization = found
        pacs = check_authorization_data(reader, authorization, path)
        logged_on = read_time(reader, authtime, f"{path}.authtime")
        return cls(
            flags=read_flags(reader, reader.required(flags, f"{path}.flags"), f"{path}.flags") or 0,
            key=read_key(reader, key, f"{path}.key"),
            crealm=read_realm(reader, reader.required(crealm, f"{path}.crealm"), f"{path}.crealm") or "",
            cname=Principal.read(reader, reader.required(cname, f"{path}.cname"), f"{path}.cname"),
            authtime=logged_on,
            starttime=read_optional_time(reader, starttime, f"{path}.starttime") or logged_on,
            endtime=read_time(reader, endtime, f"{path}.endtime"),
            pacs=tuple(pacs),
        )


_MAX_AUTHORIZATION_DEPTH: Final = 4
_MAX_AUTHORIZATION_ELEMENTS: Final = 64
"""A KDC of Windows sends some five elements, two deep. libkrb5 takes any depth, 30 KiB of memory for each."""


def check_authorization_data(reader: Reader, span: Span | None, path: str) -> list[bytes]:
    """Check AuthorizationData with what is nested in it (RFC 4120 5.2.6): its form, how deep it is and how many.

    Returns:
        The PACs in it (AD-WIN2K-PAC, [MS-PAC] 2.1), which mean something in a ticket alone.

    Raises:
        DecodeError: it is something else.
        LimitExceededError: it is nested deeper, or has more elements, than any KDC writes.
    """
    pacs: list[bytes] = []
    if span is None:
        return pacs
    path += ".authorization-data"
    total = 0
    waiting = [(reader, span, 1)]
    while waiting:
        within, part, depth = waiting.pop()
        if depth > _MAX_AUTHORIZATION_DEPTH:
            raise LimitExceededError(f"{path} is nested more than {_MAX_AUTHORIZATION_DEPTH} deep", section=_AUTHZ)
        for element in within.sequence_of(part, Tag.SEQUENCE, path, limit=_MAX_AUTHORIZATION_ELEMENTS):
            total += 1
            if total > _MAX_AUTHORIZATION_ELEMENTS:
                raise LimitExceededError(f"{path} has more than {_MAX_AUTHORIZATION_ELEMENTS} elements", section=_AUTHZ)
            kind, data = within.fields(element, ("ad-type", "ad-data"), path)
            contents = within.octet_string(data, path)
            ad_type = within.integer(kind, path)
            if ad_type == _AD_IF_RELEVANT:
                nested = Reader(contents, _AUTHZ)
                waiting.append((nested, nested.whole, depth + 1))
            elif ad_type == _AD_WIN2K_PAC:
                pacs.append(contents)
    return pacs


@dataclass(frozen=True, slots=True)
class APReq:
    """AP-REQ.

    Attributes:
        options: ap-options, the first one in the highest of 32 bits: 0x20000000 is mutual-required.
        ticket: the ticket, in DER.
        authenticator: Authenticator, encrypted.
    """

    options: int
    ticket: bytes = field(repr=False)
    authenticator: EncryptedData

    MUTUAL_REQUIRED = 0x20000000

    def encode(self) -> bytes:
        """Write it as DER."""
        return _message(_AP_REQ, 14, write_flags(self.options), self.ticket, self.authenticator.encode())

    @classmethod
    def decode(cls, data: bytes) -> APReq:
        """Read it. Raises DecodeError."""
        reader = Reader(data, "RFC 4120 5.5.1")
        path = "AP-REQ"
        names = ("pvno", "msg-type", "ap-options", "ticket", "authenticator")
        _, _, options, ticket, authenticator = _members(reader, _AP_REQ, names, path)
        start, stop = reader.required(ticket, f"{path}.ticket")
        return cls(
            read_flags(reader, options, f"{path}.ap-options") or 0,
            data[start:stop],
            read_encrypted_data(reader, authenticator, f"{path}.authenticator"),
        )


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum (RFC 4120 5.2.9).

    Attributes:
        kind: its type; 0x8003 in an authenticator is that of GSS-API (RFC 4121 4.1.1).
        value: its bytes.
    """

    kind: int
    value: bytes

    GSS_API = 0x8003

    def encode(self) -> bytes:
        """Write it as DER."""
        return write_sequence(
            write_explicit(0, write_integer(self.kind)), write_explicit(1, write_octet_string(self.value))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator:
    """What proves that the client has the session key of its ticket.

    Attributes:
        crealm: realm of the client.
        cname: name of the client.
        checksum: of GSS-API: flags, channel bindings and, where a ticket is forwarded, KRB-CRED; or None.
        ctime: the client's clock, in whole seconds.
        cusec: microseconds of it.
        subkey: a key that the client chose, or None.
        seq_number: of the client's first message, or None.
    """

    crealm: str
    cname: Principal
    ctime: datetime
    cusec: int
    checksum: Checksum | None = None
    subkey: EncryptionKey | None = None
    seq_number: int | None = None

    def encode(self) -> bytes:
        """Write it as DER."""
        values = (
            write_integer(_PVNO),
            write_realm(self.crealm),
            self.cname.encode(),
            None if self.checksum is None else self.checksum.encode(),
            write_integer(self.cusec),
            write_time(self.ctime),
            None if self.subkey is None else write_key(self.subkey),
            None if self.seq_number is None else write_integer(self.seq_number),
        )
        return write_tlv(_AUTHENTICATOR, _explicit(values))

    @classmethod
    def decode(cls, data: bytes) -> Authenticator:
        """Read it; authorization-data is checked and not kept. Raises DecodeError, LimitExceededError."""
        reader = Reader(data, "RFC 4120 5.5.1")
        path = "Authenticator"
        names = ("authenticator-vno", "crealm", "cname", "cksum", "cusec", "ctime", "subkey", "seq-number")
        found = _members(reader, _AUTHENTICATOR, (*names, "authorization-data"), path)
        _, crealm, cname, cksum, cusec, ctime, subkey, seq_number, authorization = found
        check_authorization_data(reader, authorization, path)
        return cls(
            crealm=read_realm(reader, reader.required(crealm, f"{path}.crealm"), f"{path}.crealm") or "",
            cname=Principal.read(reader, reader.required(cname, f"{path}.cname"), f"{path}.cname"),
            checksum=None if cksum is None else _read_checksum(reader, cksum, f"{path}.cksum"),
            cusec=_padded_number(reader, cusec, f"{path}.cusec"),
            ctime=read_time(reader, ctime, f"{path}.ctime"),
            subkey=None if subkey is None else read_key(reader, subkey, f"{path}.subkey"),
            seq_number=_sequence_number(reader, seq_number, path),
        )


@dataclass(frozen=True, slots=True)
class APRep:
    """AP-REP.

    Attributes:
        enc_part: EncAPRepPart, encrypted with the session key of the ticket.
    """

    enc_part: EncryptedData

    def encode(self) -> bytes:
        """Write it as DER."""
        return _message(_AP_REP, 15, self.enc_part.encode())

    @classmethod
    def decode(cls, data: bytes) -> APRep:
        """Read it. Raises DecodeError."""
        reader = Reader(data, "RFC 4120 5.5.2")
        path = "AP-REP"
        _, _, enc_part = _members(reader, _AP_REP, ("pvno", "msg-type", "enc-part"), path)
        return cls(read_encrypted_data(reader, enc_part, f"{path}.enc-part"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EncAPRepPart:
    """What proves that the service has the key of the ticket.

    Attributes:
        ctime: the authenticator's.
        cusec: the authenticator's.
        subkey: a key that the service chose, or None.
        seq_number: of the service's first message, or None.
    """

    ctime: datetime
    cusec: int
    subkey: EncryptionKey | None = None
    seq_number: int | None = None

    def encode(self) -> bytes:
        """Write it as DER."""
        values = (
            write_time(self.ctime),
            write_integer(self.cusec),
            None if self.subkey is None else write_key(self.subkey),
            None if self.seq_number is None else write_integer(self.seq_number),
        )
        return write_tlv(_ENC_AP_REP_PART, _explicit(values))

    @classmethod
    def decode(cls, data: bytes) -> EncAPRepPart:
        """Read it. Raises DecodeError."""
        reader = Reader(data, "RFC 4120 5.5.2")
        path = "EncAPRepPart"
        names = ("ctime", "cusec", "subkey", "seq-number")
        ctime, cusec, subkey, seq_number = _members(reader, _ENC_AP_REP_PART, names, path)
        return cls(
            ctime=read_time(reader, ctime, f"{path}.ctime"),
            cusec=reader.integer(cusec, f"{path}.cusec"),
            subkey=None if subkey is None else read_key(reader, subkey, f"{path}.subkey"),
            seq_number=_sequence_number(reader, seq_number, path),
        )


@dataclass(frozen=True, slots=True)
class KrbError:
    """KRB-ERROR, with the members it must have.

    Attributes:
        code: error-code, such as 37 KRB_AP_ERR_SKEW.
        stime: the service's clock.
        realm: realm of the service.
        sname: name of the service.
    """

    code: int
    stime: datetime
    realm: str
    sname: Principal

    def encode(self) -> bytes:
        """Write it as DER."""
        values: list[bytes | None] = [None] * 11
        values[0], values[1] = write_integer(_PVNO), write_integer(30)
        values[4], values[5], values[6] = write_time(self.stime), write_integer(0), write_integer(self.code)
        values[9], values[10] = write_realm(self.realm), self.sname.encode()
        return write_tlv(_KRB_ERROR, _explicit(values))

    @classmethod
    def decode(cls, data: bytes) -> KrbError:
        """Read it. Raises DecodeError."""
        reader = Reader(data, "RFC 4120 5.9.1")
        path = "KRB-ERROR"
        names = ("pvno", "msg-type", "ctime", "cusec", "stime", "susec", "error-code", "crealm", "cname", "realm")
        found = _members(reader, _KRB_ERROR, (*names, "sname", "e-text", "e-data"), path)
        return cls(
            reader.integer(found[6], f"{path}.error-code"),
            read_time(reader, found[4], f"{path}.stime"),
            read_realm(reader, reader.required(found[9], f"{path}.realm"), f"{path}.realm") or "",
            Principal.read(reader, reader.required(found[10], f"{path}.sname"), f"{path}.sname"),
        )


def _members(reader: Reader, tag: int, names: tuple[str, ...], path: str) -> list[Span | None]:
    """Read ``[APPLICATION n] SEQUENCE``. Bytes after it are ignored: some encryption types pad."""
    found, start, stop = reader.tlv(0, len(reader.data), path)
    if found != tag:
        raise reader.error(f"tag 0x{found:02X} where 0x{tag:02X} belongs", path, 0)
    return reader.sequence((start, stop), names, path)


def _explicit(values: tuple[bytes | None, ...] | list[bytes | None]) -> bytes:
    return write_sequence(*(write_explicit(n, value) for n, value in enumerate(values) if value is not None))


def _message(tag: int, kind: int, *values: bytes) -> bytes:
    return write_tlv(tag, _explicit((write_integer(_PVNO), write_integer(kind), *values)))


def _sequence_number(reader: Reader, span: Span | None, path: str) -> int | None:
    # Unsigned, but old implementations write those of 2**31 and above as negative numbers.
    return None if span is None else _padded_number(reader, span, f"{path}.seq-number") & 0xFFFFFFFF


def _padded_number(reader: Reader, span: Span | None, field: str) -> int:
    """Read an INTEGER that may begin with zeros: sspi-rs (in sspilib 0.6.0) writes four bytes whatever the value is."""
    start, end = reader.only(span, Tag.INTEGER, field)
    if end - start == 4:
        while start < end - 1 and reader.data[start] == 0 and reader.data[start + 1] < 0x80:
            start += 1
    return reader.number((start, end), field)


def _read_checksum(reader: Reader, span: Span, path: str) -> Checksum:
    kind, value = reader.sequence(span, ("cksumtype", "checksum"), path)
    return Checksum(reader.integer(kind, f"{path}.cksumtype"), reader.octet_string(value, f"{path}.checksum"))

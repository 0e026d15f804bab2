"""What Kerberos messages are made of: names, times, keys and encrypted parts (RFC 4120 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from credssp.secret import Secret
from credssp.wire.der import (
    Reader,
    Span,
    Tag,
    write_explicit,
    write_integer,
    write_octet_string,
    write_sequence,
    write_tlv,
)

__all__ = [
    "EncryptedData",
    "EncryptionKey",
    "Principal",
    "read_encrypted_data",
    "read_flags",
    "read_key",
    "read_optional_time",
    "read_realm",
    "read_time",
    "write_flags",
    "write_key",
    "write_realm",
    "write_time",
]

_TIME: Final = 0x18

_MAX_COMPONENTS: Final = 16
"""Names of services have two or three."""


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """A key (RFC 4120 5.2.9).

    Attributes:
        etype: encryption type, such as 18 for aes256-cts-hmac-sha1-96.
        value: its bytes.
    """

    etype: int
    value: Secret[bytes]


def write_key(key: EncryptionKey) -> bytes:
    """Write one as DER."""
    return write_sequence(
        write_explicit(0, write_integer(key.etype)), write_explicit(1, write_octet_string(key.value.reveal()))
    )


def read_key(reader: Reader, span: Span | None, path: str) -> EncryptionKey:
    """Read one inside another structure."""
    keytype, keyvalue = reader.sequence(span, ("keytype", "keyvalue"), path)
    value = reader.octet_string(keyvalue, f"{path}.keyvalue")
    return EncryptionKey(reader.integer(keytype, f"{path}.keytype"), Secret(value))


@dataclass(frozen=True, slots=True)
class EncryptedData:
    """Something encrypted (RFC 4120 5.2.9).

    Attributes:
        etype: encryption type, such as 18 for aes256-cts-hmac-sha1-96.
        cipher: the bytes.
        kvno: version of the key, or None.
    """

    etype: int
    cipher: bytes
    kvno: int | None = None

    def __repr__(self) -> str:
        return f"EncryptedData(etype={self.etype}, kvno={self.kvno}, cipher=<{len(self.cipher)} bytes>)"

    def encode(self) -> bytes:
        """Write it as DER."""
        kvno = () if self.kvno is None else (write_explicit(1, write_integer(self.kvno)),)
        cipher = write_explicit(2, write_octet_string(self.cipher))
        return write_sequence(write_explicit(0, write_integer(self.etype)), *kvno, cipher)


def read_encrypted_data(reader: Reader, span: Span | None, path: str) -> EncryptedData:
    """Read one inside another structure."""
    etype, kvno, cipher = reader.sequence(span, ("etype", "kvno", "cipher"), path)
    return EncryptedData(
        reader.integer(etype, f"{path}.etype"),
        reader.octet_string(cipher, f"{path}.cipher"),
        None if kvno is None else reader.integer(kvno, f"{path}.kvno"),
    )


@dataclass(frozen=True, slots=True)
class Principal:
    """A principal's name (RFC 4120 5.2.2); its realm is a separate value.

    Attributes:
        name_type: such as 1 NT-PRINCIPAL, 2 NT-SRV-INST.
        components: the parts, ``("krbtgt", "EXAMPLE.TEST")``.
    """

    name_type: int
    components: tuple[str, ...]

    def __str__(self) -> str:
        return "/".join(self.components)

    def encode(self) -> bytes:
        """Write it as DER."""
        parts = (write_tlv(Tag.GENERAL_STRING, part.encode("utf-8", "surrogateescape")) for part in self.components)
        return write_sequence(
            write_explicit(0, write_integer(self.name_type)), write_explicit(1, write_sequence(*parts))
        )

    @classmethod
    def read(cls, reader: Reader, span: Span, path: str) -> Principal:
        """Read one inside another structure."""
        name_type, strings = reader.sequence(span, ("name-type", "name-string"), path)
        path = f"{path}.name-string"
        parts = reader.sequence_of(strings, Tag.GENERAL_STRING, path, limit=_MAX_COMPONENTS)
        return cls(
            reader.integer(name_type, "PrincipalName.name-type"),
            tuple(reader.data[start:stop].decode("utf-8", "surrogateescape") for start, stop in parts),
        )


def write_realm(realm: str | None) -> bytes | None:
    """Write a realm; None for a member that is absent."""
    return None if realm is None else write_tlv(Tag.GENERAL_STRING, realm.encode("utf-8", "surrogateescape"))


def read_realm(reader: Reader, span: Span | None, path: str) -> str | None:
    """Read a realm, or None where it is absent."""
    if span is None:
        return None
    start, stop = reader.only(span, Tag.GENERAL_STRING, path)
    return reader.data[start:stop].decode("utf-8", "surrogateescape")


def write_time(time: datetime | None) -> bytes | None:
    """Write KerberosTime, in whole seconds; None for a member that is absent."""
    # RFC 4120 5.2.3: GeneralizedTime in UTC, no fractions.
    return None if time is None else write_tlv(_TIME, time.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode())


def read_optional_time(reader: Reader, span: Span | None, path: str) -> datetime | None:
    """Read KerberosTime, or None where it is absent."""
    return None if span is None else read_time(reader, span, path)


def read_time(reader: Reader, span: Span | None, path: str) -> datetime:
    """Read KerberosTime, which must be there."""
    start, stop = reader.only(span, _TIME, path)
    text = reader.data[start:stop].decode("latin-1")
    if len(text) == 15 and text.endswith("Z") and text[:14].isdecimal() and text.isascii():
        try:
            return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            pass
    raise reader.error("is not a KerberosTime", path, start)


def write_flags(flags: int) -> bytes:
    """Write KerberosFlags, of which the first one is the highest of 32 bits (RFC 4120 5.2.8)."""
    return write_tlv(Tag.BIT_STRING, b"\0" + flags.to_bytes(4, "big"))


def read_flags(reader: Reader, span: Span | None, path: str) -> int | None:
    """Read KerberosFlags, or None where they are absent.

    There are at least 32 bits (RFC 4120 5.2.8), but minikerberos 0.4.9 (aardwolf) writes no more than it needs, which
    is DER for named bits. What is omitted is 0, and bits after the 32nd have no meaning: MIT krb5 reads them this way.
    """
    if span is None:
        return None
    start, stop = reader.only(span, Tag.BIT_STRING, path)
    unused, bits = reader.data[start : start + 1], reader.data[start + 1 : stop]
    if not unused or unused[0] > 7 or (bits[-1:] or b"\xff")[0] & ((1 << unused[0]) - 1):
        raise reader.error("is not a BIT STRING", path, start)
    return int.from_bytes(bits[:4].ljust(4, b"\0"), "big")

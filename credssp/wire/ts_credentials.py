"""TSCredentials, what authInfo holds once it is decrypted ([MS-CSSP] 2.2.1.2)::

    TSCredentials ::= SEQUENCE {
        credType    [0] INTEGER,
        credentials [1] OCTET STRING }   -- DER of the structure that credType names

    TSPasswordCreds ::= SEQUENCE {       -- credType 1
        domainName [0] OCTET STRING,
        userName   [1] OCTET STRING,
        password   [2] OCTET STRING }

    TSSmartCardCreds ::= SEQUENCE {      -- credType 2
        pin        [0] OCTET STRING,
        cspData    [1] TSCspDataDetail,
        userHint   [2] OCTET STRING OPTIONAL,
        domainHint [3] OCTET STRING OPTIONAL }

    TSCspDataDetail ::= SEQUENCE {
        keySpec       [0] INTEGER,
        cardName      [1] OCTET STRING OPTIONAL,
        readerName    [2] OCTET STRING OPTIONAL,
        containerName [3] OCTET STRING OPTIONAL,
        cspName       [4] OCTET STRING OPTIONAL }

credType 6 is in `credssp.wire.ts_remote_guard`. All strings are UTF-16LE.
"""

from __future__ import annotations

import enum
from dataclasses import KW_ONLY, dataclass, field
from typing import Final, TypeAlias

from credssp._quick_init import quick_init
from credssp.errors import DecodeError, LocalProtocolError
from credssp.secret import Secret
from credssp.wire._show import show
from credssp.wire._text import read_optional_text, read_text, write_text
from credssp.wire.der import Reader, Span, Tag, write_explicit, write_integer, write_member, write_sequence
from credssp.wire.tolerant import MAX_MESSAGE_SIZE, Deviation, TolerantReader, check_size
from credssp.wire.ts_remote_guard import TSRemoteGuardCreds

__all__ = ["CredType", "TSCredentials", "TSCspDataDetail", "TSPasswordCreds", "TSSmartCardCreds"]


class CredType(enum.IntEnum):
    """TSCredentials.credType ([MS-CSSP] 2.2.1.2)."""

    PASSWORD = 1
    SMART_CARD = 2
    REMOTE_GUARD = 6


@quick_init
@dataclass(frozen=True, slots=True, repr=False)
class TSPasswordCreds:
    """A user name and a password ([MS-CSSP] 2.2.1.2.1).

    Attributes:
        domain_name: domainName, may be empty.
        user_name: userName.
        password: password. All three empty is Restricted Admin mode.
        deviations: what `decode` had to forgive; does not count in comparisons and is not written.
    """

    domain_name: str
    user_name: str
    password: Secret[str]
    _: KW_ONLY
    deviations: tuple[Deviation, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return show(self)

    def encode(self) -> bytes:
        """Write it as DER."""
        texts = (self.domain_name, self.user_name, self.password.reveal())
        return write_sequence(
            *[
                write_member(number, Tag.OCTET_STRING, text.encode("utf-16-le", "surrogatepass"))
                for number, text in enumerate(texts)
            ]
        )

    @classmethod
    def decode(cls, data: bytes, *, max_size: int = MAX_MESSAGE_SIZE, origin: int = 0) -> TSPasswordCreds:
        """Read it; `origin` is added to the offsets in errors and deviations.

        Raises:
            DecodeError: this is something else.
            LimitExceededError: there is too much of it.
        """
        section = "[MS-CSSP] 2.2.1.2.1"
        check_size(data, max_size, "TSPasswordCreds", section)
        octets = bytes(data)
        try:
            return _read_password(Reader(octets, section, origin=origin))
        except DecodeError:
            reader = TolerantReader(octets, section, origin=origin)
        return _read_password(reader)


_PASSWORD_MEMBERS: Final = (
    ("TSPasswordCreds.domainName", Tag.OCTET_STRING),
    ("TSPasswordCreds.userName", Tag.OCTET_STRING),
    ("TSPasswordCreds.password", Tag.OCTET_STRING),
)


def _read_password(reader: Reader) -> TSPasswordCreds:
    contents = reader.only(reader.whole, Tag.SEQUENCE, "TSPasswordCreds")
    domain, user, password = reader.members(contents, _PASSWORD_MEMBERS, "TSPasswordCreds")
    return TSPasswordCreds(
        read_text(reader, domain, "TSPasswordCreds.domainName"),
        read_text(reader, user, "TSPasswordCreds.userName"),
        Secret(read_text(reader, password, "TSPasswordCreds.password")),
        deviations=reader.deviations,
    )


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class TSCspDataDetail:
    """Which key on which card ([MS-CSSP] 2.2.1.2.2.1).

    Attributes:
        key_spec: keySpec, 1 AT_KEYEXCHANGE, 2 AT_SIGNATURE, 0 for a CNG key storage provider; 32 bits.
        card_name: cardName, or None.
        reader_name: readerName, or None.
        container_name: containerName, or None.
        csp_name: cspName, the cryptographic service provider, or None.
    """

    key_spec: int
    card_name: str | None = None
    reader_name: str | None = None
    container_name: str | None = None
    csp_name: str | None = None

    def __repr__(self) -> str:
        return show(self)

    def encode(self) -> bytes:
        """Write it as DER.

        Raises:
            LocalProtocolError: key_spec is not an unsigned number of 32 bits.
        """
        if not 0 <= self.key_spec < 1 << 32:
            raise LocalProtocolError("TSCspDataDetail.key_spec is an unsigned number of 32 bits")
        names = (self.card_name, self.reader_name, self.container_name, self.csp_name)
        return write_sequence(
            write_explicit(0, write_integer(self.key_spec)),
            *(write_explicit(number, write_text(name)) for number, name in enumerate(names, 1) if name is not None),
        )


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class TSSmartCardCreds:
    """A smart card and its PIN ([MS-CSSP] 2.2.1.2.2).

    Attributes:
        pin: pin.
        csp_data: cspData.
        user_hint: userHint, what the user typed as user name, or None.
        domain_hint: domainHint, what the user typed as domain, or None.
        deviations: what `decode` had to forgive; does not count in comparisons and is not written.
    """

    pin: Secret[str]
    csp_data: TSCspDataDetail
    user_hint: str | None = None
    domain_hint: str | None = None
    deviations: tuple[Deviation, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return show(self)

    def encode(self) -> bytes:
        """Write it as DER.

        Raises:
            LocalProtocolError: csp_data has a number out of range.
        """
        hints = (self.user_hint, self.domain_hint)
        return write_sequence(
            write_explicit(0, write_text(self.pin.reveal())),
            write_explicit(1, self.csp_data.encode()),
            *(write_explicit(number, write_text(hint)) for number, hint in enumerate(hints, 2) if hint is not None),
        )

    @classmethod
    def decode(cls, data: bytes, *, max_size: int = MAX_MESSAGE_SIZE, origin: int = 0) -> TSSmartCardCreds:
        """Read it; `origin` is added to the offsets in errors and deviations.

        Raises:
            DecodeError: this is something else.
            LimitExceededError: there is too much of it.
        """
        section = "[MS-CSSP] 2.2.1.2.2"
        check_size(data, max_size, "TSSmartCardCreds", section)
        octets = bytes(data)
        try:
            return _read_smart_card(Reader(octets, section, origin=origin))
        except DecodeError:
            reader = TolerantReader(octets, section, origin=origin)
        return _read_smart_card(reader)


def _read_smart_card(reader: Reader) -> TSSmartCardCreds:
    path = "TSSmartCardCreds"
    contents = reader.only(reader.whole, Tag.SEQUENCE, path)
    pin, csp_data, user, domain = reader.members(contents, _SMART_CARD_MEMBERS, path)
    return TSSmartCardCreds(
        pin=Secret(read_text(reader, pin, f"{path}.pin")),
        csp_data=_read_csp_data(reader, reader.required(csp_data, f"{path}.cspData")),
        user_hint=read_optional_text(reader, user, f"{path}.userHint"),
        domain_hint=read_optional_text(reader, domain, f"{path}.domainHint"),
        deviations=reader.deviations,
    )


_SMART_CARD_MEMBERS: Final = (
    ("TSSmartCardCreds.pin", Tag.OCTET_STRING),
    ("TSSmartCardCreds.cspData", Tag.SEQUENCE),
    ("TSSmartCardCreds.userHint", Tag.OCTET_STRING),
    ("TSSmartCardCreds.domainHint", Tag.OCTET_STRING),
)
_CSP_MEMBERS: Final = (
    ("TSSmartCardCreds.cspData.keySpec", Tag.INTEGER),
    ("TSSmartCardCreds.cspData.cardName", Tag.OCTET_STRING),
    ("TSSmartCardCreds.cspData.readerName", Tag.OCTET_STRING),
    ("TSSmartCardCreds.cspData.containerName", Tag.OCTET_STRING),
    ("TSSmartCardCreds.cspData.cspName", Tag.OCTET_STRING),
)


def _read_csp_data(reader: Reader, contents: Span) -> TSCspDataDetail:
    path = "TSSmartCardCreds.cspData"
    key_spec, card, card_reader, container, csp = reader.members(contents, _CSP_MEMBERS, path)
    key_spec = reader.required(key_spec, f"{path}.keySpec")
    number = reader.number(key_spec, f"{path}.keySpec")
    if not 0 <= number < 1 << 32:
        raise reader.error("is not an unsigned number of 32 bits", f"{path}.keySpec", key_spec[0] - 2)
    return TSCspDataDetail(
        key_spec=number,
        card_name=read_optional_text(reader, card, f"{path}.cardName"),
        reader_name=read_optional_text(reader, card_reader, f"{path}.readerName"),
        container_name=read_optional_text(reader, container, f"{path}.containerName"),
        csp_name=read_optional_text(reader, csp, f"{path}.cspName"),
    )


AnyCreds: TypeAlias = TSPasswordCreds | TSSmartCardCreds | TSRemoteGuardCreds
"""What TSCredentials.credentials can hold."""

_MEMBERS: Final = (("TSCredentials.credType", Tag.INTEGER), ("TSCredentials.credentials", Tag.OCTET_STRING))

_BY_TYPE: Final[dict[int, type[AnyCreds]]] = {
    CredType.PASSWORD: TSPasswordCreds,
    CredType.SMART_CARD: TSSmartCardCreds,
    CredType.REMOTE_GUARD: TSRemoteGuardCreds,
}
_TYPE_OF: Final = {kind: CredType(number) for number, kind in _BY_TYPE.items()}


@quick_init
@dataclass(frozen=True, slots=True, repr=False)
class TSCredentials:
    """Credentials of one of three kinds ([MS-CSSP] 2.2.1.2).

    Attributes:
        credentials: credentials; its class is what credType says.
        deviations: what `decode` had to forgive, in this structure and the one inside; does not count in comparisons
            and is not written.
    """

    credentials: AnyCreds
    _: KW_ONLY
    deviations: tuple[Deviation, ...] = field(default=(), compare=False)

    @property
    def cred_type(self) -> CredType:
        """credType, which of the three kinds it is."""
        return _TYPE_OF[type(self.credentials)]

    def __repr__(self) -> str:
        return show(self)

    def encode(self) -> bytes:
        """Write it as DER.

        Raises:
            LocalProtocolError: a number in it is out of range.
        """
        return write_sequence(
            write_explicit(0, write_integer(self.cred_type)),
            write_member(1, Tag.OCTET_STRING, self.credentials.encode()),
        )

    @classmethod
    def decode(cls, data: bytes, *, max_size: int = MAX_MESSAGE_SIZE) -> TSCredentials:
        """Read it, with the structure inside.

        Args:
            data: the decrypted bytes, all of them.
            max_size: how many bytes there may be.

        Raises:
            DecodeError: this is something else, credType is unknown, or something else is in credentials than it says.
            LimitExceededError: there is too much of it.
        """
        section = "[MS-CSSP] 2.2.1.2"
        check_size(data, max_size, "TSCredentials", section)
        octets = bytes(data)
        try:
            return _read(Reader(octets, section))
        except DecodeError:
            reader = TolerantReader(octets, section)
        return _read(reader)


def _read(reader: Reader) -> TSCredentials:
    contents = reader.only(reader.whole, Tag.SEQUENCE, "TSCredentials")
    cred_type, credentials = reader.members(contents, _MEMBERS, "TSCredentials")
    path = "TSCredentials.credType"
    cred_type = reader.required(cred_type, path)
    number = reader.number(cred_type, path)
    kind = _BY_TYPE.get(number)
    if kind is None:
        raise reader.error(f"{number} is not one of 1, 2 and 6", path, cred_type[0] - 2)
    path = "TSCredentials.credentials"
    start, end = reader.required(credentials, path)
    creds = kind.decode(reader.data[start:end], max_size=end - start, origin=reader.offset(start))
    return TSCredentials(creds, deviations=reader.deviations + creds.deviations)

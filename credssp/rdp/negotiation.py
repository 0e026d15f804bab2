"""Which security protocol an RDP connection gets: RDP_NEG_REQ, _RSP, _FAILURE and the choice of both sides.

All numbers are little-endian: ``type(1) flags(1) length(2) = 8, value(4)`` ([MS-RDPBCGR] 2.2.1.1.1, 2.2.1.2.1,
2.2.1.2.2).

The specification gives servers no order of preference. `choose_protocol` takes the strongest that both have: HYBRID_EX
(CredSSP, and the client is told at once whether the user may log on), HYBRID (CredSSP), SSL (TLS, the user logs on
inside the session), RDP (nothing that deserves the name). RDSTLS and RDSAAD are recognised, and never chosen: they do
not use CredSSP.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import ClassVar, Final

from credssp.errors import CredSSPError, DecodeError, LocalProtocolError
from credssp.next_step import NextStep
from credssp.status import SecurityStatus

__all__ = [
    "CREDSSP_PROTOCOLS",
    "CorrelationInfo",
    "FailureCode",
    "NegotiationError",
    "NegotiationFailure",
    "NegotiationRequest",
    "NegotiationResponse",
    "Protocol",
    "RequestFlags",
    "ResponseFlags",
    "choose_protocol",
    "protocol_names",
]

_STRUCTURE: Final = struct.Struct("<BBHI")


class Protocol(enum.IntFlag):
    """requestedProtocols and selectedProtocol."""

    RDP = 0
    """Standard RDP security."""
    SSL = 1
    """TLS."""
    HYBRID = 2
    """CredSSP."""
    RDSTLS = 4
    """TLS for redirected connections."""
    HYBRID_EX = 8
    """CredSSP, then the Early User Authorization Result."""
    RDSAAD = 0x10
    """Microsoft Entra authentication."""


CREDSSP_PROTOCOLS: Final = Protocol.HYBRID | Protocol.HYBRID_EX
"""The protocols that are network level authentication."""

_STRONGEST_FIRST: Final = (Protocol.HYBRID_EX, Protocol.HYBRID, Protocol.SSL)


def protocol_names(protocols: Protocol) -> str:
    """Return the names, such as ``SSL|HYBRID``; ``RDP`` for none, a number for bits without name."""
    if not protocols:
        return "RDP"
    names = [flag.name or "" for flag in Protocol if flag and flag in protocols]
    unknown = int(protocols) & ~sum(Protocol)
    return "|".join([*names, f"0x{unknown:X}"] if unknown else names)


class RequestFlags(enum.IntFlag):
    """RDP_NEG_REQ.flags."""

    NONE = 0
    RESTRICTED_ADMIN_MODE_REQUIRED = 0x01
    """The client delegates nothing (Restricted Admin) and wants no server that needs more."""
    REDIRECTED_AUTHENTICATION_MODE_REQUIRED = 0x02
    """Remote Credential Guard."""
    CORRELATION_INFO_PRESENT = 0x08


class ResponseFlags(enum.IntFlag):
    """RDP_NEG_RSP.flags."""

    NONE = 0
    EXTENDED_CLIENT_DATA_SUPPORTED = 0x01
    DYNVC_GFX_PROTOCOL_SUPPORTED = 0x02
    NEGRSP_FLAG_RESERVED = 0x04
    RESTRICTED_ADMIN_MODE_SUPPORTED = 0x08
    REDIRECTED_AUTHENTICATION_MODE_SUPPORTED = 0x10


class FailureCode(enum.IntEnum):
    """RDP_NEG_FAILURE.failureCode."""

    SSL_REQUIRED_BY_SERVER = 1
    SSL_NOT_ALLOWED_BY_SERVER = 2
    SSL_CERT_NOT_ON_SERVER = 3
    INCONSISTENT_FLAGS = 4
    HYBRID_REQUIRED_BY_SERVER = 5
    SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER = 6
    ENTRA_AUTH_REQUIRED_BY_SERVER = 7


_MEANING: Final = {
    FailureCode.SSL_REQUIRED_BY_SERVER: "it takes TLS only (without CredSSP, if that was asked for)",
    FailureCode.SSL_NOT_ALLOWED_BY_SERVER: "it takes standard RDP security only; its security layer is set to RDP",
    FailureCode.SSL_CERT_NOT_ON_SERVER: "it has no usable certificate",
    FailureCode.INCONSISTENT_FLAGS: "what was asked for does not fit a connection that began with TLS",
    FailureCode.HYBRID_REQUIRED_BY_SERVER: "it demands CredSSP (network level authentication)",
    FailureCode.SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER: "it demands TLS with a client certificate",
    FailureCode.ENTRA_AUTH_REQUIRED_BY_SERVER: "it demands Microsoft Entra authentication (RDSAAD), no CredSSP",
}

_NEXT: Final = {
    FailureCode.SSL_REQUIRED_BY_SERVER: NextStep.RDP_NO_NLA,
    FailureCode.SSL_NOT_ALLOWED_BY_SERVER: NextStep.RDP_STANDARD_SECURITY,
    FailureCode.SSL_CERT_NOT_ON_SERVER: NextStep.RDP_NO_CERTIFICATE,
    FailureCode.INCONSISTENT_FLAGS: NextStep.RDP_APPROACH,
    FailureCode.HYBRID_REQUIRED_BY_SERVER: NextStep.RDP_HYBRID_REQUIRED,
    FailureCode.SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER: NextStep.RDP_CLIENT_CERTIFICATE,
    FailureCode.ENTRA_AUTH_REQUIRED_BY_SERVER: NextStep.RDP_ENTRA,
}
"""What a client can do about each."""


class NegotiationError(CredSSPError):
    """The two sides have no way to CredSSP in common; nothing was authenticated and nothing was delegated.

    Attributes:
        failure: failureCode, known to `FailureCode` or not; None where the peer failed in another way.
        selected: selectedProtocol, where the server chose one without CredSSP; else None.
    """

    default_status = SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    default_advice = NextStep.RDP_NO_NLA

    def __init__(
        self,
        message: str,
        *,
        failure: int | None = None,
        selected: Protocol | None = None,
        token: bytes = b"",
        advice: str | None = None,
    ) -> None:
        super().__init__(message, section="[MS-RDPBCGR] 2.2.1.2", token=token, advice=advice)
        self.failure = failure
        self.selected = selected

    @classmethod
    def from_failure(cls, failure: NegotiationFailure) -> NegotiationError:
        """Return what the server's RDP_NEG_FAILURE means to a client."""
        advice = next((step for code, step in _NEXT.items() if code == failure.code), NextStep.RDP_FAILURE)
        return cls(f"the server refused the negotiation: {failure.summary}", failure=failure.code, advice=advice)


@dataclass(frozen=True, slots=True)
class NegotiationRequest:
    """RDP_NEG_REQ.

    Attributes:
        protocols: requestedProtocols; unknown bits are kept.
        flags: flags.
    """

    TYPE: ClassVar[int] = 1

    protocols: Protocol
    flags: RequestFlags = RequestFlags.NONE

    def encode(self) -> bytes:
        """Write the 8 bytes."""
        return _STRUCTURE.pack(self.TYPE, self.flags, 8, self.protocols)

    @classmethod
    def decode(cls, data: bytes, *, offset: int = 0) -> NegotiationRequest:
        """Read one. Raises DecodeError; `offset` is where it begins, for the text."""
        flags, value = _decode(data, cls.TYPE, "rdpNegReq", "[MS-RDPBCGR] 2.2.1.1.1", offset)
        return cls(Protocol(value), RequestFlags(flags))


@dataclass(frozen=True, slots=True)
class NegotiationResponse:
    """RDP_NEG_RSP.

    Attributes:
        selected: selectedProtocol.
        flags: flags.
    """

    TYPE: ClassVar[int] = 2

    selected: Protocol
    flags: ResponseFlags = ResponseFlags.NONE

    def encode(self) -> bytes:
        """Write the 8 bytes."""
        return _STRUCTURE.pack(self.TYPE, self.flags, 8, self.selected)

    @classmethod
    def decode(cls, data: bytes, *, offset: int = 0) -> NegotiationResponse:
        """Read one. Raises DecodeError; `offset` is where it begins, for the text."""
        flags, value = _decode(data, cls.TYPE, "rdpNegRsp", "[MS-RDPBCGR] 2.2.1.2.1", offset)
        if value & (value - 1):
            raise DecodeError(
                f"0x{value:X} selects several protocols at once",
                field="rdpNegRsp.selectedProtocol",
                offset=offset + 4,
                section="[MS-RDPBCGR] 2.2.1.2.1",
            )
        return cls(Protocol(value), ResponseFlags(flags))


@dataclass(frozen=True, slots=True)
class NegotiationFailure:
    """RDP_NEG_FAILURE; the server closes after it.

    Attributes:
        code: failureCode, known to `FailureCode` or not.
    """

    TYPE: ClassVar[int] = 3

    code: int

    def encode(self) -> bytes:
        """Write the 8 bytes."""
        return _STRUCTURE.pack(self.TYPE, 0, 8, self.code)

    @classmethod
    def decode(cls, data: bytes, *, offset: int = 0) -> NegotiationFailure:
        """Read one. Raises DecodeError; `offset` is where it begins, for the text."""
        _, value = _decode(data, cls.TYPE, "rdpNegFailure", "[MS-RDPBCGR] 2.2.1.2.2", offset)
        return cls(value)

    @property
    def summary(self) -> str:
        """Name, number and meaning."""
        try:
            code = FailureCode(self.code)
        except ValueError:
            return f"failure code {self.code}, which has no name"
        return f"{_MEANING[code]} ({code.name}, {code.value})"


@dataclass(frozen=True, slots=True)
class CorrelationInfo:
    """RDP_NEG_CORRELATION_INFO: an id under which a connection shows up in logs ([MS-RDPBCGR] 2.2.1.1.2).

    Attributes:
        correlation_id: correlationId, 16 bytes; the first is neither 00 nor F4, and none is 0D.
    """

    TYPE: ClassVar[int] = 6
    SIZE: ClassVar[int] = 36

    correlation_id: bytes

    def encode(self) -> bytes:
        """Write the 36 bytes.

        Raises:
            LocalProtocolError: an id that must not be sent.
        """
        number = self.correlation_id
        if len(number) != 16 or number[0] in (0x00, 0xF4) or 0x0D in number:
            raise LocalProtocolError("a correlation id has 16 bytes, no 0D, and begins with neither 00 nor F4")
        return bytes((self.TYPE, 0)) + self.SIZE.to_bytes(2, "little") + number + bytes(16)

    @classmethod
    def decode(cls, data: bytes, *, offset: int = 0) -> CorrelationInfo:
        """Read one; whatever id there is is taken. Raises DecodeError."""
        if len(data) != cls.SIZE or data[0] != cls.TYPE or int.from_bytes(data[2:4], "little") != cls.SIZE:
            raise DecodeError(
                f"not 36 bytes of type 6 with length 36 ({len(data)} bytes are there)",
                field="rdpCorrelationInfo",
                offset=offset,
                section="[MS-RDPBCGR] 2.2.1.1.2",
            )
        return cls(data[4:20])


def _decode(data: bytes, wanted: int, field: str, section: str, offset: int) -> tuple[int, int]:
    if len(data) != 8:
        raise DecodeError(f"{len(data)} bytes where 8 are due", field=field, offset=offset, section=section)
    found, flags, length, value = _STRUCTURE.unpack(data)
    if found != wanted:
        raise DecodeError(f"type {found}, expected {wanted}", field=f"{field}.type", offset=offset, section=section)
    if length != 8:
        raise DecodeError(f"{length}, always 8", field=f"{field}.length", offset=offset + 2, section=section)
    return flags, value


def choose_protocol(
    requested: Protocol | None, allowed: Protocol = CREDSSP_PROTOCOLS, *, allow_rdp: bool = False
) -> Protocol | NegotiationFailure:
    """Choose for a server: the strongest that the client asked for and the server allows, or the reason why not.

    Args:
        requested: requestedProtocols, None where the client sent no RDP_NEG_REQ.
        allowed: what the server takes; HYBRID_EX, HYBRID and SSL count.
        allow_rdp: whether standard RDP security is taken when nothing better is possible.
    """
    common = int(requested or 0) & int(allowed)  # plain numbers: each operation on flags makes an object
    for protocol in _STRONGEST_FIRST:
        if common & protocol.value:
            return protocol
    if allow_rdp:
        return Protocol.RDP
    if allowed & CREDSSP_PROTOCOLS and Protocol.SSL not in allowed:
        return NegotiationFailure(FailureCode.HYBRID_REQUIRED_BY_SERVER)
    return NegotiationFailure(FailureCode.SSL_REQUIRED_BY_SERVER)

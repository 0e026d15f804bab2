"""NEGOTIATE, CHALLENGE and AUTHENTICATE as they are read and written ([MS-NLMP] 2.2.1).

What was read is never encoded again, since proof and MIC cover the bytes as received. All payload is found by its
offsets, never by assumption. These readers take what foreign implementations send as long as its lengths add up; what
the acceptor demands beyond that is in `credssp.ntlm.rules`. CHALLENGE is written in `credssp.ntlm.challenge`.
"""

from __future__ import annotations

import functools
import struct
from codecs import utf_16_le_decode
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from credssp._quick_init import quick_init
from credssp.errors import DecodeError, LimitExceededError
from credssp.ntlm import flags as f
from credssp.ntlm.av_pairs import AvPairs

__all__ = [
    "MAX_MESSAGE_SIZE",
    "SIGNATURE",
    "VERSION",
    "Authenticate",
    "Challenge",
    "NTLMMessage",
    "NTLMv2Response",
    "Negotiate",
    "Version",
    "decode_message",
    "encode_authenticate",
    "encode_negotiate",
]

SIGNATURE: Final = b"NTLMSSP\0"

MAX_MESSAGE_SIZE: Final = 16384
"""Larger messages are refused unread. Real ones stay below 1 KiB; user, domain and SPN have room for 2 KiB each."""

MIC_OFFSET: Final = 72
"""Where the MIC of AUTHENTICATE begins; see `Authenticate.mic_offset`."""
MIC_SIZE: Final = 16

_FIELDS: Final = struct.Struct("<HHI")
_U32: Final = struct.Struct("<I")
_VERSION: Final = struct.Struct("<BBH3xB")
# LmChallengeResponse, NtChallengeResponse, DomainName, UserName, Workstation, EncryptedRandomSessionKey (Len, Offset
# each), NegotiateFlags: bytes 12 to 64 of AUTHENTICATE.
_AUTHENTICATE: Final = struct.Struct("<H2xIH2xIH2xIH2xIH2xIH2xII")
_AUTHENTICATE_OUT: Final = struct.Struct("<8sI" + "HHI" * 6 + "I8s")
_AUTHENTICATE_FIELDS: Final = (
    "LmChallengeResponse",
    "NtChallengeResponse",
    "DomainName",
    "UserName",
    "Workstation",
    "EncryptedRandomSessionKey",
)
_LM_SIZE: Final = 24
_BLOB_HEADER: Final = struct.Struct("<16sBB6xQ8s4x")


@dataclass(frozen=True, slots=True)
class Version:
    """VERSION ([MS-NLMP] 2.2.2.10): for debugging only, nothing depends on it.

    Attributes:
        major: major version of the operating system.
        minor: minor version.
        build: build number.
        revision: NTLMRevisionCurrent, 15.
    """

    major: int
    minor: int
    build: int
    revision: int = 15

    def encode(self) -> bytes:
        """Return the 8 bytes."""
        return _VERSION.pack(self.major, self.minor, self.build, self.revision)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.build}"


VERSION: Final = Version(10, 0, 20348)
"""What both roles call themselves: Windows Server 2022."""


@quick_init
@dataclass(frozen=True, slots=True)
class Negotiate:
    """NEGOTIATE_MESSAGE ([MS-NLMP] 2.2.1.1).

    Attributes:
        flags: NegotiateFlags.
        domain: DomainName if OEM_DOMAIN_SUPPLIED, else empty.
        workstation: Workstation if OEM_WORKSTATION_SUPPLIED, else empty.
        version: Version, or None.
    """

    flags: int
    domain: str = ""
    workstation: str = ""
    version: Version | None = None

    @classmethod
    def decode(cls, data: bytes) -> Negotiate:
        """Read one. Raises DecodeError or LimitExceededError."""
        _check_header(data, 1, "NEGOTIATE", 16)  # Windows 9x sent no more than the flags
        (flags,) = _U32.unpack_from(data, 12)
        names = ["", ""]
        for index, (bit, name, at) in enumerate(
            (
                (f.NTLMSSP_NEGOTIATE_OEM_DOMAIN_SUPPLIED, "DomainName", 16),
                (f.NTLMSSP_NEGOTIATE_OEM_WORKSTATION_SUPPLIED, "Workstation", 24),
            )
        ):
            if flags & bit:
                # In the OEM code page of the client, which nobody knows; names are ASCII in practice.
                names[index] = _payload(data, at, f"NEGOTIATE.{name}").decode("latin-1")
        has_version = flags & f.NTLMSSP_NEGOTIATE_VERSION and len(data) >= 40
        return cls(flags, names[0], names[1], _version(data, 32) if has_version else None)


@quick_init
@dataclass(frozen=True, slots=True)
class Challenge:
    """CHALLENGE_MESSAGE ([MS-NLMP] 2.2.1.2).

    Attributes:
        flags: NegotiateFlags.
        server_challenge: ServerChallenge, 8 bytes.
        target_name: TargetName, may be empty.
        target_info: TargetInfo, or None where the server sent none (then there is no NTLMv2).
        version: Version, or None.
    """

    flags: int
    server_challenge: bytes
    target_name: str = ""
    target_info: AvPairs | None = None
    version: Version | None = None

    @classmethod
    def decode(cls, data: bytes) -> Challenge:
        """Read one. Raises DecodeError or LimitExceededError."""
        _check_header(data, 2, "CHALLENGE", 32)
        (flags,) = _U32.unpack_from(data, 20)
        raw_name = _payload(data, 12, "CHALLENGE.TargetName")
        name = _text(raw_name, flags, "CHALLENGE.TargetName")
        info = None
        if flags & f.NTLMSSP_NEGOTIATE_TARGET_INFO and len(data) >= 48:
            raw = _payload(data, 40, "CHALLENGE.TargetInfo")
            info = AvPairs.decode(raw, field="CHALLENGE.TargetInfo", offset=_U32.unpack_from(data, 44)[0])
        has_version = flags & f.NTLMSSP_NEGOTIATE_VERSION and len(data) >= 56
        return cls(flags, data[24:32], name, info, _version(data, 48) if has_version else None)


@quick_init
@dataclass(frozen=True, slots=True)
class NTLMv2Response:
    """NTLMv2_RESPONSE ([MS-NLMP] 2.2.2.8): NTProofStr and what it covers.

    Attributes:
        proof: NTProofStr, 16 bytes; not in the repr, passwords can be guessed against it offline.
        timestamp: FILETIME of the client, or of the server where CHALLENGE had one.
        client_challenge: ChallengeFromClient, 8 bytes.
        target_info: AvPairs as the client returned them.
    """

    proof: bytes = field(repr=False)
    timestamp: int
    client_challenge: bytes
    target_info: AvPairs

    @classmethod
    def decode(cls, data: bytes, *, offset: int = 0) -> NTLMv2Response:
        """Read one; `offset` is where it begins in its message, for errors. Raises DecodeError."""
        name = "AUTHENTICATE.NtChallengeResponse"
        if len(data) < _BLOB_HEADER.size:
            raise DecodeError(f"{len(data)} bytes", field=name, offset=offset, section="[MS-NLMP] 2.2.2.8")
        proof, responded, highest, timestamp, client_challenge = _BLOB_HEADER.unpack_from(data)
        if responded != 1 or highest != 1:
            raise DecodeError(
                f"RespType {responded}, HiRespType {highest}, expected 1 and 1",
                field=name,
                offset=offset + 16,
                section="[MS-NLMP] 2.2.2.7",
            )
        pairs = AvPairs.decode(data, field=name + ".AvPairs", offset=offset, start=_BLOB_HEADER.size)
        return cls(proof, timestamp, client_challenge, pairs)


@quick_init
@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTHENTICATE_MESSAGE ([MS-NLMP] 2.2.1.3).

    Attributes:
        flags: NegotiateFlags.
        username: UserName.
        domain: DomainName.
        workstation: Workstation, with U+FFFD for what is not UTF-16LE.
        nt_response: NtChallengeResponse as received.
        ntlmv2: what is in `nt_response`, or None where it is not an NTLMv2 response (24 bytes or fewer).
        lm_response: LmChallengeResponse as received.
        encrypted_session_key: EncryptedRandomSessionKey as received.
        payload_offset: where the payload begins; below 72 there is no Version.
        overlapping: whether payload fields share bytes, or reach into the fixed part.
        version: Version, or None.
        mic: MIC if MsvAvFlags says that it is there, else None.
        mic_offset: where it begins: after Version, or at 64 where a client leaves Version out (pyspnego 0.12 does,
            after a CHALLENGE without NEGOTIATE_VERSION; Windows, FreeRDP and this library write zeros there).
    """

    flags: int
    username: str
    domain: str
    workstation: str
    nt_response: bytes = field(repr=False)
    ntlmv2: NTLMv2Response | None
    lm_response: bytes = field(repr=False)
    encrypted_session_key: bytes = field(repr=False)
    payload_offset: int
    overlapping: bool
    version: Version | None
    mic: bytes | None = field(repr=False)
    mic_offset: int = MIC_OFFSET

    @classmethod
    def decode(cls, data: bytes) -> Authenticate:
        """Read one. Raises DecodeError or LimitExceededError."""
        _check_header(data, 3, "AUTHENTICATE", 64)
        header = _AUTHENTICATE.unpack_from(data, 12)
        flags = header[12]
        total = len(data)
        values: list[bytes] = []
        spans: list[tuple[int, int]] = []
        for index, name in enumerate(_AUTHENTICATE_FIELDS):
            size, start = header[2 * index], header[2 * index + 1]
            end = start + size
            # The offset of an empty field means nothing, and some write anything there.
            if size and end > total:
                raise _beyond_end(f"AUTHENTICATE.{name}", 12 + 8 * index, size, start, total)
            values.append(data[start:end])
            if size:
                spans.append((start, end))
        lm_response, nt_response, domain, username, workstation, session_key = values
        spans.sort()
        payload_offset = spans[0][0] if spans else total
        ntlmv2 = NTLMv2Response.decode(nt_response, offset=header[3]) if len(nt_response) > 24 else None
        has_mic = ntlmv2 is not None and ntlmv2.target_info.flags & 0x2
        # With 80 to 87 bytes before the payload there is room for a MIC, or for Version and half of one.
        no_version = not flags & f.NTLMSSP_NEGOTIATE_VERSION and payload_offset < MIC_OFFSET + MIC_SIZE
        mic_offset = MIC_OFFSET - _VERSION.size if no_version else MIC_OFFSET
        if has_mic and payload_offset < mic_offset + MIC_SIZE:
            raise DecodeError(
                f"MsvAvFlags announces a MIC, but the payload begins at {payload_offset}",
                field="AUTHENTICATE.MIC",
                offset=MIC_OFFSET,
                section="[MS-NLMP] 2.2.1.3",
            )
        has_version = flags & f.NTLMSSP_NEGOTIATE_VERSION and payload_offset >= MIC_OFFSET <= total
        return cls(
            flags,
            _text(username, flags, "AUTHENTICATE.UserName"),
            _text(domain, flags, "AUTHENTICATE.DomainName"),
            # Nothing depends on it, and some clients send what is no text: that is no reason to refuse a user.
            _text(workstation, flags, "AUTHENTICATE.Workstation", errors="replace"),
            nt_response,
            ntlmv2,
            lm_response,
            session_key,
            payload_offset,
            payload_offset < 64 or _overlap(spans),
            _version(data, 64) if has_version else None,
            data[mic_offset : mic_offset + MIC_SIZE] if has_mic else None,
            mic_offset,
        )


def _overlap(spans: list[tuple[int, int]]) -> bool:
    """Whether two of these, which are in order, have a byte in common."""
    reached = 0
    for start, end in spans:
        if start < reached:
            return True
        reached = end
    return False


def encode_negotiate(flags: int, version: bytes) -> bytes:
    """Return NEGOTIATE without domain and workstation, which only OEM clients send ([MS-NLMP] 2.2.1.1)."""
    return SIGNATURE + struct.pack("<II16x", 1, flags) + version


def encode_authenticate(
    *,
    flags: int,
    nt_response: bytes,
    domain: str,
    username: str,
    workstation: str = "",
    session_key: bytes = b"",
    version: bytes = bytes(8),
    with_mic: bool = True,
) -> bytes:
    """Return AUTHENTICATE, its MIC zero ([MS-NLMP] 2.2.1.3).

    Args:
        flags: NegotiateFlags.
        nt_response: NtChallengeResponse. LmChallengeResponse is 24 zero bytes ([MS-NLMP] 3.1.5.1.2).
        domain: DomainName.
        username: UserName.
        workstation: Workstation.
        session_key: EncryptedRandomSessionKey.
        version: VERSION, 8 bytes; zero where NEGOTIATE_VERSION is not negotiated.
        with_mic: whether there is room for the MIC.
    """
    names = _utf16(domain), _utf16(username), _utf16(workstation)
    lengths = len(names[0]), len(names[1]), len(names[2])
    # The payload in Windows' order: Unicode first, where every offset is even; then both responses and the key.
    domain_at = MIC_OFFSET + MIC_SIZE if with_mic else MIC_OFFSET
    user_at = domain_at + lengths[0]
    workstation_at = user_at + lengths[1]
    lm_at = workstation_at + lengths[2]
    nt_at = lm_at + _LM_SIZE
    key_at = nt_at + len(nt_response)
    header = _AUTHENTICATE_OUT.pack(
        SIGNATURE,
        3,
        *(_LM_SIZE, _LM_SIZE, lm_at),
        *(len(nt_response), len(nt_response), nt_at),
        *(lengths[0], lengths[0], domain_at),
        *(lengths[1], lengths[1], user_at),
        *(lengths[2], lengths[2], workstation_at),
        *(len(session_key), len(session_key), key_at),
        flags,
        version,
    )
    mic = bytes(MIC_SIZE) if with_mic else b""
    return b"".join((header, mic, *names, bytes(_LM_SIZE), nt_response, session_key))


NTLMMessage: TypeAlias = Negotiate | Challenge | Authenticate


def decode_message(data: bytes) -> NTLMMessage:
    """Read any of the three by its MessageType. Raises DecodeError or LimitExceededError."""
    message_type = data[8:12]
    if message_type == b"\1\0\0\0":
        return Negotiate.decode(data)
    if message_type == b"\2\0\0\0":
        return Challenge.decode(data)
    if message_type == b"\3\0\0\0":
        return Authenticate.decode(data)
    raise DecodeError("unknown MessageType", field="NTLMSSP.MessageType", offset=8, section="[MS-NLMP] 2.2.1")


def _check_header(data: bytes, message_type: int, name: str, smallest: int) -> None:
    if len(data) > MAX_MESSAGE_SIZE:
        raise LimitExceededError(f"{name} of {len(data)} bytes, at most {MAX_MESSAGE_SIZE} are read")
    if len(data) < smallest:
        raise DecodeError(f"{len(data)} bytes", field=name, offset=len(data), section="[MS-NLMP] 2.2.1")
    if not data.startswith(SIGNATURE):
        raise DecodeError("no NTLMSSP signature", field=f"{name}.Signature", section="[MS-NLMP] 2.2.1")
    (found,) = _U32.unpack_from(data, 8)
    if found != message_type:
        raise DecodeError(
            f"{found}, expected {message_type}", field=f"{name}.MessageType", offset=8, section="[MS-NLMP] 2.2.1"
        )


def _payload(data: bytes, at: int, name: str) -> bytes:
    """Return what the Fields structure at `at` points to."""
    if len(data) < at + 8:
        raise DecodeError("the message ends before it", field=name, offset=at, section="[MS-NLMP] 2.2.1")
    size, _, start = _FIELDS.unpack_from(data, at)
    if size and start + size > len(data):
        raise _beyond_end(name, at, size, start, len(data))
    return data[start : start + size]


def _beyond_end(name: str, at: int, size: int, start: int, total: int) -> DecodeError:
    return DecodeError(
        f"{size} bytes from {start} on, but the message ends at {total}",
        field=name,
        offset=at,
        section="[MS-NLMP] 2.2.1",
    )


def _text(raw: bytes, flags: int, name: str, *, errors: str = "strict") -> str:
    if not flags & f.NTLMSSP_NEGOTIATE_UNICODE:
        return raw.decode("latin-1")
    try:
        return utf_16_le_decode(raw, errors, True)[0]  # what `raw.decode` comes to, at a third of the cost
    except UnicodeDecodeError as error:
        offset = error.start
    raise DecodeError("no UTF-16LE text", field=name, offset=offset, section="[MS-NLMP] 2.2.1")


def _utf16(text: str) -> bytes:
    # A lone surrogate is a name like any other for Windows.
    return text.encode("utf-16-le", "surrogatepass")


def _version(data: bytes, at: int) -> Version:
    return _version_of(data[at : at + _VERSION.size])


@functools.lru_cache(maxsize=32)
def _version_of(octets: bytes) -> Version:
    return Version(*_VERSION.unpack(octets))

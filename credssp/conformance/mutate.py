"""TSRequests that no encoder makes: wrong lengths, wrong order, members twice, bytes too many.

Everything here takes a good message and returns bytes; `credssp.wire` cannot write them, and must not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from credssp.spnego import NegTokenInit, NegTokenResp
from credssp.wire.der import Reader, write_explicit, write_octet_string, write_sequence, write_tlv
from credssp.wire.ts_request import TSRequest

__all__ = [
    "clear_version",
    "indefinite",
    "long_outer_length",
    "member_tags",
    "members",
    "raw_error_code",
    "replaced",
    "sequence",
    "spnego_init",
    "spnego_resp",
    "spnego_tags",
    "two_octet_version",
    "with_extra",
    "with_padding",
]


_SPNEGO_OID = bytes.fromhex("06062b0601050502")


def replaced(request: TSRequest, **changes: object) -> TSRequest:
    """Return the message with other fields."""
    return dataclasses.replace(request, **changes)  # type: ignore[arg-type]


def members(request: TSRequest) -> list[bytes]:
    """Return the encoded members ``[n]`` of a message."""
    data = request.encode()
    reader = Reader(data, "suite")
    position, stop = reader.only(reader.whole, 0x30, "TSRequest")
    found = []
    while position < stop:
        _, _, end = reader.tlv(position, stop, "TSRequest")
        found.append(data[position:end])
        position = end
    return found


def member_tags(data: bytes) -> list[int] | None:
    """Return the tags of the outer members of any bytes, in their order; None where they are not a SEQUENCE.

    Lengths are read in any definite form.
    """
    outer = _tlv(data, 0)
    if outer is None or data[0] != 0x30:
        return None
    position, stop = outer
    tags = []
    while position < stop:
        inner = _tlv(data, position)
        if inner is None or inner[1] > stop:
            return None
        tags.append(data[position])
        position = inner[1]
    return tags


def _tlv(data: bytes, at: int) -> tuple[int, int] | None:
    if at + 2 > len(data):
        return None
    length, start = data[at + 1], at + 2
    if length > 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    elif length == 0x80:
        return None
    return (start, start + length) if start + length <= len(data) else None


def sequence(parts: Sequence[bytes]) -> bytes:
    """Put members, in whatever order, into a SEQUENCE."""
    return write_sequence(*parts)


def long_outer_length(request: TSRequest, octets: int) -> bytes:
    """Write the outer length in this many bytes after the first, shortest or not."""
    body = b"".join(members(request))
    return bytes((0x30, 0x80 | octets)) + len(body).to_bytes(octets, "big") + body


def indefinite(request: TSRequest) -> bytes:
    """Write the outer length in indefinite form."""
    return b"\x30\x80" + b"".join(members(request)) + b"\0\0"


def two_octet_version(request: TSRequest) -> bytes:
    """Write version with a leading zero byte."""
    number = b"\x02\x02" + request.version.to_bytes(2, "big")
    return sequence([write_explicit(0, number), *members(request)[1:]])


def clear_version(request: TSRequest) -> bytes:
    """Give version a primitive tag 0x80 in place of 0xA0."""
    first = members(request)[0]
    return sequence([b"\x80" + first[1:], *members(request)[1:]])


def with_extra(request: TSRequest, number: int = 6, contents: bytes = b"future") -> bytes:
    """Append a member that no version has."""
    return sequence([*members(request), write_explicit(number, write_octet_string(contents))])


def with_padding(request: TSRequest, total: int) -> bytes:
    """Append an unknown member so that the message has exactly this many bytes."""
    size = max(total - len(request.encode()) - 12, 0)
    while len(data := with_extra(request, contents=bytes(size))) < total:
        size += total - len(data)
    return data


def spnego_init(token: NegTokenInit, *more: bytes) -> bytes:
    """Write a NegTokenInit with members put in by their tags; each is whole, tag and all."""
    parts = [write_explicit(0, token.mech_types_der), *more]
    if token.mech_token is not None:
        parts.append(write_explicit(2, write_octet_string(token.mech_token)))
    body = write_explicit(0, write_sequence(*sorted(parts, key=lambda part: part[0])))
    return write_tlv(0x60, _SPNEGO_OID + body)


def spnego_resp(token: NegTokenResp, *more: bytes) -> bytes:
    """Append members to a NegTokenResp."""
    encoded = token.encode()
    inner = _tlv(encoded, 0) or (0, 0)
    start, stop = _tlv(encoded, inner[0]) or (0, 0)
    return write_explicit(1, write_sequence(encoded[start:stop], *more))


def spnego_tags(token: bytes) -> list[int]:
    """Return the tags of the members of a SPNEGO token, however it is framed; an empty list for other tokens."""
    outer = _tlv(token, 0)
    if outer is None:
        return []
    start = outer[0]
    if token[:1] == b"\x60":
        if not token.startswith(_SPNEGO_OID, start):
            return []
        choice = _tlv(token, start + len(_SPNEGO_OID))
        if choice is None:
            return []
        start = choice[0]
    return member_tags(token[start : outer[1]]) or []


def raw_error_code(request: TSRequest, contents: bytes) -> bytes:
    """Append errorCode with these contents bytes."""
    parts = members(replaced(request, error_code=None))
    return sequence([*parts, write_explicit(4, write_tlv(0x02, contents))])

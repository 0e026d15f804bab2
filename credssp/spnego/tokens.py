"""SPNEGO tokens: NegTokenInit, NegTokenInit2 and NegTokenResp (RFC 4178 4.2, [MS-SPNG] 2.2.1).

::

    first token:  60 len 06062b0601050502 a0 len NegTokenInit      (GSS-API framing, RFC 2743 3.1)
    NegTokenInit  ::= SEQUENCE { mechTypes [0] SEQUENCE OF OBJECT IDENTIFIER, reqFlags [1] BIT STRING OPTIONAL,
                                 mechToken [2] OCTET STRING OPTIONAL, mechListMIC [3] OCTET STRING OPTIONAL }
    NegTokenInit2 ::= the same, but negHints [3] NegHints OPTIONAL, mechListMIC [4] OCTET STRING OPTIONAL
    later:        a1 len NegTokenResp
    NegTokenResp  ::= SEQUENCE { negState [0] ENUMERATED OPTIONAL, supportedMech [1] OBJECT IDENTIFIER OPTIONAL,
                                 responseToken [2] OCTET STRING OPTIONAL, mechListMIC [3] OCTET STRING OPTIONAL }

NegTokenInit2 is what a server that speaks first sends; [MS-SPNG] 2.2.1 gives it the tag of NegTokenInit, so one class
holds both and the type of member [3] tells them apart. Decoding is strict (see `credssp.wire.der`) but for two things:
a NegTokenInit without its GSS-API framing is taken, because some clients omit it, and members that a later
version appends are ignored, because RFC 4178 section 6 wants it so.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from dataclasses import dataclass
from typing import Final

from credssp._quick_init import quick_init
from credssp.errors import DecodeError
from credssp.spnego.mech_types import MECHANISM_NAMES, OID, SPNEGO_OID, encode_mech_types, oid_tlv, read_oid
from credssp.wire.der import (
    Reader,
    Span,
    Tag,
    write_explicit,
    write_integer,
    write_member,
    write_octet_string,
    write_sequence,
    write_tlv,
)

__all__ = [
    "MAX_MECH_TYPES",
    "MECHANISM_NAMES",
    "OID",
    "NegHints",
    "NegState",
    "NegTokenInit",
    "NegTokenResp",
    "decode",
]

MAX_MECH_TYPES: Final = 32
"""How many mechanisms a peer may offer; Windows offers four, and ten have not been seen."""

_OCTET_STRING: Final = bytes((Tag.OCTET_STRING,))
_INIT: Final = "NegTokenInit"
_RESP: Final = "NegTokenResp"
_INIT_SECTION: Final = "RFC 4178 4.2.1"
_RESP_SECTION: Final = "RFC 4178 4.2.2"
_INIT_NAMES: Final = ("mechTypes", "reqFlags", "mechToken", "negHints or mechListMIC", "mechListMIC")
_RESP_MEMBERS: Final = (
    ("NegTokenResp.negState", Tag.ENUMERATED),
    ("NegTokenResp.supportedMech", Tag.OBJECT_IDENTIFIER),
    ("NegTokenResp.responseToken", Tag.OCTET_STRING),
    ("NegTokenResp.mechListMIC", Tag.OCTET_STRING),
)
_HINT_NAMES: Final = ("hintName", "hintAddress")


def _name(oid: str) -> str:
    return MECHANISM_NAMES.get(oid, oid)


def _size(octets: bytes | None) -> str | None:
    return None if octets is None else f"<{len(octets)} bytes>"


class NegState(enum.IntEnum):
    """NegTokenResp.negState (RFC 4178 4.2.2)."""

    ACCEPT_COMPLETED = 0
    ACCEPT_INCOMPLETE = 1
    REJECT = 2
    REQUEST_MIC = 3
    """Only in the acceptor's first reply: the mechListMIC exchange must take place."""

    @property
    def label(self) -> str:
        """The name in the RFC, such as ``accept-completed``."""
        return self.name.lower().replace("_", "-")


_STATES: Final = {int(state): state for state in NegState}
_STATES_DER: Final = [write_explicit(0, write_integer(state, Tag.ENUMERATED)) for state in NegState]


@functools.lru_cache(maxsize=16)
def _supported_mech(oid: str) -> bytes:
    return write_explicit(1, oid_tlv(oid))


@dataclass(frozen=True, slots=True)
class NegHints:
    """NegHints ([MS-SPNG] 2.2.1): no implementation uses it.

    Attributes:
        hint_name: hintName, ``not_defined_in_RFC4178@please_ignore`` from Windows; None where absent.
        hint_address: hintAddress, never sent.
    """

    hint_name: bytes | None = b"not_defined_in_RFC4178@please_ignore"
    hint_address: bytes | None = None

    def encode(self) -> bytes:
        """Write the SEQUENCE."""
        name, address = self.hint_name, self.hint_address
        return write_sequence(
            b"" if name is None else write_explicit(0, write_tlv(Tag.GENERAL_STRING, name)),
            b"" if address is None else write_explicit(1, write_octet_string(address)),
        )


@quick_init
@dataclass(frozen=True, slots=True)
class NegTokenInit:
    """The first token of the initiator, or NegTokenInit2 of a server that speaks first.

    Attributes:
        mech_types: mechTypes, dotted OIDs, best first.
        mech_token: mechToken, made by the first mechanism in the hope that it is taken.
        mech_list_mic: mechListMIC; not seen in practice in this token.
        neg_hints: negHints; its presence makes this a NegTokenInit2.
        framed: whether the GSS-API framing (``60 ... SPNEGO OID``) is around it.
        mech_types_der: MechTypeList as it was received, which is what the mechListMIC is over.
    """

    mech_types: tuple[str, ...]
    mech_token: bytes | None = None
    mech_list_mic: bytes | None = None
    neg_hints: NegHints | None = None
    framed: bool = True
    mech_types_der: bytes = dataclasses.field(default=b"", compare=False)

    def __post_init__(self) -> None:
        if not self.mech_types_der:
            object.__setattr__(self, "mech_types_der", encode_mech_types(self.mech_types))

    def encode(self) -> bytes:
        """Write the token."""
        members = [write_explicit(0, self.mech_types_der)]
        if self.mech_token is not None:
            members.append(write_member(2, Tag.OCTET_STRING, self.mech_token))
        if self.neg_hints is not None:
            members.append(write_explicit(3, self.neg_hints.encode()))
        if self.mech_list_mic is not None:
            members.append(write_explicit(3 if self.neg_hints is None else 4, write_octet_string(self.mech_list_mic)))
        token = write_explicit(0, write_sequence(*members))
        return write_tlv(Tag.APPLICATION_0, SPNEGO_OID + token) if self.framed else token

    @classmethod
    def decode(cls, token: bytes) -> NegTokenInit:
        """Read a token that starts with 0x60 or 0xA0.

        Raises:
            DecodeError: this is something else.
            LimitExceededError: more than `MAX_MECH_TYPES` mechanisms.
        """
        reader = Reader(token, _INIT_SECTION)
        span = reader.whole
        framed = token[:1] == b"\x60"
        if framed:
            start, stop = reader.only(span, Tag.APPLICATION_0, _INIT)
            if not token.startswith(SPNEGO_OID, start):
                raise reader.error("GSS-API framing of another mechanism", f"{_INIT}.thisMech", start)
            span = start + len(SPNEGO_OID), stop
        body = reader.only(span, Tag.CONTEXT_0, _INIT)
        contents = reader.only(body, Tag.SEQUENCE, _INIT)
        members = _without_extensions(reader, contents, len(_INIT_NAMES), _INIT)
        # reqFlags is nobody's business: an acceptor ignores it, whatever is in there (RFC 4178 4.2.1).
        types, _flags, mech_token, third, fourth = reader.fields(members, _INIT_NAMES, _INIT)
        items = reader.sequence_of(types, Tag.OBJECT_IDENTIFIER, f"{_INIT}.mechTypes", limit=MAX_MECH_TYPES)
        if types is None or not items:
            raise reader.error("no mechanism at all", f"{_INIT}.mechTypes", body[0])
        hints, mic = third, fourth
        if third is not None and token.startswith(_OCTET_STRING, third[0]):
            if fourth is not None:
                raise reader.error("occurs twice", f"{_INIT}.mechListMIC", fourth[0])
            hints, mic = None, third
        return cls(
            mech_types=tuple(
                read_oid(reader, contents, f"{_INIT}.mechTypes[{index}]") for index, contents in enumerate(items)
            ),
            mech_token=None if mech_token is None else reader.octet_string(mech_token, f"{_INIT}.mechToken"),
            mech_list_mic=None if mic is None else reader.octet_string(mic, f"{_INIT}.mechListMIC"),
            neg_hints=None if hints is None else _read_hints(reader, hints),
            framed=framed,
            mech_types_der=token[types[0] : types[1]],
        )

    def __repr__(self) -> str:
        return (
            f"NegTokenInit(mech_types=[{', '.join(map(_name, self.mech_types))}], mech_token={_size(self.mech_token)}, "
            f"mech_list_mic={_size(self.mech_list_mic)}, neg_hints={self.neg_hints}, framed={self.framed})"
        )


def _without_extensions(reader: Reader, contents: Span, known: int, field: str) -> Span:
    """Leave out what a later version appended; what is left may still be wrong.

    Args:
        reader: the token.
        contents: contents of the SEQUENCE.
        known: how many members it has today, from [0] on.
        field: the structure, for errors.

    Raises:
        DecodeError: something comes after a member with a higher tag.
    """
    begin, stop = contents
    position, end = begin, stop
    last = Tag.CONTEXT_0 + known - 1
    data = reader.data
    while position < stop:
        tag, length = data[position], data[position + 1] if position + 1 < stop else 0x80
        following = position + 2 + length
        if length >= 0x80 or following > stop:  # a long form, or wrong
            tag, _, following = reader.tlv(position, stop, field)
        if tag > last:
            end = min(end, position)
            last = tag
        elif end < stop:
            raise reader.error("comes after a member with a higher tag, or twice", field, position)
        position = following
    return begin, end


def _read_hints(reader: Reader, span: Span) -> NegHints:
    name, address = reader.sequence(span, _HINT_NAMES, f"{_INIT}.negHints")
    hint_name = None
    if name is not None:
        start, stop = reader.only(name, Tag.GENERAL_STRING, f"{_INIT}.negHints.hintName")
        hint_name = reader.data[start:stop]
    return NegHints(
        hint_name, None if address is None else reader.octet_string(address, f"{_INIT}.negHints.hintAddress")
    )


@quick_init
@dataclass(frozen=True, slots=True)
class NegTokenResp:
    """Every token after the first, in both directions.

    Attributes:
        neg_state: negState; absent in what some initiators send.
        supported_mech: supportedMech, a dotted OID, in the acceptor's first reply.
        response_token: responseToken, the mechanism's own token.
        mech_list_mic: mechListMIC, a signature over MechTypeList.
    """

    neg_state: NegState | None = None
    supported_mech: str | None = None
    response_token: bytes | None = None
    mech_list_mic: bytes | None = None

    def encode(self) -> bytes:
        """Write the token."""
        members = []
        if self.neg_state is not None:
            members.append(_STATES_DER[self.neg_state])
        if self.supported_mech is not None:
            members.append(_supported_mech(self.supported_mech))
        if self.response_token is not None:
            members.append(write_member(2, Tag.OCTET_STRING, self.response_token))
        if self.mech_list_mic is not None:
            members.append(write_member(3, Tag.OCTET_STRING, self.mech_list_mic))
        return write_member(1, Tag.SEQUENCE, b"".join(members))

    @classmethod
    def decode(cls, token: bytes) -> NegTokenResp:
        """Read a token that starts with 0xA1.

        Raises:
            DecodeError: this is something else.
        """
        reader = Reader(token, _RESP_SECTION)
        body = reader.only(reader.whole, Tag.CONTEXT_0 + 1, _RESP)
        contents = _without_extensions(reader, reader.only(body, Tag.SEQUENCE, _RESP), len(_RESP_MEMBERS), _RESP)
        state, mech, response, mic = reader.members(contents, _RESP_MEMBERS, _RESP)
        neg_state = supported = None
        if state is not None:
            number = reader.number(state, "NegTokenResp.negState")
            neg_state = _STATES.get(number)
            if neg_state is None:
                raise reader.error(f"{number} is not a state", "NegTokenResp.negState", state[0] - 2)
        if mech is not None:
            supported = read_oid(reader, mech, "NegTokenResp.supportedMech")
        return cls(
            neg_state,
            supported,
            None if response is None else token[response[0] : response[1]],
            None if mic is None else token[mic[0] : mic[1]],
        )

    def effective_mic(self) -> bytes | None:
        """Return mechListMIC, or None where it is a copy of responseToken.

        Old implementations put the same bytes into both members (https://github.com/jborean93/smbprotocol/issues/137).
        """
        return None if self.mech_list_mic == self.response_token else self.mech_list_mic

    def __repr__(self) -> str:
        state = None if self.neg_state is None else self.neg_state.label
        mech = None if self.supported_mech is None else _name(self.supported_mech)
        return (
            f"NegTokenResp(neg_state={state}, supported_mech={mech}, response_token={_size(self.response_token)}, "
            f"mech_list_mic={_size(self.mech_list_mic)})"
        )


def decode(token: bytes) -> NegTokenInit | NegTokenResp:
    """Read any SPNEGO token, telling by its first byte what it is.

    Raises:
        DecodeError: this is something else.
        LimitExceededError: more than `MAX_MECH_TYPES` mechanisms.
    """
    first = token[:1]
    if first == b"\xa1":
        return NegTokenResp.decode(token)
    if first in (b"\x60", b"\xa0"):
        return NegTokenInit.decode(token)
    raise DecodeError("not a SPNEGO token", field="NegotiationToken", section="RFC 4178 4.2")

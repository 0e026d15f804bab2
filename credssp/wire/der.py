"""Strict DER: the reader and the writer of everything CredSSP and SPNEGO put on the wire (X.690 8, 10).

A `Reader` holds the bytes and hands out *spans*, pairs of offsets (start, stop), instead of slices: nothing is
copied before it is known to be what it should be, and every error knows its offset in the whole message. What is
read is bounded by what is there: a length that goes past the end of its parent is refused before anything else.

All SEQUENCEs here have only ``[n] EXPLICIT`` members, so one method, `Reader.fields`, reads them all::

    reader = Reader(data, "[MS-CSSP] 2.2.1")
    members = reader.sequence(reader.whole, ("version", "negoTokens"), "TSRequest")
    version = reader.integer(members[0], "TSRequest.version")

Where the types of the members are fixed, `Reader.members` reads both tags of each in one go; a login reads twenty
SEQUENCEs, and most of what that costs is calls.

Strict means: definite, shortest lengths of at most three bytes (16 MiB); shortest INTEGERs; members in the order of
their tags, each at most once, none unknown; nothing left over. `credssp.wire.tolerant` forgives some of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from credssp.errors import DecodeError, LimitExceededError, LocalProtocolError

__all__ = [
    "MAX_LENGTH_OCTETS",
    "Deviation",
    "Member",
    "Reader",
    "Span",
    "Tag",
    "decode_oid",
    "encode_oid",
    "write_explicit",
    "write_integer",
    "write_member",
    "write_octet_string",
    "write_oid",
    "write_sequence",
    "write_tlv",
]

Span: TypeAlias = tuple[int, int]
"""Where something is in the message: offset of the first byte, offset after the last."""

Member: TypeAlias = tuple[str, int]
"""A member ``[n] EXPLICIT`` of a SEQUENCE: its path, such as ``TSRequest.version``, and the tag of its value."""

MAX_LENGTH_OCTETS: Final = 3
"""Bytes of a long-form length that are read: up to 16 MiB, far above any limit that is set on a message."""

# 64 bits: INTEGERs of these protocols have 32 at most, and a huge one costs quadratic time to print.
_MAX_INTEGER_OCTETS: Final = 8

# Four sub-identifiers of 28 bits are already more than any registered mechanism needs.
_MAX_OID_OCTETS: Final = 64

_SMALLEST: Final = (0, 0x80, 0x100, 0x10000)
"""The smallest length that needs this many length bytes."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something in a message that DER or the specification does not have, and that was forgiven.

    Attributes:
        field: path of the field, such as ``TSRequest.version``.
        offset: where in the message, in bytes from its start.
        what: what is wrong with it.
    """

    field: str
    offset: int
    what: str


class Tag:
    """Identifier bytes (X.690 8.1.2) of the types in use."""

    INTEGER: Final = 0x02
    BIT_STRING: Final = 0x03
    OCTET_STRING: Final = 0x04
    OBJECT_IDENTIFIER: Final = 0x06
    ENUMERATED: Final = 0x0A
    GENERAL_STRING: Final = 0x1B
    SEQUENCE: Final = 0x30
    APPLICATION_0: Final = 0x60
    """The GSS-API InitialContextToken (RFC 2743 3.1)."""
    CONTEXT_0: Final = 0xA0
    """``[0] EXPLICIT``; ``[n]`` is this plus n, up to 30."""


class Reader:
    """Reads DER out of one message.

    Attributes:
        data: the message.
        section: where the structure is specified; every DecodeError names it.
    """

    __slots__ = ("_origin", "data", "section")

    def __init__(self, data: bytes, section: str, *, origin: int = 0) -> None:
        """Wrap a message.

        Args:
            data: the bytes.
            section: such as ``[MS-CSSP] 2.2.1``.
            origin: added to offsets in errors, for a structure inside the OCTET STRING of another one.
        """
        self.data = data
        self.section = section
        self._origin = origin

    @property
    def whole(self) -> Span:
        """The span of the whole message."""
        return 0, len(self.data)

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """What was forgiven: nothing. See `credssp.wire.tolerant`."""
        return ()

    def offset(self, position: int) -> int:
        """Return the offset of a position in the message that errors speak of."""
        return position + self._origin

    def error(self, message: str, field: str, position: int) -> DecodeError:
        """Make the error that says what is wrong with the field."""
        return DecodeError(message, field=field, offset=position + self._origin, section=self.section)

    # Tag and length

    def tlv(self, position: int, stop: int, field: str) -> tuple[int, int, int]:
        """Read one tag and length.

        Args:
            position: offset of the tag.
            stop: where the parent ends.
            field: what is being read, for errors.

        Returns:
            The identifier byte, the start and the end of the contents.
        """
        data = self.data
        start = position + 2
        if start > stop:
            raise self.error("cut short: no room for a tag and a length", field, position)
        length = data[position + 1]
        if length >= 0x80:
            if length == 0x81 and start < stop and data[start] >= 0x80:  # the usual one of the long forms
                length = data[start]
                start += 1
            else:
                start, length = self._long_length(position, stop, field)
        tag = data[position]
        if tag & 0x1F == 0x1F:
            raise self.error("tag numbers above 30 are not in use", field, position)
        end = start + length
        if end > stop:
            raise self.error(f"cut short: {length} bytes announced, {stop - start} there", field, position)
        return tag, start, end

    def _long_length(self, position: int, stop: int, field: str) -> Span:
        """Return where the contents start, and their length (X.690 8.1.3.5, 10.1)."""
        count = self.data[position + 1] & 0x7F
        start = position + 2 + count
        if not count:
            raise self.error("indefinite length", field, position)
        if count > MAX_LENGTH_OCTETS:
            raise self.error(f"length of {count} bytes, at most {MAX_LENGTH_OCTETS} are read", field, position)
        if start > stop:
            raise self.error("cut short inside the length", field, position)
        length = int.from_bytes(self.data[position + 2 : start], "big")
        if length < _SMALLEST[count]:
            self._long_form(f"length {length} written in {count + 1} bytes, not the shortest form", field, position)
        return start, length

    def _long_form(self, message: str, field: str, position: int) -> None:
        """Say no to an encoding that is longer than needed; the tolerant reader takes a note instead."""
        raise self.error(message, field, position)

    def only(self, span: Span | None, tag: int, field: str) -> Span:
        """Read the one TLV with this tag that fills the span.

        Args:
            span: where it is; None for a member that is absent, which is an error here.
            tag: the identifier byte it must have.
            field: what is being read, for errors.

        Returns:
            The span of its contents.
        """
        if span is None:
            raise self.error("is missing", field, 0)
        position, stop = span
        data = self.data
        if position + 2 <= stop and data[position] == tag and data[position + 1] == stop - position - 2 < 0x80:
            return position + 2, stop  # the usual one
        found, start, end = self.tlv(position, stop, field)
        if found != tag:
            raise self.error(f"tag 0x{found:02X} where 0x{tag:02X} belongs", field, position)
        if end != stop:
            raise self.error(f"{stop - end} bytes left over", field, end)
        return start, end

    # Structures

    def fields(self, span: Span, names: Sequence[str], field: str) -> list[Span | None]:
        """Read members that are all ``[n] EXPLICIT`` and follow one another, such as the contents of a SEQUENCE.

        Args:
            span: where they are.
            names: names of the members ``[0]``, ``[1]``, ...
            field: the structure, for errors.

        Returns:
            For each name the span of the inner TLV, or None where it is absent.
        """
        position, stop = span
        found: list[Span | None] = [None] * len(names)
        following = 0
        while position < stop:
            tag, start, end = self.tlv(position, stop, field)
            number = tag - 0xA0
            if not following <= number < len(found):
                self._refuse_member(number, found, names, field, position)
            found[number] = start, end
            following = number + 1
            position = end
        return found

    def _refuse_member(
        self, number: int, found: Sequence[Span | None], names: Sequence[str], field: str, position: int
    ) -> NoReturn:
        if not 0 <= number <= 30:
            raise self.error(f"tag 0x{number + 0xA0:02X} where a member [n] belongs", field, position)
        if number >= len(found):
            raise self.error(f"unknown member [{number}], or one that occurs twice", field, position)
        name = f"{field}.{names[number]}"
        if found[number] is not None:
            raise self.error("occurs twice", name, position)
        raise self.error("comes after a member with a higher tag", name, position)

    def sequence(self, span: Span | None, names: Sequence[str], field: str) -> list[Span | None]:
        """Read a SEQUENCE that fills the span and whose members are all ``[n] EXPLICIT``; see `fields`."""
        return self.fields(self.only(span, Tag.SEQUENCE, field), names, field)

    def members(self, span: Span, kinds: Sequence[Member], field: str) -> list[Span | None]:
        """Read members as `fields` does, and in each the one value, which must have its tag and fill it.

        Args:
            span: where they are.
            kinds: path and tag of the members ``[0]``, ``[1]``, ...
            field: the structure, for errors.

        Returns:
            For each member the span of the *contents* of its value, or None where it is absent.
        """
        data = self.data
        count = len(kinds)
        position, stop = span
        found: list[Span | None] = [None] * count
        following = 0
        while position < stop:
            # What `write_member` makes of up to 125 bytes, ``[n] length tag length-2``, is taken in one look: most
            # members are that short.
            first = position + 4
            if (
                first <= stop
                and (length := data[position + 1]) < 0x80
                and data[position + 3] == length - 2
                and (last := position + 2 + length) <= stop
                and following <= (number := data[position] - 0xA0) < count
                and data[position + 2] == kinds[number][1]
            ):
                found[number] = first, last
                following = number + 1
                position = last
                continue
            tag, start, end = self.tlv(position, stop, field)
            number = tag - 0xA0
            if not following <= number < count:
                names = [path.rpartition(".")[2] for path, _ in kinds]
                self._refuse_member(number, found, names, field, position)
            path, kind = kinds[number]
            inner, first, last = self.tlv(start, end, path)
            if inner != kind or last != end:
                self.only((start, end), kind, path)  # raises: it knows what is wrong
            found[number] = first, last
            following = number + 1
            position = end
        return found

    def required(self, span: Span | None, field: str) -> Span:
        """Return the span of a member that must be there."""
        if span is None:
            raise self.error("is missing", field, 0)
        return span

    def sequence_of(self, span: Span | None, tag: int, field: str, *, limit: int) -> list[Span]:
        """Read a SEQUENCE OF that fills the span.

        Args:
            span: where it is.
            tag: the identifier byte of every element.
            field: the list, for errors.
            limit: how many elements there may be; the first one above it ends the reading.

        Returns:
            The spans of the contents of the elements.

        Raises:
            LimitExceededError: there are more.
        """
        return self.elements(self.only(span, Tag.SEQUENCE, field), tag, field, limit=limit)

    def elements(self, span: Span, tag: int, field: str, *, limit: int) -> list[Span]:
        """Read the elements of a SEQUENCE OF whose contents fill the span; see `sequence_of`."""
        position, stop = span
        items: list[Span] = []
        while position < stop:
            if len(items) == limit:
                raise LimitExceededError(f"{field}: more than {limit} elements", section=self.section)
            found, start, end = self.tlv(position, stop, field)
            if found != tag:
                raise self.error(f"tag 0x{found:02X} where 0x{tag:02X} belongs", f"{field}[{len(items)}]", position)
            items.append((start, end))
            position = end
        return items

    # Values; each fills its span

    def octet_string(self, span: Span | None, field: str) -> bytes:
        """Read a primitive OCTET STRING."""
        start, end = self.only(span, Tag.OCTET_STRING, field)
        return self.data[start:end]

    def integer(self, span: Span | None, field: str) -> int:
        """Read an INTEGER of at most 64 bits."""
        return self.number(self.only(span, Tag.INTEGER, field), field)

    def number(self, span: Span, field: str) -> int:
        """Read the contents of an INTEGER or ENUMERATED of at most 64 bits."""
        start, end = span
        size = end - start
        if size == 1:
            octet = self.data[start]
            return octet if octet < 0x80 else octet - 0x100
        if not size:
            raise self.error("a number without bytes", field, start)
        if size > _MAX_INTEGER_OCTETS:
            raise self.error(f"a number of {size} bytes, at most {_MAX_INTEGER_OCTETS} are read", field, start)
        octets = self.data[start:end]
        if (octets[0] == 0 and octets[1] < 0x80) or (octets[0] == 0xFF and octets[1] >= 0x80):
            self._long_form(f"number written in {size} bytes, not the shortest form", field, start)
        return int.from_bytes(octets, "big", signed=True)

    def oid(self, span: Span | None, field: str) -> str:
        """Read an OBJECT IDENTIFIER in dotted form."""
        start, end = self.only(span, Tag.OBJECT_IDENTIFIER, field)
        try:
            return decode_oid(self.data[start:end])
        except ValueError as problem:
            message = str(problem)
        raise self.error(message, field, start)


def decode_oid(contents: bytes) -> str:
    """Turn the contents of an OBJECT IDENTIFIER into dotted form (X.690 8.19).

    Raises:
        ValueError: it is something else; the text says why and holds no peer data.
    """
    if not contents or contents[-1] & 0x80:
        raise ValueError("an object identifier that ends too early")
    if len(contents) > _MAX_OID_OCTETS:
        raise ValueError(f"an object identifier of {len(contents)} bytes, at most {_MAX_OID_OCTETS} are read")
    arcs: list[int] = []
    value = 0
    for octet in contents:
        if octet == 0x80 and not value:
            raise ValueError("an object identifier with a padded arc")
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def encode_oid(dotted: str) -> bytes:
    """Return the contents bytes of an OBJECT IDENTIFIER given in dotted form (X.690 8.19).

    Raises:
        LocalProtocolError: this is not an object identifier.
    """
    try:
        first, second, *rest = (int(arc) for arc in dotted.split("."))
    except ValueError:
        first = second = -1
        rest = []
    if not 0 <= first <= 2 or second < 0 or (first < 2 and second > 39) or min(rest, default=0) < 0:
        raise LocalProtocolError("an object identifier is written like 1.3.6.1.5.5.2")
    contents = bytearray()
    for arc in (first * 40 + second, *rest):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(arc & 0x7F | 0x80)
        contents += bytes(reversed(octets))
    return bytes(contents)


def write_tlv(tag: int, contents: bytes) -> bytes:
    """Write one TLV with the shortest length.

    Raises:
        LocalProtocolError: the contents are 16 MiB or more.
    """
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    if length < 0x100:
        return bytes((tag, 0x81, length)) + contents
    if length < 0x10000:
        return bytes((tag, 0x82, length >> 8, length & 0xFF)) + contents
    if length < 0x1000000:
        return bytes((tag, 0x83, length >> 16, length >> 8 & 0xFF, length & 0xFF)) + contents
    raise LocalProtocolError(f"{length} bytes do not fit into one message; the limit is 16 MiB")


def write_integer(value: int, tag: int = Tag.INTEGER) -> bytes:
    """Write an INTEGER (or, with its tag, an ENUMERATED), two's complement, shortest form."""
    if 0 <= value < 0x80:
        return bytes((tag, 1, value))
    return write_tlv(tag, value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True))


def write_octet_string(contents: bytes) -> bytes:
    """Write a primitive OCTET STRING."""
    return write_tlv(Tag.OCTET_STRING, contents)


def write_oid(dotted: str) -> bytes:
    """Write an OBJECT IDENTIFIER given in dotted form."""
    return write_tlv(Tag.OBJECT_IDENTIFIER, encode_oid(dotted))


def write_sequence(*members: bytes) -> bytes:
    """Write a SEQUENCE or SEQUENCE OF of members that are already encoded."""
    return write_tlv(Tag.SEQUENCE, b"".join(members))


def write_explicit(number: int, value: bytes) -> bytes:
    """Write ``[number] EXPLICIT`` around a value that is already encoded."""
    return write_tlv(0xA0 + number, value)


def write_member(number: int, tag: int, contents: bytes) -> bytes:
    """Write ``[number] EXPLICIT`` around a value of this tag: both TLVs at once, which is most of what we write."""
    length = len(contents)
    if length < 0x7E:
        return bytes((0xA0 + number, length + 2, tag, length)) + contents
    return write_tlv(0xA0 + number, write_tlv(tag, contents))

"""A second try for messages that are BER but not quite DER.

MS-CSSP asks for DER, but not every peer keeps to it: rdesktop writes every length from 128 up as ``82 hh ll`` and
every INTEGER in two octets. `read` therefore tries the strict reader first; when that refuses, it rewrites the message
as DER once, and what it had to forgive goes into a list of `Deviation`, which the conformance suite shows.

Forgiven: lengths and INTEGERs that are not the shortest, members out of order, unknown members with a higher tag
than those we know (a newer version's). Never forgiven: indefinite lengths, members that stand there twice or are
missing, wrong tags, octets left over, anything cut short.

pyasn1 does the rewriting, and only sees what `_Scanner` has walked through before along the same schema: its depth
is that of the schema, its lists are limited, its numbers have at most 64 bits, its lengths add up. It is imported
when it is first needed, because that takes longer than all the rest of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from credssp.errors import DecodeError, LimitExceededError
from credssp.wire.der import Reader, Span, Tag, write_explicit, write_integer, write_octet_string, write_sequence

__all__ = ["MAX_MESSAGE_SIZE", "Deviation", "read"]

T = TypeVar("T")

MAX_MESSAGE_SIZE: Final = 65536
"""Default limit of a message in octets. FreeRDP reads lengths up to ``82 ff ff`` and no more. The messages of an NTLM
exchange stay below 1 KiB; Kerberos tokens are limited to 48,000 octets on Windows (MaxTokenSize)."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something in a message that DER or the specification does not have, and that was forgiven.

    Attributes:
        field: path of the field, such as ``TSRequest.version``.
        offset: where in the message, in octets from its start.
        what: what is wrong with it.
    """

    field: str
    offset: int
    what: str


def read(
    data: bytes,
    interpret: Callable[[Reader], T],
    structure: str,
    *,
    section: str,
    limit: int,
    max_size: int = MAX_MESSAGE_SIZE,
    origin: int = 0,
) -> tuple[T, tuple[Deviation, ...]]:
    """Read a structure from DER, or failing that from BER.

    Args:
        data: the message.
        interpret: reads the structure; it is called with a strict reader over the message, and at most once more
            with one over the message rewritten as DER.
        structure: name of the structure, in `credssp.wire.schema` and as the first part of field paths.
        section: where it is specified.
        limit: how many elements a list may have.
        max_size: how many octets the message may have.
        origin: offset of the message in the one around it.

    Raises:
        DecodeError: it is neither.
        LimitExceededError: it is too large, or a list in it is.
    """
    if len(data) > max_size:
        raise LimitExceededError(f"{structure}: {len(data)} octets, the limit is {max_size}", section=section)
    data = bytes(data)  # slices of a bytearray would be bytearrays
    try:
        return interpret(Reader(data, section, origin=origin)), ()
    except DecodeError as refusal:
        strict_refusal = refusal
    scanner = _Scanner(data, section, origin=origin, limit=limit)
    rewritten = scanner.rewrite(structure)
    if not scanner.deviations:  # DER it is, but the strict reader does not like what it says
        raise strict_refusal
    reader = Reader(rewritten, section, origin=origin, places=scanner.places)
    return interpret(reader), tuple(sorted(scanner.deviations, key=lambda deviation: deviation.offset))


def _ber_to_der(data: bytes, spec: Any) -> bytes | None:
    """Let pyasn1 read one value that fills the octets, and write it as DER; None if it cannot."""
    from pyasn1.codec.ber import decoder
    from pyasn1.error import PyAsn1Error

    try:
        value, rest = decoder.decode(data, asn1Spec=spec)
    except PyAsn1Error:  # not chained: its text may quote the message
        return None
    return None if rest else _write(value)


def _write(value: Any) -> bytes:
    """Write a pyasn1 value of one of our types as DER.

    pyasn1's own encoders will not do: the DER one leaves out optional lists that are empty, and both write -128 in
    two octets and errorCode 0x80000000 in five (0.6.5).
    """
    from pyasn1.type import univ

    if isinstance(value, univ.Integer):
        return write_integer(int(value))
    if isinstance(value, univ.OctetString):
        return write_octet_string(bytes(value))
    if isinstance(value, univ.SequenceOf):
        return write_sequence(*map(_write, value))
    members = (value.getComponentByPosition(n, None, False) for n in range(len(value.componentType)))
    present = ((n, member) for n, member in enumerate(members) if member is not None and member.isValue)
    return write_sequence(*(write_explicit(n, _write(member)) for n, member in present))


class _Scanner(Reader):
    """Walks a message along its schema, before pyasn1 sees it."""

    __slots__ = ("_limit", "deviations", "places")

    def __init__(self, data: bytes, section: str, *, origin: int, limit: int) -> None:
        super().__init__(data, section, origin=origin)
        self._limit = limit
        self.deviations: list[Deviation] = []
        self.places: dict[str, Span] = {}

    def rewrite(self, structure: str) -> bytes:
        """Return the message as DER, with `deviations` and `places` (see `Reader`) filled."""
        from credssp.wire import schema

        spec = getattr(schema, structure)()
        ordered = self._value(spec, self.whole, structure)
        if not self.deviations:
            return self.data
        rewritten = _ber_to_der(ordered, spec)
        if rewritten is None:
            raise self.error("neither DER nor BER of this structure", structure, 0)
        return rewritten

    def _value(self, spec: Any, span: Span | None, path: str) -> bytes:
        """Check the value that fills the span and return it with its members in order.

        Constructed values get new lengths on the way; OCTET STRINGs and INTEGERs are copied as they stand.
        """
        from pyasn1.type import univ

        if isinstance(spec, univ.Integer):
            contents = self.only(span, Tag.INTEGER, path)
            self.number(contents, path)
        elif isinstance(spec, univ.OctetString):
            contents = self.only(span, Tag.OCTET_STRING, path)
        elif isinstance(spec, univ.SequenceOf):
            items = self.sequence_of(span, Tag.SEQUENCE, path, limit=self._limit)
            elements = [self._members(spec.componentType, item, f"{path}[{n}]") for n, item in enumerate(items)]
            return write_sequence(*elements)
        else:
            return self._members(spec, self.only(span, Tag.SEQUENCE, path), path)
        start, stop = cast(Span, span)
        self.places[path] = self._origin + start, self._origin + contents[0]
        return self.data[start:stop]

    def _members(self, spec: Any, span: Span, path: str) -> bytes:
        """Do the same for a SEQUENCE whose contents fill the span."""
        types = spec.componentType.namedTypes
        found = self.fields(span, [named.name for named in types], path)
        return write_sequence(
            *(
                write_explicit(number, self._value(named.asn1Object, member, f"{path}.{named.name}"))
                for number, (named, member) in enumerate(zip(types, found, strict=True))
                if member is not None or not named.isOptional
            )
        )

    def fields(self, span: Span, names: Sequence[str], field: str) -> list[Span | None]:
        """Read members in any order, and pass over unknown ones."""
        position, stop = span
        found: list[Span | None] = [None] * len(names)
        seen: set[int] = set()
        while position < stop:
            tag, start, end = self.tlv(position, stop, field)
            number = tag - Tag.CONTEXT_0
            if number in seen or not 0 <= number <= 30:
                self._refuse_member(number, found, names, field, position)
            if number >= len(found):
                self._note(f"unknown member [{number}], passed over", field, position)
            else:
                found[number] = start, end
            if seen and number < max(seen):
                self._note(f"member [{number}] behind [{max(seen)}]", field, position)
            seen.add(number)
            position = end
        return found

    def _long_form(self, message: str, field: str, position: int) -> None:
        self._note(message, field, position)

    def _note(self, what: str, field: str, position: int) -> None:
        self.deviations.append(Deviation(field, self._origin + position, what))

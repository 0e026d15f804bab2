"""A second try for messages that are BER but not quite DER.

MS-CSSP asks for DER, but not every peer keeps to it: rdesktop writes every length from 128 up as ``82 hh ll`` and
every INTEGER in two bytes. So each structure is read with a strict `Reader` first; when that refuses, the same code
reads once more with a `TolerantReader`, and what that had to forgive is in its `deviations`, which the conformance
suite shows.

Forgiven: lengths and INTEGERs that are not the shortest, members out of order, unknown members with a higher tag
than those we know (a newer version's). Never forgiven: indefinite lengths, members that occur twice or are
missing, wrong tags, bytes left over, anything cut short. Depth is that of the structure, lists are limited, numbers
have at most 64 bits: a message costs no more than with the strict reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from credssp.errors import LimitExceededError
from credssp.wire.der import Deviation, Member, Reader, Span, Tag

__all__ = ["MAX_MESSAGE_SIZE", "Deviation", "TolerantReader", "check_size"]

MAX_MESSAGE_SIZE: Final = 65536
"""Default limit of a message in bytes. FreeRDP reads lengths up to ``82 ff ff`` and no more. The messages of an NTLM
exchange stay below 1 KiB; Kerberos tokens are limited to 48,000 bytes on Windows (MaxTokenSize)."""


def check_size(data: bytes, max_size: int, structure: str, section: str) -> None:
    """Refuse a message that is too large, before anything of it is read.

    Raises:
        LimitExceededError: it has more than `max_size` bytes.
    """
    if len(data) > max_size:
        raise LimitExceededError(f"{structure}: {len(data)} bytes, the limit is {max_size}", section=section)


class TolerantReader(Reader):
    """Reads what the strict reader refused, and takes a note of everything it forgives."""

    __slots__ = ("_notes",)

    def __init__(self, data: bytes, section: str, *, origin: int = 0) -> None:
        super().__init__(data, section, origin=origin)
        self._notes: list[Deviation] = []

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """What was forgiven, in the order of the bytes."""
        return tuple(sorted(self._notes, key=lambda deviation: deviation.offset))

    def fields(self, span: Span, names: Sequence[str], field: str) -> list[Span | None]:
        """Read members in any order, and ignore unknown ones."""
        position, stop = span
        found: list[Span | None] = [None] * len(names)
        seen: set[int] = set()
        while position < stop:
            tag, start, end = self.tlv(position, stop, field)
            number = tag - Tag.CONTEXT_0
            if number in seen or not 0 <= number <= 30:
                self._refuse_member(number, found, names, field, position)
            if number >= len(found):
                self._long_form(f"unknown member [{number}], ignored", field, position)
            else:
                found[number] = start, end
            if seen and number < max(seen):
                self._long_form(f"member [{number}] after [{max(seen)}]", field, position)
            seen.add(number)
            position = end
        return found

    def members(self, span: Span, kinds: Sequence[Member], field: str) -> list[Span | None]:
        """Read members in any order, and in each the one value."""
        found = self.fields(span, [path.rpartition(".")[2] for path, _ in kinds], field)
        return [
            None if member is None else self.only(member, kind, path)
            for member, (path, kind) in zip(found, kinds, strict=True)
        ]

    def _long_form(self, message: str, field: str, position: int) -> None:
        self._notes.append(Deviation(field, self.offset(position), message))

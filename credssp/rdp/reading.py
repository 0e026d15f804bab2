"""A reader for the PDUs after the negotiation: little-endian structures, BER and PER lengths, never past the end."""

from __future__ import annotations

from credssp.errors import DecodeError

__all__ = ["FrameReader", "per_length"]


class FrameReader:
    """Reads one frame from front to back.

    Args:
        data: the frame.
        section: of the specification, for errors.
        position: where to begin.
        end: where to stop; None for the end of the data.

    Attributes:
        position: the next byte.
    """

    __slots__ = ("_data", "_section", "end", "position")

    def __init__(self, data: bytes, section: str, *, position: int = 0, end: int | None = None) -> None:
        self._data = data
        self._section = section
        self.position = position
        self.end = len(data) if end is None else end

    def error(self, message: str, field: str) -> DecodeError:
        """Make the error for what is at the position."""
        return DecodeError(message, field=field, offset=self.position, section=self._section)

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return self.end - self.position

    def take(self, size: int, field: str) -> bytes:
        """Return so many bytes."""
        if size > self.left:
            raise self.error(f"{size} bytes wanted, {self.left} are left", field)
        start = self.position
        self.position += size
        return self._data[start : self.position]

    def number(self, size: int, field: str) -> int:
        """Read a little-endian number of so many bytes."""
        return int.from_bytes(self.take(size, field), "little")

    def expect(self, wanted: bytes, field: str) -> None:
        """Read bytes that are always the same."""
        start = self.position
        found = self.take(len(wanted), field)
        if found != wanted:
            self.position = start
            raise self.error(f"{found.hex()} where {wanted.hex()} is due", field)

    def ber(self, tag: bytes, field: str) -> FrameReader:
        """Read a BER tag and length (ITU-T X.690 8.1), and return a reader of the contents; goes on after them."""
        self.expect(tag, f"{field}.tag")
        size = self.take(1, f"{field}.length")[0]
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4:  # none is the indefinite form, which T.125 clients do not use
                raise self.error(f"a length of {count} bytes", f"{field}.length")
            size = int.from_bytes(self.take(count, f"{field}.length"), "big")
        return self.part(size, field)

    def per_length(self, field: str) -> int:
        """Read a PER length determinant below 16,384 (ITU-T X.691 10.9)."""
        first = self.take(1, field)[0]
        if not first & 0x80:
            return first
        if first & 0x40:
            raise self.error("a fragmented length", field)
        return (first & 0x3F) << 8 | self.take(1, field)[0]

    def part(self, size: int, field: str) -> FrameReader:
        """Return a reader of the next bytes, and go on after them."""
        if size > self.left:
            raise self.error(f"{size} bytes announced, {self.left} are left", field)
        part = FrameReader(self._data, self._section, position=self.position, end=self.position + size)
        self.position += size
        return part

    def finish(self, field: str) -> None:
        """Check that nothing is left."""
        if self.left:
            raise self.error(f"{self.left} bytes too many", field)


def per_length(size: int) -> bytes:
    """Write a PER length determinant in its form of two bytes, which every size below 16,384 may have."""
    return (0x8000 | size).to_bytes(2, "big")

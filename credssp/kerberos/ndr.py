"""What the PAC needs of NDR, strictly read: little endian, aligned from the start of the buffer ([MS-RPCE] 2.2.6)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from credssp.errors import DecodeError

__all__ = ["NDRReader", "Text", "read_sid"]

_SECTION: Final = "[MS-RPCE] 2.2.6"
_HEADER: Final = bytes.fromhex("01100800cccccccc")
"""Version 1, little endian, 8 bytes, and a filler."""
_HEADERS_SIZE: Final = 16
_MAX_SUBAUTHORITIES: Final = 15
_SID_HEAD: Final = struct.Struct("<BB6s")


class Text(NamedTuple):
    """The fixed part of an RPC_UNICODE_STRING ([MS-DTYP] 2.3.10).

    Attributes:
        length: bytes of the text.
        maximum: bytes that its buffer has room for.
        pointer: whether there is a buffer; it comes later.
    """

    length: int
    maximum: int
    pointer: bool


class NDRReader:
    """Reads one top-level structure, with its headers.

    Args:
        data: type serialization version 1.
        field: its name, for errors.

    Raises:
        DecodeError: it is not that, or is longer or shorter than it says.
    """

    def __init__(self, data: bytes, field: str) -> None:
        self._field = field
        self._data = data[_HEADERS_SIZE:]
        self._at = 0
        if data[:8] != _HEADER or len(data) < _HEADERS_SIZE:
            raise self.error("is not NDR of type serialization version 1")
        size = int.from_bytes(data[8:12], "little")
        # The size is a multiple of 8, and Windows pads what contains the structure once more.
        if not 0 <= len(self._data) - size < 8:
            raise self.error(f"has {len(self._data)} bytes and says {size}")
        self._data = self._data[:size]
        if not self.u32():
            raise self.error("is a null pointer")

    def error(self, what: str) -> DecodeError:
        """Make the error for this place."""
        return DecodeError(what, field=self._field, offset=_HEADERS_SIZE + self._at, section=_SECTION)

    def raw(self, size: int, align: int = 1) -> bytes:
        """Read some bytes."""
        start = self._at + -self._at % align
        end = start + size
        if end > len(self._data):
            raise self.error(f"ends {end - len(self._data)} bytes too early")
        self._at = end
        return self._data[start:end]

    def u16(self) -> int:
        """Read an unsigned short."""
        return int.from_bytes(self.raw(2, 2), "little")

    def u32(self) -> int:
        """Read an unsigned long, or whether a pointer is one."""
        return int.from_bytes(self.raw(4, 4), "little")

    def text(self) -> Text:
        """Read the fixed part of a text."""
        found = Text(int.from_bytes(self.raw(2, 4), "little"), self.u16(), bool(self.u32()))
        if found.length % 2 or found.length > found.maximum or (found.length and not found.pointer):
            raise self.error(f"RPC_UNICODE_STRING of {found.length} bytes in {found.maximum}")
        return found

    def text_body(self, text: Text) -> str:
        """Read what a text points to."""
        if not text.pointer:
            return ""
        room, offset, units = self.u32(), self.u32(), self.u32()
        if (room, offset, units) != (text.maximum // 2, 0, text.length // 2):
            raise self.error(f"{units} of {room} units from {offset} where a text of {text.length} bytes belongs")
        try:
            return self.raw(text.length).decode("utf-16-le")
        except UnicodeDecodeError:
            raise self.error("is not UTF-16") from None

    def count(self, expected: int, limit: int) -> int:
        """Read the count of a conformant array, which was announced before."""
        found = self.u32()
        if found != expected or found > limit:
            raise self.error(f"an array of {found} where {expected} were announced, and at most {limit} are read")
        return found

    def sid(self) -> str:
        """Read an RPC_SID ([MS-DTYP] 2.4.2.3)."""
        count = self.u32()
        if count > _MAX_SUBAUTHORITIES:
            raise self.error(f"a SID of {count} subauthorities")
        sid = read_sid(self.raw(_SID_HEAD.size + 4 * count))
        if sid is None:
            raise self.error("is not a SID")
        return sid

    def end(self) -> None:
        """Check that nothing follows but padding."""
        if len(self._data) - self._at >= 8:
            raise self.error(f"{len(self._data) - self._at} bytes are left over")


def read_sid(data: bytes) -> str | None:
    """Return the text form of a SID in its binary form ([MS-DTYP] 2.4.2.2), or None if it is not one."""
    if len(data) < _SID_HEAD.size:
        return None
    revision, count, authority = _SID_HEAD.unpack_from(data)
    if revision != 1 or not 1 <= count <= _MAX_SUBAUTHORITIES or len(data) != _SID_HEAD.size + 4 * count:
        return None
    number = int.from_bytes(authority, "big")
    first = f"0x{number:012X}" if number >> 32 else str(number)  # [MS-DTYP] 2.4.2.1
    return "-".join(("S-1", first, *map(str, struct.unpack_from(f"<{count}I", data, _SID_HEAD.size))))

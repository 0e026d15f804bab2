"""A screen of one colour: bitmap updates in the form that a client of 8, 15, 16, 24 or 32 bits per pixel reads.

====== ======================================= =====================================================
depth  one tile                                where
====== ======================================= =====================================================
8-24   one run of one pixel                    [MS-RDPBCGR] 2.2.9.1.1.3.1.2.4, MEGA_MEGA_COLOR_RUN
32     planes of alpha, red, green and blue    [MS-RDPEGDI] 2.2.2.5.1, RLE
====== ======================================= =====================================================

Every client reads bitmaps, and these do without drawing orders and codecs. Tiles have 64 x 64 pixels, as those of
Windows; what would reach beyond the screen is cut off by the client, and widths are multiples of four.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from credssp.testing.rdp_session.share import DataType, data_pdu

__all__ = ["LARGEST", "SMALLEST", "Screen"]

SMALLEST: Final = (200, 200)
LARGEST: Final = (4096, 2304)
"""Width and height between which a desktop is: whatever a client asks for, its screen costs less than 1.5 MiB."""

_TILE: Final = 64
_ROOM: Final = 15000
"""Bytes of the rectangles of one update: its length has 14 bits in fast-path output."""

_BITMAP_COMPRESSION, _NO_BITMAP_COMPRESSION_HDR = 0x0001, 0x0400
_UPDATETYPE_BITMAP, _UPDATETYPE_PALETTE = 1, 2
_MEGA_MEGA_COLOR_RUN: Final = 0xF3
_RLE: Final = 0x10  # of a planar bitmap; the plane of alpha is there, which rdesktop 1.9 insists on
_LONG: Final = 0x8000  # a length of two bytes


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen.

    Attributes:
        size: width and height in pixels.
        depth: bits per pixel: 8, 15, 16, 24 or 32.
        color: red, green and blue as 0xRRGGBB.
        fast_path: whether the client reads fast-path updates.
        bare_bitmaps: whether it reads compressed bitmaps without their header.
    """

    size: tuple[int, int]
    depth: int
    color: int
    fast_path: bool
    bare_bitmaps: bool

    def updates(self) -> Iterator[bytes]:
        """Write the PDUs that fill the whole screen."""
        if self.depth == 8:
            yield self._update(_UPDATETYPE_PALETTE, struct.pack("<HI", 0, 256) + _rgb(self.color) * 256)
        held: list[bytes] = []
        for rectangle in self._rectangles():
            if sum(map(len, held)) + len(rectangle) > _ROOM:
                yield self._bitmaps(held)
                held = []
            held.append(rectangle)
        yield self._bitmaps(held)

    def _bitmaps(self, rectangles: list[bytes]) -> bytes:
        return self._update(_UPDATETYPE_BITMAP, struct.pack("<H", len(rectangles)) + b"".join(rectangles))

    def _update(self, kind: int, body: bytes) -> bytes:
        """Write an update; its type has the same number in both forms (2.2.9.1.1.3, 2.2.9.1.2.1)."""
        data = struct.pack("<H", kind) + body
        if not self.fast_path:
            return data_pdu(DataType.UPDATE, data)
        update = struct.pack("<BH", kind, len(data)) + data
        return b"\0" + (_LONG | 3 + len(update)).to_bytes(2, "big") + update

    def _rectangles(self) -> Iterator[bytes]:
        width, height = self.size
        for top in range(0, height, _TILE):
            rows = min(_TILE, height - top)
            for left in range(0, width, _TILE):
                columns = min(_TILE, width - left)
                yield self._rectangle(left, top, columns, rows)

    def _rectangle(self, left: int, top: int, columns: int, rows: int) -> bytes:
        """Write TS_BITMAP_DATA (2.2.9.1.1.3.1.2.2)."""
        wide = columns + -columns % 4
        data = _planes(self.color, wide, rows) if self.depth == 32 else _run(self.color, self.depth, wide * rows)
        flags = _BITMAP_COMPRESSION
        if self.bare_bitmaps:
            flags |= _NO_BITMAP_COMPRESSION_HDR
        else:
            line = wide * ((self.depth + 7) // 8)
            data = struct.pack("<HHHH", 0, len(data), line, line * rows) + data
        place = (left, top, left + columns - 1, top + rows - 1)
        return struct.pack("<9H", *place, wide, rows, self.depth, flags, len(data)) + data


def _rgb(color: int) -> bytes:
    return color.to_bytes(3, "big")


def _run(color: int, depth: int, pixels: int) -> bytes:
    """Write a run of one pixel. With 8 bits, every entry of the palette has the colour."""
    red, green, blue = _rgb(color)
    pixel = {
        8: b"\0",
        15: struct.pack("<H", red >> 3 << 10 | green >> 3 << 5 | blue >> 3),
        16: struct.pack("<H", red >> 3 << 11 | green >> 2 << 5 | blue >> 3),
        24: bytes((blue, green, red)),
    }[depth]
    return struct.pack("<BH", _MEGA_MEGA_COLOR_RUN, pixels) + pixel


def _planes(color: int, width: int, rows: int) -> bytes:
    """Write a bitmap of 32 bits per pixel: four planes; each has its first line, and then differences."""
    difference = _line(0, width)
    planes = (_line(value, width) + difference * (rows - 1) for value in (0xFF, *_rgb(color)))
    return bytes([_RLE]) + b"".join(planes)


def _line(value: int, width: int) -> bytes:
    """Write a line of one value: one as it is, then runs of it. A line begins with 0, so zeros are runs alone."""
    out = bytearray() if value == 0 else bytearray((0x10, value))
    left = width - (value != 0)
    while left:
        if left >= 32:
            run = min(left, 47)
            out.append((run - 32) << 4 | 2)
        elif left >= 16:
            run = left
            out.append((run - 16) << 4 | 1)
        elif left >= 3:
            run = left
            out.append(run)
        else:  # too short for a run
            run = left
            out += bytes([run << 4]) + bytes([value]) * run
        left -= run
    return bytes(out)

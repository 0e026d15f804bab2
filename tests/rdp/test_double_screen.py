"""The screen of the RDP double, decoded by what the specifications say of each form."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from credssp.testing.rdp_session.screen import LARGEST, Screen

COLOR = 0x2A7F62
PIXELS = {
    15: 0x2A >> 3 << 10 | 0x7F >> 3 << 5 | 0x62 >> 3,
    16: 0x2A >> 3 << 11 | 0x7F >> 2 << 5 | 0x62 >> 3,
    24: COLOR,
    32: 0xFF << 24 | COLOR,
}


def updates(screen: Screen) -> Iterator[tuple[int, bytes]]:
    """Yield type and contents of each update, as a client reads them."""
    for pdu in screen.updates():
        if screen.fast_path:
            assert pdu[0] == 0
            assert (pdu[1] & 0x7F) << 8 | pdu[2] == len(pdu) < 16384
            kind, size = struct.unpack_from("<BH", pdu, 3)
            data = pdu[6:]
        else:
            kind, size = pdu[29], struct.unpack_from("<H", pdu, 15)[0] - 18
            assert kind == 2, "PDUTYPE2_UPDATE"
            data = pdu[33:]
            kind = data[0]
        assert size == len(data)
        assert struct.unpack_from("<H", data)[0] == kind
        yield kind, data[2:]


def rectangles(data: bytes, *, bare: bool) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield place, size and depth, and the bitmap, of TS_BITMAP_DATA."""
    (count,) = struct.unpack_from("<H", data)
    at = 2
    for _ in range(count):
        *place, flags, size = struct.unpack_from("<9H", data, at)
        at += 18
        bitmap = data[at : at + size]
        at += size
        assert flags == (0x401 if bare else 1)
        if not bare:
            first, body, line, whole = struct.unpack_from("<4H", bitmap)
            bitmap = bitmap[8:]
            width, rows, depth = place[4:]
            assert (first, body) == (0, len(bitmap))
            assert (line, whole) == (width * ((depth + 7) // 8), width * rows * ((depth + 7) // 8))
            assert line % 4 == 0
        yield tuple(place), bitmap
    assert at == len(data)


def pixels(bitmap: bytes, width: int, rows: int, depth: int) -> list[int]:
    if depth == 32:
        return planes(bitmap, width, rows)
    size = (depth + 7) // 8
    assert bitmap[0] == 0xF3, "MEGA_MEGA_COLOR_RUN"
    (run,) = struct.unpack_from("<H", bitmap, 1)
    assert len(bitmap) == 3 + size
    return [int.from_bytes(bitmap[3:], "little")] * run


def planes(bitmap: bytes, width: int, rows: int) -> list[int]:
    """Decode four planes ([MS-RDPEGDI] 3.1.9.2.3)."""
    assert bitmap[0] == 0x10, "RLE, with alpha"
    at = 1
    values = [0] * (width * rows)
    for _ in range(4):
        plane: list[int] = []
        for row in range(rows):
            line: list[int] = []
            last = 0
            while len(line) < width:
                control = bitmap[at]
                at += 1
                raw, run = control >> 4, control & 0xF
                if run in (1, 2):
                    raw, run = 0, run * 16 + raw
                for value in bitmap[at : at + raw]:
                    last = value
                    line.append(value)
                at += raw
                line += [last] * run
            assert len(line) == width
            if row:
                above = plane[-width:]
                line = [
                    (old + (-(delta + 1 >> 1) if delta & 1 else delta >> 1)) & 0xFF
                    for old, delta in zip(above, line, strict=True)
                ]
            plane += line
        values = [value << 8 | part for value, part in zip(values, plane, strict=True)]
    assert at == len(bitmap)
    return values


@pytest.mark.parametrize("depth", [15, 16, 24, 32])
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("size", [(200, 200), (333, 221), (1024, 768)])
def test_every_pixel_has_the_colour(depth: int, bare: bool, fast: bool, size: tuple[int, int]) -> None:
    width, height = size
    covered = 0
    for kind, data in updates(Screen(size, depth, COLOR, fast, bare)):
        assert kind == 1
        for (left, top, right, bottom, wide, rows, own, *_), bitmap in rectangles(data, bare=bare):
            assert own == depth
            assert 0 <= left <= right < width
            assert 0 <= top <= bottom < height
            assert wide % 4 == 0
            assert wide >= right - left + 1
            assert rows == bottom - top + 1
            assert pixels(bitmap, wide, rows, depth) == [PIXELS[depth]] * (wide * rows)
            covered += (right - left + 1) * rows
    assert covered == width * height, "tiles that do not overlap and leave nothing out"


def test_with_eight_bits_the_palette_has_the_colour() -> None:
    (kind, palette), *bitmaps = updates(Screen((300, 200), 8, COLOR, True, True))
    assert kind == 2
    assert struct.unpack_from("<HI", palette) == (0, 256)
    assert palette[6:] == bytes((0x2A, 0x7F, 0x62)) * 256
    assert {kind for kind, _ in bitmaps} == {1}


@pytest.mark.parametrize("value", [0x000000, 0x00FF00, 0xFFFFFF])
def test_planes_of_zeros_and_ones(value: int) -> None:
    for _, data in updates(Screen((200, 200), 32, value, True, True)):
        for (*_, wide, rows, _), bitmap in rectangles(data, bare=True):
            assert set(planes(bitmap, wide, rows)) == {0xFF << 24 | value}


@pytest.mark.parametrize("depth", [8, 15, 16, 24, 32])
def test_the_largest_screen_costs_less_than_one_and_a_half_mebibytes(depth: int) -> None:
    assert sum(map(len, Screen(LARGEST, depth, 0xABCDEF, False, False).updates())) < 3 << 19

"""What server and client tell each other that they can do: Demand Active and Confirm Active ([MS-RDPBCGR] 2.2.1.13).

This server offers the least that clients insist on: bitmaps, no drawing orders, no codecs, no compressed channels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from credssp.rdp.reading import FrameReader
from credssp.testing.rdp_session.share import SHARE_ID, ShareType, share_pdu

__all__ = ["DEPTHS", "ClientCapabilities", "demand_active", "read_confirm_active"]

DEPTHS: Final = (8, 15, 16, 24, 32)
"""Bits per pixel in which a screen is sent."""

_SECTION: Final = "[MS-RDPBCGR] 2.2.1.13.2.1"
_MAX_SETS: Final = 64
"""[MS-RDPBCGR] 2.2.7 has 30 kinds of sets, each at most once."""

_GENERAL, _BITMAP, _ORDER, _POINTER, _SHARE, _INPUT, _FONT, _VIRTUAL_CHANNEL = 1, 2, 3, 8, 9, 13, 14, 20
_FASTPATH_OUTPUT_SUPPORTED: Final = 0x0001
_LONG_CREDENTIALS_SUPPORTED: Final = 0x0004
_NO_BITMAP_COMPRESSION_HDR: Final = 0x0400
_INPUT_FLAGS: Final = 0x0001 | 0x0004 | 0x0008 | 0x0010 | 0x0020
"""Scan codes, extended mouse events, both forms of fast-path input, Unicode: all of which is read and ignored."""
_ORDER_FLAGS: Final = 0x0002 | 0x0008 | 0x0020
"""NEGOTIATEORDERSUPPORT and ZEROBOUNDSDELTASSUPPORT, which must be there, and COLORINDEXSUPPORT."""
_CHUNK: Final = 1600  # CHANNEL_CHUNK_LENGTH


@dataclass(frozen=True, slots=True)
class ClientCapabilities:
    """What a Confirm Active PDU says, as far as it matters for a screen.

    Attributes:
        depth: preferredBitsPerPixel; 0 where it is missing or nothing that a screen is sent in.
        desktop: width and height in pixels; zeros where they are missing.
        fast_path: whether the client reads fast-path updates.
        bare_bitmaps: whether compressed bitmaps may come without their header (NO_BITMAP_COMPRESSION_HDR).
    """

    depth: int = 0
    desktop: tuple[int, int] = (0, 0)
    fast_path: bool = False
    bare_bitmaps: bool = False


def demand_active(desktop: tuple[int, int], depth: int) -> bytes:
    """Write a Demand Active PDU as a frame (2.2.1.13.1).

    Args:
        desktop: width and height in pixels.
        depth: bits per pixel of the session.
    """
    extra = _FASTPATH_OUTPUT_SUPPORTED | _LONG_CREDENTIALS_SUPPORTED | _NO_BITMAP_COMPRESSION_HDR
    sets = (
        _set(_SHARE, struct.pack("<HH", 1002, 0)),
        _set(_GENERAL, struct.pack("<HHHHHHHHHBB", 1, 3, 0x0200, 0, 0, extra, 0, 0, 0, 1, 1)),
        _set(_BITMAP, struct.pack("<HHHHHHHHHBBHH", depth, 1, 1, 1, *desktop, 0, 1, 1, 0, 0, 1, 0)),
        _set(_ORDER, bytes(16) + struct.pack("<IHHHHHH", 0, 1, 20, 0, 1, 0, _ORDER_FLAGS) + bytes(32 + 20)),
        _set(_FONT, struct.pack("<HH", 1, 0)),
        _set(_VIRTUAL_CHANNEL, struct.pack("<II", 0, _CHUNK)),
        _set(_POINTER, struct.pack("<HHH", 1, 20, 20)),
        _set(_INPUT, struct.pack("<HH", _INPUT_FLAGS, 0) + bytes(80)),
    )
    combined = struct.pack("<HH", len(sets), 0) + b"".join(sets)
    name = b"RDP\0"
    body = struct.pack("<IHH", SHARE_ID, len(name), len(combined)) + name + combined + bytes(4)  # sessionId
    return share_pdu(ShareType.DEMAND_ACTIVE, body)


def _set(kind: int, contents: bytes) -> bytes:
    return struct.pack("<HH", kind, 4 + len(contents)) + contents


def read_confirm_active(body: FrameReader) -> ClientCapabilities:
    """Read a Confirm Active PDU (2.2.1.13.2) after its Share Control Header.

    Raises:
        DecodeError: it does not decode, or answers another Demand Active PDU.
    """
    share = body.number(4, "shareId")
    if share != SHARE_ID:
        raise body.error(f"share 0x{share:08X}, and this is share 0x{SHARE_ID:08X}", "shareId")
    body.take(2, "originatorId")
    name_size, size = body.number(2, "lengthSourceDescriptor"), body.number(2, "lengthCombinedCapabilities")
    body.take(name_size, "sourceDescriptor")
    sets = body.part(size, "lengthCombinedCapabilities")
    count = sets.number(2, "numberCapabilities")
    if count > _MAX_SETS:
        raise sets.error(f"{count} capability sets; at most {_MAX_SETS} are read", "numberCapabilities")
    sets.take(2, "pad2Octets")
    found: dict[int, bytes] = {}
    for number in range(count):
        kind, length = sets.number(2, f"capabilitySets[{number}].type"), sets.number(2, "lengthCapability")
        if length < 4:  # the header itself
            raise sets.error(f"a capability set of {length} bytes", "lengthCapability")
        found.setdefault(kind, sets.take(length - 4, f"capability set {kind}"))
    extra = struct.unpack_from("<H", found[_GENERAL], 10)[0] if len(found.get(_GENERAL, b"")) >= 12 else 0
    bitmap = found.get(_BITMAP, b"")
    depth, width, height = struct.unpack_from("<H6xHH", bitmap) if len(bitmap) >= 12 else (0, 0, 0)
    return ClientCapabilities(
        depth=depth if depth in DEPTHS else 0,
        desktop=(width, height),
        fast_path=bool(extra & _FASTPATH_OUTPUT_SUPPORTED),
        bare_bitmaps=bool(extra & _NO_BITMAP_COMPRESSION_HDR),
    )

"""Cuts what a client sends in a session into frames: TPKT with X.224 Data, or fast-path input.

The first byte tells them apart ([MS-RDPBCGR] 2.2.8.1.2): 3 is TPKT, and with the lowest two bits clear it is the
fpInputHeader of fast-path input, which is followed by the length of the frame in one or two bytes.
"""

from __future__ import annotations

from typing import Final

from credssp.errors import LimitExceededError, RemoteProtocolError
from credssp.rdp.session_pdus import MAX_FRAME
from credssp.rdp.tpkt import HEADER_SIZE

__all__ = ["SessionFrames"]

_TPKT: Final = 3
_FAST_PATH_MASK: Final = 0x03
_SECTION: Final = "[MS-RDPBCGR] 2.2.8.1.2"
_SMALLEST_TPKT: Final = 8
"""TPKT header, three bytes of X.224 Data, one of the MCS PDU."""


class SessionFrames:
    """A stream that may be split anywhere."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take more of the stream."""
        self._data += data

    def next_frame(self) -> bytes | None:
        """Return the next TPKT frame, header included, or None where there is none yet; fast-path input is left out.

        Raises:
            RemoteProtocolError: this is not a frame.
            LimitExceededError: a frame is longer than any that a client sends.
        """
        held = self._data
        while held:
            header = self._size()
            if header is None or len(held) < header[1]:
                return None
            tpkt, size = header
            frame = bytes(held[:size]) if tpkt else None
            del held[:size]
            if frame is not None:
                return frame
        return None

    def _size(self) -> tuple[bool, int] | None:
        """Return whether the next frame is TPKT, and its size; None as long as that is not known."""
        held = self._data
        if held[0] == _TPKT:
            if len(held) < HEADER_SIZE:
                return None
            tpkt, size, smallest = True, int.from_bytes(held[2:HEADER_SIZE], "big"), _SMALLEST_TPKT
        elif not held[0] & _FAST_PATH_MASK:
            if len(held) < 2 or (held[1] & 0x80 and len(held) < 3):
                return None
            long = held[1] & 0x80
            tpkt = False
            size, smallest = (((held[1] & 0x7F) << 8 | held[2]), 4) if long else (held[1], 3)
        else:
            raise RemoteProtocolError(
                f"expected a TPKT frame or fast-path input, and the first byte is 0x{held[0]:02X}", section=_SECTION
            )
        if size < smallest:
            raise RemoteProtocolError(f"a frame of {size} bytes", section=_SECTION)
        if size > MAX_FRAME:
            raise LimitExceededError(f"a frame of {size} bytes; at most {MAX_FRAME} are read", section=_SECTION)
        return tpkt, size

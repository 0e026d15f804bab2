"""TPKT frames, the only framing of the clear-text phase (RFC 1006 section 6, [MS-RDPBCGR] 2.2.1.1).

::

    03  00  length (16 bits, big-endian, of the whole frame)  X.224 TPDU

In negotiation a frame is small: the length byte of X.224 allows 254 bytes after it, so that Connection Request and
Confirm have at most 259 bytes altogether, cookie included. That is also the most this buffer ever holds of a
peer that has shown nothing yet.
"""

from __future__ import annotations

from typing import Final

from credssp.errors import LimitExceededError, RemoteProtocolError
from credssp.next_step import NextStep

__all__ = ["HEADER_SIZE", "MAX_SIZE", "TPKTBuffer", "frame"]

HEADER_SIZE: Final = 4
MAX_SIZE: Final = 259
"""Bytes of the longest frame of the negotiation: TPKT header, length byte, 254 bytes."""

_VERSION: Final = 3
_SMALLEST: Final = 7
"""TPKT header, X.224 length, code and one byte more: no TPDU is shorter."""

# What is often found on a port that should speak RDP. The longest first bytes come first.
_SPEAKS: Final = (
    (b"HTTP/", "HTTP"),
    (b"GET ", "HTTP"),
    (b"POST ", "HTTP"),
    (b"HEAD ", "HTTP"),
    (b"PUT ", "HTTP"),
    (b"OPTIONS ", "HTTP"),
    (b"CONNECT ", "HTTP"),
    (b"PRI * HTTP/2", "HTTP/2"),
    (b"SSH-", "SSH"),
    (b"RFB ", "VNC"),
    (b"220 ", "SMTP or FTP"),
    (b"\xffSMB", "SMB"),
    (b"\xfeSMB", "SMB"),
    (b"\x00\x00\x00", "SMB or another length-prefixed protocol"),
    (b"\x15\x03", "TLS, a fatal alert"),
    (b"\x16\x03", "TLS"),
)


def frame(tpdu: bytes) -> bytes:
    """Put a TPDU into a frame."""
    return bytes((_VERSION, 0)) + (HEADER_SIZE + len(tpdu)).to_bytes(2, "big") + tpdu


class TPKTBuffer:
    """Collects one frame from a stream that may be split anywhere; refuses from the header alone."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> bytes | None:
        """Take more of the stream; returns the TPDU of the first frame once it is whole, else None.

        Raises:
            RemoteProtocolError: this is not a TPKT; the text says what it looks like.
            LimitExceededError: the frame is longer than any of the negotiation.
        """
        self._data += data
        held = self._data
        if held and held[0] != _VERSION:
            raise RemoteProtocolError(
                _not_tpkt(held), section="[MS-RDPBCGR] 2.2.1.1 tpktHeader", advice=NextStep.RDP_OTHER
            )
        if len(held) < HEADER_SIZE:
            return None
        size = int.from_bytes(held[2:HEADER_SIZE], "big")
        if size < _SMALLEST:
            raise RemoteProtocolError(
                f"a TPKT frame of {size} bytes, too short for any X.224 TPDU",
                section="[MS-RDPBCGR] 2.2.1.1 tpktHeader",
            )
        if size > MAX_SIZE:
            raise LimitExceededError(
                f"a TPKT frame of {size} bytes where a Connection Request or Confirm has at most {MAX_SIZE}: an "
                "over-long cookie, or not the beginning of an RDP connection",
                section="[MS-RDPBCGR] 2.2.1.1 tpktHeader",
            )
        if len(held) < size:
            return None
        self._data = held[size:]
        return held[HEADER_SIZE:size]

    def take_rest(self) -> bytes:
        """Return what came after the frame, once."""
        rest, self._data = self._data, b""
        return rest


def _not_tpkt(data: bytes) -> str:
    for start, name in _SPEAKS:
        if data.startswith(start):
            return f"the peer does not speak RDP but {name}"
    return f"the peer does not speak RDP: the first byte is 0x{data[0]:02X}, not 0x03 (TPKT)"

"""The Preconnection PDU ([MS-RDPEPS]), with which some clients say whom they want before they say anything else.

It precedes the X.224 Connection Request: virtual machine consoles take the id of the machine from it, and gateways a
token (the blob).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from credssp.errors import DecodeError, LocalProtocolError

__all__ = ["MAX_SIZE", "PreconnectionPDU"]

_SECTION: Final = "[MS-RDPEPS] 2.2.1"
_FIXED: Final = struct.Struct("<IIII")
_V1, _V2 = 1, 2
MAX_SIZE: Final = 2048
"""Bytes of the longest one that is read; the blob is a name or a token."""


@dataclass(frozen=True, slots=True)
class PreconnectionPDU:
    """RDP_PRECONNECTION_PDU_V1 and _V2.

    Attributes:
        id: Id, the source of the connection.
        blob: wszPCB; None for version 1.
    """

    id: int = 0
    blob: str | None = None

    def encode(self) -> bytes:
        """Write it. Raises LocalProtocolError for a blob that is too long or holds U+0000."""
        if self.blob is None:
            return _FIXED.pack(_FIXED.size, 0, _V1, self.id)
        if "\0" in self.blob:
            raise LocalProtocolError("the preconnection blob holds U+0000")
        text = (self.blob + "\0").encode("utf-16-le", "surrogatepass")
        size = _FIXED.size + 2 + len(text)
        if size > MAX_SIZE:
            raise LocalProtocolError(f"the preconnection blob is too long: {size} bytes, at most {MAX_SIZE}")
        return _FIXED.pack(size, 0, _V2, self.id) + struct.pack("<H", len(text) // 2) + text

    @classmethod
    def size_of(cls, data: bytes) -> int | None:
        """Return how many bytes the PDU at the beginning of a stream has, 0 where there is none, None to wait for more.

        Raises:
            DecodeError: it begins like one, with a size that it cannot have.
        """
        # A TPKT begins with 03 00 and its size, big-endian; a size of 768 (00 03) is none that a real one has.
        head = data[:4]
        if head[:1] == b"\x03" or (head[:1] == b"\x16" and head[1:2] in (b"", b"\x03")):
            return 0
        if len(head) < 4:
            return None
        size = int.from_bytes(head, "little")
        if head[2:] != b"\0\0" or size < _FIXED.size:
            return 0  # whoever reads the Connection Request says what this is
        if size > MAX_SIZE:
            raise DecodeError(f"{size} bytes; at most {MAX_SIZE} are read", field="cbSize", section=_SECTION)
        return size

    @classmethod
    def decode(cls, data: bytes) -> PreconnectionPDU:
        """Read one that is whole. Raises DecodeError."""
        if len(data) < _FIXED.size:
            raise DecodeError(f"{len(data)} bytes, at least {_FIXED.size} wanted", field="cbSize", section=_SECTION)
        size, _, version, number = _FIXED.unpack_from(data)
        if size != len(data):
            raise DecodeError(f"{size}, but there are {len(data)} bytes", field="cbSize", section=_SECTION)
        if version == _V1 and size == _FIXED.size:
            return cls(number)
        if version != _V2 or size < _FIXED.size + 2:
            raise DecodeError(f"version {version} with {size} bytes", field="Version", offset=8, section=_SECTION)
        count = int.from_bytes(data[16:18], "little")
        text = data[18:]
        if count * 2 != len(text):
            raise DecodeError(f"{count} characters in {len(text)} bytes", field="cchPCB", offset=16, section=_SECTION)
        blob = text.decode("utf-16-le", "surrogatepass")
        return cls(number, blob.partition("\0")[0])

"""Fragments ([MS-PSRP] 2.2.4): how messages are cut into pieces that fit an envelope."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from credssp.errors import RemoteProtocolError

__all__ = ["HEADER_SIZE", "MAX_OBJECT", "Cutter", "Reassembly"]

_HEADER: Final = struct.Struct(">QQBI")
HEADER_SIZE: Final = _HEADER.size
"""Bytes in front of each piece: object, fragment, flags, length of the piece."""

MAX_OBJECT: Final = 10 * 1024 * 1024
"""Longest message in bytes: MaximumReceivedObjectSizeMB of Windows' session configurations."""

_START: Final = 1
_END: Final = 2
_SECTION: Final = "[MS-PSRP] 2.2.4"


def _refuse(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"PowerShell remoting: {reason}", section=_SECTION)


@dataclass(slots=True)
class Reassembly:
    """Puts the fragments of one stream together. They come in their order, one object after the other.

    Attributes:
        max_object: bytes of the longest message.
    """

    max_object: int = MAX_OBJECT
    _object: int | None = None
    _next: int = 0
    _kept: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def size(self) -> int:
        """Bytes that are kept of a message that is not whole yet."""
        return len(self._kept)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that `data`, some whole fragments, completes.

        Raises:
            RemoteProtocolError: what came is not a fragment, is not the next one, or makes a message too long.
        """
        messages = []
        view = memoryview(data)
        while view:
            if len(view) < HEADER_SIZE:
                raise _refuse(f"{len(view)} bytes are too few for the header of a fragment, which has {HEADER_SIZE}")
            number, fragment, flags, length = _HEADER.unpack_from(view)
            if length > len(view) - HEADER_SIZE:
                raise _refuse(f"a fragment of {length} bytes, of which {len(view) - HEADER_SIZE} came")
            whole = self._add(number, fragment, flags, view[HEADER_SIZE : HEADER_SIZE + length])
            if whole is not None:
                messages.append(whole)
            view = view[HEADER_SIZE + length :]
        return messages

    def _add(self, number: int, fragment: int, flags: int, piece: memoryview) -> bytes | None:
        if bool(flags & _START) != (self._object is None) or bool(flags & _START) != (fragment == 0):
            raise _refuse("a fragment that starts a message before the last one ended, or none that starts it")
        if self._object is None:
            self._object, self._next = number, 0
        if number != self._object or fragment != self._next:
            raise _refuse(f"fragment {fragment} of object {number}, expected {self._next} of {self._object}")
        if len(self._kept) + len(piece) > self.max_object:
            raise _refuse(f"a message of more than {self.max_object} bytes")
        self._kept += piece
        self._next += 1
        if not flags & _END:
            return None
        whole = bytes(self._kept)
        self._object, self._kept = None, bytearray()
        return whole


@dataclass(slots=True)
class Cutter:
    """Cuts one message into fragments, each of the size that there is room for.

    Attributes:
        number: the ObjectId, which no other message of this runspace pool has.
        message: the whole message.
    """

    number: int
    message: bytes = field(repr=False)
    _at: int = 0
    _next: int = 0

    @property
    def left(self) -> int:
        """Bytes of the message that were not cut off yet."""
        return len(self.message) - self._at

    @property
    def begun(self) -> bool:
        """Whether a fragment was cut off."""
        return self._next > 0

    def cut(self, size: int) -> bytes:
        """Return the next fragment, of at most `size` bytes with its header, which is more than `HEADER_SIZE`."""
        piece = self.message[self._at : self._at + size - HEADER_SIZE]
        flags = (_START if self._next == 0 else 0) | (_END if self._at + len(piece) == len(self.message) else 0)
        header = _HEADER.pack(self.number, self._next, flags, len(piece))
        self._at += len(piece)
        self._next += 1
        return header + piece

"""Where one TSRequest ends and the next begins ([MS-CSSP] 2.2.1).

There is no framing but the outer SEQUENCE itself: the first two to five bytes say how long the message is. They are
judged before the rest is waited for, so that a peer that speaks another protocol, or announces gigabytes, is
refused at its first bytes. A message may come in any number of TLS records; what comes after the last one belongs
to the application (`TSRequestBuffer.take_rest`).
"""

from __future__ import annotations

from typing import Final

from credssp.errors import DecodeError, LimitExceededError
from credssp.wire.der import MAX_LENGTH_OCTETS, Tag
from credssp.wire.tolerant import MAX_MESSAGE_SIZE

__all__ = ["TSRequestBuffer"]

_SECTION: Final = "[MS-CSSP] 2.2.1"


class TSRequestBuffer:
    """Cuts a stream of decrypted bytes into messages; looks at nothing but the outer length.

    Lengths need not be the shortest form: rdesktop writes ``30 82 00 85``.
    """

    __slots__ = ("_data", "_max_size", "_total")

    def __init__(self, max_size: int = MAX_MESSAGE_SIZE) -> None:
        """Make an empty buffer for messages of at most `max_size` bytes, header included."""
        self._data = bytearray()
        self._max_size = max_size
        self._total = 0  # size of the current message, 0 as long as its header is not there

    def __len__(self) -> int:
        """How many bytes are held."""
        return len(self._data)

    @property
    def missing(self) -> int:
        """How many bytes the current message still needs; while its header is not complete, what that needs."""
        held = len(self._data)
        if self._total:
            return max(self._total - held, 0)
        if held < 2:
            return 2 - held
        return max(2 + (self._data[1] & 0x7F) - held, 0) if self._data[1] >= 0x80 else 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Append what came in.

        Raises:
            DecodeError: the current message does not begin like a TSRequest.
            LimitExceededError: it is going to be larger than `max_size`.
        """
        self._data += data
        if not self._total:
            self._measure()

    def next_message(self) -> bytes | None:
        """Take out the next message, or None as long as it is not complete.

        Raises:
            DecodeError: it does not begin like a TSRequest. Call `take_rest` instead once the exchange is over.
            LimitExceededError: it is going to be larger than `max_size`.
        """
        data = self._data
        if not data:
            return None
        if not self._total:
            self._measure()
        total = self._total
        if not total or len(data) < total:
            return None
        message = bytes(memoryview(data)[:total])
        del data[:total]
        self._total = 0
        return message

    def take_rest(self) -> bytes:
        """Take out everything that is held."""
        rest = bytes(self._data)
        self._data.clear()
        self._total = 0
        return rest

    def _measure(self) -> None:
        """Find out how long the current message is, as soon as its header is there."""
        data = self._data
        if not data:
            return
        if data[0] != Tag.SEQUENCE:
            raise _not_a_message(f"first byte 0x{data[0]:02X} where a SEQUENCE (0x30) belongs", 0)
        if len(data) < 2:
            return
        header, length = 2, data[1]
        if length >= 0x80:
            count = length & 0x7F
            if not count:
                raise _not_a_message("indefinite length", 1)
            if count > MAX_LENGTH_OCTETS:
                raise _not_a_message(f"length of {count} bytes, at most {MAX_LENGTH_OCTETS} are read", 1)
            header += count
            if len(data) < header:
                return
            length = int.from_bytes(data[2:header], "big")
        if header + length > self._max_size:
            raise LimitExceededError(
                f"TSRequest: {header + length} bytes announced, the limit is {self._max_size}", section=_SECTION
            )
        self._total = header + length


def _not_a_message(message: str, offset: int) -> DecodeError:
    return DecodeError(message, field="TSRequest", offset=offset, section=_SECTION)

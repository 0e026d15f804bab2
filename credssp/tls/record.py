"""Just enough of the TLS record layer (RFC 8446 section 5.1) to know where records end.

The ssl module hides record borders, but three callers need them: `SEC_E_INCOMPLETE_MESSAGE` with the number of bytes
still missing, HTTP bodies whose ciphertext must not be mistaken for markup, and the trailer lengths of SSPI.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from credssp.errors import RemoteProtocolError

__all__ = [
    "HEADER_SIZE",
    "MAX_PLAINTEXT",
    "RecordTracker",
    "begins_encryption",
    "end_of_records",
    "has_handshake",
    "measure_record",
]

HEADER_SIZE: Final = 5
"""Bytes in front of every record: content type, two of version, two of length (big-endian)."""

MAX_PLAINTEXT: Final = 16384
"""Bytes of plaintext that one record holds at most (RFC 8446 section 5.1)."""


_MAX_CIPHERTEXT: Final = MAX_PLAINTEXT + 2048
"""Bytes of a protected record at most (RFC 5246 section 6.2.3; RFC 8446 allows 256 above the plaintext only)."""

_CONTENT_TYPES: Final = range(20, 25)
_ENCRYPTION_BEGINS: Final = (20, 23)
"""change_cipher_spec, after which TLS 1.2 encrypts, and application_data, as which TLS 1.3 encrypts everything."""


_HANDSHAKE: Final = (20, 22)
"""change_cipher_spec and handshake."""


def measure_record(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Return how many bytes the record that begins at `start` has, header included; 0 while the header is not there.

    Raises:
        RemoteProtocolError: no TLS record begins like that, or it is longer than any may be.
    """
    if len(data) <= start:
        return 0
    if data[start] not in _CONTENT_TYPES or (len(data) > start + 1 and data[start + 1] != 3):
        raise RemoteProtocolError(
            f"0x{data[start]:02X} where a TLS record begins: not TLS, or bytes were lost", section="RFC 8446 5.1"
        )
    if len(data) < start + HEADER_SIZE:
        return 0
    length = int.from_bytes(data[start + 3 : start + 5], "big")
    if length > _MAX_CIPHERTEXT:
        raise RemoteProtocolError(f"a TLS record of {length} bytes; no record is that long", section="RFC 8446 5.2")
    return HEADER_SIZE + length


def begins_encryption(data: bytes) -> bool:
    """Whether one of these records of our own is encrypted, or says that the next ones are."""
    return any(kind in _ENCRYPTION_BEGINS for kind in _content_types(data))


def has_handshake(data: bytes) -> bool:
    """Whether one of these records belongs to the handshake and is not encrypted, or is a change of keys."""
    return any(kind in _HANDSHAKE for kind in _content_types(data))


def _content_types(data: bytes) -> Iterator[int]:
    start = 0
    while start + HEADER_SIZE <= len(data):
        yield data[start]
        start += HEADER_SIZE + int.from_bytes(data[start + 3 : start + 5], "big")


def end_of_records(data: bytes, start: int = 0, *, at_most: int = 1 << 30) -> int:
    """Return where the whole records from `start` on end, or the first `at_most` of them.

    Raises:
        RemoteProtocolError: as `measure_record`.
    """
    end = len(data)
    while at_most and start + HEADER_SIZE <= end:
        size = HEADER_SIZE + (data[start + 3] << 8 | data[start + 4])
        if data[start + 1] != 3 or data[start] not in _CONTENT_TYPES or size > HEADER_SIZE + _MAX_CIPHERTEXT:
            measure_record(data, start)  # says what is wrong
        if start + size > end:
            return start
        start += size
        at_most -= 1
    if at_most and start < end:
        measure_record(data, start)  # what there is of a header must be one
    return start


class RecordTracker:
    """Follows a stream of records byte by byte, keeping none of them.

    It judges nothing: a stream that is not TLS only gives a meaningless `missing`, and OpenSSL refuses it anyway.

    Attributes:
        count: records that have begun.
    """

    __slots__ = ("_header", "_remaining", "count")

    def __init__(self) -> None:
        self._header = b""
        self._remaining = 0
        self.count = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream, split anywhere."""
        if self._header:
            data = self._header + data
            self._header = b""
        position, end = self._remaining, len(data)
        while position + HEADER_SIZE <= end:
            position += HEADER_SIZE + (data[position + 3] << 8 | data[position + 4])
            self.count += 1
        self._remaining = max(position - end, 0)
        if position < end:
            self._header = bytes(data[position:])

    @property
    def missing(self) -> int:
        """Bytes until the record that has begun is whole; 0 between records.

        While the header is not whole yet, this counts the rest of the header only.
        """
        if self._header:
            return HEADER_SIZE - len(self._header)
        return self._remaining

"""Just enough of the TLS record layer (RFC 8446 section 5.1) to know where records end.

The ssl module hides record borders, but three callers need them: `SEC_E_INCOMPLETE_MESSAGE` with the number of octets
still missing, HTTP bodies whose ciphertext must not be mistaken for markup, and the trailer lengths of SSPI.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HEADER_SIZE", "MAX_PLAINTEXT", "RecordTracker"]

HEADER_SIZE: Final = 5
"""Octets in front of every record: content type, two of version, two of length (big-endian)."""

MAX_PLAINTEXT: Final = 16384
"""Octets of plaintext that one record holds at most (RFC 8446 section 5.1)."""


class RecordTracker:
    """Follows a stream of records octet by octet, keeping none of them.

    It judges nothing: a stream that is not TLS only gives a meaningless `missing`, and OpenSSL refuses it anyway.
    """

    __slots__ = ("_header", "_remaining")

    def __init__(self) -> None:
        self._header = b""
        self._remaining = 0

    def feed(self, data: bytes) -> None:
        """Take the next octets of the stream, split anywhere."""
        position = 0
        end = len(data)
        while position < end:
            if self._remaining:
                step = min(self._remaining, end - position)
                self._remaining -= step
                position += step
                continue
            need = HEADER_SIZE - len(self._header)
            self._header += data[position : position + need]
            position += need
            if len(self._header) == HEADER_SIZE:
                self._remaining = int.from_bytes(self._header[3:5], "big")
                self._header = b""

    @property
    def missing(self) -> int:
        """Octets until the record that has begun is whole; 0 between records.

        While the header is not whole yet, this counts the rest of the header only.
        """
        if self._header:
            return HEADER_SIZE - len(self._header)
        return self._remaining

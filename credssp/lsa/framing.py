"""Messages in a stream: four bytes with the length of the message, big-endian, then the message."""

from __future__ import annotations

from typing import Final

from credssp.errors import LimitExceededError
from credssp.lsa.messages import MAX_SIZE

__all__ = ["HEADER", "frame", "size_of"]

HEADER: Final = 4
"""Bytes in front of a message."""


def frame(message: bytes) -> bytes:
    """Return a message with its length in front."""
    return len(message).to_bytes(HEADER, "big") + message


def size_of(header: bytes, *, limit: int = MAX_SIZE) -> int:
    """Return how long the message after these four bytes is.

    Raises:
        LimitExceededError: longer than `limit`, or empty; nothing of it was read.
    """
    size = int.from_bytes(header, "big")
    if not 0 < size <= limit:
        raise LimitExceededError(f"a message of {size} bytes was announced; from 1 to {limit} are legal")
    return size

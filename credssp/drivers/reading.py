"""Where asyncio reads to: one buffer for each event loop, and not one for each connection.

An event loop that waits with a selector reads one socket at a time, and what it read is copied before it reads the next
one. So all its connections share a buffer, and a connection that is silent costs none. Other loops (Windows' own,
uvloop) may fill several buffers at once: there each connection has its own, from the first read on.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Final

__all__ = ["BufferedReading", "read_buffer"]

_SHARED: Final = 256 * 1024
"""Bytes of a shared buffer: more than a socket has at once with usual settings."""

_OWN: Final = 64 * 1024
"""Bytes of a buffer that belongs to one connection."""

_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = weakref.WeakKeyDictionary()


def read_buffer() -> memoryview:
    """Return a buffer for a connection of the running event loop; what is in it is copied before anything else runs."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.SelectorEventLoop):
        return memoryview(bytearray(_OWN))
    held = _buffers.get(loop)
    if held is None:
        held = _buffers[loop] = memoryview(bytearray(_SHARED))
    return held


class BufferedReading(asyncio.BufferedProtocol):
    """A protocol that gets what was read as bytes, without a buffer of its own."""

    _buffer: memoryview | None = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the loop has no idea either
        """Return where the next bytes go."""
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = read_buffer()
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.data_received(bytes(self.get_buffer(nbytes)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        raise NotImplementedError  # pragma: no cover  # abstract

"""What the connections of an event loop share: where it reads to, and the queues of their TLS channels.

An event loop that waits with a selector reads one socket at a time, and what it read is copied before it reads the next
one. So all its connections share a buffer, and a connection that is silent costs none. Other loops (Windows' own,
uvloop) may fill several buffers at once: there each connection has its own, from the first read on.

Their TLS channels take turns on any loop (`credssp.tls.queues`).
"""

from __future__ import annotations

import asyncio
import weakref
from typing import ClassVar, Final

from credssp.tls.queues import SharedQueues

__all__ = ["BufferedReading", "loop_queues", "read_buffer"]

_SHARED: Final = 256 * 1024
"""Bytes of a shared buffer: more than a socket has at once with usual settings."""

_OWN: Final = 64 * 1024
"""Bytes of a buffer that belongs to one connection."""

_queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SharedQueues] = weakref.WeakKeyDictionary()

_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, memoryview]] = weakref.WeakKeyDictionary()


def read_buffer(size: int = _SHARED) -> memoryview:
    """Return a buffer for a connection of the running event loop; what is in it is used before anything else runs.

    Args:
        size: bytes; those who ask for the same share one.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.SelectorEventLoop):
        return memoryview(bytearray(_OWN))
    held = _buffers.setdefault(loop, {})
    if size not in held:
        held[size] = memoryview(bytearray(size))
    return held[size]


def loop_queues() -> SharedQueues:
    """Return the queues of the running event loop; TLS channels that are made inside of ``with`` share them."""
    loop = asyncio.get_running_loop()
    held = _queues.get(loop)
    if held is None:
        held = _queues[loop] = SharedQueues()
    return held


class BufferedReading(asyncio.BufferedProtocol):
    """A protocol that gets what was read as bytes, without a buffer of its own."""

    _buffer: memoryview | None = None
    _read_size: ClassVar[int] = _SHARED

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the loop has no idea either
        """Return where the next bytes go."""
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = read_buffer(self._read_size)
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.data_received(bytes(self.get_buffer(nbytes)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        raise NotImplementedError  # pragma: no cover  # abstract

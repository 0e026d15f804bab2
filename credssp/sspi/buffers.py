"""SecBuffer and SecBufferDesc: how bytes cross the border between a program and a package.

As in C, a buffer is memory that the caller owns (`SecBuffer.buffer`, pvBuffer) and a count (`SecBuffer.size`,
cbBuffer). Calls write into the memory and change count and type; they never replace it, with two exceptions that
Windows has as well: memory that the package allocates (ISC_REQ_ALLOCATE_MEMORY) and the views that DecryptMessage
points into the caller's own bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from credssp.sspi.auth_data import SecWinntAuthIdentity
from credssp.sspi.errors import bad_token

__all__ = [
    "SECBUFFER_ALERT",
    "SECBUFFER_APPLICATION_PROTOCOLS",
    "SECBUFFER_ATTRMASK",
    "SECBUFFER_CHANGE_PASS_RESPONSE",
    "SECBUFFER_CHANNEL_BINDINGS",
    "SECBUFFER_DATA",
    "SECBUFFER_EMPTY",
    "SECBUFFER_EXTRA",
    "SECBUFFER_MECHLIST",
    "SECBUFFER_MECHLIST_SIGNATURE",
    "SECBUFFER_MISSING",
    "SECBUFFER_NEGOTIATION_INFO",
    "SECBUFFER_PADDING",
    "SECBUFFER_PKG_PARAMS",
    "SECBUFFER_READONLY",
    "SECBUFFER_READONLY_WITH_CHECKSUM",
    "SECBUFFER_RESERVED",
    "SECBUFFER_STREAM",
    "SECBUFFER_STREAM_HEADER",
    "SECBUFFER_STREAM_TRAILER",
    "SECBUFFER_TARGET",
    "SECBUFFER_TARGET_HOST",
    "SECBUFFER_TOKEN",
    "SECBUFFER_VERSION",
    "ContextBuffer",
    "SecBuffer",
    "SecBufferDesc",
    "buffer_type_name",
]

SECBUFFER_VERSION: Final = 0

SECBUFFER_EMPTY: Final = 0
SECBUFFER_DATA: Final = 1
SECBUFFER_TOKEN: Final = 2
SECBUFFER_PKG_PARAMS: Final = 3
SECBUFFER_MISSING: Final = 4
SECBUFFER_EXTRA: Final = 5
SECBUFFER_STREAM_TRAILER: Final = 6
SECBUFFER_STREAM_HEADER: Final = 7
SECBUFFER_NEGOTIATION_INFO: Final = 8
SECBUFFER_PADDING: Final = 9
SECBUFFER_STREAM: Final = 10
SECBUFFER_MECHLIST: Final = 11
SECBUFFER_MECHLIST_SIGNATURE: Final = 12
SECBUFFER_TARGET: Final = 13
SECBUFFER_CHANNEL_BINDINGS: Final = 14
SECBUFFER_CHANGE_PASS_RESPONSE: Final = 15
SECBUFFER_TARGET_HOST: Final = 16
SECBUFFER_ALERT: Final = 17
SECBUFFER_APPLICATION_PROTOCOLS: Final = 18

SECBUFFER_READONLY: Final = 0x80000000
SECBUFFER_READONLY_WITH_CHECKSUM: Final = 0x10000000
SECBUFFER_RESERVED: Final = 0x60000000
SECBUFFER_ATTRMASK: Final = 0xF0000000

_NAMES: Final = {
    number: name
    for name, number in list(globals().items())
    if name.startswith("SECBUFFER_") and isinstance(number, int) and (number or name == "SECBUFFER_EMPTY")
}


def buffer_type_name(buffer_type: object) -> str:
    """Return the name of a type of buffer, such as ``SECBUFFER_TOKEN``; ``?`` for what is not a number."""
    if not isinstance(buffer_type, int):
        return "?"  # a program may have put anything in, and an error names the buffer
    return _NAMES.get(buffer_type & ~SECBUFFER_ATTRMASK, str(buffer_type))


class ContextBuffer(bytearray):
    """Memory that a package allocated; give it back with `free_context_buffer`, which wipes it.

    Attributes:
        freed: whether that happened.
    """

    freed = False

    def __repr__(self) -> str:
        return f"<{len(self)} bytes{', freed' if self.freed else ''}>"

    def free(self) -> None:
        """Wipe the contents and mark it as given back."""
        self[:] = bytes(len(self))
        self.freed = True


Memory: TypeAlias = bytes | bytearray | memoryview


class SecBuffer:
    """SecBuffer: a typed piece of memory.

    Attributes:
        buffer_type: BufferType, one of the ``SECBUFFER_...`` numbers, with attribute bits.
        buffer: pvBuffer, the memory, or None. What a call writes into must be a `bytearray` or a writable `memoryview`.
        size: cbBuffer, how many bytes of it count; for MISSING and EXTRA a number without memory.
        identity: for PKG_PARAMS, a SEC_WINNT_AUTH_IDENTITY, given in the place of memory.
    """

    __slots__ = ("buffer", "buffer_type", "identity", "size")

    def __init__(
        self,
        buffer_type: int = SECBUFFER_EMPTY,
        buffer: Memory | SecWinntAuthIdentity | None = None,
        size: int | None = None,
    ) -> None:
        self.buffer_type = buffer_type
        self.identity: SecWinntAuthIdentity | None = None
        self.buffer: Memory | None = None
        if isinstance(buffer, SecWinntAuthIdentity):
            self.identity = buffer
        else:
            self.buffer = buffer
        try:
            self.size = (0 if self.buffer is None else len(self.buffer)) if size is None else size
        except TypeError:
            raise TypeError(f"buffer: memory, not a {type(buffer).__name__}") from None

    @property
    def kind(self) -> int:
        """The BufferType without its attribute bits."""
        return self.buffer_type & ~SECBUFFER_ATTRMASK

    @property
    def data(self) -> bytes:
        """The bytes that count; empty where there is no memory."""
        buffer = self.buffer
        if buffer is None:
            return b""
        if self.size == len(buffer):
            return buffer if type(buffer) is bytes else bytes(buffer)
        return bytes(memoryview(buffer)[: self.size])

    def octets(self, parameter: str) -> bytes:
        """Return the bytes that count, checked as `view` does."""
        buffer = self.buffer
        if type(buffer) is bytes and self.size == len(buffer):
            return buffer
        return bytes(self.view(parameter))

    def view(self, parameter: str) -> memoryview:
        """Return the bytes that count, without a copy.

        Raises:
            SSPIError: SEC_E_INVALID_TOKEN, the memory or the count is of no use.
        """
        buffer, size = self.buffer, self.size
        if type(buffer) is bytearray and size == len(buffer):  # the usual case, at a fifth of the time
            return memoryview(buffer)
        if buffer is None:
            if size:
                raise bad_token(parameter, f"cbBuffer is {size} but pvBuffer is NULL")
            return memoryview(b"")
        try:
            view = memoryview(buffer)
        except TypeError:
            raise bad_token(parameter, f"pvBuffer is a {type(buffer).__name__}, not bytes") from None
        if view.format != "B" or view.ndim != 1 or not view.contiguous:
            raise bad_token(parameter, "pvBuffer is not a row of bytes")
        if not isinstance(size, int) or not 0 <= size <= len(view):
            raise bad_token(parameter, f"cbBuffer is {size!r}, pvBuffer has {len(view)} bytes")
        return view if size == len(view) else view[:size]

    def writable(self, parameter: str) -> memoryview:
        """Return the bytes that count, to write into them.

        Raises:
            SSPIError: SEC_E_INVALID_TOKEN, as `view`, or the memory is read-only.
        """
        view = self.view(parameter)
        if not view:
            return memoryview(bytearray())  # writing nothing to it is allowed
        if view.readonly:
            raise bad_token(parameter, "pvBuffer is read-only: use a bytearray")
        return view

    def fill(self, buffer_type: int, buffer: Memory | None, size: int | None = None) -> None:
        """Make it another type of buffer with other memory; `size` is for types that are a number without any."""
        self.buffer_type, self.buffer = buffer_type, buffer
        self.size = (0 if buffer is None else len(buffer)) if size is None else size

    def clear(self) -> None:
        """Make it EMPTY, without memory."""
        self.fill(SECBUFFER_EMPTY, None)

    def __repr__(self) -> str:
        return f"SecBuffer({buffer_type_name(self.buffer_type)}, {self.size} bytes)"


class SecBufferDesc:
    """SecBufferDesc: an array of buffers.

    Attributes:
        version: ulVersion, SECBUFFER_VERSION.
        buffers: pBuffers; their number is cBuffers.
    """

    __slots__ = ("buffers", "version")

    def __init__(self, buffers: Iterable[SecBuffer] = (), *, version: int = SECBUFFER_VERSION) -> None:
        self.buffers = list(buffers)
        self.version = version

    def __iter__(self) -> Iterator[SecBuffer]:
        return iter(self.buffers)

    def __len__(self) -> int:
        return len(self.buffers)

    def __getitem__(self, index: int) -> SecBuffer:
        return self.buffers[index]

    def __repr__(self) -> str:
        return f"SecBufferDesc({self.buffers!r})"


NEW_OUTPUT: Final = SecBufferDesc()
"""Default of pOutput: the package allocates the token."""


def buffers_of(desc: object, parameter: str) -> list[SecBuffer]:
    """Return the buffers of an argument.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is not a SecBufferDesc of version 0, or holds something other than buffers.
    """
    if not isinstance(desc, SecBufferDesc):
        raise bad_token(parameter, f"a SecBufferDesc belongs here, not a {type(desc).__name__}")
    if desc.version != SECBUFFER_VERSION:
        raise bad_token(parameter, "ulVersion is not SECBUFFER_VERSION")
    for number, buffer in enumerate(desc.buffers):
        if type(buffer) is not SecBuffer or type(buffer.buffer_type) is not int:
            raise bad_token(f"{parameter}[{number}]", "this is not a SecBuffer")
    return desc.buffers

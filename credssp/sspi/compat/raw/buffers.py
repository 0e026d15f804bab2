"""SecBuffer, SecBufferDesc and channel bindings as `sspilib.raw` has them, on the buffers of `credssp.sspi`."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import Any, Final

from credssp.sspi import buffers as b
from credssp.sspi.compat.families import enumeration, flags, numbers

__all__ = ["SECBUFFER_VERSION", "SecBuffer", "SecBufferDesc", "SecBufferFlags", "SecBufferType", "SecChannelBindings"]

SECBUFFER_VERSION: Final = b.SECBUFFER_VERSION

# Newer buffers of Schannel (sspi.h); no package here reads them.
_NEWER: Final = (
    "SRTP_PROTECTION_PROFILES",
    "SRTP_MASTER_KEY_IDENTIFIER",
    "TOKEN_BINDING",
    "PRESHARED_KEY",
    "PRESHARED_KEY_IDENTITY",
    "DTLS_MTU",
    "SEND_GENERIC_TLS_EXTENSION",
    "SUBSCRIBE_GENERIC_TLS_EXTENSION",
    "FLAGS",
    "TRAFFIC_SECRETS",
    "CERTIFICATE_REQUEST_CONTEXT",
)
_FAMILY: Final = numbers("SECBUFFER_", b)
_ATTRIBUTES: Final = (
    "SECBUFFER_ATTRMASK",
    "SECBUFFER_READONLY",
    "SECBUFFER_READONLY_WITH_CHECKSUM",
    "SECBUFFER_RESERVED",
)

SecBufferFlags: Final = flags(
    "SecBufferFlags", __name__, {"SECBUFFER_NONE": 0} | {name: _FAMILY[name] for name in _ATTRIBUTES}
)
"""The attribute bits of a BufferType."""
SecBufferType: Final = enumeration(
    "SecBufferType",
    __name__,
    {name: number for name, number in _FAMILY.items() if number < 32 and name != "SECBUFFER_VERSION"}
    | {f"SECBUFFER_{name}": number for number, name in enumerate(_NEWER, 19)},
)
"""BufferType without attribute bits."""

Writable = bytearray | memoryview


class SecBuffer:
    """A typed piece of memory, which the program owns and calls write into.

    Args:
        data: a bytearray or a writable memoryview; None or empty for a buffer without memory.
        buffer_type: a `SecBufferType`.
        buffer_flags: `SecBufferFlags`.

    Attributes:
        native: the same buffer, as `credssp.sspi` knows it.
    """

    __slots__ = ("native",)

    def __init__(self, data: Writable | None, buffer_type: int, buffer_flags: int = 0) -> None:
        memory: memoryview | None = None
        if data is not None:
            view = memoryview(data)
            if view.readonly:
                raise ValueError("data must be writable: a bytearray or a writable memoryview")
            memory = view.cast("B") if len(view) else None
        self.native = b.SecBuffer((int(buffer_type) | int(buffer_flags)) & 0xFFFFFFFF, memory)

    @property
    def count(self) -> int:
        """How many bytes count (cbBuffer)."""
        return self.native.size

    @property
    def data(self) -> bytes:
        """A copy of the bytes that count."""
        return self.native.data

    @property
    def buffer_type(self) -> enum.IntEnum:
        """The type, a `SecBufferType`."""
        return SecBufferType(self.native.kind)

    @property
    def buffer_flags(self) -> enum.IntFlag:
        """The attribute bits, `SecBufferFlags`."""
        return SecBufferFlags(self.native.buffer_type & b.SECBUFFER_ATTRMASK)

    def dangerous_get_view(self) -> memoryview[Any]:
        """Return the bytes that count, without a copy; its items are `bytes` of length 1, as sspilib's are.

        Here the view stays valid as long as the program holds it.
        """
        memory = self.native.buffer
        if memory is None or not self.native.size:
            return memoryview(b"")
        return memoryview(memory)[: self.native.size].cast("c")

    def __str__(self) -> str:
        parts = [self.buffer_type.name, self.buffer_flags.name if self.buffer_flags else None]
        return "|".join(part for part in parts if part)

    def __repr__(self) -> str:
        # Not the contents: they are tokens, plaintext or keys.
        return f"SecBuffer({self}, {self.count} bytes)"


class SecBufferDesc:
    """An array of buffers.

    Args:
        buffers: the buffers.
        version: ulVersion.
    """

    __slots__ = ("_buffers", "version")

    def __init__(self, buffers: list[SecBuffer], *, version: int = SECBUFFER_VERSION) -> None:
        for buffer in buffers:
            if not isinstance(buffer, SecBuffer):
                raise TypeError(f"buffers holds a {type(buffer).__name__}, not a SecBuffer")
        self._buffers = buffers
        self.version = version

    @property
    def native(self) -> b.SecBufferDesc:
        """The same buffers, as `credssp.sspi` takes them."""
        return b.SecBufferDesc([buffer.native for buffer in self._buffers], version=self.version)

    def __iter__(self) -> Iterator[SecBuffer]:
        return iter(self._buffers)

    def __len__(self) -> int:
        return len(self._buffers)

    def __getitem__(self, key: int) -> SecBuffer:
        return self._buffers[key]


# SEC_CHANNEL_BINDINGS: type, length and offset of both addresses, length and offset of the application's data.
_BINDINGS: Final = struct.Struct("<8I")


class SecChannelBindings:
    """SEC_CHANNEL_BINDINGS, what a login is bound to.

    Args:
        initiator_addr_type: dwInitiatorAddrType.
        initiator_addr: the client's address, or None.
        acceptor_addr_type: dwAcceptorAddrType.
        acceptor_addr: the server's address, or None.
        application_data: such as ``tls-server-end-point:`` and a hash (RFC 5929), or None.
    """

    __slots__ = ("_memory",)

    def __init__(
        self,
        *,
        initiator_addr_type: int = 0,
        initiator_addr: bytes | bytearray | memoryview | None = None,
        acceptor_addr_type: int = 0,
        acceptor_addr: bytes | bytearray | memoryview | None = None,
        application_data: bytes | bytearray | memoryview | None = None,
    ) -> None:
        tail = b""
        places: list[tuple[int, int]] = []
        for part in (initiator_addr, acceptor_addr, application_data):
            places.append((0, 0) if part is None else (len(part), _BINDINGS.size + len(tail)))
            tail += b"" if part is None else bytes(part)
        head = _BINDINGS.pack(initiator_addr_type, *places[0], acceptor_addr_type, *places[1], *places[2])
        self._memory = bytearray(head + tail)

    def _part(self, index: int) -> bytes | None:
        """Return an address or the application's data by the place of its length in the header."""
        header = _BINDINGS.unpack_from(self._memory)
        size, offset = header[index : index + 2]
        return bytes(self._memory[offset : offset + size]) if offset else None

    @property
    def initiator_addr_type(self) -> int:
        """The kind of the client's address."""
        return int(_BINDINGS.unpack_from(self._memory)[0])

    @property
    def initiator_addr(self) -> bytes | None:
        """The client's address."""
        return self._part(1)

    @property
    def acceptor_addr_type(self) -> int:
        """The kind of the server's address."""
        return int(_BINDINGS.unpack_from(self._memory)[3])

    @property
    def acceptor_addr(self) -> bytes | None:
        """The server's address."""
        return self._part(4)

    @property
    def application_data(self) -> bytes | None:
        """The application's data."""
        return self._part(6)

    def get_sec_buffer_copy(self) -> SecBuffer:
        """Return a SECBUFFER_CHANNEL_BINDINGS with a copy of the structure."""
        return SecBuffer(bytearray(self._memory), b.SECBUFFER_CHANNEL_BINDINGS)

    def dangerous_get_sec_buffer(self) -> SecBuffer:
        """Return a SECBUFFER_CHANNEL_BINDINGS on the structure itself: what is written there changes it."""
        return SecBuffer(self._memory, b.SECBUFFER_CHANNEL_BINDINGS)

    def __repr__(self) -> str:
        names = ("initiator_addr_type", "initiator_addr", "acceptor_addr_type", "acceptor_addr", "application_data")
        return f"SecChannelBindings({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

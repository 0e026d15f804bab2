"""The buffers of pywin32's `win32security`, on those of `credssp.sspi`."""

from __future__ import annotations

from collections.abc import Iterator

from credssp.sspi import buffers as b

__all__ = ["PySecBufferDescType", "PySecBufferType"]


class PySecBufferType:
    """A buffer of a fixed size.

    Args:
        BufferSize: bytes of memory.
        BufferType: ``SECBUFFER_...``.

    Attributes:
        native: the same buffer, as `credssp.sspi` knows it.
        MaxBufferSize: bytes of memory.
    """

    __slots__ = ("MaxBufferSize", "native")

    def __init__(self, BufferSize: int, BufferType: int) -> None:  # noqa: N803 - pywin32's names
        self.MaxBufferSize = BufferSize
        memory = bytearray(BufferSize) if BufferSize else None
        self.native = b.SecBuffer(BufferType & 0xFFFFFFFF, memory)

    @property
    def BufferType(self) -> int:  # noqa: N802
        """The type of the buffer, with attribute bits."""
        return self.native.buffer_type

    @BufferType.setter
    def BufferType(self, value: int) -> None:  # noqa: N802
        self.native.buffer_type = value & 0xFFFFFFFF

    @property
    def BufferSize(self) -> int:  # noqa: N802
        """How many bytes count."""
        return self.native.size

    @property
    def Buffer(self) -> bytes:  # noqa: N802
        """The bytes that count; shorter ones may be set."""
        return self.native.data

    @Buffer.setter
    def Buffer(self, value: bytes) -> None:  # noqa: N802
        if len(value) > self.MaxBufferSize:
            raise ValueError(f"Data size ({len(value)}) exceeds the size of the buffer ({self.MaxBufferSize})")
        memory = bytearray(self.MaxBufferSize)
        memory[: len(value)] = value
        self.native.buffer, self.native.size = memory, len(value)

    def Clear(self) -> None:  # noqa: N802
        """Fill the buffer with zeros; all of it counts again."""
        self.native.buffer, self.native.size = bytearray(self.MaxBufferSize), self.MaxBufferSize

    def __repr__(self) -> str:
        return f"PySecBufferType({self.native!r})"


class PySecBufferDescType:
    """An array of buffers.

    Args:
        Version: SECBUFFER_VERSION.

    Attributes:
        Version: the same.
    """

    __slots__ = ("Version", "_buffers")

    def __init__(self, Version: int = b.SECBUFFER_VERSION) -> None:  # noqa: N803
        self.Version = Version
        self._buffers: list[PySecBufferType] = []

    @property
    def Buffer(self) -> tuple[PySecBufferType, ...]:  # noqa: N802
        """The buffers."""
        return tuple(self._buffers)

    @property
    def native(self) -> b.SecBufferDesc:
        """The same buffers, as `credssp.sspi` takes them."""
        return b.SecBufferDesc([buffer.native for buffer in self._buffers], version=self.Version)

    def append(self, buffer: PySecBufferType) -> None:
        """Add a buffer."""
        self._buffers.append(_checked(buffer))

    def __len__(self) -> int:
        return len(self._buffers)

    def __iter__(self) -> Iterator[PySecBufferType]:
        return iter(self._buffers)

    def __getitem__(self, index: int) -> PySecBufferType:
        return self._buffers[index]

    def __setitem__(self, index: int, buffer: PySecBufferType) -> None:
        self._buffers[index] = _checked(buffer)


def _checked(buffer: object) -> PySecBufferType:
    if not isinstance(buffer, PySecBufferType):
        raise TypeError(f"a {type(buffer).__name__} is not a PySecBufferType")
    return buffer

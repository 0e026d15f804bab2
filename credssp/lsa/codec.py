"""Fields of the agent's messages: fixed order, big-endian numbers, every length bounded before it is believed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Generic, TypeVar

from credssp.errors import DecodeError, LocalProtocolError

__all__ = ["BlobField", "BlobsField", "Field", "FieldReader", "NumberField", "TextField"]

T = TypeVar("T")

_COUNT: Final = 2
"""Bytes of a count of items."""


class FieldReader:
    """Takes a message apart, from its start to its end.

    Attributes:
        offset: where it is, in bytes.
    """

    def __init__(self, data: bytes, *, name: str) -> None:
        self._data = data
        self._name = name
        self.offset = 0

    def error(self, field: str, message: str) -> DecodeError:
        """Return the error for a field."""
        return DecodeError(message, field=f"{self._name}.{field}", offset=self.offset)

    def take(self, size: int, field: str) -> bytes:
        """Return the next bytes. Raises DecodeError where there are fewer."""
        left = len(self._data) - self.offset
        if size > left:
            raise self.error(field, f"{size} bytes announced, {left} are left")
        start, self.offset = self.offset, self.offset + size
        return self._data[start : self.offset]

    def number(self, size: int, field: str) -> int:
        """Return a number of `size` bytes."""
        return int.from_bytes(self.take(size, field), "big")

    def end(self) -> None:
        """Raise DecodeError unless everything was taken."""
        if self.offset != len(self._data):
            raise self.error("end", f"{len(self._data) - self.offset} bytes after the last field")


class Field(ABC, Generic[T]):
    """How values of one field are written and read."""

    @abstractmethod
    def write(self, value: T, field: str) -> bytes:
        """Return a value's bytes. Raises LocalProtocolError for one that does not fit."""

    @abstractmethod
    def read(self, reader: FieldReader, field: str) -> T:
        """Return the next value. Raises DecodeError."""


class NumberField(Field[int]):
    """An unsigned number, from 0 to `highest`."""

    def __init__(self, size: int, *, highest: int | None = None) -> None:
        self._size = size
        self._highest = (1 << 8 * size) - 1 if highest is None else highest

    def write(self, value: int, field: str) -> bytes:
        """Return the bytes."""
        if not 0 <= value <= self._highest:
            raise LocalProtocolError(f"{field} is a number from 0 to {self._highest}")
        return int(value).to_bytes(self._size, "big")

    def read(self, reader: FieldReader, field: str) -> int:
        """Return the number."""
        value = reader.number(self._size, field)
        if value > self._highest:
            raise reader.error(field, f"{value}, at most {self._highest} is legal")
        return value


class BlobField(Field[bytes]):
    """Bytes, at most `limit`, after their number in four bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def write(self, value: bytes, field: str) -> bytes:
        """Return length and bytes."""
        if len(value) > self.limit:
            raise LocalProtocolError(f"{field} has {len(value)} bytes; the agent takes {self.limit}")
        return len(value).to_bytes(4, "big") + value

    def read(self, reader: FieldReader, field: str) -> bytes:
        """Return the bytes."""
        size = reader.number(4, field)
        if size > self.limit:
            raise reader.error(field, f"{size} bytes announced, the limit is {self.limit}")
        return reader.take(size, field)


class TextField(Field[str]):
    """Characters in UTF-8, at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._blob = BlobField(limit)

    def write(self, value: str, field: str) -> bytes:
        """Return length and UTF-8."""
        try:
            return self._blob.write(value.encode(), field)
        except UnicodeEncodeError:
            raise LocalProtocolError(f"{field} holds what is not a character") from None

    def read(self, reader: FieldReader, field: str) -> str:
        """Return the text."""
        try:
            return self._blob.read(reader, field).decode()
        except UnicodeDecodeError:
            raise reader.error(field, "not UTF-8") from None


class BlobsField(Field[tuple[bytes, ...]]):
    """At most `count` blobs of at most `limit` bytes each, after their number in two bytes."""

    def __init__(self, count: int, limit: int) -> None:
        self._count = count
        self._blob = BlobField(limit)

    def write(self, value: tuple[bytes, ...], field: str) -> bytes:
        """Return number and blobs."""
        if len(value) > self._count:
            raise LocalProtocolError(f"{field} has {len(value)} items; the agent takes {self._count}")
        return len(value).to_bytes(_COUNT, "big") + b"".join(self._blob.write(item, field) for item in value)

    def read(self, reader: FieldReader, field: str) -> tuple[bytes, ...]:
        """Return the blobs."""
        count = reader.number(_COUNT, field)
        if count > self._count:
            raise reader.error(field, f"{count} items announced, the limit is {self._count}")
        return tuple(self._blob.read(reader, field) for _ in range(count))

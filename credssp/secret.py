"""A value that must not be shown: passwords, PINs, hashes and session keys."""

from __future__ import annotations

import hmac
from typing import Generic, NoReturn, TypeVar

__all__ = ["MASK", "Secret"]

MASK = "********"
"""What is shown in place of a secret."""

T = TypeVar("T", str, bytes)


def _octets(value: str | bytes) -> bytes:
    return value.encode("utf-16-le", "surrogatepass") if isinstance(value, str) else value


class Secret(Generic[T]):
    """Holds a `str` or `bytes` that no log record, repr, exception text or pickle may contain.

    The only way to the value is `reveal()`, so that a search for that word finds every place where a secret
    leaves its box. Two secrets are compared in constant time (for equal lengths).
    """

    __slots__ = ("_value",)

    def __init__(self, value: T | Secret[T]) -> None:
        self._value: T = value._value if isinstance(value, Secret) else value

    def reveal(self) -> T:
        """Return the value itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if type(self._value) is not type(other._value):
            return False
        return hmac.compare_digest(_octets(self._value), _octets(other._value))

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret is an oracle for it

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied to another process")

    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: object) -> Secret[T]:
        return self

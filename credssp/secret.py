"""A value that must not be shown: passwords, PINs, hashes and session keys; and where else one could be seen."""

from __future__ import annotations

import contextlib
import functools
import hmac
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar

__all__ = ["MASK", "Secret", "forget_locals", "private", "private_methods"]

MASK = "********"
"""What is shown in place of a secret."""

T = TypeVar("T", str, bytes)


def _octets(value: str | bytes) -> bytes:
    return value.encode("utf-16-le", "surrogatepass") if isinstance(value, str) else value


class Secret(Generic[T]):
    """Holds a `str` or `bytes` that no log record, repr, exception text or pickle may contain.

    A copy (`copy.copy`, `copy.deepcopy`) is the same object: the value is in memory once. `pickle`, `__getstate__` and
    other ways to take it apart raise TypeError, and `dir()`, by which inspectors find attributes, does not name it.

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

    def __getstate__(self) -> NoReturn:
        raise TypeError("the state of a Secret is its value, which reveal() returns")

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if name != "_value"]

    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: object) -> Secret[T]:
        return self


P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type[Any])


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of all frames that an error has left, and those of its causes.

    Keys and passwords are local variables while somebody computes with them, and an exception keeps the frames that it
    leaves: error trackers, ``rich`` and `traceback.TracebackException` show what is in there. The lines stay.
    """
    errors = [error]
    for one in errors:  # grows while it is walked
        entry = one.__traceback__
        while entry is not None:
            with contextlib.suppress(RuntimeError):  # still running: its own function takes care of it
                entry.tb_frame.clear()
            entry = entry.tb_next
        errors.extend(cause for cause in (one.__cause__, one.__context__) if cause is not None and cause not in errors)


def private(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function whose arguments or local variables are secrets: none is seen in an error that it raises."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            forget_locals(error)
            del args, kwargs
            raise

    return call


def private_methods(*names: str) -> Callable[[C], C]:
    """Decorate a class some of whose methods are `private`.

    Args:
        names: which; all public ones where none is named.
    """

    def decorate(cls: C) -> C:
        chosen = names or [
            name for name, value in vars(cls).items() if isinstance(value, FunctionType) and name[0] != "_"
        ]
        for name in chosen:
            setattr(cls, name, private(getattr(cls, name)))
        return cls

    return decorate

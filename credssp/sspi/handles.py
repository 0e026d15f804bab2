"""Handles: what a program holds of a credential or a context, and the tables that say what it means.

A handle is two numbers that mean nothing to the program. It may be copied, as the C structure is; what it stands for
lives in a table here, until it is freed. Nothing is ever reached through the handle object itself, so an altered,
foreign or freed one only fails to be found.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, Self, TypeVar

from credssp.sspi.errors import SSPIError, bad_handle, refuse
from credssp.status import SecurityStatus

__all__ = [
    "INVALID",
    "NEW_CONTEXT",
    "NEW_CREDENTIAL",
    "CredHandle",
    "CtxtHandle",
    "HandleTable",
    "SecHandle",
    "Turns",
]

INVALID: Final = 0xFFFFFFFFFFFFFFFF
"""Both halves of a handle that stands for nothing (SecInvalidateHandle)."""

T = TypeVar("T")


class SecHandle:
    """SecHandle: an opaque pair of numbers; a new one is invalid.

    ``with`` frees what it stands for at the end, if a call has filled it in and nothing has freed it before.

    Attributes:
        lower: dwLower.
        upper: dwUpper.
    """

    __slots__ = ("_release", "lower", "upper")

    def __init__(self, lower: int = INVALID, upper: int = INVALID) -> None:
        self.lower = lower
        self.upper = upper
        # How to free it: for `with` alone, what it stands for is never reached through it.
        self._release: Callable[[Any], object] | None = None

    def __reduce__(self) -> tuple[type[SecHandle], tuple[int, int]]:
        return type(self), (self.lower, self.upper)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._release is not None and self.is_valid:
            # It may have been freed in the block, or gone with its package.
            with contextlib.suppress(SSPIError):
                self._release(self)

    @property
    def is_valid(self) -> bool:
        """Whether it is not the invalid one (SecIsValidHandle); says nothing about being freed."""
        return self.lower != INVALID or self.upper != INVALID

    @property
    def has_numbers(self) -> bool:
        """Whether it holds two numbers; a program may have put anything in."""
        return isinstance(self.lower, int) and isinstance(self.upper, int)

    def invalidate(self) -> None:
        """Make it the invalid one (SecInvalidateHandle)."""
        self.lower = self.upper = INVALID

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.lower, self.upper) == (other.lower, other.upper)

    def __hash__(self) -> int:
        return hash((self.lower, self.upper))

    def __repr__(self) -> str:
        name = type(self).__name__
        if not self.has_numbers:
            return f"{name}(?)"
        return f"{name}({self.lower:#x}, {self.upper:#x})" if self.is_valid else f"{name}()"


class CredHandle(SecHandle):
    """CredHandle: stands for a credential."""

    __slots__ = ()


class CtxtHandle(SecHandle):
    """CtxtHandle: stands for a security context."""

    __slots__ = ()


NEW_CREDENTIAL: Final = CredHandle()
"""Default of phCredential of AcquireCredentialsHandle: the call makes one."""
NEW_CONTEXT: Final = CtxtHandle()
"""Default of phNewContext: a first call makes one."""


class HandleTable(Generic[T]):
    """What the handles of one kind stand for; safe to use from several threads.

    Args:
        kind: their class.
        release: frees what a handle stands for, at the end of ``with``.
    """

    def __init__(self, kind: type[SecHandle], release: Callable[[Any], object] | None = None) -> None:
        self._kind = kind
        self._release = release
        self._items: dict[int, tuple[int, T]] = {}
        self._lock = threading.Lock()
        # Not from 0: a number made up by a program should not happen to be one of ours.
        self._first = self._next = 0x1000 + secrets.randbits(40)

    def add(self, handle: SecHandle, item: T, package_id: int) -> None:
        """Enter an item and fill in the handle."""
        with self._lock:
            number = self._next
            self._next += 1
            self._items[number] = package_id, item
        handle.lower, handle.upper = number, package_id
        handle._release = self._release

    def get(self, handle: object, parameter: str) -> T:
        """Return what a handle stands for. Raises SSPIError: SEC_E_INVALID_HANDLE."""
        if isinstance(handle, self._kind) and handle.has_numbers:
            found = self._items.get(handle.lower)
            if found is not None and found[0] == handle.upper:
                return found[1]
        raise self._invalid(handle, parameter)

    def remove(self, handle: object, parameter: str) -> T | None:
        """Take an item out; None if that was done before.

        Raises:
            SSPIError: SEC_E_INVALID_HANDLE, it never stood for anything.
        """
        if isinstance(handle, self._kind) and handle.has_numbers:
            with self._lock:
                found = self._items.get(handle.lower)
                if found is not None and found[0] == handle.upper:
                    del self._items[handle.lower]
                    return found[1]
                if found is None and self._first <= handle.lower < self._next:
                    return None
        raise self._invalid(handle, parameter)

    def drop_package(self, package_id: int) -> list[T]:
        """Take out and return everything that belongs to a package."""
        with self._lock:
            numbers = [number for number, (owner, _) in self._items.items() if owner == package_id]
            return [self._items.pop(number)[1] for number in numbers]

    def __len__(self) -> int:
        return len(self._items)

    def _invalid(self, handle: object, parameter: str) -> SSPIError:
        what = self._kind.__name__
        if not isinstance(handle, self._kind):
            problem = f"a {what} belongs here, not a {type(handle).__name__}"
        elif not handle.has_numbers:
            problem = f"this {what} holds something other than two numbers"
        elif not handle.is_valid:
            problem = f"this {what} was never filled in, or was invalidated"
        elif self._first <= handle.lower < self._next:
            problem = f"this {what} has been freed"
        else:
            problem = f"this {what} is not one of ours"
        return bad_handle(parameter, problem)


class Turn:
    """The right to work on a context, for the length of one call: a context manager.

    One exchange (ISC, ASC, control tokens, deletion) excludes everything. One encryption and one decryption may run
    side by side, as the documentation of EncryptMessage allows, but never two of a kind. A call at the wrong
    moment is refused (SEC_E_OUT_OF_SEQUENCE) and not kept waiting: two exchanges at once are a mistake of the program,
    and waiting would turn it into bytes in the wrong order.
    """

    __slots__ = ("_kind", "_locks")

    def __init__(self, kind: str, *locks: threading.Lock) -> None:
        self._kind = kind
        self._locks = locks

    def __enter__(self) -> None:
        for number, lock in enumerate(self._locks):
            if not lock.acquire(blocking=False):
                for held in self._locks[:number]:
                    held.release()
                raise refuse(
                    "phContext",
                    f"another thread is in a call on this context, which excludes this one ({self._kind}); "
                    "one at a time",
                    SecurityStatus.SEC_E_OUT_OF_SEQUENCE,
                )

    def __exit__(self, *error: object) -> None:
        for lock in self._locks:
            lock.release()


class Turns:
    """The turns of one context.

    Attributes:
        exchange: for a leg, or deletion.
        encrypt: for a message to be sent.
        decrypt: for a message received.
    """

    __slots__ = ("decrypt", "encrypt", "exchange")

    def __init__(self) -> None:
        sending, receiving = threading.Lock(), threading.Lock()
        self.exchange = Turn("exchange", sending, receiving)
        self.encrypt = Turn("encrypt", sending)
        self.decrypt = Turn("decrypt", receiving)

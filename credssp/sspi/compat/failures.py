"""How a failed call of SSPI reaches a program that was written for another module: as that module's own exception."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from credssp.sspi.errors import SSPIError
from credssp.status import describe

__all__ = ["WindowsError", "argument", "raising", "signed", "statement", "text_of", "windows_error"]

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")


def argument(name: str, value: V, *kinds: type) -> V:
    """Return an argument of one of these classes.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, kinds):
        raise TypeError(f"{name}: a {kinds[0].__name__} belongs here, not a {type(value).__name__}")
    return value


def signed(status: int) -> int:
    """Return a status as the signed 32-bit number that Windows' errors carry."""
    return (status & 0xFFFFFFFF) - ((status & 0x80000000) << 1)


def text_of(error: SSPIError) -> str:
    """Return the text of an error, with its status also where it names the NTSTATUS of a logon."""
    text, summary = str(error), describe(error.status).summary
    return text if summary in text else f"{text} ({summary})"


def statement(status: int) -> str:
    """Return name, number and meaning of a status, for statuses that no exception of ours belongs to."""
    info = describe(status)
    return f"{info.meaning} [{info.summary}]"


if sys.platform == "win32":
    from builtins import WindowsError

    def windows_error(status: int, text: str) -> WindowsError:
        """Return the exception for a status."""
        return WindowsError(0, text, None, signed(status))

else:

    class WindowsError(OSError):
        """What stands for Windows' own WindowsError where Python has none.

        Attributes:
            winerror: the status, a signed 32-bit number as on Windows.
        """

        def __init__(self, winerror: int, message: str = "") -> None:
            super().__init__(signed(winerror), message or statement(winerror))
            self.winerror = signed(winerror)

        def __reduce__(self) -> tuple[type[WindowsError], tuple[int, str]]:
            return type(self), (self.winerror, str(self.strerror))

    def windows_error(status: int, text: str) -> WindowsError:
        """Return the exception for a status."""
        return WindowsError(status, text)


def raising(make: Callable[[str, SSPIError], Exception]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: an SSPIError leaves the function as the exception that `make` returns, with its cause.

    Args:
        make: takes the name of the function and the error.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except SSPIError as error:
                raise make(function.__name__, error) from error

        return call

    return decorate

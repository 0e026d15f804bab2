"""What programs on SSPI use of pywin32's `pywintypes`: the exception."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["TimeType", "error", "time_of"]

TimeType = datetime
"""What `pywintypes` calls the class of its times."""

_START = datetime(1601, 1, 1, tzinfo=UTC)


class error(Exception):  # noqa: N801 - pywin32's name
    """A call failed; the arguments are the three attributes.

    Attributes:
        winerror: the status, a signed 32-bit number.
        funcname: the function that failed.
        strerror: what the status says.
    """

    def __init__(self, winerror: int, funcname: str, strerror: str) -> None:
        super().__init__(winerror, funcname, strerror)
        self.winerror, self.funcname, self.strerror = winerror, funcname, strerror


def time_of(timestamp: int) -> datetime:
    """Return the time of a TimeStamp, read as UTC as pywin32 reads it; the last possible one for "never"."""
    try:
        return _START + timedelta(microseconds=timestamp // 10)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)

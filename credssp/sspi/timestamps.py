"""TimeStamp: 100 ns since 1601, in local time by the convention of SSPI."""

from __future__ import annotations

import time

from credssp.sspi.tables import NO_EXPIRY

__all__ = ["timestamp"]

_EPOCH_1601 = 11644473600


def timestamp(seconds: float | None) -> int:
    """Return the TimeStamp for a time in seconds since 1970; None stands for never."""
    if seconds is None:
        return NO_EXPIRY
    try:
        offset = time.localtime(seconds).tm_gmtoff
    except (OverflowError, ValueError, OSError):
        return NO_EXPIRY
    return int((seconds + offset + _EPOCH_1601) * 10_000_000)

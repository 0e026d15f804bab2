"""How fast connections are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from credssp.errors import LocalProtocolError

__all__ = ["Pace"]


class Pace:
    """Gives out turns, evenly spaced: a network in between sees no bursts. Any thread may call it.

    Args:
        rate: turns per second.
        clock: a monotonic clock in seconds.

    Raises:
        LocalProtocolError: the rate is not a number above 0.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < rate < float("inf"):
            raise LocalProtocolError(f"a rate is a number of connections per second above 0, and not {rate!r}")
        self._interval = 1 / rate
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Take the next turn; returns the seconds to wait for it."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now)
            self._next = turn + self._interval
            return turn - now

"""A progress bar on standard error.

rich has one, but it takes over standard output as well, which is where results are printed at the same time.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Final, Self

__all__ = ["ProgressLine"]

_INTERVAL: Final = 0.1
"""Seconds between two drawings."""
_WIDTH: Final = 30


class ProgressLine:
    """Is drawn if a terminal looks on and there is something to wait for; erased at the end of the block.

    Args:
        total: how much there is to do.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown = total > 1 and sys.stderr.isatty()
        # Both on one terminal would be printed over each other.
        self._shared = self._shown and sys.stdout.isatty()
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        self._draw()
        return self

    def __exit__(self, *exception: object) -> None:
        self._erase()

    def advance(self) -> None:
        """Count one more."""
        self._done += 1
        if self._done == self._total or time.monotonic() - self._drawn_at > _INTERVAL:
            self._draw()

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Print something in the block."""
        if self._shared:
            self._erase()
        yield
        if self._shared:
            sys.stdout.flush()
            self._draw()

    def _draw(self) -> None:
        if not self._shown:
            return
        filled = _WIDTH * self._done // self._total
        bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}]"
        sys.stderr.write(f"\r{bar} {self._done:,}/{self._total:,} ")
        sys.stderr.flush()
        self._drawn_at = time.monotonic()

    def _erase(self) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

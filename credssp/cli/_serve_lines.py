"""Lines on standard output that never make a server wait: a bounded queue and a thread that writes."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import UnsupportedOperation
from typing import Final

__all__ = ["LineWriter", "queued_lines", "write_line"]

_LIMIT: Final = 1 << 20
"""Characters that wait for the reader: some 2,000 events."""

_GRACE: Final = 2.0
"""Seconds that the last lines have when the server ends."""


def _write_now(line: str) -> None:
    """Write a line in one piece, since several workers share the stream."""
    try:
        target = sys.stdout.fileno()
    except (UnsupportedOperation, AttributeError, ValueError):  # not a file, as in tests
        sys.stdout.write(line)
        sys.stdout.flush()
        return
    sys.stdout.flush()
    data = line.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
    # Not through the buffer of sys.stdout: a thread that is stuck in there would keep the process from ending.
    while data:
        data = data[os.write(target, data) :]


class LineWriter:
    """Takes lines without ever blocking, and writes them from a thread of its own.

    Lines that find the queue full are dropped, and their number is told when there is room again.
    """

    def __init__(
        self, dropped: Callable[[int], str], *, write: Callable[[str], None] = _write_now, limit: int = _LIMIT
    ) -> None:
        """Start the thread.

        Args:
            dropped: makes the line that says how many were dropped.
            write: writes a line; may block, or raise OSError when the reader is gone.
            limit: characters that may wait.
        """
        self._dropped_line = dropped
        self._write = write
        self._limit = limit
        self._lines: deque[str] = deque()
        self._size = 0
        self._dropped = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="credssp events", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue a line, or count it as dropped."""
        with self._changed:
            if self._closed or self._size + len(line) > self._limit:
                self._dropped += 1
                return
            if self._dropped:
                self._tell_dropped()
            self._append(line)
            self._changed.notify()

    def close(self, grace: float = _GRACE) -> None:
        """Wait until everything is written, or the grace period (seconds) is over."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(grace)

    def _append(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)

    def _tell_dropped(self) -> None:
        self._append(self._dropped_line(self._dropped))
        self._dropped = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._lines and self._dropped:
                    self._tell_dropped()
                while not self._lines:
                    if self._closed:
                        return
                    self._changed.wait()
                line = self._lines.popleft()
            try:
                self._write(line)
            except (OSError, ValueError):  # the reader closed it, or the stream is closed
                with self._changed:
                    self._closed = True
                print("credssp: the reader of the events is gone; they are dropped", file=sys.stderr)
                return
            with self._changed:
                self._size -= len(line)


_writer: LineWriter | None = None


@contextmanager
def queued_lines(dropped: Callable[[int], str]) -> Iterator[None]:
    """While the block runs, `write_line` queues. Enter it after forking: a thread does not survive that."""
    global _writer  # standard output is one for the whole process, too
    writer = _writer = LineWriter(dropped)
    try:
        yield
    finally:
        _writer = None
        writer.close()


def write_line(line: str) -> None:
    """Write a line: at once, or by the queue while there is one."""
    writer = _writer
    if writer is None:
        _write_now(line)
    else:
        writer.put(line)

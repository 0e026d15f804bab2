"""Files that are read again after they changed: accounts, certificates with their keys, roots to trust.

A change is noticed by what `os.stat` says of the file that the path leads to in the end, so also where a symbolic link
is pointed elsewhere, or a directory on the way is replaced (as Kubernetes does with secrets). What was read is checked
before it is used; where it cannot be read or makes no sense, the last good state stays, and the problem is logged.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

__all__ = ["WatchedFile", "reload_all", "restrict_all"]

T = TypeVar("T")

Signature: TypeAlias = tuple[tuple[int, ...], ...]

_log = logging.getLogger("credssp.files")

_UNSETTLED: Final = 2_000_000_000
"""Nanoseconds: a file that is younger may change once more without a new time, where the clock of files is coarse."""

_TRIES: Final = 3


class WatchedFile(Generic[T]):
    """One file, or several that belong together. Threads: may be shared.

    Attributes:
        problem: why the last attempt to read failed, or an empty string.
    """

    def __init__(
        self, *paths: str | PathLike[str], load: Callable[..., T], interval: float = 1.0, what: str = "file"
    ) -> None:
        """Read for the first time.

        Args:
            paths: the files.
            load: makes the value of the contents (bytes), one argument for each file; raises if they make no sense.
            interval: seconds between two looks at the files; 0 looks at every `current`, infinity at `reload` alone.
            what: what this is, for the log.

        Raises:
            OSError: a file cannot be read.
            Exception: what `load` raises.
        """
        self._paths = tuple(os.fspath(path) for path in paths)
        self._load = load
        self._interval = interval
        self._what = what
        self._lock = threading.Lock()
        self.problem = ""
        self._signature: Signature = ()
        self._contents: tuple[bytes, ...] = ()
        self._settled = False
        self._restricted: tuple[str, str] | None = None
        self._due = time.monotonic() + interval
        self._value = self._read()
        _all.add(self)

    def current(self) -> T:
        """Return the value; reads the files again if they changed."""
        if time.monotonic() >= self._due and self._lock.acquire(blocking=False):
            # Where another thread is reading them already, the last value is good enough.
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self._value

    def reload(self) -> bool:
        """Look at the files now; returns whether they are good."""
        with self._lock:
            self._refresh()
            return not self.problem

    def restrict(self, why: str) -> str:
        """Keep what was read for good, if the files cannot be opened any more; returns the first such file, or "".

        Args:
            why: the reason, which is logged when `reload` is asked for.
        """
        lost = next((path for path in self._paths if not os.access(path, os.R_OK)), "")
        if lost:
            self._restricted = lost, why
            self._interval = self._due = math.inf
        return lost

    def _refresh(self) -> None:
        self._due = time.monotonic() + self._interval
        if self._restricted:
            self.problem = self._restricted[1]
            _log.error("%s %s is not read again: %s", self._what, *self._restricted)
            return
        try:
            if self._settled and self._sign() == self._signature:
                return
            before = self._contents
            self._value = self._read()
        except Exception as error:  # noqa: BLE001  # whatever `load` thinks of it
            # Its text may quote the file, except for an error of the system's or of ours.
            why = getattr(error, "strerror", None) or getattr(error, "message", None) or type(error).__name__
            if why != self.problem:
                _log.error("%s %s: %s; what was read before stays in use", self._what, self._paths[0], why)
            self.problem = why
            return
        if self._contents != before or self.problem:
            _log.info("%s %s was read again", self._what, self._paths[0])
        self.problem = ""

    def _sign(self) -> Signature:
        found = [os.stat(path) for path in self._paths]  # noqa: PTH116  # half the time of Path.stat, in every login
        return tuple([(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found])

    def _read(self) -> T:
        for _ in range(_TRIES):
            signature = self._sign()
            contents = tuple([Path(path).read_bytes() for path in self._paths])
            if self._sign() == signature:
                break
        # Noted before it is checked: the same nonsense is not read over and over.
        newest = max((max(times[3:]) for times in signature), default=0)
        self._settled, self._signature = time.time_ns() - newest > _UNSETTLED, signature
        if contents == self._contents and not self.problem:
            return self._value
        value = self._load(*contents)
        self._contents = contents
        return value

    def __repr__(self) -> str:
        return f"WatchedFile({', '.join(map(repr, self._paths))})"


_all: weakref.WeakSet[WatchedFile[Any]] = weakref.WeakSet()


def reload_all() -> bool:
    """Look at all watched files of this process now; returns whether all are good. For SIGHUP."""
    good = [file.reload() for file in list(_all)]
    return all(good)


def restrict_all(why: str) -> list[str]:
    """Call `WatchedFile.restrict` for all of them; returns the files that cannot be opened any more."""
    return sorted(lost for file in list(_all) if (lost := file.restrict(why)))

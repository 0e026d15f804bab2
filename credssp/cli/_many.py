"""A command over many servers: those of an earlier run are left out, and progress and a summary are shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Generic, Self, TypeVar

from credssp.cli._progress import ProgressLine
from credssp.cli._results import Output, Totalled
from credssp.cli._target_source import TargetSource
from credssp.fleet.record import Facts
from credssp.fleet.target_url import TargetURL

__all__ = ["ManyServers"]

T = TypeVar("T", bound=Totalled)


class ManyServers(Generic[T]):
    """What is left to do, and where its results go. At the end of the block, and of an interrupt, all is written.

    Args:
        output: takes the results.
        source: the targets.
    """

    def __init__(self, output: Output[T], source: TargetSource) -> None:
        self._output = output
        self._source = source
        self._progress = ProgressLine(source.total)
        self._begin = 0.0

    def __enter__(self) -> Self:
        self._begin = time.monotonic()
        self._progress.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End. Raises LocalProtocolError: a file cannot be written."""
        self._progress.__exit__()
        if kind is not None and not issubclass(kind, KeyboardInterrupt):
            return
        self._output.totals.seconds = time.monotonic() - self._begin
        self._output.finish()
        if self._source.total > 1:
            resumed = self._output.resumed
            earlier = f"; {resumed:,} are from an earlier run" if resumed else ""
            print(f"{self._output.totals.summary()}{earlier}", file=sys.stderr)

    def left(self) -> Iterator[TargetURL]:
        """Return the targets without those of an earlier run, one by one."""
        for target in self._source:
            if str(target) in self._output.done:
                self._progress.advance()
            else:
                yield target

    def done(self, facts: Facts, *, keep: bool = True) -> None:
        """Take a result; see `Output.add`."""
        with self._progress.hidden():
            self._output.add(facts, keep=keep)
        self._progress.advance()

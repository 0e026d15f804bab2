"""The targets of ``probe`` and ``login``: arguments and a file, counted first and spelled out later."""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from credssp.cli._fleet_arguments import UNASKED
from credssp.cli._output import printable
from credssp.errors import LocalProtocolError
from credssp.fleet.target_url import TargetURL
from credssp.fleet.targets import TargetFile, TargetRange, parse_ports, parse_range, spell_out

__all__ = ["TargetSource", "is_meant"]

_SHOWN: Final = 20
"""Bad lines that are printed; of a file that is something else altogether, all would be."""


class TargetSource:
    """What is to be asked.

    Args:
        arguments: those of `credssp.cli._fleet_arguments`.
        check: called with the first target of every range; raises LocalProtocolError where the arguments do not suit
            it.
        command: who asks, for what is reported.

    Attributes:
        total: how many targets there are.

    Raises:
        LocalProtocolError: an argument is wrong, or there is no target at all.
    """

    def __init__(self, arguments: argparse.Namespace, check: Callable[[TargetURL], object], *, command: str) -> None:
        ports = None if arguments.port is None else parse_ports(arguments.port)
        self._ranges = [parse_range(text, ports=ports) for text in arguments.targets]
        self._name = arguments.file
        self._command = f"credssp {command}"
        self._spool: tempfile.TemporaryDirectory[str] | None = None
        self._file: TargetFile | None = None
        self._bad = 0
        self.total = 0
        try:
            if self._name is not None:
                self._file = TargetFile(self._path(), ports=ports)
            for each in itertools.chain(self._ranges, () if self._file is None else self._file.check(self._report)):
                check(each.first)  # before there are connections
                self.total += each.count
        except OSError as error:
            raise LocalProtocolError(f"--file {self._name} cannot be read: {error.strerror}") from None
        if self._bad > _SHOWN:
            print(f"{self._command}: {self._bad - _SHOWN} more lines are not targets", file=sys.stderr)
        if not self.total:
            empty = f"{self._name} has none" if self._name else "give a host, a range, or --file"
            raise LocalProtocolError(f"no target: {empty}")

    def __iter__(self) -> Iterator[TargetURL]:
        return spell_out(self._all())

    def _all(self) -> Iterator[TargetRange]:
        yield from self._ranges
        if self._file is not None:
            yield from self._file

    def _path(self) -> Path:
        if self._name != "-":
            return Path(self._name)
        # It is read twice.
        self._spool = tempfile.TemporaryDirectory(prefix="credssp-")
        path = Path(self._spool.name, "list")
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        return path

    def _report(self, number: int, fault: str) -> None:
        self._bad += 1
        if self._bad <= _SHOWN:
            print(f"{self._command}: {self._name}, line {number}: {printable(fault)}", file=sys.stderr)


def is_meant(total: int, question: str, *, yes: bool) -> bool:
    """Return whether so many targets are meant; asks where there is a terminal.

    Args:
        total: how many.
        question: what to ask, with ``{}`` for the number: ``Probe {} targets?``.
        yes: whether that is known.

    Raises:
        LocalProtocolError: there is none.
    """
    if total <= UNASKED or yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise LocalProtocolError(f"{total:,} targets are more than {UNASKED:,}: give --yes if that is meant")
    print(f"{question.format(f'{total:,}')} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")

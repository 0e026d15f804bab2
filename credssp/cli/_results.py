"""Where the results of many servers go: each as it comes, and all of them at the end; for ``probe`` and ``login``."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Generic, Protocol, TypeVar

from credssp.errors import LocalProtocolError
from credssp.fleet.record import Facts, Record

__all__ = ["MAX_ROWS", "Forms", "Output", "Totalled", "check_writable", "form_of", "print_json_line", "write_file"]

MAX_ROWS: Final = 10_000
"""Of a table that people read."""


class Totalled(Protocol):
    """Counts of a run, such as `credssp.fleet.totals.Totals`."""

    targets: int
    seconds: float

    def add(self, facts: dict[str, Any]) -> None:
        """Count one server."""

    def summary(self) -> str:
        """Return one line for people."""


T = TypeVar("T", bound=Totalled)


@dataclass(frozen=True, slots=True)
class Forms(Generic[T]):
    """How a command prints and writes its results.

    Attributes:
        totals: makes the counts of a run.
        at_once: what prints one result as it comes, by form: ``text``, ``json``.
        at_the_end: what prints all results, by form: ``table``, ``csv``.
        html: returns the page about all results, in parts.
        junit: writes the tests.
        check: raises LocalProtocolError for a line of a record that is of another command; None for any.
    """

    totals: Callable[[], T]
    at_once: Mapping[str, Callable[[Facts], object]]
    at_the_end: Mapping[str, Callable[[Iterable[Facts]], object]]
    html: Callable[[Iterable[Facts]], Iterable[str]]
    junit: Callable[[Iterable[Facts], IO[str]], object]
    check: Callable[[Facts], object] | None = None

    def write_reports(self, record: Iterable[Facts], arguments: argparse.Namespace) -> None:
        """Write the files that the arguments name. Raises LocalProtocolError: a file cannot be written."""
        if arguments.html:
            page = self.html(record)
            write_file(arguments.html, lambda stream: stream.writelines(f"{part}\n" for part in page))
        if arguments.junit:
            write_file(arguments.junit, lambda stream: self.junit(record, stream))


class Output(Generic[T]):
    """Takes results, and prints and writes them as the arguments say.

    Args:
        arguments: those of `credssp.cli._fleet_arguments`, and ``resume``.
        total: how many results are expected.
        forms: how they are printed and written.

    Attributes:
        totals: of all results, those of an earlier run included.
        resumed: how many results of an earlier run there are.

    Raises:
        LocalProtocolError: a file cannot be opened, or is something else.
    """

    def __init__(self, arguments: argparse.Namespace, total: int, forms: Forms[T]) -> None:
        check_writable(arguments.junit, arguments.html, read=(arguments.resume, arguments.file))
        self._arguments = arguments
        self._forms = forms
        self._form = form_of(arguments, total)
        self.totals = forms.totals()
        self._record: Record | None = None
        self._rest: Record | None = None
        if self._form not in forms.at_once or arguments.junit or arguments.html or arguments.resume:
            self._record = _opened(arguments.resume)
            try:
                for facts in self._record:
                    if forms.check is not None:
                        forms.check(facts)
                    self.totals.add(facts)
            except BaseException:
                self._record.close()
                raise
        self.resumed = self.totals.targets

    @property
    def done(self) -> Container[str]:
        """The targets that are in the record already."""
        return () if self._record is None else self._record.done

    def add(self, facts: Facts, *, keep: bool = True) -> None:
        """Take one result, and print it if that is to be done at once.

        Args:
            facts: the result.
            keep: whether an earlier run's file gets it, so that the next run leaves the target out.
        """
        self.totals.add(facts)
        if self._record is not None:
            if keep:
                self._record.add(facts)
            else:
                self._rest = self._rest or _opened(None)
                self._rest.add(facts)
            if self._arguments.resume:
                self._record.flush()
        if (show := self._forms.at_once.get(self._form)) is not None:
            show(facts)

    def finish(self) -> None:
        """Print and write what is made of all results. Raises LocalProtocolError: a file cannot be written."""
        with contextlib.ExitStack() as files:
            records = [files.enter_context(each) for each in (self._record, self._rest) if each is not None]
            if not records:
                return
            results = _Results(records)
            try:
                # First, since standard output may be a pipe whose reader has enough after a few lines.
                self._forms.write_reports(results, self._arguments)
            finally:
                if self._form in self._forms.at_the_end:
                    self._forms.at_the_end[self._form](results)
                    sys.stdout.flush()


class _Results:
    """Several records, one after the other, as often as needed."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = records

    def __iter__(self) -> Iterator[Facts]:
        return itertools.chain.from_iterable(self._records)


def _opened(name: str | None) -> Record:
    try:
        return Record(None if name is None else Path(name))
    except OSError as error:
        raise LocalProtocolError(
            f"{'a temporary file' if name is None else name!r} cannot be opened: {error.strerror}"
        ) from None


def check_writable(*names: str | None, read: Iterable[str | None] = ()) -> None:
    """Refuse files that cannot be written before anything is tried.

    Args:
        names: of the files; None for one that is not asked for.
        read: names of files that are read in the same run, and would be lost.

    Raises:
        LocalProtocolError: a file cannot be written, or is one of the others.
    """
    taken = {os.path.realpath(name) for name in read if name}
    for name in names:
        if name is None:
            continue
        if not name:
            raise LocalProtocolError("the name of a file to write is empty")
        path = Path(name)
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise LocalProtocolError(f"{name} cannot be written: it is a folder, or its folder does not exist")
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            raise LocalProtocolError(f"{name} cannot be written: there is no permission to")
        if path.exists() and not path.is_file():  # /dev/null, a pipe
            continue
        place = os.path.realpath(name)
        if place in taken:
            raise LocalProtocolError(f"{name} is named twice, and would be overwritten: give another name")
        taken.add(place)


def form_of(arguments: argparse.Namespace, total: int) -> str:
    """Return ``text``, ``table``, ``json`` or ``csv``."""
    chosen = (form for form in ("text", "table", "json", "csv") if getattr(arguments, form))
    return next(chosen, "text" if total == 1 else "table")


def write_file(name: str, write: Callable[[IO[str]], object]) -> None:
    """Write a report. Raises LocalProtocolError."""
    try:
        with Path(name).open("w", encoding="utf-8") as stream:
            write(stream)
    except OSError as error:
        raise LocalProtocolError(f"{name} cannot be written: {error.strerror}") from None


def print_json_line(facts: Facts) -> None:
    """Print one line."""
    print(json.dumps(facts), flush=True)

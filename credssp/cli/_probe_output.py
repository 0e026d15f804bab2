"""Where results go: each as it comes, and all of them at the end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from credssp.cli import _probe_print
from credssp.cli._output import print_table, printable
from credssp.errors import LocalProtocolError
from credssp.fleet.record import Facts, Record
from credssp.fleet.totals import Totals, nla_of, version_of, worst_level

__all__ = ["Output", "check_writable", "form_of", "print_record", "write_reports"]

_ROWS: Final = 10_000
"""Of a table that people read."""


def check_writable(*names: str | None) -> None:
    """Refuse files that cannot be written before anything is tried. Raises LocalProtocolError."""
    for name in names:
        if name and (Path(name).is_dir() or not Path(name).absolute().parent.is_dir()):
            raise LocalProtocolError(f"{name} cannot be written: it is a folder, or its folder does not exist")


def form_of(arguments: argparse.Namespace, total: int) -> str:
    """Return ``text``, ``table``, ``json`` or ``csv``."""
    chosen = (form for form in ("text", "table", "json", "csv") if getattr(arguments, form))
    return next(chosen, "text" if total == 1 else "table")


class Output:
    """Takes results, and prints and writes them as the arguments say.

    Args:
        arguments: those of `credssp.cli._probe_arguments`, and ``resume``.
        total: how many results are expected.

    Attributes:
        totals: of all results, those of an earlier run included.
        resumed: how many results of an earlier run there are.

    Raises:
        LocalProtocolError: a file cannot be opened, or is something else.
    """

    def __init__(self, arguments: argparse.Namespace, total: int) -> None:
        check_writable(arguments.junit, arguments.html)
        self._arguments = arguments
        self._form = form_of(arguments, total)
        self._at_once = self._form in ("text", "json")
        self.totals = Totals()
        self._record: Record | None = None
        if not self._at_once or arguments.junit or arguments.html or arguments.resume:
            self._record = _opened(arguments.resume)
            for facts in self._record:
                self.totals.add(facts)
        self.resumed = self.totals.targets

    @property
    def done(self) -> Container[str]:
        """The targets that need not be probed any more."""
        return () if self._record is None else self._record.done

    def add(self, facts: Facts) -> None:
        """Take one result, and print it if that is to be done at once."""
        self.totals.add(facts)
        if self._record is not None:
            self._record.add(facts)
            if self._arguments.resume:
                self._record.flush()
        if self._at_once:
            _AT_ONCE[self._form](facts)

    def finish(self) -> None:
        """Print and write what is made of all results. Raises LocalProtocolError: a file cannot be written."""
        if self._record is not None:
            with self._record as record:
                if not self._at_once:
                    print_record(record, self._form)
                write_reports(record, self._arguments)


_AT_ONCE: Final = {"text": _probe_print.print_text, "json": _probe_print.print_json_line}


def _opened(name: str | None) -> Record:
    try:
        return Record(None if name is None else Path(name))
    except OSError as error:
        raise LocalProtocolError(f"{name or 'a temporary file'} cannot be opened: {error.strerror}") from None


def print_record(record: Iterable[Facts], form: str) -> None:
    """Print results, which are gone through several times."""
    if form == "csv":
        from credssp.fleet.csv_table import write_csv

        write_csv(record, sys.stdout)
    elif form == "table":
        _print_table(record)
    else:
        for facts in record:
            try:
                _AT_ONCE[form](facts)
            except (KeyError, TypeError, AttributeError, ValueError):
                raise LocalProtocolError(
                    f"{facts['target']}: not the facts of a server, or of a newer version"
                ) from None
    sys.stdout.flush()


def write_reports(
    record: Iterable[Facts], arguments: argparse.Namespace, *, earlier: Iterable[Facts] | None = None
) -> None:
    """Write the files that the arguments name.

    Args:
        record: results, which are gone through several times.
        arguments: those of `credssp.cli._probe_arguments`.
        earlier: an earlier run, for what changed.

    Raises:
        LocalProtocolError: a file cannot be written.
    """
    if arguments.html:
        from credssp.fleet.html_report import html_report

        page = html_report(record, earlier=earlier)
        write_file(arguments.html, lambda stream: stream.writelines(f"{part}\n" for part in page))
    if arguments.junit:
        from credssp.fleet.junit import write_junit

        write_file(arguments.junit, lambda stream: write_junit(record, stream))


def write_file(name: str, write: Callable[[IO[str]], object]) -> None:
    """Write a report. Raises LocalProtocolError."""
    try:
        with Path(name).open("w", encoding="utf-8") as stream:
            write(stream)
    except OSError as error:
        raise LocalProtocolError(f"{name} cannot be written: {error.strerror}") from None


def _print_table(record: Iterable[Facts]) -> None:
    """Print a line for each server that answered, and how many did not, by reason."""
    totals = Totals()
    rows: list[tuple[str, ...]] = []
    for facts in record:
        totals.add(facts)
        if facts.get("answered") and len(rows) < _ROWS:
            rows.append(tuple(_cells(facts)))
    if rows:
        print_table(("target", "CredSSP", "NLA", "TLS", "certificate until", "findings"), rows)
    if (more := totals.answered - len(rows)) > 0:
        print(f"{more:,} more servers answered: --csv and --json show all")
    for text, count in totals.errors.most_common():
        print(f"{count:,} did not answer: {printable(text)}")


def _cells(facts: Facts) -> Iterator[str]:
    yield facts["target"]
    yield version_of(facts)
    yield nla_of(facts)
    yield " ".join(str(version).removeprefix("TLSv") for version in facts.get("tls") or ()) or "none"
    yield str((facts.get("certificate") or {}).get("not_after") or "")[:10]
    ids = [str(each.get("id", "")) for each in facts.get("findings") or () if isinstance(each, dict)]
    yield f"{worst_level(facts)}: {', '.join(ids)}" if ids else ""

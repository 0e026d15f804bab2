"""``credssp report A.jsonl [B.jsonl]``: saved runs of ``credssp probe``, and what changed between two."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from credssp.cli import _fleet_arguments

if TYPE_CHECKING:
    from credssp.fleet.record import SavedRun

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "With two runs, what changed from the first to the second is printed. Exit codes: 0 the report was made, and "
        "with two runs nothing changed; 1 something changed; 2 wrong usage, or a file that is not a run."
    )
    parser.add_argument("run", metavar="A.jsonl", help="results of credssp probe --json or --resume")
    parser.add_argument("later", metavar="B.jsonl", nargs="?", help="results of a later run")
    _fleet_arguments.add_form_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print and write the reports."""
    from credssp.cli._output import printable
    from credssp.cli._probe_output import check_probe, print_record, write_reports
    from credssp.cli._results import check_writable
    from credssp.errors import LocalProtocolError
    from credssp.fleet.record import SavedRun

    try:
        check_writable(arguments.html, arguments.junit, read=(arguments.run, arguments.later))
        first, later = SavedRun(arguments.run, check_probe), SavedRun(arguments.later or arguments.run, check_probe)
        for run in (first, later):
            next(iter(run))  # an empty one is an error
        if arguments.later is None:
            print_record(first, _form(arguments))
            write_reports(first, arguments)
            return 0
        changed = _print_changes(first, later, _form(arguments))
        write_reports(later, arguments, earlier=first)
    except LocalProtocolError as error:
        print(f"credssp report: {printable(error.message)}", file=sys.stderr)
        return 2
    return 1 if changed else 0


def _form(arguments: argparse.Namespace) -> str:
    return next((form for form in ("text", "json", "csv") if getattr(arguments, form)), "table")


def _print_changes(first: SavedRun, later: SavedRun, form: str) -> bool:
    """Print what changed; returns whether anything did."""
    import csv
    import json

    from credssp.cli._output import printable
    from credssp.fleet.compare import compare
    from credssp.fleet.csv_table import harmless

    rows = csv.writer(sys.stdout)
    if form == "csv":
        rows.writerow(("target", "change", "fact", "before", "now"))
    changed = False
    for change in compare(first, later):
        changed = True
        if form == "json":
            print(json.dumps(change.as_json()))
        elif form == "csv":
            for row in change.rows():
                rows.writerow([harmless(cell) for cell in row])
        else:
            print(f"{change.kind:<8} {printable(change.target)}")
            for _, _, fact, before, now in change.rows():
                if fact:
                    print(f"         {printable(fact)}: {printable(before) or '-'} -> {printable(now) or '-'}")
    if not changed and form in ("table", "text"):
        print("Nothing changed.")
    return changed

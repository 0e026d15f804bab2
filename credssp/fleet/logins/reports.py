"""The results of logins as comma-separated values and as JUnit XML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Final

from credssp.fleet.csv_table import flatten, write_columns
from credssp.fleet.junit import quoted, seconds_of, text_of, write_suite
from credssp.fleet.logins.totals import OUTCOMES, LoginTotals, outcome_of, why
from credssp.fleet.record import Facts

__all__ = ["write_login_csv", "write_login_junit"]

_FIRST: Final = (
    "target",
    "outcome",
    "user",
    "refused_by",
    "status_name",
    "status_hex",
    "mechanism",
    "credssp_version",
    "tls_version",
    "seconds",
)
"""In front, in this order; ``error`` is at the end. In between, all other facts."""

_FAILURES: Final = ("refused", "unsafe")
_SKIPPED: Final = ("not_tried", "interrupted")


def write_login_csv(record: Iterable[Facts], stream: IO[str]) -> None:
    """Write the table; goes twice through the record."""
    write_columns(record, stream, first=_FIRST, row=_row)


def _row(facts: Facts) -> dict[str, str]:
    row = flatten(facts) | {"error": why(facts)}
    for name in ("status_text", "reason"):  # which is the error
        row.pop(name, None)
    return row


def write_login_junit(record: Iterable[Facts], stream: IO[str]) -> None:
    """Write a test for each server; goes twice through the record.

    A login that was refused, or that one of our own checks ended, is a failure; one that did not come so far is an
    error; a server that was not tried is skipped.
    """
    totals = LoginTotals()
    seconds = 0.0
    for facts in record:
        totals.add(facts)
        seconds += seconds_of(facts)
    failures, skipped = (sum(totals.outcomes[name] for name in names) for names in (_FAILURES, _SKIPPED))
    errors = totals.targets - failures - skipped - totals.outcomes["accepted"]
    counts = {"tests": totals.targets, "failures": failures, "errors": errors, "skipped": skipped}
    write_suite(stream, "login", counts, seconds, record, _contents)


def _contents(facts: Facts) -> Iterator[str]:
    outcome = outcome_of(facts)
    text = why(facts)
    if outcome in _SKIPPED:
        yield f"<skipped message={quoted(f'{OUTCOMES[outcome]}: {text}')}/>"
    elif outcome != "accepted":
        status = facts.get("status")
        status = status if isinstance(status, dict) else {}
        element = "failure" if outcome in _FAILURES else "error"
        yield f"<{element} type={quoted(status.get('name') or outcome)} message={quoted(text)}>"
        yield f"{text_of(str(status.get('advice') or text))}</{element}>"

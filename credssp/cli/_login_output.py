"""How ``login`` prints and writes the results of many servers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from credssp.cli._login_print import print_login, print_why
from credssp.cli._output import print_table, printable
from credssp.cli._results import MAX_ROWS, Forms, print_json_line
from credssp.errors import LocalProtocolError
from credssp.fleet.logins.html import login_report
from credssp.fleet.logins.reports import write_login_csv, write_login_junit
from credssp.fleet.logins.totals import OUTCOMES, LoginTotals, outcome_of, why
from credssp.fleet.record import Facts, are_of

__all__ = ["login_forms"]

_SHOWN: Final = 100
"""Characters of a reason in the table; the other forms have all of it."""


def _print_text(facts: Facts) -> None:
    print_login(facts)
    print_why(facts, sys.stdout)
    sys.stdout.flush()


def _print_table(record: Iterable[Facts]) -> None:
    totals = LoginTotals()
    rows: list[tuple[str, ...]] = []
    for facts in record:
        totals.add(facts)
        if outcome_of(facts) != "not_tried" and len(rows) < MAX_ROWS:
            rows.append(_cells(facts))
    for facts in record:
        if outcome_of(facts) == "not_tried" and len(rows) < MAX_ROWS:
            rows.append(_cells(facts))
    if rows:
        print_table(("target", "outcome", "mechanism", "CredSSP", "TLS", "seconds", "why"), rows, right=("seconds",))
    if (more := totals.targets - len(rows)) > 0:
        print(f"{more:,} more servers: --csv and --json show all")
    if totals.reason:
        print(f"{totals.outcomes['not_tried']:,} not tried: {printable(totals.reason)} (--keep-going tries all)")


def _cells(facts: Facts) -> tuple[str, ...]:
    outcome = outcome_of(facts)
    tls, credssp, status = ((facts.get(name) or {}) for name in ("tls", "credssp", "status"))
    text = "" if outcome in ("accepted", "not_tried") else f"{status.get('name') or ''}: {why(facts)}".lstrip(": ")
    seconds = facts.get("seconds")
    return (
        facts["target"],
        OUTCOMES[outcome],
        str(facts.get("mechanism") or ""),
        str(credssp.get("version") or ""),
        str(tls.get("version") or "").removeprefix("TLSv"),
        "" if seconds is None else f"{seconds:.3f}",
        text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...",
    )


_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "outcome": str,
    "tls": dict,
    "credssp": dict,
    "status": dict,
    "seconds": (int, float),
}


def login_forms(user: str) -> Forms[LoginTotals]:
    """Return the forms for the logins of a user; a record with those of another is refused."""

    def check(facts: Facts) -> None:
        target = facts["target"]
        if "outcome" not in facts or "accepted" not in facts or not are_of(facts, _TYPES):
            raise LocalProtocolError(f"{target}: not the result of a login as `credssp login --resume` keeps it")
        if (other := facts.get("user")) != user:
            raise LocalProtocolError(f"--resume: {target} is a login of {other}, and this run is of {user}")

    return Forms(
        totals=LoginTotals,
        at_once={"text": _print_text, "json": print_json_line},
        at_the_end={"table": _print_table, "csv": lambda record: write_login_csv(record, sys.stdout)},
        html=login_report,
        junit=write_login_junit,
        check=check,
    )

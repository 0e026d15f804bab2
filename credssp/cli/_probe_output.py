"""How ``probe`` prints and writes results, and ``report`` those that were saved."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO, Final

from credssp.cli._output import print_table, printable
from credssp.cli._probe_print import print_text
from credssp.cli._results import MAX_ROWS, Forms, print_json_line
from credssp.errors import LocalProtocolError
from credssp.fleet.record import Facts, are_of
from credssp.fleet.totals import Totals, nla_of, version_of, worst_level

__all__ = ["PROBES", "check_probe", "print_record", "write_reports"]


def print_record(record: Iterable[Facts], form: str) -> None:
    """Print results, which are gone through several times."""
    if form in PROBES.at_the_end:
        PROBES.at_the_end[form](record)
    else:
        for facts in record:
            try:
                PROBES.at_once[form](facts)
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
        arguments: those of `credssp.cli._fleet_arguments`.
        earlier: an earlier run, for what changed.

    Raises:
        LocalProtocolError: a file cannot be written.
    """
    forms = replace(PROBES, html=lambda results: _html(results, earlier=earlier))
    forms.write_reports(record, arguments)


# Forms that are not asked for are not imported: much of the time that a probe takes is that of its start.


def _html(record: Iterable[Facts], *, earlier: Iterable[Facts] | None = None) -> Iterator[str]:
    from credssp.fleet.html_report import html_report

    return html_report(record, earlier=earlier)


def _junit(record: Iterable[Facts], stream: IO[str]) -> None:
    from credssp.fleet.junit import write_junit

    write_junit(record, stream)


def _print_csv(record: Iterable[Facts]) -> None:
    from credssp.fleet.csv_table import write_csv

    write_csv(record, sys.stdout)


def _print_table(record: Iterable[Facts]) -> None:
    """Print a line for each server that answered, and how many did not, by reason."""
    totals = Totals()
    rows: list[tuple[str, ...]] = []
    for facts in record:
        totals.add(facts)
        if facts.get("answered") and len(rows) < MAX_ROWS:
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
    certificate = facts.get("certificate")
    yield str(certificate.get("not_after") or "")[:10] if isinstance(certificate, dict) else ""
    ids = [str(each.get("id", "")) for each in facts.get("findings") or () if isinstance(each, dict)]
    yield f"{worst_level(facts)}: {', '.join(ids)}" if ids else ""


def check_probe(facts: Facts) -> None:
    """Refuse a result of another command. Raises LocalProtocolError."""
    if not are_of(facts, {"findings": list}):
        raise LocalProtocolError(f"{facts['target']}: not the facts of a server, or of a newer version")
    if "outcome" in facts and "accepted" in facts:
        raise LocalProtocolError(f"{facts['target']}: the result of a login, and not of a probe")


PROBES: Final = Forms(
    totals=Totals,
    at_once={"text": print_text, "json": print_json_line},
    at_the_end={"table": _print_table, "csv": _print_csv},
    html=_html,
    junit=_junit,
    check=check_probe,
)

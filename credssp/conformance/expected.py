"""Expected failures: rules that a peer is known to break, each with the reason.

A TOML file::

    [expected]
    "CSSP-ERR-01" = "closes without errorCode, reported upstream"
    "CSSP-TSREQ-*" = "..."
    "nmap-*:CSSP-VER-01" = "..."       # for recorded exchanges: the fixture's name in front

A rule that is listed and passes nevertheless is worth knowing: the entry is out of date.
"""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

from credssp.conformance.result import Report
from credssp.conformance.rule import Verdict
from credssp.errors import LocalProtocolError

__all__ = ["load_expected", "out_of_date"]


def load_expected(path: Path) -> dict[str, str]:
    """Read such a file.

    Raises:
        LocalProtocolError: it cannot be read, or an entry names no rule or has no reason.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("expected")
    except OSError as error:
        raise LocalProtocolError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise LocalProtocolError(f"{path} is not TOML") from None
    if not isinstance(table, dict):
        raise LocalProtocolError(f"{path} has no table [expected]")
    from credssp.conformance.catalogue import CATALOGUE  # importing it takes longer than reading the file

    known = [rule.id for rule in CATALOGUE.rules]
    for rule, reason in table.items():
        if not fnmatch.filter(known, rule.rpartition(":")[2]):
            raise LocalProtocolError(f"{path}: {rule} names no rule")
        if not isinstance(reason, str) or not reason.strip():
            raise LocalProtocolError(f"{path}: {rule} has no reason")
    return dict(table)


def out_of_date(report: Report, expected: dict[str, str]) -> list[str]:
    """Return the entries that were tried and never failed."""
    stale = []
    for entry in expected:
        subject, _, pattern = entry.rpartition(":")
        tried = [
            result
            for result in report.results
            if fnmatch.fnmatchcase(result.rule.id, pattern)
            and (not subject or fnmatch.fnmatchcase(result.subject, subject))
            and result.verdict is not Verdict.SKIP
        ]
        if tried and all(result.verdict.is_good for result in tried):
            stale.append(entry)
    return stale

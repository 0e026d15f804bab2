"""A record as comma-separated values: a column for every fact, a row for every server."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, Final

from credssp.fleet.record import Facts
from credssp.fleet.totals import level_of

__all__ = ["MAX_COLUMNS", "flatten", "harmless", "write_columns", "write_csv"]

MAX_COLUMNS: Final = 256
"""Servers choose the names of some facts, such as the schemes of HTTP; what goes beyond is left to JSON."""

_FIRST: Final = (
    "target",
    "answered",
    "protocols",
    "tls",
    "certificate_subject",
    "certificate_sha256",
    "credssp_version",
    "mechanisms",
    "computer",
    "domain",
    "dns_computer",
    "os_version",
    "findings",
)
"""In front, in this order, whether or not any server has them; ``error`` is at the end. In between, all other facts."""

_NTLM: Final = {
    "computer": "MsvAvNbComputerName",
    "domain": "MsvAvNbDomainName",
    "dns_computer": "MsvAvDnsComputerName",
    "os_version": "Version",
}


def flatten(facts: Facts) -> dict[str, str]:
    """Return every fact as a text, by name; a member of a member has both names, joined by an underscore."""
    found: dict[str, str] = {}
    for name, value in facts.items():
        _flatten(str(name), value, found)
    return found


def _flatten(name: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _flatten(f"{name}_{key}", each, found)
    elif isinstance(value, list):
        found[name] = "; ".join(_item(each) for each in value)
    elif value is not None:
        found[name] = str(value)


def _item(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    if "id" in value:  # a finding
        return f"{value['id']} ({level_of(value)})"
    return ", ".join(f"{key}={each}" for key, each in value.items())


def write_csv(record: Iterable[Facts], stream: IO[str]) -> None:
    """Write the table of what servers offer; see `write_columns`."""
    write_columns(record, stream, first=_FIRST, row=_row)


def write_columns(
    record: Iterable[Facts], stream: IO[str], *, first: Sequence[str], row: Callable[[Facts], dict[str, str]]
) -> None:
    """Write a table; goes twice through the record.

    Args:
        record: results.
        stream: a text stream.
        first: the columns in front, whether or not any server has them. The last one is ``error``.
        row: returns the cells of a server by column.

    A value that a spreadsheet would take for a formula begins with an apostrophe, and characters that are not plainly
    visible are backslash escapes: servers choose many of the values.
    """
    columns = _columns(record, first, row)
    writer = csv.writer(stream)
    writer.writerow([harmless(name) for name in columns])
    for facts in record:
        cells = row(facts)
        writer.writerow([harmless(cells.get(name, "")) for name in columns])


def _columns(record: Iterable[Facts], first: Sequence[str], row: Callable[[Facts], dict[str, str]]) -> list[str]:
    others: dict[str, None] = {}
    for facts in record:
        for name in row(facts):
            if name not in first and name != "error" and len(others) < MAX_COLUMNS - len(first) - 1:
                others[name] = None
    return [*first, *sorted(others), "error"]


def _row(facts: Facts) -> dict[str, str]:
    row = flatten(facts)
    row |= dict(_short_forms(facts))
    return row


def _short_forms(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield what most people look for, under names of its own."""
    yield "protocols", " ".join(name for name, answer in _members(facts, "protocols") if answer == "accepted")
    yield "tls", " ".join(name for name, _ in _members(facts, "tls"))
    credssp = dict(_members(facts, "credssp"))
    yield "mechanisms", " ".join(map(str, credssp.get("mechanisms") or ()))
    ntlm = dict(_members(facts, "ntlm"))
    for column, name in _NTLM.items():
        yield column, str(ntlm.get(name, ""))
    error = dict(_members(facts, "error"))
    yield "error", str(error.get("text") or facts.get("tls_error") or facts.get("credssp_error") or "")


def _members(facts: Facts, name: str) -> Iterable[tuple[str, Any]]:
    value = facts.get(name)
    return value.items() if isinstance(value, dict) else ()


def harmless(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, and no terminal for a command."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text

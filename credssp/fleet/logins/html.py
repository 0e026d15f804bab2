"""The results of logins as one HTML page (`credssp.pages`): totals, why some failed, and a table to filter."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from credssp.fleet.logins.totals import OUTCOMES, LoginTotals, outcome_of, why
from credssp.fleet.page_parts import (
    FilterButtons,
    bars,
    classes_of,
    fieldsets,
    filter_style,
    report_style,
    table_head,
    table_row,
)
from credssp.fleet.record import Facts
from credssp.pages import document, escape

__all__ = ["MAX_ROWS", "login_report"]

MAX_ROWS: Final = 5000
"""Servers in the table, the worst first: browsers take seconds for more."""

_BADGES: Final = {
    "accepted": "ok",
    "refused": "error",
    "unsafe": "error",
    "local": "warning",
    "no_login": "warning",
    "interrupted": "note",
    "not_tried": "note",
}
_KINDS: Final = {"ok": "good", "error": "bad", "warning": "poor", "note": ""}
_COLUMNS: Final = ("server", "outcome", "mechanism", "CredSSP", "TLS", "seconds", "why")


def login_report(record: Iterable[Facts], *, now: datetime | None = None) -> Iterator[str]:
    """Yield the page in parts.

    Args:
        record: results; they are gone through several times.
        now: the time of the report, with its zone; by default the present.
    """
    totals = LoginTotals()
    users: set[str] = set()
    for facts in record:
        totals.add(facts)
        if len(users) <= 1:
            users.add(str(facts.get("user") or ""))
    parts = itertools.chain(_head(totals, users, now or datetime.now(UTC)), _totals(totals), _servers(record, totals))
    style = report_style() + filter_style(_filters(totals))
    yield from document(f"CredSSP: logins to {totals.targets:,} servers", parts, style=style, note="Times are in UTC.")


def _head(totals: LoginTotals, users: set[str], now: datetime) -> Iterator[str]:
    yield '<header><p class="kind">CredSSP, logins</p>'
    yield f"<h1>{totals.outcomes['accepted']:,} of {totals.targets:,} logins accepted</h1>"
    user = f" &middot; {escape(next(iter(users)))}" if len(users) == 1 else ""
    yield f'<p class="meta">{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC{user}</p>'
    if totals.reason:
        yield f'<p class="problems">{totals.outcomes["not_tried"]:,} not tried: {escape(totals.reason)}</p>'
    yield "</header>"


def _totals(totals: LoginTotals) -> Iterator[str]:
    if not totals.targets:
        return
    outcomes = Counter({OUTCOMES[name]: count for name, count in totals.outcomes.items()})
    counts = [("Outcome", outcomes)]
    counts += [("Status where not accepted", totals.statuses)] if totals.statuses else []
    if totals.outcomes["accepted"]:
        counts += [("Mechanism", totals.mechanisms), ("CredSSP version", totals.versions), ("TLS", totals.tls)]
    yield from bars(counts, _kind)


def _kind(value: str) -> str:
    by_words = {words: name for name, words in OUTCOMES.items()}
    return _KINDS[_BADGES[by_words[value]]] if value in by_words else ""


def _filters(totals: LoginTotals) -> list[FilterButtons]:
    outcomes = [OUTCOMES[name] for name in OUTCOMES if totals.outcomes[name]]
    statuses = [name for name, _ in totals.statuses.most_common(20)]
    filters = [FilterButtons("outcome", "o", outcomes), FilterButtons("status", "s", statuses)]
    filters += [
        FilterButtons("mechanism", "m", sorted(totals.mechanisms)),
        FilterButtons("CredSSP", "v", sorted(totals.versions)),
    ]
    return [each for each in filters if len(each.values) > 1]


def _servers(record: Iterable[Facts], totals: LoginTotals) -> Iterator[str]:
    if not totals.targets:
        return
    filters = _filters(totals)
    yield "<section><h2>Servers</h2>"
    yield from fieldsets(filters)
    if totals.targets > MAX_ROWS:
        yield f"<p>{MAX_ROWS:,} of {totals.targets:,} servers are shown, those without a login first.</p>"
    yield table_head(_COLUMNS)
    rows = (
        _row(facts, filters)
        for name in OUTCOMES
        if totals.outcomes[name]
        for facts in record
        if outcome_of(facts) == name
    )
    yield from itertools.islice(rows, MAX_ROWS)
    yield "</tbody></table></section>"


def _row(facts: Facts, filters: Sequence[FilterButtons]) -> str:
    outcome = outcome_of(facts)
    seconds = facts.get("seconds")
    cells = (
        escape(facts["target"]),
        f'<b class="level {_BADGES[outcome]}">{escape(OUTCOMES[outcome])}</b>',
        escape(facts.get("mechanism") or ""),
        escape(_member(facts, "credssp", "version")),
        escape(_member(facts, "tls", "version").removeprefix("TLSv")),
        f"{seconds:.3f}" if isinstance(seconds, int | float) else "",
        "".join(_why(facts)),
    )
    return table_row(_COLUMNS, cells, classes=classes_of(filters, lambda name: _values(facts, name)))


def _why(facts: Facts) -> Iterator[str]:
    text = why(facts)
    if not text:
        return
    name, advice = _member(facts, "status", "name"), _member(facts, "status", "advice")
    yield f"<details><summary>{escape(name)}</summary><p>{escape(text)}</p>" if name else f"<div>{escape(text)}</div>"
    if name:
        yield f"<p>{escape(advice)}</p></details>" if advice and advice not in text else "</details>"


def _values(facts: Facts, group: str) -> set[str]:
    """Return the values of a server in a group."""
    accepted = outcome_of(facts) == "accepted"
    if group == "o":
        return {OUTCOMES[outcome_of(facts)]}
    if group == "s":
        return set() if accepted else {_member(facts, "status", "name")}
    if group == "m":
        return {str(facts.get("mechanism") or "not known")} if accepted else set()
    return {_member(facts, "credssp", "version") or "not known"} if accepted else set()


def _member(facts: Facts, name: str, key: str) -> str:
    value: Any = facts.get(name)
    found = value.get(key) if isinstance(value, dict) else None
    return "" if found is None else str(found)

"""A record as one HTML page (`credssp.pages`): totals, certificates, findings, and a table of the servers to filter."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from credssp.fleet.compare import Change, compare
from credssp.fleet.expiry import Expiry
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
from credssp.fleet.totals import LEVELS, Totals, level_of, nla_of, version_of, worst_level
from credssp.pages import badge, document, escape, scrolling

__all__ = ["MAX_ROWS", "html_report"]

MAX_ROWS: Final = 5000
"""Servers in the table, those with the worst findings first: browsers take seconds for more."""
_MAX_CHANGES: Final = 2000

_LEVELS: Final = (*LEVELS, "none")
_WORST: Final = {"error": "error", "warning": "warning", "note": "note", "ok": "ok", "none": "nothing found"}
_NLA: Final = ("required", "optional", "none", "offered", "not offered")
_GOOD: Final = {"6", "required", "offered", "TLSv1.3", "TLSv1.2", "nothing found", "ok"}
_BAD: Final = {"2", "3", "4", "none", "not offered", "TLSv1", "TLSv1.1", "SSLv3", "error"}
_POOR: Final = {"5", "optional", "warning"}


def html_report(
    record: Iterable[Facts], *, earlier: Iterable[Facts] | None = None, now: datetime | None = None
) -> Iterator[str]:
    """Yield the page in parts.

    Args:
        record: results; they are gone through several times.
        earlier: an earlier run, to show what changed since then.
        now: the time of the report, with its zone; by default the present.
    """
    now = now or datetime.now(UTC)
    totals, expiry, advice = Totals(), Expiry(now), dict[tuple[str, str], dict[str, Any]]()
    for facts in record:
        totals.add(facts)
        if not facts.get("answered"):
            continue
        expiry.add(facts)
        for each in _findings(facts):
            key = (str(each.get("id", "")), level_of(each))
            if key in totals.findings:
                advice.setdefault(key, each)
    parts = itertools.chain(
        _head(totals, now),
        _changes(record, earlier),
        _totals(totals),
        _certificates(expiry),
        _kinds(totals, advice),
        _servers(record, totals),
        _silent(totals),
    )
    style = report_style() + filter_style(_groups(totals))
    yield from document(f"CredSSP: {totals.targets:,} servers", parts, style=style, note="Times are in UTC.")


def _head(totals: Totals, now: datetime) -> Iterator[str]:
    yield '<header><p class="kind">CredSSP, what servers offer</p>'
    yield f"<h1>{totals.answered:,} of {totals.targets:,} targets answered</h1>"
    yield f'<p class="meta">{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC &middot; {totals.with_credssp:,} with CredSSP</p>'
    yield "</header>"


def _totals(totals: Totals) -> Iterator[str]:
    if not totals.answered:
        return
    levels = {_WORST[level]: totals.levels[level] for level in _LEVELS if totals.levels[level]}
    counts = [("CredSSP version", totals.versions), ("NLA", totals.nla), ("TLS", totals.tls)]
    yield from bars([*counts, ("Worst finding", levels)], _kind)


def _kind(value: str) -> str:
    return "good" if value in _GOOD else "bad" if value in _BAD else "poor" if value in _POOR else ""


def _certificates(expiry: Expiry) -> Iterator[str]:
    drawn = expiry.svg(escape)
    if drawn:
        yield f"<section><h2>Certificates end</h2><p>{escape(expiry.sentence)}</p>"
        yield f"{scrolling('certificates by the month in which they end', drawn)}</section>"


def _kinds(totals: Totals, advice: dict[tuple[str, str], dict[str, Any]]) -> Iterator[str]:
    """What was found, once for all servers that have it."""
    if not totals.findings:
        return
    yield "<section><h2>Findings</h2>"
    order = sorted(totals.findings.items(), key=lambda item: (LEVELS.index(item[0][1]), -item[1], item[0][0]))
    for (name, level), count in order:
        each = advice.get((name, level), {})
        yield f"<details><summary>{badge(level)} {escape(name)}: {count:,} server{'' if count == 1 else 's'}</summary>"
        texts = [f"<p>{escape(each[key])}</p>" for key in ("why", "advice", "do") if each.get(key)]
        yield f"<div>{''.join(texts) or '<p>No more is known.</p>'}</div></details>"
    yield "</section>"


def _servers(record: Iterable[Facts], totals: Totals) -> Iterator[str]:
    if not totals.answered:
        return
    yield "<section><h2>Servers</h2>"
    groups = _groups(totals)
    yield from fieldsets(groups)
    if totals.answered > MAX_ROWS:
        yield f"<p>{MAX_ROWS:,} of {totals.answered:,} servers are shown, those with the worst findings first.</p>"
    yield table_head(_COLUMNS)
    yield from itertools.islice(
        (
            _row(facts, groups)
            for level in _LEVELS
            if totals.levels[level]
            for facts in record
            if facts.get("answered") and worst_level(facts) == level
        ),
        MAX_ROWS,
    )
    yield "</tbody></table></section>"


_COLUMNS: Final = ("server", "name", "CredSSP", "NLA", "TLS", "certificate until", "findings")


def _groups(totals: Totals) -> list[FilterButtons]:
    """Return the groups of filters."""
    levels = [level for level in _LEVELS if totals.levels[level]]
    versions = sorted(totals.versions, reverse=True)
    nla = [value for value in _NLA if totals.nla[value]]
    kinds = list(dict.fromkeys(name for (name, _), _ in totals.findings.most_common(20)))
    groups = [FilterButtons("worst", "w", levels), FilterButtons("CredSSP", "v", versions)]
    groups += [FilterButtons("NLA", "n", nla), FilterButtons("finding", "f", kinds)]
    return [group for group in groups if len(group.values) > 1]


def _values(facts: Facts, group: str) -> set[str]:
    """Return the values of a server in a group."""
    if group == "w":
        return {worst_level(facts)}
    if group == "v":
        return {version_of(facts)}
    if group == "n":
        return {nla_of(facts)}
    return {str(each.get("id", "")) for each in _findings(facts)}


def _row(facts: Facts, groups: Sequence[FilterButtons]) -> str:
    ntlm = facts.get("ntlm")
    ntlm = ntlm if isinstance(ntlm, dict) else {}
    certificate = facts.get("certificate")
    until = str((certificate if isinstance(certificate, dict) else {}).get("not_after") or "")[:10]
    tls = " ".join(str(version).removeprefix("TLSv") for version in facts.get("tls") or ()) or "none"
    cells = (
        escape(facts["target"]),
        escape(ntlm.get("MsvAvDnsComputerName") or ntlm.get("MsvAvNbComputerName") or ""),
        escape(version_of(facts)),
        escape(nla_of(facts)),
        escape(tls),
        escape(until),
        "".join(map(_finding, _findings(facts))),
    )
    classes = classes_of(groups, lambda name: _values(facts, name))
    return table_row(_COLUMNS, cells, classes=classes, nowrap="certificate until")


def _finding(finding: dict[str, Any]) -> str:
    head = f"{badge(level_of(finding))} {escape(finding.get('id', ''))}"
    seen = finding.get("seen")
    return f"<details><summary>{head}</summary><p>{escape(seen)}</p></details>" if seen else f"<div>{head}</div>"


def _findings(facts: Facts) -> list[dict[str, Any]]:
    found = [each for each in facts.get("findings") or () if isinstance(each, dict)]
    return sorted(found, key=lambda each: LEVELS.index(level_of(each)))


def _silent(totals: Totals) -> Iterator[str]:
    if not totals.errors:
        return
    yield '<section><h2>Not answered</h2><table class="plain"><tbody>'
    for text, count in totals.errors.most_common():
        yield f'<tr><td class="name">{count:,}</td><td>{escape(text)}</td></tr>'
    yield "</tbody></table></section>"


def _changes(record: Iterable[Facts], earlier: Iterable[Facts] | None) -> Iterator[str]:
    if earlier is None:
        return
    yield "<section><h2>What changed</h2>"
    shown = list(itertools.islice(compare(earlier, record), _MAX_CHANGES + 1))
    if not shown:
        yield "<p>Nothing.</p></section>"
        return
    if len(shown) > _MAX_CHANGES:
        yield f"<p>Only the first {_MAX_CHANGES:,} changes are shown.</p>"
    yield '<table class="servers"><thead><tr><th scope="col">server</th><th scope="col">change</th>'
    yield '<th scope="col">what</th></tr></thead><tbody>'
    for change in shown[:_MAX_CHANGES]:
        level = {"new": "note", "gone": "warning"}.get(change.kind, "note")
        word = f'<b class="level {level}">{escape(change.kind)}</b>'
        yield f'<tr><td data-name="server">{escape(change.target)}</td><td data-name="change">{word}</td>'
        yield f'<td data-name="what">{"".join(_change(change))}</td></tr>'
    yield "</tbody></table></section>"


def _change(change: Change) -> Iterator[str]:
    for name in change.appeared:
        yield f"<div>new finding: {escape(name)}</div>"
    for name in change.disappeared:
        yield f'<div>no more: <span class="was">{escape(name)}</span></div>'
    for name, (before, now) in change.facts.items():
        old, new = (escape(text or "nothing") for text in (before, now))
        yield f'<div>{escape(name)}: <span class="was">{old}</span> &rarr; {new}</div>'

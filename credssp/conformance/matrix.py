"""One HTML page: a matrix of rules and peers, and the findings.

It refers to nothing outside and has no script, so that it also works as an artifact of a CI server that allows neither;
areas and findings are picked by style sheet alone. Every verdict has a sign of its own: colours alone are not for
everybody. They are those of Okabe and Ito, which stay apart for the colour-blind.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

from credssp.__about__ import __version__
from credssp.conformance.result import Report, Result
from credssp.conformance.rule import AREAS, Rule, Verdict

__all__ = ["as_html"]

_SIGNS: Final = {
    Verdict.PASS: ("\u2713", "as the rule expects"),
    Verdict.LENIENT: ("\u2248", "took what it could have refused"),
    Verdict.FAIL: ("\u2717", "not as the rule expects"),
    Verdict.HANG: ("\u2026", "neither an answer nor a close in time"),
    Verdict.CRASH: ("!", "ended in an unintended way"),
    Verdict.SKIP: ("\u00b7", "could not be tried"),
}

_STYLE: Final = """
:root { color-scheme: light dark; --line: #bbb; --back: #fff; --text: #1a1a1a; --head: #eef1f4; --faint: #767676 }
@media (prefers-color-scheme: dark) { :root { --line: #555; --back: #181a1c; --text: #e6e6e6; --head: #2a2e33;
  --faint: #9a9a9a } }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: var(--text); background: var(--back) }
h1 { margin: 0 0 .2em } ul.counts { padding-left: 1.2em } .controls { margin: 1em 0 }
.controls label, .legend span.item { margin-right: .9em; white-space: nowrap }
table { border-collapse: collapse } td, th { border: 1px solid var(--line); padding: .15em .45em; text-align: left;
  vertical-align: middle }
thead th { position: sticky; top: 0; background: var(--head); z-index: 1; vertical-align: bottom }
thead th.peer { padding: .4em .15em; height: 14em; text-align: left }
thead th.peer div { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 17em; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap }
tbody th.area { background: var(--head); font-weight: 600 }
td.id { white-space: nowrap; font-variant-numeric: tabular-nums } td.section { color: var(--faint); font-size: 90% }
.v { text-align: center; min-width: 1.7em; font-weight: bold } .v a { display: block; color: inherit;
  text-decoration: none } .v a:hover { outline: 2px solid }
.pass { background: #cfeee3; color: #004d38 } .lenient { background: #f0e442; color: #3a3600 }
.fail { background: #d55e00; color: #fff } .hang { background: #cc79a7; color: #2b0018 }
.crash { background: #000; color: #fff } .skip { color: var(--faint); font-weight: normal }
.known { background-image: repeating-linear-gradient(45deg, #0003 0 3px, transparent 3px 7px) }
.legend .v { display: inline-block; border: 1px solid var(--line); padding: 0 .2em; margin-right: .3em }
section { border-left: 4px solid var(--line); padding-left: 1em; margin: 1em 0 } section:target { border-color: #0072b2;
  background: #0072b222 }
pre { white-space: pre-wrap; word-break: break-all; margin: .3em 0 }
@media print { .controls { display: none } }
"""


def as_html(reports: Sequence[Report], *, reveal: bool = False) -> str:
    """Return the page."""
    found = {result.rule.id: result.rule for report in reports for result in report.results}
    rules = {rule_id: found[rule_id] for rule_id in sorted(found)}
    areas = [area for area in AREAS if any(rule.area == area for rule in rules.values())]
    findings = _Findings(reports, reveal=reveal)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>CredSSP conformance</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}{_picks(areas)}</style></head><body>'
        f"<h1>CredSSP conformance</h1><p>credssp {__version__}, {len(rules)} rules</p>"
        f"{_counts(reports)}{_controls(areas)}{_legend()}{_table(reports, rules, areas, findings)}"
        f"<h2>Findings</h2>{findings.text() or '<p>None.</p>'}</body></html>\n"
    )


class _Findings:
    """What the cells lead to."""

    def __init__(self, reports: Sequence[Report], *, reveal: bool) -> None:
        self._parts: list[str] = []
        self._anchors: dict[tuple[int, str], str] = {}
        for number, report in enumerate(reports):
            for result in report.results:
                if result.verdict in (Verdict.PASS, Verdict.SKIP):
                    continue
                anchor = f"f{len(self._parts) + 1}"
                self._anchors.setdefault((number, result.rule.id), anchor)
                text = _escape("\n".join(result.describe(reveal=reveal)))
                self._parts.append(
                    f'<section id="{anchor}" class="{result.rule.area}"><h3>{_escape(report.peer)}, {report.side}: '
                    f"{result.rule.id}</h3><pre>{text}</pre></section>"
                )

    def anchor(self, report: int, rule_id: str) -> str:
        """Return where the first finding of a report about a rule is, or an empty string."""
        return self._anchors.get((report, rule_id), "")

    def text(self) -> str:
        """Return all of them."""
        return "".join(self._parts)


def _picks(areas: Sequence[str]) -> str:
    """Return the style that leaves one area, or the rules with findings."""
    rules = [f"body:has(#pick-{area}:checked) :is(tbody, section):not(.{area}) {{ display: none }}" for area in areas]
    return "\n".join([*rules, "body:has(#only:checked) tr.good { display: none }"])


def _controls(areas: Sequence[str]) -> str:
    picks = [("all", "all areas"), *((area, area) for area in areas)]
    radios = "".join(
        f'<label title="{_escape(AREAS.get(name, "every area"))}"><input type="radio" name="area" id="pick-{name}"'
        f"{' checked' if name == 'all' else ''}> {label}</label>"
        for name, label in picks
    )
    return (
        f'<div class="controls">{radios}<br><label><input type="checkbox" id="only"> only rules with findings</label>'
        "</div>"
    )


def _legend() -> str:
    items = "".join(
        f'<span class="item"><span class="v {verdict.value}">{sign}</span>{verdict.value}: {meaning}</span>'
        for verdict, (sign, meaning) in _SIGNS.items()
    )
    known = '<span class="item"><span class="v fail known">\u2717</span>hatched: expected, with a reason</span>'
    return f'<p class="legend">{items}{known}</p>'


def _counts(reports: Sequence[Report]) -> str:
    lines = "".join(
        f"<li>{_escape(report.peer)}, {report.side}: "
        + (_escape(report.trouble) or ", ".join(f"{report.count(v)} {v.value}" for v in Verdict if report.count(v)))
        + "</li>"
        for report in reports
    )
    return f'<ul class="counts">{lines}</ul>'


def _table(reports: Sequence[Report], rules: dict[str, Rule], areas: Sequence[str], findings: _Findings) -> str:
    head = "".join(
        f'<th class="peer" title="{_escape(report.peer)}"><div>{_escape(report.peer)} ({report.side})</div></th>'
        for report in reports
    )
    by_rule: list[dict[str, list[Result]]] = []
    for report in reports:
        found: dict[str, list[Result]] = {}
        for result in report.results:
            found.setdefault(result.rule.id, []).append(result)
        by_rule.append(found)
    bodies = []
    for area in areas:
        rows = []
        for rule in rules.values():
            if rule.area != area:
                continue
            cells = [
                _cell(report, found.get(rule.id, []), findings.anchor(number, rule.id), rule.id)
                for number, (report, found) in enumerate(zip(reports, by_rule, strict=True))
            ]
            good = not any(findings.anchor(number, rule.id) for number in range(len(reports)))
            hint = _escape(f"{rule.stimulus}: {rule.expected}")
            rows.append(
                f'<tr{" class=good" if good else ""}><td class="id">{rule.id}</td><td title="{hint}">'
                f'{_escape(rule.title)}</td><td>{rule.level.value}</td><td class="section">{_escape(rule.section)}</td>'
                f"{''.join(cells)}</tr>"
            )
        title = f'<tr><th class="area" colspan="{4 + len(reports)}">{area}: {_escape(AREAS[area])}</th></tr>'
        bodies.append(f'<tbody class="{area}">{title}{"".join(rows)}</tbody>')
    return (
        f"<table><thead><tr><th>rule</th><th>what</th><th>level</th><th>section</th>{head}</tr></thead>"
        f"{''.join(bodies)}</table>"
    )


def _cell(report: Report, found: Sequence[Result], anchor: str, rule_id: str) -> str:
    if not found:
        return '<td class="v" title="not tried"></td>'
    verdict = report.verdict_of(rule_id)
    details = "; ".join(dict.fromkeys(result.outcome.detail for result in found if result.outcome.detail))
    known = bool(anchor) and not verdict.is_good and not any(result.matters for result in found)
    sign = _SIGNS[verdict][0]
    title = _escape(f"{verdict.value}: {details}" if details else verdict.value)
    inner = f'<a href="#{anchor}" aria-label="{verdict.value}">{sign}</a>' if anchor else sign
    return f'<td class="v {verdict.value}{" known" if known else ""}" title="{title}">{inner}</td>'


def _escape(text: str) -> str:
    """Return text that no browser takes for anything else, whatever a peer put into it."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in text)
    return html.escape(shown, quote=True)

"""A matrix of rules and peers: as text, or with the findings on one HTML page.

The page refers to nothing outside and has no script, so that it also works as an artifact of a CI server that allows
neither; areas and findings are picked by style sheet alone. Every verdict has a sign of its own: colours alone are not
for everybody. They are those of Okabe and Ito, which stay apart for the colour-blind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from credssp.conformance.result import LEVELS, Report, Result
from credssp.conformance.rule import AREAS, Rule, Verdict
from credssp.pages import document, escape, escape_lines, scrolling

__all__ = ["as_html", "as_table"]

_SIGNS: Final = {
    Verdict.PASS: ("\u2713", "as the rule expects"),
    Verdict.LENIENT: ("\u2248", "took what it could have refused"),
    Verdict.FAIL: ("\u2717", "not as the rule expects"),
    Verdict.HANG: ("\u2026", "neither an answer nor a close in time"),
    Verdict.CRASH: ("!", "ended in an unintended way"),
    Verdict.SKIP: ("\u00b7", "could not be tried"),
}

_LETTERS: Final = {
    Verdict.PASS: ".",
    Verdict.LENIENT: "~",
    Verdict.FAIL: "F",
    Verdict.HANG: "H",
    Verdict.CRASH: "C",
    Verdict.SKIP: "-",
}
"""Signs where there may be nothing but ASCII."""

_STYLE: Final = """
body { max-width: none; margin: 1.5em auto }
ul.counts { padding-left: 1.2em } .controls { margin: 1em 0 }
.controls label, .legend span.item { display: inline-block; margin-right: .9em }
h1, h3, li { overflow-wrap: anywhere }
table { width: auto } td, th { border: 1px solid var(--line); padding: .15em .45em; text-align: left;
  vertical-align: middle }
thead th { position: sticky; top: 0; background: var(--box); z-index: 1; vertical-align: bottom }
thead th.peer { padding: .4em .15em; height: 14em; text-align: left }
thead th.peer div { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 17em; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap }
tbody th.area { background: var(--box); font-weight: 600 }
td.what { min-width: 15em } td.level { white-space: nowrap }
td.id { white-space: nowrap; font-variant-numeric: tabular-nums } td.section { color: var(--faint);
  font-size: 90%; min-width: 9em }
.v { text-align: center; min-width: 1.7em; font-weight: bold } .v a { display: block; color: inherit;
  text-decoration: none } .v a:hover { outline: 2px solid }
.pass { background: #cfeee3; color: #004d38 } .lenient { background: #f0e442; color: #3a3600 }
.fail { background: #d55e00; color: #fff } .hang { background: #cc79a7; color: #2b0018 }
.crash { background: #000; color: #fff } .skip { color: var(--faint); font-weight: normal }
.known { background-image: repeating-linear-gradient(45deg, #0003 0 3px, transparent 3px 7px) }
.legend .v { display: inline-block; border: 1px solid var(--line); padding: 0 .2em; margin-right: .3em }
section { border-top: 0; border-left: 4px solid var(--line); padding: 0 0 0 1em; margin: 1em 0 }
section:target { border-color: #0072b2; background: #0072b222 }
pre { white-space: pre-wrap; word-break: break-all; margin: .3em 0 }
@media print { .controls { display: none } }
"""


def as_table(reports: Sequence[Report]) -> list[str]:
    """Return the matrix as lines of text: a column for each peer, numbered, in front of each rule that was tried."""
    meanings = ", ".join(f"{letter} {verdict.value}" for verdict, letter in _LETTERS.items())
    lines = [f"Peers by rules ({meanings}; lower case: known)"]
    lines += [f"  {number:>2}  {report.peer} ({report.side})" for number, report in enumerate(reports, 1)]
    lines += ["", "".join(f"{number:>3}" for number in range(1, len(reports) + 1))]
    found = {result.rule.id: result.rule for report in reports for result in report.results}
    for rule in sorted(found.values(), key=lambda rule: (list(AREAS).index(rule.area), rule.id)):
        letters = [_letter(report, rule.id) for report in reports]
        if set(letters) != {_LETTERS[Verdict.SKIP]}:
            cells = "".join(f"{letter:>3}" for letter in letters)
            lines.append(f"{cells}  {rule.id:<15} {rule.level.value:<10} {rule.title}")
    return lines


def _letter(report: Report, rule_id: str) -> str:
    letter = _LETTERS[report.verdict_of(rule_id)]
    matters = any(result.matters for result in report.results if result.rule.id == rule_id)
    return letter if matters else letter.lower()


def as_html(reports: Sequence[Report], *, reveal: bool = False) -> str:
    """Return the page."""
    found = {result.rule.id: result.rule for report in reports for result in report.results}
    rules = {rule_id: found[rule_id] for rule_id in sorted(found)}
    areas = [area for area in AREAS if any(rule.area == area for rule in rules.values())]
    findings = _Findings(reports, reveal=reveal)
    body = (
        f"<h1>CredSSP conformance</h1><p>{len(rules)} rules</p>",
        f"{_counts(reports)}{_controls(areas)}{_legend()}{_table(reports, rules, areas, findings)}",
        f"<h2>Findings</h2>{findings.text() or '<p>None.</p>'}",
    )
    return "\n".join([*document("CredSSP conformance", body, style=_STYLE + _picks(areas)), ""])


class _Findings:
    """What the cells lead to."""

    def __init__(self, reports: Sequence[Report], *, reveal: bool) -> None:
        self._parts: list[str] = []
        self._anchors: dict[tuple[int, str], str] = {}
        for number, report in enumerate(reports):
            for result in sorted(report.results, key=lambda result: LEVELS.index(result.rule.level)):
                if result.verdict in (Verdict.PASS, Verdict.SKIP):
                    continue
                anchor = f"f{len(self._parts) + 1}"
                self._anchors.setdefault((number, result.rule.id), anchor)
                text = escape_lines("\n".join(report.describe(result, reveal=reveal)))
                self._parts.append(
                    f'<section id="{anchor}" class="{result.rule.area}"><h3>{result.verdict.value}: {result.rule.id}, '
                    f"{escape(report.peer)} ({report.side})</h3><pre>{text}</pre></section>"
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
        f'<label title="{escape(AREAS.get(name, "every area"))}"><input type="radio" name="area" id="pick-{name}"'
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
    same = len(reports) > 1 and all(report.facts == reports[0].facts for report in reports)
    lines = "".join(
        f"<li>{escape(report.peer)}, {report.side}: <strong>{escape(report.verdict)}</strong>: "
        + (escape(report.trouble) or ", ".join(f"{report.count(v)} {v.value}" for v in Verdict if report.count(v)))
        + ("" if same else _made(report))
        + "</li>"
        for report in reports
    )
    return f'<ul class="counts">{lines}</ul>{f"<p>{_made(reports[0])}</p>" if same else ""}'


def _made(report: Report) -> str:
    return "".join(f"<br>{escape(report.facts[name])}" for name in ("date", "command") if name in report.facts)


def _table(reports: Sequence[Report], rules: dict[str, Rule], areas: Sequence[str], findings: _Findings) -> str:
    head = "".join(
        f'<th class="peer" title="{escape(report.peer)}"><div>{escape(report.peer)} ({report.side})</div></th>'
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
            hint = escape(f"{rule.stimulus}: {rule.expected}")
            rows.append(
                f'<tr{" class=good" if good else ""}>{"".join(cells)}<td class="id">{rule.id}</td>'
                f'<td class="what" title="{hint}">{escape(rule.title)}</td><td class="level">{rule.level.value}</td>'
                f'<td class="section">{escape(rule.section)}</td></tr>'
            )
        title = f'<tr><th class="area" colspan="{4 + len(reports)}">{area}: {escape(AREAS[area])}</th></tr>'
        bodies.append(f'<tbody class="{area}">{title}{"".join(rows)}</tbody>')
    return scrolling(
        "rules and peers",
        f"<table><thead><tr>{head}<th>rule</th><th>what</th><th>level</th><th>section</th></tr></thead>"
        f"{''.join(bodies)}</table>",
    )


def _cell(report: Report, found: Sequence[Result], anchor: str, rule_id: str) -> str:
    if not found:
        return '<td class="v" title="not tried"></td>'
    verdict = report.verdict_of(rule_id)
    details = "; ".join(dict.fromkeys(result.outcome.detail for result in found if result.outcome.detail))
    known = bool(anchor) and not verdict.is_good and not any(result.matters for result in found)
    sign = _SIGNS[verdict][0]
    title = escape(f"{verdict.value}: {details}" if details else verdict.value)
    inner = f'<a href="#{anchor}" aria-label="{verdict.value}">{sign}</a>' if anchor else sign
    return f'<td class="v {verdict.value}{" known" if known else ""}" title="{title}">{inner}</td>'

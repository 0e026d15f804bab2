"""Reports: text, JSON, JUnit XML, and one HTML page with a matrix of rules and peers.

Octets are shown up to `SHOWN` of each message: enough for headers, flags and fields, and short of the proof in an NTLM
AUTHENTICATE, against which passwords can be guessed. ``reveal`` shows all.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree  # written here, never read

from credssp.__about__ import __version__
from credssp.conformance.rule import Evidence, Verdict
from credssp.conformance.runner import Report, Result

__all__ = ["SHOWN", "as_html", "as_json", "as_junit", "as_text", "describe_result"]

SHOWN = 64
"""Octets of a message that are shown: TSRequest header, version and the beginning of a token."""

_LEVELS = ("SECURITY", "MUST", "SHOULD", "ROBUSTNESS", "MAY")


def _octets(evidence: Evidence, *, reveal: bool) -> str:
    data = evidence.data if reveal else evidence.data[:SHOWN]
    more = "" if len(data) == len(evidence.data) else f"... ({len(evidence.data)} octets)"
    return f"{data.hex()}{more}"


def describe_result(result: Result, *, reveal: bool = False) -> list[str]:
    """Return what is to be said about a finding: rule, section, expectation, what was seen, octets."""
    rule = result.rule
    lines = [
        f"{rule.id} [{rule.level.value}] {result.verdict.value.upper()}: {rule.title}",
        f"  section   {rule.section}",
        f"  stimulus  {rule.stimulus}",
        f"  expected  {rule.expected}",
        f"  seen      {result.outcome.detail or result.verdict.value}",
    ]
    if result.subject:
        lines.insert(1, f"  exchange  {result.subject} ({result.side.value})")
    if result.expected:
        lines.append(f"  known     {result.expected}")
    for item in result.outcome.evidence:
        note = f"  ({item.note})" if item.note else ""
        lines.append(f"  {item.sender:<9} {_octets(item, reveal=reveal)}{note}")
    return lines


def as_text(report: Report, *, reveal: bool = False, verbose: bool = False) -> str:
    """Return findings, then the counts."""
    lines: list[str] = []
    for result in report.results:
        if not result.verdict.is_good or (verbose and result.verdict is not Verdict.PASS):
            lines += [*describe_result(result, reveal=reveal), ""]
    if report.trouble:
        lines += [report.trouble, ""]
    counts = ", ".join(f"{report.count(verdict)} {verdict.value}" for verdict in Verdict if report.count(verdict))
    known = sum(1 for result in report.results if result.expected)
    lines.append(f"{report.peer} ({report.side}): {counts or 'nothing tried'}{f'; {known} known' if known else ''}")
    return "\n".join(lines)


def as_json(report: Report, *, reveal: bool = False) -> str:
    """Return one JSON object."""
    value = {
        "suite": f"credssp {__version__}",
        "peer": report.peer,
        "side": report.side,
        "ok": report.ok,
        "trouble": report.trouble,
        "facts": report.facts,
        "counts": {verdict.value: report.count(verdict) for verdict in Verdict},
        "results": [
            {
                "rule": result.rule.id,
                "title": result.rule.title,
                "level": result.rule.level.value,
                "side": result.side.value,
                "section": result.rule.section,
                "stimulus": result.rule.stimulus,
                "expected": result.rule.expected,
                "verdict": result.verdict.value,
                "detail": result.outcome.detail,
                "known": result.expected,
                "exchange": result.subject,
                "seconds": round(result.seconds, 3),
                "evidence": [
                    {"from": item.sender, "octets": _octets(item, reveal=reveal), "note": item.note}
                    for item in result.outcome.evidence
                ]
                if result.verdict not in (Verdict.PASS, Verdict.SKIP)
                else [],
            }
            for result in report.results
        ],
    }
    return json.dumps(value, indent=2)


def as_junit(report: Report, *, reveal: bool = False) -> str:
    """Return JUnit XML: failures for what has to be acted on, skips for what could not be tried or is known."""
    suite = ElementTree.Element("testsuite", name=f"credssp conformance {report.side}", tests=str(len(report.results)))
    failures = skipped = 0
    for result in report.results:
        name = f"{result.rule.id} {result.rule.title}" + (f" [{result.subject}]" if result.subject else "")
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"{report.peer}.{result.rule.area}", name=name, time=f"{result.seconds:.3f}"
        )
        text = "\n".join(describe_result(result, reveal=reveal))
        if result.matters:
            failures += 1
            ElementTree.SubElement(
                case, "failure", type=result.verdict.value, message=result.outcome.detail
            ).text = text
        elif result.expected or result.verdict is Verdict.SKIP:
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=result.expected or result.outcome.detail)
        elif result.verdict is Verdict.LENIENT:
            ElementTree.SubElement(case, "system-out").text = text
    if report.trouble:
        failures += 1
        case = ElementTree.SubElement(suite, "testcase", classname=report.peer, name="a good login")
        ElementTree.SubElement(case, "failure", type="trouble", message=report.trouble)
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; max-width: 75em; color: #222; background: #fff }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: .25em .5em; text-align: left }
th { background: #f2f2f2; position: sticky; top: 0 } td.v { text-align: center; font-weight: bold }
.pass { background: #dff3df } .fail { background: #f8caca } .hang, .crash { background: #e9b3e9 }
.lenient { background: #fdf1c8 } .skip { background: #f4f4f4; color: #777; font-weight: normal }
pre { background: #f7f7f7; padding: .75em; overflow-x: auto; white-space: pre-wrap; word-break: break-all }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1b1b1b } th, pre { background: #2a2a2a }
td.v { color: #111 } }
"""


def as_html(reports: Sequence[Report], *, reveal: bool = False) -> str:
    """Return one page without references to anything outside: a matrix of rules and peers, then the findings."""
    rules = {result.rule.id: result.rule for report in reports for result in report.results}
    head = "".join(f"<th>{_escape(report.peer)}<br>{report.side}</th>" for report in reports)
    rows = []
    for rule in rules.values():
        cells = "".join(_cell(report, rule.id) for report in reports)
        hint = _escape(f"{rule.stimulus}: {rule.expected}")
        rows.append(
            f'<tr><td title="{hint}">{rule.id}</td><td>{_escape(rule.title)}</td><td>{rule.level.value}</td>'
            f"<td>{_escape(rule.section)}</td>{cells}</tr>"
        )
    findings = []
    for report in reports:
        for result in report.results:
            if not result.verdict.is_good or result.verdict is Verdict.LENIENT:
                text = _escape("\n".join(describe_result(result, reveal=reveal)))
                findings.append(
                    f'<h3 id="{_anchor(report, result.rule.id)}">{_escape(report.peer)}</h3><pre>{text}</pre>'
                )
    counts = "".join(
        f"<li>{_escape(report.peer)}, {report.side}: "
        + (_escape(report.trouble) or ", ".join(f"{report.count(v)} {v.value}" for v in Verdict))
        + "</li>"
        for report in reports
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>CredSSP conformance</title>'
        f"<style>{_STYLE}</style></head><body><h1>CredSSP conformance</h1><p>credssp {__version__}</p>"
        f"<ul>{counts}</ul><table><thead><tr><th>rule</th><th>what</th><th>level</th><th>section</th>{head}</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table><h2>Findings</h2>"
        f"{''.join(findings) or '<p>None.</p>'}</body></html>\n"
    )


def _cell(report: Report, rule_id: str) -> str:
    verdict = report.verdict_of(rule_id)
    found = [result for result in report.results if result.rule.id == rule_id]
    details = _escape("; ".join(dict.fromkeys(result.outcome.detail for result in found if result.outcome.detail)))
    text = verdict.value if found else ""
    if verdict in (Verdict.PASS, Verdict.SKIP):
        return f'<td class="v {verdict.value}" title="{details}">{text}</td>'
    anchor = _anchor(report, rule_id)
    return f'<td class="v {verdict.value}" title="{details}"><a href="#{anchor}">{text}</a></td>'


def _anchor(report: Report, rule_id: str) -> str:
    return f"{report.side}-{abs(hash(report.peer)) % 100000}-{rule_id}"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def summary_table(reports: Mapping[str, Report]) -> list[str]:
    """Return the lines of a Markdown table of counts by level."""
    lines = ["| peer | pass | lenient | fail | hang | crash | skip |", "| --- | --: | --: | --: | --: | --: | --: |"]
    order = (Verdict.PASS, Verdict.LENIENT, Verdict.FAIL, Verdict.HANG, Verdict.CRASH, Verdict.SKIP)
    for name, report in reports.items():
        cells = " | ".join(str(report.count(verdict)) for verdict in order)
        lines.append(f"| {name} | {cells} |")
    return lines

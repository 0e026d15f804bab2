"""Reports as text, JSON and JUnit XML; the HTML page is `credssp.conformance.matrix`.

How much of the bytes they show is decided in `credssp.conformance.rule.Evidence`.
"""

from __future__ import annotations

import json
import re
from typing import Final
from xml.etree import ElementTree  # written here, never read

from credssp.__about__ import __version__
from credssp.conformance.matrix import as_html, as_table
from credssp.conformance.result import Report
from credssp.conformance.rule import SHOWN, Verdict
from credssp.pages import visible

__all__ = ["REPORT_FORMAT", "SHOWN", "as_html", "as_json", "as_junit", "as_table", "as_text"]

REPORT_FORMAT: Final = 2
"""Of `as_json`; docs/reference/conformance-formats.md says what may be added without a new number. 1 had the members
`from` and `octets` of evidence."""

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot contain; findings quote texts that peers choose."""


def as_text(report: Report, *, reveal: bool = False, verbose: bool = False) -> str:
    """Return a banner, findings (SECURITY first), each with the command that tries it again, and the counts."""
    command = report.facts.get("command", "")
    about = [f"credssp {__version__}", *(report.facts[name] for name in ("date",) if name in report.facts)]
    lines = [f"{report.peer} ({report.side}): {report.verdict}", ", ".join(about), *filter(None, (command,)), ""]
    shown = [*report.findings, *(result for result in report.results if result.verdict.is_good and result.varies)]
    if verbose:
        others = (Verdict.LENIENT, Verdict.SKIP)
        shown += [result for result in report.results if result.verdict in others and not result.varies]
    for result in shown:
        lines += [*report.describe(result, reveal=reveal), ""]
    if report.trouble:
        lines += [report.trouble, ""]
    if len(peers := report.by_peer()) > 1:
        lines += [*as_table(peers), ""]
    counts = ", ".join(f"{report.count(verdict)} {verdict.value}" for verdict in Verdict if report.count(verdict))
    known = sum(1 for result in report.results if result.expected)
    varying = [result.rule.id for result in report.results if result.varies]
    if varying:
        lines.append(f"not the same in all {report.facts['runs']} runs: {', '.join(varying)}")
    lines.append(f"{report.peer} ({report.side}): {counts or 'nothing tried'}{f'; {known} known' if known else ''}")
    if "seed" in report.facts and not command:
        lines.append(f"repeat this run with --seed {report.facts['seed']}")
    return "\n".join(map(visible, lines))


def as_json(report: Report, *, reveal: bool = False) -> str:
    """Return one JSON object; see docs/reference/conformance-formats.md."""
    value = {
        "format": REPORT_FORMAT,
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
                "rationale": result.rule.rationale,
                "verdict": result.verdict.value,
                "detail": result.outcome.detail,
                "known": result.expected,
                "exchange": result.subject,
                "program": result.program,
                "seconds": round(result.seconds, 3),
                "again": "" if result.verdict.is_good else report.again(result.rule.id),
                "verdicts": [verdict.value for verdict in result.verdicts],
                "evidence": [
                    {
                        "sender": item.sender,
                        "data": item.shown(reveal=reveal).hex(),
                        "size": len(item.data),
                        "note": item.note,
                    }
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
    suite = ElementTree.Element("testsuite", name=f"credssp conformance {report.side}")
    for result in report.results:
        name = f"{result.rule.id} {result.rule.title}" + (f" [{result.subject}]" if result.subject else "")
        case = _case(suite, f"{report.peer}.{result.rule.area}", name, result.seconds)
        text = "\n".join(report.describe(result, reveal=reveal))
        if result.matters:
            _child(case, "failure", text, type=result.verdict.value, message=result.outcome.detail)
        elif result.expected or result.verdict is Verdict.SKIP:
            _child(case, "skipped", "", message=result.expected or result.outcome.detail)
        elif result.verdict is Verdict.LENIENT:
            _child(case, "system-out", text)
    if report.trouble:
        case = _case(suite, report.peer, "a good login", 0.0)
        _child(case, "failure", report.trouble, type="trouble", message=report.trouble)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("time", f"{sum(result.seconds for result in report.results):.3f}")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _case(suite: ElementTree.Element, classname: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=_xml(classname), name=_xml(name), time=f"{seconds:.3f}")


def _child(case: ElementTree.Element, tag: str, text: str, **attributes: str) -> None:
    child = ElementTree.SubElement(case, tag, {name: _xml(value) for name, value in attributes.items()})
    child.text = _xml(text) or None


def _xml(text: str) -> str:
    """Replace what XML cannot hold by its number."""
    return _NOT_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

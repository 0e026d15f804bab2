"""A record as JUnit XML: a test for every server, which fails where it has a finding to act on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, Final
from xml.sax.saxutils import escape, quoteattr  # written here, never read

from credssp.fleet.record import Facts
from credssp.fleet.totals import LEVELS, level_of

__all__ = ["quoted", "seconds_of", "text_of", "write_junit", "write_suite"]

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot contain; facts quote texts that servers choose."""


def write_junit(record: Iterable[Facts], stream: IO[str]) -> None:
    """Write the report; goes twice through the record.

    A server with a finding of level ``error`` is a failure, one that did not answer is skipped, and findings of other
    levels are in the output of its test.
    """
    tests = failures = skipped = 0
    seconds = 0.0
    for facts in record:
        tests += 1
        failures += bool(_errors(facts))
        skipped += not facts.get("answered") and not _errors(facts)
        seconds += seconds_of(facts)
    counts = {"tests": tests, "failures": failures, "errors": 0, "skipped": skipped}
    write_suite(stream, "probe", counts, seconds, record, _contents)


def write_suite(
    stream: IO[str],
    command: str,
    counts: Mapping[str, int],
    seconds: float,
    record: Iterable[Facts],
    contents: Callable[[Facts], Iterable[str]],
) -> None:
    """Write a test for each server.

    Args:
        stream: where to.
        command: the name of the command.
        counts: ``tests``, ``failures``, ``errors`` and ``skipped``.
        seconds: how long all took.
        record: the results.
        contents: returns what is inside the test of a server.
    """
    numbers = " ".join(f'{name}="{count}"' for name, count in counts.items())
    stream.write("<?xml version='1.0' encoding='utf-8'?>\n")
    stream.write(f'<testsuite name="credssp {command}" {numbers} time="{seconds:.3f}">\n')
    for facts in record:
        name = quoted(facts["target"])
        stream.write(f'<testcase classname="credssp.{command}" name={name} time="{seconds_of(facts):.3f}">')
        stream.writelines(contents(facts))
        stream.write("</testcase>\n")
    stream.write("</testsuite>\n")


def _contents(facts: Facts) -> Iterator[str]:
    errors = _errors(facts)
    for each in errors:
        yield f"<failure type={quoted(each.get('id', ''))} message={quoted(each.get('seen', ''))}>"
        yield f"{text_of(_described(each))}</failure>"
    if not errors and not facts.get("answered"):
        error = facts.get("error")
        yield f"<skipped message={quoted((error or {}).get('text', 'no answer'))}/>"
    others = [each for each in _findings(facts) if level_of(each) != "error"]
    if others:
        yield f"<system-out>{text_of(chr(10).join(map(_described, others)))}</system-out>"


def _findings(facts: Facts) -> list[dict[str, Any]]:
    found = [each for each in facts.get("findings") or () if isinstance(each, dict)]
    return sorted(found, key=lambda each: LEVELS.index(level_of(each)))


def _errors(facts: Facts) -> list[dict[str, Any]]:
    """Return what is to be acted on. Who does not answer has no fault as a server, whatever is said about the way."""
    return [each for each in _findings(facts) if level_of(each) == "error"] if facts.get("answered") else []


def _described(finding: dict[str, Any]) -> str:
    head = f"{finding.get('id', '')} ({level_of(finding)}): {finding.get('seen', '')}"
    return "\n".join([head, *(f"{name}: {finding[name]}" for name in ("why", "advice", "do") if finding.get(name))])


def seconds_of(facts: Facts) -> float:
    """Return how long a server took."""
    value = facts.get("seconds")
    return float(value) if isinstance(value, int | float) else 0.0


def _xml(value: object) -> str:
    """Replace what XML cannot hold by its number."""
    return _NOT_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", str(value))


def quoted(value: object) -> str:
    """Return an attribute's value in its quotes."""
    return quoteattr(_xml(value))


def text_of(value: str) -> str:
    """Return the text of an element."""
    return escape(_xml(value))

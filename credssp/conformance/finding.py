"""What is said about a finding: rule, section, expectation, what was seen, octets.

Octets are shown up to `SHOWN` of each message: enough for headers, flags and fields, and short of the proof in an NTLM
AUTHENTICATE, against which passwords can be guessed. ``reveal`` shows all.
"""

from __future__ import annotations

from typing import Final

from credssp.conformance.rule import Evidence
from credssp.conformance.runner import Result

__all__ = ["SHOWN", "describe_result", "shown"]

SHOWN: Final = 64
"""Octets of a message that are shown: TSRequest header, version and the beginning of a token."""


def shown(evidence: Evidence, *, reveal: bool = False) -> bytes:
    """Return the octets of a message that may be shown."""
    return evidence.data if reveal else evidence.data[:SHOWN]


def _octets(evidence: Evidence, *, reveal: bool) -> str:
    data = shown(evidence, reveal=reveal)
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

"""``credssp conformance rule``: what a rule says, why it exists, and a peer that breaks it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from credssp.conformance.explained import Example
    from credssp.conformance.rule import Rule

__all__ = ["as_object", "as_text"]

_WIDTH: Final = 100


def as_object(rule: Rule) -> dict[str, Any]:
    """Return a rule for JSON."""
    from credssp.conformance.explained import examples_of

    return {
        **rule.to_dict(),
        "rationale": rule.rationale,
        "examples": [
            {
                "side": example.side,
                "fault": example.fault,
                "verdict": example.verdict,
                "detail": example.detail,
                "messages": [
                    {
                        "sender": message.sender,
                        "data": message.start,
                        "size": message.size,
                        "note": message.note,
                        "tree": list(message.tree),
                    }
                    for message in example.messages
                ],
            }
            for example in examples_of(rule.id)
        ],
    }


def as_text(rule: Rule) -> list[str]:
    """Return the lines about a rule."""
    from credssp.conformance.explained import examples_of

    lines = [f"{rule.id} [{rule.level.value}] {rule.role.value}: {rule.title}"]
    for name in ("section", "stimulus", "expected"):
        lines += _wrapped(name, getattr(rule, name))
    if rule.rationale:
        lines += _wrapped("why", rule.rationale)
    for example in examples_of(rule.id):
        lines += ["", *_example(example)]
    return lines


def _example(example: Example) -> list[str]:
    lines = [f"  example: a {example.side} that is right but for one thing: {example.fault}"]
    lines += _wrapped("verdict", example.verdict) + _wrapped("seen", example.detail)
    for message in example.messages:
        lines.append(f"  {message.sender:<9} {message.describe()}")
        lines += [f"            {line}" for line in message.tree]
    return lines


def _wrapped(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"  {name:<9} ", subsequent_indent=" " * 12)

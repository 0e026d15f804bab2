"""Why each rule exists, and what the suite saw of a peer that breaks it.

Two files for each area, read when a rule of it is first asked for. ``AREA.toml`` has the rationales, written by people;
``AREA.json`` has the examples, recorded by ``python -m fixtures.record_examples`` from the peers with which the tests
break the rules. The accounts, keys and hosts in them are made up.
"""

from __future__ import annotations

import functools
import json
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

__all__ = ["Example", "ShownMessage", "examples_of", "rationale_of"]

_HERE: Final[Traversable] = files(__name__)


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message of an example.

    Attributes:
        sender: ``client`` or ``server``.
        start: its first bytes, in hexadecimal.
        size: bytes of the whole message.
        note: what it is, if it is not a TSRequest.
        tree: the lines of ``credssp decode`` for the whole message.
    """

    sender: str
    start: str
    size: int
    note: str = ""
    tree: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return its bytes in one line."""
        more = f"... ({self.size} bytes)" if self.size > len(self.start) // 2 else ""
        return f"{self.start}{more}{f'  ({self.note})' if self.note else ''}"


@dataclass(frozen=True, slots=True)
class Example:
    """What the suite saw of a peer that breaks a rule.

    Attributes:
        rule: the id of the rule.
        side: the role of the peer.
        fault: what the peer does wrong; it does everything else right.
        verdict: what the suite says.
        detail: what was seen.
        test: the test with that peer.
        messages: the last messages that went over.
    """

    rule: str
    side: str
    fault: str
    verdict: str
    detail: str
    test: str
    messages: tuple[ShownMessage, ...]


def rationale_of(rule_id: str) -> str:
    """Return why a rule exists, or an empty string for a rule of another catalogue."""
    return _rationales(_area(rule_id)).get(rule_id, "")


def examples_of(rule_id: str) -> tuple[Example, ...]:
    """Return the examples of a rule, one for each role that has one."""
    return tuple(example for example in _examples(_area(rule_id)) if example.rule == rule_id)


def _area(rule_id: str) -> str:
    return rule_id.partition("-")[2].partition("-")[0].upper()


@functools.cache
def _rationales(area: str) -> dict[str, str]:
    return {rule_id: " ".join(text.split()) for rule_id, text in tomllib.loads(_read(area, "toml")).items()}


@functools.cache
def _examples(area: str) -> tuple[Example, ...]:
    return tuple(_example(item) for item in json.loads(_read(area, "json") or "[]"))


def _example(item: dict[str, Any]) -> Example:
    messages = tuple(ShownMessage(**message | {"tree": tuple(message["tree"])}) for message in item["messages"])
    return Example(**item | {"messages": messages})


def _read(area: str, kind: str) -> str:
    found = _HERE / f"{area}.{kind}"
    return found.read_text(encoding="utf-8") if area.isalnum() and found.is_file() else ""

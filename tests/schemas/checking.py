"""Holds what a program printed against its schema: valid, without undocumented members, and every member seen.

The schemas allow members that they do not know, for the sake of later versions. Here none is: each object is closed
(``unevaluatedProperties``) before it is compared.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema

from credssp.schemas import schema

Schema = dict[str, Any]

OTHER_CREDENTIALS = tuple(
    f"common.delegated/{name}" for name in ("card", "reader", "container", "csp", "key_spec", "packages")
)
"""Members of credentials that are no password: test_events.py has them."""

BY_KERBEROS = tuple(f"common.exchange/{name}" for name in ("principal", "skipped/mechanism", "skipped/status"))
"""Members that need the libraries of Kerberos: tests/kerberos/test_cli.py has them."""


def check(unseen: Iterable[str] = (), /, **printed: Iterable[Any]) -> None:
    """Compare outputs with their schemas.

    Args:
        unseen: members that need not have been seen, as ``file.definition/member`` or ``output/member``: another
            test shows them.
        printed: by the name of the schema, with underscores: everything that was printed. The members of definitions
            that several of them share may be seen in any.
    """
    seen: set[str] = set()
    documented: set[str] = set()
    for key, values in printed.items():
        walk = walked(key.replace("_", "-"), values)
        documented |= set(walk.documented())
        seen |= walk.seen
    assert not (missing := documented - seen - set(unseen)), f"not seen: {sorted(missing)}"


def walked(name: str, values: Iterable[Any]) -> Walk:
    """Compare outputs with the schema of this name; returns what was seen."""
    walk = Walk(name)
    for value in values:
        walk.check(value)
    return walk


def lines(text: str) -> list[Any]:
    """Return what is in JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


class Walk:
    """One schema, and which of its members were seen with a value that is not null."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._whole = closed(schema(name))
        self._validator = jsonschema.Draft202012Validator(
            self._whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        self.seen: set[str] = set()

    def check(self, value: Any) -> None:
        error = jsonschema.exceptions.best_match(self._validator.iter_errors(value))
        assert error is None, f"{self._name}: {error.json_path}: {error.message[:2000]}\n{json.dumps(value)[:2000]}"
        self._visit(self._whole, value, self._name)

    def documented(self) -> Iterator[str]:
        """Yield every member, by the definition that it is in."""
        yield from _members(self._whole, self._name)
        for name, definition in self._whole.get("$defs", {}).items():
            yield from _members(definition, self._place(name))

    def _place(self, definition: str) -> str:
        """Return the name of a definition: the same in all outputs that share it."""
        return definition if "." in definition else f"{self._name}.{definition}"

    def _visit(self, part: Schema, value: Any, place: str) -> None:
        if "$ref" in part:
            name = part["$ref"].removeprefix("#/$defs/")
            self._visit(self._whole["$defs"][name], value, self._place(name))
        for each in part.get("allOf", ()):
            self._visit(each, value, place)
        for each in (*part.get("anyOf", ()), *part.get("oneOf", ())):
            if self._validator.evolve(schema=each).is_valid(value):
                self._visit(each, value, place)
        if isinstance(value, dict):
            for name, each in part.get("properties", {}).items():
                if value.get(name) is not None or (name in value and each.get("type") == "null"):
                    self.seen.add(f"{place}/{name}")
                    self._visit(each, value[name], f"{place}/{name}")
        if isinstance(value, list) and isinstance(part.get("items"), dict):
            for each in value:
                self._visit(part["items"], each, place)


def _members(part: Any, place: str) -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from _members(each, place)
        return
    if not isinstance(part, dict):
        return
    for key, each in part.items():
        if key == "properties":
            for name, member in each.items():
                yield f"{place}/{name}"
                yield from _members(member, f"{place}/{name}")
        elif key != "$defs":
            yield from _members(each, place)


def closed(part: Any) -> Any:
    """Return a schema whose objects have no members but those that are documented.

    A part without a type has members that several objects share; the objects that it is part of are closed.
    """
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return copy.copy(part)
    found = {key: closed(each) for key, each in part.items()}
    type_ = part.get("type")
    if (type_ == "object" or (isinstance(type_, list) and "object" in type_)) and "additionalProperties" not in part:
        found["unevaluatedProperties"] = False
    return found

"""A class name has one meaning: no public one is defined twice in the package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import credssp

PACKAGE = Path(credssp.__file__).parent

TWICE = {
    # The suite implements the interface of the same name, for connections of its own.
    "Protector": {"conformance/catalogue/_protector.py", "winrm/encryption.py"},
    # Both are documented: whom a rule judges (client, server, both), and which side an engine is.
    "Role": {"conformance/rule.py", "engine/state.py"},
}
"""Names that are defined twice all the same, each with its modules. Lines are taken out, and none is added."""


def definitions() -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name == "wire/schema.py":
            continue  # pyasn1's view of the structures, under the names that the ASN.1 modules give them
        if name.startswith("sspi/compat/"):
            continue  # the interfaces of other modules, under their names
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].add(name)
    return dict(found)


def test_no_public_class_name_is_defined_twice() -> None:
    twice = {name: modules for name, modules in definitions().items() if len(modules) > 1}
    assert {name: modules for name, modules in twice.items() if modules != TWICE.get(name)} == {}


@pytest.mark.parametrize("name", TWICE)
def test_the_list_of_exceptions_holds_nothing_that_is_settled(name: str) -> None:
    assert definitions().get(name) == TWICE[name]

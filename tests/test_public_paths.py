"""Every path that README and manual imported or named at 0.1.0 keeps working, wherever it leads now."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

_, MODULES, NAMES = (
    [line for line in part.splitlines() if not line.startswith("#") and line]
    for part in Path(__file__).with_name("public_paths.txt").read_text(encoding="utf-8").split(":\n")
)


def test_the_list_is_whole() -> None:
    assert (len(MODULES), len(NAMES)) == (66, 93)


@pytest.mark.parametrize("path", MODULES)
def test_module_can_be_imported(path: str) -> None:
    assert importlib.import_module(path).__doc__


@pytest.mark.parametrize("path", NAMES)
def test_name_can_be_imported(path: str) -> None:
    # In a module or, like the members of an enumeration, in a class of one.
    module, *attributes = path.rsplit(".", 2 if path.split(".")[-2][:1].isupper() else 1)
    found: object = importlib.import_module(module)
    for attribute in attributes:
        found = getattr(found, attribute)

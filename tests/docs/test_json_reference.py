"""docs/reference/json.md is made of the schemas, its examples run, and the other pages name the same members."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from credssp.schemas import source
from tests.docs.pages import DOCS, blocks
from tests.fleet.samples import FLEET
from tests.modules import load_generator


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load_generator("json_docs")


def test_tables_are_those_of_the_schemas(generator: ModuleType) -> None:
    text = generator.PAGE.read_text(encoding="utf-8")
    assert generator.page(text) == text, "run python docs/_ext/json_docs.py"


def test_links_of_the_page_lead_somewhere(generator: ModuleType) -> None:
    text = generator.PAGE.read_text(encoding="utf-8")
    headings = {generator.anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= headings


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_jq_finds_the_errors(generator: ModuleType) -> None:
    (block,) = blocks(generator.PAGE.read_text(encoding="utf-8"), "sh")
    found = re.search(r"jq -r '(.*)' found.jsonl", block.text, re.DOTALL)
    assert found
    lines = "".join(json.dumps(facts) + "\n" for facts in FLEET)
    done = subprocess.run(["jq", "-r", found[1]], input=lines, capture_output=True, text=True, check=True)
    assert done.stdout == "rdp://192.0.2.2:3389\tnla-off\tthis\n"


def names_in(part: Any) -> set[str]:
    """Return the names of all members in a schema."""
    if isinstance(part, list):
        return set().union(*map(names_in, part))
    if not isinstance(part, dict):
        return set()
    found = set(part.get("properties", ()))
    return found.union(*(names_in(each) for each in part.values()))


def test_the_page_of_events_has_the_members_of_the_schemas() -> None:
    text = (DOCS / "reference" / "events.md").read_text(encoding="utf-8")
    known = names_in(source("events")) | names_in(source("common"))
    definitions = source("events")["$defs"].values()
    events = {value for each in definitions for value in _constants(each)}
    assert {name for _, cells in _rows(text, "| event | when | further members |") for name in cells} == events
    further = {name for row, _ in _rows(text, "| event | when | further members |") for name in _names(row[-1])}
    members = {name for _, cells in _rows(text, "| member | meaning |") for name in cells}
    assert further | members <= known
    assert further >= {"session", "proof_sent", "came_from", "wrong"}


def _rows(text: str, head: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the cells of every row of the tables with a head, and the names in the first."""
    for table in text.split(head)[1:]:
        for row in table.partition("\n\n")[0].splitlines()[2:]:
            cells = row.strip("|").split(" | ")
            yield cells, _names(cells[0])


def _names(cell: str) -> list[str]:
    """Return the names in a cell, without the values in parentheses."""
    return re.findall(r"`([\w-]+)`", re.sub(r"\([^)]*\)", "", cell))


def _constants(part: dict[str, Any]) -> set[str]:
    found = {part["properties"]["event"]["const"]} if "const" in part.get("properties", {}).get("event", {}) else set()
    return found.union(*map(_constants, part.get("anyOf", ())))

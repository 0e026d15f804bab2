"""docs/reference/json.md is made of the schemas, its examples run, and the other pages name the same members."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from types import ModuleType

import pytest

from tests.docs.pages import blocks
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

"""What is generated from the catalogue is up to date, and every requirement of the specification is covered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.modules import load_generator

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> Any:
    return load_generator("conformance_docs")


def test_the_reference_of_rules_is_up_to_date(generator: Any) -> None:
    assert generator.RULES.read_text(encoding="utf-8") == generator.rules(), "run python docs/_ext/conformance_docs.py"


def test_the_coverage_of_the_specification_is_up_to_date(generator: Any) -> None:
    assert generator.COVERAGE.read_text(encoding="utf-8") == generator.coverage()


def test_every_requirement_is_covered(generator: Any) -> None:
    found = generator.requirements()
    for item in found:
        assert item["rules"] or item["tests"], item
    # As many as the published text has; two of its eight MUST say the same, once in step 2 and once in step 3.
    levels = Counter(item["level"] for item in found)
    assert levels == {"MUST": 7, "SHOULD": 10, "MAY": 1, "states": 28}


def test_the_tests_it_names_exist(generator: Any) -> None:
    for item in generator.requirements():
        for name in item["tests"]:
            assert (DOCS.parent / "tests" / name).is_file(), name

"""The table of findings: complete, in plain words, without advice that lowers security, and in the manual."""

from __future__ import annotations

import re
import string
from types import ModuleType

import pytest

from credssp.diagnosis.catalogue import KINDS, finding, rank
from credssp.finding import FindingLevel
from tests.modules import load_generator
from tests.test_next_steps import LOWERS


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load_generator("findings_docs")


def test_the_reference_is_up_to_date(generator: ModuleType) -> None:
    text = generator.PAGE.read_text(encoding="utf-8")
    assert generator.page(text) == text, "run python docs/_ext/findings_docs.py"
    for name in KINDS:
        assert f"| `{name}` |" in text


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_says_what_to_do_and_lowers_no_security(name: str) -> None:
    kind = KINDS[name]
    assert re.fullmatch("[a-z]+(-[a-z]+)*", name)
    assert kind.why.endswith(".")
    assert kind.advice.endswith(".")
    assert not LOWERS.search(f"{kind.why} {kind.advice} {kind.command}"), kind.advice
    fields = {field for _, field, _, _ in string.Formatter().parse(kind.command) if field}
    assert fields <= {"host", "port", "url", "realm", "spn"}
    assert kind.place in ("way", "server", "kerberos", "here")


def test_errors_come_first_and_then_the_way_of_a_login() -> None:
    found = [finding(name, "seen.") for name in reversed(KINDS)]
    found.sort(key=rank)
    levels = [each.level for each in found]
    assert levels == sorted(levels, key=list(FindingLevel).index)
    errors = [each.id for each in found if each.level is FindingLevel.ERROR]
    assert errors == [name for name, kind in KINDS.items() if kind.level is FindingLevel.ERROR]

"""Every rule says why it exists and has a peer that breaks it: in the package, on the command line, in the manual."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from credssp.conformance import CATALOGUE
from credssp.conformance import explained as package
from credssp.conformance.explained import examples_of, rationale_of
from credssp.conformance.rule import AREAS, Verdict
from tests.docs.test_english import findings

FOLDER = Path(package.__file__).parent
PAIRS = {(case.rule.id, case.side.value) for case in CATALOGUE.cases}


def rationales(area: str) -> dict[str, str]:
    return tomllib.loads((FOLDER / f"{area}.toml").read_text(encoding="utf-8"))


def test_every_area_has_its_files() -> None:
    assert {file.name for file in FOLDER.glob("*.*") if file.suffix != ".py"} == {
        f"{area}.{kind}" for area in AREAS for kind in ("json", "toml")
    }


@pytest.mark.parametrize("area", AREAS)
def test_every_rule_has_a_rationale(area: str) -> None:
    ids = [rule.id for rule in CATALOGUE.rules if rule.area == area]
    assert sorted(rationales(area)) == sorted(ids)
    for rule_id, text in rationales(area).items():
        rule = CATALOGUE[rule_id]
        assert rule.rationale == rationale_of(rule_id) == " ".join(text.split())
        assert rule.stimulus not in text or len(rule.stimulus) < 30
        assert rule.expected not in text or len(rule.expected) < 30
        assert text.strip().endswith(".")
        assert 2 <= len(re.findall(r"[.?:]\s", text)) <= 6, rule_id
        assert 100 < len(text) < 700, rule_id
    assert len(set(rationales(area).values())) == len(ids)


def test_every_rule_has_an_example_of_a_peer_that_breaks_it() -> None:
    found = {(example.rule, example.side): example for rule in CATALOGUE.rules for example in examples_of(rule.id)}
    assert found.keys() == PAIRS
    for example in found.values():
        assert Verdict(example.verdict) not in (Verdict.PASS, Verdict.SKIP)
        assert example.fault
        assert not findings(example.fault), example.test
        assert example.detail


def test_examples_have_tests_that_exist() -> None:
    for rule in CATALOGUE.rules:
        for example in examples_of(rule.id):
            file, _, name = example.test.partition("::")
            text = (FOLDER.parents[2] / file).read_text(encoding="utf-8")
            assert f"def {name.partition('[')[0]}(" in text, example.test


def test_what_is_shown_of_examples_stops_before_proofs() -> None:
    for rule in CATALOGUE.rules:
        for message in (message for example in examples_of(rule.id) for message in example.messages):
            assert len(message.start) <= 128
            assert "******** (16 bytes)" in "\n".join(message.tree) or "NTProofStr" not in "\n".join(message.tree)


def test_rules_of_other_catalogues_have_nothing() -> None:
    for name in ("", "X", "CSSP-NOPE-01", "OTHER-../../x-01", "CSSP-TSREQ-99"):
        assert rationale_of(name) == ""
        assert examples_of(name) == ()


# The command line


def test_a_rule_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "rule", "cssp-pka56-11"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("CSSP-PKA56-11 [MUST] server: a nonce of the wrong size\n")
    assert "  example: a server that is right but for one thing: any size of nonce\n" in text
    assert "  verdict   fail\n" in text
    assert "              clientNonce: \n" in text


def test_rules_on_the_command_line_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "rule", "CSSP-VER-*", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in found] == [rule.id for rule in CATALOGUE.rules if rule.area == "VER"]
    assert found[0]["examples"][0]["messages"][-1].keys() == {"sender", "data", "size", "note", "tree"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "rule needs the id of a rule"),
        (("CSSP-VERR-01",), "CSSP-VERR-01: no rule matches"),
        (("CSSP-VER-01", "--html", "x.html"), "--html has no effect with rule"),
        (("CSSP-VER-01", "--rule", "CSSP-VER-01"), "--rule has no effect with rule"),
    ],
)
def test_rules_that_are_not_there(arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "rule", *arguments]) == 2
    assert told in capsys.readouterr().err

"""The page of field results: levels apart, nothing of what is kept back, and reports that can be read again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from credssp.conformance import check_server
from credssp.conformance.repeat import merged
from credssp.conformance.report import as_json
from credssp.conformance.result import Report
from credssp.conformance.rule import Outcome, Verdict
from fixtures.field_page import matrix, page, read_notes, unchecked
from fixtures.field_reports import load, read_report, save, without_bytes
from tests.conformance import mutants

NOTES = """
["forgiving server"]
about = "A server of the tests."
CSSP-PKA56-17 = "Nothing is compared."
CSSP-TSREQ-15 = "Nothing is compared, so there is room for more."
["not judged"]
"another 1.0" = "It has no server."
"""
NOTHING = Report("recorded exchanges", "both", ())


@pytest.fixture(scope="module")
def bad() -> Report:
    report = check_server(mutants.no_verification(), rules=["CSSP-PKA56-*", "CSSP-TSREQ-*"], seed="page")
    return replace(report, peer="forgiving 1.0", facts=report.facts | {"date": "2026-11-29"})


def tables(text: str, title: str) -> list[str]:
    """The ids of the rules in the tables of this title."""
    return [
        rule
        for part in text.split("**")
        if part.startswith("\n\n| verdict |") and text.split("**")[text.split("**").index(part) - 1] == title
        for rule in re.findall(r"^\| \w+ \| \[(CSSP-[\w-]+)\]", part, re.MULTILINE)
    ]


def test_levels_are_apart_and_unchecked_deviations_are_counted(bad: Report) -> None:
    text = page([bad], read_notes(NOTES), NOTHING)
    levels = {each.rule.id: each.rule.level.value for each in bad.results}
    must, opinion = tables(text, "MUST and SECURITY"), tables(text, "Our opinion")
    assert sorted([*must, *opinion]) == ["CSSP-PKA56-17", "CSSP-TSREQ-15"]
    assert {levels[rule] for rule in must} <= {"MUST", "SECURITY"}
    assert {levels[rule] for rule in opinion} == {"ROBUSTNESS"}
    left = [each.rule.id for each in unchecked(bad, read_notes(NOTES).of(bad))]
    assert left
    assert f"{len(left)} more, not checked yet" in text
    assert not any(rule in text for rule in left)
    assert "A server of the tests." in text
    assert "| another 1.0 | It has no server. |" in text


def test_what_is_kept_back_has_a_number_and_a_date_alone(bad: Report) -> None:
    notes = read_notes(NOTES)
    kept = unchecked(bad, notes.of(bad))
    dates = ", ".join(["2026-11-29"] * (len(kept) - 1) + ["2026-11-28"])
    closed = read_notes(NOTES.replace("about", f"kept_back = [{dates}]\nabout"))
    assert not unchecked(bad, closed.of(bad))
    text, html = page([bad], closed, NOTHING), matrix([bad], closed)
    assert "Kept back: 1 (since 2026-11-28), 2 (since 2026-11-29)" in text
    assert "not checked yet" not in text
    assert f"| forgiving 1.0 (server) | {bad.count(Verdict.PASS)} | 1 | 0 | 1 | {len(kept)} |" in text
    for told in (text, html):
        for each in kept:
            assert each.rule.id not in told
            assert each.outcome.detail not in told
    # A gap among passes would name it as well.
    passed = [each.rule.id for each in bad.results if each.verdict is Verdict.PASS]
    assert passed
    assert not any(rule in html for rule in passed)
    assert "CSSP-PKA56-17" in html
    assert all(rule in matrix([bad], notes) for rule in (*passed, kept[0].rule.id))


def test_a_deviation_more_than_is_kept_back_is_counted_and_not_named(bad: Report) -> None:
    notes = read_notes(NOTES.replace("about", "kept_back = [2026-11-28]\nabout"))
    untold = unchecked(bad, notes.of(bad))
    text, html = page([bad], notes, NOTHING), matrix([bad], notes)
    assert f"Kept back: 1 (since 2026-11-28).\n\n{len(untold) - 1} more, not checked yet." in text
    assert not any(each.rule.id in text or each.rule.id in html for each in untold)


def test_a_note_names_the_rule_that_it_is_like() -> None:
    with pytest.raises(AssertionError, match="forgiving server"):
        read_notes(NOTES.replace("Nothing is compared.", "The same."))


def test_notes_are_those_of_the_longest_name(bad: Report) -> None:
    notes = read_notes(
        '["forgiving 1 server"]\nA = "1"\n["forgiving server"]\nA = "0"\n["forgiving 1.0 client"]\nA = "2"'
    )
    assert notes.of(bad).checked == {"A": "1"}
    assert notes.of(replace(bad, peer="forgiving 2.0")).checked == {"A": "0"}
    assert notes.of(replace(bad, peer="strict")).checked == {}
    assert notes.stale([bad]) == ["forgiving 1 server: A"]


def test_verdicts_that_vary_are_named(bad: Report) -> None:
    other = replace(bad, results=tuple(replace(r, outcome=Outcome(Verdict.PASS)) for r in bad.results))
    text = page([merged([bad, other])], read_notes(NOTES), NOTHING)
    line = re.search(r"The verdict varies between runs: (.*)\.", text)
    assert line is not None
    assert "CSSP-PKA56-17" in line[1]
    assert "varies between" not in page([merged([bad, bad])], read_notes(NOTES), NOTHING)


def test_reports_are_read_again(tmp_path: Path, bad: Report) -> None:
    report = merged([bad, bad])
    rounded = (replace(each, seconds=round(each.seconds, 3)) for each in without_bytes(report).results)
    assert without_bytes(read_report(as_json(report))) == replace(report, results=tuple(rounded))
    first_format = as_json(report).replace('"sender": ', '"from": ').replace('"data": ', '"octets": ')
    assert read_report(first_format) == read_report(as_json(report))
    assert any(each.outcome.evidence for each in read_report(first_format).results)
    assert load(tmp_path, "x") is None
    save(tmp_path, "x", report)
    again = load(tmp_path, "x")
    assert again is not None
    assert page([again], read_notes(NOTES), NOTHING) == page([report], read_notes(NOTES), NOTHING)
    assert not any(each.outcome.evidence for each in without_bytes(again).results)
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]

"""``credssp report``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from credssp.testing import RDPServer
from tests.fleet.samples import BAD, FLEET, HEALTHY


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    def write(name: str, fleet: list[dict[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(each) + "\n" for each in fleet))
        return path

    return write("a.jsonl", FLEET), write("b.jsonl", [HEALTHY | {"server": "\x1b=1"}, BAD, *FLEET[2:3]])


def test_a_run_in_every_form(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = runs
    html, junit = tmp_path / "r.html", tmp_path / "r.xml"
    assert main(["report", str(run), "--html", str(html), "--junit", str(junit)]) == 0
    out = capsys.readouterr().out
    assert "rdp://192.0.2.2:3389   4        optional" in out
    assert "error: nla-off, old-credssp, self-signed" in out
    assert html.read_text().startswith("<!DOCTYPE html>")
    assert 'tests="4" failures="1"' in junit.read_text()
    assert main(["report", str(run), "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == FLEET
    assert main(["report", str(run), "--csv"]) == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == 4
    assert main(["report", str(run), "--text"]) == 0
    assert capsys.readouterr().out.count("SHA-256") == 3


def test_what_changed_in_every_form(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, later = map(str, runs)
    html = tmp_path / "r.html"
    assert main(["report", first, later, "--html", str(html)]) == 1
    assert capsys.readouterr().out == (
        "changed  rdp://192.0.2.1:3389\n         server: - -> \\x1b=1\ngone     http://192.0.2.4:5985\n"
    )
    assert "What changed" in html.read_text()
    assert main(["report", first, later, "--json"]) == 1
    changed, gone = map(json.loads, capsys.readouterr().out.splitlines())
    assert changed == {
        "target": "rdp://192.0.2.1:3389",
        "change": "changed",
        "facts": {"server": ["", "\x1b=1"]},
        "findings": {"appeared": [], "disappeared": []},
    }
    assert gone["change"] == "gone"
    assert main(["report", first, later, "--csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == {
        "target": "rdp://192.0.2.1:3389",
        "change": "changed",
        "fact": "server",
        "before": "",
        "now": "\\x1b=1",
    }
    assert main(["report", first, first]) == 0
    assert capsys.readouterr().out == "Nothing changed.\n"


def test_files_that_are_not_runs(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([__file__], [str(runs[0]), __file__], ["/nowhere"], [str(runs[0]), "--html", "/"]):
        assert main(["report", *arguments]) == 2
        assert capsys.readouterr().err.startswith("credssp report: ")


def test_facts_of_another_kind_are_an_error_of_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run.jsonl"
    run.write_text(json.dumps(HEALTHY) + '\n{"target": "odd", "answered": true, "certificate": 7}\n')
    assert main(["report", str(run), "--text"]) == 2
    assert capsys.readouterr().err == "credssp report: odd: not the facts of a server, or of a newer version\n"
    for form in ("--table", "--csv", "--json"):
        assert main(["report", str(run), form]) == 0


def test_a_probe_writes_the_page_and_its_lines_make_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html, record = tmp_path / "r.html", tmp_path / "run.jsonl"
    with RDPServer({("LAB", "alice"): "x"}) as server:
        target = f"127.0.0.1-2:{server.port}"
        assert main(["probe", target, "--html", str(html), "--resume", str(record)]) == 0
    first = html.read_text()
    assert "<h1>1 of 2 targets answered</h1>" in first
    assert main(["report", str(record), "--html", str(html)]) == 0
    assert html.read_text().partition("<section>")[2] == first.partition("<section>")[2]


def test_results_of_logins_are_not_those_of_probes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probes, logins = tmp_path / "probes", tmp_path / "logins"
    probes.write_text('{"target": "rdp://h:1", "answered": false}\n')
    logins.write_text('{"target": "rdp://h:1", "outcome": "accepted", "accepted": true}\n')
    for words in (["report", str(logins)], ["report", str(probes), str(logins)]):
        assert main([*words, "--csv"]) == 2
        assert "rdp://h:1: the result of a login, and not of a probe" in capsys.readouterr().err
    assert main(["probe", "127.0.0.1", "--port", "1", "--resume", str(logins)]) == 2
    assert "the result of a login" in capsys.readouterr().err


def test_a_report_does_not_overwrite_the_run_that_it_is_made_of(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = map(str, runs)
    for words in ([a, "--html", a], [a, b, "--junit", b], [a, "--html", "x", "--junit", "x"]):
        before = [run.read_bytes() for run in runs]
        assert main(["report", *words]) == 2
        out, err = capsys.readouterr()
        assert err.endswith("is named twice, and would be overwritten: give another name\n")
        assert out == ""
        assert [run.read_bytes() for run in runs] == before


def test_what_a_record_says_is_no_command_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run.jsonl"
    run.write_text(json.dumps({"target": "rdp://\x1bc", "answered": True}) + "\n")
    assert main(["report", str(run), "--text"]) == 0
    run.write_text(json.dumps({"target": "rdp://\x1bc", "outcome": "accepted", "accepted": True}) + "\n")
    assert main(["report", str(run)]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("rdp://\\x1bc\n")
    assert "rdp://\\x1bc: the result of a login" in err
    assert "\x1b" not in out + err


@pytest.mark.parametrize("form", ["--table", "--csv", "--json", "--text"])
@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"findings": 7}, "not the facts of a server"),
        ({"outcome": "accepted", "accepted": True}, "the result of a login, and not of a probe"),
    ],
)
def test_a_line_that_is_none_of_a_probe_is_an_error_wherever_it_is(
    form: str, more: dict[str, Any], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run.jsonl"
    run.write_text("".join(json.dumps(each) + "\n" for each in (HEALTHY, {"target": "rdp://x:1"} | more)))
    assert main(["report", str(run), form]) == 2
    assert f"rdp://x:1: {text}" in capsys.readouterr().err

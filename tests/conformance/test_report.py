"""Reports, expected failures, vectors, and the command line around them."""

from __future__ import annotations

import contextlib
import dataclasses
import html
import json
import re
import shlex
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from credssp import binding
from credssp.cli import main
from credssp.conformance import CATALOGUE, all_vectors, check_exchanges, check_server, exchanges_in, load_expected
from credssp.conformance.expected import out_of_date
from credssp.conformance.report import SHOWN, as_html, as_json, as_junit, as_text
from credssp.conformance.result import Report, Result
from credssp.conformance.rule import Evidence, Outcome, Role, Verdict
from credssp.conformance.runner import select
from credssp.errors import DecodeError, LimitExceededError, LocalProtocolError
from credssp.wire.ts_credentials import TSCredentials
from credssp.wire.ts_request import TSRequest
from tests.conformance import mutants
from tests.conformance.peers import own_server

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(scope="module")
def bad() -> Report:
    return check_server(mutants.no_verification(), rules=["CSSP-PKA56-*", "CSSP-CRED-11"])


@pytest.fixture(scope="module")
def good() -> Report:
    return check_server(own_server(), rules=["CSSP-PKA56-*"])


def test_a_finding_shows_rule_section_expectation_and_octets(bad: Report) -> None:
    text = as_text(bad)
    assert "\nFAIL CSSP-PKA56-04 [SECURITY] " in text
    assert "section   3.1.5 step 4" in text
    assert "expected  refused; no pubKeyAuth of the server" in text
    assert "  client    30" in text
    assert "  server    30" in text
    assert not bad.ok
    assert "CSSP-PKA56-04" in bad.explain()


def made_by_a_command(report: Report) -> Report:
    return dataclasses.replace(report, facts=report.facts | {"command": "credssp conformance server rdp://x"})


def test_every_format_tells_why_a_finding_matters_and_how_to_try_it_again(bad: Report) -> None:
    report = made_by_a_command(bad)
    rule = CATALOGUE["CSSP-PKA56-04"]
    again = "credssp conformance server rdp://x --rule CSSP-PKA56-04"
    finding = next(result for result in report.findings if result.rule is rule)
    texts = report.describe(finding)
    assert texts[0] == f"FAIL {rule.id} [SECURITY] {rule.title}"
    assert texts[-1] == f"  try again {again}"
    why = next(number for number, line in enumerate(texts) if line.startswith("  why"))
    assert " ".join(" ".join(texts[why : why + 4]).split()[1:]).startswith(rule.rationale[:60])
    block = "\n".join(texts)
    assert f"\n{block}\n" in as_text(report)
    suite = ElementTree.fromstring(as_junit(report))  # noqa: S314
    assert block in [failure.text for failure in suite.iterfind("testcase/failure")]
    assert html.escape(block) in as_html([report])
    (told,) = [each for each in json.loads(as_json(report))["results"] if each["rule"] == rule.id]
    assert (told["rationale"], told["again"], told["stimulus"]) == (rule.rationale, again, rule.stimulus)


def test_only_findings_are_to_be_tried_again(bad: Report, good: Report) -> None:
    for each in json.loads(as_json(made_by_a_command(bad)))["results"]:
        assert bool(each["again"]) == (each["verdict"] not in ("pass", "lenient", "skip"))
    assert {each["again"] for each in json.loads(as_json(good))["results"]} == {""}


def test_octets_are_cut_unless_asked_for(bad: Report) -> None:
    shown = json.loads(as_json(bad))["results"]
    octets = [item["data"] for result in shown for item in result["evidence"]]
    assert octets
    assert max(len(text.partition("...")[0]) for text in octets) <= 2 * SHOWN
    revealed = json.loads(as_json(bad, reveal=True))["results"]
    assert max(len(item["data"]) for result in revealed for item in result["evidence"]) > 2 * SHOWN


def test_json_counts(good: Report) -> None:
    value = json.loads(as_json(good))
    assert value["ok"]
    assert value["counts"]["pass"] == good.count(Verdict.PASS)
    assert {result["rule"] for result in value["results"]} == {r.rule.id for r in good.results}


def test_junit(bad: Report) -> None:
    suite = ElementTree.fromstring(as_junit(bad))  # noqa: S314
    assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
    assert int(suite.get("failures", "0")) == sum(1 for r in bad.results if r.matters)
    trouble = ElementTree.fromstring(as_junit(Report("x", "server", (), trouble="no login")))  # noqa: S314
    assert trouble.get("failures") == "1"


HOSTILE = "\x00\x07\x1b[31m ]]> <b>&\ud800\uffff \U0001f511"


def hostile() -> Report:
    """A report whose texts a peer chose to break whoever reads them."""
    rule = CATALOGUE.rules[0]
    outcome = Outcome(Verdict.FAIL, HOSTILE, (Evidence("client", b"x" * 100, HOSTILE),))
    skip = Outcome(Verdict.SKIP, HOSTILE)
    results = (Result(rule, Role.SERVER, outcome, 0.25, HOSTILE), Result(rule, Role.SERVER, skip, 0.5))
    return Report(f"peer {HOSTILE}", "server", results, trouble=HOSTILE)


def test_junit_is_well_formed_whatever_a_peer_says() -> None:
    suite = ElementTree.fromstring(as_junit(hostile()).encode("utf-8"))  # noqa: S314
    assert [case.get("time") for case in suite] == ["0.250", "0.500", "0.000"]
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors", "time")} == {
        "tests": "3", "failures": "2", "skipped": "1", "errors": "0", "time": "0.750",
    }  # fmt: skip
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "\\u0007" in failure.get("message", "")


def test_what_a_peer_says_cannot_steer_a_terminal_or_add_lines_to_a_report() -> None:
    rule = CATALOGUE["CSSP-ERR-17"]
    outcome = Outcome(Verdict.FAIL, "\x1b[2Jmade\nCRASH CSSP-ERR-18\tup\x9b")
    report = Report("a peer\r", "server", (Result(rule, Role.SERVER, outcome),), trouble="\x1b]0;title\x07")
    text = as_text(report)
    assert all(line.isprintable() for line in text.split("\n"))
    assert "  seen      \\x1b[2Jmade\\nCRASH CSSP-ERR-18\\tup\\x9b\n" in text


def test_json_and_html_take_whatever_a_peer_says() -> None:
    value = json.loads(as_json(hostile()).encode("utf-8"))
    assert value["format"] == 2
    assert value["results"][0]["evidence"] == [
        {"sender": "client", "data": (b"x" * SHOWN).hex(), "size": 100, "note": HOSTILE}
    ]
    page = as_html([hostile()]).encode("utf-8")
    assert b"<b>" not in page
    assert b"\x1b" not in page


def test_every_verdict_has_a_sign_of_its_own_in_the_matrix(bad: Report) -> None:
    text = as_html([bad])
    legend = re.findall(r'class="v (\w+)">([^<]+)</span>', text)
    assert {name for name, _ in legend} == {verdict.value for verdict in Verdict}
    assert len({sign for _, sign in legend}) == len(Verdict)
    assert as_html([bad]) == text


def test_every_finding_in_the_matrix_can_be_reached(bad: Report) -> None:
    text = as_html([bad, bad])
    wanted, ids = re.findall(r'href="#(\w+)"', text), re.findall(r'<section id="(\w+)"', text)
    assert wanted
    assert set(wanted) <= set(ids)
    assert len(ids) == len(set(ids))
    assert 'id="pick-PKA56"' in text


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.cells = 0

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        for name, value in attributes:
            if name in ("src", "href") and value and not value.startswith("#"):
                self.outside.append(value)
        self.cells += tag == "td"


def test_html_is_one_page_that_refers_to_nothing_outside(bad: Report, good: Report) -> None:
    page = _Page()
    text = as_html([bad, good])
    page.feed(text)
    assert page.outside == []
    assert page.cells > 20
    assert "CSSP-PKA56-04" in text
    assert as_html([Report("<script>", "server", (), trouble="<b>")]).count("<script>") == 0


def test_expected_failures_do_not_count(tmp_path: Path, bad: Report) -> None:
    wrong = [r.rule.id for r in bad.results if r.matters]
    assert wrong
    file = tmp_path / "expected.toml"
    file.write_text("[expected]\n" + "".join(f'"{rule}" = "known, reported"\n' for rule in (*wrong, "CSSP-PKA56-13")))
    expected = load_expected(file)
    report = check_server(mutants.no_verification(), rules=["CSSP-PKA56-*"], expected=expected)
    assert report.ok
    assert "known     known, reported" in as_text(report)
    assert out_of_date(report, expected) == ["CSSP-PKA56-13"]


@pytest.mark.parametrize(
    "text",
    [
        "[expected",
        "x = 1",
        '[expected]\n"CSSP-VER-01" = ""',
        '[expected]\n"CSSP-NOPE-01" = "why"',
        "\udcff",
        "x = " + "[" * 5000,
    ],
)
def test_files_of_expected_failures_that_make_no_sense(tmp_path: Path, text: str) -> None:
    file = tmp_path / "expected.toml"
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(LocalProtocolError):
        load_expected(file)
    with pytest.raises(LocalProtocolError):
        load_expected(tmp_path / "absent.toml")


def test_fixtures_conform_but_for_what_is_listed() -> None:
    expected = load_expected(FIXTURES / "expected.toml")
    report = check_exchanges(exchanges_in(FIXTURES), expected=expected)
    assert report.ok, report.explain()
    assert out_of_date(report, expected) == []
    assert report.count(Verdict.PASS) > 500


def test_recorded_exchanges_are_a_matrix_of_peers_and_rules() -> None:
    expected = load_expected(FIXTURES / "expected.toml")
    report = check_exchanges(exchanges_in(FIXTURES), rules=["CSSP-TSREQ-0[12]", "CSSP-NEG-*"], expected=expected)
    peers = report.by_peer()
    assert sum(len(each.results) for each in peers) == len(report.results)
    (rdesktop,) = [each for each in peers if each.peer.startswith("rdesktop ")]
    assert (rdesktop.side, rdesktop.verdict_of("CSSP-TSREQ-01")) == ("client", Verdict.FAIL)
    assert {each.side for each in peers if each.peer.startswith("FreeRDP 2")} == {"client", "server"}
    text = as_text(report)
    assert text.index("Peers by rules") < text.index("CSSP-TSREQ-02   MUST")
    (row,) = [line for line in text.splitlines() if "  CSSP-TSREQ-01   MUST " in line]
    letters = row.split()[: len(peers)]
    assert letters[peers.index(rdesktop)] == "f"  # known
    assert letters.count(".") == len(peers) - 1
    page = as_html(peers)
    assert page.count('<th class="peer"') == len(peers)
    assert 'title="rdesktop ' in page
    assert as_html([report]).count('<th class="peer"') == 1


def test_a_report_about_one_peer_has_no_matrix(bad: Report) -> None:
    assert bad.by_peer() == (bad,)
    assert "Peers by rules" not in as_text(bad)


def test_select() -> None:
    assert {case.rule.area for case in select(["cssp-ver-*"])} == {"VER"}
    assert len(select()) == len(CATALOGUE.cases)


# Vectors


def test_vectors_hold_for_this_implementation() -> None:
    value = all_vectors()
    assert json.loads(json.dumps(value)) == value == all_vectors()
    for entry in value["ts_request"]:
        assert TSRequest.decode(bytes.fromhex(entry["encoded"])).encode().hex() == entry["encoded"]
    for entry in value["ts_request_malformed"]:
        if entry["expected"] == "either":
            with contextlib.suppress(DecodeError):
                assert TSRequest.decode(bytes.fromhex(entry["encoded"])).version == entry["fields"]["version"]
        elif entry["rule"] not in ("CSSP-TSREQ-13", "CSSP-TSREQ-14"):
            with pytest.raises((DecodeError, LimitExceededError)):
                TSRequest.decode(bytes.fromhex(entry["encoded"]))
    for entry in value["ts_credentials"]:
        assert TSCredentials.decode(bytes.fromhex(entry["encoded"])).encode().hex() == entry["encoded"]
    for entry in value["binding"]:
        key, nonce = bytes.fromhex(entry["subjectPublicKey"]), bytes.fromhex(entry["nonce"])
        assert binding.client_value(entry["version"], nonce, key).hex() == entry["client"]


def test_the_section_4_example_is_in_the_vectors() -> None:
    import hashlib

    sample = next(e for e in all_vectors()["ts_credentials"] if "section 4" in e["name"])
    digest = hashlib.sha256(bytes.fromhex(sample["encoded"])).hexdigest()
    assert digest == "c9cae7dccaa453359aee420eb59f4d4fe6e70b92f7bf1cf2429b6ac661cd1e0b"


# Command line


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--list"]) == 0
    assert "CSSP-TSREQ-01" in capsys.readouterr().out
    assert main(["conformance", "--list", "--rule", "CSSP-VER-*", "--json"]) == 0
    assert {rule["id"][:8] for rule in json.loads(capsys.readouterr().out)} == {"CSSP-VER"}
    assert main(["conformance", "--list", "--rule", "nothing"]) == 2


def test_fixtures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = ["--junit", str(tmp_path / "r.xml"), "--html", str(tmp_path / "r.html")]
    expected = ["--expected", str(FIXTURES / "expected.toml")]
    assert main(["conformance", "fixtures", str(FIXTURES), *files, *expected]) == 0
    assert "recorded exchanges" in capsys.readouterr().out
    assert ElementTree.parse(tmp_path / "r.xml").getroot().get("failures") == "0"  # noqa: S314
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert main(["conformance", "fixtures", str(FIXTURES), "--rule", "CSSP-TSREQ-01", "--verbose"]) == 1
    assert "rdesktop" in capsys.readouterr().out


def test_vectors_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "vectors"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fixtures", "/nowhere"],
        ["server", "gopher://x", "-u", "alice"],
        ["server", "rdp://x:port", "-u", "alice"],
        ["server", "rdp://x"],
        ["client", "-u", "alice"],
        ["client", "-u", "alice", "--exec", "true"],
        ["client", "-u", "alice", "--exec", "true {port}", "--exec-variant", "spnego=true"],
        ["client", "-u", "alice", "--exec", "true {port}", "--exec-variant", "unknown=true {port}"],
        ["fixtures", str(FIXTURES), "--rule", "CSSP-VER-01", "--junit", "/nowhere/x.xml"],
        ["fixtures", str(FIXTURES), "--rule", "CSSP-VER-01", "--html", "/"],
        ["fixtures", str(FIXTURES), "--expected", "/nowhere"],
        ["fixtures", str(FIXTURES), "--rule", "CSSP-VER-01", "--rule", "CSSP-VERR-*"],
        ["server", "rdp://x", "-u", "alice", "--rule", "nothing"],
        ["server", "rdp://x", "-u", "alice", "--timeout", "0"],
        ["server", "rdp://x", "-u", "alice", "--timeout", "-1"],
        ["server", "rdp://x", "-u", "alice", "--timeout", "nan"],
        ["client", "-u", "alice", "--exec", "an open ' {port}"],
    ],
)
def test_calls_that_make_no_sense(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "x")
    assert main(["conformance", *arguments]) == 2
    assert "credssp conformance: " in capsys.readouterr().err


def test_a_client_that_logs_on_to_nobody(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "x")
    text = (
        "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); "
        "s.sendall(bytes.fromhex('030000130ee000000000000100080003000000')); s.recv(99); sys.exit('I am a scanner')"
    )
    program = shlex.join([sys.executable, "-c", text, "{host}", "{port}"])
    arguments = ["--exec", program, "--exec-reports", "--exec-variant", f"spnego={program}", "--timeout", "20"]
    assert main(["conformance", "client", "-u", "alice", *arguments]) == 2
    told = capsys.readouterr().out
    assert "version 6: closed before its first TSRequest, and told its caller: I am a scanner" in told


@pytest.mark.parametrize("url", ["rdp://127.0.0.1:1", "http://127.0.0.1:1/wsman"])
def test_a_server_that_is_not_there(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "x")
    assert main(["conformance", "server", url, "-u", "alice", "--timeout", "2"]) == 2
    assert "no good login works" in capsys.readouterr().out

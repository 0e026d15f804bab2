"""Records as CSV, JUnit XML and numbers."""

from __future__ import annotations

import csv
import io
from typing import Any
from xml.etree import ElementTree

import pytest

from credssp.fleet.csv_table import MAX_COLUMNS, write_csv
from credssp.fleet.junit import write_junit
from credssp.fleet.totals import Totals, level_of, nla_of, version_of, worst_level
from tests.fleet.samples import BAD, FLEET, HEALTHY, SILENT, WINRM, facts, finding

HOSTILE = "<script>&\"'\x1b[2J\x00\ud800\u202e"


def table(fleet: list[dict[str, Any]]) -> list[dict[str, str]]:
    stream = io.StringIO()
    write_csv(fleet, stream)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def test_csv_has_every_fact() -> None:
    first, bad, silent, winrm = table(FLEET)
    assert first["target"] == "rdp://192.0.2.1:3389"
    assert first["protocols"] == "HYBRID HYBRID_EX"
    assert first["protocols_RDP"] == "HYBRID_REQUIRED_BY_SERVER"
    assert first["tls"] == "TLSv1.2 TLSv1.3"
    assert first["tls_TLSv1.3"] == "TLS_AES_256_GCM_SHA384"
    assert first["certificate_issuer"] == "CN=LAB CA"
    assert first["certificate_not_after"].startswith("2027")
    assert (first["credssp_version"], first["mechanisms"]) == ("6", "ntlm spnego/ntlm")
    assert (first["computer"], first["domain"], first["os_version"]) == ("SRV1", "LAB", "10.0 (build 20348)")
    assert bad["findings"] == "nla-off (error); old-credssp (warning); self-signed (note)"
    assert (silent["answered"], silent["error"]) == ("False", "no connection: refused")
    assert winrm["server"] == "Microsoft-HTTPAPI/2.0"
    assert list(first)[-1] == "error"


def test_csv_takes_facts_that_nobody_knew_of() -> None:
    (row,) = table([facts(clock={"skew": -3600}, names=["a", "b"], spare=None)])
    assert (row["clock_skew"], row["names"]) == ("'-3600", "a; b")


def test_csv_is_safe_in_a_spreadsheet_and_on_a_terminal() -> None:
    (row,) = table([facts(server="=cmd()", ntlm={"MsvAvNbComputerName": HOSTILE}, **{"@x": "+1"})])
    assert row["server"] == "'=cmd()"
    assert row["'@x"] == "'+1"
    assert row["computer"] == "<script>&\"'\\x1b[2J\\x00\\ud800\\u202e"


def test_csv_columns_are_bounded_whatever_servers_name() -> None:
    rows = table([facts(protocols={f"X{n}-{m}": "accepted" for m in range(100)}) for n in range(20)])
    assert len(rows) == 20
    assert len(rows[0]) <= MAX_COLUMNS
    assert rows[19]["protocols"].split()[0] == "X19-0"


def test_junit_has_a_test_for_every_server() -> None:
    fleet = [*FLEET, facts(HOSTILE, findings=[finding(HOSTILE, seen=HOSTILE)]), SILENT | {"findings": [finding()]}]
    stream = io.StringIO()
    write_junit(fleet, stream)
    suite = ElementTree.fromstring(stream.getvalue())  # noqa: S314
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6",
        "failures": "2",
        "errors": "0",
        "skipped": "2",
    }
    healthy, bad, silent, _, hostile, _ = suite
    assert healthy.get("name") == HEALTHY["target"]
    assert len(healthy) == 0
    failure = bad.find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("nla-off", "nla-off was seen")
    assert failure.text == "nla-off (error): nla-off was seen\nwhy: because\nadvice: this"
    assert "old-credssp (warning)" in (bad.findtext("system-out") or "")
    skipped = silent.find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "no connection: refused"
    assert hostile.get("name") == "<script>&\"'\\u001b[2J\\u0000\\ud800\u202e"


def test_totals() -> None:
    totals = Totals()
    for each in FLEET:
        totals.add(each)
    assert (totals.targets, totals.answered, totals.with_credssp) == (4, 3, 3)
    assert totals.versions == {"6": 2, "4": 1}
    assert totals.nla == {"required": 1, "optional": 1, "offered": 1}
    assert totals.tls == {"TLSv1.2": 3, "TLSv1.3": 3}
    assert totals.findings[("nla-off", "error")] == 1
    assert totals.errors == {"no connection: refused": 1}
    totals.seconds = 1.25
    assert totals.summary() == "4 targets in 1.2 s: 3 answered, 3 with CredSSP, 1 with errors"


def test_reasons_that_differ_in_the_address_are_one() -> None:
    totals = Totals()
    for number in range(300):
        text = f"no connection to 192.0.2.{number} port 5985: Connection refused"
        totals.add(SILENT | {"error": {"text": text}})
    totals.add(SILENT | {"error": {"text": "no connection: Connection refused"}})
    assert totals.errors == {"no connection: Connection refused": 301}


def test_totals_are_bounded_whatever_servers_say() -> None:
    totals = Totals()
    for number in range(1000):
        totals.add(facts(tls={f"TLS{number}": ""}, findings=[finding(f"f{number}")]))
        totals.add(SILENT | {"error": {"text": f"reason {number}"}})
    assert max(map(len, (totals.tls, totals.findings, totals.errors))) <= 66
    assert totals.tls.total() == totals.findings.total() == totals.errors.total() == 1000


@pytest.mark.parametrize(
    ("each", "version", "nla", "worst"),
    [
        (HEALTHY, "6", "required", "none"),
        (BAD, "4", "optional", "error"),
        (WINRM, "6", "offered", "none"),
        (SILENT, "none", "none", "none"),
        (facts(protocols={"SSL": "accepted"}), "6", "none", "none"),
        (WINRM | {"protocols": {"Basic": "accepted"}}, "6", "not offered", "none"),
        (HEALTHY | {"findings": [finding(severity="odd")]}, "6", "required", "warning"),
        ({"target": "x", "protocols": 1, "credssp": []}, "none", "not offered", "none"),
    ],
)  # fmt: skip
def test_what_is_said_about_a_server(each: dict[str, Any], version: str, nla: str, worst: str) -> None:
    assert (version_of(each), nla_of(each), worst_level(each)) == (version, nla, worst)


def test_levels_have_synonyms() -> None:
    assert [level_of(finding(severity=name)) for name in ("Critical", "info", "ok", "")] == [
        "error",
        "note",
        "ok",
        "warning",
    ]
    assert level_of("text") == "warning"

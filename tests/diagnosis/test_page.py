"""The page that ``credssp doctor --html`` writes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from credssp.cli import main
from credssp.diagnosis import Conclusion, Diagnosis, DiagnosisStep, StepState
from credssp.diagnosis.catalogue import KINDS, finding
from credssp.diagnosis.page import diagnosis_page, machine_page
from credssp.finding import Finding, Severity
from credssp.testing import RDPServer
from tests.diagnosis.setups import closed_port
from tests.pages.browser import WIDTHS, look_at

NOW = datetime(2027, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_kerberos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'nobody.ccache'}")


def diagnosis() -> Diagnosis:
    """One with every kind of finding, in a server's most unpleasant words."""
    found = tuple(finding(name, f"Seen: <b>{name}</b>\x1b[31m & more.") for name in KINDS)
    steps = [
        DiagnosisStep(state.value, state, f"text of {state.value} " * 12, 0.25, advice="do it") for state in StepState
    ]
    steps += [DiagnosisStep.judged("answer", "x" * 150, found[:3], 1.5)]
    local = tuple(Finding("openssl", severity, "<i>found</i>", "see openssl.cnf") for severity in Severity)
    ending = Conclusion("credssp-old", found[0].seen, "Update <it>.", "credssp probe rdp://srv:3389", 1)
    return Diagnosis("rdp://srv.lab.test:3389", tuple(steps), found, local, ending, 12.34)


def page() -> str:
    return "\n".join(diagnosis_page(diagnosis(), now=NOW))


@pytest.mark.interop
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_is_for_everybody_at_every_width(dark: bool, tmp_path: Path) -> None:
    seen = look_at(page(), tmp_path, dark=dark)
    assert [each["width"] for each in seen] == list(WIDTHS)
    assert {each["width"]: each["violations"] for each in seen if each["violations"]} == {}
    assert {each["width"]: each["overflow"] for each in seen if each["overflow"]} == {}


def test_what_a_server_says_stays_text() -> None:
    text = page()
    assert "<b>name" not in text
    assert "<i>found" not in text
    assert "\x1b" not in text
    assert "Update &lt;it&gt;." in text
    assert "2027-01-02 03:04 UTC" in text
    assert "12.3 s" in text
    assert "<script" not in text
    assert "src=" not in text
    assert "url(" not in text


def test_doctor_writes_it_beside_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "doctor.html"
    port = closed_port()
    assert main(["doctor", f"rdp://127.0.0.1:{port}", "--html", str(file)]) == 3
    text = file.read_text()
    assert f"Nothing listens on 127.0.0.1 port {port}: the connection was refused." in text
    assert "exit code 3" in text
    assert 'href="#port-closed"' in text
    assert 'id="port-closed"' in text
    assert "Nothing listens" in capsys.readouterr().out
    with RDPServer() as server:
        assert main(["doctor", f"rdp://localhost:{server.port}", "--html", str(file), "--json"]) == 0
    assert "Nothing is wrong." in file.read_text()


def test_without_a_server_it_is_about_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "machine.html"
    main(["doctor", "--html", str(file)])
    assert "<h1>This machine</h1>" in file.read_text()
    bad = "\n".join(machine_page([Finding("openssl", Severity.BAD, "no", "yes")], now=NOW))
    assert "1 of 1 findings are bad." in bad

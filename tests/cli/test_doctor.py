"""``credssp doctor`` without any Kerberos; with it in tests/kerberos/test_doctor.py."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from credssp.cli import main
from credssp.kerberos import pyspnego
from credssp.testing import RDPServer
from tests.kerberos.test_kdc_time import krb_error


@pytest.fixture(autouse=True)
def no_kerberos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: "Kerberos needs gssapi")
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, str]]:
    """Return the exit code, and the severity of every finding by its text."""
    code = main(["doctor", "--json", *arguments])
    report = json.loads(capsys.readouterr().out)
    assert report["fit"] is (code == 0)
    return code, {finding["text"]: finding["severity"] for finding in report["machine"]}


@pytest.fixture
def kdc(tmp_path: Path) -> Iterator[list[bytes]]:
    """Answers one question with what is in the list."""
    answers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answers[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        (tmp_path / "krb5.conf").write_text(f"[realms]\n LAB.TEST = {{\n kdc = 127.0.0.1:{port}\n }}\n")
        yield answers
        thread.join(5)


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def test_what_cannot_be_looked_at_is_no_good_news(capsys: pytest.CaptureFixture[str]) -> None:
    code, findings = doctor(capsys, "--keytab", "server.keytab", "--ccache", "FILE:alice.ccache")
    assert code == 1
    assert [text for text, severity in findings.items() if severity == "bad"] == [
        "the credential cache FILE:alice.ccache was not checked: the libraries that read it are missing",
        "the keytab server.keytab was not checked: the libraries that read it are missing",
    ]


def test_realm_without_a_kdc_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, findings = doctor(capsys, "--realm", "NOWHERE.TEST")
    assert code == 0
    assert findings["krb5.conf names no KDC of NOWHERE.TEST, so none was asked for its time"] == "note"


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server on which nothing is wrong."""
    with RDPServer() as server:
        yield server.port


def test_machine_without_kerberos_is_fit_for_ntlm(capsys: pytest.CaptureFixture[str], port: int) -> None:
    code, findings = doctor(capsys, f"rdp://127.0.0.1:{port}")
    assert code == 0
    assert findings["Kerberos is not installed for Python, so logins use NTLM"] == "note"
    assert any("127.0.0.1 is an address" in text for text in findings)


def test_plain_words(capsys: pytest.CaptureFixture[str], port: int) -> None:
    assert main(["doctor", f"rdp://localhost:{port}"]) == 0
    output = capsys.readouterr().out
    assert "Nothing is wrong." in output
    assert "-> pip install 'credssp[kerberos]'" in output
    assert "a ticket is asked for TERMSRV/localhost" in output


@pytest.mark.parametrize(
    ("offset", "severity", "text"),
    [(0, "ok", "0 s "), (3600, "bad", "3600 s behind that of"), (-3600, "bad", "3600 s ahead of that of")],
)
def test_clock_of_the_kdc(
    capsys: pytest.CaptureFixture[str], kdc: list[bytes], offset: int, severity: str, text: str
) -> None:
    theirs = datetime.now(UTC) + timedelta(seconds=offset, milliseconds=500)
    kdc.append(framed(krb_error(theirs.strftime("%Y%m%d%H%M%SZ").encode())))
    code, findings = doctor(capsys, "--realm", "LAB.TEST")
    ((found, level),) = [(f, level) for f, level in findings.items() if "this clock is" in f]
    assert level == severity
    assert code == (1 if severity == "bad" else 0)
    assert text in found.replace("3601", "3600").replace("3599", "3600").replace("1 s ", "0 s ")


@pytest.mark.parametrize(
    ("answer", "severity", "text"),
    [
        (framed(b"\x6b\0"), "ok", "answers"),
        (framed(b"junk"), "bad", "does not answer: KRB-ERROR"),
        (b"HTTP/1.1 400", "bad", "too long for a KDC"),
        (b"\0\0", "bad", "closed the connection"),
    ],
)
def test_what_a_kdc_may_say(
    capsys: pytest.CaptureFixture[str], kdc: list[bytes], answer: bytes, severity: str, text: str
) -> None:
    kdc.append(answer)
    _, findings = doctor(capsys, "--realm", "LAB.TEST")
    assert [level for found, level in findings.items() if text in found] == [severity]


def test_kdc_that_is_not_there_or_silent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        (tmp_path / "krb5.conf").write_text(
            f"[realms]\n A = {{\n kdc = 127.0.0.1:{port}\n kdc = nowhere.invalid\n }}\n"
        )
        code, findings = doctor(capsys, "--realm", "A", "--timeout", "0.2")
    assert code == 1
    assert any("no answer from 127.0.0.1" in text for text in findings)
    assert any("no connection to nowhere.invalid port 88" in text for text in findings)


@pytest.mark.parametrize("arguments", [["gopher://x"], ["--ccache", ""]])
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    assert capsys.readouterr().err.startswith("credssp doctor: ")


def test_bad_findings_are_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "krb5.conf").write_text("[libdefaults]\ndefault_realm = A\ndns_lookup_kdc = false\n")
    assert main(["doctor"]) == 1
    assert "1 of " in capsys.readouterr().out

"""The command: text, JSON and HTML, arguments that are wrong, and a browser that opens the page."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from credssp.dissect.dissector import dissect
from credssp.dissect.html import page
from credssp.nt_hash import nt_hash
from tests.dissect.captures import Connection, pcap, pcapng
from tests.dissect.logins import PASSWORD, certificate, log_on
from tests.peers import require_program


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    login = log_on(mechanism="negotiate")
    file = tmp_path / "login.pcapng"
    file.write_bytes(pcapng(Connection().packets(login.rdp()), log=login.keylog))
    return file


def test_text(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dissect", str(capture), "--password", PASSWORD]) == 0
    out = capsys.readouterr().out
    assert "login.pcapng: capture, 17 packets, 1 CredSSP conversation" in out
    assert "RDP (network level authentication), 192.0.2.10:50000 -> 192.0.2.20:3389" in out
    assert "selects HYBRID" in out
    assert "ok      authInfo (leg 5): opened: TSPasswordCreds" in out
    assert "password: ********" in out
    assert "v6 binding" in out
    assert PASSWORD not in out


def test_text_of_a_transcript_and_of_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    login = log_on()
    file = tmp_path / "x.pcap"
    file.write_bytes(pcap(Connection().packets(login.said))[:-10])
    assert main(["dissect", str(file)]) == 1
    out = capsys.readouterr().out
    assert "no CredSSP conversations" in out
    assert "cut off in the middle" in out
    assert "TLS connections that could not be looked into (1)" in out
    file.write_text('{"credssp_transcript": 1}\n{"from": "client", "data": "3003"}\n{"outcome": "no"}\n')
    assert main(["dissect", str(file)]) == 0
    out = capsys.readouterr().out
    assert "recorded outcome: no" in out
    assert "TSRequest that cannot be read" in out


def test_json_and_reveal(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dissect", str(capture), "--hash", f"aad3:{nt_hash(PASSWORD).hex()}", "--json"]) == 0
    masked = capsys.readouterr().out
    assert PASSWORD not in masked
    assert json.loads(masked)["conversations"][0]["session_key"] == "********"
    assert main(["dissect", str(capture), "--password", PASSWORD, "--json", "--reveal"]) == 0
    shown = json.loads(capsys.readouterr().out)["conversations"][0]
    assert shown["timeline"][-5]["message"]["authInfo"]["opened"]["credentials"]["password"] == PASSWORD
    key = shown["session_key"]
    assert main(["dissect", str(capture), "--session-key", key, "--reveal"]) == 0
    out = capsys.readouterr().out
    assert f"password: {PASSWORD}" in out
    assert "octets: " in out


def test_key_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    login = log_on()
    file, log, key = tmp_path / "x.pcap", tmp_path / "keys.log", tmp_path / "key.pem"
    file.write_bytes(pcap(Connection().packets(login.rdp())))
    log.write_bytes(login.keylog)
    key.write_bytes(certificate().private_key.reveal())
    assert main(["dissect", str(file), "--keylog", str(log), "--rsa-key", str(key)]) == 0
    assert "5  " in capsys.readouterr().out
    assert main(["dissect", str(file), "--keylog", str(tmp_path / "no")]) == 1
    assert "key file cannot be read" in capsys.readouterr().err
    assert main(["dissect", str(file), "--rsa-key", str(log)]) == 1
    assert "RSA key cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--hash", "--session-key"])
@pytest.mark.parametrize("value", ["", "xx", "00", "00" * 17])
def test_keys_that_are_none(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dissect", "x", option, value]) == 2
    assert "32 hexadecimal digits" in capsys.readouterr().err


def test_standard_input_and_output_to_a_file(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stdin:
        buffer = io.BytesIO(capture.read_bytes())

    monkeypatch.setattr("sys.stdin", Stdin)
    target = tmp_path / "out.html"
    assert main(["dissect", "-", "--html", "-o", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert target.read_text().startswith("<!DOCTYPE html>")
    assert main(["dissect", str(capture), "-o", str(tmp_path)]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dissect", "/nowhere/at/all"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def hostile() -> dict[str, Any]:
    """A report in which everything that a peer chooses is markup."""
    login = log_on(mechanism="negotiate")
    report = dissect(io.BytesIO(pcapng(Connection().packets(login.rdp()), log=login.keylog)), name="<b>&\x1b[2J\u202e")

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poison(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        if isinstance(value, str) and value not in ("client", "server", "tsrequest", "tls"):
            return value + "<script>document.title='owned'</script>\"'\x1b"
        return value

    conversations = poison(report["conversations"])
    return report | {
        "problems": ["<script>"],
        "conversations": conversations * 2,
        "not_opened": [{"client": "<i>", "server": "<i>", "problems": ["<i>"]}],
        "not_opened_more": 3,
    }


def test_the_page_holds_text_and_nothing_else() -> None:
    text = page(hostile())
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<i>" not in text
    assert "http://" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "https://" not in text
    assert "default-src 'none'" in text


def test_the_page_of_every_kind_of_conversation() -> None:
    for login in (log_on(version=2), log_on(password="wrong")):
        packets = list(Connection().packets(login.rdp()))
        capture = pcapng(packets[:5] + packets[6:], log=login.keylog)
        assert "</html>" in page(dissect(io.BytesIO(capture), reveal=True))
    transcript = b'{"credssp_transcript": 1}\n{"from": "client", "data": "3003"}\n{"outcome": "no"}\n'
    assert "recorded outcome" in page(dissect(io.BytesIO(transcript)))


@pytest.mark.interop
def test_the_page_opens_in_a_browser(tmp_path: Path) -> None:
    chromium = require_program("chromium")
    file = tmp_path / "report.html"
    file.write_text(page(hostile()), encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}"]
    dumped = subprocess.run(
        [*command, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert dumped.count("<svg") == 2
    assert dumped.count('class="tsrequest"') == 10
    assert "negoTokens (NTLM NEGOTIATE" in dumped
    assert "<title>CredSSP: " in dumped  # no script changed it
    assert "owned</title>" not in dumped
    image = tmp_path / "report.png"
    shot = [*command, "--window-size=1000,1500", f"--screenshot={image}", file.as_uri()]
    subprocess.run(shot, capture_output=True, timeout=60, check=True)
    assert image.stat().st_size > 20_000

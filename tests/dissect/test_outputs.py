"""The command: text, JSON and HTML, arguments that are wrong, and a browser that opens the page."""

from __future__ import annotations

import io
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from credssp.dissect.diagram import sequence_diagram
from credssp.dissect.dissector import dissect
from credssp.dissect.html import page
from credssp.dissect.tls.keylog import Secrets
from credssp.nt_hash import nt_hash
from tests.dissect.captures import Connection, pcap, pcapng
from tests.dissect.logins import PASSWORD, certificate, log_on
from tests.pages.browser import browse


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
    assert "TLS connections that could not be decrypted (1)" in out
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
    assert "bytes: " in out


def test_key_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    login = log_on()
    file, log, key = tmp_path / "x.pcap", tmp_path / "keys.log", tmp_path / "key.pem"
    file.write_bytes(pcap(Connection().packets(login.rdp())))
    log.write_bytes(login.keylog)
    key.write_bytes(certificate().private_key.reveal())
    assert main(["dissect", str(file), "--keylog", str(log), "--rsa-key", str(key)]) == 0
    assert "5  " in capsys.readouterr().out
    assert main(["dissect", str(file), "--keylog", str(tmp_path / "no")]) == 1
    assert re.search("the key file .* cannot be read", capsys.readouterr().err)
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


@pytest.mark.parametrize("option", ["-o", "--html"])
@pytest.mark.parametrize("place", ["", "missing/page.html"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_printed(
    option: str, place: str, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dissect", str(capture), option, str(tmp_path / place)]) == 2
    printed = capsys.readouterr()
    assert "cannot be written" in printed.err
    assert printed.out == ""


def test_html_is_written_beside_text_and_never_over_a_capture(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "page.html"
    for _ in range(2):  # a page is written over a page
        assert main(["dissect", str(capture), "--html", str(target)]) == 0
        assert "1 CredSSP conversation" in capsys.readouterr().out
        assert target.read_text().startswith("<!DOCTYPE html>")
    assert main(["dissect", str(capture), "--json", "--html", str(target)]) == 0
    assert json.loads(capsys.readouterr().out)["conversations"]
    before = capture.read_bytes()
    assert main(["dissect", "--html", str(capture), str(capture)]) == 2
    assert "is not a page" in capsys.readouterr().err
    assert capture.read_bytes() == before
    assert main(["dissect", str(capture), "--json", "--html"]) == 2
    assert "exclude each other" in capsys.readouterr().err


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
        if isinstance(value, str) and value not in ("client", "server", "tsrequest", "tls", "ok", "note", "outcome"):
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


# What a peer chooses

HOSTILE = "eve\x1b[2J\x1b]0;owned\x07\u202e<script>document.title='owned'</script><img src=x onerror=1>&\"'\u20ac"


@pytest.fixture
def hostile_capture(tmp_path: Path) -> Path:
    login = log_on(mechanism="negotiate", user=HOSTILE, domain=HOSTILE)
    file = tmp_path / "login.pcapng"
    packets = [
        *Connection().packets(login.rdp()),
        *Connection(client_port=50001, server_port=5985).packets(login.winrm()),
    ]
    file.write_bytes(pcapng(packets, log=login.keylog))
    return file


@pytest.mark.parametrize("form", [[], ["--json"], ["--html"]])
@pytest.mark.parametrize("reveal", [[], ["--reveal"]])
def test_nothing_that_a_peer_chooses_reaches_the_terminal_or_the_page_as_it_is(
    hostile_capture: Path, form: list[str], reveal: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dissect", str(hostile_capture), "--password", PASSWORD, *form, *reveal]) == 0
    out = capsys.readouterr().out
    assert [c for c in out if c != "\n" and not c.isprintable()] == []
    assert "eve" in out
    assert (PASSWORD in out) == bool(reveal)
    if form == ["--html"]:
        assert "<script" not in out
        assert "<img" not in out
    if form:
        assert out.isascii()


def test_a_transcript_may_say_whatever_it_likes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.jsonl"
    lines: list[dict[str, Any]] = [
        {"credssp_transcript": 1, "role": "client", "program": HOSTILE, "peer": HOSTILE},
        {"from": "client", "data": "3005a003020106"},
        {"outcome": HOSTILE, "tls": HOSTILE},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for form in ([], ["--html"]):
        assert main(["dissect", str(file), *form]) == 0
        out = capsys.readouterr().out
        assert [c for c in out if c != "\n" and not c.isprintable()] == []
        assert not form or "<script" not in out


# What an engineer attaches to a report


def test_the_page_says_if_it_shows_secrets(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dissect", str(capture), "--html", "--reveal", "--password", PASSWORD]) == 0
    assert "This page shows passwords" in capsys.readouterr().out
    assert main(["dissect", str(capture), "--html", "--password", PASSWORD]) == 0
    assert "This page shows passwords" not in capsys.readouterr().out


def test_the_page_begins_with_a_line_for_each_conversation() -> None:
    good, bad = log_on(mechanism="negotiate"), log_on(password="wrong")
    packets = [*Connection().packets(good.rdp()), *Connection(client_port=50001).packets(bad.rdp())]
    packets += Connection(client_port=50002).packets(log_on(version=5).rdp())
    text = page(dissect(io.BytesIO(pcapng(packets, log=good.keylog + bad.keylog))))
    overview = text[text.index("<nav>") : text.index("</nav>")]
    assert overview.count("<tr>") == 4
    assert "the login reached authInfo" in overview
    assert "STATUS_LOGON_FAILURE" in overview
    assert "cannot be decrypted" in overview
    assert "LAB\\alice" in overview
    badges = re.findall(r'class="level (\w+)"', overview)
    assert badges == ["ok", "note", "note"]  # accepted, refused, not opened
    long = log_on(user="a" * 100)
    packets += Connection(client_port=50003).packets(long.rdp())
    text = page(dissect(io.BytesIO(pcapng(packets, log=long.keylog))))
    assert "a" * 50 not in text[text.index("<nav>") : text.index("</nav>")]
    assert "a" * 100 in text
    assert 'href="#c3"' in overview


def test_the_diagram_has_one_arrow_for_a_flight_of_the_handshake() -> None:
    login = log_on(tls="1.2")
    (tree,) = dissect(io.BytesIO(pcapng(Connection().packets(login.rdp()), log=login.keylog)))["conversations"]
    drawn = sequence_diagram(tree, str)
    assert "ServerHello, Certificate, ServerKeyExchange, ServerHelloDone" in drawn
    assert drawn.count("<path") < len(tree["timeline"])
    # Alerts stand alone, and what is wrong with a message stands in its title.
    assert "close_notify, " not in drawn
    broken = {**tree["timeline"][-1], "error": "cut off"}
    assert ": cut off</title>" in sequence_diagram({**tree, "timeline": [broken]}, str)


@pytest.mark.interop
def test_a_link_to_a_message_opens_it(capture: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(dissect(capture)), encoding="ascii")
    assert browse(tmp_path, "--dump-dom", f"{file.as_uri()}#c1-leg3").count("<details open") == 1


@pytest.mark.interop
def test_the_page_opens_in_a_browser(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(hostile()), encoding="utf-8")
    dumped = browse(tmp_path, "--dump-dom", file.as_uri())
    assert dumped.count("<svg") == 2
    assert dumped.count('class="tsrequest"') == 10
    assert "negoTokens (NTLM NEGOTIATE" in dumped
    assert "<title>CredSSP: " in dumped  # no script changed it
    assert "owned</title>" not in dumped
    image = tmp_path / "report.png"
    browse(tmp_path, "--window-size=1000,1500", f"--screenshot={image}", file.as_uri())
    assert image.stat().st_size > 20_000


FOLDERS = sorted(path.parent for path in (Path(__file__).parents[2] / "fixtures").glob("*/manifest.toml"))


def secrets_of(folder: Path) -> set[str]:
    """What must not be seen: passwords, hashes, keys, and what a password can be guessed against."""
    manifest = tomllib.loads((folder / "manifest.toml").read_text())
    passwords = {manifest["account"]["password"], manifest.get("delegated", {}).get("password", "")} - {""}
    found = {form for each in passwords for form in (each, each.encode("utf-16-le").hex(), nt_hash(each).hex())}
    found |= {manifest["kerberos"][name] for name in ("key", "host_key") if name in manifest.get("kerberos", {})}
    if (folder / "keys.log").exists():
        found |= {line.split()[2] for line in (folder / "keys.log").read_text().splitlines() if line[:1] != "#"}
    revealed = dissect(folder, reveal=True)["conversations"]

    def visit(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                visit(item, key)
        elif isinstance(value, list):
            for item in value:
                visit(item, name)
        elif isinstance(value, str) and name in SECRET_MEMBERS and value not in ("", "empty", "00" * 24, "00" * 16):
            found.add(value)

    visit(revealed, "")
    return found


SECRET_MEMBERS = {
    *("lmChallengeResponse", "ntChallengeResponse", "NTProofStr", "encryptedRandomSessionKey", "MIC", "mechListMIC"),
    *("session_key", "password", "pin", "credBuffer", "data"),
}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_no_form_of_output_shows_a_secret(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = secrets_of(folder)
    assert secrets
    for form in ([], ["--json"], ["--html"]):
        assert main(["dissect", str(folder), *form]) == 0
        captured = capsys.readouterr()
        out = (captured.out + captured.err).lower()
        assert [secret for secret in secrets if secret.lower() in out] == []


def test_what_cannot_be_read_is_told_in_one_line(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = str(tmp_path / "\x1b[31mno")
    (tmp_path / "text").write_text("just text")
    for arguments, what in (
        ([str(capture), "--keylog", odd], r"the key file .*\\x1b\[31mno cannot be read"),
        ([str(capture), "--rsa-key", str(tmp_path)], "the key file .* cannot be read: Is a directory"),
        ([str(tmp_path)], "manifest.toml or messages.jsonl is missing"),
        ([str(tmp_path / "text")], "neither pcap, pcapng nor a transcript"),
    ):
        assert main(["dissect", *arguments]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert re.fullmatch(f"credssp dissect: .*{what}.*\n", captured.err)
        assert "SEC_E" not in captured.err


def test_a_key_log_without_lines_is_read_in_pieces() -> None:
    class Endless(io.BytesIO):
        asked: list[int | None] = []  # noqa: RUF012

        def readline(self, size: int | None = -1, /) -> bytes:
            self.asked.append(size)
            return b"\0" * 1000 if len(self.asked) < 100 else b""

    secrets = Secrets()
    secrets.add_file(Endless())
    assert secrets.lines_ignored == 99
    assert max(size or 0 for size in Endless.asked) <= 4096
    assert min(size or 0 for size in Endless.asked) > 0

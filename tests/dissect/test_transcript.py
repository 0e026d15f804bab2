"""Transcripts: what the writer writes the reader reads, and damage is said."""

from __future__ import annotations

import json
import os
import resource
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from credssp.accounts import MemoryAccounts
from credssp.binding import subject_public_key
from credssp.cli import main
from credssp.context import ClientContext, ServerContext
from credssp.credentials import PasswordCredentials
from credssp.dissect import transcript
from credssp.dissect.dissector import dissect
from credssp.dissect.errors import CaptureError
from credssp.dissect.model import Conversation
from credssp.dissect.transcript import TranscriptWriter, read_fixture, read_transcript
from credssp.engine import Direction, ExchangeObserver
from credssp.errors import LocalProtocolError
from credssp.exchange.opening import LogonSecrets
from credssp.secret import Secret
from credssp.testing import RDPServer
from credssp.wire.ts_request import TSRequest
from tests.dissect.logins import DOMAIN, PASSWORD, TARGET, USER, certificate
from tests.growth import assert_linear

HEAD = '{"credssp_transcript": 1, "role": "server", "program": "us", "peer": "them"}'
FIXTURES = Path(__file__).parents[2] / "fixtures"


def contexts(client_observer: Any = None, server_observer: Any = None) -> tuple[ClientContext, ServerContext]:
    client = ClientContext(
        PasswordCredentials(USER, PASSWORD, domain=DOMAIN), target_name=TARGET, observer=client_observer
    )
    server = ServerContext(
        accounts=MemoryAccounts({(DOMAIN, USER): PASSWORD}), certificate=certificate(), observer=server_observer
    )
    return client, server


def run(client: ClientContext, server: ServerContext) -> None:
    token = client.step().token
    while not server.complete:
        token = client.step(server.step(token).token).token


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "login.jsonl"
    times = iter(range(1_767_225_600, 1_767_225_700))
    with TranscriptWriter(file, role="client", program="us", peer="them", clock=lambda: next(times)) as writer:
        assert isinstance(writer, ExchangeObserver)
        client, server = contexts(writer)
        run(client, server)
        writer.tls(client.tls_version, client.server_certificate)
        writer.outcome("accepted")
    assert file.stat().st_mode & 0o777 == 0o600
    (conversation,) = dissect(file, logon=LogonSecrets((Secret(PASSWORD),)))["conversations"]
    assert [check["verdict"] for check in conversation["checks"]] == ["ok"] * 5
    assert (conversation["client"], conversation["server"]) == ("us", "them")
    assert conversation["recorded_outcome"] == "accepted"
    assert conversation["tls"][0]["certificate"]["subject"] == "CN=srv.lab.test"
    assert [entry["time"] for entry in conversation["timeline"]] == [0, 1, 2, 3, 4]


def test_the_logins_of_a_server_stay_apart(tmp_path: Path) -> None:
    file = tmp_path / "logins.jsonl"
    with TranscriptWriter(file, role="server", program="us", peer="clients") as writer:
        pairs = [contexts(None, writer) for _ in range(3)]
        tokens = [client.step().token for client, _ in pairs]
        while not all(server.complete for _, server in pairs):
            tokens = [
                client.step(server.step(token).token).token
                for (client, server), token in zip(pairs, tokens, strict=True)
            ]
    report = dissect(file, logon=LogonSecrets((Secret(PASSWORD),)))
    assert len(report["conversations"]) == 3
    assert all([check["verdict"] for check in each["checks"]] == ["ok"] * 5 for each in report["conversations"])


def test_workers_count_for_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "logins.jsonl"
    writer = TranscriptWriter(file, role="server", program="us")
    monkeypatch.setattr(os, "getpid", lambda: 77)
    writer.for_exchange(b"key")(Direction.SENT, TSRequest(6), TSRequest(6).encode())
    writer.for_exchange(b"")(Direction.SENT, TSRequest(6), TSRequest(6).encode())  # TSSSP learns the key later
    writer.for_exchange(b"no message ever comes")
    writer(Direction.RECEIVED, TSRequest(6), TSRequest(6).encode())
    writer.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[1]["exchange"] == "77.1"
    assert [line["from"] for line in lines if "from" in line] == ["server", "server", "client"]
    assert len(lines) == 5


def test_a_full_disk_is_logged_once_and_logins_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "logins.jsonl"
    with TranscriptWriter(file, role="server", program="us", peer="them") as writer:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100, before[1]))
        try:
            for _ in range(3):
                client, server = contexts(None, writer)
                run(client, server)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "the transcript is incomplete: the disk is full" in caplog.text
        client, server = contexts(None, writer)
        run(client, server)
    read = read_transcript(file.read_text())
    assert len(read[-1].events) >= 4
    assert "cannot be read" in str(read[-1].problems)


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("something else")
    with pytest.raises(LocalProtocolError, match="is not a transcript"):
        TranscriptWriter(file, role="client", program="us")
    assert file.read_text() == "something else"
    with pytest.raises(LocalProtocolError, match="cannot be written"):
        TranscriptWriter(tmp_path / "no" / "folder", role="client", program="us")
    file.write_text(HEAD + "\nold\n")
    TranscriptWriter(file, role="client", program="us").close()
    assert "old" not in file.read_text()


def test_login_writes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, password = tmp_path / "login.jsonl", tmp_path / "password"
    password.write_text(PASSWORD)
    with RDPServer({(DOMAIN, USER): PASSWORD}, certificate=certificate()) as server:
        url = f"rdp://127.0.0.1:{server.port}"
        login = ["login", url, "-u", f"{DOMAIN}\\{USER}", "--password-file", str(password), "--transcript", str(file)]
        assert main(login) == 0
    capsys.readouterr()
    assert main(["dissect", str(file), "--password", PASSWORD, "--json"]) == 0
    (conversation,) = json.loads(capsys.readouterr().out)["conversations"]
    assert [check["verdict"] for check in conversation["checks"]] == ["ok"] * 5
    assert conversation["recorded_outcome"] == "accepted"


def test_serve_writes_one(tmp_path: Path) -> None:
    from argparse import Namespace

    from credssp.cli import _serve_options

    assert _serve_options.observer(Namespace(transcript=None)) is None
    file = tmp_path / "logins.jsonl"
    observer = _serve_options.observer(Namespace(transcript=str(file)))
    assert isinstance(observer, TranscriptWriter)
    with RDPServer({(DOMAIN, USER): PASSWORD}, certificate=certificate(), observer=observer) as server:
        from credssp.rdp import connect

        credentials = PasswordCredentials(USER, PASSWORD, domain=DOMAIN)
        for _ in range(2):
            connect(server.host, server.port, credentials=credentials).close()
        assert server.wait(delegations=2)
    observer.close()
    report = dissect(file, logon=LogonSecrets((Secret(PASSWORD),)))
    assert len(report["conversations"]) == 2
    assert all([check["verdict"] for check in each["checks"]] == ["ok"] * 5 for each in report["conversations"])


@pytest.mark.parametrize("text", ["", "[]", '{"credssp_transcript": 2}', "{", '{"credssp_transcript": 1'])
def test_other_texts_are_no_transcripts(text: str) -> None:
    with pytest.raises(CaptureError, match="not a transcript"):
        read_transcript(text)


def test_damaged_lines_are_told_and_the_others_read() -> None:
    message = '{"from": "client", "data": "3005a003020106", "time": %s}'
    lines = [
        HEAD,
        message % "1767225600",
        "cut off",
        message % '"yesterday"',
        message % "NaN",
        message % "1e300",
        '{"from": "client", "data": "xx"}',
        '{"from": "nobody", "data": "00"}',
        '{"from": "client", "data": "00", "layer": "?"}',
        '{"from": ["client"], "data": "00", "layer": ["x224"]}',
        '{"from": "client", "data": "00", "layer": {}}',
        '{"from": "client", "data": ""}',
        '{"from": "server", "layer": "x224", "data": "0300"}',
        '{"from": "server", "layer": "http", "data": "0300"}',
        '{"from": "server", "data": "3003"}',
        '{"exchange": "", "certificate": "xx"}',
        '{"public_key": "zz"}',
        '{"tls": 5, "unknown": []}',
        '{"certificate": "3000"}',
    ]
    (conversation,) = read_transcript("\n".join(lines))
    assert (conversation.client, conversation.server) == ("them", "us")
    assert [event.time for event in conversation.events][:4] == [1_767_225_600_000_000_000, None, None, None]
    assert conversation.requests[-1].error
    assert conversation.problems == [
        "a line about the whole transcript cannot be read",
        "lines of the transcript that cannot be read: 3, 7, 8, 9, 10, 11, 12, 16",
    ]


def test_a_certificate_alone_gives_the_key() -> None:
    der = certificate().der
    (conversation,) = read_transcript(HEAD + "\n" + json.dumps({"certificate": der.hex()}))
    assert conversation.public_key == subject_public_key(der)


def test_the_last_word_about_the_whole_counts_and_what_is_empty_says_nothing() -> None:
    lines = [
        HEAD,
        '{"outcome": "refused", "tls": "TLSv1.2", "public_key": "0a"}',
        '{"exchange": 1, "public_key": "0b"}',
        '{"outcome": "accepted", "tls": "", "certificate": "3000"}',
        '{"outcome": "accepted", "public_key": ""}',
    ]
    (conversation,) = read_transcript("\n".join(lines))
    assert (conversation.outcome, conversation.tls_version) == ("accepted", "TLSv1.2")
    assert conversation.public_key == b"\x0a"
    assert conversation.problems == ["a line about the whole transcript cannot be read"]


def test_lines_about_the_whole_and_exchanges_do_not_multiply() -> None:
    """10,000 of each took minutes."""

    def read(count: int) -> Callable[[], list[Conversation]]:
        lines = [HEAD, *['{"outcome": "accepted"}'] * count, *(f'{{"exchange": {n}}}' for n in range(count))]
        return lambda: read_transcript("\n".join(lines))

    assert_linear(read, 8000)
    conversations = read(100)()
    assert {conversation.outcome for conversation in conversations} == {"accepted"}


def test_exchanges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "MAX_EXCHANGES", 2)
    lines = [HEAD] + [json.dumps({"exchange": n, "from": "client", "data": "00"}) for n in range(15)]
    conversations = read_transcript("\n".join(lines))
    assert len(conversations) == 2
    assert conversations[-1].problems[0].endswith(", ...")


def test_transcripts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "large"
    line = '{"exchange": %d, "from": "client", "data": "3005a003020106"}\n'
    file.write_text(HEAD + "\n" + "".join(line % number for number in range(100)))
    monkeypatch.setattr("credssp.dissect.dissector.MAX_SIZE", 1000)
    report = dissect(file)
    assert report["problems"] == ["the transcript has more than 1000 bytes; what follows them is not shown"]
    # What was read is whole: the line in which the limit lies is not half there.
    assert len(report["conversations"]) > 10
    assert not [problem for each in report["conversations"] for problem in each["problems"]]
    (tmp_path / "manifest.toml").write_text("#" * 2000)
    monkeypatch.setattr("credssp.exchange.fixture.MAX_SIZE", 1000)
    with pytest.raises(CaptureError, match="not a readable fixture"):
        read_fixture(tmp_path)


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in FIXTURES.glob("*/manifest.toml")), ids=lambda p: p.name
)
def test_fixtures_of_the_project_are_read(folder: Path) -> None:
    report = dissect(folder)
    assert report["kind"] == "fixture"
    (conversation,) = report["conversations"]
    manifest = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
    exchange = manifest["exchange"]
    if manifest["outcome"] != "accepted":
        return
    assert conversation["negotiated"]["mechanism"] == exchange["mechanism"]
    # Kerberos is shown and not opened.
    expected = "ok" if exchange["mechanism"] == "ntlm" else "unknown"
    verdicts = {check["verdict"] for check in conversation["checks"] if check["name"] != "MIC"}
    assert verdicts == {expected}
    if expected == "unknown":
        assert "Kerberos AP-REQ" in json.dumps(conversation["timeline"])


@pytest.mark.parametrize("folder", sorted(FIXTURES.glob("*capture*/")), ids=lambda path: path.name)
def test_fixtures_with_packets_open_and_hold_the_same_messages(folder: Path) -> None:
    if not (folder / "capture.pcapng").is_file():
        pytest.skip("no capture in this folder")
    report = dissect(folder, reveal=True)
    (conversation,) = report["conversations"]
    recorded = [json.loads(line)["data"] for line in (folder / "messages.jsonl").read_text().splitlines()]
    assert [entry["data"] for entry in conversation["timeline"] if entry["leg"] is not None] == recorded
    refused = "refused" in folder.name
    assert any(each["text"].startswith("the server refused") for each in conversation["judgement"]) == refused
    if not refused:
        assert {check["verdict"] for check in conversation["checks"]} == {"ok"}


def test_fixtures_with_odd_manifests(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text("server = 5\naccount = 1\n")
    (tmp_path / "messages.jsonl").write_text("junk\n")
    conversation, account = read_fixture(tmp_path)
    assert account is None
    assert conversation.problems == ["line 1 of messages.jsonl cannot be read"]
    (tmp_path / "manifest.toml").write_text('[server]\npublic_key = "xx"\n')
    conversation, _ = read_fixture(tmp_path)
    assert "not hexadecimal" in conversation.problems[-1]

"""One event for every login, in the form of all events."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from credssp.drivers.audit import REASONS, AuditEvent
from credssp.lsa.audit import FileSink, JournalSink, event_of, line_of
from credssp.lsa.caller import Caller
from credssp.lsa.opened import STATUS_OF, Reason
from credssp.lsa.record import LoginRecord
from credssp.status import SecurityStatus

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the agent needs Unix-domain sockets")

CALLER = Caller(1000, 4711, "/usr/bin/ansible-playbook")


def record(**changes: Any) -> LoginRecord:
    values = {
        "caller": CALLER,
        "credential": "prod-admin",
        "target": "TERMSRV/srv.lab.test",
        "package": "CREDSSP",
        "mechanism": "kerberos",
        "outcome": "success",
        "status": SecurityStatus.SEC_E_OK,
        "reason": "",
        "delegated": True,
        "proof_sent": True,
        "seconds": 0.01234,
    }
    return LoginRecord(**values | changes)


def test_a_login_says_who_did_what_with_which_program() -> None:
    event = event_of(record(), user="LAB\\alice")
    assert list(event)[: len(AuditEvent(event="x").as_json())] == list(AuditEvent(event="x").as_json())
    assert event["event"] == "agent-login"
    assert (event["outcome"], event["reason"], event["end"]) == ("success", "", "success")
    assert (event["domain"], event["user"], event["mechanism"]) == ("LAB", "alice", "kerberos")
    assert (event["uid"], event["pid"], event["executable"]) == (1000, 4711, "/usr/bin/ansible-playbook")
    assert (event["credential"], event["target"], event["package"]) == ("prod-admin", "TERMSRV/srv.lab.test", "CREDSSP")
    assert (event["delegated"], event["proof_sent"], event["seconds"]) == (True, True, 0.012)
    assert (event["status"]["code"], event["status"]["name"]) == (0, "SEC_E_OK")


def test_a_principal_stays_whole() -> None:
    event = event_of(record(), user="alice@LAB.TEST")
    assert (event["domain"], event["user"]) == ("", "alice@LAB.TEST")


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_has_its_rule_its_status_and_a_word_of_the_schema(reason: Reason) -> None:
    event = event_of(record(outcome="refused", reason=reason.value, status=STATUS_OF[reason], delegated=False))
    assert (event["outcome"], event["rule"], event["end"]) == ("failure", reason.value, "refused")
    assert event["status"]["name"] == STATUS_OF[reason].name
    assert event["reason"] in REASONS - {""}


@pytest.mark.parametrize(
    ("outcome", "reason", "status", "word"),
    [
        ("failed", "PeerRefusedError", SecurityStatus.SEC_E_LOGON_DENIED, "logon_failure"),
        ("failed", "BindingError", SecurityStatus.SEC_E_BAD_BINDINGS, "key_mismatch"),
        ("failed", "PolicyError", SecurityStatus.SEC_E_DELEGATION_POLICY, "policy"),
        ("failed", "VersionError", SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION, "version"),
        ("failed", "DecodeError", SecurityStatus.SEC_E_INVALID_TOKEN, "protocol"),
        ("abandoned", "", SecurityStatus.SEC_E_INTERNAL_ERROR, "closed"),
    ],
)
def test_failures_have_the_words_of_the_servers(outcome: str, reason: str, status: int, word: str) -> None:
    event = event_of(record(outcome=outcome, reason=reason, status=status))
    assert (event["outcome"], event["reason"]) == ("failure", word)


def test_what_a_program_chose_cannot_feign_a_line() -> None:
    event = event_of(record(target='TERMSRV/x"}\n{"event": "agent-login"', credential="\u2028\x1b"))
    line = line_of(event)
    assert line.count("\n") == 1
    assert line.isascii()
    assert json.loads(line) == event


def credentials(file: Path) -> list[str]:
    return [json.loads(line)["credential"] for line in file.read_text().splitlines()]


def test_a_file_is_private_and_grows(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        sink = FileSink(os.fspath(tmp_path / "audit"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o600
    sink(event_of(record()))
    sink.close()
    sink = FileSink(os.fspath(tmp_path / "audit"))
    sink(event_of(record(credential="other")))
    sink.close()
    assert credentials(tmp_path / "audit") == ["prod-admin", "other"]


def test_a_file_that_was_moved_away_is_opened_again(tmp_path: Path) -> None:
    sink = FileSink(os.fspath(tmp_path / "audit"))
    sink(event_of(record(credential="one")))
    (tmp_path / "audit").rename(tmp_path / "old")
    sink(event_of(record(credential="two")))
    sink.reopen()
    sink(event_of(record(credential="three")))
    sink.close()
    assert credentials(tmp_path / "old") == ["one", "two"]
    assert credentials(tmp_path / "audit") == ["three"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_logged_once_and_logins_continue(caplog: pytest.LogCaptureFixture) -> None:
    sink = FileSink("/dev/full")
    with caplog.at_level(logging.ERROR, "credssp.agent"):
        sink(event_of(record()))
        sink(event_of(record()))
    sink.close()
    (found,) = caplog.records
    assert "/dev/full: No space left" in found.getMessage()


def test_the_journal_gets_fields_to_search_by(tmp_path: Path) -> None:
    address = os.fspath(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        journal.settimeout(60)
        sink = JournalSink(address)
        event = event_of(record(outcome="refused", reason="target", status=SecurityStatus.SEC_E_TARGET_UNKNOWN))
        sink(event)
        fields = dict(line.split("=", 1) for line in journal.recv(65536).decode().splitlines())
        sink(event_of(record(target="a\nPRIORITY=0", credential="\n")))
        feigned = journal.recv(65536).decode().splitlines()
    assert json.loads(fields["MESSAGE"]) == event
    assert (fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"]) == ("4", "credssp-agent")
    assert (fields["CREDSSP_CREDENTIAL"], fields["CREDSSP_RULE"]) == ("prod-admin", "target")
    assert (fields["CREDSSP_UID"], fields["CREDSSP_PID"]) == ("1000", "4711")
    assert [line for line in feigned if line.startswith("PRIORITY=")] == ["PRIORITY=6"]
    assert not any(line.startswith(("CREDSSP_TARGET", "CREDSSP_CREDENTIAL")) for line in feigned)
    sink.close()


def test_a_journal_that_is_gone_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    address = os.fspath(tmp_path / "journal")
    with pytest.raises(OSError, match="No such file"):
        JournalSink(address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        sink = JournalSink(address)
    with caplog.at_level(logging.ERROR, "credssp.agent"):
        sink(event_of(record()))
        sink(event_of(record()))
    sink.close()
    assert len(caplog.records) == 1

"""The events of the servers: one form, reasons that can be told apart, and the filter of fail2ban on real lines."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.drivers.audit import REASONS, AuditEvent, reason_of
from credssp.drivers.handshake import DeadlineError
from credssp.errors import (
    AuthenticationError,
    BindingError,
    CredSSPError,
    LimitExceededError,
    LocalProtocolError,
    PeerClosedError,
    PeerRefusedError,
    RemoteProtocolError,
    TLSError,
    VersionError,
)
from credssp.rdp import AuthorizationDeniedError
from credssp.status import NTStatus, SecurityStatus

FILTER = Path(__file__).parent.parent.parent / "docs" / "examples" / "fail2ban" / "filter.conf"
COMMON = [each.name for each in fields(AuditEvent)]


@contextmanager
def serving(kind: str, *options: str) -> Iterator[tuple[tuple[str, int], list[dict[str, Any]], list[str]]]:
    """Run ``credssp serve``; the address, and the events and lines once the block has ended."""
    command = [sys.executable, "-m", "credssp", "serve", kind, "--listen", "127.0.0.1:0", "--json", *options]
    events: list[dict[str, Any]] = []
    lines: list[str] = []
    with subprocess.Popen([*command, "--user", "LAB\\alice:secret"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines.append(process.stdout.readline())
        host, _, port = json.loads(lines[0])["address"].rpartition(":")
        try:
            yield (host, int(port)), events, lines
        finally:
            process.terminate()
            lines += process.stdout.read().splitlines(keepends=True)
            events += [json.loads(line) for line in lines]


def log_on(kind: str, address: tuple[str, int], user: str, password: str) -> None:
    credentials = credssp.PasswordCredentials(user, password, domain="LAB")
    if kind == "rdp":
        rdp.connect(*address, credentials=credentials, workstation="PC1").close()
        return
    from credssp.drivers.winrm import WinRMConnection
    from credssp.winrm import ClientLogin

    with WinRMConnection(*address) as connection:
        connection.log_on(ClientLogin(None, "srv", credentials=credentials, workstation="PC1"))


@pytest.mark.parametrize("kind", ["rdp", "winrm"])
def test_all_events_have_one_form(kind: str) -> None:
    if kind == "winrm":
        pytest.importorskip("uvicorn")
    odd = '", "address": "192.0.2.99'
    with serving(kind) as (address, events, lines):
        log_on(kind, address, "alice", "secret")
        for user, password in (("alice", "wrong"), (odd, "x")):
            with pytest.raises(CredSSPError):
                log_on(kind, address, user, password)
        time.sleep(0.3)
    for event in events:
        assert list(event)[: len(COMMON)] == COMMON
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", event["time"])
        assert event["reason"] in REASONS
    told = [event for event in events if event["event"] in ("delegated", "refused")]
    assert [(event["outcome"], event["reason"], event["user"], event["domain"]) for event in told] == [
        ("success", "", "alice", "LAB"),
        ("failure", "logon_failure", "alice", "LAB"),
        ("failure", "logon_failure", odd, "LAB"),
    ]
    assert {(event["address"], event["workstation"], event["mechanism"]) for event in told} == {
        ("127.0.0.1", "PC1", "ntlm")
    }
    assert len({event["id"] for event in told}) == 3
    assert all(len(event["id"]) == 16 for event in told)
    assert found_by_filter(lines) == ["127.0.0.1"] * 2


def found_by_filter(lines: list[str]) -> list[str]:
    """Return what the filter finds; as fail2ban does, with an address in place of <HOST>."""
    found = re.search(r"^failregex = (.*)$", FILTER.read_text(), re.MULTILINE)
    assert found
    pattern = re.compile(found[1].replace("<HOST>", r"(?P<host>[0-9a-fA-F.:]+)"))
    return [match["host"] for line in lines if (match := pattern.search(line))]


@pytest.mark.skipif(shutil.which("fail2ban-regex") is None, reason="fail2ban is not installed")
def test_fail2ban_finds_the_address(tmp_path: Path) -> None:
    error = AuthenticationError("no")
    lines = [
        json.dumps(AuditEvent.of_failure("refused", error, id="00", address="192.0.2.1").as_json() | {"peer": "x"}),
        json.dumps(AuditEvent(event="closed", id="00", address="192.0.2.1").as_json()),
    ]
    log = tmp_path / "log"
    log.write_text("\n".join(lines) + "\n")
    result = subprocess.run(["fail2ban-regex", str(log), str(FILTER)], capture_output=True, text=True, check=False)
    assert "1 matched" in result.stdout, result.stdout


def test_the_filter_finds_relays_and_locked_accounts_and_nothing_else() -> None:
    bad = AuthenticationError("no", ntstatus=NTStatus.STATUS_BAD_BINDINGS)
    cases = [(AuthenticationError("no"), True), (bad, False), (BindingError("no"), False), (TLSError("no"), False)]
    lines = [
        json.dumps(
            AuditEvent.of_failure("refused", e, id="0a", address="2001:db8::1", locked=locked).as_json() | {"": 1}
        )
        for e, locked in cases
    ]
    assert found_by_filter(lines) == ["2001:db8::1"] * 3


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AuthenticationError("x"), "logon_failure"),
        (AuthenticationError("x", ntstatus=NTStatus.STATUS_ACCOUNT_DISABLED), "account_restricted"),
        (AuthenticationError("x", ntstatus=NTStatus.STATUS_BAD_BINDINGS), "bad_bindings"),
        (BindingError("x"), "key_mismatch"),
        (AuthorizationDeniedError("x"), "not_authorized"),
        (VersionError("x"), "version"),
        (DeadlineError("x"), "timeout"),
        (PeerClosedError("x"), "closed"),
        (LimitExceededError("x"), "limit"),
        (TLSError("x"), "tls"),
        (RemoteProtocolError("x"), "protocol"),
        (LocalProtocolError("x"), "internal"),
        (credssp.PolicyError("x", status=SecurityStatus.SEC_E_DELEGATION_POLICY), "policy"),
    ],
)
def test_reasons(error: CredSSPError, reason: str) -> None:
    assert reason_of(error) == reason
    assert reason_of(error, locked=True) == "locked"


def test_a_relayed_login_names_whose_password_was_right() -> None:
    error = BindingError("x")
    error.claim = credssp.errors.Claim("LAB", "alice", "PC1", "ntlm")
    event = AuditEvent.of_failure("refused", error, id="1", address="192.0.2.1")
    assert (event.reason, event.user, event.domain) == ("key_mismatch", "alice", "LAB")


def test_connections_without_a_byte_are_one_line() -> None:
    with serving("rdp") as (address, events, _):
        for _ in range(200):
            socket.create_connection(address).close()
        with pytest.raises(PeerRefusedError):
            log_on("rdp", address, "alice", "wrong")
        time.sleep(0.3)
    silent = [event["connections"] for event in events if event["event"] == "silent"]
    assert sum(silent) == 200
    assert len(silent) <= 4
    assert len(events) < 12


# The page of the manual is the schema

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "events.md").read_text()
HEADS = {"rdp": {"connection", "peer"}, "winrm": {"peer"}}


def rows(head: str) -> list[list[str]]:
    """Return the cells of a table of the page."""
    table = PAGE[PAGE.index(head) :].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def further_members(kind: str) -> dict[str, set[str]]:
    """Return what the page says of the events of a server."""
    found = {}
    for event, _, text in rows("| event | when |"):
        found[event.strip("`")] = {
            name
            for part in text.split(";")
            if ("RDP:" not in part and "WinRM:" not in part) or {"rdp": "RDP:", "winrm": "WinRM:"}[kind] in part
            for name in re.findall(r"`(\w+)`", part)
        }
    return found


@pytest.mark.parametrize("kind", ["rdp", "winrm"])
def test_events_have_the_members_of_the_page(kind: str) -> None:
    if kind == "winrm":
        pytest.importorskip("uvicorn")
    with serving(kind, "--reveal") as (address, events, _):
        log_on(kind, address, "alice", "secret")
        with pytest.raises(CredSSPError):
            log_on(kind, address, "bob", "secret")
        with socket.create_connection(address) as connection:
            connection.sendall(b"garbage\r\n\r\n")
        socket.create_connection(address).close()
        time.sleep(0.5)
    told = {event["event"] for event in events}
    assert told == {"listening", "delegated", "refused", "closed", "silent"} | (
        {"negotiated"} if kind == "rdp" else set()
    )
    described = further_members(kind)
    meanings = {
        name.strip("`") for row in rows("| member | meaning |\n|---|---|\n| `approach`") for name in row[0].split(", ")
    }
    for event in events:
        name = event["event"]
        head = set() if name in ("listening", "silent", "dropped") else HEADS[kind]
        assert set(event) - set(COMMON) - head == described[name], name
        assert described[name] <= meanings


def test_all_reasons_are_described() -> None:
    described = {name.strip("` ") for row in rows("| reason | meaning |") for name in row[0].split(",")}
    assert described == REASONS - {""}


@pytest.mark.parametrize("kind", ["rdp", "winrm"])
def test_the_owner_is_told_what_was_wrong(kind: str, tmp_path: Path) -> None:
    if kind == "winrm":
        pytest.importorskip("uvicorn")
    users = tmp_path / "users"
    # Account control bits as in smbpasswd: D is disabled.
    hashed = credssp.accounts.nt_hash("secret").hex().upper()
    users.write_text(f"carol:1000:{'X' * 32}:{hashed}:[UD         ]:LCT-00000000:\n")
    told = []
    options = ("--users-file", str(users), "--limit", "account_failures=1", "--limit", "account_delay=60")
    with serving(kind, *options) as (address, events, _):
        for user, password in (
            ("bob", "secret"),
            ("alice", "x"),
            ("alice", "x"),
            ("alice", "secret"),
            ("carol", "secret"),
        ):
            with pytest.raises(CredSSPError) as caught:
                log_on(kind, address, user, password)
            told.append(str(caught.value))
        time.sleep(0.3)
    refused = [event for event in events if event["event"] == "refused"]
    assert [(event["user"], event["wrong"], event["reason"]) for event in refused] == [
        ("bob", "name", "logon_failure"),
        ("alice", "password", "logon_failure"),
        ("alice", "password", "logon_failure"),
        ("alice", "account", "locked"),
        ("carol", "account", "account_restricted"),
    ]
    assert len(set(told[:4])) == 1  # and the client always hears the same


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
@pytest.mark.parametrize("kind", ["rdp", "winrm"])
def test_a_login_says_what_was_verified(kind: str, mechanism: str) -> None:
    if kind == "winrm":
        pytest.importorskip("uvicorn")
    credentials = credssp.PasswordCredentials("alice", "secret", domain="LAB")
    options: Any = {"credentials": credentials, "mechanism": mechanism}
    with serving(kind) as (address, events, _):
        if kind == "rdp":
            rdp.connect(*address, **options).close()
        else:
            from credssp.drivers.winrm import WinRMConnection
            from credssp.winrm import ClientLogin

            with WinRMConnection(*address) as connection:
                connection.log_on(ClientLogin(None, "srv", **options))
        time.sleep(0.3)
    (event,) = (event for event in events if event["event"] == "delegated")
    assert (event["ntlm_mic"], event["mech_list_mic"]) == (True, None if mechanism == "ntlm" else True)
    assert (event["version"], event["peer_version"], event["tls"]) == (6, 6, "TLSv1.3")
    assert event["cipher"].startswith("TLS_")
    assert event["target_name"] == ("TERMSRV/127.0.0.1" if kind == "rdp" else "HTTP/srv")


def test_a_smart_card_and_the_modes_are_told_by_name() -> None:
    card = credssp.SmartCardCredentials(
        pin=credssp.Secret("0000"),
        card_name="card",
        reader_name="reader",
        container_name="container",
        csp_name="csp",
        key_spec=2,
        user_hint="alice",
    )
    alice = credssp.PasswordCredentials("alice", "secret", domain="LAB")
    with serving("rdp") as (address, events, _):
        rdp.connect(*address, credentials=alice, delegated_credentials=card).close()
        rdp.connect(*address, credentials=alice, restricted_admin=True).close()
        time.sleep(0.3)
    first, second = (event for event in events if event["event"] == "delegated")
    assert first["delegated"] == {
        "type": "smartcard",
        "domain": "",
        "user": "alice",
        "secret": "********",
        "card": "card",
        "reader": "reader",
        "container": "container",
        "csp": "csp",
        "key_spec": 2,
    }
    assert (first["restricted_admin"], second["restricted_admin"], second["remote_guard"]) == (False, True, False)
    negotiated = [event for event in events if event["event"] == "negotiated"]
    assert [event["requested_flags"] for event in negotiated] == [[], ["RESTRICTED_ADMIN_MODE_REQUIRED"]]
    assert "RESTRICTED_ADMIN_MODE_SUPPORTED" in negotiated[1]["flags"]


def test_silent_says_why() -> None:
    with serving("rdp", "--limit", "leg=0.2") as (address, events, _):
        socket.create_connection(address).close()
        with socket.create_connection(address, timeout=30) as connection:
            assert connection.recv(1) == b""
        time.sleep(0.2)
    reasons = [event["reasons"] for event in events if event["event"] == "silent"]
    assert {reason: count for each in reasons for reason, count in each.items()} == {"closed": 1, "timeout": 1}


@pytest.mark.parametrize("kind", ["rdp", "winrm"])
def test_an_empty_password_needs_its_option(kind: str) -> None:
    command = [sys.executable, "-m", "credssp", "serve", kind, "--listen", "127.0.0.1:0", "--user", "LAB\\alice:"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "credssp serve: --user LAB\\alice: the password is empty; if that is meant, add --empty-password\n"
    )

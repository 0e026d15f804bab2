"""``credssp login`` and ``credssp serve`` with Kerberos and with every kind of credentials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.schemas.checking import BY_KERBEROS, walked

pytestmark = pytest.mark.interop


class Service:
    """``credssp serve``, read line by line."""

    def __init__(self, keytab: Path, *, endpoint: str = "rdp", scheme: str = "rdp") -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "credssp", "serve", endpoint, "--listen", "127.0.0.1:0"),
                *("--keytab", str(keytab), "--reveal"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=dict(os.environ),
        )
        self.url = f"{scheme}://localhost:" + self.next("listening")["address"].rpartition(":")[2]

    def next(self, event: str) -> dict[str, Any]:
        """Return the next event of this kind."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == event:
                return found
        raise AssertionError(f"the server ended before {event}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def service(lab: Lab) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in lab.realm.environment.items():
            environment.setenv(name, value)
        service = Service(lab.keytab)
    yield service
    service.stop()


def login(service: Service, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Run ``credssp login --json``."""
    code = main(["login", service.url, "--json", *arguments])
    output = capsys.readouterr()
    return code, json.loads(output.out) if output.out else output.err


def test_tickets_of_a_cache(lab: Lab, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    code, result = login(service, capsys, "--ccache", lab.ccache)
    assert (code, result["mechanism"], result["server_authentication"]) == (0, "kerberos", ["kerberos"])
    event = service.next("delegated")
    who = {"domain": REALM, "user": "alice", "mechanism": "kerberos", "authority": "realm", "sid": "", "groups": []}
    assert event["logon"] == {**who, "sent_domain": REALM, "sent_user": "alice"}
    assert event["type"] == "empty"
    assert (event["target_name"], event["ntlm_mic"], event["mech_list_mic"]) == ("TERMSRV/localhost", None, False)


def test_json_names_the_principal_and_what_was_skipped(
    lab: Lab, service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", PASSWORD)
    _, by_ticket = login(service, capsys, "--ccache", lab.ccache)
    service.next("delegated")
    assert (by_ticket["mechanism"], by_ticket["wire_form"], by_ticket["principal"]) == (
        "kerberos",
        "spnego",
        f"alice@{REALM}",
    )
    _, elsewhere = login(service, capsys, "-u", "OTHER.TEST\\alice")
    (skip,) = elsewhere["skipped"]
    assert skip["mechanism"] == "kerberos"
    assert skip["status"]["advice"] not in skip["status"]["text"]
    assert set(BY_KERBEROS) <= walked("login", [by_ticket, elsewhere]).seen


def test_default_cache_needs_the_mechanism_by_name(
    lab: Lab, service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", lab.ccache)
    assert login(service, capsys)[0] == 2
    code, result = login(service, capsys, "--mechanism", "kerberos")
    assert (code, result["mechanism"]) == (0, "kerberos")
    assert service.next("delegated")["logon"]["user"] == "alice"


def test_keytab_and_password_of_a_file(
    lab: Lab, service: Service, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    keytab = lab.realm.keytab("cli-user.keytab", "alice")
    assert login(service, capsys, "--keytab", str(keytab), "-u", f"alice@{REALM}")[0] == 0
    assert service.next("delegated")["type"] == "empty"
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    code, _ = login(
        service, capsys, "-u", "alice", "-d", REALM, "--password-file", str(secret), "--mechanism", "kerberos"
    )
    assert code == 0
    event = service.next("delegated")
    assert (event["type"], event["user"], event["domain"], event["secret"]) == ("password", "alice", REALM, PASSWORD)


def test_somebody_else_is_delegated(
    lab: Lab, service: Service, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("another\n")
    arguments = ["--ccache", lab.ccache, "--delegate-user", "LAB\\bob", "--delegate-password-file", str(secret)]
    assert login(service, capsys, *arguments)[0] == 0
    event = service.next("delegated")
    assert (event["delegated"]["domain"], event["delegated"]["user"], event["secret"]) == ("LAB", "bob", "another")
    assert (event["user"], event["logon"]["user"]) == ("alice", "alice")


def test_smart_card(
    lab: Lab, service: Service, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pin").write_text("1234\n")
    monkeypatch.setenv("CARD_PIN", "5678")
    for source, pin in ((f"file:{tmp_path / 'pin'}", "1234"), ("env:CARD_PIN", "5678")):
        arguments = ["--ccache", lab.ccache, "--smartcard-pin", source, "--reader", "Reader 0", "--container", "key 1"]
        assert login(service, capsys, *arguments)[0] == 0
        event = service.next("delegated")
        assert (event["type"], event["secret"]) == ("smartcard", pin)


def test_remote_guard(lab: Lab, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    code, result = login(service, capsys, "--ccache", lab.ccache, "--remote-guard")
    assert (code, result["mechanism"]) == (0, "kerberos")
    event = service.next("delegated")
    assert event["type"] == "remote_guard"
    assert bytes.fromhex(event["secret"])[:4] == b"\x0a\0\0\0"
    assert event["delegated"]["packages"] == ["Kerberos"]
    assert (event["remote_guard"], event["restricted_admin"]) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--ccache", "X", "--keytab", "Y"], "give only one of"),
        (["--ccache", "X", "--smartcard-pin", "4711"], "others can see a command line"),
        (["--ccache", "X", "--smartcard-pin", "env:NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
        (["--ccache", "X", "--smartcard-pin", "ask"], "needs a terminal"),
        (["--ccache", "X", "--smartcard-pin", "file:/nonexistent"], "cannot be read"),
        (["--ccache", "X", "--reader", "R"], "need --smartcard-pin"),
        (["--ccache", "X", "--remote-guard", "--no-delegate"], "cannot be combined"),
        (["--ccache", "X", "--remote-guard", "--mechanism", "ntlm"], "needs Kerberos"),
        (["--ccache", "X", "--mechanism", "ntlm"], "NTLM needs a user name"),
    ],
)
def test_wrong_usage(
    lab: Lab,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    code = main(["login", service.url, *arguments])
    error = capsys.readouterr().err
    assert code == 2
    assert text in error
    assert "4711" not in error


def test_winrm(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(lab.keytab, endpoint="winrm", scheme="http")
    try:
        code, result = login(service, capsys, "--ccache", lab.ccache, "--smartcard-pin", "env:PATH")
        assert (code, result["mechanism"]) == (0, "kerberos")
        event = service.next("delegated")
        assert (event["type"], event["logon"]["user"], event["logon"]["mechanism"]) == (
            "smartcard",
            "alice",
            "kerberos",
        )
    finally:
        service.stop()


def test_ticket_failures_name_the_status(lab: Lab, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    code, result = login(service, capsys, "--ccache", "FILE:/nonexistent")
    assert code == 2  # it was not the server that said no
    assert result["status"]["name"] == "SEC_E_NO_CREDENTIALS"
    code = main(["login", service.url, "--ccache", "FILE:/nonexistent", "--remote-guard"])
    assert code == 2
    assert "SEC_E_NO_CREDENTIALS" in capsys.readouterr().err

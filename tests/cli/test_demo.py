"""``credssp demo`` runs whole logins, over real loopback sockets."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from credssp import MemoryAccounts, PasswordCredentials
from credssp.cli import main


def _demo(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["demo", "--json", *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def _contents(answer: dict[str, Any]) -> list[str]:
    return ["; ".join(leg["content"]) for leg in answer["legs"]]


def test_the_login_of_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.isascii()
    lines = out.splitlines()
    assert lines[0].split() == ["leg", "direction", "bytes", "status", "content"]
    legs = [line for line in lines if "->" in line or "<-" in line]
    assert [line.split()[0] for line in legs] == [str(number) for number in range(1, len(legs) + 1)]
    assert "SEC_I_CONTINUE_NEEDED 0x00090312" in legs[0]
    for part in ("NTLM NEGOTIATE", "NTLM CHALLENGE", "NTLM AUTHENTICATE), pubKeyAuth, clientNonce", "authInfo"):
        assert sum(part in line for line in legs) == 1
    assert "SEC_E_OK 0x00000000" in next(line for line in legs if "authInfo" in line)
    assert "********" in out
    assert lines[-1].startswith("OK: the server received exactly the credentials")


def test_tls_13_legs(capsys: pytest.CaptureFixture[str]) -> None:
    answer = _demo(capsys, "--tls", "1.3", "--mechanism", "ntlm")
    assert _contents(answer) == [
        "TLS handshake",
        "TLS handshake",
        "TLS handshake; TSRequest: negoTokens (NTLM NEGOTIATE)",
        "TSRequest: negoTokens (NTLM CHALLENGE)",
        "TSRequest: negoTokens (NTLM AUTHENTICATE), pubKeyAuth, clientNonce",
        "TSRequest: pubKeyAuth",
        "TSRequest: authInfo",
        "application data of 21 bytes",
        "application data of 21 bytes",
        "TLS close_notify",
        "TLS close_notify",
    ]
    assert answer["tls"]["version"] == "TLSv1.3"


def test_tls_12_with_spnego_has_a_leg_more_and_names_the_tokens_inside(capsys: pytest.CaptureFixture[str]) -> None:
    answer = _demo(capsys, "--tls", "1.2", "--mechanism", "negotiate")
    contents = _contents(answer)
    assert contents[:4] == ["TLS handshake"] * 4
    assert contents[4] == "TSRequest: negoTokens (NTLM NEGOTIATE in SPNEGO NegTokenInit)"
    assert answer["tls"]["version"] == "TLSv1.2"
    assert [leg["sender"] for leg in answer["legs"][:9]] == ["client", "server"] * 4 + ["client"]


@pytest.mark.parametrize("key", ["rsa", "ec", "ed25519"])
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_every_key_with_both_tls_versions(key: str, tls: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer = _demo(capsys, "--key", key, "--tls", tls)
    assert (answer["ok"], answer["tls"]["certificate"]["key_type"]) == (
        True,
        {"rsa": "RSA 2048", "ec": "EC secp256r1", "ed25519": "Ed25519"}[key],
    )
    assert answer["tls"]["version"] == f"TLSv{tls}"


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_every_version_and_a_warning_below_5(version: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json", "--version", str(version)]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["credssp"]["version"] == version
    assert bool(answer["warnings"]) == ("CVE-2018-0886" in err) == (version < 5)
    assert ("clientNonce" in out) == (version >= 5)


def test_json_says_what_was_proved_allowed_and_delegated(capsys: pytest.CaptureFixture[str]) -> None:
    answer = _demo(capsys)
    assert (answer["mechanism"], answer["wire_form"]) == ("ntlm", "ntlm")
    assert answer["server_authentication"] == ["ntlm", "certificate"]
    assert answer["policy"]["setting"] == "AllowFreshCredentials"
    assert answer["client_status"]["name"] == answer["server_status"]["name"] == "SEC_E_OK"
    assert answer["identity"] == {"domain": "LAB", "user": "alice"}
    assert answer["delegated"]["secret"] == "********"
    assert [leg["sender"] for leg in answer["legs"][:2]] == ["client", "server"]


def test_reveal_shows_the_password_and_it_is_another_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (_demo(capsys, "--reveal")["delegated"]["secret"] for _ in range(2))
    assert first != second
    assert "*" not in first
    assert len(first) >= 12


def _no_account(accounts: object) -> MemoryAccounts:
    return MemoryAccounts({})


def test_refused_login_exits_with_1_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("credssp.cli._demo_run.MemoryAccounts", _no_account)
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert "FAILED: the login did not complete." in out
    assert "errorCode STATUS_LOGON_FAILURE 0xC000006D" in out
    assert "credentials  none" in out
    assert err.startswith("credssp demo: ")
    assert "STATUS_LOGON_FAILURE 0xC000006D" in err
    assert err.count("\n") == 1


def test_refusal_without_error_code_ends_with_an_alert(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("credssp.cli._demo_run.MemoryAccounts", _no_account)
    assert main(["demo", "--json", "--version", "5"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert "TLS alert" in _contents(answer)
    assert (answer["ok"], answer["delegated"], answer["identity"]) == (False, None, None)
    assert len(answer["failures"]) == 2


def test_other_credentials_at_the_server_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(self: PasswordCredentials, value: object) -> bool:
        return False

    monkeypatch.setattr(PasswordCredentials, "__eq__", other)
    assert main(["demo"]) == 1
    assert "FAILED: the server received other credentials" in capsys.readouterr().out


def test_application_data_that_does_not_arrive_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("credssp.cli._demo_run.REPLY", b"something else")
    assert main(["demo"]) == 1
    assert "FAILED: application data or the TLS close did not arrive" in capsys.readouterr().out


@pytest.mark.parametrize("side", ["_serve", "_connect"])
def test_a_side_that_vanishes_fails_the_other_with_one_line(
    side: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def vanish(*arguments: object) -> None:
        """Let the socket close, and say nothing."""

    monkeypatch.setattr(f"credssp.cli._loopback.{side}", vanish)
    assert main(["demo"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("credssp demo: the ")
    assert "SEC_E_CONTEXT_EXPIRED" in err
    assert err.count("\n") == 1


def test_a_machine_without_loopback_fails_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: object, **options: object) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("credssp.cli._loopback._DEADLINE", 0.2)
    monkeypatch.setattr("socket.create_connection", refused)
    assert main(["demo"]) == 1
    err = capsys.readouterr().err
    assert "the loopback connection of the client failed: Connection refused" in err


def test_tables_are_drawn_by_rich_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "\u2500" in out  # a rule of a table
    assert "Negotiated" in out
    assert "negoTokens (NTLM CHALLENGE)" in out


def test_without_rich_a_terminal_gets_plain_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    assert main(["demo"]) == 0
    assert capsys.readouterr().out.isascii()

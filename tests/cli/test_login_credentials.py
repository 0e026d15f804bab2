"""Arguments of ``credssp login`` turned into credentials; tests/kerberos/test_cli.py logs on with them."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

import pytest

from credssp.cli import _login_credentials as options
from credssp.credentials import (
    AgentCredentials,
    CCacheCredentials,
    CertificateCredentials,
    KeytabCredentials,
    NTHashCredentials,
    PasswordCredentials,
    SmartCardCredentials,
)
from credssp.errors import LocalProtocolError
from credssp.fleet.logins.login import who
from credssp.fleet.target_url import parse_target

HASH = "31d6cfe0d16ae931b73c59d7e0c089c0"
RDP, WINRM = parse_target("rdp://srv"), parse_target("http://srv")


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    parser.add_argument("--mechanism", default="auto")
    return parser.parse_args(words)


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there and types ``typed``."""
    monkeypatch.delenv("CREDSSP_PASSWORD", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "typed")


@pytest.mark.parametrize(
    ("words", "credentials", "shown"),
    [
        (["-u", "alice"], PasswordCredentials("alice", "typed"), "alice"),
        (["-u", "LAB\\alice"], PasswordCredentials("alice", "typed", domain="LAB"), "LAB\\alice"),
        (["-u", "alice", "--hash", HASH], NTHashCredentials("alice", HASH), "alice"),
        (["--ccache", "KCM:"], CCacheCredentials("KCM:"), "tickets of KCM:"),
        (["--ccache", "c", "-u", "a", "-d", "lab.test"], CCacheCredentials("c", "a@LAB.TEST"), "a@LAB.TEST of c"),
        (["--ccache", "c", "-u", "lab.test\\a"], CCacheCredentials("c", "a@LAB.TEST"), "a@LAB.TEST of c"),
        (["--keytab", "k"], KeytabCredentials("k"), "first entry of k"),
        (["--keytab", "k", "-u", "a@LAB.TEST"], KeytabCredentials("k", "a@LAB.TEST"), "a@LAB.TEST of k"),
        (["-u", "a@b", "--pkinit", "FILE:c,k"], CertificateCredentials("a@b", "FILE:c,k"), "a@b"),
        (
            ["-u", "LAB\\a", "--pkinit", "PKCS11:module_name=m", "--pkinit-anchors", "FILE:ca"],
            CertificateCredentials("a", "PKCS11:module_name=m", domain="LAB", pin="typed", anchors="FILE:ca"),
            "LAB\\a",
        ),
        (["--agent", "prod"], AgentCredentials("prod"), "prod of the agent"),
        (["--agent", "prod", "--remote-guard"], AgentCredentials("prod", mode="remote-guard"), "prod of the agent"),
        (["--mechanism", "kerberos"], None, "tickets of the default cache"),
        (["--remote-guard"], None, "tickets of the default cache"),
    ],
)
def test_who_logs_on(words: list[str], credentials: object, shown: str) -> None:
    found = options.logon(parse(*words))
    assert found == credentials
    assert who(found) == shown


def test_hash_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "hash").write_text(HASH + "\n")
    words = ["-u", "alice", "--hash-file", str(tmp_path / "hash")]
    assert options.logon(parse(*words)) == NTHashCredentials("alice", HASH)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "no user was given"),
        (["--hash", HASH], "a hash needs a user name"),
        (["--keytab", "k", "--hash", HASH], "give only one of"),
        (["--ccache", ""], "TYPE:residual"),
        (["--agent", "prod", "-u", "alice"], "--user does not go with --agent"),
        (["--agent", "prod", "--delegate-user", "bob"], "--delegate-user does not go with --agent"),
        (["--agent", "prod", "--keytab", "k"], "give only one of"),
        (["--agent", ""], "named by a str that is not empty"),
    ],
)
def test_nobody_to_log_on(words: list[str], text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        options.logon(parse(*words))


def test_what_is_delegated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert options.delegated(parse(), RDP) is None
    assert options.delegated(parse("--no-delegate"), RDP) is None
    other = options.delegated(parse("--delegate-user", "LAB\\bob"), WINRM)
    assert other == PasswordCredentials("bob", "typed", domain="LAB")
    monkeypatch.setenv("CREDSSP_PIN", "0000")
    (tmp_path / "pin").write_text("1111\n")
    for source, pin in (("ask", "typed"), ("env:CREDSSP_PIN", "0000"), (f"file:{tmp_path / 'pin'}", "1111")):
        card = options.delegated(parse("-u", "a", "--smartcard-pin", source, "--reader", "R", "--container", "C"), RDP)
        assert isinstance(card, SmartCardCredentials)
        assert (card.pin.reveal(), card.reader_name, card.container_name, card.user_hint) == (pin, "R", "C", "a")


@pytest.mark.parametrize(
    ("words", "target", "text"),
    [
        (["--remote-guard"], WINRM, "works with rdp:// only"),
        (["--remote-guard", "--mechanism", "ntlm"], RDP, "needs Kerberos"),
        (["--remote-guard", "--restricted-admin"], RDP, "--restricted-admin and --remote-guard cannot be combined"),
        (["--container", "C"], RDP, "need --smartcard-pin"),
        (["--smartcard-pin", "1234"], RDP, "others can see a command line"),
        (["--smartcard-pin", "env:"], RDP, "others can see a command line"),
        (["--smartcard-pin", "env:NOT_SET_ANYWHERE"], RDP, "is not set"),
    ],
)
def test_what_makes_no_sense(words: list[str], target: object, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text) as caught:
        options.delegated(parse(*words), target)  # type: ignore[arg-type]
    assert "1234" not in str(caught.value)


def test_a_card_that_logs_on_is_delegated_with_the_names_that_were_given() -> None:
    words = ["-u", "LAB\\alice", "--pkinit", "PKCS11:module_name=m:token=T", "--reader", "R", "--container", "C"]
    arguments = parse(*words)
    card = options.delegated(arguments, RDP, options.logon(arguments))
    assert card == SmartCardCredentials(
        pin="typed",  # type: ignore[arg-type]
        card_name="T",
        reader_name="R",
        container_name="C",
        csp_name="Microsoft Base Smart Card Crypto Provider",
        user_hint="alice",
        domain_hint="LAB",
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--pkinit", "FILE:c,k"], "add -u USER"),
        (["-u", "a", "--pkinit", "c.pem"], "identity names a place as PKCS11:, PKCS12:, FILE: or DIR:"),
        (["-u", "a", "--pkinit", "FILE:"], "identity names a place as"),
        (["-u", "a", "--pkinit", "FILE:c", "--pkinit-anchors", "ca.pem"], "anchors names a place as FILE: or DIR:"),
        (["-u", "a", "--pkinit-anchors", "FILE:ca.pem"], "--pkinit-anchors needs --pkinit"),
        (["-u", "a", "--pkinit", "FILE:c", "--hash", HASH], "give only one of"),
    ],
)
def test_a_certificate_that_makes_no_sense(words: list[str], text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        options.logon(parse(*words))


def test_a_certificate_gives_no_remote_guard() -> None:
    arguments = parse("-u", "a", "--pkinit", "FILE:c,k", "--remote-guard")
    with pytest.raises(LocalProtocolError, match="needs tickets"):
        options.delegated(arguments, RDP, options.logon(arguments))


def test_pin_needs_somebody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(LocalProtocolError, match="needs a terminal"):
        options.delegated(parse("--smartcard-pin", "ask"), RDP)

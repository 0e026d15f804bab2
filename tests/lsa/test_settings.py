"""The agent's configuration is read strictly: what is unknown or unsafe is refused, and the text names key and line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from credssp.errors import LocalProtocolError
from credssp.lsa.settings import AgentSettings, duration, parse_credential, read_settings
from credssp.lsa.sources import CCache, Given, Keytab, PasswordFile, SmartCard, SystemdCredential
from credssp.secret import Secret
from credssp.tls.certificate import process_certificate

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the agent needs Unix-domain sockets")

PIN = "ab" * 32
ADMIN = (
    'name = "prod-admin"\nuser = "LAB\\\\alice"\nsource = { password_file = "secret" }\n'
    'targets = ["TERMSRV/*.lab.test"]\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(process_certificate().chain)
    return tmp_path


def read(folder: Path, text: str) -> AgentSettings:
    file = folder / "agent.toml"
    file.write_text(text)
    file.chmod(0o600)
    return read_settings(file)


def entry(folder: Path, text: str) -> Any:
    (found,) = read(folder, f"[[credential]]\n{text}").credentials
    return found


def test_the_defaults(folder: Path) -> None:
    settings = read(folder, f"[[credential]]\n{ADMIN}")
    assert (settings.socket, settings.audit, settings.other_users) == (None, None, frozenset())
    (admin,) = settings.credentials
    assert (admin.name, admin.user) == ("prod-admin", "LAB\\alice")
    assert admin.source == PasswordFile(str(folder / "secret"))
    assert [pattern.text for pattern in admin.targets] == ["TERMSRV/*.lab.test"]
    assert admin.mechanisms == ("kerberos",), "NTLM needs a certificate to be checked"
    assert (admin.uids, admin.delegate, admin.lifetime, admin.confirm) == (None, "password", None, False)


def test_an_empty_file_is_an_agent_without_credentials(folder: Path) -> None:
    assert read(folder, "") == AgentSettings()


def test_everything_at_once(folder: Path) -> None:
    settings = read(
        folder,
        '[agent]\nsocket = "run/agent.sock"\naudit = "audit.log"\n'
        f'[[credential]]\n{ADMIN}mechanisms = ["ntlm", "kerberos"]\nfingerprint = "sha256:{PIN.upper()}"\n'
        f'uids = [{os.geteuid()}, 1000]\ndelegate = "nothing"\nlifetime = "1h30m"\nconfirm = true\n',
    )
    assert settings.socket == str(folder / "run/agent.sock")
    assert settings.audit == str(folder / "audit.log")
    assert settings.other_users == {1000} - {os.geteuid()}
    (admin,) = settings.credentials
    assert admin.mechanisms == ("ntlm", "kerberos")
    assert admin.fingerprint == PIN
    assert admin.uids == {os.geteuid(), 1000}
    assert (admin.delegate, admin.lifetime, admin.confirm) == ("nothing", 5400.0, True)


def test_ntlm_is_a_default_where_the_certificate_is_checked(folder: Path) -> None:
    assert entry(folder, ADMIN + f'fingerprint = "{PIN}"\n').mechanisms == ("kerberos", "ntlm")
    checked = entry(folder, ADMIN + 'cacert = "ca.pem"\n')
    assert checked.mechanisms == ("kerberos", "ntlm")
    rule = checked.certificate()
    assert rule.roots
    assert len(rule.roots) == 1
    assert entry(folder, ADMIN + 'cacert = "system"\n').certificate().roots is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('{ systemd = "admin" }', SystemdCredential("admin")),
        ('{ keytab = "FILE:/etc/alice.keytab" }', Keytab("FILE:/etc/alice.keytab")),
        ('{ ccache = "KCM:1000" }', CCache("KCM:1000")),
        ('{ smartcard = "PKCS11:module_name=m.so" }', SmartCard("PKCS11:module_name=m.so")),
        (
            '{ smartcard = "FILE:c,k", anchors = "FILE:ca", pin_systemd = "pin" }',
            SmartCard("FILE:c,k", "FILE:ca", SystemdCredential("pin")),
        ),
    ],
)
def test_every_source(folder: Path, source: str, expected: object) -> None:
    text = ADMIN.replace('{ password_file = "secret" }', source)
    assert entry(folder, text).source == expected


def test_a_relative_keytab_and_pin_file_belong_to_the_folder_of_the_configuration(folder: Path) -> None:
    assert entry(folder, 'name = "a"\ntargets = ["*"]\nsource = { keytab = "k" }').source == Keytab(str(folder / "k"))
    card = entry(folder, 'name = "a"\nuser = "u"\ntargets = ["*"]\nsource = { smartcard = "FILE:c,k", pin_file = "p" }')
    assert card.source.pin == PasswordFile(str(folder / "p"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('colour = "red"\n', "colour is not a key here; the keys are agent, credential (line 1)"),
        ("[agent]\n\nport = 1\n", "agent: port is not a key here; the keys are audit, socket (line 3)"),
        ("credential = 1\n", "write [[credential]]"),
        (f"[[credential]]\n{ADMIN}passwords = 1\n", "passwords is not a key here"),
        (f"[[credential]]\n{ADMIN}[[credential]]\n{ADMIN}", "two credentials have the name prod-admin"),
        ("[[credential]]\n", "credential 1: name is missing (line 1)"),
        (f"[[credential]]\n{ADMIN}[[credential]]\n", "credential 2: name is missing (line 6)"),
        ('[[credential]]\nname = "a b"\n', "name has 1 to 64 letters"),
        ('[[credential]]\nname = "a"\nuser = "u"\n', "credential a: source is missing"),
        (f"[[credential]]\n{ADMIN}".replace("targets", "#"), "targets is missing or empty"),
        (f"[[credential]]\n{ADMIN}".replace("TERMSRV/*.lab.test", "a*b*"), "has 2 wildcards, one is permitted"),
        (f"[[credential]]\n{ADMIN}".replace("user", "#"), "user is missing"),
        (f"[[credential]]\n{ADMIN}uids = []\n", "uids is empty"),
        (f'[[credential]]\n{ADMIN}uids = ["alice"]\n', "uids is a list of whole numbers"),
        (f"[[credential]]\n{ADMIN}uids = [{'1, ' * 1001}]\n", "uids has more than 1000 users"),
        (f"[[credential]]\n{ADMIN}".replace("TERMSRV/*.lab.test", "a" * 301), "more than 300 characters"),
        (f"[[credential]]\n{ADMIN}".replace('"TERMSRV/*.lab.test"', '"a", ' * 101), "more than 100 patterns"),
        (f"[[credential]]\n{ADMIN}uids = [true]\n", "uids is a list of whole numbers"),
        (f"[[credential]]\n{ADMIN}uids = [-1]\n", "uids is a list of whole numbers"),
        (f"[[credential]]\n{ADMIN}uids = [4294967295]\n", "uids has numbers of users"),
        (f'[[credential]]\n{ADMIN}lifetime = "8"\n', "lifetime is a time such as 8h"),
        (f'[[credential]]\n{ADMIN}lifetime = "0s"\n', "lifetime is a time such as 8h"),
        (f'[[credential]]\n{ADMIN}confirm = "yes"\n', "confirm is true or false"),
        (f'[[credential]]\n{ADMIN}delegate = "smartcard"\n', "delegate is password or nothing for a password_file"),
        (f'[[credential]]\n{ADMIN}delegate = "all"\n', "delegate is one of"),
        (f'[[credential]]\n{ADMIN}mechanisms = ["ntlm"]\n', "needs fingerprint or cacert"),
        (f'[[credential]]\n{ADMIN}mechanisms = ["digest"]\n', "mechanisms has kerberos and ntlm, not 'digest'"),
        (f'[[credential]]\n{ADMIN}mechanisms = ["kerberos", "kerberos"]\n', "has kerberos twice"),
        (f"[[credential]]\n{ADMIN}mechanisms = []\n", "mechanisms is empty"),
        (f'[[credential]]\n{ADMIN}fingerprint = "ab"\n', "fingerprint is not valid"),
        (f'[[credential]]\n{ADMIN}cacert = "none.pem"\n', "cacert cannot be used"),
        (f'[[credential]]\n{ADMIN}cacert = "ca.pem"\nfingerprint = "{PIN}"\n', "cannot be combined"),
    ],
)
def test_what_is_unknown_or_unsafe_is_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        read(folder, text)
    assert message in caught.value.message
    assert str(folder / "agent.toml") in caught.value.message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}", "source has one of"),
        ('{ keytab = "k", ccache = "c" }', "source has one of"),
        ('{ password = "hunter2" }', "password is not written here: use password_file, or systemd"),
        ('{ smartcard = "PKCS11:x", pin = "1234" }', "pin is not written here: use pin_file, or pin_systemd"),
        ('{ smartcard = "PKCS11:x", pin_file = "f", pin_systemd = "s" }', "cannot be combined"),
        ('{ keytab = "k", anchors = "FILE:a" }', "anchors is for a smartcard"),
        ('{ systemd = "../shadow" }', "is not the name of a credential of systemd"),
        ('{ file = "f" }', "file is not a key here"),
        ('"secret"', "source is not a table"),
    ],
)
def test_a_source_that_is_none_or_two_is_refused(folder: Path, source: str, message: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        entry(folder, ADMIN.replace('{ password_file = "secret" }', source))
    assert message in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize("kind", ["keytab", "ccache"])
def test_tickets_and_keys_are_for_kerberos_and_have_no_password_to_delegate(folder: Path, kind: str) -> None:
    text = f'name = "a"\ntargets = ["*"]\nsource = {{ {kind} = "FILE:x" }}\n'
    found = entry(folder, text)
    assert (found.user, found.delegate, found.mechanisms) == (None, "nothing", ("kerberos",))
    with pytest.raises(LocalProtocolError, match="delegate is nothing"):
        entry(folder, text + 'delegate = "password"\n')
    with pytest.raises(LocalProtocolError, match="ntlm, which needs a password"):
        entry(folder, text + f'mechanisms = ["ntlm"]\nfingerprint = "{PIN}"\n')


def test_remote_guard_is_for_tickets(folder: Path) -> None:
    text = 'name = "a"\ntargets = ["*"]\nsource = { ccache = "FILE:x" }\ndelegate = "remote-guard"\n'
    assert entry(folder, text).delegate == "remote-guard"
    with pytest.raises(LocalProtocolError, match="delegate is password or nothing"):
        entry(folder, ADMIN + 'delegate = "remote-guard"\n')


def test_a_file_that_every_user_can_write_is_refused(folder: Path) -> None:
    read(folder, "")
    (folder / "agent.toml").chmod(0o606)
    with pytest.raises(LocalProtocolError, match="can be written by every user"):
        read_settings(folder / "agent.toml")


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"\xff", "is not UTF-8 text"), (b"[[credential]\n", "is not TOML"), (b"#" * (1 << 20) + b"#", "has more than")],
)
def test_what_is_no_configuration_is_refused(folder: Path, data: bytes, message: str) -> None:
    file = folder / "agent.toml"
    file.write_bytes(data)
    file.chmod(0o600)
    with pytest.raises(LocalProtocolError, match=message):
        read_settings(file)


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(LocalProtocolError, match=r"none\.toml cannot be read: No such file"):
        read_settings(folder / "none.toml")


def test_an_entry_that_was_sent_has_its_secret_beside_it() -> None:
    sent = parse_credential({"name": "a", "user": "u", "targets": ["*"]}, secret=Secret("hunter2"))
    assert sent.source == Given(Secret("hunter2"))
    assert "hunter2" not in repr(sent)
    card = parse_credential(
        {"name": "a", "user": "u", "targets": ["*"], "source": {"smartcard": "PKCS11:module_name=m"}},
        secret=Secret("1234"),
    )
    assert isinstance(card.source, SmartCard)
    assert card.source.pin == Given(Secret("1234"))
    with pytest.raises(LocalProtocolError, match="source is missing"):
        parse_credential({"name": "a", "user": "u", "targets": ["*"]})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("8h", 28800), ("1d", 86400), ("1h30m", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "-1h", "1.5h", "8H", "1000w", "\u0661h", "0h", "1h ", "9" * 5000 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="is a time such as"):
        duration(text)


@pytest.mark.parametrize(
    "source",
    [
        {"password_file": "/run/secret"},
        {"systemd": "deploy"},
        {"smartcard": "PKCS11:module_name=m", "pin_file": "/run/pin"},
        {"smartcard": "PKCS11:module_name=m", "pin_systemd": "pin"},
    ],
)
@pytest.mark.parametrize("secret", [None, Secret("hunter2")])
def test_a_program_cannot_have_the_agent_read_a_secret_for_rules_of_its_own(
    source: dict[str, str], secret: Secret[str] | None
) -> None:
    with pytest.raises(LocalProtocolError, match="is for the configuration"):
        parse_credential({"name": "a", "user": "u", "targets": ["*"], "source": source}, secret=secret)

"""Where secrets come from, and what is said where they cannot be had."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from credssp.credentials import CCacheCredentials, CertificateCredentials, KeytabCredentials, PasswordCredentials
from credssp.errors import LocalProtocolError
from credssp.lsa.sources import (
    CCache,
    Given,
    Keytab,
    PasswordFile,
    SmartCard,
    Source,
    SpentSource,
    SystemdCredential,
    _is_writable,
)
from credssp.secret import Secret

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the agent needs Unix-domain sockets")


def secret_file(folder: Path, data: bytes = b"hunter2\nmore\n", mode: int = 0o600) -> str:
    file = folder / "secret"
    file.write_bytes(data)
    file.chmod(mode)
    return os.fspath(file)


def test_a_password_from_a_file_is_its_first_line(tmp_path: Path) -> None:
    found = PasswordFile(secret_file(tmp_path)).load("LAB\\alice")
    assert found == PasswordCredentials("alice", "hunter2", domain="LAB")


@pytest.mark.parametrize(
    ("data", "mode", "message"),
    [
        (b"", 0o600, "is empty"),
        (b"\nhunter2\n", 0o600, "is empty"),
        (b"\xff\n", 0o600, "is not UTF-8"),
        (b"hunter2", 0o602, "can be written by every user"),
        (b"hunter2\x07", 0o600, "control character"),
    ],
)
def test_a_password_file_that_makes_no_sense_is_refused(tmp_path: Path, data: bytes, mode: int, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message) as caught:
        PasswordFile(secret_file(tmp_path, data, mode)).load("alice")
    assert "hunter2" not in str(caught.value)


def test_a_credential_of_systemd(tmp_path: Path) -> None:
    secret_file(tmp_path)
    source = SystemdCredential("secret", {"CREDENTIALS_DIRECTORY": os.fspath(tmp_path)})
    assert source.load("alice@LAB.TEST") == PasswordCredentials("alice@LAB.TEST", "hunter2")
    with pytest.raises(LocalProtocolError, match="none cannot be read"):
        SystemdCredential("none", {"CREDENTIALS_DIRECTORY": os.fspath(tmp_path)}).load("alice")
    with pytest.raises(LocalProtocolError, match="LoadCredential=secret"):
        SystemdCredential("secret", {}).load("alice")


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "/etc/shadow", "a\nb"])
def test_the_name_of_a_credential_of_systemd_is_no_path(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="is not the name of a credential"):
        SystemdCredential(name)


@pytest.mark.parametrize("prefix", ["", "FILE:"])
def test_a_keytab_is_named_and_looked_at(tmp_path: Path, prefix: str) -> None:
    place = prefix + secret_file(tmp_path)
    assert Keytab(place).load("LAB.test\\alice") == KeytabCredentials(place, "alice@LAB.TEST")
    assert Keytab(place).load("alice@LAB.TEST") == KeytabCredentials(place, "alice@LAB.TEST")
    assert Keytab(place).load(None) == KeytabCredentials(place, None)
    secret_file(tmp_path, mode=0o606)
    with pytest.raises(LocalProtocolError, match="can be written by every user"):
        Keytab(place).load(None)
    with pytest.raises(LocalProtocolError, match="the keytab .*none cannot be read"):
        Keytab(f"{prefix}{tmp_path}/none").load(None)


def test_a_credential_cache_may_be_filled_later(tmp_path: Path) -> None:
    assert CCache(f"{tmp_path}/none").load("alice") == CCacheCredentials(f"{tmp_path}/none", "alice")


def test_a_smart_card_with_its_pin(tmp_path: Path) -> None:
    card = "PKCS11:module_name=m.so:token=alice"
    found = SmartCard(card, "FILE:/ca.pem", Given(Secret("1234"))).load("alice@LAB.TEST")
    assert found == CertificateCredentials("alice@LAB.TEST", card, pin="1234", anchors="FILE:/ca.pem")
    assert SmartCard(card, None, PasswordFile(secret_file(tmp_path))).load("a") == CertificateCredentials(
        "a", card, pin="hunter2"
    )
    with pytest.raises(LocalProtocolError, match="the PIN is empty"):
        SmartCard(card, None, Given(Secret(""))).load("alice")
    with pytest.raises(LocalProtocolError, match="identity names a place"):
        SmartCard("alice.pem").load("alice")


@pytest.mark.parametrize("source", [Given(Secret("hunter2")), SmartCard("FILE:c,k")])
def test_a_user_is_needed(source: Source) -> None:
    with pytest.raises(LocalProtocolError, match="needs a user"):
        source.load(None)


def test_no_source_shows_its_secret() -> None:
    assert "hunter2" not in repr([Given(Secret("hunter2")), SmartCard("FILE:c,k", None, Given(Secret("hunter2")))])


def test_what_is_left_of_a_source_loads_nothing() -> None:
    with pytest.raises(LocalProtocolError, match="was read already"):
        SpentSource("password", "").load("alice")


# PKCS#11 modules: code that runs in the agent

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.mark.skipif(not MODULE.exists(), reason="needs a module of the system")
@pytest.mark.parametrize("identity", [f"PKCS11:module_name={MODULE}:token=alice", f"PKCS11:{MODULE}", "PKCS11:m.so"])
def test_a_module_of_the_system_is_used(identity: str) -> None:
    assert SmartCard(identity).load("alice") == CertificateCredentials("alice", identity)


@pytest.mark.parametrize("form", ["PKCS11:module_name={}", "PKCS11:{}", "PKCS11:slotid=1:module_name={}:token=x"])
@pytest.mark.parametrize("how", ["folder", "file", "link", "relative", "missing"])
def test_a_module_that_a_program_could_have_written_is_not_loaded(tmp_path: Path, form: str, how: str) -> None:
    module = tmp_path / "evil.so"
    module.write_bytes(b"")
    module.chmod(0o644)
    tmp_path.chmod(0o755)
    text, message = str(module), "is not used, because others than root can write"
    if how == "folder":
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        text = str(module.rename(tmp_path / "open" / "evil.so"))
    elif how == "file":
        module.chmod(0o666)
    elif how == "link":
        module.rename(tmp_path / "real.so")
        (tmp_path / "real.so").chmod(0o664)
        module.symlink_to(tmp_path / "real.so")
    elif how == "relative":
        text, message = "../evil.so", "is named by a whole path"
    else:
        text, message = str(tmp_path / "none.so"), "cannot be read"
    with pytest.raises(LocalProtocolError, match=message):
        SmartCard(form.format(text)).load("alice")


def test_of_two_modules_both_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "evil.so").write_bytes(b"")
    (tmp_path / "evil.so").chmod(0o666)
    for identity in (f"PKCS11:m.so:module_name={tmp_path}/evil.so", f"PKCS11:{tmp_path}/evil.so:module_name=m.so"):
        with pytest.raises(LocalProtocolError, match="is not used"):
            SmartCard(identity).load("alice")


@pytest.mark.parametrize(
    ("mode", "uid", "writable"),
    [
        (0o100644, 0, False),
        (0o100664, 0, True),
        (0o100646, 0, True),
        (0o100644, 1000, True),
        (0o040755, 0, False),
        (0o041777, 0, True),
        (0o120777, 0, False),
        (0o120777, 1000, True),
    ],
)
def test_only_root_may_write_a_module_its_folders_and_links(mode: int, uid: int, writable: bool) -> None:
    assert _is_writable(os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))) is writable

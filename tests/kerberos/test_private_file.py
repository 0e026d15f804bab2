"""Keytabs and credential caches that everybody on the machine can read or write."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from credssp import CCacheCredentials, CredSSPError, KeytabCredentials, MemoryAccounts
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.kerberos.check import check_keytab, check_tickets
from credssp.kerberos.private_file import check_private, open_to_others
from credssp.kerberos.remote_guard import remote_guard_credentials
from credssp.private_file import warn_once
from credssp.status import SecurityStatus
from tests.kerberos.conftest import Lab
from tests.kerberos.exchange import TARGET


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    warn_once.cache_clear()
    path = tmp_path / "secret: 1"
    path.touch()
    return path


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
@pytest.mark.parametrize("prefix", ["", "FILE:", "file:", "WRFILE:"])
def test_owner_and_group_may_do_as_they_please(
    secret: Path, caplog: pytest.LogCaptureFixture, prefix: str, mode: int
) -> None:
    secret.chmod(mode)
    check_private("keytab", f"{prefix}{secret}")
    assert open_to_others(f"{prefix}{secret}") == (str(secret), "")
    assert not caplog.records


def test_file_that_others_can_read_is_warned_of_once(secret: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret.chmod(0o644)
    for _ in range(3):
        check_private("keytab", f"FILE:{secret}")
    assert [(record.name, record.levelno) for record in caplog.records] == [("credssp.kerberos", logging.WARNING)]
    assert f"the keytab {secret} can be read by every user" in caplog.text


@pytest.mark.parametrize("mode", [0o602, 0o666])
def test_file_that_others_can_write_is_refused(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(CredSSPError, match="can be written by every user") as caught:
        check_private("keytab", str(secret))
    assert caught.value.status is SecurityStatus.SEC_E_NO_CREDENTIALS
    assert "chmod" in caught.value.advice


@pytest.mark.parametrize(
    "location", ["MEMORY:x", "KCM:1000", "KEYRING:persistent:0", "/nonexistent", "FILE:/nonexistent"]
)
def test_what_is_not_a_file_is_passed_over(location: str) -> None:
    check_private("credential cache", location)


@pytest.mark.interop
def test_both_roles_refuse_what_others_can_write(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keytab, cache = tmp_path / "keytab", tmp_path / "cache"
    keytab.write_bytes(lab.keytab.read_bytes())
    cache.write_bytes(Path(lab.ccache.removeprefix("FILE:")).read_bytes())
    token = create_initiator(CCacheCredentials(str(cache)), target_name=TARGET, mechanism="kerberos").step(None)
    for path in (keytab, cache):
        path.chmod(0o666)
    with pytest.raises(CredSSPError, match="can be written") as caught:
        create_acceptor(MemoryAccounts({}), keytab=str(keytab)).step(token)
    assert caught.value.status is SecurityStatus.SEC_E_NO_KERB_KEY
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{cache}")
    for credentials in (CCacheCredentials(str(cache)), None, KeytabCredentials(str(keytab))):
        with pytest.raises(CredSSPError, match="can be written"):
            create_initiator(credentials, target_name=TARGET, mechanism="kerberos").step(None)
    with pytest.raises(CredSSPError, match="can be written"):
        remote_guard_credentials(TARGET)
    for findings in (check_keytab(str(keytab), None), check_tickets(None)):
        assert [finding.severity.name for finding in findings if "every user" in finding.text] == ["BAD"]

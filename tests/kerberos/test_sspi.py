"""The SSPI surface over Kerberos: who was proved, and every kind of credentials from end to end."""

from __future__ import annotations

from typing import Any

import pytest

import credssp.sspi as sspi
from credssp import CCacheCredentials, KeytabCredentials, MemoryAccounts, Secret, SmartCardCredentials
from credssp.credentials import RemoteGuardCredentials
from credssp.identity import Identity
from credssp.kerberos.remote_guard import open_remote_guard, remote_guard_credentials
from credssp.sspi import attributes
from credssp.sspi.packed import unpack_logon
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET
from tests.sspi import pair

pytestmark = pytest.mark.interop

ACCOUNTS = MemoryAccounts({(REALM, "alice"): PASSWORD})
CARD = SmartCardCredentials(pin=Secret("1234"), reader_name="Reader 0", container_name="key 1", user_hint="alice")


def log_on(lab: Lab, auth_data: Any, *, flags: int = pair.ISC, package: str = sspi.CREDSSP_NAME) -> pair.Pair:
    authority = pair.lsa(accounts=ACCOUNTS, keytab=str(lab.keytab))
    client = pair.Side(authority, pair.credential(authority, auth_data, package=package), flags, target=TARGET)
    return pair.Pair(client, pair.Side(authority, pair.server_credential(authority), pair.ASC, client=False)).run()


def delegated(login: pair.Pair) -> bytes:
    return bytes(login.server.query(sspi.SECPKG_ATTR_CREDS_2).auth_buffer)


@pytest.mark.parametrize("kind", ["identity", "cache", "keytab"])
def test_kerberos_is_mutual_authentication(lab: Lab, kind: str) -> None:
    keytab = str(lab.realm.keytab("sspi-user.keytab", "alice"))
    identity = {
        "identity": sspi.SecWinntAuthIdentity("alice", REALM, PASSWORD, package_list="kerberos"),
        "cache": CCacheCredentials(lab.ccache),
        "keytab": KeytabCredentials(keytab),
    }[kind]
    login = log_on(lab, sspi.CredsspCred(spnego_cred=identity), flags=pair.ISC | sspi.ISC_REQ_MUTUAL_AUTH)
    assert login.client.attributes & sspi.ISC_RET_MUTUAL_AUTH
    flags = login.client.query(attributes.SECPKG_ATTR_SERVER_AUTH_FLAGS).flags
    assert flags == attributes.CREDSSP_SERVER_AUTH_NEGOTIATE
    for side in (login.client, login.server):
        info = side.query(sspi.SECPKG_ATTR_NEGOTIATION_PACKAGE)
        assert info.package_info.name == "Kerberos"
    assert login.server.query(sspi.SECPKG_ATTR_NAMES).user_name == f"{REALM}\\alice"
    assert login.client.decrypt(login.server.encrypt(b"hello")) == b"hello"


def test_ntlm_is_none(lab: Lab) -> None:
    identity = sspi.SecWinntAuthIdentity("alice", REALM, PASSWORD, package_list="ntlm")
    with pytest.raises(sspi.SSPIError) as caught:
        log_on(lab, sspi.CredsspCred(spnego_cred=identity), flags=pair.ISC | sspi.ISC_REQ_MUTUAL_AUTH)
    assert caught.value.status.name == "SEC_E_MUTUAL_AUTH_FAILED"


def test_smart_card_from_end_to_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5CCNAME", lab.ccache)  # where PKINIT would have put its tickets
    kind = sspi.CredsspSubmitType.CREDSSP_CERTIFICATE_CREDS
    login = log_on(lab, sspi.CredsspCred(type=kind, spnego_cred=CARD))
    assert unpack_logon(delegated(login)) == CARD


def test_remote_guard_from_end_to_end(lab: Lab) -> None:
    tickets = CCacheCredentials(lab.ccache)
    guard = remote_guard_credentials(TARGET, tickets=tickets)
    login = log_on(
        lab,
        sspi.CredsspCredEx(
            flags=sspi.CREDSSP_FLAG_REDIRECT, cred=sspi.CredsspCred(spnego_cred=tickets), redirected=guard
        ),
    )
    buffer = delegated(login)
    assert buffer == guard.buffer.reveal()
    received = RemoteGuardCredentials(package_name="Kerberos", buffer=Secret(buffer))
    (info,) = open_remote_guard(
        received, Identity(username="alice", domain=REALM, mechanism="kerberos"), keytab=str(lab.keytab)
    ).ticket_info
    assert str(info.sname) == f"krbtgt/{REALM}"
    assert login.server.attributes & sspi.ASC_RET_DELEGATE

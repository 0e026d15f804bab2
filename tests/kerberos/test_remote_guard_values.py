"""Remote Credential Guard where there is no Kerberos; tests/kerberos/test_remote_guard.py has the rest."""

from datetime import UTC, datetime

import pytest

from credssp.credentials import RemoteGuardCredentials
from credssp.errors import AuthenticationError, DecodeError, RemoteProtocolError
from credssp.identity import Identity
from credssp.kerberos import pyspnego
from credssp.kerberos.ap import AP_REQ, APReq, Authenticator, Checksum, frame
from credssp.kerberos.cred import KrbCred
from credssp.kerberos.crypto import KeyUsage, encrypt
from credssp.kerberos.remote_guard import _take_apart, open_remote_guard, remote_guard_credentials
from credssp.kerberos.remote_guard_buffers import KerbTicketLogon
from credssp.kerberos.values import EncryptedData, EncryptionKey, Principal
from credssp.secret import Secret
from credssp.wire.der import Tag, write_explicit, write_integer, write_sequence, write_tlv

KEY = EncryptionKey(17, Secret(bytes(16)))
TICKET = write_tlv(
    0x61,
    write_sequence(
        write_explicit(0, write_integer(5)),
        write_explicit(1, write_tlv(Tag.GENERAL_STRING, b"LAB.TEST")),
        write_explicit(2, Principal(2, ("host", "srv")).encode()),
        write_explicit(3, EncryptedData(17, b"sealed").encode()),
    ),
)
LOGON = KerbTicketLogon(
    service_ticket=Secret(TICKET),
    ticket_granting_ticket=Secret(KrbCred((TICKET,), EncryptedData(17, b"sealed")).encode()),
)


def test_without_the_libraries(monkeypatch):
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: "Kerberos needs gssapi")
    received = RemoteGuardCredentials(package_name="Kerberos", buffer=LOGON.encode())
    alice = Identity(username="alice", domain="LAB.TEST", mechanism="kerberos")
    for call in (lambda: remote_guard_credentials("srv"), lambda: open_remote_guard(received, alice)):
        with pytest.raises(AuthenticationError, match="needs gssapi") as caught:
            call()
        assert caught.value.status.name == "SEC_E_SECPKG_NOT_FOUND"


def ap_req(kind, checksum):
    """An AP-REQ whose authenticator holds this checksum."""
    authenticator = Authenticator(
        crealm="LAB.TEST",
        cname=Principal(1, ("alice",)),
        ctime=datetime(2026, 1, 2, tzinfo=UTC),
        cusec=0,
        checksum=Checksum(kind, checksum),
    )
    sealed = EncryptedData(17, encrypt(KEY.etype, KEY.value, KeyUsage.AP_REQ_AUTHENTICATOR, authenticator.encode()))
    return frame(AP_REQ, APReq(0, TICKET, sealed).encode())


@pytest.mark.parametrize(("kind", "checksum"), [(0x8003, bytes(24)), (7, bytes(40))])
def test_authenticator_that_delegates_nothing(kind, checksum):
    with pytest.raises(DecodeError, match="no checksum that delegates"):
        _take_apart(ap_req(kind, checksum), KEY)


def test_krb_cred_with_another_key():
    cred = KrbCred((TICKET,), EncryptedData(17, encrypt(17, Secret(b"k" * 16), KeyUsage.KRB_CRED, b"x"))).encode()
    checksum = bytes(26) + len(cred).to_bytes(2, "little") + cred
    with pytest.raises(RemoteProtocolError, match="checksum does not match"):
        _take_apart(ap_req(0x8003, checksum), KEY)

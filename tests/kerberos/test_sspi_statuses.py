"""The statuses of Kerberos in the SSPI surface: messages that were altered or out of order, and the wrong principal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import credssp.sspi as sspi
from credssp.kerberos.ap import KRB_ERROR, KrbError, Principal, frame
from credssp.spnego.tokens import NegState, NegTokenResp
from credssp.sspi import SecBuffer, SecBufferDesc, SecurityStatus, SSPIError
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET
from tests.sspi import pair

pytestmark = pytest.mark.interop

S = SecurityStatus
FLAGS = sspi.ISC_REQ_ALLOCATE_MEMORY | sspi.ISC_REQ_MUTUAL_AUTH


def log_on(lab: Lab, package: str, *, target: str = TARGET, keytab: str | None = None) -> pair.Pair:
    authority = pair.lsa(accounts=None, keytab=keytab or str(lab.keytab))
    identity = sspi.SecWinntAuthIdentity("alice", REALM, PASSWORD, package_list="kerberos")
    client = pair.credential(authority, identity, package=package)
    server = pair.credential(authority, None, use=sspi.SECPKG_CRED_INBOUND, package=package)
    return pair.Pair(
        pair.Side(authority, client, FLAGS, target=target), pair.Side(authority, server, FLAGS, client=False)
    )


def sealed(side: pair.Side, data: bytes) -> SecBufferDesc:
    sizes = side.query(sspi.SECPKG_ATTR_SIZES)
    message = SecBufferDesc(
        [
            SecBuffer(sspi.SECBUFFER_TOKEN, bytearray(sizes.security_trailer)),
            SecBuffer(sspi.SECBUFFER_DATA, bytearray(data)),
        ]
    )
    side.authority.encrypt_message(side.context, 0, message, 0)
    return message


def signed(side: pair.Side, data: bytes) -> SecBufferDesc:
    sizes = side.query(sspi.SECPKG_ATTR_SIZES)
    message = SecBufferDesc(
        [
            SecBuffer(sspi.SECBUFFER_TOKEN, bytearray(sizes.max_signature)),
            SecBuffer(sspi.SECBUFFER_DATA, bytearray(data)),
        ]
    )
    side.authority.make_signature(side.context, 0, message, 0)
    return message


def copy(message: SecBufferDesc) -> SecBufferDesc:
    return SecBufferDesc([SecBuffer(buffer.buffer_type, bytearray(buffer.data)) for buffer in message])


def failed(call: Any, *args: Any) -> SSPIError:
    with pytest.raises(SSPIError) as caught:
        call(*args)
    return caught.value


both_packages = pytest.mark.parametrize("package", ["Kerberos", "Negotiate"])


MESSAGES = pytest.mark.parametrize(
    ("make", "take"), [(sealed, "decrypt_message"), (signed, "verify_signature")], ids=["sealed", "signed"]
)


@both_packages
@MESSAGES
@pytest.mark.parametrize("part", [0, 1], ids=["token", "data"])
def test_altered_message_is_message_altered(lab: Lab, package: str, make: Any, take: str, part: int) -> None:
    both = log_on(lab, package).run()
    message = make(both.client, b"some data")
    buffer: Any = message[part].buffer
    buffer[message[part].size - 1] ^= 1
    error = failed(getattr(both.server.authority, take), both.server.context, message, 0)
    assert error.status is S.SEC_E_MESSAGE_ALTERED
    # Its keys are not trusted any more.
    again = failed(getattr(both.server.authority, take), both.server.context, make(both.client, b"next"), 0)
    assert again.status is S.SEC_E_INVALID_HANDLE


@both_packages
@MESSAGES
def test_message_that_comes_twice_is_out_of_sequence(lab: Lab, package: str, make: Any, take: str) -> None:
    both = log_on(lab, package).run()
    message = make(both.client, b"some data")
    again = copy(message)
    getattr(both.server.authority, take)(both.server.context, message, 0)
    error = failed(getattr(both.server.authority, take), both.server.context, again, 0)
    assert error.status is S.SEC_E_OUT_OF_SEQUENCE


@both_packages
@MESSAGES
def test_message_before_another_one_is_out_of_sequence(lab: Lab, package: str, make: Any, take: str) -> None:
    both = log_on(lab, package).run()
    make(both.client, b"lost on the way")
    error = failed(getattr(both.server.authority, take), both.server.context, make(both.client, b"some data"), 0)
    assert error.status is S.SEC_E_OUT_OF_SEQUENCE


# The wrong principal


@both_packages
@pytest.mark.parametrize("code", [35, 36, 41], ids=["not us", "no match", "modified"])
def test_server_that_cannot_read_the_ticket_is_the_wrong_principal(lab: Lab, package: str, code: int) -> None:
    """KRB-ERROR of the server: the SPN belongs to another account than the server's."""
    client = log_on(lab, package).client
    client.leg()
    claimed = KrbError(code, datetime.now(UTC), REALM, Principal(2, ("TERMSRV", "localhost"))).encode()
    token = frame(KRB_ERROR, claimed)
    if package == "Negotiate":
        token = NegTokenResp(NegState.ACCEPT_INCOMPLETE, "1.2.840.113554.1.2.2", token).encode()
    assert failed(client.leg, token).status is S.SEC_E_WRONG_PRINCIPAL


@both_packages
def test_server_that_does_not_prove_the_key_of_the_principal_is_the_wrong_one(lab: Lab, package: str) -> None:
    both = log_on(lab, package)
    reply = bytearray(both.server.leg(both.client.leg()))
    start = reply.index(b"\x6f")  # AP-REP
    reply[start + 60] ^= 1
    error = failed(both.client.leg, bytes(reply))
    assert error.status is S.SEC_E_WRONG_PRINCIPAL
    assert error.ntstatus is None


@both_packages
def test_ticket_for_another_key_is_the_wrong_principal_for_the_server(lab: Lab, package: str) -> None:
    lab.realm.add(f"HTTP/{package.lower()}.test")
    keytab = lab.realm.keytab(f"{package}.keytab", f"HTTP/{package.lower()}.test")
    both = log_on(lab, package, keytab=str(keytab))
    assert failed(both.server.leg, both.client.leg()).status is S.SEC_E_WRONG_PRINCIPAL

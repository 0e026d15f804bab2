"""Credentials that a server cannot read: an error of their own, and the errorCode that the client gets."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from credssp import ClientContext, CredSSPError, DecodeError, MemoryAccounts, PasswordCredentials, ServerContext
from credssp.credentials import RemoteGuardCredentials
from credssp.errors import RemoteProtocolError
from credssp.kerberos.remote_guard_buffers import check_logon_buffer
from credssp.secret import Secret
from credssp.wire.der import write_explicit, write_integer, write_octet_string, write_sequence

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
INVALID_TOKEN = 0x80090308


class Raw:
    """Delegates octets as they are."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def to_wire(self) -> Raw:
        return self

    def encode(self) -> bytes:
        return self._octets


def credentials(cred_type: int, *members: bytes) -> Raw:
    """TSCredentials of this type, with these members of the structure inside."""
    inner = write_sequence(*members)
    return Raw(
        write_sequence(write_explicit(0, write_integer(cred_type)), write_explicit(1, write_octet_string(inner)))
    )


def member(number: int, contents: bytes) -> bytes:
    return write_explicit(number, write_octet_string(contents))


CSP_DATA = write_explicit(1, write_sequence(write_explicit(0, write_integer(1))))


def remote_guard(buffer: bytes) -> Raw:
    # Our own policy lets nobody send it without Kerberos.
    return Raw(RemoteGuardCredentials(package_name="Kerberos", buffer=Secret(buffer)).to_wire().encode())


def logon(tgt: bytes, *, kind: int = 10) -> bytes:
    return struct.pack("<IIIIQQ", kind, 0, 1, len(tgt), 32, 33) + b"T" + tgt


@pytest.mark.parametrize(
    ("delegated", "field"),
    [
        (credentials(2, member(0, b"1\0")), "TSSmartCardCreds.cspData"),
        (
            credentials(2, write_explicit(1, write_sequence(write_explicit(0, write_integer(1))))),
            "TSSmartCardCreds.pin",
        ),
        (credentials(2, member(0, b"1\0"), write_explicit(1, write_sequence())), "TSSmartCardCreds.cspData.keySpec"),
        (credentials(6), "TSRemoteGuardCreds.logonCred"),
        (credentials(6, write_explicit(1, write_sequence())), "TSRemoteGuardCreds.logonCred"),
        (credentials(1, member(0, b"")), "TSPasswordCreds.userName"),
        (credentials(3, member(0, b"")), "TSCredentials.credType"),
        (Raw(b"junk"), "TSCredentials"),
        (remote_guard(b"x"), "KERB_TICKET_LOGON"),
        (remote_guard(logon(b"", kind=2)), "KERB_TICKET_LOGON.MessageType"),
        (remote_guard(logon(b"no KRB-CRED")), "KRB-CRED"),
    ],
)
def test_server_names_the_field_and_tells_the_client(delegated: Any, field: str) -> None:
    codes: list[int | None] = []
    client = ClientContext(ALICE, target_name="TERMSRV/srv", mechanism="ntlm", delegated_credentials=delegated)
    server = ServerContext(
        accounts=MemoryAccounts({("LAB", "alice"): "secret"}),
        observer=lambda _direction, message, _data: codes.append(message.error_code),
    )
    token = client.step().token
    with pytest.raises(CredSSPError) as caught:
        for _ in range(9):
            token = server.step(token).token
            token = client.step(token).token
    assert isinstance(caught.value, DecodeError)
    assert caught.value.field.startswith(field)
    assert caught.value.status == codes[-1] == INVALID_TOKEN
    assert server.delegated_credentials is None
    assert not server.complete


def test_a_logon_with_a_service_ticket_alone_is_one() -> None:
    check_logon_buffer("Kerberos", Secret(logon(b"")))


def test_remote_credential_guard_after_ntlm_is_refused() -> None:
    delegated: Any = remote_guard(logon(b""))
    client = ClientContext(ALICE, target_name="TERMSRV/srv", mechanism="ntlm", delegated_credentials=delegated)
    server = ServerContext(accounts=MemoryAccounts({("LAB", "alice"): "secret"}))
    token = client.step().token
    with pytest.raises(RemoteProtocolError, match="needs a login with Kerberos; this one is with ntlm"):
        while not server.complete:
            token = server.step(token).token
            token = client.step(token).token
    assert server.delegated_credentials is None

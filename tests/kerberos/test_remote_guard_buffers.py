"""KERB_TICKET_LOGON, NTLM_REMOTE_SUPPLEMENTAL_CREDENTIAL and KERB_RPC_ENCRYPTION_KEY, both ways and broken."""

from __future__ import annotations

import contextlib
import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import CredSSPError, DecodeError, LocalProtocolError
from credssp.kerberos.cred import KrbCred
from credssp.kerberos.remote_guard_buffers import (
    KerbRPCEncryptionKey,
    KerbTicketLogon,
    NTLMRemoteSupplementalCredential,
    check_logon_buffer,
)
from credssp.kerberos.values import EncryptedData
from credssp.secret import Secret

CRED = KrbCred((), EncryptedData(18, b"sealed"))
LOGON = KerbTicketLogon(service_ticket=Secret(b"TICKET"), ticket_granting_ticket=Secret(CRED.encode()), flags=2)
KEY = NTLMRemoteSupplementalCredential(credential_key=Secret(bytes(range(20))))


def test_ticket_logon_octet_by_octet() -> None:
    logon = KerbTicketLogon(service_ticket=Secret(b"ST"), ticket_granting_ticket=Secret(b"TGT"), flags=1)
    data = logon.encode().reveal()
    assert data.hex() == ("0a00000001000000020000000300000020000000000000002200000000000000" + b"STTGT".hex())
    assert KerbTicketLogon.decode(data) == logon
    assert "ST" not in repr(logon)


def test_tickets_may_stand_anywhere_behind_the_head() -> None:
    data = struct.pack("<IIIIQQ", 10, 0, 2, 3, 0x28, 0x20) + b"TGT.....ST"
    assert KerbTicketLogon.decode(data).service_ticket == Secret(b"ST")
    assert KerbTicketLogon.decode(data).ticket_granting_ticket == Secret(b"TGT")


def test_krb_cred_inside() -> None:
    assert KerbTicketLogon.decode(LOGON.encode().reveal()).krb_cred() == CRED
    alone = KerbTicketLogon(service_ticket=Secret(b"ST"), ticket_granting_ticket=Secret(b""))
    assert KerbTicketLogon.decode(alone.encode().reveal()).krb_cred() is None
    broken = KerbTicketLogon(service_ticket=Secret(b"ST"), ticket_granting_ticket=Secret(b"junk"))
    with pytest.raises(DecodeError, match="KRB-CRED at byte 34"):
        broken.krb_cred()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes, at least 32"),
        (struct.pack("<IIIIQQ", 2, 0, 1, 0, 32, 0) + b"T", "MessageType at byte 0: 2 where 10"),
        (struct.pack("<IIIIQQ", 10, 0, 0, 0, 32, 0), "ServiceTicket at byte 8: is missing"),
        (struct.pack("<IIIIQQ", 10, 0, 2, 0, 32, 0) + b"T", "ServiceTicket at byte 16: 2 bytes at offset 32"),
        (struct.pack("<IIIIQQ", 10, 0, 1, 0, 31, 0) + b"T", "at offset 31"),
        (struct.pack("<IIIIQQ", 10, 0, 1, 1, 32, 2**64 - 1) + b"T", "TicketGrantingTicket at byte 24"),
        (struct.pack("<IIIIQQ", 10, 0, 2**32 - 1, 0, 32, 0) + b"T", "4294967295 bytes"),
    ],
)
def test_what_is_no_ticket_logon(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        KerbTicketLogon.decode(data)
    with pytest.raises(DecodeError, match=text):
        check_logon_buffer("Kerberos", Secret(data))
    check_logon_buffer("Another package", Secret(data))


def test_supplemental_credential_both_ways() -> None:
    data = KEY.encode().reveal()
    assert data[:8].hex() == "0200ffff08000000"
    assert data[8:28] == bytes(range(20))
    assert data[28:36].hex() == "0200000054000000"
    assert data[36:] == bytes(84)
    assert NTLMRemoteSupplementalCredential.decode(data) == KEY
    with pytest.raises(LocalProtocolError, match="20 bytes"):
        NTLMRemoteSupplementalCredential(credential_key=Secret(b""))


def test_credential_key_of_a_domain_user() -> None:
    sid = "S-1-5-21-1-2-3-1104"
    key = NTLMRemoteSupplementalCredential.derive_key(Secret(bytes(16)), sid).reveal()
    salt = sid.encode("utf-16-le")
    first = hashlib.pbkdf2_hmac("sha256", bytes(16), salt, 10000, 32)
    assert key == hashlib.pbkdf2_hmac("sha256", first, salt, 1, 16) + bytes(4)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (bytes(35), "35 bytes, at least 36"),
        (bytes(36), "Version at byte 0"),
        (struct.pack("<II20sII", 0xFFFF0002, 4, bytes(20), 2, 0), "Flags at byte 4: none of the keys"),
        (struct.pack("<II20sII", 0xFFFF0002, 8, bytes(20), 2, 1), "reservedsize at byte 32: 1 bytes announced, 0"),
    ],
)
def test_what_is_no_supplemental_credential(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        NTLMRemoteSupplementalCredential.decode(data)


@pytest.mark.parametrize("size", [0, 1, 16, 32, 33])
def test_rpc_key_both_ways(size: int) -> None:
    key = KerbRPCEncryptionKey(18, Secret(bytes(range(size))))
    data = key.encode().reveal()
    assert data[:8].hex() == "01100800cccccccc"
    assert len(data) % 8 == 0
    assert int.from_bytes(data[8:12], "little") == len(data) - 16
    assert KerbRPCEncryptionKey.decode(data) == key


@pytest.mark.parametrize("change", [0, 2, 16, 28, 32, 36])
def test_what_is_no_rpc_key(change: int) -> None:
    data = bytearray(KerbRPCEncryptionKey(18, Secret(bytes(16))).encode().reveal())
    data[change : change + 4] = bytes(4)
    with pytest.raises(DecodeError, match="KERB_RPC_ENCRYPTION_KEY"):
        KerbRPCEncryptionKey.decode(bytes(data))


@pytest.mark.parametrize("size", [0, 15, 16, 39])
def test_rpc_key_that_ends_too_early(size: int) -> None:
    with pytest.raises(DecodeError, match="at least"):
        KerbRPCEncryptionKey.decode(KerbRPCEncryptionKey(18, Secret(bytes(16))).encode().reveal()[:size])


@given(st.binary(max_size=120), st.integers(0, 200))
def test_noise_raises_our_errors_only(noise: bytes, cut: int) -> None:
    for good, decode in (
        (LOGON.encode().reveal(), lambda data: KerbTicketLogon.decode(data).krb_cred()),
        (KEY.encode().reveal(), NTLMRemoteSupplementalCredential.decode),
        (KerbRPCEncryptionKey(18, Secret(bytes(9))).encode().reveal(), KerbRPCEncryptionKey.decode),
    ):
        for data in (noise, good[: cut % len(good)] + noise):
            with contextlib.suppress(CredSSPError):
                decode(data)

"""The NTSTATUS in the e-data of a KRB-ERROR, and what becomes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import AuthenticationError
from credssp.kerberos import gss_errors
from credssp.kerberos.as_exchange import Krb5Error
from credssp.kerberos.kdc_error import KDCReason, read_reason
from credssp.status import NTStatus, SecurityStatus
from credssp.wire.der import write_explicit, write_integer, write_octet_string, write_sequence
from tests.peers import require_module

# What Samba 4.17 sends for accounts that are disabled, and locked.
DISABLED = bytes.fromhex(
    "3047302ea103020113a227042530233021a003020112a1121b104c41422e5445535464697361626c6564a2060404000010003015a103020103"
    "a20e040c720000c00000000001000000"
)
LOCKED = bytes.fromhex(
    "302e302ca103020113a22504233021301fa003020112a1101b0e4c41422e544553546c6f636b6564a206040400001000"
)

_BASE = -1765328384
CLIENT_REVOKED, POLICY, KEY_EXPIRED, PREAUTH_FAILED, PRINCIPAL_UNKNOWN = (_BASE + code for code in (18, 12, 23, 24, 6))


def windows(status: int, *, kind: int = 3, size: int = 12) -> bytes:
    """Return KERB-ERROR-DATA as [MS-KILE] 2.2.1 defines it."""
    extended = (status.to_bytes(4, "little") + bytes(4) + b"\1\0\0\0")[:size]
    return write_sequence(write_explicit(1, write_integer(kind)), write_explicit(2, write_octet_string(extended)))


def refused(code: int, e_data: bytes, doing: str = "getting a Kerberos ticket") -> AuthenticationError:
    require_module("spnego")
    error = gss_errors.translate(doing, Krb5Error(code, "No", e_data))
    assert isinstance(error, AuthenticationError)
    return error


def test_windows_kerb_error_data_is_read() -> None:
    assert read_reason(windows(0xC0000234)) == KDCReason(NTStatus.STATUS_ACCOUNT_LOCKED_OUT)


def test_samba_method_data_is_read() -> None:
    assert read_reason(DISABLED) == KDCReason(NTStatus.STATUS_ACCOUNT_DISABLED, has_method_data=True)
    assert read_reason(LOCKED) == KDCReason(None, has_method_data=True)


@pytest.mark.parametrize(
    "e_data",
    [
        b"",
        b"\x30\x00",
        DISABLED[:-1],
        DISABLED + b"\0",
        windows(0xC0000234, kind=4),
        windows(0xC0000234, size=11),
        windows(0),  # success is not a reason
        windows(0xC000006D),  # a wrong password is the code's to say
        windows(0xC0000022),
        write_sequence(write_explicit(1, write_integer(3))),
        write_sequence(write_explicit(2, write_octet_string(bytes(12)))),
        write_sequence(*[write_sequence(write_explicit(1, write_integer(2)))] * 33),
    ],
)
def test_what_does_not_say_why_says_nothing(e_data: bytes) -> None:
    assert read_reason(e_data).ntstatus is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(e_data: bytes) -> None:
    read_reason(e_data)


@given(st.integers(0, len(DISABLED) - 1), st.integers(0, 255))
def test_any_changed_byte_is_read_without_an_error(position: int, value: int) -> None:
    read_reason(DISABLED[:position] + bytes([value]) + DISABLED[position + 1 :])


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (CLIENT_REVOKED, NTStatus.STATUS_ACCOUNT_LOCKED_OUT),
        (CLIENT_REVOKED, NTStatus.STATUS_ACCOUNT_DISABLED),
        (CLIENT_REVOKED, NTStatus.STATUS_ACCOUNT_EXPIRED),
        (CLIENT_REVOKED, NTStatus.STATUS_INVALID_LOGON_HOURS),
        (POLICY, NTStatus.STATUS_INVALID_WORKSTATION),
        (POLICY, NTStatus.STATUS_ACCOUNT_RESTRICTION),
        (KEY_EXPIRED, NTStatus.STATUS_PASSWORD_MUST_CHANGE),
        (KEY_EXPIRED, NTStatus.STATUS_PASSWORD_EXPIRED),
    ],
)
def test_reason_of_the_kdc_is_the_status_and_final(code: int, status: NTStatus) -> None:
    error = refused(code, windows(status))
    assert (error.ntstatus, error.status, error.judged) == (status, SecurityStatus.SEC_E_LOGON_DENIED, True)


def test_locked_account_of_samba_is_recognised_although_no_status_is_sent() -> None:
    assert refused(CLIENT_REVOKED, LOCKED).ntstatus == NTStatus.STATUS_ACCOUNT_LOCKED_OUT
    assert refused(PREAUTH_FAILED, LOCKED).ntstatus == NTStatus.STATUS_LOGON_FAILURE


def test_without_e_data_a_revoked_account_is_disabled_or_locked() -> None:
    error = refused(CLIENT_REVOKED, b"")
    assert error.ntstatus == NTStatus.STATUS_ACCOUNT_DISABLED
    assert "disabled, or it is locked" in error.message


def test_e_data_changes_nothing_where_the_kdc_judged_nothing() -> None:
    error = refused(PRINCIPAL_UNKNOWN, windows(0xC0000234))
    assert (error.ntstatus, error.judged) == (NTStatus.STATUS_LOGON_FAILURE, False)
    error = refused(CLIENT_REVOKED, windows(0xC0000224), gss_errors.TOKEN)  # of a server's token
    assert error.ntstatus == NTStatus.STATUS_ACCOUNT_DISABLED

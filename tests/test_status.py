"""The status table against the literal numbers of the specifications, and what people may ask it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.status import (
    NTStatus,
    SecurityStatus,
    StatusInfo,
    all_statuses,
    describe,
    lookup,
    security_status_from_ntstatus,
)

# [MS-ERREF] 2.1.1; from 80090361 and 00090360 on winerror.h.
SECURITY_STATUS = """
00000000 SEC_E_OK
00090312 SEC_I_CONTINUE_NEEDED
00090313 SEC_I_COMPLETE_NEEDED
00090314 SEC_I_COMPLETE_AND_CONTINUE
00090315 SEC_I_LOCAL_LOGON
00090316 SEC_I_GENERIC_EXTENSION_RECEIVED
00090317 SEC_I_CONTEXT_EXPIRED
00090320 SEC_I_INCOMPLETE_CREDENTIALS
00090321 SEC_I_RENEGOTIATE
00090323 SEC_I_NO_LSA_CONTEXT
0009035C SEC_I_SIGNATURE_NEEDED
00090360 SEC_I_NO_RENEGOTIATION
00090364 SEC_I_MESSAGE_FRAGMENT
00090366 SEC_I_CONTINUE_NEEDED_MESSAGE_OK
00090368 SEC_I_ASYNC_CALL_PENDING
80090300 SEC_E_INSUFFICIENT_MEMORY
80090301 SEC_E_INVALID_HANDLE
80090302 SEC_E_UNSUPPORTED_FUNCTION
80090303 SEC_E_TARGET_UNKNOWN
80090304 SEC_E_INTERNAL_ERROR
80090305 SEC_E_SECPKG_NOT_FOUND
80090306 SEC_E_NOT_OWNER
80090307 SEC_E_CANNOT_INSTALL
80090308 SEC_E_INVALID_TOKEN
80090309 SEC_E_CANNOT_PACK
8009030A SEC_E_QOP_NOT_SUPPORTED
8009030B SEC_E_NO_IMPERSONATION
8009030C SEC_E_LOGON_DENIED
8009030D SEC_E_UNKNOWN_CREDENTIALS
8009030E SEC_E_NO_CREDENTIALS
8009030F SEC_E_MESSAGE_ALTERED
80090310 SEC_E_OUT_OF_SEQUENCE
80090311 SEC_E_NO_AUTHENTICATING_AUTHORITY
80090316 SEC_E_BAD_PKGID
80090317 SEC_E_CONTEXT_EXPIRED
80090318 SEC_E_INCOMPLETE_MESSAGE
80090320 SEC_E_INCOMPLETE_CREDENTIALS
80090321 SEC_E_BUFFER_TOO_SMALL
80090322 SEC_E_WRONG_PRINCIPAL
80090324 SEC_E_TIME_SKEW
80090325 SEC_E_UNTRUSTED_ROOT
80090326 SEC_E_ILLEGAL_MESSAGE
80090327 SEC_E_CERT_UNKNOWN
80090328 SEC_E_CERT_EXPIRED
80090329 SEC_E_ENCRYPT_FAILURE
80090330 SEC_E_DECRYPT_FAILURE
80090331 SEC_E_ALGORITHM_MISMATCH
80090332 SEC_E_SECURITY_QOS_FAILED
80090333 SEC_E_UNFINISHED_CONTEXT_DELETED
80090334 SEC_E_NO_TGT_REPLY
80090335 SEC_E_NO_IP_ADDRESSES
80090336 SEC_E_WRONG_CREDENTIAL_HANDLE
80090337 SEC_E_CRYPTO_SYSTEM_INVALID
80090338 SEC_E_MAX_REFERRALS_EXCEEDED
80090339 SEC_E_MUST_BE_KDC
8009033A SEC_E_STRONG_CRYPTO_NOT_SUPPORTED
8009033B SEC_E_TOO_MANY_PRINCIPALS
8009033C SEC_E_NO_PA_DATA
8009033D SEC_E_PKINIT_NAME_MISMATCH
8009033E SEC_E_SMARTCARD_LOGON_REQUIRED
8009033F SEC_E_SHUTDOWN_IN_PROGRESS
80090340 SEC_E_KDC_INVALID_REQUEST
80090341 SEC_E_KDC_UNABLE_TO_REFER
80090342 SEC_E_KDC_UNKNOWN_ETYPE
80090343 SEC_E_UNSUPPORTED_PREAUTH
80090345 SEC_E_DELEGATION_REQUIRED
80090346 SEC_E_BAD_BINDINGS
80090347 SEC_E_MULTIPLE_ACCOUNTS
80090348 SEC_E_NO_KERB_KEY
80090349 SEC_E_CERT_WRONG_USAGE
80090350 SEC_E_DOWNGRADE_DETECTED
80090351 SEC_E_SMARTCARD_CERT_REVOKED
80090352 SEC_E_ISSUING_CA_UNTRUSTED
80090353 SEC_E_REVOCATION_OFFLINE_C
80090354 SEC_E_PKINIT_CLIENT_FAILURE
80090355 SEC_E_SMARTCARD_CERT_EXPIRED
80090356 SEC_E_NO_S4U_PROT_SUPPORT
80090357 SEC_E_CROSSREALM_DELEGATION_FAILURE
80090358 SEC_E_REVOCATION_OFFLINE_KDC
80090359 SEC_E_ISSUING_CA_UNTRUSTED_KDC
8009035A SEC_E_KDC_CERT_EXPIRED
8009035B SEC_E_KDC_CERT_REVOKED
8009035D SEC_E_INVALID_PARAMETER
8009035E SEC_E_DELEGATION_POLICY
8009035F SEC_E_POLICY_NLTM_ONLY
80090361 SEC_E_NO_CONTEXT
80090362 SEC_E_PKU2U_CERT_FAILURE
80090363 SEC_E_MUTUAL_AUTH_FAILED
80090365 SEC_E_ONLY_HTTPS_ALLOWED
80090367 SEC_E_APPLICATION_PROTOCOL_MISMATCH
80090369 SEC_E_INVALID_UPN_NAME
8009036A SEC_E_EXT_BUFFER_TOO_SMALL
8009036B SEC_E_INSUFFICIENT_BUFFERS
"""

# [MS-ERREF] 2.3.1: the ones a logon, CredSSP or a smart card produces. C0000418: ntstatus.h.
NTSTATUS = """
C0000001 STATUS_UNSUCCESSFUL
C0000008 STATUS_INVALID_HANDLE
C000000D STATUS_INVALID_PARAMETER
C0000017 STATUS_NO_MEMORY
C0000022 STATUS_ACCESS_DENIED
C0000023 STATUS_BUFFER_TOO_SMALL
C000005C STATUS_NO_IMPERSONATION_TOKEN
C000005E STATUS_NO_LOGON_SERVERS
C000005F STATUS_NO_SUCH_LOGON_SESSION
C0000061 STATUS_PRIVILEGE_NOT_HELD
C0000062 STATUS_INVALID_ACCOUNT_NAME
C0000064 STATUS_NO_SUCH_USER
C000006A STATUS_WRONG_PASSWORD
C000006B STATUS_ILL_FORMED_PASSWORD
C000006C STATUS_PASSWORD_RESTRICTION
C000006D STATUS_LOGON_FAILURE
C000006E STATUS_ACCOUNT_RESTRICTION
C000006F STATUS_INVALID_LOGON_HOURS
C0000070 STATUS_INVALID_WORKSTATION
C0000071 STATUS_PASSWORD_EXPIRED
C0000072 STATUS_ACCOUNT_DISABLED
C000009A STATUS_INSUFFICIENT_RESOURCES
C00000A5 STATUS_BAD_IMPERSONATION_LEVEL
C00000B5 STATUS_IO_TIMEOUT
C00000BB STATUS_NOT_SUPPORTED
C00000DC STATUS_INVALID_SERVER_STATE
C00000DF STATUS_NO_SUCH_DOMAIN
C00000E5 STATUS_INTERNAL_ERROR
C00000FE STATUS_NO_SUCH_PACKAGE
C000010B STATUS_INVALID_LOGON_TYPE
C0000124 STATUS_SPECIAL_ACCOUNT
C0000133 STATUS_TIME_DIFFERENCE_AT_DC
C0000155 STATUS_LOGON_NOT_GRANTED
C000015A STATUS_TOO_MANY_CONTEXT_IDS
C000015B STATUS_LOGON_TYPE_NOT_GRANTED
C000018A STATUS_NO_TRUST_LSA_SECRET
C000018B STATUS_NO_TRUST_SAM_ACCOUNT
C000018C STATUS_TRUSTED_DOMAIN_FAILURE
C000018D STATUS_TRUSTED_RELATIONSHIP_FAILURE
C0000190 STATUS_TRUST_FAILURE
C0000192 STATUS_NETLOGON_NOT_STARTED
C0000193 STATUS_ACCOUNT_EXPIRED
C0000198 STATUS_NOLOGON_INTERDOMAIN_TRUST_ACCOUNT
C0000199 STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT
C000019A STATUS_NOLOGON_SERVER_TRUST_ACCOUNT
C0000203 STATUS_USER_SESSION_DELETED
C0000224 STATUS_PASSWORD_MUST_CHANGE
C0000233 STATUS_DOMAIN_CONTROLLER_NOT_FOUND
C0000234 STATUS_ACCOUNT_LOCKED_OUT
C00002C3 STATUS_MUTUAL_AUTHENTICATION_FAILED
C00002F2 STATUS_WRONG_CREDENTIAL_HANDLE
C00002F9 STATUS_PKINIT_NAME_MISMATCH
C00002FA STATUS_SMARTCARD_LOGON_REQUIRED
C0000320 STATUS_PKINIT_FAILURE
C0000321 STATUS_SMARTCARD_SUBSYSTEM_FAILURE
C000035B STATUS_BAD_BINDINGS
C0000380 STATUS_SMARTCARD_WRONG_PIN
C0000381 STATUS_SMARTCARD_CARD_BLOCKED
C0000382 STATUS_SMARTCARD_CARD_NOT_AUTHENTICATED
C0000383 STATUS_SMARTCARD_NO_CARD
C0000384 STATUS_SMARTCARD_NO_KEY_CONTAINER
C0000385 STATUS_SMARTCARD_NO_CERTIFICATE
C0000386 STATUS_SMARTCARD_NO_KEYSET
C0000387 STATUS_SMARTCARD_IO_ERROR
C0000388 STATUS_DOWNGRADE_DETECTED
C0000389 STATUS_SMARTCARD_CERT_REVOKED
C000038A STATUS_ISSUING_CA_UNTRUSTED
C000038B STATUS_REVOCATION_OFFLINE_C
C000038C STATUS_PKINIT_CLIENT_FAILURE
C000038D STATUS_SMARTCARD_CERT_EXPIRED
C000038F STATUS_SMARTCARD_SILENT_CONTEXT
C000040A STATUS_NO_S4U_PROT_SUPPORT
C000040E STATUS_KDC_CERT_EXPIRED
C000040F STATUS_KDC_CERT_REVOKED
C0000413 STATUS_AUTHENTICATION_FIREWALL_FAILED
C0000418 STATUS_NTLM_BLOCKED
C000042E STATUS_PKU2U_CERT_FAILURE
C00A0037 STATUS_CTX_LOGON_DISABLED
"""


def _parse(table: str) -> dict[str, int]:
    return {name: int(number, 16) for number, name in (line.split() for line in table.split("\n") if line)}


SPEC = _parse(SECURITY_STATUS) | _parse(NTSTATUS)


def test_every_security_status_has_the_number_of_the_specification() -> None:
    assert {member.name: int(member) for member in SecurityStatus} == _parse(SECURITY_STATUS)


def test_every_ntstatus_has_the_number_of_the_specification() -> None:
    assert {member.name: int(member) for member in NTStatus} == {"STATUS_SUCCESS": 0} | _parse(NTSTATUS)


def test_second_names_of_winerror_h_are_aliases() -> None:
    assert SecurityStatus.SEC_E_NOT_SUPPORTED is SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    assert SecurityStatus.SEC_E_NO_SPM is SecurityStatus.SEC_E_INTERNAL_ERROR


def test_numbers_agree_with_the_tables_of_impacket() -> None:
    """An independent transcription of [MS-ERREF]; it lacks what only winerror.h has."""
    hresult_errors = pytest.importorskip("impacket.hresult_errors")
    nt_errors = pytest.importorskip("impacket.nt_errors")
    theirs = hresult_errors.ERROR_MESSAGES | nt_errors.ERROR_MESSAGES
    checked = [info for info in all_statuses() if info.code and info.code in theirs]
    assert [info.name for info in checked] == [theirs[info.code][0] for info in checked]
    assert len(checked) > 150


def test_the_table_holds_every_code_once_in_order() -> None:
    codes = [info.code for info in all_statuses()]
    assert codes == sorted(SPEC.values())
    assert len(codes) == len(set(codes)) >= 120


@pytest.mark.parametrize("info", all_statuses(), ids=lambda info: info.name)
def test_texts_are_sentences(info: StatusInfo) -> None:
    for text in (info.meaning, info.cause, info.advice):
        assert 8 <= len(text) <= 220
        assert text[0].isupper() or text[0] == '"'
        assert text.endswith(".")
        assert text == " ".join(text.split())
        assert info.name not in text
        assert text.isascii()
        assert text.isprintable()


@pytest.mark.parametrize("field", ["meaning", "advice"])
def test_no_two_codes_have_the_same_text(field: str) -> None:
    seen: dict[str, str] = {}
    for info in all_statuses():
        assert seen.setdefault(getattr(info, field), info.name) == info.name


def test_texts_for_numbers_without_a_header_name_are_sentences_too() -> None:
    from credssp._status_table import PEERS

    assert not set(PEERS) & set(SPEC.values())
    for code in PEERS:
        test_texts_are_sentences(describe(code))


def test_no_text_belongs_to_a_code_that_does_not_exist() -> None:
    from credssp._status_table import TEXTS

    assert set(TEXTS) == set(SPEC)


def test_summary_is_name_and_number() -> None:
    assert describe(0xC000006D).summary == "STATUS_LOGON_FAILURE 0xC000006D"
    assert describe(0).summary == "SEC_E_OK 0x00000000"


def test_summary_of_an_unknown_code_is_the_number_alone() -> None:
    assert describe(0xDEADBEEF).summary == "0xDEADBEEF"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0xC000006D, "STATUS_LOGON_FAILURE"),
        (NTStatus.STATUS_LOGON_FAILURE, "STATUS_LOGON_FAILURE"),
        (0x80090308, "SEC_E_INVALID_TOKEN"),
        (0x80090302, "SEC_E_UNSUPPORTED_FUNCTION"),
        (-2146893044, "SEC_E_LOGON_DENIED"),
        (-1073741715, "STATUS_LOGON_FAILURE"),
        (0xD000006D, "STATUS_LOGON_FAILURE"),
        (0xD0000001, "STATUS_UNSUCCESSFUL"),
        (0xD00A0037, "STATUS_CTX_LOGON_DISABLED"),
        (-805306259, "STATUS_LOGON_FAILURE"),
        (0x1_C000_006D, "STATUS_LOGON_FAILURE"),
        (0, "SEC_E_OK"),
    ],
)
def test_describe_finds_the_code(code: int, name: str) -> None:
    assert describe(code).name == name


@pytest.mark.parametrize(
    ("code", "name", "ntstatus"),
    [
        (0x80070005, "HRESULT_FROM_WIN32(ERROR_ACCESS_DENIED)", 0xC0000022),
        (0x80070032, "HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)", 0xC00000BB),
        (0x8007052E, "HRESULT_FROM_WIN32(ERROR_LOGON_FAILURE)", 0xC000006D),
        (0x80070533, "HRESULT_FROM_WIN32(ERROR_ACCOUNT_DISABLED)", 0xC0000072),
        (0x80070532, "HRESULT_FROM_WIN32(ERROR_PASSWORD_EXPIRED)", 0xC0000071),
        (0x80070773, "HRESULT_FROM_WIN32(ERROR_PASSWORD_MUST_CHANGE)", 0xC0000224),
        (0x80070775, "HRESULT_FROM_WIN32(ERROR_ACCOUNT_LOCKED_OUT)", 0xC0000234),
        (0x80070569, "HRESULT_FROM_WIN32(ERROR_LOGON_TYPE_NOT_GRANTED)", 0xC000015B),
        (0xC007052E, "NTSTATUS_FROM_WIN32(ERROR_LOGON_FAILURE)", 0xC000006D),
        (0xC0070775, "NTSTATUS_FROM_WIN32(ERROR_ACCOUNT_LOCKED_OUT)", 0xC0000234),
    ],
)
def test_status_of_a_win32_error_keeps_its_name_and_has_the_texts_of_the_ntstatus(
    code: int, name: str, ntstatus: int
) -> None:
    info, same = describe(code), describe(ntstatus)
    assert (info.code, info.name) == (code, name)
    assert (info.meaning, info.cause, info.advice) == (same.meaning, same.cause, same.advice)
    assert info.summary == f"{name} 0x{code:08X}"
    assert lookup(hex(code)) == info


def test_the_number_with_which_freerdp_refuses_is_explained() -> None:
    info = describe(0xC00700EA)
    assert info == lookup("0xC00700EA") == lookup("-1073282838") == describe(0xD00700EA)
    assert info.summary == "NTSTATUS_FROM_WIN32(ERROR_MORE_DATA) 0xC00700EA"
    assert "FreeRDP" in info.meaning
    assert "user name or password" in info.meaning
    assert "the server's own settings" in info.advice
    assert security_status_from_ntstatus(0xC00700EA) is SecurityStatus.SEC_E_LOGON_DENIED


@pytest.mark.parametrize(
    "code", [0xDEADBEEF, 0xC0FFEE00, 0x80070002, 0x800700EA, 0xC0070002, 0x80090344, 0xD009030C, 0x8007, 1326]
)
def test_describe_says_that_a_code_is_unknown(code: int) -> None:
    info = describe(code)
    assert info.code == code
    assert info.name == f"0x{code:08X}"
    assert "doesn't know" in info.meaning
    assert info.cause
    assert info.name in info.advice


def test_an_unknown_code_is_a_failure_only_with_bit_31() -> None:
    assert describe(0x80FFFFFF).meaning.startswith("A failure")
    assert describe(0x00FFFFFF).meaning.startswith("A status")


@given(st.integers())
def test_describe_takes_any_integer(code: int) -> None:
    info = describe(code)
    assert 0 <= info.code <= 0xFFFFFFFF
    assert all((info.name, info.meaning, info.cause, info.advice))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("STATUS_LOGON_FAILURE", 0xC000006D),
        ("status_logon_failure", 0xC000006D),
        ("Logon_Failure", 0xC000006D),
        ("  LOGON_FAILURE\n", 0xC000006D),
        ("SEC_E_LOGON_DENIED", 0x8009030C),
        ("logon_denied", 0x8009030C),
        ("CONTINUE_NEEDED", 0x00090312),
        ("sec_i_continue_needed", 0x00090312),
        ("SEC_E_NOT_SUPPORTED", 0x80090302),
        ("SEC_E_NO_SPM", 0x80090304),
        ("SEC_E_OK", 0),
        ("STATUS_SUCCESS", 0),
        ("ERROR_LOGON_FAILURE", 0x8007052E),
        ("error_access_denied", 0x80070005),
        ("0xC000006D", 0xC000006D),
        ("0XC000006d", 0xC000006D),
        ("c000006d", 0xC000006D),
        ("0xD000006D", 0xC000006D),
        ("D000006D", 0xC000006D),
        ("3221225581", 0xC000006D),
        ("-1073741715", 0xC000006D),
        ("0x80090308", 0x80090308),
        ("80090308", 0x80090308),
        ("2148074248", 0x80090308),
        ("-2146893048", 0x80090308),
        ("00090312", 0x00090312),
        ("0x90312", 0x00090312),
        ("590610", 0x00090312),
        ("0", 0),
        ("0x0", 0),
        ("00000000", 0),
    ],
)
def test_lookup_understands_what_people_type(text: str, code: int) -> None:
    info = lookup(text)
    assert info is not None
    assert info.code == code
    assert info == describe(code)


def test_short_name_that_both_kinds_have_is_the_ntstatus() -> None:
    info = lookup("INTERNAL_ERROR")
    assert info is not None
    assert info.name == "STATUS_INTERNAL_ERROR"


@pytest.mark.parametrize("info", all_statuses(), ids=lambda info: info.name)
def test_lookup_finds_every_code_in_every_form(info: StatusInfo) -> None:
    forms = [info.name, info.name.lower(), f"0x{info.code:08X}", f"{info.code:08x}", str(info.code)]
    forms.append(str(info.code - (1 << 32) if info.code >> 31 else info.code))
    assert [lookup(form) for form in forms] == [info] * len(forms)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0xDEADBEEF", 0xDEADBEEF),
        ("DEADBEEF", 0xDEADBEEF),
        ("12345678", 0x12345678),
        ("1234567", 1234567),
        ("4294967295", 0xFFFFFFFF),
        ("-1", 0xFFFFFFFF),
        ("-2147483648", 0x80000000),
    ],
)
def test_lookup_of_an_unknown_number_is_the_general_entry(text: str, code: int) -> None:
    assert lookup(text) == describe(code)


@pytest.mark.parametrize("text", ["00590610", "00590624"])
def test_eight_digits_are_decimal_if_only_that_is_known(text: str) -> None:
    assert lookup(text) == describe(int(text))
    assert "doesn't know" in describe(int(text, 16)).meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "no such name",
        "STATUS_",
        "SEC_E_",
        "LOGON FAILURE",
        "0x",
        "0x1C000006D",
        "0xC000_006D",
        "C000006",
        "4294967296",
        "-2147483649",
        "9" * 5000,
        "--1",
        "1.5",
        "\u0663",
        "-0x1",
    ],
)
def test_lookup_of_something_else_is_none(text: str) -> None:
    assert lookup(text) is None


@given(st.text(max_size=40))
def test_lookup_takes_any_text(text: str) -> None:
    info = lookup(text)
    assert info is None or info == describe(info.code)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0xC000006D, SecurityStatus.SEC_E_LOGON_DENIED),
        (0xC0000064, SecurityStatus.SEC_E_LOGON_DENIED),
        (0xC000006A, SecurityStatus.SEC_E_LOGON_DENIED),
        (0xC0000234, SecurityStatus.SEC_E_LOGON_DENIED),
        (0xC000005E, SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY),
        (0xC00000BB, SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION),
        (0xC000000D, SecurityStatus.SEC_E_INVALID_TOKEN),
        (0xC0000017, SecurityStatus.SEC_E_INSUFFICIENT_MEMORY),
        (0xC000009A, SecurityStatus.SEC_E_INSUFFICIENT_MEMORY),
        (0xC0000133, SecurityStatus.SEC_E_TIME_SKEW),
        (0xC000035B, SecurityStatus.SEC_E_BAD_BINDINGS),
        (0xC0000388, SecurityStatus.SEC_E_DOWNGRADE_DETECTED),
        (0xC00002FA, SecurityStatus.SEC_E_SMARTCARD_LOGON_REQUIRED),
        (0xC00000E5, SecurityStatus.SEC_E_INTERNAL_ERROR),
        (0xC0000389, SecurityStatus.SEC_E_SMARTCARD_CERT_REVOKED),
        (0xD000005E, SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY),
        (0x80070032, SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION),
        (0x8007052E, SecurityStatus.SEC_E_LOGON_DENIED),
        (0x80070002, SecurityStatus.SEC_E_LOGON_DENIED),
        (0x80090308, SecurityStatus.SEC_E_INVALID_TOKEN),
        (0x00090312, SecurityStatus.SEC_I_CONTINUE_NEEDED),
        (-1073741637, SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION),
        (0xDEADBEEF, SecurityStatus.SEC_E_LOGON_DENIED),
        (0, SecurityStatus.SEC_E_OK),
    ],
)
def test_security_status_of_an_ntstatus(code: int, expected: SecurityStatus) -> None:
    assert security_status_from_ntstatus(code) is expected


@pytest.mark.parametrize("status", [status for status in NTStatus if status])
def test_no_refusal_becomes_a_success(status: NTStatus) -> None:
    assert security_status_from_ntstatus(status) >> 31


def test_the_texts_are_not_read_at_import() -> None:
    code = "import sys, credssp.status; print('credssp._status_table' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

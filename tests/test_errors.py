"""The errors: whose fault, with which status, and what their texts say."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from credssp import errors
from credssp.errors import (
    AuthenticationError,
    BindingError,
    CertificateError,
    CredSSPError,
    DecodeError,
    LimitExceededError,
    LocalProtocolError,
    LocalRestrictionError,
    PeerClosedError,
    PeerRefusedError,
    PolicyError,
    RemoteProtocolError,
    TLSAlertError,
    TLSError,
    VersionError,
)
from credssp.status import SecurityStatus, all_statuses

ALERT = TLSAlertError(
    "the server sent an alert",
    alert="access_denied",
    description=49,
    reason="TLSV1_ALERT_ACCESS_DENIED",
    status=SecurityStatus.SEC_E_LOGON_DENIED,
)
POLICY = PolicyError(
    "no", status=SecurityStatus.SEC_E_POLICY_NLTM_ONLY, spn="TERMSRV/host", setting="AllowFreshCredentials"
)

EXAMPLES = [
    (CredSSPError("x"), 0x80090304, None),
    (LocalProtocolError("x"), 0x8009035D, None),
    (LocalRestrictionError("x", restriction="MD5"), 0x80090331, None),
    (RemoteProtocolError("x"), 0x80090308, None),
    (DecodeError("x", field="TSRequest.version"), 0x80090308, None),
    (LimitExceededError("x"), 0x80090300, None),
    (PeerClosedError("x"), 0x80090317, None),
    (TLSError("x"), 0x80090326, None),
    (ALERT, 0x8009030C, None),
    (PeerRefusedError(0xC0000234), 0x8009030C, 0xC0000234),
    (AuthenticationError("x"), 0x8009030C, 0xC000006D),
    (BindingError("x"), 0x8009030F, None),
    (CertificateError("x"), 0x80090325, None),
    (POLICY, 0x8009035F, None),
    (VersionError("x"), 0x80090302, 0xC00000BB),
]

by_class = pytest.mark.parametrize(
    ("error", "status", "ntstatus"), EXAMPLES, ids=[type(example[0]).__name__ for example in EXAMPLES]
)


def test_every_error_is_an_example_here() -> None:
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CredSSPError)}
    assert classes == {type(error) for error, _, _ in EXAMPLES}
    assert {getattr(errors, name) for name in errors.__all__} == classes | {errors.Claim}  # what an error carries


@by_class
def test_every_error_has_its_status(error: CredSSPError, status: int, ntstatus: int | None) -> None:
    assert error.status == status
    assert error.ntstatus == ntstatus
    assert error.status >> 31


@by_class
def test_error_code_is_the_ntstatus_or_else_the_security_status(
    error: CredSSPError, status: int, ntstatus: int | None
) -> None:
    assert error.error_code == (status if ntstatus is None else ntstatus)
    assert type(error.error_code) is int or error.error_code == int(error.error_code)


@by_class
def test_the_text_names_status_and_number(error: CredSSPError, status: int, ntstatus: int | None) -> None:
    names = {info.code: info.name for info in all_statuses()}
    code = status if ntstatus is None else ntstatus
    assert f"{names[code]} 0x{code:08X}" in str(error)
    assert str(error).startswith(error.message)


@by_class
def test_every_error_survives_copying_and_pickling(error: CredSSPError, status: int, ntstatus: int | None) -> None:
    error = copy.copy(error)
    error.token = b"\x30\x00"
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)
        assert twin.args == error.args


@pytest.mark.parametrize(
    "kind", [DecodeError, LimitExceededError, PeerClosedError, TLSError, TLSAlertError], ids=lambda kind: kind.__name__
)
def test_what_the_peer_did_wrong_is_a_remote_protocol_error(kind: type[CredSSPError]) -> None:
    assert issubclass(kind, RemoteProtocolError)


@pytest.mark.parametrize(
    "kind",
    [
        LocalProtocolError,
        PeerRefusedError,
        AuthenticationError,
        BindingError,
        CertificateError,
        PolicyError,
        VersionError,
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_other_error_is_not(kind: type[CredSSPError]) -> None:
    assert not issubclass(kind, RemoteProtocolError)
    assert kind.__bases__ == (CredSSPError,)


def test_status_and_ntstatus_may_be_given() -> None:
    error = AuthenticationError(
        "locked", status=SecurityStatus.SEC_E_INVALID_TOKEN, ntstatus=0xC0000234, section="[MS-NLMP] 3.3.2", token=b"x"
    )
    assert error.status is SecurityStatus.SEC_E_INVALID_TOKEN
    assert error.ntstatus == 0xC0000234
    assert error.token == b"x"
    assert str(error) == "locked [STATUS_ACCOUNT_LOCKED_OUT 0xC0000234; [MS-NLMP] 3.3.2]"


def test_without_section_the_text_has_none() -> None:
    assert str(BindingError("no match")) == "no match [SEC_E_MESSAGE_ALTERED 0x8009030F]"
    assert BindingError("no match").section is None
    assert BindingError("no match").token == b""


def test_decode_error_says_where() -> None:
    error = DecodeError("missing", field="TSRequest.negoTokens[0]", offset=17, section="[MS-CSSP] 2.2.1.1")
    assert error.message == "TSRequest.negoTokens[0] at byte 17: missing"
    assert (error.field, error.offset, error.section) == ("TSRequest.negoTokens[0]", 17, "[MS-CSSP] 2.2.1.1")


def test_tls_error_keeps_the_reason_of_openssl() -> None:
    assert TLSError("x", reason="WRONG_VERSION_NUMBER").reason == "WRONG_VERSION_NUMBER"
    assert TLSError("x").reason == ""
    error = TLSError("x", status=SecurityStatus.SEC_E_ALGORITHM_MISMATCH)
    assert error.status is SecurityStatus.SEC_E_ALGORITHM_MISMATCH


def test_tls_alert_keeps_name_and_number() -> None:
    assert (ALERT.alert, ALERT.description, ALERT.reason) == ("access_denied", 49, "TLSV1_ALERT_ACCESS_DENIED")


def test_policy_error_keeps_target_and_setting() -> None:
    assert (POLICY.spn, POLICY.setting) == ("TERMSRV/host", "AllowFreshCredentials")
    bare = PolicyError("no", status=SecurityStatus.SEC_E_DELEGATION_POLICY)
    assert (bare.spn, bare.setting) == (None, None)


def test_refusal_tells_meaning_and_next_step() -> None:
    error = PeerRefusedError(0xC0000071)
    assert "The password has expired." in error.message
    assert "Change it" in error.message
    assert error.section == "[MS-CSSP] 2.2.1 errorCode"
    assert "STATUS_PASSWORD_EXPIRED 0xC0000071" in str(error)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0xC000005E, SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY),
        (0xC00000BB, SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION),
        (0x80090308, SecurityStatus.SEC_E_INVALID_TOKEN),
        (0xD000006D, SecurityStatus.SEC_E_LOGON_DENIED),
        (0xDEADBEEF, SecurityStatus.SEC_E_LOGON_DENIED),
    ],
)
def test_refusal_has_the_status_that_belongs_to_the_code(code: int, status: SecurityStatus) -> None:
    assert PeerRefusedError(code).status is status
    assert PeerRefusedError(code).ntstatus == code


@pytest.mark.parametrize("code", [0, 0x00090312, 1])
def test_a_refusal_with_a_success_code_is_no_success(code: int) -> None:
    assert PeerRefusedError(code).status is SecurityStatus.SEC_E_LOGON_DENIED
    assert PeerRefusedError(code).ntstatus == code


def test_advice_is_that_of_the_status_where_the_number_is_the_verdict() -> None:
    from credssp.status import describe

    for error, _, _ in EXAMPLES:
        verdict = isinstance(error, PeerRefusedError | AuthenticationError)
        assert (error.advice == describe(error.error_code).advice) is verdict
    better = CredSSPError("x", advice="Turn it off and on again.")
    assert better.advice == copy.copy(better).advice == pickle.loads(pickle.dumps(better)).advice  # noqa: S301
    assert better.advice == "Turn it off and on again."

"""What GSS-API, libkrb5 and pyspnego raise, as one of our errors with a SECURITY_STATUS.

The texts of GSS-API and Kerberos are kept: they come from the local library and say what to repair. pyspnego's own are
dropped, since they may hold a token.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

from credssp.errors import (
    AuthenticationError,
    CredSSPError,
    LocalProtocolError,
    LocalRestrictionError,
    RemoteProtocolError,
)
from credssp.kerberos.kdc_error import read_reason
from credssp.next_step import NextStep
from credssp.status import NTStatus, SecurityStatus, describe

__all__ = ["KRB_ERROR", "PROOF", "TOKEN", "UNWRAP", "VERIFY", "failure", "translate"]

_S = SecurityStatus
_N = NTStatus


_NEXT: Final = {
    _S.SEC_E_NO_AUTHENTICATING_AUTHORITY: NextStep.KDC,
    _S.SEC_E_TIME_SKEW: NextStep.CLOCKS,
    _S.SEC_E_NO_KERB_KEY: NextStep.KERBEROS_KEYTAB,
    _S.SEC_E_WRONG_PRINCIPAL: NextStep.KERBEROS_KEYTAB,
    _S.SEC_E_NO_CREDENTIALS: NextStep.KERBEROS_USER,
    _S.SEC_E_BAD_BINDINGS: NextStep.BINDING,
    _S.SEC_E_LOGON_DENIED: NextStep.KERBEROS_CLIENT,
}


def failure(
    message: str,
    status: SecurityStatus,
    ntstatus: int | None = None,
    *,
    advice: str | None = None,
    judged: bool = False,
) -> AuthenticationError:
    """Make an AuthenticationError that has an NTSTATUS only where the logon itself was refused.

    What to do follows from `advice`, else from the NTSTATUS, else from what Kerberos means by the status.
    """
    if advice is None and ntstatus is None:
        advice = _NEXT.get(status, NextStep.KERBEROS)
    error = AuthenticationError(message, status=status, section="RFC 4121; RFC 2743", advice=advice)
    error.ntstatus = ntstatus
    error.judged = judged
    return error


_KRB5_BASE: Final = -1765328384
"""ERROR_TABLE_BASE_krb5 of MIT krb5 and Heimdal; protocol errors (RFC 4120 7.5.9) count from it, others from +128."""


class _Meaning(NamedTuple):
    """What a code means here, and what the reader can do."""

    status: SecurityStatus
    ntstatus: int | None = None
    next_step: str = ""


_NO_KDC: Final = "see [realms] in krb5.conf, or the DNS records _kerberos._tcp of the realm; is port 88 open?"
_PASSWORD: Final = "check the user name, the realm and the password with kinit"
_KINIT: Final = "get a new ticket with kinit"
_CLOCK: Final = "compare the clocks of this machine and of the KDC: five minutes are the limit"
_KEYTAB: Final = "compare klist -ke of the keytab with the service the client asked for, and export the keytab anew"
_CARD: Final = "the certificate is another user's, or names no user at all"
_CCACHE: Final = "run kinit, or name a cache that klist -c can show"

_JUDGED: Final = (1, 12, 18, 23, 24, 31)
"""Codes with which a KDC has judged the account or the password (31: its answer does not open with the password)."""

_KRB5: Final[dict[int, _Meaning]] = {
    1: _Meaning(_S.SEC_E_LOGON_DENIED, _N.STATUS_ACCOUNT_EXPIRED),  # KDC_ERR_NAME_EXP
    6: _Meaning(_S.SEC_E_LOGON_DENIED, _N.STATUS_LOGON_FAILURE, _PASSWORD),  # KDC_ERR_C_PRINCIPAL_UNKNOWN
    7: _Meaning(  # KDC_ERR_S_PRINCIPAL_UNKNOWN
        _S.SEC_E_TARGET_UNKNOWN, None, "is the target the host's full name, and is its SPN registered (setspn -Q)?"
    ),
    12: _Meaning(_S.SEC_E_LOGON_DENIED, _N.STATUS_ACCOUNT_RESTRICTION),  # KDC_ERR_POLICY
    14: _Meaning(_S.SEC_E_KDC_UNKNOWN_ETYPE),  # KDC_ERR_ETYPE_NOSUPP
    18: _Meaning(  # KDC_ERR_CLIENT_REVOKED, from a KDC that does not say why
        _S.SEC_E_LOGON_DENIED, _N.STATUS_ACCOUNT_DISABLED, "the account is disabled, or it is locked"
    ),
    23: _Meaning(_S.SEC_E_LOGON_DENIED, _N.STATUS_PASSWORD_EXPIRED),  # KDC_ERR_KEY_EXPIRED
    24: _Meaning(_S.SEC_E_LOGON_DENIED, _N.STATUS_LOGON_FAILURE, _PASSWORD),  # KDC_ERR_PREAUTH_FAILED
    31: _Meaning(_S.SEC_E_LOGON_DENIED, _N.STATUS_LOGON_FAILURE, _PASSWORD),  # KRB_AP_ERR_BAD_INTEGRITY
    32: _Meaning(_S.SEC_E_CONTEXT_EXPIRED, None, _KINIT),  # KRB_AP_ERR_TKT_EXPIRED
    33: _Meaning(_S.SEC_E_TIME_SKEW, None, _CLOCK),  # KRB_AP_ERR_TKT_NYV: from the future
    34: _Meaning(_S.SEC_E_OUT_OF_SEQUENCE, None, "a login was sent a second time, by an attacker or a proxy"),  # REPEAT
    35: _Meaning(_S.SEC_E_WRONG_PRINCIPAL, None, _KEYTAB),  # KRB_AP_ERR_NOT_US
    36: _Meaning(_S.SEC_E_WRONG_PRINCIPAL, None, _KEYTAB),  # KRB_AP_ERR_BADMATCH
    37: _Meaning(_S.SEC_E_TIME_SKEW, None, _CLOCK),  # KRB_AP_ERR_SKEW
    41: _Meaning(  # KRB_AP_ERR_MODIFIED: the service has another key than the KDC thinks
        _S.SEC_E_WRONG_PRINCIPAL, None, "the SPN belongs to another account than the one that runs the server"
    ),
    44: _Meaning(_S.SEC_E_NO_KERB_KEY, None, _KEYTAB),  # KRB_AP_ERR_BADKEYVER
    45: _Meaning(_S.SEC_E_NO_KERB_KEY, None, _KEYTAB),  # KRB_AP_ERR_NOKEY
    62: _Meaning(_S.SEC_E_PKINIT_CLIENT_FAILURE, _N.STATUS_PKINIT_CLIENT_FAILURE),  # KDC_ERR_CLIENT_NOT_TRUSTED
    66: _Meaning(_S.SEC_E_PKINIT_NAME_MISMATCH, _N.STATUS_PKINIT_NAME_MISMATCH, _CARD),  # CERTIFICATE_MISMATCH
    70: _Meaning(_S.SEC_E_PKINIT_CLIENT_FAILURE, _N.STATUS_PKINIT_CLIENT_FAILURE),  # KDC_ERR_CANT_VERIFY_CERTIFICATE
    71: _Meaning(_S.SEC_E_PKINIT_CLIENT_FAILURE, _N.STATUS_PKINIT_CLIENT_FAILURE),  # KDC_ERR_INVALID_CERTIFICATE
    72: _Meaning(_S.SEC_E_SMARTCARD_CERT_REVOKED, _N.STATUS_SMARTCARD_CERT_REVOKED),  # KDC_ERR_REVOKED_CERTIFICATE
    75: _Meaning(_S.SEC_E_PKINIT_NAME_MISMATCH, _N.STATUS_PKINIT_NAME_MISMATCH, _CARD),  # KDC_ERR_CLIENT_NAME_MISMATCH
    77: _Meaning(_S.SEC_E_PKINIT_CLIENT_FAILURE, _N.STATUS_PKINIT_CLIENT_FAILURE),  # INCONSISTENT_KEY_PURPOSE
    68: _Meaning(_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None, _NO_KDC),  # KDC_ERR_WRONG_REALM
    140: _Meaning(_S.SEC_E_NO_CREDENTIALS, None, _CCACHE),  # KRB5_CC_UNKNOWN_TYPE
    141: _Meaning(_S.SEC_E_NO_CREDENTIALS, None, _CCACHE),  # KRB5_CC_NOTFOUND
    144: _Meaning(_S.SEC_E_WRONG_PRINCIPAL, None, _KEYTAB),  # KRB5KRB_AP_WRONG_PRINC
    148: _Meaning(_S.SEC_E_TIME_SKEW, None, _CLOCK),  # KRB5_KDCREP_SKEW
    154: _Meaning(_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None, _NO_KDC),  # KRB5_REALM_UNKNOWN
    156: _Meaning(_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None, _NO_KDC),  # KRB5_KDC_UNREACH
    181: _Meaning(_S.SEC_E_NO_KERB_KEY, None, _KEYTAB),  # KRB5_KT_NOTFOUND
    195: _Meaning(_S.SEC_E_NO_CREDENTIALS, None, _CCACHE),  # KRB5_FCC_NOFILE
    198: _Meaning(_S.SEC_E_NO_CREDENTIALS, None, _CCACHE),  # KRB5_CC_FORMAT
    213: _Meaning(_S.SEC_E_NO_KERB_KEY, None, "this is not a keytab file"),  # KRB5_KEYTAB_BADVNO
    220: _Meaning(_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None, _NO_KDC),  # KRB5_REALM_CANT_RESOLVE
    224: _Meaning(  # KRB5_CONFIG_NODEFREALM
        _S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None, "give the realm with the user name, or default_realm in krb5.conf"
    ),
}

_ERRNO: Final = 4096
"""Below it, libkrb5's codes are those of the operating system: a file that is not there or may not be read."""


_REVOKED: Final = 18


def _reason(offset: int, e_data: bytes) -> NTStatus | None:
    """Return why a KDC of Active Directory refuses the account, or None where it does not say.

    A Samba domain controller (4.17) gives the reason, except for a locked account: there it lists ways of
    preauthentication alone. A KDC of MIT has no e-data with KDC_ERR_CLIENT_REVOKED.
    """
    reason = read_reason(e_data)
    if reason.ntstatus is None and reason.has_method_data and offset == _REVOKED:
        return _N.STATUS_ACCOUNT_LOCKED_OUT
    return reason.ntstatus


def _is_out_of_order(major: object) -> bool:
    """Whether GSS-API opened a message and found nothing wrong but its place among the others."""
    return isinstance(major, int) and not major & _GSS_ERROR and bool(major & _GSS_ORDER)


def _offset(code: int) -> int:
    return (code - _KRB5_BASE) & 0xFFFFFFFF  # gssapi shows the minor code as unsigned


def _meaning(code: int) -> _Meaning | None:
    if 0 < code < _ERRNO:
        return _Meaning(_S.SEC_E_NO_CREDENTIALS, None, "check that the file is there and may be read")
    return _KRB5.get(_offset(code))


_SPNEGO: Final[dict[str, SecurityStatus]] = {
    "bad_mech": _S.SEC_E_SECPKG_NOT_FOUND,
    "bad_name": _S.SEC_E_TARGET_UNKNOWN,
    "bad_bindings": _S.SEC_E_BAD_BINDINGS,
    "bad_mic": _S.SEC_E_MESSAGE_ALTERED,
    "no_cred": _S.SEC_E_NO_CREDENTIALS,
    "invalid_token": _S.SEC_E_INVALID_TOKEN,
    "invalid_credential": _S.SEC_E_NO_CREDENTIALS,
    "credentials_expired": _S.SEC_E_CONTEXT_EXPIRED,
    "context_expired": _S.SEC_E_CONTEXT_EXPIRED,
    "bad_qop": _S.SEC_E_QOP_NOT_SUPPORTED,
    "unavailable": _S.SEC_E_UNSUPPORTED_FUNCTION,
}
"""SECURITY_STATUS by the name of `spnego.exceptions.ErrorCode`, after the GSS-API major codes (RFC 2743 1.2.1.1)."""

TOKEN: Final = "taking a Kerberos token"
"""What a peer's token is about, as `translate` takes it: nothing of it is the fault of a file here."""
PROOF: Final = "checking the server's proof of its key"
"""The same for a server's AP-REP (RFC 4120 3.2.5)."""
KRB_ERROR: Final = "the server answers with KRB-ERROR, which is not authenticated, and claims"
"""The same for a server's KRB-ERROR (RFC 4120 5.9.1)."""
UNWRAP: Final = "unwrapping with Kerberos"
VERIFY: Final = "verifying with Kerberos"

_MESSAGES: Final = (UNWRAP, VERIFY)
_NO_PROOF: Final = (31, 41, 46)
"""KRB_AP_ERR_BAD_INTEGRITY, MODIFIED and MUT_FAIL: the AP-REP was not made with the key that the client knows."""
_GSS_ERROR: Final = 0xFFFF0000
"""Calling and routine errors of a major status (RFC 2744 3.9.1)."""
_GSS_ORDER: Final = 0x1E
"""GSS_S_DUPLICATE_TOKEN, OLD_TOKEN, UNSEQ_TOKEN, GAP_TOKEN."""
_READING: Final = (TOKEN, PROOF)
_UNDECODABLE: Final = (
    ValueError,
    LookupError,
    OverflowError,
    TypeError,
    AttributeError,
    NotImplementedError,
    struct.error,
)
"""What a decoder raises where a token is not what it took for granted; gssapi an AttributeError after one."""
_ALTERED: Final = _S.SEC_E_MESSAGE_ALTERED
_CLAIM: Final = "Ask the server's administrator: its log says what is true of this."
_PEERS_FAULT: Final = ("bad_mic", "invalid_token")


_MAX_TEXT: Final = 300


def _text(native: BaseException) -> str:
    """Return Kerberos' own text, without the preamble of GSS-API and the number that krb5 appends.

    It may name the principal in a peer's ticket, so nothing but plain characters passes, and not too many.
    """
    text = re.sub(r"^Major \(\d+\): .*?, Minor \(\d+\): ", "", str(native), count=1, flags=re.DOTALL)
    text = re.sub(r" -?\d+\s*$", "", text)
    return re.sub(r"[^ -~]", "?", text)[:_MAX_TEXT]


def translate(doing: str, error: Exception) -> CredSSPError:
    """Turn what pyspnego, gssapi or krb5 raised into one of our errors.

    Args:
        doing: what it was about; the error's text starts with it.
        error: what was raised; it is not chained.
    """
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from spnego.exceptions import ErrorCode, SpnegoError

    # SpnegoError wraps gssapi's error; pyspnego lets krb5's through as it is.
    native = (error.base_error if isinstance(error, SpnegoError) else error) or error
    code = getattr(native, "min_code", None) or getattr(native, "err_code", None)
    if doing in _MESSAGES and _is_out_of_order(getattr(native, "maj_code", 0)):
        return RemoteProtocolError(
            f"{doing}: the message came twice, or another one should have come before it",
            status=_S.SEC_E_OUT_OF_SEQUENCE,
            advice=NextStep.SSPI_ORDER,
        )
    if doing in _MESSAGES:
        return RemoteProtocolError(f"{doing}: the message was altered, or is not of this session", status=_ALTERED)
    text = _text(native) if isinstance(code, int) else ""
    if doing == KRB_ERROR:
        found = _KRB5.get(_offset(code)) if isinstance(code, int) else None
        status = found.status if found else _S.SEC_E_LOGON_DENIED
        claim = failure(f"{doing}: {text or 'no reason'}", status, advice=_CLAIM)
        claim.refused = True
        return claim
    if doing == PROOF and isinstance(code, int) and _offset(code) in _NO_PROOF:
        return failure(
            f"{doing}: {text}; the server does not have the key of the service that was asked for",
            _S.SEC_E_WRONG_PRINCIPAL,
            advice=NextStep.KERBEROS_SPN,
        )
    if isinstance(code, int) and not (doing in _READING and 0 < code < _ERRNO):
        meaning = _meaning(code)
        if meaning is not None:
            judged = doing not in _READING and _offset(code) in _JUDGED
            reason = _reason(_offset(code), getattr(native, "e_data", b"")) if judged else None
            if reason is not None:
                return failure(
                    f"{doing}: {text} ({describe(reason).meaning.rstrip('.')})", meaning.status, reason, judged=True
                )
            hint = f"; {meaning.next_step}" if meaning.next_step else ""
            advice = meaning.next_step or None
            return failure(f"{doing}: {text}{hint}", meaning.status, meaning.ntstatus, advice=advice, judged=judged)
    if isinstance(error, SpnegoError):
        number = getattr(error, "ERROR_CODE", ErrorCode.failure)
        kind = ErrorCode(number).name
        if kind in _PEERS_FAULT:
            return RemoteProtocolError(f"{doing}: the peer's token is not valid", status=_SPNEGO[kind])
        return failure(f"{doing} failed ({kind}){text and f': {text}'}", _SPNEGO.get(kind, _S.SEC_E_INTERNAL_ERROR))
    if text:
        return failure(f"{doing}: {text}", _S.SEC_E_INTERNAL_ERROR)
    if isinstance(error, UnsupportedAlgorithm | InternalError) or "digital envelope routines" in str(error):
        return LocalRestrictionError(
            f"{doing}: OpenSSL does not allow an algorithm of Kerberos on this machine ({type(error).__name__})",
            restriction="OpenSSL",
            advice="Use keys of AES for the accounts of client and service; see FIPS mode and openssl.cnf.",
        )
    if doing in _READING and isinstance(error, _UNDECODABLE) and not isinstance(error, UnicodeEncodeError):
        return RemoteProtocolError(f"{doing}: the peer's token does not decode ({type(error).__name__})")
    # A codec that is missing, a name that cannot be encoded, a bug: nothing that a peer sent.
    return LocalProtocolError(
        f"{doing}: it failed on this side, in a library that Kerberos needs ({type(error).__name__})",
        status=_S.SEC_E_INTERNAL_ERROR,
        advice="Compare the versions of pyspnego, gssapi and krb5 with those that credssp asks for.",
    )

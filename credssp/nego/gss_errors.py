"""What GSS-API, libkrb5 and pyspnego raise, as one of our errors with a SECURITY_STATUS.

The texts of GSS-API and Kerberos are kept: they come from the local library and say what to repair. pyspnego's own are
dropped, since they may hold a token.
"""

from __future__ import annotations

import re
from typing import Final

from credssp.errors import AuthenticationError, CredSSPError, RemoteProtocolError
from credssp.status import NTStatus, SecurityStatus

__all__ = ["failure", "translate"]

_S = SecurityStatus
_N = NTStatus


def failure(message: str, status: SecurityStatus, ntstatus: int | None = None) -> AuthenticationError:
    """Make an AuthenticationError that has an NTSTATUS only where the logon itself was refused."""
    error = AuthenticationError(message, status=status, section="RFC 4121; RFC 2743")
    error.ntstatus = ntstatus
    return error


_KRB5_BASE: Final = -1765328384
"""ERROR_TABLE_BASE_krb5 of MIT krb5 and Heimdal; protocol errors (RFC 4120 7.5.9) count from it, others from +128."""

_KRB5: Final[dict[int, tuple[SecurityStatus, int | None]]] = {
    1: (_S.SEC_E_LOGON_DENIED, _N.STATUS_ACCOUNT_EXPIRED),  # KDC_ERR_NAME_EXP
    6: (_S.SEC_E_LOGON_DENIED, _N.STATUS_LOGON_FAILURE),  # KDC_ERR_C_PRINCIPAL_UNKNOWN
    7: (_S.SEC_E_TARGET_UNKNOWN, None),  # KDC_ERR_S_PRINCIPAL_UNKNOWN
    12: (_S.SEC_E_LOGON_DENIED, _N.STATUS_ACCOUNT_RESTRICTION),  # KDC_ERR_POLICY
    14: (_S.SEC_E_KDC_UNKNOWN_ETYPE, None),  # KDC_ERR_ETYPE_NOSUPP
    18: (_S.SEC_E_LOGON_DENIED, _N.STATUS_ACCOUNT_DISABLED),  # KDC_ERR_CLIENT_REVOKED; locked out looks the same
    23: (_S.SEC_E_LOGON_DENIED, _N.STATUS_PASSWORD_EXPIRED),  # KDC_ERR_KEY_EXPIRED
    24: (_S.SEC_E_LOGON_DENIED, _N.STATUS_LOGON_FAILURE),  # KDC_ERR_PREAUTH_FAILED
    31: (_S.SEC_E_LOGON_DENIED, _N.STATUS_LOGON_FAILURE),  # KRB_AP_ERR_BAD_INTEGRITY
    32: (_S.SEC_E_CONTEXT_EXPIRED, None),  # KRB_AP_ERR_TKT_EXPIRED
    34: (_S.SEC_E_OUT_OF_SEQUENCE, None),  # KRB_AP_ERR_REPEAT
    35: (_S.SEC_E_WRONG_PRINCIPAL, None),  # KRB_AP_ERR_NOT_US
    36: (_S.SEC_E_WRONG_PRINCIPAL, None),  # KRB_AP_ERR_BADMATCH
    37: (_S.SEC_E_TIME_SKEW, None),  # KRB_AP_ERR_SKEW
    41: (_S.SEC_E_WRONG_PRINCIPAL, None),  # KRB_AP_ERR_MODIFIED: the service has another key than the KDC thinks
    44: (_S.SEC_E_NO_KERB_KEY, None),  # KRB_AP_ERR_BADKEYVER
    45: (_S.SEC_E_NO_KERB_KEY, None),  # KRB_AP_ERR_NOKEY
    68: (_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None),  # KDC_ERR_WRONG_REALM
    141: (_S.SEC_E_NO_CREDENTIALS, None),  # KRB5_CC_NOTFOUND
    144: (_S.SEC_E_WRONG_PRINCIPAL, None),  # KRB5KRB_AP_WRONG_PRINC
    148: (_S.SEC_E_TIME_SKEW, None),  # KRB5_KDCREP_SKEW
    154: (_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None),  # KRB5_REALM_UNKNOWN
    156: (_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None),  # KRB5_KDC_UNREACH
    181: (_S.SEC_E_NO_KERB_KEY, None),  # KRB5_KT_NOTFOUND
    195: (_S.SEC_E_NO_CREDENTIALS, None),  # KRB5_FCC_NOFILE
    220: (_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None),  # KRB5_REALM_CANT_RESOLVE
    224: (_S.SEC_E_NO_AUTHENTICATING_AUTHORITY, None),  # KRB5_CONFIG_NODEFREALM
}

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

_PEERS_FAULT: Final = ("bad_mic", "invalid_token")


def _text(native: BaseException) -> str:
    """Return what GSS-API has to say without its preamble: the part behind the minor code is Kerberos' own text."""
    return re.sub(r"^Major \(\d+\): .*?, Minor \(\d+\): ", "", str(native), count=1, flags=re.DOTALL)


def translate(doing: str, error: Exception) -> CredSSPError:
    """Turn what pyspnego, gssapi or krb5 raised into one of our errors.

    Args:
        doing: what it was about; the error's text starts with it.
        error: what was raised; it is not chained.
    """
    from spnego.exceptions import ErrorCode, SpnegoError

    # SpnegoError wraps gssapi's error; pyspnego lets krb5's through as it is.
    native = (error.base_error if isinstance(error, SpnegoError) else error) or error
    code = getattr(native, "min_code", None) or getattr(native, "err_code", None)
    if isinstance(code, int):
        # gssapi shows the minor code as unsigned.
        status, ntstatus = _KRB5.get((code - _KRB5_BASE) & 0xFFFFFFFF, (None, None))
        if status is not None:
            return failure(f"{doing}: {_text(native)}", status, ntstatus)
    if isinstance(error, SpnegoError):
        number = getattr(error, "ERROR_CODE", ErrorCode.failure)
        kind = ErrorCode(number).name
        if kind in _PEERS_FAULT:
            return RemoteProtocolError(f"{doing}: the peer's token is not valid", status=_SPNEGO[kind])
        text = f": {_text(native)}" if isinstance(code, int) else ""
        return failure(f"{doing} failed ({kind}){text}", _SPNEGO.get(kind, _S.SEC_E_INTERNAL_ERROR))
    if isinstance(code, int):
        return failure(f"{doing}: {_text(native)}", _S.SEC_E_INTERNAL_ERROR)
    # struct.error, ValueError, IndexError, ...: the token was not what the decoder took for granted.
    return RemoteProtocolError(f"{doing}: the peer's token does not decode ({type(error).__name__})")

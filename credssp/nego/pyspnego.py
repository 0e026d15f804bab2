"""The one door to pyspnego (and through it to GSS-API): loaded late, kept quiet, its exceptions turned into ours.

* ``import spnego`` takes 70 ms and pulls gssapi in where that is installed, so it happens with the first initiator.
* pyspnego logs every token at DEBUG level, and an NTLM AUTHENTICATE is an offline-crackable proof of the password.
  A filter on its loggers drops what they say below WARNING *while one of our calls runs in this thread*: nothing else
  that the program does with pyspnego loses a record.
* Everything it raises becomes one of our errors, without the cause: a foreign text or traceback may hold a token.
  The texts of GSS-API and Kerberos are kept, since they come from the local library and say what to repair.

Only public names of pyspnego are used, but for the names of its loggers.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from credssp.errors import AuthenticationError, CredSSPError, RemoteProtocolError
from credssp.status import NTStatus, SecurityStatus

if TYPE_CHECKING:
    import spnego
    from spnego.channel_bindings import GssChannelBindings

__all__ = ["call", "kerberos_client", "kerberos_missing", "kerberos_server", "ntlm_client"]

P = ParamSpec("P")
T = TypeVar("T")

_LOGGERS: Final = ("spnego._ntlm", "spnego._gss", "spnego._sspi")

_S = SecurityStatus
_N = NTStatus


class _Running(threading.local):
    """Whether one of our calls is running in this thread."""

    active = False


_running = _Running()


class _Quiet(logging.Filter):
    """Drops what pyspnego says below WARNING on our behalf."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _running.active or record.levelno >= logging.WARNING


@functools.cache
def _prepare() -> None:
    """Import pyspnego and silence it."""
    import spnego  # noqa: F401

    quiet = _Quiet()
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(quiet)


@functools.cache
def kerberos_missing() -> str | None:
    """Return what is not installed for Kerberos to work, or None where everything is there."""
    # pyspnego uses SSPI on Windows, elsewhere GSS-API.
    needed = ("sspilib",) if sys.platform == "win32" else ("gssapi", "krb5")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f"Kerberos needs {' and '.join(missing)}: pip install 'pyspnego[kerberos]'"


def kerberos_unavailable(reason: str) -> AuthenticationError:
    """Make the error for a Kerberos that is not there at all."""
    return failure(reason, _S.SEC_E_SECPKG_NOT_FOUND)


def failure(message: str, status: SecurityStatus, ntstatus: int | None = None) -> AuthenticationError:
    """Make an AuthenticationError that has an NTSTATUS only where the logon itself was refused."""
    error = AuthenticationError(message, status=status, section="RFC 4121; RFC 2743")
    error.ntstatus = ntstatus
    return error


def call(doing: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that uses pyspnego: quietly, and with our errors.

    Args:
        doing: what it is about, such as ``reading the NTLM CHALLENGE``; the error's text starts with it.
        function: the function.
        *args: passed on.
        **kwargs: passed on.
    """
    _prepare()
    _running.active = True
    try:
        return function(*args, **kwargs)
    except CredSSPError:
        raise
    except Exception as error:  # noqa: BLE001 - a foreign library at work on a peer's input: anything may come
        problem = _translate(doing, error)
    finally:
        _running.active = False
    raise problem


def ntlm_client(
    username: str, nt_hash: bytes, *, service: str, host: str, application_data: bytes | None
) -> tuple[spnego.ContextProxy, bytes]:
    """Make an NTLM initiator and its NEGOTIATE.

    With the hash instead of the password pyspnego skips the LM hash (DES), which nobody needs.
    """
    import spnego

    context = spnego.client(
        [spnego.NTLMHash(username, nt_hash=nt_hash.hex())],
        hostname=host,
        service=service,
        channel_bindings=_bindings(application_data),
        protocol="ntlm",
        options=spnego.NegotiateOptions.use_ntlm,
    )
    return context, context.step() or b""


def kerberos_client(
    principal: str | None, password: str, *, service: str, host: str, application_data: bytes | None
) -> spnego.ContextProxy:
    """Make a Kerberos initiator; without a principal it takes the ticket cache. May ask a KDC, so it may block."""
    import spnego

    return spnego.client(
        spnego.CredentialCache() if principal is None else spnego.Password(principal, password),
        hostname=host,
        service=service,
        channel_bindings=_bindings(application_data),
        protocol="kerberos",
    )


def kerberos_server(spn: str | None, application_data: bytes | None) -> spnego.ContextProxy:
    """Make a Kerberos acceptor with the key of this service, or with any key of the keytab."""
    import spnego

    service, _, host = (spn or "").partition("/")
    return spnego.server(
        credentials=spnego.CredentialCache(f"{service}@{host}" if spn else None),
        channel_bindings=_bindings(application_data),
        protocol="kerberos",
    )


def _bindings(application_data: bytes | None) -> GssChannelBindings | None:
    if application_data is None:
        return None
    from spnego.channel_bindings import GssChannelBindings

    return GssChannelBindings(application_data=application_data)


# Errors

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


def _translate(doing: str, error: Exception) -> CredSSPError:
    """Turn what pyspnego, gssapi or krb5 raised into one of our errors."""
    from spnego.exceptions import ErrorCode, SpnegoError

    if isinstance(error, ImportError):
        return kerberos_unavailable(kerberos_missing() or f"{doing}: a library for it is missing")
    # SpnegoError wraps gssapi's error; pyspnego lets krb5's through as it is.
    native = (error.base_error if isinstance(error, SpnegoError) else error) or error
    code = getattr(native, "min_code", None) or getattr(native, "err_code", None)
    if isinstance(code, int):
        # gssapi shows the minor code as unsigned.
        status, ntstatus = _KRB5.get((code - _KRB5_BASE) & 0xFFFFFFFF, (None, None))
        if status is not None:
            return failure(f"{doing}: {native}", status, ntstatus)
    if isinstance(error, SpnegoError):
        number = getattr(error, "ERROR_CODE", ErrorCode.failure)
        kind = ErrorCode(number).name
        if kind in _PEERS_FAULT:
            return RemoteProtocolError(f"{doing}: the peer's token is not valid", status=_SPNEGO[kind])
        text = f": {native}" if isinstance(code, int) else ""
        return failure(f"{doing} failed ({kind}){text}", _SPNEGO.get(kind, _S.SEC_E_INTERNAL_ERROR))
    if isinstance(code, int):
        return failure(f"{doing}: {native}", _S.SEC_E_INTERNAL_ERROR)
    # struct.error, ValueError, IndexError, ...: the token was not what the decoder took for granted.
    return RemoteProtocolError(f"{doing}: the peer's token does not decode ({type(error).__name__})")

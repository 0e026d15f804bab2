"""A ticket-granting ticket by certificate (PKINIT, RFC 4556): from a smart card or a file, by libkrb5.

libkrb5 does the work, with its plugin (krb5-pkinit) and for cards the PKCS#11 module of their maker. It asks for PINs
through a responder, a callback; the binding that the rest of this package uses, pykrb5, has only prompters, and with
one of those the process aborts (pykrb5 0.10). So these calls go through `ctypes`.

A PIN is tried once, and not at all where the card says that it is blocked or that this is the last try: a card that a
program blocks by itself, with a PIN that was right last month, needs its issuer.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_void_p
from typing import Final, NoReturn

from credssp.credentials import CertificateCredentials
from credssp.errors import AuthenticationError
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.tickets import MemoryTickets
from credssp.secret import private
from credssp.status import NTStatus, SecurityStatus

__all__ = ["certificate_tickets"]

_S = SecurityStatus
_N = NTStatus

_LIBRARY: Final = "libkrb5.so.3"
_ENTERPRISE: Final = 4  # KRB5_PRINCIPAL_PARSE_ENTERPRISE
_FINAL_TRY: Final = 2  # KRB5_RESPONDER_PKINIT_FLAGS_TOKEN_USER_PIN_FINAL_TRY
_LOCKED: Final = 4  # KRB5_RESPONDER_PKINIT_FLAGS_TOKEN_USER_PIN_LOCKED
_PREAUTH_FAILED: Final = -1765328174  # KRB5_PREAUTH_FAILED: no way of preauthentication led anywhere
_REFUSED: Final = (-1765328360, -1765328353)
"""KRB5KDC_ERR_PREAUTH_FAILED, KRB5KRB_AP_ERR_BAD_INTEGRITY: what Heimdal says of a certificate of another authority."""
_IO_ERROR: Final = 5
_CANCELLED: Final = 125  # ECANCELED, which the responder below returns
_CREDS: Final = 1024  # bytes; a krb5_creds has 120

_one_at_a_time = threading.Lock()
"""The plugin initialises the PKCS#11 module for each login and finalises it afterwards, for the whole process."""


class _Identity(ctypes.Structure):
    _fields_ = (("identity", c_char_p), ("token_flags", c_int32))


class _Challenge(ctypes.Structure):
    _fields_ = (("identities", POINTER(POINTER(_Identity))),)


_Responder: Final = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p)

_FUNCTIONS: Final[dict[str, list[object]]] = {
    "init_context": [POINTER(c_void_p)],
    "parse_name_flags": [c_void_p, c_char_p, c_int, POINTER(c_void_p)],
    "get_init_creds_opt_alloc": [c_void_p, POINTER(c_void_p)],
    "get_init_creds_opt_set_pa": [c_void_p, c_void_p, c_char_p, c_char_p],
    "get_init_creds_opt_set_responder": [c_void_p, c_void_p, _Responder, c_void_p],
    "get_init_creds_opt_set_out_ccache": [c_void_p, c_void_p, c_void_p],
    "responder_pkinit_get_challenge": [c_void_p, c_void_p, POINTER(POINTER(_Challenge))],
    "responder_pkinit_set_answer": [c_void_p, c_void_p, c_char_p, c_char_p],
    "cc_resolve": [c_void_p, c_char_p, POINTER(c_void_p)],
    "cc_close": [c_void_p, c_void_p],
    "get_init_creds_password": [
        c_void_p, c_void_p, c_void_p, c_char_p, c_void_p, c_void_p, c_int32, c_char_p, c_void_p,
    ],
}  # fmt: skip
_PROCEDURES: Final[dict[str, list[object]]] = {
    "get_init_creds_opt_set_canonicalize": [c_void_p, c_int],
    "get_init_creds_opt_set_forwardable": [c_void_p, c_int],
    "get_init_creds_opt_free": [c_void_p, c_void_p],
    "responder_pkinit_challenge_free": [c_void_p, c_void_p, POINTER(_Challenge)],
    "free_cred_contents": [c_void_p, c_void_p],
    "free_error_message": [c_void_p, c_void_p],
    "free_principal": [c_void_p, c_void_p],
    "free_context": [c_void_p],
}


@functools.cache
def _library() -> ctypes.CDLL:
    """Load libkrb5, which GSS-API has loaded too: a cache in memory is the same for both."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise failure(
            f"logging on with a certificate needs {_LIBRARY} of MIT: {error}", _S.SEC_E_SECPKG_NOT_FOUND
        ) from None
    for name, arguments in (_FUNCTIONS | _PROCEDURES).items():
        function = getattr(library, f"krb5_{name}")
        function.argtypes = arguments
        function.restype = c_int32 if name in _FUNCTIONS else None
    library.krb5_get_error_message.argtypes = [c_void_p, c_int32]
    library.krb5_get_error_message.restype = c_void_p
    return library


class _Krb5Error(Exception):
    """What libkrb5 says, in the form that `credssp.kerberos.gss_errors` takes."""

    def __init__(self, err_code: int, text: str) -> None:
        super().__init__(text)
        self.err_code = err_code


@private
def certificate_tickets(
    principal: str, credentials: CertificateCredentials, *, enterprise: bool = False
) -> MemoryTickets:
    """Get a ticket-granting ticket with a certificate, into a credential cache in memory.

    Args:
        principal: as for `credssp.kerberos.tickets.password_tickets`.
        credentials: the certificate, and the PIN where it needs one.
        enterprise: likewise.

    Raises:
        AuthenticationError: there is no token, the PIN is wrong or would block the card, or it is another user's card.
        Exception: of krb5.
    """
    import krb5

    tickets = MemoryTickets(krb5.init_context())
    request = _Request(credentials)
    try:
        with _one_at_a_time:
            request.send(principal, tickets.ccache, enterprise=enterprise)
    except BaseException:
        tickets.close()
        raise
    return tickets


class _Request:
    """One attempt to get a ticket."""

    def __init__(self, credentials: CertificateCredentials) -> None:
        self._credentials = credentials
        self._krb5 = _library()
        self._context = c_void_p()
        self._asked = self._blocked = False
        self._flags = 0

    def send(self, principal: str, cache: str, *, enterprise: bool) -> None:
        """Fill the cache."""
        krb5, credentials = self._krb5, self._credentials
        client, options, into = c_void_p(), c_void_p(), c_void_p()
        responder = _Responder(self._respond)  # alive as long as libkrb5 may call it
        granted = ctypes.create_string_buffer(_CREDS)
        self._check(krb5.krb5_init_context(byref(self._context)))
        context = self._context
        try:
            flags = _ENTERPRISE if enterprise else 0
            self._check(krb5.krb5_parse_name_flags(context, principal.encode(), flags, byref(client)))
            self._check(krb5.krb5_get_init_creds_opt_alloc(context, byref(options)))
            krb5.krb5_get_init_creds_opt_set_canonicalize(options, 1)
            krb5.krb5_get_init_creds_opt_set_forwardable(options, 0)
            self._attribute(options, "X509_user_identity", credentials.identity)
            if credentials.anchors is not None:
                self._attribute(options, "X509_anchors", credentials.anchors)
            self._check(krb5.krb5_get_init_creds_opt_set_responder(context, options, responder, None))
            self._check(krb5.krb5_cc_resolve(context, cache.encode(), byref(into)))
            self._check(krb5.krb5_get_init_creds_opt_set_out_ccache(context, options, into))
            code = krb5.krb5_get_init_creds_password(context, granted, client, None, None, None, 0, None, options)
            if code:
                self._refused(code)
            krb5.krb5_free_cred_contents(context, granted)
        finally:
            if into:
                krb5.krb5_cc_close(context, into)
            krb5.krb5_get_init_creds_opt_free(context, options)
            krb5.krb5_free_principal(context, client)
            krb5.krb5_free_context(context)

    def _attribute(self, options: c_void_p, name: str, value: str) -> None:
        self._check(self._krb5.krb5_get_init_creds_opt_set_pa(self._context, options, name.encode(), value.encode()))

    def _respond(self, context: int, _data: int, question: int) -> int:
        """Answer libkrb5, which asks for the PIN of each identity: that is one. Raises nothing: C is the caller."""
        challenge = POINTER(_Challenge)()
        code: int = self._krb5.krb5_responder_pkinit_get_challenge(context, question, byref(challenge))
        if code or not challenge:
            return code
        try:
            identity = challenge.contents.identities[0]
            if not identity:
                return 0
            self._asked = True
            self._flags = int(identity.contents.token_flags)
            pin = self._credentials.pin
            if self._flags & (_LOCKED | _FINAL_TRY) or pin is None:
                return _CANCELLED
            return int(
                self._krb5.krb5_responder_pkinit_set_answer(
                    context, question, identity.contents.identity, pin.reveal().encode("utf-8", "replace")
                )
            )
        finally:
            self._krb5.krb5_responder_pkinit_challenge_free(context, question, challenge)

    def _check(self, code: int) -> None:
        if code:
            raise self._error(code)

    def _error(self, code: int) -> _Krb5Error:
        message = self._krb5.krb5_get_error_message(self._context, code)
        text = ctypes.string_at(message).decode("utf-8", "replace")
        self._krb5.krb5_free_error_message(self._context, message)
        return _Krb5Error(code, text)

    def _refused(self, code: int) -> NoReturn:
        """Say whose fault it was: libkrb5 has one code for all that went wrong on this side."""
        error = self._error(code)
        _, _, reason = str(error).rpartition("Pre-authentication failed: ")
        token = self._credentials.is_token
        what = "smart card" if token else "key file"
        if self._flags & _LOCKED:
            raise _failure("the smart card is blocked", _S.SEC_E_LOGON_DENIED, _N.STATUS_SMARTCARD_CARD_BLOCKED)
        if self._flags & _FINAL_TRY:
            raise _failure(
                "one more wrong PIN blocks the smart card, so it was not tried",
                _S.SEC_E_LOGON_DENIED,
                _N.STATUS_SMARTCARD_WRONG_PIN,
                "Give the right PIN to the card's own program, which resets the counter, and log on again.",
            )
        if code == _CANCELLED:
            raise _failure(
                f"the {what} asks for a PIN, and none was given",
                _S.SEC_E_NO_CREDENTIALS,
                _N.STATUS_SMARTCARD_CARD_NOT_AUTHENTICATED,
            )
        if code in _REFUSED:
            raise _failure(
                f"the KDC does not accept the certificate: {error}",
                _S.SEC_E_PKINIT_CLIENT_FAILURE,
                _N.STATUS_PKINIT_CLIENT_FAILURE,
            )
        if code not in (_PREAUTH_FAILED, _IO_ERROR):
            raise error
        if "own certificate" in reason:
            expired = "expired" in reason
            raise _failure(
                f"the certificate of the user is not accepted here: {reason}",
                _S.SEC_E_SMARTCARD_CERT_EXPIRED if expired else _S.SEC_E_PKINIT_CLIENT_FAILURE,
                _N.STATUS_SMARTCARD_CERT_EXPIRED if expired else _N.STATUS_PKINIT_CLIENT_FAILURE,
                None if expired else "Name the authority that issued it: pkinit_anchors in krb5.conf, or the anchors.",
            )
        if "received certificate" in reason or "verify" in reason.lower():
            raise _failure(
                f"the certificate of the KDC is not trusted: {reason}",
                _S.SEC_E_ISSUING_CA_UNTRUSTED_KDC,
                None,
                "Name the authority that issued it: pkinit_anchors in krb5.conf, or the anchors.",
            )
        if self._asked:
            raise _failure(
                "the PIN is wrong" if token else "the pass phrase of the key file is wrong",
                _S.SEC_E_LOGON_DENIED,
                _N.STATUS_SMARTCARD_WRONG_PIN if token else None,
                None if token else "Try it with openssl, which shows the same key.",
            )
        if token and code == _PREAUTH_FAILED and "output error" not in reason:
            raise _failure(
                "no smart card was found: no PKCS#11 module of this name, or no token or certificate that fits",
                _S.SEC_E_NO_CREDENTIALS,
                _N.STATUS_SMARTCARD_NO_CARD,
                "Compare the identity with what pkcs11-tool --module MODULE --list-objects shows.",
            )
        if "output error" in reason:
            raise _failure(
                "the KDC, or libkrb5 here, does not do PKINIT",
                _S.SEC_E_NO_PA_DATA,
                None,
                "Install MIT's plugin (krb5-pkinit), and have a certificate made for the KDC.",
            )
        raise _failure(f"the certificate cannot be used: {reason}", _S.SEC_E_NO_CREDENTIALS, None, None)


def _failure(
    what: str, status: SecurityStatus, ntstatus: NTStatus | None, advice: str | None = None
) -> AuthenticationError:
    return failure(f"logging on with a certificate: {what}", status, ntstatus, advice=advice)

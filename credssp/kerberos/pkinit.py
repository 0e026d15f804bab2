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
from ctypes import POINTER, byref, c_char_p, c_int32, c_void_p
from typing import Final, NoReturn

from credssp.credentials import CertificateCredentials
from credssp.errors import AuthenticationError
from credssp.kerberos import as_exchange
from credssp.kerberos.as_exchange import ASExchange, Krb5Error
from credssp.kerberos.gss_errors import failure
from credssp.kerberos.tickets import MemoryTickets, fill_cache
from credssp.secret import private
from credssp.status import NTStatus, SecurityStatus

__all__ = ["certificate_tickets"]

_S = SecurityStatus
_N = NTStatus

_FINAL_TRY: Final = 2  # KRB5_RESPONDER_PKINIT_FLAGS_TOKEN_USER_PIN_FINAL_TRY
_LOCKED: Final = 4  # KRB5_RESPONDER_PKINIT_FLAGS_TOKEN_USER_PIN_LOCKED
_PREAUTH_FAILED: Final = -1765328174  # KRB5_PREAUTH_FAILED: no way of preauthentication led anywhere
_REFUSED: Final = (-1765328360, -1765328353)
"""KRB5KDC_ERR_PREAUTH_FAILED, KRB5KRB_AP_ERR_BAD_INTEGRITY: what Heimdal says of a certificate of another authority."""
_IO_ERROR: Final = 5
_CANCELLED: Final = 125  # ECANCELED, which the responder below returns

_one_at_a_time = threading.Lock()
"""The plugin initialises the PKCS#11 module for each login and finalises it afterwards, for the whole process."""


class _Identity(ctypes.Structure):
    _fields_ = (("identity", c_char_p), ("token_flags", c_int32))


class _Challenge(ctypes.Structure):
    _fields_ = (("identities", POINTER(POINTER(_Identity))),)


@functools.cache
def _library() -> ctypes.CDLL:
    library = as_exchange.library()
    if library is None:
        raise failure("logging on with a certificate needs MIT's libkrb5.so.3", _S.SEC_E_SECPKG_NOT_FOUND)
    for name, arguments in (
        ("get_challenge", [c_void_p, c_void_p, POINTER(POINTER(_Challenge))]),
        ("set_answer", [c_void_p, c_void_p, c_char_p, c_char_p]),
        ("challenge_free", [c_void_p, c_void_p, POINTER(_Challenge)]),
    ):
        function = getattr(library, f"krb5_responder_pkinit_{name}")
        function.argtypes = arguments
        function.restype = None if name == "challenge_free" else c_int32
    return library


@private
def certificate_tickets(
    principal: str, credentials: CertificateCredentials, *, enterprise: bool = False, workstation: str = ""
) -> MemoryTickets:
    """Get a ticket-granting ticket with a certificate, into a credential cache in memory.

    Args:
        principal: as for `credssp.kerberos.tickets.password_tickets`.
        credentials: the certificate, and the PIN where it needs one.
        enterprise: likewise.
        workstation: likewise.

    Raises:
        AuthenticationError: there is no token, the PIN is wrong or would block the card, or it is another user's card.
        Exception: of krb5.
    """
    return _Request(credentials).send(principal, enterprise=enterprise, workstation=workstation)


class _Request:
    """One attempt to get a ticket."""

    def __init__(self, credentials: CertificateCredentials) -> None:
        self._credentials = credentials
        self._krb5 = _library()
        self._asked = False
        self._flags = 0

    def send(self, principal: str, *, enterprise: bool, workstation: str) -> MemoryTickets:
        credentials = self._credentials
        with _one_at_a_time, ASExchange(self._krb5, principal, enterprise=enterprise) as exchange:
            exchange.set_attribute("X509_user_identity", credentials.identity)
            if credentials.anchors is not None:
                exchange.set_attribute("X509_anchors", credentials.anchors)
            exchange.set_responder(self._respond)
            try:
                return fill_cache(exchange, workstation=workstation)
            except Krb5Error as error:
                self._refused(error)

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

    def _refused(self, error: Krb5Error) -> NoReturn:
        """Say whose fault it was: libkrb5 has one code for all that went wrong on this side."""
        code = error.err_code
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

"""Getting a ticket-granting ticket from a KDC (the AS exchange, RFC 4120 3.1), by MIT's libkrb5 through `ctypes`.

The binding that the rest of this package uses, pykrb5, can do that too, but not all of it: of what a KDC says when it
refuses, it gives the code alone, and for Active Directory a locked, a disabled and an expired account have the same
one; for the PIN of a smart card it has only prompters, and with one of those the process ends (pykrb5 0.10).

The password is sent once. libkrb5's simplest function tries a wrong one again with the primary KDC where krb5.conf
names one, and then it counts twice; the functions used here leave that out.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_uint, c_uint32, c_void_p
from types import TracebackType
from typing import Any, Final

from credssp.secret import Secret, private_methods

__all__ = ["ASExchange", "Krb5Error", "Responder", "library"]

_LIBRARY: Final = "libkrb5.so.3"
_ENTERPRISE: Final = 4  # KRB5_PRINCIPAL_PARSE_ENTERPRISE
_NETBIOS: Final = 20  # ADDRTYPE_NETBIOS (RFC 4120 7.5.3)
_NETBIOS_SIZE: Final = 16  # filled with spaces ([MS-KILE] 3.2.5.2)
_MAX_E_DATA: Final = 1 << 16  # what a KDC of Active Directory sends has less than 200 bytes


class _Data(ctypes.Structure):
    _fields_ = (("magic", c_int32), ("length", c_uint), ("data", c_void_p))


class _Error(ctypes.Structure):
    """krb5_error: a KRB-ERROR (RFC 4120 5.9.1) as it was received."""

    _fields_ = (
        ("magic", c_int32),
        *((name, c_int32) for name in ("ctime", "cusec", "susec", "stime")),
        ("error", c_uint32),
        ("client", c_void_p),
        ("server", c_void_p),
        ("text", _Data),
        ("e_data", _Data),
    )


class _Address(ctypes.Structure):
    _fields_ = (("magic", c_int32), ("addrtype", c_int32), ("length", c_uint), ("contents", c_char_p))


_Addresses: Final = POINTER(_Address) * 2  # the last one stays null

Responder: Final = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p)

_FUNCTIONS: Final[dict[str, list[object]]] = {
    "init_context": [POINTER(c_void_p)],
    "parse_name_flags": [c_void_p, c_char_p, c_int, POINTER(c_void_p)],
    "get_init_creds_opt_alloc": [c_void_p, POINTER(c_void_p)],
    "get_init_creds_opt_set_pa": [c_void_p, c_void_p, c_char_p, c_char_p],
    "get_init_creds_opt_set_responder": [c_void_p, c_void_p, Responder, c_void_p],
    "get_init_creds_opt_set_out_ccache": [c_void_p, c_void_p, c_void_p],
    "cc_resolve": [c_void_p, c_char_p, POINTER(c_void_p)],
    "cc_close": [c_void_p, c_void_p],
    "kt_resolve": [c_void_p, c_char_p, POINTER(c_void_p)],
    "kt_close": [c_void_p, c_void_p],
    "init_creds_init": [c_void_p, c_void_p, c_void_p, c_void_p, c_int32, c_void_p, POINTER(c_void_p)],
    "init_creds_set_password": [c_void_p, c_void_p, c_char_p],
    "init_creds_set_keytab": [c_void_p, c_void_p, c_void_p],
    "init_creds_get": [c_void_p, c_void_p],
    "init_creds_get_error": [c_void_p, c_void_p, POINTER(POINTER(_Error))],
}
_PROCEDURES: Final[dict[str, list[object]]] = {
    "get_init_creds_opt_set_canonicalize": [c_void_p, c_int],
    "get_init_creds_opt_set_forwardable": [c_void_p, c_int],
    "get_init_creds_opt_set_address_list": [c_void_p, _Addresses],
    "get_init_creds_opt_free": [c_void_p, c_void_p],
    "init_creds_free": [c_void_p, c_void_p],
    "free_error": [c_void_p, POINTER(_Error)],
    "free_error_message": [c_void_p, c_void_p],
    "free_principal": [c_void_p, c_void_p],
    "free_context": [c_void_p],
}


@functools.cache
def library() -> ctypes.CDLL | None:
    """Load MIT's libkrb5, which GSS-API uses too: both see the same caches in memory. None where it is missing."""
    try:
        found = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    for name, arguments in (_FUNCTIONS | _PROCEDURES).items():
        function = getattr(found, f"krb5_{name}")
        function.argtypes = arguments
        function.restype = c_int32 if name in _FUNCTIONS else None
    found.krb5_get_error_message.argtypes = [c_void_p, c_int32]
    found.krb5_get_error_message.restype = c_void_p
    return found


class Krb5Error(Exception):
    """What libkrb5 says, in the form that `credssp.kerberos.gss_errors` takes.

    Attributes:
        err_code: of libkrb5.
        e_data: of the KDC's KRB-ERROR; empty where there is none.
    """

    def __init__(self, err_code: int, text: str, e_data: bytes = b"") -> None:
        super().__init__(text)
        self.err_code = err_code
        self.e_data = e_data


@private_methods("get")
class ASExchange:
    """One request for a ticket-granting ticket. A context manager, which frees what libkrb5 has of it.

    Args:
        krb5: the `library`.
        principal: ``alice`` or ``alice@EXAMPLE.TEST``.
        enterprise: whether `principal` is all of an NT-ENTERPRISE name (RFC 6806 5) in the default realm.

    Raises:
        Krb5Error: libkrb5 refuses something; every method may raise it.
    """

    def __init__(self, krb5: ctypes.CDLL, principal: str, *, enterprise: bool = False) -> None:
        self._krb5 = krb5
        self._context, self._client, self._options = c_void_p(), c_void_p(), c_void_p()
        self._alive: list[Any] = []  # what libkrb5 points to
        try:
            self._check(krb5.krb5_init_context(byref(self._context)))
            flags = _ENTERPRISE if enterprise else 0
            name = principal.encode()
            self._check(krb5.krb5_parse_name_flags(self._context, name, flags, byref(self._client)))
            self._check(krb5.krb5_get_init_creds_opt_alloc(self._context, byref(self._options)))
        except BaseException:
            self.close()
            raise
        krb5.krb5_get_init_creds_opt_set_canonicalize(self._options, 1)
        krb5.krb5_get_init_creds_opt_set_forwardable(self._options, 0)

    def __enter__(self) -> ASExchange:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free everything; nothing else may be called afterwards."""
        if self._context:
            self._krb5.krb5_get_init_creds_opt_free(self._context, self._options)
            self._krb5.krb5_free_principal(self._context, self._client)
            self._krb5.krb5_free_context(self._context)
            self._context = c_void_p()

    def set_attribute(self, name: str, value: str) -> None:
        """Set an option of a way of preauthentication, such as ``X509_anchors``."""
        attribute = (name.encode(), value.encode())
        self._check(self._krb5.krb5_get_init_creds_opt_set_pa(self._context, self._options, *attribute))

    def set_responder(self, function: Any) -> None:
        """Answer libkrb5's questions with a function of three addresses that returns a code (see `Responder`)."""
        responder = Responder(function)
        self._alive.append(responder)
        self._check(self._krb5.krb5_get_init_creds_opt_set_responder(self._context, self._options, responder, None))

    def set_workstation(self, name: str) -> None:
        """Tell the KDC this machine's NetBIOS name, as Windows does: an account may have a list of those it may use."""
        contents = name.upper().encode().ljust(_NETBIOS_SIZE)
        address = _Address(0, _NETBIOS, len(contents), contents)
        addresses = _Addresses(ctypes.pointer(address))
        self._alive.append((address, addresses))
        self._krb5.krb5_get_init_creds_opt_set_address_list(self._options, addresses)

    def get(self, cache: str, *, password: Secret[bytes] | None = None, keytab: str | None = None) -> None:
        """Ask the KDC. May block for as long as libkrb5 waits for one.

        Args:
            cache: ``TYPE:residual`` of the credential cache that gets the ticket.
            password: proves who the client is, if that is a password.
            keytab: ``TYPE:residual`` or a path, if it is a key.
        """
        krb5, context = self._krb5, self._context
        into, keys, exchange = c_void_p(), c_void_p(), c_void_p()
        try:
            self._check(krb5.krb5_cc_resolve(context, cache.encode(), byref(into)))
            self._check(krb5.krb5_get_init_creds_opt_set_out_ccache(context, self._options, into))
            start = (context, self._client, None, None, 0, self._options, byref(exchange))
            self._check(krb5.krb5_init_creds_init(*start))
            if password is not None:
                self._check(krb5.krb5_init_creds_set_password(context, exchange, password.reveal()))
            if keytab is not None:
                self._check(krb5.krb5_kt_resolve(context, keytab.encode(), byref(keys)))
                self._check(krb5.krb5_init_creds_set_keytab(context, exchange, keys))
            code = krb5.krb5_init_creds_get(context, exchange)
            if code:
                raise self.error(code, self._e_data(exchange))
        finally:
            if exchange:
                krb5.krb5_init_creds_free(context, exchange)
            if keys:
                krb5.krb5_kt_close(context, keys)
            if into:
                krb5.krb5_cc_close(context, into)

    def _e_data(self, exchange: c_void_p) -> bytes:
        """Return what the KDC's last KRB-ERROR has besides its code."""
        received = POINTER(_Error)()
        if self._krb5.krb5_init_creds_get_error(self._context, exchange, byref(received)) or not received:
            return b""
        try:
            data = received.contents.e_data
            return ctypes.string_at(data.data, data.length) if data.data and data.length <= _MAX_E_DATA else b""
        finally:
            self._krb5.krb5_free_error(self._context, received)

    def _check(self, code: int) -> None:
        if code:
            raise self.error(code)

    def error(self, code: int, e_data: bytes = b"") -> Krb5Error:
        """Make the exception for a code, with libkrb5's text."""
        message = self._krb5.krb5_get_error_message(self._context, code)
        text = ctypes.string_at(message).decode("utf-8", "replace")
        self._krb5.krb5_free_error_message(self._context, message)
        return Krb5Error(code, text, e_data)

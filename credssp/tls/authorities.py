"""The authorities that a server names when it asks for a client certificate.

A client chooses its certificate by them (CertificateRequest, RFC 5246 section 7.4.4; certificate_authorities, RFC
8446 section 4.2.4). Python's ssl cannot set the list: a server says "any", and a client with a certificate of another
authority learns from an alert that it was the wrong one. OpenSSL has the function, and the first member of the
structure of an SSLContext is what it works on. So it is called through `ctypes`. Where anything is not as expected
(another Python, a newer one, no ctypes, functions that cannot be found) the list stays empty, as it was.
"""

from __future__ import annotations

import _ssl
import functools
import ssl
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import ctypes

__all__ = ["can_name_authorities", "name_authorities"]

_KNOWN: Final = ((3, 11), (3, 14))
"""Versions of CPython whose structure was looked at: PyObject_HEAD, then SSL_CTX *ctx."""

_LARGEST: Final = 0xC000
"""Bytes of certificates at most, whose names are less. The message has room for 64 KiB."""


class _OpenSSL(NamedTuple):
    """Functions of the OpenSSL that Python's ssl runs on."""

    add: ctypes._NamedFuncPointer
    decode: ctypes._NamedFuncPointer
    free: ctypes._NamedFuncPointer
    options: ctypes._NamedFuncPointer
    clear_errors: ctypes._NamedFuncPointer


@functools.cache
def _library() -> _OpenSSL | None:
    if sys.implementation.name != "cpython" or not _KNOWN[0] <= sys.version_info[:2] <= _KNOWN[1]:
        return None
    try:
        import ctypes

        library = ctypes.CDLL(_ssl.__file__)
        found = _OpenSSL(
            library.SSL_CTX_add_client_CA,
            library.d2i_X509,
            library.X509_free,
            library.SSL_CTX_get_options,
            library.ERR_clear_error,
        )
    except (ImportError, AttributeError, OSError, TypeError):  # no file: ssl is part of the interpreter
        return None
    pointer = ctypes.c_void_p
    found.add.argtypes, found.add.restype = [pointer, pointer], ctypes.c_int
    found.decode.argtypes = [pointer, ctypes.POINTER(ctypes.c_char_p), ctypes.c_long]
    found.decode.restype = pointer
    found.free.argtypes, found.free.restype = [pointer], None
    found.options.argtypes, found.options.restype = [pointer], ctypes.c_uint64
    found.clear_errors.argtypes, found.clear_errors.restype = [], None
    return found


def can_name_authorities() -> bool:
    """Whether servers can name their authorities on this Python."""
    return _library() is not None


def name_authorities(context: ssl.SSLContext) -> bool:
    """Let a server name the authorities that its context trusts; before its first connection.

    Returns:
        Whether it does so now.
    """
    openssl = _library()
    authorities = context.get_ca_certs(binary_form=True)
    # The real type: what stands in for an SSLContext has another structure.
    if openssl is None or not issubclass(type(context), _ssl._SSLContext) or sum(map(len, authorities)) > _LARGEST:
        return False
    import ctypes

    own = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if own is None or openssl.options(own) != context.options:
        return False
    named = True
    for authority in authorities:
        start = ctypes.c_char_p(authority)
        certificate = openssl.decode(None, ctypes.byref(start), len(authority))
        named = bool(certificate and openssl.add(own, certificate)) and named
        openssl.free(certificate)
    openssl.clear_errors()  # ssl would report what is left there
    return named

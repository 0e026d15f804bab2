"""libwbclient, as far as it is needed here (wbclient.h of Samba, interface 0.12 and later)."""

from __future__ import annotations

import ctypes as c
import ctypes.util
import functools
from typing import Any, Final

from credssp.errors import LocalProtocolError

__all__ = ["LEVEL_RESPONSE", "AuthError", "AuthInfo", "AuthParams", "DomainInfo", "InterfaceDetails", "Sid", "load"]

LEVEL_RESPONSE: Final = 3
_SUBAUTHORITIES: Final = 15


class Sid(c.Structure):
    """struct wbcDomainSid."""

    _fields_ = (
        ("revision", c.c_uint8),
        ("count", c.c_uint8),
        ("authority", c.c_uint8 * 6),
        ("subauthorities", c.c_uint32 * _SUBAUTHORITIES),
    )

    def __str__(self) -> str:
        parts = self.subauthorities[: min(self.count, _SUBAUTHORITIES)]
        return "-".join(map(str, ("S", self.revision, int.from_bytes(bytes(self.authority), "big"), *parts)))


class _SidAndAttributes(c.Structure):
    _fields_ = (("sid", Sid), ("attributes", c.c_uint32))


class _Response(c.Structure):
    _fields_ = (
        ("challenge", c.c_uint8 * 8),
        ("nt_length", c.c_uint32),
        ("nt_data", c.c_char_p),
        ("lm_length", c.c_uint32),
        ("lm_data", c.c_char_p),
    )


class _Hash(c.Structure):
    _fields_ = (("nt_hash", c.c_uint8 * 16), ("lm_hash", c.c_uint8 * 16))


class _Blob(c.Structure):
    _fields_ = (("data", c.c_char_p), ("length", c.c_size_t))


class _Password(c.Union):
    _fields_ = (("plaintext", c.c_char_p), ("hash", _Hash), ("response", _Response), ("pac", _Blob))


class AuthParams(c.Structure):
    """struct wbcAuthUserParams."""

    _fields_ = (
        ("account", c.c_char_p),
        ("domain", c.c_char_p),
        ("workstation", c.c_char_p),
        ("flags", c.c_uint32),
        ("parameter_control", c.c_uint32),
        ("level", c.c_int),
        ("password", _Password),
    )


class AuthInfo(c.Structure):
    """struct wbcAuthUserInfo."""

    _fields_ = (
        ("user_flags", c.c_uint32),
        *((name, c.c_char_p) for name in ("account", "upn", "full_name", "domain", "dns_domain")),
        ("acct_flags", c.c_uint32),
        ("session_key", c.c_uint8 * 16),
        ("lm_session_key", c.c_uint8 * 8),
        ("logon_count", c.c_uint16),
        ("bad_password_count", c.c_uint16),
        *((name, c.c_uint64) for name in ("logon", "logoff", "kickoff", "pass_last_set", "pass_can", "pass_must")),
        *((name, c.c_char_p) for name in ("logon_server", "logon_script", "profile", "home", "home_drive")),
        ("num_sids", c.c_uint32),
        ("sids", c.POINTER(_SidAndAttributes)),
    )


class AuthError(c.Structure):
    """struct wbcAuthErrorInfo."""

    _fields_ = (
        ("nt_status", c.c_uint32),
        ("nt_string", c.c_char_p),
        ("pam_error", c.c_int32),
        ("display", c.c_char_p),
        ("authoritative", c.c_uint8),
    )


class InterfaceDetails(c.Structure):
    """struct wbcInterfaceDetails."""

    _fields_ = (
        ("interface_version", c.c_uint32),
        ("winbind_version", c.c_char_p),
        ("separator", c.c_char),
        ("netbios_name", c.c_char_p),
        ("netbios_domain", c.c_char_p),
        ("dns_domain", c.c_char_p),
    )


class DomainInfo(c.Structure):
    """struct wbcDomainInfo."""

    _fields_ = (
        ("short_name", c.c_char_p),
        ("dns_name", c.c_char_p),
        ("sid", Sid),
        ("domain_flags", c.c_uint32),
        ("trust_flags", c.c_uint32),
        ("trust_type", c.c_uint32),
        ("trust_routing", c.c_char_p),
    )


@functools.cache
def load() -> Any:
    """Return the library.

    Raises:
        LocalProtocolError: it is not installed, or too old.
    """
    try:
        library = c.CDLL(ctypes.util.find_library("wbclient") or "libwbclient.so.0")
        library.wbcCtxCreate.restype = c.c_void_p
        library.wbcCtxFree.argtypes = [c.c_void_p]
        library.wbcFreeMemory.argtypes = [c.c_void_p]
        library.wbcErrorString.restype = c.c_char_p
        library.wbcCtxAuthenticateUserEx.argtypes = [
            c.c_void_p,
            c.POINTER(AuthParams),
            c.POINTER(c.POINTER(AuthInfo)),
            c.POINTER(c.POINTER(AuthError)),
        ]
        library.wbcCtxCheckTrustCredentials.argtypes = [c.c_void_p, c.c_char_p, c.POINTER(c.POINTER(AuthError))]
        library.wbcCtxInterfaceDetails.argtypes = [c.c_void_p, c.POINTER(c.POINTER(InterfaceDetails))]
        library.wbcCtxDomainInfo.argtypes = [c.c_void_p, c.c_char_p, c.POINTER(c.POINTER(DomainInfo))]
        library.wbcCtxLookupName.argtypes = [
            c.c_void_p,
            c.c_char_p,
            c.c_char_p,
            c.POINTER(Sid),
            c.POINTER(c.c_int),
        ]
        library.wbcCtxLookupSid.argtypes = [
            c.c_void_p,
            c.POINTER(Sid),
            c.POINTER(c.c_void_p),
            c.POINTER(c.c_void_p),
            c.POINTER(c.c_int),
        ]
        library.wbcCtxLookupUserSids.argtypes = [
            c.c_void_p,
            c.POINTER(Sid),
            c.c_bool,
            c.POINTER(c.c_uint32),
            c.POINTER(c.POINTER(Sid)),
        ]
    except (OSError, AttributeError):
        raise LocalProtocolError(
            "libwbclient of Samba 4.8 or later is needed, and cannot be loaded; its package is libwbclient0 in Debian, "
            "libwbclient in Fedora"
        ) from None
    return library

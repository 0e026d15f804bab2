"""SecPkgInfo of the packages whose tokens travel inside of others: Negotiate, NTLM, Kerberos."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from credssp.sspi import constants as c
from credssp.sspi.tables import SecPkgInfo

__all__ = ["KERBEROS", "NEGOTIATE", "NTLM", "PACKAGE_INFO"]

# As EnumerateSecurityPackages of Windows 10 lists them, without the bits that speak of Windows' own matters.
_COMMON: Final = (
    c.SECPKG_FLAG_INTEGRITY
    | c.SECPKG_FLAG_PRIVACY
    | c.SECPKG_FLAG_TOKEN_ONLY
    | c.SECPKG_FLAG_CONNECTION
    | c.SECPKG_FLAG_MULTI_REQUIRED
    | c.SECPKG_FLAG_IMPERSONATION
    | c.SECPKG_FLAG_ACCEPT_WIN32_NAME
    | c.SECPKG_FLAG_NEGOTIABLE
)
NTLM: Final = SecPkgInfo(_COMMON | c.SECPKG_FLAG_LOGON, 1, 10, 2888, c.NTLMSP_NAME, "NTLM Security Package")
KERBEROS: Final = SecPkgInfo(
    _COMMON
    | c.SECPKG_FLAG_MUTUAL_AUTH
    | c.SECPKG_FLAG_GSS_COMPATIBLE
    | c.SECPKG_FLAG_LOGON
    | c.SECPKG_FLAG_READONLY_WITH_CHECKSUM,
    1,
    16,
    48000,
    c.MICROSOFT_KERBEROS_NAME,
    "Microsoft Kerberos V1.0",
)
NEGOTIATE: Final = SecPkgInfo(
    _COMMON | c.SECPKG_FLAG_MUTUAL_AUTH | c.SECPKG_FLAG_GSS_COMPATIBLE | c.SECPKG_FLAG_EXTENDED_ERROR,
    1,
    9,
    48256,
    c.NEGOSSP_NAME,
    "Microsoft Package Negotiator",
)

PACKAGE_INFO: Final[Mapping[str, SecPkgInfo]] = MappingProxyType({"ntlm": NTLM, "kerberos": KERBEROS})
"""By the name that a mechanism gives itself: SECPKG_ATTR_NEGOTIATION_PACKAGE."""

"""The constants of pywin32's `sspicon`: those of `credssp.sspi` under the same names, signed as pywin32 has them."""

from __future__ import annotations

from credssp.sspi import attributes, buffers, constants
from credssp.sspi.compat.failures import signed
from credssp.sspi.compat.families import numbers
from credssp.status import SecurityStatus

_FAMILIES = (
    "ASC_",
    "CREDSSP_",
    "ISC_",
    "SCHANNEL_",
    "SCH_",
    "SECBUFFER_",
    "SECPKG_",
    "SECQOP_",
    "SECURITY_",
    "SP_PROT_",
)


def SEC_SUCCESS(Status: int) -> bool:  # noqa: N802, N803 - pywin32's names
    """Say whether a signed status is not a failure."""
    return Status >= 0


# Further names of sspi.h, schannel.h and security.h, for programs that look them up; no package here knows them.
_FURTHER = {
    "ISC_REQ_HTTP": 0x10000000,
    "ISSP_LEVEL": 32,
    "ISSP_MODE": 1,
    "SECPKG_ATTR_APP_DATA": 0x5E,
    "SECPKG_ATTR_AUTHENTICATION_ID": 20,
    "SECPKG_ATTR_CIPHER_STRENGTHS": 0x57,
    "SECPKG_ATTR_CREDENTIAL_NAME": 16,
    "SECPKG_ATTR_EAP_KEY_BLOCK": 0x5B,
    "SECPKG_ATTR_MAPPED_CRED_ATTR": 0x5C,
    "SECPKG_ATTR_PASSWORD_EXPIRY": 8,
    "SECPKG_ATTR_PROTO_INFO": 7,
    "SECPKG_ATTR_ROOT_STORE": 0x55,
    "SECPKG_ATTR_SESSION_INFO": 0x5D,
    "SECPKG_ATTR_SUPPORTED_ALGS": 0x56,
    "SECPKG_ATTR_SUPPORTED_PROTOCOLS": 0x58,
    "SECPKG_ATTR_USER_FLAGS": 11,
    "SECPKG_ATTR_USE_VALIDATED": 15,
    "SECPKG_CRED_RESERVED": 0xF0000000,
    "SECPKG_OPTIONS_PERMANENT": 1,
    "SECPKG_OPTIONS_TYPE_LSA": 1,
    "SECPKG_OPTIONS_TYPE_SSPI": 2,
    "SECPKG_OPTIONS_TYPE_UNKNOWN": 0,
    "SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION": 1,
    "SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_2": 2,
    "SEC_WINNT_AUTH_IDENTITY_ANSI": 1,
    "SEC_WINNT_AUTH_IDENTITY_MARSHALLED": 4,
    "SEC_WINNT_AUTH_IDENTITY_ONLY": 8,
    "SEC_WINNT_AUTH_IDENTITY_UNICODE": 2,
    "SEC_WINNT_AUTH_IDENTITY_VERSION": 0x200,
}

_found = (
    {name: signed(number) for name, number in _FURTHER.items()}
    | {
        name: signed(number)
        for family in _FAMILIES
        for name, number in numbers(family, constants, buffers, attributes).items()
    }
    | {name: signed(status) for name, status in SecurityStatus.__members__.items()}
)

__all__ = ["SEC_SUCCESS", *sorted(_found)]
globals().update(_found)

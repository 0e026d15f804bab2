"""The Sspi... functions for identities: what a dialog or a store hands on without looking inside.

Windows calls such an identity PSEC_WINNT_AUTH_IDENTITY_OPAQUE. Here it is one block of memory with a
SEC_WINNT_AUTH_IDENTITY_EX2, which can be wiped; it is accepted as pAuthData, and as pSpnegoCred of a `CredsspCred`.
"""

from __future__ import annotations

from dataclasses import dataclass

from credssp.secret import Secret
from credssp.sspi.auth_data import OpaqueIdentity, SecWinntAuthIdentity
from credssp.sspi.buffers import ContextBuffer
from credssp.sspi.errors import bad_handle, refuse
from credssp.sspi.packed import unpack_auth_identity_ex2
from credssp.status import SecurityStatus

__all__ = [
    "AuthIdentityStrings",
    "sspi_copy_auth_identity",
    "sspi_encode_auth_identity_as_strings",
    "sspi_encode_strings_as_auth_identity",
    "sspi_free_auth_identity",
    "sspi_marshal_auth_identity",
    "sspi_unmarshal_auth_identity",
    "sspi_zero_auth_identity",
]


@dataclass(frozen=True, slots=True)
class AuthIdentityStrings:
    """What SspiEncodeAuthIdentityAsStrings returns.

    Attributes:
        user_name: ppszUserName; empty where the identity names none.
        domain_name: ppszDomainName; empty where it names none.
        packed_credentials_string: ppszPackedCredentialsString, the password.
    """

    user_name: str
    domain_name: str
    packed_credentials_string: Secret[str]


def sspi_encode_strings_as_auth_identity(
    user_name: str | None, domain_name: str | None = None, packed_credentials_string: str | Secret[str] | None = None
) -> OpaqueIdentity:
    """SspiEncodeStringsAsAuthIdentity.

    Args:
        user_name: pszUserName; None for the default credentials.
        domain_name: pszDomainName.
        packed_credentials_string: pszPackedCredentialsString, the password.

    Raises:
        SSPIError: SEC_E_CANNOT_PACK, a string is too long.
    """
    for name, value in (("pszUserName", user_name), ("pszDomainName", domain_name)):
        if value is not None and not isinstance(value, str):
            raise refuse(name, "a str, or None", SecurityStatus.SEC_E_INVALID_PARAMETER)
    password = Secret("" if packed_credentials_string is None else packed_credentials_string)
    if not isinstance(password.reveal(), str):
        raise refuse("pszPackedCredentialsString", "a str, or None", SecurityStatus.SEC_E_INVALID_PARAMETER)
    return OpaqueIdentity.of(SecWinntAuthIdentity(user_name, domain_name or "", password))


def sspi_encode_auth_identity_as_strings(identity: OpaqueIdentity | SecWinntAuthIdentity) -> AuthIdentityStrings:
    """SspiEncodeAuthIdentityAsStrings.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, it is not an identity, or was wiped.
    """
    credentials, _ = unpack_auth_identity_ex2(_open(identity).octets())
    return AuthIdentityStrings(credentials.username, credentials.domain, credentials.password)


def sspi_marshal_auth_identity(identity: OpaqueIdentity | SecWinntAuthIdentity) -> ContextBuffer:
    """SspiMarshalAuthIdentity: return the identity as bytes, a SEC_WINNT_AUTH_IDENTITY_EX2.

    They hold the password in clear: store them encrypted, and give them back with `free_context_buffer`, which wipes.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, it is not an identity, or was wiped.
    """
    return ContextBuffer(_open(identity).octets())


def sspi_unmarshal_auth_identity(auth_identity: bytes | bytearray) -> OpaqueIdentity:
    """SspiUnmarshalAuthIdentity.

    Args:
        auth_identity: AuthIdentityByteArray.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is not what `sspi_marshal_auth_identity` returns.
    """
    unpack_auth_identity_ex2(auth_identity)
    return OpaqueIdentity(auth_identity)


def sspi_copy_auth_identity(identity: OpaqueIdentity | SecWinntAuthIdentity) -> OpaqueIdentity:
    """SspiCopyAuthIdentity: return a copy, which is wiped by itself.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, it is not an identity, or was wiped.
    """
    return OpaqueIdentity(_open(identity).octets())


def sspi_zero_auth_identity(identity: OpaqueIdentity) -> None:
    """SspiZeroAuthIdentity: fill the memory of an identity with zeros; it stands for no one then.

    Credentials that were acquired with it keep what they need.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, it is not an identity.
    """
    if not isinstance(identity, OpaqueIdentity):
        raise _wrong(identity)
    identity.wipe()


def sspi_free_auth_identity(identity: OpaqueIdentity) -> None:
    """SspiFreeAuthIdentity: the same, when it is not needed any more.

    Raises:
        SSPIError: SEC_E_INVALID_HANDLE, it is not an identity.
    """
    sspi_zero_auth_identity(identity)


def _open(identity: object) -> OpaqueIdentity:
    if isinstance(identity, SecWinntAuthIdentity):
        return OpaqueIdentity.of(identity)
    if not isinstance(identity, OpaqueIdentity):
        raise _wrong(identity)
    if identity.wiped:
        raise bad_handle("AuthIdentity", "this identity was wiped")
    return identity


def _wrong(identity: object) -> Exception:
    return bad_handle("AuthIdentity", f"an OpaqueIdentity belongs here, not a {type(identity).__name__}")

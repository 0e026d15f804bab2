"""pAuthData of AcquireCredentialsHandle: identities, TLS settings, and CREDSSP_CRED, which has both (credssp.h)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from os import PathLike
from typing import NoReturn, TypeAlias

from credssp.account import AccountStore
from credssp.credentials import (
    CCacheCredentials,
    CertificateCredentials,
    KeytabCredentials,
    NTHashCredentials,
    PasswordCredentials,
    RemoteGuardCredentials,
    SmartCardCredentials,
)
from credssp.policy import CredentialSource
from credssp.secret import Secret
from credssp.sspi.errors import bad_auth_data, refuse
from credssp.sspi.packed import pack_auth_identity_ex2, unpack_auth_identity_ex2
from credssp.status import SecurityStatus
from credssp.tls.certificate import ServerCertificate

__all__ = [
    "CredsspCred",
    "CredsspCredEx",
    "CredsspSubmitType",
    "Identity",
    "OpaqueIdentity",
    "SchannelCred",
    "SecWinntAuthIdentity",
]


class CredsspSubmitType(enum.IntEnum):
    """CREDSPP_SUBMIT_TYPE (the double P is the header's): which members of CREDSSP_CRED count."""

    CREDSSP_PASSWORD_CREDS = 2
    """CredsspPasswordCreds: `CredsspCred.spnego_cred`, a SEC_WINNT_AUTH_IDENTITY."""
    CREDSSP_SCHANNEL_CREDS = 4
    """CredsspSchannelCreds: `CredsspCred.schannel_cred`."""
    CREDSSP_CERTIFICATE_CREDS = 13
    """CredsspCertificateCreds: `CredsspCred.spnego_cred`, a smart card (KERB_CERTIFICATE_LOGON)."""
    CREDSSP_SUBMIT_BUFFER_BOTH = 50
    """CredsspSubmitBufferBoth: both members."""
    CREDSSP_SUBMIT_BUFFER_BOTH_OLD = 51
    """CredsspSubmitBufferBothOld: both members, as mstsc says it."""
    CREDSSP_CRED_EX = 100
    """CredsspCredEx: the structure is a `CredsspCredEx`."""


@dataclass(frozen=True, slots=True)
class SecWinntAuthIdentity:
    """SEC_WINNT_AUTH_IDENTITY(_EX): user, domain and password.

    Attributes:
        user: User; ``DOMAIN\\user`` is split, a UPN stays whole. None for the default credentials, which
            package_list may restrict.
        domain: Domain.
        password: Password; a plain `str` is boxed. An NT hash (`bytes`, 16 bytes) logs on but cannot be delegated.
        package_list: PackageList: ``ntlm`` or ``kerberos`` for that mechanism alone, ``!ntlm`` and ``!kerberos`` for
            the other one, several separated by commas; empty to negotiate. With ``ntlm`` alone the Negotiate package
            sends NTLM without SPNEGO.
    """

    user: str | None
    domain: str
    password: Secret[str] | Secret[bytes]
    package_list: str

    def __init__(
        self,
        user: str | None,
        domain: str = "",
        password: str | bytes | Secret[str] | Secret[bytes] = "",
        package_list: str = "",
    ) -> None:
        object.__setattr__(self, "user", user)
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "password", Secret(password))
        object.__setattr__(self, "package_list", package_list)

    def credentials(self) -> PasswordCredentials | NTHashCredentials:
        """Return what the contexts take.

        Raises:
            LocalProtocolError: an invalid NT hash.
        """
        secret = self.password.reveal()
        if isinstance(secret, bytes):
            return NTHashCredentials(self.user or "", secret, domain=self.domain)
        if not self.user:  # nobody may be meant to log on; the context says so
            return PasswordCredentials.received("", Secret(secret), self.domain)
        return PasswordCredentials(self.user, secret, domain=self.domain)


class OpaqueIdentity:
    """PSEC_WINNT_AUTH_IDENTITY_OPAQUE: an identity as one block of memory, which can be wiped.

    The functions of `credssp.sspi.auth_identity` make it and take it apart.

    Args:
        packed: a SEC_WINNT_AUTH_IDENTITY_EX2.

    Attributes:
        wiped: whether it stands for no one any more.
    """

    __slots__ = ("_memory", "wiped")

    def __init__(self, packed: bytes | bytearray) -> None:
        self._memory = bytearray(packed)
        self.wiped = False

    @classmethod
    def of(cls, identity: SecWinntAuthIdentity) -> OpaqueIdentity:
        """Return the same identity as one block.

        Raises:
            SSPIError: SEC_E_CANNOT_PACK, a string is too long, or there is an NT hash for a password.
        """
        secret = identity.password.reveal()
        if not isinstance(secret, str):
            raise refuse("AuthIdentity", "an NT hash cannot be packed", SecurityStatus.SEC_E_CANNOT_PACK)
        credentials = PasswordCredentials.received(identity.user or "", Secret(secret), identity.domain)
        return cls(pack_auth_identity_ex2(credentials, identity.package_list))

    def octets(self) -> bytes:
        """Return a copy of the block."""
        return bytes(self._memory)

    def wipe(self) -> None:
        """Fill the block with zeros."""
        self._memory[:] = bytes(len(self._memory))
        self.wiped = True

    def identity(self) -> SecWinntAuthIdentity:
        """Return the identity; one without a user, a domain and a password stands for the default credentials.

        Raises:
            SSPIError: SEC_E_UNKNOWN_CREDENTIALS, it was wiped.
        """
        if self.wiped:
            raise bad_auth_data("this identity was wiped")
        credentials, packages = unpack_auth_identity_ex2(self._memory)
        user = credentials.username if credentials.username or credentials.domain or credentials.password else None
        return SecWinntAuthIdentity(user, credentials.domain, credentials.password, packages)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{', wiped' if self.wiped else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an identity is handed on with sspi_marshal_auth_identity")


Certificate: TypeAlias = str | PathLike[str] | tuple[bytes, bytes] | ServerCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class SchannelCred:
    """SCHANNEL_CRED (version 4) or SCH_CREDENTIALS (version 5): the TLS side.

    Attributes:
        version: dwVersion.
        certificates: paCred: chain and key, as the path of a PEM file, a pair of PEM bytes or loaded. A server needs
            one (without any it makes its own); a client has it ready for servers that ask.
        root_store: hRootStore as PEM text: whom to trust. A client without it takes the system's store; a server takes
            it for client certificates (ASC_REQ_MUTUAL_AUTH).
        enabled_protocols: grbitEnabledProtocols, ``SP_PROT_...`` bits; 0 for TLS 1.2 and 1.3.
        ciphers: palgSupportedAlgs: an OpenSSL cipher string for TLS 1.2, or None.
        session_lifespan: dwSessionLifespan, milliseconds that TLS sessions are kept for resumption. 0, the default,
            keeps none (Windows: ten hours), since [MS-CSSP] 3.1.5 does not support resumption.
        flags: dwFlags, ``SCH_CRED_...`` bits; docs/reference/sspi.md says which are done and which refused.
            SCH_CRED_MANUAL_CRED_VALIDATION is the same as ISC_REQ_MANUAL_CRED_VALIDATION in every call.
    """

    version: int = 4
    certificates: tuple[Certificate, ...] = ()
    root_store: str | None = None
    enabled_protocols: int = 0
    ciphers: str | None = None
    session_lifespan: int = 0
    flags: int = 0


Identity: TypeAlias = (
    SecWinntAuthIdentity
    | OpaqueIdentity
    | SmartCardCredentials
    | CertificateCredentials
    | CCacheCredentials
    | KeytabCredentials
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredsspCred:
    """CREDSSP_CRED: authentication data for both halves.

    Attributes:
        type: Type; says which of the two members count.
        schannel_cred: pSchannelCred.
        spnego_cred: pSpnegoCred: an identity, a smart card, a certificate, Kerberos tickets, a keytab, or None for the
            default credentials.
        source: where the identity comes from, for the policy. Windows knows by itself; off Windows only the program
            can say that it took a password from a store (SAVED).
        accounts: on a server, who may log on; None for the accounts that the LSA was configured with.
    """

    type: CredsspSubmitType = CredsspSubmitType.CREDSSP_SUBMIT_BUFFER_BOTH
    schannel_cred: SchannelCred | None = None
    spnego_cred: Identity | None = None
    source: CredentialSource = CredentialSource.FRESH
    accounts: AccountStore | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredsspCredEx:
    """CREDSSP_CRED_EX, version 0.

    Attributes:
        version: Version, CREDSSP_CRED_EX_VERSION (0).
        flags: Flags, CREDSSP_FLAG_REDIRECT for Remote Credential Guard.
        cred: Cred.
        redirected: the logon buffers to send with CREDSSP_FLAG_REDIRECT. Windows gets them from its packages
            (SpGetRemoteCredGuardLogonBuffer).
    """

    version: int = 0
    flags: int = 0
    cred: CredsspCred = field(default_factory=CredsspCred)
    redirected: RemoteGuardCredentials | None = None

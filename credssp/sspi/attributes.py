"""SECPKG_ATTR_...: what can be asked of a context or a credential, one row for each.

A row says the number (sspi.h, schannel.h, credssp.h), which packages answer, and where the answer comes from; its
structure is the type of what `query_context_attributes` returns. A plain number is an attribute that no package here
answers. Most rows are answered by the LSA-mode half, from its context; `user_mode` names the packages whose user-mode
half does, from the session that protects messages.

The CredSSP page and the header disagree about SUBJECT_SECURITY_ATTRIBUTES (124 and 128); the header's number is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from credssp.credentials import DelegatedCredentials, PasswordCredentials, RemoteGuardCredentials
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import answers
from credssp.sspi import constants as c
from credssp.sspi.buffers import ContextBuffer
from credssp.sspi.errors import SSPIError, refuse, unsupported
from credssp.sspi.packages.inner_info import PACKAGE_INFO
from credssp.sspi.packed import pack_auth_identity_ex2, pack_logon
from credssp.sspi.structures import (
    CertContext,
    SecPkgContext_ClientCreds,
    SecPkgContext_Flags,
    SecPkgContext_Lifespan,
    SecPkgContext_Names,
    SecPkgContext_PackageInfo,
    SecPkgContext_SessionKey,
    SecPkgContext_Sizes,
    SecPkgCredentials_KdcProxySettings,
    SecPkgCredentials_Names,
)
from credssp.sspi.timestamps import timestamp
from credssp.status import SecurityStatus

if TYPE_CHECKING:
    from credssp.sspi.packages.inner import InnerContext
    from credssp.sspi.packages.lsa_mode import Credential, LsaContext
    from credssp.sspi.packages.stream_messages import StreamSession
    from credssp.sspi.packages.tls_context import TLSContext, TLSPackageCredential

__all__ = [
    "CREDSSP_SERVER_AUTH_CERTIFICATE",
    "CREDSSP_SERVER_AUTH_LOOPBACK",
    "CREDSSP_SERVER_AUTH_NEGOTIATE",
    "SECPKG_ATTR_ACCESS_TOKEN",
    "SECPKG_ATTR_AUTHORITY",
    "SECPKG_ATTR_CERT_TRUST_STATUS",
    "SECPKG_ATTR_CLIENT_SPECIFIED_TARGET",
    "SECPKG_ATTR_CONNECTION_INFO",
    "SECPKG_ATTR_CREDS",
    "SECPKG_ATTR_CREDS_2",
    "SECPKG_ATTR_C_ACCESS_TOKEN",
    "SECPKG_ATTR_C_FULL_ACCESS_TOKEN",
    "SECPKG_ATTR_C_FULL_IDENT_TOKEN",
    "SECPKG_ATTR_DCE_INFO",
    "SECPKG_ATTR_ENDPOINT_BINDINGS",
    "SECPKG_ATTR_FLAGS",
    "SECPKG_ATTR_ISSUER_LIST_EX",
    "SECPKG_ATTR_KEY_INFO",
    "SECPKG_ATTR_LIFESPAN",
    "SECPKG_ATTR_LOCAL_CERT_CONTEXT",
    "SECPKG_ATTR_NAMES",
    "SECPKG_ATTR_NATIVE_NAMES",
    "SECPKG_ATTR_NEGOTIATION_INFO",
    "SECPKG_ATTR_NEGOTIATION_PACKAGE",
    "SECPKG_ATTR_PACKAGE_INFO",
    "SECPKG_ATTR_REMOTE_CERT_CONTEXT",
    "SECPKG_ATTR_SERVER_AUTH_FLAGS",
    "SECPKG_ATTR_SESSION_KEY",
    "SECPKG_ATTR_SIZES",
    "SECPKG_ATTR_STREAM_SIZES",
    "SECPKG_ATTR_SUBJECT_SECURITY_ATTRIBUTES",
    "SECPKG_ATTR_TARGET",
    "SECPKG_ATTR_TARGET_INFORMATION",
    "SECPKG_ATTR_THUNK_ALL",
    "SECPKG_ATTR_UNIQUE_BINDINGS",
    "SECPKG_CRED_ATTR_CERT",
    "SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS",
    "SECPKG_CRED_ATTR_NAMES",
    "SECPKG_CRED_ATTR_SSI_PROVIDER",
]

_S = SecurityStatus

T = TypeVar("T")
F = TypeVar("F")


class MessageFacts(Protocol):
    """What knows the sizes of messages."""

    @property
    def message_sizes(self) -> SecPkgContext_Sizes:
        """Bytes of a token and around a message."""


class Packages(frozenset[str], Generic[F]):
    """Names of packages whose contexts (credentials, sessions) have the facts of the type F."""


class Attribute(int, Generic[T]):
    """A number of an attribute that is answered with a T.

    Attributes:
        of: the packages that answer.
        answer: makes the structure from the context, the credential, or the session of the user-mode half.
        client: for which role: True, False, or None for both.
        early: whether it is answered before the exchange is over.
        user_mode: the packages whose user-mode half answers.
    """

    def __new__(
        cls,
        number: int,
        of: Packages[F],
        answer: Callable[[F], T],
        *,
        client: bool | None = None,
        early: bool = False,
        user_mode: Iterable[str] = (),
    ) -> Attribute[T]:
        """Make a row."""
        self = super().__new__(cls, number)
        self.of, self.answer, self.client, self.early = of, answer, client, early
        self.user_mode = frozenset(user_mode)
        return self

    of: Packages[Any]
    answer: Callable[[Any], T]
    client: bool | None
    early: bool
    user_mode: frozenset[str]

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        # A copy is the number.
        return int, (int(self),)


_TLS: Final = (c.CREDSSP_NAME, c.SCHANNEL_NAME)
_INNER: Final = (c.NEGOSSP_NAME, c.NTLMSP_NAME, c.MICROSOFT_KERBEROS_NAME)
_EVERY: Final = (*_TLS, c.TS_SSP_NAME, *_INNER)

ALL: Final[Packages[LsaContext]] = Packages(_EVERY)
TLS: Final[Packages[TLSContext]] = Packages(_TLS)
INNER: Final[Packages[InnerContext]] = Packages(_INNER)
KEYED: Final[Packages[InnerContext | TLSContext]] = Packages((c.SCHANNEL_NAME, *_INNER))
LOGON: Final[Packages[LsaContext]] = Packages((c.CREDSSP_NAME, c.TS_SSP_NAME, *_INNER))
DELEGATION: Final[Packages[LsaContext]] = Packages((c.CREDSSP_NAME, c.TS_SSP_NAME))
MESSAGES: Final[Packages[MessageFacts]] = Packages(_EVERY)
STREAM: Final[Packages[StreamSession]] = Packages(_TLS)
CREDENTIALS: Final[Packages[Credential]] = Packages(_EVERY)
WITH_KERBEROS: Final[Packages[Credential]] = Packages((c.NEGOSSP_NAME, c.MICROSOFT_KERBEROS_NAME))
CERTIFICATES: Final[Packages[TLSPackageCredential]] = Packages(_TLS)

CREDSSP_SERVER_AUTH_NEGOTIATE: Final = 1
CREDSSP_SERVER_AUTH_CERTIFICATE: Final = 2
CREDSSP_SERVER_AUTH_LOOPBACK: Final = 4

SECPKG_ATTR_SIZES: Final = Attribute(0, MESSAGES, lambda x: x.message_sizes, user_mode=(*_TLS, *_INNER))
SECPKG_ATTR_NAMES: Final = Attribute(1, LOGON, lambda x: SecPkgContext_Names(x.user_name))
SECPKG_ATTR_LIFESPAN: Final = Attribute(
    2, ALL, lambda x: SecPkgContext_Lifespan(timestamp(x.opening.started), x.expiry)
)
SECPKG_ATTR_DCE_INFO: Final = Attribute(3, INNER, answers.dce_info)
SECPKG_ATTR_STREAM_SIZES: Final = Attribute(4, STREAM, lambda x: x.stream_sizes, user_mode=_TLS)
SECPKG_ATTR_KEY_INFO: Final = Attribute(5, KEYED, lambda x: x.key_info)
SECPKG_ATTR_AUTHORITY: Final = Attribute(6, INNER, answers.authority)
SECPKG_ATTR_SESSION_KEY: Final = Attribute(9, INNER, lambda x: SecPkgContext_SessionKey(ContextBuffer(x.session_key)))
SECPKG_ATTR_PACKAGE_INFO: Final = Attribute(10, ALL, lambda x: SecPkgContext_PackageInfo(x.package_info), early=True)
SECPKG_ATTR_NEGOTIATION_INFO: Final = Attribute(12, INNER, answers.negotiation_info, early=True)
SECPKG_ATTR_NATIVE_NAMES: Final = Attribute(13, INNER, answers.native_names)
SECPKG_ATTR_FLAGS: Final = Attribute(14, ALL, lambda x: SecPkgContext_Flags(x.granted))
SECPKG_ATTR_TARGET_INFORMATION: Final = 17
SECPKG_ATTR_ACCESS_TOKEN: Final = 18
SECPKG_ATTR_TARGET: Final = 19
SECPKG_ATTR_UNIQUE_BINDINGS: Final = Attribute(25, TLS, lambda x: x.unique_bindings)
SECPKG_ATTR_ENDPOINT_BINDINGS: Final = Attribute(26, TLS, lambda x: x.end_point_bindings)
SECPKG_ATTR_CLIENT_SPECIFIED_TARGET: Final = 27
SECPKG_ATTR_REMOTE_CERT_CONTEXT: Final = Attribute(0x53, TLS, lambda x: _present(x.peer_certificate))
SECPKG_ATTR_LOCAL_CERT_CONTEXT: Final = Attribute(0x54, TLS, lambda x: _present(x.own_certificate))
SECPKG_ATTR_ISSUER_LIST_EX: Final = Attribute(0x59, TLS, lambda x: x.issuer_list, early=True)
SECPKG_ATTR_CONNECTION_INFO: Final = Attribute(0x5A, TLS, lambda x: x.connection)
SECPKG_ATTR_SUBJECT_SECURITY_ATTRIBUTES: Final = 128

SECPKG_ATTR_C_ACCESS_TOKEN: Final = 0x80000012
SECPKG_ATTR_CREDS: Final = Attribute(0x80000080, DELEGATION, lambda x: _creds(x.delegated, ex2=True), client=False)
SECPKG_ATTR_NEGOTIATION_PACKAGE: Final = Attribute(
    0x80000081, LOGON, lambda x: SecPkgContext_PackageInfo(PACKAGE_INFO[x.mechanism_name])
)
SECPKG_ATTR_C_FULL_ACCESS_TOKEN: Final = 0x80000082
SECPKG_ATTR_SERVER_AUTH_FLAGS: Final = Attribute(
    0x80000083, DELEGATION, lambda x: _server_auth_flags(x.server_authentication), client=True
)
SECPKG_ATTR_CERT_TRUST_STATUS: Final = Attribute(0x80000084, TLS, lambda x: x.trust_status, client=True)
SECPKG_ATTR_C_FULL_IDENT_TOKEN: Final = 0x80000085
SECPKG_ATTR_CREDS_2: Final = Attribute(0x80000086, DELEGATION, lambda x: _creds(x.delegated, ex2=False), client=False)

SECPKG_ATTR_THUNK_ALL: Final = 0x10000
"""First entry of the ContextThunks: every attribute goes to the LSA-mode half."""

SECPKG_CRED_ATTR_NAMES: Final = Attribute(1, CREDENTIALS, lambda x: SecPkgCredentials_Names(x.user_name))
SECPKG_CRED_ATTR_SSI_PROVIDER: Final = 2
SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS: Final = Attribute(3, WITH_KERBEROS, lambda _: SecPkgCredentials_KdcProxySettings())
SECPKG_CRED_ATTR_CERT: Final = Attribute(4, CERTIFICATES, lambda x: x.certificate)


def _numbers(family: str) -> Mapping[int, Attribute[object] | None]:
    """Return the attributes of a family by their number, None for those that no package here answers."""
    return MappingProxyType(
        {
            int(number): number if isinstance(number, Attribute) else None
            for name, number in globals().items()
            if name.startswith(family) and number is not SECPKG_ATTR_THUNK_ALL
        }
    )


CONTEXT_ATTRIBUTES: Final = _numbers("SECPKG_ATTR_")
CREDENTIAL_ATTRIBUTES: Final = _numbers("SECPKG_CRED_ATTR_")


def row_of(
    rows: Mapping[int, Attribute[object] | None], attribute: object, package: str, *, user_mode: bool = False
) -> Attribute[object] | None:
    """Return the row of an attribute if the half of a package answers it."""
    row = rows.get(attribute) if isinstance(attribute, int) else None
    return row if row is not None and package in (row.user_mode if user_mode else row.of - row.user_mode) else None


def thunks(package: str) -> tuple[int, ...]:
    """Return the ContextThunks of a package: every attribute that its user-mode half does not answer."""
    return tuple(number for number, row in CONTEXT_ATTRIBUTES.items() if row is None or package not in row.user_mode)


def unknown(attribute: str) -> SSPIError:
    """Return the error for an attribute that a package does not answer."""
    return unsupported("ulAttribute", f"{attribute} is not known here")


def _present(certificate: bytes | None) -> CertContext:
    if certificate is None:
        raise refuse("ulAttribute", "there is no such certificate", _S.SEC_E_NO_CREDENTIALS)
    return CertContext(certificate)


def _server_auth_flags(server: ServerAuthentication) -> SecPkgContext_Flags:
    """Return the CREDSSP_SERVER_AUTH_... bits. NEGOTIATE says that the inner package authenticated the server."""
    flags = 0
    if server & (ServerAuthentication.NTLM | ServerAuthentication.KERBEROS):
        flags |= CREDSSP_SERVER_AUTH_NEGOTIATE
    if server & ServerAuthentication.CERTIFICATE:
        flags |= CREDSSP_SERVER_AUTH_CERTIFICATE
    return SecPkgContext_Flags(flags)


def _creds(credentials: DelegatedCredentials | None, *, ex2: bool) -> SecPkgContext_ClientCreds:
    """Pack delegated credentials, a password for `ex2` as SEC_WINNT_AUTH_IDENTITY_EX2.

    For Remote Credential Guard that is the KERB_TICKET_LOGON.
    """
    if credentials is None:
        raise refuse(
            "ulAttribute",
            "the client delegated no password and no PIN, or ASC_REQ_DELEGATE was not given",
            _S.SEC_E_NO_CREDENTIALS,
        )
    if isinstance(credentials, RemoteGuardCredentials):
        packed = bytearray(credentials.buffer.reveal())
    elif ex2 and isinstance(credentials, PasswordCredentials):
        packed = pack_auth_identity_ex2(credentials)
    else:
        packed = pack_logon(credentials)
    return SecPkgContext_ClientCreds(ContextBuffer(packed))

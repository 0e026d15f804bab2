"""The structures that answer QueryContextAttributes and QueryCredentialsAttributes (sspi.h, schannel.h, credssp.h)."""

from __future__ import annotations

from dataclasses import dataclass

from credssp.sspi.buffers import ContextBuffer
from credssp.sspi.tables import SecPkgInfo
from credssp.tls.trust import TrustError, TrustInfo

__all__ = [
    "CERT_TRUST_STATUS",
    "SCHANNEL_ALERT_TOKEN",
    "CertContext",
    "SecPkgContext_Authority",
    "SecPkgContext_Bindings",
    "SecPkgContext_ClientCreds",
    "SecPkgContext_ConnectionInfo",
    "SecPkgContext_DceInfo",
    "SecPkgContext_Flags",
    "SecPkgContext_IssuerListInfoEx",
    "SecPkgContext_KeyInfo",
    "SecPkgContext_Lifespan",
    "SecPkgContext_Names",
    "SecPkgContext_NativeNames",
    "SecPkgContext_NegotiationInfo",
    "SecPkgContext_PackageInfo",
    "SecPkgContext_SessionKey",
    "SecPkgContext_Sizes",
    "SecPkgContext_StreamSizes",
    "SecPkgCredentials_KdcProxySettings",
    "SecPkgCredentials_Names",
]


@dataclass(frozen=True, slots=True)
class SecPkgContext_Sizes:  # noqa: N801 - the header's name
    """SECPKG_ATTR_SIZES.

    Attributes:
        max_token: cbMaxToken, bytes of one token of the exchange at most.
        max_signature: cbMaxSignature, bytes of a MakeSignature; 0 where there is none.
        block_size: cbBlockSize, what messages are padded to.
        security_trailer: cbSecurityTrailer, bytes that EncryptMessage adds at most.
    """

    max_token: int
    max_signature: int
    block_size: int
    security_trailer: int


@dataclass(frozen=True, slots=True)
class SecPkgContext_StreamSizes:  # noqa: N801
    """SECPKG_ATTR_STREAM_SIZES.

    Attributes:
        header: cbHeader, size of the STREAM_HEADER buffer.
        trailer: cbTrailer, size of the STREAM_TRAILER buffer.
        maximum_message: cbMaximumMessage, size of the DATA buffer at most.
        buffers: cBuffers, 4.
        block_size: cbBlockSize, of the cipher.
    """

    header: int
    trailer: int
    maximum_message: int
    buffers: int
    block_size: int


@dataclass(frozen=True, slots=True)
class SecPkgContext_PackageInfo:  # noqa: N801
    """SECPKG_ATTR_PACKAGE_INFO and SECPKG_ATTR_NEGOTIATION_PACKAGE.

    Attributes:
        package_info: PackageInfo.
    """

    package_info: SecPkgInfo


@dataclass(frozen=True, slots=True)
class SecPkgContext_Names:  # noqa: N801
    """SECPKG_ATTR_NAMES.

    Attributes:
        user_name: sUserName, ``DOMAIN\\user``: on a server who logged on, on a client as whom.
    """

    user_name: str


@dataclass(frozen=True, slots=True)
class SecPkgContext_NativeNames:  # noqa: N801
    """SECPKG_ATTR_NATIVE_NAMES: both ends, as the mechanism names them.

    Attributes:
        client_name: sClientName, such as ``alice@LAB.TEST``.
        server_name: sServerName, such as ``HTTP/srv.lab.test``.
    """

    client_name: str
    server_name: str


@dataclass(frozen=True, slots=True)
class SecPkgContext_Authority:  # noqa: N801
    """SECPKG_ATTR_AUTHORITY.

    Attributes:
        authority_name: sAuthorityName, who vouches for the client: its domain or Kerberos realm.
    """

    authority_name: str


@dataclass(frozen=True, slots=True)
class SecPkgContext_DceInfo:  # noqa: N801
    """SECPKG_ATTR_DCE_INFO.

    Attributes:
        authz_svc: AuthzSvc, RPC_C_AUTHZ_NAME (1): the client is known by its name.
        pac: pPac, that name.
    """

    authz_svc: int
    pac: str


@dataclass(frozen=True, slots=True)
class SecPkgContext_KeyInfo:  # noqa: N801
    """SECPKG_ATTR_KEY_INFO: what protects messages.

    Attributes:
        signature_algorithm_name: sSignatureAlgorithmName.
        encrypt_algorithm_name: sEncryptAlgorithmName.
        key_size: KeySize, bits.
        signature_algorithm: SignatureAlgorithm, an ALG_ID; 0 where there is none.
        encrypt_algorithm: EncryptAlgorithm, an ALG_ID; 0 where there is none.
    """

    signature_algorithm_name: str
    encrypt_algorithm_name: str
    key_size: int
    signature_algorithm: int
    encrypt_algorithm: int


@dataclass(frozen=True, slots=True)
class SecPkgContext_NegotiationInfo:  # noqa: N801
    """SECPKG_ATTR_NEGOTIATION_INFO.

    Attributes:
        package_info: PackageInfo, the package that Negotiate chose; Negotiate itself where it has not chosen yet.
        negotiation_state: NegotiationState, ``SECPKG_NEGOTIATION_...``.
    """

    package_info: SecPkgInfo
    negotiation_state: int


@dataclass(frozen=True, slots=True)
class SecPkgCredentials_KdcProxySettings:  # noqa: N801
    """SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS.

    Attributes:
        proxy_server: ProxyServer, ``host:port:path``; empty for none.
        flags: Flags, KDC_PROXY_SETTINGS_FLAGS_FORCEPROXY (1) or 0.
        version: Version, 1.
    """

    proxy_server: str = ""
    flags: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class SecPkgCredentials_Names:  # noqa: N801
    """SECPKG_CRED_ATTR_NAMES.

    Attributes:
        user_name: sUserName; empty for a credential of a server.
    """

    user_name: str


@dataclass(frozen=True, slots=True)
class SecPkgContext_Lifespan:  # noqa: N801
    """SECPKG_ATTR_LIFESPAN; TimeStamps, 100 ns since 1601 in local time.

    Attributes:
        start: tsStart.
        expiry: tsExpiry.
    """

    start: int
    expiry: int


@dataclass(frozen=True, slots=True)
class SecPkgContext_Flags:  # noqa: N801
    """SECPKG_ATTR_FLAGS (the context's attributes) and SECPKG_ATTR_SERVER_AUTH_FLAGS (``CREDSSP_SERVER_AUTH_...``).

    Attributes:
        flags: Flags.
    """

    flags: int


@dataclass(frozen=True, slots=True)
class SecPkgContext_SessionKey:  # noqa: N801
    """SECPKG_ATTR_SESSION_KEY; give the memory back with `free_context_buffer`.

    Attributes:
        session_key: SessionKey.
    """

    session_key: ContextBuffer


@dataclass(frozen=True, slots=True)
class SecPkgContext_ClientCreds:  # noqa: N801
    """SECPKG_ATTR_CREDS and SECPKG_ATTR_CREDS_2; give the memory back with `free_context_buffer`, it holds a password.

    Attributes:
        auth_buffer: AuthBuffer. For CREDS a SEC_WINNT_AUTH_IDENTITY_EX2 (or a packed KERB_CERTIFICATE_LOGON), for
            CREDS_2 a packed KERB_INTERACTIVE_LOGON or KERB_CERTIFICATE_LOGON; see `credssp.sspi.packed`. With Remote
            Credential Guard a KERB_TICKET_LOGON for both; see `credssp.kerberos.remote_guard_buffers`.
    """

    auth_buffer: ContextBuffer

    @property
    def auth_buffer_len(self) -> int:
        """AuthBufferLen."""
        return len(self.auth_buffer)


@dataclass(frozen=True, slots=True)
class SecPkgContext_Bindings:  # noqa: N801
    """SECPKG_ATTR_UNIQUE_BINDINGS and SECPKG_ATTR_ENDPOINT_BINDINGS; give the memory back with `free_context_buffer`.

    Attributes:
        bindings: Bindings, a SEC_CHANNEL_BINDINGS: the contents of a SECBUFFER_CHANNEL_BINDINGS for another package.
    """

    bindings: ContextBuffer

    @property
    def bindings_length(self) -> int:
        """BindingsLength."""
        return len(self.bindings)


@dataclass(frozen=True, slots=True)
class SecPkgContext_ConnectionInfo:  # noqa: N801
    """SECPKG_ATTR_CONNECTION_INFO.

    Attributes:
        protocol: dwProtocol, one ``SP_PROT_...`` bit.
        cipher: aiCipher, an ALG_ID; 0 for ChaCha20, which has none.
        cipher_strength: dwCipherStrength, bits.
        hash: aiHash, an ALG_ID; 0 where the cipher authenticates by itself.
        hash_strength: dwHashStrength, bits.
        exchange: aiExch, an ALG_ID.
        exchange_strength: dwExchStrength, bits; 0, since OpenSSL in Python does not tell the group.
        suite: the cipher suite in OpenSSL's spelling (szCipherSuite of SECPKG_ATTR_CIPHER_INFO).
    """

    protocol: int
    cipher: int
    cipher_strength: int
    hash: int
    hash_strength: int
    exchange: int
    exchange_strength: int
    suite: str


@dataclass(frozen=True, slots=True)
class CertContext:
    """SECPKG_ATTR_REMOTE_CERT_CONTEXT and SECPKG_ATTR_LOCAL_CERT_CONTEXT: CERT_CONTEXT.

    Attributes:
        cert_encoded: pbCertEncoded, the certificate in DER.
    """

    cert_encoded: bytes


@dataclass(frozen=True, slots=True)
class SecPkgContext_IssuerListInfoEx:  # noqa: N801
    """SECPKG_ATTR_ISSUER_LIST_EX.

    Attributes:
        issuers: aIssuers, distinguished names (DER) of the authorities that the server takes; empty for any.
    """

    issuers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CERT_TRUST_STATUS:  # noqa: N801
    """SECPKG_ATTR_CERT_TRUST_STATUS.

    Attributes:
        error_status: dwErrorStatus.
        info_status: dwInfoStatus.
    """

    error_status: TrustError
    info_status: TrustInfo


@dataclass(frozen=True, slots=True)
class SCHANNEL_ALERT_TOKEN:  # noqa: N801
    """A TLS alert for ApplyControlToken; `pack` gives the contents of its TOKEN.

    Attributes:
        alert_type: dwAlertType, TLS1_ALERT_FATAL, or TLS1_ALERT_WARNING for TLS1_ALERT_CLOSE_NOTIFY.
        alert_number: dwAlertNumber, ``TLS1_ALERT_...`` (RFC 8446 section 6).
    """

    alert_type: int
    alert_number: int

    def pack(self) -> bytes:
        """Return the structure, with SCHANNEL_ALERT as dwTokenType."""
        return b"".join(number.to_bytes(4, "little") for number in (2, self.alert_type, self.alert_number))

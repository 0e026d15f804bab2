"""Credentials and contexts of the packages that speak TLS, in LSA mode."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.channel_bindings import ChannelBindings
from credssp.sspi import constants as c
from credssp.sspi.attributes import SECPKG_CRED_ATTR_CERT, unknown
from credssp.sspi.channel_bindings import pack_channel_bindings
from credssp.sspi.errors import unsupported
from credssp.sspi.packages.connection_info import connection_info
from credssp.sspi.packages.lsa_mode import EITHER_BINDINGS, Credential, LsaContext, Opening
from credssp.sspi.packages.session_cache import SessionCache
from credssp.sspi.packages.stream_messages import StreamSession
from credssp.sspi.packages.tls_settings import TLSCredential
from credssp.sspi.structures import (
    CERT_TRUST_STATUS,
    CertContext,
    SecPkgContext_Bindings,
    SecPkgContext_ConnectionInfo,
    SecPkgContext_IssuerListInfoEx,
    SecPkgContext_KeyInfo,
)
from credssp.sspi.tables import NO_EXPIRY
from credssp.sspi.timestamps import timestamp
from credssp.tls.certificate_request import CertificateRequest
from credssp.tls.channel import TLSSession
from credssp.tls.end_point import end_point_bindings
from credssp.tls.trust import expiry_of

__all__ = ["TLSContext", "TLSPackageCredential"]

# Granted at the end only, when it is known whether they hold.
_EARNED: Final = c.ISC_RET_MUTUAL_AUTH | c.ISC_RET_DELEGATE


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class TLSPackageCredential(Credential):
    """A credential of such a package.

    Attributes:
        tls: the TLS half.
        logon_id: the logon session it belongs to.
        resumable: TLS sessions to resume.
    """

    tls: TLSCredential
    logon_id: int
    resumable: SessionCache = field(init=False)

    def __post_init__(self) -> None:
        self.resumable = SessionCache(self.tls.lifespan)

    @property
    def certificate(self) -> CertContext:
        """The certificate. Raises SSPIError (SEC_E_UNSUPPORTED_FUNCTION): it has none."""
        if self.tls.certificate is None:
            raise unknown(repr(SECPKG_CRED_ATTR_CERT))
        return CertContext(self.tls.certificate.der)

    def session_for(self, target: str | None) -> TLSSession | None:
        """Return the TLS session to resume, or None."""
        return self.resumable.get(target or "", logon_id=self.logon_id, credential=id(self))

    def remember(self, target: str | None, session: TLSSession | None) -> None:
        """Keep a TLS session, if that was asked for."""
        self.resumable.put(target or "", session, logon_id=self.logon_id, credential=id(self))


@dataclass(slots=True, eq=False, repr=False)
class TLSContext(LsaContext):
    """A context in LSA mode.

    Attributes:
        inner: the context of the core, or TLS alone.
        credential: that of the last leg.
        issuers: the server's wish for a client certificate, once seen.
        session: what the user-mode half works with, once complete.
        closing: the session, from SCHANNEL_SHUTDOWN until close_notify goes out.
        alert: the description of a fatal alert, from SCHANNEL_ALERT until it goes out.
        reauthentication: whether this is a further exchange on a context that was complete.
        asked: whether the caller need not be asked (any more) for a client certificate.
        held: input whose beginning was consumed before SEC_I_INCOMPLETE_CREDENTIALS, and how much of it.
        silent: whether a client has yet to say its first word.
    """

    opening: Opening[TLSPackageCredential]
    inner: Any
    credential: TLSPackageCredential = field(init=False)
    issuers: CertificateRequest | None = field(init=False, default=None)
    session: StreamSession | None = field(init=False, default=None)
    closing: StreamSession | None = field(init=False, default=None)
    alert: int | None = field(init=False, default=None)
    reauthentication: bool = field(init=False, default=False)
    asked: bool = field(init=False)
    held: tuple[bytes, int] | None = field(init=False, default=None)
    silent: bool = field(init=False)
    _before_end: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.credential = self.opening.credential
        self.asked = not self.client
        self.silent = self.client

    @property
    def complete(self) -> bool:
        """Whether the exchange is over."""
        return bool(self.inner.complete)

    @property
    def granted(self) -> int:
        """What was asked for, and of the things that must be earned what was."""
        granted = self._before_end
        if not granted:
            granted = self.request & ~_EARNED & ~c.ISC_REQ_USE_SUPPLIED_CREDS
            if not self.client:
                granted &= ~EITHER_BINDINGS
            else:
                if self.opening.logon is not self.opening.credential.logon:  # it came in SECBUFFER_PKG_PARAMS
                    granted |= c.ISC_RET_USED_SUPPLIED_CREDS
                if self.reauthentication:
                    granted |= c.ISC_RET_REAUTHENTICATION
            self._before_end = granted
        return granted | self.request & self.earned | self.without_bindings if self.inner.complete else granted

    @property
    def earned(self) -> int:
        """Which of MUTUAL_AUTH and DELEGATE hold, in a context that is complete."""
        if self.client:
            return c.ISC_RET_MUTUAL_AUTH if self.inner.certificate_trust.trusted else 0
        return c.ASC_RET_MUTUAL_AUTH if self.inner.client_certificate else 0

    @property
    def expiry(self) -> int:
        """When the context ends: with the server's certificate, seen by the client."""
        certificate = self.inner.server_certificate if self.client else None
        # The time zone may have changed since the last certificate was asked for the same.
        return timestamp(_end_of(certificate)) if certificate else NO_EXPIRY

    @property
    def connection(self) -> SecPkgContext_ConnectionInfo:
        """What TLS negotiated."""
        inner = self.inner
        return connection_info(inner.tls_version, inner.tls_cipher, inner.tls_bits, client=self.client)

    @property
    def key_info(self) -> SecPkgContext_KeyInfo:
        """What protects the messages."""
        made = self.connection
        return SecPkgContext_KeyInfo(made.suite, made.suite, made.cipher_strength, made.hash, made.cipher)

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER."""
        found: bytes | None = self.inner.server_certificate if self.client else self.inner.client_certificate
        return found

    @property
    def end_point_bindings(self) -> SecPkgContext_Bindings:
        """Bindings to the server's certificate. Raises SSPIError (SEC_E_UNSUPPORTED_FUNCTION): RFC 5929 has none."""
        certificate = self.peer_certificate if self.client else self.own_certificate
        data = None if certificate is None else end_point_bindings(certificate)
        if data is None:
            raise unsupported("ulAttribute", "RFC 5929 has no tls-server-end-point for this certificate's signature")
        return SecPkgContext_Bindings(pack_channel_bindings(ChannelBindings(data)))

    @property
    def unique_bindings(self) -> SecPkgContext_Bindings:
        """Bindings to this connection. Raises SSPIError (SEC_E_UNSUPPORTED_FUNCTION): TLS 1.3 has none."""
        data = self.inner.tls_unique
        if data is None:
            raise unsupported("ulAttribute", "TLS 1.3 has no tls-unique: use SECPKG_ATTR_ENDPOINT_BINDINGS")
        return SecPkgContext_Bindings(pack_channel_bindings(ChannelBindings(b"tls-unique:" + data)))

    @property
    def own_certificate(self) -> bytes | None:
        """The own certificate in DER."""
        tls = self.credential.tls
        own = tls.certificate if self.client else tls.server_certificate
        return None if own is None else own.der

    @property
    def trust_status(self) -> CERT_TRUST_STATUS:
        """How far the server's certificate can be trusted."""
        trust = self.inner.certificate_trust
        return CERT_TRUST_STATUS(trust.errors, trust.info)

    @property
    def issuer_list(self) -> SecPkgContext_IssuerListInfoEx:
        """The authorities that the server named. Raises SSPIError (SEC_E_UNSUPPORTED_FUNCTION): it did not ask."""
        if self.issuers is None:
            raise unsupported("ulAttribute", "the server has not asked for a client certificate")
        return SecPkgContext_IssuerListInfoEx(self.issuers.issuers)

    def note_end(self) -> None:
        """Note what a complete exchange came to; TLS alone knows nothing."""

    def restart(self, opening: Opening[TLSPackageCredential]) -> None:
        """Note that another exchange begins on the context."""
        self.opening = opening
        self.credential = opening.credential
        self.reauthentication = True
        self.silent = self.client
        self._before_end = 0


@functools.lru_cache(maxsize=256)
def _end_of(certificate: bytes) -> float | None:
    """Return when a certificate ends, in seconds since 1970."""
    return expiry_of(certificate)

"""TLS without CredSSP, with the same few calls as the contexts of the core: what the Schannel package runs on."""

from __future__ import annotations

import dataclasses

from credssp.context import StepResult
from credssp.context.tls_facts import TLSFacts
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.status import SecurityStatus
from credssp.tls.certificate import ServerCertificate
from credssp.tls.certificate_request import CertificateRequest
from credssp.tls.channel import TLSChannel, TLSSession
from credssp.tls.settings import ClientTLS, ServerTLS, client_context, server_context, sessionless_context
from credssp.tls.trust import CertificateTrust, judge, roots_of

__all__ = ["TLSClient", "TLSServer"]


class _TLSOnly(TLSFacts):
    """Both roles: a handshake, then a stream.

    Attributes:
        complete: whether the handshake is over.
        unused_data: always empty; bytes after the handshake are never given to `step`.
    """

    unused_data = b""

    def __init__(self, channel: TLSChannel) -> None:
        self._channel = channel
        self._failed = False

    @property
    def complete(self) -> bool:
        """Whether the handshake is over."""
        return self._channel.handshake_complete and not self._failed

    def step(self, token: bytes = b"") -> StepResult:
        """Take the peer's records and continue the handshake.

        Raises:
            CredSSPError: it failed; `.token` holds the alert to send.
        """
        channel = self._channel
        channel.receive(token)
        try:
            done = channel.handshake()
        except CredSSPError as error:
            self._failed = True
            error.token = channel.data_to_send()
            raise
        status = SecurityStatus.SEC_E_OK if done else SecurityStatus.SEC_I_CONTINUE_NEEDED
        return StepResult(status, channel.data_to_send())

    def wrap(self, data: bytes) -> bytes:
        """Encrypt application data."""
        return self._channel.encrypt(data)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt application data."""
        return self._channel.decrypt(data)

    def shutdown(self) -> bytes:
        """Return close_notify."""
        return self._channel.close() if self.complete else b""

    def restart(self) -> None:
        """Raise LocalProtocolError: renegotiation is not done, TLS 1.3 has none."""
        raise LocalProtocolError("TLS renegotiation is not supported", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION)


class TLSClient(_TLSOnly):
    """A client."""

    def __init__(self, host: str, tls: ClientTLS, session: TLSSession | None) -> None:
        self._host = host
        self._tls = tls
        super().__init__(
            TLSChannel(client_context(tls), server_side=False, server_hostname=host or None, session=session)
        )

    @property
    def server_certificate(self) -> bytes | None:
        """The server's certificate in DER."""
        return self._channel.peer_certificate

    @property
    def certificate_trust(self) -> CertificateTrust:
        """How far it can be trusted."""
        return judge(self._channel.peer_chain, self._host, roots_of(self._tls.cafile, self._tls.cadata))

    @property
    def tls_session(self) -> TLSSession | None:
        """The session, to resume it. In TLS 1.3 its ticket comes with the first records of the server."""
        return self._channel.session if self.complete and self._tls.resumption else None

    @property
    def certificate_settled(self) -> bool:
        """Whether no CertificateRequest of TLS 1.3 can come any more."""
        return self._channel.certificate_settled

    def certificate_request(self) -> CertificateRequest | None:
        """Return, once, that the server asked for a certificate in TLS 1.3."""
        return self._channel.certificate_request()

    def use_client_certificate(self, certificate: ServerCertificate) -> None:
        """Continue with a client certificate; all other settings stay."""
        self._channel.use_context(client_context(dataclasses.replace(self._tls, client_certificate=certificate)))


class TLSServer(_TLSOnly):
    """A server."""

    def __init__(self, tls: ServerTLS, certificate: ServerCertificate) -> None:
        channel = TLSChannel(
            server_context(tls, certificate), server_side=True, without_sessions=sessionless_context(tls)
        )
        super().__init__(channel)

    @property
    def client_certificate(self) -> bytes | None:
        """The client's certificate in DER."""
        return self._channel.peer_certificate

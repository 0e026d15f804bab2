"""The client's context."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Unpack

from credssp.binding import subject_public_key
from credssp.config import Carrier, ClientConfig, ContextOptions, client_config
from credssp.context.exchange import Context
from credssp.context.initiator import create_initiator
from credssp.credentials import AgentCredentials, LogonCredentials, needs_a_driver
from credssp.engine.client import ClientEngine
from credssp.engine.driven import DrivenEngine, OpenEngine, RemoteEngine
from credssp.engine.events import Authenticated, CredentialsDelegated, Event
from credssp.errors import (
    AuthenticationError,
    CertificateError,
    CredSSPError,
    LocalProtocolError,
    PeerClosedError,
    PeerRefusedError,
    PolicyError,
    TLSAlertError,
)
from credssp.kerberos import krb5_conf
from credssp.kerberos.logon import kerberos_obstacle
from credssp.mechanism import Mechanism
from credssp.next_step import NextStep
from credssp.policy.configured import delegation_policy, lowest_version
from credssp.security_context import SecurityContext
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import SkippedCandidate, SpnegoInitiator
from credssp.status import SecurityStatus
from credssp.target import Target
from credssp.tls.certificate import ServerCertificate
from credssp.tls.certificate_request import CertificateRequest
from credssp.tls.channel import TLSChannel, TLSSession
from credssp.tls.settings import CertificateCheck, ClientTLS, client_context
from credssp.tls.trust import CertificateTrust, TrustError, judge, roots_of

__all__ = ["Carrier", "ClientContext"]

_REFUSALS: Final = (AuthenticationError, PeerClosedError, PeerRefusedError, PolicyError, TLSAlertError)
"""Errors whose cause may be that Kerberos was not used."""

# Made once: nothing of it depends on the login.
_TLS: Final = ClientTLS()


class ClientContext(Context):
    """The client: authenticates, checks the server's key, delegates credentials.

    Attributes:
        config: the options.
        target_name: the SPN of the server, such as ``TERMSRV/host``; empty if none was given.
        certificate_check: what became of the server's certificate.
        server_authentication: what proved the server's identity; final when complete.
        delegated: whether the server was given credentials, and not an empty set; final when complete.
        skipped: mechanisms that were not used although the configuration allows them, and why
            (`credssp.spnego.SkippedCandidate`). What a KDC says of a user or service that it does not know is not
            authenticated; texts of refusals repeat it.
    """

    def __init__(
        self,
        credentials: LogonCredentials | None = None,
        *,
        config: ClientConfig | None = None,
        **options: Unpack[ContextOptions],
    ) -> None:
        r"""Prepare a login; nothing happens before the first `step`.

        Args:
            credentials: what to authenticate with; None for those of `config`, or else the user's Kerberos credential
                cache.
            config: the options; None for the defaults.
            options: fields of `credssp.ClientConfig`, in place of those of `config`: `target_name`, `mechanism`, ...

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        config = client_config("ClientContext", ContextOptions, config, options, credentials)
        self.config = config = _checked(config)
        self.target_name = config.target_name or ""
        self._tls, self._host = _tls_of(config)
        super().__init__(
            TLSChannel(
                client_context(self._tls),
                server_side=False,
                server_hostname=self._host or None,
                session=config.tls_session,
            )
        )
        self._flights_alone = config.carrier == "tokens"
        self.certificate_check = CertificateCheck.NOT_CHECKED
        self.server_authentication = ServerAuthentication.NONE
        self.skipped: tuple[SkippedCandidate, ...] = ()
        self.delegated = False
        self._initiator: Mechanism | None = None
        self._remote: RemoteEngine | None = None
        self._client_name = ""

    def restart(self, config: ClientConfig | None = None) -> None:
        """Begin another exchange in the same TLS channel (`Context.restart`).

        Args:
            config: other options than before, such as `credentials` and `target_name`. The connection stays: of `tls`
                only what is checked counts, and the server's certificate must pass that now, for the new target.

        Raises:
            LocalProtocolError, TypeError: as `Context.restart`, and for options that make no sense.
            CertificateError: the certificate does not pass. Nothing has changed then.
        """
        if config is None:
            super().restart()
            return
        config = _checked(config)
        tls, host = _tls_of(config)
        if tls.verifies_chain and (tls, host) != (self._tls, self._host):
            _check_again(judge(self._channel.peer_chain, host, roots_of(tls.cafile, tls.cadata)), tls)
        super().restart()
        self.config, self.target_name = config, config.target_name or ""
        self._tls, self._host = tls, host

    def _start(self) -> DrivenEngine:
        certificate = self._channel.server_certificate
        self.certificate_check = self._tls.check(certificate)
        if (
            (self._tls.judge or not self._tls.verify_name)
            and self.certificate_check is CertificateCheck.NOT_CHECKED
            and self.certificate_trust.trusted
        ):
            self.certificate_check = CertificateCheck.TRUSTED
        by_tls = (
            ServerAuthentication.NONE
            if self.certificate_check is CertificateCheck.NOT_CHECKED
            else ServerAuthentication.CERTIFICATE
        )
        if self.config.agent is not None and isinstance(self.config.credentials, AgentCredentials):
            return self._start_elsewhere(self.config.agent, by_tls)
        initiator = create_initiator(config=self.config, transport_authentication=by_tls)
        engine = ClientEngine(
            initiator,
            public_key=subject_public_key(certificate),
            transport_authentication=by_tls,
            config=self.config,
        )
        try:
            self._handle(engine.initiate())
        finally:
            self._initiator = initiator
            if isinstance(initiator, SpnegoInitiator):
                self.skipped = initiator.skipped
        return engine

    def _start_elsewhere(self, agent: OpenEngine, by_tls: ServerAuthentication) -> DrivenEngine:
        engine = self._remote = agent(self.config, self._channel.peer_chain, by_tls)
        try:
            self._handle(engine.initiate())
        finally:
            self.skipped = tuple(engine.skipped)
        return engine

    def _end(self, error: CredSSPError) -> None:
        super()._end(error)
        if self._remote is not None:
            self._remote.close()

    def _fail(self, error: CredSSPError) -> None:
        if isinstance(error, TLSAlertError) and error.refused and self.version is None and self.mechanism != "kerberos":
            # access_denied before any proof is not about a password.
            error.ntstatus, error.advice = None, NextStep.DENIED_EARLY
        why = [skip.error.message for skip in self.skipped if skip.name == "kerberos" and skip.error is not error]
        if why and isinstance(error, _REFUSALS):
            error.message += f" (Kerberos was not used: {why[0]})"
        super()._fail(error)

    def _note(self, event: Event) -> None:
        if isinstance(event, Authenticated):
            self.server_authentication = event.server_authentication
        elif isinstance(event, CredentialsDelegated):
            self.delegated = not event.empty

    def forget_credentials(self) -> None:
        """Let go of what the login was made with; its owner may call this once it is complete, or has failed."""
        self.config = replace(self.config, credentials=None, delegated_credentials=None)
        self._client_name = self.client_name
        self._initiator = self._remote = None

    @property
    def client_name(self) -> str:
        """Whose Kerberos tickets were used, by the KDC: ``alice@EXAMPLE.TEST`` for ``LAB\\alice``. Else empty."""
        if self._remote is not None:
            return self._remote.client_name
        initiator = self._initiator
        return initiator.client_name if isinstance(initiator, SecurityContext) else self._client_name

    @property
    def server_certificate(self) -> bytes | None:
        """The server's leaf certificate in DER, or None before the handshake."""
        return self._channel.peer_certificate

    @property
    def certificate_trust(self) -> CertificateTrust:
        """How far the server's certificate can be trusted, by `ClientTLS.cafile` and `cadata` or the system's roots.

        Raises:
            LocalProtocolError: the handshake has not brought a certificate yet.
        """
        chain = self._channel.peer_chain
        if not chain:
            raise LocalProtocolError("the server's certificate has not come yet")
        return judge(chain, self._host, roots_of(self._tls.cafile, self._tls.cadata))

    @property
    def certificate_settled(self) -> bool:
        """Whether no CertificateRequest of TLS 1.3 can come any more."""
        return self._channel.certificate_settled

    def certificate_request(self) -> CertificateRequest | None:
        """Return, once, that the server asked for a certificate in TLS 1.3, where `ClientTLS.watch` is set."""
        return self._channel.certificate_request()

    def use_client_certificate(self, certificate: ServerCertificate) -> None:
        """Continue with a client certificate; all other settings stay.

        In TLS 1.2 before the server's CertificateRequest is given to `step`, in TLS 1.3 before what follows it.
        """
        # The whole SSLContext changes, and with it the roots to trust: only the certificate may differ.
        self._channel.use_context(client_context(replace(self._tls, client_certificate=certificate)))

    @property
    def tls_session(self) -> TLSSession | None:
        """The TLS session for `tls_session` of a later context, if `ClientTLS.resumption` is set; complete only."""
        return self._channel.session if self.complete and self._tls.resumption else None


def _checked(config: ClientConfig) -> ClientConfig:
    """Return the options with full names. What makes no sense shows here and not in the middle of a login."""
    config = _with_full_names(config)
    if config.agent is None and isinstance(config.credentials, AgentCredentials):
        raise needs_a_driver()
    delegation_policy(config)
    lowest_version(config)
    return config


def _tls_of(config: ClientConfig) -> tuple[ClientTLS, str]:
    """Return the TLS settings, and the host that the server's certificate should name; empty for none."""
    tls = config.tls or _TLS
    return tls, tls.server_hostname or (Target.parse(config.target_name).host if config.target_name else "")


def _check_again(trust: CertificateTrust, tls: ClientTLS) -> None:
    """Refuse a certificate that TLS did not check, or checked for another host."""
    if trust.errors & TrustError.IS_NOT_TIME_VALID:
        problem, status, advice = "has expired", SecurityStatus.SEC_E_CERT_EXPIRED, NextStep.CERTIFICATE_TIME
    elif trust.errors:
        problem, status, advice = "is not trusted", SecurityStatus.SEC_E_UNTRUSTED_ROOT, NextStep.CERTIFICATE_ROOT
    elif tls.verify_name and not trust.name_matches:
        problem = "names another host than the new target's"
        status, advice = SecurityStatus.SEC_E_WRONG_PRINCIPAL, NextStep.CERTIFICATE_NAME
    else:
        return
    raise CertificateError(f"the server's certificate {problem}", status=status, advice=advice)


def _with_full_names(config: ClientConfig) -> ClientConfig:
    """Complete short host names, before anything is asked about them."""
    domain = config.short_name_domain
    if config.target_name is None or domain == "":
        return config
    target, policy_target = Target.parse(config.target_name), config.policy_target
    if not target.is_short:
        return config
    if domain is None:
        elsewhere = isinstance(config.credentials, AgentCredentials)
        if config.mechanism == "ntlm" or not (elsewhere or kerberos_obstacle(config.credentials, target) is None):
            return config
        domain = krb5_conf.load().libdefaults.get("qualify_shortname", "")
    return replace(
        config,
        target_name=str(target.in_domain(domain)),
        policy_target=policy_target and str(Target.parse(policy_target).in_domain(domain)),
    )

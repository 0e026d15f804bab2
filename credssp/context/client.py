"""The client's context."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

from credssp.binding import subject_public_key
from credssp.context.exchange import Context, encryption_oracle
from credssp.context.initiator import create_initiator
from credssp.credentials import DelegatedCredentials, LogonCredentials, PasswordCredentials
from credssp.engine.base import DEFAULT_MAX_LEGS, DEFAULT_MAX_MESSAGE_SIZE
from credssp.engine.client import ClientEngine
from credssp.engine.events import Authenticated, Event, Observer
from credssp.errors import LocalProtocolError
from credssp.mechanism_name import MechanismChoice
from credssp.policy import CredentialSource, DelegationPolicy, PolicySettings
from credssp.protocol_version import HIGHEST_VERSION
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus
from credssp.tls.certificate import ServerCertificate
from credssp.tls.certificate_request import CertificateRequest
from credssp.tls.channel import TLSChannel, TLSSession
from credssp.tls.settings import CertificateCheck, ClientTLS, client_context
from credssp.tls.trust import CertificateTrust, judge, roots_of

__all__ = ["Carrier", "ClientContext"]

Carrier: TypeAlias = Literal["stream", "tokens"]
"""What carries the exchange: a stream of octets (RDP), or one token at a time, each answered (HTTP)."""

# What stands in the SPN of NTLM and Kerberos where the caller names no target, as pyspnego has it.
_UNSPECIFIED = "host/unspecified"

# Made once: together they take 5 us, of which nothing depends on the login.
_TLS = ClientTLS()
_only = functools.lru_cache(maxsize=128)(DelegationPolicy.for_target)


class ClientContext(Context):
    """The client: authenticates, checks the server's key, delegates credentials.

    Attributes:
        target_name: the SPN of the server, such as ``TERMSRV/host``; empty if none was given.
        certificate_check: what became of the server's certificate.
        server_authentication: what proved the server's identity; final when complete.
    """

    def __init__(
        self,
        credentials: LogonCredentials | None = None,
        *,
        target_name: str | None,
        policy_target: str | None = None,
        carrier: Carrier = "stream",
        mechanism: MechanismChoice = "auto",
        wire_form: Literal["spnego", "kerberos"] = "spnego",
        delegate: bool = True,
        delegated_credentials: DelegatedCredentials | None = None,
        policy: DelegationPolicy | PolicySettings | None = None,
        source: CredentialSource = CredentialSource.FRESH,
        workstation: str = "",
        mutual_auth: bool = False,
        min_version: int | None = None,
        max_version: int = HIGHEST_VERSION,
        tls: ClientTLS | None = None,
        tls_session: TLSSession | None = None,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        max_legs: int = DEFAULT_MAX_LEGS,
        random: Callable[[int], bytes] = os.urandom,
        observer: Observer | None = None,
    ) -> None:
        r"""Prepare a login; nothing happens before the first `step`.

        Args:
            credentials: what to authenticate with; None for the user's Kerberos credential cache. Those that cannot be
                delegated (an NT hash, tickets, a keytab) send an empty set, unless `delegated_credentials` are given.
            target_name: SPN of the server, ``TERMSRV/host`` for RDP and ``HTTP/host`` for WinRM. The host part is
                also the name for TLS. Without a name (None) no policy lets credentials go: give ``delegate=False``.
            policy_target: SPN that the policy is asked about, by default `target_name`. Windows authenticates WinRM
                as ``HTTP/host`` and asks its policy about ``WSMAN/host``.
            carrier: ``stream``, or ``tokens`` where every token travels alone and is answered, as over HTTP: then the
                last flight of the TLS 1.3 handshake is a token of its own, as pyspnego's client has it and servers
                that take whole tokens expect it.
            mechanism: ``auto`` as Windows does it (SPNEGO when Kerberos is possible, else bare NTLM), ``negotiate``
                (always SPNEGO), ``ntlm`` (bare) or ``kerberos`` (nothing else).
            wire_form: ``kerberos`` with `mechanism` ``kerberos`` sends its tokens without SPNEGO, as rdesktop does.
            delegate: whether credentials go to the server at all; False sends an empty set.
            delegated_credentials: credentials to delegate in place of those to authenticate with.
            policy: who may be given the credentials; by default exactly this target, whatever authenticated it.
            source: where the credentials come from, for the policy.
            workstation: name of this machine that NTLM tells the server, which may demand one of a list; empty (the
                default) tells none.
            mutual_auth: fail unless the server is authenticated by its certificate or by Kerberos.
            min_version: lowest CredSSP version to accept; by default what the policy's encryption-oracle level
                says, and 5 without a policy.
            max_version: the version to say we have.
            tls: TLS settings; by default no check of the certificate.
            tls_session: a session to resume, from `tls_session` of an earlier context with the same settings.
            max_message_size: octets of one TSRequest.
            max_legs: messages to take from the server.
            random: n random bytes, for clientNonce and NTLM.
            observer: sees every TSRequest.

        Raises:
            LocalProtocolError: arguments that make no sense.
        """
        if not isinstance(target_name, str | None):
            raise LocalProtocolError("target_name is the SPN of the server, such as TERMSRV/host")
        if target_name is None and delegate:
            raise LocalProtocolError(
                "credentials go to a named server only: give target_name, or delegate=False",
                status=SecurityStatus.SEC_E_DELEGATION_POLICY,
            )
        self.target_name = target_name or ""
        self._policy_target = target_name if policy_target is None else policy_target
        self._tls = tls or _TLS
        self._host = self._tls.server_hostname or _host(target_name or "")
        super().__init__(
            TLSChannel(
                client_context(self._tls),
                server_side=False,
                server_hostname=self._host or None,
                session=tls_session,
            )
        )
        if delegated_credentials is None and isinstance(credentials, PasswordCredentials):
            delegated_credentials = credentials
        if not delegate or delegated_credentials is None:
            delegated_credentials = PasswordCredentials.empty()
        oracle = encryption_oracle(policy)
        if isinstance(policy, PolicySettings):
            policy = policy.delegation
        elif policy is None:
            named = self._policy_target
            policy = _only(named) if named is not None else DelegationPolicy.deny_all()
        self._flights_alone = carrier == "tokens"
        self.certificate_check = CertificateCheck.NOT_CHECKED
        self.server_authentication = ServerAuthentication.NONE
        self._credentials = credentials
        self._delegated = delegated_credentials
        self._mechanism_choice = mechanism
        self._wire_form = wire_form
        self._workstation = workstation
        self._policy = policy
        self._source = source
        self._mutual_auth = mutual_auth
        self._min_version = oracle.client_min_version if min_version is None else min_version
        self._max_version = max_version
        self._max_message_size = max_message_size
        self._max_legs = max_legs
        self._random = random
        self._observer = observer

    def _start(self) -> ClientEngine:
        certificate = self._channel.server_certificate
        self.certificate_check = self._tls.check(certificate)
        if (
            self._tls.judge
            and self.certificate_check is CertificateCheck.NOT_CHECKED
            and self.certificate_trust.trusted
        ):
            self.certificate_check = CertificateCheck.TRUSTED
        engine = ClientEngine(
            create_initiator(
                self._credentials,
                target_name=self.target_name or _UNSPECIFIED,
                mechanism=self._mechanism_choice,
                wire_form=self._wire_form,
                workstation=self._workstation,
                random=self._random,
            ),
            public_key=subject_public_key(certificate),
            credentials=self._delegated,
            policy=self._policy,
            target_name=self._policy_target,
            source=self._source,
            transport_authentication=ServerAuthentication.NONE
            if self.certificate_check is CertificateCheck.NOT_CHECKED
            else ServerAuthentication.CERTIFICATE,
            mutual_auth=self._mutual_auth,
            min_version=self._min_version,
            max_version=self._max_version,
            max_message_size=self._max_message_size,
            max_legs=self._max_legs,
            random=self._random,
            observer=self._observer,
        )
        self._handle(engine.initiate())
        return engine

    def _note(self, event: Event) -> None:
        if isinstance(event, Authenticated):
            self.server_authentication = event.server_authentication

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
        """Go on with a client certificate; all other settings stay.

        In TLS 1.2 before the server's CertificateRequest is given to `step`, in TLS 1.3 before what follows it.
        """
        # The whole SSLContext changes, and with it the roots to trust: only the certificate may differ.
        self._channel.use_context(client_context(replace(self._tls, client_certificate=certificate)))

    @property
    def tls_session(self) -> TLSSession | None:
        """The TLS session for `tls_session` of a later context, if `ClientTLS.resumption` is set; complete only."""
        return self._channel.session if self.complete and self._tls.resumption else None


def _host(target_name: str) -> str:
    """Return the host part of an SPN ``class/host[:port][/name]``."""
    parts = target_name.split("/")
    host = parts[1] if len(parts) > 1 else parts[0]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() and ":" not in name else host

"""A whole CredSSP context, token in, token out: a TLS channel and an engine, put together here and nowhere else.

Over a byte stream (RDP) a token is whatever was read or is to be written; over HTTP (WinRM) and in SSPI it is one
message. Both work the same::

    client = ClientContext(PasswordCredentials("alice", "secret", domain="LAB"), target_name="TERMSRV/srv.lab.test")
    result = client.step()
    while not client.complete:
        send(result.token)
        result = client.step(receive())
    send(result.token)                  # the last leg: SEC_E_OK together with a token
    send(client.wrap(b"application data"))
"""

from __future__ import annotations

import functools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal, TypeAlias

from credssp.account import AccountStore
from credssp.accounts import MemoryAccounts
from credssp.binding import subject_public_key
from credssp.credentials import DelegatedCredentials, LogonCredentials, PasswordCredentials
from credssp.engine.base import DEFAULT_MAX_LEGS, DEFAULT_MAX_MESSAGE_SIZE, Engine
from credssp.engine.client import ClientEngine
from credssp.engine.events import Authenticated, CredentialsReceived, Event, Observer, Send
from credssp.engine.server import ServerEngine
from credssp.errors import (
    CredSSPError,
    LocalProtocolError,
    PeerClosedError,
    PeerRefusedError,
    TLSError,
)
from credssp.nego.acceptor import create_acceptor
from credssp.nego.initiator import MechanismChoice, create_initiator
from credssp.nego.mechanism import Identity, MechanismName
from credssp.nego.ntlm.target import NTLMTarget
from credssp.policy import (
    DEFAULT_ENCRYPTION_ORACLE,
    CredentialSource,
    DelegationPolicy,
    EncryptionOracle,
    PolicySettings,
)
from credssp.protocol_version import HIGHEST_VERSION
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus
from credssp.tls.certificate import ServerCertificate, load_certificate, process_certificate
from credssp.tls.certificate_request import CertificateRequest
from credssp.tls.channel import TLSChannel, TLSSession
from credssp.tls.settings import (
    CertificateCheck,
    ClientTLS,
    ServerTLS,
    client_context,
    server_context,
    sessionless_context,
)
from credssp.tls.sizes import StreamSizes
from credssp.tls.trust import CertificateTrust, judge, roots_of

__all__ = ["Carrier", "ClientContext", "ServerContext", "StepResult"]

Carrier: TypeAlias = Literal["stream", "tokens"]
"""What carries the exchange: a stream of octets (RDP), or one token at a time, each answered (HTTP)."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one call of `step` came to.

    Attributes:
        status: SEC_E_OK, the context is complete; SEC_I_CONTINUE_NEEDED, the peer's next token is needed;
            SEC_E_INCOMPLETE_MESSAGE, the input ended inside a TLS record or a TSRequest, and more of it is needed.
        token: octets that must go to the peer, with every status; may be empty.
    """

    status: SecurityStatus
    token: bytes


class _Context(ABC):
    """What both roles share.

    Attributes:
        complete: whether the exchange is over and went well; then `wrap` and `unwrap` work.
        mechanism: ``ntlm`` or ``kerberos`` once the peer has proved itself, before that an empty string.
        version: the effective CredSSP version, or None before the peer's first message.
        peer_version: the version that the peer says it has, or None.
        unused_data: plaintext that came behind the last message of the exchange; the application's first octets.
            `unwrap` does not return them again.
    """

    def __init__(self, channel: TLSChannel) -> None:
        self._channel = channel
        self._engine: Engine | None = None
        self._failure: CredSSPError | None = None
        self._shut_down = False
        self._flights_alone = False
        self.complete = False
        self.mechanism = ""
        self.version: int | None = None
        self.peer_version: int | None = None
        self.unused_data = b""

    # The exchange

    def step(self, token: bytes = b"") -> StepResult:
        """Take the next octets from the peer and return what must go back.

        Args:
            token: what was received, split anywhere; an empty one is always legal and starts a client.

        Raises:
            CredSSPError: the exchange failed, now and for good. `.token` holds what should still be sent: a TSRequest
                with errorCode where the peer's version has it, else a TLS alert.
        """
        self._check_alive()
        try:
            return self._step(token)
        except CredSSPError as error:
            self._fail(error)
            raise

    def restart(self) -> None:
        """Begin another exchange in the same TLS channel: re-authentication, on demand of either application.

        The next `step` of a client makes the first token. [MS-CSSP] does not describe it; the messages are those of
        the first exchange, bound to the same TLS key, between records of application data.

        Raises:
            LocalProtocolError: the context is not complete, has failed or was shut down.
        """
        self._check_open()
        self.complete = False
        self.mechanism = ""
        self.version = self.peer_version = None

    def receive_eof(self) -> None:
        """Say that the transport ended, where it ends without a close of TLS.

        Raises:
            PeerClosedError: the exchange was not complete.
        """
        self._check_alive()
        if not self.complete:
            error = PeerClosedError("the connection ended in the middle of the exchange")
            self._failure = error
            self._engine = None
            raise error

    def _step(self, token: bytes) -> StepResult:
        channel = self._channel
        channel.receive(token)
        if not channel.handshake():
            return self._result()
        if self._engine is None and not self.complete:
            if self._flights_alone and (flight := channel.data_to_send()):
                return StepResult(SecurityStatus.SEC_I_CONTINUE_NEEDED, flight)
            self._engine = self._start()
        plaintext = channel.read()
        if self.complete:
            # Late octets of a stream that was read beyond the last message.
            self.unused_data += plaintext
        elif plaintext:
            self._receive(plaintext)
        if channel.peer_closed and not self.complete:
            raise PeerClosedError("the peer closed the TLS channel in the middle of the exchange")
        return self._result()

    def _receive(self, plaintext: bytes) -> None:
        engine = self._engine
        assert engine is not None  # noqa: S101  # _step made it
        try:
            self._handle(engine.receive(plaintext))
        finally:
            self.version = engine.version
            self.peer_version = engine.peer_version
        if engine.complete:
            self.complete = True
            self.unused_data = engine.unused_data
            # The keys of the inner mechanism have done their work.
            self._engine = None

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                # One TSRequest, one TLS write: Windows servers take no fragments ([MS-CSSP] note <8>).
                self._channel.write(event.data)
            else:
                if isinstance(event, Authenticated):
                    self.mechanism = event.mechanism
                self._note(event)

    def _result(self) -> StepResult:
        token = self._channel.data_to_send()
        if self.complete:
            return StepResult(SecurityStatus.SEC_E_OK, token)
        if not token and self.missing:
            return StepResult(SecurityStatus.SEC_E_INCOMPLETE_MESSAGE, token)
        return StepResult(SecurityStatus.SEC_I_CONTINUE_NEEDED, token)

    @property
    def missing(self) -> int:
        """Octets, at least, that complete the TLS record or the TSRequest whose beginning was received; else 0."""
        record = self._channel.records.missing
        if record or self._engine is None:
            return record
        return self._engine.missing

    def _check_alive(self) -> None:
        failure = self._failure
        if failure is not None:
            raise LocalProtocolError(
                f"this context has failed before: {failure.message}", status=failure.status, ntstatus=failure.ntstatus
            )

    def _fail(self, error: CredSSPError) -> None:
        error.token = self._last_words(error)
        # Errors of other libraries may hold what the peer sent; ours say all that is safe to say.
        error.__context__ = error.__cause__ = None
        self._failure = error
        self._engine = None

    def _last_words(self, error: CredSSPError) -> bytes:
        """Return what the peer is told about a failure."""
        channel = self._channel
        if error.token:
            try:
                channel.write(error.token)
            except TLSError:  # the channel died with it
                return b""
            return channel.data_to_send()
        if isinstance(error, TLSError):
            return channel.data_to_send()  # OpenSSL's own alert, if it has one
        if isinstance(error, PeerClosedError | PeerRefusedError):
            return channel.close()  # nothing to tell that it does not know
        return channel.abort()

    @abstractmethod
    def _start(self) -> Engine:
        """Make the engine; the TLS handshake is done."""

    @abstractmethod
    def _note(self, event: Event) -> None:
        """Remember what an event says."""

    # Application data

    def wrap(self, data: bytes) -> bytes:
        """Encrypt application data; returns TLS records.

        Raises:
            LocalProtocolError: the context is not complete, has failed or was shut down.
        """
        if not self.complete or self._shut_down or self._failure is not None:
            self._check_open()  # raises; not called for every message
        return self._channel.encrypt(data)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt application data and return what could be decrypted, perhaps nothing; partial records are kept.

        The plaintext that came with the last message of the exchange is not repeated here: see `unused_data`.

        Raises:
            LocalProtocolError: the context is not complete or has failed.
            TLSError, TLSAlertError: a record was bad, or the peer sent a fatal alert.
        """
        if not self.complete or self._failure is not None:
            self._check_complete()  # raises
        try:
            return self._channel.decrypt(data)
        except CredSSPError as error:
            self._fail(error)
            raise

    def data_to_send(self) -> bytes:
        """Return what TLS itself wants sent after an `unwrap`, such as the answer to a key update; mostly nothing."""
        return self._channel.data_to_send()

    def shutdown(self) -> bytes:
        """Say goodbye: return close_notify, after which `wrap` is over. `unwrap` works until the peer closes too."""
        if self._failure is not None or not self._channel.handshake_complete or self._shut_down:
            return b""
        self._shut_down = True
        return self._channel.close()

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""
        return self._channel.peer_closed

    def _check_complete(self) -> None:
        self._check_alive()
        if not self.complete:
            raise LocalProtocolError("the context is not complete: there is no key to protect application data with")

    def _check_open(self) -> None:
        self._check_complete()
        if self._shut_down:
            raise LocalProtocolError("the context was shut down: nothing can be sent any more")

    # What TLS negotiated

    @property
    def handshake_complete(self) -> bool:
        """Whether the TLS handshake is over."""
        return self._channel.handshake_complete

    @property
    def stream_sizes(self) -> StreamSizes:
        """What a TLS record of this connection takes beside its plaintext; after the handshake."""
        return self._channel.stream_sizes

    @property
    def tls_bits(self) -> int:
        """Secret bits of the cipher; 0 before the handshake."""
        return self._channel.cipher_bits

    @property
    def tls_resumed(self) -> bool:
        """Whether the TLS session is an earlier one, resumed."""
        return self._channel.session_reused

    @property
    def tls_version(self) -> str:
        """``TLSv1.2`` or ``TLSv1.3``; empty before the handshake."""
        return self._channel.protocol

    @property
    def tls_cipher(self) -> str:
        """The cipher suite in OpenSSL's spelling; empty before the handshake."""
        return self._channel.cipher


class ClientContext(_Context):
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
            mutual_auth: fail unless the server is authenticated by its certificate or by Kerberos.
            min_version: lowest CredSSP version to accept; by default what the policy's encryption-oracle level
                says, and 5 without a policy.
            max_version: the version to say we have.
            tls: TLS settings; by default no check of the certificate.
            tls_session: a session to resume, from `tls_session` of an earlier context with the same settings.
            max_message_size: octets of one TSRequest.
            max_legs: messages to take from the server.
            random: source of clientNonce.
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
        self._tls = tls or _CLIENT_TLS
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
        oracle = _encryption_oracle(policy)
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
        certificate = self._channel.peer_certificate
        self.certificate_check = self._tls.check(certificate)
        assert certificate is not None  # noqa: S101  # check() refuses none
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


class ServerContext(_Context):
    """The server: lets a client log on and receives its credentials.

    Attributes:
        identity: who logged on, or None before the client's binding was verified.
        delegated_credentials: what the client delegated, or None before that. Three empty strings are an empty set.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore | None = None,
        certificate: str | PathLike[str] | tuple[bytes, bytes] | ServerCertificate | None = None,
        mechanisms: Collection[MechanismName] = ("kerberos", "ntlm"),
        spn: str | Collection[str] | None = None,
        keytab: str | PathLike[str] | None = None,
        service_principal: str | None = None,
        channel_bindings: bytes | None = None,
        require_mic: bool = True,
        target: NTLMTarget | None = None,
        policy: DelegationPolicy | PolicySettings | None = None,
        min_version: int | None = None,
        max_version: int = HIGHEST_VERSION,
        tls: ServerTLS | None = None,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        max_legs: int = DEFAULT_MAX_LEGS,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], int] = time.time_ns,
        observer: Observer | None = None,
    ) -> None:
        """Prepare to serve one client.

        Args:
            accounts: who may log on with NTLM; None for nobody.
            certificate: path of a PEM file with chain and key, or a pair of PEM octets (chain, key); without one, an
                RSA-2048 certificate is made, once per process.
            mechanisms: what to accept, best first. Kerberos is left out where its libraries are not installed.
            spn: names that a client may believe it talks to; None to accept any.
            keytab: Kerberos keytab of this context, a path or ``TYPE:residual``; None for the one of the process
                (``KRB5_KTNAME``).
            service_principal: the Kerberos principal whose key is taken (``TERMSRV/host@REALM``); by default those
                that `spn` names, and every one of the keytab without it.
            channel_bindings: the application data of the bindings that clients must prove
                (``tls-server-end-point:`` and the hash, say), or None.
            require_mic: refuse NTLM clients that send no MIC; False for old ones.
            target: the names that NTLM tells the client.
            policy: taken for its encryption-oracle level only.
            min_version: lowest CredSSP version to accept; by default what the policy says, and 5 without a policy.
            max_version: the version to say we have.
            tls: TLS settings.
            max_message_size: octets of one TSRequest.
            max_legs: messages to take from the client.
            random: source of the NTLM challenge.
            clock: nanoseconds since 1970, for the timestamp in it.
            observer: sees every TSRequest.

        Raises:
            LocalProtocolError: arguments that make no sense, or a certificate that cannot be used.
        """
        if certificate is None:
            loaded = process_certificate()
        elif isinstance(certificate, str | PathLike):
            loaded = load_certificate(Path(certificate))
        else:
            loaded = load_certificate(certificate)
        tls = tls or _SERVER_TLS
        super().__init__(
            TLSChannel(server_context(tls, loaded), server_side=True, without_sessions=sessionless_context(tls))
        )
        if min_version is None:
            min_version = _encryption_oracle(policy).server_min_version
        self.identity: Identity | None = None
        self.delegated_credentials: DelegatedCredentials | None = None
        self._make_engine: Callable[[], ServerEngine] = lambda: ServerEngine(
            create_acceptor(
                MemoryAccounts({}) if accounts is None else accounts,
                mechanisms=mechanisms,
                spn=spn,
                keytab=None if keytab is None else os.fspath(keytab),
                service_principal=service_principal,
                channel_bindings=channel_bindings,
                require_mic=require_mic,
                target=target,
                random=random,
                clock=clock,
            ),
            public_key=subject_public_key(loaded.der),
            min_version=min_version,
            max_version=max_version,
            max_message_size=max_message_size,
            max_legs=max_legs,
            observer=observer,
        )

        # Made now, so that arguments that make no sense show here and not in the middle of a login.
        self._prepared: ServerEngine | None = self._make_engine()

    def restart(self) -> None:
        """Begin another exchange in the same TLS channel (`_Context.restart`); the identity is unknown again."""
        super().restart()
        self.identity = self.delegated_credentials = None

    def _start(self) -> ServerEngine:
        engine, self._prepared = self._prepared, None
        return self._make_engine() if engine is None else engine

    @property
    def client_certificate(self) -> bytes | None:
        """The client's certificate in DER, where `ServerTLS.client_ca` demands one; None before the handshake."""
        return self._channel.peer_certificate

    def _note(self, event: Event) -> None:
        if isinstance(event, Authenticated):
            self.identity = event.identity
        elif isinstance(event, CredentialsReceived):
            self.delegated_credentials = event.credentials


# What stands in the SPN of NTLM and Kerberos where the caller names no target, as pyspnego has it.
_UNSPECIFIED = "host/unspecified"

# Made once: together they take 5 us, of which nothing depends on the login.
_CLIENT_TLS = ClientTLS()
_SERVER_TLS = ServerTLS()
_only = functools.lru_cache(maxsize=128)(DelegationPolicy.for_target)


def _encryption_oracle(policy: DelegationPolicy | PolicySettings | None) -> EncryptionOracle:
    if isinstance(policy, PolicySettings) and policy.encryption_oracle is not None:
        return policy.encryption_oracle
    return DEFAULT_ENCRYPTION_ORACLE


def _host(target_name: str) -> str:
    """Return the host part of an SPN ``class/host[:port][/name]``."""
    parts = target_name.split("/")
    host = parts[1] if len(parts) > 1 else parts[0]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() and ":" not in name else host

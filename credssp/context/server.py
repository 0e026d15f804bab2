"""The server's context."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from credssp.account import AccountStore
from credssp.accounts import MemoryAccounts
from credssp.binding import subject_public_key
from credssp.context.acceptor import create_acceptor
from credssp.context.exchange import Context, encryption_oracle
from credssp.credentials import DelegatedCredentials
from credssp.engine.base import DEFAULT_MAX_LEGS, DEFAULT_MAX_MESSAGE_SIZE
from credssp.engine.events import Authenticated, CredentialsReceived, Event, Observer
from credssp.engine.server import ServerEngine
from credssp.errors import LocalProtocolError
from credssp.identity import Identity
from credssp.mechanism_name import MechanismName
from credssp.ntlm.challenge import NTLMTarget
from credssp.policy import DelegationPolicy, PolicySettings
from credssp.protocol_version import HIGHEST_VERSION
from credssp.tls.certificate import ServerCertificate, load_certificate, process_certificate
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import ServerTLS, server_context, sessionless_context

__all__ = ["LoginFacts", "ServerContext"]

# Made once: nothing of it depends on the login.
_TLS = ServerTLS()


@dataclass(frozen=True, slots=True)
class LoginFacts:
    """What a server knows after a login.

    Attributes:
        identity: who logged on.
        delegated_credentials: what the client delegated. Three empty strings are an empty set.
    """

    identity: Identity
    delegated_credentials: DelegatedCredentials


class ServerContext(Context):
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
        mechanisms: Collection[MechanismName] | None = None,
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
            mechanisms: what to accept, best first; None for Kerberos, then NTLM. Kerberos is left out where its
                libraries are not installed; with None also where neither `keytab` is given nor the default keytab has
                a key.
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
        tls = tls or _TLS
        super().__init__(
            TLSChannel(server_context(tls, loaded), server_side=True, without_sessions=sessionless_context(tls))
        )
        if min_version is None:
            min_version = encryption_oracle(policy).server_min_version
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
        """Begin another exchange in the same TLS channel (`Context.restart`); the identity is unknown again."""
        super().restart()
        self.identity = self.delegated_credentials = None

    def _start(self) -> ServerEngine:
        engine, self._prepared = self._prepared, None
        return self._make_engine() if engine is None else engine

    @property
    def login(self) -> LoginFacts:
        """Who logged on, and what was delegated.

        Raises:
            LocalProtocolError: the context is not complete.
        """
        if not self.complete or self.identity is None or self.delegated_credentials is None:
            raise LocalProtocolError("no client has logged on: the context is not complete")
        return LoginFacts(self.identity, self.delegated_credentials)

    @property
    def client_certificate(self) -> bytes | None:
        """The client's certificate in DER, where `ServerTLS.client_ca` demands one; None before the handshake."""
        return self._channel.peer_certificate

    def _note(self, event: Event) -> None:
        if isinstance(event, Authenticated):
            self.identity = event.identity
        elif isinstance(event, CredentialsReceived):
            self.delegated_credentials = event.credentials

"""The login of ``credssp demo``: account, certificate and both contexts, and what came of it."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Final

from credssp.accounts import MemoryAccounts
from credssp.cli._loopback import GREETING, REPLY, LoopbackLeg, Recorder, Transcript, run_login
from credssp.context import ClientContext, ServerContext
from credssp.credentials import PasswordCredentials
from credssp.mechanism_name import MechanismChoice
from credssp.policy import CredentialSource, DelegationPolicy, PolicyDecision
from credssp.protocol_version import UPDATED_VERSION
from credssp.status import SecurityStatus
from credssp.tls.certificate import KeyType, generate_certificate
from credssp.tls.restrictions import rsa_bits, security_level
from credssp.tls.settings import ClientTLS, ServerTLS, TLSVersionName

__all__ = ["DemoOutcome", "key_name", "log_on"]

_TARGET: Final = "TERMSRV/localhost"
_DOMAIN: Final = "LAB"
_USER: Final = "alice"
_KEY_TYPES: Final[dict[str, KeyType]] = {"rsa": "rsa", "ec": "p256", "ed25519": "ed25519"}


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """What came of it.

    Attributes:
        client: the client's context, as it is at the end.
        server: the server's context.
        sent: the credentials that the client had.
        key: the word for the server's key.
        legs: everything that was sent, in order.
        transcript: how each side fared.
        decision: what the client's policy said about delegation.
        seconds: how long the exchange took, without making certificate and account.
    """

    client: ClientContext
    server: ServerContext
    sent: PasswordCredentials
    key: str
    legs: tuple[LoopbackLeg, ...]
    transcript: Transcript
    decision: PolicyDecision
    seconds: float

    @property
    def credentials_match(self) -> bool:
        """Whether the server received exactly what the client sent."""
        return self.server.delegated_credentials == self.sent

    @property
    def data_matches(self) -> bool:
        """Whether application data went both ways unchanged."""
        return (self.transcript.server_received, self.transcript.client_received) == (GREETING, REPLY)

    @property
    def ok(self) -> bool:
        """Whether everything went as it must."""
        transcript = self.transcript
        statuses = (transcript.client_status, transcript.server_status)
        return (
            not transcript.failures
            and statuses == (SecurityStatus.SEC_E_OK, SecurityStatus.SEC_E_OK)
            and self.credentials_match
            and self.data_matches
            and transcript.closed
        )


def key_name(key: str) -> str:
    """Return the name of the server's key, by the word of the command line."""
    return {"rsa": f"RSA, {rsa_bits(security_level())} bits", "ec": "ECDSA, P-256", "ed25519": "Ed25519"}[key]


def log_on(*, tls: TLSVersionName | None, version: int, key: str, mechanism: MechanismChoice) -> DemoOutcome:
    """Run the whole exchange.

    Args:
        tls: the TLS version, or None for the highest that both sides have.
        version: the CredSSP version of both sides, accepted even where it is not safe.
        key: ``rsa``, ``ec`` or ``ed25519``.
        mechanism: as for `ClientContext`.
    """
    credentials = PasswordCredentials(_USER, secrets.token_urlsafe(12), domain=_DOMAIN)
    certificate = generate_certificate(
        _KEY_TYPES[key], common_name="credssp demo", dns_names=("localhost", "127.0.0.1")
    )
    policy = DelegationPolicy.for_target(_TARGET)
    minimum, maximum = tls or "1.2", tls or "1.3"
    lowest = min(version, UPDATED_VERSION)
    legs: list[LoopbackLeg] = []
    client_recorder, server_recorder = Recorder("client", legs), Recorder("server", legs)
    client = ClientContext(
        credentials,
        target_name=_TARGET,
        mechanism=mechanism,
        policy=policy,
        min_version=lowest,
        max_version=version,
        tls=ClientTLS(minimum=minimum, maximum=maximum, fingerprint=hashlib.sha256(certificate.der).hexdigest()),
        observer=client_recorder,
    )
    server = ServerContext(
        accounts=MemoryAccounts({(_DOMAIN, _USER): credentials.password.reveal()}),
        certificate=certificate,
        spn=_TARGET,
        min_version=lowest,
        max_version=version,
        tls=ServerTLS(minimum=minimum, maximum=maximum),
        observer=server_recorder,
    )
    started = time.perf_counter()
    transcript = run_login(client, server, client_recorder, server_recorder)
    elapsed = time.perf_counter() - started
    decision = policy.decide(_TARGET, source=CredentialSource.FRESH, server=client.server_authentication)
    return DemoOutcome(client, server, credentials, key, tuple(legs), transcript, decision, elapsed)

"""One login in the agent: its engine, the judgement of the server's certificate, and what is delegated.

The rules that no program can change:

* The login is bound to the key of the certificate that was judged, and to no other.
* NTLM sends a response only to a server whose certificate the credential trusts, by its fingerprint or by its chain,
  and which is that of the target. With WinRM over https that may be the certificate of https, to which channel bindings
  tie the response. Kerberos needs no certificate: its ticket opens for the target alone.
* What the server is given is the credential's rule; a program may ask for less.
* A Kerberos login does not follow a server to NTLM.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import Final

from credssp.binding import subject_public_key
from credssp.config import ClientConfig
from credssp.context.initiator import create_initiator
from credssp.credentials import (
    CCacheCredentials,
    CertificateCredentials,
    CredentialSource,
    DelegatedCredentials,
    PasswordCredentials,
    RemoteGuardCredentials,
    SmartCardCredentials,
)
from credssp.engine.client import ClientEngine
from credssp.engine.events import Authenticated, CredentialsDelegated, Event, Send
from credssp.errors import AuthenticationError, CertificateError, LocalProtocolError
from credssp.kerberos.remote_guard import remote_guard_credentials
from credssp.lsa.faults import pack_skipped
from credssp.lsa.messages import HIGHEST_PEER_VERSION, Open, Progress
from credssp.lsa.opened import AgentRefusedError, CertificateRule, OpenedCredential, Reason
from credssp.mechanism_name import MechanismChoice, MechanismName
from credssp.policy.configured import lowest_version
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import SkippedCandidate, SpnegoInitiator
from credssp.target import Target
from credssp.tls.end_point import end_point_bindings
from credssp.tls.settings import ClientTLS
from credssp.tls.trust import CertificateTrust, TrustError, judge

__all__ = ["AgentLogin", "CertificateVerdict", "judged", "untrusted"]

_PASSWORDS: Final[tuple[MechanismName, ...]] = ("kerberos", "ntlm")


@dataclass(frozen=True, slots=True)
class CertificateVerdict:
    """What was found about a certificate.

    Attributes:
        trusted: whether NTLM may answer the server.
        why: what is wrong, for people; empty if it is trusted.
    """

    trusted: bool
    why: str = ""


def judged(chain: tuple[bytes, ...], host: str, rule: CertificateRule | None) -> CertificateVerdict:
    """Judge a server's certificates.

    Args:
        chain: DER, leaf first.
        host: of the target.
        rule: the credential's; None trusts none.
    """
    if rule is None:
        return CertificateVerdict(False, "the credential has neither a fingerprint nor an authority to trust")
    if not chain:
        return CertificateVerdict(False, "the program did not say which certificate the server has")
    if rule.fingerprint is not None:
        try:
            ClientTLS(fingerprint=rule.fingerprint).check(chain[0])
        except CertificateError as error:
            return CertificateVerdict(False, error.message)
        return CertificateVerdict(True)
    trust = judge(chain, host, rule.roots)
    return CertificateVerdict(trust.trusted, "" if trust.trusted else _wrong(trust, host))


_LATER: Final = CertificateVerdict(True)
"""Nothing is known of the certificate yet; no response is made before it is."""


def untrusted(verdict: CertificateVerdict) -> AgentRefusedError:
    """Return the refusal of NTLM for a server that is not known."""
    return AgentRefusedError(Reason.CERTIFICATE, f"NTLM sends no response to a server that is not known: {verdict.why}")


def _wrong(trust: CertificateTrust, host: str) -> str:
    names = [str(error.name) for error in TrustError if error and error in trust.errors]
    if not trust.name_matches:
        names.append(f"it does not name {host}")
    return f"the server's certificate is not trusted: {', '.join(names)}"


class AgentLogin:
    """A login that a program asked for.

    Threads: one at a time. `open` and `receive` may wait for a KDC.

    Attributes:
        credential: name of the credential.
        target: SPN of the server.
        package: the security package.
        mechanism: the mechanism at work; empty as long as it is not known.
        delegated: whether the server was given credentials.
        proof_sent: whether what was sent may hold a proof of the password: it was not the first message.
        complete: whether it is over and went well.
        started: when it began, by `time.monotonic`.
    """

    def __init__(self, request: Open, opened: OpenedCredential) -> None:
        """Prepare.

        Args:
            request: what the program asked for.
            opened: the credential; the store has looked at caller and target.

        Raises:
            LocalProtocolError: the request makes no sense.
            AgentRefusedError: no mechanism is left that the credential allows.
        """
        self.credential = opened.name
        self.target = request.target
        self.package = request.package
        self.mechanism = ""
        self.delegated = self.proof_sent = self.complete = False
        self.started = time.monotonic()
        self._opened = opened
        self._request = request
        self._legs = self._sent = 0
        self._seen: set[bytes] = set()
        self._engine: ClientEngine | None = None
        self._skipped: tuple[SkippedCandidate, ...] = ()

    def begin(self, context: int) -> Progress:
        """Return the first message.

        Args:
            context: number of the context, for the answer.

        Raises:
            AgentRefusedError: NTLM is all there is, and the server's certificate is not trusted; or no mechanism that
                was asked for is allowed.
            CredSSPError: the mechanism cannot start.
        """
        request, opened = self._request, self._opened
        target = Target.parse(request.target)
        later = not request.chain  # TSSSP: the certificate comes with the server's first message
        verdict = _LATER if later else judged(request.chain, target.host, opened.certificate)
        bindings = end_point_bindings(request.outer[0]) if request.outer else None
        if bindings is not None and not verdict.trusted:
            # NTLM's response is bound to this one as well, by channel bindings that are made here.
            verdict = judged(request.outer, target.host, opened.certificate)
        by_tls = ServerAuthentication.CERTIFICATE if verdict.trusted else ServerAuthentication.NONE
        mechanism, allowed = self._mechanisms(verdict)
        config = self._config(target, mechanism, bindings or request.channel_bindings or None)
        try:
            initiator = create_initiator(
                config=config, transport_authentication=None if later else by_tls, allowed=allowed
            )
            engine = ClientEngine(
                initiator,
                public_key=b"" if later else subject_public_key(request.chain[0]),
                transport_authentication=ServerAuthentication.NONE if later else by_tls,
                config=config,
            )
            events = engine.initiate()
        except AuthenticationError as error:
            if not verdict.trusted and "ntlm" in opened.mechanisms and request.mechanism in ("auto", "negotiate"):
                error.message += f" (NTLM was not used: {verdict.why})"
            raise
        self._engine = engine
        if isinstance(initiator, SpnegoInitiator):
            self._skipped = initiator.skipped
        return self._step(context, events)

    def bind(self, chain: tuple[bytes, ...]) -> None:
        """Take the server's certificates, where the program did not know them at the beginning.

        Args:
            chain: DER, leaf first.

        Raises:
            AgentRefusedError: NTLM is all there is, and the certificate is not trusted.
            CredSSPError: the certificate does not decode, or is known already.
        """
        engine = self._engine
        if engine is None or not chain:
            raise LocalProtocolError("no login waits for certificates, or there are none")
        verdict = judged(chain, Target.parse(self.target).host, self._opened.certificate)
        if not verdict.trusted and engine.mechanism.name == "ntlm":
            raise untrusted(verdict)
        engine.bind_to(
            subject_public_key(chain[0]),
            transport_authentication=ServerAuthentication.CERTIFICATE if verdict.trusted else ServerAuthentication.NONE,
        )

    def _mechanisms(self, verdict: CertificateVerdict) -> tuple[MechanismChoice, tuple[MechanismName, ...]]:
        """Return what to use of what was asked for, the credential allows, and the certificate permits."""
        asked = self._request.mechanism
        wanted: tuple[str, ...] = _PASSWORDS if asked in ("auto", "negotiate") else (asked,)
        allowed = tuple(name for name in self._opened.mechanisms if name in wanted)
        if not allowed:
            raise AgentRefusedError(
                Reason.MECHANISM, f"the credential {self.credential} does not log on with {' or '.join(wanted)}"
            )
        if "ntlm" in allowed and not verdict.trusted:
            allowed = tuple(name for name in allowed if name != "ntlm")
            if not allowed:
                raise untrusted(verdict)
        if allowed == ("kerberos",):
            return "kerberos", allowed
        if asked == "negotiate":
            return "negotiate", allowed
        return ("auto" if "kerberos" in allowed else "ntlm"), allowed

    def _config(self, target: Target, mechanism: MechanismChoice, bindings: bytes | None) -> ClientConfig:
        request, opened = self._request, self._opened
        if request.policy_target and Target.parse(request.policy_target).host != target.host:
            raise LocalProtocolError("policy_target names another host than the target")
        if request.wire_form == "kerberos" and mechanism != "kerberos":
            raise LocalProtocolError("wire_form kerberos goes with the mechanism kerberos only")
        delegated = self._delegated(target) if request.delegate else None
        config = ClientConfig(
            credentials=opened.credentials,
            target_name=request.target,
            policy_target=request.policy_target or None,
            mechanism=mechanism,
            wire_form="kerberos" if request.wire_form == "kerberos" else "spnego",
            # The second wall: NTLM alone is not enough for the engine either.
            mutual_auth=True,
            short_name_domain="",
            max_version=request.highest_version,
            workstation=request.workstation,
            channel_bindings=bindings,
            delegate=delegated is not None,
            delegated_credentials=delegated,
            policy=opened.policy,
            source=CredentialSource.FRESH if opened.policy is None else CredentialSource.SAVED,
            allow_empty_password=opened.allow_empty_password,
        )
        return replace(config, min_version=max(request.lowest_version, lowest_version(config)))

    def _delegated(self, target: Target) -> DelegatedCredentials | None:
        """Return what the server is given, by the credential's rule; None for an empty set."""
        opened = self._opened
        given, own = opened.delegated_credentials, opened.credentials
        found: DelegatedCredentials | None
        if opened.delegate == "password":
            found = given or (own if isinstance(own, PasswordCredentials) else None)
            return found if isinstance(found, PasswordCredentials) else None
        if opened.delegate == "smartcard":
            found = given or (own.card if isinstance(own, CertificateCredentials) else None)
            return found if isinstance(found, SmartCardCredentials) else None
        if opened.delegate == "remote-guard":
            if isinstance(given, RemoteGuardCredentials):
                return given
            return remote_guard_credentials(str(target), tickets=own if isinstance(own, CCacheCredentials) else None)
        return None

    def receive(self, context: int, leg: int, data: bytes) -> Progress:
        """Take a message of the server.

        Args:
            context: number of the context, for the answer.
            leg: number of the message.
            data: one TSRequest.

        Raises:
            AgentRefusedError: the message was given before.
            CredSSPError: the exchange failed.
        """
        engine = self._engine
        if engine is None:
            raise LocalProtocolError("this login has not begun")
        self._count(leg, hashlib.sha256(data).digest())
        try:
            events = engine.receive(data)
        finally:
            self.mechanism = engine.mechanism.name
        if engine.missing:
            raise LocalProtocolError("a token is one whole TSRequest")
        return self._step(context, events)

    def _count(self, leg: int, digest: bytes) -> None:
        if leg != self._legs + 1 or digest in self._seen:
            raise AgentRefusedError(Reason.REPLAY, "this token was given to the context before, or one is missing")
        self._seen.add(digest)
        self._legs = leg

    def _step(self, context: int, events: list[Event]) -> Progress:
        engine = self._engine
        if engine is None:  # pragma: no cover  # both callers have it
            raise LocalProtocolError("this login has not begun")
        mechanism = engine.mechanism
        messages = tuple(event.data for event in events if isinstance(event, Send))
        self._sent += len(messages)
        self.proof_sent = self._sent > 1
        self.mechanism = mechanism.name
        self.complete = engine.complete
        delegated = next((event for event in events if isinstance(event, CredentialsDelegated)), None)
        self.delegated = delegated is not None and not delegated.empty
        skipped, self._skipped = self._skipped, ()
        return Progress(
            context=context,
            leg=self._legs,
            complete=int(engine.complete),
            peer_version=min(engine.peer_version or 0, HIGHEST_PEER_VERSION),
            version=engine.version or 0,
            mechanism=mechanism.name,
            proved=engine.server_authentication.value,
            client_name=getattr(mechanism, "client_name", ""),
            messages=messages,
            authenticated=int(any(isinstance(event, Authenticated) for event in events)),
            delegated=0 if delegated is None else 2 if delegated.empty else 1,
            skipped=pack_skipped(skipped),
        )

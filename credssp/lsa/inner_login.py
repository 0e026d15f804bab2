"""A login of Negotiate, NTLM or Kerberos in the agent: tokens of the mechanism, without TSRequests around them.

There is no TLS that the agent knows of, and no certificate to judge. Kerberos needs none. NTLM sends a response only
with channel bindings (``tls-server-end-point``, SHA-256) of the certificate that the credential's fingerprint names:
they tie the response to it. A rule that names authorities cannot be checked, since bindings hold a hash.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from credssp.config import ClientConfig
from credssp.context.initiator import create_initiator
from credssp.errors import LocalProtocolError
from credssp.lsa.login import AgentLogin, CertificateVerdict, untrusted
from credssp.lsa.messages import Open, Progress
from credssp.lsa.opened import AgentRefusedError, OpenedCredential, Reason
from credssp.mechanism import Mechanism
from credssp.mechanism_name import MechanismChoice, MechanismName
from credssp.security_context import SecurityContext
from credssp.server_authentication import ServerAuthentication

__all__ = ["INNER_PACKAGES", "InnerLogin"]

_END_POINT: Final = b"tls-server-end-point:"

INNER_PACKAGES: Final[dict[str, tuple[MechanismName, ...]]] = {
    "Negotiate": ("kerberos", "ntlm"),
    "NTLM": ("ntlm",),
    "Kerberos": ("kerberos",),
}
"""Which mechanisms each package may use."""


class InnerLogin(AgentLogin):
    """A login whose messages are tokens of the mechanism; used as `AgentLogin`."""

    def __init__(self, request: Open, opened: OpenedCredential) -> None:
        """Prepare; arguments and errors as `AgentLogin`."""
        super().__init__(request, opened)
        self._mechanism: Mechanism | None = None

    def begin(self, context: int) -> Progress:
        """Return the first token; arguments and errors as `AgentLogin.begin`."""
        request, opened = self._request, self._opened
        verdict = self._judged()
        wanted = INNER_PACKAGES[request.package]
        if request.mechanism in wanted:
            wanted = (request.mechanism,)
        allowed = tuple(name for name in opened.mechanisms if name in wanted)
        if not allowed:
            raise AgentRefusedError(
                Reason.MECHANISM, f"the credential {self.credential} does not log on with {' or '.join(wanted)}"
            )
        if not verdict.trusted:
            allowed = tuple(name for name in allowed if name != "ntlm")
            if not allowed:
                raise untrusted(verdict)
        choice: MechanismChoice = "negotiate" if request.package == "Negotiate" else allowed[0] or "kerberos"
        config = ClientConfig(
            credentials=opened.credentials,
            target_name=request.target,
            mechanism="kerberos" if allowed == ("kerberos",) else choice,
            wire_form="kerberos" if request.package == "Kerberos" else "spnego",
            delegate=False,
            mutual_auth=True,
            short_name_domain="",
            workstation=request.workstation,
            channel_bindings=request.channel_bindings or None,
            allow_empty_password=opened.allow_empty_password,
        )
        self._mechanism = create_initiator(
            config=config,
            transport_authentication=ServerAuthentication.CERTIFICATE if verdict.trusted else ServerAuthentication.NONE,
            allowed=allowed,
        )
        return self._stepped(context, self._mechanism, None)

    def _judged(self) -> CertificateVerdict:
        rule, bindings = self._opened.certificate, self._request.channel_bindings
        if rule is None or rule.fingerprint is None:
            return CertificateVerdict(False, "the credential has no fingerprint to compare channel bindings with")
        if not bindings.startswith(_END_POINT):
            return CertificateVerdict(False, "the program gave no channel bindings of the server's certificate")
        expected = bytes.fromhex(rule.fingerprint)
        same = hmac.compare_digest(bindings[len(_END_POINT) :], expected)
        return CertificateVerdict(same, "" if same else "the channel bindings are those of another certificate")

    def bind(self, chain: tuple[bytes, ...]) -> None:  # noqa: ARG002
        """Refuse certificates: there is no TLS that they could be of."""
        raise LocalProtocolError(f"{self.package} has no use for certificates")

    def receive(self, context: int, leg: int, data: bytes) -> Progress:
        """Take a token of the server; arguments and errors as `AgentLogin.receive`."""
        mechanism = self._mechanism
        if mechanism is None:
            raise LocalProtocolError("this login has not begun")
        self._count(leg, hashlib.sha256(data).digest())
        return self._stepped(context, mechanism, data)

    def _stepped(self, context: int, mechanism: Mechanism, token: bytes | None) -> Progress:
        try:
            answer = mechanism.step(token)
        finally:
            self.mechanism = mechanism.name
        if answer:
            self._sent += 1
        self.proof_sent = self._sent > 1
        self.complete = mechanism.complete
        packed = b""
        if mechanism.complete and isinstance(mechanism, SecurityContext):
            packed = mechanism.pack()
        return Progress(
            context=context,
            leg=self._legs,
            complete=int(mechanism.complete),
            mechanism=mechanism.name,
            proved=mechanism.server_authentication.value,
            client_name=getattr(mechanism, "client_name", ""),
            messages=(answer,) if answer else (),
            packed=packed,
        )

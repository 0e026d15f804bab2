"""What the probes of RDP and WinRM have in common: a report, and first tokens that prove and disclose nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from credssp.context.initiator import create_initiator
from credssp.credentials import PasswordCredentials
from credssp.errors import CredSSPError
from credssp.ntlm.messages import Challenge
from credssp.protocol_version import HIGHEST_VERSION
from credssp.spnego import OID
from credssp.spnego.tokens import NegState, NegTokenInit, NegTokenResp
from credssp.status import describe
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import ClientTLS
from credssp.wire.ts_request import TSRequest

__all__ = ["VERSIONS", "ProbeReport", "first_requests"]

VERSIONS: Final = tuple(ClientTLS(minimum=version, maximum=version) for version in ("1.2", "1.3"))
"""TLS settings for one version each."""


@dataclass(slots=True)
class ProbeReport:
    """What was found out; what was not stays empty.

    Attributes:
        host: as it was asked for.
        port: TCP port.
        error: why nothing (more) was found out, or None.
        protocols: by name: ``accepted``, the name of the failure code, or what else came.
        tls: version to cipher suite, of the versions that the server takes.
        tls_error: why no version was taken, where none was: what the last attempt came to.
        certificate: the server's leaf certificate, DER.
        credssp_version: the version that the server says it has.
        credssp_error: what CredSSP came to, where it failed.
        mechanisms: ``ntlm``, ``spnego/ntlm``, ``spnego/kerberos``.
        ntlm: names and values of CHALLENGE's target information, TargetName, and the operating system's version.
        seconds: how long it took.
    """

    host: str
    port: int
    error: CredSSPError | None = None
    protocols: dict[str, str] = field(default_factory=dict)
    tls: dict[str, str] = field(default_factory=dict)
    tls_error: str | None = None
    certificate: bytes | None = None
    credssp_version: int | None = None
    credssp_error: str | None = None
    mechanisms: list[str] = field(default_factory=list)
    ntlm: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def add_tls(self, channel: TLSChannel) -> None:
        """Take a handshake that went well."""
        self.tls[channel.protocol] = channel.cipher
        self.certificate = channel.peer_certificate
        self.tls_error = None

    def add_tls_failure(self, error: CredSSPError) -> None:
        """Take a handshake that did not: the server does not take this version, or no TLS at all."""
        if not self.tls:
            self.tls_error = error.message

    def add_answer(self, mechanism: str, answer: TSRequest) -> None:
        """Take what the server answered to a first token of this mechanism.

        Raises:
            DecodeError: its token cannot be read.
        """
        self.credssp_version = answer.version
        if answer.error_code is not None:
            self.credssp_error = self.credssp_error or describe(answer.error_code).summary
        elif answer.nego_tokens and self._accepts(answer.nego_tokens[0]):
            self.mechanisms.append(mechanism)

    def add_failure(self, mechanism: str, error: CredSSPError) -> None:
        """Take an end without an answer: a server may close on a mechanism that it does not have."""
        self.credssp_error = self.credssp_error or f"{mechanism}: {error.message}"

    def _accepts(self, token: bytes | None) -> bool:
        if token is not None and token[:1] == b"\xa1":
            reply = NegTokenResp.decode(token)
            if reply.neg_state is NegState.REJECT:
                return False
            token = reply.response_token
        if token is not None and token.startswith(b"NTLMSSP\0") and not self.ntlm:
            challenge = Challenge.decode(token)
            self.ntlm = dict(challenge.target_info.described()) if challenge.target_info is not None else {}
            self.ntlm["TargetName"] = challenge.target_name
            if challenge.version is not None:
                self.ntlm["Version"] = str(challenge.version)
        return True


def first_requests() -> dict[str, bytes]:
    """Return, by mechanism, a TSRequest with a first token that proves and discloses nothing."""
    nobody = PasswordCredentials("probe", "none")  # goes into AUTHENTICATE only, which is never made
    negotiate = create_initiator(nobody, target_name="TERMSRV/probe", mechanism="ntlm").step(None)
    tokens = {
        "ntlm": negotiate or b"",
        "spnego/ntlm": NegTokenInit((OID.NTLM,), mech_token=negotiate).encode(),
        "spnego/kerberos": NegTokenInit((OID.MS_KERBEROS, OID.KERBEROS)).encode(),
    }
    return {name: TSRequest(HIGHEST_VERSION, nego_tokens=(token,)).encode() for name, token in tokens.items()}

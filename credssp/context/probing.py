"""What the probes of RDP and WinRM have in common: a report, and first tokens that prove and disclose nothing."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
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
from credssp.tls.hello import OLD_SUITES, TLS_1_0, TLS_1_1, TLS_1_2, WEAK_SUITES, HelloAnswer
from credssp.tls.settings import ClientTLS
from credssp.wire.ts_request import TSRequest

__all__ = ["VERSIONS", "OldTLS", "ProbeReport", "first_requests", "next_old_offer"]

VERSIONS: Final = tuple(ClientTLS(minimum=version, maximum=version) for version in ("1.2", "1.3"))
"""TLS settings for one version each."""

_EPOCH: Final = 116_444_736_000_000_000
"""FILETIME of 1970."""


@dataclass(frozen=True, slots=True)
class OldTLS:
    """An offer of what should not be taken any more.

    Attributes:
        version: the highest version offered.
        suites: numbers of the cipher suites offered.
    """

    version: int
    suites: Sequence[int]


def next_old_offer(answers: Sequence[HelloAnswer | None]) -> OldTLS | None:
    """Return what to offer next, after the answers to the offers before, or None at the end.

    A server that refuses TLS 1.1 and below in one connection is not asked for 1.0 in another: a server of today costs
    two connections, an old one three, each ended after the ServerHello, before anything is computed.

    Args:
        answers: what came of the offers so far; None for a refusal.
    """
    if not answers:
        return OldTLS(TLS_1_2, tuple(WEAK_SUITES))
    if len(answers) == 1:
        return OldTLS(TLS_1_1, tuple(OLD_SUITES))
    last = answers[-1]
    if len(answers) == 2 and last is not None and last.version == "TLSv1.1":
        return OldTLS(TLS_1_0, tuple(OLD_SUITES))
    return None


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
        old_tls: version to cipher suite, of TLS 1.0 and 1.1, where the server takes them.
        weak_cipher: the cipher suite that it chose where only weak ones were offered, or an empty string.
        negotiation_flags: flags of its RDP_NEG_RSP, or None where none was sent.
        clock_skew: seconds that its clock is ahead of this one, by NTLM's time; negative where it is slow; None where
            it tells none.
        os_build: the operating system's build number, or None.
        chain: the certificates it sent, DER, its own first; empty where this Python cannot tell.
        greeting: the first bytes it sent, which show what kind of server it is.
        times: seconds for each part of the probe.
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
    old_tls: dict[str, str] = field(default_factory=dict)
    weak_cipher: str = ""
    negotiation_flags: int | None = None
    clock_skew: float | None = None
    os_build: int | None = None
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    greeting: bytes = field(default=b"", repr=False)
    times: dict[str, float] = field(default_factory=dict)
    _part: tuple[str, float] | None = field(default=None, repr=False, compare=False)

    def begin(self, part: str) -> None:
        """Count the time from here on for a part of the probe; an empty name ends the last one."""
        now = time.monotonic()
        if self._part is not None:
            name, since = self._part
            self.times[name] = self.times.get(name, 0.0) + now - since
        self._part = (part, now) if part else None

    def fail(self, error: CredSSPError) -> None:
        """Take the error that ended the probe, without the frames that it came through.

        They hold the report, which holds the error: a million of them would wait for the garbage collector.
        """
        self.error = error.with_traceback(None)
        error.__cause__ = error.__context__ = None

    def add_old_answer(self, answer: HelloAnswer | None) -> None:
        """Take what came of an `OldTLS`; None for a refusal."""
        if answer is None:
            return
        if answer.version in ("TLSv1", "TLSv1.1"):
            self.old_tls[answer.version] = answer.cipher
        if answer.cipher in WEAK_SUITES.values():
            self.weak_cipher = self.weak_cipher or answer.cipher

    def add_tls(self, channel: TLSChannel) -> None:
        """Take a handshake that went well."""
        self.tls[channel.protocol] = channel.cipher
        self.certificate = channel.peer_certificate
        self.chain = channel.peer_chain
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
                self.os_build = challenge.version.build
            theirs = None if challenge.target_info is None else challenge.target_info.timestamp
            if theirs is not None:
                self.clock_skew = (theirs - _EPOCH) / 1e7 - time.time()
        return True


@functools.cache
def first_requests() -> Mapping[str, bytes]:
    """Return, by mechanism, a TSRequest with a first token that proves and discloses nothing."""
    nobody = PasswordCredentials("probe", "none")  # goes into AUTHENTICATE only, which is never made
    negotiate = create_initiator(nobody, target_name="TERMSRV/probe", mechanism="ntlm").step(None)
    tokens = {
        "ntlm": negotiate or b"",
        "spnego/ntlm": NegTokenInit((OID.NTLM,), mech_token=negotiate).encode(),
        "spnego/kerberos": NegTokenInit((OID.MS_KERBEROS, OID.KERBEROS)).encode(),
    }
    requests = {name: TSRequest(HIGHEST_VERSION, nego_tokens=(token,)).encode() for name, token in tokens.items()}
    return MappingProxyType(requests)

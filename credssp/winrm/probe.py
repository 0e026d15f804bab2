"""What a WinRM server offers, found out without credentials and without input or output.

As `credssp.rdp.probe`, over HTTP: the authentication schemes, the TLS versions and the certificate inside, the CredSSP
version, the mechanisms and the names that NTLM tells everybody. `credssp.drivers.winrm_probe` runs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, TypeVar

from credssp.context.probing import VERSIONS, OldTLS, ProbeReport, first_requests, next_old_offer
from credssp.errors import CredSSPError, LimitExceededError, PeerClosedError, RemoteProtocolError
from credssp.tls.channel import TLSChannel
from credssp.tls.hello import WEAK_SUITES, HelloAnswer, client_hello, read_answer
from credssp.tls.settings import ClientTLS, client_context
from credssp.winrm.client import check_offer
from credssp.winrm.errors import NotOfferedError
from credssp.winrm.header import challenge_token, format_token, schemes
from credssp.wire.ts_request import TSRequest

__all__ = ["ProbeAnswer", "ProbePost", "ProbePosts", "WinRMReport", "probe"]

_MAX_LEGS: Final = 8

T = TypeVar("T")


@dataclass(slots=True)
class WinRMReport(ProbeReport):
    """What was found out; `protocols` are the authentication schemes, `tls` and `certificate` are those inside.

    Attributes:
        https_version: TLS version of https, or an empty string.
        https_certificate: its certificate, DER.
        server: what the server calls itself.
        https_old: version to cipher suite, of TLS 1.0 and 1.1, where https takes them.
        https_weak_cipher: the cipher suite that https chose where only weak ones were offered, or an empty string.
        http_status: status of the answer to the first request, 0 where there was none.
    """

    https_version: str = ""
    https_certificate: bytes | None = None
    server: str = ""
    http_status: int = 0
    https_old: dict[str, str] = field(default_factory=dict)
    https_weak_cipher: str = ""

    def add_old_https(self, answer: HelloAnswer | None) -> None:
        """Take what https answered to an `OldTLS`; None for a refusal."""
        if answer is None:
            return
        if answer.version in ("TLSv1", "TLSv1.1"):
            self.https_old[answer.version] = answer.cipher
        if answer.cipher in WEAK_SUITES.values():
            self.https_weak_cipher = self.https_weak_cipher or answer.cipher


@dataclass(frozen=True, slots=True)
class ProbePost:
    """A POST with an empty body that is to be sent next.

    Attributes:
        authorization: value of Authorization, or None for none.
        fresh: whether it goes over a new connection, and the one before is closed.
    """

    authorization: str | None = None
    fresh: bool = False


class ProbeAnswer(Protocol):
    """What of an HTTP response is needed here."""

    @property
    def status(self) -> int:
        """Its status."""

    @property
    def challenges(self) -> Sequence[str]:
        """The values of WWW-Authenticate."""

    @property
    def server(self) -> str:
        """What the server calls itself."""


ProbePosts: TypeAlias = Generator[ProbePost, ProbeAnswer, T]
"""Yields requests and is sent the answers."""


def probe(report: WinRMReport) -> ProbePosts[None]:
    """Find out what a server offers, and fill the report.

    Raises:
        CredSSPError: the connection failed where no answer of the server can be seen in that.
    """
    report.begin("negotiation")
    answer = yield ProbePost(fresh=True)
    report.http_status = answer.status
    report.server = answer.server
    report.protocols = dict.fromkeys(schemes(answer.challenges), "accepted")
    try:
        check_offer(answer.status, answer.challenges)
    except NotOfferedError:
        report.protocols["CredSSP"] = "not offered"
        return
    # As with RDP: the handshakes that show the versions also carry the first questions.
    questions = list(first_requests().items())
    for version in VERSIONS:
        report.begin("tls")
        try:
            channel, plaintext = yield from _handshake(version)
        except LimitExceededError:
            raise
        except RemoteProtocolError as error:
            report.add_tls_failure(error)
            continue
        report.add_tls(channel)
        report.begin("credssp")
        with contextlib.suppress(CredSSPError):
            report.add_answer(questions[0][0], (yield from _exchange(channel, plaintext, questions[0][1])))
            del questions[0]
    report.begin("credssp")
    for name, request in questions if report.tls else ():
        try:
            channel, plaintext = yield from _handshake(ClientTLS())
            report.add_answer(name, (yield from _exchange(channel, plaintext, request)))
        except CredSSPError as error:
            report.add_failure(name, error)
    report.begin("old tls")
    yield from _offer_old(report)


def _offer_old(report: WinRMReport) -> ProbePosts[None]:
    """Offer old TLS versions and weak ciphers inside HTTP, and fill the report with what is taken."""
    answers: list[HelloAnswer | None] = []
    while (offer := next_old_offer(answers)) is not None:
        try:
            answers.append((yield from _hello(offer)))
        except CredSSPError:  # an alert, an end of the login, or nonsense: not taken
            answers.append(None)
        report.add_old_answer(answers[-1])


def _hello(offer: OldTLS) -> ProbePosts[HelloAnswer | None]:
    answer = yield ProbePost(format_token(client_hello(offer.version, offer.suites)), fresh=True)
    return read_answer(_token(answer))


def _handshake(settings: ClientTLS) -> ProbePosts[tuple[TLSChannel, bytes]]:
    """Shake hands inside HTTP; returns the channel and, mostly empty, plaintext that came with it."""
    channel = TLSChannel(client_context(settings), server_side=False)
    for number in range(_MAX_LEGS):
        done = channel.handshake()
        token = channel.data_to_send()
        if done and not token:
            return channel, channel.read()
        channel.receive(_token((yield ProbePost(format_token(token), fresh=number == 0))))
    raise LimitExceededError(f"a TLS handshake of more than {_MAX_LEGS} legs")


def _exchange(channel: TLSChannel, plaintext: bytes, request: bytes) -> ProbePosts[TSRequest]:
    channel.write(request)
    channel.receive(_token((yield ProbePost(format_token(channel.data_to_send())))))
    plaintext += channel.read()
    if not plaintext:
        raise PeerClosedError("the server ended the login without an answer")
    return TSRequest.decode(plaintext)


def _token(answer: ProbeAnswer) -> bytes:
    token = challenge_token(answer.challenges)
    if answer.status != 401 or token is None:
        raise RemoteProtocolError(f"the server answered HTTP {answer.status} where a leg was due")
    return token

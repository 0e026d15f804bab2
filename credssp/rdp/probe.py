"""What an RDP server offers, found out without credentials and without input or output.

`probe` is a generator: it yields what to send, is sent what came back, and fills a report. An error of the connection
is thrown into it. `credssp.drivers.rdp_probe` runs it. A server closes after most answers, so that nearly every
question takes a connection of its own:

1. which protocols it takes: one Connection Request for each;
2. which TLS versions, with which certificate, and whether old versions and weak ciphers are taken;
3. which CredSSP version and which names: a TSRequest with NTLM's NEGOTIATE is answered with CHALLENGE, which has them;
4. which mechanisms inside CredSSP: NTLM without SPNEGO, and SPNEGO with NTLM or Kerberos alone.

Nothing that is sent proves or discloses anything: NEGOTIATE and an empty Kerberos offer hold no name and no secret.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, TypeVar

from credssp.context.probing import VERSIONS, OldTLS, ProbeReport, first_requests, next_old_offer
from credssp.errors import CredSSPError, DecodeError, LimitExceededError, PeerClosedError, RemoteProtocolError
from credssp.rdp.negotiation import (
    CREDSSP_PROTOCOLS,
    FailureCode,
    NegotiationFailure,
    NegotiationRequest,
    NegotiationResponse,
    Protocol,
)
from credssp.rdp.tpkt import TPKTBuffer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.target import split_name
from credssp.tls.channel import TLSChannel
from credssp.tls.hello import HelloAnswer, client_hello, read_answer
from credssp.tls.settings import ClientTLS, client_context
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.ts_request import TSRequest

__all__ = ["ProbeLeg", "ProbeSteps", "probe"]

_PROTOCOLS: Final = (
    Protocol.RDP,
    Protocol.SSL,
    Protocol.HYBRID,
    Protocol.HYBRID_EX,
    Protocol.RDSTLS,
    Protocol.RDSAAD,
)
_MAX_HANDSHAKE: Final = 256 * 1024
"""Bytes of a server's TLS handshake that are read; chains with a dozen certificates have a tenth of it."""

_GREETING: Final = 64
"""Bytes of a first answer that are kept, which is enough to recognise a protocol."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProbeLeg:
    """What is to be done next.

    Attributes:
        data: bytes to send.
        awaited: what the answer has to be, for people; empty where no answer is waited for.
        fresh: whether it goes over a new connection, and the one before is closed.
    """

    data: bytes = field(repr=False)
    awaited: str = ""
    fresh: bool = False


ProbeSteps: TypeAlias = Generator[ProbeLeg, bytes, T]
"""Yields legs; is sent what came, ``b""`` where nothing is awaited."""


def probe(report: ProbeReport, *, cookie: str | None = None, routing_token: bytes | None = None) -> ProbeSteps[None]:
    """Find out what a server offers, and fill the report.

    Args:
        report: what to fill.
        cookie: IDENTIFIER of the cookie in each Connection Request, or None.
        routing_token: a load balancer's token in place of it, or None.

    Raises:
        CredSSPError: the connection failed where no answer of the server can be seen in that.
    """
    ask = ConnectionRequest(cookie=cookie, routing_token=routing_token)
    report.begin("negotiation")
    yield from _ask_all(report, ask)
    accepted = [p for p in reversed(_PROTOCOLS) if report.protocols.get(p.name or "") == "accepted"]
    tls = [p for p in accepted if p & (CREDSSP_PROTOCOLS | Protocol.SSL)]
    if not tls:
        return
    # A handshake costs more than all else: those that show the versions also carry the first questions inside.
    questions = list(first_requests().items()) if tls[0] & CREDSSP_PROTOCOLS else []
    for version in VERSIONS:
        report.begin("tls")
        _, rest = yield from _negotiate(report, ask, tls[0])
        try:
            channel = yield from _start_tls(report.host, version, rest)
        except RemoteProtocolError as error:
            report.add_tls_failure(error)
            continue
        report.add_tls(channel)
        if questions:
            report.begin("credssp")
            # One that fails is asked again below, where the server is free to choose the version.
            with contextlib.suppress(CredSSPError):
                report.add_answer(questions[0][0], (yield from _exchange(channel, questions[0][1])))
                del questions[0]
    report.begin("credssp")
    for name, request in questions if report.tls else ():
        try:
            _, rest = yield from _negotiate(report, ask, tls[0])
            channel = yield from _start_tls(report.host, ClientTLS(), rest)
            report.add_answer(name, (yield from _exchange(channel, request)))
        except CredSSPError as error:
            report.add_failure(name, error)
    # Last: a server that stays silent here costs nothing but its time.
    report.begin("old tls")
    yield from _offer_old(report, ask, tls[0])


def _ask_all(report: ProbeReport, ask: ConnectionRequest) -> ProbeSteps[None]:
    """Ask for each protocol. Raises DecodeError: no answer was that of an RDP server."""
    farewell: DecodeError | None = None
    for protocol in _PROTOCOLS:
        try:
            report.protocols[protocol.name or ""] = yield from _offer(report, ask, protocol)
        except DecodeError as error:
            # xrdp 0.9.21 says goodbye with an MCS PDU to who asks for a protocol that it does not know or take, which
            # may be the first of them. What begins otherwise is not an RDP server.
            if not report.protocols and not _is_goodbye(report.greeting):
                raise
            farewell = farewell or error
            report.protocols[protocol.name or ""] = "closed"
    if farewell is not None and set(report.protocols.values()) == {"closed"}:
        report.protocols.clear()
        raise farewell


def _is_goodbye(data: bytes) -> bool:
    """Whether this is MCS Disconnect Provider Ultimatum, whatever its reason (T.125 7, DomainMCSPDU 8)."""
    return len(data) > 7 and data[0] == 3 and data[4:7] == b"\x02\xf0\x80" and data[7] >> 2 == 8


def _offer(report: ProbeReport, ask: ConnectionRequest, protocol: Protocol) -> ProbeSteps[str]:
    try:
        answer, _ = yield from _negotiate(report, ask, protocol)
    except PeerClosedError:
        return "closed"
    if isinstance(answer, NegotiationResponse) and answer.selected == protocol:
        report.negotiation_flags = int(answer.flags) | (report.negotiation_flags or 0)
    if isinstance(answer, NegotiationFailure):
        try:
            return FailureCode(answer.code).name
        except ValueError:
            return f"failure {answer.code}"
    selected = Protocol.RDP if answer is None else answer.selected
    return "accepted" if selected == protocol else f"selected {selected.name or int(selected)}"


def _negotiate(
    report: ProbeReport, ask: ConnectionRequest, protocol: Protocol
) -> ProbeSteps[tuple[NegotiationResponse | NegotiationFailure | None, bytes]]:
    """Ask for one protocol; returns the answer and what came after it."""
    request = replace(ask, negotiation=NegotiationRequest(protocol)).encode()
    awaited = "expect the Connection Confirm"
    buffer = TPKTBuffer()
    data = yield ProbeLeg(request, awaited, fresh=True)
    report.greeting = report.greeting or data[:_GREETING]
    tpdu = buffer.feed(data)
    while tpdu is None:
        tpdu = buffer.feed((yield ProbeLeg(b"", awaited)))
    return ConnectionConfirm.decode(tpdu).negotiation, buffer.take_rest()


def _start_tls(host: str, settings: ClientTLS, rest: bytes) -> ProbeSteps[TLSChannel]:
    """Shake hands."""
    channel = TLSChannel(client_context(settings), server_side=False, server_hostname=split_name(host)[0])
    channel.receive(rest)
    received = 0
    try:
        while not channel.handshake():
            data = yield ProbeLeg(channel.data_to_send(), "expect TLS")
            received += len(data)
            if received > _MAX_HANDSHAKE:
                raise LimitExceededError(f"a TLS handshake of more than {_MAX_HANDSHAKE} bytes")
            channel.receive(data)
    except CredSSPError:
        yield ProbeLeg(channel.data_to_send())  # an alert
        raise
    yield ProbeLeg(channel.data_to_send())
    return channel


def _offer_old(report: ProbeReport, ask: ConnectionRequest, protocol: Protocol) -> ProbeSteps[None]:
    """Offer old TLS versions and weak ciphers, and fill the report with what is taken."""
    answers: list[HelloAnswer | None] = []
    while (offer := next_old_offer(answers)) is not None:
        try:
            _, rest = yield from _negotiate(report, ask, protocol)
            answers.append((yield from _hello(offer, rest)))
        except CredSSPError:  # an alert, a close, silence, or nonsense: not taken
            answers.append(None)
        report.add_old_answer(answers[-1])


def _hello(offer: OldTLS, data: bytes) -> ProbeSteps[HelloAnswer]:
    leg = ProbeLeg(client_hello(offer.version, offer.suites), "expect TLS")
    while (answer := read_answer(data)) is None:
        if len(data) > _MAX_HANDSHAKE:
            raise LimitExceededError(f"a TLS handshake of more than {_MAX_HANDSHAKE} bytes")
        data += yield leg
        leg = ProbeLeg(b"", "expect TLS")
    return answer


def _exchange(channel: TLSChannel, request: bytes) -> ProbeSteps[TSRequest]:
    """Send a TSRequest and return the answer."""
    channel.write(request)
    buffer = TSRequestBuffer()
    while True:
        buffer.feed(channel.read())
        answer = buffer.next_message()
        if answer is not None:
            return TSRequest.decode(answer)
        if channel.peer_closed:
            raise PeerClosedError("the server closed the TLS channel")
        channel.receive((yield ProbeLeg(channel.data_to_send(), "expect a TSRequest")))

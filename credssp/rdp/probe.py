"""What an RDP server offers, found out without credentials and without input or output.

`probe` is a generator: it yields what to send, is sent what came back, and fills a report. An error of the connection
is thrown into it. `credssp.drivers.rdp_probe` runs it. A server closes after most answers, so that questions take
connections of their own, but for those that can follow an answer on the same one:

1. which protocols it takes: a Connection Request for each, and one for those together that most servers refuse;
2. which TLS versions, with which certificate: where a protocol with TLS was just taken, a handshake follows;
3. which CredSSP version and which names: a TSRequest with NTLM's NEGOTIATE is answered with CHALLENGE, which has them;
4. which mechanisms inside CredSSP: NTLM without SPNEGO, and SPNEGO with NTLM or Kerberos alone; the first two follow
   the handshakes;
5. whether old TLS versions and weak ciphers are taken.

Nothing that is sent proves or discloses anything: NEGOTIATE and an empty Kerberos offer hold no name and no secret.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Generator, Sequence
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
_CHOICES: Final = (
    (Protocol.RDP,),
    (Protocol.HYBRID,),
    (Protocol.HYBRID_EX,),
    (Protocol.SSL, Protocol.RDSTLS, Protocol.RDSAAD),
)
"""What is asked for at a time: together what servers that demand CredSSP refuse."""

_WITH_TLS: Final = CREDSSP_PROTOCOLS | Protocol.SSL

_MAX_HANDSHAKE: Final = 256 * 1024
"""Bytes of a server's TLS handshake that are read; chains with a dozen certificates have a tenth of it."""

_GREETING: Final = 64
"""Bytes of a first answer that are kept, which is enough to recognise a protocol."""

T = TypeVar("T")
_Choice: TypeAlias = tuple[Protocol, ...]


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


@dataclass(slots=True)
class _Todo:
    """What is to be asked on the next connection that the server takes TLS on.

    Attributes:
        versions: TLS settings, one for each version.
        questions: TSRequests by mechanism.
        broken: the error that ended a handshake without an answer of the server; nothing more is asked in TLS then.
    """

    versions: list[ClientTLS] = field(default_factory=lambda: list(VERSIONS))
    questions: dict[str, bytes] = field(default_factory=lambda: dict(first_requests()))
    broken: CredSSPError | None = None


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
    todo = _Todo()
    yield from _ask_all(report, ask, todo)
    if todo.broken is not None:
        raise todo.broken
    accepted = [p for p in reversed(_PROTOCOLS) if report.protocols.get(p.name or "") == "accepted"]
    tls = [p for p in accepted if p & _WITH_TLS]
    if not tls:
        return
    while todo.versions:
        report.begin("tls")
        _, rest = yield from _negotiate(report, ask, tls[0])
        yield from _handshake(report, todo, tls[0], rest)
    report.begin("credssp")
    for name, request in todo.questions.items() if report.tls and tls[0] & CREDSSP_PROTOCOLS else ():
        try:
            _, rest = yield from _negotiate(report, ask, tls[0])
            channel = yield from _start_tls(report.host, ClientTLS(), rest)
            report.add_answer(name, (yield from _exchange(channel, request)))
        except CredSSPError as error:
            report.add_failure(name, error)
    # Last: a server that stays silent here costs nothing but its time.
    report.begin("old tls")
    yield from _offer_old(report, ask, tls[0])


def _handshake(report: ProbeReport, todo: _Todo, protocol: Protocol, rest: bytes) -> ProbeSteps[None]:
    """Find out about the next TLS version on a connection that has this protocol.

    A handshake costs more than all else: those that show the versions also carry the first questions inside.
    """
    report.begin("tls")
    try:
        channel = yield from _start_tls(report.host, todo.versions.pop(0), rest)
    except RemoteProtocolError as error:
        report.add_tls_failure(error)
        return
    report.add_tls(channel)
    if todo.questions and protocol & CREDSSP_PROTOCOLS:
        report.begin("credssp")
        name = next(iter(todo.questions))
        # One that fails is asked again later, where the server is free to choose the version.
        with contextlib.suppress(CredSSPError):
            report.add_answer(name, (yield from _exchange(channel, todo.questions[name])))
            del todo.questions[name]


def _ask_all(report: ProbeReport, ask: ConnectionRequest, todo: _Todo) -> ProbeSteps[None]:
    """Ask for each protocol. Raises DecodeError: no answer was that of an RDP server."""
    farewell: DecodeError | None = None
    choices = list(_CHOICES)
    while choices:
        choice = choices.pop(0)
        report.begin("negotiation")
        try:
            choices += yield from _offer(report, ask, choice, todo)
        except DecodeError as error:
            # xrdp 0.9.21 says goodbye with an MCS PDU to who asks for a protocol that it does not know or take, which
            # may be the first of them. What begins otherwise is not an RDP server.
            if not report.protocols and not _is_goodbye(report.greeting):
                raise
            farewell = farewell or error
            choices += _closed(report, choice)
    report.protocols = {name: report.protocols[name] for name in _names(_PROTOCOLS)}
    if farewell is not None and set(report.protocols.values()) == {"closed"}:
        report.protocols.clear()
        raise farewell


def _is_goodbye(data: bytes) -> bool:
    """Whether this is MCS Disconnect Provider Ultimatum, whatever its reason (T.125 7, DomainMCSPDU 8)."""
    return len(data) > 7 and data[0] == 3 and data[4:7] == b"\x02\xf0\x80" and data[7] >> 2 == 8


def _offer(report: ProbeReport, ask: ConnectionRequest, choice: _Choice, todo: _Todo) -> ProbeSteps[Sequence[_Choice]]:
    """Let the server choose; returns what has to be asked for on other connections to know about each."""
    try:
        answer, rest = yield from _negotiate(report, ask, functools.reduce(operator.or_, choice))
    except PeerClosedError:
        return _closed(report, choice)
    if isinstance(answer, NegotiationFailure):
        # Who refuses a choice refuses each.
        report.protocols |= dict.fromkeys(_names(choice), _failure(answer))
        return ()
    selected = Protocol.RDP if answer is None else answer.selected
    if selected not in choice:
        report.protocols |= dict.fromkeys(_names(choice), f"selected {selected.name or int(selected)}")
        return ()
    report.protocols[selected.name or ""] = "accepted"
    if answer is not None:
        report.negotiation_flags = int(answer.flags) | (report.negotiation_flags or 0)
    if selected & _WITH_TLS and todo.versions and todo.broken is None:
        try:
            yield from _handshake(report, todo, selected, rest)
        except CredSSPError as error:
            todo.broken = error
    others = tuple(protocol for protocol in choice if protocol is not selected)
    return (others,) if others else ()


def _closed(report: ProbeReport, choice: _Choice) -> Sequence[_Choice]:
    """Take a close, or a goodbye, for an answer: which of a choice it is about is not known."""
    if len(choice) > 1:
        return [(protocol,) for protocol in choice]
    report.protocols |= dict.fromkeys(_names(choice), "closed")
    return ()


def _failure(answer: NegotiationFailure) -> str:
    try:
        return FailureCode(answer.code).name
    except ValueError:
        return f"failure {answer.code}"


def _names(choice: _Choice) -> list[str]:
    return [protocol.name or "" for protocol in choice]


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

"""NEG: the negotiation of an RDP connection ([MS-RDPBCGR] 2.2.1.1, 2.2.1.2, 5.4.2)."""

from __future__ import annotations

from credssp.conformance.catalogue._base import CATALOGUE, CLIENT, MUST, ROBUSTNESS, SECURITY, SERVER, SHOULD
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import End, Reply
from credssp.conformance.links import Link
from credssp.conformance.observation import Observation
from credssp.conformance.rule import (
    SHOWN,
    Evidence,
    Outcome,
    Skipped,
    Verdict,
    alive,
    failed,
    lenient,
    need,
    passed,
)
from credssp.conformance.run import ServerRun, judge_refusal
from credssp.conformance.scripted_server import nothing_delegated
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.conformance.x224 import ask
from credssp.errors import CredSSPError
from credssp.rdp.negotiation import NegotiationFailure, NegotiationResponse
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.tls.settings import ClientTLS

# fmt: off
CATALOGUE.declare(
    ("CSSP-NEG-01", "protocols that imply others", SHOULD, CLIENT, "[MS-RDPBCGR] 2.2.1.1.1", "the Connection Request",
     "HYBRID comes with SSL, HYBRID_EX with HYBRID"),
    ("CSSP-NEG-02", "CredSSP is selected", ROBUSTNESS, SERVER, "[MS-RDPBCGR] 3.3.5.3.2, 5.4.2.1",
     "requestedProtocols SSL and HYBRID", "selectedProtocol HYBRID"),
    ("CSSP-NEG-03", "TLS alone where CredSSP is demanded", MUST, SERVER, "[MS-RDPBCGR] 2.2.1.2.2, 3.3.5.3.2",
     "requestedProtocols SSL", "RDP_NEG_FAILURE HYBRID_REQUIRED_BY_SERVER (skipped where it is not demanded)"),
    ("CSSP-NEG-04", "HYBRID_EX alone", ROBUSTNESS, SERVER, "[MS-RDPBCGR] 2.2.1.1.1", "requestedProtocols HYBRID_EX",
     "HYBRID_EX is selected, or a failure code; no hang"),
    ("CSSP-NEG-05", "all protocols", MUST, SERVER, "[MS-RDPBCGR] 3.3.5.3.2, 5.4.2.1",
     "requestedProtocols SSL, HYBRID and HYBRID_EX", "HYBRID_EX, or HYBRID without support for it"),
    ("CSSP-NEG-06", "a protocol that was not asked for", ROBUSTNESS, CLIENT, "[MS-RDPBCGR] 3.2.5.3.2, 5.4.2.1",
     "selectedProtocol RDSTLS", "the client stops"),
    ("CSSP-NEG-07", "the client repeats the choice inside TLS", MUST, CLIENT,
     "[MS-RDPBCGR] 2.2.1.3.2, 3.3.5.3.3, 5.4.2.1", "MCS Connect Initial after a good login",
     "serverSelectedProtocol is what was negotiated"),
    ("CSSP-NEG-08", "Restricted Admin without the server", SECURITY, CLIENT, "[MS-RDPBCGR] 2.2.1.1.1, 2.2.1.2.1",
     "the client asks for Restricted Admin, the server does not have it", "the client stops: nothing is delegated"),
    ("CSSP-NEG-09", "Remote Credential Guard without the server", ROBUSTNESS, SERVER, "[MS-RDPBCGR] 2.2.1.2.1",
     "REDIRECTED_AUTHENTICATION_MODE_REQUIRED to a server as it is",
     "a failure, or a response; with the flag only if it has the mode"),
    ("CSSP-NEG-10", "reasons of a refusal are distinguished", SHOULD, CLIENT, "[MS-RDPBCGR] 2.2.1.2.2, 3.2.5.3.2",
     "RDP_NEG_FAILURE with each code from 1 to 7", "the client stops; distinct errors if visible"),
    ("CSSP-NEG-11", "TLS without a negotiation", ROBUSTNESS, SERVER, "[MS-RDPBCGR] 5.4.2.2",
     "ClientHello in place of the Connection Request", "works (the direct approach), or is refused"),
    ("CSSP-NEG-12", "malformed frames", SHOULD, SERVER, "[MS-RDPBCGR] 3.3.5.3.1",
     "HTTP; a TPKT of 3 bytes; an X.224 length that does not fit", "closed; no crash"),
    ("CSSP-NEG-13", "a server that knows no CredSSP", SECURITY, CLIENT, "[MS-RDPBCGR] 3.2.5.3.2",
     "a Connection Confirm without a response, and one that selects standard RDP security",
     "the client stops, or never sends a password in CredSSP"),
    ("CSSP-NEG-14", "a client without a negotiation request", MUST, SERVER, "[MS-RDPBCGR] 3.3.5.3.1, 3.3.5.3.2",
     "a Connection Request without RDP_NEG_REQ", "a Connection Confirm without negotiation data, or a close"),
)
# fmt: on

SSL, HYBRID, HYBRID_EX = 1, 2, 8
HYBRID_REQUIRED = 5
REMOTE_GUARD_REQUIRED, REMOTE_GUARD_SUPPORTED = 0x02, 0x10


def _requested(run: ClientRun) -> ConnectionRequest:
    run.start(rdp=RdpAnswer(answer=b""))
    try:
        return ConnectionRequest.decode(run.request[4:])
    except CredSSPError as error:
        raise Skipped(f"no Connection Request: {error}") from None


@CATALOGUE.client("CSSP-NEG-01", "x224")
def _implied(run: ClientRun) -> Outcome:
    asked = _requested(run).negotiation
    if asked is None:
        return failed("no RDP_NEG_REQ: the client cannot do CredSSP")
    protocols = int(asked.protocols)
    if protocols & HYBRID and not protocols & SSL:
        return failed(f"requestedProtocols 0x{protocols:X}: HYBRID without SSL")
    if protocols & HYBRID_EX and not protocols & HYBRID:
        return failed(f"requestedProtocols 0x{protocols:X}: HYBRID_EX without HYBRID")
    return passed(f"0x{protocols:X}")


def _answer(run: ServerRun, protocols: int | None, flags: int = 0) -> ConnectionConfirm:
    answer = ask(run.raw(), protocols, run.target.timeout, flags=flags)
    if isinstance(answer, ConnectionConfirm):
        return answer
    raise Skipped(f"no Connection Confirm, but {len(answer)} bytes") if answer else Skipped("no answer")


@CATALOGUE.server("CSSP-NEG-02", "x224")
def _selected(run: ServerRun) -> Outcome:
    answer = _answer(run, SSL | HYBRID).negotiation
    if isinstance(answer, NegotiationResponse) and answer.selected == HYBRID:
        return passed()
    return failed(f"{answer}")


@CATALOGUE.server("CSSP-NEG-03", "x224")
def _tls_alone(run: ServerRun) -> Outcome:
    answer = _answer(run, SSL).negotiation
    if isinstance(answer, NegotiationResponse):
        raise Skipped("the server does not demand CredSSP")
    if isinstance(answer, NegotiationFailure) and answer.code == HYBRID_REQUIRED:
        return passed()
    return failed(f"{answer}")


@CATALOGUE.server("CSSP-NEG-04", "x224")
def _ex_alone(run: ServerRun) -> Outcome:
    link = run.raw()
    answer = ask(link, HYBRID_EX, run.target.timeout)
    if isinstance(answer, ConnectionConfirm):
        chosen = answer.negotiation
        if isinstance(chosen, NegotiationResponse) and int(chosen.selected) & ~HYBRID_EX:
            return failed(f"selected {int(chosen.selected)}, which was not asked for")
        return passed(f"{chosen}")
    return judge_refusal(_last(link, answer, run.target.timeout), link.crash, accepted=failed("no Connection Confirm"))


def _last(link: Link, data: bytes, timeout: float) -> Reply:
    return Reply(End.OTHER, data) if data else Reply.of(link.receive(min(timeout, 0.2)))


@CATALOGUE.server("CSSP-NEG-05", "x224")
def _all_protocols(run: ServerRun) -> Outcome:
    answer = _answer(run, SSL | HYBRID | HYBRID_EX).negotiation
    fits = isinstance(answer, NegotiationResponse) and int(answer.selected) in (HYBRID, HYBRID_EX)
    return passed(f"{answer}") if fits else failed(f"{answer}")


def _client_stops(run: ClientRun, front: RdpAnswer, what: str, setup: Setup | None = None) -> Outcome:
    """Judge a client that must not begin TLS after this answer."""
    link = run.start(setup, front)
    data = link.receive(run.target.timeout)
    if data and data[0] == 0x16:
        return failed(f"{what}: the client began TLS")
    return judge_refusal(Reply.of(data), link.crash, accepted=failed(f"{what}: not refused"))


@CATALOGUE.client("CSSP-NEG-06", "x224")
def _unasked(run: ClientRun) -> Outcome:
    asked = _requested(run).negotiation
    protocols = int(asked.protocols) if asked is not None else 0
    free = next(bit for bit in (4, 0x10, HYBRID_EX) if not protocols & bit)
    return _client_stops(run, RdpAnswer(selected=free), f"selectedProtocol {free}")


@CATALOGUE.observe("CSSP-NEG-07")
def _core_data(seen: Observation) -> Outcome:
    data = seen.login.client_application
    # CS_CORE is the first block after the H.221 key of the GCC Conference Create Request.
    at = data.find(b"\x01\xc0", data.find(b"Duca") + 4) if b"Duca" in data else -1
    # TS_UD_CS_CORE: serverSelectedProtocol is the last of the optional fields, 212 bytes after the header's start.
    if at < 0 or int.from_bytes(data[at + 2 : at + 4], "little") < 216 or len(data) < at + 216:
        raise Skipped("no Client Core Data in this exchange")
    told = int.from_bytes(data[at + 212 : at + 216], "little")
    if told in (HYBRID, HYBRID_EX):
        return passed(f"{told}")
    end = Evidence("client", data[at + 216 - SHOWN : at + 216], "Client Core Data up to serverSelectedProtocol")
    return failed(f"serverSelectedProtocol {told}", end)


@CATALOGUE.client("CSSP-NEG-08", "x224")
def _no_restricted_admin(run: ClientRun) -> Outcome:
    served = run.try_serve(Setup(restricted_admin=True), rdp=RdpAnswer(flags=0))
    if served.delegated is not None and nothing_delegated(served.delegated):
        return lenient("three empty strings were sent anyway")
    return run.stopped(served, "a server without Restricted Admin")


@CATALOGUE.server("CSSP-NEG-09", "x224")
def _remote_guard_flag(run: ServerRun) -> Outcome:
    link = run.raw()
    confirm = ask(link, SSL | HYBRID, run.target.timeout, flags=REMOTE_GUARD_REQUIRED)
    if not isinstance(confirm, ConnectionConfirm):
        end = _last(link, confirm, run.target.timeout)
        need(judge_refusal(end, link.crash, accepted=failed("no Connection Confirm")))
        return lenient("closed without a Connection Confirm, which would say why")
    answer = confirm.negotiation
    if isinstance(answer, NegotiationResponse) and int(answer.flags) & REMOTE_GUARD_SUPPORTED:
        return passed("the server has the mode")
    return passed(f"{answer}")


@CATALOGUE.client("CSSP-NEG-10", "x224")
def _failures(run: ClientRun) -> Outcome:
    texts = set()
    for code in range(1, 8):
        link = run.start(rdp=RdpAnswer(answer=ConnectionConfirm(NegotiationFailure(code)).encode()))
        data = link.receive(run.target.timeout)
        alive(link.crash)
        if data is None:
            return Outcome(Verdict.HANG, f"code {code}: neither an answer nor a close")
        if data[:1] == b"\x16":
            return failed(f"code {code}: the client began TLS")
        texts.add(str(link.report))
    if "report" in run.target.features and len(texts) < 7:
        return failed(f"{len(texts)} different errors for 7 codes")
    return passed()


@CATALOGUE.server("CSSP-NEG-11", "x224")
def _direct(run: ServerRun) -> Outcome:
    connection = run.wrap(run.raw(), tls=ClientTLS())
    end = connection.handshake()
    if end is None:
        return passed("the direct approach works")
    return judge_refusal(end, connection.link.crash, accepted=passed())


@CATALOGUE.server("CSSP-NEG-12", "x224")
def _bad_frames(run: ServerRun) -> Outcome:
    for data in (
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x03\x00\x00\x03",
        bytes.fromhex("0300001340e00000000000010008000b000000"),
    ):
        link = run.raw()
        link.send(data)
        reply = Reply.of(link.receive(run.target.timeout))
        outcome = judge_refusal(reply, link.crash, accepted=failed("answered"))
        if outcome.verdict is not Verdict.PASS:
            return Outcome(outcome.verdict, f"{data[:8].hex()}: {outcome.detail}")
    return passed()


@CATALOGUE.client("CSSP-NEG-13", "x224")
def _no_credssp(run: ClientRun) -> Outcome:
    need(_client_stops(run, RdpAnswer(answer=ConnectionConfirm(None).encode()), "no RDP_NEG_RSP"))
    return _client_stops(run, RdpAnswer(selected=0), "standard RDP security")


@CATALOGUE.server("CSSP-NEG-14", "x224")
def _no_request(run: ServerRun) -> Outcome:
    link = run.raw()
    answer = ask(link, None, run.target.timeout)
    if isinstance(answer, ConnectionConfirm):
        told = answer.negotiation
        return passed("standard RDP security") if told is None else failed(f"negotiation data anyway: {told}")
    return judge_refusal(_last(link, answer, run.target.timeout), link.crash, accepted=failed("no Connection Confirm"))

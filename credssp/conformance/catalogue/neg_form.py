"""NEG, the form: Connection Request and Confirm, and the direct approach ([MS-RDPBCGR] 3.2.5.3, 3.3.5.3, 5.4.2.2)."""

from __future__ import annotations

from credssp.conformance.catalogue._base import CATALOGUE, CLIENT, MUST, SERVER, SHOULD, Try, serves
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import Reply
from credssp.conformance.rule import Outcome, Skipped, Verdict, alive, failed, need, passed
from credssp.conformance.run import ServerRun, judge_refusal
from credssp.conformance.setup import RdpAnswer
from credssp.conformance.x224 import ask, take_frame
from credssp.errors import CredSSPError
from credssp.rdp import tpkt
from credssp.rdp.negotiation import NegotiationFailure, NegotiationRequest, NegotiationResponse, Protocol
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.tls.settings import ClientTLS

# fmt: off
CATALOGUE.declare(
    ("CSSP-NEG-15", "the connection ends after RDP_NEG_FAILURE", MUST, SERVER, "[MS-RDPBCGR] 3.3.5.3.2",
     "requestedProtocols SSL to a server that demands CredSSP", "the connection is closed after the failure"),
    ("CSSP-NEG-16", "the form of the Connection Request", MUST, CLIENT, "[MS-RDPBCGR] 2.2.1.1, 3.2.5.3.1",
     "the Connection Request",
     "class 0, both references 0, lengths that fit, a cookie or a routing token, correlation info with its flag"),
    ("CSSP-NEG-17", "cookies and routing tokens mean nothing", MUST, SERVER, "[MS-RDPBCGR] 3.3.5.3.1",
     "a Connection Request with a cookie; one with a routing token", "as without: HYBRID is selected"),
    ("CSSP-NEG-18", "a cookie and a routing token together", SHOULD, SERVER, "[MS-RDPBCGR] 3.3.5.3.1",
     "a Connection Request with both, which a client must not send", "as without: HYBRID is selected"),
    ("CSSP-NEG-19", "the reserved flag of RDP_NEG_RSP", SHOULD, CLIENT, "[MS-RDPBCGR] 2.2.1.2.1",
     "flags with NEGRSP_FLAG_RESERVED (4)", "ignored: the login completes"),
    ("CSSP-NEG-20", "a malformed Connection Confirm", SHOULD, CLIENT, "[MS-RDPBCGR] 3.2.5.3.2",
     "negotiation data of type 9; an X.224 length beyond the TPKT frame", "the client stops"),
    ("CSSP-NEG-21", "the direct approach confirms CredSSP inside", MUST, SERVER, "[MS-RDPBCGR] 5.4.2.2",
     "TLS and CredSSP first; then a Connection Request with HYBRID, and one with SSL alone",
     "no result; HYBRID is selected; INCONSISTENT_FLAGS (skipped where there is no direct approach)"),
)
# fmt: on

SSL, HYBRID = 1, 2
INCONSISTENT_FLAGS = 4
CRLF = "\r\n"
COOKIE = b"Cookie: mstshash=alice\r\n"
TOKEN = b"Cookie: msts=3640205228.15629.0000\r\n"


@CATALOGUE.server("CSSP-NEG-15", "x224")
def _ends(run: ServerRun) -> Outcome:
    link = run.raw()
    answer = ask(link, SSL, run.target.timeout)
    if not isinstance(answer, ConnectionConfirm) or not isinstance(answer.negotiation, NegotiationFailure):
        raise Skipped("no RDP_NEG_FAILURE to be had: the server does not demand CredSSP")
    end = Reply.of(link.receive(run.target.timeout))
    return judge_refusal(end, link.crash, accepted=failed("the connection stayed open"))


@CATALOGUE.client("CSSP-NEG-16", "x224")
def _request_form(run: ClientRun) -> Outcome:
    run.start(rdp=RdpAnswer(answer=b""))
    data = run.request
    if len(data) < 11:
        raise Skipped("no Connection Request")
    if data[:2] != b"\3\0" or int.from_bytes(data[2:4], "big") != len(data):
        return failed(f"TPKT header {data[:4].hex()} in front of {len(data)} bytes")
    if any(data[6:11]):
        return failed(f"references and class are {data[6:11].hex()}, not zero")
    try:
        request = ConnectionRequest.decode(data[4:])
    except CredSSPError as error:
        return failed(error.message)
    if request.cookie is not None and request.routing_token is not None:
        return failed("a cookie and a routing token")
    return passed()


def _selected(run: ServerRun, text: bytes) -> Outcome:
    """Send a Connection Request with this text in front of RDP_NEG_REQ."""
    variable = text + NegotiationRequest(Protocol(SSL | HYBRID)).encode()
    link = run.raw()
    link.send(tpkt.frame(bytes((6 + len(variable), 0xE0)) + bytes(5) + variable))
    chosen = _confirm(take_frame(link, run.target.timeout))
    alive(link.crash)
    if isinstance(chosen, NegotiationResponse) and chosen.selected == HYBRID:
        return passed()
    return failed(f"{chosen or 'no negotiation data'}: {' and '.join(text.decode().split(CRLF)).removesuffix(' and ')}")


def _confirm(data: bytes) -> NegotiationResponse | NegotiationFailure | None:
    try:
        return ConnectionConfirm.decode(data[4:]).negotiation
    except CredSSPError:
        return None


def _selected_at_all(run: ServerRun) -> None:
    if _selected(run, b"").verdict is not Verdict.PASS:
        raise Skipped("HYBRID is not selected without a cookie either")


@CATALOGUE.server("CSSP-NEG-17", "x224")
def _cookies(run: ServerRun) -> Outcome:
    _selected_at_all(run)
    need(_selected(run, COOKIE))
    return _selected(run, TOKEN)


@CATALOGUE.server("CSSP-NEG-18", "x224")
def _both(run: ServerRun) -> Outcome:
    _selected_at_all(run)
    return _selected(run, TOKEN + COOKIE)


@CATALOGUE.client("CSSP-NEG-20", "x224")
def _no_confirm(run: ClientRun) -> Outcome:
    for answer, what in (
        ("030000130ed000001234000900080002000000", "negotiation data of type 9"),
        ("0300000b0ed000001234000200080002000000", "a frame that is too short"),
    ):
        link = run.start(rdp=RdpAnswer(answer=bytes.fromhex(answer)))
        data = link.receive(run.target.timeout)
        if data and data[0] == 0x16:
            return failed(f"{what}: the client began TLS")
        need(judge_refusal(Reply.of(data), link.crash, accepted=failed(f"{what}: not refused")))
    return passed()


@CATALOGUE.server("CSSP-NEG-21", "x224")
def _inside(run: ServerRun) -> Outcome:
    for protocols in (SSL | HYBRID, SSL):
        connection = run.wrap(run.raw(), tls=ClientTLS())
        if connection.handshake() is not None:
            raise Skipped("no direct approach")
        login = run.login(connection=connection)
        if not login.key_answered:
            raise Skipped("no good login in the direct approach")
        early = connection.plaintext(4, min(0.3, run.target.timeout))
        if early:
            return failed(f"{early.hex()} in front of the Connection Request")
        connection.send(ConnectionRequest(negotiation=NegotiationRequest(Protocol(protocols))).encode())
        chosen = _confirm(connection.plaintext(19))
        if protocols & HYBRID:
            if not isinstance(chosen, NegotiationResponse) or chosen.selected != HYBRID:
                return failed(f"HYBRID was asked for: {chosen}")
        elif not isinstance(chosen, NegotiationFailure) or chosen.code != INCONSISTENT_FLAGS:
            return failed(f"SSL alone was asked for: {chosen}")
    return passed()


serves(
    ClientRun.completed,
    ("CSSP-NEG-19", Try("NEGRSP_FLAG_RESERVED", rdp=RdpAnswer(flags=4))),
    via=ClientRun.try_serve,
    before=ClientRun.baseline,
    needs=("x224",),
)

"""NEG, what was negotiated and is said again inside TLS: how either side finds out that somebody changed it.

The negotiation of an RDP connection is clear text. So the client repeats inside TLS which protocol was selected (MCS
Connect Initial, serverSelectedProtocol), and the server which ones were requested (MCS Connect Response,
clientRequestedProtocols); each is to check the other's word ([MS-RDPBCGR] 3.3.5.3.3, 3.2.5.3.4). A gateway negotiates
twice, so it has to check what it hears on either side, and to write what is true of the other.
"""

from __future__ import annotations

from credssp.conformance.catalogue._base import CATALOGUE, CLIENT, MUST, SERVER, SHOULD
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import Connection, End, Reply
from credssp.conformance.rule import Outcome, Skipped, Verdict, alive, failed, passed
from credssp.conformance.run import ServerRun, describe_end
from credssp.conformance.scripted_server import ScriptedServer
from credssp.conformance.x224 import request_tls
from credssp.errors import CredSSPError, RemoteProtocolError
from credssp.rdp.mcs import connect_initial
from credssp.rdp.negotiation import Protocol
from credssp.rdp.session_pdus import ConnectInitial, ConnectResponse
from credssp.rdp.session_start import connect_response
from credssp.rdp.tpkt import HEADER_SIZE
from credssp.rdp.x224 import ConnectionRequest

# fmt: off
CATALOGUE.declare(
    ("CSSP-NEG-22", "the client heard another choice", SHOULD, SERVER, "[MS-RDPBCGR] 2.2.1.3.2, 3.3.5.3.3",
     "MCS Connect Initial after a good login, with another serverSelectedProtocol than was negotiated",
     "the connection is dropped (skipped where the right one is not answered either)"),
    ("CSSP-NEG-23", "the server repeats the request inside TLS", MUST, SERVER, "[MS-RDPBCGR] 2.2.1.4.2",
     "requestedProtocols SSL and HYBRID, then HYBRID_EX with them; a good login and MCS Connect Initial",
     "clientRequestedProtocols of MCS Connect Response is what was requested (skipped where there is none)"),
    ("CSSP-NEG-24", "the server heard another request", SHOULD, CLIENT, "[MS-RDPBCGR] 2.2.1.4.2, 3.2.5.3.4",
     "MCS Connect Response with other clientRequestedProtocols than the client sent",
     "the client ends the connection (skipped where it goes no further than the login)"),
)
# fmt: on

SSL, HYBRID, HYBRID_EX = Protocol.SSL, Protocol.HYBRID, Protocol.HYBRID_EX
_RESPONSE = b"\x7f\x66"
_RESPONSE_AT = 7
_RESULT_SIZE = 4
_STAYS = 1.0
"""Seconds in which a client continues, or ends the connection."""


def _frame(connection: Connection) -> bytes:
    """Read a TPKT frame; what came of one where the peer ended it."""
    head = connection.plaintext(HEADER_SIZE)
    if len(head) < HEADER_SIZE:
        return head
    return head + connection.plaintext(max(0, int.from_bytes(head[2:], "big") - HEADER_SIZE))


class _Session:
    """A good login, and what MCS Connect Initial is answered with."""

    def __init__(self, run: ServerRun, requested: Protocol, told: Protocol | None = None) -> None:
        run.baseline()
        link = run.raw()
        try:
            self.selected = request_tls(link, int(requested), run.target.timeout)
        except RemoteProtocolError as error:
            raise Skipped(error.message) from None
        connection = self.connection = run.wrap(link)
        login = run.login(connection=connection)
        if not login.key_answered or login.accepted is False:
            raise Skipped(f"no good login: {describe_end(login.end)}")
        if self.selected is HYBRID_EX:
            connection.plaintext(_RESULT_SIZE)  # the Early User Authorization Result
        connection.send(connect_initial(self.selected if told is None else told), note="MCS Connect Initial")
        self.answer = _frame(connection)

    @property
    def response(self) -> ConnectResponse | None:
        """The MCS Connect Response, or None."""
        if self.answer[_RESPONSE_AT : _RESPONSE_AT + 2] != _RESPONSE:
            return None
        try:
            return ConnectResponse.decode(self.answer)
        except CredSSPError:
            return None  # one that says no


def _session(run: ServerRun, requested: Protocol) -> tuple[_Session, ConnectResponse]:
    session = _Session(run, requested)
    response = session.response
    if response is None:
        raise Skipped("the server does not answer MCS Connect Initial: it has no session")
    return session, response


@CATALOGUE.server("CSSP-NEG-22", "x224")
def _other_choice(run: ServerRun) -> Outcome:
    good, _ = _session(run, SSL | HYBRID)
    for told in (SSL, HYBRID_EX if good.selected is HYBRID else HYBRID):
        session = _Session(run, SSL | HYBRID, told)
        if session.response is not None:
            return failed(f"serverSelectedProtocol {int(told)} was taken where {int(good.selected)} was selected")
        if not session.answer and session.connection.receive(0.05).end is End.SILENT:
            return Outcome(Verdict.HANG, "neither an answer nor a close")
    return passed()


@CATALOGUE.server("CSSP-NEG-23", "x224")
def _request_repeated(run: ServerRun) -> Outcome:
    for requested in (SSL | HYBRID, SSL | HYBRID | HYBRID_EX):
        _, response = _session(run, requested)
        if response.requested_protocols != requested:
            told = response.requested_protocols
            return failed(f"clientRequestedProtocols {'absent' if told is None else told}, requested {int(requested)}")
    return passed()


def _continued(run: ClientRun) -> tuple[ScriptedServer, ConnectInitial, Protocol]:
    """Serve a login; returns it with the client's Connect Initial, and what it requested."""
    run.baseline()
    served = run.try_serve()
    try:
        asked = ConnectionRequest.decode(run.request[4:]).negotiation
        initial = ConnectInitial.decode(_frame(served.connection)) if served.delegated_something else None
    except CredSSPError:
        initial = asked = None
    if initial is None or asked is None:
        raise Skipped("the client goes no further than the login")
    return served, initial, asked.protocols


def _after(connection: Connection, seconds: float) -> tuple[Reply, bool]:
    """Read what still comes, for so long; returns how it ended, and whether anything came."""
    came = False
    while connection.plaintext(1 << 14, seconds):
        came = True
    return connection.receive(0.01), came


@CATALOGUE.client("CSSP-NEG-24", "x224")
def _other_request(run: ClientRun) -> Outcome:
    for changed in (Protocol(0), SSL, HYBRID_EX):
        served, initial, requested = _continued(run)
        connection = served.connection
        told = requested ^ changed
        connection.send(connect_response(told, channels=len(initial.channels)), note="MCS Connect Response")
        reply, came = _after(connection, min(run.target.timeout, _STAYS))
        if not changed and reply.end is not End.SILENT:
            raise Skipped("the client ends the connection after any MCS Connect Response")
        if changed and reply.end is End.SILENT and not came:
            reply = connection.receive()
        if changed and reply.end is End.SILENT:
            what = f"clientRequestedProtocols {int(told)} where {int(requested)} was requested"
            if came:
                return failed(f"{what}: the client continued")
            return Outcome(Verdict.HANG, f"{what}: neither an answer nor a close")
        alive(served.crash)
        connection.close()
    return passed()

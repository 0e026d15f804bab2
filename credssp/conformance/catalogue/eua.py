"""EUA: the Early User Authorization Result ([MS-RDPBCGR] 2.2.10.2, 3.2.5.10.2, 3.3.5.10.2)."""

from __future__ import annotations

from typing import Any

from credssp.conformance.catalogue._base import CATALOGUE, CLIENT, MUST, ROBUSTNESS, SERVER, SHOULD
from credssp.conformance.chance import hexadecimal
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import Connection, End
from credssp.conformance.rule import Outcome, Skipped, Verdict, alive, failed, need, passed
from credssp.conformance.run import ServerRun, describe_end, judge_refusal
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.conformance.x224 import ask
from credssp.errors import CredSSPError
from credssp.rdp.negotiation import NegotiationResponse
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest

# fmt: off
CATALOGUE.declare(
    ("CSSP-EUA-01", "the user is authorized", MUST, CLIENT, "[MS-RDPBCGR] 2.2.10.2, 5.4.2.1", "HYBRID_EX and 00000000",
     "the client continues"),
    ("CSSP-EUA-02", "the user is not authorized", SHOULD, CLIENT, "[MS-RDPBCGR] 3.2.5.10.2", "HYBRID_EX and 00000005",
     "the client stops, with an error of its own"),
    ("CSSP-EUA-03", "a result without a name", ROBUSTNESS, CLIENT, "[MS-RDPBCGR] 2.2.10.2", "HYBRID_EX and 00000007",
     "the client stops"),
    ("CSSP-EUA-04", "half a result, or none", ROBUSTNESS, CLIENT, "[MS-RDPBCGR] 2.2.10.2",
     "HYBRID_EX and two bytes; then nothing at all", "the client waits, and does not continue"),
    ("CSSP-EUA-05", "what follows the result", ROBUSTNESS, CLIENT, "[MS-RDPBCGR] 2.2.10.2",
     "HYBRID_EX; the result and the next PDU in one record", "the next PDU is not lost"),
    ("CSSP-EUA-06", "no result without HYBRID_EX", MUST, SERVER, "[MS-RDPBCGR] 3.3.5.10.2", "a good login with HYBRID",
     "no result comes after it"),
    ("CSSP-EUA-07", "four bytes with HYBRID_EX", SHOULD, SERVER, "[MS-RDPBCGR] 3.3.5.10.2",
     "a good login with HYBRID_EX", "00000000 after authInfo, before anything else"),
    ("CSSP-EUA-08", "no result after a refusal", SHOULD, SERVER, "[MS-RDPBCGR] 3.3.5.10.2",
     "a wrong password with HYBRID_EX", "errorCode or an end; no result"),
    ("CSSP-EUA-09", "a user who is not authorized gets a result", SHOULD, SERVER, "[MS-RDPBCGR] 3.3.5.10.2",
     "HYBRID_EX; a right password of a user who may not log on", "00000005, then an end"),
)
# fmt: on

SSL, HYBRID, HYBRID_EX = 1, 2, 8
EX = RdpAnswer(selected=HYBRID_EX)
SUCCESS, DENIED = b"\0\0\0\0", b"\5\0\0\0"
TPKT = b"\3"
ULTIMATUM = bytes.fromhex("0300000902f0802180")
"""MCS Disconnect Provider Ultimatum ([T125] 7, [MS-RDPBCGR] 2.2.2.3): a client that reads it closes the connection."""


def _setup_with_ex(run: ClientRun) -> Setup:
    """Return the set-up in which the client asks for HYBRID_EX. Raises Skipped where there is none."""
    for setup in (Setup(), Setup(hybrid_ex=True)):
        run.start(setup, RdpAnswer(answer=b""))
        data = run.request
        try:
            asked = ConnectionRequest.decode(data[4:]).negotiation
        except CredSSPError as error:
            raise Skipped(f"no Connection Request: {error.message}") from None
        if asked is not None and int(asked.protocols) & HYBRID_EX:
            return setup
    raise Skipped("the client does not ask for HYBRID_EX")


def _result(run: ClientRun, data: bytes) -> ScriptedServer:
    """Serve a good login with HYBRID_EX and send this after it."""
    served = run.try_serve(_setup_with_ex(run), rdp=EX)
    if not served.delegated_something:
        raise Skipped(f"no good login with HYBRID_EX: {describe_end(served.end)}")
    if data:
        served.connection.send(data)
    return served


def _next(served: ScriptedServer) -> End:
    """Return what the client does next: MESSAGE where it continues, CLOSED where it stops, SILENT where it waits.

    A client without sockets says itself whether it is content; of a program, its next PDU (MCS Connect Initial) or its
    close does. One that only logs on, such as ``credssp login``, closes in any case, and says by its exit whether it is
    content, if it says such things.
    """
    peer = getattr(served.connection.link, "peer", None)
    if peer is not None:
        if getattr(peer, "complete", False):
            return End.MESSAGE
        return End.CLOSED if served.report is not None or served.connection.link.receive(0) == b"" else End.SILENT
    reply = served.connection.receive()
    if reply.end is End.SILENT:
        return End.SILENT
    if reply.end is End.CLOSED and getattr(served.connection.link, "succeeded", False):
        return End.MESSAGE
    return End.MESSAGE if reply.end is End.OTHER and reply.data[:1] == TPKT else End.CLOSED


def _stops(run: ClientRun, result: bytes) -> tuple[ScriptedServer, Outcome]:
    """Judge a client that must not continue after this result."""
    served = _result(run, result)
    following = _next(served)
    alive(served.crash)
    if following is End.MESSAGE:
        return served, failed("the client continued")
    if following is End.SILENT:
        return served, Outcome(Verdict.HANG, "the client neither continued nor closed")
    return served, passed("closed")


@CATALOGUE.client("CSSP-EUA-01", "x224")
def _authorized(run: ClientRun) -> Outcome:
    following = _next(_result(run, SUCCESS))
    if following is End.SILENT:
        return Outcome(Verdict.HANG, "the client neither continued nor closed")
    return passed() if following is End.MESSAGE else failed("the client did not continue: closed")


@CATALOGUE.client("CSSP-EUA-02", "x224")
def _denied(run: ClientRun) -> Outcome:
    served, outcome = _stops(run, DENIED)
    need(outcome)
    if "report" not in run.target.features:
        return outcome
    return passed(type(served.report).__name__) if served.report is not None else failed("no error")


@CATALOGUE.client("CSSP-EUA-03", "x224")
def _unknown(run: ClientRun) -> Outcome:
    return _stops(run, b"\7\0\0\0")[1]


@CATALOGUE.client("CSSP-EUA-04", "x224")
def _half(run: ClientRun) -> Outcome:
    for data in (b"\0\0", b""):
        served = _result(run, data)
        following = _next(served)
        alive(served.crash)
        if following is End.MESSAGE:
            return failed(f"the client continued after {len(data)} bytes")
    return passed()


@CATALOGUE.client("CSSP-EUA-05", "x224")
def _coalesced(run: ClientRun) -> Outcome:
    alone = _result(run, SUCCESS)
    if _next(alone) is not End.MESSAGE:
        raise Skipped("the client does not continue after the result alone")
    if alone.connection.ended is not None:
        raise Skipped("this client only logs on: it closes after the result")
    served = _result(run, SUCCESS + ULTIMATUM)
    kept = getattr(getattr(served.connection.link, "peer", None), "unused_data", None)
    if kept is not None:
        return passed() if kept == ULTIMATUM else failed(f"{len(kept)} bytes were kept")
    if getattr(served.connection.link, "peer", None) is not None:
        raise Skipped("this client does not show what it keeps")
    # A program that has read the PDU ends the connection, at once or after its own next PDU.
    while (following := served.connection.receive()).end is End.OTHER:
        pass
    alive(served.crash)
    if following.end is End.SILENT:
        return failed("the client waits: it has not seen the PDU after the result")
    return passed()


def _login(
    run: ServerRun, protocols: int, setup: Setup | None = None, **plan: Any
) -> tuple[int, Connection, ScriptedClient]:
    """Log on after a negotiation; returns what was selected, the connection and the login."""
    link = run.raw(setup)
    answer = ask(link, protocols, run.target.timeout)
    if not isinstance(answer, ConnectionConfirm) or not isinstance(answer.negotiation, NegotiationResponse):
        raise Skipped("no protocol was selected")
    connection = run.wrap(link)
    login = run.login(connection=connection, **plan)
    return int(answer.negotiation.selected), connection, login


@CATALOGUE.server("CSSP-EUA-06", "x224")
def _no_result(run: ServerRun) -> Outcome:
    _, connection, login = _login(run, SSL | HYBRID)
    if not login.key_answered:
        raise Skipped("no good login")
    extra = connection.plaintext(4, min(0.5, run.target.timeout))
    if extra[:1] == TPKT:  # the server ends the session, with an MCS Disconnect Provider Ultimatum for example
        return passed("an X.224 PDU, which is not a result")
    return failed(f"{len(extra)} bytes: {extra.hex()}") if extra else passed()


@CATALOGUE.server("CSSP-EUA-07", "x224")
def _four_octets(run: ServerRun) -> Outcome:
    selected, connection, login = _login(run, SSL | HYBRID | HYBRID_EX)
    if selected != HYBRID_EX:
        raise Skipped("the server does not have HYBRID_EX")
    if not login.key_answered:
        raise Skipped("no good login")
    result = connection.plaintext(4)
    return passed() if result == SUCCESS else failed(f"{len(result)} bytes: {result.hex()}")


@CATALOGUE.server("CSSP-EUA-08", "x224")
def _refused(run: ServerRun) -> Outcome:
    selected, connection, login = _login(run, SSL | HYBRID | HYBRID_EX, password=hexadecimal(8))
    if selected != HYBRID_EX:
        raise Skipped("the server does not have HYBRID_EX")
    if login.key_answered:
        raise Skipped("the server takes any password")
    extra = connection.plaintext(4, min(0.5, run.target.timeout))
    return failed(f"{extra.hex()} after a refusal") if extra else passed()


@CATALOGUE.server("CSSP-EUA-09", "x224")
def _not_authorized(run: ServerRun) -> Outcome:
    selected, connection, login = _login(run, SSL | HYBRID | HYBRID_EX, Setup(authorized=False))
    if selected != HYBRID_EX or not login.key_answered:
        raise Skipped("no good login with HYBRID_EX")
    # A server whose end shows at once has been read already.
    early = login.end is not None and login.end.end is End.OTHER
    result = login.end.data if early and login.end is not None else connection.plaintext(4)
    if result != DENIED:
        return failed(f"{len(result)} bytes: {result.hex()}")
    return judge_refusal(connection.receive(), connection.link.crash, accepted=failed("the connection stayed open"))

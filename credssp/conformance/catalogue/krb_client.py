"""KRB, the clients' part, and what shows in any exchange: Kerberos inside (RFC 4120 3.2.5, RFC 4121).

Most of these rules need the keys of the service that the client gets tickets for, see FEATURES.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from credssp.conformance.catalogue._base import BOTH, CATALOGUE, CLIENT, MUST, ROBUSTNESS, SECURITY, SHOULD, Try, serves
from credssp.conformance.catalogue.krb import NEEDS, TURNS
from credssp.conformance.client_run import ClientRun
from credssp.conformance.kerberos import APReqFacts, KerberosServer, KerberosSession, WrapToken
from credssp.conformance.kerberos.client import CONF, INTEG, MUTUAL, REPLAY, SEQUENCE
from credssp.conformance.kerberos.server import KerberosAnswer
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, failed, lenient, need, passed
from credssp.conformance.run import ServerRun
from credssp.conformance.scripted_server import ScriptedServer
from credssp.errors import CredSSPError
from credssp.kerberos.ap import APReq, Ticket
from credssp.kerberos.session import SENT_BY_ACCEPTOR
from credssp.spnego import NegState, NegTokenResp

STOPS = "the client stops: no pubKeyAuth, no authInfo"

# fmt: off
CATALOGUE.declare(
    ("CSSP-KRB-24", "the client asks for proof of the server", SECURITY, CLIENT, "1.3; RFC 4120 3.2.2",
     "a good login with Kerberos", "mutual-required in the ap-options"),
    ("CSSP-KRB-25", "what the client asks GSS-API for", MUST, CLIENT, "1.3; 3.1.5 step 3; RFC 4121 4.1.1.1",
     "a good login with Kerberos", "MUTUAL, CONF and INTEG in the flags of the authenticator's checksum"),
    ("CSSP-KRB-26", "which service the ticket is for", SHOULD, CLIENT, "3.1.1", "a good login with Kerberos",
     "TERMSRV/host with RDP, HTTP/host or WSMAN/host with WinRM, else host/host"),
    ("CSSP-KRB-38", "what Wrap tokens say of themselves", MUST, BOTH, "RFC 4121 4.2.2", "a good login with Kerberos",
     "sealed, by the side that sent them, one key for both, numbered one by one"),
    ("CSSP-KRB-39", "the number of the first message", ROBUSTNESS, BOTH, "RFC 4120 5.5.1 seq-number; RFC 4121 4.2.2",
     "a good login with Kerberos",
     "the seq-number of AP-REQ or AP-REP (another: lenient where the client asked for neither order nor replays)"),
    ("CSSP-KRB-27", "no ticket is forwarded besides", ROBUSTNESS, CLIENT, "RFC 4121 4.1.1.1",
     "a good login with Kerberos", "no DELEG flag: what CredSSP delegates is in authInfo (or one: lenient)"),
    ("CSSP-KRB-28", "AP-REP under another key", SECURITY, CLIENT, "1.3; RFC 4120 3.2.5",
     "AP-REP under another key than the ticket's", STOPS),
    ("CSSP-KRB-29", "AP-REP for another authenticator", SECURITY, CLIENT, "RFC 4120 3.2.5",
     "AP-REP that repeats another time", STOPS),
    ("CSSP-KRB-30", "no AP-REP", SECURITY, CLIENT, "RFC 4121 4.1; RFC 4178 4.2.2",
     "accept-completed without a token, to a client that asked for proof", STOPS),
    ("CSSP-KRB-31", "KRB-ERROR", SECURITY, CLIENT, "RFC 4120 3.2.3", "KRB_AP_ERR_SKEW in place of AP-REP", STOPS),
    ("CSSP-KRB-32", "a pubKeyAuth of the server that is signed and not sealed", SECURITY, CLIENT,
     "3.1.5 step 4; RFC 4121 4.2.4", "a right pubKeyAuth in a Wrap token without encryption",
     "no authInfo (or it continues: lenient, the key is public)"),
    ("CSSP-KRB-33", "Wrap tokens rotated by any count", MUST, CLIENT, "RFC 4121 4.2.5; [MS-KILE] 3.4.5.4.1",
     "pubKeyAuth with RRC 0, 28 and 5, and with 16 bytes of filler and RRC 44", "completes"),
    ("CSSP-KRB-34", "the key of the client's messages", MUST, CLIENT, "RFC 4121 2, 4.2.2",
     "AP-REP with a subkey of the service, and without", "completes; pubKeyAuth is sealed with the right key"),
    ("CSSP-KRB-35", "a sequence number that is not due", SHOULD, CLIENT, "RFC 4121 4.2.2; RFC 2743 1.2.3",
     "a right pubKeyAuth with a sequence number from the past", "no authInfo (or it continues: lenient)"),
    ("CSSP-KRB-36", "a Wrap token that the client could have made", SECURITY, CLIENT, "RFC 4121 4.2.2",
     "a right pubKeyAuth of the server with the flag and the key usage of the initiator", "no authInfo"),
    ("CSSP-KRB-37", "a choice of NTLM that nothing protects", SECURITY, CLIENT, "RFC 4178 5",
     "NTLM chosen from a list that begins with Kerberos, and no mechListMIC",
     "no authInfo: someone may have changed the list"),
)
# fmt: on


def _served(run: ClientRun) -> ScriptedServer:
    """Return a good login with Kerberos."""
    served = run.baseline()
    _kerberos(served)
    return served


def _kerberos(served: ScriptedServer) -> KerberosServer:
    if served.kerberos is None:
        raise Skipped("the client does not speak Kerberos here")
    return served.kerberos


def _facts(run: ClientRun) -> APReqFacts:
    return _kerberos(run.baseline()).facts


def _service(served: ScriptedServer) -> KerberosSession:
    return _kerberos(served).established


@CATALOGUE.observe("CSSP-KRB-24")
def _asks_for_proof(seen: Observation) -> Outcome:
    asked = bool(_ap_req(seen).options & APReq.MUTUAL_REQUIRED)
    return passed() if asked else failed("mutual authentication is not asked for")


def _ap_req(seen: Observation) -> APReq:
    found = seen.login.ap_req
    if found is None:
        raise Skipped("not Kerberos")
    return found


@CATALOGUE.client("CSSP-KRB-25", NEEDS)
def _flags_asked_for(run: ClientRun) -> Outcome:
    flags = _facts(run).flags
    if flags is None:
        return failed("no checksum of GSS-API")
    missing = (MUTUAL | CONF | INTEG) & ~flags
    return failed(f"the flags 0x{flags:X} lack 0x{missing:X}") if missing else passed(f"0x{flags:X}")


@CATALOGUE.observe("CSSP-KRB-26")
def _ticket_for(seen: Observation) -> Outcome:
    try:
        service = Ticket.decode(_ap_req(seen).ticket).service
    except CredSSPError as error:
        return failed(error.message)
    kind = service.partition("/")[0].upper()
    return passed(service) if kind in ("TERMSRV", "HTTP", "WSMAN", "HOST") else failed(f"a ticket for {service}")


@CATALOGUE.observe("CSSP-KRB-38")
def _headers(seen: Observation) -> Outcome:
    _ap_req(seen)
    sealed = [item for request in seen.requests for item in (request.pub_key_auth, request.auth_info) if item]
    if not sealed:
        raise Skipped(f"the {seen.who} sealed nothing")
    try:
        tokens = [WrapToken.decode(item) for item in sealed]
    except CredSSPError as error:
        return failed(error.message)
    sender = SENT_BY_ACCEPTOR if seen.who == "server" else 0
    for before, token in zip((None, *tokens), tokens, strict=False):
        if not token.sealed or token.flags & SENT_BY_ACCEPTOR != sender:
            return failed(f"flags 0x{token.flags:02X}")
        if before is not None and (token.flags, token.sequence) != (before.flags, before.sequence + 1):
            return failed(f"flags 0x{token.flags:02X}, number {token.sequence} after {before.sequence}")
    return passed(f"flags 0x{tokens[0].flags:02X}")


def _first_number(seen: Observation, told: int | None, flags: int | None) -> Outcome:
    """Judge where a side begins to count; the first thing it protects may be a mechListMIC."""
    sealed = [item for request in seen.requests for item in (request.pub_key_auth, request.auth_info) if item]
    if told is None or not sealed:
        raise Skipped("no seq-number to begin with" if told is None else "nothing was sealed")
    number = WrapToken.decode(sealed[0]).sequence
    if number - told in (0, 1):
        return passed()
    what = f"the first sealed message has number {number}, the seq-number was {told}"
    return failed(what) if (flags or 0) & (REPLAY | SEQUENCE) else lenient(what)


@CATALOGUE.client("CSSP-KRB-39", NEEDS)
def _client_begins(run: ClientRun) -> Outcome:
    served = _served(run)
    facts = _kerberos(served).facts
    return _first_number(served.observed(), facts.first_number, facts.flags)


@CATALOGUE.server("CSSP-KRB-39", NEEDS)
def _server_begins(run: ServerRun) -> Outcome:
    login = run.kerberos_login()
    client = login.kerberos
    if client is None or not login.key_answered:
        raise Skipped("no good login with Kerberos")
    return _first_number(login.observed(), client.first_number, client.flags)


@CATALOGUE.client("CSSP-KRB-27", NEEDS)
def _forwards_nothing(run: ClientRun) -> Outcome:
    forwarded = "a ticket-granting ticket goes along before the server's key is verified"
    return lenient(forwarded) if _facts(run).delegates else passed()


@CATALOGUE.client("CSSP-KRB-34", NEEDS)
def _client_key(run: ClientRun) -> Outcome:
    _served(run)
    answers: tuple[tuple[KerberosAnswer, int], ...] = (("good", 0x06), ("no subkey", 0x02))
    for answer, wanted in answers:
        served = run.serve(kerberos=answer)
        message = served.key_message
        if message is not None and message.pub_key_auth is not None:
            flags = WrapToken.decode(message.pub_key_auth).flags
            if flags != wanted:
                return failed(f"{answer}: flags 0x{flags:02X} where 0x{wanted:02X} belong")
        need(run.completed(served, f"AP-REP: {answer}"))
    return passed()


@CATALOGUE.client("CSSP-KRB-37", NEEDS)
def _unprotected_choice(run: ClientRun) -> Outcome:
    _served(run)

    def drop(token: bytes | None) -> bytes | None:
        return None if token is None else NegTokenResp(NegState.ACCEPT_COMPLETED).encode()

    served = run.try_serve(ntlm_first=True, unsigned=True, last_token=drop)
    if served.kerberos is not None or served.observed().login.ntlm.flags is None:
        raise Skipped("the client offers Kerberos alone, or no NTLM beside it")
    return run.stopped(served, "NTLM without mechListMIC")


def _wrapped(**options: Any) -> Callable[[ScriptedServer, bytes], bytes]:
    """Return what seals in a Wrap token with these faults."""
    return lambda served, value: _service(served).wrap(value, **options)


def _old_number(served: ScriptedServer, value: bytes) -> bytes:
    session = _service(served)
    return session.wrap(value, sequence=max(session.sequence - 70, 0))


def _without_proof(run: ClientRun, served: ScriptedServer, what: str) -> Outcome:
    """Judge a client whose service did not prove itself."""
    if served.key_message is not None:
        return failed(f"{what}: the client continued to pubKeyAuth")
    return run.stopped(served, what)


def _in_spnego(run: ClientRun) -> None:
    if not _served(run).observed().login.is_spnego:
        raise Skipped("without SPNEGO there is no message without a token")


serves(
    _without_proof,
    ("CSSP-KRB-28", Try("AP-REP under another key than the ticket's", kerberos="other key")),
    ("CSSP-KRB-29", Try("AP-REP that repeats another time", kerberos="other time")),
    ("CSSP-KRB-31", Try("KRB_AP_ERR_SKEW in place of AP-REP", kerberos="error")),
    before=_served,
    needs=(NEEDS,),
)
serves(
    ClientRun.stopped_or_lenient,
    ("CSSP-KRB-32", Try("a pubKeyAuth in clear", seal_key=_wrapped(seal=False, rrc=0))),
    ("CSSP-KRB-35", Try("a sequence number that is not due", seal_key=_old_number)),
    before=_served,
    needs=(NEEDS,),
)
serves(
    ClientRun.completed,
    ("CSSP-KRB-33", *(Try(f"RRC {turn['rrc']}, EC {turn.get('ec', 0)}", seal_key=_wrapped(**turn)) for turn in TURNS)),
    before=_served,
    needs=(NEEDS,),
)
serves(
    ClientRun.stopped,
    ("CSSP-KRB-36", Try("a token of the initiator", seal_key=_wrapped(reflect=True))),
    before=_served,
    needs=(NEEDS,),
)
serves(
    _without_proof,
    ("CSSP-KRB-30", Try("accept-completed without a token", kerberos="none")),
    before=_in_spnego,
    needs=(NEEDS,),
)

"""SPNEGO: the inner authentication: SPNEGO, NTLM, its MICs and flags (RFC 4178, [MS-SPNG], [MS-NLMP])."""

from __future__ import annotations

import dataclasses
from typing import Final

from credssp.conformance import mutate
from credssp.conformance.catalogue._base import (
    BOTH,
    CATALOGUE,
    CLIENT,
    MUST,
    ROBUSTNESS,
    SECURITY,
    SERVER,
    SHOULD,
    Try,
    logins,
    serves,
)
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import End
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, Verdict, failed, lenient, need, passed
from credssp.conformance.run import ServerRun, judge_refusal
from credssp.conformance.scripted_client import Edit, ScriptedClient
from credssp.conformance.setup import Setup
from credssp.errors import CredSSPError
from credssp.spnego import OID, NegHints, NegState, NegTokenInit, NegTokenResp
from credssp.wire.der import write_explicit, write_octet_string, write_oid, write_tlv
from credssp.wire.ts_request import TSRequest

# fmt: off
CATALOGUE.declare(
    ("CSSP-SPNEGO-01", "NTLM inside SPNEGO", MUST, SERVER, "3.1.5 step 2", "NegTokenInit that offers NTLM",
     "completes, with a mechListMIC of the server"),
    ("CSSP-SPNEGO-02", "NTLM without SPNEGO", ROBUSTNESS, SERVER, "2.2.1 <7>; 3.1.5 step 2; [MS-SPNG] 3.1.5.1 <8>",
     "a bare NTLM NEGOTIATE, as Windows clients without Kerberos send", "completes without SPNEGO"),
    ("CSSP-SPNEGO-03", "Kerberos without SPNEGO", ROBUSTNESS, SERVER, "2.2.1 <7>; 3.1.5 step 2",
     "a bare Kerberos token with a ticket that no KDC issued", "a clean refusal"),
    ("CSSP-SPNEGO-04", "a mechanism that is not the first", MUST, SERVER, "RFC 4178 4.2.2, 5",
     "NEGOEX first, NTLM second", "NTLM is asked for, and completes"),
    ("CSSP-SPNEGO-05", "a mechListMIC that does not verify", SECURITY, BOTH, "RFC 4178 5 (c); [MS-SPNG] 3.1.5.1",
     "one bit of the mechListMIC flipped", "refused; no pubKeyAuth, no authInfo"),
    ("CSSP-SPNEGO-06", "a mechListMIC that is missing", MUST, BOTH, "[MS-SPNG] 3.1.5.1 <8>; RFC 4178 5 (c)",
     "AUTHENTICATE with a MIC, no mechListMIC", "refused (Windows 2000 to 2003 are the documented exceptions)"),
    ("CSSP-SPNEGO-07", "sequence numbers and RC4 state around the mechListMIC", MUST, BOTH,
     "[MS-SPNG] 3.2.5.1, 3.3.5.1; [MS-NLMP] 3.4.4", "a good login with NTLM",
     "everything signed and sealed opens: MIC number 0, then 1, key stream restored"),
    ("CSSP-SPNEGO-08", "the mechListMIC covers the list as it was sent", SECURITY, SERVER, "RFC 4178 5 (a)",
     "a mechListMIC over another list of mechanisms", "refused"),
    ("CSSP-SPNEGO-09", "the last token and pubKeyAuth share a message", MUST, CLIENT, "3.1.5 steps 2 and 3",
     "a good login with bare NTLM", "AUTHENTICATE and pubKeyAuth in one TSRequest"),
    ("CSSP-SPNEGO-10", "no empty token beside pubKeyAuth", ROBUSTNESS, CLIENT, "2.2.1.1; 3.1.5 step 3", "a good login",
     "pubKeyAuth beside the last token, or after it without negoTokens"),
    ("CSSP-SPNEGO-11", "pubKeyAuth in a message of its own", ROBUSTNESS, SERVER, "3.1.5 step 3",
     "the last token alone, then pubKeyAuth", "taken, or refused; no success without pubKeyAuth, no hang"),
    ("CSSP-SPNEGO-12", "pubKeyAuth before the authentication", ROBUSTNESS, SERVER, "3.1.5 step 2",
     "pubKeyAuth and clientNonce beside the first token", "refused (or ignored: lenient)"),
    ("CSSP-SPNEGO-13", "a negotiation without an end", ROBUSTNESS, CLIENT, "3.1.5 step 2", "CHALLENGE, 30 times over",
     "the client gives up"),
    ("CSSP-SPNEGO-14", "supportedMech repeats an identifier that was offered", MUST, SERVER,
     "RFC 4178 4.2.2; [MS-SPNG] 3.2.5", "Kerberos by its Microsoft OID first, NTLM second",
     "the very OID of one of the two comes back"),
    ("CSSP-SPNEGO-26", "a mechanism that was not offered", SECURITY, CLIENT, "RFC 4178 4.2.2",
     "supportedMech is NEGOEX", "refused"),
    ("CSSP-SPNEGO-27", "negState reject", MUST, CLIENT, "RFC 4178 4.2.2", "NegTokenResp with reject",
     "the client stops"),
    ("CSSP-SPNEGO-28", "members of later versions of SPNEGO", MUST, BOTH, "RFC 4178 6",
     "a member [9] after the others, in every token", "ignored"),
    ("CSSP-SPNEGO-29", "reqFlags means nothing", MUST, SERVER, "RFC 4178 4.2.1; [MS-SPNG] 3.1.5.5",
     "NegTokenInit with reqFlags", "taken: the field is ignored"),
    ("CSSP-SPNEGO-30", "negHints of a client", SHOULD, SERVER, "[MS-SPNG] 3.2.5", "NegTokenInit2 with negHints",
     "taken: the hints are ignored"),
    ("CSSP-SPNEGO-31", "supportedMech in a later reply", SHOULD, CLIENT, "[MS-SPNG] 3.3.5",
     "supportedMech Kerberos beside accept-completed, after NTLM was chosen", "taken, and not followed"),
    ("CSSP-SPNEGO-32", "request-mic is obeyed", MUST, CLIENT, "RFC 4178 4.2.2, 5 (c)",
     "negState request-mic in the first reply", "the client's last token carries a mechListMIC"),
    ("CSSP-SPNEGO-33", "GSS-API framing around the first token alone", MUST, CLIENT, "RFC 4178 4.2",
     "a good login in SPNEGO", "60 .. and the OID of SPNEGO in front of NegTokenInit, and of nothing else"),
    ("CSSP-SPNEGO-34", "what the first reply says, and no other", MUST, SERVER, "RFC 4178 4.2.2",
     "a good login in SPNEGO", "negState in the first reply; supportedMech there, one that was offered, or nowhere"),
    ("CSSP-SPNEGO-35", "reqFlags is left out", SHOULD, CLIENT, "RFC 4178 4.2.1; [MS-SPNG] 3.1.5.5",
     "a good login in SPNEGO", "NegTokenInit without reqFlags"),
)
# fmt: on

SPNEGO = Setup(form="spnego")
VERSION_FLAG = 0x02000000
SEAL_FLAG = 0x20
TARGET_INFO_FLAG = 0x00800000


@CATALOGUE.server("CSSP-SPNEGO-01")
def _spnego_login(run: ServerRun) -> Outcome:
    run.baseline()
    _takes_ntlm(run)
    login = run.try_login(form="spnego")
    outcome = run.taken(login, "NTLM in SPNEGO")
    if outcome.verdict is not Verdict.PASS or login.key_reply is None:
        return outcome
    token = login.key_reply.nego_tokens
    if not token or NegTokenResp.decode(token[0]).effective_mic() is None:
        return lenient("completed, but the client's mechListMIC is not answered with one (RFC 4178 5)")
    return passed()


def _takes_ntlm(run: ServerRun) -> None:
    if run.form in run.kerberos_forms:
        raise Skipped("the server takes Kerberos and no NTLM")


@CATALOGUE.server("CSSP-SPNEGO-03")
def _bare_kerberos(run: ServerRun) -> Outcome:
    token = write_tlv(0x60, write_oid(OID.KERBEROS) + b"\x01\x00" + b"\x6e\x03\x30\x01\x00")
    login = run.login(first=lambda _, message: mutate.replaced(message, nego_tokens=(token,)))
    end = None if login.stage != "first" else login.end
    if login.end is not None and login.end.end is End.MESSAGE and login.end.error_code is None:
        return passed("answered with a token of its own (a Kerberos error)")
    return judge_refusal(end, login.crash, accepted=failed("the server continued"))


def _flip_mic(token: bytes | None) -> bytes | None:
    if token is None:
        raise Skipped("no mechListMIC is exchanged with this client")
    response = NegTokenResp.decode(token)
    mic = response.mech_list_mic
    if mic is None:
        raise Skipped("no mechListMIC is exchanged with this client")
    return dataclasses.replace(response, mech_list_mic=mic[:5] + bytes((mic[5] ^ 1,)) + mic[6:]).encode()


@CATALOGUE.observe("CSSP-SPNEGO-07")
def _everything_opens(seen: Observation) -> Outcome:
    if seen.login.ntlm.flags is None:
        raise Skipped("not NTLM")
    problems = [text for who, text in seen.plain.problems if who == seen.who]
    if problems and seen.login.outcome == "accepted":
        return failed("; ".join(problems))
    if problems:
        raise Skipped("a login that was refused on purpose")
    return passed("in SPNEGO" if seen.login.is_spnego else "bare NTLM")


@CATALOGUE.observe("CSSP-SPNEGO-09")
def _shared_message(seen: Observation) -> Outcome:
    if seen.login.is_spnego or seen.login.ntlm.flags is None:
        raise Skipped("not bare NTLM")
    for request in seen.requests:
        if request.nego_tokens and request.nego_tokens[0][8:12] == b"\3\0\0\0":
            return passed() if request.pub_key_auth is not None else failed("AUTHENTICATE came alone")
    raise Skipped("no AUTHENTICATE in this exchange")


@CATALOGUE.observe("CSSP-SPNEGO-10")
def _no_empty_token(seen: Observation) -> Outcome:
    with_key = [request for request in seen.requests if request.pub_key_auth is not None]
    if not with_key:
        raise Skipped("no pubKeyAuth in this exchange")
    for request in with_key:
        if request.nego_tokens is not None and not all(request.nego_tokens):
            return failed("pubKeyAuth beside an empty negoTokens")
    return passed()


@CATALOGUE.server("CSSP-SPNEGO-12")
def _early_key(run: ServerRun) -> Outcome:
    login = run.login(first=lambda a, message: mutate.replaced(message, pub_key_auth=bytes(48), client_nonce=a.nonce))
    end = None if login.stage != "first" else login.end
    return judge_refusal(end, login.crash, accepted=lenient("the early pubKeyAuth was ignored"))


@CATALOGUE.client("CSSP-SPNEGO-13")
def _endless(run: ClientRun) -> Outcome:
    served = run.serve(loop=30)
    if served.answers >= 30:
        return failed("the client answered 30 times")
    return judge_refusal(served.end, served.crash, accepted=failed("the client continued"))


@CATALOGUE.server("CSSP-SPNEGO-14")
def _microsoft_oid(run: ServerRun) -> Outcome:
    run.baseline("spnego")
    login = run.try_login(form="spnego", mech_types=(OID.MS_KERBEROS, OID.NTLM))
    answers = login.observed().login.of("server")
    if not answers or not answers[0].nego_tokens:
        return judge_refusal(login.end, login.crash, accepted=failed("no token came back"))
    mech = NegTokenResp.decode(answers[0].nego_tokens[0]).supported_mech
    return passed(f"{mech}") if mech in (OID.MS_KERBEROS, OID.NTLM) else failed(f"supportedMech is {mech}")


EXTENSION = write_explicit(9, write_octet_string(b"later"))
REQ_FLAGS = write_explicit(1, bytes.fromhex("03020640"))  # ContextFlags with mutualFlag


def _extended(token: bytes | None) -> bytes | None:
    return None if token is None else mutate.spnego_resp(NegTokenResp.decode(token), EXTENSION)


def _speaks_spnego(run: ClientRun) -> None:
    if not run.baseline(SPNEGO).observed().login.is_spnego:
        raise Skipped("this client does not speak SPNEGO")


@CATALOGUE.client("CSSP-SPNEGO-32")
def _mic_requested(run: ClientRun) -> Outcome:
    _speaks_spnego(run)

    def change(token: bytes) -> bytes:
        return dataclasses.replace(NegTokenResp.decode(token), neg_state=NegState.REQUEST_MIC).encode()

    served = run.serve(SPNEGO, challenge_token=change)
    tokens = served.observed().login.tokens("client")[1:]
    need(run.completed(served, "request-mic"))
    mics = [NegTokenResp.decode(token).effective_mic() for token in tokens if token[:1] == b"\xa1"]
    return passed() if any(mics) else failed("no mechListMIC after request-mic")


def _spnego_tokens(seen: Observation) -> list[bytes]:
    try:
        NegTokenInit.decode(seen.login.tokens("client")[0])  # with or without framing
    except (CredSSPError, IndexError):
        raise Skipped("not SPNEGO") from None
    tokens = seen.login.tokens(seen.who)
    if not tokens:
        raise Skipped(f"the {seen.who} sent no token")
    return tokens


@CATALOGUE.observe("CSSP-SPNEGO-33")
def _framing(seen: Observation) -> Outcome:
    first, *later = _spnego_tokens(seen)
    if first[:1] != b"\x60":
        return failed(f"the first token begins with {first[:1].hex()}")
    framed = [token for token in later if token[:1] == b"\x60"]
    return failed("a later token is framed, too") if framed else passed()


@CATALOGUE.observe("CSSP-SPNEGO-34")
def _first_reply(seen: Observation) -> Outcome:
    first, *later = [NegTokenResp.decode(token) for token in _spnego_tokens(seen)]
    if first.neg_state is None:
        return failed("no negState in the first reply")
    offered = NegTokenInit.decode(seen.login.tokens("client")[0]).mech_types
    if first.supported_mech is not None and first.supported_mech not in offered:
        return failed(f"supportedMech {first.supported_mech} was not offered")
    if any(reply.supported_mech is not None for reply in later):
        return failed("supportedMech in a later reply")
    return passed()


@CATALOGUE.observe("CSSP-SPNEGO-35")
def _no_req_flags(seen: Observation) -> Outcome:
    return failed("reqFlags is there") if 0xA1 in mutate.spnego_tags(_spnego_tokens(seen)[0]) else passed()


def _with_init(*members: bytes) -> Edit:
    """Return what puts these members into NegTokenInit."""

    def change(_: ScriptedClient, message: TSRequest) -> TSRequest:
        token = (message.nego_tokens or (b"",))[0]
        return mutate.replaced(message, nego_tokens=(mutate.spnego_init(NegTokenInit.decode(token), *members),))

    return change


def _with_resp(_: ScriptedClient, message: TSRequest) -> TSRequest:
    token = (message.nego_tokens or (b"",))[0]
    return mutate.replaced(message, nego_tokens=(mutate.spnego_resp(NegTokenResp.decode(token), EXTENSION),))


def _without_mic(token: bytes | None) -> bytes | None:
    if token is None or NegTokenResp.decode(token).mech_list_mic is None:
        raise Skipped("no mechListMIC is exchanged with this client")
    return NegTokenResp(NegState.ACCEPT_COMPLETED).encode()


def _other_mechanism(token: bytes) -> bytes:
    return dataclasses.replace(NegTokenResp.decode(token), supported_mech=OID.NEGOEX).encode()


def _later_mechanism(token: bytes | None) -> bytes:
    if token is None:
        raise Skipped("no further SPNEGO token goes to this client")
    return dataclasses.replace(NegTokenResp.decode(token), supported_mech=OID.KERBEROS).encode()


def _good_ntlm(run: ServerRun) -> None:
    run.baseline()
    _takes_ntlm(run)


HINTS: Final = write_explicit(3, NegHints().encode())

logins(ServerRun.taken, ("CSSP-SPNEGO-02", Try("bare NTLM", form="ntlm")), via=ServerRun.try_login, before=_good_ntlm)
logins(
    ServerRun.taken,
    ("CSSP-SPNEGO-04", Try("NTLM as the second mechanism", form="spnego", mech_types=(OID.NEGOEX, OID.NTLM))),
    (
        "CSSP-SPNEGO-28",
        Try("an unknown member in NegTokenInit", form="spnego", first=_with_init(EXTENSION)),
        Try("an unknown member in NegTokenResp", form="spnego", key=_with_resp),
    ),
    ("CSSP-SPNEGO-29", Try("reqFlags", form="spnego", first=_with_init(REQ_FLAGS))),
    ("CSSP-SPNEGO-30", Try("negHints", form="spnego", first=_with_init(HINTS))),
)
logins(
    ServerRun.key_refused,
    ("CSSP-SPNEGO-05", Try("a wrong mechListMIC", form="spnego", mic="bad")),
    ("CSSP-SPNEGO-06", Try("a login without mechListMIC", form="spnego", mic="none")),
    ("CSSP-SPNEGO-08", Try("a mechListMIC over another list", form="spnego", mic="other")),
)
logins(ServerRun.either, ("CSSP-SPNEGO-11", Try("pubKeyAuth after the last token", separate_key=True)))
serves(
    ClientRun.stopped,
    ("CSSP-SPNEGO-05", Try("a wrong mechListMIC", setup=SPNEGO, last_token=_flip_mic)),
    ("CSSP-SPNEGO-06", Try("accept-completed without mechListMIC", setup=SPNEGO, last_token=_without_mic)),
)
serves(
    ClientRun.stopped_early,
    ("CSSP-SPNEGO-26", Try("a mechanism that was not offered", setup=SPNEGO, challenge_token=_other_mechanism)),
    ("CSSP-SPNEGO-27", Try("reject", setup=SPNEGO, challenge_token=lambda _: NegTokenResp(NegState.REJECT).encode())),
    before=_speaks_spnego,
)
serves(
    ClientRun.completed,
    ("CSSP-SPNEGO-31", Try("supportedMech in the last token", setup=SPNEGO, last_token=_later_mechanism)),
)
serves(
    ClientRun.completed,
    (
        "CSSP-SPNEGO-28",
        Try(
            "an unknown member in NegTokenResp",
            setup=SPNEGO,
            challenge_token=lambda token: _extended(token) or b"",
            last_token=_extended,
        ),
    ),
    before=_speaks_spnego,
)

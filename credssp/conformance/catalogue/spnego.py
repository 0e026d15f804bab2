"""SPNEGO: the inner authentication: SPNEGO, NTLM, its MICs and flags (RFC 4178, [MS-SPNG], [MS-NLMP])."""

from __future__ import annotations

import dataclasses

from credssp.conformance import mutate
from credssp.conformance.catalogue._base import (
    BOTH,
    CATALOGUE,
    CLIENT,
    MAY,
    MUST,
    ROBUSTNESS,
    SECURITY,
    SERVER,
    SHOULD,
)
from credssp.conformance.exchange import Observation
from credssp.conformance.ntlm import NTLM_FLAGS
from credssp.conformance.play import ClientRun
from credssp.conformance.rule import Outcome, Skipped, Verdict, failed, lenient, passed
from credssp.conformance.run import ServerRun, judge_refusal
from credssp.conformance.setup import Setup
from credssp.conformance.wire import End
from credssp.errors import CredSSPError
from credssp.nego.ntlm.messages import Authenticate
from credssp.nego.ntlm.session import SESSION_FLAGS
from credssp.nego.spnego import OID, NegState, NegTokenResp
from credssp.wire.der import write_oid, write_tlv

rule = CATALOGUE.rule
SPNEGO = Setup(form="spnego")
VERSION_FLAG = 0x02000000
SEAL_FLAG = 0x20
TARGET_INFO_FLAG = 0x00800000


@CATALOGUE.server(
    rule("CSSP-SPNEGO-01", "NTLM inside SPNEGO", MUST, SERVER, "3.1.5 step 2",
         "NegTokenInit that offers NTLM", "completes, with a mechListMIC of the server")
)  # fmt: skip
def _spnego_login(run: ServerRun) -> Outcome:
    run.baseline()
    _takes_ntlm(run)
    attempt = run.try_login(form="spnego")
    outcome = run.taken(attempt, "NTLM in SPNEGO")
    if outcome.verdict is not Verdict.PASS or attempt.key_reply is None:
        return outcome
    token = attempt.key_reply.nego_tokens
    if not token or NegTokenResp.decode(token[0]).effective_mic() is None:
        return lenient("completed, but the client's mechListMIC is not answered with one (RFC 4178 5)")
    return passed()


@CATALOGUE.server(
    rule("CSSP-SPNEGO-02", "NTLM without SPNEGO", SHOULD, SERVER, "3.1.5 step 2; [MS-SPNG] <8>",
         "a bare NTLM NEGOTIATE, as Windows clients without Kerberos send", "completes without SPNEGO")
)  # fmt: skip
def _bare_login(run: ServerRun) -> Outcome:
    run.baseline()
    _takes_ntlm(run)
    return run.taken(run.try_login(form="ntlm"), "bare NTLM")


def _takes_ntlm(run: ServerRun) -> None:
    if run.form in run.kerberos_forms:
        raise Skipped("the server takes Kerberos and no NTLM")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-03", "Kerberos without SPNEGO", SHOULD, SERVER, "3.1.5 <7>",
         "a bare Kerberos token with a ticket that nobody issued", "a clean refusal")
)  # fmt: skip
def _bare_kerberos(run: ServerRun) -> Outcome:
    token = write_tlv(0x60, write_oid(OID.KERBEROS) + b"\x01\x00" + b"\x6e\x03\x30\x01\x00")
    attempt = run.login(first=lambda _, message: mutate.replaced(message, nego_tokens=(token,)))
    end = None if attempt.stage != "first" else attempt.end
    if attempt.end is not None and attempt.end.end is End.MESSAGE and attempt.end.error_code is None:
        return passed("answered with a token of its own (a Kerberos error)")
    return judge_refusal(end, attempt.crash, accepted=failed("the server went on"))


@CATALOGUE.server(
    rule("CSSP-SPNEGO-04", "a mechanism that is not the first", SHOULD, SERVER, "RFC 4178 4.2.1, 5",
         "NEGOEX first, NTLM second", "NTLM is asked for, and completes")
)  # fmt: skip
def _second_mechanism(run: ServerRun) -> Outcome:
    attempt = run.login(form="spnego", mech_types=(OID.NEGOEX, OID.NTLM))
    return run.taken(attempt, "NTLM as the second mechanism")


def _flip_mic(token: bytes | None) -> bytes | None:
    if token is None:
        raise Skipped("no mechListMIC is exchanged with this client")
    response = NegTokenResp.decode(token)
    mic = response.mech_list_mic
    if mic is None:
        raise Skipped("no mechListMIC is exchanged with this client")
    return dataclasses.replace(response, mech_list_mic=mic[:5] + bytes((mic[5] ^ 1,)) + mic[6:]).encode()


_TAMPERED = rule(
    "CSSP-SPNEGO-05", "a mechListMIC that does not verify", SECURITY, BOTH, "RFC 4178 5; [MS-SPNG] 3.1.5.1",
    "one bit of the mechListMIC flipped", "refused; no pubKeyAuth, no authInfo",
)  # fmt: skip


@CATALOGUE.server(_TAMPERED)
def _server_bad_mic(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(form="spnego", mic="bad"), "a wrong mechListMIC")


@CATALOGUE.client(_TAMPERED)
def _client_bad_mic(run: ClientRun) -> Outcome:
    return run.stopped(run.serve(SPNEGO, last_token=_flip_mic), "a wrong mechListMIC")


_ABSENT = rule(
    "CSSP-SPNEGO-06", "a mechListMIC that is missing", MUST, BOTH, "[MS-SPNG] 3.1.5.1 <8>",
    "AUTHENTICATE with a MIC, no mechListMIC", "refused (Windows 2000 to 2003 are the documented exceptions)",
)  # fmt: skip


@CATALOGUE.server(_ABSENT)
def _server_no_mic(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(form="spnego", mic="none"), "a login without mechListMIC")


@CATALOGUE.client(_ABSENT)
def _client_no_mic(run: ClientRun) -> Outcome:
    def drop(token: bytes | None) -> bytes | None:
        if token is None or NegTokenResp.decode(token).mech_list_mic is None:
            raise Skipped("no mechListMIC is exchanged with this client")
        return NegTokenResp(NegState.ACCEPT_COMPLETED).encode()

    return run.stopped(run.serve(SPNEGO, last_token=drop), "accept-completed without mechListMIC")


@CATALOGUE.observe(
    rule("CSSP-SPNEGO-07", "sequence numbers and RC4 state around the mechListMIC", MUST, BOTH, "[MS-SPNG] 3.3.5.1",
         "a good login with NTLM", "everything signed and sealed opens: MIC number 0, then 1, key stream restored")
)  # fmt: skip
def _everything_opens(seen: Observation) -> Outcome:
    if seen.exchange.ntlm() is None:
        raise Skipped("not NTLM")
    problems = [text for text in seen.exchange.opened.problems if f"of the {seen.who}" in text]
    if problems and seen.exchange.outcome == "accepted":
        return failed("; ".join(problems))
    if problems:
        raise Skipped("a login that was refused on purpose")
    return passed("in SPNEGO" if seen.exchange.is_spnego else "bare NTLM")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-08", "the mechListMIC covers the list as it was sent", SECURITY, SERVER, "RFC 4178 5",
         "a mechListMIC over another list of mechanisms", "refused")
)  # fmt: skip
def _other_list(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(form="spnego", mic="other"), "a mechListMIC over another list")


@CATALOGUE.observe(
    rule("CSSP-SPNEGO-09", "the last token and pubKeyAuth share a message", MUST, CLIENT, "3.1.5 step 3",
         "a good login with bare NTLM", "AUTHENTICATE and pubKeyAuth in one TSRequest")
)  # fmt: skip
def _shared_message(seen: Observation) -> Outcome:
    if seen.exchange.is_spnego or seen.exchange.ntlm() is None:
        raise Skipped("not bare NTLM")
    for request in seen.requests:
        if request.nego_tokens and request.nego_tokens[0][8:12] == b"\3\0\0\0":
            return passed() if request.pub_key_auth is not None else failed("AUTHENTICATE came alone")
    raise Skipped("no AUTHENTICATE in this exchange")


@CATALOGUE.observe(
    rule("CSSP-SPNEGO-10", "no empty token beside pubKeyAuth", SHOULD, CLIENT, "3.1.5 step 3",
         "a good login", "pubKeyAuth beside the last token, or after it without negoTokens")
)  # fmt: skip
def _no_empty_token(seen: Observation) -> Outcome:
    with_key = [request for request in seen.requests if request.pub_key_auth is not None]
    if not with_key:
        raise Skipped("no pubKeyAuth in this exchange")
    for request in with_key:
        if request.nego_tokens is not None and not all(request.nego_tokens):
            return failed("pubKeyAuth beside an empty negoTokens")
    return passed()


@CATALOGUE.server(
    rule("CSSP-SPNEGO-11", "pubKeyAuth in a message of its own", ROBUSTNESS, SERVER, "3.1.5 step 3",
         "the last token alone, then pubKeyAuth", "taken, or refused; no success without pubKeyAuth, no hang")
)  # fmt: skip
def _late_key(run: ServerRun) -> Outcome:
    return run.either(run.login(separate_key=True), "pubKeyAuth behind the last token")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-12", "pubKeyAuth before the authentication", ROBUSTNESS, SERVER, "3.1.5 step 3",
         "pubKeyAuth and clientNonce beside the first token", "refused (or ignored: lenient)")
)  # fmt: skip
def _early_key(run: ServerRun) -> Outcome:
    attempt = run.login(first=lambda a, message: mutate.replaced(message, pub_key_auth=bytes(48), client_nonce=a.nonce))
    end = None if attempt.stage != "first" else attempt.end
    return judge_refusal(end, attempt.crash, accepted=lenient("the early pubKeyAuth was ignored"))


@CATALOGUE.client(
    rule("CSSP-SPNEGO-13", "a negotiation without an end", ROBUSTNESS, CLIENT, "3.1.5 step 2",
         "CHALLENGE, 30 times over", "the client gives up")
)  # fmt: skip
def _endless(run: ClientRun) -> Outcome:
    play = run.serve(loop=30)
    if play.answers >= 30:
        return failed("the client answered 30 times")
    return judge_refusal(play.end, play.crash, accepted=failed("the client went on"))


@CATALOGUE.server(
    rule("CSSP-SPNEGO-14", "supportedMech repeats an identifier that was offered", SHOULD, SERVER, "[MS-SPNG] <9>",
         "Kerberos by its Microsoft OID first, NTLM second", "the very OID of one of the two comes back")
)  # fmt: skip
def _microsoft_oid(run: ServerRun) -> Outcome:
    run.baseline("spnego")
    attempt = run.try_login(form="spnego", mech_types=(OID.MS_KERBEROS, OID.NTLM))
    answers = attempt.exchange().of("server")
    if not answers or not answers[0].nego_tokens:
        return judge_refusal(attempt.end, attempt.crash, accepted=failed("no token came back"))
    mech = NegTokenResp.decode(answers[0].nego_tokens[0]).supported_mech
    return passed(f"{mech}") if mech in (OID.MS_KERBEROS, OID.NTLM) else failed(f"supportedMech is {mech}")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-15", "a MIC of AUTHENTICATE that does not verify", SECURITY, SERVER, "[MS-NLMP] 3.2.5.1.2",
         "MsvAvFlags says there is a MIC, and it is wrong", "refused")
)  # fmt: skip
def _bad_ntlm_mic(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(ntlm={"mic": "bad"}), "a wrong MIC")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-16", "octets behind MsvAvEOL", ROBUSTNESS, SERVER, "[MS-NLMP] 2.2.2.7",
         "an NTLMv2 response with no and with 12 octets behind MsvAvEOL", "taken: the proof covers octets as sent")
)  # fmt: skip
def _ntlm_tail(run: ServerRun) -> Outcome:
    for tail in (b"", bytes(12)):
        outcome = run.taken(run.login(ntlm={"tail": tail}), f"{len(tail)} octets behind MsvAvEOL")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.server(
    rule("CSSP-SPNEGO-17", "sizes of NEGOTIATE", ROBUSTNESS, SERVER, "[MS-NLMP] 2.2.1.1",
         "NEGOTIATE of 32, 40 and 42 octets", "taken")
)  # fmt: skip
def _negotiate_sizes(run: ServerRun) -> Outcome:
    for size in (32, 40, 42):
        flags = NTLM_FLAGS if size >= 40 else NTLM_FLAGS & ~VERSION_FLAG
        outcome = run.taken(run.login(ntlm={"size": size, "flags": flags}), f"NEGOTIATE of {size} octets")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.observe(
    rule("CSSP-SPNEGO-18", "the client names its target", SHOULD, CLIENT, "3.1.1; [MS-NLMP] 3.1.5.1.2",
         "a good login with NTLM", "MsvAvTargetName is TERMSRV/host, HTTP/host or WSMAN/host")
)  # fmt: skip
def _target_name(seen: Observation) -> Outcome:
    ntlm = seen.exchange.ntlm()
    if ntlm is None:
        raise Skipped("not NTLM")
    try:
        message = Authenticate.decode(ntlm[2])
    except CredSSPError as error:
        return failed(str(error))
    name = message.ntlmv2.target_info.target_name if message.ntlmv2 is not None else None
    if not name:
        return failed("no MsvAvTargetName")
    wanted = name.partition("/")[0].upper() in ("TERMSRV", "HTTP", "WSMAN")
    return passed(name) if wanted else failed(f"MsvAvTargetName is {name}")


_SEALING = rule(
    "CSSP-SPNEGO-19", "no session without confidentiality", SECURITY, BOTH, "3.1.5 <3>; [MS-NLMP] 2.2.2.5",
    "NTLM flags without SEAL", "refused: credentials need encryption (or sealed all the same: lenient)",
)  # fmt: skip


@CATALOGUE.server(_SEALING)
def _server_no_seal(run: ServerRun) -> Outcome:
    attempt = run.login(ntlm={"flags": NTLM_FLAGS & ~SEAL_FLAG})
    if attempt.server_key is not None:
        return lenient("taken; messages are sealed all the same")
    return run.key_refused(attempt, "a login without SEAL")


@CATALOGUE.client(_SEALING)
def _client_no_seal(run: ClientRun) -> Outcome:
    play = run.serve(challenge_token=lambda token: _flags(token, clear=SEAL_FLAG))
    if play.answers and play.exchange().opened.client_key is not None:
        return lenient("taken; messages are sealed all the same")
    return run.stopped_early(play, "CHALLENGE without SEAL")


def _flags(token: bytes, *, clear: int) -> bytes:
    """Clear flags of a CHALLENGE, bare or in SPNEGO (where it has the same size)."""
    at = token.find(b"NTLMSSP\0\2\0\0\0")
    if at < 0:
        raise Skipped("the client does not speak NTLM")
    flags = int.from_bytes(token[at + 20 : at + 24], "little") & ~clear
    return token[: at + 20] + flags.to_bytes(4, "little") + token[at + 24 :]


@CATALOGUE.observe(
    rule("CSSP-SPNEGO-20", "integrity and confidentiality are asked for", MUST, CLIENT, "3.1.5 <3>; [MS-NLMP] 3.1.1.2",
         "a good login with NTLM", "SIGN, SEAL, 128, KEY_EXCH and EXTENDED_SESSIONSECURITY in NEGOTIATE")
)  # fmt: skip
def _asked_for(seen: Observation) -> Outcome:
    flags = seen.exchange.negotiate_flags()
    if flags is None:
        raise Skipped("not NTLM, or not all of it")
    missing = SESSION_FLAGS & ~flags[0]
    return failed(f"NEGOTIATE lacks 0x{missing:08X}") if missing else passed(f"0x{flags[0]:08X}")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-21", "anonymous logins", SECURITY, SERVER, "[MS-NLMP] 3.2.5.1.2",
         "AUTHENTICATE without names and with an empty response", "refused")
)  # fmt: skip
def _anonymous(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(ntlm={"anonymous": True, "mic": "none"}), "an anonymous login")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-22", "NTLMv1", SECURITY, SERVER, "[MS-NLMP] 3.2.5.1.2",
         "an NTLM response of 24 octets", "refused")
)  # fmt: skip
def _ntlm_v1(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(ntlm={"v1": True, "mic": "none"}), "an NTLMv1 response")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-23", "a wrong proof", MUST, SERVER, "[MS-NLMP] 3.2.5.1.2",
         "NTProofStr of 16 zero octets", "refused")
)  # fmt: skip
def _wrong_proof(run: ServerRun) -> Outcome:
    return run.key_refused(run.login(ntlm={"spoil_proof": True}), "a wrong NTProofStr")


@CATALOGUE.server(
    rule("CSSP-SPNEGO-24", "the server gives NTLM a timestamp", MAY, SERVER, "[MS-NLMP] 3.2.5.1.1",
         "a bare NTLM NEGOTIATE", "CHALLENGE has MsvAvTimestamp, which obliges clients to send a MIC")
)  # fmt: skip
def _timestamp(run: ServerRun) -> Outcome:
    from credssp.nego.ntlm.messages import Challenge

    ntlm = run.baseline().exchange().ntlm()
    if ntlm is None:
        raise Skipped("not NTLM")
    info = Challenge.decode(ntlm[1]).target_info
    has = info is not None and info.timestamp is not None
    return passed() if has else lenient("no MsvAvTimestamp: clients need not send a MIC")


@CATALOGUE.client(
    rule("CSSP-SPNEGO-25", "CHALLENGE without target information", SECURITY, CLIENT, "[MS-NLMP] 3.1.5.1.2",
         "CHALLENGE whose flags lack TARGET_INFO, for which only NTLMv1 would do",
         "refused (or answered with NTLMv2 all the same: lenient)")
)  # fmt: skip
def _no_target_info(run: ClientRun) -> Outcome:
    play = run.serve(challenge_token=lambda token: _flags(token, clear=TARGET_INFO_FLAG))
    ntlm = play.exchange().ntlm()
    if play.answers and ntlm is not None:
        size = int.from_bytes(ntlm[2][20:22], "little")
        return lenient("NTLMv2 all the same") if size > 24 else failed(f"an NTLM response of {size} octets")
    return run.stopped_early(play, "CHALLENGE without TARGET_INFO")


@CATALOGUE.client(
    rule("CSSP-SPNEGO-26", "a mechanism that nobody offered", SECURITY, CLIENT, "RFC 4178 4.2.2",
         "supportedMech is NEGOEX", "refused")
)  # fmt: skip
def _unasked_mechanism(run: ClientRun) -> Outcome:
    def change(token: bytes) -> bytes:
        return dataclasses.replace(NegTokenResp.decode(token), supported_mech=OID.NEGOEX).encode()

    return run.stopped_early(run.serve(SPNEGO, challenge_token=change), "a mechanism that was not offered")


@CATALOGUE.client(
    rule("CSSP-SPNEGO-27", "negState reject", MUST, CLIENT, "RFC 4178 4.2.2",
         "NegTokenResp with reject", "the client stops")
)  # fmt: skip
def _rejected(run: ClientRun) -> Outcome:
    play = run.serve(SPNEGO, challenge_token=lambda _: NegTokenResp(NegState.REJECT).encode())
    return run.stopped_early(play, "reject")

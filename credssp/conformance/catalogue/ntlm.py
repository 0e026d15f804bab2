"""SPNEGO, the part that is NTLM: flags, names, proofs and MICs of its three messages ([MS-NLMP])."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

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
from credssp.conformance.ntlm import NTLM_FLAGS
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, Verdict, failed, lenient, passed
from credssp.conformance.run import ServerRun, judge_refusal
from credssp.exchange.recorded_login import inner_token
from credssp.ntlm.av_pairs import AV_CHANNEL_BINDINGS, encode_av_pair
from credssp.ntlm.messages import SIGNATURE, Authenticate, Challenge, NTLMv2Response
from credssp.ntlm.session import SESSION_FLAGS
from credssp.spnego import NegTokenResp

# fmt: off
CATALOGUE.declare(
    ("CSSP-SPNEGO-15", "a MIC of AUTHENTICATE that does not verify", SECURITY, SERVER, "[MS-NLMP] 3.2.5.1.2",
     "MsvAvFlags says there is a MIC, and it is wrong", "refused"),
    ("CSSP-SPNEGO-16", "bytes after MsvAvEOL", ROBUSTNESS, SERVER, "[MS-NLMP] 2.2.2.1, 3.3.2",
     "an NTLMv2 response with no and with 12 bytes after MsvAvEOL", "taken: the proof covers bytes as sent"),
    ("CSSP-SPNEGO-17", "sizes of NEGOTIATE", ROBUSTNESS, SERVER, "[MS-NLMP] 2.2.1.1",
     "NEGOTIATE of 32, 40 and 42 bytes", "taken"),
    ("CSSP-SPNEGO-18", "the client names its target", SHOULD, CLIENT, "3.1.1 <23>; [MS-NLMP] 3.1.5.1.2",
     "a good login with NTLM", "MsvAvTargetName is TERMSRV/host, HTTP/host or WSMAN/host"),
    ("CSSP-SPNEGO-19", "no session without confidentiality", SECURITY, BOTH,
     "3.1.5 steps 2 and 3; [MS-NLMP] 2.2.2.5, 3.1.5.1.2", "NTLM flags without SEAL",
     "refused: credentials need encryption (or sealed anyway: lenient)"),
    ("CSSP-SPNEGO-20", "integrity and confidentiality are asked for", MUST, CLIENT,
     "3.1.5 step 3; [MS-NLMP] 2.2.2.5, 3.1.1.2", "a good login with NTLM",
     "SIGN, SEAL, 128, KEY_EXCH and EXTENDED_SESSIONSECURITY in NEGOTIATE"),
    ("CSSP-SPNEGO-21", "anonymous logins", SECURITY, SERVER, "1.5; [MS-NLMP] 3.2.5.1.2",
     "AUTHENTICATE without names and with an empty response", "refused"),
    ("CSSP-SPNEGO-22", "NTLMv1", SECURITY, SERVER, "[MS-NLMP] 3.2.5.1.2, 3.3.1", "an NTLM response of 24 bytes",
     "refused"),
    ("CSSP-SPNEGO-23", "a wrong proof", MUST, SERVER, "[MS-NLMP] 3.2.5.1.2", "NTProofStr of 16 zero bytes",
     "refused"),
    ("CSSP-SPNEGO-24", "the server gives NTLM a timestamp", SHOULD, SERVER, "[MS-NLMP] 2.2.2.1 MsvAvTimestamp",
     "a bare NTLM NEGOTIATE", "CHALLENGE has MsvAvTimestamp, which obliges clients to send a MIC"),
    ("CSSP-SPNEGO-25", "CHALLENGE without target information", SECURITY, CLIENT, "[MS-NLMP] 3.1.5.1.2",
     "CHALLENGE whose flags lack TARGET_INFO, for which only NTLMv1 would do",
     "refused (or answered with NTLMv2 anyway: lenient)"),
    ("CSSP-SPNEGO-36", "CHALLENGE without names", MUST, CLIENT, "[MS-NLMP] 3.1.5.1.2",
     "CHALLENGE with neither MsvAvNbComputerName nor MsvAvNbDomainName", "refused: integrity was asked for"),
    ("CSSP-SPNEGO-37", "AUTHENTICATE carries a MIC", SHOULD, CLIENT, "[MS-NLMP] 3.1.5.1.2",
     "a good login with NTLM; CHALLENGE has MsvAvTimestamp", "MsvAvFlags with 2, and the MIC field filled"),
    ("CSSP-SPNEGO-38", "no LM response beside NTLMv2", SHOULD, CLIENT, "[MS-NLMP] 3.1.5.1.2",
     "a good login with NTLM; CHALLENGE has MsvAvTimestamp", "LmChallengeResponse is 24 zero bytes, or empty"),
    ("CSSP-SPNEGO-39", "the server's timestamp comes back", SHOULD, CLIENT, "[MS-NLMP] 3.1.5.1.2",
     "a good login with NTLM; CHALLENGE has MsvAvTimestamp", "TimeStamp of the response is that of CHALLENGE"),
    ("CSSP-SPNEGO-40", "channel bindings are named, be there any or not", SHOULD, CLIENT, "[MS-NLMP] 3.1.5.1.2",
     "a good login with NTLM", "MsvAvChannelBindings in the response, zeros for none"),
    ("CSSP-SPNEGO-41", "CHALLENGE returns what was asked for", MUST, SERVER, "[MS-NLMP] 2.2.2.5, 3.2.5.1.1",
     "a good login with NTLM",
     "SIGN, SEAL, 128, 56, EXTENDED_SESSIONSECURITY, UNICODE if asked for; NTLM, ALWAYS_SIGN, TARGET_INFO anyway"),
    ("CSSP-SPNEGO-42", "the form of CHALLENGE", MUST, SERVER, "[MS-NLMP] 2.2.1.2, 2.2.2.1", "a good login with NTLM",
     "Reserved is zero; TargetInfo ends in MsvAvEOL, which is the last of it"),
    ("CSSP-SPNEGO-43", "LM_KEY beside EXTENDED_SESSIONSECURITY", MUST, SERVER, "[MS-NLMP] 2.2.2.5",
     "NEGOTIATE that asks for both", "EXTENDED_SESSIONSECURITY alone comes back; the login is taken"),
    ("CSSP-SPNEGO-44", "no character set", MUST, SERVER, "[MS-NLMP] 2.2.2.5", "NEGOTIATE with neither UNICODE nor OEM",
     "refused"),
    ("CSSP-SPNEGO-45", "a session key that is missing", MUST, SERVER, "[MS-NLMP] 3.2.5.1.2",
     "KEY_EXCH was negotiated, EncryptedRandomSessionKey is empty", "refused"),
    ("CSSP-SPNEGO-46", "user names in any case", MUST, SERVER, "[MS-NLMP] 3.2.5.1.2",
     "the account's name with upper and lower case exchanged", "taken"),
    ("CSSP-SPNEGO-47", "a response computed without the domain", SHOULD, SERVER, "[MS-NLMP] 3.2.5.1.2",
     "DomainName is sent, and is empty in the computation, as in some clients", "taken"),
    ("CSSP-SPNEGO-48", "a timestamp of long ago", SHOULD, SERVER, "[MS-NLMP] 3.2.5.1.2",
     "TimeStamp of the response in the year 2001; MsvAvTimestamp is right",
     "refused as older than MaxLifetime (or taken: the challenge is fresh anyway)"),
    ("CSSP-SPNEGO-49", "the flags of every NEGOTIATE", MUST, CLIENT, "[MS-NLMP] 2.2.2.5, 3.1.5.1.1",
     "a good login with NTLM", "REQUEST_TARGET, NTLM, ALWAYS_SIGN and UNICODE; no bit that is unused"),
)
# fmt: on

VERSION_FLAG = 0x02000000
SEAL_FLAG = 0x20
TARGET_INFO_FLAG = 0x00800000
LM_KEY_FLAG = 0x80
RETURNED = 0xA0080031
"""56, 128, EXTENDED_SESSIONSECURITY, SEAL, SIGN, UNICODE: a server returns those that it was asked for."""
ALWAYS_TOLD = 0x00808200
"""TARGET_INFO, ALWAYS_SIGN, NTLM: in every CHALLENGE."""
EVERY_NEGOTIATE = 0x00008205
"""ALWAYS_SIGN, NTLM, REQUEST_TARGET, UNICODE: in every NEGOTIATE."""
UNUSED = 0x1D244108
"""The bits that have to be zero: r1 to r7, r9 and r10. (r8, 0x00000400, only should be.)"""


@CATALOGUE.observe("CSSP-SPNEGO-18")
def _target_name(seen: Observation) -> Outcome:
    message = seen.login.ntlm.authenticate_message
    if message is None:
        raise Skipped("not NTLM")
    name = message.ntlmv2.target_info.target_name if message.ntlmv2 is not None else None
    if not name:
        return failed("no MsvAvTargetName")
    wanted = name.partition("/")[0].upper() in ("TERMSRV", "HTTP", "WSMAN")
    return passed(name) if wanted else failed(f"MsvAvTargetName is {name}")


@CATALOGUE.server("CSSP-SPNEGO-19")
def _server_no_seal(run: ServerRun) -> Outcome:
    login = run.login(ntlm={"flags": NTLM_FLAGS & ~SEAL_FLAG})
    if login.server_key is not None:
        return lenient("taken; messages are sealed anyway")
    return run.key_refused(login, "a login without SEAL")


@CATALOGUE.client("CSSP-SPNEGO-19")
def _client_no_seal(run: ClientRun) -> Outcome:
    served = run.serve(challenge_token=lambda token: _flags(token, clear=SEAL_FLAG))
    if served.answers and served.observed().plain.client_key is not None:
        return lenient("taken; messages are sealed anyway")
    return run.stopped_early(served, "CHALLENGE without SEAL")


def _flags(token: bytes, *, clear: int) -> bytes:
    """Clear flags of a CHALLENGE, bare or in SPNEGO (where it has the same size)."""
    at = token.find(b"NTLMSSP\0\2\0\0\0")
    if at < 0:
        raise Skipped("the client does not speak NTLM")
    flags = int.from_bytes(token[at + 20 : at + 24], "little") & ~clear
    return token[: at + 20] + flags.to_bytes(4, "little") + token[at + 24 :]


@CATALOGUE.observe("CSSP-SPNEGO-20")
def _asked_for(seen: Observation) -> Outcome:
    flags = seen.login.ntlm.flags
    if flags is None:
        raise Skipped("not NTLM, or not all of it")
    missing = SESSION_FLAGS & ~flags[0]
    return failed(f"NEGOTIATE lacks 0x{missing:08X}") if missing else passed(f"0x{flags[0]:08X}")


@CATALOGUE.server("CSSP-SPNEGO-24")
def _timestamp(run: ServerRun) -> Outcome:
    challenge = run.baseline().observed().login.ntlm.challenge_message
    if challenge is None:
        raise Skipped("not NTLM")
    info = challenge.target_info
    has = info is not None and info.timestamp is not None
    return passed() if has else failed("no MsvAvTimestamp: clients need not send a MIC")


@CATALOGUE.client("CSSP-SPNEGO-25")
def _no_target_info(run: ClientRun) -> Outcome:
    served = run.serve(challenge_token=lambda token: _flags(token, clear=TARGET_INFO_FLAG))
    message = served.observed().login.ntlm.authenticate_message
    if served.answers and message is not None:
        size = len(message.nt_response)
        return lenient("NTLMv2 anyway") if size > 24 else failed(f"an NTLM response of {size} bytes")
    return run.stopped_early(served, "CHALLENGE without TARGET_INFO")


def _edited(token: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """Change CHALLENGE, bare or inside SPNEGO."""
    challenge = inner_token(token)
    if not challenge.startswith(SIGNATURE):
        raise Skipped("the client does not speak NTLM")
    if challenge == token:
        return edit(token)
    return dataclasses.replace(NegTokenResp.decode(token), response_token=edit(challenge)).encode()


def _nameless(challenge: bytes) -> bytes:
    """Take both NetBIOS names out of CHALLENGE."""
    info = Challenge.decode(challenge).target_info
    pairs = [] if info is None else [pair for pair in info.pairs if pair[0] not in (1, 2)]
    data = b"".join(encode_av_pair(av_id, value) for av_id, value in pairs) + bytes(4)
    fields = struct.pack("<HHI", len(data), len(data), len(challenge))
    return challenge[:40] + fields + challenge[48:] + data


def _answered(seen: Observation) -> tuple[Challenge, Authenticate, NTLMv2Response]:
    """Return CHALLENGE, AUTHENTICATE and the NTLMv2 response in it."""
    challenge, message = seen.login.ntlm.challenge_message, seen.login.ntlm.authenticate_message
    if challenge is None or message is None:
        raise Skipped("not NTLM")
    if message.ntlmv2 is None:
        raise Skipped("not NTLMv2")
    return challenge, message, message.ntlmv2


def _with_timestamp(seen: Observation) -> tuple[int, Authenticate, NTLMv2Response]:
    challenge, message, response = _answered(seen)
    stamp = None if challenge.target_info is None else challenge.target_info.timestamp
    if stamp is None:
        raise Skipped("CHALLENGE has no MsvAvTimestamp")
    return stamp, message, response


@CATALOGUE.observe("CSSP-SPNEGO-37")
def _mic_sent(seen: Observation) -> Outcome:
    return passed() if _with_timestamp(seen)[1].mic is not None else failed("MsvAvFlags announces no MIC")


@CATALOGUE.observe("CSSP-SPNEGO-38")
def _no_lm_response(seen: Observation) -> Outcome:
    return failed("an LM response") if any(_with_timestamp(seen)[1].lm_response) else passed()


@CATALOGUE.observe("CSSP-SPNEGO-39")
def _same_timestamp(seen: Observation) -> Outcome:
    stamp, _, response = _with_timestamp(seen)
    return passed() if response.timestamp == stamp else failed("the client's own time")


@CATALOGUE.observe("CSSP-SPNEGO-40")
def _bindings_named(seen: Observation) -> Outcome:
    _, _, response = _answered(seen)
    found = dict(response.target_info.pairs).get(AV_CHANNEL_BINDINGS)
    return passed() if found is not None else lenient("no MsvAvChannelBindings, which means what zeros mean")


def _challenge(seen: Observation) -> tuple[bytes, int, int]:
    """Return CHALLENGE, what the client asked for, and what the server says."""
    ntlm = seen.login.ntlm
    if ntlm.flags is None:
        raise Skipped("not NTLM, or not all of it")
    return ntlm.challenge, ntlm.flags[0], ntlm.flags[1]


@CATALOGUE.observe("CSSP-SPNEGO-41")
def _returned_flags(seen: Observation) -> Outcome:
    _, asked, told = _challenge(seen)
    missing = (asked & RETURNED | ALWAYS_TOLD) & ~told
    return failed(f"CHALLENGE lacks 0x{missing:08X}") if missing else passed(f"0x{told:08X}")


@CATALOGUE.observe("CSSP-SPNEGO-42")
def _challenge_form(seen: Observation) -> Outcome:
    data, _, _ = _challenge(seen)
    if any(data[32:40]):
        return failed(f"Reserved is {data[32:40].hex()}")
    size, at = struct.unpack_from("<H2xI", data, 40)
    info = Challenge.decode(data).target_info
    if info is None:
        return failed("no TargetInfo")
    whole = sum(len(value) + 4 for _, value in info.pairs) + 4 == size and not any(data[at + size - 4 : at + size])
    if not info.terminated or not whole:
        return failed("TargetInfo does not end in MsvAvEOL")
    return passed()


@CATALOGUE.server("CSSP-SPNEGO-43")
def _lm_key(run: ServerRun) -> Outcome:
    login = run.login(ntlm={"flags": NTLM_FLAGS | LM_KEY_FLAG})
    outcome = run.taken(login, "LM_KEY")
    flags = login.observed().login.ntlm.flags
    if outcome.verdict is Verdict.PASS and flags is not None and flags[1] & LM_KEY_FLAG:
        return failed("LM_KEY came back, too")
    return outcome


@CATALOGUE.server("CSSP-SPNEGO-44")
def _no_character_set(run: ServerRun) -> Outcome:
    login = run.login(ntlm={"flags": NTLM_FLAGS & ~0x3})
    end = login.end if login.stage == "first" else None
    return judge_refusal(end, login.crash, accepted=failed("CHALLENGE came anyway"))


@CATALOGUE.server("CSSP-SPNEGO-46")
def _any_case(run: ServerRun) -> Outcome:
    name = run.target.account.username
    if name.swapcase() == name:
        raise Skipped("the account's name has no letters with two cases")
    return run.taken(run.login(username=name.swapcase()), "the name in another case")


@CATALOGUE.server("CSSP-SPNEGO-47")
def _without_domain(run: ServerRun) -> Outcome:
    if not run.target.account.domain:
        raise Skipped("the account has no domain")
    return run.taken(run.login(ntlm={"without_domain": True}), "a response without the domain")


@CATALOGUE.observe("CSSP-SPNEGO-49")
def _every_negotiate(seen: Observation) -> Outcome:
    flags = seen.login.ntlm.flags
    if flags is None:
        raise Skipped("not NTLM, or not all of it")
    missing, unused = EVERY_NEGOTIATE & ~flags[0], flags[0] & UNUSED
    if missing:
        return failed(f"NEGOTIATE lacks 0x{missing:08X}")
    return failed(f"NEGOTIATE has 0x{unused:08X}, which must be zero") if unused else passed(f"0x{flags[0]:08X}")


logins(
    ServerRun.key_refused,
    ("CSSP-SPNEGO-15", Try("a wrong MIC", ntlm={"mic": "bad"})),
    ("CSSP-SPNEGO-21", Try("an anonymous login", ntlm={"anonymous": True, "mic": "none"})),
    ("CSSP-SPNEGO-22", Try("an NTLMv1 response", ntlm={"v1": True, "mic": "none"})),
    ("CSSP-SPNEGO-23", Try("a wrong NTProofStr", ntlm={"spoil_proof": True})),
    ("CSSP-SPNEGO-45", Try("no EncryptedRandomSessionKey", ntlm={"without_key": True})),
)
logins(
    ServerRun.taken,
    ("CSSP-SPNEGO-16", *(Try(f"{len(tail)} bytes after MsvAvEOL", ntlm={"tail": tail}) for tail in (b"", bytes(12)))),
    (
        "CSSP-SPNEGO-17",
        Try("NEGOTIATE of 32 bytes", ntlm={"size": 32, "flags": NTLM_FLAGS & ~VERSION_FLAG}),
        Try("NEGOTIATE of 40 bytes", ntlm={"size": 40}),
        Try("NEGOTIATE of 42 bytes", ntlm={"size": 42}),
    ),
)
logins(
    ServerRun.key_refused_or_lenient,
    (
        "CSSP-SPNEGO-48",
        Try("a response that is decades old", ntlm={"timestamp": struct.pack("<Q", 126_227_808_000_000_000)}),
    ),
)
serves(
    ClientRun.stopped_early,
    ("CSSP-SPNEGO-36", Try("CHALLENGE without names", challenge_token=lambda token: _edited(token, _nameless))),
)

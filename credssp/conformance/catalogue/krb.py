"""KRB, the servers' part: Kerberos as the inner authentication (RFC 4120 3.2, RFC 4121, [MS-KILE] 3.4.5.4).

These rules need tickets for the server, see FEATURES. The clients' part is in `krb_client`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from credssp.conformance.catalogue._base import (
    CATALOGUE,
    MAY,
    MUST,
    ROBUSTNESS,
    SECURITY,
    SERVER,
    SHOULD,
)
from credssp.conformance.connection import End
from credssp.conformance.inner import KerberosInner
from credssp.conformance.kerberos import KerberosClient, KerberosSession, WrapToken
from credssp.conformance.kerberos.client import CONF, INTEG
from credssp.conformance.rule import Outcome, Skipped, Verdict, failed, lenient, passed
from credssp.conformance.run import ServerRun, describe_end, judge_refusal
from credssp.conformance.scripted_client import ScriptedClient
from credssp.errors import CredSSPError
from credssp.spnego import OID, NegTokenResp

rule = CATALOGUE.rule
NEEDS = "kerberos"
SECOND = (OID.NEGOEX, OID.KERBEROS)
TURNS: tuple[Mapping[str, int], ...] = ({"rrc": 0}, {"rrc": 28}, {"rrc": 5}, {"ec": 16, "rrc": 44})
"""EC and RRC of Wrap tokens: MIT's and Heimdal's, Windows', none in particular, and with filler."""


def _client(login: ScriptedClient) -> KerberosClient:
    client = login.kerberos
    assert client is not None  # noqa: S101  # it was asked for
    return client


def _session(login: ScriptedClient) -> KerberosSession:
    assert isinstance(login.inner, KerberosInner)  # noqa: S101
    return login.inner.session


@CATALOGUE.server(
    rule("CSSP-KRB-01", "Kerberos inside SPNEGO", SHOULD, SERVER, "1.5 <3>; 3.1.5 step 2",
         "NegTokenInit that offers Kerberos, with AP-REQ", "completes"), NEEDS,
)  # fmt: skip
def _in_spnego(run: ServerRun) -> Outcome:
    run.baseline()
    return run.taken(run.try_login(form="spnego-kerberos"), "Kerberos in SPNEGO")


@CATALOGUE.server(
    rule("CSSP-KRB-02", "Kerberos without SPNEGO", MAY, SERVER, "2.2.1 <7>; 3.1.5 step 2",
         "AP-REQ in the framing of GSS-API, as rdesktop sends it", "completes, or a clean refusal"), NEEDS,
)  # fmt: skip
def _bare(run: ServerRun) -> Outcome:
    run.baseline()
    return run.either(run.try_login(form="kerberos"), "bare Kerberos")


@CATALOGUE.server(
    rule("CSSP-KRB-03", "the server proves that it has the service's key", MUST, SERVER, "1.3; RFC 4120 3.2.4",
         "AP-REQ with mutual-required", "AP-REP that repeats the time of the authenticator"), NEEDS,
)  # fmt: skip
def _proof(run: ServerRun) -> Outcome:
    login = run.kerberos_login()
    if not login.key_answered:
        return run.taken(login, "Kerberos")
    return passed() if _client(login).mutual_proof else failed("AP-REP repeats another time")


def _faulty(rule_id: str, title: str, level: Any, section: str, stimulus: str, *faults: Mapping[str, Any]) -> None:
    """Declare a rule about an AP-REQ that must be refused."""

    @CATALOGUE.server(rule(rule_id, title, level, SERVER, section, stimulus, "refused"), NEEDS)
    def refuse(run: ServerRun) -> Outcome:
        for fault in faults:
            outcome = run.key_refused(run.kerberos_login(kerberos=fault), stimulus)
            if outcome.verdict is not Verdict.PASS:
                return outcome
        return passed(_told(run))


def _told(run: ServerRun) -> str:
    """Say what came last."""
    evidence = run.evidence
    return evidence[-1].note if evidence else ""


_faulty("CSSP-KRB-04", "an authenticator under a key that nobody has", SECURITY, "RFC 4120 3.2.3",
        "a good ticket, and an authenticator under another key than its session key", {"spoil_key": True})  # fmt: skip
_faulty("CSSP-KRB-05", "an authenticator of somebody else", SECURITY, "RFC 4120 3.2.3",
        "an authenticator that names another client than the ticket", {"name": "administrator"})  # fmt: skip
_faulty("CSSP-KRB-06", "authenticators of another time", MUST, "RFC 4120 3.2.3",
        "authenticators that are an hour old, and an hour ahead", {"age": 3600}, {"age": -3600})  # fmt: skip
_faulty("CSSP-KRB-07", "a ticket that was changed", SECURITY, "RFC 4120 3.2.3",
        "one bit of the ticket's encrypted part flipped", {"spoil_ticket": True})  # fmt: skip


@CATALOGUE.server(
    rule("CSSP-KRB-08", "an authenticator that was used before", MUST, SERVER, "RFC 4120 3.2.3",
         "the first message of another login once more",
         "refused (or answered: lenient, since nobody without the session key can bind)"), NEEDS,
)  # fmt: skip
def _replay(run: ServerRun) -> Outcome:
    run.kerberos_login()
    recorded = run.evidence[0].data
    login = run.kerberos_login(first=lambda _, __: recorded)
    end = login.end if login.stage == "first" else None
    return judge_refusal(end, login.crash, accepted=lenient("answered"))


@CATALOGUE.server(
    rule("CSSP-KRB-09", "a checksum that is not GSS-API's", ROBUSTNESS, SERVER, "RFC 4121 4.1.1",
         "an authenticator with a checksum of type 7", "refused (or taken: lenient)"), NEEDS,
)  # fmt: skip
def _foreign_checksum(run: ServerRun) -> Outcome:
    login = run.kerberos_login(kerberos={"checksum": "other"})
    return _or_lenient(run, login, "a checksum of another type")


def _or_lenient(run: ServerRun, login: ScriptedClient, what: str) -> Outcome:
    return lenient(f"{what} was taken") if login.key_answered else run.key_refused(login, what)


@CATALOGUE.server(
    rule("CSSP-KRB-10", "no session without confidentiality and integrity", SECURITY, SERVER,
         "3.1.5 step 3; RFC 4121 4.1.1.1", "an authenticator whose flags lack CONF, and one whose flags lack INTEG",
         "refused (or sealed all the same: lenient)"), NEEDS,
)  # fmt: skip
def _no_confidentiality(run: ServerRun) -> Outcome:
    for flag in (CONF, INTEG):
        login = run.kerberos_login(kerberos={"flags": 0x3E & ~flag})
        outcome = _or_lenient(run, login, "a session without CONF or INTEG")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.server(
    rule("CSSP-KRB-11", "pubKeyAuth that is signed and not sealed", SECURITY, SERVER, "3.1.5 step 3; RFC 4121 4.2.4",
         "a right pubKeyAuth in a Wrap token without encryption", "refused (or taken: lenient, the key is public)"),
    NEEDS,
)  # fmt: skip
def _signed_key(run: ServerRun) -> Outcome:
    login = run.kerberos_login(seal_key=lambda a, value: _session(a).wrap(value, seal=False, rrc=0))
    return _or_lenient(run, login, "a pubKeyAuth in clear")


@CATALOGUE.server(
    rule("CSSP-KRB-12", "authInfo that is signed and not sealed", SECURITY, SERVER, "2.2.1 authInfo; RFC 4121 4.2.4",
         "the credentials in a Wrap token without encryption", "refused (or taken: lenient, the harm is done)"), NEEDS,
)  # fmt: skip
def _signed_credentials(run: ServerRun) -> Outcome:
    login = run.kerberos_login(seal_auth=lambda a, value: _session(a).wrap(value, seal=False, rrc=0))
    return run.refused(login, "authInfo in clear", or_lenient=True)


@CATALOGUE.server(
    rule("CSSP-KRB-13", "a Wrap token that was changed", SECURITY, SERVER, "RFC 4121 4.2.4",
         "one bit flipped in the ciphertext, and one in the sequence number", "refused"), NEEDS,
)  # fmt: skip
def _changed(run: ServerRun) -> Outcome:
    for at in (-1, 15):
        login = run.kerberos_login(key_octets=lambda sealed, at=at: _flipped(sealed, at))
        outcome = run.key_refused(login, "a changed pubKeyAuth")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@CATALOGUE.server(
    rule("CSSP-KRB-14", "Wrap tokens turned by any count", MUST, SERVER, "RFC 4121 4.2.5; [MS-KILE] 3.4.5.4.1",
         "pubKeyAuth with RRC 0, 28 and 5, and with 16 octets of filler and RRC 44", "taken"), NEEDS,
)  # fmt: skip
def _turned(run: ServerRun) -> Outcome:
    for turn in TURNS:
        login = run.kerberos_login(seal_key=lambda a, value, turn=turn: _session(a).wrap(value, **turn))
        outcome = run.taken(login, f"RRC {turn['rrc']}, EC {turn.get('ec', 0)}")
        if outcome.verdict is not Verdict.PASS:
            return outcome
    return passed()


@CATALOGUE.server(
    rule("CSSP-KRB-15", "a Wrap token that the server could have made", SECURITY, SERVER, "RFC 4121 4.2.2",
         "pubKeyAuth with the flag and the key usage of the acceptor", "refused: a reflection"), NEEDS,
)  # fmt: skip
def _reflected(run: ServerRun) -> Outcome:
    login = run.kerberos_login(seal_key=lambda a, value: _session(a).wrap(value, reflect=True))
    return run.key_refused(login, "a token of the acceptor")


@CATALOGUE.server(
    rule("CSSP-KRB-16", "a sequence number twice", SHOULD, SERVER, "RFC 4121 4.2.2; RFC 2743 1.2.3",
         "authInfo with the sequence number of pubKeyAuth", "refused (or taken: lenient)"), NEEDS,
)  # fmt: skip
def _repeated_number(run: ServerRun) -> Outcome:
    def seal(login: ScriptedClient, value: bytes) -> bytes:
        session = _session(login)
        return session.wrap(value, sequence=session.sequence - 1)

    return run.refused(run.kerberos_login(seal_auth=seal), "a sequence number that was used", or_lenient=True)


@CATALOGUE.server(
    rule("CSSP-KRB-17", "keys and flags of the server's messages", MUST, SERVER, "RFC 4121 2, 4.2.2",
         "a good login", "pubKeyAuth is sealed, sent by the acceptor, with its subkey where AP-REP has one"), NEEDS,
)  # fmt: skip
def _server_flags(run: ServerRun) -> Outcome:
    login = run.kerberos_login()
    if login.key_reply is None or login.key_reply.pub_key_auth is None:
        return run.taken(login, "Kerberos")
    chosen = _client(login).acceptor_subkey
    wanted = 0x03 | (0x04 if chosen else 0)
    try:
        flags = WrapToken.decode(login.key_reply.pub_key_auth).flags
    except CredSSPError as error:
        return failed(getattr(error, "message", str(error)))
    if flags != wanted or login.server_key is None:
        return failed(f"flags 0x{flags:02X} where 0x{wanted:02X} belong")
    return passed("with the acceptor's subkey" if chosen else "the acceptor chose no subkey")


@CATALOGUE.server(
    rule("CSSP-KRB-18", "Kerberos by its Microsoft OID", SHOULD, SERVER, "[MS-SPNG] <9>",
         "1.2.840.48018.1.2.2 first, then Kerberos' own OID, as Windows lists them",
         "supportedMech is the one that stands first; completes"), NEEDS,
)  # fmt: skip
def _microsoft_oid(run: ServerRun) -> Outcome:
    run.baseline("spnego-kerberos")
    login = run.try_login(form="spnego-kerberos", mech_types=(OID.MS_KERBEROS, OID.KERBEROS, OID.NTLM))
    answers = login.observed().login.of("server")
    if login.key_answered and answers and answers[0].nego_tokens:
        mech = NegTokenResp.decode(answers[0].nego_tokens[0]).supported_mech
        if mech not in (None, OID.MS_KERBEROS):
            return failed(f"supportedMech is {mech}")
    return run.taken(login, "Kerberos by its Microsoft OID")


@CATALOGUE.server(
    rule("CSSP-KRB-19", "Kerberos as the second mechanism", SHOULD, SERVER, "RFC 4178 4.2.1, 5",
         "NEGOEX first, Kerberos second", "Kerberos is asked for, and completes with mechListMICs"), NEEDS,
)  # fmt: skip
def _second(run: ServerRun) -> Outcome:
    run.baseline("spnego-kerberos")
    return run.taken(run.try_login(form="spnego-kerberos", mech_types=SECOND), "Kerberos as the second mechanism")


def _mic(rule_id: str, title: str, stimulus: str, mic: str) -> None:
    """Declare a rule about a mechListMIC that must be there and right."""

    @CATALOGUE.server(rule(rule_id, title, SECURITY, SERVER, "RFC 4178 5", stimulus, "refused"), NEEDS)
    def refuse(run: ServerRun) -> Outcome:
        run.baseline("spnego-kerberos")
        good = run.try_login(form="spnego-kerberos", mech_types=SECOND)
        if not good.key_answered:
            raise Skipped(f"Kerberos as the second mechanism is not taken: {describe_end(good.end)}")
        login = run.try_login(form="spnego-kerberos", mech_types=SECOND, mic=mic)
        return run.key_refused(login, stimulus)


_mic("CSSP-KRB-20", "a mechListMIC that does not verify", "Kerberos second; one bit of the mechListMIC flipped", "bad")
_mic("CSSP-KRB-21", "a mechListMIC that is missing", "Kerberos second; no mechListMIC although it is due", "none")


@CATALOGUE.server(
    rule("CSSP-KRB-22", "a mechListMIC that nobody asked for", SECURITY, SERVER, "RFC 4178 5",
         "Kerberos first; a mechListMIC that does not verify beside pubKeyAuth", "refused (or not looked at: lenient)"),
    NEEDS,
)  # fmt: skip
def _unasked_mic(run: ServerRun) -> Outcome:
    run.baseline("spnego-kerberos")
    return _or_lenient(run, run.try_login(form="spnego-kerberos", mic="bad"), "a wrong mechListMIC")


@CATALOGUE.server(
    rule("CSSP-KRB-23", "a refusal is told", SHOULD, SERVER, "2.2.1 errorCode; 3.1.5 step 2",
         "an authenticator under another key, version 6", "errorCode, or KRB-ERROR"), NEEDS,
)  # fmt: skip
def _refusal_told(run: ServerRun) -> Outcome:
    login = run.kerberos_login(kerberos={"spoil_key": True})
    if login.key_answered:
        return failed("taken")
    if login.error_code is not None or _client(login).error is not None:
        return passed(describe_end(login.end))
    if login.end is not None and login.end.end is End.SILENT:
        return Outcome(Verdict.HANG, "neither an answer nor a close")
    return Outcome(Verdict.CRASH, login.crash) if login.crash else failed(f"not told: {describe_end(login.end)}")

"""KRB, the servers' part: Kerberos as the inner authentication (RFC 4120 3.2, RFC 4121, [MS-KILE] 3.4.5.4).

These rules need tickets for the server, see FEATURES. The clients' part is in `krb_client`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from credssp.conformance.catalogue._base import CATALOGUE, MAY, MUST, ROBUSTNESS, SECURITY, SERVER, SHOULD, Try, logins
from credssp.conformance.connection import End
from credssp.conformance.kerberos import KerberosClient, KerberosSession, WrapToken
from credssp.conformance.kerberos.client import CONF, GSS_FLAGS, INTEG
from credssp.conformance.rule import Outcome, Skipped, Verdict, failed, lenient, passed
from credssp.conformance.run import ServerRun, describe_end, judge_refusal
from credssp.conformance.scripted_client import ScriptedClient
from credssp.errors import CredSSPError
from credssp.spnego import OID, NegTokenResp

# fmt: off
CATALOGUE.declare(
    ("CSSP-KRB-01", "Kerberos inside SPNEGO", SHOULD, SERVER, "1.5 <3>; 3.1.5 step 2",
     "NegTokenInit that offers Kerberos, with AP-REQ", "completes"),
    ("CSSP-KRB-02", "Kerberos without SPNEGO", MAY, SERVER, "2.2.1 <7>; 3.1.5 step 2",
     "AP-REQ in the framing of GSS-API, as rdesktop sends it", "completes, or a clean refusal"),
    ("CSSP-KRB-03", "the server proves that it has the service's key", MUST, SERVER, "1.3; RFC 4120 3.2.4",
     "AP-REQ with mutual-required", "AP-REP that repeats the time of the authenticator"),
    ("CSSP-KRB-04", "an authenticator under an unknown key", SECURITY, SERVER, "RFC 4120 3.2.3",
     "a good ticket, and an authenticator under another key than its session key", "refused"),
    ("CSSP-KRB-05", "an authenticator of another client", SECURITY, SERVER, "RFC 4120 3.2.3",
     "an authenticator that names another client than the ticket", "refused"),
    ("CSSP-KRB-06", "authenticators of another time", MUST, SERVER, "RFC 4120 3.2.3",
     "authenticators that are an hour old, and an hour ahead", "refused"),
    ("CSSP-KRB-07", "a ticket that was changed", SECURITY, SERVER, "RFC 4120 3.2.3",
     "one bit of the ticket's encrypted part flipped", "refused"),
    ("CSSP-KRB-08", "an authenticator that was used before", MUST, SERVER, "RFC 4120 3.2.3",
     "the first message of another login once more",
     "refused (or answered: lenient, since only the holder of the session key can bind)"),
    ("CSSP-KRB-09", "a checksum that is not GSS-API's", ROBUSTNESS, SERVER, "RFC 4121 4.1.1",
     "an authenticator with a checksum of type 7", "refused (or taken: lenient)"),
    ("CSSP-KRB-10", "no session without confidentiality and integrity", SECURITY, SERVER,
     "3.1.5 step 3; RFC 4121 4.1.1.1", "an authenticator whose flags lack CONF, and one whose flags lack INTEG",
     "refused (or sealed anyway: lenient)"),
    ("CSSP-KRB-11", "pubKeyAuth that is signed and not sealed", SECURITY, SERVER, "3.1.5 step 3; RFC 4121 4.2.4",
     "a right pubKeyAuth in a Wrap token without encryption", "refused (or taken: lenient, the key is public)"),
    ("CSSP-KRB-12", "authInfo that is signed and not sealed", SECURITY, SERVER, "2.2.1 authInfo; RFC 4121 4.2.4",
     "the credentials in a Wrap token without encryption", "refused (or taken: lenient, the harm is done)"),
    ("CSSP-KRB-13", "a Wrap token that was changed", SECURITY, SERVER, "RFC 4121 4.2.4",
     "one bit flipped in the ciphertext, and one in the sequence number", "refused"),
    ("CSSP-KRB-14", "Wrap tokens rotated by any count", MUST, SERVER, "RFC 4121 4.2.5; [MS-KILE] 3.4.5.4.1",
     "pubKeyAuth with RRC 0, 28 and 5, and with 16 bytes of filler and RRC 44", "taken"),
    ("CSSP-KRB-15", "a Wrap token that the server could have made", SECURITY, SERVER, "RFC 4121 4.2.2",
     "pubKeyAuth with the flag and the key usage of the acceptor", "refused: a reflection"),
    ("CSSP-KRB-16", "a sequence number twice", SHOULD, SERVER, "RFC 4121 4.2.2; RFC 2743 1.2.3",
     "authInfo with the sequence number of pubKeyAuth", "refused (or taken: lenient)"),
    ("CSSP-KRB-17", "keys and flags of the server's messages", MUST, SERVER, "RFC 4121 2, 4.2.2", "a good login",
     "pubKeyAuth is sealed, sent by the acceptor, with its subkey where AP-REP has one"),
    ("CSSP-KRB-18", "Kerberos by its Microsoft OID", SHOULD, SERVER, "[MS-SPNG] <9>",
     "1.2.840.48018.1.2.2 first, then Kerberos' own OID, as Windows lists them",
     "supportedMech is the one that comes first; completes"),
    ("CSSP-KRB-19", "Kerberos as the second mechanism", SHOULD, SERVER, "RFC 4178 4.2.1, 5",
     "NEGOEX first, Kerberos second", "Kerberos is asked for, and completes with mechListMICs"),
    ("CSSP-KRB-20", "a mechListMIC that does not verify", SECURITY, SERVER, "RFC 4178 5",
     "Kerberos second; one bit of the mechListMIC flipped", "refused"),
    ("CSSP-KRB-21", "a mechListMIC that is missing", SECURITY, SERVER, "RFC 4178 5",
     "Kerberos second; no mechListMIC although it is required", "refused"),
    ("CSSP-KRB-22", "a mechListMIC that was not asked for", SECURITY, SERVER, "RFC 4178 5",
     "Kerberos first; a mechListMIC that does not verify beside pubKeyAuth", "refused (or not checked: lenient)"),
    ("CSSP-KRB-23", "a refusal is reported", SHOULD, SERVER, "2.2.1 errorCode; 3.1.5 step 2",
     "an authenticator under another key, version 6", "errorCode, or KRB-ERROR"),
)
# fmt: on

NEEDS = "kerberos"
SECOND = (OID.NEGOEX, OID.KERBEROS)
TURNS: tuple[Mapping[str, int], ...] = ({"rrc": 0}, {"rrc": 28}, {"rrc": 5}, {"ec": 16, "rrc": 44})
"""EC and RRC of Wrap tokens: MIT's and Heimdal's, Windows', none in particular, and with filler."""


def _client(login: ScriptedClient) -> KerberosClient:
    client = login.kerberos
    assert client is not None  # noqa: S101  # it was asked for
    return client


def _session(login: ScriptedClient) -> KerberosSession:
    return _client(login).session


@CATALOGUE.server("CSSP-KRB-03", NEEDS)
def _proof(run: ServerRun) -> Outcome:
    login = run.kerberos_login()
    if not login.key_answered:
        return run.taken(login, "Kerberos")
    return passed() if _client(login).mutual_proof else failed("AP-REP repeats another time")


@CATALOGUE.server("CSSP-KRB-08", NEEDS)
def _replay(run: ServerRun) -> Outcome:
    _, recorded = run.kerberos_login().connection.exchanged[0]
    login = run.kerberos_login(first=lambda _, __: recorded)
    end = login.end if login.stage == "first" else None
    return judge_refusal(end, login.crash, accepted=lenient("answered"))


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@CATALOGUE.server("CSSP-KRB-17", NEEDS)
def _server_flags(run: ServerRun) -> Outcome:
    login = run.kerberos_login()
    if login.key_reply is None or login.key_reply.pub_key_auth is None:
        return run.taken(login, "Kerberos")
    chosen = _client(login).acceptor_subkey
    wanted = 0x03 | (0x04 if chosen else 0)
    try:
        flags = WrapToken.decode(login.key_reply.pub_key_auth).flags
    except CredSSPError as error:
        return failed(error.message)
    if flags != wanted or login.server_key is None:
        return failed(f"flags 0x{flags:02X} where 0x{wanted:02X} belong")
    return passed("with the acceptor's subkey" if chosen else "the acceptor chose no subkey")


@CATALOGUE.server("CSSP-KRB-18", NEEDS)
def _microsoft_oid(run: ServerRun) -> Outcome:
    run.baseline("spnego-kerberos")
    login = run.try_login(form="spnego-kerberos", mech_types=(OID.MS_KERBEROS, OID.KERBEROS, OID.NTLM))
    answers = login.observed().login.of("server")
    if login.key_answered and answers and answers[0].nego_tokens:
        mech = NegTokenResp.decode(answers[0].nego_tokens[0]).supported_mech
        if mech not in (None, OID.MS_KERBEROS):
            return failed(f"supportedMech is {mech}")
    return run.taken(login, "Kerberos by its Microsoft OID")


@CATALOGUE.server("CSSP-KRB-23", NEEDS)
def _refusal_told(run: ServerRun) -> Outcome:
    login = run.kerberos_login(kerberos={"spoil_key": True})
    if login.key_answered:
        return failed("taken")
    if login.error_code is not None or _client(login).error is not None:
        return passed(describe_end(login.end))
    if login.end is not None and login.end.end is End.SILENT:
        return Outcome(Verdict.HANG, "neither an answer nor a close")
    return Outcome(Verdict.CRASH, login.crash) if login.crash else failed(f"not told: {describe_end(login.end)}")


def _wrapped(**options: Any) -> Callable[[ScriptedClient, bytes], bytes]:
    """Return what seals in a Wrap token with these faults."""
    return lambda client, value: _session(client).wrap(value, **options)


def _same_number(client: ScriptedClient, value: bytes) -> bytes:
    session = _session(client)
    return session.wrap(value, sequence=session.sequence - 1)


def _in_spnego_works(run: ServerRun) -> None:
    run.baseline("spnego-kerberos")


def _second_works(run: ServerRun) -> None:
    _in_spnego_works(run)
    good = run.try_login(form="spnego-kerberos", mech_types=SECOND)
    if not good.key_answered:
        raise Skipped(f"Kerberos as the second mechanism is not taken: {describe_end(good.end)}")


logins(
    ServerRun.key_refused,
    ("CSSP-KRB-04", Try("an authenticator under another key than its session key", kerberos={"spoil_key": True})),
    (
        "CSSP-KRB-05",
        Try("an authenticator that names another client than the ticket", kerberos={"name": "administrator"}),
    ),
    (
        "CSSP-KRB-06",
        Try("an authenticator that is an hour old", kerberos={"age": 3600}),
        Try("an authenticator that is an hour ahead", kerberos={"age": -3600}),
    ),
    ("CSSP-KRB-07", Try("a ticket with one bit flipped", kerberos={"spoil_ticket": True})),
    ("CSSP-KRB-13", *(Try("a changed pubKeyAuth", key_octets=functools.partial(_flipped, at=at)) for at in (-1, 15))),
    ("CSSP-KRB-15", Try("a token of the acceptor", seal_key=_wrapped(reflect=True))),
    via=ServerRun.kerberos_login,
    needs=(NEEDS,),
)
logins(
    ServerRun.key_refused_or_lenient,
    ("CSSP-KRB-09", Try("a checksum of another type", kerberos={"checksum": "other"})),
    (
        "CSSP-KRB-10",
        *(Try("a session without CONF or INTEG", kerberos={"flags": GSS_FLAGS & ~flag}) for flag in (CONF, INTEG)),
    ),
    ("CSSP-KRB-11", Try("a pubKeyAuth in clear", seal_key=_wrapped(seal=False, rrc=0))),
    via=ServerRun.kerberos_login,
    needs=(NEEDS,),
)
logins(
    ServerRun.refused_or_lenient,
    ("CSSP-KRB-12", Try("authInfo in clear", seal_auth=_wrapped(seal=False, rrc=0))),
    ("CSSP-KRB-16", Try("a sequence number that was used", seal_auth=_same_number)),
    via=ServerRun.kerberos_login,
    needs=(NEEDS,),
)
logins(
    ServerRun.taken,
    ("CSSP-KRB-14", *(Try(f"RRC {turn['rrc']}, EC {turn.get('ec', 0)}", seal_key=_wrapped(**turn)) for turn in TURNS)),
    via=ServerRun.kerberos_login,
    needs=(NEEDS,),
)
logins(
    ServerRun.taken,
    ("CSSP-KRB-01", Try("Kerberos in SPNEGO", form="spnego-kerberos")),
    via=ServerRun.try_login,
    before=ServerRun.baseline,
    needs=(NEEDS,),
)
logins(
    ServerRun.either,
    ("CSSP-KRB-02", Try("bare Kerberos", form="kerberos")),
    via=ServerRun.try_login,
    before=ServerRun.baseline,
    needs=(NEEDS,),
)
logins(
    ServerRun.taken,
    ("CSSP-KRB-19", Try("Kerberos as the second mechanism", form="spnego-kerberos", mech_types=SECOND)),
    via=ServerRun.try_login,
    before=_in_spnego_works,
    needs=(NEEDS,),
)
logins(
    ServerRun.key_refused_or_lenient,
    ("CSSP-KRB-22", Try("a wrong mechListMIC", form="spnego-kerberos", mic="bad")),
    via=ServerRun.try_login,
    before=_in_spnego_works,
    needs=(NEEDS,),
)
logins(
    ServerRun.key_refused,
    ("CSSP-KRB-20", Try("a mechListMIC with one bit flipped", form="spnego-kerberos", mech_types=SECOND, mic="bad")),
    (
        "CSSP-KRB-21",
        Try("no mechListMIC although it is required", form="spnego-kerberos", mech_types=SECOND, mic="none"),
    ),
    via=ServerRun.try_login,
    before=_second_works,
    needs=(NEEDS,),
)

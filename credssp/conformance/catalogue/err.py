"""ERR: how a refusal is reported, and what the client makes of it ([MS-CSSP] 2.2.1 errorCode, 3.1.5)."""

from __future__ import annotations

from credssp.conformance import mutate
from credssp.conformance.catalogue._base import (
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
from credssp.conformance.chance import hexadecimal
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import End
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, Verdict, alive, failed, lenient, need, passed
from credssp.conformance.run import ServerRun, describe_end, judge_refusal
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.protocol_version import HIGHEST_VERSION
from credssp.wire.ts_request import TSRequest

# fmt: off
CATALOGUE.declare(
    ("CSSP-ERR-01", "a wrong password is reported to version 6", SHOULD, SERVER, "3.1.5 step 2; 2.2.1 errorCode",
     "a wrong password, version 6", "a TSRequest with errorCode STATUS_LOGON_FAILURE"),
    ("CSSP-ERR-02", "a wrong password is reported to versions 3 and 4", SHOULD, SERVER, "3.1.5 step 2; 2.2.1 errorCode",
     "a wrong password, versions 3 and 4", "errorCode"),
    ("CSSP-ERR-03", "a wrong password in version 5", ROBUSTNESS, SERVER, "2.2.1 errorCode; 3.1.5 step 2",
     "a wrong password, version 5",
     "refused; with errorCode as step 2 says, or without as 2.2.1 does: the two sections do not agree"),
    ("CSSP-ERR-04", "version 2 has no errorCode", ROBUSTNESS, SERVER, "2.2.1 errorCode <12>; 3.1.5 step 2",
     "a wrong password, version 2", "refused without errorCode"),
    ("CSSP-ERR-05", "errorCode is a signed number of four bytes", ROBUSTNESS, SERVER, "2.2.1 errorCode; X.690 8.3",
     "a refusal with errorCode", "02 04 C0 ..; five bytes are refused by FreeRDP and sspi-rs"),
    ("CSSP-ERR-06", "errorCode ends it", MUST, CLIENT, "3.1.5 step 2",
     "errorCode in place of the second and of the fourth message", "stops at once, and reports that NTSTATUS"),
    ("CSSP-ERR-07", "errorCode in five bytes", ROBUSTNESS, CLIENT, "X.690 8.3", "02 05 00 C0 00 00 6D",
     "stops, and reports the same NTSTATUS"),
    ("CSSP-ERR-08", "errorCode beside a right pubKeyAuth", SECURITY, CLIENT, "3.1.5 step 2",
     "errorCode STATUS_LOGON_FAILURE and a right pubKeyAuth in one message", "errorCode wins: no authInfo"),
    ("CSSP-ERR-09", "errorCode 0 beside a right pubKeyAuth", ROBUSTNESS, CLIENT, "3.1.5 step 2",
     "errorCode 0, which is not a failure code, and a right pubKeyAuth",
     "stops, since the field is there (or treats it as success: lenient)"),
    ("CSSP-ERR-10", "reasons are distinguished", MUST, CLIENT, "3.1.5 step 2; [MS-ERREF] 2.3.1",
     "expired, must change, locked out, disabled, logon failure", "five different errors"),
    ("CSSP-ERR-11", "an errorCode without a name", MUST, CLIENT, "3.1.5 step 2", "errorCode 0xC00700EA",
     "stops; the number is kept"),
    ("CSSP-ERR-12", "errorCode from versions that have none", MUST, CLIENT, "3.1.5 step 2",
     "errorCode from servers of versions 2 and 5", "stops anyway"),
    ("CSSP-ERR-13", "a close in place of an answer", ROBUSTNESS, CLIENT, "3.1.5",
     "close_notify in place of the fourth message", "the login failed; no hang"),
    ("CSSP-ERR-14", "errorCode of a client", ROBUSTNESS, SERVER, "2.2.1 errorCode",
     "errorCode in place of the third message", "the login ends"),
    ("CSSP-ERR-15", "errorCode as the first message", ROBUSTNESS, SERVER, "2.2.1 errorCode",
     "a TSRequest with nothing but errorCode", "the login ends; the answer, if any, is at most as long as a refusal"),
    ("CSSP-ERR-16", "a refusal repeats nothing", ROBUSTNESS, SERVER, "3.1.5 step 2", "a wrong password",
     "errorCode alone: neither the client's pubKeyAuth nor its token"),
    ("CSSP-ERR-17", "unknown users look like wrong passwords", ROBUSTNESS, SERVER, "[MS-NLMP] 3.2.5.1.2",
     "an unknown user; a wrong password", "the same answer, but for what the client itself sent and gets back"),
    ("CSSP-ERR-18", "a silent client", ROBUSTNESS, SERVER, "3.1.2", "nothing at all after the TLS handshake",
     "closed within the server's deadline"),
)
# fmt: on

LOGON_FAILURE = 0xC000006D
# PASSWORD_EXPIRED, PASSWORD_MUST_CHANGE, ACCOUNT_LOCKED_OUT, ACCOUNT_DISABLED, LOGON_FAILURE ([MS-ERREF] 2.3.1).
REASONS = (0xC0000071, 0xC0000224, 0xC0000234, 0xC0000072, LOGON_FAILURE)


def _wrong_password(run: ServerRun, version: int = HIGHEST_VERSION) -> ScriptedClient:
    login = run.login(version=version, password=hexadecimal(8))
    if login.key_answered:
        raise Skipped("the server takes any password")
    return login


@CATALOGUE.server("CSSP-ERR-01")
def _told(run: ServerRun) -> Outcome:
    login = _wrong_password(run)
    if login.error_code == LOGON_FAILURE:
        return passed()
    if login.error_code is not None:
        return lenient(f"errorCode 0x{login.error_code:08X} in place of STATUS_LOGON_FAILURE")
    return judge_refusal(
        None if login.end is not None and login.end.refused else login.end,
        login.crash,
        accepted=failed(f"no errorCode: {describe_end(login.end)}"),
    )


@CATALOGUE.server("CSSP-ERR-02")
def _told_to_old(run: ServerRun) -> Outcome:
    for version in (3, 4):
        login = _wrong_password(run, version)
        alive(login.crash)
        if login.end is not None and login.end.end is End.SILENT:
            return Outcome(Verdict.HANG, f"version {version}: neither an answer nor a close")
        if login.error_code is None:
            return failed(f"version {version}: no errorCode: {describe_end(login.end)}")
    return passed()


@CATALOGUE.server("CSSP-ERR-03")
def _told_to_5_or_not(run: ServerRun) -> Outcome:
    login = _wrong_password(run, 5)
    return judge_refusal(login.end, login.crash, accepted=failed("the server continued"))


@CATALOGUE.server("CSSP-ERR-04")
def _not_told_to_2(run: ServerRun) -> Outcome:
    login = _wrong_password(run, 2)
    if login.error_code is not None:
        return failed(f"errorCode 0x{login.error_code:08X} to a client of version 2")
    return judge_refusal(login.end, login.crash, accepted=failed("the server continued"))


def _four_octets(data: bytes) -> Outcome:
    at = data.find(b"\xa4")
    while at >= 0 and data[at + 2 : at + 3] != b"\x02":
        at = data.find(b"\xa4", at + 1)
    size = data[at + 3]
    return passed() if size == 4 else failed(f"{size} bytes")


@CATALOGUE.server("CSSP-ERR-05")
def _encoding(run: ServerRun) -> Outcome:
    login = _wrong_password(run)
    if login.error_code is None or login.end is None:
        raise Skipped("the server sends no errorCode")
    return _four_octets(login.end.data)


@CATALOGUE.observe("CSSP-ERR-05")
def _encoding_seen(seen: Observation) -> Outcome:
    found = seen.login.with_field("error_code", seen.who)
    if found is not None:
        return _four_octets(seen.login.messages[found.leg - 1][1])
    raise Skipped("no errorCode in this exchange")


def _reported(served: ScriptedServer, code: int) -> Outcome | None:
    """Check what the client told its caller, where that can be known."""
    ntstatus = getattr(served.report, "ntstatus", None)
    if served.report is not None and isinstance(ntstatus, int) and ntstatus & 0xFFFFFFFF != code:
        return failed(f"reported as 0x{ntstatus & 0xFFFFFFFF:08X}")
    return None


def _error(code: int, version: int = HIGHEST_VERSION) -> TSRequest:
    return TSRequest(version, error_code=code)


@CATALOGUE.client("CSSP-ERR-06")
def _error_code(run: ClientRun) -> Outcome:
    early = run.serve(challenge=lambda _, message: _error(0xC0000234, message.version))
    late = run.serve(key=lambda _, message: _error(0xC0000234, message.version))
    need(run.stopped_early(early, "errorCode in the second message"))
    need(run.stopped(late, "errorCode in the fourth message"))
    return _reported(early, 0xC0000234) or _reported(late, 0xC0000234) or passed()


@CATALOGUE.client("CSSP-ERR-07")
def _unsigned(run: ClientRun) -> Outcome:
    served = run.serve(
        key=lambda _, message: mutate.raw_error_code(TSRequest(message.version), bytes.fromhex("00c000006d"))
    )
    need(run.stopped(served, "errorCode in five bytes"))
    return _reported(served, LOGON_FAILURE) or passed()


def _knows_error_code(run: ClientRun) -> None:
    version = run.baseline().requests[0].version
    if version < 3:
        raise Skipped(f"the client speaks version {version}, which has no errorCode (<12>)")


@CATALOGUE.client("CSSP-ERR-09")
def _zero(run: ClientRun) -> Outcome:
    _knows_error_code(run)
    served = run.serve(key=lambda _, message: mutate.replaced(message, error_code=0))
    if served.delegated_something:
        return lenient("errorCode 0 was treated as success")
    return run.stopped(served, "errorCode 0")


@CATALOGUE.client("CSSP-ERR-10", "report")
def _reasons(run: ClientRun) -> Outcome:
    texts = set()
    for code in REASONS:
        served = run.serve(challenge=lambda _, message, c=code: _error(c, message.version))
        need(run.stopped_early(served, f"errorCode 0x{code:08X}"))
        texts.add(f"{getattr(served.report, 'ntstatus', None)} {served.report}")
    return (
        passed() if len(texts) == len(REASONS) else failed(f"{len(texts)} different errors for {len(REASONS)} reasons")
    )


@CATALOGUE.client("CSSP-ERR-11")
def _unknown(run: ClientRun) -> Outcome:
    served = run.serve(challenge=lambda _, message: _error(0xC00700EA, message.version))
    need(run.stopped_early(served, "an unknown errorCode"))
    return _reported(served, 0xC00700EA) or passed()


@CATALOGUE.client("CSSP-ERR-13")
def _closed(run: ClientRun) -> Outcome:
    def close(served: ScriptedServer, _: TSRequest) -> None:
        served.connection.close_notify()

    served = run.serve(key=close)
    alive(served.crash)
    if "report" in run.target.features and served.report is None:
        return failed("the client does not notice")
    return run.stopped(served, "close_notify") if served.end is None or served.end.end is not End.SILENT else passed()


@CATALOGUE.server("CSSP-ERR-15")
def _first_error(run: ServerRun) -> Outcome:
    login = run.login(first=lambda _, message: _error(0x8009030C, message.version))
    if login.end is not None and len(login.end.data) > 512:
        return failed(f"an answer of {len(login.end.data)} bytes")
    return run.key_refused(login, "errorCode as the first message")


@CATALOGUE.server("CSSP-ERR-16")
def _no_echo(run: ServerRun) -> Outcome:
    login = _wrong_password(run)
    if login.echoed:
        return failed("the client's own pubKeyAuth came back")
    request = login.end.request if login.end is not None else None
    if request is None:
        return judge_refusal(login.end, login.crash, accepted=failed("the server continued"))
    if request.pub_key_auth is not None:
        own = request.pub_key_auth == login.own_key_auth
        return failed("the client's own pubKeyAuth came back" if own else "pubKeyAuth beside errorCode")
    return failed("negoTokens beside errorCode") if request.nego_tokens is not None else passed()


@CATALOGUE.server("CSSP-ERR-17")
def _same_answer(run: ServerRun) -> Outcome:
    wrong = _wrong_password(run)
    unknown_user = run.login(username=f"nobody{hexadecimal(4)}")
    if unknown_user.key_answered:
        raise Skipped("the server takes any user")
    for login in (wrong, unknown_user):
        alive(login.crash)
    one, other = wrong.end, unknown_user.end
    if one is None or other is None:
        return failed("not refused")
    if End.SILENT in (one.end, other.end):
        return Outcome(Verdict.HANG, "neither an answer nor a close")
    if _told_by(wrong) == _told_by(unknown_user):
        return passed(str(one))
    if str(one) == str(other):
        return failed(f"{one} in both cases, but not with the same members or contents")
    return failed(f"wrong password: {one}; unknown user: {other}")


def _told_by(login: ScriptedClient) -> object:
    """Return what a refusal tells its reader: all of it, but for bytes that the client itself had sent."""
    end = login.end
    request = None if end is None else end.request
    if request is None:
        return None if end is None else (end.end, end.data, end.alert)
    sent = login.observed().login.of("client")
    own = {message.pub_key_auth for message in sent} | {
        token for message in sent for token in message.nego_tokens or ()
    }

    def seen(data: bytes | None) -> object:
        return "the client's own" if data is not None and data in own else data

    tokens = None if request.nego_tokens is None else [seen(token) for token in request.nego_tokens]
    others = (request.version, request.error_code, request.client_nonce is None, request.auth_info)
    return others, tokens, seen(request.pub_key_auth)


@CATALOGUE.server("CSSP-ERR-18", "clock")
def _silent(run: ServerRun) -> Outcome:
    connection = run.connect()
    if connection.handshake() is not None:
        return failed("the TLS handshake failed")
    reply = connection.receive(run.patience)
    return judge_refusal(reply, connection.link.crash, accepted=failed("an unasked message"))


logins(
    ServerRun.key_refused,
    ("CSSP-ERR-14", Try("errorCode of the client", key=lambda _, message: _error(0x8009030C, message.version))),
)
serves(
    ClientRun.stopped,
    (
        "CSSP-ERR-08",
        Try(
            "errorCode beside a right pubKeyAuth",
            key=lambda _, message: mutate.replaced(message, error_code=LOGON_FAILURE),
        ),
    ),
    before=_knows_error_code,
)
serves(
    ClientRun.stopped_early,
    (
        "CSSP-ERR-12",
        *(
            Try(
                f"errorCode from version {version}",
                version=version,
                challenge=lambda _, message: _error(LOGON_FAILURE, message.version),
            )
            for version in (5, 2)
        ),
    ),
    via=ClientRun.try_serve,
)

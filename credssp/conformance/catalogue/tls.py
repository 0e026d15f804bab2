"""TLS: the channel below ([MS-CSSP] 3.1.5 step 1, [MS-RDPBCGR] 5.4.5, RFC 8446, RFC 5246)."""

from __future__ import annotations

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
    stopped_in_each_form,
)
from credssp.conformance.chance import hexadecimal, octets
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import End, Reply
from credssp.conformance.rule import Outcome, Skipped, Verdict, alive, failed, lenient, need, passed
from credssp.conformance.run import ServerRun, judge_refusal
from credssp.tls.certificate_request import find_in_clear
from credssp.tls.settings import ClientTLS, ServerTLS

# fmt: off
CATALOGUE.declare(
    ("CSSP-TLS-01", "no client certificate is asked for", MUST, SERVER, "3.1.5 step 1",
     "handshakes in TLS 1.2 and 1.3", "no CertificateRequest"),
    ("CSSP-TLS-02", "sessions are not resumed", MUST, BOTH, "3.1.5 step 1",
     "a second connection with the session of a good first login", "a full handshake"),
    ("CSSP-TLS-03", "TLS 1.2 and 1.3", ROBUSTNESS, BOTH, "3.1.5 step 1; [MS-RDPBCGR] 5.4.5",
     "good logins in TLS 1.2 alone and in TLS 1.3 alone", "both complete"),
    ("CSSP-TLS-04", "session tickets are not data", ROBUSTNESS, CLIENT, "RFC 8446 4.6.1",
     "TLS 1.3 with session tickets in front of the first answer", "completes"),
    ("CSSP-TLS-05", "TLS 1.0 and 1.1 are refused", MUST, BOTH, "RFC 8996 4, 5",
     "a peer that knows TLS 1.0 only, and one that knows 1.1", "refused"),
    ("CSSP-TLS-06", "a refusal is reported", SHOULD, SERVER, "3.1.5 step 2; [MS-RDPBCGR] 5.4.5.2.2",
     "a wrong password, versions 2 and 6", "errorCode or a fatal alert (a plain close: lenient); never half-open"),
    ("CSSP-TLS-07", "a man in the middle", SECURITY, CLIENT, "3.1.5 step 5; 5.1",
     "pubKeyAuth bound to another key than that of the TLS connection, versions 6 and 4", "no authInfo"),
    ("CSSP-TLS-08", "fatal alerts are distinguished", ROBUSTNESS, CLIENT, "[MS-RDPBCGR] 5.4.5.2.2",
     "fatal alerts 49, 80, 42, 45 and 48 in answer to ClientHello", "the login fails; distinct errors if visible"),
    ("CSSP-TLS-09", "messages at the size of a record", ROBUSTNESS, BOTH, "RFC 8446 5.1",
     "TSRequests of exactly 16384 bytes, and of 16385 in two records", "taken or refused; no hang, no crash"),
)
# fmt: on

ONLY_12: Final = ClientTLS(maximum="1.2", watch=True)
ONLY_13: Final = ClientTLS(minimum="1.3", watch=True)


@CATALOGUE.server("CSSP-TLS-01")
def _no_certificate_request(run: ServerRun) -> Outcome:
    done = 0
    for settings in (ONLY_12, ONLY_13):
        connection = run.connect(tls=settings)
        if connection.handshake() is not None:
            continue
        done += 1
        asked = (
            connection.channel.certificate_request()
            if settings is ONLY_13
            else _clear_request(connection.handshake_octets)
        )
        if asked:
            return failed(f"CertificateRequest in {connection.channel.protocol}")
    if not done:
        return failed("no handshake succeeds")
    return passed()


def _clear_request(octets: bytes) -> bool:
    try:
        return find_in_clear(octets) is not None
    except Exception:  # noqa: BLE001  # what follows ChangeCipherSpec is not clear text
        return False


@CATALOGUE.server("CSSP-TLS-02")
def _server_resumption(run: ServerRun) -> Outcome:
    for maximum in ("1.2", "1.3"):
        settings = ClientTLS(maximum=maximum, resumption=True)
        first = run.try_login(tls=settings)
        if not first.key_answered:
            continue
        session = first.connection.channel.session
        if session is None:
            continue
        connection = run.connect(tls=settings, session=session)
        if connection.handshake() is None and connection.channel.session_reused:
            return failed(f"resumed in {connection.channel.protocol}")
    return passed()


@CATALOGUE.client("CSSP-TLS-02")
def _client_resumption(run: ClientRun) -> Outcome:
    for _ in range(2):
        served = run.try_serve(tls=ServerTLS(resumption=True, maximum="1.2"))
        if served.connection.channel.session_reused:
            return failed("the client resumed its earlier session")
    return run.completed(served, "a server that offers tickets")


OLD_TLS: Final = {"TLS 1.0": b"\x03\x01", "TLS 1.1": b"\x03\x02"}


def _old_client_hello(version: bytes) -> bytes:
    """A ClientHello of an old version with the suites of its time."""
    suites = bytes.fromhex("002f0035000a00ff")
    body = version + octets(32) + b"\0" + len(suites).to_bytes(2, "big") + suites + b"\x01\0"
    return b"\x16\x03\x01" + (len(body) + 4).to_bytes(2, "big") + b"\x01" + len(body).to_bytes(3, "big") + body


def _old_server_hello(version: bytes) -> bytes:
    body = version + octets(32) + b"\0" + b"\x00\x2f" + b"\0"
    return b"\x16" + version + (len(body) + 4).to_bytes(2, "big") + b"\x02" + len(body).to_bytes(3, "big") + body


@CATALOGUE.server("CSSP-TLS-05")
def _server_old_tls(run: ServerRun) -> Outcome:
    for name, version in OLD_TLS.items():
        link = run.raw_at_tls()
        link.send(_old_client_hello(version))
        data = link.receive(run.target.timeout)
        if data and data[0] == 0x16:
            return failed(f"{name} was accepted")
        need(judge_refusal(Reply.of(data), link.crash, accepted=failed(f"{name}: not refused")))
    return passed()


@CATALOGUE.client("CSSP-TLS-05")
def _client_old_tls(run: ClientRun) -> Outcome:
    for name, version in OLD_TLS.items():
        link = run.start()
        if not link.receive(run.target.timeout):
            raise Skipped("the client sent no ClientHello")
        link.send(_old_server_hello(version))
        data = link.receive(run.target.timeout)
        if data is None or data[:1] == b"\x16":
            # It waits for Certificate, or goes on without.
            return failed(f"the client took {name}")
        need(judge_refusal(Reply.of(data), link.crash, accepted=failed(f"{name}: not refused")))
    return passed()


@CATALOGUE.server("CSSP-TLS-06")
def _refusal_told(run: ServerRun) -> Outcome:
    ends: list[Reply] = []
    for version in (6, 2):
        try:
            login = run.login(version=version, password=hexadecimal(8))
        except Skipped:
            continue
        if login.key_answered:
            raise Skipped("the server takes any password")
        if login.end is None or login.end.end is End.SILENT or login.crash:
            return judge_refusal(login.end, login.crash, accepted=failed("not refused"))
        ends.append(login.end)
    if any(end.end is End.CLOSED for end in ends):
        return lenient("closed without an answer")
    return passed(", ".join(map(str, ends)))


@CATALOGUE.client("CSSP-TLS-08")
def _alerts(run: ClientRun) -> Outcome:
    texts = set()
    for number in (49, 80, 42, 45, 48):
        link = run.start()
        if not link.receive(run.target.timeout):
            raise Skipped("the client sent no ClientHello")
        link.send(bytes((0x15, 3, 3, 0, 2, 2, number)))
        data = link.receive(run.target.timeout)
        alive(link.crash)
        if data is None:
            return Outcome(Verdict.HANG, f"alert {number}: neither an answer nor a close")
        texts.add(str(link.report))
    if "report" in run.target.features and len(texts) < 5:
        return failed(f"{len(texts)} different errors for 5 alerts")
    return passed()


logins(
    ServerRun.taken,
    ("CSSP-TLS-03", Try("TLS 1.2", tls=ONLY_12), Try("TLS 1.3", tls=ONLY_13)),
    via=ServerRun.try_login,
    before=ServerRun.baseline,
)
logins(
    ServerRun.either,
    (
        "CSSP-TLS-09",
        *(
            Try(f"{size} bytes", first=lambda _, message, n=size: mutate.with_padding(message, n))
            for size in (16384, 16385)
        ),
    ),
)
serves(
    ClientRun.completed,
    ("CSSP-TLS-03", Try("TLS 1.2", tls=ServerTLS(maximum="1.2")), Try("TLS 1.3", tls=ServerTLS(minimum="1.3"))),
    ("CSSP-TLS-04", Try("session tickets", tls=ServerTLS(minimum="1.3", resumption=True))),
    via=ClientRun.try_serve,
    before=ClientRun.baseline,
)
serves(
    ClientRun.either,
    (
        "CSSP-TLS-09",
        *(
            Try(f"{size} bytes", challenge=lambda _, message, n=size: mutate.with_padding(message, n))
            for size in (16384, 16385)
        ),
    ),
)


@CATALOGUE.client("CSSP-TLS-07")
def _man_in_the_middle(run: ClientRun) -> Outcome:
    return stopped_in_each_form(run, "another key", public_key=b"\x30\x03\x02\x01\x01")

"""WINRM: tokens in HTTP headers and encrypted messages ([MS-WSMV] 2.2.9.1, 3.1.4.1.28)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from credssp.conformance.catalogue._base import BOTH, CATALOGUE, CLIENT, MUST, ROBUSTNESS, SECURITY, SERVER, Try, serves
from credssp.conformance.catalogue._protector import Protector
from credssp.conformance.chance import hexadecimal
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import Connection
from credssp.conformance.http import HttpAnswer, HttpClientLink, HttpConnection, HttpRequest, HttpServerLink
from credssp.conformance.rule import Judged, Outcome, Skipped, Verdict, alive, failed, passed
from credssp.conformance.run import ServerRun, describe_end
from credssp.conformance.scripted_server import ScriptedServer
from credssp.conformance.setup import Setup
from credssp.errors import CredSSPError
from credssp.tls.settings import ServerTLS
from credssp.winrm.encryption import ENCRYPTED, SOAP, Encrypted, encrypt, encrypted_parts, is_encrypted_type
from credssp.winrm.header import format_token

# fmt: off
CATALOGUE.declare(
    ("CSSP-WINRM-01", "CredSSP is offered", MUST, SERVER, "[MS-WSMV] 3.1.4.1.28", "a request without Authorization",
     "401 with WWW-Authenticate: CredSSP"),
    ("CSSP-WINRM-02", "tokens are TLS records in base64", MUST, CLIENT, "[MS-WSMV] 2.2.9.1.3.1", "a good login",
     "CredSSP, a space, base64; a ClientHello first"),
    ("CSSP-WINRM-03", "a login belongs to one connection", ROBUSTNESS, BOTH, "[MS-WSMV] 2.2.9.1.3; 3.1.5 step 1",
     "the client's legs, and its message; a leg on another connection than its login",
     "one TLS session; the stray leg is refused"),
    ("CSSP-WINRM-04", "no credentials into a failed login", SECURITY, CLIENT, "3.1.5 step 5",
     "500 in place of the leg with the server's pubKeyAuth", "an error, or a new login; no authInfo"),
    ("CSSP-WINRM-05", "the form of encrypted messages", MUST, BOTH, "[MS-WSMV] 2.2.9.1.3.1",
     "an encrypted message after a good login", "multipart/encrypted with the protocol and boundary of [MS-WSMV]"),
    ("CSSP-WINRM-06", "the trailer length in front of the records", MUST, BOTH, "[MS-WSMV] 2.2.9.1.3.1.2.2",
     "an encrypted message after a good login", "four bytes, little-endian: the size of what follows the ciphertext"),
    ("CSSP-WINRM-07", "messages above 16384 bytes", MUST, BOTH, "[MS-WSMV] 2.2.9.1.3.2", "a message of 40000 bytes",
     "multipart/x-multi-encrypted, several pairs; the server takes it"),
    ("CSSP-WINRM-08", "a wrong Length", ROBUSTNESS, BOTH, "[MS-WSMV] 2.2.9.1.3.1.2.1",
     "OriginalContent with another Length than that of the plaintext", "refused"),
    ("CSSP-WINRM-09", "a server that does not offer CredSSP", MUST, CLIENT, "[MS-WSMV] 3.1.4.1.28",
     "401 that offers Negotiate and Basic", "no CredSSP token"),
    ("CSSP-WINRM-10", "session tickets between the legs", ROBUSTNESS, CLIENT, "RFC 8446 4.6.1",
     "TLS 1.3 with tickets in a leg of their own", "completes"),
    ("CSSP-WINRM-11", "the delegation policy applies over HTTP too", SECURITY, CLIENT, "3.1.1 <23>; 5.1",
     "a client whose policy names no server", "no authInfo"),
    ("CSSP-WINRM-12", "messages in clear text", MUST, SERVER, "[MS-WSMV] 3.1.4.1.29.1 AllowUnencrypted",
     "SOAP that is not encrypted, over http, after a good login", "refused (skipped over https)"),
    ("CSSP-WINRM-13", "malformed tokens", ROBUSTNESS, SERVER, "[MS-WSMV] 2.2.9.1.3.1",
     "not base64; base64 of something other than a TLS record; an empty token", "refused, never 2xx or 5xx"),
    ("CSSP-WINRM-14", "a wrong password is never 2xx", SECURITY, SERVER, "[MS-WSMV] 3.1.4.1.28",
     "a wrong password, then a message in clear text on the same connection", "401 or another refusal for both"),
    ("CSSP-WINRM-15", "a message of another connection's login", SECURITY, SERVER, "[MS-WSMV] 2.2.9.1.3, 3.1.4.1.28",
     "a message encrypted for one connection, sent on another that is logged on too", "refused"),
    ("CSSP-WINRM-18", "200 before the server has proved its key", SECURITY, CLIENT, "3.1.5 step 5",
     "200 in place of the server's first token, then of its pubKeyAuth", "an error, or a new login; no message"),
)
# fmt: on

IDENTIFY = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    b'xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
    b"<s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>"
)
MULTIPLE = ENCRYPTED.replace("multipart/encrypted", "multipart/x-multi-encrypted", 1)


def http_of(run: ServerRun) -> tuple[HttpConnection, HttpClientLink]:
    """Open a connection. Raises Skipped where there is no HTTP."""
    link = run.raw()
    if not isinstance(link, HttpClientLink):
        raise Skipped("no HTTP")
    return link.connection, link


def ready(run: ServerRun) -> tuple[HttpConnection, Protector]:
    """Log on; returns the HTTP connection, and what encrypts for it."""
    http, link = http_of(run)
    login = run.login(connection=run.wrap(link))
    if not login.accepted:
        raise Skipped(f"no good login: {describe_end(login.end)}")
    return http, Protector(login.connection)


def answered(answer: HttpAnswer | None) -> HttpAnswer:
    """Return an answer; one that did not come in time ends the case."""
    if answer is None:
        raise Judged(Outcome(Verdict.HANG, "no answer in time"))
    return answer


def not_taken(answer: HttpAnswer | None) -> Outcome:
    """Judge the answer to a message that must not be taken."""
    status = answered(answer).status
    return failed(f"taken: {status}") if 200 <= status < 300 else passed(f"{status}")


def send(
    http: HttpConnection,
    protector: Protector,
    message: bytes = IDENTIFY,
    change: Callable[[Encrypted], bytes] | None = None,
) -> HttpAnswer | None:
    """Send an encrypted message, its body changed if need be."""
    sealed = encrypt(protector, message, SOAP)
    return http.request(content_type=sealed.content_type, body=sealed.body if change is None else change(sealed))


@CATALOGUE.server("CSSP-WINRM-01", "http")
def _offered(run: ServerRun) -> Outcome:
    answer = answered(http_of(run)[0].request())
    fits = answer.status == 401 and answer.offers
    return passed() if fits else failed(f"{answer.status}, WWW-Authenticate: {', '.join(answer.challenges) or 'none'}")


@CATALOGUE.client("CSSP-WINRM-02", "http")
def _records(run: ClientRun) -> Outcome:
    requests = [request for request in requests_of(run.baseline()) if request.authorization]
    for request in requests:
        scheme, _, _ = request.authorization.partition(" ")
        if scheme != "CredSSP":
            return failed(f"scheme {scheme}", request.evidence)
        if request.token[:1] not in (b"\x14", b"\x15", b"\x16", b"\x17"):
            return failed("a token that is not a TLS record", request.evidence)
    hello = requests[0].token
    if hello[0] == 0x16 and hello[5:6] == b"\1":
        return passed()
    return failed("the first token is not a ClientHello", requests[0].evidence)


def link_of(connection: Connection) -> HttpServerLink:
    """Return the link of a client's connection. Raises Skipped where there is no HTTP."""
    if not isinstance(connection.link, HttpServerLink):
        raise Skipped("no HTTP")
    return connection.link


def _finish(status: int) -> Callable[[ScriptedServer, object], None]:
    """Return what ends a login with this status in place of a message."""
    return lambda served, _: link_of(served.connection).finish(HttpAnswer(status))


def requests_of(served: ScriptedServer) -> list[HttpRequest]:
    """Return the requests of a login. Raises Skipped where there is no HTTP."""
    return link_of(served.connection).requests


@CATALOGUE.server("CSSP-WINRM-03", "http")
def _stray_leg(run: ServerRun) -> Outcome:
    _, link = http_of(run)
    connection = run.wrap(link)
    if connection.handshake() is not None:
        raise Skipped("no TLS handshake")
    other, _ = http_of(run)
    connection.channel.write(b"\x30\x03\x02\x01\x06")
    answer = answered(other.request(authorization=format_token(connection.channel.data_to_send())))
    if answer.status == 200 or (answer.token or b"")[:1] == b"\x17":
        return failed("the leg was taken on another connection")
    return passed(f"{answer.status}")


@CATALOGUE.client("CSSP-WINRM-03", "http")
def _one_session(run: ClientRun) -> Outcome:
    requests = requests_of(run.baseline())
    hellos = [request.evidence for request in requests if request.token[:1] == b"\x16" and request.token[5:6] == b"\1"]
    if len(hellos) != 1:
        return failed(f"{len(hellos)} ClientHellos in one login", *hellos)
    served = run.serve()
    link = link_of(served.connection)
    link.finish(HttpAnswer(200))
    following = link.next(run.target.timeout)
    again = following is not None and following.token[:1] == b"\x16"
    return failed("another login for the message") if again else passed()


@CATALOGUE.client("CSSP-WINRM-04", "http")
def _lost(run: ClientRun) -> Outcome:
    served = run.serve(key=_finish(500))
    if served.delegated_something:
        return failed("the client sent its credentials")
    alive(served.crash)
    return passed(describe_end(served.end))


def encrypted_answer(run: ServerRun) -> tuple[HttpAnswer, Protector]:
    """Log on, send a message, and return the answer to it. Raises Skipped where that is not encrypted."""
    http, protector = ready(run)
    answer = send(http, protector)
    if answer is None or not is_encrypted_type(answer.content_type):
        raise Skipped(f"no encrypted answer: {answer.status if answer else 'none in time'}")
    return answer, protector


@CATALOGUE.server("CSSP-WINRM-05", "http")
def _server_body(run: ServerRun) -> Outcome:
    answer, protector = encrypted_answer(run)
    return _well_formed(answer.content_type, answer.body, protector)


def _well_formed(content_type: str, body: bytes, protector: Protector) -> Outcome:
    large = content_type.startswith("multipart/x-multi-encrypted")
    if content_type.replace(" ", "") not in (ENCRYPTED.replace(" ", ""), MULTIPLE.replace(" ", "")):
        return failed(f"Content-Type: {content_type}")
    try:
        parts = list(encrypted_parts(content_type, body))
        lengths = [len(protector.unwrap(part.records)) == part.length for part in parts]
    except CredSSPError as error:
        return failed(error.message)
    if large != (len(parts) > 1):
        return failed(f"{len(parts)} pairs in {content_type.partition(';')[0]}")
    return passed() if all(lengths) else failed("a Length that is not that of the plaintext")


@CATALOGUE.client("CSSP-WINRM-05", "http")
def _client_body(run: ClientRun) -> Outcome:
    request, protector = client_message(run, b"")
    return _well_formed(request.content_type, request.body, protector)


def client_message(run: ClientRun, mark: bytes) -> tuple[HttpRequest, Protector]:
    """Serve a login and return the encrypted message after it."""
    served = run.try_serve(Setup(large_message=bool(mark)))
    link = link_of(served.connection)
    if not served.delegated_something:
        raise Skipped(f"no good login: {describe_end(served.end)}")
    link.finish(HttpAnswer(200))
    request = link.next(run.target.timeout)
    if request is None or not is_encrypted_type(request.content_type):
        raise Skipped("the client sends no encrypted message")
    return request, Protector(served.connection)


def _trailers(body: bytes, content_type: str, protector: Protector) -> Outcome:
    parts = list(encrypted_parts(content_type, body))
    at = body.find(b"application/octet-stream\r\n") + len(b"application/octet-stream\r\n")
    told = int.from_bytes(body[at : at + 4], "little")
    records = parts[0].records
    # TLS 1.3 and AEAD suites: what a record has beyond header, explicit nonce and plaintext is trailer.
    overhead = len(records) - parts[0].length - 5 - (8 if protector.tls_version == "TLSv1.2" else 0)
    if "CBC" in protector.tls_cipher or protector.tls_cipher.endswith("-SHA"):
        raise Skipped("a CBC suite: padding and explicit IV cannot be distinguished here")
    if "CHACHA20" in protector.tls_cipher and protector.tls_version == "TLSv1.2":
        overhead += 8
    return passed(f"{told}") if told == overhead else failed(f"{told} where the records have {overhead}")


@CATALOGUE.server("CSSP-WINRM-06", "http")
def _server_trailer(run: ServerRun) -> Outcome:
    answer, protector = encrypted_answer(run)
    return _trailers(answer.body, answer.content_type, protector)


@CATALOGUE.client("CSSP-WINRM-06", "http")
def _client_trailer(run: ClientRun) -> Outcome:
    request, protector = client_message(run, b"")
    return _trailers(request.body, request.content_type, protector)


@CATALOGUE.server("CSSP-WINRM-07", "http")
def _server_large(run: ServerRun) -> Outcome:
    http, protector = ready(run)
    answer = answered(send(http, protector, IDENTIFY + b" " * 40_000))
    # Whatever the application says, it says it encrypted: the message was understood.
    return passed(f"{answer.status}") if is_encrypted_type(answer.content_type) else failed(f"{answer.status}")


@CATALOGUE.client("CSSP-WINRM-07", "http")
def _client_large(run: ClientRun) -> Outcome:
    request, protector = client_message(run, b"large")
    if not request.content_type.startswith("multipart/x-multi-encrypted"):
        return failed(f"Content-Type: {request.content_type}")
    return _well_formed(request.content_type, request.body, protector)


def _lie(sealed: Encrypted) -> bytes:
    at = sealed.body.find(b"Length=") + len(b"Length=")
    return sealed.body[:at] + b"9" + sealed.body[at:]


@CATALOGUE.server("CSSP-WINRM-08", "http")
def _server_lie(run: ServerRun) -> Outcome:
    http, protector = ready(run)
    return not_taken(send(http, protector, change=_lie))


@CATALOGUE.client("CSSP-WINRM-08", "http", "report")
def _client_lie(run: ClientRun) -> Outcome:
    run.baseline()
    request, protector = client_message(run, b"")
    for part in encrypted_parts(request.content_type, request.body):
        protector.unwrap(part.records)
    sealed = encrypt(protector, b"<answer/>", SOAP)
    link = link_of(protector.connection)
    link.answer(HttpAnswer(200, (), sealed.content_type, _lie(sealed)))
    told = link.report
    alive(link.crash)
    return passed(type(told).__name__) if told is not None else failed("the client takes it")


@CATALOGUE.client("CSSP-WINRM-09", "http")
def _not_offered(run: ClientRun) -> Outcome:
    link = run.start()
    if not isinstance(link, HttpServerLink):
        raise Skipped("no HTTP")
    request = link.next(run.target.timeout)
    if request is None or request.token:
        raise Skipped("the client sends a token before it is offered CredSSP")
    link.answer(HttpAnswer(401, ("Negotiate", 'Basic realm="WSMAN"')))
    following = link.next(min(run.target.timeout, 2.0))
    return failed("a CredSSP token") if following is not None and following.token else passed()


@CATALOGUE.client("CSSP-WINRM-11", "http")
def _policy(run: ClientRun) -> Outcome:
    run.baseline()
    served = run.try_serve(Setup(deny=True))
    return failed("the client sent its credentials") if served.delegated_something else passed(describe_end(served.end))


@CATALOGUE.server("CSSP-WINRM-12", "http")
def _clear(run: ServerRun) -> Outcome:
    if run.target.name.startswith("https:"):
        raise Skipped("https encrypts")
    http, _ = ready(run)
    return not_taken(http.request(content_type=SOAP, body=IDENTIFY))


@CATALOGUE.server("CSSP-WINRM-13", "http")
def _junk(run: ServerRun) -> Outcome:
    for value in ("CredSSP !!!!", format_token(b"GET / HTTP/1.0\r\n\r\n"), "CredSSP", "CredSSP ="):
        answer = answered(http_of(run)[0].request(authorization=value))
        if answer.status >= 500 or 200 <= answer.status < 300:
            return failed(f"{value[:12]}: {answer.status}")
    return passed()


@CATALOGUE.server("CSSP-WINRM-14", "http")
def _wrong_password(run: ServerRun) -> Outcome:
    http, link = http_of(run)
    login = run.login(connection=run.wrap(link), password=hexadecimal(8))
    if login.key_answered or link.accepted:
        return failed("the login was taken")
    return not_taken(http.request(content_type=SOAP, body=IDENTIFY))


@CATALOGUE.server("CSSP-WINRM-15", "http")
def _stray_message(run: ServerRun) -> Outcome:
    _, protector = ready(run)
    other, _ = ready(run)
    return not_taken(send(other, protector))


@CATALOGUE.client("CSSP-WINRM-18", "http")
def _agreed_too_early(run: ClientRun) -> Outcome:
    for edited, what in (("challenge", "the server's first token"), ("key", "pubKeyAuth")):
        script: dict[str, Any] = {edited: _finish(200)}
        served = run.serve(**script)
        if any(is_encrypted_type(request.content_type) for request in requests_of(served)):
            return failed(f"200 in place of {what}: the client sent its message")
        alive(served.crash)
    return passed(describe_end(served.end))


serves(
    ClientRun.completed,
    ("CSSP-WINRM-10", Try("session tickets", tls=ServerTLS(minimum="1.3", tickets=True))),
    via=ClientRun.try_serve,
    before=ClientRun.baseline,
    needs=("http",),
)

"""WINRM, the conduct: what is done once, and stays so: a proof for a login, a message for a request.

HTTP libraries repeat requests by themselves, and logins with them. Here a repetition costs: a wrong password that is
proved twice counts twice towards a lockout, and a message that is sent again is acted on again.
"""

from __future__ import annotations

from credssp.conformance.catalogue._base import CATALOGUE, CLIENT, ROBUSTNESS, SECURITY, SERVER
from credssp.conformance.catalogue.winrm import (
    IDENTIFY,
    answered,
    client_message,
    http_of,
    link_of,
    not_taken,
    ready,
    requests_of,
)
from credssp.conformance.chance import hexadecimal
from credssp.conformance.client_run import ClientRun
from credssp.conformance.http import HttpAnswer, HttpRequest, HttpServerLink
from credssp.conformance.ntlm import NTLMClient
from credssp.conformance.rule import Outcome, Skipped, alive, failed, passed
from credssp.conformance.run import ServerRun
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.errors import CredSSPError
from credssp.winrm.encryption import SOAP, encrypt, encrypted_parts, is_encrypted_type
from credssp.winrm.header import format_token
from credssp.wire.ts_request import TSRequest

# fmt: off
CATALOGUE.declare(
    ("CSSP-WINRM-19", "one proof for a login", ROBUSTNESS, CLIENT, "[MS-WSMV] 3.1.4.1.28; [MS-NLMP] 3.2.5.1.2",
     "401 that offers CredSSP once more, in place of the server's pubKeyAuth",
     "no second proof of the password by itself: each one counts towards a lockout"),
    ("CSSP-WINRM-20", "a message that was acted on is not sent again", ROBUSTNESS, CLIENT,
     "[MS-WSMV] 2.2.9.1.3; RFC 9110 9.2.2",
     "500 with an encrypted fault in answer to the message; 502 with a page in clear text", "the message comes once"),
    ("CSSP-WINRM-21", "a server that forgets every login", ROBUSTNESS, CLIENT, "[MS-WSMV] 3.1.4.1.28",
     "401 in answer to the message, after every login", "the client gives up after 5 logins at most"),
    ("CSSP-WINRM-22", "no message in clear text before the login", ROBUSTNESS, CLIENT,
     "[MS-WSMV] 2.2.9.1.3, 3.1.4.1.28", "the requests of a good login over http",
     "their bodies are empty, until a message can be encrypted"),
    ("CSSP-WINRM-23", "a message that comes twice", SECURITY, SERVER, "[MS-WSMV] 2.2.9.1.3; RFC 8446 5.3",
     "the very bytes of an encrypted message a second time on its connection", "the second is refused"),
    ("CSSP-WINRM-24", "a login that failed is over", SECURITY, SERVER, "[MS-WSMV] 3.1.4.1.28; [MS-NLMP] 3.2.5.1.2",
     "a wrong proof, then a right one for the same CHALLENGE on the same connection", "the second is refused"),
)
# fmt: on

_LOGINS = 5
"""Logins for one message. Ours takes 2, and no reason is known for more than 3."""
_WAIT = 2.0
_FAULT = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code><s:Value>s:Receiver'
    b"</s:Value></s:Code><s:Reason><s:Text>made up</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>"
)
_OFFER = HttpAnswer(401, ("CredSSP",))


def _stop_at_key(_: ScriptedServer, message: TSRequest, __: CredSSPError | None) -> bytes | None:
    """End the login at the client's pubKeyAuth, without an answer yet."""
    return None if message.pub_key_auth is None else b""


@CATALOGUE.client("CSSP-WINRM-19", "http")
def _one_proof(run: ClientRun) -> Outcome:
    served = run.serve(refuses=_stop_at_key)
    if all(request.pub_key_auth is None for request in served.requests):
        raise Skipped("the client did not come to its proof")
    link = link_of(served.connection)
    link.finish(_OFFER)
    again = run.serve_again(link)
    alive(again.crash)
    if again.answers:
        return failed("the client proved the password once more, to the same server")
    return passed("the client began another login, and did not end it" if again.requests else "")


def _next(run: ClientRun, link: HttpServerLink) -> HttpRequest | None:
    return link.next(min(run.target.timeout, _WAIT))


def _is_message(request: HttpRequest | None) -> bool:
    return request is not None and is_encrypted_type(request.content_type)


def _comes_again(run: ClientRun, link: HttpServerLink) -> bool:
    """Whether the client sends its message once more, at once or after another login."""
    before = len(link.requests)
    following = None
    if run.serve_again(link).delegated_something:
        link.finish(HttpAnswer(200))
        following = _next(run, link)
    return any(map(_is_message, (*link.requests[before:], following)))


@CATALOGUE.client("CSSP-WINRM-20", "http")
def _once(run: ClientRun) -> Outcome:
    run.baseline()
    for status in (500, 502):
        request, protector = client_message(run, b"")
        for part in encrypted_parts(request.content_type, request.body):
            protector.unwrap(part.records)
        link = link_of(protector.connection)
        sealed = encrypt(protector, _FAULT, SOAP)
        answer = HttpAnswer(500, (), sealed.content_type, sealed.body)
        link.answer(answer if status == 500 else HttpAnswer(502, (), "text/html", b"<html></html>"))
        if _comes_again(run, link):
            return failed(f"{status}: the message came again")
        alive(link.crash)
    return passed()


@CATALOGUE.client("CSSP-WINRM-21", "http")
def _forgotten(run: ClientRun) -> Outcome:
    run.baseline()
    _, protector = client_message(run, b"")
    link = link_of(protector.connection)
    for count in range(1, _LOGINS + 1):
        link.answer(_OFFER)
        if not run.serve_again(link).delegated_something:
            alive(link.crash)
            return passed(f"{count} login{'s' if count > 1 else ''}")
        link.finish(HttpAnswer(200))
        if not _is_message(_next(run, link)):
            return passed(f"{count + 1} logins")
    return failed(f"more than {_LOGINS} logins for one message")


@CATALOGUE.client("CSSP-WINRM-22", "http")
def _nothing_in_clear(run: ClientRun) -> Outcome:
    for number, request in enumerate(requests_of(run.baseline()), 1):
        if request.body and not is_encrypted_type(request.content_type):
            return failed(f"request {number} has a body of {len(request.body)} bytes in clear text", request.evidence)
    return passed()


@CATALOGUE.server("CSSP-WINRM-23", "http")
def _twice(run: ServerRun) -> Outcome:
    http, protector = ready(run)
    sealed = encrypt(protector, IDENTIFY, SOAP)
    first = answered(http.request(content_type=sealed.content_type, body=sealed.body))
    if not is_encrypted_type(first.content_type):
        raise Skipped(f"no encrypted answer: {first.status}")
    second = answered(http.request(content_type=sealed.content_type, body=sealed.body))
    if is_encrypted_type(second.content_type):
        return failed(f"the server acted on it twice: {second.status}")
    return not_taken(second)


@CATALOGUE.server("CSSP-WINRM-24", "http")
def _second_proof(run: ServerRun) -> Outcome:
    http, link = http_of(run)
    login = run.login(form=run.ntlm_form, connection=run.wrap(link), password=hexadecimal(8))
    if login.key_answered or link.accepted:
        return failed("the wrong one was taken")
    token = _right_proof(run, login)
    if token is None:
        return passed("the server ended TLS")
    answer = answered(http.request(authorization=format_token(token)))
    if 200 <= answer.status < 300 or _has_key(login, answer.token or b""):
        return failed(f"the right one was taken after the wrong one: {answer.status}")
    return passed(f"{answer.status}")


def _right_proof(run: ServerRun, login: ScriptedClient) -> bytes | None:
    """Return the leg of the right password in the TLS session of a login; None where that is over."""
    challenge, inner = login.observed().login.ntlm.challenge, login.inner
    if not challenge or not isinstance(inner, NTLMClient):
        raise Skipped("the server refuses before it challenges")
    inner.account = run.target.account
    message = login.last_message(inner.answer(challenge))
    try:
        login.connection.channel.write(message.encode())
    except CredSSPError:
        return None
    return login.connection.channel.data_to_send()


def _has_key(login: ScriptedClient, token: bytes) -> bool:
    """Whether there is a pubKeyAuth in a leg of the server."""
    channel = login.connection.channel
    try:
        channel.receive(token)
        return TSRequest.decode(channel.read()).pub_key_auth is not None
    except CredSSPError:
        return False

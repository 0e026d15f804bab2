"""The whole catalogue against peers that are wrong: the suite itself must never fail, and never wait."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import pytest

import credssp
from credssp import binding
from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.conformance.catalogue._protector import Protector
from credssp.conformance.client_run import ClientRun
from credssp.conformance.connection import Connection, Waiting
from credssp.conformance.http import HttpAnswer, HttpConnection, HttpRequest, HttpServerLink
from credssp.conformance.links import Link
from credssp.conformance.memory import TEST_ACCOUNT, MemoryServerTarget
from credssp.conformance.result import Report, Result
from credssp.conformance.rule import Role, Skipped, Verdict
from credssp.conformance.run import ServerRun
from credssp.conformance.runner import SUITE_FAILED, check_client, check_exchanges, check_server, select
from credssp.conformance.scripted_client import ClientScript, ScriptedClient
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.exchange.recorded_login import RecordedLogin
from credssp.ntlm import acceptor
from credssp.ntlm.messages import NTLMv2Response
from credssp.ntlm.rules import has_bindings
from credssp.rdp.negotiation import NegotiationFailure, NegotiationRequest, NegotiationResponse, Protocol
from credssp.rdp.server import NLAServer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import ClientTLS, ServerTLS, client_context
from credssp.winrm.encryption import SOAP, encrypt
from credssp.winrm.header import format_token
from credssp.wire.ts_request import TSRequest
from tests.conformance import mutants as m
from tests.conformance import scripted
from tests.conformance.broken import breaks
from tests.conformance.http_peers import MemoryWinRMClientTarget, own_winrm_client
from tests.conformance.mutants import CLIENTS, SERVERS
from tests.conformance.peers import EndpointPeer, own_rdp_client, own_rdp_server
from tests.conformance.test_mutants import ids
from tests.conformance.test_own_peers import bound_winrm, winrm_loopback


def sound(report: Report) -> None:
    broken = [f"{r.rule.id}: {r.outcome.detail}" for r in report.results if SUITE_FAILED in r.outcome.detail]
    assert broken == []


def assert_no_wait(check: Callable[[], None]) -> None:
    """Fail if a wrong peer takes the suite very much longer than a right one does on this machine."""
    begin = time.monotonic()
    check()
    assert time.monotonic() - begin < 10 + 10 * seconds_of_a_right_server()


@functools.cache
def seconds_of_a_right_server() -> float:
    begin = time.monotonic()
    sound(check_server(own_rdp_server()))
    return time.monotonic() - begin


@pytest.mark.parametrize(("name", "make", "rules"), SERVERS, ids=ids(SERVERS))
def test_every_rule_has_an_outcome_for_every_wrong_server(
    name: str, make: Callable[[], MemoryServerTarget], rules: str
) -> None:
    assert_no_wait(lambda: sound(check_server(make())))


@pytest.mark.parametrize(("name", "make", "rules"), CLIENTS, ids=ids(CLIENTS))
def test_every_rule_has_an_outcome_for_every_wrong_client(name: str, make: Callable[[], Any], rules: str) -> None:
    assert_no_wait(lambda: sound(check_client(make())))


class Wrapped:
    """Changes what a peer says or hears."""

    ended = False

    def __init__(self, peer: Any, behaviour: str) -> None:
        self.peer = peer
        self.behaviour = behaviour
        self.refusals = peer.refusals
        self.steps = 0

    @property
    def complete(self) -> bool:
        return bool(self.peer.complete)

    def start(self) -> bytes:
        return bytes(self.peer.start())

    def step(self, data: bytes) -> bytes:
        self.steps += 1
        return bytes(getattr(self, self.behaviour)(data))

    def eof(self) -> None:
        self.peer.eof()

    def swallow(self, data: bytes) -> bytes:
        """Never tell of an error, and never end."""
        try:
            return bytes(self.peer.step(data))
        except Exception:  # noqa: BLE001
            return b""

    def crash(self, data: bytes) -> bytes:
        """Turn refusals into something that nobody meant."""
        try:
            return bytes(self.peer.step(data))
        except Exception:  # noqa: BLE001
            raise ZeroDivisionError from None

    def babble(self, data: bytes) -> bytes:
        """Answer an error with bytes of another protocol."""
        try:
            return bytes(self.peer.step(data))
        except Exception:  # noqa: BLE001
            return b"220 hello\r\n"


BEHAVIOURS = ["swallow", "crash", "babble"]


def wrapped(target: Any, behaviour: str) -> Any:
    make = target.make
    target.make = lambda setup: Wrapped(make(setup), behaviour)
    return target


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_rdp_servers(behaviour: str) -> None:
    report = check_server(wrapped(own_rdp_server(), behaviour))
    sound(report)
    if behaviour != "babble":
        assert report.count(Verdict.HANG if behaviour == "swallow" else Verdict.CRASH) > 10


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_rdp_clients(behaviour: str) -> None:
    report = check_client(wrapped(own_rdp_client(), behaviour))
    sound(report)
    if behaviour != "babble":
        assert report.count(Verdict.HANG if behaviour == "swallow" else Verdict.CRASH) > 10


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_contexts(behaviour: str) -> None:
    sound(check_server(wrapped(m.server(), behaviour)))
    sound(check_client(wrapped(m.client(), behaviour)))


def test_a_winrm_client_that_encrypts_nothing() -> None:
    report = check_client(MemoryWinRMClientTarget(encrypt=False), rules=["CSSP-WINRM-*"])
    sound(report)
    assert report.verdict_of("CSSP-WINRM-05") is Verdict.SKIP


def test_a_winrm_client_with_a_wrong_trailer_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.winrm.encryption.trailer_length", lambda *_: 99)
    report = check_client(own_winrm_client(), rules=["CSSP-WINRM-06"])
    assert report.verdict_of("CSSP-WINRM-06") is Verdict.FAIL


class ScriptedRequests:
    """Requests of a scripted WinRM client that takes 200 for the end of its login, from a leg on."""

    crash = ""
    report: BaseException | None = None
    over = False

    def __init__(self, leg: int) -> None:
        def act(link: Link, _: scripted.ScriptedPeer) -> Waiting[None]:
            channel = TLSChannel(client_context(ClientTLS()), server_side=False, server_hostname="srv.lab.test")
            self.connection = Connection(link, channel, side="client", timeout=1.0)
            yield from self.connection.handshaking()
            channel.receive((yield 1.0) or b"")  # session tickets answer the leg with Finished
            key = binding.subject_public_key(channel.peer_certificate or b"")
            script = ClientScript(form="ntlm")
            client = ScriptedClient(self.connection, script, TEST_ACCOUNT, public_key=key, target_name="HTTP/srv")
            yield from client.logging_on()

        self.leg = leg
        self.legs = 0
        self.peer = scripted.ScriptedPeer(act)
        self.hello = self.peer.start()
        self.request: HttpRequest | None = HttpRequest()

    def next(self, timeout: float) -> HttpRequest | None:
        request, self.request = self.request, None
        return request

    def answer(self, answer: HttpAnswer) -> None:
        if answer.status == 200:
            sealed = encrypt(Protector(self.connection), b"<soap/>", SOAP)
            taken = self.legs >= self.leg
            self.request = HttpRequest("", sealed.content_type, sealed.body) if taken else None
            return
        output = self.peer.step(answer.token or b"") if self.legs else self.hello
        self.legs += 1
        self.request = HttpRequest(format_token(output)) if output else None

    def close(self) -> None:
        self.over = True


@breaks(Role.CLIENT, "WINRM-18")
@pytest.mark.parametrize("leg", [3, 4], ids="takes 200 for the end at leg {}".format)
def test_a_winrm_client_that_takes_any_200_for_the_end(leg: int) -> None:
    class Hasty(MemoryWinRMClientTarget):
        def start(self, setup: Setup, answer: RdpAnswer) -> Link:
            return HttpServerLink(ScriptedRequests(leg))

    report = check_client(Hasty(), rules=["CSSP-WINRM-18"])
    (result,) = report.results
    assert result.verdict is Verdict.FAIL
    assert ("pubKeyAuth" if leg == 4 else "the server's first token") in result.outcome.detail


def test_a_winrm_client_with_another_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.winrm import client

    real = client.format_token
    monkeypatch.setattr(client, "format_token", lambda token: real(token).replace("CredSSP", "credssp"))
    assert check_client(own_winrm_client(), rules=["CSSP-WINRM-02"]).verdict_of("CSSP-WINRM-02") is Verdict.FAIL


# WinRM servers that are wrong behind a good login: what they answer is changed on its way


def nothing(_: HttpAnswer) -> None:
    return None


def content(_: HttpAnswer) -> HttpAnswer:
    return HttpAnswer(200)


def failing(_: HttpAnswer) -> HttpAnswer:
    return HttpAnswer(500)


def other_type(answer: HttpAnswer) -> HttpAnswer:
    return dataclasses.replace(answer, content_type=answer.content_type.replace("Encrypted", "Another"))


def cut(answer: HttpAnswer) -> HttpAnswer:
    return dataclasses.replace(answer, body=answer.body[:-20])


def multiple(answer: HttpAnswer) -> HttpAnswer:
    kind = answer.content_type.replace("multipart/encrypted", "multipart/x-multi-encrypted")
    return dataclasses.replace(answer, content_type=kind)


def wrong_trailer(answer: HttpAnswer) -> HttpAnswer:
    head, mark, rest = answer.body.partition(b"octet-stream\r\n")
    return dataclasses.replace(answer, body=head + mark + b"\x63" + rest[1:])


WRONG_ANSWERS = [
    (nothing, "WINRM-01 WINRM-07 WINRM-08 WINRM-12"),
    (content, "WINRM-01 WINRM-07 WINRM-08 WINRM-12 WINRM-14 WINRM-15"),
    (failing, "WINRM-01 WINRM-07"),
    (other_type, "WINRM-05"),
    (cut, "WINRM-05"),
    (multiple, "WINRM-05"),
    (wrong_trailer, "WINRM-06"),
]
WRONG_ANSWER_NAMES = (
    "no answer to a message",
    "an answer without content",
    "status 500 for every message",
    "another Content-Type",
    "a body that is cut short",
    "a Content-Type for several parts",
    "a wrong trailer length",
)


@pytest.mark.parametrize(("change", "rules"), WRONG_ANSWERS, ids=WRONG_ANSWER_NAMES)
def test_wrong_winrm_servers_are_caught(
    change: Callable[[HttpAnswer], HttpAnswer | None], rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HttpConnection.exchange

    def exchange(self: HttpConnection, request: HttpRequest) -> HttpAnswer | None:
        answer = real(self, request)
        return answer if request.authorization or answer is None else change(answer)

    with winrm_loopback() as target:
        monkeypatch.setattr(HttpConnection, "exchange", exchange)
        report = check_server(target, rules=["CSSP-WINRM-*"])
    sound(report)
    for rule in rules.split():
        assert report.verdict_of(f"CSSP-{rule}") in (Verdict.FAIL, Verdict.HANG), rule


@breaks(Role.SERVER, "WINRM-03 WINRM-13 WINRM-24")
def test_a_winrm_server_that_takes_every_leg(monkeypatch: pytest.MonkeyPatch) -> None:
    real = HttpConnection.exchange

    def exchange(self: HttpConnection, request: HttpRequest) -> HttpAnswer | None:
        answer = real(self, request)
        stray = request.authorization.startswith("CredSSP Fw")  # application data
        odd = answer is not None and answer.status in (400, 401) and (answer.token is None or stray)
        return HttpAnswer(200, answer.challenges if answer else ()) if odd else answer

    with winrm_loopback() as target:
        monkeypatch.setattr(HttpConnection, "exchange", exchange)
        known: dict[Any, Any] = {}
        verdicts = set()
        rules = ["CSSP-WINRM-03", "CSSP-WINRM-13", "CSSP-WINRM-24"]
        for case in select(rules, side=Role.SERVER):  # it takes no good login
            run = ServerRun(target, known)
            outcome = dataclasses.replace(case.judge(run), evidence=run.evidence)
            verdicts.add(Result(case.rule, case.side, outcome).verdict)
            run.close()
    assert verdicts == {Verdict.FAIL}


@breaks(Role.SERVER, "WINRM-23")
def test_a_winrm_server_that_acts_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    real, answers = HttpConnection.exchange, {}

    def exchange(self: HttpConnection, request: HttpRequest) -> HttpAnswer | None:
        answer = real(self, request)
        return answers.setdefault(request.body, answer) if request.body else answer

    with winrm_loopback() as target:
        monkeypatch.setattr(HttpConnection, "exchange", exchange)
        report = check_server(target, rules=["CSSP-WINRM-23"])
    assert report.verdict_of("CSSP-WINRM-23") is Verdict.FAIL, report.explain()


@breaks(Role.SERVER, "SPNEGO-62")
def test_a_winrm_server_that_demands_channel_bindings_and_takes_any(monkeypatch: pytest.MonkeyPatch) -> None:
    real = acceptor.check_bindings

    def careless(response: NTLMv2Response, own: ChannelBindings | None, demand: BindingDemand) -> None:
        if not has_bindings(response):
            real(response, own, demand)

    monkeypatch.setattr(acceptor, "check_bindings", careless)
    with bound_winrm() as target:
        report = check_server(target, rules=["CSSP-SPNEGO-62"])
    assert report.verdict_of("CSSP-SPNEGO-62") is Verdict.FAIL, report.explain()


# RDP servers with other protocols, and what they make of requests


def rdp_server(**options: Any) -> MemoryServerTarget:
    target = own_rdp_server()

    def make(setup: Setup) -> Any:
        endpoint = NLAServer(
            accounts=credssp.MemoryAccounts({(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password}),
            mechanisms=("ntlm",),
            min_version=2,
            **options,
        )
        return EndpointPeer(endpoint, authorized=setup.authorized)

    target.make = make
    return target


def test_a_server_without_hybrid_ex() -> None:
    report = check_server(rdp_server(protocols=Protocol.HYBRID), rules=["CSSP-EUA-*", "CSSP-NEG-*"])
    assert report.ok, report.explain()
    assert report.verdict_of("CSSP-EUA-07") is Verdict.SKIP
    assert report.verdict_of("CSSP-EUA-08") is Verdict.SKIP


def test_a_server_that_knows_hybrid_ex_only() -> None:
    target = rdp_server(protocols=Protocol.HYBRID_EX)
    target.protocols = 0xB
    report = check_server(target, rules=["CSSP-EUA-*", "CSSP-NEG-*"])
    assert report.verdict_of("CSSP-NEG-02") is Verdict.FAIL
    assert report.verdict_of("CSSP-EUA-06") is Verdict.SKIP


CONFIRMS = {
    "a protocol that nobody asked for": ConnectionConfirm(NegotiationResponse(Protocol.RDSTLS)).encode(),
    "no negotiation": ConnectionConfirm(None).encode(),
    "a failure": ConnectionConfirm(NegotiationFailure(1)).encode(),
    "TLS": ConnectionConfirm(NegotiationResponse(Protocol.SSL)).encode(),
    "nonsense": b"\x03\x00\x00\x08garb",
    "nothing": b"",
}


@pytest.mark.parametrize("confirm", CONFIRMS.values(), ids=CONFIRMS.keys())
def test_servers_with_odd_negotiations(confirm: bytes) -> None:
    class Odd(Wrapped):
        def odd(self, data: bytes) -> bytes:
            good = bytes.fromhex("030000130ee000000000000100080003000000")
            if data == good and not Odd.odd_now:
                return bytes(self.peer.step(data))
            return confirm if data[:1] == b"\x03" else bytes(self.peer.step(data))

    Odd.odd_now = False  # type: ignore[attr-defined]
    target = own_rdp_server()
    make = target.make
    target.make = lambda setup: Odd(make(setup), "odd")
    known: dict[Any, Any] = {}
    ServerRun(target, known).baseline()
    Odd.odd_now = True  # type: ignore[attr-defined]
    for case in select(["CSSP-NEG-*", "CSSP-EUA-*", "CSSP-CRED-17"], side=Role.SERVER):
        run = ServerRun(target, known)
        try:
            outcome = case.judge(run)
        except Skipped:
            continue
        assert outcome.verdict in Verdict


# Clients that ask for odd things


REQUESTS = {
    "no negotiation": ConnectionRequest(),
    "HYBRID alone": ConnectionRequest(negotiation=NegotiationRequest(Protocol.HYBRID)),
    "HYBRID_EX without HYBRID": ConnectionRequest(negotiation=NegotiationRequest(Protocol.HYBRID_EX | Protocol.SSL)),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_clients_with_odd_requests(request_: ConnectionRequest) -> None:
    target = own_rdp_client()
    target.request = lambda link: request_.encode()  # type: ignore[method-assign]
    report = check_client(target, rules=["CSSP-NEG-01", "CSSP-NEG-06"])
    sound(report)
    assert report.verdict_of("CSSP-NEG-01") is Verdict.FAIL


def test_a_client_whose_request_cannot_be_read() -> None:
    target = own_rdp_client()
    target.request = lambda link: b"\x03\x00\x00\x05x"  # type: ignore[method-assign]
    assert check_client(target, rules=["CSSP-NEG-01"]).verdict_of("CSSP-NEG-01") is Verdict.SKIP


# Exchanges that passive rules see through


def exchange(*messages: tuple[str, bytes], **options: Any) -> RecordedLogin:
    return RecordedLogin(messages, **options)


def core_data(protocol: int) -> bytes:
    block = bytearray(234)
    block[:4] = b"\x01\xc0\xea\x00"
    block[212] = protocol
    return b"Duca\x81\x4a" + bytes(block)


def test_core_data_with_another_protocol() -> None:
    both = (Role.CLIENT, Role.SERVER)
    good, bad = exchange(client_application=core_data(2)), exchange(client_application=core_data(1))
    assert check_exchanges([(good, both)], rules=["CSSP-NEG-07"]).results[0].verdict is Verdict.PASS
    assert check_exchanges([(bad, both)], rules=["CSSP-NEG-07"]).results[0].verdict is Verdict.FAIL


def test_exchanges_that_make_no_sense() -> None:
    both = (Role.CLIENT, Role.SERVER)
    token = TSRequest(6, nego_tokens=(b"NTLMSSP\0\1\0\0\0",)).encode()
    challenge = TSRequest(6, nego_tokens=(b"NTLMSSP\0\2\0\0\0",)).encode()
    last = TSRequest(6, nego_tokens=(b"NTLMSSP\0\3\0\0\0",), pub_key_auth=b"x").encode()
    odd = [
        exchange(),
        exchange(("client", b"x"), ("server", b"\x30\x80")),
        exchange(("client", token), ("server", challenge), ("client", last), account=TEST_ACCOUNT, public_key=b"k"),
        exchange(("client", TSRequest(6, auth_info=b"x").encode()), ("client", TSRequest(6, auth_info=b"y").encode())),
        exchange(("server", TSRequest(6, pub_key_auth=b"x", auth_info=b"y").encode())),
        exchange(("server", TSRequest(6, pub_key_auth=b"x", nego_tokens=(b"y",)).encode())),
        exchange(("client", TSRequest(6, pub_key_auth=b"x", nego_tokens=(b"",)).encode())),
        exchange(("client", b"\x30\x05\xa6\x03\x02\x01\x06")),
        exchange(("client", b"\x30\x0a\xa0\x03\x02\x01\x06\xa7\x03\x02\x01\x06")),
        exchange(("client", b"\x30\x82\x00\x05\xa0\x03\x02\x01\x06"), records=(2,)),
        exchange(("client", token), records=(2,)),
    ]
    for seen in odd:
        sound(check_exchanges([(seen, both)]))
    report = check_exchanges([(odd[4], both), (odd[6], both), (odd[10], both)])
    failed = {result.rule.id for result in report.results if result.verdict is Verdict.FAIL}
    assert failed >= {"CSSP-PKA56-20", "CSSP-SPNEGO-10", "CSSP-TSREQ-18"}


# TLS, with links that say what a test wants


class StubLink:
    crash = ""
    report: BaseException | None = None

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)

    def send(self, data: bytes) -> None:
        pass

    def receive(self, timeout: float) -> bytes | None:
        return self.answers.pop(0) if self.answers else b""

    def close(self) -> None:
        pass


class StubTarget:
    name = "stub"
    account = TEST_ACCOUNT
    features = ("report",)
    timeout = 0.1
    target_name = "TERMSRV/srv.lab.test"
    tickets = None
    settle = None
    service_keys = ()

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = answers

    def obstacle(self) -> str:
        return ""

    def open_raw(self, setup: Setup) -> StubLink:
        return StubLink(*self.answers)

    def open(self, setup: Setup) -> StubLink:
        return self.open_raw(setup)

    def start(self, setup: Setup, front: RdpAnswer) -> StubLink:
        return StubLink(*self.answers)

    def accepted(self, link: Link) -> bool | None:
        return None

    def request(self, link: Link) -> bytes:
        return b""


HELLO = b"\x16\x03\x01\x00\x01\x01"
ALERT = b"\x15\x03\x03\x00\x02\x02\x46"


def verdict(rule: str, side: Role, *answers: bytes | None) -> Verdict:
    (case,) = select([rule], side=side)
    run = (ServerRun if side is Role.SERVER else ClientRun)(StubTarget(*answers), {})  # type: ignore[arg-type]
    try:
        outcome: Verdict = case.judge(run).verdict
    except Skipped:
        return Verdict.SKIP
    return outcome


@pytest.mark.parametrize(
    ("rule", "side", "answers", "expected"),
    [
        ("CSSP-TLS-05", Role.SERVER, [HELLO], Verdict.FAIL),
        ("CSSP-TLS-05", Role.SERVER, [ALERT], Verdict.PASS),
        ("CSSP-TLS-05", Role.SERVER, [None], Verdict.HANG),
        ("CSSP-TLS-05", Role.SERVER, [b"HTTP/1.1 400"], Verdict.PASS),
        ("CSSP-TLS-05", Role.CLIENT, [b""], Verdict.SKIP),
        ("CSSP-TLS-05", Role.CLIENT, [HELLO, None], Verdict.FAIL),
        ("CSSP-TLS-05", Role.CLIENT, [HELLO, ALERT], Verdict.PASS),
        ("CSSP-TLS-08", Role.CLIENT, [b""], Verdict.SKIP),
        ("CSSP-TLS-08", Role.CLIENT, [HELLO, None], Verdict.HANG),
        ("CSSP-TLS-08", Role.CLIENT, [HELLO, b""], Verdict.FAIL),
        ("CSSP-TLS-01", Role.SERVER, [], Verdict.FAIL),
        ("CSSP-TLS-02", Role.SERVER, [], Verdict.PASS),
        ("CSSP-TLS-03", Role.SERVER, [], Verdict.SKIP),
        ("CSSP-TLS-07", Role.CLIENT, [], Verdict.SKIP),
        ("CSSP-CRED-01", Role.CLIENT, [], Verdict.SKIP),
        ("CSSP-TLS-06", Role.SERVER, [], Verdict.PASS),
        ("CSSP-ERR-18", Role.SERVER, [], Verdict.FAIL),
        ("CSSP-NEG-10", Role.CLIENT, [None], Verdict.HANG),
        ("CSSP-NEG-10", Role.CLIENT, [HELLO], Verdict.FAIL),
        ("CSSP-NEG-10", Role.CLIENT, [b""], Verdict.FAIL),
        ("CSSP-NEG-13", Role.CLIENT, [HELLO], Verdict.FAIL),
        ("CSSP-NEG-12", Role.SERVER, [None], Verdict.HANG),
        ("CSSP-NEG-12", Role.SERVER, [HELLO], Verdict.PASS),
        ("CSSP-NEG-11", Role.SERVER, [None], Verdict.HANG),
        ("CSSP-NEG-02", Role.SERVER, [HELLO], Verdict.SKIP),
        ("CSSP-NEG-02", Role.SERVER, [], Verdict.SKIP),
        ("CSSP-NEG-04", Role.SERVER, [None, None], Verdict.HANG),
        ("CSSP-NEG-04", Role.SERVER, [HELLO], Verdict.PASS),
        ("CSSP-WINRM-01", Role.SERVER, [], Verdict.SKIP),
        ("CSSP-WINRM-09", Role.CLIENT, [], Verdict.SKIP),
        ("CSSP-EUA-07", Role.SERVER, [], Verdict.SKIP),
        ("CSSP-EUA-01", Role.CLIENT, [], Verdict.SKIP),
    ],
)
def test_reactions_at_the_border(rule: str, side: Role, answers: list[bytes | None], expected: Verdict) -> None:
    assert verdict(rule, side, *answers) is expected


def test_clients_that_resume_and_servers_that_ask_for_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    reused = property(lambda self: True)
    assert check_client(m.client(), rules=["CSSP-TLS-02"]).ok
    monkeypatch.setattr(TLSChannel, "session_reused", reused)
    report = check_client(m.client(), rules=["CSSP-TLS-02"])
    assert report.verdict_of("CSSP-TLS-02") is Verdict.FAIL
    report = check_server(m.server(tls=ServerTLS(maximum="1.2")), rules=["CSSP-TLS-01"])
    assert report.ok
    monkeypatch.setattr("credssp.conformance.catalogue.tls.find_in_clear", lambda _: b"a request")
    assert check_server(m.server(), rules=["CSSP-TLS-01"]).verdict_of("CSSP-TLS-01") is Verdict.FAIL

"""The catalogue can fail, the rules about forms: SPNEGO and NTLM messages, X.224, and WinRM's metadata."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest

from credssp.accounts import MemoryAccounts
from credssp.conformance import mutate
from credssp.conformance.http import HttpRequest
from credssp.conformance.http_peers import MemoryWinRMClientTarget
from credssp.conformance.links import Link
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.peers import own_rdp_client, own_rdp_server, own_server
from credssp.conformance.rule import Role, Verdict
from credssp.conformance.run import ServerRun
from credssp.conformance.runner import check_client, check_exchanges, check_server
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.errors import CredSSPError, DecodeError
from credssp.exchange.recorded_login import RecordedLogin
from credssp.ntlm import acceptor as ntlm_acceptor
from credssp.ntlm import crypto
from credssp.ntlm import initiator as ntlm_initiator
from credssp.ntlm.proof import logon_failure
from credssp.ntlm.session import NTLMSession
from credssp.rdp.client import NLAClient
from credssp.rdp.negotiation import NegotiationResponse, Protocol
from credssp.rdp.server import NLAServer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.spnego import NegTokenInit, NegTokenResp
from credssp.spnego import acceptor as spnego_acceptor
from credssp.spnego import initiator as spnego_initiator
from credssp.spnego import tokens as spnego_tokens
from tests.conformance import mutants as m
from tests.conformance.test_mutants import caught, full
from tests.conformance.test_own_peers import winrm_loopback

Patch = pytest.MonkeyPatch


# SPNEGO


def test_peers_that_refuse_members_of_later_versions(monkeypatch: Patch) -> None:
    def strict(reader: Any, contents: Any, known: int, field: str) -> Any:
        return contents

    monkeypatch.setattr(spnego_tokens, "_without_extensions", strict)
    caught(check_server(m.server(), rules=["CSSP-SPNEGO-28"]), "SPNEGO-28")
    caught(check_client(m.client(), rules=["CSSP-SPNEGO-28"]), "SPNEGO-28")


def refusing(test: Callable[[bytes, NegTokenInit], bool]) -> type[NegTokenInit]:
    class Strict(NegTokenInit):
        @classmethod
        def decode(cls, token: bytes) -> NegTokenInit:
            found = NegTokenInit.decode(token)
            if test(token, found):
                raise DecodeError("not taken here", field="NegTokenInit")
            return found

    return Strict


def test_a_server_that_looks_at_req_flags(monkeypatch: Patch) -> None:
    strict = refusing(lambda token, _: 0xA1 in mutate.spnego_tags(token))
    monkeypatch.setattr(spnego_acceptor, "NegTokenInit", strict)
    caught(check_server(m.server(), rules=["CSSP-SPNEGO-29"]), "SPNEGO-29")


def test_a_server_that_refuses_hints(monkeypatch: Patch) -> None:
    monkeypatch.setattr(spnego_acceptor, "NegTokenInit", refusing(lambda _, init: init.neg_hints is not None))
    caught(check_server(m.server(), rules=["CSSP-SPNEGO-30"]), "SPNEGO-30")


def test_a_client_that_follows_a_later_mechanism(monkeypatch: Patch) -> None:
    choose = spnego_initiator.SpnegoInitiator._choose

    def gullible(self: Any, reply: NegTokenResp) -> bytes | None:
        self._legs = 1
        return choose(self, reply)

    monkeypatch.setattr(spnego_initiator.SpnegoInitiator, "_choose", gullible)
    caught(check_client(m.client(), rules=["CSSP-SPNEGO-31"]), "SPNEGO-31")


def test_a_client_that_does_not_obey_request_mic(monkeypatch: Patch) -> None:
    monkeypatch.setattr(spnego_initiator.SpnegoInitiator, "_make_mic", lambda *_, **__: None)
    monkeypatch.setattr(spnego_initiator.SpnegoInitiator, "_check_mic_not_missing", lambda _: None)
    monkeypatch.setattr(spnego_acceptor.SpnegoAcceptor, "_mic_demanded", lambda *_: False)
    caught(check_client(m.client(), rules=["CSSP-SPNEGO-32"]), "SPNEGO-32")


def test_a_client_without_framing(monkeypatch: Patch) -> None:
    monkeypatch.setattr(spnego_initiator, "NegTokenInit", functools.partial(NegTokenInit, framed=False))
    caught(check_client(m.client(), rules=["CSSP-SPNEGO-33"]), "SPNEGO-33")


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: dataclasses.replace(reply, neg_state=None),
        lambda reply: dataclasses.replace(reply, supported_mech="1.2.3.4"),
    ],
)
def test_a_server_whose_first_reply_is_wrong(monkeypatch: Patch, change: Callable[[NegTokenResp], Any]) -> None:
    answer = spnego_acceptor.SpnegoAcceptor._answer

    def wrong(self: Any, mechanism: Any, token: Any, mic: Any, *, supported_mech: str | None = None) -> NegTokenResp:
        reply = answer(self, mechanism, token, mic, supported_mech=supported_mech)
        return reply if supported_mech is None else change(reply)

    monkeypatch.setattr(spnego_acceptor.SpnegoAcceptor, "_answer", wrong)
    caught(check_server(m.server(), rules=["CSSP-SPNEGO-34"]), "SPNEGO-34")


def test_a_client_with_req_flags(monkeypatch: Patch) -> None:
    class Flagged(NegTokenInit):
        def encode(self) -> bytes:
            return mutate.spnego_init(self, bytes.fromhex("a10403020640"))

    monkeypatch.setattr(spnego_initiator, "NegTokenInit", Flagged)
    caught(check_client(m.client(), rules=["CSSP-SPNEGO-35"]), "SPNEGO-35")


# NTLM


def test_a_client_that_does_not_need_names(monkeypatch: Patch) -> None:
    def answer(self: Any, challenge: bytes, credentials: Any) -> Any:
        from credssp.conformance.ntlm import NTLMClient

        client = NTLMClient(account=TEST_ACCOUNT)
        client.negotiate()
        return client.authenticate(challenge), client.session

    monkeypatch.setattr(ntlm_initiator.NTLMInitiator, "_authenticate", answer)
    # Its MIC is wrong, and the suite's acceptor would stop there.
    monkeypatch.setattr(ntlm_acceptor, "verify_mic", lambda *_: None)
    caught(check_client(m.client(), rules=["CSSP-SPNEGO-36"]), "SPNEGO-36")


def judged_as_client(edit: Callable[[bytes], bytes] = bytes, **ntlm: Any) -> Callable[[str], Verdict]:
    """Judge a login of the suite's own client, made wrong, as if somebody had recorded it."""
    run = ServerRun(own_server(), {})
    made = run.try_login(ntlm=ntlm).observed().login
    run.close()
    login = RecordedLogin(((sender, edit(data)) for sender, data in made.messages), account=made.account)
    report = check_exchanges([(login, (Role.CLIENT,))], rules=["CSSP-SPNEGO-*"])
    return lambda rule: report.verdict_of(f"CSSP-SPNEGO-{rule}")


def test_recorded_clients_that_leave_out_what_they_should_send() -> None:
    good = judged_as_client()
    assert [good(rule) for rule in ("37", "38", "39", "40", "49")] == [Verdict.PASS] * 5
    assert judged_as_client(mic="none")("37") is Verdict.FAIL
    assert judged_as_client(timestamp=bytes(8))("39") is Verdict.FAIL
    assert judged_as_client(flags=0xE2088237 & ~0x8000)("49") is Verdict.FAIL
    assert judged_as_client(flags=0xE2088237 | 0x100)("49") is Verdict.FAIL

    def lm_response(data: bytes) -> bytes:
        at = data.find(b"NTLMSSP\0\3")
        if at < 0:
            return data
        at += int.from_bytes(data[at + 16 : at + 20], "little")
        return data[:at] + b"x" * 24 + data[at + 24 :]

    assert judged_as_client(lm_response)("38") is Verdict.FAIL

    def other_pair(data: bytes) -> bytes:
        return data.replace(b"\x0a\0\x10\0" + bytes(16), b"\x0b\0\x10\0" + bytes(16))

    assert judged_as_client(other_pair)("40") is Verdict.LENIENT


@pytest.mark.parametrize(
    ("rule", "edit"),
    [
        ("41", lambda data, flags: (data, flags & ~0x20000000)),
        ("41", lambda data, flags: (data, flags & ~0x8000)),
        ("42", lambda data, flags: (data[:32] + b"\1" + data[33:], flags)),
        ("42", lambda data, flags: (data[:-4] + b"\x08\0\0\0", flags)),
        ("43", lambda data, flags: (data, flags | 0x80)),
    ],
)
def test_servers_with_a_wrong_challenge(monkeypatch: Patch, rule: str, edit: Callable[..., tuple[bytes, int]]) -> None:
    build = ntlm_acceptor.build_challenge

    def wrong(client_flags: int, *arguments: Any, **options: Any) -> tuple[bytes, int]:
        data, flags = build(client_flags, *arguments, **options)
        data, told = edit(data, flags)
        return data[:20] + told.to_bytes(4, "little") + data[24:], flags

    monkeypatch.setattr(ntlm_acceptor, "build_challenge", wrong)
    monkeypatch.setattr(ntlm_acceptor, "check_flags", lambda *_: None)
    monkeypatch.setattr(ntlm_acceptor, "NTLMSession", lambda key, _, *, role: NTLMSession(key, role=role))
    caught(check_server(m.server(), rules=[f"CSSP-SPNEGO-{rule}"]), f"SPNEGO-{rule}")


def test_a_server_that_needs_no_character_set(monkeypatch: Patch) -> None:
    monkeypatch.setattr(ntlm_acceptor, "check_flags", lambda *_: None)
    caught(check_server(m.server(), rules=["CSSP-SPNEGO-44"]), "SPNEGO-44")


def test_a_server_that_does_without_a_session_key(monkeypatch: Patch) -> None:
    check = ntlm_acceptor.check_authenticate

    def careless(message: Any, **options: Any) -> Any:
        key = message.encrypted_session_key or bytes(16)
        return check(dataclasses.replace(message, encrypted_session_key=key), **options)

    monkeypatch.setattr(ntlm_acceptor, "check_authenticate", careless)
    monkeypatch.setattr(ntlm_acceptor.crypto, "rc4", lambda key, data: crypto.KeyStream(key)(data) if data else key)
    caught(check_server(m.server(), rules=["CSSP-SPNEGO-45"]), "SPNEGO-45")


def test_a_server_to_which_case_matters() -> None:
    class Exact:
        def find(self, domain: str, username: str) -> Any:
            store = MemoryAccounts({(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password})
            return store.find(domain, username) if username == TEST_ACCOUNT.username else ()

    caught(check_server(m.server(accounts=Exact()), rules=["CSSP-SPNEGO-46"]), "SPNEGO-46")


def test_a_server_that_takes_no_response_without_the_domain(monkeypatch: Patch) -> None:
    prove = ntlm_acceptor.prove

    def strict(message: Any, candidates: Any, challenge: bytes) -> Any:
        account, key = prove(message, candidates, challenge)
        upper = crypto.upper_forms(message.username)[0]
        own = crypto.ntowfv2(account.nt_hash.reveal(), upper, message.domain)
        if crypto.hmac_md5(own, challenge + message.nt_response[16:]) != message.nt_response[:16]:
            raise logon_failure()
        return account, key

    monkeypatch.setattr(ntlm_acceptor, "prove", strict)
    caught(check_server(m.server(), rules=["CSSP-SPNEGO-47"]), "SPNEGO-47")


def test_a_server_that_knows_max_lifetime(monkeypatch: Patch) -> None:
    check = ntlm_acceptor.check_authenticate

    def strict(message: Any, *, rules: Any, **options: Any) -> Any:
        object.__setattr__(rules, "max_clock_skew", 36 * 3600 * 10_000_000)
        return check(message, rules=rules, **options)

    rules = ["CSSP-SPNEGO-48"]
    assert check_server(m.server(), rules=rules).verdict_of("CSSP-SPNEGO-48") is Verdict.LENIENT
    monkeypatch.setattr(ntlm_acceptor, "check_authenticate", strict)
    assert check_server(m.server(), rules=rules).verdict_of("CSSP-SPNEGO-48") is Verdict.PASS


def test_peers_that_do_not_count(monkeypatch: Patch) -> None:
    def deaf(self: NTLMSession, data: bytes, *, exact: bool = False) -> bytes:
        number = self._incoming.sequence.to_bytes(4, "little")
        return data[:12] + number

    monkeypatch.setattr(NTLMSession, "_open", deaf)
    caught(check_server(m.server(), rules=["CSSP-PKA56-24"]), "PKA56-24")
    caught(check_client(m.client(), rules=["CSSP-PKA56-24"]), "PKA56-24")


# RDP


class Open:
    """An RDP server that stays open after a refusal."""

    ended = False
    complete = False

    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.refusals = peer.refusals

    def start(self) -> bytes:
        return bytes(self.peer.start())

    def step(self, data: bytes) -> bytes:
        try:
            return bytes(self.peer.step(data))
        except CredSSPError as error:
            return error.token

    def eof(self) -> None:
        self.peer.eof()


def test_an_rdp_server_that_stays_open_after_a_failure() -> None:
    target = own_rdp_server()
    make = target.make
    target.make = lambda setup: Open(make(setup))
    target.accepted = lambda link: True  # type: ignore[method-assign]
    caught(check_server(target, rules=["CSSP-NEG-15"]), "NEG-15")


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data[:8] + b"\1" + data[9:],
        lambda data: data[:-6] + b"\x09" + data[-5:],
        lambda data: b"\3\0\0\x14" + data[4:] if len(data) == 19 else b"\3\0\0\x0b" + data[4:],
    ],
)
def test_an_rdp_client_with_a_wrong_request(monkeypatch: Patch, edit: Callable[[bytes], bytes]) -> None:
    encode = ConnectionRequest.encode
    monkeypatch.setattr("credssp.conformance.client_run.ClientRun.baseline", lambda *_, **__: None)
    monkeypatch.setattr(ConnectionRequest, "encode", lambda self: edit(encode(self)))
    caught(check_client(own_rdp_client(), rules=["CSSP-NEG-16"]), "NEG-16")


def test_an_rdp_server_that_stumbles_over_cookies(monkeypatch: Patch) -> None:
    decode = ConnectionRequest.decode

    def strict(tpdu: bytes) -> ConnectionRequest:
        if b"Cookie" in tpdu:
            raise DecodeError("a cookie", field="x224")
        return decode(tpdu)

    monkeypatch.setattr(ConnectionRequest, "decode", strict)
    rules = "NEG-17 NEG-18"
    caught(check_server(own_rdp_server(), rules=full(rules)), rules)


def test_an_rdp_client_that_looks_at_the_reserved_flag(monkeypatch: Patch) -> None:
    check = NLAClient._check

    def strict(self: Any, answer: NegotiationResponse) -> None:
        if int(answer.flags) & 4:
            raise DecodeError("a flag", field="rdpNegRsp")
        check(self, answer)

    monkeypatch.setattr(NLAClient, "_check", strict)
    caught(check_client(own_rdp_client(), rules=["CSSP-NEG-19"]), "NEG-19")


def test_an_rdp_client_that_reads_no_lengths(monkeypatch: Patch) -> None:
    monkeypatch.setattr(
        ConnectionConfirm, "decode", classmethod(lambda cls, _: cls(NegotiationResponse(Protocol.HYBRID)))
    )
    caught(check_client(own_rdp_client(), rules=["CSSP-NEG-20"]), "NEG-20")


def test_an_rdp_server_that_takes_any_request_inside(monkeypatch: Patch) -> None:
    inside = NLAServer._request_inside
    decode = ConnectionRequest.decode

    def anything(self: Any, data: bytes, events: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(
                ConnectionRequest,
                "decode",
                lambda tpdu: dataclasses.replace(
                    decode(tpdu), negotiation=dataclasses.replace(decode(tpdu).negotiation, protocols=Protocol.HYBRID)
                ),
            )
            inside(self, data, events)

    monkeypatch.setattr(NLAServer, "_request_inside", anything)
    caught(check_server(own_rdp_server(), rules=["CSSP-NEG-21"]), "NEG-21")


def test_an_rdp_server_with_negotiation_data_for_nobody(monkeypatch: Patch) -> None:
    def refuse(self: Any, failure: Any, asked: Any) -> None:
        from credssp.rdp.negotiation import NegotiationError, NegotiationFailure

        raise NegotiationError("no", token=ConnectionConfirm(failure or NegotiationFailure(5)).encode())

    monkeypatch.setattr(NLAServer, "_refuse", refuse)
    caught(check_server(own_rdp_server(), rules=["CSSP-NEG-14"]), "NEG-14")


# WinRM


def test_a_winrm_client_that_begins_with_a_token() -> None:
    class Hasty(MemoryWinRMClientTarget):
        def start(self, setup: Setup, front: RdpAnswer) -> Link:
            link: Any = super().start(setup, front)
            following = link.source.next

            def first(timeout: float) -> HttpRequest | None:
                request = following(timeout)
                link.source.next = following
                return dataclasses.replace(request, authorization="CredSSP")

            link.source.next = first
            return link  # type: ignore[no-any-return]

    caught(check_client(Hasty(), rules=["CSSP-WINRM-16"]), "WINRM-16")


def test_winrm_peers_with_other_metadata(monkeypatch: Patch) -> None:
    from credssp.winrm import encryption, server, session

    encrypt = encryption.encrypt

    def untidy(*arguments: Any, **options: Any) -> Any:
        sealed = encrypt(*arguments, **options)
        return dataclasses.replace(sealed, body=sealed.body.replace(b"\tOriginalContent", b"OriginalContent"))

    monkeypatch.setattr(session, "encrypt", untidy)
    caught(check_client(MemoryWinRMClientTarget(), rules=["CSSP-WINRM-17"]), "WINRM-17")
    monkeypatch.undo()
    monkeypatch.setattr(server, "encrypt", untidy)
    with winrm_loopback() as target:
        caught(check_server(target, rules=["CSSP-WINRM-17"]), "WINRM-17")

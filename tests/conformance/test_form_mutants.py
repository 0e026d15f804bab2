"""The catalogue can fail, the rules about forms: SPNEGO and NTLM messages, X.224, and WinRM's metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from credssp.accounts import MemoryAccounts
from credssp.conformance import mutate
from credssp.conformance.http import HttpRequest
from credssp.conformance.links import Link
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rule import Role, Verdict
from credssp.conformance.run import ServerRun
from credssp.conformance.runner import check_client, check_exchanges, check_server
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import NAMES
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.errors import CredSSPError
from credssp.exchange.recorded_login import RecordedLogin
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.rdp.negotiation import NegotiationFailure, NegotiationResponse, Protocol
from credssp.rdp.x224 import ConnectionConfirm
from credssp.spnego import OID, Candidate, NegTokenInit, NegTokenResp
from credssp.wire.ts_request import TSRequest
from tests.conformance import mutants as m
from tests.conformance import scripted
from tests.conformance.broken import breaks
from tests.conformance.http_peers import MemoryWinRMClientTarget
from tests.conformance.ntlm_service import ntlm
from tests.conformance.peers import own_rdp_server, own_server
from tests.conformance.test_mutants import caught, full
from tests.conformance.test_own_peers import winrm_loopback

Patch = pytest.MonkeyPatch


# SPNEGO


def tags(message: TSRequest) -> list[int]:
    """Tags of the members of the SPNEGO token in a message, if there is one."""
    return mutate.spnego_tags((message.nego_tokens or (b"",))[0])


def server_refusing(unwanted: Callable[[TSRequest], bool]) -> Any:
    """A server that refuses messages like these."""

    def heard(message: TSRequest) -> TSRequest:
        return mutate.replaced(message, version=0) if unwanted(message) else message

    return scripted.server(heard=heard)


def client_refusing(unwanted: Callable[[TSRequest], bool]) -> Any:
    """A client that stops at messages like these."""
    return scripted.client(heard=lambda message: mutate.replaced(message, version=0) if unwanted(message) else message)


def test_peers_that_refuse_members_of_later_versions() -> None:
    caught(check_server(server_refusing(lambda each: 0xA9 in tags(each)), rules=["CSSP-SPNEGO-28"]), "SPNEGO-28")
    caught(check_client(client_refusing(lambda each: 0xA9 in tags(each)), rules=["CSSP-SPNEGO-28"]), "SPNEGO-28")


@pytest.mark.parametrize(("rule", "tag"), [("29", 0xA1), ("30", 0xA3)])
def test_a_server_that_looks_at_req_flags_or_hints(rule: str, tag: int) -> None:
    def unwanted(message: TSRequest) -> bool:
        token = (message.nego_tokens or (b"",))[0]
        return token[:1] == b"\x60" and tag in tags(message)

    caught(check_server(server_refusing(unwanted), rules=[f"CSSP-SPNEGO-{rule}"]), f"SPNEGO-{rule}")


def test_a_client_that_follows_a_later_mechanism() -> None:
    def kerberos(message: TSRequest) -> bool:
        token = (message.nego_tokens or (b"",))[0]
        return token[:1] == b"\xa1" and NegTokenResp.decode(token).supported_mech == OID.KERBEROS

    caught(check_client(client_refusing(kerberos), rules=["CSSP-SPNEGO-31"]), "SPNEGO-31")


def test_a_client_that_does_not_obey_request_mic() -> None:
    caught(check_client(scripted.client(mic="none"), rules=["CSSP-SPNEGO-32"]), "SPNEGO-32")


def init_as(change: Callable[[NegTokenInit], bytes]) -> Callable[[ScriptedClient, TSRequest], TSRequest]:
    """Return what puts another NegTokenInit into the first message, where it has one."""

    def edit(peer: ScriptedClient, message: TSRequest) -> TSRequest:
        if not peer.script.in_spnego:
            return message
        token = NegTokenInit.decode((message.nego_tokens or (b"",))[0])
        return mutate.replaced(message, nego_tokens=(change(token),))

    return edit


def test_a_client_without_framing() -> None:
    unframed = init_as(lambda token: dataclasses.replace(token, framed=False).encode())
    caught(check_client(scripted.client(first=unframed), rules=["CSSP-SPNEGO-33"]), "SPNEGO-33")


@pytest.mark.parametrize("change", [{"neg_state": None}, {"supported_mech": "1.2.3.4"}])
def test_a_server_whose_first_reply_is_wrong(change: dict[str, Any]) -> None:
    def edit(token: bytes) -> bytes:
        if token.startswith(b"NTLMSSP"):
            return token
        return dataclasses.replace(NegTokenResp.decode(token), **change).encode()

    caught(check_server(scripted.server(challenge_token=edit), rules=["CSSP-SPNEGO-34"]), "SPNEGO-34")


def test_a_client_with_req_flags() -> None:
    flagged = init_as(lambda token: mutate.spnego_init(token, bytes.fromhex("a10403020640")))
    caught(check_client(scripted.client(first=flagged), rules=["CSSP-SPNEGO-35"]), "SPNEGO-35")


# NTLM


def test_a_client_that_does_not_need_names() -> None:
    caught(check_client(scripted.client(), rules=["CSSP-SPNEGO-36"]), "SPNEGO-36")


def recorded(edit: Callable[[bytes], bytes] = bytes, **ntlm: Any) -> RecordedLogin:
    """A login of the suite's own client, made wrong, as if somebody had recorded it."""
    run = ServerRun(own_server(), {})
    made = run.try_login(ntlm=ntlm).observed().login
    run.close()
    return RecordedLogin(((sender, edit(data)) for sender, data in made.messages), account=made.account)


def judged_as_client(edit: Callable[[bytes], bytes] = bytes, **ntlm: Any) -> Callable[[str], Verdict]:
    """Judge such a login."""
    login = recorded(edit, **ntlm)
    report = check_exchanges([(login, (Role.CLIENT,))], rules=["CSSP-SPNEGO-*"])
    return lambda rule: report.verdict_of(f"CSSP-SPNEGO-{rule}")


@breaks(Role.CLIENT, "SPNEGO-40")
def test_a_client_that_leaves_out_what_it_should_send() -> None:
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


def flags(data: bytes, *, clear: int = 0, add: int = 0) -> bytes:
    """Change the flags of a CHALLENGE."""
    told = int.from_bytes(data[20:24], "little") & ~clear | add
    return data[:20] + told.to_bytes(4, "little") + data[24:]


@pytest.mark.parametrize(
    ("rule", "edit"),
    [
        ("41", lambda data: flags(data, clear=0x20000000)),
        ("41", lambda data: flags(data, clear=0x8000)),
        ("42", lambda data: data[:32] + b"\1" + data[33:]),
        ("42", lambda data: data[:-4] + b"\x08\0\0\0"),
        ("43", lambda data: flags(data, add=0x80)),
    ],
)
def test_servers_with_a_wrong_challenge(rule: str, edit: Callable[[bytes], bytes]) -> None:
    target = scripted.server(mechanisms=ntlm(challenge=edit))
    caught(check_server(target, rules=[f"CSSP-SPNEGO-{rule}"]), f"SPNEGO-{rule}")


@pytest.mark.parametrize(
    ("rule", "fault"),
    [("44", "flags"), ("45", "key"), ("47", "domain")],
    ids=["looks at no character set", "looks at no session key", "looks at no domain"],
)
def test_a_server_without_a_check_of_ntlm(rule: str, fault: str) -> None:
    """No character set, no session key; and a response without the domain, which is not taken."""
    target = scripted.server(mechanisms=ntlm(**{fault: False}))
    caught(check_server(target, rules=[f"CSSP-SPNEGO-{rule}"]), f"SPNEGO-{rule}")


def test_a_server_to_which_case_matters() -> None:
    class Exact:
        def find(self, domain: str, username: str) -> Any:
            store = MemoryAccounts({(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password})
            return store.find(domain, username) if username == TEST_ACCOUNT.username else ()

    caught(check_server(m.server(accounts=Exact()), rules=["CSSP-SPNEGO-46"]), "SPNEGO-46")


def test_a_server_that_knows_max_lifetime() -> None:
    def strict(_: object) -> list[Candidate]:
        limit = 36 * 3600
        return [Candidate("ntlm", OID.NTLM, lambda: NTLMAcceptor(m.ACCOUNTS, target=NAMES, max_clock_skew=limit))]

    rules = ["CSSP-SPNEGO-48"]
    assert check_server(m.server(), rules=rules).verdict_of("CSSP-SPNEGO-48") is Verdict.LENIENT
    report = check_server(scripted.server(mechanisms=strict), rules=rules)
    assert report.verdict_of("CSSP-SPNEGO-48") is Verdict.PASS


def uncounted(message: TSRequest) -> TSRequest:
    """A pubKeyAuth under the number that is due, whatever it has."""
    data = message.pub_key_auth
    return message if data is None else mutate.replaced(message, pub_key_auth=data[:12] + bytes(4) + data[16:])


def test_peers_that_do_not_count() -> None:
    caught(check_server(scripted.server(heard=uncounted), rules=["CSSP-PKA56-24"]), "PKA56-24")
    caught(check_client(scripted.client(heard=uncounted), rules=["CSSP-PKA56-24"]), "PKA56-24")


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
def test_an_rdp_client_with_a_wrong_request(edit: Callable[[bytes], bytes]) -> None:
    target = scripted.client(rdp=edit(scripted.REQUEST.encode()))
    caught(check_client(target, rules=["CSSP-NEG-16"]), "NEG-16")


def test_an_rdp_server_that_stumbles_over_cookies() -> None:
    rules = "NEG-17 NEG-18"
    target = scripted.server(rdp=lambda frame: b"" if b"Cookie" in frame else scripted.confirm(frame))
    caught(check_server(target, rules=full(rules)), rules)


def rdp_client(confirmed: Callable[[bytes], bool]) -> Any:
    return scripted.client(rdp=scripted.REQUEST.encode(), confirmed=confirmed)


def test_an_rdp_client_that_looks_at_the_reserved_flag() -> None:
    def strict(frame: bytes) -> bool:
        chosen = ConnectionConfirm.decode(frame[4:]).negotiation
        return isinstance(chosen, NegotiationResponse) and not int(chosen.flags) & 4

    caught(check_client(rdp_client(strict), rules=["CSSP-NEG-19"]), "NEG-19")


def test_an_rdp_client_that_reads_no_lengths() -> None:
    caught(check_client(rdp_client(lambda _: True), rules=["CSSP-NEG-20"]), "NEG-20")


def test_an_rdp_server_that_takes_any_request_inside() -> None:
    hybrid = ConnectionConfirm(NegotiationResponse(Protocol.HYBRID)).encode()
    caught(
        check_server(scripted.server(rdp=scripted.confirm, inside=lambda _: hybrid), rules=["CSSP-NEG-21"]), "NEG-21"
    )


def test_an_rdp_server_with_negotiation_data_without_a_request() -> None:
    refusal = ConnectionConfirm(NegotiationFailure(5)).encode()
    asked = scripted.REQUEST.encode()

    def answer(frame: bytes) -> bytes:
        return scripted.confirm(frame) if len(frame) == len(asked) else refusal

    caught(check_server(scripted.server(rdp=answer), rules=["CSSP-NEG-14"]), "NEG-14")


def test_scripted_rdp_peers_without_a_fault_pass() -> None:
    rules = full("NEG-14 NEG-15 NEG-17 NEG-18 NEG-21")
    report = check_server(scripted.server(rdp=scripted.confirm), rules=rules)
    assert [result.verdict for result in report.results] == [Verdict.PASS] * len(rules), report.explain()
    rules = full("NEG-16 NEG-19 NEG-20")
    report = check_client(rdp_client(scripted.takes), rules=rules)
    assert [result.verdict for result in report.results] == [Verdict.PASS] * len(rules), report.explain()


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


@breaks(Role.SERVER, "WINRM-17")
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

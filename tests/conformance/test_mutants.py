"""The catalogue can fail: every peer that is wrong in one way is caught by the rules about that."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from credssp.accounts import MemoryAccounts
from credssp.conformance import mutate
from credssp.conformance.ntlm import NTLMClient
from credssp.conformance.rule import Verdict
from credssp.conformance.run import ServerRun
from credssp.conformance.runner import check_client, check_server
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.errors import AuthenticationError
from credssp.ntlm.flags import NTLMSSP_NEGOTIATE_SEAL
from credssp.ntlm.session import NTLMSession
from credssp.wire.ts_request import TSRequest
from tests.conformance import mutants as m
from tests.conformance import scripted
from tests.conformance.mutants import CLIENTS, SERVERS, Make
from tests.conformance.ntlm_service import ntlm
from tests.conformance.peers import own_rdp_client

BAD = {Verdict.FAIL, Verdict.HANG, Verdict.CRASH}


def ids(mutants: list[tuple[str, Any, str]]) -> list[str]:
    return [name for name, _, _ in mutants]


def caught(report: Any, rules: str) -> None:
    assert not report.trouble
    for rule in rules.split():
        verdict = report.verdict_of(f"CSSP-{rule}")
        assert verdict in BAD, f"CSSP-{rule} says {verdict.value}"


def full(rules: str) -> list[str]:
    return [f"CSSP-{rule}" for rule in rules.split()]


@pytest.mark.parametrize(("name", "make", "rules"), SERVERS, ids=ids(SERVERS))
def test_a_wrong_server_is_caught(name: str, make: Make, rules: str) -> None:
    caught(check_server(make(), rules=full(rules)), rules)


@pytest.mark.parametrize(("name", "make", "rules"), CLIENTS, ids=ids(CLIENTS))
def test_a_wrong_client_is_caught(name: str, make: Make, rules: str) -> None:
    caught(check_client(make(), rules=full(rules)), rules)


def test_scripted_peers_without_a_fault_pass_the_rules_that_catch_the_faults() -> None:
    # What catches our contexts; and the scripted server closes without an alert where a version has no errorCode.
    other = {"TLS-02", "TLS-03", "CRED-06", "TLS-06"}
    servers = sorted({rule for _, _, rules in SERVERS for rule in rules.split()} - other)
    clients = sorted({rule for _, _, rules in CLIENTS for rule in rules.split()} - other)
    for report, rules in (
        (check_server(scripted.server(), rules=full(" ".join(servers))), servers),
        (check_client(scripted.client(), rules=full(" ".join(clients))), clients),
    ):
        assert not report.trouble
        assert {rule for rule in rules if report.verdict_of(f"CSSP-{rule}") is not Verdict.PASS} == set()


def test_a_hang_is_a_verdict_of_its_own() -> None:
    report = check_server(m.server(peer=m.Hanging), rules=["CSSP-TSREQ-03"])
    assert report.verdict_of("CSSP-TSREQ-03") is Verdict.HANG


def test_a_crash_is_a_verdict_of_its_own() -> None:
    report = check_server(m.server(peer=m.Crashing), rules=["CSSP-TSREQ-03"])
    assert report.verdict_of("CSSP-TSREQ-03") is Verdict.CRASH
    assert "IndexError" in report.explain()


# NTLM and SPNEGO


def test_a_server_that_does_not_verify_mics() -> None:
    caught(check_server(scripted.server(mechanisms=ntlm(mic=False)), rules=["CSSP-SPNEGO-15"]), "SPNEGO-15")


class AnyMechListMIC(NTLMSession):
    """Counts the server's mechListMIC, and does not look at it."""

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        theirs = NTLMSession(self.exported_session_key, role="acceptor")
        super().verify_mech_list_mic(mech_types, theirs.make_mech_list_mic(mech_types))


class Careless(NTLMClient):
    def answer(self, token: bytes) -> bytes:
        message = super().answer(token)
        self.session = AnyMechListMIC(self.session.exported_session_key, role="initiator")
        return message


def careless(peer: ScriptedClient) -> NTLMClient:
    return Careless(account=peer.account, target_name=peer.target_name)


def test_peers_that_do_not_verify_the_mech_list() -> None:
    rules = "SPNEGO-05 SPNEGO-08"
    caught(check_server(scripted.server(mechanisms=ntlm(mech_list_mic=False)), rules=full(rules)), rules)
    caught(check_client(scripted.client(inner=careless), rules=["CSSP-SPNEGO-05"]), "SPNEGO-05")


def test_clients_that_wait_for_the_servers_mech_list_mic_before_they_bind() -> None:
    rules = ["CSSP-SPNEGO-05", "CSSP-SPNEGO-06"]
    report = check_client(scripted.client(separate_key=True), rules=rules)
    assert [r.verdict for r in report.results] == [Verdict.PASS, Verdict.PASS], report.explain()
    caught(check_client(scripted.client(separate_key=True, inner=careless), rules=rules), "SPNEGO-05")


def test_a_last_token_that_comes_again_beside_pub_key_auth_counts_once() -> None:
    last: list[bytes] = []

    def remembered(token: bytes | None) -> bytes | None:
        last.extend(filter(None, [token]))
        return token

    def again(_: ScriptedServer, message: TSRequest) -> TSRequest:
        return mutate.replaced(message, nego_tokens=(last[-1],))

    run = ServerRun(scripted.server(last_token=remembered, key=again), {})
    login = run.try_login(form="spnego", separate_key=True)
    assert len(last) == 1
    assert login.key_answered
    assert login.server_is_right


def signed_only(peer: ScriptedClient, value: bytes) -> bytes:
    """As a client has it that agreed to no SEAL."""
    assert isinstance(peer.inner, NTLMClient)
    challenge = peer.observed().login.ntlm.challenge_message
    if challenge is not None and challenge.flags & NTLMSSP_NEGOTIATE_SEAL:
        return peer.wrap(value)
    return peer.inner.session.get_mic(value) + value


def test_a_client_that_does_not_look_at_challenges() -> None:
    sealing = check_client(scripted.client(), rules=["CSSP-SPNEGO-19"])
    assert sealing.verdict_of("CSSP-SPNEGO-19") is Verdict.LENIENT
    caught(check_client(scripted.client(seal_key=signed_only), rules=["CSSP-SPNEGO-19"]), "SPNEGO-19")


def test_a_server_that_tells_unknown_users_apart() -> None:
    telling = ntlm(unknown=AuthenticationError("no such user", ntstatus=0xC0000064))
    caught(check_server(scripted.server(mechanisms=telling), rules=["CSSP-ERR-17"]), "ERR-17")


# RDP


def test_an_rdp_server_with_a_result_for_everybody() -> None:
    target = scripted.server(rdp=scripted.confirm, result=lambda *_: scripted.AUTHORIZED)
    caught(check_server(target, rules=["CSSP-EUA-06"]), "EUA-06")


def test_an_rdp_server_without_a_result() -> None:
    rules = "EUA-07 EUA-09"
    target = scripted.server(rdp=scripted.confirm, result=lambda *_: b"")
    caught(check_server(target, rules=full(rules)), rules)


def test_a_scripted_rdp_server_passes_the_rules_about_the_result() -> None:
    rules = ["CSSP-EUA-06", "CSSP-EUA-07", "CSSP-EUA-09"]
    report = check_server(scripted.server(rdp=scripted.confirm), rules=rules)
    assert [result.verdict for result in report.results] == [Verdict.PASS] * 3, report.explain()


ANY_CONFIRM: dict[str, Any] = {"rdp": scripted.REQUEST.encode(), "confirmed": lambda _: True}


def test_an_rdp_client_that_does_not_check_the_answer() -> None:
    rules = "NEG-06 NEG-13"
    report = check_client(scripted.client(**ANY_CONFIRM), rules=[*full(rules), "CSSP-NEG-08"])
    caught(report, rules)
    # It sends three empty strings: nothing was given away.
    assert report.verdict_of("CSSP-NEG-08") is Verdict.LENIENT


def test_an_rdp_client_that_ignores_the_result() -> None:
    rules = "EUA-02 EUA-03"
    caught(check_client(scripted.client(rdp=scripted.REQUEST.encode()), rules=full(rules)), rules)


def test_an_rdp_client_that_delegates_in_restricted_admin_mode() -> None:
    rules = "CRED-05 NEG-08"
    target = own_rdp_client()
    make = target.make
    target.make = lambda setup: make(dataclasses.replace(setup, restricted_admin=False))
    caught(check_client(target, rules=full(rules)), rules)


def test_a_server_that_refuses_everybody_is_not_judged() -> None:
    report = check_server(m.server(accounts=MemoryAccounts({})))
    assert not report.ok
    assert report.results == ()
    assert "no good login works" in report.explain()

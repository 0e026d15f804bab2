"""The catalogue can fail: every peer that is wrong in one way is caught by the rules about that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from credssp.conformance.memory import MemoryServerTarget
from credssp.conformance.rule import Verdict
from credssp.conformance.runner import check_client, check_server
from credssp.errors import AuthenticationError
from credssp.ntlm import acceptor as ntlm_acceptor
from credssp.ntlm.messages import Challenge
from credssp.ntlm.session import NTLMSession
from credssp.rdp.client import NLAClient
from credssp.rdp.server import NLAServer
from credssp.tls.settings import ServerTLS
from tests.conformance import mutants as m

BAD = {Verdict.FAIL, Verdict.HANG, Verdict.CRASH}

SERVERS: list[tuple[str, Callable[[], MemoryServerTarget], str]] = [
    ("takes any pubKeyAuth", lambda: m.server(m.NoVerification),
     "PKA24-02 PKA24-10 PKA56-04 PKA56-17 PKA56-22 PKA56-23"),
    ("no nonce, old form", lambda: m.server(m.FormByNonce), "PKA24-09 PKA24-10 PKA56-10"),
    ("any size of nonce", lambda: m.server(m.AnyNonce), "PKA56-11"),
    ("any version", lambda: m.server(m.AnyVersion), "VER-09 VER-11 VER-13"),
    ("echoes in errors", lambda: m.server(m.Echo), "ERR-04 ERR-16"),
    ("errorCode without a sign", lambda: m.server(m.FiveOctets), "ERR-05"),
    ("no errorCode", lambda: m.server(m.Mute), "ERR-01 ERR-02"),
    ("answers with the client's hash", lambda: m.server(m.SameHash), "PKA56-03 PKA24-03 VER-03 VER-05 PKA56-13"),
    ("takes any authInfo", lambda: m.server(m.AnyCredentials), "CRED-07 CRED-08 CRED-09 VER-13"),
    ("version 7", lambda: m.server(m.Version7), "VER-01"),
    ("version that changes", lambda: m.server(m.Restless), "VER-02"),
    ("waits after errors", lambda: m.server(peer=m.Hanging),
     "TSREQ-03 TSREQ-13 TSREQ-16 TSREQ-21 TSREQ-24 PKA56-04 ERR-17 TLS-06 CRED-07 ERR-03"),
    ("crashes after errors", lambda: m.server(peer=m.Crashing),
     "TSREQ-03 TSREQ-13 TSREQ-16 TSREQ-21 PKA56-09 CRED-07 ERR-01 SPNEGO-03"),
    ("messages in pieces", lambda: m.server(peer=m.Slicing), "TSREQ-18"),
    ("long lengths", lambda: m.server(peer=m.LongLengths), "TSREQ-01"),
    ("resumes sessions", lambda: m.server(tls=ServerTLS(resumption=True)), "TLS-02"),
    ("TLS 1.2 only", lambda: m.server(tls=ServerTLS(maximum="1.2")), "TLS-03"),
    ("up to version 4", lambda: m.server(max_version=4), "VER-09"),
]  # fmt: skip

CLIENTS: list[tuple[str, Callable[[], Any], str]] = [
    ("does not verify the server", lambda: m.client(m.Trusting),
     "CRED-01 PKA24-04 PKA24-05 PKA24-06 PKA56-05 PKA56-06 PKA56-07 PKA56-08 PKA56-16 TLS-07"),
    ("takes its own octets back", lambda: m.client(m.Mirror), "PKA56-07"),
    ("takes either form", lambda: m.client(m.EitherForm), "PKA24-04 PKA24-05 PKA56-06 PKA56-16"),
    ("the same nonce", lambda: m.client(m.SameNonce), "PKA56-01"),
    ("deaf to errorCode", lambda: m.client(m.Deaf), "ERR-08"),
    ("credentials with pubKeyAuth", lambda: m.client(m.Hasty), "CRED-02 CRED-04"),
    ("texts with U+0000", lambda: m.client(m.Terminated), "CRED-03"),
    ("no lowest version", lambda: m.client(m.OldFriend), "VER-10 VER-11 VER-14"),
    ("the last token alone", lambda: m.client(m.Alone), "SPNEGO-09"),
    ("the server's nonce", lambda: m.client(m.ForeignNonce), "PKA56-14"),
    ("binds to something else", lambda: m.client(m.WholeCertificateKey), "PKA24-01 PKA56-02 VER-03 VER-07"),
    ("more than one set of credentials", lambda: m.client(m.SpareTuple), "CRED-19"),
    ("no policy", lambda: m.client(policy=None, delegate=True), "CRED-06"),
    ("crashes", lambda: m.client(peer=m.Crashing), "TSREQ-03 PKA56-05 ERR-06"),
    ("messages in pieces", lambda: m.client(peer=m.Slicing), "TSREQ-18"),
    ("long lengths", lambda: m.client(peer=m.LongLengths), "TSREQ-01"),
]  # fmt: skip


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
def test_a_wrong_server_is_caught(name: str, make: Callable[[], MemoryServerTarget], rules: str) -> None:
    caught(check_server(make(), rules=full(rules)), rules)


@pytest.mark.parametrize(("name", "make", "rules"), CLIENTS, ids=ids(CLIENTS))
def test_a_wrong_client_is_caught(name: str, make: Callable[[], Any], rules: str) -> None:
    caught(check_client(make(), rules=full(rules)), rules)


def test_a_hang_is_a_verdict_of_its_own() -> None:
    report = check_server(m.server(peer=m.Hanging), rules=["CSSP-TSREQ-03"])
    assert report.verdict_of("CSSP-TSREQ-03") is Verdict.HANG


def test_a_crash_is_a_verdict_of_its_own() -> None:
    report = check_server(m.server(peer=m.Crashing), rules=["CSSP-TSREQ-03"])
    assert report.verdict_of("CSSP-TSREQ-03") is Verdict.CRASH
    assert "IndexError" in report.explain()


# Mutants below the engine, and around it


def test_a_server_that_does_not_verify_mics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ntlm_acceptor, "verify_mic", lambda *_: None)
    caught(check_server(m.server(), rules=["CSSP-SPNEGO-15"]), "SPNEGO-15")


def test_a_server_that_does_not_verify_the_mech_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(self: NTLMSession, mech_types: bytes, mic: bytes) -> None:
        self._incoming.mech_list_signature(mech_types)

    monkeypatch.setattr(NTLMSession, "verify_mech_list_mic", verify)
    rules = "SPNEGO-05 SPNEGO-08"
    caught(check_server(m.server(), rules=full(rules)), rules)
    caught(check_client(m.client(), rules=["CSSP-SPNEGO-05"]), "SPNEGO-05")


def test_a_client_that_does_not_look_at_challenges(monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.ntlm import initiator as ntlm_initiator

    def unchecked(token: bytes) -> Any:
        challenge = Challenge.decode(token)
        return challenge, challenge.target_info

    monkeypatch.setattr(ntlm_initiator, "_check_challenge", unchecked)
    monkeypatch.setattr(ntlm_initiator, "NTLMSession", lambda key, flags, *, role: NTLMSession(key, role=role))
    sealing = check_client(m.client(), rules=["CSSP-SPNEGO-19"])
    assert sealing.verdict_of("CSSP-SPNEGO-19") is Verdict.LENIENT

    class SignOnly(NTLMSession):
        def wrap(self, data: bytes) -> bytes:
            return self.get_mic(data) + data

    def as_negotiated(key: bytes, flags: int, *, role: Any) -> NTLMSession:
        return (NTLMSession if flags & 0x20 else SignOnly)(key, role=role)

    monkeypatch.setattr(ntlm_initiator, "NTLMSession", as_negotiated)
    caught(check_client(m.client(), rules=["CSSP-SPNEGO-19"]), "SPNEGO-19")


def test_a_server_that_tells_unknown_users_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    find = ntlm_acceptor.NTLMAcceptor._find

    def telling(self: Any, domain: str, username: str) -> Any:
        found = find(self, domain, username)
        if not found:
            raise AuthenticationError("no such user", ntstatus=0xC0000064)
        return found

    monkeypatch.setattr(ntlm_acceptor.NTLMAcceptor, "_find", telling)
    caught(check_server(m.server(), rules=["CSSP-ERR-17"]), "ERR-17")


def test_an_rdp_server_with_a_result_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.conformance.peers import own_rdp_server

    authorize = NLAServer.authorize

    def always(self: NLAServer, result: Any) -> Any:
        events = authorize(self, result)
        assert self.context is not None
        self._output.append(self.context.wrap(b"\0\0\0\0"))
        return events

    monkeypatch.setattr(NLAServer, "authorize", always)
    caught(check_server(own_rdp_server(), rules=["CSSP-EUA-06"]), "EUA-06")


def test_an_rdp_server_without_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.conformance.peers import own_rdp_server

    def never(self: NLAServer, result: Any) -> Any:
        self._complete(self._early, [])
        return []

    monkeypatch.setattr(NLAServer, "authorize", never)
    rules = "EUA-07 EUA-09"
    caught(check_server(own_rdp_server(), rules=full(rules)), rules)


def test_an_rdp_client_that_does_not_check_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.conformance.peers import own_rdp_client

    monkeypatch.setattr(NLAClient, "_check", lambda self, answer: None)
    rules = "NEG-06 NEG-13"
    report = check_client(own_rdp_client(), rules=[*full(rules), "CSSP-NEG-08"])
    caught(report, rules)
    # It sends three empty strings: nothing was given away.
    assert report.verdict_of("CSSP-NEG-08") is Verdict.LENIENT


def test_an_rdp_client_that_ignores_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.conformance.peers import own_rdp_client
    from credssp.rdp.early_user_authorization import EarlyUserAuthorization

    monkeypatch.setattr(
        EarlyUserAuthorization, "decode", classmethod(lambda cls, data: EarlyUserAuthorization.AUTHZ_SUCCESS)
    )
    rules = "EUA-02 EUA-03"
    caught(check_client(own_rdp_client(), rules=full(rules)), rules)


def test_an_rdp_client_that_delegates_in_restricted_admin_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.conformance import peers

    real = peers.NLAClient

    class Wrong(real):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["restricted_admin"] = False
            super().__init__(*arguments, **options)

    monkeypatch.setattr(peers, "NLAClient", Wrong)
    rules = "CRED-05 NEG-08"
    caught(check_client(peers.own_rdp_client(), rules=full(rules)), rules)


def test_a_server_that_refuses_everybody_is_not_judged() -> None:
    from credssp.accounts import MemoryAccounts

    report = check_server(m.server(accounts=MemoryAccounts({})))
    assert not report.ok
    assert report.results == ()
    assert "no good login works" in report.explain()

"""The suite over Kerberos: our own peers in every form pass, and wrong ones are caught."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from credssp.conformance import Account, check_client, check_server
from credssp.conformance.catalogue import CATALOGUE
from credssp.conformance.kerberos import TicketSource, read_service_keys
from credssp.conformance.result import Report
from credssp.conformance.rule import Role, Verdict
from credssp.conformance.runner import SUITE_FAILED
from credssp.conformance.scripted_server import ScriptedServer, certificate_of
from credssp.errors import AuthenticationError, LocalProtocolError
from credssp.kerberos.tickets import service_ticket
from credssp.kerberos.values import EncryptionKey
from credssp.secret import Secret
from credssp.spnego.initiator import SpnegoInitiator
from credssp.tls.end_point import end_point_bindings
from credssp.wire.ts_request import TSRequest
from tests.cli.test_winrm import served as winrm
from tests.conformance.broken import breaks
from tests.conformance.controls import delegated_user, needs_a_kdc
from tests.conformance.mutants import client_hash, mute
from tests.conformance.peers import own_kerberos_client, own_kerberos_server
from tests.conformance.test_own_peers import LENIENT
from tests.kdc import REALM
from tests.kerberos import mutants as m
from tests.kerberos.conftest import PASSWORD, Lab

pytestmark = pytest.mark.interop

TARGET = "TERMSRV/localhost"
ALICE = Account("alice", PASSWORD, REALM)
BAD = {Verdict.FAIL, Verdict.HANG, Verdict.CRASH}


def tickets(lab: Lab) -> TicketSource:
    return TicketSource(ALICE, ccache=lab.ccache)


def judged(report: Report, side: Role, *, skipped: frozenset[str] = frozenset()) -> None:
    assert report.ok, report.explain()
    assert not [r for r in report.results if SUITE_FAILED in r.outcome.detail]
    assert {r.rule.id for r in report.results if r.verdict is Verdict.LENIENT} <= LENIENT.keys()
    wanted = {rule.id for rule in CATALOGUE.rules if rule.area == "KRB" and side in rule.role.sides}
    tried = {r.rule.id for r in report.results if r.rule.area == "KRB" and r.verdict is not Verdict.SKIP}
    assert tried == wanted - skipped


def own_server(lab: Lab, **options: Any) -> Report:
    target = own_kerberos_server(ALICE, keytab=str(lab.keytab), tickets=tickets(lab), target_name=TARGET, **options)
    return check_server(target, rules=["CSSP-KRB-4?"] if options else ())


def own_client(lab: Lab, *, bare: bool = False) -> Report:
    keys = read_service_keys(str(lab.keytab))
    return check_client(own_kerberos_client(ALICE, service_keys=keys, target_name=TARGET, bare=bare))


def test_our_server(lab: Lab) -> None:
    report = own_server(lab)
    judged(report, Role.SERVER)
    assert report.verdict_of("CSSP-CRED-16") is Verdict.PASS  # the one rule outside of KRB that needs Kerberos


@pytest.mark.parametrize("bare", [False, True])
def test_our_client(lab: Lab, bare: bool) -> None:
    report = own_client(lab, bare=bare)
    judged(report, Role.CLIENT, skipped=frozenset({"CSSP-KRB-30", "CSSP-KRB-37"} if bare else ()))
    # With Kerberos, what needs no NTLM is tried as well.
    assert report.verdict_of("CSSP-PKA24-04") is report.verdict_of("CSSP-CRED-01") is Verdict.PASS


def test_every_rule_that_needs_a_kdc_has_a_peer_that_keeps_it(lab: Lab) -> None:
    bindings = end_point_bindings(certificate_of("").der)
    reports = (
        own_server(lab),
        own_server(lab, channel_bindings=bindings, cbt_hardening="relaxed"),
        own_client(lab),
    )
    kept = {(each.rule.id, each.side) for report in reports for each in report.results if each.verdict is Verdict.PASS}
    wanted = {(case.rule.id, case.side) for case in CATALOGUE.cases if needs_a_kdc(case)}
    assert wanted - kept == set()


@breaks(Role.CLIENT, "KRB-37")
def test_a_client_that_follows_to_ntlm_without_a_proof_is_caught(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpnegoInitiator, "_check_mic_not_missing", lambda self: None)
    keys = read_service_keys(str(lab.keytab))
    target = own_kerberos_client(ALICE, service_keys=keys, target_name=TARGET)
    caught(check_client(target, rules=["CSSP-KRB-37"]), "KRB-37", "")


def bare_kerberos(_: ScriptedServer, message: TSRequest) -> bool:
    """Whether a token is Kerberos' without SPNEGO around it."""
    token = (message.nego_tokens or (b"",))[0]
    return token[:1] == b"\x60" and OID_OF_SPNEGO not in token[:16]


OID_OF_SPNEGO = bytes.fromhex("06062b0601050502")
SERVERS: list[tuple[str, dict[str, Any], str, str]] = [
    ("looks at nothing", {}, "KRB-05 KRB-06", "KRB-08 KRB-09 KRB-10 KRB-11 KRB-12 KRB-41 KRB-43 KRB-44 KRB-45"),
    ("believes the credentials", {"who": delegated_user}, "KRB-46", ""),
    ("refuses channel bindings", {"change": "no bindings"}, "KRB-40", ""),
    ("repeats another time", {"answer": "other time"}, "KRB-03", ""),
    ("wrong flags", {"change": "wrong flags"}, "KRB-17", ""),
    ("signed alone", {"change": "signed alone"}, "KRB-38", ""),
    ("another number", {"change": "other number"}, "KRB-39", ""),
    ("a wrong hash", {"key_value": client_hash}, "KRB-01 KRB-18 KRB-19 CRED-16", ""),
    ("stumbles over bare Kerberos", {"stumbles": bare_kerberos}, "KRB-02", ""),
    ("undoes one rotation only", {"change": "takes only Windows' turn"}, "KRB-14", ""),
    ("takes its own", {"change": "takes its own"}, "KRB-15", ""),
    ("no sequence", {"change": "no sequence"}, "", "KRB-16"),
    ("any mechListMIC", {"change": "any mechListMIC"}, "KRB-20", ""),
    ("no mechListMIC", {"heard": m.without_mic}, "KRB-21", ""),
    ("looks at no mechListMIC", {"heard": m.no_mic_heard, "change": "no sequence"}, "", "KRB-22"),
    ("waits after errors", {"hangs": True, "refusal": mute}, "KRB-04 KRB-07 KRB-13 KRB-23", ""),
]

CLIENTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("wants no proof", {"mutual": False}, "KRB-24", ""),
    ("wants no sealing", {"flags": 0x0E}, "KRB-25", ""),
    ("other channel bindings", {"bindings": b"\xb1" * 16}, "KRB-42", ""),
    ("forwards", {"flags": 0x3F}, "", "KRB-27"),
    ("takes any time", {"change": "takes any time"}, "KRB-29", ""),
    ("goes on whatever comes", {"change": "no matter what"}, "KRB-28 KRB-31", ""),
    ("signed will do", {}, "", "KRB-32"),
    ("undoes one rotation only", {"change": "takes only Windows' turn"}, "KRB-33", ""),
    ("signed alone", {"change": "signed alone"}, "KRB-38", ""),
    ("another number", {"change": "other number"}, "KRB-39", ""),
    ("always a subkey", {"change": "always a subkey"}, "KRB-34", ""),
    ("no sequence", {"change": "no sequence"}, "", "KRB-35"),
    ("takes its own", {"change": "takes its own"}, "KRB-36", ""),
    ("waits for a token", {"form": "spnego-kerberos"}, "KRB-30", ""),
]


def ids(mutants: list[tuple[str, dict[str, Any], str, str]]) -> list[str]:
    return [name for name, *_ in mutants]


def caught(report: Report, bad: str, lenient: str) -> None:
    assert not report.trouble, report.trouble
    for rule in bad.split():
        assert report.verdict_of(f"CSSP-{rule}") in BAD, rule
    for rule in lenient.split():
        assert report.verdict_of(f"CSSP-{rule}") is Verdict.LENIENT, rule


@pytest.mark.parametrize(("name", "options", "bad", "lenient"), SERVERS, ids=ids(SERVERS))
def test_a_wrong_server_is_caught(lab: Lab, name: str, options: dict[str, Any], bad: str, lenient: str) -> None:
    target = m.server(ALICE, read_service_keys(str(lab.keytab)), tickets(lab), TARGET, **options)
    caught(check_server(target, rules=[f"CSSP-{rule}" for rule in f"{bad} {lenient}".split()]), bad, lenient)


@pytest.mark.parametrize(("name", "options", "bad", "lenient"), CLIENTS, ids=ids(CLIENTS))
def test_a_wrong_client_is_caught(lab: Lab, name: str, options: dict[str, Any], bad: str, lenient: str) -> None:
    target = m.client(ALICE, read_service_keys(str(lab.keytab)), tickets(lab), TARGET, **options)
    caught(check_client(target, rules=[f"CSSP-{rule}" for rule in f"{bad} {lenient}".split()]), bad, lenient)


@breaks(Role.CLIENT, "KRB-26")
def test_a_client_with_a_ticket_for_another_service_is_caught(lab: Lab) -> None:
    lab.realm.add("cifs/localhost")
    keys = read_service_keys(str(lab.realm.keytab("cifs.keytab", "cifs/localhost")))
    target = m.client(ALICE, keys, tickets(lab), "cifs/localhost")
    caught(check_client(target, rules=["CSSP-KRB-26"]), "KRB-26", "")


# The command


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", PASSWORD)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["conformance", *arguments])
    out, error = capsys.readouterr()
    assert PASSWORD not in out + error
    return code, out, error


def test_a_winrm_server_over_http(lab: Lab, capsys: pytest.CaptureFixture[str], password: None) -> None:
    who = ("-u", "alice", "-d", REALM, "--rule", "CSSP-KRB-*", "--json")
    keys = ("--keytab", str(lab.keytab))
    with winrm(*keys) as (url, _):
        for way in (("--kerberos",), ("--ccache", lab.ccache)):
            code, out, error = run(
                capsys, "server", f"{url.replace('127.0.0.1', 'localhost')}/wsman", *who, *way, *keys
            )
            assert code == 0, out + error
            assert error == ""
            verdicts = {result["rule"]: result["verdict"] for result in json.loads(out)["results"]}
            assert verdicts.pop("CSSP-KRB-22", "") in ("pass", "lenient")
            # Over http there is no other TLS, to which a login could be bound.
            assert (verdicts.pop("CSSP-KRB-40"), verdicts.pop("CSSP-KRB-41")) == ("skip", "skip")
            assert verdicts.pop("CSSP-KRB-46") == "skip"  # it does not say who has logged on
            assert set(verdicts.values()) == {"pass"}, verdicts
            assert len(verdicts) == 27


def test_what_goes_wrong_before_anything_is_judged(
    lab: Lab, capsys: pytest.CaptureFixture[str], password: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    who = ("-u", "alice", "-d", REALM)
    with winrm("--keytab", str(lab.keytab)) as (url, _):
        named = f"{url.replace('127.0.0.1', 'localhost')}/wsman"
        for target, options, reason in (
            (f"{url}/wsman", ("--kerberos",), "IP address"),
            ("rdp://127.0.0.1:1", ("--kerberos",), "IP address"),
            (named, ("--ccache", str(tmp_path / "none")), "ticket"),
            (named, ("--kerberos", "--spn", "HTTP/unknown.example.test"), "not found in Kerberos database"),
        ):
            code, out, error = run(capsys, "server", target, *who, *options)
            assert code == 2
            assert reason in out + error
            assert "crash" not in out
        monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
        code, out, error = run(capsys, "server", named, *who, "--kerberos")
        assert code == 2
        assert "no Kerberos ticket" in out + error
    code, out, error = run(capsys, "server", "rdp://127.0.0.1", *who, "--keytab", str(lab.keytab))
    assert (code, out) == (2, "")
    assert "--keytab of a server has no effect without --kerberos" in error
    for keytab in (tmp_path / "none", tmp_path):
        code, out, error = run(capsys, "client", *who, "--keytab", str(keytab), "--exec", "true {host} {port}")
        assert code == 2
        assert "keytab" in error
        assert len(error.splitlines()) == 1


def test_tickets_for_no_host_and_keys_from_no_file(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match="IP address"):
        tickets(lab)("TERMSRV/127.0.0.1")
    with pytest.raises(AuthenticationError, match="keytab"):
        read_service_keys(str(tmp_path / "none"))
    once = tickets(lab)
    assert once(TARGET) is once(TARGET)


def test_tickets_of_a_type_that_the_suite_does_not_know(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def old(*arguments: Any) -> Any:
        found = service_ticket(*arguments)
        return dataclasses.replace(found, key=EncryptionKey(23, Secret(bytes(16))))

    monkeypatch.setattr("credssp.conformance.kerberos.tickets.service_ticket", old)
    target = own_kerberos_server(ALICE, keytab=str(lab.keytab), tickets=tickets(lab), target_name=TARGET)
    report = check_server(target)
    assert not report.results
    assert "encryption type 23" in report.trouble


def test_a_client_whose_ticket_opens_with_no_key_is_told_apart(lab: Lab) -> None:
    keys = [key for key in read_service_keys(str(lab.keytab)) if key.service.startswith("host/")]
    report = check_client(own_kerberos_client(ALICE, service_keys=keys, target_name=TARGET))
    assert "no key that opens the ticket for TERMSRV/localhost" in report.trouble

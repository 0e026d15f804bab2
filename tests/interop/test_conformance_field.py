"""A few rules of the conformance suite against other people's peers; all of them are run by fixtures/judge_field.py."""

from __future__ import annotations

import importlib.util

import pytest

from credssp.conformance import Report, Verdict, check_client, check_server
from credssp.conformance.judging import SUITE_FAILED
from credssp.testing.domain import obstacle
from tests.peers import require_module, require_program

pytestmark = pytest.mark.interop
needs_kerberos = pytest.mark.skipif(
    importlib.util.find_spec("gssapi") is None or importlib.util.find_spec("krb5") is None,
    reason="Python has no GSS-API here (pip install 'credssp[kerberos]')",
)

FEW = ["CSSP-VER-03", "CSSP-PKA56-04", "CSSP-PKA56-05", "CSSP-CRED-01", "CSSP-SPNEGO-02", "CSSP-SPNEGO-07"]


def test_pyspnego_in_both_roles() -> None:
    require_module("spnego")
    from fixtures import field_peers

    with field_peers.pyspnego_accounts():
        server = check_server(field_peers.pyspnego_server(), rules=[*FEW, "CSSP-PKA56-10"])
        client = check_client(field_peers.pyspnego_client(), rules=FEW)
    # Known, see docs/reference/field-results.md: the form of the binding goes by the presence of clientNonce.
    assert server.verdict_of("CSSP-PKA56-10") is Verdict.FAIL
    assert [r.rule.id for r in server.results if r.matters] == ["CSSP-PKA56-10"]
    assert client.ok, client.explain()
    assert client.verdict_of("CSSP-CRED-01") is Verdict.PASS


def test_freerdp_in_both_roles(display: str) -> None:
    require_program("xfreerdp")
    require_program("freerdp-shadow-cli")
    from fixtures import field_peers

    with field_peers.freerdp_server(display) as target:
        server = check_server(target, rules=FEW)
    client = check_client(field_peers.freerdp_client(display), rules=["CSSP-CRED-01", "CSSP-PKA56-02", "CSSP-NEG-01"])
    assert server.ok, server.explain()
    assert client.ok, client.explain()
    assert client.verdict_of("CSSP-CRED-01") is Verdict.PASS


# What used to end the run, or was judged wrongly: a pubKeyAuth that is not the server's, one that comes back, several
# connections, numbers that begin anywhere. The whole catalogue takes minutes: fixtures/judge_field.py.
FREERDP_3 = ["CSSP-VER-0[3568]", "CSSP-SPNEGO-01", "CSSP-ERR-0[134]", "CSSP-ERR-17", "CSSP-TLS-0[26]"]


def whole(report: Report, count: int) -> None:
    assert not report.trouble
    assert len(report.results) >= count
    assert not [r for r in report.results if SUITE_FAILED in r.outcome.detail]


def test_freerdp_3_server(display: str) -> None:
    require_program("freerdp-shadow-cli3")
    from fixtures import field_peers

    with field_peers.freerdp3_server(display, timeout=10.0) as target:
        report = check_server(target, rules=FREERDP_3, seed="1", repeat=2)
    whole(report, 11)
    # Version 4 gets zeros in place of the key plus 1; in SPNEGO, pubKeyAuth beside the last token comes back.
    failed = {r.rule.id for r in report.results if r.matters}
    assert failed == {"CSSP-VER-06", "CSSP-SPNEGO-01"}, report.explain()
    for rule in ("CSSP-ERR-03", "CSSP-ERR-04", "CSSP-ERR-17", "CSSP-TLS-02", "CSSP-VER-05"):
        assert report.verdict_of(rule) is Verdict.PASS, report.explain()
    assert not [r.rule.id for r in report.results if r.varies]


def test_freerdp_3_client() -> None:
    require_program("xfreerdp3")
    from fixtures import field_peers

    rules = ["CSSP-CRED-01", "CSSP-PKA56-02", "CSSP-NEG-01", "CSSP-ERR-06", "CSSP-EUA-0[1-5]"]
    with field_peers.freerdp3_client() as target:
        report = check_client(target, rules=rules)
    assert report.ok, report.explain()
    # It shows by its next PDU, or by its close, what it makes of the Early User Authorization Result.
    assert {r.rule.id: r.verdict for r in report.results if r.verdict is not Verdict.PASS} == {}
    assert len(report.results) == 9


@needs_kerberos
def test_freerdp_3_with_kerberos(display: str) -> None:
    require_program("freerdp-shadow-cli3")
    require_program("xfreerdp3")
    from fixtures import field_kerberos

    with field_kerberos.lab() as lab:
        with field_kerberos.freerdp3_server(lab, display) as server:
            served = check_server(server, rules=["CSSP-KRB-*"])
        with field_kerberos.freerdp3_client(lab) as client:
            report = check_client(client, rules=["CSSP-KRB-*"])
    whole(served, 23)
    whole(report, 15)
    # RRC 0 is refused by both, and the server ends SPNEGO with zeros; without a subkey of the service the client says
    # that there is one.
    assert _numbers(served, Verdict.FAIL) == "14 19 23"
    assert _numbers(report, Verdict.FAIL) == "33 34"
    # It counts from 0 whatever AP-REQ says, and does not ask for order.
    assert "39" in _numbers(report, Verdict.LENIENT)


def test_hydra() -> None:
    require_program("hydra")
    from fixtures import field_peers

    # FreeRDP 2 or 3 is in it, by the Debian release; these hold for both.
    with field_peers.hydra_client() as target:
        report = check_client(target, rules=["CSSP-CRED-01", "CSSP-PKA56-0[25]", "CSSP-NEG-01", "CSSP-ERR-08"])
    assert report.ok, report.explain()
    assert {r.verdict for r in report.results} == {Verdict.PASS}


def test_aardwolf() -> None:
    require_module("aardwolf")
    from fixtures import field_peers

    with field_peers.aardwolf_client() as target:
        report = check_client(target, rules=["CSSP-CRED-01", "CSSP-PKA56-05", "CSSP-SPNEGO-37", "CSSP-EUA-0[123]"])
    # Known: no MIC, and a result without a name lets it in.
    assert {r.rule.id for r in report.results if r.verdict is not Verdict.PASS} == {"CSSP-SPNEGO-37", "CSSP-EUA-03"}


@needs_kerberos
def test_aardwolf_with_kerberos() -> None:
    require_module("aardwolf")
    require_program("kvno")
    from fixtures import field_kerberos

    with field_kerberos.lab() as lab, field_kerberos.aardwolf_client(lab) as target:
        report = check_client(target, rules=["CSSP-CRED-01", "CSSP-KRB-2[45678]"])
    whole(report, 6)
    # Known: it does not ask for mutual authentication.
    assert _numbers(report, Verdict.FAIL) == "24 25"


@needs_kerberos
def test_rdesktop() -> None:
    require_program("rdesktop")
    from fixtures import field_kerberos

    rules = ["CSSP-CRED-01", "CSSP-PKA24-04", "CSSP-KRB-2[45678]", "CSSP-KRB-34"]
    with field_kerberos.lab() as lab, field_kerberos.rdesktop(lab) as target:
        report = check_client(target, rules=rules)
    assert report.ok, report.explain()
    # Known: it forwards a ticket besides.
    assert report.verdict_of("CSSP-KRB-27") is Verdict.LENIENT
    others = {r.rule.id: r.verdict for r in report.results if r.rule.id != "CSSP-KRB-27"}
    assert set(others.values()) == {Verdict.PASS}, others


@needs_kerberos
def test_pyspnego_with_kerberos() -> None:
    from fixtures import field_kerberos

    with field_kerberos.lab() as lab:
        server = check_server(field_kerberos.pyspnego_server(lab), rules=["CSSP-KRB-*"])
        client = check_client(field_kerberos.pyspnego_client(lab), rules=["CSSP-KRB-2?", "CSSP-KRB-3[0-6]"])
    # Known, see docs/reference/field-results.md: refusals that stumble, messages that need not be encrypted, bindings
    # that are not compared.
    assert _numbers(server, Verdict.CRASH) == "04 05 06 07 08 09 23"
    assert _numbers(server, Verdict.LENIENT) == "10 11 12 41"
    assert _numbers(server, Verdict.FAIL) == "19"
    assert client.ok, client.explain()
    assert _numbers(client, Verdict.LENIENT) == "32"


def _numbers(report: Report, verdict: Verdict) -> str:
    return " ".join(r.rule.id.rpartition("-")[2] for r in report.results if r.verdict is verdict)


@pytest.mark.parametrize("library", ["pywinrm", "pypsrp"])
def test_winrm_clients_over_requests_credssp(library: str) -> None:
    for module in ("winrm", "pypsrp", "requests_credssp"):
        require_module(module)
    from fixtures import field_peers

    known = {
        "CSSP-TSREQ-13": Verdict.CRASH,  # pyspnego's IndexError
        "CSSP-ERR-10": Verdict.FAIL,  # three of five codes have the same text
    }
    if library == "pywinrm":
        known["CSSP-WINRM-06"] = Verdict.FAIL  # its trailer length is that of TLS 1.2
    few = ["CSSP-PKA56-05", "CSSP-SPNEGO-05", "CSSP-VER-10", "CSSP-WINRM-0[2-8]", *known]
    report = check_client(field_peers.winrm_client(library), rules=few)
    assert not report.trouble
    assert {r.rule.id: r.verdict for r in report.results if r.matters} == known, report.explain()
    # What needs another command line, and what the program says, is judged too.
    for rule in ("CSSP-PKA56-05", "CSSP-SPNEGO-05", "CSSP-VER-10", "CSSP-WINRM-07", "CSSP-WINRM-08"):
        assert report.verdict_of(rule) is Verdict.PASS, rule


def test_ironrdp() -> None:
    from fixtures import field_peers

    few = ["CSSP-CRED-01", "CSSP-PKA56-0[25]", "CSSP-ERR-10", "CSSP-EUA-0[12]", "CSSP-NEG-16"]
    report = check_client(field_peers.ironrdp_client(), rules=few)
    # It names the reason of a refusal, and goes on after CredSSP.
    assert {r.rule.id: r.verdict for r in report.results if r.verdict is not Verdict.PASS} == {}, report.explain()
    assert len(report.results) == 7


def test_sspi_rs_in_both_roles() -> None:
    require_module("sspilib")
    from fixtures import field_sspi

    client = check_client(field_sspi.client(), rules=field_sspi.RULES)
    # Its Negotiate waits for the server's mechListMIC before it binds, and checks it.
    for rule in ("CSSP-SPNEGO-05", "CSSP-SPNEGO-06", "CSSP-SPNEGO-27"):
        assert client.verdict_of(rule) is Verdict.PASS, client.explain()
    assert _numbers(client, Verdict.FAIL) == "18 36 38 59"
    server = check_server(field_sspi.server(), rules=["CSSP-SPNEGO-02", "CSSP-SPNEGO-21", "CSSP-SPNEGO-22"])
    assert {r.verdict for r in server.results} == {Verdict.PASS}, server.explain()


@needs_kerberos
@pytest.mark.skipif(bool(obstacle()), reason=f"no domain: {obstacle()}")
def test_sspi_rs_with_kerberos() -> None:
    require_module("sspilib")
    from fixtures import field_sspi

    report = field_sspi.kerberos_report("1")
    whole(report, 39)
    # Its numbers have four bytes whatever they are, which is not DER: the login is judged all the same.
    assert report.verdict_of("CSSP-KRB-24") is Verdict.PASS
    assert _numbers(report, Verdict.FAIL) == "29 33 34"


@pytest.mark.parametrize("connection", ["winrm", "psrp"])
def test_ansible(connection: str) -> None:
    from fixtures import field_peers
    from tests.ansible.controller import LATEST

    few = ["CSSP-PKA56-05", "CSSP-SPNEGO-05", "CSSP-VER-10", "CSSP-WINRM-02"]
    with field_peers.ansible_client(connection, LATEST) as target:
        report = check_client(target, rules=few)
    assert report.ok, report.explain()
    # pywinrm's Protocol has no argument for the lowest version.
    skipped = {r.rule.id for r in report.results if r.verdict is Verdict.SKIP}
    assert skipped == ({"CSSP-VER-10"} if connection == "winrm" else set())


def test_xrdp_has_no_credssp_to_judge() -> None:
    require_program("xrdp")
    from fixtures import field_peers

    with field_peers.xrdp_server() as target:
        report = check_server(target, rules=["CSSP-NEG-02", "CSSP-NEG-04", "CSSP-NEG-14", "CSSP-VER-01"])
    assert report.trouble == "no good login works: the server selects no CredSSP: it answered PROTOCOL_SSL"
    found = {result.rule.id: result.verdict for result in report.results}
    assert found == {"CSSP-NEG-02": Verdict.FAIL, "CSSP-NEG-04": Verdict.PASS, "CSSP-NEG-14": Verdict.PASS}


def test_nmap_ends_behind_challenge() -> None:
    require_program("nmap")
    from fixtures import field_peers

    report = check_client(field_peers.nmap_client())
    assert report.trouble.endswith("a good login with version 6: closed after the server's first token")
    assert report.results == ()

"""A run goes on whatever a peer does, names the case in which it died, and can be repeated."""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from credssp.cli import main
from credssp.cli._conformance_command import command_line
from credssp.cli.conformance import _Progress, configure
from credssp.conformance import CATALOGUE, Report, Result, Verdict, check_client, check_server, mutate, program
from credssp.conformance.chance import drawn_from, octets
from credssp.conformance.liveness import listener_gone
from credssp.conformance.lookups import name_server_of
from credssp.conformance.memory import TEST_ACCOUNT, MemoryServerTarget
from credssp.conformance.rdp import CommandTarget, RdpServerTarget
from credssp.conformance.report import as_html, as_json, as_text
from credssp.conformance.scripted_server import ScriptedServer
from credssp.conformance.server_program import ServerProgram
from credssp.errors import LocalProtocolError
from credssp.wire.ts_request import TSRequest
from tests.conformance import mutants as m
from tests.conformance import scripted
from tests.kdc import free_port

ROOT = Path(__file__).parent.parent.parent
SERVER = f"{sys.executable} -m tests.conformance.mortal_server {{port}}"
RULES = ["CSSP-PKA56-10", "CSSP-PKA56-11", "CSSP-PKA56-13", "CSSP-PKA56-17", "CSSP-TLS-03"]


@pytest.fixture
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def verdicts(report: Report) -> dict[str, str]:
    return {result.rule.id[5:]: result.verdict.value for result in report.results}


# A message of the peer that does not verify


def spoilt(_: object, data: bytes) -> bytes:
    return data[:5] + bytes((data[5] ^ 1,)) + data[6:]


def test_a_client_whose_mic_does_not_verify_is_told_so() -> None:
    versions: list[int] = []

    def heard(message: TSRequest) -> TSRequest:
        versions.append(message.version)
        return message

    def key(_: object, message: TSRequest) -> TSRequest:
        if versions[-1] <= 6:
            return message
        token = message.nego_tokens[0]
        return mutate.replaced(message, nego_tokens=(token[:80] + bytes((token[80] ^ 1,)) + token[81:],))

    report = check_client(scripted.client(form="ntlm", heard=heard, key=key), rules=["CSSP-VER-03"])
    (result,) = report.results
    assert result.verdict is Verdict.FAIL
    assert "the MIC does not match" in result.outcome.detail
    assert "pubKeyAuth" not in result.outcome.detail


def test_a_server_whose_pub_key_auth_does_not_verify_is_judged_to_the_end() -> None:
    report = check_server(scripted.server(key_octets=spoilt))
    assert not report.trouble
    assert len(report.results) > 100
    assert report.verdict_of("CSSP-VER-05") is Verdict.FAIL
    assert "the server's pubKeyAuth is wrong" in report.explain()


def test_a_client_whose_auth_info_does_not_verify_is_judged_to_the_end() -> None:
    report = check_client(scripted.client(auth_octets=lambda data: spoilt(None, data)))
    assert not report.trouble
    assert len(report.results) > 100


def echo(server: ScriptedServer, message: TSRequest) -> TSRequest:
    """As a server answers that edits what it received, and forgets to."""
    sent = server.key_message
    return mutate.replaced(message, pub_key_auth=None if sent is None else sent.pub_key_auth)


def test_a_client_that_gets_its_own_pub_key_auth_back_was_not_taken() -> None:
    report = check_server(scripted.server(key=echo))
    assert report.trouble.startswith("no good login works")
    assert "the client's own pubKeyAuth" in report.trouble


def echo_refusals(message: TSRequest, version: int, _: int) -> bytes:
    """As FreeRDP 3 refuses where it has no errorCode: with the client's own pubKeyAuth, and a close."""
    return TSRequest(6, pub_key_auth=message.pub_key_auth).encode() if version < 6 else b""


def test_a_refusal_that_repeats_the_clients_pub_key_auth_is_a_refusal_all_the_same() -> None:
    rules = ["CSSP-ERR-03", "CSSP-ERR-04", "CSSP-PKA24-02"]
    report = check_server(scripted.server(refusal=echo_refusals), rules=rules)
    assert verdicts(report) == {"ERR-03": "pass", "ERR-04": "pass", "PKA24-02": "pass"}


def varied_echo(message: TSRequest, _: int, status: int) -> bytes:
    return TSRequest(6, error_code=status, pub_key_auth=message.pub_key_auth).encode()


def test_unknown_users_are_not_told_apart_by_the_clients_own_bytes() -> None:
    """The two logins have different pubKeyAuths, which this server sends back; a user sees the same refusal."""
    same = check_server(scripted.server(refusal=varied_echo), rules=["CSSP-ERR-17"])
    assert same.verdict_of("CSSP-ERR-17") is Verdict.PASS
    numbers = itertools.count()

    def other(_: TSRequest, __: int, status: int) -> bytes:
        return TSRequest(6, error_code=status, pub_key_auth=bytes((next(numbers),))).encode()

    different = check_server(scripted.server(refusal=other), rules=["CSSP-ERR-17"])
    assert different.verdict_of("CSSP-ERR-17") is Verdict.FAIL


# Servers of version 4 and lower


def test_a_server_of_version_4_is_judged_by_the_rules_about_its_versions() -> None:
    report = check_server(scripted.server(version=4), rules=["CSSP-VER-*", "CSSP-PKA*"])
    assert [result.rule.id for result in report.results if result.matters] == ["CSSP-VER-15"]
    assert report.verdict_of("CSSP-VER-15") is Verdict.FAIL
    for number in ("04", "10", "11", "12", "13", "17", "21", "22", "23"):
        assert report.verdict_of(f"CSSP-PKA56-{number}") is Verdict.SKIP
    assert report.verdict_of("CSSP-PKA24-02") is Verdict.PASS


def test_what_the_target_cannot_be_set_up_to_is_not_the_peers_fault() -> None:
    report = check_server(m.server(max_version=4), rules=["CSSP-VER-09"])
    (result,) = report.results
    assert result.verdict is Verdict.SKIP
    assert result.outcome.detail.startswith("could not be tried: ")


# Servers that die


@pytest.mark.usefixtures("_at_the_root")
def test_a_server_that_dies_is_named_in_that_rule_and_started_again() -> None:
    port = free_port()
    with ServerProgram(SERVER, "127.0.0.1", port) as started:
        target = RdpServerTarget("127.0.0.1", port, TEST_ACCOUNT, timeout=10, program=started)
        report = check_server(target, rules=RULES)
    assert not report.trouble
    assert verdicts(report) == {
        "PKA56-10": "pass", "PKA56-11": "crash", "PKA56-13": "pass", "PKA56-17": "pass", "TLS-03": "pass",
    }  # fmt: skip
    assert "the server ended by SIGABRT" in report.explain()
    assert listener_gone("127.0.0.1", port)


@pytest.mark.usefixtures("_at_the_root")
def test_a_server_that_stays_away_is_blamed_once() -> None:
    port = free_port()
    with ServerProgram(SERVER, "127.0.0.1", port):
        report = check_server(RdpServerTarget("127.0.0.1", port, TEST_ACCOUNT, timeout=10), rules=RULES)
    assert verdicts(report) == {
        "PKA56-10": "pass", "PKA56-11": "crash", "PKA56-13": "skip", "PKA56-17": "skip", "TLS-03": "skip",
    }  # fmt: skip
    details = {result.rule.id[5:]: result.outcome.detail for result in report.results}
    assert details["PKA56-11"] == "the server ended: its port takes no connection any more"
    assert details["TLS-03"].startswith("the server is gone since CSSP-PKA56-11: it did not come back")


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("", "the server's command line is empty"),
        ("'", "the server's command line cannot be read: No closing quotation"),
        ("/no/such/program", "/no/such/program cannot be started: No such file or directory"),
        ("sh -c 'echo broken >&2; exit 3'", "the server ended with exit code 3 before it listened: broken"),
        ("sh -c 'kill -ABRT $$'", "the server ended by SIGABRT before it listened"),
    ],
)
def test_a_server_that_cannot_be_started_is_an_error_of_the_caller(command: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError) as caught, ServerProgram(command, "127.0.0.1", free_port()):
        pass
    assert caught.value.message == problem


def test_a_port_in_use_is_not_taken_for_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        started = ServerProgram("sleep 5", "127.0.0.1", other.getsockname()[1])
        assert "already" in started.start()


@pytest.mark.usefixtures("_at_the_root")
def test_the_command_starts_the_server_and_stops_it() -> None:
    port = free_port()
    command = [sys.executable, "-m", "credssp", "conformance", "server", f"rdp://127.0.0.1:{port}", "-u", "alice"]
    command += ["-d", "LAB", "--server-exec", SERVER, "--rule", "CSSP-PKA56-11", "--repeat", "2", "--json"]
    environment = dict(os.environ, CREDSSP_PASSWORD=TEST_ACCOUNT.password.reveal())
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    (result,) = json.loads(done.stdout)["results"]
    assert result["verdicts"] == ["crash", "crash"]
    assert listener_gone("127.0.0.1", port)


# The same run again


def test_random_values_of_each_purpose_come_from_the_seed() -> None:
    def drawn(seed: str, purpose: str) -> bytes:
        with drawn_from(seed, purpose):
            return octets(16)

    assert drawn("1", "a") == drawn("1", "a")
    assert len({drawn("1", "a"), drawn("1", "b"), drawn("2", "a")}) == 3
    assert octets(16) != octets(16)


def nonces(seed: str) -> list[bytes]:
    found = []
    report = check_server(scripted.server("key"), rules=["CSSP-PKA56-22"], seed=seed)
    (result,) = report.results
    for item in result.outcome.evidence:
        message = TSRequest.decode(item.data) if item.sender == "client" and item.data else None
        if message is not None and message.client_nonce is not None:
            found.append(message.client_nonce)
    return found


def test_the_same_seed_sends_the_same_nonces_and_the_report_says_it() -> None:
    assert nonces("7") == nonces("7") != []
    assert nonces("7") != nonces("8")
    report = check_server(scripted.server(), rules=["CSSP-VER-01"])
    assert len(report.facts["seed"]) == 8
    assert as_text(report).endswith(f"repeat this run with --seed {report.facts['seed']}")


def moody() -> MemoryServerTarget:
    """A server that takes a wrong pubKeyAuth every second time."""
    turns = itertools.cycle((scripted.server(), scripted.server("key")))
    target = scripted.server()
    target.make = lambda setup: next(turns).make(setup)
    return target


def test_repeated_runs_list_what_varies() -> None:
    report = check_server(moody(), rules=["CSSP-PKA56-22", "CSSP-VER-01"], repeat=3)
    found = {result.rule.id: result for result in report.results}
    varying, steady = found["CSSP-PKA56-22"], found["CSSP-VER-01"]
    assert set(varying.verdicts) <= {Verdict.PASS, Verdict.FAIL}
    assert len(varying.verdicts) == len(steady.verdicts) == 3
    assert varying.varies == (len(set(varying.verdicts)) > 1)
    assert not steady.varies
    assert json.loads(as_json(report))["results"][0]["verdicts"] == ["pass"] * 3


def test_the_worst_verdict_of_several_runs_counts() -> None:
    from credssp.conformance.repeat import merged
    from credssp.conformance.rule import Outcome, Role

    def run(verdict: Verdict, trouble: str = "") -> Report:
        result = Result(CATALOGUE["CSSP-VER-01"], Role.SERVER, Outcome(verdict, "seen"))
        return Report("peer", "server", () if trouble else (result,), trouble, {"seed": "1"})

    report = merged([run(Verdict.PASS), run(Verdict.HANG), run(Verdict.PASS)])
    assert report.verdict_of("CSSP-VER-01") is Verdict.HANG
    assert "not the same in all 3 runs: CSSP-VER-01" in as_text(report)
    assert "varies    pass, hang, pass" in as_text(report)
    assert merged([run(Verdict.PASS), run(Verdict.PASS, "closed")]).trouble == "in 1 of 2 runs: closed"


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def streams() -> tuple[Terminal, io.StringIO]:
    return Terminal(), io.StringIO()


def test_progress_is_shown_on_a_terminal_and_erased(
    monkeypatch: pytest.MonkeyPatch, streams: tuple[Terminal, io.StringIO]
) -> None:
    terminal, file = streams
    for stream in streams:
        monkeypatch.setattr(sys, "stderr", stream)
        with _Progress(quiet=False, verbose=False) as progress:
            check_server(scripted.server("key"), rules=RULES, on_case=progress.case, on_result=progress.result)
    lines = terminal.getvalue().split("\r")[1:]
    assert lines[0].startswith("1/5 CSSP-PKA56-10 version 6 without a nonce")
    assert lines[-2].startswith("5/5 CSSP-TLS-03 TLS 1.2 and 1.3, ")
    assert "finding" in lines[-2]
    assert lines[-1] == "\x1b[K"
    assert file.getvalue() == ""


# Name look-ups of a client

LOOKING = """
import socket, sys, time
port, server, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
    query.connect(("127.0.0.1", server))
    query.send(b"where is the KDC?")
    time.sleep(seconds)
import credssp
from credssp.rdp import connect
connect("127.0.0.1", port, credentials=credssp.PasswordCredentials({user!r}, {password!r}, domain={domain!r}),
        mechanism="ntlm").close()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the sockets of a program")
@pytest.mark.parametrize(("patience", "judged"), [(60.0, True), (0.5, False)])
def test_time_in_which_a_client_waits_for_a_name_server_is_not_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float, judged: bool
) -> None:
    account = TEST_ACCOUNT
    script = tmp_path / "client.py"
    names = {"user": account.username, "password": account.password.reveal(), "domain": account.domain}
    script.write_text(LOOKING.format(**names))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        monkeypatch.setattr(program, "name_server_of", lambda pid: name_server_of(pid, ports=frozenset({port})))
        monkeypatch.setattr(program, "_LOOKUP", patience)
        target = CommandTarget(
            shlex.join([sys.executable, str(script), "{port}", str(port), "7"]), account, timeout=20, start_timeout=5
        )
        report = check_client(target, rules=["CSSP-NEG-01"])
    if judged:
        assert verdicts(report) == {"NEG-01": "pass"}, report.explain()
    else:
        assert "did not connect within" in report.trouble


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the sockets of a program")
def test_a_name_server_is_found_for_programs_of_the_session_alone() -> None:
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as silent,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as own,
    ):
        silent.bind(("::1", 0))
        port = silent.getsockname()[1]
        own.connect(("::1", port))
        wanted = frozenset({port})
        assert name_server_of(os.getsid(0), ports=wanted) == f"::1:{port}"
        assert name_server_of(os.getsid(0), ports=frozenset({1})) == ""
        assert name_server_of(2**22 + 1, ports=wanted) == ""


# Options without effect


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["vectors", "--junit", "x.xml"],
            "--junit has no effect with vectors: it is for server, client, fixtures",
        ),
        (["vectors", "--html", "x.html"], "--html has no effect with vectors"),
        (["vectors", "--expected", "x.toml"], "--expected has no effect with vectors"),
        (["vectors", "folder"], "a target has no effect with vectors"),
        (
            ["server", "localhost", "-u", "a", "--exec", "x {port}"],
            "--exec has no effect with server: it is for client",
        ),
        (["client", "-u", "a", "--server-exec", "x"], "--server-exec has no effect with client: it is for server"),
        (["fixtures", "--seed", "1"], "--seed has no effect with fixtures: it is for server, client"),
        (["server", "localhost", "-u", "a", "--repeat", "0"], "--repeat is a number of runs, 1 or more"),
    ],
)
def test_options_that_have_no_effect_are_refused(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conformance", *arguments]) == 2
    assert problem in capsys.readouterr().err


# The report


def test_the_report_begins_with_its_verdict_and_what_harms_users() -> None:
    report = check_server(scripted.server("key", version=7), rules=["CSSP-VER-01", "CSSP-PKA56-22"], seed="1")
    report = dataclasses.replace(report, facts=report.facts | {"command": "credssp conformance server x --seed 1"})
    text = as_text(report).splitlines()
    assert text[0] == "scripted server (server): 2 findings (1 SECURITY, 1 MUST)"
    assert text[2] == "credssp conformance server x --seed 1"
    found = [line.split(" ")[:2] for line in text if line.startswith("FAIL ")]
    assert found == [["FAIL", "CSSP-PKA56-22"], ["FAIL", "CSSP-VER-01"]]
    assert "  try again credssp conformance server x --seed 1 --rule CSSP-PKA56-22" in text
    assert check_server(scripted.server(), rules=["CSSP-VER-01"]).verdict == "no findings"
    assert Report("peer", "server", (), "closed").verdict == "not judged"
    page = as_html([report])
    assert "<strong>2 findings (1 SECURITY, 1 MUST)</strong>" in page
    assert page.index("<h3>fail: CSSP-PKA56-22,") < page.index("<h3>fail: CSSP-VER-01,")


@pytest.mark.parametrize("quoted", ["/p:it\\'s", "'/p:it'\"'\"'s'", '"/p:it\'s"'])
def test_the_command_of_a_report_can_be_typed_again_and_hides_the_password(quoted: str) -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    command = f"xfreerdp /v:{{host}}:{{port}} {quoted}"
    arguments = parser.parse_args(["client", "-u", "alice", "--exec", command, "--timeout", "9", "--rule", "CSSP-*"])
    shown = shlex.split(command_line(arguments, seed="1", hidden="it's"))
    assert shown[:6] == ["credssp", "conformance", "client", "-u", "alice", "--exec"]
    assert shlex.split(shown[6]) == ["xfreerdp", "/v:{host}:{port}", "/p:********"]
    assert shown[7:] == ["--timeout", "9", "--seed", "1"]

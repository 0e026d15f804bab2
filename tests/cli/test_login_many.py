"""``credssp login`` at many servers: that one wrong password is tried once, and what is printed and written."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from credssp import Account, CallbackAccounts
from credssp.cli import main
from credssp.engine import Direction
from credssp.lsa.opened import CertificateRule
from credssp.nt_hash import nt_hash
from credssp.status import NTStatus
from credssp.testing import RDPServer
from credssp.testing.server_faults import ServerFaults
from credssp.wire.ts_request import TSRequest
from tests.lsa.agents import fingerprint, opened, running_agent, server_certificate

PASSWORD = "correct horse"
ACCOUNTS = {("LAB", "alice"): PASSWORD}
USER = ("-u", "LAB\\alice")


@dataclass
class Farm:
    """Servers at 127.0.0.1 and the following addresses, on one port.

    Attributes:
        servers: in the order of their addresses.
        proofs: addresses of servers that got a proof of a password, in the order in which they did.
    """

    servers: list[RDPServer] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)

    def targets(self, *, dead: int = 0) -> list[str]:
        """Return the arguments for all of them, and for addresses without a server."""
        return [f"127.0.0.1-{len(self.servers) + dead}", "--port", str(self.servers[0].port)]

    def url(self, number: int) -> str:
        return f"rdp://127.0.0.{number}:{self.servers[0].port}"

    def clear(self) -> None:
        self.proofs.clear()
        for server in self.servers:
            server.clear()


@contextmanager
def farm(count: int, accounts: Any = None, **options: Any) -> Iterator[Farm]:
    built = Farm()
    with ExitStack() as stack:
        for number in range(1, count + 1):
            host = f"127.0.0.{number}"

            def see(direction: Direction, message: TSRequest, data: bytes, host: str = host) -> None:
                if direction is Direction.RECEIVED and message.pub_key_auth is not None:
                    built.proofs.append(host)

            port = built.servers[0].port if built.servers else 0
            server = RDPServer(accounts or ACCOUNTS, host=host, port=port, observer=see, hold=0.05, **options)
            built.servers.append(stack.enter_context(server))
        yield built


@pytest.fixture(scope="module")
def three() -> Iterator[Farm]:
    with farm(3) as built:
        yield built


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", PASSWORD)
    if "three" in request.fixturenames:
        request.getfixturevalue("three").clear()


def results(out: str) -> dict[str, dict[str, Any]]:
    """Return the lines of ``--json`` by target."""
    lines = [json.loads(line) for line in out.splitlines()]
    assert len({line["target"] for line in lines}) == len(lines)
    return {line["target"]: line for line in lines}


def outcomes(out: str) -> dict[str, str]:
    return {target.partition("//")[2].partition(":")[0]: line["outcome"] for target, line in results(out).items()}


def test_logins_that_are_all_accepted(three: Farm, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["login", *USER, *three.targets()]) == 0
    out, err = capsys.readouterr()
    for server in three.servers:
        server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)
    lines = out.splitlines()
    assert lines[0].split() == ["target", "outcome", "mechanism", "CredSSP", "TLS", "seconds", "why"]
    assert {tuple(line.split()[:5]) for line in lines[2:]} == {
        (three.url(number), "accepted", "ntlm", "6", "1.3") for number in (1, 2, 3)
    }
    assert err.startswith("3 targets in ")
    assert err.endswith(": 3 accepted\n")


def test_a_wrong_password_is_tried_once(
    three: Farm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    assert main(["login", *USER, "--json", *three.targets(dead=2)]) == 1
    out, err = capsys.readouterr()
    assert three.proofs == ["127.0.0.1"], "the first target is the one that is tried"
    found = results(out)
    assert len(found) == 5
    refused = found.pop(three.url(1))
    assert (refused["outcome"], refused["refused_by"], refused["accepted"]) == ("refused", "server", False)
    assert refused["status"]["name"] == "STATUS_LOGON_FAILURE"
    # Those that are not there may be found before or after the refusal.
    for line in found.values():
        if line["outcome"] == "not_tried":
            assert line["reason"] == f"{three.url(1)} refused the login: STATUS_LOGON_FAILURE 0xC000006D"
            assert line["status"] is None
        else:
            assert line["outcome"] == "no_login"
    assert {found[three.url(number)]["outcome"] for number in (2, 3)} == {"not_tried"}
    assert ": 1 refused, " in err
    assert " not tried" in err
    assert "wrong" not in out.replace("password is wrong", "")


def test_a_table_says_why_targets_were_not_tried(
    three: Farm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    assert main(["login", *USER, *three.targets()]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "STATUS_LOGON_FAILURE" in lines[2]
    assert [line.split()[1:] for line in lines[3:5]] == [["not", "tried"]] * 2
    assert lines[-1].startswith(f"2 not tried: {three.url(1)} refused the login: STATUS_LOGON_FAILURE")


def test_keep_going_tries_all(three: Farm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    assert main(["login", *USER, "--json", "--keep-going", *three.targets()]) == 1
    assert sorted(three.proofs) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert set(outcomes(capsys.readouterr().out).values()) == {"refused"}


def test_addresses_without_a_server_judge_nothing(three: Farm, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(three.servers[0].port)
    # The first targets are the dead ones.
    assert main(["login", *USER, "--json", "127.0.0.8-9", *three.targets(), "--port", port]) == 3
    assert outcomes(capsys.readouterr().out) == {
        "127.0.0.8": "no_login",
        "127.0.0.9": "no_login",
        "127.0.0.1": "accepted",
        "127.0.0.2": "accepted",
        "127.0.0.3": "accepted",
    }


@pytest.mark.parametrize("name", ["STATUS_ACCOUNT_LOCKED_OUT", "STATUS_ACCOUNT_DISABLED", "STATUS_PASSWORD_EXPIRED"])
def test_an_account_that_may_not_log_on_ends_the_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    account = Account("LAB", "alice", nt_hash(PASSWORD), NTStatus[name])
    with farm(3, {("LAB", "alice"): account}, tell_lockout=True) as built:
        assert main(["login", *USER, "--json", *built.targets()]) == 1
        assert built.proofs == ["127.0.0.1"]
    lines = results(capsys.readouterr().out)
    assert lines[built.url(1)]["status"]["name"] == name
    assert name in lines[built.url(3)]["reason"]


def test_a_user_who_may_not_log_on_at_one_server_may_at_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    with farm(2) as built, RDPServer(ACCOUNTS, host="127.0.0.9", authorize=lambda *_: False) as denying:
        assert main(["login", *USER, "--json", denying.url, *built.targets()]) == 1
    assert outcomes(capsys.readouterr().out) == {
        "127.0.0.9": "refused",
        "127.0.0.1": "accepted",
        "127.0.0.2": "accepted",
    }


def test_a_refusal_after_an_accepted_login_ends_the_run_too(capsys: pytest.CaptureFixture[str]) -> None:
    with farm(1) as built, RDPServer({("LAB", "alice"): "another"}, host="127.0.0.9") as other:
        words = ["--concurrency", "1", built.url(1), other.url, f"{other.url}/x".removesuffix("/x"), built.url(1)]
        assert main(["login", *USER, "--csv", *words]) == 1
        assert len(built.proofs) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["outcome"] for row in rows] == ["accepted", "refused", "not_tried", "not_tried"]


@pytest.mark.parametrize("how", ["silent", "wrong key"])
def test_a_proof_without_an_answer_ends_the_run(how: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    gate = threading.Event()

    def look_up(domain: str, user: str) -> str:
        assert gate.wait(60)
        return PASSWORD

    server = (
        RDPServer(accounts=CallbackAccounts(look_up), host="127.0.0.9")
        if how == "silent"
        else RDPServer(ACCOUNTS, host="127.0.0.9", faults=ServerFaults(wrong_key=True))
    )
    with server, farm(1) as built:
        try:
            words = ["login", *USER, "--json", "--timeout", "10", "--resume", str(record)]
            code = main([*words, server.url, built.url(1)])
        finally:
            gate.set()
        assert built.proofs == []
    lines = results(capsys.readouterr().out)
    assert (code, lines[server.url]["outcome"]) == ((3, "no_login") if how == "silent" else (4, "unsafe"))
    assert "has a proof of the password, and did not say whether it is right" in lines[built.url(1)]["reason"]
    # The next run tries what may be about a wrong password again, and leaves a server out that is not the right one.
    kept = [json.loads(line)["target"] for line in record.read_text().splitlines()]
    assert kept == ([] if how == "silent" else [server.url])


def test_rdp_and_winrm_in_one_file(three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    from credssp.testing.winrm import WinRMServer

    with WinRMServer(ACCOUNTS) as winrm:
        path = tmp_path / "list"
        path.write_text(f"{three.url(1)}\nnot a target\nhttp://127.0.0.1:{winrm.port} # WinRM\n")
        assert main(["login", *USER, "--json", "--file", str(path)]) == 0
        winrm.assert_delegated(username="alice", password=PASSWORD)
    out, err = capsys.readouterr()
    assert {line["mechanism"] for line in results(out).values()} == {"ntlm"}
    assert results(out)[f"http://127.0.0.1:{winrm.port}"]["winrm"]["http_status"] == 200
    assert f"credssp login: {path}, line 2: 'not a target' is not a target" in err


def test_through_the_agent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = server_certificate()
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    accounts = {("LAB", "alice"): "another"}
    with ExitStack() as stack:
        agent = stack.enter_context(running_agent(opened(certificate=rule)))
        right = [stack.enter_context(farm_server(number, certificate)) for number in (1, 2)]
        wrong = [
            stack.enter_context(RDPServer(accounts, host=f"127.0.0.{number}", certificate=certificate))
            for number in (3, 4)
        ]
        monkeypatch.setitem(os.environ, "CREDSSP_AGENT_SOCK", agent.path)
        assert main(["login", "--agent", "lab", "--json", "-v", *(server.url for server in right)]) == 0
        out, err = capsys.readouterr()
        assert {line["user"] for line in results(out).values()} == {"lab of the agent"}
        # The legs are those of a login without the agent, each with its server in front.
        assert {line.split()[0] for line in err.splitlines() if "  leg  5  client -> server" in line} == {
            server.url for server in right
        }
        assert main(["login", "--agent", "lab", "--json", *(server.url for server in wrong)]) == 1
        lines = results(capsys.readouterr().out)
    assert sorted(line["outcome"] for line in lines.values()) == ["not_tried", "refused"]


def farm_server(number: int, certificate: Any) -> RDPServer:
    from tests.lsa.agents import ACCOUNTS as AGENTS_ACCOUNTS

    return RDPServer(accounts=AGENTS_ACCOUNTS, host=f"127.0.0.{number}", certificate=certificate, hold=0.01)


def test_files_and_no_secret_in_any(
    three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "wr0ng-pa55word")
    junit, html, record = tmp_path / "j.xml", tmp_path / "r.html", tmp_path / "run.jsonl"
    files = ["--junit", str(junit), "--html", str(html), "--resume", str(record)]
    assert main(["login", *USER, "--csv", "-v", *three.targets(), *files]) == 1
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["outcome"] for row in rows] == ["refused", "not_tried", "not_tried"]
    assert list(rows[0])[:5] == ["target", "outcome", "user", "refused_by", "status_name"]
    assert list(rows[0])[-1] == "error"
    assert "refused the login: STATUS_LOGON_FAILURE" in rows[1]["error"]
    suite = ElementTree.parse(junit).getroot()  # noqa: S314
    assert [suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")] == [
        *("credssp login", "3", "1", "0", "2")
    ]
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "STATUS_LOGON_FAILURE"
    page = html.read_text()
    assert "<h1>0 of 3 logins accepted</h1>" in page
    assert page.count('<td data-name="outcome"><b class="level note">not tried</b>') == 2
    for text in (out, err, junit.read_text(), page, record.read_text()):
        assert "wr0ng-pa55word" not in text
    assert "leg  3  client -> server" in err


def test_the_password_is_read_once(three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = tmp_path / "calls"
    command = f"sh -c 'echo call >> {calls}; echo {PASSWORD}'"
    assert main(["login", *USER, "--password-command", command, *three.targets()]) == 0
    assert calls.read_text() == "call\n"
    assert len(three.proofs) == 3


def test_a_run_is_taken_up_again(
    three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "run.jsonl"
    here = [*USER, "--resume", str(record)]
    assert main(["login", *here, "--json", three.url(1), "rdp://127.0.0.1:1"]) == 3
    assert len(record.read_text().splitlines()) == 2
    # With a wrong password: the first one is left out, and neither the refusal nor what was not tried is kept.
    three.clear()
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    assert main(["login", *here, "--json", *three.targets()]) == 1
    assert three.proofs == ["127.0.0.2"]
    assert len(record.read_text().splitlines()) == 2
    monkeypatch.setenv("CREDSSP_PASSWORD", PASSWORD)
    three.clear()
    assert main(["login", *here, "--csv", *three.targets()]) == 3
    out, err = capsys.readouterr()
    assert sorted(three.proofs) == ["127.0.0.2", "127.0.0.3"]
    rows = list(csv.DictReader(io.StringIO(out[out.index("target,") :])))
    assert sorted(row["outcome"] for row in rows) == ["accepted", "accepted", "accepted", "no_login"]
    assert err.endswith("; 2 are from an earlier run\n")
    record.write_text('{"target": "rdp://h:1", "answered": true}\n')
    assert main(["login", *here, *three.targets()]) == 2
    assert "rdp://h:1: not the result of a login" in capsys.readouterr().err


def test_an_interrupt_leaves_what_was_done(three: Farm, tmp_path: Path) -> None:
    record, html = tmp_path / "run.jsonl", tmp_path / "r.html"
    with socket.create_server(("127.0.0.9", 0)) as silent:
        url = f"rdp://127.0.0.9:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "credssp", "login", *USER, "--csv", "--resume", str(record)]
        command += ["--html", str(html), three.url(1), url, "--timeout", "60"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            try:
                silent.settimeout(30)
                connection = silent.accept()[0]  # the second one is under way, or looked at
                end = time.monotonic() + 30
                while not (record.exists() and record.read_text().endswith("\n")):
                    assert time.monotonic() < end, "nothing was recorded"
                    assert running.poll() is None, running.communicate()
                    time.sleep(0.05)
                if not connection.recv(1):  # it was looked at, and now it is its turn
                    connection.close()
                    connection = silent.accept()[0]
                running.send_signal(signal.SIGINT)
                out, err = running.communicate(timeout=30)
                connection.close()
            finally:
                running.kill()
    assert running.returncode == 130, err
    assert "Traceback" not in err
    rows = {row["target"]: row["outcome"] for row in csv.DictReader(io.StringIO(out))}
    assert rows == {three.url(1): "accepted", url: "interrupted"}
    assert err.endswith(": 1 accepted, 1 interrupted\n")
    assert [json.loads(line)["outcome"] for line in record.read_text().splitlines()] == ["accepted"]
    assert "<h1>1 of 2 logins accepted</h1>" in html.read_text()


def on_a_terminal(*arguments: str) -> tuple[int, bytes]:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "credssp", "login", *arguments])  # noqa: S606
    seen = b""
    try:
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # EIO: the program has ended
                break
            if not data:
                break
            seen += data
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), seen


def test_the_progress_on_a_terminal_is_erased(three: Farm) -> None:
    code, seen = on_a_terminal(*USER, *three.targets())
    assert code == 0
    assert b"] 3/3 " in seen
    assert b"\r\x1b[K" in seen[seen.rindex(b"] 3/3 ") :]
    assert seen.rstrip().endswith(b": 3 accepted")


def test_a_narrow_terminal_folds_the_reasons_and_not_the_targets(three: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    code, seen = on_a_terminal(*USER, *three.targets())
    assert code == 1
    rows = [line.split()[0] for line in seen.decode().splitlines() if line.startswith(" rdp://")]
    assert rows[0] == three.url(1)
    assert set(rows) == {three.url(number) for number in (1, 2, 3)}


def test_many_targets_need_a_yes_before_the_password_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    command = f"touch {tmp_path / 'called'}"
    assert main(["login", *USER, "127.0.0.0/19", "--port", "1", "--password-command", command]) == 2
    assert "8,192 targets are more than 4,096: give --yes" in capsys.readouterr().err
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "no target: give a host, a range, or --file"),
        (["rdp://127.0.0.1:1", "http://127.0.0.1:1", "--restricted-admin"], "works with rdp:// only"),
        (["127.0.0.1-2", "--remote-guard", "--mechanism", "ntlm"], "needs Kerberos"),
        (["127.0.0.1-2", "--transcript", "x"], "--transcript is about one login"),
        (["127.0.0.1-2", "--rate", "0"], "--rate is a number"),
        (["--file", "-", "--password-file", "-"], "--file - and --password-file - cannot be combined"),
        (["127.0.0.1-2", "--html", "/"], "/ cannot be written"),
        (["127.0.0.1-2", "--html", ""], "the name of a file to write is empty"),
        (["127.0.0.1-2", "--resume", ""], "'' cannot be opened"),
        (["127.0.0.1-2", "--fingerprint", "12"], "fingerprint"),
    ],
)
def test_what_makes_no_sense_is_said_before_any_login(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["login", *USER, *words]) == 2
    out, err = capsys.readouterr()
    assert text in err
    assert err.count("\n") == 1
    assert out == ""


def test_one_target_in_another_form(three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junit = tmp_path / "j.xml"
    assert main(["login", *USER, three.url(1), "--junit", str(junit)]) == 0
    assert capsys.readouterr().out.startswith(f"accepted: {three.url(1)}\n  user")
    assert ElementTree.parse(junit).getroot().get("tests") == "1"  # noqa: S314
    assert main(["login", *USER, three.url(1), "--json"]) == 0
    single = json.loads(capsys.readouterr().out)
    (tmp_path / "list").write_text(three.url(1))
    for words in ([three.url(1), "--html", str(tmp_path / "r.html")], ["--file", str(tmp_path / "list")]):
        assert main(["login", *USER, "--json", *words]) == 0
        out, err = capsys.readouterr()
        (line,) = out.splitlines()
        assert list(json.loads(line)) == list(single)
        assert err == ""


def test_logins_are_made_one_at_a_time_until_one_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    gate = threading.Event()
    waiting = threading.Semaphore(0)

    def look_up(domain: str, user: str) -> str:
        waiting.release()
        assert gate.wait(30)
        return PASSWORD

    with ExitStack() as stack:
        first = stack.enter_context(RDPServer(accounts=CallbackAccounts(look_up), host="127.0.0.9"))
        others = stack.enter_context(farm(3))
        codes: list[int] = []
        words = ["login", *USER, "--json", first.url, *others.targets()]
        running = threading.Thread(target=lambda: codes.append(main(words)))
        running.start()
        try:
            assert waiting.acquire(timeout=30)
            # The others were looked at, so that they wait for the first one.
            for server in others.servers:
                assert server.wait(refusals=1)
            assert others.proofs == []
        finally:
            gate.set()
            running.join(30)
    assert codes == [0]
    assert sorted(others.proofs) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert set(outcomes(capsys.readouterr().out).values()) == {"accepted"}


def test_the_record_of_another_user_is_not_taken_for_this_one(
    three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--resume", str(tmp_path / "run.jsonl"), "--json", three.url(1), three.url(2)]
    assert main(["login", *USER, *here]) == 0
    three.clear()
    capsys.readouterr()
    assert main(["login", "-u", "LAB\\bob", *here]) == 2
    out, err = capsys.readouterr()
    assert "is a login of LAB\\alice, and this run is of LAB\\bob" in err
    assert out == ""
    assert three.proofs == []
    # However the same user is written.
    assert main(["login", "-u", "alice", "-d", "LAB", *here]) == 0
    assert three.proofs == []


@pytest.mark.parametrize("option", ["--html", "--junit"])
@pytest.mark.parametrize("same", ["--resume", "--file"])
def test_a_report_does_not_overwrite_what_is_read(
    option: str, same: str, three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "both"
    text = f"{three.url(1)}\n" if same == "--file" else ""
    path.write_text(text)
    words = [same, str(path), option, str(tmp_path / ".." / tmp_path.name / "both"), three.url(2)]
    assert main(["login", *USER, *words]) == 2
    assert "is named twice, and would be overwritten" in capsys.readouterr().err
    assert path.read_text() == text
    assert three.proofs == []


def test_reports_are_written_where_the_reader_of_the_table_has_gone(three: Farm, tmp_path: Path) -> None:
    html, junit = tmp_path / "r.html", tmp_path / "j.xml"
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "credssp", "login", *USER, *three.targets()]
    command += ["--html", str(html), "--junit", str(junit)]
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert "<h1>3 of 3 logins accepted</h1>" in html.read_text()
    assert ElementTree.parse(junit).getroot().get("tests") == "3"  # noqa: S314


@pytest.mark.parametrize("command", ["login", "probe"])
@pytest.mark.parametrize("full", [False, True], ids=["no reader", "full disk"])
def test_verbose_that_leads_nowhere_changes_no_result(command: str, full: bool, three: Farm) -> None:
    if full:
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        writing = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    user = USER if command == "login" else ()
    words = [sys.executable, "-m", "credssp", command, *user, "-v", "--json", *three.targets()]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=writing, text=True, timeout=60, check=False)
    finally:
        os.close(writing)
    lines = results(done.stdout)
    assert set(lines) == {three.url(number) for number in (1, 2, 3)}
    if command == "login":
        assert {line["outcome"] for line in lines.values()} == {"accepted"}
    else:
        assert {line["credssp"]["version"] for line in lines.values()} == {6}
        assert {line["error"] for line in lines.values()} == {None}


def test_what_is_wrong_on_this_machine_is_tried_again_by_the_next_run(
    three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "run.jsonl"
    assert main(["login", *USER, "--json", "--resume", str(record), "a..b", three.url(1)]) == 2
    assert set(outcomes(capsys.readouterr().out).values()) == {"local", "accepted"}
    assert [json.loads(line)["target"] for line in record.read_text().splitlines()] == [three.url(1)]


@pytest.mark.parametrize(
    "damaged", [{"outcome": ["x"]}, {"tls": "x"}, {"credssp": [1]}, {"status": 5}, {"seconds": "a"}, {"accepted": None}]
)
def test_a_record_that_is_damaged_is_found_out_before_any_login(
    damaged: dict[str, Any], three: Farm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "run.jsonl"
    facts = {"target": "rdp://192.0.2.1:1", "user": "LAB\\alice", "outcome": "accepted", "accepted": True} | damaged
    if damaged == {"accepted": None}:
        del facts["accepted"]
    record.write_text(json.dumps(facts) + "\n")
    assert main(["login", *USER, "--table", "--resume", str(record), three.url(1)]) == 2
    assert "rdp://192.0.2.1:1: not the result of a login" in capsys.readouterr().err
    assert three.proofs == []

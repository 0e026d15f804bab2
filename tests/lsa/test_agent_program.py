"""The agent as a process: what it reads, what it tells, whom it serves, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import credssp
from credssp import rdp
from credssp.lsa.confirmation import DEADLINE
from credssp.lsa.opened import AgentRefusedError, Reason
from credssp.lsa.remote import AgentError
from credssp.status import SecurityStatus
from credssp.testing import RDPServer
from tests.lsa.agents import fingerprint, server_certificate
from tests.lsa.programs import CREDSSP, AgentProgram, agent_program, run_command, until

if sys.platform == "win32":
    pytest.skip("the agent needs Unix-domain sockets", allow_module_level=True)

PASSWORD = "correct horse battery"
TARGET = "TERMSRV/127.0.0.1"


CERTIFICATE = server_certificate()
PIN = fingerprint(CERTIFICATE)


@pytest.fixture(scope="module")
def server() -> Iterator[RDPServer]:
    with RDPServer({("LAB", "alice"): PASSWORD}, certificate=CERTIFICATE, hold=0.01) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "f"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def agent(folder: Path) -> Iterator[AgentProgram]:
    with agent_program(folder / "s") as running:
        yield running


def log_on(agent: AgentProgram, server: RDPServer, name: str = "prod-admin") -> None:
    rdp.connect("127.0.0.1", server.port, credentials=agent.credentials(name)).close()


def refusal(agent: AgentProgram, server: RDPServer, name: str = "prod-admin") -> AgentRefusedError:
    with pytest.raises(AgentRefusedError) as caught:
        log_on(agent, server, name)
    return caught.value


def add(agent: AgentProgram, name: str = "prod-admin", *words: str, target: str = TARGET) -> None:
    pinned = ("--fingerprint", PIN)
    agent.add(name, "-u", "LAB\\alice", "--target", target, *pinned, *words, secret=PASSWORD)


def test_a_program_logs_on_with_a_password_that_it_never_had(agent: AgentProgram, server: RDPServer) -> None:
    add(agent)
    log_on(agent, server)
    event = agent.last()
    assert (event["outcome"], event["credential"], event["target"]) == ("success", "prod-admin", TARGET)
    assert (event["domain"], event["user"], event["mechanism"]) == ("LAB", "alice", "ntlm")
    assert (event["uid"], event["pid"]) == (os.getuid(), os.getpid())
    assert event["executable"] == os.path.realpath(f"/proc/{os.getpid()}/exe")
    assert event["delegated"] is True
    agent.end()
    assert PASSWORD not in json.dumps(agent.events("agent-login") + agent.events("agent-change"))


def test_every_refusal_has_its_status_and_its_event(agent: AgentProgram, server: RDPServer) -> None:
    add(agent)
    add(agent, "elsewhere", target="TERMSRV/*.lab.test")
    agent.add("kerberos", "-u", "LAB\\alice", "--target", "*", secret=PASSWORD)
    agent.add("other-key", "-u", "LAB\\alice", "--target", "*", "--fingerprint", "ab" * 32, secret=PASSWORD)
    add(agent, "asked", "--confirm")
    expected = [
        ("nothing", Reason.UNKNOWN, SecurityStatus.SEC_E_NO_CREDENTIALS),
        ("elsewhere", Reason.TARGET, SecurityStatus.SEC_E_TARGET_UNKNOWN),
        ("other-key", Reason.CERTIFICATE, SecurityStatus.SEC_E_UNTRUSTED_ROOT),
        ("asked", Reason.DECLINED, SecurityStatus.SEC_E_NOT_OWNER),
    ]
    for number, (name, reason, status) in enumerate(expected, 1):
        options = {"mechanism": "ntlm"} if reason is Reason.CERTIFICATE else {}
        with pytest.raises(AgentRefusedError) as caught:
            rdp.connect("127.0.0.1", server.port, credentials=agent.credentials(name), **options).close()
        assert (caught.value.reason, caught.value.status) == (reason, status)
        event = agent.last(count=number)
        assert (event["outcome"], event["end"], event["credential"]) == ("failure", "refused", name)
        assert (event["rule"], event["status"]["name"]) == (reason.value, status.name)
        assert event["proof_sent"] is False
    with pytest.raises(AgentRefusedError) as caught:
        rdp.connect("127.0.0.1", server.port, credentials=agent.credentials("kerberos"), mechanism="ntlm").close()
    assert caught.value.reason is Reason.MECHANISM
    assert agent.last(count=len(expected) + 1)["rule"] == "mechanism"


def test_an_expired_credential_is_refused_and_its_secret_dropped(agent: AgentProgram, server: RDPServer) -> None:
    add(agent, "brief", "--lifetime", "1s")
    assert until(lambda: json.loads(agent.call("list", "--json"))[0]["expires"] == 0)
    assert refusal(agent, server, "brief").reason is Reason.EXPIRED
    assert agent.last()["rule"] == "expired"
    assert "expired" in agent.call("list")


def test_a_removed_credential_is_unknown(agent: AgentProgram, server: RDPServer) -> None:
    add(agent)
    agent.call("remove", "prod-admin")
    assert refusal(agent, server).reason is Reason.UNKNOWN
    assert "no credential of this name" in agent.call("remove", "prod-admin", code=1)
    actions = [(event["action"], event["credential"], event["outcome"]) for event in agent.events("agent-change", 3)]
    assert actions == [
        ("add", "prod-admin", "success"),
        ("remove", "prod-admin", "success"),
        ("remove", "prod-admin", "failure"),
    ]


def test_a_locked_agent_refuses_until_it_is_unlocked(agent: AgentProgram, server: RDPServer) -> None:
    add(agent)
    agent.call("lock", "--phrase-file", "-", secret="phrase")
    assert refusal(agent, server).reason is Reason.LOCKED
    assert "is locked" in agent.call("list", code=1)
    assert "stays locked" in agent.call("unlock", "--phrase-file", "-", secret="another", code=1)
    agent.call("unlock", "--phrase-file", "-", secret="phrase")
    log_on(agent, server)


def test_a_person_is_asked(folder: Path, server: RDPServer) -> None:
    program = folder / "askpass"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> {folder}/asked\ntest -e {folder}/yes\n')
    program.chmod(0o700)
    with agent_program(folder / "s", environ={"SSH_ASKPASS": str(program)}) as agent:
        add(agent, "prod-admin", "--confirm")
        assert refusal(agent, server).reason is Reason.DECLINED
        assert agent.last()["rule"] == "declined"
        (folder / "yes").touch()
        log_on(agent, server)
    (question, _) = (folder / "asked").read_text().splitlines()
    for part in (f"process {os.getpid()}", TARGET, "LAB\\alice", "prod-admin"):
        assert part in question


def test_an_agent_that_ends_takes_its_question_along(folder: Path, server: RDPServer) -> None:
    program = folder / "askpass"
    program.write_text(f"#!/bin/sh\nexec 3>{folder}/asking\nsleep 600\n")
    program.chmod(0o700)
    os.mkfifo(folder / "asking")
    with agent_program(folder / "s", environ={"SSH_ASKPASS": str(program)}) as agent:
        add(agent, "prod-admin", "--confirm")
        outcome: list[str] = []

        def ask() -> None:
            try:
                log_on(agent, server)
            except credssp.CredSSPError as error:
                outcome.append(type(error).__name__)

        thread = threading.Thread(target=ask)
        thread.start()
        with (folder / "asking").open("rb") as pipe:  # waits for the question
            began = time.monotonic()
            assert agent.end() == 0
            assert time.monotonic() - began < DEADLINE / 2, "it did not wait for the answer"
            assert pipe.read() == b""
        thread.join(60)
        assert outcome == ["AgentError"]


def configuration(folder: Path, *, more: str = "", secret: str = PASSWORD) -> Path:
    (folder / "secret").write_text(f"{secret}\n")
    file = folder / "agent.toml"
    file.write_text(
        '[[credential]]\nname = "prod-admin"\nuser = "LAB\\\\alice"\nsource = { password_file = "secret" }\n'
        f'targets = ["TERMSRV/127.0.0.1"]\nfingerprint = "{PIN}"\n{more}'
    )
    for each in (file, folder / "secret"):
        each.chmod(0o600)
    return file


def test_sighup_reads_the_configuration_and_its_secrets_again(folder: Path, server: RDPServer) -> None:
    file = configuration(folder, secret="an old one")
    with agent_program(folder / "s", "--config", str(file)) as agent:
        with pytest.raises(credssp.PeerRefusedError):
            log_on(agent, server)
        event = agent.last()
        assert (event["end"], event["reason"], event["status"]["name"]) == (
            "failed", "logon_failure", "SEC_E_LOGON_DENIED",
        )  # fmt: skip
        assert event["proof_sent"] is True
        configuration(folder, more='lifetime = "8h"\n')
        agent.process.send_signal(signal.SIGHUP)
        assert until(lambda: json.loads(agent.call("list", "--json"))[0]["expires"] is not None)
        log_on(agent, server)
        # What makes no sense changes nothing.
        file.write_text(file.read_text() + "port = 1\n")
        agent.process.send_signal(signal.SIGHUP)
        errors = folder / "s.err"
        assert until(lambda: "what was read before stays in use" in errors.read_text())
        assert "port is not a key here" in errors.read_text()
        log_on(agent, server)


def test_other_users_are_not_let_in_by_sighup(folder: Path, server: RDPServer) -> None:
    file = configuration(folder)
    with agent_program(folder / "s", "--config", str(file)) as agent:
        configuration(folder, more=f"uids = [{os.getuid()}, 54321]\n")
        agent.process.send_signal(signal.SIGHUP)
        assert until(lambda: "only be let in by a restart" in (folder / "s.err").read_text())
        assert json.loads(agent.call("list", "--json"))[0]["uids"] == [os.getuid()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_takes_the_socket_away(folder: Path, number: int) -> None:
    with agent_program(folder / "s") as agent:
        assert agent.end(number) == 0
        assert not (folder / "s").exists()


def test_after_a_kill_programs_learn_why_and_the_next_agent_takes_over(folder: Path, server: RDPServer) -> None:
    with agent_program(folder / "s") as agent:
        add(agent)
        assert agent.end(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises(AgentError, match="no agent answers") as caught:
            log_on(agent, server)
        assert caught.value.status == SecurityStatus.SEC_E_INTERNAL_ERROR
        assert (folder / "s").exists()
    with agent_program(folder / "s") as agent:
        assert refusal(agent, server).reason is Reason.UNKNOWN, "credentials that were added are gone"
        add(agent)
        log_on(agent, server)


def test_a_second_agent_does_not_start(agent: AgentProgram) -> None:
    done = run_command("run", "--socket", str(agent.path))
    assert done.returncode == 2
    assert "an agent listens on" in done.stderr
    agent.call("list")


def test_its_memory_is_out_of_reach(agent: AgentProgram) -> None:
    status = Path(f"/proc/{agent.process.pid}/status")
    if not status.exists():
        pytest.skip("no /proc")
    fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
    limits = Path(f"/proc/{agent.process.pid}/limits").read_text()
    assert fields["NoNewPrivs"] == "1"
    assert Path(f"/proc/{agent.process.pid}/mem").stat().st_uid == 0
    assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]]


def test_the_program_that_has_the_secret_for_a_moment_is_not_readable_either(agent: AgentProgram, folder: Path) -> None:
    os.mkfifo(folder / "secret", 0o600)
    words = ["add", "prod", "-u", "LAB\\alice", "--target", "*", "--password-file", str(folder / "secret")]
    process = subprocess.Popen([*CREDSSP, "agent", *words, "--socket", str(agent.path)])
    writer = os.open(folder / "secret", os.O_WRONLY)  # waits until it reads
    try:
        memory = Path(f"/proc/{process.pid}/mem")
        fields = Path(f"/proc/{process.pid}/limits").read_text() if memory.exists() else ""
        os.write(writer, f"{PASSWORD}\n".encode())
    finally:
        os.close(writer)
    assert process.wait(60) == 0
    if not fields:
        pytest.skip("no /proc")
    assert [line.split()[4:6] for line in fields.splitlines() if line.startswith("Max core")] == [["0", "0"]]
    agent.call("list")


def test_events_go_to_a_private_file(folder: Path, server: RDPServer) -> None:
    file = configuration(folder)
    file.write_text(f'[agent]\naudit = "events"\n{file.read_text()}')
    with agent_program(folder / "s", "--config", str(file), "--audit", "stdout") as agent:
        agent.events("listening")
    command = [*CREDSSP, "agent", "run", "--socket", str(folder / "s"), "--config", str(file)]
    with subprocess.Popen(command) as process:
        try:
            assert until(lambda: (folder / "events").exists() and "listening" in (folder / "events").read_text())
            credentials = credssp.AgentCredentials("prod-admin", str(folder / "s"))
            rdp.connect("127.0.0.1", server.port, credentials=credentials).close()
        finally:
            process.terminate()
    lines = [json.loads(line) for line in (folder / "events").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["listening", "agent-login"]
    assert stat.S_IMODE((folder / "events").stat().st_mode) == 0o600


def test_systemd_passes_the_socket(folder: Path) -> None:
    launcher = (
        "import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'credssp', 'agent', 'run'])\n"
    )
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(str(folder / "s"))
        passed.listen()
        command = [sys.executable, "-c", launcher, str(passed.fileno())]
        process = subprocess.Popen(command, pass_fds=[passed.fileno()], stdout=subprocess.PIPE, text=True)
    agent = AgentProgram(folder / "s", process)
    try:
        assert agent.last("listening")["address"] == str(folder / "s")
        assert "no credentials" in agent.call("list")
    finally:
        agent.end()
    assert (folder / "s").exists(), "the file is systemd's"


# Other users

AS_USER = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")


def other_user(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``credssp`` as another user, or skip."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to become another user")
    if subprocess.run([*AS_USER, *CREDSSP, "--version"], capture_output=True, timeout=60).returncode:
        pytest.skip("another user cannot start this Python")
    return subprocess.run([*AS_USER, *CREDSSP, *words], capture_output=True, text=True, timeout=60, check=False)


PROGRAM = """
import sys, credssp
from credssp import rdp
try:
    rdp.connect("127.0.0.1", int(sys.argv[1]), credentials=credssp.AgentCredentials(sys.argv[3], sys.argv[2])).close()
except credssp.errors.CredSSPError as error:
    print(type(error).__name__, getattr(error, "reason", None), int(error.status))
else:
    print("logged on")
"""


def log_on_as_other_user(agent: AgentProgram, server: RDPServer, name: str) -> str:
    other_user("--version")
    command = [*AS_USER, sys.executable, "-c", PROGRAM, str(server.port), str(agent.path), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can enter; those of pytest are private, and made so again by every run that begins."""
    with tempfile.TemporaryDirectory(prefix="credssp-agent-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_private_agent_cannot_be_reached_by_other_users(shared: Path, server: RDPServer) -> None:
    with agent_program(shared / "f" / "s", errors=shared / "err") as agent:
        add(agent)
        assert log_on_as_other_user(agent, server, "prod-admin").startswith("AgentError")


def test_each_user_gets_its_credentials_and_no_others(shared: Path, server: RDPServer) -> None:
    other_user("--version")
    config = shared / "config"
    config.mkdir(mode=0o700)
    file = configuration(config, more="uids = [54321]\n")
    text = file.read_text()
    file.write_text(text + text.replace("prod-admin", "mine").replace("uids = [54321]\n", ""))
    place = shared / "o"
    with agent_program(place / "s", "--config", str(file), errors=shared / "err") as agent:
        assert stat.S_IMODE(place.stat().st_mode) == 0o755
        assert stat.S_IMODE((place / "s").stat().st_mode) == 0o666
        assert log_on_as_other_user(agent, server, "prod-admin") == "logged on"
        event = agent.last()
        assert (event["uid"], event["outcome"]) == (54321, "success")
        unknown = log_on_as_other_user(agent, server, "nothing")
        assert log_on_as_other_user(agent, server, "mine") == unknown
        assert unknown.startswith("AgentRefusedError Reason.UNKNOWN")
        assert [event["rule"] for event in agent.events("agent-login", 3)] == ["", "unknown", "unknown"]
        # Only the owner manages; others learn nothing, not even what there is.
        for words in (["list"], ["remove", "prod-admin"], ["lock", "--phrase-file", "/etc/hostname"]):
            done = other_user("agent", *words, "--socket", str(agent.path))
            assert done.returncode == 1
            assert "no credential of this name for this user" in done.stderr
        refused = [event for event in agent.events("agent-change", 3) if event["uid"] == 54321]
        assert [event["outcome"] for event in refused] == ["failure"] * 3
        assert refusal(agent, server, "prod-admin").reason is Reason.UNKNOWN
        log_on(agent, server, "mine")


LISTENS = """
import os, socket, sys
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
listener = socket.socket(fileno=int(sys.argv[1]))
listener.listen()
print("listens", flush=True)
connection, _ = listener.accept()
print(len(connection.recv(4096)), flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize("words", [("add", "lab", "-u", "alice", "--target", "*", "--password-file", "-"), ("list",)])
def test_what_another_user_listens_with_is_sent_no_secret(words: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        path.chmod(0o666)
        number = listener.fileno()
        with subprocess.Popen(
            [sys.executable, "-c", LISTENS, str(number)], pass_fds=[number], stdout=subprocess.PIPE, text=True
        ) as rogue:
            assert rogue.stdout is not None
            try:
                assert rogue.stdout.readline() == "listens\n"
                said = AgentProgram.call_at(path, *words, secret="a secret", code=1)
                assert "one of user 65534, not of yours" in said
                assert rogue.stdout.readline() == "0\n", "it was sent nothing"
            finally:
                rogue.kill()

"""Every run is bounded, says what is wrong, and leaves nothing running, whatever is at the other end."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from credssp.cli import main
from credssp.conformance import Account
from credssp.conformance.http import HttpServerTarget, SocketRequests
from credssp.conformance.links import SocketLink
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rdp import CommandTarget, RdpServerTarget
from credssp.conformance.result import Report
from credssp.conformance.rule import Skipped, Verdict
from credssp.conformance.runner import check_client, check_server
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.rdp import serve
from tests.conformance.test_own_peers import ACCOUNTS

Behaviour = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def listening(behave: Behaviour) -> Iterator[int]:
    """A port on loopback whose connections behave like that until the block ends."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            behave(connection, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                thread = threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True)
                threads.append(thread)
                thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield listener.getsockname()[1]
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
    for thread in (acceptor, *threads):
        thread.join(5)


def silent(_: socket.socket, over: threading.Event) -> None:
    over.wait(30)


def dripping(connection: socket.socket, over: threading.Event) -> None:
    """A byte now and then, each of them within the time for an answer."""
    while not over.wait(0.1):
        connection.sendall(b"\x16")


def endless(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 401 Answer\r\nWWW-Authenticate: CredSSP\r\n\r\n")
    while not over.is_set():
        connection.sendall(bytes(65536))


def not_found(connection: socket.socket, _: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def greeting(connection: socket.socket, _: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"220 mail.example\r\n")


def closing(connection: socket.socket, _: threading.Event) -> None:
    connection.recv(65536)


def judged(behave: Behaviour, scheme: str) -> Report:
    with listening(behave) as port:
        begin = time.monotonic()
        if scheme == "rdp":
            report = check_server(RdpServerTarget("127.0.0.1", port, TEST_ACCOUNT, timeout=0.5))
        else:
            report = check_server(HttpServerTarget(f"{scheme}://127.0.0.1:{port}/wsman", TEST_ACCOUNT, timeout=0.5))
        assert time.monotonic() - begin < 20  # a wait for each rule would be a minute
    return report


@pytest.mark.parametrize(
    ("behave", "scheme", "says"),
    [
        (silent, "rdp", "did not answer the Connection Request"),
        (dripping, "rdp", "bytes that are not a Connection Confirm"),
        (greeting, "rdp", "bytes that are not a Connection Confirm"),
        (closing, "rdp", "did not answer the Connection Request"),
        (silent, "http", "no (whole) HTTP answer within 0.5 s"),
        (dripping, "http", "no (whole) HTTP answer within 0.5 s"),
        (endless, "http", "no (whole) HTTP answer within 0.5 s"),
        (not_found, "http", "answers 404 and offers nothing in WWW-Authenticate"),
        (greeting, "http", "no HTTP server"),
        (closing, "http", "no HTTP server"),
        (dripping, "https", "no (whole) HTTP answer within 0.5 s"),
        (greeting, "https", "the TLS handshake failed"),
    ],
)
def test_what_is_no_server_of_that_kind_is_told_in_one_line(behave: Behaviour, scheme: str, says: str) -> None:
    report = judged(behave, scheme)
    assert says in report.trouble
    assert "\n" not in report.trouble
    assert "Errno" not in report.trouble
    assert report.results == ()


def test_a_server_that_closes_after_a_login_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.rdp.server.PROVIDER_INITIATED", b"")  # without a word, as some servers do
    server = serve(lambda _: None, port=0, accounts=ACCOUNTS, mechanisms=("ntlm",), min_version=2)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        target = RdpServerTarget(*server.address, TEST_ACCOUNT, timeout=3.0, settle=0.5)
        report = check_server(target, rules=["CSSP-PKA56-*", "CSSP-CRED-*"])
    finally:
        server.close()
        thread.join(5)
    assert report.ok, report.explain()
    assert report.verdict_of("CSSP-PKA56-04") is Verdict.PASS
    # A refusal shows by its alert or errorCode; a close says nothing there, so what must be taken must not pass by it.
    assert report.verdict_of("CSSP-CRED-08") is Verdict.PASS
    assert report.verdict_of("CSSP-CRED-12") is Verdict.SKIP


def test_a_wrong_password_has_its_name(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda _: None, port=0, accounts=ACCOUNTS, mechanisms=("ntlm",))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("CREDSSP_PASSWORD", "made up, and wrong")
    try:
        arguments = ["conformance", "server", f"rdp://127.0.0.1:{server.address[1]}", "-u", "alice", "-d", "LAB"]
        assert main(arguments) == 2
    finally:
        server.close()
        thread.join(5)
    output = capsys.readouterr()
    assert "STATUS_LOGON_FAILURE" in output.out
    assert "made up" not in output.out + output.err


def test_the_name_of_an_http_target_is_without_user_and_password() -> None:
    target = HttpServerTarget("http://alice:secret@127.0.0.1:5985/wsman", Account("alice", "secret"))
    assert target.name == "http://127.0.0.1:5985/wsman"
    assert "secret" not in repr(target)


@pytest.mark.parametrize("length", [b"x", b"-1", b"1" * 30, "²".encode()])
def test_a_client_whose_content_length_is_no_number(length: bytes) -> None:
    one, other = socket.socketpair()
    source = SocketRequests(SocketLink(one))
    other.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\n")
    assert source.next(2) is None
    assert source.over
    source.close()
    other.close()


# Programs


def program(text: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(text)} {{host}} {{port}}"


def test_a_program_that_ends_at_once_is_not_waited_for() -> None:
    text = "import sys; print('no display, and the password is hunter2', file=sys.stderr); sys.exit(7)"
    begin = time.monotonic()
    report = check_client(CommandTarget(program(text), Account("alice", "hunter2"), start_timeout=100))
    assert time.monotonic() - begin < 50
    assert "ended with exit code 7 before it connected: no display, and the password is ********" in report.trouble


def test_a_program_that_is_not_there() -> None:
    report = check_client(CommandTarget("/no/such/program {port}", TEST_ACCOUNT))
    assert report.trouble == "no good login works: /no/such/program cannot be started: No such file or directory"


def test_the_command_line_is_in_no_repr() -> None:
    assert "hunter2" not in repr(CommandTarget("client /p:hunter2 {port}", TEST_ACCOUNT))


def gone(pid: int) -> bool:
    """Whether a process has ended, or ends within the next seconds."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_children_of_a_program_that_has_ended_are_stopped(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    text = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n"
    )
    with pytest.raises(Skipped):
        CommandTarget(program(text), TEST_ACCOUNT).start(Setup(), RdpAnswer())
    assert gone(int(note.read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("connects", [False, True])
def test_an_interrupt_leaves_no_program_behind(tmp_path: Path, number: int, code: int, connects: bool) -> None:
    os.mkfifo(tmp_path / "pid")
    client = (
        "import os, signal, socket, sys\n"
        f"s = socket.create_connection((sys.argv[1], int(sys.argv[2]))) if {connects} else None\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "signal.pause()\n"
    )
    suite = subprocess.Popen(
        [sys.executable, "-m", "credssp", "conformance", "client", "-u", "alice", "--exec", program(client)],
        env=os.environ | {"CREDSSP_PASSWORD": "x"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    pipe = os.open(tmp_path / "pid", os.O_RDONLY | os.O_NONBLOCK)
    with suite:
        there = select.select([pipe], [], [], 15)[0]
        if there:
            suite.send_signal(number)
        else:
            suite.kill()
        output, _ = suite.communicate(timeout=20)
    assert there, output
    pid = int(os.read(pipe, 20))
    os.close(pipe)
    assert suite.returncode == code
    assert b"Traceback" not in output
    assert gone(pid)

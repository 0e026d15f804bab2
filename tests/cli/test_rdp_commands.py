"""``credssp login``, ``probe`` and ``serve rdp``, against one another and against scripted peers."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.cli import main
from credssp.fleet.logins import rdp as rdp_login
from credssp.nt_hash import nt_hash
from credssp.rdp import Protocol
from credssp.testing import RDPServer
from credssp.tls.certificate import generate_certificate, process_certificate
from credssp.wire.ts_request import TSRequest

PASSWORD = "correct horse"
ACCOUNTS = {("LAB", "alice"): PASSWORD}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", PASSWORD)


@pytest.fixture(scope="module")
def server() -> Iterator[RDPServer]:
    with RDPServer(ACCOUNTS) as running:
        yield running


def url(server: RDPServer) -> str:
    return f"rdp://127.0.0.1:{server.port}"


def login(capsys: pytest.CaptureFixture[str], target: str, *options: str) -> tuple[int, dict[str, Any]]:
    code = main(["login", target, "-u", "LAB\\alice", "--mechanism", "ntlm", "--json", *options])
    return code, json.loads(capsys.readouterr().out)


# login


def test_accepted(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, facts = login(capsys, url(server))
    assert code == 0
    assert facts["target"] == url(server)
    assert facts["accepted"] is True
    assert facts["status"]["code"] == 0
    assert facts["status"]["name"] == "SEC_E_OK"
    assert facts["status"]["text"]
    assert facts["tls"]["version"] == "TLSv1.3"
    assert facts["tls"]["certificate"]["key_type"] == "RSA 2048"
    assert len(facts["tls"]["certificate"]["sha256"]) == 64
    assert facts["tls"]["cipher"]
    assert facts["credssp"] == {"version": 6, "peer_version": 6}
    assert facts["mechanism"] == "ntlm"
    assert facts["server_authenticated"] is False
    assert facts["delegated"] is True
    assert facts["early_user_authorization"] == "AUTHZ_SUCCESS"
    assert facts["rdp"]["selected_protocol"] == "HYBRID_EX"
    assert facts["seconds"] >= 0


def test_accepted_for_people(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["login", url(server), "-u", "alice", "-d", "LAB"]) == 0
    out = capsys.readouterr().out
    for text in ("accepted: rdp://", "LAB\\alice", "HYBRID_EX", "TLSv1.3", "AUTHZ_SUCCESS", "version 6"):
        assert text in out
    assert PASSWORD not in out


def test_refused(server: RDPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    code, facts = login(capsys, url(server))
    assert code == 1
    assert facts["accepted"] is False
    assert facts["status"]["name"] == "STATUS_LOGON_FAILURE"
    assert facts["status"]["hex"] == "0xC000006D"
    assert facts["status"]["advice"]
    assert facts["delegated"] is False
    assert main(["login", url(server), "-u", "LAB\\alice"]) == 1
    captured = capsys.readouterr()
    assert "refused by the server" in captured.out
    assert "STATUS_LOGON_FAILURE 0xC000006D" in captured.err


def test_denied(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer(ACCOUNTS, authorize=lambda identity, credentials: False) as denying:
        code, facts = login(capsys, url(denying))
    assert code == 1
    assert facts["early_user_authorization"] == "AUTHZ_ACCESS_DENIED"
    assert facts["status"]["name"] == "STATUS_ACCESS_DENIED"


def over_hybrid(**options: Any) -> RDPServer:
    return RDPServer(ACCOUNTS, protocols=Protocol.HYBRID, **options)


def test_over_hybrid_a_server_that_begins_the_session_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    with over_hybrid(hold=1) as running:
        code, facts = login(capsys, url(running))
        assert running.wait(delegations=1)
        assert b"\x7f\x65" in running.delegations[0].received
    assert (code, facts["accepted"], facts["refused_by"]) == (0, True, None)
    assert facts["rdp"]["answer"] == "session"


def test_over_hybrid_a_close_after_the_credentials_is_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    with over_hybrid(authorize=lambda identity, credentials: False) as running:
        code, facts = login(capsys, url(running))
        assert main(["login", url(running), "-u", "LAB\\alice"]) == 1
    assert (code, facts["accepted"], facts["refused_by"]) == (1, False, "server")
    assert facts["mechanism"] == "ntlm"
    assert facts["delegated"] is True
    assert facts["rdp"]["answer"] is None
    shown = capsys.readouterr()
    assert "refused after the proof: rdp://" in shown.out
    assert "the password is right" in shown.err


def test_over_hybrid_a_server_that_takes_its_time_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    async def slowly(identity: Any, credentials: Any) -> bool:
        await asyncio.sleep(rdp_login._SETTLE + 2 * rdp_login._REACTION)
        return False

    with over_hybrid(authorize=slowly) as running:
        code, facts = login(capsys, url(running))
    assert (code, facts["refused_by"]) == (1, "server")


def test_over_hybrid_silence_is_not_a_refusal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rdp_login, "_ANSWER", 0.1)
    with over_hybrid(hold=60, session="none") as running:
        code, facts = login(capsys, url(running))
    assert (code, facts["rdp"]["answer"]) == (0, "none")


def test_over_hybrid_a_server_that_closes_when_the_session_begins_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    def read_and_go(session: Any) -> None:
        session.recv()
        session._socket.close()  # without a goodbye, as programs that end with the login do

    accounts = credssp.MemoryAccounts(ACCOUNTS)
    with rdp.serve(read_and_go, "127.0.0.1", 0, accounts=accounts, protocols=Protocol.HYBRID) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        code, facts = login(capsys, f"rdp://127.0.0.1:{running.address[1]}")
    thread.join(10)
    assert (code, facts["rdp"]["answer"]) == (0, "closed")


def test_the_mechanism_is_known_after_a_refusal(
    server: RDPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    code, facts = login(capsys, url(server))
    assert (code, facts["mechanism"], facts["refused_by"]) == (1, "ntlm", "server")


def test_only_a_server_that_refused_is_said_to_have_refused(
    server: RDPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, code in ((["--fingerprint", "00" * 32], 4), (["--timeout", "0.000001"], 3)):
        assert main(["login", url(server), "-u", "LAB\\alice", *options]) == code
        assert "refused by" not in capsys.readouterr().out


def test_password_file_and_hash(server: RDPServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\r\nsecond line\n")
    assert login(capsys, url(server), "--password-file", str(secret))[0] == 0
    hashed = nt_hash(PASSWORD).hex()
    code, facts = login(capsys, url(server), "--hash", hashed)
    assert (code, facts["delegated"]) == (0, False)
    secret.write_text(hashed)
    assert login(capsys, url(server), "--hash-file", str(secret))[0] == 0


def test_modes(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer(ACCOUNTS) as fresh:
        assert login(capsys, url(fresh), "--no-delegate")[1]["delegated"] is False
        code, facts = login(capsys, url(fresh), "--restricted-admin")
        assert (code, facts["rdp"]["restricted_admin"]) == (0, True)
        assert fresh.wait(delegations=2)
    assert [delegation.is_empty for delegation in fresh.delegations] == [True, True]
    with RDPServer(ACCOUNTS, restricted_admin=False) as without:
        code, facts = login(capsys, url(without), "--restricted-admin")
    assert code == 3
    assert "Restricted Admin" in facts["status"]["text"]


def test_checks_of_ours(server: RDPServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import hashlib

    right = hashlib.sha256(process_certificate().der).hexdigest()
    code, facts = login(capsys, url(server), "--fingerprint", right)
    assert (code, facts["server_authenticated"]) == (0, True)
    code, facts = login(capsys, url(server), "--fingerprint", "00" * 32)
    assert code == 4
    assert facts["tls"]["certificate"]["sha256"] == right
    assert facts["delegated"] is False
    other = tmp_path / "ca.pem"
    other.write_bytes(generate_certificate("p256").chain)
    assert login(capsys, url(server), "--cacert", str(other))[0] == 4
    with RDPServer(ACCOUNTS, max_version=4, min_version=4) as old:
        code, facts = login(capsys, url(old))
        assert code == 4
        assert "CVE-2018-0886" in facts["status"]["text"]
        assert login(capsys, url(old), "--min-version", "4")[0] == 0


def test_hybrid_only(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID) as plain:
        code, facts = login(capsys, url(plain))
    assert code == 0
    assert facts["early_user_authorization"] is None


def test_a_refusal_that_comes_after_the_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    async def judge(session: Any) -> None:
        session.write(TSRequest(6, error_code=0xC000006E).encode())

    running = RDPServer(ACCOUNTS, protocols=Protocol.HYBRID)
    running._handle = judge  # type: ignore[method-assign]
    with running:
        code, facts = login(capsys, url(running))
    assert code == 1
    assert facts["status"]["name"] == "STATUS_ACCOUNT_RESTRICTION"


@contextmanager
def answering(data: bytes) -> Iterator[str]:
    """A server that answers the first bytes with these, for any number of clients, and closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(data)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield f"rdp://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.SSL)).encode(), "selected SSL"),
        (rdp.ConnectionConfirm(rdp.NegotiationFailure(2)).encode(), "SSL_NOT_ALLOWED_BY_SERVER"),
        (b"A" * 100_000, "0x41"),
    ],
)
def test_no_credssp(capsys: pytest.CaptureFixture[str], answer: bytes, text: str) -> None:
    with answering(answer) as target:
        code, facts = login(capsys, target)
    assert code == 3
    assert text in facts["status"]["text"]
    assert (facts["tls"], facts["credssp"], facts["mechanism"]) == (None, None, None)


def test_no_server_and_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"rdp://127.0.0.1:{listener.getsockname()[1]}"
        begin = time.monotonic()
        code, facts = login(capsys, target, "--timeout", "0.3")
        assert code == 3
        assert "0.3 s" in facts["status"]["text"] or "0.2" in facts["status"]["text"]
        assert time.monotonic() - begin < 15
    assert login(capsys, target)[0] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["ftp://host", "-u", "alice"],
        ["rdp://", "-u", "alice"],
        ["rdp://host:99999", "-u", "alice"],
        ["rdp://host"],
        ["rdp://host", "--hash", "00" * 16],
        ["rdp://host", "-u", "alice", "--hash", "xyz"],
        ["rdp://host", "-u", "alice", "--password-file", "/no/such/file"],
        ["rdp://host", "-u", "alice", "--fingerprint", "ab" * 20],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["login", *arguments]) == 2
    assert "credssp login: " in capsys.readouterr().err


def test_wrong_options() -> None:
    for options in (["--min-version", "7"], ["--cacert", "a", "--fingerprint", "b"]):
        with pytest.raises(SystemExit) as caught:
            main(["login", "rdp://host", "-u", "alice", *options])
        assert caught.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["login", "rdp://host", "--timeout", "0"],
        ["login", "rdp://host", "--timeout", "nan"],
        ["login", "rdp://host", "--timeout", "soon"],
        ["doctor", "--timeout", "-1"],
        ["probe", "host", "--concurrency", "0"],
        ["serve", "rdp", "--workers", "1_0"],
        ["serve", "rdp", "--deadline", "0"],
        ["serve", "winrm", "--half-open", "99999"],
    ],
)
def test_numbers_that_do_not_fit_are_told_with_what_would(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {arguments[-2]}: '{arguments[-1]}' is not a " in last


def test_login_that_cannot_begin_is_no_refusal_of_the_server(
    server: RDPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credssp.kerberos.pyspnego.kerberos_missing", lambda: "Kerberos needs gssapi")
    assert main(["login", url(server), "-u", "LAB\\alice", "--mechanism", "kerberos"]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith(f"no login: {url(server)}\n")
    assert "SEC_E_SECPKG_NOT_FOUND 0x80090305: Install what is missing" in captured.err


def test_next_step_belongs_to_what_failed(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    # No connection is no question of service principal names, and neither is a certificate that is not the pinned one.
    for scheme in ("rdp", "http"):
        assert main(["login", f"{scheme}://127.0.0.1:1", "-u", "alice"]) == 3
        assert "Check name and port" in capsys.readouterr().err
    assert main(["login", url(server), "-u", "alice", "--fingerprint", "00" * 32]) == 4
    assert "Compare it with the certificate on the server itself" in capsys.readouterr().err


def test_next_step_is_told_once(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["login", url(server), "-u", "LAB\\alice", "--hash", "00" * 16]) == 1
    assert capsys.readouterr().err.count("Check name, domain and password") == 1


def test_nobody_to_ask_for_the_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CREDSSP_PASSWORD")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["login", "rdp://host", "-u", "alice"]) == 2
    assert "--password-file" in capsys.readouterr().err


# serve


class Events(list[dict[str, Any]]):
    """What a service prints, as it comes."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__()
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            with self._came:
                self.append(json.loads(line))
                self._came.notify_all()

    def wait_for_closed(self, count: int) -> None:
        """Wait until so many connections are over."""
        with self._came:
            assert self._came.wait_for(lambda: sum(event["event"] == "closed" for event in self) >= count, 20)

    def end(self) -> None:
        """Read to the end."""
        self._reader.join(20)


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str, Events]]:
    command = [sys.executable, "-m", "credssp", "serve", "rdp", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        try:
            listening = json.loads(process.stdout.readline())
            assert listening["event"] == "listening"
            events = Events(process.stdout)
            yield process, listening["address"], events
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        events.end()
    assert process.returncode == 0


def test_serve_tells_every_event(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("--user", f"LAB\\alice:{PASSWORD}") as (_, address, events):
        assert login(capsys, f"rdp://{address}")[0] == 0
        monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
        assert login(capsys, f"rdp://{address}")[0] == 1
        events.wait_for_closed(2)
    assert [event["event"] for event in events] == [
        *("negotiated", "delegated", "closed"),
        *("negotiated", "refused", "closed"),
    ]
    delegated = events[1]
    assert delegated["type"] == "password"
    assert (delegated["domain"], delegated["user"], delegated["secret"]) == ("LAB", "alice", "********")
    assert events[4]["ntstatus"] == "0xC000006D"
    assert events[4]["status"]["name"] == "STATUS_LOGON_FAILURE"


def test_serve_reveals_denies_and_reads_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    certificate = generate_certificate("p256")
    (tmp_path / "cert.pem").write_bytes(certificate.chain)
    (tmp_path / "key.pem").write_bytes(certificate.private_key.reveal())
    (tmp_path / "users").write_text(f"LAB:alice:{PASSWORD}\n")
    options = ["--users-file", str(tmp_path / "users"), "--user", "bob:x", "--reveal", "--authorize", "denied"]
    options += ["--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem"), "--protocols", "hybrid_ex"]
    with serving(*options) as (_, address, events):
        code, facts = login(capsys, f"rdp://{address}")
        assert code == 1
        assert facts["tls"]["certificate"]["key_type"] == "EC secp256r1"
        events.wait_for_closed(1)
    assert [event["event"] for event in events] == ["negotiated", "delegated", "refused", "closed"]
    assert events[1]["secret"] == PASSWORD
    assert events[2]["status"]["name"] == "STATUS_ACCESS_DENIED"


def test_workers_share_the_port_and_end_together(capsys: pytest.CaptureFixture[str]) -> None:
    with serving("--user", f"LAB\\alice:{PASSWORD}", "--workers", "2") as (process, address, events):
        for _ in range(16):
            assert login(capsys, f"rdp://{address}")[0] == 0
        children = _children(process.pid)
        assert len(children) == 2
        events.wait_for_closed(16)
    assert {event["worker"] for event in events} == {1, 2}
    assert sum(event["event"] == "delegated" for event in events) == 16
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_output_that_is_not_read_keeps_no_client_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "credssp",
        "serve",
        "rdp",
        "--listen",
        "127.0.0.1:0",
        "--user",
        f"alice:{PASSWORD}",
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        address = json.loads(process.stdout.readline())["address"]
        for _ in range(20):  # some 700 characters each
            assert login(capsys, f"rdp://{address}")[0] == 0
        process.send_signal(signal.SIGTERM)
        events = [json.loads(line)["event"] for line in process.stdout]
    assert process.wait(10) == 0
    assert events.count("closed") == 20


def test_accounts_and_certificate_are_read_again_at_sighup(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    users, chain = tmp_path / "users", tmp_path / "server.pem"
    users.write_text(f"LAB:bob:{PASSWORD}\n")
    old, new = (generate_certificate("p256") for _ in range(2))
    chain.write_bytes(old.private_key.reveal() + old.chain)
    options = ["--users-file", str(users), "--cert", str(chain), "--workers", "2"]
    with serving(*options) as (process, address, _):
        _wait_for_workers(process.pid, [])
        time.sleep(0.5)
        pin = ["--fingerprint", hashlib.sha256(new.der).hexdigest()]
        assert login(capsys, f"rdp://{address}", *pin)[0] != 0
        users.write_text(f"LAB:alice:{PASSWORD}\n")
        chain.write_bytes(new.private_key.reveal() + new.chain)
        process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 60
        for _ in range(6):  # both workers
            while login(capsys, f"rdp://{address}", *pin)[0] != 0:
                assert time.monotonic() < end


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_serve_gives_up_its_privileges_when_everything_is_open(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    users, chain = tmp_path / "users", tmp_path / "server.pem"
    users.write_text(f"LAB:alice:{PASSWORD}\n")
    made = generate_certificate("p256")
    chain.write_bytes(made.private_key.reveal() + made.chain)
    for path in (users, chain):
        path.chmod(0o600)
    options = ["--users-file", str(users), "--cert", str(chain), "--uid", "nobody", "--workers", "2"]
    with serving(*options) as (process, address, _):
        workers = _wait_for_workers(process.pid, [])
        for pid in (process.pid, *workers):
            status = Path(f"/proc/{pid}/status").read_text()
            assert re.search(r"^Uid:\t(\d+)\t\1\t\1\t\1$", status, re.MULTILINE)
            assert not re.search(r"^Uid:\t0", status, re.MULTILINE)
            assert "NoNewPrivs:\t1" in status
        assert main(["login", f"rdp://{address}", "-u", "LAB\\alice", "--mechanism", "ntlm"]) == 0
    assert capfd.readouterr().err.count("is read once: user nobody may not read it again") == 2


def test_a_worker_that_dies_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    with serving("--user", f"LAB\\alice:{PASSWORD}", "--workers", "2") as (process, address, _):
        before = _wait_for_workers(process.pid, [])
        os.kill(before[0], signal.SIGKILL)
        after = _wait_for_workers(process.pid, before)
        assert before[1] in after
        for _ in range(8):
            assert login(capsys, f"rdp://{address}")[0] == 0


def _wait_for_workers(pid: int, others_than: list[int]) -> list[int]:
    end = time.monotonic() + 60
    while len(children := _children(pid)) < 2 or children == others_than:
        assert time.monotonic() < end
        time.sleep(0.02)
    return children


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    "options",
    [
        ["--listen", "nonsense"],
        ["--listen", "127.0.0.1:99999"],
        ["--listen", "::1:3389"],
        ["--user", "no-password"],
        ["--user", "\\name:password"],
        ["--key", "key.pem"],
        ["--cert", "/no/such/file"],
        ["--cert", "/no/such/file", "--key", "/no/such/file"],
        ["--users-file", "/no/such/file"],
        ["--keytab", "/no/such/file"],
        ["--keytab", "FILE:/no/such/file"],
    ],
)
def test_serve_wrong_usage(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credssp.kerberos.pyspnego.kerberos_missing", lambda: None)
    assert main(["serve", "rdp", *options]) == 2
    assert "credssp serve: " in capsys.readouterr().err


def test_serve_address_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert main(["serve", "rdp", "--listen", address, "--user", "a:b"]) == 2
    error = capsys.readouterr().err
    assert "Address already in use" in error
    assert error.endswith("Choose another address or port, or stop what listens there.\n")


def test_serve_with_a_keytab_that_nothing_can_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credssp.kerberos.pyspnego.kerberos_missing", lambda: "Kerberos needs gssapi")
    assert main(["serve", "rdp", "--keytab", "MEMORY:x"]) == 2
    assert capsys.readouterr().err == "credssp serve: Kerberos needs gssapi\n"


# probe


def probe(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code = main(["probe", "--json", *arguments])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_probe_finds_out_everything(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, (facts,) = probe(capsys, f"127.0.0.1:{server.port}")
    assert code == 0
    assert facts["protocols"] == {
        "RDP": "HYBRID_REQUIRED_BY_SERVER",
        "SSL": "HYBRID_REQUIRED_BY_SERVER",
        "HYBRID": "accepted",
        "HYBRID_EX": "accepted",
        "RDSTLS": "HYBRID_REQUIRED_BY_SERVER",
        "RDSAAD": "HYBRID_REQUIRED_BY_SERVER",
    }
    assert set(facts["tls"]) == {"TLSv1.2", "TLSv1.3"}
    assert facts["certificate"]["key_type"] == "RSA 2048"
    assert facts["certificate"]["subject"].startswith("CN=CREDSSP-")
    assert facts["credssp"]["version"] == 6
    assert {"ntlm", "spnego/ntlm"} <= set(facts["credssp"]["mechanisms"])
    assert facts["ntlm"]["MsvAvNbComputerName"]
    assert facts["ntlm"]["MsvAvTimestamp"]
    assert facts["ntlm"]["Version"]
    assert facts["error"] is None


def test_probe_for_people_and_as_csv(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", f"rdp://127.0.0.1:{server.port}"]) == 0
    out = capsys.readouterr().out
    for text in ("HYBRID, HYBRID_EX", "HYBRID_REQUIRED_BY_SERVER", "TLSv1.3", "version 6", "MsvAvNbComputerName"):
        assert text in out
    assert main(["probe", "--csv", f"127.0.0.1:{server.port}", "127.0.0.1:1"]) == 0
    heading, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    found = {row[0]: dict(zip(heading, row, strict=True)) for row in rows}
    assert found[f"rdp://127.0.0.1:{server.port}"]["protocols"] == "HYBRID HYBRID_EX"
    assert "Connection refused" in found["rdp://127.0.0.1:1"]["error"]


def test_one_bad_host_never_stops_the_rest(
    server: RDPServer, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, answering(b"SSH-2.0-OpenSSH\r\n") as noisy:
        targets = tmp_path / "targets"
        targets.write_text(
            f"# all kinds\n{noisy}  # not RDP\n127.0.0.1:{silent.getsockname()[1]}\n127.0.0.1:1\nhost.invalid\n"
            f"\n127.0.0.1:{server.port}\n"
        )
        code, found = probe(capsys, "--file", str(targets), "--timeout", "0.3", "--concurrency", "3")
    assert code == 0
    assert len(found) == 5
    texts = " ".join(facts["error"]["text"] for facts in found if facts["error"])
    assert "SSH" in texts
    assert "0.3 s" in texts
    assert "Connection refused" in texts
    assert sum(facts["credssp"] is not None for facts in found) == 1


def test_a_thousand_targets(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    code, found = probe(capsys, "127.0.0.0/22", "--port", str(server.port), "--concurrency", "200")
    assert code == 0
    assert len({facts["target"] for facts in found}) == 1024
    assert sum(facts["answered"] for facts in found) == 1
    assert time.monotonic() - begin < 30


def test_a_bug_in_a_probe_is_a_report(
    server: RDPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(target: Any, request: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("credssp.fleet.probing.probe_rdp", broken)
    code, (facts,) = probe(capsys, f"127.0.0.1:{server.port}")
    assert code == 3
    assert facts["error"]["text"] == "ZeroDivisionError: this is a bug in credssp"


def test_servers_without_credssp(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(rdp.ConnectionConfirm().encode()) as old:
        code, (facts,) = probe(capsys, old)
    assert code == 1
    assert facts["protocols"]["RDP"] == "accepted"
    assert facts["protocols"]["HYBRID"] == "selected RDP"
    with answering(rdp.ConnectionConfirm(rdp.NegotiationFailure(99)).encode()) as odd:
        code, (facts,) = probe(capsys, odd)
    assert (code, facts["protocols"]["SSL"]) == (1, "failure 99")
    with answering(b"") as closing:
        code, (facts,) = probe(capsys, closing)
    assert (code, facts["protocols"]["SSL"]) == (1, "closed")
    with answering(rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.HYBRID)).encode()) as no_tls:
        code, (facts,) = probe(capsys, no_tls)
    assert (code, facts["tls"]) == (1, {})
    assert "TLS" in facts["tls_error"]


def test_probe_says_why_nothing_follows_a_protocol_that_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    confirm = rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.HYBRID)).encode()
    with answering(confirm) as no_tls:
        assert main(["probe", no_tls]) == 1
        assert "TLS      none: " in capsys.readouterr().out
        assert main(["probe", "--csv", no_tls]) == 1
    _, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert "TLS" in row[-1]


@pytest.mark.parametrize(
    "arguments",
    [[], ["10.0.0.0/33"], ["::/0"], ["rdp://"], ["--file", "/no/such/file"], ["host", "--timeout", "-1"]],
)
def test_probe_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", *arguments]) == 2
    assert "credssp probe: " in capsys.readouterr().err


def test_a_progress_bar_on_a_terminal(
    server: RDPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["probe", "--json", f"127.0.0.1:{server.port}", "127.0.0.1:1"]) == 0
    assert "2/2" in capsys.readouterr().err


# In this process, so that what happens in there is seen


def serve_here(capsys: pytest.CaptureFixture[str], *options: str, visit: Any) -> list[dict[str, Any]]:
    """Run ``serve rdp`` in the main thread and visit it from another, which stops it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcomes: list[Any] = []

    def go() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.02)
        try:
            outcomes.append(visit(port))
            time.sleep(0.2)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=go)
    thread.start()
    assert main(["serve", "rdp", "--listen", f"127.0.0.1:{port}", *options]) == 0
    thread.join()
    assert len(outcomes) == 1
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def visit(port: int, **options: Any) -> None:
    import credssp

    alice = credssp.PasswordCredentials("alice", PASSWORD, domain="LAB")
    with suppress(credssp.CredSSPError):
        rdp.connect("127.0.0.1", port, credentials=alice, mechanism="ntlm", **options).close()


def test_serving_in_this_process(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"LAB:alice:{PASSWORD}\n")
    names = ["--nb-computer", "SRV", "--nb-domain", "LAB", "--dns-domain", "lab.test"]
    events = serve_here(capsys, "--users-file", str(users), "--user", "bob:x", "--json", *names, visit=visit)
    assert events[0]["event"] == "listening"
    login_events = [event for event in events if event.get("connection") == 2]
    assert [event["event"] for event in login_events] == ["negotiated", "delegated", "closed"]
    assert login_events[1]["secret"] == "********"


@pytest.mark.parametrize("kind", ["smartcard", "empty"])
def test_other_kinds_of_credentials_are_named(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    import credssp

    card = credssp.SmartCardCredentials(pin=credssp.Secret("0000"), user_hint="alice", domain_hint="LAB")
    options: dict[str, Any] = {"delegated_credentials": card} if kind == "smartcard" else {"delegate": False}
    events = serve_here(
        capsys, "--user", f"LAB\\alice:{PASSWORD}", "--reveal", visit=lambda port: visit(port, **options)
    )
    (delegated,) = (event for event in events if event["event"] == "delegated")
    assert delegated["type"] == kind
    assert delegated["secret"] == ("0000" if kind == "smartcard" else "")


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    from credssp.cli._serve_options import emit

    emit("refused", {"ntstatus": None, "status": {"name": "SEC_E_OK"}, "odd": {"a": 1}}, as_json=False)
    assert capsys.readouterr().out == 'refused    ntstatus=None  status=SEC_E_OK  odd={"a": 1}\n'


def test_secrets_from_where_they_may_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.cli import _secrets
    from credssp.errors import LocalProtocolError

    bad = tmp_path / "bad"
    bad.write_bytes(b"\xff\xfe\n")
    with pytest.raises(LocalProtocolError, match="not UTF-8"):
        _secrets.first_line(str(bad))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin\nmore\n")))
    assert _secrets.first_line("-").reveal() == "from stdin"
    monkeypatch.delenv("CREDSSP_PASSWORD")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed")
    assert _secrets.password(None, prompt="?").reveal() == "typed"


# What `login` suggests


@contextmanager
def a_server_that_answers(data: bytes) -> Iterator[str]:
    """A server that answers the Connection Request with these bytes and waits for the client to go."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(data)
            connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"rdp://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    ("confirm", "suggested"),
    [
        ("030000130ed00000123400021f080001000000", "Turn on network level authentication"),  # xrdp
        ("030000130ed000001234000300080002000000", "security layer"),
        ("0300000b06d00000123400", "Turn on network level authentication"),
    ],
)
def test_a_server_without_nla_gets_advice_about_that(
    confirm: str, suggested: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_server_that_answers(bytes.fromhex(confirm)) as target:
        code, facts = login(capsys, target)
    assert code == 3
    assert suggested in facts["status"]["advice"]
    with a_server_that_answers(bytes.fromhex(confirm)) as target:
        assert main(["login", target, "-u", "LAB\\alice"]) == 3
    shown = capsys.readouterr().err
    assert suggested in shown
    assert "AllowEncryptionOracle" not in shown


def test_only_an_old_version_is_told_how_to_be_admitted(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer(ACCOUNTS, max_version=4, min_version=2) as old:
        code, facts = login(capsys, url(old))
    assert code == 4
    assert "AllowEncryptionOracle" in facts["status"]["advice"]

"""``credssp serve --exec`` and ``--once``: a client is run, judged by what it delegated, and the exit code says it."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.cli._serve_trial import Trial
from credssp.errors import LocalProtocolError
from credssp.status import NTStatus
from tests.docs.pages import DOCS, blocks

USER, PASSWORD = "LAB\\alice", "correct horse"
LOGIN = [sys.executable, "-m", "credssp", "login", "{url}", "-u", USER, "--mechanism", "ntlm"]


def serve(
    kind: str, *options: str, password: str = PASSWORD, client: list[str] | None = LOGIN
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "credssp", "serve", kind, "--listen", "127.0.0.1:0", *options]
    command += ["--user", f"{USER}:{PASSWORD}"]
    if client is not None:
        command += ["--exec", shlex.join(client)]
    environment = os.environ | {"CREDSSP_PASSWORD": password}
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)


@pytest.fixture(params=["rdp", "winrm"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "winrm":
        pytest.importorskip("uvicorn")
    return str(request.param)


def test_a_client_that_delegates_the_expected_user_passes(kind: str) -> None:
    done = serve(kind, "--expect-user", USER, "--expect-exit", "0")
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(
        "credssp serve: passed: LAB\\alice was delegated, and the client ended with exit code 0\n"
    )


def test_another_user_fails(kind: str) -> None:
    done = serve(kind, "--expect-user", "LAB\\bob")
    assert done.returncode == 1
    assert (
        "credssp serve: FAILED: expected LAB\\bob, and LAB\\alice was delegated; the client ended with" in done.stderr
    )


def test_a_refusal_that_is_expected_passes(kind: str) -> None:
    done = serve(kind, "--expect-refused", "STATUS_LOGON_FAILURE", password="wrong")
    assert done.returncode == 0, done.stderr
    assert "passed: LAB\\alice was refused: wrong password: " in done.stderr


def test_a_refusal_that_is_not_expected_fails(kind: str) -> None:
    done = serve(kind, password="wrong")
    assert done.returncode == 1
    assert "FAILED: expected a login, and LAB\\alice was refused: wrong password" in done.stderr


def test_a_login_fails_where_a_refusal_is_expected(kind: str) -> None:
    done = serve(kind, "--expect-refused", "any")
    assert done.returncode == 1
    assert "FAILED: expected a refusal, and LAB\\alice logged on; the client ended with exit code 0\n" in done.stderr


def test_a_client_that_refuses_an_old_version_itself_did_not_log_on(kind: str) -> None:
    done = serve(kind, "--max-version", "4", "--min-version", "4")
    assert done.returncode == 1
    assert "FAILED: expected a login, and the connection of a client ended before it logged on: " in done.stderr
    assert "the client ended with exit code 4" in done.stderr  # a version that is refused


def test_a_client_that_does_not_connect_fails_with_what_it_said() -> None:
    text = "import sys; print('no display', file=sys.stderr); sys.exit(7)"
    done = serve("rdp", client=[sys.executable, "-c", text])
    assert done.returncode == 1
    assert "FAILED: no client logged on: the client ended with exit code 7: no display\n" in done.stderr


def test_a_client_that_is_not_there_fails() -> None:
    done = serve("rdp", client=["/no/such/program"])
    assert done.returncode == 1
    assert "FAILED: /no/such/program cannot be started: No such file or directory\n" in done.stderr


def test_a_client_that_never_ends_is_stopped_when_its_time_is_over() -> None:
    done = serve("rdp", "--patience", "0.5", client=[sys.executable, "-c", "import time; time.sleep(1000)"])
    assert done.returncode == 1
    assert "FAILED: no client logged on within 0.5 s, and the client was stopped\n" in done.stderr


@contextlib.contextmanager
def serving_once(kind: str, path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "credssp", "serve", kind, "--listen", "127.0.0.1:0", "--once", *options]
    command += ["--user", f"{USER}:{PASSWORD}", "--port-file", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_once_serves_a_client_that_was_started_elsewhere(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "port"
    with serving_once(kind, path, "--expect-user", USER) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        scheme = {"rdp": "rdp", "winrm": "http"}[kind]
        login = [word.replace("{url}", f"{scheme}://127.0.0.1:{path.read_text().strip()}") for word in LOGIN]
        subprocess.run(login, env=os.environ | {"CREDSSP_PASSWORD": PASSWORD}, check=True, timeout=60)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert error.endswith("credssp serve: passed: LAB\\alice was delegated\n")


def test_once_fails_without_a_client(tmp_path: Path) -> None:
    with serving_once("rdp", tmp_path / "port", "--patience", "0.3") as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "FAILED: no client logged on within 0.3 s\n" in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_endpoint_that_is_stopped_ends_at_once_and_stops_its_client(
    kind: str, number: signal.Signals, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    text = f"import pathlib, time; pathlib.Path({str(started)!r}).write_text('x'); time.sleep(1000)"
    command = [sys.executable, "-m", "credssp", "serve", kind, "--listen", "127.0.0.1:0", "--user", f"{USER}:x"]
    command += ["--patience", "1000", "--exec", shlex.join([sys.executable, "-c", text])]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + 30
            while not started.exists() and time.monotonic() < end:
                time.sleep(0.05)
            process.send_signal(number)
            _, error = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "Traceback" not in error
    assert error.endswith("no client logged on before the endpoint was stopped, and the client was stopped\n")


def test_once_ends_when_it_is_stopped(kind: str, tmp_path: Path) -> None:
    with serving_once(kind, tmp_path / "port", "--patience", "1000") as process:
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        end = time.monotonic() + 30
        while not (tmp_path / "port").exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)  # and has its handlers
        process.terminate()
        _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Traceback" not in error
    assert error.endswith("FAILED: no client logged on before the endpoint was stopped\n")


def test_a_port_in_use_is_not_taken_for_a_client_that_failed(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = serve(kind, "--listen", f"127.0.0.1:{listener.getsockname()[1]}")
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1 port" in done.stderr


def test_an_old_highest_version_alone_is_refused_before_the_endpoint_listens(kind: str) -> None:
    done = serve(kind, "--max-version", "4")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--max-version 4: add --min-version 4; versions below 5 are vulnerable" in done.stderr


def test_the_command_of_the_manual() -> None:
    page = (DOCS / "how-to" / "test-any-client.md").read_text(encoding="utf-8")
    (shell, *_), (shown,) = blocks(page, "sh"), blocks(page, "text")
    words = shlex.split(shell.text.replace("\\\n", " "))
    client = [word.replace("alice", "bob") for word in LOGIN]
    words = [shlex.join(client) if word.startswith("my-client") else word for word in words]
    environment = os.environ | {"CREDSSP_PASSWORD": "secret"}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(shown.text)


# What makes no sense


def options(**changed: Any) -> argparse.Namespace:
    names = ("exec", "expect_user", "expect_refused", "expect_exit", "uid")
    return argparse.Namespace(**(dict.fromkeys(names) | {"once": False, "patience": 1.0, "workers": 1} | changed))


def test_without_exec_and_once_there_is_no_trial() -> None:
    assert Trial.of(options()) is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"expect_user": USER}, "need --exec or --once"),
        ({"once": True, "expect_exit": 0}, "--expect-exit needs --exec"),
        ({"once": True, "expect_user": USER, "expect_refused": "any"}, "exclude each other"),
        (
            {"once": True, "expect_refused": "STATUS_NONSENSE"},
            "--expect-refused STATUS_NONSENSE: there is no such status",
        ),
        ({"once": True, "workers": 2}, "do not go with --workers"),
        ({"exec": "x", "uid": "nobody"}, "do not go with --workers and --uid"),
        ({"exec": ""}, "--exec: the command is empty"),
        ({"exec": "  "}, "--exec: the command is empty"),
        ({"exec": "echo 'x"}, "cannot be split into words: No closing quotation"),
        ({"once": True, "expect_user": ""}, "--expect-user '': a name is missing"),
        ({"once": True, "expect_user": "LAB\\"}, "a name is missing"),
    ],
)
def test_options_that_make_no_sense_are_named(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        Trial.of(options(**changed))


def test_a_port_file_that_cannot_be_written_is_named_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, reason in (("none/port", "No such file or directory"), ("folder", "Is a directory")):
        done = serve(kind, "--port-file", str(tmp_path / path))
        assert done.returncode == 2
        assert f"credssp serve: --port-file {tmp_path / path}: it cannot be written: {reason}\n" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


# Verdicts


def facts(event: str, user: str = "alice", **changed: Any) -> dict[str, Any]:
    status = {"code": int(NTStatus.STATUS_LOGON_FAILURE), "name": "STATUS_LOGON_FAILURE", "text": "no"}
    delegated = {"type": "password", "domain": "LAB", "user": user}
    common = {"event": event, "domain": "LAB", "user": user, "delegated": delegated, "status": status, "wrong": ""}
    return common | {"ntstatus": "0xC000006D"} | changed


def verdict(*outcomes: dict[str, Any], **changed: Any) -> tuple[bool, str]:
    trial = Trial.of(options(once=True, **changed))
    assert trial is not None
    for each in outcomes:
        trial.note(each.pop("event"), each)
    trial.note("negotiated", {})
    return trial.verdict()


def test_a_client_may_be_refused_first() -> None:
    assert verdict(facts("refused"), facts("delegated")) == (True, "LAB\\alice was delegated")


def test_a_login_after_the_expected_refusal_fails() -> None:
    assert verdict(facts("refused"), facts("delegated"), expect_refused="any") == (
        False,
        "expected a refusal, and LAB\\alice logged on",
    )


def test_a_refusal_with_another_status_fails() -> None:
    assert verdict(facts("refused"), expect_refused="0xC0000234") == (
        False,
        "expected STATUS_ACCOUNT_LOCKED_OUT, and LAB\\alice was refused: no [STATUS_LOGON_FAILURE]",
    )


@pytest.mark.parametrize("user", ["alice", "lab\\ALICE", "LAB\\alice"])
def test_names_are_compared_as_windows_does(user: str) -> None:
    assert verdict(facts("delegated"), expect_user=user)[0]
    assert not verdict(facts("delegated"), expect_user=f"{user}x")[0]


def test_an_empty_set_is_not_the_user() -> None:
    empty = {"type": "empty", "domain": "", "user": ""}
    assert verdict(facts("delegated", delegated=empty), expect_user=USER) == (
        False,
        "expected LAB\\alice, and LAB\\alice logged on and delegated nothing",
    )


def test_other_credentials_are_named_by_their_type() -> None:
    guard = {"type": "remote_guard", "domain": "", "user": ""}
    assert verdict(facts("delegated", delegated=guard)) == (True, "LAB\\alice delegated remote_guard")


def test_a_client_whose_exit_code_counts_may_go_on_after_its_login(kind: str) -> None:
    # Longer than one without --expect-exit is given.
    then = "import subprocess, sys, time; subprocess.run(sys.argv[1:], check=True); time.sleep(4); sys.exit(7)"
    client = [sys.executable, "-c", then, *LOGIN]
    done = serve(kind, "--expect-user", USER, "--expect-exit", "7", client=client)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("the client ended with exit code 7\n")

"""The frame around the sub-commands: help, exit codes, Ctrl-C, closed pipes, errors."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import credssp
from credssp.cli import COMMANDS, main
from credssp.errors import AuthenticationError, LocalProtocolError, PeerRefusedError


def _run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "credssp", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        # argparse gives the longest name a line of its own.
        assert re.search(rf"^ +{name}\s+{re.escape(summary)}$", out, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_module_with_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: credssp {name}" in capsys.readouterr().out


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"credssp {credssp.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["status"], ["demo", "--version", "7"], ["--nonsense"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert "usage: credssp" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(("columns", "widest"), [("50", 48), ("300", 98), ("nonsense", 98), ("1", 60)])
def test_help_fits_the_terminal(
    columns: str, widest: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    # The epilog is printed as it is written; the rest is wrapped.
    options = capsys.readouterr().out.partition("options:")[2].partition("\n\n")[0]
    assert max(map(len, options.splitlines())) <= widest


def test_ctrl_c_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("credssp.cli.status.run", interrupted)
    assert main(["status", "0"]) == 130
    assert capsys.readouterr() == ("", "")


def test_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "credssp", "status", "0xC000006D"],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("status 0xC000006D >&-", 0),
        ("status nope >&- 2>&-", 2),
        ("--help >&-", 0),
        ("decode <&-", 2),
        ("probe --file - <&-", 2),
        ("login rdp://127.0.0.1:1 -u alice --password-file - <&-", 2),
    ],
)
def test_streams_that_are_closed_change_no_exit_code(command: str, code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m credssp {command}', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_errors_do_not_go_to_standard_output_where_standard_error_is_closed() -> None:
    command = ["sh", "-c", '"$0" -m credssp status nope 2>&-', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is a thing of Linux")
def test_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "credssp", "status", "0"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "credssp: the output cannot be written: No space left on device\n")


def test_other_failures_of_the_system_are_not_taken_for_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise OSError(5, "a bug")

    monkeypatch.setattr("credssp.cli.status.run", fail)
    with pytest.raises(OSError, match="a bug"):
        main(["status", "0"])


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (AuthenticationError("no such user"), ["no such user", "STATUS_LOGON_FAILURE 0xC000006D", "Check name"]),
        (PeerRefusedError(0xC0000234), ["STATUS_ACCOUNT_LOCKED_OUT 0xC0000234"]),
    ],
)
def test_errors_are_one_line_with_number_name_and_advice(
    error: Exception, parts: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("credssp.cli.status.run", fail)
    assert main(["status", "0"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("credssp status: ")
    assert err.count("\n") == 1
    for part in parts:
        assert err.count(part) == 1


def test_what_was_wrong_with_a_call_is_said_without_the_advice_for_programmers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise LocalProtocolError("there is no such file")

    monkeypatch.setattr("credssp.cli.status.run", fail)
    assert main(["status", "0"]) == 1
    assert capsys.readouterr().err == "credssp status: there is no such file\n"


def test_python_m_credssp_is_the_command() -> None:
    done = _run("status", "LOGON_FAILURE")
    assert done.returncode == 0
    assert done.stdout.startswith("STATUS_LOGON_FAILURE 0xC000006D\n")


def test_a_terminal_without_unicode_gets_escapes() -> None:
    from credssp import Secret
    from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds

    data = TSCredentials(TSPasswordCreds("LAB", "\u00fcser\u2603", Secret("x"))).encode().hex()
    done = _run("decode", data, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert "userName: \\xfcser\\u2603" in done.stdout


def test_console_script_is_installed_and_works() -> None:
    script = Path(sys.executable).with_name("credssp")
    if not script.exists():
        pytest.skip("the package is not installed in this environment, only importable")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"credssp {credssp.__version__}\n")

"""``--password-command``: the password is what a program prints."""

from __future__ import annotations

import shlex
import sys
import traceback

import pytest

from credssp.cli import _secrets, main
from credssp.errors import LocalProtocolError
from credssp.testing import RDPServer


def python(code: str) -> str:
    """Return a command line for some Python code."""
    return shlex.join([sys.executable, "-c", code])


@pytest.mark.parametrize(
    ("printed", "password"),
    [
        (b"correct horse\n", "correct horse"),
        (b"correct horse", "correct horse"),
        (b" spaces stay \r\n", " spaces stay "),
        (b"first\nuser: alice\nurl: rdp\n", "first"),
        ("p\u00e4ss".encode() + b"\n", "p\u00e4ss"),
        (b"\xef\xbb\xbfbom\n", "bom"),
    ],
)
def test_the_first_line_is_the_password(printed: bytes, password: str) -> None:
    command = python(f"import sys; sys.stdout.buffer.write({printed!r})")
    assert _secrets.output_of(command).reveal() == password


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("", "the password command is empty"),
        ("pass 'show", "not quoted as in a shell: No closing quotation"),
        ("/nonexistent/pass show", "/nonexistent/pass cannot be run: No such file or directory"),
        ("a\0b", "cannot be run: embedded null byte"),
        (python("raise SystemExit(3)"), "failed with exit code 3"),
        (python("import os; os.kill(os.getpid(), 9)"), "was ended by signal 9"),
        (python("while True: print('x' * 1000)"), "failed with exit code 1|ended by signal 13"),
        (python("print()"), "printed no line of UTF-8 text"),
        (python("pass"), "printed no line of UTF-8 text"),
        (python("import sys; sys.stdout.buffer.write(bytes([255, 10]))"), "printed no line of UTF-8 text"),
    ],
)
def test_a_command_that_gives_no_password_is_a_local_error(command: str, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        _secrets.output_of(command)


def test_what_a_failing_command_printed_is_in_no_traceback() -> None:
    with pytest.raises(LocalProtocolError) as refused:
        _secrets.output_of(python("print('correct' + ' horse'); raise SystemExit(1)"))
    shown = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    assert "correct horse" not in "".join(shown.format())


def test_a_file_and_a_command_are_too_much() -> None:
    with pytest.raises(LocalProtocolError, match="not both"):
        _secrets.password("file", "command", prompt="")


def test_login_and_delegation_take_it_from_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    logon = ["-u", "LAB\\alice", "--mechanism", "ntlm", "--password-command", python("print('correct horse')")]
    delegate = ["--delegate-user", "LAB\\bob", "--delegate-password-command", python("print('battery')")]
    with RDPServer({("LAB", "alice"): "correct horse"}) as server:
        url = f"rdp://{server.host}:{server.port}"
        assert main(["login", url, *logon]) == 0
        server.assert_delegated(username="alice", domain="LAB", password="correct horse")
        server.clear()
        assert main(["login", url, *logon, *delegate]) == 0
        server.assert_delegated(username="bob", domain="LAB", password="battery")
    assert "battery" not in capsys.readouterr().out


def test_a_wrong_password_from_a_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer({("LAB", "alice"): "correct horse"}) as server:
        url = f"rdp://{server.host}:{server.port}"
        code = main(
            ["login", url, "-u", "LAB\\alice", "--mechanism", "ntlm", "--password-command", python("print('a')")]
        )
    assert code == 1
    assert "STATUS_LOGON_FAILURE" in capsys.readouterr().err

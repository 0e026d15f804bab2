"""Every option that takes a file: whatever is wrong with the file, the message has its name, and no traceback."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from credssp.cli import COMMANDS, _serve_options, main

CAPTURE = str(Path(__file__).parents[2] / "fixtures" / "xfreerdp-2.11.7-capture-accepted")
NOWHERE = "rdp://127.0.0.1:1"
LOGIN = ["login", NOWHERE, "-u", "LAB\\alice", "--timeout", "3"]
SERVE = ["--listen", "127.0.0.1:0", "--user", "LAB\\alice:secret"]
FRONT = ["gateway", "front", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"]
BACK = ["gateway", "back", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "-u", "LAB\\alice"]
AGENT_ADD = ["agent", "add", "prod", "-u", "LAB\\alice", "--target", "TERMSRV/srv"]
KERBEROS = importlib.util.find_spec("krb5") is not None

# @ is the file that is wrong, + one with a password. Files that are only read with Kerberos need its libraries.
READ: dict[str, list[str]] = {
    "dissect": ["dissect", "@"],
    "dissect --keylog": ["dissect", CAPTURE, "--keylog", "@"],
    "dissect --rsa-key": ["dissect", CAPTURE, "--rsa-key", "@"],
    "dissect --keytab": ["dissect", CAPTURE, "--keytab", "@"],
    "login --password-file": [*LOGIN, "--password-file", "@"],
    "login --hash-file": [*LOGIN, "--hash-file", "@"],
    "login --cacert": [*LOGIN, "--password-file", "+", "--cacert", "@"],
    "login --delegate-password-file": [
        *LOGIN, "--password-file", "+", "--delegate-user", "bob", "--delegate-password-file", "@",
    ],
    "login --smartcard-pin": [*LOGIN, "--password-file", "+", "--smartcard-pin", "file:@"],
    "login --pkinit": [*LOGIN, "--pkinit", "FILE:@,@"],
    "login --pkinit PKCS12": [*LOGIN, "--pkinit", "PKCS12:@"],
    "login --pkinit-anchors": [*LOGIN, "--pkinit", "FILE:+,+", "--pkinit-anchors", "FILE:@"],
    "login --file": ["login", "-u", "LAB\\alice", "--file", "@"],
    "probe --file": ["probe", "--file", "@"],
    "report": ["report", "@"],
    "serve rdp --cert": ["serve", "rdp", *SERVE, "--cert", "@"],
    "serve rdp --key": ["serve", "rdp", *SERVE, "--cert", "+", "--key", "@"],
    "serve winrm --cert": ["serve", "winrm", *SERVE, "--cert", "@"],
    "serve winrm --tls-cert": ["serve", "winrm", *SERVE, "--tls-cert", "@"],
    "serve winrm --tls-key": ["serve", "winrm", *SERVE, "--tls-cert", "+", "--tls-key", "@"],
    "serve winrm --answers": ["serve", "winrm", *SERVE, "--answers", "@"],
    "gateway check": ["gateway", "check", "@"],
    "gateway run": ["gateway", "run", "@"],
    "gateway explain": ["gateway", "explain", "@"],
    "gateway front --cert": [*FRONT, "--fingerprint", "ab" * 32, "--users-file", "+", "--cert", "@"],
    "gateway front --cacert": [*FRONT, "--users-file", "+", "--cacert", "@"],
    "gateway back --cert": [*BACK, "--fingerprint", "ab" * 32, "--password-file", "+", "--cert", "@"],
    "gateway back --cacert": [*BACK, "--password-file", "+", "--cacert", "@"],
    "gateway back --password-file": [*BACK, "--fingerprint", "ab" * 32, "--password-file", "@"],
    "doctor --cacert": ["doctor", NOWHERE, "--cacert", "@"],
    "doctor --policy": ["doctor", NOWHERE, "--policy", "@"],
    "policy check --policy": ["policy", "check", "TERMSRV/srv", "--policy", "@"],
    "conformance --password-file": [
        "conformance", "server", "127.0.0.1:1", "-u", "LAB\\alice", "--password-file", "@", "--timeout", "1",
    ],
    "agent run --config": ["agent", "run", "--config", "@"],
    "agent exec --config": ["agent", "exec", "--config", "@", "--", "true"],
    "agent add --password-file": [*AGENT_ADD, "--password-file", "@"],
    "agent lock --phrase-file": ["agent", "lock", "--phrase-file", "@"],
    "conformance --expected": ["conformance", "fixtures", "--rule", "*", "--expected", "@"],
}  # fmt: skip
WRITTEN: dict[str, list[str]] = {
    "conformance --junit": ["conformance", "fixtures", "--rule", "*", "--junit", "@"],
    "conformance --cacert-file": [
        "conformance", "client", "--exec", "true {host} {port}", "-u", "LAB\\alice", "--password-file", "+",
        "--cacert-file", "@", "--timeout", "1",
    ],
    "doctor --html": ["doctor", "--html", "@"],
    "conformance --html": ["conformance", "fixtures", "--rule", "*", "--html", "@"],
    "probe --junit": ["probe", "127.0.0.1:1", "--junit", "@"],
    "probe --html": ["probe", "127.0.0.1:1", "--html", "@"],
    "report --html": ["report", "%", "--html", "@"],
    "dissect --html": ["dissect", CAPTURE, "--html", "@"],
    "probe --resume": ["probe", "127.0.0.1:1", "--resume", "@"],
    "dissect -o": ["dissect", CAPTURE, "-o", "@"],
    "login --transcript": [*LOGIN, "--password-file", "+", "--transcript", "@"],
    "login --junit": [*LOGIN, "--password-file", "+", "--junit", "@"],
    "login --html": [*LOGIN, "--password-file", "+", "--html", "@"],
    "login --resume": [*LOGIN, "--password-file", "+", "--resume", "@"],
    "serve rdp --transcript": ["serve", "rdp", *SERVE, "--transcript", "@"],
}  # fmt: skip
if KERBEROS:
    READ |= {
        "login --ccache": ["login", NOWHERE, "--mechanism", "kerberos", "--ccache", "@"],
        "login --keytab": ["login", NOWHERE, "--mechanism", "kerberos", "--keytab", "@"],
        "doctor --ccache": ["doctor", "--timeout", "1", "--ccache", "@"],
        "doctor --keytab": ["doctor", "--timeout", "1", "--keytab", "@"],
        "conformance --keytab": [
            "conformance",
            "client",
            "--exec",
            "true {host} {port}",
            "-u",
            "LAB\\alice",
            "--password-file",
            "+",
            "--keytab",
            "@",
            "--timeout",
            "1",
        ],
        "serve rdp --keytab": ["serve", "rdp", *SERVE, "--keytab", "@"],
    }

PROBLEMS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path,
    "folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),  # unreadable for root too
    "empty": lambda path: path.touch(0o600),
    "noise": lambda path: path.write_bytes(random.Random(1).randbytes(300)),
}
FILES = {"F", "FILE", "PEM", "LOG", "LIST", "TOML", "PATH", "CACHE", "PLACE", "IDENTITY"}
ELSEWHERE = {
    "conformance --ccache",  # read once a login works
    "gateway front --users-file", "gateway front --keytab",
    "serve rdp --users-file", "serve winrm --users-file", "serve winrm --key", "serve winrm --keytab",
    "serve winrm --transcript",
    "serve rdp --port-file", "serve winrm --port-file",  # tests/cli/test_serve_trial.py
    "serve rdp --cacert-file", "serve winrm --cacert-file",  # tests/cli/test_serve_faults.py
    # what only an agent that runs can read: tests/lsa/test_agent_files.py
    "agent add --cacert", "agent add --keytab", "agent add --pkinit",
    "agent add --ccache",  # may be written later, as by kinit
    "agent run --socket", "agent add --socket", "agent list --socket", "agent remove --socket", "agent lock --socket",
    "agent unlock --socket",
    "agent unlock --phrase-file",
}  # fmt: skip
"""Options of the same kind as one in the table, or with a test of their own."""

ACCEPTED = {
    ("report", "empty"): None,  # a run that was interrupted before its first result
    ("dissect --keylog", "empty"): 0,  # the report says so: the capture has its keys itself
    ("dissect --keylog", "noise"): 0,
    ("login --pkinit", "noise"): None,  # what is in these files is for libkrb5 to say, when it asks the KDC
    ("login --pkinit PKCS12", "noise"): None,
    ("login --pkinit-anchors", "noise"): None,
    ("agent run --config", "empty"): None,  # an agent without credentials
    ("agent exec --config", "empty"): None,
    ("serve winrm --answers", "empty"): None,  # no answers
    ("policy check --policy", "empty"): None,  # a TOML file that sets nothing
    ("doctor --policy", "empty"): None,
}


@pytest.fixture(autouse=True)
def no_krb5_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    (tmp_path / "krb5.conf").write_text("[libdefaults]\n  dns_lookup_kdc = false\n  default_realm = LAB.TEST\n")
    monkeypatch.delenv("CREDSSP_PASSWORD", raising=False)


def _run(command: list[str], file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    password = tmp_path / "password"
    password.write_text("LAB:alice:secret\n")  # a password file and an account file
    password.chmod(0o600)
    words = [word.replace("@", str(file)) if word != "LAB\\alice" else word for word in command]
    words = [word.replace("+", str(password)) for word in words]
    results = tmp_path / "results"
    results.write_text('{"target": "rdp://127.0.0.1:1"}\n')
    words = [word.replace("%", str(results)) for word in words]
    if words[0] == "agent":  # it protects the memory of its process, for good
        done = subprocess.run(
            [sys.executable, "-m", "credssp", *words], capture_output=True, text=True, timeout=100, check=False
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        code = main(words)
        out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out + err


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("option", READ)
def test_the_message_names_the_file(
    option: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "the-file"
    PROBLEMS[problem](file)
    if file.is_file():
        file.chmod(0o600)
    if ACCEPTED.get((option, problem), 1) is None:
        return
    code, text = _run(READ[option], file, tmp_path, capsys)
    assert code == ACCEPTED.get((option, problem), code)
    assert code or (option, problem) in ACCEPTED
    assert str(file) in text.replace("\n          ", "").replace("\n    ", "")


@pytest.mark.parametrize("problem", ["folder", "a link to itself"])
@pytest.mark.parametrize("option", WRITTEN)
def test_the_message_names_the_file_that_cannot_be_written(
    option: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "the-file"
    PROBLEMS[problem](file)
    code, text = _run(WRITTEN[option], file, tmp_path, capsys)
    assert code
    assert str(file) in text


def test_a_file_without_permission_is_named_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may write everywhere.
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) not in (tmp_path, tmp_path / "old"))
    (tmp_path / "old").touch()
    for name in ("old", "new"):
        file = str(tmp_path / name)
        assert main(["probe", "127.0.0.1:1", "--html", file]) == 2
        out, err = capsys.readouterr()
        assert (out, err) == ("", f"credssp probe: {file} cannot be written: there is no permission to\n")


def test_accounts_that_are_not_accounts_are_named_with_their_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for problem in ("missing", "folder", "a link to itself", "noise"):
        file = tmp_path / problem
        PROBLEMS[problem](file)
        if file.is_file():
            file.chmod(0o600)
        code, text = _run(["serve", "rdp", "--listen", "127.0.0.1:0", "--users-file", "@"], file, tmp_path, capsys)
        assert code == 2
        assert str(file) in text


def test_the_line_of_a_list_of_targets_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list").write_text("# a comment\n\nnot a target\n")
    assert main(["probe", "--file", str(tmp_path / "list")]) == 2
    assert f"{tmp_path / 'list'}, line 3: 'not a target' is not a target" in capsys.readouterr().err


def test_decode_says_that_it_was_given_a_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "message").write_bytes(b"\x30\x03")
    assert main(["decode", str(tmp_path / "message")]) in (1, 2)
    assert f"{tmp_path / 'message'} is the name of a file" in capsys.readouterr().err
    assert main(["decode", "/nonexistent"]) in (1, 2)
    assert "/nonexistent looks like a path" in capsys.readouterr().err


def test_an_account_file_without_accounts_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "users").touch(0o600)
    _serve_options.accounts(argparse.Namespace(user=[], users_file=str(tmp_path / "users"), keytab=None, winbind=False))
    assert f"{tmp_path / 'users'} has no accounts" in capsys.readouterr().err


def test_every_option_that_takes_a_file_is_in_the_table() -> None:
    known = {*READ, *WRITTEN, *ELSEWHERE}
    missing = []
    for command in COMMANDS:
        parser = argparse.ArgumentParser(prog=command)
        importlib.import_module(f"credssp.cli.{command}").configure(parser)
        for prog, each in parsers_of(parser):
            for action in each._actions:
                name = f"{prog} {action.option_strings[-1]}" if action.option_strings else prog
                if action.metavar in FILES and not any(name.startswith(entry) for entry in known):
                    missing.append(name)
    if not KERBEROS:
        missing = [name for name in missing if not name.endswith(("--ccache", "--keytab"))]
    assert not missing, missing


def parsers_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from ((f"{parser.prog} {name}", each),)


def test_hints_to_install_an_extra_work_in_a_clone_too() -> None:
    hints = 0
    for path in (Path(__file__).parents[2] / "credssp").rglob("*.py"):
        text = re.sub(r'"\s*f?"', "", path.read_text(encoding="utf-8"))
        for match in re.finditer(r"pip install 'credssp\[(.+?)\]'(.{0,40})", text):
            hints += 1
            assert f"(in a clone: '.[{match[1]}]')" in match[2], path
    assert hints >= 7

"""``credssp serve`` with faults, our own command as the client: what the endpoint says of it, and what the client."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from credssp.cli import main
from tests.cli.test_serve_trial import USER, kind, serve
from tests.docs.pages import DOCS, blocks

__all__ = ["kind"]

LOGIN = [sys.executable, "-m", "credssp", "login", "{url}", "-u", USER, "--mechanism", "ntlm"]
NO_CONNECTION, OWN_CHECK = 3, 4
"""Exit codes of ``credssp login``: no login, and a check of its own."""


def refused(kind: str, *options: str, code: int, client: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    done = serve(
        kind,
        *options,
        "--expect-refused",
        "any",
        "--expect-exit",
        str(code),
        "--patience",
        "90",
        client=client or LOGIN,
    )
    assert done.returncode == 0, done.stderr
    assert "credssp serve: passed: " in done.stderr
    return done


@pytest.mark.parametrize("leg", ["tls", "authentication", "1", "2"])
def test_client_that_is_closed_out_before_its_proof_has_no_login(kind: str, leg: str) -> None:
    done = refused(kind, "--close-at", leg, code=NO_CONNECTION)
    assert "the test server closed the connection in place of its answer to" in done.stderr
    event = next(json.loads(line) for line in done.stdout.splitlines() if '"event": "refused"' in line)
    assert event["reason"] == "closed"


@pytest.mark.parametrize(("which", "leg"), [("rdp", "negotiation"), ("winrm", "offer")])
def test_first_legs_have_their_own_names(which: str, leg: str) -> None:
    if which == "winrm":
        pytest.importorskip("uvicorn")
    refused(which, "--close-at", leg, code=NO_CONNECTION)


def test_client_that_is_closed_out_after_its_proof() -> None:
    refused("rdp", "--close-at", "key", code=1)
    pytest.importorskip("uvicorn")
    refused("winrm", "--close-at", "key", code=NO_CONNECTION)


def test_client_that_is_closed_out_after_authinfo_has_delegated(kind: str) -> None:
    done = serve(kind, "--close-at", "credentials", "--expect-user", USER, client=LOGIN)
    assert done.returncode == 0, done.stderr
    assert "passed: LAB\\alice was delegated, and the client ended with exit code " in done.stderr
    assert "exit code 0" not in done.stderr


@pytest.mark.parametrize("version", ["4", "6"])
def test_wrong_key_is_found_by_the_client(kind: str, version: str) -> None:
    options = ("--max-version", version, "--min-version", version)
    refused(kind, "--wrong-key", *options, code=OWN_CHECK, client=[*LOGIN, "--min-version", version])


def test_client_that_does_not_verify_the_key_fails() -> None:
    """One of ours that was broken for this test: it would delegate to whoever is in the middle."""
    text = (
        "import sys, credssp, credssp.binding as binding\n"
        "from credssp import rdp\n"
        "binding.verify = lambda *arguments, **options: None\n"
        "alice = credssp.PasswordCredentials('alice', 'correct horse', domain='LAB')\n"
        "rdp.connect('127.0.0.1', int(sys.argv[1]), credentials=alice, mechanism='ntlm').close()\n"
    )
    done = serve("rdp", "--wrong-key", "--expect-refused", "any", client=[sys.executable, "-c", text, "{port}"])
    assert done.returncode == 1
    assert "FAILED: expected a refusal, and LAB\\alice logged on" in done.stderr


def test_delay_comes_before_every_answer(kind: str) -> None:
    done = serve(kind, "--delay", "0.2", "--expect-user", USER, "--expect-exit", "0")
    assert done.returncode == 0, done.stderr
    refused(kind, "--delay", "5", code=NO_CONNECTION, client=[*LOGIN, "--timeout", "1"])


@pytest.mark.parametrize("which", ["expired", "weak", "other-name"])
def test_wrong_certificate_is_found_by_a_client_that_trusts_its_authority(
    kind: str, which: str, tmp_path: Path
) -> None:
    trust = tmp_path / "ca.pem"
    options = ["--https"] if kind == "winrm" else []
    client = [*LOGIN, "--cacert", str(trust)]
    refused(kind, *options, "--certificate", which, "--cacert-file", str(trust), code=OWN_CHECK, client=client)


def test_good_certificate_is_taken(kind: str, tmp_path: Path) -> None:
    trust = tmp_path / "ca.pem"
    options = ["--https"] if kind == "winrm" else ["--certificate", "good"]
    client = [*LOGIN, "--cacert", str(trust)]
    done = serve(
        kind, *options, "--cacert-file", str(trust), "--expect-user", USER, "--expect-exit", "0", client=client
    )
    assert done.returncode == 0, done.stderr


def test_commands_of_the_manual(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    page = (DOCS / "how-to" / "test-any-client.md").read_text(encoding="utf-8")
    (text,) = (block.text for block in blocks(page, "sh") if "--https" in block.text)
    program = [sys.executable, "-m", "credssp"]
    commands = [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]
    assert len(commands) == 4
    for _, *words in commands:
        words = [word.replace("credssp login", f"{shlex.join(program)} login") for word in words]
        done = subprocess.run(
            [*program, *words],
            cwd=tmp_path,
            env=os.environ | {"CREDSSP_PASSWORD": "secret"},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr


# What makes no sense


@pytest.mark.parametrize(
    ("which", "options", "words"),
    [
        (
            "rdp",
            ["--close-at", "offer"],
            "'offer' is not a leg: use negotiation, tls, authentication, key, credentials",
        ),
        ("winrm", ["--close-at", "negotiation"], "'negotiation' is not a leg: use offer"),
        ("rdp", ["--close-at", "0"], "'0' is not a leg"),
        ("rdp", ["--delay", "-1"], "'-1' is not a number of seconds"),
        ("rdp", ["--delay", "nan"], "'nan' is not a number of seconds"),
        ("rdp", ["--certificate", "green"], "invalid choice: 'green'"),
    ],
)
def test_arguments_that_make_no_sense_are_named(
    which: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", which, *options])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--certificate", "good", "--cert", "x.pem"], "--certificate and --cert exclude each other"),
        (["--cacert-file", "x.pem"], "--cacert-file needs --certificate"),
        (["--wrong-key", "--uid", "nobody"], "--uid is for services"),
    ],
)
def test_options_that_do_not_go_together_are_named(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "rdp", "--listen", "127.0.0.1:0", *options]) == 2
    assert words in capsys.readouterr().err


def test_authority_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none" / "ca.pem"
    options = ["--certificate", "good", "--cacert-file", str(path)]
    assert main(["serve", "rdp", "--listen", "127.0.0.1:0", *options]) == 2
    assert f"--cacert-file {path}: it cannot be written: No such file or directory" in capsys.readouterr().err


def test_https_has_one_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    assert main(["serve", "winrm", "--listen", "127.0.0.1:0", "--https", "--tls-cert", str(tmp_path)]) == 2
    assert "--https and --tls-cert exclude each other" in capsys.readouterr().err

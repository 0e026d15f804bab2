"""Options of ``credssp login`` about names, cards and empty passwords; nothing here connects."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import _login_credentials, login
from credssp.credentials import PasswordCredentials, SmartCardCredentials
from credssp.fleet.target_url import parse_target

KSP = "Microsoft Smart Card Key Storage Provider"


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    login.configure(parser)
    return parser.parse_args(["rdp://srv.lab.test", *words])


@pytest.mark.parametrize(
    ("words", "user", "domain", "key_spec"),
    [
        (["-u", "LAB\\alice"], "alice", "LAB", 1),
        (["-u", "alice", "-d", "LAB", "--csp", KSP], "alice", "LAB", 0),
        (["-u", "alice@lab.test", "--key-spec", "2"], "alice@lab.test", None, 2),
        (["--csp", KSP, "--key-spec", "1"], None, None, 1),
    ],
)
def test_hints_and_key_of_a_card(
    words: list[str], user: str, domain: str, key_spec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PIN", "1234")
    arguments = parsed("--smartcard-pin", "env:CREDSSP_PIN", *words)
    card: Any = _login_credentials.delegated(arguments, parse_target(arguments.targets[0]))
    assert isinstance(card, SmartCardCredentials)
    assert (card.user_hint, card.domain_hint, card.key_spec) == (user, domain, key_spec)


def test_empty_password_is_an_option_and_no_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "password").write_text("\n")
    monkeypatch.setenv("CREDSSP_PASSWORD", "")
    file = str(tmp_path / "password")
    for words, where in (([], ""), (["--password-file", file], f" in {file}")):
        assert login.run(parsed("-u", "alice", *words)) == 2
        assert f"the password{where} is empty: use --empty-password" in capsys.readouterr().err
    credentials = _login_credentials.logon(parsed("-u", "alice", "--empty-password"))
    assert credentials == PasswordCredentials("alice", "")


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are Unicode there")
@pytest.mark.parametrize(
    "words", [["-u", b"j\xfcrgen"], ["--ccache", "c", "-u", b"j\xfcrgen"], ["-d", b"\xfc", "-u", "a"]]
)
def test_name_that_is_not_in_the_encoding_of_the_locale_ends_with_2_and_says_so(words: list[Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "credssp", "login", "rdp://127.0.0.1:9", *words],
        env=os.environ | {"CREDSSP_PASSWORD": "x", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "not a character in the encoding of this locale" in done.stderr

from __future__ import annotations

import json
from pathlib import Path

import pytest

from credssp.cli import main


@pytest.mark.parametrize(
    ("target", "level", "source", "code"),
    [
        ("TERMSRV/host", "ntlm", "fresh", 0),
        ("TERMSRV/host", "certificate", "fresh", 0),
        ("TERMSRV/host", "kerberos", "saved", 0),
        ("TERMSRV/host", "none", "fresh", 1),
        ("TERMSRV/host", "kerberos", "default", 1),
        ("HTTP/host", "kerberos", "fresh", 1),
    ],
)
def test_windows_as_installed_decides(
    target: str, level: str, source: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "check", target, "--level", level, "--source", source]) == code
    out = capsys.readouterr().out
    assert out.startswith(f"{target}: {'refused' if code else 'allowed'} (SEC_E_")
    assert "DenyFreshCredentials" in out or source != "fresh"


def test_policy_file_decides_and_what_it_cannot_do_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = tmp_path / "policy.reg"
    registry.write_text(
        "Windows Registry Editor Version 5.00\n\n"
        "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows\\CredentialsDelegation]\n"
        '"AllowFreshCredentials"=dword:00000001\n'
        '"ConcatenateDefaults_AllowFresh"=dword:00000000\n'
        '"Nonsense"=dword:00000001\n\n'
        "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows\\CredentialsDelegation\\AllowFreshCredentials]\n"
        '"1"="HTTP/*"\n'
    )
    command = ["policy", "check", "HTTP/host", "--level", "certificate", "--policy", str(registry)]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "* AllowFreshCredentials (enabled): HTTP/*" in out
    assert "Nonsense" in err

    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["allowed"], answer["pattern"], answer["level"]) == (True, "HTTP/*", "strong")
    assert any("Nonsense" in text for text in answer["ignored"])


@pytest.mark.parametrize("content", [None, "this = is = no = TOML"])
def test_bad_policy_file_exits_with_2(content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.toml"
    if content is not None:
        path.write_text(content)
    assert main(["policy", "check", "TERMSRV/host", "--policy", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("credssp policy: ")
    assert "policy.toml" in err


def test_domain_joined_machine_has_other_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["policy", "check", "TERMSRV/host", "--source", "saved", "--level", "ntlm"]
    alone, joined = main(arguments), main([*arguments, "--domain-joined"])
    assert (alone, joined) == (0, 1)


def test_control_characters_of_a_target_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    main(["policy", "check", "TERMSRV/\x1b[31mhost"])
    assert "\x1b" not in capsys.readouterr().out

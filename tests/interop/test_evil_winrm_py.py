"""A session of evil-winrm-py with the WinRM double, over CredSSP, to its own exit code.

The program logs on with NTLM, Kerberos or a certificate. Its class of connections, pypsrp's, has CredSSP as well, so a
few lines here choose that; everything else is the program's own ``main``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from credssp.testing.answers import Answer
from credssp.testing.winrm import WinRMServer
from tests.peers import missing, peers_folder

pytestmark = pytest.mark.interop

VERSION = "1.7.0"
USER, PASSWORD = "LAB\\alice", "secret"
WITH_CREDSSP = """
import sys
from evil_winrm_py import evil_winrm_py as program

class WithCredSSP(program.WSManEWP):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **(options | {"auth": "credssp"}))

program.WSManEWP = WithCredSSP
sys.exit(program.main())
"""
DATA = b"\0of the answers\n" * 5000
DIGEST = hashlib.md5(DATA).hexdigest().upper()  # noqa: S324  # what Get-FileHash -Algorithm MD5 prints
FILE = "".join(
    f"{json.dumps(line)}\r\n"
    for line in (
        {"Type": "Metadata", "FileSize": len(DATA), "ChunkSize": 65536, "FileHash": DIGEST},
        {"Type": "Chunk", "Base64Data": base64.b64encode(DATA[:65536]).decode()},
        {"Type": "Chunk", "Base64Data": base64.b64encode(DATA[65536:]).decode()},
    )
)  # fmt: skip
ANSWERS = [
    Answer("=$pwd.Path", stdout="C:\\Users\\{user}\r\n"),
    Answer("Get-Service*", stdout="Running  WinRM  for {delegated_user}\r\n"),
    Answer("Get-Broken", stderr="It is broken.", exit_code=1),
    Answer("(Resolve-Path*file.txt*", stdout="C:\\file.txt\r\n"),
    Answer("*$bufferSize = 65536*-FilePath C:\\file.txt", stdout=FILE),
    Answer("Write-Output 'of a file'*", stdout=("one\r\n", "two\r\n"), delay=0.1),
]


@pytest.fixture(scope="module")
def python() -> Path:
    folder = peers_folder() / f"evil-winrm-py-{VERSION}"
    if not (folder / "complete").exists():
        missing(f"evil-winrm-py {VERSION} is not in {folder} (.ci/fetch-evil-winrm-py)")
    return folder / "bin" / "python"


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest) -> Iterator[WinRMServer]:
    with WinRMServer({("LAB", "alice"): PASSWORD}, https=request.param == "https", commands=ANSWERS) as running:
        yield running


def session(
    python: Path,
    server: WinRMServer,
    folder: Path,
    *lines: str,
    password: str = PASSWORD,
    configuration: str = "Microsoft.PowerShell",
) -> tuple[int, str]:
    """Type the lines, and return the exit code and what was printed."""
    command = [
        str(python), "-c", WITH_CREDSSP, "-i", "127.0.0.1", "--port", str(server.port), "-u", USER, "-p", password,
        "--no-colors", "-c", configuration, *(["--ssl"] if server.url.startswith("https") else []),
    ]  # fmt: skip
    environment = os.environ | {"HOME": str(folder), "NO_PROXY": "*", "TERM": "dumb", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, input="\n".join([*lines, ""]), cwd=folder, env=environment, capture_output=True, text=True, timeout=90
    )
    return done.returncode, done.stdout + done.stderr


def test_a_session_runs_commands_and_scripts_and_fetches_a_file(
    python: Path, server: WinRMServer, tmp_path: Path
) -> None:
    script = tmp_path / "script.ps1"
    script.write_text("Write-Output 'of a file'\n")
    code, text = session(
        python,
        server,
        tmp_path,
        "Get-Service WinRM",
        "Get-Broken",
        "Get-Nothing",
        "whoami",
        f"runps {script}",
        f"download C:\\file.txt {tmp_path / 'fetched'}",
        "exit",
    )
    assert code == 0, text
    for expected in (
        "C:\\Users\\alice>",
        "Running  WinRM  for alice",
        "It is broken.",
        "The term 'Get-Nothing' is not recognized as the name of a cmdlet",
        "LAB\\alice",
        "one\ntwo\n",
        "[+] PowerShell script ran successfully.",
    ):
        assert expected in text
    assert (tmp_path / "fetched").read_bytes() == DATA
    server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)


def test_a_configuration_without_scripts_gets_pipelines_of_cmdlets(
    python: Path, server: WinRMServer, tmp_path: Path
) -> None:
    command = "Get-Service -Name 'Win RM' | Select-Object -First 1"
    code, text = session(python, server, tmp_path, command, "exit", configuration="Helpdesk")
    assert code == 0, text
    assert "Running  WinRM  for alice" in text
    assert [call.command for call in server.calls] == [command]


def test_a_wrong_password_ends_it(python: Path, server: WinRMServer, tmp_path: Path) -> None:
    code, text = session(python, server, tmp_path, "exit", password="wrong")
    assert code == 1
    assert "LOGON_FAILURE" in text
    server.assert_refused()

"""Clients of others run commands of the test's own choice in the WinRM double: pywinrm and pypsrp."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from credssp.testing.answers import Answer, CommandCall
from credssp.testing.winrm import WinRMServer
from tests.cli.test_winrm import served
from tests.peers import require_module

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pywinrm leaves sessions behind
]

winrm = require_module("winrm")
winrm_errors = require_module("winrm.exceptions")
pypsrp_wsman = require_module("pypsrp.wsman")
pypsrp_shell = require_module("pypsrp.shell")

USER, PASSWORD = "LAB\\alice", "secret"
ACCOUNTS = {("LAB", "alice"): PASSWORD}
ANSWERS = [
    Answer("Get-Service*", stdout="Running  WinRM  for {user} as {delegated_domain}\\{delegated_user}\r\n"),
    Answer("Get-Broken", stderr="broken\r\n", progress="Preparing modules for first use.", exit_code=1),
    Answer("slow", stdout=("one\r\n", "two\r\n"), delay=1.5),
    Answer("sort", stdin="/(b+)/", stdout="{1} of {stdin}"),
    Answer("big", stdout="x" * 700_000),
    Answer("say", stdout="ü\r\n"),
    Answer("denied", fault="access-denied"),
]


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest) -> Iterator[WinRMServer]:
    with WinRMServer(ACCOUNTS, https=request.param == "https", commands=ANSWERS) as running:
        yield running


class PyWinRM:
    """pywinrm's protocol."""

    def __init__(self, url: str, **options: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.session = winrm.Session(
                url, (USER, PASSWORD), transport="credssp", server_cert_validation="ignore", proxy=None, **options
            )

    def run(self, command: str, stdin: bytes | None = None, **shell: Any) -> tuple[bytes, bytes, int]:
        protocol = self.session.protocol
        shell_id = protocol.open_shell(**shell)
        command_id = protocol.run_command(shell_id, command)
        if stdin is not None:
            protocol.send_command_input(shell_id, command_id, stdin, end=True)
        output: tuple[bytes, bytes, int] = protocol.get_command_output(shell_id, command_id)
        protocol.cleanup_command(shell_id, command_id)
        protocol.close_shell(shell_id)
        return output


class PyPSRP:
    """pypsrp's WinRS shell."""

    def __init__(self, url: str, **options: Any) -> None:
        parts = urlsplit(url)
        timeout = options.pop("operation_timeout_sec", 20)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.client = pypsrp_wsman.WSMan(
                parts.hostname,
                port=parts.port,
                ssl=parts.scheme == "https",
                username=USER,
                password=PASSWORD,
                auth="credssp",
                cert_validation=False,
                no_proxy=True,
                operation_timeout=timeout,
            )

    def run(self, command: str, stdin: bytes | None = None, **shell: Any) -> tuple[bytes, bytes, int]:
        with self.client, pypsrp_shell.WinRS(self.client, **shell) as opened:
            process = pypsrp_shell.Process(opened, command)
            process.begin_invoke()
            if stdin is not None:
                process.send(stdin)
            process.end_invoke()
            process.signal(pypsrp_shell.SignalCode.TERMINATE)
            return process.stdout, process.stderr, process.rc


@pytest.fixture(params=[PyWinRM, PyPSRP])
def peer(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_both_get_the_answer_of_a_command(server: WinRMServer, peer: Any) -> None:
    assert peer(server.url).run("Get-Service WinRM") == (b"Running  WinRM  for alice as LAB\\alice\r\n", b"", 0)
    assert [call.command for call in server.calls] == ["Get-Service WinRM"]
    server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)


def test_both_get_output_beyond_an_envelope(server: WinRMServer, peer: Any) -> None:
    assert peer(server.url).run("big")[0] == b"x" * 700_000


def test_both_send_input(server: WinRMServer, peer: Any) -> None:
    assert peer(server.url).run("sort", b"abbba")[0] == b"bbb of abbba"


def test_both_ask_again_when_the_time_of_an_operation_is_over(server: WinRMServer, peer: Any) -> None:
    assert peer(server.url, operation_timeout_sec=1).run("slow") == (b"one\r\ntwo\r\n", b"", 0)


def test_both_get_the_code_page_that_they_chose(server: WinRMServer, peer: Any) -> None:
    assert peer(server.url).run("say", codepage=437)[0] == b"\x81\r\n"
    assert peer(server.url).run("say", codepage=65001)[0] == "ü\r\n".encode()


def test_both_see_unknown_commands_fail_as_on_windows(server: WinRMServer, peer: Any) -> None:
    out, error, code = peer(server.url).run("format c:")
    assert (out, code) == (b"", 1)
    assert error.startswith(b"'format' is not recognized as an internal or external command")


def test_both_get_a_fault(server: WinRMServer, peer: Any) -> None:
    faults = (winrm_errors.WSManFaultError, pypsrp_wsman.WSManFaultError)
    with pytest.raises(faults) as caught:
        peer(server.url).run("denied")
    assert "Access is denied" in str(caught.value)


def test_pywinrm_runs_scripts_and_reads_the_errors_of_powershell(server: WinRMServer) -> None:
    session = PyWinRM(server.url).session
    good = session.run_ps("Get-Service WinRM")
    assert (good.status_code, good.std_out) == (0, b"Running  WinRM  for alice as LAB\\alice\r\n")
    bad = session.run_ps("Get-Broken")
    assert (bad.status_code, bad.std_out, bad.std_err) == (1, b"", b"broken")
    unknown = session.run_ps("Get-Nothing")
    assert unknown.status_code == 1
    assert unknown.std_err.startswith(b"Get-Nothing : The term 'Get-Nothing' is not recognized")
    session.protocol.transport.close_session()


def test_a_function_answers_pywinrm() -> None:
    async def answer(call: CommandCall) -> str:
        return json.dumps({"user": call.user, "script": call.script})

    with WinRMServer(ACCOUNTS, commands=answer) as server:
        session = PyWinRM(server.url).session
        assert json.loads(session.run_ps("Get-Date").std_out) == {"user": "alice", "script": "Get-Date"}
        session.protocol.transport.close_session()


def test_answers_of_a_file(tmp_path: Path, peer: Any) -> None:
    path = tmp_path / "answers.toml"
    path.write_text('[[answer]]\ncommand = "Get-*"\nstdout = "{script}{command} on {host}"\nexit_code = 3\n')
    with served("--user", f"{USER}:{PASSWORD}", "--nb-computer", "srv", "--answers", str(path)) as (url, _):
        assert peer(f"{url}/wsman").run("Get-Date") == (b"Get-Date on srv", b"", 3)

"""PowerShell remoting against the WinRM double, over CredSSP: pypsrp's Client, RunspacePool and PowerShell."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from credssp.testing.answers import Answer
from credssp.testing.winrm import WinRMServer
from tests.peers import require_module

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
]

pypsrp_client = require_module("pypsrp.client")
pypsrp_powershell = require_module("pypsrp.powershell")

USER, PASSWORD = "LAB\\alice", "secret"
COMPLETED, FAILED = 4, 5
ANSWERS = [
    Answer("Get-Service*", stdout="Running  WinRM  for {user} as {delegated_user}\r\nü 🎉\r\n"),
    Answer("Get-Broken", stdout="before\r\n", stderr="it is\r\nbroken\r\n", exit_code=1),
    Answer("program", stdout="out\r\n", stderr="one\r\ntwo\r\n", exit_code=3),
    Answer("slow", stdout=("one\r\n", "two\r\n"), delay=1.5),
    Answer("sort*", stdin="/(b+)/", stdout="{1} of {stdin}"),
    Answer("big", stdout="x" * 1_200_000),
    Answer("denied", fault="access-denied"),
]


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest) -> Iterator[WinRMServer]:
    with WinRMServer({("LAB", "alice"): PASSWORD}, https=request.param == "https", commands=ANSWERS) as running:
        yield running


def connect(server: WinRMServer, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pypsrp_client.Client(
            "127.0.0.1",
            port=server.port,
            ssl=server.url.startswith("https"),
            username=USER,
            password=PASSWORD,
            auth="credssp",
            cert_validation=False,
            no_proxy=True,
            **options,
        )


@pytest.fixture
def client(server: WinRMServer) -> Iterator[Any]:
    with connect(server) as made:
        yield made


def test_a_script_gets_its_answer_and_its_credentials_are_delegated(server: WinRMServer, client: Any) -> None:
    assert client.execute_ps("Get-Service WinRM")[::2] == ("Running  WinRM  for alice as alice\nü 🎉", False)
    (call,) = server.calls
    assert call.script == "Get-Service WinRM"
    assert call.command == "Invoke-Expression -Command 'Get-Service WinRM' | Out-String -Stream"
    server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)


def test_a_pool_and_its_pipelines(client: Any) -> None:
    with pypsrp_powershell.RunspacePool(client.wsman, max_runspaces=3) as pool:
        assert pool.protocol_version == "2.3"
        assert pool.application_private_data.data["PSVersionTable"]["PSEdition"] == "Desktop"
        assert pool.get_available_runspaces() == 3
        pool.max_runspaces = 5
        pool.min_runspaces = 2
        assert pool.get_available_runspaces() == 5
        pool.reset_runspace_state()
        for _ in range(2):
            shell = pypsrp_powershell.PowerShell(pool)
            shell.add_cmdlet("Get-Service").add_parameter("Name", "WinRM")
            assert shell.invoke()[0] == "Running  WinRM  for alice as alice"
            assert shell.state == COMPLETED

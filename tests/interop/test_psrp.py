"""PowerShell remoting against the WinRM double, over CredSSP: pypsrp's Client, RunspacePool and PowerShell."""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from credssp.testing.answers import Answer, CommandCall, CommandOutput
from credssp.testing.winrm import WinRMServer
from tests.cli.test_winrm import served
from tests.peers import require_module

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
]

ObjectMeta = require_module("pypsrp.complex_objects").ObjectMeta
pypsrp_client = require_module("pypsrp.client")
pypsrp_host = require_module("pypsrp.host")
pypsrp_powershell = require_module("pypsrp.powershell")
pypsrp_wsman = require_module("pypsrp.wsman")

USER, PASSWORD = "LAB\\alice", "secret"
COMPLETED, FAILED = 4, 5
ANSWERS = [
    Answer("Get-Service*", stdout="Running  WinRM  for {user} as {delegated_user}\r\nü 🎉\r\n"),
    Answer("Get-Broken", stdout="before\r\n", stderr="it is\r\nbroken\r\n", exit_code=1),
    Answer("program", stdout="out\r\n", stderr="one\r\ntwo\r\n", exit_code=3),
    Answer("slow", stdout=("one\r\n", "two\r\n"), delay=1.5),
    Answer("sort*", stdin="/(b+)/", stdout="{1} of {stdin}"),
    Answer("big", stdout="x" * 1_200_000),
    Answer("forever", delay=1000),
    Answer(
        "chatty",
        stdout="out\r\n",
        warning="careful\r\nvery\r\n",
        verbose="more of {user}",
        debug="inside",
        information="told",
        progress="Preparing modules for first use.",
    ),
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


def run(pool: Any, script: str, *input_objects: Any) -> Any:
    shell = pypsrp_powershell.PowerShell(pool)
    shell.add_script(script)
    shell.invoke((each for each in input_objects) if input_objects else None)
    return shell


@pytest.fixture
def pool(client: Any) -> Iterator[Any]:
    with pypsrp_powershell.RunspacePool(client.wsman) as opened:
        yield opened


def test_streams_have_their_records(pool: Any) -> None:
    shell = run(pool, "chatty")
    assert shell.output == ["out"]
    assert [str(each) for each in shell.streams.warning] == ["careful", "very"]
    assert [str(each) for each in shell.streams.verbose] == ["more of alice"]
    assert [str(each) for each in shell.streams.debug] == ["inside"]
    assert [each.message_data for each in shell.streams.information] == ["told"]
    assert [each.activity for each in shell.streams.progress] == ["Preparing modules for first use."]
    assert shell.state == COMPLETED


def test_error_that_ends_a_pipeline(pool: Any, client: Any) -> None:
    shell = run(pool, "Get-Broken")
    assert (shell.output, shell.state, shell.had_errors) == (["before"], FAILED, True)
    assert [str(each) for each in shell.streams.error] == ["it is\r\nbroken"]
    assert client.execute_ps("Get-Broken")[2] is True


def test_errors_and_exit_code_of_a_program(client: Any) -> None:
    codes: list[int] = []

    class Host(pypsrp_host.PSHost):  # type: ignore[name-defined, misc]
        def SetShouldExit(self, runspace: Any, pipeline: Any, code: int) -> None:  # noqa: N802
            codes.append(code)

    host = Host(None, None, False, "test", None, None, "1.0")
    with pypsrp_powershell.RunspacePool(client.wsman, host=host) as pool:
        shell = run(pool, "program")
        run(pool, "Get-Service")
    assert (shell.output, shell.state, shell.had_errors) == (["out"], COMPLETED, False)
    assert [str(each) for each in shell.streams.error] == ["one", "two"]
    assert codes == [3]


def test_unknown_cmdlet_is_what_powershell_says(pool: Any, client: Any) -> None:
    message = "The term 'Get-Nothing' is not recognized as the name of a cmdlet, function, script file, or operable"
    cmdlet = pypsrp_powershell.PowerShell(pool)
    cmdlet.add_cmdlet("Get-Nothing").add_parameter("Name", "x").invoke()
    (error,) = cmdlet.streams.error
    assert str(error).startswith(message)
    assert (cmdlet.state, error.fq_error) == (FAILED, "CommandNotFoundException")
    assert error.message == "ObjectNotFound: (Get-Nothing:String) [], CommandNotFoundException"
    script = run(pool, "Get-Nothing x")
    assert str(script.streams.error[0]).startswith(message)
    assert script.state == COMPLETED
    _, streams, had_errors = client.execute_ps("Get-Nothing")
    assert had_errors
    assert streams.error[0].fq_error.endswith(",Microsoft.PowerShell.Commands.InvokeExpressionCommand")


def test_input_objects_are_standard_input(server: WinRMServer, pool: Any) -> None:
    assert run(pool, "sort", "abbba", ["second", {"a": 1}, [1, 2], None, True, 3.5]).output == [
        "bbb of abbba", "second", "System.Collections.Hashtable", "1 2", "", "True", "3.5"
    ]  # fmt: skip
    assert server.calls[-1].stdin.startswith("abbba\nsecond\n")


def test_pipeline_of_commands_as_text(server: WinRMServer, pool: Any) -> None:
    shell = pypsrp_powershell.PowerShell(pool)
    shell.add_cmdlet("Get-Service").add_parameter("Name", "it's").add_parameter("Verbose", True)
    shell.add_parameter("Depth", 3).add_parameter("Recurse").add_argument(None)
    shell.add_cmdlet("Select-Object").add_parameter("First", 1).add_statement()
    shell.add_script("echo $args").add_argument("two words")
    shell.invoke()
    (call,) = server.calls
    assert call.command == (
        "Get-Service -Name 'it''s' -Verbose:$true -Depth 3 -Recurse $null | Select-Object -First 1; "
        "echo $args 'two words'"
    )
    assert call.script == "echo $args"


def test_output_beyond_an_envelope_and_a_script_beyond_one(server: WinRMServer, pool: Any) -> None:
    assert run(pool, "big").output == ["x" * 1_200_000]
    script = f"Get-Service # {'x' * 800_000}"
    assert run(pool, script).state == COMPLETED
    assert server.calls[-1].script == script


def test_output_that_takes_longer_than_an_operation(server: WinRMServer) -> None:
    with connect(server, operation_timeout=1) as client:
        assert client.execute_ps("slow")[0] == "one\ntwo"


def test_pipeline_is_stopped(server: WinRMServer, pool: Any) -> None:
    shell = pypsrp_powershell.PowerShell(pool)
    shell.add_script("forever").begin_invoke()
    shell.stop()
    assert run(pool, "Get-Service").state == COMPLETED


def test_several_pipelines_of_a_pool_at_one_time(client: Any) -> None:
    with pypsrp_powershell.RunspacePool(client.wsman, max_runspaces=2) as pool:
        slow = pypsrp_powershell.PowerShell(pool)
        slow.add_script("forever").begin_invoke()
        assert pool.get_available_runspaces() == 1
        assert run(pool, "Get-Service").state == COMPLETED
        assert pool.get_available_runspaces() == 1
        slow.stop()
        assert pool.get_available_runspaces() == 2


def test_fault_in_place_of_a_pipeline(pool: Any) -> None:
    with pytest.raises(pypsrp_wsman.WSManFaultError, match="Access is denied"):
        run(pool, "denied")


def test_commands_and_pipelines_side_by_side(client: Any) -> None:
    assert client.execute_cmd("whoami") == ("LAB\\alice\r\n", "", 0)
    assert client.execute_ps("whoami")[0] == "LAB\\alice"
    assert client.execute_ps("hostname")[0] == "localhost"
    assert client.execute_ps("whoami", environment={"A": "1"})[0] == "LAB\\alice"


def test_function_answers_a_pipeline(tmp_path: Path) -> None:
    async def answer(call: CommandCall) -> CommandOutput:
        return CommandOutput(f"{call.user}: {call.script}\r\n", warning="from a function")

    with WinRMServer({("LAB", "alice"): PASSWORD}, commands=answer) as server, connect(server) as client:
        output, streams, _ = client.execute_ps("Get-Date")
    assert output == "alice: Get-Date"
    assert [str(each) for each in streams.warning] == ["from a function"]


def test_files_are_fetched_and_copied_where_answers_say_how(tmp_path: Path) -> None:
    data = b"of the answers\n"
    fetched = f"{base64.b64encode(data).decode()}\r\n{hashlib.sha1(data).hexdigest()}\r\n"  # noqa: S324
    answers = [
        Answer("*OpenRead*C:\\file.txt*", stdout=fetched),
        Answer("*GetTempFileName*", stdin=f"*{base64.b64encode(data).decode()}*", stdout="C:\\copy.txt\r\n"),
    ]
    with WinRMServer({("LAB", "alice"): PASSWORD}, commands=answers) as server, connect(server) as client:
        client.fetch("C:\\file.txt", str(tmp_path / "file"))
        assert (tmp_path / "file").read_bytes() == data
        assert client.copy(str(tmp_path / "file"), "copy.txt") == "C:\\copy.txt"
        with pytest.raises(pypsrp_client.WinRMError, match="Failed to fetch file C:.other"):
            client.fetch("C:\\other.txt", str(tmp_path / "other"))


def test_secure_strings_are_sent_with_a_key_and_not_opened(server: WinRMServer, pool: Any) -> None:
    pool.exchange_keys()
    secret = pool.serialize("hunter2", ObjectMeta("SS"))
    shell = pypsrp_powershell.PowerShell(pool)
    shell.add_cmdlet("Get-Service").add_parameter("Password", secret).invoke()
    assert server.calls[-1].command == "Get-Service -Password System.Security.SecureString"
    assert run(pool, "sort", "b", secret).output == ["b of b", "System.Security.SecureString"]


def test_what_a_pool_does_not_do_is_refused(pool: Any) -> None:
    with pytest.raises(pypsrp_wsman.WSManFaultError) as caught:
        pool.disconnect()
    assert caught.value.code == 2150858752
    assert not hasattr(pool, "is_alive") or pool.is_alive()  # since pypsrp 0.9
    with pytest.raises(pypsrp_wsman.WSManFaultError):
        pypsrp_powershell.RunspacePool.get_runspace_pools(pool.connection)
    assert run(pool, "Get-Service").state == COMPLETED


def test_answers_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.toml"
    path.write_text('[[answer]]\ncommand = "Get-*"\nstdout = "{script} on {host}"\nwarning = "once"\n')
    with served("--user", f"{USER}:{PASSWORD}", "--nb-computer", "srv", "--answers", str(path)) as (url, _):
        client = pypsrp_client.Client(
            "127.0.0.1", port=urlsplit(url).port, ssl=False, username=USER, password=PASSWORD, auth="credssp",
            no_proxy=True,
        )  # fmt: skip
        with client:
            output, streams, had_errors = client.execute_ps("Get-Date")
    assert (output, had_errors) == ("Get-Date on srv", False)
    assert [str(each) for each in streams.warning] == ["once"]

"""Double hops of other people's clients: pywinrm, pypsrp and xfreerdp come first, a file server is the second.

pywinrm and pypsrp delegate always; what a client without delegation is told is tested with ours. xfreerdp 2 delegates
nothing in Restricted Admin mode.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.credentials import PasswordCredentials
from credssp.status import NTStatus
from credssp.testing import RDPServer
from credssp.testing.answers import CommandCall, CommandOutput
from credssp.testing.double_hop import DoubleHop, NothingDelegatedError, password_of, use_delegated
from credssp.testing.winrm import WinRMServer
from tests.interop import x11
from tests.interop.smbd import FileServer, file_server
from tests.peers import require_module, require_program

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

PASSWORD = "Pa55-w0rd"
ACCOUNTS = {("LAB", "alice"): PASSWORD}
REPORT = "the report of the second server\r\n"

Make = Callable[..., Any]


@pytest.fixture
def credssp_accounts() -> dict[tuple[str, str], str]:
    return ACCOUNTS


def pywinrm(server: WinRMServer, command: str, password: str = PASSWORD) -> CommandOutput:
    session = require_module("winrm").Session(server.url, ("LAB\\alice", password), transport="credssp")
    answer = session.run_cmd(command)
    return CommandOutput(answer.std_out, answer.std_err, answer.status_code)


def pypsrp(server: WinRMServer, command: str) -> CommandOutput:
    client = require_module("pypsrp.client")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"auth": "credssp", "ssl": False, "encryption": "always", "no_proxy": True}
        with client.Client(
            "127.0.0.1", port=server.port, username="LAB\\alice", password=PASSWORD, **options
        ) as session:
            out, error, code = session.execute_cmd(command)
    return CommandOutput(out, error, code)


@pytest.mark.parametrize("client", [pywinrm, pypsrp])
def test_command_of_the_client_runs_on_the_second_server(credssp_double_hop: DoubleHop, client: Any) -> None:
    output = client(credssp_double_hop.first, "hostname")
    text = output.stdout if isinstance(output.stdout, str) else output.stdout.decode()
    assert (text, output.exit_code) == ("second\r\n", 0)
    credssp_double_hop.assert_double_hop(username="alice", domain="LAB", password=PASSWORD)


def test_script_of_powershell_runs_on_the_second_server(credssp_double_hop: DoubleHop) -> None:
    session = require_module("winrm").Session(
        credssp_double_hop.first.url, ("LAB\\alice", PASSWORD), transport="credssp"
    )
    assert session.run_ps("hostname").std_out == b"second\r\n"
    unknown = session.run_ps("Get-Nothing")
    assert unknown.status_code == 1
    assert unknown.std_err.startswith(b"Get-Nothing : The term 'Get-Nothing' is not recognized")
    credssp_double_hop.assert_double_hop(username="alice", domain="LAB", password=PASSWORD)


def test_pipeline_of_powershell_remoting_runs_on_the_second_server(make_credssp_double_hop: Make) -> None:
    hop = make_credssp_double_hop(ACCOUNTS, second_options={"commands": {"Get-Service*": "Running  WinRM\r\n"}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"auth": "credssp", "ssl": False, "encryption": "always", "no_proxy": True}
        with require_module("pypsrp.client").Client(
            "127.0.0.1", port=hop.first.port, username="LAB\\alice", password=PASSWORD, **options
        ) as session:
            output, streams, failed = session.execute_ps("Get-Service WinRM")
            assert (output.strip(), failed) == ("Running  WinRM", False), streams.error
            _, streams, failed = session.execute_ps("Get-Nothing")
    assert failed
    assert str(streams.error[0]).startswith("Get-Nothing : The term 'Get-Nothing' is not recognized")
    assert [call.script for call in hop.second.calls] == ["Get-Service WinRM", "Get-Nothing"]
    hop.assert_double_hop(username="alice", domain="LAB", password=PASSWORD)


def xfreerdp3(server: RDPServer | WinRMServer, folder: Path, *options: str) -> None:
    (folder / "krb5.conf").write_text("[libdefaults]\ndns_lookup_kdc = false\ndns_lookup_realm = false\n")
    x11.run(
        [
            *(require_program("xfreerdp3"), "+auth-only", f"/v:127.0.0.1:{server.port}", "/u:alice", "/d:LAB"),
            *(f"/p:{PASSWORD}", "/cert:ignore", "/sec:nla", *options),
        ],
        environment={"LC_ALL": "C.UTF-8", "KRB5_CONFIG": str(folder / "krb5.conf"), "HOME": str(folder)},
    )


# 3.10.3 delegates its password in Restricted Admin mode, too (`tests.interop.test_freerdp3`): not a case for here.
@pytest.mark.parametrize("credssp_double_hop", ["rdp-to-winrm", "rdp-to-rdp"], indirect=True)
def test_xfreerdp_3_comes_first(credssp_double_hop: DoubleHop, tmp_path: Path) -> None:
    xfreerdp3(credssp_double_hop.first, tmp_path)
    credssp_double_hop.assert_double_hop(username="alice", domain="LAB", password=PASSWORD, timeout=30)


@pytest.mark.parametrize("credssp_double_hop", ["rdp-to-winrm"], indirect=True)
def test_xfreerdp_2_in_restricted_admin_mode_makes_no_second_hop(credssp_double_hop: DoubleHop, display: str) -> None:
    first = credssp_double_hop.first
    x11.run_for(
        [
            *(require_program("xfreerdp"), f"/v:127.0.0.1:{first.port}", "/u:alice", "/d:LAB", f"/p:{PASSWORD}"),
            *("/cert:ignore", "/sec:nla", "/restricted-admin"),
        ],
        environment={"DISPLAY": display, "LC_ALL": "C.UTF-8"},
        seconds=10,
    )
    credssp_double_hop.assert_no_double_hop(username="")
    assert credssp_double_hop.failures
    assert all(isinstance(failure, NothingDelegatedError) for failure in credssp_double_hop.failures)
    with pytest.raises(AssertionError, match="no second hop is possible: the client delegated an empty set"):
        credssp_double_hop.assert_double_hop()


# A file server is second


@pytest.fixture
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    with file_server(tmp_path_factory.mktemp("smbd"), "alice", PASSWORD) as server:
        (server.work / "report.txt").write_bytes(REPORT.encode())
        yield server


def read_report(port: int, who: PasswordCredentials) -> str:
    """Read a file with smbprotocol. (Its `smbclient` has the name of a script that impacket puts beside pytest.)"""
    smb = require_module("smbprotocol.connection"), require_module("smbprotocol.session")
    tree, opened = require_module("smbprotocol.tree"), require_module("smbprotocol.open")
    connection = smb[0].Connection(uuid.uuid4(), "127.0.0.1", port)
    connection.connect(timeout=30)
    try:
        name = f"{who.domain}\\{who.username}"
        session = smb[1].Session(connection, name, who.password.reveal(), auth_protocol="ntlm")
        session.connect()
        work = tree.TreeConnect(session, r"\\127.0.0.1\work")
        work.connect()
        file = opened.Open(work, "report.txt")
        file.create(
            opened.ImpersonationLevel.Impersonation,
            opened.FilePipePrinterAccessMask.GENERIC_READ,
            0,
            opened.ShareAccess.FILE_SHARE_READ,
            opened.CreateDisposition.FILE_OPEN,
            0,
        )
        return bytes(file.read(0, file.end_of_file)).decode()
    finally:
        connection.disconnect(close=True)


def reader(files: FileServer) -> Callable[[CommandCall], str | CommandOutput]:
    """Return a program that reads a file of the file server with the delegated credentials."""
    refused = require_module("smbprotocol.exceptions").LogonFailure

    def program(call: CommandCall) -> str | CommandOutput:
        try:
            return read_report(files.port, password_of(call))
        except NothingDelegatedError as error:
            return CommandOutput(stderr=f"Access is denied.\r\n{error}\r\n", exit_code=5)
        except refused:
            return CommandOutput(stderr="The user name or password is incorrect.\r\n", exit_code=1326)

    return program


def test_file_of_the_second_server_is_read_as_the_delegated_user(
    make_credssp_winrm_server: Make, files: FileServer
) -> None:
    first = make_credssp_winrm_server(ACCOUNTS, commands={"type *": reader(files)})
    output = pywinrm(first, r"type \\second\work\report.txt")
    assert (output.stdout, output.exit_code) == (REPORT.encode(), 0)
    first.assert_delegated(username="alice", domain="LAB", password=PASSWORD)


def test_file_server_that_has_another_password_refuses(make_credssp_winrm_server: Make, files: FileServer) -> None:
    first = make_credssp_winrm_server({("LAB", "alice"): "other"}, commands={"type *": reader(files)})
    output = pywinrm(first, r"type \\second\work\report.txt", "other")
    assert (output.stderr, output.exit_code) == (b"The user name or password is incorrect.\r\n", 1326)


def test_without_delegation_the_file_is_out_of_reach(make_credssp_winrm_server: Make, files: FileServer) -> None:
    first = make_credssp_winrm_server(ACCOUNTS, commands={"type *": reader(files)})
    alice = PasswordCredentials("LAB\\alice", PASSWORD)
    output = use_delegated(alice, first, command="type report.txt", delegate=False, mechanism="ntlm")
    assert output.exit_code == 5
    assert isinstance(output.stderr, bytes)
    assert output.stderr.startswith(b"Access is denied.\r\nthere is nothing to log on to the next server with: the cl")
    first.assert_delegated(empty=True)


def test_second_server_refuses_and_the_client_is_told(make_credssp_double_hop: Make) -> None:
    from credssp.accounts import MemoryAccounts

    hop = make_credssp_double_hop(ACCOUNTS, second_options={"accounts": MemoryAccounts({("LAB", "alice"): "other"})})
    output = pywinrm(hop.first, "hostname")
    assert output.exit_code == 1326
    hop.second.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
    hop.assert_no_double_hop()

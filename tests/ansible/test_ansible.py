"""Ansible runs modules against the WinRM double and ends as it does with Windows; all that it sends is its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from credssp.testing.answers import Answer
from credssp.testing.winrm import WinRMServer
from tests.ansible.controller import LATEST, VERSIONS, Controller
from tests.ansible.inventories import ACCOUNTS, PASSWORD, inventory
from tests.kdc import REALM, Realm
from tests.peers import require_module

pytestmark = [pytest.mark.interop, pytest.mark.timeout(200)]

CONNECTIONS = ("winrm", "psrp")
ANSWERS = [
    Answer("=hostname", stdout="SRV\r\n"),
    Answer(
        module="win_command",
        arguments={"_raw_params": "/^(whoami) /upn$/"},
        result={"changed": True, "rc": 0, "stdout": "{1}: {user}\r\n", "stderr": "", "cmd": "whoami /upn"},
    ),
    Answer(module="win_shell", result={"changed": True, "rc": 3, "stdout": "", "stderr": "three", "failed": True}),
    Answer(module="win_shell", stdin="*never*", stdout="not reached"),
]
TASKS = """
- ansible.builtin.raw: hostname
- ansible.windows.win_ping:
- ansible.windows.win_ping:
    data: "{{ ansible_hostname }}"
- ansible.windows.win_command: whoami /upn
- ansible.windows.win_shell: exit 3
  ignore_errors: true
"""


@dataclass(frozen=True)
class Lab:
    """A realm, and the keytab of a server in it."""

    realm: Realm
    keytab: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_module("gssapi", extra="kerberos")
    with Realm(tmp_path_factory.mktemp("realm")) as realm:
        realm.add("alice", password=PASSWORD)
        realm.add("HTTP/localhost")
        yield Lab(realm, realm.keytab("server.keytab", "HTTP/localhost"))


@pytest.fixture(scope="module")
def controller() -> Controller:
    return Controller.find(LATEST)


def assert_all_green(controller: Controller, folder: Path, hosts: str, *, environment: dict[str, str]) -> None:
    run = controller.run(folder, hosts=hosts, tasks=TASKS, facts=True, environment=environment)
    assert run.code == 0, run.output
    facts = run.result("gather_facts")["ansible_facts"]
    assert (facts["ansible_os_family"], facts["ansible_hostname"]) == ("Windows", "srv01")
    raw = run.result("ansible.builtin.raw")
    assert (raw["rc"], raw["stdout_lines"], raw["stderr"]) == (0, ["SRV"], "")
    pings = [line["result"]["ping"] for line in run.lines if line["task"] == "ansible.windows.win_ping"]
    assert pings == ["pong", "srv01"]
    command = run.result("ansible.windows.win_command")
    assert command["stdout_lines"] == ["whoami: alice"]
    assert command["changed"]
    shell = run.result("ansible.windows.win_shell", "failed")
    assert (shell["rc"], shell["stderr"]) == (3, "three")


@pytest.mark.parametrize("mechanism", ["ntlm", "kerberos"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("connection", CONNECTIONS)
def test_modules_of_ansible_get_their_answers(
    lab: Lab,
    controller: Controller,
    connection: str,
    scheme: str,
    mechanism: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in lab.realm.environment.items():
        monkeypatch.setenv(name, value)
    kerberos = mechanism == "kerberos"
    with WinRMServer(
        None if kerberos else ACCOUNTS,
        keytab=str(lab.keytab) if kerberos else None,
        hostname="srv01",
        https=scheme == "https",
        commands=ANSWERS,
    ) as server:
        user = f"alice@{REALM}" if kerberos else "LAB\\alice"
        # pywinrm takes Kerberos where it works.
        settings = {"mechanism": mechanism} if connection == "psrp" else {}
        hosts = inventory(server, connection, user=user, settings=settings)
        assert_all_green(controller, tmp_path, hosts, environment=lab.realm.environment)
        login = server.assert_delegated(username=user if kerberos else "alice", password=PASSWORD)
        # Without accounts, tickets alone let somebody in.
        assert login.identity is not None
        assert login.identity.domain == (REALM if kerberos else "LAB")


@pytest.mark.parametrize("version", VERSIONS[:-1])
@pytest.mark.parametrize("connection", CONNECTIONS)
def test_other_versions_of_ansible_get_them_too(version: str, connection: str, tmp_path: Path) -> None:
    controller = Controller.find(version)
    with WinRMServer(ACCOUNTS, hostname="srv01", commands=ANSWERS) as server:
        assert_all_green(controller, tmp_path, inventory(server, connection), environment={})


@pytest.mark.parametrize(
    ("connection", "outcome", "code"),
    # What pypsrp raises of it is not one of the errors for which `psrp` calls a host unreachable.
    [("winrm", "unreachable", 4), ("psrp", "failed", 2)],
)
def test_a_wrong_password_is_told_with_its_status(
    controller: Controller, connection: str, outcome: str, code: int, tmp_path: Path
) -> None:
    with WinRMServer(ACCOUNTS) as server:
        run = controller.run(
            tmp_path, hosts=inventory(server, connection, password="wrong"), tasks="- ansible.windows.win_ping:"
        )
        assert run.code == code
        assert "STATUS_LOGON_FAILURE" in run.result("ansible.windows.win_ping", outcome)["msg"]
        server.assert_refused()


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_an_untrusted_certificate_makes_the_host_unreachable(
    controller: Controller, connection: str, tmp_path: Path
) -> None:
    with WinRMServer(ACCOUNTS, https=True) as server:
        run = controller.run(
            tmp_path, hosts=inventory(server, connection, trust=False), tasks="- ansible.windows.win_ping:"
        )
        assert run.code == 4
        assert "CERTIFICATE_VERIFY_FAILED" in run.result("ansible.windows.win_ping", "unreachable")["msg"]
        assert server.delegations == []


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_commands_and_modules_without_an_answer_are_failed_tasks(
    controller: Controller, connection: str, tmp_path: Path
) -> None:
    tasks = """
- ansible.builtin.raw: Get-Nothing
  ignore_errors: true
- ansible.windows.win_service:
    name: spooler
"""
    with WinRMServer(ACCOUNTS) as server:
        run = controller.run(tmp_path, hosts=inventory(server, connection), tasks=tasks)
    assert run.code == 2
    # In a runspace, a script goes on after such an error, and `psrp` takes the exit code, of which there is none.
    raw = run.result("ansible.builtin.raw", "failed" if connection == "winrm" else "ok")
    assert raw["rc"] == (1 if connection == "winrm" else 0)
    assert "'Get-Nothing' is not recognized as the name of a cmdlet" in raw["stderr"]
    module = run.result("ansible.windows.win_service", "failed")
    assert module["msg"].startswith("this test server has no answer for the module ansible.windows.win_service")
    (call,) = [call for call in server.calls if call.ansible is not None]
    assert call.ansible is not None
    assert call.ansible.arguments == {"name": "spooler"}


COPIES = """
- ansible.windows.win_copy:
    src: big.txt
    dest: C:\\big.txt
- ansible.windows.win_copy:
    src: folder/
    dest: C:\\folder
- ansible.windows.win_copy:
    content: ""
    dest: C:\\empty.txt
- ansible.windows.win_template:
    src: sum.j2
    dest: C:\\sum.txt
"""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("connection", CONNECTIONS)
def test_files_are_copied_and_nothing_is_written(version: str, connection: str, tmp_path: Path) -> None:
    controller = Controller.find(version)
    (tmp_path / "big.txt").write_text("hello" * 100_000)
    (tmp_path / "sum.j2").write_text("{{ 1 + 1 }}")
    (tmp_path / "folder").mkdir()
    for name in ("a", "b"):
        (tmp_path / "folder" / name).write_text(name)
    with WinRMServer(ACCOUNTS) as server:
        run = controller.run(tmp_path, hosts=inventory(server, connection), tasks=COPIES)
        assert run.code == 0, run.output
        called = [call.ansible for call in server.calls if call.ansible is not None]
    assert [line["result"]["changed"] for line in run.lines] == [True] * 4
    # It compares the checksum of what arrived with that of its file, and warns if the folder is left over.
    assert [line["result"].get("warnings") for line in run.lines] == [None] * 4
    assert [call.short_name for call in called] == ["win_copy"] * 8

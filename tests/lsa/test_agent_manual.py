"""The manual's pages about the agent: what they show works, and what they say holds."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.lsa.audit import event_of
from credssp.lsa.caller import Caller
from credssp.lsa.record import LoginRecord
from credssp.lsa.settings import _KEYS, _SOURCE_KEYS, parse_settings, read_settings
from credssp.lsa.store import MAX_CREDENTIALS
from credssp.testing import RDPServer
from credssp.testing.winrm import WinRMServer
from tests.ansible.controller import VERSIONS, Controller
from tests.docs.pages import DOCS, blocks
from tests.lsa.agents import fingerprint, server_certificate
from tests.lsa.programs import AgentProgram, agent_program

if sys.platform == "win32":
    pytest.skip("the agent needs Unix-domain sockets", allow_module_level=True)

PASSWORD = "secret of alice"
ACCOUNTS = {("LAB", "alice"): PASSWORD}
CERTIFICATE = server_certificate()
HOW_TO = DOCS / "how-to" / "agent.md"
CONFIGURATION = DOCS / "reference" / "agent-configuration.md"
EXAMPLES = DOCS / "examples"


def text_of(page: Path) -> str:
    """Return a page without the indentation of what belongs to an item of a list."""
    return re.sub(r"^ {3}(?=\S)", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProgram]:
    folder = tmp_path_factory.mktemp("agent")
    with agent_program(folder / "s") as running:
        targets = [word for service in ("TERMSRV", "HTTP") for word in ("--target", f"{service}/*")]
        pin = ("--fingerprint", fingerprint(CERTIFICATE))
        running.add("prod-admin", "-u", "LAB\\alice", *targets, *pin, secret=PASSWORD)
        yield running


@pytest.fixture(scope="module")
def winrm() -> Iterator[WinRMServer]:
    with WinRMServer(ACCOUNTS, certificate=CERTIFICATE) as running:
        yield running


def test_examples_of_the_how_to_run(
    agent: AgentProgram, winrm: WinRMServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREDSSP_AGENT_SOCK", str(agent.path))
    with RDPServer(ACCOUNTS, certificate=CERTIFICATE, hold=0.01) as server:
        for block in blocks(text_of(HOW_TO), "py"):
            text = block.text.replace("http://srv.lab.test:5985/wsman", winrm.url)
            text = text.replace('connect("srv.lab.test"', f'connect("127.0.0.1", {server.port}')
            text = text.replace('"srv.lab.test", port=5985', f'"127.0.0.1", port={winrm.port}')
            assert "srv.lab.test" not in text
            exec(compile(text, str(HOW_TO), "exec"), {})  # noqa: S102
    said = capsys.readouterr().out.splitlines()
    assert said == [r"b'LAB\\alice\r\n'"] * 2
    logins = [event for event in agent.seen() if event["event"] == "agent-login"]
    assert {event["outcome"] for event in logins} == {"success"}
    assert len(logins) >= 3


@pytest.mark.parametrize("page", [HOW_TO, CONFIGURATION], ids=lambda page: page.name)
def test_configurations_of_the_pages_are_good(page: Path, tmp_path: Path) -> None:
    found = blocks(text_of(page), "toml")
    assert found
    for block in found:
        text = block.text.replace('"ca.pem"', '"system"').replace('"/etc/credssp/ca.pem"', '"system"')
        assert parse_settings(text, folder=tmp_path).credentials


def test_the_example_file_is_good() -> None:
    (found,) = read_settings(EXAMPLES / "agent.toml").credentials
    assert found.name == "prod-admin"


def test_the_reference_has_every_key() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == _KEYS | {"socket", "audit"}
    assert set(re.findall(r"\w+", text)) >= _SOURCE_KEYS
    assert f"at most {MAX_CREDENTIALS:,} credentials" in text


def test_the_reference_has_every_member_of_the_event() -> None:
    text = DOCS.joinpath("reference", "events.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| `agent-login` |"))
    values: dict[str, Any] = {each.name: "" for each in dataclasses.fields(LoginRecord)}
    values |= {"caller": Caller(1, 1, ""), "status": 0, "seconds": 0.0}
    members = list(event_of(LoginRecord(**values)))
    assert re.findall(r"`(\w+)`", row.split("|")[3]) == members[members.index("mechanism") + 1 :]


# Ansible

USE = """
import sys
from credssp.drivers.winrm_libraries import replace
assert replace() == ("pywinrm", "pypsrp")
from pypsrp.shell import Process, WinRS
from pypsrp.wsman import WSMan
from winrm.protocol import Protocol
url, port = sys.argv[1], int(sys.argv[2])
winrm = Protocol(url, transport="credssp", username="agent:prod-admin", password="-")
shell = winrm.open_shell()
command = winrm.run_command(shell, "whoami")
print(winrm.get_command_output(shell, command)[0])
winrm.close_shell(shell)
wsman = WSMan("127.0.0.1", port=port, ssl=False, auth="credssp", username="agent:prod-admin", password="-")
with wsman, WinRS(wsman) as remote:
    process = Process(remote, "whoami")
    process.invoke()
print(process.stdout)
"""


def test_what_the_ansible_plugin_does_lets_pywinrm_and_pypsrp_log_on_through_the_agent(
    agent: AgentProgram, winrm: WinRMServer
) -> None:
    command = [sys.executable, "-c", USE, winrm.url, str(winrm.port)]
    environ = {**os.environ, "CREDSSP_AGENT_SOCK": str(agent.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ, check=False)
    assert done.stdout.splitlines() == [r"b'LAB\\alice\r\n'"] * 2, done.stderr


@pytest.mark.interop
@pytest.mark.parametrize("version", VERSIONS)
def test_an_ansible_playbook_runs_without_a_password(
    agent: AgentProgram, winrm: WinRMServer, version: str, tmp_path: Path
) -> None:
    controller = Controller.find(version)
    (settings,) = blocks(text_of(HOW_TO), "cfg")
    (tmp_path / "ansible.cfg").write_text(settings.text)
    (inventory,) = blocks(text_of(HOW_TO), "ini")[:1]
    hosts = inventory.text.replace("srv.lab.test", f"127.0.0.1 ansible_port={winrm.port} ansible_winrm_scheme=http")
    before = len([event for event in agent.seen() if event["event"] == "agent-login"])
    run = controller.run(
        tmp_path,
        hosts=hosts,
        tasks="- ansible.builtin.raw: whoami",
        environment={"CREDSSP_AGENT_SOCK": str(agent.path)},
    )
    assert run.code == 0, run.output
    assert run.result("ansible.builtin.raw")["stdout"] == "LAB\\alice\r\n"
    assert agent.last(count=before + 1)["outcome"] == "success"


# systemd


@pytest.mark.parametrize("unit", ["credssp-agent.service", "credssp-agent.socket"])
def test_units_are_as_systemd_reads_them(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    for name in ("credssp-agent.service", "credssp-agent.socket"):
        text = (EXAMPLES / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/credssp/bin/credssp", sys.executable))
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["systemd-analyze", "--user", "--man=no", "verify", str(tmp_path / unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)
    assert "Unknown" not in done.stderr, done.stderr
    assert f"{tmp_path}/{unit}:" not in done.stderr, done.stderr


def test_the_unit_starts_the_agent_with_its_audit_and_reloads_it() -> None:
    text = (EXAMPLES / "credssp-agent.service").read_text()
    assert "credssp agent run --audit journal $CREDSSP_OPTIONS\n" in text
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in text
    socket = (EXAMPLES / "credssp-agent.socket").read_text()
    assert "ListenStream=%t/credssp/agent.sock\n" in socket
    assert "SocketMode=0600\n" in socket
    assert "DirectoryMode=0700\n" in socket

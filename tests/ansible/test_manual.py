"""The manual's page about Ansible: its files run as they are, and its table says what Ansible says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from credssp.testing.winrm import WinRMServer
from tests.ansible.controller import LATEST, VERSIONS, Controller
from tests.ansible.inventories import ACCOUNTS, PASSWORD, inventory
from tests.docs.pages import DOCS, blocks
from tests.docs.test_commands import commands

pytestmark = [pytest.mark.interop, pytest.mark.timeout(200)]

PAGE = DOCS / "how-to" / "ansible.md"
TEXT = PAGE.read_text(encoding="utf-8")


def block(language: str, number: int = 0) -> str:
    return blocks(TEXT, language)[number].text


def write_files(folder: Path) -> None:
    (folder / "hosts").write_text(block("ini"))
    (folder / "site.yml").write_text(block("yaml"))
    (folder / "answers.toml").write_text(block("toml"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_role_is_tested_as_shown(version: str, tmp_path: Path) -> None:
    controller = Controller.find(version)
    write_files(tmp_path)
    (command,) = commands(PAGE)[:1]
    done = subprocess.run(
        [sys.executable, "-m", "credssp", *command],
        cwd=tmp_path,
        env=controller.environment(tmp_path, {}),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "credssp serve: passed: LAB\\alice was delegated, and the client ended with exit code 0" in done.stderr
    outcomes = [json.loads(line)["outcome"] for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert outcomes == ["ok"] * 6


def test_the_pytest_example_passes(tmp_path: Path) -> None:
    controller = Controller.find(LATEST)
    write_files(tmp_path)
    (tmp_path / "test_spooler.py").write_text(block("py"))
    environment = controller.environment(tmp_path, {})
    environment.pop("PYTEST_ADDOPTS", None)  # those are for our tests
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_spooler.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


# Which setting is wrong


class Mistake(NamedTuple):
    """A wrong setting.

    Attributes:
        words: what the page says that Ansible says.
        connection: ``winrm`` or ``psrp``.
        server: options of the server.
        inventory: options of `inventory`.
        settings: settings of the inventory, which count more.
    """

    words: str
    connection: str = "winrm"
    server: Mapping[str, Any] = MappingProxyType({})
    inventory: Mapping[str, Any] = MappingProxyType({})
    settings: Mapping[str, str] = MappingProxyType({})


def refuses(*_: object) -> bool:
    return False


NO_TOKEN = "did not response with a CredSSP token after step Credential exchange"
WITHOUT_CREDSSP = "authentication methods Negotiate, Kerberos, NTLM - actual: 'CredSSP'"
OLD = {"min_version": 4, "max_version": 4}
MISTAKES = [
    Mistake("STATUS_LOGON_FAILURE", inventory={"password": "wrong"}),
    Mistake("CERTIFICATE_VERIFY_FAILED", server={"https": True}, inventory={"trust": False}),
    Mistake("Remote end closed connection without response", server={"https": True}, settings={"scheme": "http"}),
    Mistake("Remote end closed connection without response", "psrp", {"https": True}, settings={"scheme": "http"}),
    Mistake("WRONG_VERSION_NUMBER", settings={"scheme": "https"}),
    Mistake("WRONG_VERSION_NUMBER", "psrp", settings={"scheme": "https"}),
    Mistake("ntlm: the specified credentials were rejected", settings={"transport": "ntlm"}),
    Mistake("plaintext: the specified credentials were rejected", settings={"transport": "plaintext"}),
    Mistake(WITHOUT_CREDSSP, "psrp", settings={"transport": "negotiate"}),
    Mistake("Code 404", settings={"path": "/wrong"}),
    Mistake("Code: 404", "psrp", settings={"path": "wrong"}),
    Mistake("did not meet the minimum requirements of 5", "psrp", OLD, settings={"minimum_version": "5"}),
    Mistake(NO_TOKEN, server={"authorize": refuses}),
    Mistake(NO_TOKEN, "psrp", server={"authorize": refuses}),
    Mistake(NO_TOKEN, settings={"message_encryption": "never"}),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{each.connection}-{each.words[:20]}" for each in MISTAKES])
def test_the_table_says_what_ansible_says_of_a_wrong_setting(mistake: Mistake, tmp_path: Path) -> None:
    controller = Controller.find(LATEST)
    table = re.findall(r"^\| (`.*?`) \| ", TEXT[TEXT.index("| Ansible says |") :], re.MULTILINE)
    assert f"`{mistake.words}`" in ", ".join(table)
    with WinRMServer(ACCOUNTS, **mistake.server) as server:
        hosts = inventory(server, mistake.connection, settings=mistake.settings, **mistake.inventory)
        run = controller.run(tmp_path, hosts=hosts, tasks="- ansible.windows.win_ping:")
    (line,) = run.lines
    assert (line["outcome"], run.code) in {("unreachable", 4), ("failed", 2)}
    assert mistake.words in line["result"]["msg"]


class OnlyNegotiate(BaseHTTPRequestHandler):
    """A server where CredSSP is off."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Negotiate, Kerberos")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_the_table_says_what_ansible_says_where_credssp_is_off(tmp_path: Path) -> None:
    controller = Controller.find(LATEST)
    assert "\n| `- actual: 'Negotiate, Kerberos'` | " in TEXT
    with ThreadingHTTPServer(("127.0.0.1", 0), OnlyNegotiate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hosts = (
            f"srv ansible_host=127.0.0.1 ansible_port={server.server_port} ansible_connection=winrm ansible_user=alice "
            "ansible_password=secret ansible_winrm_transport=credssp ansible_winrm_scheme=http"
        )
        run = controller.run(tmp_path, hosts=hosts, tasks="- ansible.windows.win_ping:")
        server.shutdown()
    assert run.code == 4
    assert "- actual: 'Negotiate, Kerberos'" in run.result("ansible.windows.win_ping", "unreachable")["msg"]


# The plugin


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("connection", ["winrm", "psrp"])
def test_ansible_logs_on_with_this_library_by_the_settings_of_the_page(
    connection: str, version: str, tmp_path: Path
) -> None:
    controller = Controller.find(version)
    (tmp_path / "ansible.cfg").write_text(block("cfg"))
    with WinRMServer(ACCOUNTS) as server:
        run = controller.run(tmp_path, hosts=inventory(server, connection), tasks="- ansible.windows.win_ping:")
        assert run.code == 0, run.output
        server.assert_delegated(username="alice", password=PASSWORD)
    # requests-credssp would log on.
    with WinRMServer(ACCOUNTS, min_version=4, max_version=4) as server:
        run = controller.run(tmp_path, hosts=inventory(server, connection), tasks="- ansible.windows.win_ping:")
        assert run.code in {2, 4}
        assert "the peer speaks CredSSP version 4" in run.lines[0]["result"]["msg"]
        assert server.delegations == []


def test_the_lowest_version_can_be_chosen_with_psrp(tmp_path: Path) -> None:
    controller = Controller.find(LATEST)
    (tmp_path / "ansible.cfg").write_text(block("cfg"))
    with WinRMServer(ACCOUNTS, min_version=4, max_version=4) as server:
        hosts = inventory(server, "psrp", settings={"minimum_version": "4"})
        run = controller.run(tmp_path, hosts=hosts, tasks="- ansible.windows.win_ping:")
    assert run.code == 0, run.output

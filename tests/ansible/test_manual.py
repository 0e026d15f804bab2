"""The manual's page about Ansible: its files run as they are, and its table says what Ansible says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from credssp.testing.winrm import WinRMServer
from tests.ansible.controller import LATEST, VERSIONS, Controller
from tests.ansible.inventories import ACCOUNTS, inventory
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
        server: options of the server.
        inventory: options of `inventory`.
        settings: settings of the inventory, which count more.
    """

    words: str
    server: Mapping[str, Any] = MappingProxyType({})
    inventory: Mapping[str, Any] = MappingProxyType({})
    settings: Mapping[str, str] = MappingProxyType({})


def refuses(*_: object) -> bool:
    return False


MISTAKES = {
    "password": Mistake("STATUS_LOGON_FAILURE", inventory={"password": "wrong"}),
    "authority": Mistake("CERTIFICATE_VERIFY_FAILED", {"https": True}, {"trust": False}),
    "http": Mistake("Remote end closed connection without response", {"https": True}, settings={"scheme": "http"}),
    "https": Mistake("WRONG_VERSION_NUMBER", settings={"scheme": "https"}),
    "ntlm": Mistake("ntlm: the specified credentials were rejected", settings={"transport": "ntlm"}),
    "transport": Mistake("plaintext: the specified credentials were rejected", settings={"transport": "plaintext"}),
    "path": Mistake("Code 404", settings={"path": "/wrong"}),
    "authorization": Mistake(
        "did not response with a CredSSP token after step Credential exchange", {"authorize": refuses}
    ),
    "encryption": Mistake(
        "did not response with a CredSSP token after step Credential exchange", settings={"message_encryption": "never"}
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_table_says_what_ansible_says_of_a_wrong_setting(name: str, tmp_path: Path) -> None:
    controller = Controller.find(LATEST)
    mistake = MISTAKES[name]
    assert f"\n| `{mistake.words}` | " in TEXT
    with WinRMServer(ACCOUNTS, **mistake.server) as server:
        hosts = inventory(server, "winrm", settings=mistake.settings, **mistake.inventory)
        run = controller.run(tmp_path, hosts=hosts, tasks="- ansible.windows.win_ping:")
    assert run.code == 4
    assert mistake.words in run.result("ansible.windows.win_ping", "unreachable")["msg"]

"""The programs that docs/how-to/conformance-any-language.md judges: from the command line, and from pytest."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.interop import x11
from tests.kdc import free_port
from tests.peers import require_npm_package, require_program

pytestmark = pytest.mark.interop

PAGE = (DOCS / "how-to" / "conformance-any-language.md").read_text(encoding="utf-8")
CLIENT, SERVER = blocks(PAGE, "sh")
(MODULE,) = blocks(PAGE, "py")


@pytest.fixture
def folder(display: str, tmp_path: Path) -> Path:
    """What the page needs besides the programs."""
    for program in ("node", "xfreerdp3", "freerdp-shadow-cli3", "winpr-hash3"):
        require_program(program)
    (tmp_path / "node_modules").symlink_to(require_npm_package("ironrdp-wasm", "1.1.0").parent)
    (tmp_path / "ironrdp.mjs").write_bytes((DOCS / "examples" / "ironrdp.mjs").read_bytes())
    return tmp_path


def run(command: list[str], folder: Path, display: str) -> x11.Outcome:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {"PATH": path, "DISPLAY": display, "HOME": str(folder), "CREDSSP_PASSWORD": "secret"}
    environment["PYTEST_ADDOPTS"] = ""  # those are for our tests
    return x11.run(command, environment=environment, timeout=110, cwd=folder)


def test_clients_on_the_command_line(folder: Path, display: str) -> None:
    export, *commands = CLIENT.text.replace("\\\n", " ").splitlines()
    assert export == "export CREDSSP_PASSWORD=secret"
    assert [shlex.split(command)[-1].split()[0] for command in commands] == ["node", "xfreerdp3"]
    for command in commands:
        outcome = run(shlex.split(f"{sys.executable} -m {command}"), folder, display)
        assert outcome.code == 0, outcome.output
        assert "(client): no findings" in outcome.output
        assert " pass" in outcome.output
        assert "secret" not in outcome.output


def test_a_server_on_the_command_line(folder: Path, display: str) -> None:
    text = SERVER.text.replace(":3390", f":{free_port()}")
    outcome = run(["sh", "-ec", text], folder, display)
    assert outcome.code == 0, outcome.output
    assert "(server): no findings" in outcome.output


def test_from_python(folder: Path, display: str) -> None:
    make_accounts, *_ = SERVER.text.splitlines()
    assert run(["sh", "-ec", make_accounts], folder, display).code == 0
    (folder / "test_language.py").write_text(MODULE.text.replace("3390", str(free_port())), encoding="utf-8")
    outcome = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_language.py"], folder, display)
    assert outcome.code == 0, outcome.output
    assert "2 passed" in outcome.output

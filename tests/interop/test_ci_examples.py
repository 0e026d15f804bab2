"""The lines for CI that the manual shows (docs/how-to/test-any-client.md), each with the client that it names."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.interop import x11
from tests.peers import require_module, require_npm_package, require_program

pytestmark = pytest.mark.interop

PAGE = (DOCS / "how-to" / "test-any-client.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("\n## In CI\n") :]
((SHELL,), (WORKFLOW,)) = (blocks(SECTION, kind) for kind in ("sh", "yaml"))
COMMANDS = SHELL.text.replace("\\\n", " ").splitlines()


def client_of(command: str) -> list[str]:
    words = shlex.split(command)
    return shlex.split(words[words.index("--exec") + 1])


def prepare(client: list[str], folder: Path) -> None:
    """Put what a client needs into a folder; skips where the client is not installed."""
    if client[0] == "node":
        require_program("node")
        (folder / "node_modules").symlink_to(require_npm_package("ironrdp-wasm", "1.1.0").parent)
        (folder / "ironrdp.mjs").write_bytes((DOCS / "examples" / "ironrdp.mjs").read_bytes())
    elif client[0] == "python":
        require_module("uvicorn")
        require_module({"client_pywinrm.py": "winrm", "client_pypsrp.py": "pypsrp"}[client[1]])
        require_module("requests_credssp")
        (program,) = re.findall(rf"^`{client[1]}`:\n\n```py\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
        (folder / client[1]).write_text(program, encoding="utf-8")
    elif client[0] != "credssp":
        require_program(client[0])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: f"{client_of(each)[0]}-{COMMANDS.index(each)}")
def test_line_ends_with_0(command: str, display: str, tmp_path: Path) -> None:
    prepare(client_of(command), tmp_path)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {"PATH": path, "DISPLAY": display, "HOME": str(tmp_path), "CREDSSP_PASSWORD": "secret"}
    outcome = x11.run(shlex.split(f"{sys.executable} -m {command}"), environment=environment, timeout=110, cwd=tmp_path)
    assert outcome.code == 0, outcome.output


def test_workflow_has_lines_that_are_tested() -> None:
    runs = [" ".join(text.split()) for text in re.findall(r"run: >-\n((?: {10}.*\n)+)", WORKFLOW.text)]
    assert len(runs) == 2
    assert set(runs) <= {" ".join(command.split()) for command in COMMANDS}

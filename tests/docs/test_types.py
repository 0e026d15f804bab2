"""mypy and pyright, both strict, accept the examples of README and manual."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, Block, blocks
from tests.peers import require_module

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *(page for page in sorted(DOCS.glob("*/*.md")) if page.parent.name != "adr")]
MY_CLIENT = '''
class LogonFailed(Exception):
    """Made up, as `connect` is."""


def connect(host: str, port: int, *, user: str, password: str, allow_old: bool = False) -> None:
    """Log on."""
'''


def modules() -> Iterator[tuple[str, str]]:
    """Return the name and the text of a module for each page, and for each of its modules (``py``)."""
    for page in PAGES:
        name = page.stem if page.parent == ROOT else f"{page.parent.name}_{page.stem}"
        found = blocks(page.read_text(encoding="utf-8"), "python", "py")
        run = [block for block in found if block.language == "python"]
        if run:
            yield name.replace("-", "_"), joined(run)
        for block in found:
            if block.language == "py":
                before = [each for each in run if each.line < block.line]
                yield f"{name}_{block.line}".replace("-", "_"), joined([*before, block])
    for program in (DOCS / "examples").glob("*.py"):
        yield f"example_{program.stem}", program.read_text(encoding="utf-8")


def joined(parts: list[Block]) -> str:
    """Return the blocks as one module whose lines have the numbers of the page."""
    lines: list[str] = []
    for part in parts:
        lines += [""] * (part.line - 1 - len(lines)) + part.text.splitlines()
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, and the client that one of them tests."""
    folder = tmp_path_factory.mktemp("examples")
    for name, text in modules():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "my_client.py").write_text(MY_CLIENT, encoding="utf-8")
    return folder


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=280)


def test_there_are_examples(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) >= 18


@pytest.mark.interop
@pytest.mark.timeout(300)  # with a cold cache, beside other tests
def test_mypy_accepts_the_examples(folder: Path) -> None:
    require_module("mypy", extra="lint")
    done = run(sys.executable, "-m", "mypy", "--strict", "--config-file", "", ".", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.interop
@pytest.mark.timeout(300)
def test_pyright_accepts_the_examples(folder: Path) -> None:
    require_module("pyright", extra="lint")
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    done = run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr

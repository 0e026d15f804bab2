"""What README.md says is what happens: its example runs, its demo looks like that, and CI runs its test command."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from credssp.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_there_is_one_command_to_start_and_one_to_test() -> None:
    commands = [line for block in _blocks("sh") for line in block.splitlines() if "venv" in line]
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/credssp demo",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest",
    ]


def test_ci_takes_its_test_command_from_the_readme() -> None:
    # .ci/run: grep -E PATTERN README.md, then bash -c of what was found.
    match = re.search(r"^test_command=\$\(grep -E '(.*)' README\.md\)$", CI, re.MULTILINE)
    assert match is not None
    found = [line for line in README.splitlines() if re.search(match.group(1), line)]
    assert len(found) == 1
    assert found[0].endswith("-m pytest")
    assert 'bash -c "$test_command"' in CI
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_example_prints_what_stands_below_it() -> None:
    (example,) = _blocks("python")
    expected = README[README.index(example) :].split("```text\n", 1)[1].split("```", 1)[0]
    assert len([line for line in example.splitlines() if line]) <= 10
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(example, "README.md", "exec"), {})  # noqa: S102
    assert output.getvalue() == expected


def test_the_demo_looks_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    shown = next(block for block in _blocks("text") if block.startswith("leg"))
    for line in shown.splitlines():
        if match := re.match(r"\s+\d+  (client .. server) +\d+ +(.+)$", line):
            # Sizes vary with names and clock; direction and content do not.
            assert re.search(rf"{re.escape(match[1])} +\d+ .* {re.escape(match[2])}$", out, re.MULTILINE)
        elif line.strip() and not line.startswith(("leg", "---", "  ...")):
            assert line in out


# They run against one another in the tests of each; agent has a test of its own below.
NEED_A_PEER = {"agent", "doctor", "login", "probe", "report", "serve"}


def test_the_other_commands_work(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in _blocks("sh") for line in block.splitlines() if line.startswith("credssp ")]
    assert {shlex.split(line)[1] for line in lines} == set(COMMANDS) - {"demo", "help", "completion"}
    for line in lines:
        if shlex.split(line)[1] in NEED_A_PEER:
            continue
        assert main(shlex.split(line, comments=True)[1:]) == 0
        assert capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="the agent needs Unix-domain sockets")
def test_the_agent_of_one_command_works() -> None:
    (line,) = (line for block in _blocks("sh") for line in block.splitlines() if line.startswith("credssp agent "))
    program = [sys.executable, "-m", "credssp"]
    words = [word for part in shlex.split(line, comments=True) for word in (program if part == "credssp" else [part])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "the agent holds no credentials\n"), done.stderr


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_python_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = project["requires-python"].removeprefix(">=")
    assert f"Python {lowest} or newer" in README
    versions = re.findall(r"Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    assert f"for version in {' '.join(versions)}; do" in CI

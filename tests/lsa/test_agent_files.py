"""Files that the agent reads for the command line: whatever is wrong with one, the message has its name."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_file_errors import AGENT_ADD, PROBLEMS
from tests.lsa.programs import AgentProgram, agent_program, run_command

if sys.platform == "win32":
    pytest.skip("the agent needs Unix-domain sockets", allow_module_level=True)

KERBEROS = importlib.util.find_spec("krb5") is not None


@pytest.fixture(scope="module")
def agent() -> Iterator[AgentProgram]:
    with tempfile.TemporaryDirectory() as folder, agent_program(Path(folder) / "s") as running:
        yield running


def problem_file(problem: str, tmp_path: Path) -> Path:
    file = tmp_path / "the-file"
    PROBLEMS[problem](file)
    if file.is_file():
        file.chmod(0o600)
    return file


# What is in a keytab is read at each login, so that new keys count at once; only its place is judged when it is added.
@pytest.mark.parametrize(
    ("option", "problem"),
    [(option, problem) for option in ("--cacert", "--keytab") for problem in PROBLEMS
     if (option, problem) not in {("--keytab", "empty"), ("--keytab", "noise")}],
)  # fmt: skip
def test_the_message_names_the_file(agent: AgentProgram, option: str, problem: str, tmp_path: Path) -> None:
    if option != "--cacert" and not KERBEROS:
        pytest.skip("the libraries for Kerberos are not installed")
    file = problem_file(problem, tmp_path)
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    more = ["--password-file", str(password)] if option == "--cacert" else []
    done = run_command(*AGENT_ADD[1:], "--socket", str(agent.path), *more, option, str(file))
    assert "Traceback" not in done.stderr
    assert done.returncode
    assert str(file) in done.stderr


@pytest.mark.parametrize("problem", ["missing", "folder", "a link to itself", "noise"])
@pytest.mark.parametrize("action", [["list"], ["remove", "prod"], AGENT_ADD[1:], ["lock"], ["unlock"]])
def test_the_message_names_the_socket(action: list[str], problem: str, tmp_path: Path) -> None:
    file = problem_file(problem, tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    more = {"add": ["--password-file", str(secret)], "lock": ["--phrase-file", str(secret)]}
    more["unlock"] = more["lock"]
    done = run_command(*action, "--socket", str(file), *more.get(action[0], []))
    assert "Traceback" not in done.stderr
    assert done.returncode
    assert str(file) in done.stderr


@pytest.mark.parametrize("problem", ["folder", "a link to itself", "noise"])
def test_an_agent_does_not_replace_what_is_not_a_socket(problem: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = problem_file(problem, tmp_path)
    done = run_command("run", "--socket", str(file))
    assert "Traceback" not in done.stderr
    assert done.returncode
    assert str(file) in done.stderr
    assert file.is_symlink() or file.exists()

"""``credssp agent -- COMMAND``: an agent for one command, which ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("the agent needs Unix-domain sockets", allow_module_level=True)

from tests.lsa.programs import CREDSSP, run_command, until


@pytest.fixture
def runtime() -> Iterator[Path]:
    # Not of tmp_path: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="agent-") as made:
        yield Path(made)


def environ(runtime: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(runtime), "CREDSSP_AGENT_SOCK": ""}


def gone(runtime: Path) -> bool:
    """Wait until nothing of the agent is left."""
    return until(lambda: not list(runtime.iterdir()))


def test_the_command_finds_an_agent_of_its_own_and_its_exit_code_is_ours(runtime: Path) -> None:
    script = f'ls -d "$CREDSSP_AGENT_SOCK" && "{sys.executable}" -m credssp agent list; exit 7'
    done = run_command("--", "sh", "-c", script, environ=environ(runtime))
    assert done.returncode == 7, done.stderr
    path, listed = done.stdout.splitlines()
    assert Path(path).parent.parent == runtime
    assert listed == "the agent holds no credentials"
    assert gone(runtime)


def test_exec_is_the_long_form(runtime: Path) -> None:
    assert run_command("exec", "--", "sh", "-c", "exit 3", environ=environ(runtime)).returncode == 3
    assert run_command("exec", "sh", "-c", "exit 4", environ=environ(runtime)).returncode == 4
    assert gone(runtime)


def test_arguments_of_the_command_are_its_own(runtime: Path) -> None:
    done = run_command("--", "printf", "%s|", "--config", "--", "-x", "add", environ=environ(runtime))
    assert done.stdout == "--config|--|-x|add|"
    assert gone(runtime)


def test_the_command_reads_and_writes_what_it_would_have(runtime: Path) -> None:
    done = subprocess.run(
        [*CREDSSP, "agent", "--", "tr", "a-z", "A-Z"],
        input="text",
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ(runtime)},
        check=True,
    )
    assert done.stdout == "TEXT"
    assert gone(runtime)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--", "/nonexistent/program"), 127, "cannot be run: No such file"),
        (("--", "/etc"), 126, "cannot be run: Permission denied"),
        (("--",), 2, "there is no command"),
        (("--config", "/nonexistent", "--", "true"), 2, "/nonexistent cannot be read"),
        (("--audit", "/nonexistent/file", "--", "true"), 2, "events cannot go to /nonexistent/file"),
    ],
)
def test_a_command_that_cannot_be_run(runtime: Path, words: tuple[str, ...], code: int, text: str) -> None:
    done = run_command(*words, environ=environ(runtime))
    assert done.returncode == code
    assert text in done.stderr
    assert gone(runtime)


def test_a_faulty_configuration_starts_no_command(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("port = 1\n")
    done = run_command(
        "--config", str(tmp_path / "agent.toml"), "--", "touch", str(tmp_path / "ran"), environ=environ(runtime)
    )
    assert done.returncode == 2
    assert "port is not a key here" in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGKILL])
def test_signals_reach_the_command_and_the_agent_ends_with_it(runtime: Path, number: int) -> None:
    process = subprocess.Popen(
        [*CREDSSP, "agent", "--", "sh", "-c", "echo $$; exec sleep 600"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ(runtime)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"{process.pid}\n", "it is the same process"
    process.send_signal(number)
    assert process.wait(60) == -number
    process.stdout.close()
    assert gone(runtime)


def test_a_handler_of_the_command_decides(runtime: Path) -> None:
    script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [*CREDSSP, "agent", "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ(runtime)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.stdout.read() == "caught\n"
    assert process.wait(60) == 5
    process.stdout.close()
    assert gone(runtime)


def test_the_command_has_no_child_that_it_does_not_know(runtime: Path) -> None:
    program = "import os\ntry: os.wait()\nexcept ChildProcessError: print('none')\n"
    done = run_command("--", sys.executable, "-c", program, environ=environ(runtime))
    assert done.stdout == "none\n"
    assert gone(runtime)


def test_without_a_runtime_folder_the_socket_is_in_a_private_one(runtime: Path) -> None:
    place = runtime / "t"
    place.mkdir()
    script = 'stat -c "%a %n" "$(dirname "$CREDSSP_AGENT_SOCK")"'
    done = run_command("--", "sh", "-c", script, environ={"XDG_RUNTIME_DIR": "", "TMPDIR": str(place)})
    mode, path = done.stdout.split()
    assert mode == "700"
    assert Path(path).parent == place
    assert gone(place)

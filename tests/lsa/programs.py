"""``credssp agent`` as a program of its own, for tests."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import _agent_client, main
from credssp.credentials import AgentCredentials

__all__ = ["CREDSSP", "AgentProgram", "agent_program", "run_command", "until"]

CREDSSP = (sys.executable, "-m", "credssp")
_PATIENCE = 60.0


def until(condition: Callable[[], object]) -> bool:
    """Wait until something is the case; returns whether it became so."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class AgentProgram:
    """A running agent and the events that it has printed.

    Attributes:
        path: its socket.
        process: the process.
    """

    def __init__(self, path: Path, process: subprocess.Popen[str]) -> None:
        self.path = path
        self.process = process
        self._events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._events.append({"event": "the end"})
            self._changed.notify_all()

    def events(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many events of a name, and return all of them."""

        def found() -> list[dict[str, Any]]:
            return [event for event in self._events if event["event"] == name]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, _PATIENCE), self._events
            return found()

    def seen(self) -> list[dict[str, Any]]:
        """Return the events so far."""
        with self._changed:
            return list(self._events)

    def last(self, name: str = "agent-login", count: int = 1) -> dict[str, Any]:
        """Wait for so many events of a name, and return the last."""
        return self.events(name, count)[-1]

    def credentials(self, name: str) -> AgentCredentials:
        return AgentCredentials(name, os.fspath(self.path))

    def call(self, *words: str, secret: str = "", code: int = 0) -> str:
        """Run ``credssp agent`` with these words here, and return what it printed: on standard error for a failure."""
        return self.call_at(self.path, *words, secret=secret, code=code)

    @staticmethod
    def call_at(path: Path, *words: str, secret: str = "", code: int = 0) -> str:
        """As `call`, of whatever listens at a path."""
        out, err = io.StringIO(), io.StringIO()
        typed = io.TextIOWrapper(io.BytesIO(f"{secret}\n".encode()))
        with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", typed)
            patch.setattr(_agent_client, "hide_memory", lambda: None)  # this process is that of all tests
            found = main(["agent", *words, "--socket", os.fspath(path)])
        assert found == code, (found, out.getvalue(), err.getvalue())
        return err.getvalue() if code else out.getvalue()

    def add(self, name: str, *words: str, secret: str = "") -> None:
        source = ("--password-file", "-") if secret else ()
        self.call("add", name, *words, *source, secret=secret)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def agent_program(
    path: Path, *options: str, environ: Mapping[str, str] | None = None, errors: Path | None = None
) -> Iterator[AgentProgram]:
    """Run an agent on this socket until the block ends."""
    with (errors or path.with_suffix(".err")).open("a") as file:
        process = subprocess.Popen(
            [*CREDSSP, "agent", "run", "--socket", os.fspath(path), *options],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env={**os.environ, **(environ or {})},
        )
    agent = AgentProgram(path, process)
    try:
        agent.events("listening")
        yield agent
    finally:
        agent.end()


def run_command(*words: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``credssp agent`` with these words to its end."""
    return subprocess.run(
        [*CREDSSP, "agent", *words],
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
        env={**os.environ, **(environ or {})},
    )

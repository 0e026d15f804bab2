"""Runs a function of `tests.threads.stress` in a process with a small switch interval."""

from __future__ import annotations

import subprocess
import sys

from tests.threads.stress import Result


def stress(name: str, seconds: float, *arguments: str, timeout: float = 90) -> Result:
    """Return what a case of `tests.threads.stress` came to; fails where the process did not end well."""
    command = [sys.executable, "-X", "dev", "-m", "tests.threads.stress", name, str(seconds), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{name} ended with {done.returncode}: {done.stderr[-3000:]}"
    return Result.parse(done.stdout.splitlines()[-1])

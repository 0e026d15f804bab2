"""Start-up of the command line against an empty interpreter."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
from pathlib import Path


def _seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - begin


def measure(*, rounds: int = 15) -> dict[str, float]:
    """Return how many times ``python -c pass`` the command's help, in both ways to start it, and an import take."""
    script = Path(sysconfig.get_path("scripts"), "credssp")
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "help": [sys.executable, "-m", "credssp", "--help"],
        "script": [str(script), "--help"],
        "import": [sys.executable, "-c", "import credssp; credssp.ClientContext"],
    }
    if not script.exists():  # run from a checkout that is not installed
        del commands["script"]
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(rounds):
        for name, command in commands.items():
            best[name] = min(best[name], _seconds(command))
    return {name: seconds / best["bare"] for name, seconds in best.items()}

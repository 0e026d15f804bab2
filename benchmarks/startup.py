"""Start-up of the command line against an empty interpreter."""

from __future__ import annotations

import subprocess
import sys
import time


def _seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - begin


def measure(*, rounds: int = 15) -> dict[str, float]:
    """Return how many times ``python -c pass`` the command's help and an import take."""
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "help": [sys.executable, "-m", "credssp", "--help"],
        "import": [sys.executable, "-c", "import credssp; credssp.ClientContext"],
    }
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(rounds):
        for name, command in commands.items():
            best[name] = min(best[name], _seconds(command))
    return {"help": best["help"] / best["bare"], "import_client": best["import"] / best["bare"]}

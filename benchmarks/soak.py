"""What only time shows: threads that share one object for a minute each, in a process that must not crash."""

from __future__ import annotations

import json
import subprocess
import sys

THREADS = (
    ("one HTTPCredSSPAuth, 20 threads", "requests", "20"),
    ("one CredSSPAuth, 20 threads", "httpx", "20"),
    ("40 full-duplex sessions of RDP", "sessions", "40"),
    ("one context, TLS 1.2", "context", "1.2"),
    ("one context, TLS 1.3", "context", "1.3"),
)
"""What, and the case of `tests.threads.stress` with its argument."""


def measure(*, seconds: float) -> dict[str, tuple[int, int]]:
    """Return, by what it was, how many answers were right and how many were wrong; a crash is one that was wrong."""
    found = {}
    for what, case, argument in THREADS:
        command = [sys.executable, "-m", "tests.threads.stress", case, str(seconds), argument]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            found[what] = 0, 1
        else:
            result = json.loads(done.stdout.splitlines()[-1])
            found[what] = result["right"], sum(result["wrong"].values())
            for text, often in result["wrong"].items():
                print(f"{what}: {often} times {text}", file=sys.stderr)
    return found

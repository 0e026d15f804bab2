"""Resident memory of completed pairs, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PAIRS = 1000


def measure() -> dict[str, float]:
    """Return KiB of RSS per completed pair of contexts, and per pair of bare TLS connections."""
    return {kind: _in_child(kind) for kind in ("ours", "bare")}


def _in_child(kind: str) -> float:
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", kind], capture_output=True, check=True, text=True, timeout=300
    ).stdout
    return float(json.loads(output))


def _rss() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS: this benchmark needs Linux")


def _child(kind: str) -> float:
    from benchmarks.bulk import BarePair, completed_pair

    make = completed_pair if kind == "ours" else BarePair
    kept: list[object] = [make() for _ in range(50)]  # warm up, and fill the allocator's holes
    before = _rss()
    kept += [make() for _ in range(PAIRS)]
    return (_rss() - before) / PAIRS


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1])))

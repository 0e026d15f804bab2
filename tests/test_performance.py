"""What the benchmarks promise still holds, by and large: ``python -m benchmarks --quick`` against bounds with a margin.

The figures are ratios within one run, so a slow machine passes too. What moves them is the neighbourhood (cold caches
weigh on Python more than on OpenSSL's arithmetic: 14 % was seen beside other test processes) and how the
interpreter was built. Hence the margins, and a figure counts as exceeded only if it is so three times in a row. The
promises themselves, without margin, are in `benchmarks.__main__`; CONTRIBUTING.md says when to run that.

The benchmarks run in a process of their own: coverage or a debugger in this one would slow Python alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.performance

ROOT = Path(__file__).parent.parent

# By group: name, greatest value that passes. Behind it the promise of the project, and the figure of this code with a
# CPython 3.11 built without profile-guided optimisation, which is the slowest in use.
AT_MOST: dict[str, dict[str, float]] = {
    "login": {
        "credssp, SPNEGO/NTLM: both sides / bare": 2.6,  # 1.75; 2.0
        "credssp, SPNEGO/NTLM: client / bare client": 2.9,  # 2.0; 2.1
        "credssp, SPNEGO/NTLM: server / bare server": 2.3,  # 1.5; 1.8
        "credssp, bare NTLM: both sides / bare": 2.3,  # 1.4; 1.8
        "credssp, SPNEGO/NTLM: added to TLS / what pyspnego, tuned adds": 0.42,  # 0.39; 0.30
        "credssp, bare NTLM: added to TLS / what pyspnego, tuned adds": 0.32,  # 0.21; 0.23
    },
    "bulk": {
        "cost per octet, 64 MiB / 4 MiB": 2.0,  # 1.5; 1.35
        "round trip of 1 KiB / bare": 1.6,  # 1.3; 1.17
    },
    "memory": {"RSS per completed pair, KiB": 56},  # 52; 45
    "uniform": {"refusals: largest difference of median server CPU, us": 3.0},  # 1.0; 0.7 to 1.0
    "startup": {"python -m credssp --help / python -c pass": 3.75},  # 3.0; 2.3 to 2.9
}
AT_LEAST: dict[str, dict[str, float]] = {"bulk": {"wrap+unwrap 16 MiB: throughput / best bare loop": 0.75}}  # 0.9; 1.0

ATTEMPTS = 3


def run(group: str) -> dict[str, float]:
    """Return the figures of a group by name; where there is a median too, the better of the two."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_CORE")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json", group],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,  # it fails where a promise is not held
    )
    assert done.stdout, done.stderr
    return {
        figure["name"]: figure["value"] if figure["median"] is None else min(figure["value"], figure["median"])
        for figure in json.loads(done.stdout)["figures"]
    }


def beyond(group: str, figures: dict[str, float]) -> dict[str, float]:
    """Return the figures beyond their bounds. A bound whose figure is gone raises."""
    high = {name: figures[name] for name, bound in AT_MOST[group].items() if figures[name] > bound}
    low = {name: figures[name] for name, bound in AT_LEAST.get(group, {}).items() if figures[name] < bound}
    return high | low


@pytest.mark.parametrize("group", AT_MOST)
def test_benchmark_stays_within_its_bounds(group: str) -> None:
    if group == "memory" and not Path("/proc/self/status").exists():
        pytest.skip("RSS is read from /proc")
    found = beyond(group, run(group))
    for _ in range(ATTEMPTS - 1):
        if not found:
            return
        again = beyond(group, run(group))
        found = {name: value for name, value in again.items() if name in found}
    assert not found, f"{ATTEMPTS} times in a row: {found}"

"""A machine with IPv6 alone: a network of its own where ``lo`` has ::1 and no IPv4."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

IN_A_NETWORK = (
    'ip link set lo up && ip -4 addr flush dev lo && test -z "$(ip -4 addr show)" && exec "$0" -m credssp demo'
)


def test_demo_works_with_ipv6_alone() -> None:
    for needed in ("unshare", "ip"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a network namespace")
    command = ["unshare", "-n", "sh", "-c", IN_A_NETWORK, sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: the server received exactly the credentials that the client sent" in done.stdout

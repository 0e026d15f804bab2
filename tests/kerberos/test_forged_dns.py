"""DNS does not choose the server (RFC 4120 1.3): a network of its own, with DNS that lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import require_module, require_program

pytestmark = pytest.mark.interop

IN_A_NETWORK = (
    "ip link set lo up && mount --bind {resolv} /etc/resolv.conf && exec {python} -m tests.kerberos.forged_dns"
)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="network namespaces need root on Linux")
def test_the_ticket_is_for_the_name_that_was_given_whatever_dns_says(tmp_path: Path) -> None:
    require_module("gssapi", extra="kerberos")
    for program in ("unshare", "ip", "krb5kdc"):
        require_program(program)
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.54\n")
    if subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", IN_A_NETWORK.format(resolv=resolv, python=sys.executable)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "True TERMSRV/evil.example.test",
        "False TERMSRV/good.example.test host/good.example.test",
    ]

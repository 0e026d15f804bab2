"""nmap's RDP scripts against ``credssp serve rdp``. They send TSRequest version 96 and NTLM's NEGOTIATE, no more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.interop import x11
from tests.peers import require_program

pytestmark = pytest.mark.interop


def test_scripts_report_the_names_that_were_configured() -> None:
    nmap = require_program("nmap")
    command = [sys.executable, "-m", "credssp", "serve", "rdp", "--listen", "127.0.0.1:0", "--user", "LAB\\alice:x"]
    command += ["--nb-computer", "SRV01", "--nb-domain", "LABDOM", "--dns-computer", "srv01.lab.test"]
    command += ["--dns-domain", "lab.test", "--dns-tree", "forest.test"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        listening = json.loads(server.stdout.readline())
        port = listening["address"].rpartition(":")[2]
        scripts = "+rdp-enum-encryption,+rdp-ntlm-info"
        outcome = x11.run([nmap, "-Pn", "-p", port, "--script", scripts, "127.0.0.1"], environment={}, timeout=60)
    finally:
        server.terminate()
        events = [json.loads(line) for line in server.communicate(timeout=10)[0].splitlines()]
    assert server.returncode == 0
    for line in (
        "CredSSP (NLA): SUCCESS",
        "CredSSP with Early User Auth: SUCCESS",
        "Target_Name: LABDOM",
        "NetBIOS_Domain_Name: LABDOM",
        "NetBIOS_Computer_Name: SRV01",
        "DNS_Domain_Name: lab.test",
        "DNS_Computer_Name: srv01.lab.test",
        "DNS_Tree_Name: forest.test",
        "System_Time: ",
    ):
        assert line in outcome.output, outcome.output
    assert not [event for event in events if event["event"] == "delegated"]
    assert {event["event"] for event in events} == {"negotiated", "refused", "closed"}

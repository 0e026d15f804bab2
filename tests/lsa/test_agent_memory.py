"""Where the secret is: not in the program's memory during and after a login through the agent, but in a direct one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp.lsa.opened import CertificateRule
from credssp.nt_hash import nt_hash
from credssp.testing.rdp import RDPServer
from credssp.testing.winrm import WinRMServer
from tests.lsa.agents import PASSWORD, fingerprint, opened, running_agent, server_certificate
from tests.lsa.memory import needles, scan

pytestmark = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no /proc/PID/mem here")

WIDE = "Пароль через агента"
"""CPython keeps it in UTF-16LE, and one of Latin letters as UTF-8 is."""

# The password comes over standard input backwards, so that what is found is what the login made of it.
_PROGRAM = """
import json, sys, credssp
from credssp import rdp
order = json.loads(sys.stdin.readline())

def stop(where):
    print(where, flush=True)
    assert sys.stdin.readline()

def observer(direction, message, data):
    if message.pub_key_auth is not None and direction.value == "sent":
        stop("during")

if order["socket"]:
    credentials = credssp.AgentCredentials("lab", order["socket"])
elif order["hash"]:
    credentials = credssp.NTHashCredentials("alice", order["hash"], domain="LAB")
else:
    credentials = credssp.PasswordCredentials("alice", order["password"][::-1], domain="LAB")
del order["password"]
if order["transport"] == "rdp":
    session = rdp.connect("127.0.0.1", order["port"], credentials=credentials, observer=observer, mechanism="ntlm")
    mechanism = session.endpoint.context.mechanism
else:
    import requests
    from credssp.drivers.winrm_requests import HTTPCredSSPAuth
    auth = HTTPCredSSPAuth(credentials=credentials, observer=observer, mechanism="ntlm")
    session = requests.Session()
    answer = session.post(f"http://127.0.0.1:{order['port']}/wsman", data=order["body"], auth=auth,
                          headers={"Content-Type": "application/soap+xml;charset=UTF-8"})
    mechanism = answer.status_code
stop(f"after {mechanism}")
"""


@contextmanager
def program(order: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CREDSSP_")}
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        print(json.dumps(order), file=process.stdin, flush=True)
        try:
            yield process
        finally:
            process.kill()


def reached(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("transport", ["rdp", "winrm"])
@pytest.mark.parametrize(
    ("way", "password", "kept"),
    [
        ("agent", PASSWORD, None),
        ("agent", WIDE, None),
        ("password", PASSWORD, "UTF-8"),
        ("password", WIDE, "UTF-16LE"),
        ("hash", PASSWORD, "NT hash"),
    ],
    ids=["agent", "agent-wide", "password", "password-wide", "hash"],
)
def test_the_secret_is_in_the_programs_memory_only_in_a_direct_login(
    transport: str, way: str, password: str, kept: str | None
) -> None:
    if transport == "winrm":
        pytest.importorskip("requests")
    accounts = credssp.MemoryAccounts({("LAB", "alice"): password})
    certificate = server_certificate()
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    server: Any = (
        RDPServer(accounts=accounts, certificate=certificate, hold=60)
        if transport == "rdp"
        else WinRMServer(accounts=accounts, certificate=certificate)
    )
    wanted = needles(password, nt_hash(password))
    credentials = credssp.PasswordCredentials("alice", password, domain="LAB")
    with server, running_agent(opened(certificate=rule, credentials=credentials)) as agent:
        order = {
            "socket": agent.path if way == "agent" else "",
            "password": password[::-1] if way == "password" else "",
            "hash": nt_hash(password).hex() if way == "hash" else "",
            "transport": transport,
            "port": server.port,
            "body": "<x/>",
        }
        with program(order) as process:
            seen = {}
            assert reached(process) == "during"
            seen["during"] = scan(process.pid, wanted)
            assert process.stdin is not None
            print("on", file=process.stdin, flush=True)
            assert reached(process).startswith("after")
            seen["after"] = scan(process.pid, wanted)
    for found in seen.values():
        assert found["bytes"] > 10_000_000, "the scan reads the memory"
    if kept is None:
        assert agent.last().outcome == "success"
        assert all(found[name] == 0 for found in seen.values() for name in wanted), seen
    else:
        assert seen["during"][kept] > 0, seen
        assert seen["after"][kept] > 0, seen

"""Where keys and PINs are: not in the program's memory during and after a login through the agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from credssp.testing import RDPServer
from tests.kdc import REALM, Realm
from tests.lsa.memory import scan
from tests.lsa.programs import AgentProgram, agent_program
from tests.peers import require_module, require_program
from tests.pki import Authority, SoftCard

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no /proc/PID/mem here"),
]

PIN = "made-up PIN 593817"
USER = f"alice@{REALM}"

# The PIN comes over standard input backwards, so that what is found is what the login made of it.
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
    credentials = credssp.AgentCredentials(order["name"], order["socket"])
elif order["name"] == "key":
    with open(order["keytab"], "rb") as file:  # libkrb5 wipes what it has read: this is what the scan is to find
        held = file.read()
    credentials = credssp.KeytabCredentials(order["keytab"], order["user"])
else:
    credentials = credssp.CertificateCredentials(
        order["user"], order["identity"], pin=order["pin"][::-1], anchors=order["anchors"]
    )
session = rdp.connect("localhost", order["port"], credentials=credentials, observer=observer)
stop(f"after {session.endpoint.context.mechanism}")
"""


@dataclass(frozen=True)
class Lab:
    """A realm, an agent with a key and a smart card, a server, and what a program would need to log on by itself."""

    agent: AgentProgram
    server: RDPServer
    wanted: dict[str, bytes]
    order: dict[str, Any]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_module("gssapi", extra="kerberos")
    require_module("krb5", extra="kerberos")
    klist = require_program("klist")
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.kdc(REALM, "localhost")
    authority.user("alice", REALM)
    card = SoftCard(tmp_path_factory.mktemp("card"), authority, "alice", pin=PIN)
    folder = tmp_path_factory.mktemp("agent")
    with Realm(tmp_path_factory.mktemp("realm"), pki=authority.folder) as realm:
        realm.add("alice", "+requires_preauth", password="Made-up for these tests 2")
        realm.add("TERMSRV/localhost")
        server_keys = realm.keytab("server.keytab", "TERMSRV/localhost")
        keytab = realm.keytab("alice.keytab", "alice")
        listed = subprocess.run([klist, "-kK", str(keytab)], capture_output=True, text=True, timeout=30, check=True)
        keys = [word.strip("()")[2:] for word in listed.stdout.split() if word.startswith("(0x")]
        wanted = {f"key {number}": bytes.fromhex(key) for number, key in enumerate(keys)}
        assert wanted
        environment = realm.environment | card.environment
        with pytest.MonkeyPatch.context() as patch, agent_program(folder / "s", environ=environment) as agent:
            for name, value in realm.environment.items():  # for the server
                patch.setenv(name, value)
            (folder / "pin").write_text(f"{PIN}\n")
            (folder / "pin").chmod(0o600)
            target = ("--target", "TERMSRV/localhost")
            agent.add("key", "-u", USER, "--keytab", str(keytab), *target)
            smart = ("--pkinit", card.identity, "--pkinit-anchors", authority.anchors)
            agent.add("card", "-u", USER, *smart, "--smartcard-pin", f"file:{folder / 'pin'}", *target)
            with RDPServer(keytab=str(server_keys), hold=60) as server:
                order = {"user": USER, "port": server.port, "keytab": str(keytab)}
                order |= {"identity": card.identity, "anchors": authority.anchors}
                yield Lab(agent, server, wanted | {"PIN": PIN.encode()}, order, environment)


@pytest.mark.parametrize("name", ["key", "card"])
@pytest.mark.parametrize("way", ["agent", "direct"])
def test_a_program_that_logs_on_through_the_agent_has_no_key_and_no_pin_and_one_that_holds_them_is_found_out(
    lab: Lab, name: str, way: str
) -> None:
    order = lab.order | {
        "name": name,
        "socket": str(lab.agent.path) if way == "agent" else "",
        "pin": PIN[::-1] if way == "direct" else "",
    }
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CREDSSP_")} | lab.environment
    command = [sys.executable, "-c", _PROGRAM]
    seen = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(json.dumps(order), file=process.stdin, flush=True)
            assert process.stdout.readline() == "during\n"
            seen["during"] = scan(process.pid, lab.wanted)
            print("on", file=process.stdin, flush=True)
            assert process.stdout.readline() == "after kerberos\n"
            seen["after"] = scan(process.pid, lab.wanted)
        finally:
            process.kill()
    for found in seen.values():
        assert found["bytes"] > 10_000_000, "the scan reads the memory"
        present = {where for where in lab.wanted if found[where]}
        own = {where for where in lab.wanted if (where == "PIN") == (name == "card")}
        assert present == (set() if way == "agent" else own), seen

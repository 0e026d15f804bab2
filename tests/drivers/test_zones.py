"""IPv6 addresses with a zone (RFC 4007 11, RFC 6874), in a network of their own where ``lo`` has a link-local one."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from credssp.target import Target

IN_A_NETWORK = 'ip link set lo up && ip addr add fe80::1/64 dev lo nodad && exec "$0" -c "$1"'

SETUP = """
import asyncio, contextlib, io, json, os, sys, threading
from credssp import MemoryAccounts, PasswordCredentials, rdp
from credssp.cli import main

os.environ["CREDSSP_PASSWORD"] = "secret"
alice = PasswordCredentials("alice", "secret", domain="LAB")
alice_name = "LAB\\\\alice"
accounts = MemoryAccounts({("LAB", "alice"): "secret"})

def cli(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(list(arguments))
    return code, json.loads(out.getvalue())
"""


def in_a_network(program: str) -> list[str]:
    """Run a program there and return its lines."""
    for needed in ("unshare", "ip"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a network namespace")
    command = ["unshare", "-n", "sh", "-c", IN_A_NETWORK, sys.executable, SETUP + program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_blocking_client_and_server_meet_on_a_link_local_address() -> None:
    assert in_a_network("""
server = rdp.serve(None, "fe80::1%lo", 0, accounts=accounts)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.address[0])
with rdp.connect(*server.address, credentials=alice, mechanism="ntlm") as session:
    print(session.endpoint.context.target_name, session.endpoint.host)
server.close()
""") == ["fe80::1%lo", "TERMSRV/fe80::1 fe80::1%lo"]


def test_asyncio_client_and_server_meet_on_a_link_local_address() -> None:
    assert in_a_network("""
async def run():
    server = await rdp.start_server(None, "fe80::1%lo", 0, accounts=accounts)
    print(server.address[0])
    session = await rdp.open_connection(*server.address, credentials=alice, mechanism="ntlm")
    print(session.endpoint.context.target_name)
    session.abort()
    server.close()

asyncio.run(run())
""") == ["fe80::1%lo", "TERMSRV/fe80::1"]


def test_commands_take_zones_for_rdp() -> None:
    assert in_a_network("""
server = rdp.serve(None, "fe80::1%lo", 0, accounts=accounts)
threading.Thread(target=server.serve_forever, daemon=True).start()
for zone in ("%lo", "%25lo", "%1"):
    url = f"rdp://[fe80::1{zone}]:{server.address[1]}"
    code, facts = cli("login", url, "-u", alice_name, "--mechanism", "ntlm", "--json")
    print(code, facts["accepted"], facts["target"].rpartition(":")[0])
code, facts = cli("probe", f"fe80::1%lo:{server.address[1]}", "--json")
print(code, facts["credssp"]["version"], facts["target"].rpartition(":")[0])
server.close()
""") == [
        "0 True rdp://[fe80::1%lo]",
        "0 True rdp://[fe80::1%lo]",
        "0 True rdp://[fe80::1%1]",
        "0 6 rdp://[fe80::1%lo]",
    ]


def test_commands_take_zones_for_winrm() -> None:
    assert in_a_network("""
from credssp.drivers.winrm_serving import listen, serve, uvicorn_server
from credssp.drivers.winrm_asgi import WinRMApplication
from credssp.drivers.listening import bound_to
from credssp.testing.wsman import WSManResponder

hosts = []
async def recorded(scope, receive, send):
    hosts.extend(value.decode() for name, value in scope.get("headers", ()) if name == b"host")
    await application(scope, receive, send)

application = WinRMApplication(WSManResponder(), accounts=accounts, spn="HTTP/fe80::1")
listener = listen("fe80::1%lo", 0)
server = uvicorn_server(recorded)
threading.Thread(target=serve, args=(server, listener), daemon=True).start()
host, port = bound_to(listener)
url = f"http://[fe80::1%25lo]:{port}/wsman"
code, facts = cli("login", url, "-u", alice_name, "--mechanism", "ntlm", "--json")
print(host, code, facts["accepted"], facts["target"] == url, facts["winrm"]["http_status"])
print({name.rpartition(":")[0] for name in hosts})
server.should_exit = True
""") == ["fe80::1%lo 0 True True 200", "{'[fe80::1]'}"]


@pytest.mark.parametrize("service", ["rdp", "winrm"])
def test_serve_listens_on_a_link_local_address_and_says_where(service: str) -> None:
    program = f"""
import signal, subprocess
arguments = ["serve", "{service}", "--listen", "[fe80::1%lo]:0", "--user", "alice:secret"]
server = subprocess.Popen([sys.executable, "-m", "credssp", *arguments], stdout=subprocess.PIPE, text=True)
facts = json.loads(server.stdout.readline())
print(facts["address"].rpartition(":")[0], facts.get("url", "").partition("]")[0])
server.send_signal(signal.SIGTERM)
server.communicate(timeout=20)
"""
    url = "http://[fe80::1%25lo" if service == "winrm" else ""
    assert in_a_network(program) == [f"[fe80::1%lo] {url}"]


@pytest.mark.parametrize("host", ["fe80::1%eth0", "fe80::1%25eth0", "[fe80::1%eth0]", "FE80:0::1%ETH0"])
def test_target_name_has_no_zone(host: str) -> None:
    assert str(Target.parse(f"TERMSRV/{host}")) == "TERMSRV/fe80::1"


def test_target_name_with_zone_and_port() -> None:
    target = Target.parse("HTTP/[fe80::1%eth0]:5985")
    assert (target.host, str(target)) == ("fe80::1", "HTTP/[fe80::1]:5985")

"""pyspnego is for Kerberos: a login that has none does without it."""

import subprocess
import sys
from pathlib import Path

import pytest

LOGIN = """
import importlib.util, sys
import credssp
seen = []
mechanism, gssapi, form = sys.argv[1:]
if gssapi == "missing":
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name in ("gssapi", "krb5") else find(name, *rest)
client = credssp.ClientContext(
    credssp.PasswordCredentials("alice", "secret", domain="LAB.TEST"),
    target_name="TERMSRV/srv.lab.test",
    mechanism=mechanism,
    observer=lambda direction, message, data: seen.append(data),
)
server = credssp.ServerContext(accounts=credssp.MemoryAccounts({("LAB.TEST", "alice"): "secret"}))
token = b""
while not server.complete:
    token = server.step(client.step(token).token).token
assert client.mechanism == "ntlm"
assert (bytes.fromhex("2b0601050502") in seen[0]) is (form == "spnego")
print([name for name in ("spnego", "gssapi", "krb5", "sspilib", "impacket") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("mechanism", "gssapi", "form"),
    [
        ("ntlm", "as it is", "ntlm"),
        ("ntlm", "missing", "ntlm"),
        ("auto", "missing", "ntlm"),
        ("negotiate", "missing", "spnego"),
    ],
)
def test_ntlm_login_imports_no_foreign_security_library(mechanism, gssapi, form):
    done = subprocess.run(
        [sys.executable, "-c", LOGIN, mechanism, gssapi, form],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")

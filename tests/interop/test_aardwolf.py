"""aardwolf with Kerberos against our server: it is refused for what it lacks, not for how it writes flags.

It needs a Kerberos realm and GSS-API for Python (``pip install 'credssp[kerberos]'``). Its logins with NTLM are in
test_rdp_sessions.py.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from credssp.testing import RDPServer
from tests.interop import x11
from tests.kdc import REALM, Realm
from tests.peers import require_module, require_program

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        importlib.util.find_spec("gssapi") is None or importlib.util.find_spec("krb5") is None,
        reason="Python has no GSS-API here (pip install 'credssp[kerberos]')",
    ),
]

CLIENT = Path(__file__).parents[2] / "fixtures" / "aardwolf_client.py"


def test_a_service_ticket_without_mutual_authentication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_module("aardwolf")
    kvno = require_program("kvno")
    with Realm(tmp_path) as realm:
        realm.add("alice", password="Pa55-w0rd")
        realm.add("TERMSRV/localhost")
        keytab = realm.keytab("server.keytab", "TERMSRV/localhost")
        for name, value in realm.environment.items():
            monkeypatch.setitem(os.environ, name, value)
        ccache = realm.kinit("alice", "Pa55-w0rd")
        environment = realm.environment | {"KRB5CCNAME": ccache}
        assert x11.run([kvno, "TERMSRV/localhost"], environment=environment).code == 0
        with RDPServer({}, mechanisms=("kerberos",), keytab=str(keytab), restricted_admin=True) as server:
            words = [sys.executable, str(CLIENT), "localhost", str(server.port), REALM, "alice", ""]
            ended = x11.run([*words, "--ccache", ccache.removeprefix("FILE:")], environment=environment)
            assert server.wait(refusals=1), ended.output
    # Its AP-REQ has options of no bits, which GSS-API reads as no options.
    (refusal,) = server.refusals
    assert "without mutual authentication" in str(refusal.error)
    assert ended.code == 1, ended.output

"""rdesktop 1.9 against our server: CredSSP version 2, bare Kerberos tokens, lengths that are no DER, strings with NUL.

It needs a Kerberos realm and GSS-API for Python (``pip install 'pyspnego[kerberos]'``).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from credssp.testing import RDPServer
from tests.interop import x11
from tests.kdc import REALM, Realm
from tests.peers import require_program

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        importlib.util.find_spec("gssapi") is None or importlib.util.find_spec("krb5") is None,
        reason="rdesktop speaks Kerberos only, and Python has no GSS-API here (pip install 'pyspnego[kerberos]')",
    ),
]

PASSWORD = "Pa55-w0rd"


def rdesktop(server: RDPServer, display: str, environment: dict[str, str], home: Path) -> x11.Outcome:
    # "yes" to the question about the certificate; without something to read it crashes.
    command = [require_program("rdesktop"), "-u", "alice", "-d", REALM, "-p", PASSWORD, f"localhost:{server.port}"]
    # It does not notice that the server closed after the login, and waits until it is stopped.
    return x11.run_for(command, environment={"DISPLAY": display, "HOME": str(home)} | environment, text="yes\n" * 5)


def test_login_with_a_ticket_and_refusal_without(display: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_program("rdesktop")
    with Realm(tmp_path) as realm:
        realm.add("alice", password=PASSWORD)
        realm.add("TERMSRV/localhost")
        keytab = realm.keytab("server.keytab", "TERMSRV/localhost")
        for name, value in realm.environment.items():
            monkeypatch.setitem(os.environ, name, value)
        with RDPServer({}, min_version=2, mechanisms=("kerberos",), keytab=str(keytab)) as server:
            without = rdesktop(server, display, realm.environment, tmp_path)
            assert "Failed to initialize NLA" in without.output
            server.wait(refusals=1)
            server.clear()
            ccache = realm.kinit("alice", PASSWORD)
            good = rdesktop(server, display, realm.environment | {"KRB5CCNAME": ccache}, tmp_path)
            assert server.wait(delegations=1), good.output + "".join(str(r.error) for r in server.refusals)
    delegation = server.delegations[0]
    assert "Connection established using CredSSP" in good.output
    assert (delegation.mechanism, delegation.version) == ("kerberos", 2)
    assert delegation.identity.username.partition("@")[0] == "alice"
    assert (delegation.username, delegation.domain) == ("alice", REALM)
    assert delegation.credentials.password.reveal() == PASSWORD  # type: ignore[union-attr]

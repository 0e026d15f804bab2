"""IronRDP's client (npm ironrdp-wasm 1.1.0, with sspi-rs inside) against our server.

`docs/examples/ironrdp.mjs` runs its WebAssembly in node 18 or later and is the gateway that it wants. It speaks version
6, NTLM without SPNEGO, HYBRID and HYBRID_EX, is strict, and names precisely what it does not like.

What it cannot do:

* Kerberos. With a KDC proxy it begins with a request for user-to-user authentication (TGT-REQ), for which our server
  has no ticket of its own. Offered plain Kerberos instead, it asks the KDC for a ticket of that kind all the same
  (NO_2ND_TKT). Nor does it read what MIT's KDC answers: EncASRepPart with application tag 26 in place of 25.
* Restricted Admin and Remote Credential Guard: its web client has no option for them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from credssp import NTStatus, PasswordCredentials
from credssp.rdp import AuthorizationDeniedError, Protocol
from credssp.testing import RDPServer
from tests.docs.pages import DOCS
from tests.interop import x11
from tests.interop.test_freerdp_client import ACCOUNTS, MCS_CONNECT_INITIAL, PASSWORD
from tests.peers import require_npm_package, require_program

pytestmark = pytest.mark.interop

BOTH = pytest.mark.parametrize("selected", [Protocol.HYBRID, Protocol.HYBRID_EX])


def ironrdp(server: RDPServer, *, user: str = "alice", password: str = PASSWORD) -> tuple[str, str]:
    """Log on; the kind of error that ended it, and IronRDP's text."""
    told = ironrdp_session(server, user=user, password=password)
    return told["kind"], told["text"]


def ironrdp_session(server: RDPServer, *, user: str = "alice", password: str = PASSWORD) -> dict[str, Any]:
    """Log on and stay; what `ironrdp.mjs` prints."""
    script = DOCS / "examples" / "ironrdp.mjs"
    command = [require_program("node"), str(script), str(require_npm_package("ironrdp-wasm", "1.1.0"))]
    outcome = x11.run([*command, f"{server.host}:{server.port}", user, "LAB", password], environment={})
    told = dict(json.loads(outcome.output.splitlines()[-1]))
    assert outcome.code == (1 if told["kind"] else 0), outcome.output
    return told


@BOTH
def test_a_right_password_is_accepted_and_delegated(selected: Protocol) -> None:
    with RDPServer(ACCOUNTS, protocols=selected) as server:
        kind, text = ironrdp(server)
        delegation = server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)
    assert delegation.credentials == PasswordCredentials("alice", PASSWORD, domain="LAB")
    assert (delegation.mechanism, delegation.version, delegation.peer_version) == ("ntlm", 6, 6)
    assert delegation.negotiated.selected is selected
    assert delegation.received[4:9] == MCS_CONNECT_INITIAL
    assert kind == ""
    assert "user logging off" in text
    assert delegation.session.activations == 1


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", PASSWORD)])
@BOTH
def test_a_refused_login_is_named(selected: Protocol, user: str, password: str) -> None:
    with RDPServer(ACCOUNTS, protocols=selected) as server:
        kind, text = ironrdp(server, user=user, password=password)
        server.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
    assert kind == "LogonFailure", text
    assert "STATUS_LOGON_FAILURE" in text
    assert not server.delegations


def test_denied_authorization_is_read_from_the_early_user_authorization_result() -> None:
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID_EX, authorize=lambda identity, credentials: False) as server:
        kind, text = ironrdp(server)
        refusal = server.assert_refused(NTStatus.STATUS_ACCESS_DENIED)
    assert isinstance(refusal.error, AuthorizationDeniedError)
    assert kind == "AccessDenied", text


def test_denied_authorization_over_hybrid_ends_the_connection() -> None:
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID, authorize=lambda identity, credentials: False) as server:
        kind, text = ironrdp(server)
        server.assert_refused(NTStatus.STATUS_ACCESS_DENIED)
    assert kind == "General", text

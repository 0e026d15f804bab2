"""pyspnego's CredSSP on the other side, in both roles, over Kerberos: versions, and what each side offers."""

from __future__ import annotations

import pytest

import credssp
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.peers import require_module

pytestmark = pytest.mark.interop

spnego = require_module("spnego")

ALICE = credssp.PasswordCredentials("alice", PASSWORD, domain=REALM)
VERSIONS = pytest.mark.parametrize("version", [2, 3, 4, 5, 6])


@VERSIONS
@pytest.mark.parametrize("offer", ["kerberos", "negotiate"])
def test_our_client_with_pyspnegos_acceptor(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, version: int, offer: str
) -> None:
    monkeypatch.setenv("KRB5_KTNAME", str(lab.keytab))  # pyspnego's acceptor takes no other
    server = spnego.server(hostname="localhost", service="TERMSRV", protocol="credssp", credssp_min_protocol=2)
    client = credssp.ClientContext(
        ALICE,
        target_name="TERMSRV/localhost",
        mechanism=offer,  # type: ignore[arg-type]
        min_version=2,
        max_version=version,
    )
    token = client.step().token
    for _ in range(10):
        token = server.step(token)
        if server.complete:
            break
        token = client.step(token or b"").token
    assert server.complete
    assert client.complete
    assert client.mechanism == "kerberos"
    assert client.server_authentication is credssp.ServerAuthentication.KERBEROS
    assert server.client_principal == f"alice@{REALM}"
    assert server.get_extra_info("client_credential").password == PASSWORD
    assert server.unwrap(client.wrap(b"to pyspnego")).data == b"to pyspnego"
    assert client.unwrap(server.wrap(b"from pyspnego").data) == b"from pyspnego"


@VERSIONS
@pytest.mark.parametrize("offer", ["kerberos", "negotiate"])
def test_pyspnegos_initiator_with_our_server(lab: Lab, version: int, offer: str) -> None:
    principal = f"alice@{REALM}"
    inner = spnego.client(principal, PASSWORD, hostname="localhost", service="TERMSRV", protocol=offer)
    client = spnego.client(
        principal,
        PASSWORD,
        hostname="localhost",
        service="TERMSRV",
        protocol="credssp",
        credssp_negotiate_context=inner,
    )
    server = credssp.ServerContext(keytab=lab.keytab, min_version=2, max_version=version)
    token = client.step()
    for _ in range(10):
        token = server.step(token or b"").token
        if server.complete:
            break
        token = client.step(token)
    assert client.complete
    assert server.complete
    assert (server.mechanism, server.version) == ("kerberos", version)
    assert server.identity is not None
    assert (server.identity.username, server.identity.domain) == ("alice", REALM)
    assert server.delegated_credentials == credssp.PasswordCredentials(principal, PASSWORD)
    assert server.unwrap(client.wrap(b"to us").data) == b"to us"
    assert client.unwrap(server.wrap(b"from us")).data == b"from us"

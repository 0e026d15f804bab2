"""Programs for sspilib, pywin32 and pyspnego over Kerberos: `credssp.sspi.compat` against a KDC."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import credssp.sspi as sspi
from credssp import ServerConfig
from credssp.sspi import compat
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET
from tests.peers import require_module
from tests.sspi.compat.peers import pywin32_module

pytestmark = pytest.mark.interop

ALICE = f"alice@{REALM}"
PACKAGES = ["Kerberos", "Negotiate"]


@pytest.fixture(autouse=True)
def machine(lab: Lab) -> Iterator[None]:
    """A machine with the keys of its services, on which programs find the modules."""
    sspi.configure(server=ServerConfig(keytab=lab.keytab))
    try:
        with compat.install(replace=["sspilib", "win32security", "sspicon", "pywintypes"]):
            yield
    finally:
        sspi.configure()


@pytest.mark.parametrize("package", PACKAGES)
def test_client_auth_and_server_auth_know_both_names(package: str) -> None:
    module = pywin32_module("sspi")
    client = module.ClientAuth(package, auth_info=("alice", REALM, PASSWORD), targetspn=TARGET)
    server = module.ServerAuth(package)
    token = None
    while not (client.authenticated and server.authenticated):
        _, token = client.authorize(token)
        if token[0].Buffer:
            _, token = server.authorize(token)
    assert server.initiator_name == client.initiator_name == ALICE
    assert client.service_name == TARGET
    assert server.service_name.partition("@")[0] == TARGET
    for sender, receiver in ((client, server), (server, client)):
        receiver.verify(b"hello", sender.sign(b"hello"))
        assert receiver.decrypt(*sender.encrypt(b"hello")) == b"hello"
        assert receiver.unwrap(sender.wrap(b"hello")) == (b"hello", False)
        assert receiver.unwrap(sender.wrap(b"hello", encrypt=True)) == (b"hello", True)


@pytest.mark.parametrize("protocol", ["kerberos", "negotiate"])
def test_sspi_proxy_logs_on_with_kerberos(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    module = require_module("spnego._sspi")
    monkeypatch.setattr(module, "sspilib", importlib.import_module("sspilib"), raising=False)
    monkeypatch.setattr(module, "HAS_SSPI", True)
    service, _, host = TARGET.partition("/")
    client = module.SSPIProxy(ALICE, PASSWORD, hostname=host, service=service, usage="initiate", protocol=protocol)
    server = module.SSPIProxy(usage="accept", protocol=protocol)
    token = None
    while not (client.complete and server.complete):
        token = client.step(token)
        if token:
            token = server.step(token)
    assert client.negotiated_protocol == server.negotiated_protocol == "kerberos"
    assert server.client_principal == f"{REALM}\\alice"
    assert client.session_key == server.session_key
    assert server.unwrap(client.wrap(b"hello").data).data == b"hello"
    opened = client.unwrap(server.wrap(b"hello", encrypt=False).data)
    assert (opened.data, opened.encrypted) == (b"hello", False)


def test_sspilib_logs_on_with_keytabs_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    sspi.configure()  # no keytab of the machine
    monkeypatch.setenv("KRB5_KTNAME", "FILE:/nonexistent")
    require_module("sspilib")
    sspilib: Any = importlib.import_module("sspilib")
    user = Path(lab.realm.keytab("sspilib-user.keytab", "alice"))
    mine = sspilib.KeytabCredential("alice", user, REALM, protocol="Kerberos")
    theirs = sspilib.KeytabCredential(TARGET, lab.keytab.read_bytes(), protocol="Kerberos", usage="accept")
    client = sspilib.ClientSecurityContext(mine, TARGET)
    server = sspilib.ServerSecurityContext(theirs)
    token = None
    while not (client.complete and server.complete):
        token = client.step(token)
        if token:
            token = server.step(token)
    assert server.unwrap(client.wrap(b"hello")).data == b"hello"
    assert client.attributes & sspilib.IscRet.ISC_RET_MUTUAL_AUTH

"""pyspnego's CredSSP on the other side, in both roles: versions, TLS versions, SPNEGO and bare NTLM, in any split."""

from __future__ import annotations

import random
import ssl
from pathlib import Path

import pytest

import credssp
from tests.peers import require_module

pytestmark = pytest.mark.interop

spnego = require_module("spnego")
spnego_tls = require_module("spnego.tls")

USER, DOMAIN, PASSWORD = "alice", "LAB", "secret"
TARGET = "TERMSRV/srv.lab.test"
ACCOUNTS = credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD})
TLS_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

VERSIONS = pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
TLS = pytest.mark.parametrize("tls", ["1.2", "1.3"])
FORMS = pytest.mark.parametrize("form", ["spnego", "ntlm"])
SPLITS = pytest.mark.parametrize("split", ["whole", "octets", "random"])


@pytest.fixture(autouse=True)
def _accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = tmp_path / "users"
    users.write_text(f"{DOMAIN}:{USER}:{PASSWORD}\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))


def feed(context: credssp.ClientContext | credssp.ServerContext, data: bytes, split: str) -> bytes:
    if split == "whole" or not data:
        return context.step(data).token
    source = random.Random(len(data))
    out, position = b"", 0
    while position < len(data):
        size = 1 if split == "octets" else source.randint(1, 150)
        out += context.step(data[position : position + size]).token
        position += size
    return out


@VERSIONS
@TLS
@FORMS
@SPLITS
def test_our_client_with_pyspnegos_acceptor(version: int, tls: str, form: str, split: str) -> None:
    server = spnego.server(protocol="credssp", credssp_min_protocol=2)
    client = credssp.ClientContext(
        credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN),
        target_name=TARGET,
        mechanism="negotiate" if form == "spnego" else "ntlm",
        min_version=2,
        max_version=version,
        tls=credssp.ClientTLS(minimum=tls, maximum=tls),  # type: ignore[arg-type]
    )
    token = client.step().token
    for _ in range(10):
        token = server.step(token)
        if server.complete:
            break
        token = feed(client, token or b"", split)
    assert server.complete
    assert client.complete
    assert client.version == version
    assert server.client_principal == f"{DOMAIN}\\{USER}"
    delegated = server.get_extra_info("client_credential")
    assert delegated.password == PASSWORD
    assert server.unwrap(client.wrap(b"to pyspnego")).data == b"to pyspnego"
    assert client.unwrap(server.wrap(b"from pyspnego").data) == b"from pyspnego"


@VERSIONS
@TLS
@FORMS
@SPLITS
def test_pyspnegos_initiator_with_our_server(version: int, tls: str, form: str, split: str) -> None:
    settings = spnego_tls.default_tls_context()
    settings.context.minimum_version = settings.context.maximum_version = TLS_VERSIONS[tls]
    inner = spnego.client(
        f"{DOMAIN}\\{USER}",
        PASSWORD,
        hostname="srv.lab.test",
        service="TERMSRV",
        protocol="negotiate" if form == "spnego" else "ntlm",
        options=spnego.NegotiateOptions.use_negotiate if form == "spnego" else spnego.NegotiateOptions.none,
    )
    client = spnego.client(
        f"{DOMAIN}\\{USER}",
        PASSWORD,
        hostname="srv.lab.test",
        service="TERMSRV",
        protocol="credssp",
        credssp_negotiate_context=inner,
        credssp_tls_context=settings,
    )
    server = credssp.ServerContext(accounts=ACCOUNTS, min_version=2, max_version=version)
    token = client.step()
    for _ in range(10):
        token = feed(server, token or b"", split)
        if server.complete:
            break
        token = client.step(token)
    assert client.complete
    assert server.complete
    assert server.version == version
    assert server.delegated_credentials == credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)
    assert server.unwrap(client.wrap(b"to us").data) == b"to us"
    assert client.unwrap(server.wrap(b"from us")).data == b"from us"


def test_pyspnego_is_told_why_it_was_refused() -> None:
    client = spnego.client(f"{DOMAIN}\\{USER}", "wrong", hostname="srv.lab.test", service="TERMSRV", protocol="credssp")
    server = credssp.ServerContext(accounts=ACCOUNTS)
    token = client.step()
    with pytest.raises(credssp.AuthenticationError) as refused:
        for _ in range(10):
            token = client.step(server.step(token or b"").token)
    with pytest.raises(spnego.exceptions.SpnegoError) as told:
        client.step(refused.value.token)
    assert told.value.nt_status & 0xFFFFFFFF == 0xC000006D


@FORMS
def test_our_client_with_the_wrong_password(form: str) -> None:
    server = spnego.server(protocol="credssp")
    client = credssp.ClientContext(
        credssp.PasswordCredentials(USER, "wrong", domain=DOMAIN),
        target_name=TARGET,
        mechanism="negotiate" if form == "spnego" else "ntlm",
    )
    token = client.step().token
    with pytest.raises(credssp.PeerRefusedError) as refused:
        for _ in range(10):
            token = client.step(server.step(token) or b"").token
    # pyspnego fills errorCode with a SECURITY_STATUS, as Windows sometimes does.
    assert refused.value.ntstatus == 0x8009030C
    assert refused.value.status is credssp.SecurityStatus.SEC_E_LOGON_DENIED


def test_requests_credssp_logs_on_to_our_server() -> None:
    module = require_module("requests_credssp.credssp")
    context = module.CredSSPContext("srv.lab.test", f"{DOMAIN}\\{USER}", PASSWORD)
    legs = context.credssp_generator()
    token, _ = next(legs)
    server = credssp.ServerContext(accounts=ACCOUNTS)
    for _ in range(10):
        reply = server.step(token).token
        if server.complete:
            break
        token, _ = legs.send(reply)
    assert server.complete
    assert server.delegated_credentials == credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)
    assert server.unwrap(context.wrap(b"SOAP")) == b"SOAP"

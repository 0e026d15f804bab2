"""asyauth's CredSSP client (the one inside aardwolf) logs on to our server through its own TLS tunnel.

It sends an NTLM AUTHENTICATE without MIC although the challenge carries a timestamp, so the server has to allow that.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import credssp
from tests.peers import require_module

pytestmark = pytest.mark.interop

native = require_module("asyauth.protocols.credssp.client.native")


def client(password: str) -> Any:
    constants = require_module("asyauth.common.constants")
    inner = require_module("asyauth.common.credentials.ntlm").NTLMCredential(
        secret=password, username="alice", domain="LAB", stype=constants.asyauthSecret.PASSWORD
    )
    credential = require_module("asyauth.common.credentials.credssp").CREDSSPCredential([inner])
    return credential.build_context()


async def _login(server: credssp.ServerContext, password: str) -> None:
    peer = client(password)
    token: bytes | None = None
    for _ in range(10):
        token, _, error = await peer.authenticate(token)
        if error is not None:
            raise error
        reply = server.step(token or b"")
        if server.complete:
            return
        token = reply.token
    raise AssertionError("no end")


def test_asyauth_logs_on() -> None:
    server = credssp.ServerContext(
        accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), require_mic=False, min_version=2
    )
    asyncio.run(asyncio.wait_for(_login(server, "secret"), 30))
    delegated = server.delegated_credentials
    assert isinstance(delegated, credssp.PasswordCredentials)
    assert (delegated.domain, delegated.username, delegated.password.reveal()) == ("LAB", "alice", "secret")


@pytest.mark.parametrize(("password", "require_mic"), [("wrong", False), ("secret", True)])
def test_asyauth_is_refused(password: str, require_mic: bool) -> None:
    server = credssp.ServerContext(
        accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), require_mic=require_mic
    )
    with pytest.raises(credssp.AuthenticationError):
        asyncio.run(asyncio.wait_for(_login(server, password), 30))
    assert server.delegated_credentials is None

"""Logins through pproxy, a proxy of somebody else."""

from __future__ import annotations

import asyncio

import pytest

pproxy = pytest.importorskip("pproxy")
pytest.importorskip("python_socks")

from credssp import PasswordCredentials, rdp  # noqa: E402
from credssp.drivers.handshake import ConnectError  # noqa: E402
from credssp.proxy import Proxy  # noqa: E402
from credssp.testing import RDPServer  # noqa: E402

pytestmark = pytest.mark.interop

ALICE = PasswordCredentials("alice", "secret", domain="LAB")


async def log_on(scheme: str, login: str, server: RDPServer) -> str:
    listening = pproxy.Server(f"{scheme.removesuffix('h')}://127.0.0.1:0#user:hunter2")
    settings = {"rserver": [pproxy.Connection("direct://")], "verbose": lambda _: None, "authtime": -1}
    running = await listening.start_server(settings)
    try:
        proxy = Proxy.parse(f"{scheme}://{login}127.0.0.1:{running.sockets[0].getsockname()[1]}")
        async with await rdp.open_connection(
            "localhost", server.port, credentials=ALICE, mechanism="ntlm", proxy=proxy
        ) as session:
            return session.endpoint.context.target_name
    finally:
        running.close()


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_login_through_pproxy(scheme: str) -> None:
    with RDPServer({("LAB", "alice"): "secret"}) as server:
        assert asyncio.run(log_on(scheme, "user:hunter2@", server)) == "TERMSRV/localhost"


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_pproxy_refuses_a_wrong_password(scheme: str) -> None:
    with RDPServer({("LAB", "alice"): "secret"}) as server, pytest.raises(ConnectError, match="through the proxy"):
        asyncio.run(log_on(scheme, "user:wrong@", server))

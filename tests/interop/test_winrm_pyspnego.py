"""Our requests and httpx clients against a server on pyspnego's acceptor, which shares no code with ours."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from credssp import PasswordCredentials
from credssp.winrm import LoginError
from tests.peers import require_module
from tests.winrm import servers

pytestmark = pytest.mark.interop

require_module("spnego")
httpx = require_module("httpx")
requests = require_module("requests")

from credssp.drivers.winrm_httpx import CredSSPAuth  # noqa: E402
from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402

ALICE = PasswordCredentials(servers.USER, servers.PASSWORD, domain=servers.DOMAIN)
SIZES = (1, 16384, 16385, 100_000)


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("mechanism", ["negotiate", "ntlm"])
def test_requests_logs_on_and_sends_messages_of_any_size(tmp_path: Path, tls: str, mechanism: str) -> None:
    with servers.spnego_server(tmp_path, tls) as (url, seen), requests.Session() as session:
        session.auth = HTTPCredSSPAuth(f"{servers.DOMAIN}\\{servers.USER}", servers.PASSWORD, mechanism)
        for size in SIZES:
            response = session.post(url, data=b"x" * size, timeout=10)
            assert (response.status_code, response.content) == (200, b"x" * size)
            assert response.headers["Content-Type"] == servers.SOAP_TYPE
    assert [(c.username, c.domain_name, c.password) for c in seen] == [(servers.USER, servers.DOMAIN, servers.PASSWORD)]


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_httpx_logs_on_and_sends_messages_of_any_size(tmp_path: Path, tls: str) -> None:
    with servers.spnego_server(tmp_path, tls) as (url, seen), httpx.Client(auth=CredSSPAuth(ALICE)) as client:
        for size in SIZES:
            response = client.post(url, content=b"x" * size)
            assert (response.status_code, response.content) == (200, b"x" * size)
    assert len(seen) == 1


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_async_httpx_logs_on_and_sends_messages_of_any_size(tmp_path: Path, tls: str) -> None:
    async def run(url: str) -> None:
        async with httpx.AsyncClient(auth=CredSSPAuth(ALICE)) as client:
            answers = await asyncio.gather(*(client.post(url, content=b"x" * size) for size in SIZES))
        assert [answer.content for answer in answers] == [b"x" * size for size in SIZES]

    with servers.spnego_server(tmp_path, tls) as (url, seen):
        asyncio.run(run(url))
    assert len(seen) == 1


def test_wrong_password_names_leg_status_and_next_step(tmp_path: Path) -> None:
    with servers.spnego_server(tmp_path, "1.3") as (url, seen), pytest.raises(LoginError) as caught:
        requests.post(url, data=b"x", auth=HTTPCredSSPAuth("LAB\\alice", "wrong"), timeout=10)
    assert caught.value.http_status == 401
    assert "HTTP 401" in str(caught.value)
    assert not seen

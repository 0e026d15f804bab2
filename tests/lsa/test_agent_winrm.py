"""WinRM through the agent: requests, httpx of both kinds, and which certificate NTLM may trust over https."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from credssp.errors import CredSSPError
from credssp.lsa.opened import AgentRefusedError, CertificateRule, Reason
from credssp.testing.winrm import WinRMServer
from credssp.tls.certificate import ServerCertificate
from credssp.tls.trust import roots_of
from tests.lsa.agents import ACCOUNTS, PASSWORD, fingerprint, opened, running_agent, server_certificate
from tests.winrm.servers import IDENTIFY, SOAP_TYPE

requests = pytest.importorskip("requests")
httpx = pytest.importorskip("httpx")

from credssp.drivers.winrm_httpx import CredSSPAuth  # noqa: E402
from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402

HEADERS = {"Content-Type": SOAP_TYPE}


@pytest.fixture(scope="module")
def certificate() -> ServerCertificate:
    return server_certificate()


def with_requests(url: str, credentials: Any, verify: Any = True) -> str:
    with requests.Session() as session:
        response = session.post(
            url, data=IDENTIFY, headers=HEADERS, auth=HTTPCredSSPAuth(credentials=credentials), verify=verify
        )
        return str(response.text)


def with_httpx(url: str, credentials: Any, verify: Any = True) -> str:
    with httpx.Client(auth=CredSSPAuth(credentials), verify=verify) as client:
        return str(client.post(url, content=IDENTIFY, headers=HEADERS).text)


def with_async_httpx(url: str, credentials: Any, verify: Any = True) -> str:
    async def run() -> str:
        async with httpx.AsyncClient(auth=CredSSPAuth(credentials), verify=verify) as client:
            return str((await client.post(url, content=IDENTIFY, headers=HEADERS)).text)

    return asyncio.run(run())


WAYS = pytest.mark.parametrize("way", [with_requests, with_httpx, with_async_httpx])


@pytest.fixture(scope="module", params=[False, True], ids=["http", "https"])
def server(request: Any, certificate: ServerCertificate) -> Iterator[WinRMServer]:
    with WinRMServer(accounts=ACCOUNTS, certificate=certificate, https=request.param) as running:
        yield running


def trust(server: WinRMServer) -> Any:
    return True if server.certificate is None else str(server.certificate)


@WAYS
def test_a_program_logs_on_and_the_message_is_answered(
    server: WinRMServer, certificate: ServerCertificate, way: Any
) -> None:
    server.clear()
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    with running_agent(opened(certificate=rule), targets="HTTP/*") as agent:
        assert "IdentifyResponse" in way(server.url, agent.credentials(), trust(server))
        server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)
        record = agent.last()
    assert record.outcome == "success"
    assert record.target == "HTTP/127.0.0.1"


@WAYS
def test_the_certificate_of_https_does_for_ntlm(way: Any) -> None:
    with WinRMServer(accounts=ACCOUNTS, https=True) as server:
        assert server.certificate is not None
        outer = roots_of(server.certificate, None)
        with running_agent(opened(certificate=CertificateRule(roots=outer))) as agent:
            url = server.url.replace("127.0.0.1", "localhost")
            assert "IdentifyResponse" in way(url, agent.credentials(), trust(server))
            assert agent.last().outcome == "success"


@WAYS
@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
def test_a_server_whose_certificates_are_not_trusted_gets_no_ntlm_message(https: bool, way: Any) -> None:
    rule = CertificateRule(fingerprint="00" * 32)
    with (
        WinRMServer(accounts=ACCOUNTS, https=https) as server,
        running_agent(opened(certificate=rule, mechanisms=("ntlm",))) as agent,
    ):
        with pytest.raises(CredSSPError) as caught:
            way(server.url, agent.credentials(), trust(server))
        assert isinstance(caught.value.__cause__, AgentRefusedError)
        assert caught.value.__cause__.reason is Reason.CERTIFICATE
        assert not agent.last().proof_sent
        assert "the authentication (negoTokens) failed" in str(caught.value), "TLS was there already"


def test_without_channel_bindings_the_certificate_of_https_does_not_count() -> None:
    with WinRMServer(accounts=ACCOUNTS, https=True) as server:
        outer = roots_of(server.certificate, None)
        rule = CertificateRule(roots=outer)
        with running_agent(opened(certificate=rule, mechanisms=("ntlm",))) as agent, pytest.raises(CredSSPError):
            url = server.url.replace("127.0.0.1", "localhost")
            auth = HTTPCredSSPAuth(credentials=agent.credentials(), bind_https=False)
            requests.post(url, data=IDENTIFY, headers=HEADERS, auth=auth, verify=trust(server))

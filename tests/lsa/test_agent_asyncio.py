"""An agent that takes its time (a person is asked) keeps the tasks of an asyncio program running."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from credssp import rdp
from credssp.lsa.caller import Caller
from credssp.lsa.opened import CertificateRule, OpenedCredential
from credssp.testing.rdp import RDPServer
from credssp.testing.winrm import WinRMServer
from tests.lsa.agents import ACCOUNTS, Store, fingerprint, opened, running_agent, server_certificate
from tests.winrm.servers import IDENTIFY, SOAP_TYPE

CERTIFICATE = server_certificate()


class Asking(Store):
    """Opens a credential once somebody has said yes."""

    def __init__(self) -> None:
        super().__init__(opened(certificate=CertificateRule(fingerprint=fingerprint(CERTIFICATE))))
        self.question, self.yes = threading.Event(), threading.Event()

    def open(self, name: str, *, caller: Caller, target: str, mechanism: str) -> OpenedCredential:
        self.question.set()
        assert self.yes.wait(60)
        return super().open(name, caller=caller, target=target, mechanism=mechanism)


async def rdp_login(server: RDPServer, credentials: Any) -> None:
    session = await rdp.open_connection(server.host, server.port, credentials=credentials, mechanism="ntlm")
    session.close()


async def httpx_login(server: WinRMServer, credentials: Any) -> None:
    import httpx

    from credssp.drivers.winrm_httpx import CredSSPAuth

    async with httpx.AsyncClient(auth=CredSSPAuth(credentials, mechanism="ntlm")) as client:
        answer = await client.post(server.url, content=IDENTIFY, headers={"Content-Type": SOAP_TYPE}, timeout=60)
        assert answer.status_code == 200


@pytest.mark.parametrize("transport", ["rdp", "httpx"])
def test_the_event_loop_runs_while_the_agent_asks(transport: str) -> None:
    if transport == "httpx":
        pytest.importorskip("httpx")
    store = Asking()
    server: Any = (RDPServer if transport == "rdp" else WinRMServer)(accounts=ACCOUNTS, certificate=CERTIFICATE)
    log_on: Any = rdp_login if transport == "rdp" else httpx_login

    async def main(credentials: Any) -> None:
        login = asyncio.create_task(log_on(server, credentials))
        assert await asyncio.to_thread(store.question.wait, 60)
        assert not login.done()
        store.yes.set()  # by the loop: were it blocked, no answer would ever come
        await asyncio.wait_for(login, 60)

    with server, running_agent(store=store) as agent:
        try:
            asyncio.run(main(agent.credentials()))
        finally:
            store.yes.set()
        assert agent.last().outcome == "success"

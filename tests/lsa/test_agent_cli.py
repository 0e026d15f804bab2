"""``credssp login --agent NAME``."""

from __future__ import annotations

import json
import os

import pytest

from credssp.cli import main
from credssp.lsa.opened import CertificateRule
from credssp.testing.rdp import RDPServer
from credssp.testing.winrm import WinRMServer
from tests.lsa.agents import ACCOUNTS, PASSWORD, fingerprint, opened, running_agent, server_certificate


@pytest.mark.parametrize("transport", ["rdp", "http"])
def test_a_login_through_the_agent(
    transport: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = server_certificate()
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    server = (
        RDPServer(accounts=ACCOUNTS, certificate=certificate, hold=0.01)
        if transport == "rdp"
        else WinRMServer(accounts=ACCOUNTS, certificate=certificate)
    )
    with server, running_agent(opened(certificate=rule)) as agent:
        monkeypatch.setitem(os.environ, "CREDSSP_AGENT_SOCK", agent.path)
        assert main(["login", f"{transport}://127.0.0.1:{server.port}", "--agent", "lab", "--json"]) == 0
        server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)
    facts = json.loads(capsys.readouterr().out)
    assert facts["user"] == "lab of the agent"
    assert facts["delegated"]
    assert facts["mechanism"] == "ntlm"


@pytest.mark.parametrize(
    ("name", "code", "text", "step"),
    [
        ("other", 4, "no such credential", "credssp agent list"),
        ("lab", 4, "NTLM sends no response to a server that is not known", "credssp probe"),
    ],
)
def test_a_refusal_of_the_agent_is_said_with_its_status(
    name: str, code: int, text: str, step: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        RDPServer(accounts=ACCOUNTS, certificate=server_certificate()) as server,
        running_agent(opened(certificate=CertificateRule(fingerprint="00" * 32), mechanisms=("ntlm",))) as agent,
    ):
        monkeypatch.setitem(os.environ, "CREDSSP_AGENT_SOCK", agent.path)
        assert main(["login", f"rdp://127.0.0.1:{server.port}", "--agent", name]) == code
    said = capsys.readouterr().err
    assert text in said
    assert "SEC_E_" in said
    assert step in said, "the next step is said, too"


def test_no_agent_is_said_with_the_next_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setitem(os.environ, "CREDSSP_AGENT_SOCK", f"{tmp_path}/none")
    with RDPServer(accounts=ACCOUNTS) as server:
        assert main(["login", f"rdp://127.0.0.1:{server.port}", "--agent", "lab"]) == 3
    said = capsys.readouterr().err
    assert f"{tmp_path}/none" in said
    assert "credssp agent run" in said

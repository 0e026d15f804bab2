"""pywinrm and pypsrp as clients of a member's server, with users of the domain; and who of them may log on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from credssp.rdp import AuthorizationDeniedError
from tests.domain.lab import MEMBER_ADDRESS, Domain, password
from tests.domain.service import Service, log_on, serving, user
from tests.peers import require_module

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pywinrm leaves its sessions behind
]


@pytest.fixture(scope="module")
def winrm(domain: Domain) -> Iterator[Service]:
    with serving(domain, "winrm", "--keytab", str(domain.keytab), "--allow-group", "LAB\\RDP Users") as server:
        yield server


def test_pywinrm_runs_a_command(domain: Domain, winrm: Service) -> None:
    require_module("requests_credssp")
    module = require_module("winrm")

    def run() -> tuple[bytes, int]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            session = module.Session(
                f"http://{MEMBER_ADDRESS}:{winrm.port}/wsman",
                auth=("LAB\\alice", password("alice")),
                transport="credssp",
                message_encryption="always",
                proxy=None,
            )
        result = session.run_cmd("whoami")
        return result.std_out, result.status_code

    output, code = domain.call(run)
    assert code == 0
    assert b"alice" in output
    assert winrm.wait("delegated")["logon"]["user"] == "alice"


def test_pypsrp_runs_a_command(domain: Domain, winrm: Service) -> None:
    require_module("requests_credssp")
    wsman, shells = require_module("pypsrp.wsman"), require_module("pypsrp.shell")

    def run() -> tuple[bytes, int]:
        options = {"auth": "credssp", "encryption": "always", "cert_validation": False, "no_proxy": True, "ssl": False}
        client = wsman.WSMan(MEMBER_ADDRESS, port=winrm.port, username="LAB\\bob", password=password("bob"), **options)
        with client, shells.WinRS(client) as shell:
            process = shells.Process(shell, "whoami", [])
            process.invoke()
            process.signal(shells.SignalCode.TERMINATE)
            return process.stdout, process.rc

    output, code = domain.call(run)
    assert code == 0
    assert b"bob" in output


def test_a_user_who_is_not_in_the_group_is_refused_by_winrm(domain: Domain, winrm: Service) -> None:
    refused = require_module("requests_credssp.exceptions").AuthenticationException
    wsman = require_module("pypsrp.wsman")

    def run() -> None:
        options = {"auth": "credssp", "encryption": "always", "cert_validation": False, "no_proxy": True, "ssl": False}
        client = wsman.WSMan(
            MEMBER_ADDRESS, port=winrm.port, username="LAB\\carol", password=password("carol"), **options
        )
        with client:
            client.get_server_config()

    before = len([event for event in winrm.events if event["event"] == "refused"])
    with pytest.raises(refused):
        domain.call(run)
    assert winrm.wait("refused", before + 1)["reason"] == "not_authorized"


@pytest.mark.parametrize("mechanism", ["ntlm", "kerberos"])
def test_a_group_may_log_on_and_others_may_not(domain: Domain, mechanism: str) -> None:
    nested = domain.attribute("Nested", "objectSid")
    groups = ("--allow-group", "LAB\\Protected Users", "--allow-group", nested)
    with serving(domain, "rdp", "--keytab", str(domain.keytab), *groups) as server:
        log_on(domain, server, user("LAB\\bob"), mechanism)
        with pytest.raises(AuthorizationDeniedError):
            log_on(domain, server, user("LAB\\alice"), mechanism)
        assert server.wait("refused")["reason"] == "not_authorized"


def test_a_group_that_does_not_exist_is_named_at_the_start(domain: Domain) -> None:
    import sys

    command = [sys.executable, "-m", "credssp", "serve", "rdp", "--listen", "127.0.0.10:0", "--winbind"]
    refused = domain.run([*command, "--allow-group", "LAB\\No Such Group"], check=False)
    assert refused.returncode == 2
    assert "No Such Group" in refused.stderr

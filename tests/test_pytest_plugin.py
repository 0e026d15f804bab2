"""The fixtures and helpers for the tests of clients; each assertion's failure, too."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.rdp import Protocol
from credssp.status import NTStatus
from credssp.testing import DEFAULT_ACCOUNTS, RDPServer
from credssp.testing.scenarios import RDP_SCENARIOS, WINRM_SCENARIOS, Scenario, scenario_options
from credssp.testing.soap import identify
from credssp.tls.settings import ClientTLS

pytest_plugins = ["pytester"]

PASSWORD = DEFAULT_ACCOUNTS["LAB", "alice"]


def log_on(server: RDPServer, password: str = PASSWORD, **options: Any) -> None:
    credentials = credssp.PasswordCredentials("alice", password, domain="LAB")
    with rdp.connect(*server.address, credentials=credentials, mechanism="ntlm", **options) as session:
        session.sendall(b"MCS")


def test_the_example_of_the_manual(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from credssp import NTStatus, PasswordCredentials, PeerRefusedError, rdp

        @pytest.fixture
        def credssp_accounts():
            return {("LAB", "bob"): "secret"}

        def test_login(credssp_rdp_server):
            rdp.connect(*credssp_rdp_server.address, credentials=PasswordCredentials("LAB\\\\bob", "secret")).close()
            credssp_rdp_server.assert_delegated(username="bob", domain="LAB", password="secret")

        def test_refusal(credssp_rdp_server):
            with pytest.raises(PeerRefusedError):
                rdp.connect(*credssp_rdp_server.address, credentials=PasswordCredentials("LAB\\\\bob", "wrong"))
            credssp_rdp_server.assert_refused(NTStatus.STATUS_LOGON_FAILURE)

        def test_two(make_credssp_rdp_server):
            one, two = make_credssp_rdp_server(), make_credssp_rdp_server({("", "x"): "y"}, max_version=5)
            assert one.port != two.port
            assert one.host == two.host == "127.0.0.1"
        """
    )
    known = pytester.plugins or []
    arguments = [] if _installed() else ["-p", "credssp.pytest_plugin"]
    result = pytester.runpytest_inprocess(*arguments, *known, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(entry.value == "credssp.pytest_plugin" for entry in entry_points(group="pytest11"))


def test_starting_pytest_imports_no_tools(tmp_path: Path) -> None:
    """The entry point makes every pytest of an environment load the plugin: it must cost next to nothing."""
    (tmp_path / "test_empty.py").write_text(
        "import sys\n\ndef test_modules():\n"
        "    assert 'credssp.pytest_plugin' in sys.modules\n"
        "    own = {name for name in sys.modules if name.split('.')[0] == 'credssp'}\n"
        "    assert own == {'credssp', 'credssp.__about__', 'credssp.pytest_plugin'}\n"
        "    assert not {'ssl', 'cryptography', 'spnego', 'pyasn1', 'asyncio', 'uvicorn', 'h11'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "credssp.pytest_plugin", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other plugins import what they like
    environment.pop("PYTEST_ADDOPTS", None)  # arguments of such plugins
    done = subprocess.run(
        [*command, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_delegation_tells_everything() -> None:
    with RDPServer(protocols=Protocol.HYBRID) as server:
        log_on(server)
        delegation = server.assert_delegated(username="alice", domain="LAB", password=PASSWORD, empty=False)
    assert (delegation.version, delegation.peer_version, delegation.mechanism) == (6, 6, "ntlm")
    assert delegation.negotiated.selected is Protocol.HYBRID
    assert delegation.received == b"MCS"
    server.clear()
    assert not server.delegations


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ({"username": "bob"}, "delegated username is 'alice', expected 'bob'"),
        ({"domain": "X"}, "delegated domain is 'LAB'"),
        ({"empty": True}, "delegated empty is False"),
        ({"password": "other"}, "neither is shown"),
    ],
)
def test_failures_say_what_was_otherwise_without_secrets(expected: dict[str, Any], text: str) -> None:
    with RDPServer() as server:
        log_on(server)
        with pytest.raises(AssertionError, match=text) as caught:
            server.assert_delegated(**expected)
    assert PASSWORD not in str(caught.value)


def test_a_refusal() -> None:
    with RDPServer() as server:
        with pytest.raises(credssp.PeerRefusedError):
            log_on(server, "wrong")
        server.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
        assert server.assert_refused().ntstatus == NTStatus.STATUS_LOGON_FAILURE
        with pytest.raises(AssertionError, match="expected STATUS_ACCOUNT_LOCKED_OUT"):
            server.assert_refused(NTStatus.STATUS_ACCOUNT_LOCKED_OUT)
        with pytest.raises(
            AssertionError,
            match=r"expected a login, and LAB\\alice was refused: wrong password: unknown user name or wrong password",
        ):
            server.assert_delegated()


@pytest.mark.parametrize(
    ("accounts", "wrong", "text"),
    [
        ({("LAB", "bob"): PASSWORD}, "name", "there is no such account"),
        ({("LAB", "alice"): "other"}, "password", "wrong password"),
        (
            {("LAB", "alice"): credssp.Account("LAB", "alice", b"x" * 16, NTStatus.STATUS_ACCOUNT_LOCKED_OUT)},
            "account",
            "the state of the account does not let it log on",
        ),
    ],
)
def test_a_refusal_says_who_came_and_what_was_wrong(accounts: Any, wrong: str, text: str) -> None:
    with RDPServer(accounts) as server:
        with pytest.raises(credssp.PeerRefusedError) as told:
            log_on(server)
        refusal = server.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
        with pytest.raises(AssertionError, match=rf"LAB\\alice was refused: {text}: "):
            server.assert_delegated()
    assert (refusal.username, refusal.domain, refusal.wrong) == ("alice", "LAB", wrong)
    assert f": {text}" not in str(told.value)


def test_nothing_happened() -> None:
    with RDPServer() as server:
        assert not server.wait(delegations=1, timeout=0.01)
        with pytest.raises(AssertionError, match=r"expected a login, and no client connected within 0.01 s"):
            server.assert_delegated(timeout=0.01)
        with pytest.raises(AssertionError, match=r"expected a refusal, and no client connected within 0.01 s"):
            server.assert_refused(timeout=0.01)


def test_a_login_that_does_not_go_on() -> None:
    with RDPServer() as server, socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(rdp.ConnectionRequest(negotiation=rdp.NegotiationRequest(Protocol.HYBRID)).encode())
        assert connection.recv(1)
        with pytest.raises(AssertionError, match=r"a client connected and did not finish its login within 0.01 s"):
            server.assert_delegated(timeout=0.01)


def test_several_logins_or_refusals_are_named() -> None:
    with RDPServer() as server:
        for _ in range(2):
            log_on(server)
        assert server.wait(delegations=2)
        with pytest.raises(AssertionError, match=r"expected one login, and there were 2: LAB\\alice, LAB\\alice"):
            server.assert_delegated()
        with pytest.raises(AssertionError, match=r"expected a refusal, and there was a login: LAB\\alice"):
            server.assert_refused()
        server.clear()
        for _ in range(2):
            with pytest.raises(credssp.PeerRefusedError):
                log_on(server, "wrong")
        assert server.wait(refusals=2)
        with pytest.raises(AssertionError, match=r"expected one refusal, and there were 2: LAB\\alice was refused"):
            server.assert_refused()


def outcome(server: RDPServer, scenario: Scenario) -> None:
    """Log on as a client that does everything right, and hold the server against the scenario."""
    authority = server.faults.authority.decode()
    trust = {"tls": ClientTLS(cadata=authority)} if authority else {}
    if scenario.error:
        with pytest.raises(getattr(credssp, scenario.error)):
            log_on(server, **trust)
    elif scenario.refusal is not None:
        with pytest.raises(credssp.PeerRefusedError) as told:
            log_on(server)
        assert told.value.ntstatus == scenario.refusal
        server.assert_refused(scenario.refusal)
    elif scenario.options.get("authorize"):
        with pytest.raises(credssp.CredSSPError, match="not authorized|ACCESS_DENIED"):
            log_on(server)
        server.assert_refused()
    else:
        log_on(server, **trust)
        server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)


@pytest.mark.parametrize("credssp_rdp_server", [{"max_version": 5}, Scenario("", {"max_version": 5})], indirect=True)
def test_keywords_and_scenarios_of_ones_own(credssp_rdp_server: RDPServer) -> None:
    log_on(credssp_rdp_server)
    assert credssp_rdp_server.assert_delegated().version == 5


def test_an_account_of_a_scenario_keeps_its_names() -> None:
    account = credssp.Account("LAB", "alice", bytes(16), sid="S-1-5-21-1", groups=["S-1-5-21-2"])
    accounts, _ = RDP_SCENARIOS["disabled-account"].arguments({("lab", "ALICE"): account, ("", "bob"): bytes(16)})
    alice, bob = accounts.values()
    assert (alice.domain, alice.sid, alice.groups) == ("LAB", "S-1-5-21-1", ("S-1-5-21-2",))
    assert alice.status == bob.status == NTStatus.STATUS_ACCOUNT_DISABLED


def test_an_unknown_scenario_is_named() -> None:
    with pytest.raises(credssp.LocalProtocolError, match=r"scenario 'tls-1.1': not one of tls-1.2, tls-1.3"):
        scenario_options(RDP_SCENARIOS, "tls-1.1", {})


def rows_of(page: str) -> dict[str, str]:
    """Return the table of scenarios of a page of the manual: name and question."""
    text = Path(__file__).parents[1].joinpath("docs", "how-to", f"{page}.md").read_text(encoding="utf-8")
    table = text.partition("| scenario | does the client ... |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = (line.strip("| ").split(" | ") for line in table.splitlines())
    return {name.strip("`"): question for name, question in rows}


@pytest.mark.parametrize(
    ("page", "scenarios"), [("rdp-test-a-client", RDP_SCENARIOS), ("winrm-test-a-client", WINRM_SCENARIOS)]
)
def test_the_manual_lists_every_scenario_and_no_other(page: str, scenarios: dict[str, Scenario]) -> None:
    """Each of them is run: below, and in tests/winrm/test_plugin.py."""
    assert rows_of(page) == {name: scenario.question for name, scenario in scenarios.items()}


@pytest.mark.parametrize("credssp_rdp_server", rows_of("rdp-test-a-client"), indirect=True)
def test_every_row_of_the_manual_runs_as_it_is(credssp_rdp_server: RDPServer, request: pytest.FixtureRequest) -> None:
    outcome(credssp_rdp_server, RDP_SCENARIOS[request.node.callspec.params["credssp_rdp_server"]])


def test_trio(credssp_winrm_server: Any) -> None:
    trio, httpx = pytest.importorskip("trio"), pytest.importorskip("httpx")
    from credssp.drivers.winrm_httpx import CredSSPAuth

    async def main() -> int:
        async with httpx.AsyncClient(auth=CredSSPAuth("LAB\\alice", PASSWORD), trust_env=False) as client:
            headers = {"Content-Type": "application/soap+xml;charset=UTF-8"}
            answer = await client.post(credssp_winrm_server.url, content=identify(), headers=headers)
            return int(answer.status_code)

    assert trio.run(main) == 200
    credssp_winrm_server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)


def test_another_kind_of_credentials() -> None:
    card = credssp.SmartCardCredentials(pin=credssp.Secret("0000"))
    with RDPServer() as server:
        log_on(server, delegated_credentials=card)
        delegation = server.assert_delegated(username="", domain="", empty=False)
        with pytest.raises(AssertionError, match="SmartCardCredentials"):
            server.assert_delegated(password="x")
    assert delegation.credentials == card


def test_a_server_that_cannot_start() -> None:
    with RDPServer() as server, pytest.raises(credssp.CredSSPError, match="cannot listen"):
        RDPServer(port=server.port).start()
    with pytest.raises(credssp.LocalProtocolError, match="not started"):
        _ = RDPServer().address
    RDPServer().stop()
    server.stop()


def test_any_account_store() -> None:
    with RDPServer(accounts=credssp.CallbackAccounts(lambda domain, user: PASSWORD)) as server:
        log_on(server)
        server.assert_delegated(username="alice")

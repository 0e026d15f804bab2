"""The domain of the pytest plugin with the test servers on its member: what users of the library write."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from credssp import PasswordCredentials, PeerRefusedError, rdp
from credssp.credentials import CCacheCredentials
from credssp.drivers.winbind import WinbindAuthority
from credssp.status import NTStatus
from credssp.testing import RDPServer
from credssp.testing.domain import MEMBER, MEMBER_ADDRESS, Domain, password, settings
from credssp.testing.double_hop import DoubleHop, use_delegated
from tests.docs.pages import DOCS, blocks
from tests.domain.lab import require_domain

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.interop

ALICE = PasswordCredentials("alice", password("alice"), domain="LAB")


@pytest.fixture(autouse=True, scope="module")
def _required() -> None:
    """Where peers are required, a machine without a domain is a failure."""
    require_domain()


def test_examples_of_the_manual(credssp_domain: Domain) -> None:
    (block,) = blocks((DOCS / "how-to/test-in-a-domain.md").read_text(encoding="utf-8"), "py")
    module: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.text, "test-in-a-domain.md", "exec"), module)  # noqa: S102
    for mechanism in ("ntlm", "kerberos"):
        module["test_login"](credssp_domain, mechanism)
    module["test_disabled_account"](credssp_domain)


def test_manual_lists_the_accounts() -> None:
    page = (DOCS / "how-to/test-in-a-domain.md").read_text(encoding="utf-8")
    table = page.partition("| user | what there is about it |")[2].partition("\n\n")[0]
    listed = {name for line in table.splitlines()[2:] for name in re.findall("`([^`(]+)`", line.split(" | ")[0])}
    assert listed == set(_users())


def _users() -> list[str]:
    """Read the names from the program that makes them, which runs in another Python."""
    tree = ast.parse(Path(settings.POPULATE).read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_USERS"
    )
    return [node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_fixture_is_skipped_with_the_reason_where_there_is_no_domain(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credssp.testing.domain.obstacle", lambda: "a domain controller needs root")
    pytester.makepyfile("def test_login(credssp_domain): ...")
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "-rs")
    done.assert_outcomes(skipped=1)
    assert "there can be no domain here: a domain controller needs root" in done.stdout.str()


def member_of_the_domain(domain: Domain) -> RDPServer:
    return RDPServer(host=MEMBER_ADDRESS, keytab=str(domain.keytab), authority=domain.call(WinbindAuthority))


@pytest.mark.parametrize("mechanism", ["ntlm", "kerberos"])
def test_user_of_the_domain_logs_on_to_a_test_server(credssp_domain: Domain, mechanism: str) -> None:
    def client(port: int) -> None:
        rdp.connect(MEMBER, port, credentials=ALICE, mechanism=mechanism).close()  # type: ignore[arg-type]

    with credssp_domain.serving(member_of_the_domain(credssp_domain)) as server:
        credssp_domain.call(client, server.port)
        found = server.assert_delegated(username="alice", domain="LAB", password=password("alice"), timeout=30)
    assert (found.mechanism, found.identity.username, found.identity.domain) == (mechanism, "alice", "LAB")


def test_account_that_may_not_log_on(credssp_domain: Domain) -> None:
    def client(port: int) -> int | None:
        disabled = PasswordCredentials("disabled", password("disabled"), domain="LAB")
        with pytest.raises(PeerRefusedError) as told:
            rdp.connect(MEMBER, port, credentials=disabled, mechanism="ntlm")
        return told.value.ntstatus

    with credssp_domain.serving(member_of_the_domain(credssp_domain)) as server:
        assert credssp_domain.call(client, server.port) == NTStatus.STATUS_ACCOUNT_DISABLED
        server.assert_refused(NTStatus.STATUS_ACCOUNT_DISABLED, timeout=30)


def test_double_hop_after_a_login_with_kerberos(credssp_domain: Domain) -> None:
    server = {"host": MEMBER_ADDRESS, "keytab": str(credssp_domain.keytab)}
    hop = DoubleHop(
        first="rdp",
        second="winrm",
        first_options=server,
        second_options={"host": MEMBER_ADDRESS, "authority": credssp_domain.call(WinbindAuthority)},
    )

    def client(port: int) -> None:
        rdp.connect(MEMBER, port, credentials=ALICE, mechanism="kerberos").close()

    with credssp_domain.serving(hop):
        credssp_domain.call(client, hop.first.port)
        hop.assert_double_hop(username="alice", domain="LAB", password=password("alice"), timeout=30)
    assert hop.first.delegations[0].identity.mechanism == "kerberos"  # type: ignore[union-attr]


def test_tickets_delegate_nothing_for_a_second_hop(credssp_domain: Domain) -> None:
    tickets = CCacheCredentials(credssp_domain.kinit("alice", password("alice"), name="hop.ccache"))
    server = {"host": MEMBER_ADDRESS, "keytab": str(credssp_domain.keytab)}
    hop = DoubleHop(first="rdp", second="rdp", first_options=server, second_options={"host": MEMBER_ADDRESS})

    def client(port: int) -> None:
        rdp.connect(MEMBER, port, credentials=tickets, mechanism="kerberos").close()

    with credssp_domain.serving(hop):
        credssp_domain.call(client, hop.first.port)
        hop.assert_no_double_hop(username="", timeout=30)
        with pytest.raises(AssertionError, match="no second hop is possible: the client delegated an empty set"):
            hop.assert_double_hop()


def test_command_on_the_member(credssp_domain: Domain) -> None:
    from credssp.testing.winrm import WinRMServer

    server = WinRMServer(
        host=MEMBER_ADDRESS, authority=credssp_domain.call(WinbindAuthority), commands={"Get-Date": "today"}
    )
    with credssp_domain.serving(server):
        output = credssp_domain.call(use_delegated, ALICE, server, command="Get-Date", mechanism="ntlm")
        server.assert_delegated(username="alice", domain="LAB", timeout=30)
    assert output.stdout == b"today"

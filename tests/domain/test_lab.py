"""The domain is what the other tests take it for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from _pytest.outcomes import Failed, Skipped

from tests.domain.lab import DC, DOMAIN, MEMBER, Domain, network_of, password, processes_of, require_domain

pytestmark = pytest.mark.interop


def test_member_is_joined_and_winbindd_trusts_the_domain(domain: Domain) -> None:
    assert "succeeded" in domain.run(["wbinfo", "-t"]).stdout
    assert domain.run(["wbinfo", "--own-domain"]).stdout == f"{DOMAIN}\n"
    assert domain.run(["hostname"]).stdout == "member\n"


def test_winbindd_knows_alice_and_her_groups(domain: Domain) -> None:
    assert domain.run(["wbinfo", "-n", "LAB\\alice"]).stdout.split()[1:] == ["SID_USER", "(1)"]
    groups = domain.run(["wbinfo", "--user-domgroups", _sid(domain, "LAB\\alice")]).stdout.split()
    assert _sid(domain, "LAB\\RDP Users") in groups


def test_a_nested_group_counts(domain: Domain) -> None:
    groups = domain.run(["wbinfo", "--user-domgroups", _sid(domain, "LAB\\bob")]).stdout.split()
    assert {_sid(domain, "LAB\\Nested"), _sid(domain, "LAB\\RDP Users")} <= set(groups)


def test_a_user_may_be_in_very_many_groups(domain: Domain) -> None:
    before = len(domain.attribute("many", "memberOf").splitlines())
    domain.add_groups("many", 30)
    domain.add_groups("many", 10)
    assert len(domain.attribute("many", "memberOf").splitlines()) == before + 40


@pytest.mark.parametrize("user", ["alice", "Ümläut", "protected", "rc4only"])
def test_users_get_tickets(domain: Domain, user: str) -> None:
    cache = domain.kinit(user, password(user), name="kinit.ccache")
    assert f"{user}@LAB.TEST" in domain.run(["klist", "-c", cache]).stdout


def test_the_machine_account_root_gets_a_ticket_of_root(domain: Domain) -> None:
    cache = domain.kinit("root", password("root"), name="dollar.ccache")
    assert "Default principal: root@LAB.TEST" in domain.run(["klist", "-c", cache]).stdout


def test_the_join_has_no_key_for_termsrv_and_the_keytab_has(domain: Domain) -> None:
    service = f"TERMSRV/{MEMBER}@LAB.TEST"
    join = domain.run(["klist", "-k", str(domain.join_keytab)]).stdout
    assert f"host/{MEMBER}@LAB.TEST" in join
    assert service not in join
    assert service in domain.run(["klist", "-k", str(domain.keytab)]).stdout


def test_functions_are_called_on_the_member(domain: Domain) -> None:
    def connect() -> str:
        with socket.create_connection((DC, 389), timeout=30) as connection:
            return f"{connection.getpeername()[0]} {socket.gethostbyname(MEMBER)}"

    assert domain.call(connect) == f"{DC} 127.0.0.10"
    with pytest.raises(OSError, match=r".*"), socket.create_connection((DC, 389), timeout=30):
        pass  # from here, the domain controller is out of reach


def test_nothing_is_left_when_it_is_stopped(tmp_path: Path) -> None:
    """The namespaces alone; with everything in them it is the same."""
    small = Domain(tmp_path)
    for name in ("hosts", "resolv.conf"):
        (tmp_path / name).write_text("127.0.0.1 localhost\n")
    small._make_world()
    small._daemon("sleep", "sh", "-c", "sleep 1000 & echo started; wait")
    small._wait("sleep", lambda: "started" in (tmp_path / "sleep.log").read_text())
    # Of a test that forgot it, and not in the namespace of processes.
    left = small.popen(["sh", "-c", "echo there; exec sleep 1000"], stdout=subprocess.PIPE)
    assert left.stdout is not None
    with left.stdout as output:
        assert output.readline() == "there\n"
    network = network_of(left.pid)
    small.stop()
    assert left.wait(10) == -signal.SIGKILL
    assert not list(processes_of(network))


def _sid(domain: Domain, name: str) -> str:
    return domain.run(["wbinfo", "-n", name]).stdout.split()[0]


@pytest.mark.parametrize(("required", "outcome"), [("", Skipped), ("1", Failed)])
def test_without_root_the_tests_are_skipped_unless_peers_are_required(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_domain()
    monkeypatch.setenv("CREDSSP_REQUIRE_PEERS", required)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(outcome, match="a domain controller needs root"):
        require_domain()

"""NTLM users of a real domain log on to a member, which asks its domain controller by way of winbindd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import credssp
from credssp.authority import NO_LOGON_SERVERS, LogonQuestion
from credssp.status import NTStatus
from tests.domain.lab import Domain, password
from tests.domain.service import Service, log_on, serving, status_of, user

pytestmark = pytest.mark.interop

# Of a user that does not exist: three wrong passwords would lock one that does.
QUESTION = LogonQuestion(
    domain="LAB", username="nosuch", workstation="", server_challenge=bytes(8), nt_response=bytes(44)
)


@pytest.fixture(scope="module")
def service(domain: Domain) -> Iterator[Service]:
    local = ("--user", "LOCAL\\bob:of the store", "--user", "eve:of this machine")
    with serving(domain, "rdp", *local, "--limit", "answer_deadline=8", "--limit", "account_failures=50") as server:
        yield server


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
@pytest.mark.parametrize(
    ("typed", "account"),
    [
        ("LAB\\alice", "alice"),
        ("lab.test\\ALICE", "alice"),
        ("alice@lab.test", "alice"),
        ("LAB\\Ümläut", "Ümläut"),
        ("carol.jones@corp.example", "carol"),
    ],
)
def test_a_user_logs_on_by_every_name(
    domain: Domain, service: Service, typed: str, account: str, mechanism: str
) -> None:
    credentials = user(typed) if "ALICE" not in typed else user(typed, password("alice"))
    count = len([event for event in service.events if event["event"] == "delegated"])
    log_on(domain, service, credentials, "ntlm" if mechanism == "ntlm" else "negotiate")
    event = service.wait("delegated", count + 1)
    assert (event["domain"], event["user"]) == ("LAB", account)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("disabled", NTStatus.STATUS_ACCOUNT_DISABLED),
        ("mustchange", NTStatus.STATUS_PASSWORD_MUST_CHANGE),
        ("nohours", NTStatus.STATUS_INVALID_LOGON_HOURS),
        ("acctexpired", NTStatus.STATUS_ACCOUNT_EXPIRED),
        ("wsonly", NTStatus.STATUS_INVALID_WORKSTATION),
        ("protected", NTStatus.STATUS_ACCOUNT_RESTRICTION),
        ("locked", NTStatus.STATUS_LOGON_FAILURE),
        ("nosuchuser", NTStatus.STATUS_LOGON_FAILURE),
    ],
)
def test_an_account_that_may_not_log_on_has_its_status(
    domain: Domain, service: Service, name: str, status: NTStatus
) -> None:
    assert status_of(domain, service, user(f"LAB\\{name}")) == status


def test_the_event_says_that_an_account_is_locked(domain: Domain, service: Service) -> None:
    def reasons() -> int:
        return [event["reason"] for event in list(service.events) if event["event"] == "refused"].count("locked")

    count = reasons()
    status_of(domain, service, user("LAB\\locked"))
    end = time.monotonic() + 20
    while reasons() == count:  # the last event may be that of another login
        assert time.monotonic() < end, service.events
        time.sleep(0.01)


def test_a_wrong_password_counts_once(domain: Domain, service: Service) -> None:
    before = int(domain.attribute("wrong", "badPwdCount") or 0)
    assert status_of(domain, service, user("LAB\\wrong", "not this one")) == NTStatus.STATUS_LOGON_FAILURE
    assert int(domain.attribute("wrong", "badPwdCount")) == before + 1


def test_local_accounts_log_on_beside_the_domain(domain: Domain, service: Service) -> None:
    log_on(domain, service, credssp.PasswordCredentials("bob", "of the store", domain="LOCAL"))


@pytest.mark.parametrize("who", ["controller", "winbindd"])
def test_whoever_is_frozen_delays_nobody_else(domain: Domain, service: Service, who: str) -> None:
    accounts = ("--user", "bob:of the store")
    frozen = domain.frozen_controller if who == "controller" else domain.frozen_winbindd
    with serving(domain, "rdp", *accounts, winbind=False) as other, ThreadPoolExecutor(4) as pool, frozen():
        waiting = [pool.submit(status_of, domain, service, user("LAB\\alice")) for _ in range(3)]
        log_on(domain, other, credssp.PasswordCredentials("bob", "of the store"))
        log_on(domain, service, credssp.PasswordCredentials("eve", "of this machine", domain="MEMBER"))
        assert not any(each.done() for each in waiting)
        assert [each.result(60) for each in waiting] == [NTStatus.STATUS_NO_LOGON_SERVERS] * 3
    end = time.monotonic() + 60
    while status_of(domain, service, user("LAB\\alice")):  # winbindd notices that its controller is back
        assert time.monotonic() < end


def test_winbindd_restarts_and_the_service_goes_on(domain: Domain, service: Service) -> None:
    log_on(domain, service, user("LAB\\alice"))
    domain.stop_winbindd()
    try:
        assert status_of(domain, service, user("LAB\\alice")) == NTStatus.STATUS_NO_LOGON_SERVERS
        local = credssp.PasswordCredentials("bob", "of the store", domain="LOCAL")
        log_on(domain, service, local)
        refused = start(domain)
        assert refused.returncode == 2
        assert "net ads join" in refused.stderr
    finally:
        domain.start_winbindd()
    log_on(domain, service, user("LAB\\alice"))


def start(domain: Domain, *options: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Start a server that is to refuse to."""
    command = [*prefix, sys.executable, "-m", "credssp", "serve", "rdp", "--listen", "127.0.0.10:0", "--winbind"]
    return domain.run([*command, *options], check=False)


def test_who_may_not_ask_is_told_so_at_the_start(domain: Domain) -> None:
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    check = "from credssp.drivers.winbind import WinbindAuthority; WinbindAuthority()"
    refused = domain.run([*nobody, sys.executable, "-c", check], check=False)
    assert "winbindd_priv" in refused.stderr


def test_winbind_goes_with_no_other_names(domain: Domain) -> None:
    refused = start(domain, "--nb-domain", "OTHER")
    assert refused.returncode == 2
    assert "--winbind brings the names" in refused.stderr


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from credssp.drivers import _wbclient, winbind

    def missing(name: str) -> None:
        raise OSError("no such file")

    _wbclient.load.cache_clear()
    monkeypatch.setattr(_wbclient.c, "CDLL", missing)
    with pytest.raises(credssp.LocalProtocolError, match="libwbclient0"):
        winbind.WinbindAuthority()


def test_groups_have_sids(domain: Domain) -> None:
    from credssp.drivers.winbind import WinbindAuthority

    def find() -> tuple[str, str]:
        authority = WinbindAuthority()
        assert authority.target.nb_domain == "LAB"
        assert authority.target.dns_domain == "lab.test"
        for name in ("LAB\\alice", "LAB\\no such group", "a\0b"):
            with pytest.raises(credssp.LocalProtocolError):
                authority.group_sid(name)
        with_null = LogonQuestion(
            domain="LAB", username="a\0b", workstation="", server_challenge=bytes(8), nt_response=bytes(44)
        )
        assert authority.verify(with_null) != NO_LOGON_SERVERS
        return authority.group_sid("LAB\\RDP Users"), authority.group_sid("Nested")

    assert all(sid.startswith("S-1-5-21-") for sid in domain.call(find))


def test_a_fork_does_not_share_the_connection(domain: Domain) -> None:
    from credssp.drivers.winbind import WinbindAuthority

    def run() -> int:
        authority = WinbindAuthority()
        first = authority.verify(QUESTION)
        child = os.fork()
        if not child:
            os._exit(0 if authority.verify(QUESTION) == first else 1)
        assert authority.verify(QUESTION) == first
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    assert domain.call(run) == 0

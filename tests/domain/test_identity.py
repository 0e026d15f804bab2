"""Who a user of a real domain is to a server of it, by every mechanism and by every name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import credssp
from credssp import CCacheCredentials
from credssp.errors import PeerRefusedError
from credssp.status import NTStatus
from tests.domain.lab import MEMBER, Domain, password
from tests.domain.service import Service, log_on, serving, status_of, user

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def service(domain: Domain) -> Iterator[Service]:
    with serving(domain, "rdp", "--keytab", str(domain.keytab)) as server:
        yield server


def logon_of(domain: Domain, service: Service, credentials: Any, mechanism: str) -> dict[str, Any]:
    """Log on and return what the event says about it."""
    count = len([event for event in list(service.events) if event["event"] == "delegated"])
    log_on(domain, service, credentials, mechanism)
    logon: dict[str, Any] = service.wait("delegated", count + 1)["logon"]
    return logon


WHO = ("domain", "user", "authority", "sid", "groups")


@pytest.mark.parametrize(
    ("typed", "groups"),
    [
        ("LAB\\alice", ["RDP Users"]),
        ("alice@lab.test", ["RDP Users"]),
        ("LAB\\bob", ["RDP Users", "Nested"]),
        ("LAB\\Ümläut", ["RDP Users"]),
        ("carol.jones@corp.example", []),
    ],
)
def test_a_user_is_the_same_by_every_mechanism(domain: Domain, service: Service, typed: str, groups: list[str]) -> None:
    ntlm = logon_of(domain, service, user(typed), "ntlm")
    kerberos = logon_of(domain, service, user(typed), "kerberos")
    assert [kerberos[name] for name in WHO] == [ntlm[name] for name in WHO]
    assert (ntlm["domain"], ntlm["authority"]) == ("LAB", "domain")
    assert (ntlm["mechanism"], kerberos["mechanism"]) == ("ntlm", "kerberos")
    sids = sorted(domain.attribute(name, "objectSid") for name in groups)
    assert sids == [sid for sid in ntlm["groups"] if not sid.endswith("-513")]
    assert ntlm["sid"] == domain.attribute(ntlm["user"], "objectSid")


def test_the_spelling_of_a_ticket_does_not_matter(domain: Domain, service: Service) -> None:
    cache = domain.kinit("ALICE@LAB.TEST", password("alice"), name="capital.ccache")
    logon = logon_of(domain, service, CCacheCredentials(cache), "kerberos")
    assert (logon["domain"], logon["user"]) == ("LAB", "alice")


def test_a_protected_user_logs_on_with_kerberos(domain: Domain, service: Service) -> None:
    assert logon_of(domain, service, user("LAB\\protected"), "kerberos")["user"] == "protected"


def test_a_dollar_ticket_is_refused(domain: Domain, service: Service) -> None:
    cache = domain.kinit("root@LAB.TEST", password("root"), name="dollar.ccache")
    with pytest.raises(PeerRefusedError) as error:
        log_on(domain, service, CCacheCredentials(cache), "kerberos")
    assert error.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
    assert "machine account" in service.wait("refused")["status"]["text"]


def test_the_machine_account_itself_has_its_dollar(domain: Domain, service: Service) -> None:
    cache = domain.kinit("root$@LAB.TEST", password("root"), name="machine.ccache")
    assert logon_of(domain, service, CCacheCredentials(cache), "kerberos")["user"] == "root$"


def test_a_ticket_without_a_pac_is_refused(domain: Domain, service: Service) -> None:
    cache = domain.kinit("alice@LAB.TEST", password("alice"), "--no-request-pac", name="no-pac.ccache")
    count = len([event for event in list(service.events) if event["event"] == "refused"])
    with pytest.raises(PeerRefusedError) as error:
        log_on(domain, service, CCacheCredentials(cache), "kerberos")
    assert error.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
    assert "require_pac" in service.wait("refused", count + 1)["status"]["text"]


def test_a_ticket_without_a_pac_is_marked_where_none_is_needed(domain: Domain) -> None:
    cache = domain.kinit("alice@LAB.TEST", password("alice"), "--no-request-pac", name="no-pac-2.ccache")
    server = credssp.ServerContext(keytab=str(domain.keytab), mechanisms=["kerberos"])

    def run() -> None:
        client = credssp.ClientContext(CCacheCredentials(cache), target_name=f"TERMSRV/{MEMBER}", mechanism="kerberos")
        token = client.step().token
        while not server.complete:
            token = client.step(server.step(token).token).token

    domain.call(run)
    assert server.identity is not None
    assert (server.identity.authority, server.identity.domain) == ("realm", "LAB.TEST")


def test_a_user_with_a_thousand_groups_logs_on(domain: Domain, service: Service) -> None:
    domain.add_groups("many", 1000)
    kerberos = logon_of(domain, service, user("LAB\\many"), "kerberos")
    assert len(kerberos["groups"]) >= 1000
    assert logon_of(domain, service, user("LAB\\many"), "ntlm")["groups"] == kerberos["groups"]


@pytest.mark.parametrize(
    ("name", "status"),
    [("disabled", NTStatus.STATUS_ACCOUNT_DISABLED), ("wsonly", NTStatus.STATUS_INVALID_WORKSTATION)],
)
def test_statuses_are_those_of_the_domain(domain: Domain, service: Service, name: str, status: NTStatus) -> None:
    assert status_of(domain, service, user(f"LAB\\{name}")) == status

"""What a joined member's keytab opens, and what ``credssp doctor`` says of it."""

from __future__ import annotations

import json

import pytest

from credssp import AuthenticationError, CCacheCredentials, ClientContext, RemoteGuardCredentials, ServerContext
from credssp.kerberos.remote_guard import open_remote_guard, remote_guard_credentials
from credssp.status import SecurityStatus
from tests.domain.lab import MEMBER, REALM, Domain, password
from tests.domain.logins import CREDSSP, log_on, serving
from tests.kerberos import exchange

pytestmark = pytest.mark.interop

SPN = f"TERMSRV/{MEMBER}"


@pytest.mark.parametrize(
    "options", [(), ("--spn", SPN), ("--spn", "TERMSRV/other.lab.test", "--spn", SPN)], ids=["any", "one", "two"]
)
def test_keytab_of_a_join_opens_termsrv_tickets(domain: Domain, options: tuple[str, ...]) -> None:
    with serving(domain, "--keytab", str(domain.join_keytab), *options) as server:
        login = log_on(domain, server, r"LAB\alice", password("alice"), mechanism="kerberos")
        assert (login.error, login.context.mechanism) == (None, "kerberos")
        assert server.event("delegated", "refused")["user"] == "alice"


def test_ticket_for_a_service_that_spn_does_not_name_is_refused(domain: Domain) -> None:
    """The key opens it all the same: that is a rule, and not a key that is missing."""
    with serving(domain, "--keytab", str(domain.join_keytab), "--spn", f"HTTP/{MEMBER}") as server:
        login = log_on(domain, server, r"LAB\alice", password("alice"), mechanism="kerberos")
        assert login.status == "STATUS_LOGON_FAILURE"
        event = server.event("delegated", "refused")
        assert event["status"]["name"] == "STATUS_LOGON_FAILURE"
        assert "another service than HTTP/member.lab.test" in event["status"]["text"]


def test_doctor_says_what_a_join_lacks_and_how_to_add_it(domain: Domain) -> None:
    def examine(*arguments: str) -> list[dict[str, str]]:
        done = domain.run([*CREDSSP, "doctor", "--json", *arguments], check=False)
        findings: list[dict[str, str]] = json.loads(done.stdout)["machine"]
        return [finding for finding in findings if "TERMSRV" in finding["advice"]]

    (note,) = examine(f"rdp://{MEMBER}", "--keytab", str(domain.join_keytab))
    assert note["severity"] == "note"
    assert "net ads keytab add_update_ads TERMSRV" in note["advice"]
    assert not examine(f"rdp://{MEMBER}", "--keytab", str(domain.keytab))


@pytest.mark.parametrize("which", ["join_keytab", "keytab"])
def test_remote_credential_guard_opens_with_the_same_keys(domain: Domain, which: str) -> None:
    cache = domain.kinit("alice", password("alice"), "-f", name=f"guard-{which}.ccache")
    keytab = str(getattr(domain, which))

    def redirect() -> str:
        tickets = CCacheCredentials(cache)
        made = remote_guard_credentials(SPN, tickets=tickets)
        assert isinstance(made, RemoteGuardCredentials)
        server = ServerContext(keytab=keytab, mechanisms=("kerberos",))
        client = ClientContext(tickets, target_name=SPN, mechanism="kerberos")
        assert exchange.log_on(client, server).server_error is None
        assert server.identity is not None
        (info,) = open_remote_guard(made, server.identity, keytab=keytab).ticket_info
        return f"{info.pname}@{info.prealm}"

    assert domain.call(redirect) == f"alice@{REALM}"


def test_tickets_of_protected_users_are_not_forwarded_and_that_is_said(domain: Domain) -> None:
    cache = domain.kinit("protected", password("protected"), "-f", name="guard-protected.ccache")
    with pytest.raises(AuthenticationError, match="Protected Users") as caught:
        domain.call(remote_guard_credentials, SPN, tickets=CCacheCredentials(cache))
    assert caught.value.status is SecurityStatus.SEC_E_NO_CREDENTIALS

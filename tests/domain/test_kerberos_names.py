"""Who users are to Kerberos: NetBIOS domains, foreign UPN suffixes, umlauts, Protected Users."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from credssp import PeerRefusedError
from tests.domain.lab import DOMAIN, REALM, Domain, password
from tests.domain.logins import Server, log_on, run_login, serving

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def server(domain: Domain) -> Iterator[Server]:
    with serving(domain, "--keytab", str(domain.keytab), "--user", r"LOCAL\nobody:secret") as running:
        yield running


@pytest.mark.parametrize(
    ("typed", "user"),
    [
        (r"LAB\alice", "alice"),
        ("alice@lab.test", "alice"),
        ("alice", "alice"),
        (r"LAB\ALICE", "alice"),
        ("carol.jones@corp.example", "carol"),
        (r"LAB\Ümläut", "Ümläut"),
        (r"LAB\protected", "protected"),
        ("protected@lab.test", "protected"),
    ],
)
def test_every_way_to_write_a_user_gets_a_ticket_of_that_user(
    domain: Domain, server: Server, typed: str, user: str
) -> None:
    login = log_on(domain, server, typed, password(user))
    assert (login.error, login.context.mechanism) == (None, "kerberos")
    assert login.context.client_name == f"{user}@{REALM}"
    event = server.event("delegated", "refused")
    assert (event["user"], event["domain"]) == (user, DOMAIN)  # by the PAC


def test_report_has_what_was_typed_and_what_the_kdc_answered(domain: Domain, server: Server) -> None:
    report = run_login(domain, server.url, "carol.jones@corp.example", password("carol"))
    assert (report["accepted"], report["mechanism"]) == (True, "kerberos"), report
    assert (report["user"], report["principal"]) == ("carol.jones@corp.example", f"carol@{REALM}")


def test_user_that_the_kdc_does_not_know_is_tried_with_ntlm(domain: Domain, server: Server) -> None:
    login = log_on(domain, server, r"LAB\nosuch", "some password")
    assert login.status == "STATUS_LOGON_FAILURE"
    assert isinstance(login.error, PeerRefusedError)
    (skipped,) = login.context.skipped
    assert skipped.name == "kerberos"
    assert "not found in Kerberos database" in skipped.error.message


def test_local_account_of_the_server_is_no_matter_for_the_kdc(domain: Domain, server: Server) -> None:
    login = log_on(domain, server, r"LOCAL\nobody", "secret")
    assert (login.error, login.context.mechanism, login.context.client_name) == (None, "ntlm", "")


def test_no_dns_server_is_asked_for_a_netbios_name(domain: Domain, server: Server) -> None:
    """With one that does not answer, libkrb5 waits for 20 s, here for minutes, to find that LAB is not a realm."""
    conf = domain.folder / "silent-dns.conf"
    text = domain.krb5_conf.read_text().replace("dns_lookup_kdc = false", "dns_lookup_kdc = true")
    conf.write_text(text)
    resolver = domain.folder / "silent-resolv.conf"
    resolver.write_text("nameserver 127.0.0.99\noptions timeout:30 attempts:2\n")
    script = f'mount --bind {resolver} /etc/resolv.conf && exec "$@"'
    own_mounts = ("unshare", "-m", "sh", "-c", script, "sh")
    report = run_login(
        domain, server.url, rf"{DOMAIN}\alice", password("alice"), env={"KRB5_CONFIG": str(conf)}, before=own_mounts
    )
    assert (report["accepted"], report["mechanism"]) == (True, "kerberos"), report
    assert report["seconds"] < 25

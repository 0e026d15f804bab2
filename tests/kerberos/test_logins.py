"""Logins with Kerberos against a real KDC."""

from __future__ import annotations

from typing import Any

import pytest

from credssp import (
    CCacheCredentials,
    ClientContext,
    DelegationPolicy,
    KeytabCredentials,
    LogonCredentials,
    MemoryAccounts,
    PasswordCredentials,
    ServerAuthentication,
    ServerContext,
)
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.mechanism import Mechanism
from credssp.policy import DelegationList
from credssp.spnego import OID, NegTokenInit
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET, Watch, log_on

pytestmark = pytest.mark.interop

ALICE = PasswordCredentials("alice", PASSWORD, domain=REALM)
ACCOUNTS = MemoryAccounts({(REALM, "alice"): PASSWORD})


def server_of(lab: Lab, **arguments: Any) -> ServerContext:
    return ServerContext(**({"keytab": lab.keytab, "accounts": ACCOUNTS} | arguments))


def assert_logged_on(client: ClientContext, server: ServerContext) -> None:
    outcome = log_on(client, server)
    assert (outcome.client_error, outcome.server_error) == (None, None)
    assert client.complete
    assert server.complete
    assert server.identity is not None
    assert server.identity.username == "alice"
    assert server.unwrap(client.wrap(b"ping")) == b"ping"
    assert client.unwrap(server.wrap(b"pong")) == b"pong"


# What each side offers


@pytest.mark.parametrize(
    ("wanted", "accepted", "offers", "used"),
    [
        ("negotiate", ("kerberos", "ntlm"), (OID.KERBEROS, OID.NTLM), "kerberos"),
        ("negotiate", ("ntlm", "kerberos"), (OID.KERBEROS, OID.NTLM), "ntlm"),
        ("negotiate", ("ntlm",), (OID.KERBEROS, OID.NTLM), "ntlm"),
        ("negotiate", ("kerberos",), (OID.KERBEROS, OID.NTLM), "kerberos"),
        ("auto", ("kerberos", "ntlm"), (OID.KERBEROS, OID.NTLM), "kerberos"),
        ("kerberos", ("kerberos", "ntlm"), (OID.KERBEROS,), "kerberos"),
        ("kerberos", ("ntlm", "kerberos"), (OID.KERBEROS,), "kerberos"),
        ("kerberos", ("kerberos",), (OID.KERBEROS,), "kerberos"),
        ("ntlm", ("kerberos", "ntlm"), None, "ntlm"),
    ],
)
def test_offers_that_meet(lab: Lab, wanted: Any, accepted: Any, offers: Any, used: str) -> None:
    watch = Watch()
    downgrade = wanted != used == "ntlm"
    client = ClientContext(ALICE, target_name=TARGET, mechanism=wanted, observer=watch, allow_ntlm_downgrade=downgrade)
    server = server_of(lab, mechanisms=accepted)
    assert_logged_on(client, server)
    assert (client.mechanism, server.mechanism) == (used, used)
    if offers is None:
        assert watch.first_token.startswith(b"NTLMSSP\0")
    else:
        assert NegTokenInit.decode(watch.first_token).mech_types == offers
    assert server.delegated_credentials == ALICE


@pytest.mark.parametrize(
    ("wanted", "accepted"), [("kerberos", ("ntlm",)), ("ntlm", ("kerberos",))], ids=["kerberos alone", "ntlm alone"]
)
def test_forced_alone_there_is_no_fallback(lab: Lab, wanted: Any, accepted: Any) -> None:
    client = ClientContext(ALICE, target_name=TARGET, mechanism=wanted)
    outcome = log_on(client, server_of(lab, mechanisms=accepted))
    assert outcome.server_error is not None
    assert outcome.client_error is not None
    assert not client.complete


# With and without SPNEGO around it


def run(client: Mechanism, server: Mechanism) -> None:
    token = client.step(None)
    while token:
        token = server.step(token)
        if token:
            token = client.step(token)


@pytest.mark.parametrize("form", ["spnego", "kerberos"])
def test_wrapped_messages_have_the_header_of_windows(lab: Lab, form: Any) -> None:
    client = create_initiator(ALICE, target_name=TARGET, mechanism="kerberos", wire_form=form)
    server = create_acceptor(ACCOUNTS, keytab=str(lab.keytab))
    run(client, server)
    assert client.wire_form == server.wire_form == form
    assert client.session_key == server.session_key
    for sender, receiver in ((client, server), (server, client)):
        for size in (0, 1, 32, 1000, 60_000):
            sealed = sender.wrap(b"x" * size)
            # RFC 4121 4.2.6.2: TOK_ID 05 04, sealed; [MS-KILE] 3.4.5.4.1: RRC 28, so that 60 bytes stand in front.
            assert sealed[:2] == b"\x05\x04"
            assert sealed[2] & 2
            assert sealed[6:8] == b"\x00\x1c"
            assert len(sealed) == 60 + size
            assert receiver.unwrap(sealed) == b"x" * size


def test_plain_gss_wrap_is_read_as_well(lab: Lab) -> None:
    client = create_initiator(ALICE, target_name=TARGET, mechanism="kerberos", wire_form="kerberos")
    server = create_acceptor(ACCOUNTS, keytab=str(lab.keytab))
    run(client, server)
    sealed = client._context.wrap(b"no rotation").data  # type: ignore[attr-defined]
    assert sealed[6:8] == b"\x00\x00"
    assert server.unwrap(sealed) == b"no rotation"


# Whose credentials


@pytest.mark.parametrize("kind", ["password", "upn", "cache", "cache of a principal", "default cache", "keytab"])
def test_every_kind_of_credentials_logs_on(lab: Lab, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    realm = lab.realm
    principal = f"alice@{REALM}"
    keytab = str(realm.keytab("alice.keytab", "alice"))
    credentials: LogonCredentials | None = {
        "password": ALICE,
        "upn": PasswordCredentials(principal, PASSWORD),
        "cache": CCacheCredentials(lab.ccache),
        "cache of a principal": CCacheCredentials(lab.ccache, principal),
        "default cache": None,
        "keytab": KeytabCredentials(keytab, principal),
    }[kind]
    if credentials is None:
        monkeypatch.setenv("KRB5CCNAME", lab.ccache)
    client = ClientContext(credentials, target_name=TARGET, mechanism="auto")
    server = server_of(lab)
    assert_logged_on(client, server)
    assert server.mechanism == "kerberos"
    if isinstance(credentials, PasswordCredentials):
        assert server.delegated_credentials == credentials
    else:
        assert server.delegated_credentials == PasswordCredentials.empty()


def test_delegated_credentials_may_be_those_of_somebody_else(lab: Lab) -> None:
    bob = PasswordCredentials("bob", "another secret", domain="LAB")
    client = ClientContext(CCacheCredentials(lab.ccache), target_name=TARGET, delegated_credentials=bob)
    server = server_of(lab)
    assert_logged_on(client, server)
    assert server.delegated_credentials == bob


def test_two_servers_with_different_keys_in_one_process(lab: Lab) -> None:
    realm = lab.realm
    for service in ("HTTP", "WSMAN"):
        keytab = realm.keytab(f"only-{service}.keytab", f"{service}/localhost")
        client = ClientContext(CCacheCredentials(lab.ccache), target_name=f"{service}/localhost", mechanism="kerberos")
        assert_logged_on(client, server_of(lab, keytab=keytab, spn=f"{service}/localhost"))


@pytest.mark.parametrize(
    "names",
    [
        {"spn": "TERMSRV/localhost"},
        {"spn": ["HTTP/localhost", "termsrv/localhost"]},
        {"service_principal": f"TERMSRV/localhost@{REALM}"},
        {"service_principal": f"TERMSRV/localhost@{REALM}", "spn": "HTTP/localhost"},
    ],
)
def test_demanded_service(lab: Lab, names: dict[str, Any]) -> None:
    client = ClientContext(CCacheCredentials(lab.ccache), target_name=TARGET, mechanism="kerberos")
    assert_logged_on(client, server_of(lab, **names))


# Which server it is


@pytest.mark.parametrize(
    ("mechanism", "proved"), [("kerberos", ServerAuthentication.KERBEROS), ("ntlm", ServerAuthentication.NTLM)]
)
def test_mutual_authentication_and_policy_take_it_from_one_place(
    lab: Lab, mechanism: Any, proved: ServerAuthentication
) -> None:
    strong_only = DelegationPolicy(
        allow_fresh_credentials=DelegationList.enabled("TERMSRV/*"),
        allow_fresh_credentials_when_ntlm_only=DelegationList.disabled(),
    )
    client = ClientContext(ALICE, target_name=TARGET, mechanism=mechanism, mutual_auth=True)
    by_policy = ClientContext(ALICE, target_name=TARGET, mechanism=mechanism, policy=strong_only)
    outcomes = [log_on(each, server_of(lab)) for each in (client, by_policy)]
    if proved.is_strong:
        assert [outcome.client_error for outcome in outcomes] == [None, None]
        assert client.server_authentication == by_policy.server_authentication == proved
    else:
        assert [error.status.name for outcome in outcomes if (error := outcome.client_error)] == [
            "SEC_E_MUTUAL_AUTH_FAILED",
            "SEC_E_POLICY_NLTM_ONLY",
        ]


@pytest.mark.parametrize("version", [2, 5, 6])
def test_bare_tokens_through_a_whole_login(lab: Lab, version: int) -> None:
    watch = Watch()
    client = ClientContext(
        ALICE,
        target_name=TARGET,
        mechanism="kerberos",
        wire_form="kerberos",
        observer=watch,
        min_version=2,
        max_version=version,
    )
    assert_logged_on(client, server_of(lab, min_version=2))
    assert watch.first_token[0] == 0x60
    assert bytes.fromhex("06092a864886f712010202") in watch.first_token[:20]


# Versions


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_every_version_of_credssp_runs_over_kerberos(lab: Lab, version: int) -> None:
    client = ClientContext(ALICE, target_name=TARGET, mechanism="kerberos", min_version=2, max_version=version)
    server = server_of(lab, min_version=2)
    assert_logged_on(client, server)
    assert client.version == server.version == version


def test_no_ticket_is_left_behind_in_a_cache_of_the_environment(lab: Lab) -> None:
    assert_logged_on(ClientContext(ALICE, target_name=TARGET, mechanism="kerberos"), server_of(lab))
    assert not (lab.realm.folder / "nobody.ccache").exists()


@pytest.mark.parametrize("credentials", [ALICE, None], ids=["password", "tickets"])
def test_client_knows_whose_ticket_it_used_once_the_login_is_over(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, credentials: PasswordCredentials | None
) -> None:
    monkeypatch.setenv("KRB5CCNAME", lab.ccache)
    client = ClientContext(credentials, target_name=TARGET, mechanism="kerberos")
    assert client.client_name == ""
    assert_logged_on(client, server_of(lab))
    assert client.client_name == f"alice@{REALM}"

"""What goes wrong with Kerberos, provoked for real: the status, what to do about it, what a client is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import credssp.rdp
from credssp import (
    CallbackAccounts,
    CCacheCredentials,
    ClientContext,
    CredSSPError,
    KeytabCredentials,
    LogonCredentials,
    MemoryAccounts,
    NTHashCredentials,
    PasswordCredentials,
    PeerRefusedError,
    RemoteProtocolError,
    ServerContext,
)
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.drivers.handshake import DeadlineError, Timeouts
from credssp.kerberos import tickets
from credssp.kerberos.ap import KRB_ERROR, KrbError, frame
from credssp.kerberos.values import Principal
from credssp.spnego import SpnegoInitiator
from tests.kdc import REALM, SilentKDC, free_port
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET, first_token, log_on, present

pytestmark = pytest.mark.interop

ALICE = PasswordCredentials("alice", PASSWORD, domain=REALM)

LOGON_FAILURE = 0xC000006D


def failure_of(credentials: LogonCredentials | None, target_name: str = TARGET) -> CredSSPError:
    """Return why a client cannot start."""
    with pytest.raises(CredSSPError) as caught:
        create_initiator(credentials, target_name=target_name, mechanism="kerberos").step(None)
    assert PASSWORD not in str(caught.value)
    return caught.value


# A client and its KDC


@pytest.mark.parametrize(
    ("account", "name", "text"),
    [
        ("wrong password", "STATUS_LOGON_FAILURE", "with kinit"),
        ("nobody", "STATUS_LOGON_FAILURE", "not found in Kerberos database; check the user name"),
        ("locked", "STATUS_ACCOUNT_DISABLED", "revoked"),
        ("old", "STATUS_PASSWORD_EXPIRED", "Password has expired"),
        ("gone", "STATUS_ACCOUNT_EXPIRED", "expired"),
    ],
)
def test_account_that_may_not_log_on(lab: Lab, account: str, name: str, text: str) -> None:
    for user, option in (("locked", "-allow_tix"), ("old", "-pwexpire"), ("gone", "-expire")):
        if user == account:
            lab.realm.add(user, option, *(["2020-01-01"] if option != "-allow_tix" else []), password=PASSWORD)
    user, password = ("alice", "other") if account == "wrong password" else (account, PASSWORD)
    error = failure_of(PasswordCredentials(user, password, domain=REALM))
    assert name in str(error)
    assert text in str(error)
    assert error.status.name == "SEC_E_LOGON_DENIED"


@pytest.mark.parametrize(
    ("target_name", "text"),
    [
        ("TERMSRV/unregistered.example.test", "its SPN registered"),
        ("TERMSRV/host.elsewhere.test", "krbtgt/ELSEWHERE.TEST"),
        ("TERMSRV/127.0.0.1", "the target is an IP address"),
    ],
)
def test_service_nobody_knows(lab: Lab, target_name: str, text: str) -> None:
    error = failure_of(CCacheCredentials(lab.ccache), target_name)
    assert error.status.name == "SEC_E_TARGET_UNKNOWN"
    assert text in str(error)


@pytest.mark.parametrize("what", ["unreachable", "no such realm", "no configuration", "no default realm"])
def test_kdc_that_cannot_be_asked(lab: Lab, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    credentials = ALICE
    if what == "unreachable":
        monkeypatch.setenv("KRB5_CONFIG", str(lab.realm.configure("dead.conf", port=free_port())))
        error = failure_of(CCacheCredentials(lab.ccache), "host/other.example.test")
        assert error.status.name == "SEC_E_NO_AUTHENTICATING_AUTHORITY"
    elif what == "no such realm":
        credentials = PasswordCredentials("alice", PASSWORD, domain="NOWHERE.TEST")
    else:
        monkeypatch.setenv("KRB5_CONFIG", str(lab.realm.folder / "not-there"))
        if what == "no default realm":
            credentials = PasswordCredentials("alice", PASSWORD)
    error = failure_of(credentials)
    assert error.status.name == "SEC_E_NO_AUTHENTICATING_AUTHORITY"
    assert "krb5.conf" in str(error)


@pytest.mark.parametrize(
    ("credentials", "status"),
    [
        (lambda lab: None, "SEC_E_NO_CREDENTIALS"),
        (lambda lab: CCacheCredentials("FILE:/nonexistent/cache"), "SEC_E_NO_CREDENTIALS"),
        (lambda lab: CCacheCredentials("FOO:bar"), "SEC_E_NO_CREDENTIALS"),
        (lambda lab: CCacheCredentials(str(lab.realm.krb5_conf)), "SEC_E_NO_CREDENTIALS"),
        (lambda lab: CCacheCredentials(lab.ccache, f"bob@{REALM}"), "SEC_E_NO_CREDENTIALS"),
        (lambda lab: KeytabCredentials("/nonexistent/keytab"), "SEC_E_NO_CREDENTIALS"),
        (lambda lab: KeytabCredentials(str(lab.keytab), f"alice@{REALM}"), "SEC_E_NO_KERB_KEY"),
        (lambda lab: KeytabCredentials(str(lab.realm.krb5_conf)), "SEC_E_NO_KERB_KEY"),
        (lambda lab: NTHashCredentials("alice", bytes(16), domain=REALM), "SEC_E_NO_CREDENTIALS"),
    ],
)
def test_nothing_to_log_on_with(lab: Lab, credentials: Callable[[Lab], LogonCredentials | None], status: str) -> None:
    assert failure_of(credentials(lab)).status.name == status


@pytest.mark.parametrize(
    ("credentials", "named"),
    [
        (CCacheCredentials("FILE:/nonexistent/cache"), "with the credential cache FILE:/nonexistent/cache: "),
        (CCacheCredentials("FILE:/nonexistent/cache", "bob@X"), "FILE:/nonexistent/cache as bob@X"),
        (KeytabCredentials("/nonexistent/keytab"), "with the keytab /nonexistent/keytab"),
        (None, "with the default credential cache"),
    ],
)
@pytest.mark.usefixtures("lab")
def test_the_file_that_failed_is_named(credentials: LogonCredentials | None, named: str) -> None:
    assert named in str(failure_of(credentials))


def test_fallback_to_ntlm_says_why(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(lab.realm.configure("dead.conf", port=free_port())))
    initiator = create_initiator(ALICE, target_name=TARGET)
    initiator.step(None)
    assert isinstance(initiator, SpnegoInitiator)
    assert initiator.wire_form == "ntlm"
    assert [(skip.name, skip.error.status.name) for skip in initiator.skipped] == [
        ("kerberos", "SEC_E_NO_AUTHENTICATING_AUTHORITY")
    ]
    client = ClientContext(ALICE, target_name=TARGET)
    server = ServerContext(accounts=MemoryAccounts({(REALM, "alice"): PASSWORD}), keytab=lab.keytab)
    assert log_on(client, server).server_error is None
    assert server.mechanism == "ntlm"


def judged_by_both(lab: Lab, credentials: PasswordCredentials, **options: Any) -> tuple[CredSSPError | None, int, str]:
    """Log on to a server that counts NTLM proofs; return the client's error, their number, and the mechanism."""
    proofs: list[str] = []
    accounts = CallbackAccounts(lambda domain, user: proofs.append(user) or PASSWORD)
    client = ClientContext(credentials, **{"target_name": TARGET} | options)
    outcome = log_on(client, ServerContext(accounts=accounts, keytab=lab.keytab))
    return outcome.client_error, len(proofs), client.mechanism


@pytest.mark.parametrize("mechanism", ["auto", "negotiate"])
def test_password_that_the_kdc_has_judged_is_not_judged_again_by_ntlm(lab: Lab, mechanism: str) -> None:
    blocked, careful = f"blocked-{mechanism}", f"careful-{mechanism}"
    lab.realm.add(blocked, "-allow_tix", password=PASSWORD)
    lab.realm.add(careful, "+requires_preauth", password=PASSWORD)
    for user, password, status in (
        ("alice", "wrong", 0xC000006D),
        (careful, "wrong", 0xC000006D),
        (blocked, PASSWORD, 0xC0000072),
    ):
        credentials = PasswordCredentials(user, password, domain=REALM)
        error, proofs, _ = judged_by_both(lab, credentials, mechanism=mechanism)
        assert error is not None
        assert (error.ntstatus, proofs) == (status, 0)


def test_kerberos_that_is_not_possible_leads_to_ntlm_and_is_told_in_refusals(lab: Lab) -> None:
    unknown = PasswordCredentials("stranger", PASSWORD, domain=REALM)
    assert judged_by_both(lab, unknown) == (None, 1, "ntlm")
    assert judged_by_both(lab, ALICE, target_name="TERMSRV/unregistered.example.test")[::2] == (None, "ntlm")
    error, proofs, _ = judged_by_both(lab, PasswordCredentials("stranger", "wrong", domain=REALM))
    assert isinstance(error, PeerRefusedError)
    assert proofs == 1
    assert "(Kerberos was not used: getting a Kerberos ticket: Client 'stranger@EXAMPLE.TEST' not found" in str(error)


def test_context_says_why_kerberos_was_not_used(lab: Lab) -> None:
    client = ClientContext(PasswordCredentials("stranger", PASSWORD, domain=REALM), target_name=TARGET)
    server = ServerContext(accounts=MemoryAccounts({(REALM, "stranger"): PASSWORD}), keytab=lab.keytab)
    log_on(client, server)
    assert client.complete
    assert [(skip.name, skip.error.status.name) for skip in client.skipped] == [("kerberos", "SEC_E_LOGON_DENIED")]


def test_server_that_rejects_the_ticket_gets_no_ntlm(lab: Lab) -> None:
    lab.realm.add("TERMSRV/rekeyed.example.test")
    keytab = lab.realm.keytab("rekeyed.keytab", "TERMSRV/rekeyed.example.test")
    lab.realm.renew_key("TERMSRV/rekeyed.example.test")
    accounts = MemoryAccounts({(REALM, "alice"): PASSWORD})
    client = ClientContext(ALICE, target_name="TERMSRV/rekeyed.example.test")
    outcome = log_on(client, ServerContext(accounts=accounts, keytab=keytab))
    assert isinstance(outcome.client_error, PeerRefusedError)
    assert client.skipped == ()


def test_local_account_asks_no_kdc(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "password_tickets", lambda *_, **__: pytest.fail("a KDC was asked"))
    local = PasswordCredentials(".\\alice", PASSWORD)
    assert "local account of the server" in str(failure_of(local))
    assert judged_by_both(lab, local)[::2] == (None, "ntlm")


@pytest.mark.parametrize("user", ["LAB\\alice", "alice@elsewhere.example"])
def test_netbios_domain_and_foreign_suffix_are_enterprise_names_of_the_default_realm(lab: Lab, user: str) -> None:
    error = failure_of(PasswordCredentials(user, PASSWORD))
    name = user if "@" in user else "alice@LAB"
    assert f"Client '{name.replace('@', chr(92) + '@')}@{REALM}' not found" in str(error)


def test_case_of_the_realm_does_not_matter_for_tickets_and_keys(lab: Lab) -> None:
    lab.realm.add("keyed", password=PASSWORD)
    keytab = str(lab.realm.keytab("keyed.keytab", "keyed"))
    for credentials in (
        CCacheCredentials(lab.ccache, f"alice@{REALM.lower()}"),
        KeytabCredentials(keytab, f"keyed@{REALM.lower()}"),
    ):
        create_initiator(credentials, target_name=TARGET, mechanism="kerberos").step(None)


def test_altered_message_is_neither_a_wrong_password_nor_a_missing_file(lab: Lab) -> None:
    client = create_initiator(ALICE, target_name=TARGET, mechanism="kerberos")
    server = create_acceptor(MemoryAccounts({}), keytab=lab.keytab)
    reply = server.step(client.step(None))
    assert reply is not None
    client.step(reply)
    sealed = client.wrap(b"pubKeyAuth")
    with pytest.raises(RemoteProtocolError, match="altered") as caught:
        server.unwrap(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert (caught.value.status.name, caught.value.ntstatus) == ("SEC_E_MESSAGE_ALTERED", None)


@pytest.mark.parametrize("code", [24, 37, 41, 60])
def test_krb_error_of_a_server_is_told_as_its_claim(lab: Lab, code: int) -> None:
    client = create_initiator(ALICE, target_name=TARGET, mechanism="kerberos", wire_form="kerberos")
    client.step(None)
    service = Principal(2, ("TERMSRV", "localhost"))
    claimed = KrbError(code, datetime.now(UTC), REALM, service).encode()
    with pytest.raises(CredSSPError, match="KRB-ERROR, which is not authenticated, and claims") as caught:
        client.step(frame(KRB_ERROR, claimed))
    assert caught.value.ntstatus is None
    assert "kinit" not in str(caught.value) + caught.value.advice


# A server and its clients


@pytest.mark.parametrize("arguments", [{}, {"spn": TARGET}])
def test_server_without_its_keytab_says_so_and_tells_no_client(lab: Lab, arguments: dict[str, str]) -> None:
    error, told = present(first_token(CCacheCredentials(lab.ccache)), keytab="/nonexistent", **arguments)
    assert error is not None
    assert (error.status.name, told) == ("SEC_E_NO_KERB_KEY", LOGON_FAILURE)
    assert "check that the file is there" in str(error)


@pytest.mark.parametrize("arguments", [{}, {"spn": "TERMSRV/other.example.test"}])
def test_server_that_happens_to_have_no_key_takes_ntlm(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str]
) -> None:
    if arguments:
        monkeypatch.setenv("KRB5_KTNAME", str(lab.keytab))
    error, told = present(first_token(CCacheCredentials(lab.ccache)), **arguments)
    assert error is not None
    assert (error.status.name, told) == ("SEC_E_SECPKG_NOT_FOUND", LOGON_FAILURE)
    assert "kerberos: " in str(error)
    client = ClientContext(ALICE, target_name=TARGET, allow_ntlm_downgrade=True)
    server = ServerContext(accounts=MemoryAccounts({(REALM, "alice"): PASSWORD}))
    if not arguments:
        assert log_on(client, server).server_error is None
        assert server.mechanism == "ntlm"
    error, told = present(first_token(CCacheCredentials(lab.ccache)), mechanisms=("kerberos", "ntlm"), **arguments)
    assert error is not None
    assert (error.status.name, told) == ("SEC_E_NO_KERB_KEY", LOGON_FAILURE)


def test_file_that_is_no_keytab(lab: Lab) -> None:
    for arguments in ({}, {"spn": TARGET}):
        error, told = present(first_token(CCacheCredentials(lab.ccache)), keytab=str(lab.realm.krb5_conf), **arguments)
        assert error is not None
        assert (error.status.name, told) == ("SEC_E_NO_KERB_KEY", LOGON_FAILURE)


def test_keytab_without_the_service_that_is_demanded(lab: Lab) -> None:
    error, told = present(
        first_token(CCacheCredentials(lab.ccache)), keytab=str(lab.keytab), spn="TERMSRV/other.example.test"
    )
    assert error is not None
    assert (error.status.name, told) == ("SEC_E_NO_KERB_KEY", LOGON_FAILURE)
    assert "no key for TERMSRV/other.example.test" in str(error)


def test_ticket_for_another_service(lab: Lab) -> None:
    token = first_token(CCacheCredentials(lab.ccache), target_name="HTTP/localhost")
    only_rdp = str(lab.realm.keytab("only-rdp.keytab", TARGET))
    for arguments in ({"keytab": only_rdp}, {"keytab": str(lab.keytab), "spn": TARGET}):
        error, told = present(token, **arguments)
        assert error is not None
        assert error.status.name == "SEC_E_WRONG_PRINCIPAL"
        assert "klist -ke" in str(error)
        assert told == LOGON_FAILURE


def test_ticket_with_a_newer_key_than_the_keytab(lab: Lab) -> None:
    lab.realm.add("TERMSRV/renewed.example.test")
    keytab = str(lab.realm.keytab("outdated.keytab", "TERMSRV/renewed.example.test"))
    lab.realm.renew_key("TERMSRV/renewed.example.test")
    token = first_token(CCacheCredentials(lab.ccache), target_name="TERMSRV/renewed.example.test")
    error, told = present(token, keytab=keytab)
    assert error is not None
    assert (error.status.name, told) == ("SEC_E_NO_KERB_KEY", LOGON_FAILURE)
    assert "kvno 2 not found in keytab" in str(error)


def test_key_of_another_service_under_its_name(lab: Lab) -> None:
    """Two realms with the same names and other keys: the ticket does not open."""
    lab.realm.add("TERMSRV/twin.example.test")
    token = first_token(CCacheCredentials(lab.ccache), target_name="TERMSRV/twin.example.test")
    lab.realm.renew_key("TERMSRV/twin.example.test")
    lab.realm.modify("TERMSRV/twin.example.test", "-kvno", "1")
    error, told = present(token, keytab=str(lab.realm.keytab("twin.keytab", "TERMSRV/twin.example.test")))
    assert error is not None
    assert error.status.name in ("SEC_E_LOGON_DENIED", "SEC_E_WRONG_PRINCIPAL", "SEC_E_NO_KERB_KEY")
    assert told == LOGON_FAILURE


def test_replayed_ap_req(lab: Lab) -> None:
    token = first_token(CCacheCredentials(lab.ccache))
    assert present(token, keytab=str(lab.keytab)) == (None, None)
    for arguments in ({}, {"spn": TARGET}):
        error, told = present(token, keytab=str(lab.keytab), **arguments)
        assert error is not None
        assert (error.status.name, told) == ("SEC_E_OUT_OF_SEQUENCE", LOGON_FAILURE)


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9, 0.99])
def test_ap_req_with_a_wrong_octet(lab: Lab, where: float) -> None:
    token = bytearray(first_token(CCacheCredentials(lab.ccache)))
    token[int(len(token) * where)] ^= 1
    error, told = present(bytes(token), keytab=str(lab.keytab))
    assert error is not None
    assert told in (LOGON_FAILURE, 0x80090308)


@pytest.mark.parametrize("size", [1, 20, 60, 300])
def test_ap_req_that_ends_too_early(lab: Lab, size: int) -> None:
    error, told = present(first_token(CCacheCredentials(lab.ccache))[:size], keytab=str(lab.keytab))
    assert error is not None
    assert told in (LOGON_FAILURE, 0x80090308)


def test_client_is_told_by_error_code(lab: Lab) -> None:
    client = ClientContext(CCacheCredentials(lab.ccache), target_name="HTTP/localhost", mechanism="kerberos")
    outcome = log_on(client, ServerContext(keytab=lab.keytab, spn=TARGET))
    assert outcome.client_error is not None
    assert outcome.client_error.ntstatus == LOGON_FAILURE


# A KDC that does not answer


def test_asyncio_stays_responsive_while_the_kdc_is_silent(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> tuple[float, float]:
        async with await credssp.rdp.start_server(None, port=0, keytab=lab.keytab) as server:
            port = server.address[1]
            began = last = time.monotonic()
            worst = 0.0
            login = asyncio.ensure_future(
                credssp.rdp.open_connection(
                    "localhost",
                    port,
                    credentials=ALICE,
                    mechanism="kerberos",
                    timeouts=Timeouts(login=5.0, leg=5.0),
                )
            )
            while not login.done():
                await asyncio.sleep(0.01)
                worst, last = max(worst, time.monotonic() - last), time.monotonic()
            with pytest.raises(DeadlineError):
                login.result()
            silent.close()
            return worst, time.monotonic() - began

    with SilentKDC() as silent:
        monkeypatch.setenv("KRB5_CONFIG", str(lab.realm.configure("silent.conf", port=silent.port)))
        worst, whole = asyncio.run(scenario())
    assert worst < 2.5
    assert 4.9 < whole < 30

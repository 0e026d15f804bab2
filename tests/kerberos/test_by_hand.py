"""The suite's hand-made Kerberos against MIT's: what is right is taken, each fault is the fault it says it is."""

from __future__ import annotations

from typing import Any

import pytest

from credssp.conformance.kerberos import KerberosClient, KerberosServer, WrapToken
from credssp.credentials import CCacheCredentials, KeytabCredentials, PasswordCredentials
from credssp.errors import AuthenticationError, CredSSPError, RemoteProtocolError
from credssp.kerberos import as_exchange, pyspnego
from credssp.kerberos.contexts import KerberosAcceptor, KerberosInitiator
from credssp.kerberos.tickets import ServiceTicket, keytab_tickets, password_tickets, service_keys, service_ticket
from credssp.secret import Secret
from credssp.status import NTStatus, SecurityStatus
from credssp.target import Target
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab

pytestmark = pytest.mark.interop

TARGET = Target("TERMSRV", "localhost")


@pytest.fixture
def ticket(lab: Lab) -> ServiceTicket:
    return service_ticket(TARGET, CCacheCredentials(lab.ccache))


def acceptor(lab: Lab) -> KerberosAcceptor:
    return KerberosAcceptor(names=["TERMSRV/localhost"], keytab=str(lab.keytab))


def initiator(lab: Lab) -> KerberosInitiator:
    return KerberosInitiator(CCacheCredentials(lab.ccache), TARGET)


def met(lab: Lab, ticket: ServiceTicket, **faults: Any) -> tuple[KerberosClient, KerberosAcceptor]:
    client, server = KerberosClient(ticket=ticket, **faults), acceptor(lab)
    reply = server.step(client.first())
    assert reply
    client.answer(reply)
    return client, server


def test_ticket_from_a_password(lab: Lab) -> None:
    granted = service_ticket(TARGET, password_tickets("alice", Secret(PASSWORD)))
    assert (granted.client, granted.realm, granted.ticket.service) == ("alice", REALM, "TERMSRV/localhost")
    with pytest.raises(CredSSPError, match=r"(?i)password|preauth|integrity") as caught:
        pyspnego.call("getting a ticket", password_tickets, "alice", Secret("wrong"))
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("subkey", [True, False])
def test_mit_takes_our_client(lab: Lab, ticket: ServiceTicket, subkey: bool) -> None:
    client, server = met(lab, ticket, subkey=subkey)
    assert client.mutual_proof
    assert server.identity is not None
    assert server.identity.username == "alice"
    session = client.session
    assert session is not None
    for arguments in ({}, {"rrc": 0}, {"rrc": 7}, {"ec": 16, "rrc": 44}, {"rrc": 300}):
        assert server.unwrap(session.wrap(b"message", **arguments)) == b"message"
    for message in (b"", b"x" * 15, b"x" * 16, b"x" * 40_000):
        assert server.unwrap(session.wrap(message)) == message
        assert session.unwrap(server.wrap(message)) == message
    server.verify(b"text", session.sign(b"text"))
    session.verify(b"text", server.sign(b"text"))


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        ({"spoil_key": True}, SecurityStatus.SEC_E_LOGON_DENIED),
        ({"spoil_ticket": True}, SecurityStatus.SEC_E_LOGON_DENIED),
        ({"name": "mallory"}, SecurityStatus.SEC_E_LOGON_DENIED),
        ({"age": 3600}, SecurityStatus.SEC_E_TIME_SKEW),
        ({"age": -3600}, SecurityStatus.SEC_E_TIME_SKEW),
        ({"checksum": "other"}, None),
        ({"flags": 0x2E}, None),
        ({"flags": 0x1E}, None),
    ],
)
def test_faults_are_faults_to_mit(
    lab: Lab, ticket: ServiceTicket, faults: dict[str, Any], status: SecurityStatus | None
) -> None:
    with pytest.raises(CredSSPError) as caught:
        met(lab, ticket, **faults)
    if status is not None and not isinstance(caught.value, AuthenticationError):
        assert caught.value.status is status


def test_mit_has_a_replay_cache(lab: Lab, ticket: ServiceTicket) -> None:
    token = KerberosClient(ticket=ticket).first()
    assert acceptor(lab).step(token)
    with pytest.raises(AuthenticationError):
        acceptor(lab).step(token)


@pytest.mark.parametrize(
    "fault", [{"seal": False}, {"reflect": True}, {"flip_flags": 1}, {"flip_flags": 2}, {"flip_flags": 4}]
)
def test_bad_tokens_are_bad_to_mit(lab: Lab, ticket: ServiceTicket, fault: dict[str, Any]) -> None:
    client, server = met(lab, ticket)
    assert client.session is not None
    with pytest.raises(CredSSPError):
        server.unwrap(client.session.wrap(b"message", **fault))


def test_unsealed_tokens_are_well_made(lab: Lab, ticket: ServiceTicket) -> None:
    client, server = met(lab, ticket)
    assert client.session is not None
    token = client.session.wrap(b"in clear", seal=False, rrc=0)
    assert b"in clear" in token
    assert server._established().unwrap(token).data == b"in clear"
    ours = KerberosServer(service_keys(str(lab.keytab)))
    other = KerberosClient(ticket=ticket)
    reply = ours.step(other.first())
    assert reply
    other.answer(reply)
    assert other.session is not None
    for rrc in (0, 12):
        assert ours.unwrap(other.session.wrap(b"in clear", seal=False, rrc=rrc)) == b"in clear"
    # Windows turns by RRC + EC ([MS-KILE] 3.4.5.4.1), which MIT does not read and the suite does.
    assert ours.unwrap(other.session.wrap(b"sealed", ec=16, rrc=28, sspi=True)) == b"sealed"


@pytest.mark.parametrize("answer", ["good", "no subkey"])
def test_mit_takes_our_service(lab: Lab, answer: Any) -> None:
    client, server = initiator(lab), KerberosServer(service_keys(str(lab.keytab)), answer=answer)
    token = client.step(None)
    reply = server.step(token)
    client.step(reply)
    facts = server.facts
    assert facts is not None
    assert (facts.service, facts.client) == ("TERMSRV/localhost", f"alice@{REALM}")
    assert facts.mutual_required
    assert facts.flags is not None
    assert facts.flags & 0x32 == 0x32
    assert not facts.delegates
    assert not any(facts.bindings)
    sealed = client.wrap(b"message")
    assert WrapToken.decode(sealed).acceptor_subkey is (answer == "good")
    assert server.unwrap(sealed) == b"message"
    session = server.session
    assert session is not None
    for arguments in ({}, {"rrc": 0}, {"ec": 16, "rrc": 44}):
        assert client.unwrap(session.wrap(b"message", **arguments)) == b"message"
    client.verify(b"text", session.sign(b"text"))
    session.verify(b"text", client.sign(b"text"))


@pytest.mark.parametrize("answer", ["other time", "other key", "error"])
def test_mit_refuses_a_service_without_proof(lab: Lab, answer: Any) -> None:
    client, server = initiator(lab), KerberosServer(service_keys(str(lab.keytab)), answer=answer)
    with pytest.raises(CredSSPError):
        client.step(server.step(client.step(None)))
    assert not client.complete


def test_a_ticket_for_another_key(lab: Lab, ticket: ServiceTicket) -> None:
    server = KerberosServer([key for key in service_keys(str(lab.keytab)) if key.service != "TERMSRV/localhost"])
    with pytest.raises(AuthenticationError, match="no key that opens"):
        server.step(KerberosClient(ticket=ticket).first())


def test_credentials_with_a_password_work_too(lab: Lab) -> None:
    client = KerberosInitiator(PasswordCredentials("alice", PASSWORD), TARGET)
    server = KerberosServer(service_keys(str(lab.keytab)))
    client.step(server.step(client.step(None)))
    assert server.unwrap(client.wrap(b"x")) == b"x"


def test_tokens_that_are_none(lab: Lab, ticket: ServiceTicket) -> None:
    client, _ = met(lab, ticket)
    session = client.session
    assert session is not None
    good = session.wrap(b"message")
    for bad in (b"", good[:15], good[:16], b"\x05\x05" + good[2:], good[:-1], good):
        with pytest.raises(RemoteProtocolError, match="Kerberos"):
            session.unwrap(bad)
    with pytest.raises(RemoteProtocolError, match="no MIC token"):
        session.verify(b"", good)


def test_where_libkrb5_is_not_mits_pykrb5_gets_the_tickets(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_exchange, "library", lambda: None)
    assert service_ticket(TARGET, password_tickets("alice", Secret(PASSWORD))).client == "alice"
    keytab = lab.realm.keytab("alice.keytab", "alice")
    assert service_ticket(TARGET, keytab_tickets(KeytabCredentials(str(keytab)))).client == "alice"
    with pytest.raises(AuthenticationError) as caught:
        pyspnego.call("getting a ticket", password_tickets, "alice", Secret("wrong"))
    assert caught.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE

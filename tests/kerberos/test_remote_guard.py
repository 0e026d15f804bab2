"""Remote Credential Guard with a forwarded ticket of a real KDC, through a whole login, to its use by the server."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from impacket.krb5.asn1 import KRB_CRED, EncKrbCredPart
from impacket.krb5.ccache import CCache
from impacket.krb5.crypto import Key
from pyasn1.codec.der import decoder

from credssp import (
    CCacheCredentials,
    ClientContext,
    CredSSPError,
    DecodeError,
    LocalProtocolError,
    PasswordCredentials,
    RemoteGuardCredentials,
    Secret,
    ServerContext,
    SmartCardCredentials,
)
from credssp.identity import Identity
from credssp.kerberos import cred as krb_cred
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.remote_guard import open_remote_guard, remote_guard_credentials
from credssp.kerberos.remote_guard_buffers import (
    KerbRPCEncryptionKey,
    KerbTicketLogon,
    NTLMRemoteSupplementalCredential,
)
from credssp.kerberos.tickets import ServiceKey, service_keys
from credssp.kerberos.values import EncryptionKey, Principal
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET, log_on
from tests.kerberos.forge import Client, forged, seal
from tests.peers import require_program

pytestmark = pytest.mark.interop

FORWARDED = 0x20000000
ALICE = Identity(username="alice", domain=REALM, mechanism="kerberos")


def delegate(lab: Lab, credentials: RemoteGuardCredentials | SmartCardCredentials) -> object:
    client = ClientContext(
        CCacheCredentials(lab.ccache), target_name=TARGET, mechanism="kerberos", delegated_credentials=credentials
    )
    server = ServerContext(keytab=lab.keytab, spn=TARGET)
    outcome = log_on(client, server)
    assert (outcome.client_error, outcome.server_error) == (None, None)
    return server.delegated_credentials


def make(lab: Lab, *, keep_key: bool = True, **arguments: object) -> RemoteGuardCredentials:
    return remote_guard_credentials(TARGET, tickets=CCacheCredentials(lab.ccache), keep_key=keep_key, **arguments)  # type: ignore[arg-type]


def test_forwarded_ticket_goes_over_and_its_key_stays(lab: Lab) -> None:
    ntlm = NTLMRemoteSupplementalCredential(
        credential_key=NTLMRemoteSupplementalCredential.derive_key(Secret(bytes(16)), "S-1-5-21-1-2-3-1104")
    )
    sent = make(lab, supplemental=[ntlm])
    received = delegate(lab, sent)
    assert received == sent
    assert isinstance(received, RemoteGuardCredentials)
    (info,) = open_remote_guard(received, ALICE, keytab=str(lab.keytab)).ticket_info
    assert str(info.sname) == f"krbtgt/{REALM}"
    assert str(info.pname) == "alice"
    assert info.flags is not None
    assert info.flags & FORWARDED
    handle = KerbRPCEncryptionKey.decode(info.key.reveal())
    assert (handle.etype, len(handle.handle.reveal())) == (18, 16)
    ((package, supplemental),) = received.supplemental
    assert package == "NTLM"
    assert NTLMRemoteSupplementalCredential.decode(supplemental.reveal()) == ntlm


def test_ticket_whose_key_is_sent_works_for_the_server(lab: Lab, tmp_path: Path) -> None:
    """What FreeRDP does: the KDC gives a service ticket for the forwarded one."""
    received = delegate(lab, make(lab, keep_key=False))
    assert isinstance(received, RemoteGuardCredentials)
    cred = KerbTicketLogon.decode(received.buffer.reveal()).krb_cred()
    assert cred is not None
    (info,) = open_remote_guard(received, ALICE, keytab=str(lab.keytab)).ticket_info
    # impacket reads our KRB-CRED, and kvno of MIT uses the ticket in it.
    part = krb_cred.EncKrbCredPart((info,)).encode()
    assert decoder.decode(part, asn1Spec=EncKrbCredPart())[1] == b""
    assert decoder.decode(cred.encode(), asn1Spec=KRB_CRED())[1] == b""
    plain = krb_cred.KrbCred(cred.tickets, krb_cred.EncryptedData(0, part))
    ccache = CCache()
    ccache.fromKRBCRED(plain.encode())
    path = tmp_path / "server.ccache"
    ccache.saveFile(str(path))
    done = subprocess.run(
        [require_program("kvno"), "HTTP/localhost"],
        env=os.environ | {"KRB5CCNAME": f"FILE:{path}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "HTTP/localhost@EXAMPLE.TEST: kvno = " in done.stdout
    assert Key(info.key_type, info.key.reveal())


def test_ticket_that_may_not_be_forwarded(lab: Lab) -> None:
    ccache = lab.realm.kinit("alice", PASSWORD, "-F", name="not-forwardable.ccache")
    with pytest.raises(CredSSPError, match="kinit -f") as caught:
        remote_guard_credentials(TARGET, tickets=CCacheCredentials(ccache))
    assert caught.value.status.name == "SEC_E_NO_CREDENTIALS"


def test_without_a_ticket_or_a_name(lab: Lab) -> None:
    with pytest.raises(CredSSPError) as caught:
        remote_guard_credentials(TARGET)
    assert caught.value.status.name == "SEC_E_NO_CREDENTIALS"
    with pytest.raises(LocalProtocolError, match="not its address"):
        remote_guard_credentials("TERMSRV/127.0.0.1")


def test_default_cache(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5CCNAME", lab.ccache)
    assert open_remote_guard(remote_guard_credentials("localhost"), ALICE, keytab=str(lab.keytab)).ticket_info


def test_server_without_the_key_of_its_computer_account(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = make(lab)
    other = str(lab.realm.keytab("without-host.keytab", "HTTP/localhost"))
    with pytest.raises(CredSSPError, match="no key") as caught:
        open_remote_guard(credentials, ALICE, keytab=other)
    assert caught.value.status.name == "SEC_E_NO_KERB_KEY"
    monkeypatch.setenv("KRB5_KTNAME", str(lab.keytab))
    assert open_remote_guard(credentials, ALICE).ticket_info


def test_tickets_that_were_changed_on_the_way(lab: Lab) -> None:
    logon = KerbTicketLogon.decode(make(lab).buffer.reveal())
    for name in ("service_ticket", "ticket_granting_ticket"):
        octets = bytearray(getattr(logon, name).reveal())
        octets[-1] ^= 1
        parts = {"service_ticket": logon.service_ticket, "ticket_granting_ticket": logon.ticket_granting_ticket}
        changed = KerbTicketLogon(**(parts | {name: Secret(bytes(octets))}))
        credentials = RemoteGuardCredentials(package_name="Kerberos", buffer=changed.encode())
        with pytest.raises(CredSSPError) as caught:
            open_remote_guard(credentials, ALICE, keytab=str(lab.keytab))
        assert caught.value.status.name == "SEC_E_MESSAGE_ALTERED"
    alone = KerbTicketLogon(service_ticket=logon.service_ticket, ticket_granting_ticket=Secret(b""))
    with pytest.raises(CredSSPError, match="no ticket-granting ticket"):
        open_remote_guard(RemoteGuardCredentials(package_name="Kerberos", buffer=alone.encode()), ALICE)
    junk = KerbTicketLogon(service_ticket=Secret(b"x"), ticket_granting_ticket=logon.ticket_granting_ticket)
    with pytest.raises(DecodeError, match="Ticket"):
        open_remote_guard(RemoteGuardCredentials(package_name="Kerberos", buffer=junk.encode()), ALICE)


def test_krb_cred_of_another_encryption_type(lab: Lab) -> None:
    logon = KerbTicketLogon.decode(make(lab).buffer.reveal())
    cred = logon.krb_cred()
    assert cred is not None
    other = krb_cred.KrbCred(cred.tickets, krb_cred.EncryptedData(17, cred.enc_part.cipher))
    changed = KerbTicketLogon(service_ticket=logon.service_ticket, ticket_granting_ticket=Secret(other.encode()))
    with pytest.raises(CredSSPError, match="not encrypted with the session key"):
        open_remote_guard(
            RemoteGuardCredentials(package_name="Kerberos", buffer=changed.encode()), ALICE, keytab=str(lab.keytab)
        )


def test_smart_card_goes_over_kerberos(lab: Lab) -> None:
    card = SmartCardCredentials(
        pin=Secret("1234"),
        key_spec=0,
        reader_name="Reader 0",
        container_name="container",
        csp_name="Microsoft Smart Card Key Storage Provider",
        user_hint="alice",
        domain_hint=REALM,
    )
    assert delegate(lab, card) == card
    assert delegate(lab, PasswordCredentials("bob", "b", domain="OTHER")) == PasswordCredentials(  # type: ignore[arg-type]
        "bob", "b", domain="OTHER"
    )


# Whose tickets, for what, and when


def host_key(lab: Lab, service: str = "host/localhost") -> ServiceKey:
    return next(each for each in service_keys(str(lab.keytab)) if each.service == service and each.key.etype == 18)


def redirected(made: Client, **changes: object) -> RemoteGuardCredentials:
    """KERB_TICKET_LOGON with a forged service ticket, and a KRB-CRED for its client's ticket-granting ticket."""
    tgt = forged(ServiceKey(f"krbtgt/{REALM}", EncryptionKey(18, Secret(bytes(32))), REALM)).ticket.ticket
    info = made.info(**({"sname": tgt.sname, "srealm": tgt.realm} | changes))
    sealed = seal(made.ticket.key, KeyUsage.KRB_CRED, krb_cred.EncKrbCredPart((info,)).encode())
    cred = krb_cred.KrbCred((tgt.encoded,), sealed)
    logon = KerbTicketLogon(
        service_ticket=Secret(made.ticket.ticket.encoded), ticket_granting_ticket=Secret(cred.encode()), flags=3
    )
    return RemoteGuardCredentials(package_name="Kerberos", buffer=logon.encode())


def test_what_is_forged_is_right_but_for_what_a_test_changes(lab: Lab) -> None:
    for made in (
        forged(host_key(lab)),
        forged(host_key(lab), service="HOST/LocalHost"),
        forged(host_key(lab), end=-290),
    ):
        (info,) = open_remote_guard(redirected(made), ALICE, keytab=str(lab.keytab)).ticket_info
        assert str(info.pname) == "alice"


@pytest.mark.parametrize(
    ("ticket", "info", "text"),
    [
        ({"cname": ["bob"]}, {}, "not the one of the client that logged on"),
        ({"crealm": "OTHER.TEST"}, {}, "not the one of the client that logged on"),
        ({"cname": ["ALICE"]}, {}, "not the one of the client that logged on"),
        ({"end": -301}, {}, "the service ticket has expired"),
        ({"start": 400, "end": 3600}, {}, "the service ticket is not valid yet"),
        ({"flags": 0x01000000}, {}, "the service ticket is not valid yet"),
        ({"realm": "EVIL.TEST"}, {}, "no key for the service ticket"),
        ({"service": "host/other"}, {}, "no key for the service ticket"),
        ({"service": "TERMSRV/localhost"}, {}, "not for the host's own service"),
        ({"service": f"krbtgt/{REALM}"}, {}, "not for the host's own service"),
        ({"service": "SRV$"}, {}, "no key for the service ticket"),
        ({}, {"pname": Principal(1, ("bob",))}, "another user"),
        ({}, {"prealm": "OTHER.TEST"}, "another user"),
        ({}, {"pname": None}, "absent"),
        ({}, {"endtime": None}, "absent"),
        ({}, {"endtime": datetime(2020, 1, 1, tzinfo=UTC)}, "a delegated ticket has expired"),
        ({}, {"starttime": datetime(2100, 1, 1, tzinfo=UTC)}, "a delegated ticket is not valid yet"),
        ({}, {"flags": 0x01000000}, "a delegated ticket is not valid yet"),
        ({}, {"sname": Principal(2, ("krbtgt", "OTHER.TEST"))}, "different services"),
    ],
)
def test_tickets_that_are_not_the_clients_own_for_this_host_and_now(
    lab: Lab, ticket: dict[str, Any], info: dict[str, Any], text: str
) -> None:
    credentials = redirected(forged(host_key(lab), **ticket), **info)
    with pytest.raises(CredSSPError, match=text):
        open_remote_guard(credentials, ALICE, keytab=str(lab.keytab))


def test_delegated_ticket_for_anything_but_the_kdc(lab: Lab) -> None:
    made = forged(host_key(lab))
    sealed = seal(made.ticket.key, KeyUsage.KRB_CRED, krb_cred.EncKrbCredPart((made.info(),)).encode())
    logon = KerbTicketLogon(
        service_ticket=Secret(made.ticket.ticket.encoded),
        ticket_granting_ticket=Secret(krb_cred.KrbCred((made.ticket.ticket.encoded,), sealed).encode()),
    )
    with pytest.raises(CredSSPError, match="not a ticket-granting ticket"):
        open_remote_guard(
            RemoteGuardCredentials(package_name="Kerberos", buffer=logon.encode()), ALICE, keytab=str(lab.keytab)
        )


def test_tickets_of_bob_after_a_login_of_alice(lab: Lab) -> None:
    lab.realm.add("bob", password=PASSWORD)
    bob = CCacheCredentials(lab.realm.kinit("bob", PASSWORD, "-f"))
    received = delegate(lab, remote_guard_credentials(TARGET, tickets=bob))
    assert isinstance(received, RemoteGuardCredentials)
    with pytest.raises(CredSSPError, match="not the one of the client that logged on") as caught:
        open_remote_guard(received, ALICE, keytab=str(lab.keytab))
    assert caught.value.status.name == "SEC_E_LOGON_DENIED"
    of_bob = replace(ALICE, username="BOB of LAB", sent_username="bob", sent_domain=REALM)  # as an authority names him
    assert open_remote_guard(received, of_bob, keytab=str(lab.keytab)).ticket_info


def test_nothing_is_opened_for_who_logged_on_with_ntlm(lab: Lab) -> None:
    with pytest.raises(CredSSPError, match="this one was with ntlm"):
        open_remote_guard(make(lab), replace(ALICE, mechanism="ntlm"), keytab=str(lab.keytab))

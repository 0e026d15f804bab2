"""What gets past our own reader to GSS-API, with a real KDC's tickets and forged ones."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from impacket.krb5.ccache import CCache
from impacket.krb5.crypto import Key, _enctype_table

from credssp import CCacheCredentials, CredSSPError, LocalProtocolError, Secret
from credssp.accounts import MemoryAccounts
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.errors import LocalRestrictionError
from credssp.kerberos import crypto, pyspnego
from credssp.kerberos.admission import admit, open_ticket
from credssp.kerberos.ap import AP_REP, APRep, Checksum, EncTicketPart, Ticket, frame
from credssp.kerberos.contexts import KerberosAcceptor
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.tickets import ServiceKey, service_keys, service_ticket
from credssp.kerberos.values import EncryptedData, EncryptionKey, Principal
from credssp.spnego import OID, NegTokenInit, NegTokenResp
from credssp.target import Target
from tests.kdc import REALM
from tests.kerberos.conftest import Lab
from tests.kerberos.exchange import TARGET
from tests.kerberos.forge import DCE_STYLE, DELEG, USUAL, Client, delegation, forged, gss_checksum
from tests.kerberos.test_krb_ap import nested

pytestmark = pytest.mark.interop

BINDINGS = b"tls-server-end-point:" + b"H" * 32


@pytest.fixture
def client(lab: Lab) -> Client:
    return Client(service_ticket(Target("TERMSRV", "localhost"), CCacheCredentials(lab.ccache)))


def service_key(lab: Lab, service: str = TARGET) -> ServiceKey:
    return next(each for each in service_keys(str(lab.keytab)) if each.service == service and each.key.etype == 18)


def acceptor(lab: Lab, **arguments: Any) -> KerberosAcceptor:
    return KerberosAcceptor(keytab=str(lab.keytab), **arguments)


def refused(lab: Lab, monkeypatch: pytest.MonkeyPatch, token: bytes, **arguments: Any) -> CredSSPError:
    """Return why a token is refused, bare and as SPNEGO's optimistic one; GSS-API must not see it."""
    seen: list[object] = []
    errors = []
    with monkeypatch.context() as patch:
        patch.setattr(pyspnego, "kerberos_step", lambda *arguments: seen.append(arguments))
        for each in (token, NegTokenInit((OID.KERBEROS,), token).encode()):
            server = create_acceptor(MemoryAccounts({}), keytab=str(lab.keytab), **arguments)
            if each is token and not token.startswith(b"\x60"):
                server = acceptor(lab, **arguments)
            with pytest.raises(CredSSPError) as caught:
                server.step(each)
            errors.append(caught.value)
            assert server.identity is None
    assert not seen
    assert errors[0].message == errors[1].message
    return errors[0]


# The checksum of GSS-API, and what is forwarded in it


def test_what_we_forge_is_right_but_for_what_a_test_changes(lab: Lab, client: Client) -> None:
    for token in (client.token(), client.token(subkey=False), forged(service_key(lab)).token()):
        server = acceptor(lab)
        assert server.step(token)
        assert server.identity is not None
        assert (server.identity.username, server.identity.domain) == ("alice", REALM)


def test_forwarded_tickets_are_kept_only_where_they_are_asked_for(lab: Lab, client: Client) -> None:
    checksum = gss_checksum(USUAL | DELEG, rest=delegation(client.krb_cred(client.info())))
    for token in (client.token(checksum), client.token(checksum, subkey=False)):
        server = acceptor(lab)
        server.step(token)
        assert server.identity is not None
        assert server.identity.forwarded is None
    server = acceptor(lab, accept_forwarded=True)
    server.step(client.token(checksum))
    assert server.identity is not None
    assert server.identity.forwarded is not None
    assert "forwarded=Secret('********')" in repr(server.identity)
    cache = CCache()
    cache.fromKRBCRED(server.identity.forwarded.reveal())
    assert cache.principal.prettyPrint() == f"alice@{REALM}".encode()
    assert cache.credentials[0]["key"]["keyvalue"] == b"k" * 32


def test_mit_forwards_what_we_take(lab: Lab) -> None:
    granted = service_ticket(Target("TERMSRV", "localhost"), CCacheCredentials(lab.ccache), delegate=True)
    server = acceptor(lab, accept_forwarded=True)
    server.step(granted.token)
    assert server.identity is not None
    assert server.identity.forwarded is not None


@pytest.mark.parametrize(
    ("checksum", "text"),
    [
        (b"", "16 bytes of bindings"),
        (gss_checksum()[:23], "16 bytes of bindings"),
        (b"\x0f" + gss_checksum()[1:], "16 bytes of bindings"),
        (gss_checksum(USUAL | DELEG), "Dlgth"),
        (gss_checksum(USUAL | DELEG, rest=b"\1\0\0"), "Dlgth"),
        (gss_checksum(USUAL | DELEG, rest=b"\1\0\0\0"), "Dlgth"),
        (gss_checksum(USUAL | DELEG, rest=b"\2\0\1\0x"), "Dlgth"),
        (gss_checksum(USUAL | DELEG, rest=b"\1\0\2\0x"), "Dlgth"),
        (gss_checksum(USUAL | DELEG, rest=b"\1\0\1\0x"), "KRB-CRED"),
        (gss_checksum(rest=b"\0\0\0\1\0\0\0"), "extension"),
        (gss_checksum(rest=b"\0\0\0\1\0\0\0\1"), "extension"),
        (gss_checksum(rest=b"\0\0\0\1\0\0\0\0" * 9), "extensions"),
    ],
)
def test_malformed_checksum(
    lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch, checksum: bytes, text: str
) -> None:
    assert text in str(refused(lab, monkeypatch, client.token(checksum)))


def test_extensions_of_the_checksum_are_taken(lab: Lab, client: Client) -> None:
    assert acceptor(lab).step(client.token(gss_checksum(rest=b"\0\0\0\7\0\0\0\2xx")))


@pytest.mark.parametrize("kind", [7, 16, Checksum.GSS_API + 1])
def test_checksum_of_another_kind(lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch, kind: int) -> None:
    assert "no checksum of GSS-API" in str(refused(lab, monkeypatch, client.token(kind=kind)))


@pytest.mark.parametrize(
    ("infos", "arguments", "text"),
    [
        ([], {}, "0 for 0 tickets"),
        ([{}], {"tickets": 0}, "1 for 0 tickets"),
        ([{}], {"tickets": 2}, "1 for 2 tickets"),
        ([{"pname": None, "prealm": None}], {}, "absent"),
        ([{"pname": None}], {}, "absent"),
        ([{"prealm": None}], {}, "absent"),
        ([{"sname": None}], {}, "absent"),
        ([{"srealm": None}], {}, "absent"),
        ([{"endtime": None}], {}, "absent"),
        ([{"flags": None}], {}, "absent"),
        ([{}, {"pname": None}], {}, "absent"),
        ([{"pname": Principal(1, ("bob",))}], {}, "another user"),
        ([{"prealm": "OTHER.TEST"}], {}, "another user"),
        ([{"sname": Principal(2, ("krbtgt", REALM))}], {}, "different services"),
        ([{}], {"etype": 0}, "encryption type 0"),
        ([{}], {"change": lambda plain: plain[:-9]}, "cut short"),
        ([{}], {"change": lambda plain: b""}, "cut short"),
    ],
)
def test_krb_cred_that_libkrb5_would_trust(
    lab: Lab,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    infos: list[dict[str, Any]],
    arguments: dict[str, Any],
    text: str,
) -> None:
    cred = client.krb_cred(*(client.info(**changes) for changes in infos), **arguments)
    checksum = gss_checksum(USUAL | DELEG, rest=delegation(cred))
    assert text in str(refused(lab, monkeypatch, client.token(checksum)))


def test_krb_cred_with_another_key(lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Client(replace(client.ticket, key=EncryptionKey(18, Secret(bytes(32)))))
    checksum = gss_checksum(USUAL | DELEG, rest=delegation(other.krb_cred(client.info())))
    error = refused(lab, monkeypatch, client.token(checksum))
    assert "does not decrypt" in str(error)
    assert error.status.name == "SEC_E_LOGON_DENIED"


# Framing and legs


def test_what_is_not_an_ap_req_of_kerberos(lab: Lab, client: Client) -> None:
    token = client.token()
    message = client.token(framed=False)
    other_oid = token.replace(bytes.fromhex("2a864886f712010202"), bytes.fromhex("2a864886f712010203"))
    for bad in (
        b"", b"\x60", b"\x60\x85", token[:-1], token + b"x", other_oid, message,
        frame(AP_REP, message), frame(b"\3\0", message), b"NTLMSSP\0" + bytes(32),
        client.token(gss_checksum(USUAL | DCE_STYLE)),
    ):  # fmt: skip
        with pytest.raises(CredSSPError) as caught:
            acceptor(lab).step(bad)
        assert caught.value.status.name == "SEC_E_INVALID_TOKEN"
    with pytest.raises(LocalProtocolError):
        acceptor(lab).step(None)


def test_framing_with_a_length_that_is_longer_than_need_be(lab: Lab, client: Client) -> None:
    token = client.token()
    assert token[1] == 0x82
    assert acceptor(lab).step(b"\x60\x84\0\0" + token[2:])


def test_user_to_user_is_refused(lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "user-to-user" in str(refused(lab, monkeypatch, client.token(options=0x60000000)))


def test_second_token_that_kerberos_does_not_have(lab: Lab, client: Client) -> None:
    server = create_acceptor(MemoryAccounts({}), keytab=str(lab.keytab), mechanisms=("kerberos",))
    server.step(NegTokenInit((OID.KERBEROS,), client.token()).encode())
    with pytest.raises(CredSSPError):
        server.step(NegTokenResp(response_token=client.token()).encode())


def dce_initiator() -> Any:
    """An initiator with the tickets of the default cache."""
    import gssapi

    flags = gssapi.RequirementFlag
    return gssapi.SecurityContext(
        name=gssapi.Name("TERMSRV@localhost", name_type=gssapi.NameType.hostbased_service),
        mech=gssapi.OID.from_int_seq("1.2.840.113554.1.2.2"),
        usage="initiate",
        flags=flags.dce_style | flags.mutual_authentication | flags.confidentiality | flags.integrity,
    )


def test_dce_style_has_a_third_leg(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5CCNAME", lab.ccache)
    initiator, server = dce_initiator(), acceptor(lab)
    last = initiator.step(server.step(initiator.step()))
    assert not server.complete
    server.step(last)
    assert server.complete
    assert server.identity is not None
    assert server.identity.username == "alice"


def test_third_leg_of_dce_style_is_opened_too(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5CCNAME", lab.ccache)
    for make in (
        lambda last: b"",
        lambda last: last[:-1],
        lambda last: last[:-1] + bytes((last[-1] ^ 1,)),
        lambda last: frame(AP_REP, last),
        lambda last: APRep(EncryptedData(17, b"x" * 60)).encode(),
    ):
        initiator, server = dce_initiator(), acceptor(lab)
        last = initiator.step(server.step(initiator.step()))
        seen: list[object] = []
        with monkeypatch.context() as patch:
            patch.setattr(pyspnego, "kerberos_step", lambda *arguments, seen=seen: seen.append(arguments))
            with pytest.raises(CredSSPError):
                server.step(make(last))
        assert not seen


def test_optimistic_token_of_a_mechanism_that_is_not_chosen_is_not_looked_at(
    lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyspnego, "kerberos_step", None)
    evil = client.token(gss_checksum(USUAL | DELEG, rest=delegation(client.krb_cred(client.info(pname=None)))))
    server = create_acceptor(MemoryAccounts({}), keytab=str(lab.keytab), mechanisms=("ntlm", "kerberos"))
    server.step(NegTokenInit((OID.KERBEROS, OID.NTLM), evil).encode())
    assert server.name == "ntlm"


# Encryption types, keys, sizes


@pytest.mark.parametrize("etype", [0, 3, 16, 24, 25, 26])
def test_encryption_types_that_cannot_be_examined(
    lab: Lab, client: Client, monkeypatch: pytest.MonkeyPatch, etype: int
) -> None:
    """Of the ticket, and of the session key in it."""
    own = client.ticket.ticket
    octets = own.encoded.replace(b"\xa0\x03\x02\x01\x12", bytes((0xA0, 3, 2, 1, etype)))
    ticket = Ticket.decode(octets)
    assert ticket.enc_part.etype == etype
    error = refused(lab, monkeypatch, Client(replace(client.ticket, ticket=ticket)).token())
    assert (error.status.name, error.ntstatus) == ("SEC_E_KDC_UNKNOWN_ETYPE", 0xC000006D)
    strange = forged(
        service_key(lab),
        change=lambda plain: plain.replace(b"\xa0\x03\x02\x01\x12\xa1", bytes((0xA0, 3, 2, 1, etype, 0xA1))),
    )
    assert refused(lab, monkeypatch, strange.token()).status.name == "SEC_E_KDC_UNKNOWN_ETYPE"


def test_rc4_is_read() -> None:
    """A ticket as RC4-only accounts of Active Directory get it, encrypted by impacket."""
    key = ServiceKey("TERMSRV/srv", EncryptionKey(23, Secret(b"r" * 16)), "LAB.TEST", 2)
    made = forged(replace(key, key=EncryptionKey(18, Secret(b"r" * 32))))
    plain = open_plain(made, b"r" * 32)
    rc4 = _enctype_table[23].encrypt(Key(23, b"r" * 16), KeyUsage.TICKET, plain, None)
    ticket = replace(made.ticket.ticket, enc_part=EncryptedData(23, rc4, 2))
    assert open_ticket(ticket, [key]).cname.components == ("alice",)
    for bad in (rc4[:-1] + bytes((rc4[-1] ^ 1,)), rc4[:20]):
        with pytest.raises(CredSSPError, match="does not open"):
            open_ticket(replace(ticket, enc_part=EncryptedData(23, bad, 2)), [key])


@pytest.mark.parametrize(
    "error", [ValueError("unsupported hash type md5"), UnsupportedAlgorithm("ARC4"), InternalError("fetch", [])]
)
def test_rc4_where_openssl_has_none_is_named_and_not_the_clients_fault(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(crypto.hmac, "digest", refuse)
    with pytest.raises(LocalRestrictionError, match="OpenSSL has no RC4 or MD5 on this machine") as caught:
        crypto.decrypt(23, Secret(b"r" * 16), KeyUsage.TICKET, bytes(60))
    assert caught.value.restriction == "RC4"


def open_plain(made: Client, key: bytes) -> bytes:
    cipher = made.ticket.ticket.enc_part.cipher
    plain: bytes = _enctype_table[18].decrypt(Key(18, key), KeyUsage.TICKET, cipher)
    EncTicketPart.decode(plain)
    return plain


def test_authorization_data_is_refused_before_libkrb5_recurses(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert acceptor(lab).step(forged(service_key(lab), authorization=nested(4)).token())
    error = refused(lab, monkeypatch, forged(service_key(lab), authorization=nested(3000)).token())
    assert "nested more than 4 deep" in str(error)


# Who comes


@pytest.mark.parametrize(
    ("cname", "crealm", "flags"),
    [
        ([], REALM, 0),
        ([""], REALM, 0),
        (["alice", ""], REALM, 0),
        (["alice"], "", 0),
        (["alice@OTHER.TEST"], REALM, 0),
        (["alice"], "OTHER.TEST@" + REALM, 0),
        (["LAB\\alice"], REALM, 0),
        (["alice/admin"], REALM, 0),
        (["ali\0ce"], REALM, 0),
        (["alice\n"], REALM, 0),
        (["al\u202eice"], REALM, 0),
        (["alice "], REALM, 0),
        (["ali\udcffce"], REALM, 0),
        (["alice"], REALM + "\0", 0),
        (["WELLKNOWN", "ANONYMOUS"], "WELLKNOWN:ANONYMOUS", EncTicketPart.ANONYMOUS),
        (["WELLKNOWN", "ANONYMOUS"], REALM, 0),
        (["alice"], "WELLKNOWN:ANONYMOUS", 0),
        (["alice"], REALM, EncTicketPart.ANONYMOUS),
    ],
)
def test_clients_that_are_nobody_in_particular(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, cname: list[str], crealm: str, flags: int
) -> None:
    token = forged(service_key(lab), cname=cname, crealm=crealm, flags=flags).token()
    error = refused(lab, monkeypatch, token)
    assert (error.status.name, error.ntstatus) == ("SEC_E_LOGON_DENIED", 0xC000006D)


def test_names_with_several_parts_and_of_all_alphabets(lab: Lab) -> None:
    for cname in (["alice", "admin"], ["host", "srv.example.test"], ["Zoë"], ["first last"], ["root$"]):
        server = acceptor(lab)
        server.step(forged(service_key(lab), cname=cname).token())
        assert server.identity is not None
        assert server.identity.username == "/".join(cname)


def test_anonymous_clients_where_they_are_asked_for(lab: Lab) -> None:
    flags = EncTicketPart.ANONYMOUS
    token = forged(
        service_key(lab), cname=["WELLKNOWN", "ANONYMOUS"], crealm="WELLKNOWN:ANONYMOUS", flags=flags
    ).token()
    server = acceptor(lab, accept_anonymous=True)
    server.step(token)
    assert server.identity is not None
    assert server.identity.username == "WELLKNOWN/ANONYMOUS"


@pytest.mark.parametrize("sent", [None, b"tls-server-end-point:WRONG", BINDINGS])
@pytest.mark.parametrize("mechanism", ["kerberos", "negotiate"])
def test_channel_bindings_that_a_server_demands(lab: Lab, sent: bytes | None, mechanism: Any) -> None:
    client = create_initiator(
        CCacheCredentials(lab.ccache), target_name=TARGET, mechanism=mechanism, channel_bindings=sent
    )
    server = create_acceptor(MemoryAccounts({}), keytab=str(lab.keytab), channel_bindings=BINDINGS)
    token = client.step(None)
    if sent == BINDINGS:
        server.step(token)
        assert server.identity is not None
        return
    with pytest.raises(CredSSPError, match="bindings are missing" if sent is None else "are not those") as caught:
        server.step(token)
    assert caught.value.status.name == "SEC_E_BAD_BINDINGS"


@pytest.mark.parametrize("sent", [None, b"tls-server-end-point:WRONG", BINDINGS])
@pytest.mark.parametrize("hardening", ["relaxed", "none"])
def test_a_relaxed_server_lets_clients_in_that_prove_nothing(lab: Lab, sent: bytes | None, hardening: Any) -> None:
    client = create_initiator(
        CCacheCredentials(lab.ccache), target_name=TARGET, mechanism="kerberos", channel_bindings=sent
    )
    server = create_acceptor(
        MemoryAccounts({}), keytab=str(lab.keytab), channel_bindings=BINDINGS, cbt_hardening=hardening
    )
    token = client.step(None)
    if hardening == "none" or sent in (None, BINDINGS):
        server.step(token)
        assert server.identity is not None
        return
    with pytest.raises(CredSSPError, match="are not those"):
        server.step(token)


def test_bindings_are_taken_by_servers_that_demand_none(lab: Lab) -> None:
    client = create_initiator(
        CCacheCredentials(lab.ccache), target_name=TARGET, mechanism="kerberos", channel_bindings=BINDINGS
    )
    server = create_acceptor(MemoryAccounts({}), keytab=str(lab.keytab))
    server.step(client.step(None))
    assert server.identity is not None


def test_admit_needs_a_key(client: Client) -> None:
    with pytest.raises(CredSSPError, match="no key for the service") as caught:
        admit(client.token(), [])
    assert caught.value.status.name == "SEC_E_WRONG_PRINCIPAL"


# All of it, changed at random


def test_acceptor_survives_mutated_plaintext(lab: Lab) -> None:
    """In a process of its own: what this looks for ends the process."""
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "faulthandler",
            "-m",
            "tests.kerberos.fuzz_acceptor",
            str(lab.keytab),
            lab.ccache,
            "400",
        ],
        env=os.environ | lab.realm.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "400 tokens" in done.stdout

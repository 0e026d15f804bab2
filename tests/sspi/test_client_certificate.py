"""A server that asks for a client certificate: SEC_I_INCOMPLETE_CREDENTIALS and the list of issuers."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.binding import subject_public_key
from credssp.context.acceptor import create_acceptor
from credssp.engine.events import CredentialsReceived, Send
from credssp.engine.server import ServerEngine
from credssp.sspi import SecurityStatus, SSPIError
from credssp.tls import authorities
from credssp.tls.certificate_request import CertificateRequest, find_in_clear
from tests.peers import require_module
from tests.sspi.certificates import Authority, client_leaf, root, server_leaf
from tests.sspi.pair import ACCOUNTS, ASC, CONTINUE, ISC, OK, Side, client_credential, lsa, make

S = SecurityStatus
ASK = ASC | sspi.ASC_REQ_MUTUAL_AUTH
TLS12 = sspi.SP_PROT_TLS1_2_CLIENT
TLS13 = sspi.SP_PROT_TLS1_3_CLIENT
both_versions = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
NAMED = (root().certificate.subject.public_bytes(),)
SERVER = {"root_store": root().pem, "certificates": (server_leaf(),)}


def asked(version: int) -> Any:
    """Run until the client is asked for a certificate."""
    both = make(asc=ASK, server=SERVER, client={"enabled_protocols": version})
    reply = both.server.leg(both.client.leg())
    assert both.client.leg(reply) == b""
    assert both.client.status is S.SEC_I_INCOMPLETE_CREDENTIALS
    return both


@both_versions
def test_same_context_goes_on_with_a_new_credential(version: int) -> None:
    both = asked(version)
    context = sspi.CtxtHandle(both.client.context.lower, both.client.context.upper)
    assert both.client.query(sspi.SECPKG_ATTR_ISSUER_LIST_EX).issuers == NAMED
    both.client.credential = client_credential(both.client.authority, certificates=(client_leaf(),))
    both.run(both.client.leg(b""))  # `rest` still holds the same input
    assert both.client.context == context
    assert both.client.status is both.server.status is OK
    assert both.server.query(sspi.SECPKG_ATTR_REMOTE_CERT_CONTEXT).cert_encoded == client_leaf().der
    assert both.client.query(sspi.SECPKG_ATTR_LOCAL_CERT_CONTEXT).cert_encoded == client_leaf().der
    assert both.server.attributes & sspi.ASC_RET_MUTUAL_AUTH
    assert both.server.decrypt(both.client.encrypt(b"data")) == b"data"


@both_versions
def test_certificate_of_an_authority_that_the_server_does_not_trust_is_incomplete_credentials(version: int) -> None:
    stranger = Authority("Another Root").issue("client.lab.test", server=False)
    both = make(asc=ASK, server=SERVER, client={"enabled_protocols": version, "certificates": (stranger,)})
    reply = both.server.leg(both.client.leg())
    assert both.client.leg(reply) == b""
    assert both.client.status is S.SEC_I_INCOMPLETE_CREDENTIALS
    assert both.client.query(sspi.SECPKG_ATTR_ISSUER_LIST_EX).issuers == NAMED
    both.client.credential = client_credential(both.client.authority, certificates=(client_leaf(),))
    both.run(both.client.leg(b""))
    assert both.server.query(sspi.SECPKG_ATTR_REMOTE_CERT_CONTEXT).cert_encoded == client_leaf().der


@both_versions
def test_every_new_credential_that_does_not_fit_is_incomplete_and_the_same_again_goes_on(version: int) -> None:
    both = asked(version)
    stranger = Authority("Another Root").issue("client.lab.test", server=False)
    both.client.credential = client_credential(both.client.authority, certificates=(stranger,))
    assert both.client.leg(b"") == b""
    assert both.client.status is S.SEC_I_INCOMPLETE_CREDENTIALS
    token = both.client.leg(b"")  # the caller insists
    assert both.client.status is CONTINUE
    with pytest.raises(SSPIError, match="the client's certificate was refused") as caught:
        both.server.leg(token)
    assert caught.value.status is S.SEC_E_UNTRUSTED_ROOT


@both_versions
def test_certificate_of_an_authority_below_a_named_one_fits_with_its_chain(version: int) -> None:
    middle = Authority("Middle", root())
    leaf = middle.issue("client.lab.test", server=False)
    both = make(asc=ASK, server=SERVER, client={"enabled_protocols": version, "certificates": (leaf,)}).run()
    assert S.SEC_I_INCOMPLETE_CREDENTIALS not in [status for status, _ in both.client.log]
    assert both.client.query(sspi.SECPKG_ATTR_ISSUER_LIST_EX).issuers == NAMED


@both_versions
def test_server_that_cannot_name_its_authorities_takes_any(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another Python than CPython: the list is empty, and every certificate is offered."""
    authorities._library.cache_clear()
    monkeypatch.setattr(authorities, "_KNOWN", ((3, 1), (3, 2)))
    try:
        assert not authorities.can_name_authorities()
        pem = Authority("Unnamed").pem + root().pem  # no SSLContext was made for these yet
        server = {**SERVER, "root_store": pem}
        both = make(asc=ASK, server=server, client={"enabled_protocols": version, "certificates": (client_leaf(),)})
        both.run()
        assert both.client.query(sspi.SECPKG_ATTR_ISSUER_LIST_EX).issuers == ()
    finally:
        authorities._library.cache_clear()


def test_list_that_is_too_long_is_not_sent() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert authorities.name_authorities(context), "none to name"
    context.load_verify_locations(cadata="".join(Authority(f"{number:060d}").pem for number in range(150)))
    assert not authorities.name_authorities(context)


@both_versions
def test_credential_with_a_certificate_is_not_asked(version: int) -> None:
    both = make(asc=ASK, server=SERVER, client={"enabled_protocols": version, "certificates": (client_leaf(),)}).run()
    assert S.SEC_I_INCOMPLETE_CREDENTIALS not in [status for status, _ in both.client.log]


@both_versions
def test_going_on_with_the_old_credential_goes_without_a_certificate(version: int) -> None:
    both = asked(version)
    token = both.client.leg(b"")
    assert both.client.status is CONTINUE
    with pytest.raises(SSPIError) as caught:
        both.server.leg(token)
    # The server demanded one, so it ends the handshake; the context is gone, and the status says so.
    assert caught.value.status is S.SEC_E_INCOMPLETE_CREDENTIALS
    with pytest.raises(SSPIError):
        both.client.leg(caught.value.sent)  # type: ignore[attr-defined]


@both_versions
def test_without_a_wish_nobody_is_asked(version: int) -> None:
    both = make(client={"enabled_protocols": version}).run()
    with pytest.raises(SSPIError) as caught:
        both.client.query(sspi.SECPKG_ATTR_ISSUER_LIST_EX)
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION
    with pytest.raises(SSPIError) as caught:
        both.server.query(sspi.SECPKG_ATTR_REMOTE_CERT_CONTEXT)
    assert caught.value.status is S.SEC_E_NO_CREDENTIALS


def test_other_input_is_refused_and_the_context_waits_on() -> None:
    both = asked(TLS12)
    both.client.rest = b"\x16\x03\x03\x00\x01\x00"
    with pytest.raises(SSPIError, match="same input") as caught:
        both.client.leg(b"")
    assert caught.value.parameter == "pInput"
    both.client.rest = b""  # none at all is fine too: it is held
    assert both.client.leg(b"")


def test_new_credential_needs_a_certificate() -> None:
    both = asked(TLS13)
    other = client_credential(both.client.authority)
    old, both.client.credential = both.client.credential, other
    with pytest.raises(SSPIError) as caught:
        both.client.leg(b"")
    assert caught.value.status is S.SEC_E_NO_CREDENTIALS
    both.client.credential = old
    assert both.client.leg(b"")


def test_credential_may_not_change_otherwise() -> None:
    both = make()
    reply = both.server.leg(both.client.leg())
    old = both.client.credential
    both.client.credential = client_credential(both.client.authority)
    with pytest.raises(SSPIError) as caught:
        both.client.leg(reply)
    assert caught.value.status is S.SEC_E_WRONG_CREDENTIAL_HANDLE
    both.client.credential = old
    both.client.rest = b""
    assert both.client.leg(reply)


def test_server_that_demands_a_certificate_needs_roots() -> None:
    both = make(asc=ASK)
    with pytest.raises(SSPIError, match="hRootStore") as caught:
        both.server.leg(both.client.leg())
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION


class OtherServer:
    """A CredSSP server on pyOpenSSL's TLS and our engine: unlike Python's ssl, pyOpenSSL can name the issuers."""

    def __init__(self, version: int) -> None:
        require_module("OpenSSL")
        from OpenSSL import SSL, crypto

        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION if version == TLS12 else SSL.TLS1_3_VERSION)
        leaf = server_leaf()
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_PEM, leaf.chain))
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, leaf.private_key.reveal()))
        context.get_cert_store().add_cert(crypto.X509.from_cryptography(root().certificate))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: args[-1] == 1)
        context.set_client_ca_list([crypto.X509.from_cryptography(root().certificate).get_subject()])
        self.wants = (SSL.WantReadError,)
        self.tls = SSL.Connection(context, None)
        self.tls.set_accept_state()
        self.engine = ServerEngine(create_acceptor(ACCOUNTS), public_key=subject_public_key(leaf.der))
        self.received: Any = None

    def take(self, data: bytes) -> bytes:
        self.tls.bio_write(data)
        with contextlib.suppress(*self.wants):
            self.tls.do_handshake()
            while True:
                for event in self.engine.receive(self.tls.recv(65536)):
                    if isinstance(event, Send):
                        self.tls.send(event.data)
                    elif isinstance(event, CredentialsReceived):
                        self.received = event.credentials
        try:
            return self.tls.bio_read(1 << 20)
        except self.wants:
            return b""


@both_versions
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:OpenSSL", "ignore::DeprecationWarning:tests.sspi.test_client_certificate"
)
def test_issuer_list_names_the_authorities_of_the_server(version: int) -> None:
    server = OtherServer(version)
    authority = lsa()
    client = Side(authority, client_credential(authority, enabled_protocols=version), ISC)
    client.leg(server.take(client.leg()))
    assert client.status is S.SEC_I_INCOMPLETE_CREDENTIALS
    issuers = client.query(sspi.SECPKG_ATTR_ISSUER_LIST_EX).issuers
    assert issuers == (root().certificate.subject.public_bytes(),)
    client.credential = client_credential(authority, certificates=(client_leaf(),))
    token = client.leg(b"")
    while client.status is not OK:
        token = client.leg(server.take(token))
    server.take(token)
    assert server.received == credssp.PasswordCredentials("alice", "correct horse", domain="LAB")
    assert server.tls.get_peer_certificate() is not None


def test_certificate_requests_that_are_cut_name_nobody() -> None:
    name = root().certificate.subject.public_bytes()
    vector = len(name).to_bytes(2, "big") + name
    listed = len(vector).to_bytes(2, "big") + vector
    body = b"\x01\x40\x00\x02\x04\x03" + listed
    assert CertificateRequest.parse(body, tls13=False).issuers == (name,)
    for cut in range(len(body)):
        assert CertificateRequest.parse(body[:cut], tls13=False).issuers == ()
    extension = b"\x00\x2f" + len(listed).to_bytes(2, "big") + listed
    inner = b"\x00\x0d\x00\x04\x00\x02\x04\x03" + extension
    body = b"\x00" + len(inner).to_bytes(2, "big") + inner
    assert CertificateRequest.parse(body, tls13=True).issuers == (name,)
    for cut in range(len(body)):
        assert CertificateRequest.parse(body[:cut], tls13=True).issuers == ()
    assert CertificateRequest.parse(b"\x00\x00\x00", tls13=True).issuers == ()


def test_find_in_clear_reads_messages_across_records() -> None:
    message = b"\x0b\x00\x00\x02ab" + b"\x0d\x00\x00\x06\x01\x40\x00\x00\x00\x00"
    records = b"".join(
        b"\x16\x03\x03" + len(part).to_bytes(2, "big") + part for part in (message[:3], message[3:9], message[9:])
    )
    found = find_in_clear(records)
    assert found is not None
    assert found.issuers == ()
    assert find_in_clear(records[:-1]) is None
    assert find_in_clear(b"\x14\x03\x03\x00\x01\x01") is None

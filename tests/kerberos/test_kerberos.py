import contextlib
from typing import ClassVar

import pytest
import spnego
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from spnego.exceptions import (
    BadMICError,
    BadNameError,
    CredentialsExpiredError,
    InvalidCredentialError,
    InvalidTokenError,
    NoCredentialError,
    SpnegoError,
)

from credssp.credentials import CCacheCredentials, KeytabCredentials, NTHashCredentials, PasswordCredentials
from credssp.errors import (
    AuthenticationError,
    CredSSPError,
    LocalProtocolError,
    LocalRestrictionError,
    RemoteProtocolError,
)
from credssp.identity import Identity
from credssp.kerberos import contexts, pyspnego
from credssp.kerberos.admission import Admission
from credssp.kerberos.contexts import KerberosAcceptor, KerberosInitiator
from credssp.kerberos.logon import kerberos_obstacle
from credssp.kerberos.values import EncryptionKey
from credssp.secret import Secret
from credssp.server_authentication import ServerAuthentication
from credssp.status import NTStatus, SecurityStatus
from credssp.target import Target
from tests.kerberos.scripted_gss import GOOD_FLAGS, GSSError, Krb5Error, ScriptedKerberos, gss_failure

ALICE = PasswordCredentials("alice", "secret", domain="lab.test")
TARGET = Target("TERMSRV", "srv.lab.test")


WHO = Identity(username="alice", domain="LAB.TEST", mechanism="kerberos")
KEY = EncryptionKey(18, Secret(bytes(32)))


class Keys:
    """What an acceptor read of a keytab."""

    keys = ()

    def __init__(self, *asked):
        self.asked = asked

    def credential(self):
        return self.asked


class Tickets(CCacheCredentials):
    """What was got with a password or a key."""

    made: ClassVar[list] = []

    def __init__(self, name, asked):
        super().__init__(name)
        object.__setattr__(self, "asked", asked)
        object.__setattr__(self, "closed", 0)
        self.made.append(self)

    def close(self):
        object.__setattr__(self, "closed", self.closed + 1)


@pytest.fixture
def gss(monkeypatch):
    """Pretend that the libraries are there; `gss.client` and `gss.server` are the contexts they make."""

    class Libraries:
        client = server = None
        asked = None

        def __init__(self):
            self.names = []

    libraries = Libraries()

    def new_client(credential, **kwargs):
        libraries.asked = credential, kwargs
        if isinstance(libraries.client, Exception):
            raise libraries.client
        return libraries.client

    def new_server(**kwargs):
        libraries.asked = kwargs
        if isinstance(libraries.server, Exception):
            raise libraries.server
        return libraries.server

    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: None)
    monkeypatch.setattr(contexts, "AcceptorKeys", Keys)
    monkeypatch.setattr(contexts, "admit", lambda token, keys, **_: Admission(WHO, KEY, dce_style=False))
    monkeypatch.setattr(contexts.tickets, "check_cache", lambda _: "")
    monkeypatch.setattr(contexts.tickets, "password_tickets", lambda *asked, **_: Tickets("MEMORY:password", asked))
    monkeypatch.setattr(contexts.tickets, "keytab_tickets", lambda *asked, **_: Tickets("MEMORY:keytab", asked))
    monkeypatch.setattr(contexts.tickets, "service_name", str)
    monkeypatch.setattr(
        contexts.tickets, "in_spelling_of_cache", lambda asked: CCacheCredentials(asked.ccache, "a@LAB.TEST")
    )
    monkeypatch.setattr(pyspnego, "ask_for", lambda _context, name, _bindings: libraries.names.append(name))
    monkeypatch.setattr(spnego, "client", new_client)
    monkeypatch.setattr(spnego, "server", new_server)
    return libraries


@pytest.mark.parametrize("iov", [True, False])
def test_login_completes_and_seals_both_ways(gss, iov):
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator", iov=iov)
    gss.server = ScriptedKerberos([b"AP-REP"], "acceptor", principal="alice@LAB.TEST", iov=iov)
    client, server = KerberosInitiator(ALICE, TARGET), KerberosAcceptor()
    assert client.step(None) == b"AP-REQ"
    assert not client.can_wrap
    assert client.server_authentication is ServerAuthentication.NONE
    assert server.step(b"AP-REQ") == b"AP-REP"
    assert client.step(b"AP-REP") is None
    assert client.complete
    assert server.complete
    assert client.server_authentication is ServerAuthentication.KERBEROS
    assert (server.identity.username, server.identity.domain) == ("alice", "LAB.TEST")
    assert server.identity.mechanism == "kerberos"
    assert client.session_key == server.session_key == b"\x77" * 16
    assert not client.mech_list_mic_required
    server.verify_mech_list_mic(b"list", client.make_mech_list_mic(b"list"))
    assert server.unwrap(client.wrap(b"ping")) == b"ping"
    assert client.unwrap(server.wrap(b"pong")) == b"pong"
    assert (client.name, client.wire_form) == ("kerberos", "kerberos")


@pytest.mark.parametrize(
    ("credentials", "principal"),
    [
        (ALICE, "alice@LAB.TEST"),
        (PasswordCredentials("alice@lab.test", "secret"), "alice@LAB.TEST"),
        (PasswordCredentials("alice", "secret"), "alice"),
        (PasswordCredentials("a@b", "secret", domain="LAB.TEST"), "a\\@b@LAB.TEST"),
        (PasswordCredentials.received("a\\b", Secret("secret"), "LAB.TEST"), "a\\\\b@LAB.TEST"),
    ],
)
def test_principal_is_made_of_user_and_domain(gss, credentials, principal):
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator")
    KerberosInitiator(credentials, Target("LDAP", "dc.lab.test/LAB.TEST")).step(None)
    credential, arguments = gss.asked
    assert credential == spnego.KerberosCCache("MEMORY:password", None)
    assert Tickets.made[-1].asked == (principal, credentials.password)
    assert (arguments["service"], arguments["hostname"], arguments["protocol"]) == ("LDAP", "dc.lab.test", "kerberos")
    assert gss.names == ["LDAP/dc.lab.test/LAB.TEST"]


def test_libkrb5_chooses_the_server_by_dns_only_where_it_is_asked_to(gss):
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator")
    KerberosInitiator(ALICE, TARGET, dns_canonicalize=True).step(None)
    assert gss.names == []


def test_credential_cache_is_taken_without_credentials(gss):
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator")
    KerberosInitiator(None, TARGET, channel_bindings=b"tls-server-end-point:x").step(None)
    assert gss.asked[0] == spnego.CredentialCache()
    assert gss.asked[1]["channel_bindings"].application_data == b"tls-server-end-point:x"


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        (CCacheCredentials("FILE:/c", "a@lab.test"), spnego.KerberosCCache("FILE:/c", "a@LAB.TEST")),
        (CCacheCredentials("KCM:7"), spnego.KerberosCCache("KCM:7", None)),
        (KeytabCredentials("/k", "a@LAB.TEST"), spnego.KerberosCCache("MEMORY:keytab", None)),
    ],
)
def test_tickets_and_keytabs_are_named_for_one_context(gss, credentials, expected):
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator")
    KerberosInitiator(credentials, TARGET).step(None)
    assert gss.asked[0] == expected


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        (ALICE, spnego.Password("alice@LAB.TEST", "secret")),
        (KeytabCredentials("/k", "a@LAB.TEST"), spnego.KerberosKeytab("/k", "a@LAB.TEST")),
        (KeytabCredentials("MEMORY:k"), spnego.KerberosKeytab("MEMORY:k", None)),
    ],
)
def test_windows_initiator_leaves_passwords_and_keytabs_to_sspi(gss, monkeypatch, credentials, expected):
    monkeypatch.setattr(pyspnego.sys, "platform", "win32")
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator")
    KerberosInitiator(credentials, TARGET).step(None)
    assert gss.asked[0] == expected


@pytest.mark.parametrize("answer", [None, gss_failure(37)])
def test_tickets_of_a_login_are_destroyed_at_its_end(gss, answer):
    gss.client = ScriptedKerberos([b"AP-REQ", answer], "initiator")
    client = KerberosInitiator(ALICE, TARGET)
    client.step(None)
    tickets = Tickets.made[-1]
    assert not tickets.closed
    with contextlib.suppress(AuthenticationError):
        client.step(b"AP-REP")
    assert client.complete is (answer is None)
    assert tickets.closed == 1


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({}, (None, ())),
        ({"names": ["TERMSRV/srv"]}, (None, ("TERMSRV/srv",))),
        ({"keytab": "/etc/server.keytab"}, ("/etc/server.keytab", ())),
    ],
)
def test_acceptor_takes_the_key_it_was_told(gss, arguments, key):
    gss.server = ScriptedKerberos([b"AP-REP"], "acceptor", principal="somebody@ELSEWHERE")
    server = KerberosAcceptor(**arguments)
    server.step(b"AP-REQ")
    assert gss.asked["_gssapi_credential"] == key
    assert gss.asked["protocol"] == "kerberos"
    assert server.identity == WHO


@pytest.mark.parametrize("name", [None, "TERMSRV/srv"])
def test_windows_acceptor_takes_the_key_of_its_account(gss, monkeypatch, name):
    monkeypatch.setattr(pyspnego.sys, "platform", "win32")
    gss.server = ScriptedKerberos([b"AP-REP"], "acceptor", principal="alice")
    server = KerberosAcceptor(names=[name] if name else [])
    server.step(b"AP-REQ")
    assert (server.identity.username, server.identity.domain) == ("alice", "")
    assert gss.asked["credentials"] == spnego.CredentialCache("TERMSRV@srv" if name else None)
    assert "_gssapi_credential" not in gss.asked
    with pytest.raises(LocalProtocolError, match="no keytabs"):
        KerberosAcceptor(keytab="/k").step(b"AP-REQ")


@pytest.mark.parametrize(
    ("principal", "identity"),
    [
        ("alice@LAB.TEST", ("alice", "LAB.TEST")),
        ("LAB\\alice", ("alice", "LAB")),
        ("alice", ("alice", "")),
        ("", None),
        (None, None),
        ("@LAB.TEST", None),
        ("LAB\\", None),
        ("ali\0ce@LAB.TEST", None),
    ],
)
def test_windows_says_who_logged_on(gss, monkeypatch, principal, identity):
    monkeypatch.setattr(pyspnego.sys, "platform", "win32")
    gss.server = ScriptedKerberos([b"AP-REP"], "acceptor", principal=principal)
    server = KerberosAcceptor()
    if identity is None:
        with pytest.raises(AuthenticationError, match="names no user") as caught:
            server.step(b"AP-REQ")
        assert caught.value.error_code == NTStatus.STATUS_LOGON_FAILURE
        assert not server.complete
        return
    server.step(b"AP-REQ")
    assert (server.identity.username, server.identity.domain) == identity


@pytest.mark.parametrize(
    ("offset", "status", "told"),
    [
        (35, "SEC_E_WRONG_PRINCIPAL", 0xC000006D),
        (31, "SEC_E_LOGON_DENIED", 0xC000006D),
        (34, "SEC_E_OUT_OF_SEQUENCE", 0xC000006D),
        (45, "SEC_E_NO_KERB_KEY", 0xC000006D),
        (255, "SEC_E_INTERNAL_ERROR", 0xC000006D),
        (32, "SEC_E_CONTEXT_EXPIRED", 0x80090317),
        (37, "SEC_E_TIME_SKEW", 0xC0000133),
    ],
)
def test_a_client_learns_of_its_clock_and_its_ticket_and_nothing_of_our_keys(gss, offset, status, told):
    gss.server = ScriptedKerberos([gss_failure(offset)], "acceptor")
    with pytest.raises(AuthenticationError) as caught:
        KerberosAcceptor().step(b"AP-REQ")
    assert caught.value.status.name == status
    assert caught.value.error_code == told


def test_a_bad_keytab_is_not_the_clients_business(gss):
    gss.server = gss_failure(181)
    with pytest.raises(AuthenticationError, match="opening the Kerberos keytab: a text of the local") as caught:
        KerberosAcceptor().step(b"AP-REQ")
    assert caught.value.status is SecurityStatus.SEC_E_NO_KERB_KEY
    assert caught.value.error_code == NTStatus.STATUS_LOGON_FAILURE


def test_an_error_that_gssapi_keeps_back_is_not_lost(gss):
    class Deferring(ScriptedKerberos):
        def step(self, _):
            raise AttributeError("Cannot read flags from a security context")

        @property
        def complete(self):
            raise GSSError(35)

    gss.server = Deferring([None], "acceptor")
    with pytest.raises(AuthenticationError, match="token: a text of the local library") as caught:
        KerberosAcceptor().step(b"AP-REQ")
    assert caught.value.status is SecurityStatus.SEC_E_WRONG_PRINCIPAL
    assert "Minor" not in caught.value.message
    gss.server = ScriptedKerberos([AttributeError("of another kind")], "acceptor")
    with pytest.raises(RemoteProtocolError, match="AttributeError"):
        KerberosAcceptor().step(b"AP-REQ")


@pytest.mark.parametrize("error", [ValueError("x"), IndexError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x")])
def test_what_does_not_decode_is_the_peers_fault(gss, error):
    gss.server = ScriptedKerberos([error], "acceptor")
    with pytest.raises(RemoteProtocolError, match=f"the peer's token does not decode .{type(error).__name__}"):
        KerberosAcceptor().step(b"AP-REQ")


@pytest.mark.parametrize(
    "error",
    [UnsupportedAlgorithm("RC4"), InternalError("fetch", []), ValueError("[digital envelope routines] unsupported")],
)
def test_what_openssl_does_not_allow_here_is_not_the_peers_fault(gss, error):
    gss.server = ScriptedKerberos([error], "acceptor")
    with pytest.raises(LocalRestrictionError, match="OpenSSL does not allow an algorithm of Kerberos") as caught:
        KerberosAcceptor().step(b"AP-REQ")
    assert caught.value.restriction == "OpenSSL"


@pytest.mark.parametrize("error", [UnicodeEncodeError("ascii", "x", 0, 1, "x"), RuntimeError("secret"), MemoryError()])
def test_what_fails_on_this_side_is_not_the_peers_fault(gss, error):
    gss.server = ScriptedKerberos([error], "acceptor")
    with pytest.raises(LocalProtocolError, match=f"failed on this side.*{type(error).__name__}") as caught:
        KerberosAcceptor().step(b"AP-REQ")
    assert caught.value.status is SecurityStatus.SEC_E_INTERNAL_ERROR
    assert "secret" not in str(caught.value)


def test_a_name_that_cannot_be_encoded_is_not_called_a_token_of_the_peer(gss):
    gss.client = UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed")
    with pytest.raises(LocalProtocolError, match="getting a Kerberos ticket: it failed on this side"):
        KerberosInitiator(ALICE, TARGET).step(None)


@pytest.mark.parametrize(
    ("flag", "what"), [(0x02, "mutual authentication"), (0x10, "confidentiality"), (0x20, "integrity")]
)
def test_context_without_what_credssp_needs_is_refused(gss, flag, what):
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator", flags=GOOD_FLAGS & ~flag)
    client = KerberosInitiator(ALICE, TARGET)
    client.step(None)
    with pytest.raises(RemoteProtocolError, match=what) as caught:
        client.step(b"AP-REP")
    assert caught.value.status is SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    assert not client.can_wrap


def test_message_that_is_signed_only_is_refused(gss):
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator", encrypted=False)
    peer = ScriptedKerberos([], "acceptor")
    client = KerberosInitiator(ALICE, TARGET)
    client.step(None)
    client.step(b"AP-REP")
    with pytest.raises(RemoteProtocolError, match="not encrypted"):
        client.unwrap(peer.session.wrap(b"pubKeyAuth"))
    with pytest.raises(LocalProtocolError, match="failed before"):
        client.wrap(b"credentials")


def test_context_that_waits_without_a_token_is_refused(gss):
    gss.client = ScriptedKerberos([b"AP-REQ", b"", None], "initiator")
    client = KerberosInitiator(ALICE, TARGET)
    client.step(None)
    with pytest.raises(RemoteProtocolError, match="none to send"):
        client.step(b"AP-REP")


def test_calls_out_of_turn_are_the_callers_fault(gss):
    gss.client = ScriptedKerberos([b"AP-REQ", None], "initiator")
    client = KerberosInitiator(ALICE, TARGET)
    client.step(None)
    for call in (lambda: client.session_key, lambda: client.wrap(b""), lambda: client.make_mech_list_mic(b"")):
        with pytest.raises(LocalProtocolError):
            call()


# What stands in the way


@pytest.mark.parametrize(
    ("make", "told"),
    [(lambda: KerberosInitiator(ALICE, TARGET), None), (KerberosAcceptor, NTStatus.STATUS_LOGON_FAILURE)],
)
def test_missing_libraries_are_named(monkeypatch, make, told):
    monkeypatch.setattr(pyspnego.importlib.util, "find_spec", lambda _: None)
    pyspnego.kerberos_missing.cache_clear()
    try:
        with pytest.raises(AuthenticationError, match="gssapi and krb5: pip install") as caught:
            make().step(None)
    finally:
        pyspnego.kerberos_missing.cache_clear()
    assert caught.value.status is SecurityStatus.SEC_E_SECPKG_NOT_FOUND
    assert caught.value.ntstatus is told


def test_windows_needs_sspilib(monkeypatch):
    monkeypatch.setattr(pyspnego.sys, "platform", "win32")
    monkeypatch.setattr(pyspnego.importlib.util, "find_spec", lambda _: None)
    pyspnego.kerberos_missing.cache_clear()
    try:
        assert "sspilib" in pyspnego.kerberos_missing()
        monkeypatch.setattr(pyspnego.importlib.util, "find_spec", lambda _: object())
        pyspnego.kerberos_missing.cache_clear()
        assert pyspnego.kerberos_missing() is None
    finally:
        pyspnego.kerberos_missing.cache_clear()


def test_import_error_inside_is_a_missing_library(gss):
    gss.client = ImportError("GSSAPIProxy requires the Python gssapi library: no libgssapi_krb5.so.2")
    with pytest.raises(AuthenticationError, match="library for it is missing"):
        KerberosInitiator(ALICE, TARGET).step(None)


@pytest.mark.usefixtures("gss")
@pytest.mark.parametrize(
    ("credentials", "target", "message"),
    [
        (NTHashCredentials("alice", bytes(16)), TARGET, "NT hash"),
        (PasswordCredentials.received("", Secret("secret"), ""), TARGET, "user name"),
        (ALICE, Target("TERMSRV", "192.0.2.7"), "IP address"),
        (None, Target("TERMSRV", "2001:db8::7"), "IP address"),
    ],
)
def test_kerberos_is_not_tried_where_it_cannot_work(credentials, target, message):
    assert message in str(kerberos_obstacle(credentials, target))
    with pytest.raises(AuthenticationError, match=message):
        KerberosInitiator(credentials, target).step(None)
    assert kerberos_obstacle(ALICE, TARGET) is None


# Errors of the libraries


@pytest.mark.parametrize(
    ("offset", "status", "ntstatus"),
    [
        (6, "SEC_E_LOGON_DENIED", NTStatus.STATUS_LOGON_FAILURE),
        (7, "SEC_E_TARGET_UNKNOWN", None),
        (14, "SEC_E_KDC_UNKNOWN_ETYPE", None),
        (18, "SEC_E_LOGON_DENIED", NTStatus.STATUS_ACCOUNT_DISABLED),
        (23, "SEC_E_LOGON_DENIED", NTStatus.STATUS_PASSWORD_EXPIRED),
        (24, "SEC_E_LOGON_DENIED", NTStatus.STATUS_LOGON_FAILURE),
        (32, "SEC_E_CONTEXT_EXPIRED", None),
        (37, "SEC_E_TIME_SKEW", None),
        (41, "SEC_E_WRONG_PRINCIPAL", None),
        (144, "SEC_E_WRONG_PRINCIPAL", None),
        (154, "SEC_E_NO_AUTHENTICATING_AUTHORITY", None),
        (156, "SEC_E_NO_AUTHENTICATING_AUTHORITY", None),
        (195, "SEC_E_NO_CREDENTIALS", None),
        (255, "SEC_E_INTERNAL_ERROR", None),
    ],
)
@pytest.mark.parametrize("make", [gss_failure, Krb5Error])
def test_kerberos_errors_become_security_statuses(gss, make, offset, status, ntstatus):
    gss.client = make(offset)
    with pytest.raises(AuthenticationError, match="text of") as caught:
        KerberosInitiator(ALICE, TARGET).step(None)
    assert (caught.value.status.name, caught.value.ntstatus) == (status, ntstatus)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (NoCredentialError(), AuthenticationError, "SEC_E_NO_CREDENTIALS"),
        (InvalidCredentialError(), AuthenticationError, "SEC_E_NO_CREDENTIALS"),
        (CredentialsExpiredError(), AuthenticationError, "SEC_E_CONTEXT_EXPIRED"),
        (BadNameError(), AuthenticationError, "SEC_E_TARGET_UNKNOWN"),
        (BadMICError(), RemoteProtocolError, "SEC_E_MESSAGE_ALTERED"),
        (InvalidTokenError(context_msg="token 4e544c4d"), RemoteProtocolError, "SEC_E_INVALID_TOKEN"),
        (SpnegoError(13, context_msg="token 4e544c4d"), AuthenticationError, "SEC_E_INTERNAL_ERROR"),
        (ValueError("token 4e544c4d"), RemoteProtocolError, "SEC_E_INVALID_TOKEN"),
    ],
)
def test_pyspnego_errors_become_ours_without_their_text(gss, error, kind, status):
    gss.client = ScriptedKerberos([b"AP-REQ", error, None], "initiator")
    client = KerberosInitiator(ALICE, TARGET)
    client.step(None)
    with pytest.raises(kind) as caught:
        client.step(b"AP-REP")
    assert caught.value.status.name == status
    assert "4e544c4d" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(LocalProtocolError, match="failed before"):
        client.step(b"AP-REP")


def test_our_own_errors_pass(gss):
    gss.client = ScriptedKerberos([b"AP-REQ", LocalProtocolError("ours"), None], "initiator")
    client = KerberosInitiator(ALICE, TARGET)
    client.step(None)
    with pytest.raises(CredSSPError, match="ours"):
        client.step(b"AP-REP")

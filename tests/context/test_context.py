"""Whole contexts: TLS, mechanism, binding and delegation together, in any split of the stream."""

from __future__ import annotations

import gc
import random
import traceback
from pathlib import Path

import pytest

import credssp
from credssp import (
    AuthenticationError,
    BindingError,
    CertificateCheck,
    CertificateError,
    ClientContext,
    ClientTLS,
    CredSSPError,
    DelegationPolicy,
    EncryptionOracle,
    LocalProtocolError,
    MemoryAccounts,
    NTHashCredentials,
    NTStatus,
    PasswordCredentials,
    PeerClosedError,
    PeerRefusedError,
    PolicyError,
    PolicySettings,
    SecurityStatus,
    ServerAuthentication,
    ServerContext,
    ServerTLS,
    SmartCardCredentials,
    StepResult,
    TLSAlertError,
    TLSError,
    VersionError,
)
from credssp.kerberos import krb5_conf, pyspnego
from credssp.kerberos.krb5_conf import Krb5Conf
from credssp.nt_hash import nt_hash
from credssp.secret import Secret
from credssp.target import Target
from credssp.tls.certificate import ServerCertificate, generate_certificate

ACCOUNTS = MemoryAccounts({("LAB", "alice"): "secret"})
ALICE = PasswordCredentials("alice", "secret", domain="LAB")
TARGET = "TERMSRV/srv.lab.test"


def make_client(credentials: object = ALICE, **more: object) -> ClientContext:
    return ClientContext(credentials, **({"target_name": TARGET, "mechanism": "ntlm"} | more))  # type: ignore[arg-type]


def make_server(**more: object) -> ServerContext:
    return ServerContext(**({"accounts": ACCOUNTS} | more))  # type: ignore[arg-type]


def feed(context: ClientContext | ServerContext, data: bytes, split: object = None) -> bytes:
    """Give bytes in pieces and collect what comes out."""
    if split is None or not data:
        return context.step(data).token
    out = b""
    position = 0
    while position < len(data):
        size = split if isinstance(split, int) else split.randint(1, 200)  # type: ignore[attr-defined]
        out += context.step(data[position : position + size]).token
        position += size
    return out


def login(client: ClientContext, server: ServerContext, split: object = None) -> None:
    token = client.step().token
    for _ in range(8):
        token = feed(server, token, split)
        if server.complete:
            break
        token = feed(client, token, split)
    assert client.complete
    assert server.complete


def until_client_fails(client: ClientContext, server: ServerContext) -> CredSSPError:
    token = client.step().token
    for _ in range(8):
        try:
            token = server.step(token).token
        except CredSSPError as error:
            token = error.token
        try:
            token = client.step(token).token
        except CredSSPError as error:
            return error
    raise AssertionError("the client did not fail")


def until_server_fails(client: ClientContext, server: ServerContext) -> CredSSPError:
    token = client.step().token
    for _ in range(8):
        try:
            token = server.step(token).token
        except CredSSPError as error:
            return error
        token = client.step(token).token
    raise AssertionError("the server did not fail")


# Logins


def test_a_server_has_no_login_before_the_context_is_complete() -> None:
    with pytest.raises(LocalProtocolError, match="not complete"):
        _ = make_server().login


@pytest.mark.parametrize("split", [None, 1, "random"])
@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_login_in_any_split(split: object, mechanism: str, tls: str) -> None:
    if split == "random":
        split = random.Random(7)
    client = make_client(mechanism=mechanism, tls=ClientTLS(maximum=tls))  # type: ignore[arg-type]
    server = make_server()
    login(client, server, split)
    assert server.delegated_credentials == ALICE
    assert server.login.delegated_credentials == ALICE
    assert (server.login.identity.domain, server.login.identity.username) == ("LAB", "alice")
    assert client.mechanism == server.mechanism == "ntlm"
    assert client.version == server.version == client.peer_version == server.peer_version == 6
    assert client.tls_version == server.tls_version == f"TLSv{tls}"
    assert client.tls_cipher == server.tls_cipher
    assert client.server_authentication is ServerAuthentication.NTLM
    assert client.certificate_check is CertificateCheck.NOT_CHECKED
    assert server.unwrap(client.wrap(b"ping")) == b"ping"
    assert client.unwrap(server.wrap(b"pong")) == b"pong"


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
def test_every_version_on_either_side(version: int, mechanism: str) -> None:
    for low in ("client", "server"):
        client = make_client(mechanism=mechanism, min_version=2, max_version=version if low == "client" else 6)
        server = make_server(min_version=2, max_version=version if low == "server" else 6)
        login(client, server)
        assert client.version == server.version == version


@pytest.mark.parametrize("key", ["rsa", "p256", "p384", "ed25519"])
@pytest.mark.parametrize("version", [2, 6])
def test_every_kind_of_server_key(key: str, version: int) -> None:
    certificate = generate_certificate(key)  # type: ignore[arg-type]
    client = make_client(min_version=2, max_version=version)
    server = make_server(min_version=2, certificate=certificate)
    login(client, server)
    assert client.server_certificate == certificate.der


def test_auto_is_bare_ntlm_or_spnego_but_always_completes() -> None:
    client, server = make_client(mechanism="auto"), make_server()
    login(client, server)


def test_the_statuses_of_a_login() -> None:
    client, server = make_client(), make_server()
    first = client.step()
    assert first.status is SecurityStatus.SEC_I_CONTINUE_NEEDED
    assert first.token
    partial = server.step(first.token[:10])
    assert partial == StepResult(SecurityStatus.SEC_E_INCOMPLETE_MESSAGE, b"")
    assert server.missing == len(first.token) - 10
    result = server.step(first.token[10:])
    assert result.status is SecurityStatus.SEC_I_CONTINUE_NEEDED
    while not server.complete:
        result = client.step(result.token)
        if client.complete:
            assert result.status is SecurityStatus.SEC_E_OK
            assert result.token
        result = server.step(result.token)
    assert result == StepResult(SecurityStatus.SEC_E_OK, b"")


def test_an_empty_step_is_always_legal() -> None:
    client, server = make_client(), make_server()
    assert server.step().status is SecurityStatus.SEC_I_CONTINUE_NEEDED
    token = client.step().token
    while not server.complete:
        assert client.step(b"").token == b""
        token = server.step(token).token
        assert server.step(b"").token == b""
        if not server.complete:
            token = client.step(token).token
    assert client.step(b"") == StepResult(SecurityStatus.SEC_E_OK, b"")
    assert server.step(b"") == StepResult(SecurityStatus.SEC_E_OK, b"")


def test_octets_behind_the_last_message_are_handed_back() -> None:
    client, server = make_client(), make_server()
    token = client.step().token
    while not client.complete:
        token = client.step(server.step(token).token).token
    early = client.wrap(b"\x03\x00 early") + client.wrap(b" bird") + client.wrap(b" late")[:9]
    server.step(token + early)
    assert server.complete
    assert server.unused_data == b"\x03\x00 early bird"
    assert server.unwrap(b"") == b""


def test_steps_after_the_end_lose_nothing() -> None:
    client, server = make_client(), make_server()
    login(client, server)
    assert server.step(client.wrap(b"late")) == StepResult(SecurityStatus.SEC_E_OK, b"")
    assert server.unused_data == b"late"


# Credentials


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
@pytest.mark.parametrize("options", [{}, {"workstation": "PC-17"}])
def test_server_is_told_the_workstation_that_was_set_and_none_by_default(
    mechanism: str, options: dict[str, str]
) -> None:
    client, server = make_client(mechanism=mechanism, **options), make_server()
    login(client, server)
    assert server.identity is not None
    assert server.identity.workstation == options.get("workstation", "")


def test_an_nt_hash_logs_on_and_delegates_nothing() -> None:
    client, server = make_client(NTHashCredentials("alice", nt_hash("secret"), domain="LAB")), make_server()
    login(client, server)
    assert server.delegated_credentials == PasswordCredentials.empty()


def test_an_nt_hash_with_a_password_to_delegate() -> None:
    other = PasswordCredentials("svc", "other", domain="LAB")
    client = make_client(NTHashCredentials("alice", nt_hash("secret"), domain="LAB"), delegated_credentials=other)
    server = make_server()
    login(client, server)
    assert server.delegated_credentials == other


def test_without_delegation_an_empty_set_goes_over() -> None:
    client, server = make_client(delegate=False), make_server()
    login(client, server)
    delegated = server.delegated_credentials
    assert isinstance(delegated, PasswordCredentials)
    assert delegated.is_empty


def test_a_smart_card_is_delegated() -> None:
    card = SmartCardCredentials(pin=Secret("1234"), reader_name="reader", csp_name="csp", user_hint="alice")
    client, server = make_client(delegated_credentials=card), make_server()
    login(client, server)
    assert server.delegated_credentials == card


@pytest.mark.parametrize("password", ["", "ä€😀", "x" * 500, "\ud800lone"])
@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
def test_passwords_of_all_kinds(password: str, mechanism: str) -> None:
    server = make_server(accounts=MemoryAccounts({("LAB", "bob"): password}), allow_empty_password=True)
    bob = PasswordCredentials("bob", password, domain="LAB")
    client = make_client(bob, mechanism=mechanism, allow_empty_password=True)
    login(client, server)
    assert isinstance(server.delegated_credentials, PasswordCredentials)
    assert server.delegated_credentials.password.reveal() == password


def test_empty_password_is_meant_on_both_sides_or_not_taken() -> None:
    bob = PasswordCredentials("bob", "", domain="LAB")
    for options in ({"credentials": bob}, {"delegated_credentials": bob}):
        with pytest.raises(LocalProtocolError, match="the password is empty"):
            make_client(**options)
    client = make_client(bob, allow_empty_password=True)
    error = until_server_fails(client, make_server(accounts=MemoryAccounts({("LAB", "bob"): ""})))
    assert error.ntstatus == NTStatus.STATUS_LOGON_FAILURE
    wrong = make_client(PasswordCredentials("bob", "wrong", domain="LAB"))
    error = until_server_fails(wrong, make_server(accounts=MemoryAccounts({("LAB", "bob"): ""})))
    assert error.ntstatus == NTStatus.STATUS_LOGON_FAILURE


# Refusals


def test_unknown_user_and_wrong_password_look_the_same() -> None:
    seen = []
    for credentials in (
        PasswordCredentials("alice", "wrong", domain="LAB"),
        PasswordCredentials("nobody", "secret", domain="LAB"),
        PasswordCredentials("nobody", "wrong", domain="LAB"),
    ):
        client, server = make_client(credentials), make_server()
        error = until_server_fails(client, server)
        assert isinstance(error, AuthenticationError)
        assert error.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        seen.append((type(error), str(error), error.status, len(error.token)))
        with pytest.raises(PeerRefusedError) as caught:
            client.step(error.token)
        assert caught.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        assert "0xC000006D" in str(caught.value)
        assert server.delegated_credentials is None
        assert server.identity is None
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("version", [2, 5])
def test_versions_without_error_code_get_a_fatal_alert(version: int) -> None:
    client = make_client(PasswordCredentials("alice", "wrong", domain="LAB"), min_version=2, max_version=version)
    error = until_client_fails(client, make_server(min_version=2))
    assert isinstance(error, TLSAlertError)


def test_a_v4_client_is_told_that_its_version_is_not_supported() -> None:
    client = make_client(min_version=2, max_version=4)
    error = until_client_fails(client, make_server())
    assert isinstance(error, PeerRefusedError)
    assert error.ntstatus == NTStatus.STATUS_NOT_SUPPORTED


def test_a_client_refuses_an_old_server_and_sends_it_an_alert() -> None:
    client, server = make_client(), make_server(min_version=2, max_version=4)
    error = until_client_fails(client, server)
    assert isinstance(error, VersionError)
    with pytest.raises(TLSAlertError):
        server.step(error.token)


@pytest.mark.parametrize(
    ("level", "client_takes_old", "server_takes_old"),
    [
        (EncryptionOracle.FORCE_UPDATED_CLIENTS, False, False),
        (EncryptionOracle.MITIGATED, False, True),
        (EncryptionOracle.VULNERABLE, True, True),
    ],
)
def test_encryption_oracle_levels(level: EncryptionOracle, client_takes_old: bool, server_takes_old: bool) -> None:
    settings = PolicySettings(delegation=DelegationPolicy.for_target(TARGET), encryption_oracle=level)
    client, server = make_client(policy=settings), make_server(min_version=2, max_version=2)
    if client_takes_old:
        login(client, server)
    else:
        assert isinstance(until_client_fails(client, server), VersionError)
    client, server = make_client(min_version=2, max_version=2), make_server(policy=settings)
    if server_takes_old:
        login(client, server)
    else:
        assert isinstance(until_server_fails(client, server), VersionError)


def test_a_policy_that_says_no_sends_nothing_of_the_user() -> None:
    client, server = make_client(policy=DelegationPolicy.deny_all()), make_server()
    error = until_client_fails(client, server)
    assert isinstance(error, PolicyError)
    assert server.identity is None
    assert server.delegated_credentials is None


def test_mutual_authentication_needs_a_certificate_that_was_checked() -> None:
    error = until_client_fails(make_client(mutual_auth=True), make_server())
    assert error.status is SecurityStatus.SEC_E_MUTUAL_AUTH_FAILED
    certificate = generate_certificate("p256", dns_names=("srv.lab.test",))
    client = make_client(mutual_auth=True, tls=ClientTLS(cadata=certificate.chain.decode()))
    login(client, make_server(certificate=certificate))
    assert client.certificate_check is CertificateCheck.TRUSTED
    assert client.server_authentication.is_strong


def test_a_certificate_check_that_fails_stops_before_anything_is_proved() -> None:
    client, server = make_client(tls=ClientTLS(fingerprint="00" * 32)), make_server()
    error = until_client_fails(client, server)
    assert isinstance(error, CertificateError)
    error = until_client_fails(make_client(tls=ClientTLS(verify=True)), make_server())
    assert isinstance(error, CertificateError)
    assert error.token  # the alert


def test_a_man_in_the_middle_with_another_certificate_is_found_out() -> None:
    """Two TLS sessions with different keys, the inner messages relayed word for word."""
    client, server = make_client(), make_server()
    middle_server = make_server(certificate=generate_certificate("p256"))._channel
    middle_client = make_client()._channel
    token = client.step().token
    out = b""
    with pytest.raises(BindingError, match="does not belong to the TLS key"):
        for _ in range(12):
            middle_server.receive(token)
            plain = middle_server.read() if middle_server.handshake() else b""
            if middle_client.handshake() and plain:
                middle_client.write(plain)
            reply = server.step(middle_client.data_to_send() or out).token
            middle_client.receive(reply)
            plain = middle_client.read() if middle_client.handshake() else b""
            if plain:
                middle_server.write(plain)
            token = client.step(middle_server.data_to_send()).token
    assert server.delegated_credentials is None


# Closes, alerts, garbage


@pytest.mark.parametrize("legs", [1, 2])
def test_a_close_in_the_middle_ends_a_server(legs: int) -> None:
    client, server = make_client(), make_server()
    token = client.step().token
    for _ in range(legs):
        token = client.step(server.step(token).token).token
    with pytest.raises(PeerClosedError) as caught:
        server.step(token + client.shutdown())
    assert caught.value.status is SecurityStatus.SEC_E_CONTEXT_EXPIRED
    assert server.delegated_credentials is None
    with pytest.raises(LocalProtocolError, match="failed before"):
        server.step()


def test_a_close_in_the_middle_ends_a_client() -> None:
    client, server = make_client(), make_server()
    token = client.step().token
    token = server.step(client.step(server.step(token).token).token).token
    with pytest.raises(PeerClosedError):
        client.step(token + server.shutdown())
    assert not client.complete


def test_credentials_and_a_close_in_one_read_are_a_success() -> None:
    client, server = make_client(), make_server()
    token = client.step().token
    while not client.complete:
        token = client.step(server.step(token).token).token
    result = server.step(token + client.shutdown())
    assert result.status is SecurityStatus.SEC_E_OK
    assert server.delegated_credentials == ALICE
    assert server.peer_closed


def test_the_end_of_the_transport() -> None:
    server = make_server()
    server.step(make_client().step().token)
    with pytest.raises(PeerClosedError, match="connection ended"):
        server.receive_eof()
    with pytest.raises(LocalProtocolError):
        server.step()
    client, server = make_client(), make_server()
    login(client, server)
    server.receive_eof()
    assert server.unwrap(client.wrap(b"still")) == b"still"


def test_a_close_after_the_end_is_an_event() -> None:
    client, server = make_client(), make_server()
    login(client, server)
    assert server.unwrap(client.wrap(b"bye") + client.shutdown()) == b"bye"
    assert server.peer_closed
    assert not client.peer_closed
    assert client.unwrap(server.wrap(b"more")) == b"more"
    client.unwrap(server.shutdown())
    assert client.peer_closed
    assert client.shutdown() == b""
    with pytest.raises(LocalProtocolError, match="shut down"):
        client.wrap(b"x")


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.0\r\n\r\n", bytes(40), b"\x16\x03\x01\x00\x02\x01\x00", b"\x15\x03\x03\x00\x02\x02\x31"]
)
def test_junk_in_place_of_tls(junk: bytes) -> None:
    for context in (make_server(), make_client()):
        context.step()
        with pytest.raises(TLSError):
            context.step(junk + bytes(100))


def test_a_fatal_alert_in_the_handshake_has_its_name() -> None:
    client = make_client()
    client.step()
    with pytest.raises(TLSAlertError) as caught:
        client.step(b"\x15\x03\x03\x00\x02\x02\x28")
    assert caught.value.alert == "handshake_failure"
    assert caught.value.description == 40


def test_an_altered_record_in_the_exchange() -> None:
    client, server = make_client(), make_server()
    token = client.step(server.step(client.step().token).token).token
    bad = bytearray(token)
    bad[-1] ^= 1
    with pytest.raises(TLSError) as caught:
        server.step(bytes(bad))
    assert caught.value.status is SecurityStatus.SEC_E_MESSAGE_ALTERED
    assert caught.value.token  # OpenSSL's alert


def test_an_altered_record_after_the_end() -> None:
    client, server = make_client(), make_server()
    login(client, server)
    bad = bytearray(client.wrap(b"data"))
    bad[-1] ^= 1
    with pytest.raises(TLSError) as caught:
        server.unwrap(bytes(bad))
    assert caught.value.token
    with pytest.raises(LocalProtocolError, match="failed before"):
        server.unwrap(client.wrap(b"more"))
    with pytest.raises(LocalProtocolError):
        server.wrap(b"x")
    assert server.shutdown() == b""


def test_plaintext_junk_inside_tls_is_refused_at_its_first_octet() -> None:
    client, server = make_client(), make_server()
    server.step(client.step().token)
    token = client.step(b"")
    client2, server2 = make_client(), make_server()
    reply = server2.step(client2.step().token).token
    client2._channel.receive(reply)
    client2._channel.handshake()
    client2._channel.write(b"GET /")
    with pytest.raises(CredSSPError) as caught:
        server2.step(client2._channel.data_to_send())
    assert caught.value.status is SecurityStatus.SEC_E_INVALID_TOKEN
    assert token.token == b""


def test_calls_out_of_turn() -> None:
    for context in (make_client(), make_server()):
        with pytest.raises(LocalProtocolError, match="not complete"):
            context.wrap(b"x")
        with pytest.raises(LocalProtocolError, match="not complete"):
            context.unwrap(b"x")
        assert context.shutdown() == b""
        assert not context.peer_closed
        assert context.version is None
        assert context.unused_data == b""
        assert context.tls_version == ""


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(LocalProtocolError):
        make_client(target_name=None)
    with pytest.raises(LocalProtocolError):
        make_client(target_name="")
    with pytest.raises(LocalProtocolError):
        make_client(target_name="TERMSRV/*")
    with pytest.raises(LocalProtocolError):
        make_server(certificate="/no/such/file")
    with pytest.raises(LocalProtocolError):
        make_server(min_version=9)
    with pytest.raises(CredSSPError):
        client, server = make_client(min_version=9), make_server()
        client.step(server.step(client.step().token).token)


def test_a_server_without_accounts_lets_nobody_in() -> None:
    assert isinstance(until_server_fails(make_client(), make_server(accounts=None)), AuthenticationError)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("TERMSRV/srv.lab.test", "srv.lab.test"),
        ("TERMSRV/srv.lab.test:3390", "srv.lab.test"),
        ("HTTP/10.0.0.1", "10.0.0.1"),
        ("HTTP/[fe80::1]:5985", "fe80::1"),
        ("HTTP/fe80::1", "fe80::1"),
        ("srv", "srv"),
        ("ldap/srv/lab.test", "srv"),
    ],
)
def test_the_host_of_a_target_name(target: str, host: str) -> None:
    assert Target.parse(target).host == host
    login(make_client(target_name=target), make_server())


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("TERMSRV/SRV.Lab.Test.", "TERMSRV/srv.lab.test"),
        ("TERMSRV/srv.lab.test.:3390", "TERMSRV/srv.lab.test:3390"),
        ("TERMSRV/[0:0::1]:3389", "TERMSRV/[::1]:3389"),
        ("LDAP/DC./LAB.TEST", "LDAP/dc/LAB.TEST"),
        ("Srv", "host/srv"),
    ],
)
def test_all_are_asked_about_one_canonical_name(written: str, canonical: str) -> None:
    client = make_client(target_name=written)
    assert client.target_name == client.config.policy_name == str(Target.parse(canonical)) == canonical
    server = make_server()
    login(client, server)
    assert server.identity is not None
    assert server.identity.target_name == canonical


@pytest.mark.parametrize(
    "name", ["TERMSRV/a\0b", "TERMSRV/a\nb", "TERMSRV/a@B", "TERMSRV/a::b.test", "TERMSRV/", "/a", "a/."]
)
@pytest.mark.parametrize("option", ["target_name", "policy_target"])
def test_target_that_names_no_server_is_refused_where_it_is_given(option: str, name: str) -> None:
    with pytest.raises(LocalProtocolError, match="target name"):
        make_client(**{option: name})


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "TERMSRV/srv.conf.test"),
        ({"short_name_domain": "lab.test"}, "TERMSRV/srv.lab.test"),
        ({"short_name_domain": ""}, "TERMSRV/srv"),
        ({"mechanism": "ntlm"}, "TERMSRV/srv"),
        ({"mechanism": "ntlm", "short_name_domain": ".Lab.test"}, "TERMSRV/srv.lab.test"),
    ],
)
def test_short_name_is_completed_for_all_who_ask(
    options: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = Krb5Conf(libdefaults={"qualify_shortname": "conf.test"})
    monkeypatch.setattr(krb5_conf, "load", lambda: conf)
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: None)
    client = ClientContext(ALICE, target_name="TERMSRV/srv", policy_target="WSMAN/SRV:5985", **options)
    assert client.target_name == name
    assert client.config.policy_target == name.replace("TERMSRV", "WSMAN") + ":5985"


# Secrets


def test_no_secret_in_errors_or_reprs() -> None:
    client, server = make_client(PasswordCredentials("alice", "Sup3rWrong!", domain="LAB")), make_server()
    error = until_server_fails(client, server)
    assert error.__context__ is None
    assert error.__cause__ is None
    text = "".join(traceback.format_exception(error)) + repr(error) + str(error) + repr(vars(error))
    for context in (client, server):
        text += repr(context)
    assert "Sup3rWrong!" not in text
    assert "alice" not in text


def test_failed_contexts_free_what_they_held() -> None:
    client, server = make_client(PasswordCredentials("alice", "wrong", domain="LAB")), make_server()
    until_server_fails(client, server)
    assert server._engine is None
    login_client, login_server = make_client(), make_server()
    login(login_client, login_server)
    assert login_client._engine is None
    assert login_server._engine is None
    gc.collect()


def test_observers_see_both_sides() -> None:
    seen: list[str] = []
    client = make_client(observer=lambda direction, message, data: seen.append(f"c {direction.value}"))
    server = make_server(observer=lambda direction, message, data: seen.append(f"s {direction.value}"))
    login(client, server)
    assert seen.count("c sent") == seen.count("s received") == 3
    assert seen.count("s sent") == seen.count("c received") == 2


def test_the_public_names_are_all_there() -> None:
    for name in credssp.__all__:
        assert getattr(credssp, name) is not None
    assert set(credssp.__all__) <= set(dir(credssp))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        credssp.nonsense  # noqa: B018
    assert set(credssp._HOME) == set(credssp.__all__) - {"__version__"}


def test_server_tls_settings() -> None:
    client, server = make_client(), make_server(tls=ServerTLS(maximum="1.2"))
    login(client, server)
    assert client.tls_version == "TLSv1.2"


def test_a_ca_file_that_is_replaced_is_used_at_once_and_the_removed_root_no_longer_trusted(tmp_path: Path) -> None:
    old, new = (generate_certificate("p256", common_name="srv.lab.test", dns_names=("srv.lab.test",)) for _ in range(2))
    (tmp_path / "old.pem").write_bytes(old.chain)
    (tmp_path / "new.pem").write_bytes(new.chain)
    link = tmp_path / "ca.pem"
    link.symlink_to("old.pem")

    def check(certificate: ServerCertificate) -> CertificateCheck:
        server = ServerContext(accounts=MemoryAccounts({("LAB", "a"): "s"}), certificate=certificate)
        client = ClientContext(
            PasswordCredentials("a", "s", domain="LAB"),
            target_name="TERMSRV/srv.lab.test",
            mechanism="ntlm",
            tls=ClientTLS(cafile=link),
        )
        token = client.step().token
        while not server.complete:
            token = client.step(server.step(token).token).token
        return client.certificate_check

    assert check(old) is CertificateCheck.TRUSTED
    (tmp_path / "next").symlink_to("new.pem")
    (tmp_path / "next").replace(link)
    assert check(new) is CertificateCheck.TRUSTED
    with pytest.raises(CredSSPError, match="certificate"):
        check(old)
    link.unlink()
    link.write_bytes(old.chain)
    assert check(old) is CertificateCheck.TRUSTED
    with pytest.raises(CredSSPError, match="certificate"):
        check(new)

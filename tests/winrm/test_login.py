"""The legs of both roles, without HTTP."""

from __future__ import annotations

import base64

import pytest

from credssp import (
    LocalProtocolError,
    NTHashCredentials,
    NTStatus,
    PasswordCredentials,
    PeerRefusedError,
    PolicyError,
    ServerTLS,
    TLSAlertError,
    VersionError,
)
from credssp.config import Limits
from credssp.engine.events import Direction
from credssp.errors import LimitExceededError
from credssp.nt_hash import nt_hash
from credssp.policy import DelegationPolicy
from credssp.tls.settings import ClientTLS
from credssp.winrm import (
    ClientLogin,
    ClientSettings,
    DelegationRefusedError,
    HTTPStatusError,
    Leg,
    LoginError,
    LoginState,
    NotOfferedError,
    ServerConnection,
    check_offer,
    format_token,
)
from tests.winrm.memory import ALICE, connection, leg, log_on, login, pair


def tell(client: ClientLogin, server: ServerConnection, header: str) -> str | None:
    """Carry a leg there and back."""
    result = leg(server, header)
    return client.receive(401, [format_token(result.token)])


def advance(client: ClientLogin, server: ServerConnection, until: Leg) -> str:
    """Go on until the client is about to send a leg; returns its header."""
    header: str | None = client.start()
    while client.leg is not until:
        assert header is not None
        header = tell(client, server, header)
    assert header is not None
    return header


# Good logins


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("mechanism", ["auto", "negotiate", "ntlm"])
def test_five_legs_log_on_and_delegate(tls: str, mechanism: str) -> None:
    client, server = login(tls=tls, mechanism=mechanism), connection()
    assert len(log_on(client, server)) == 5
    assert client.ready
    assert client.leg is Leg.CREDENTIALS
    assert server.ready
    assert server.identity.username == "alice"
    assert server.identity.target_name == "HTTP/srv"
    assert server.delegated_credentials == ALICE
    assert server.version == 6


def test_spn_has_a_service_and_a_host_of_its_own() -> None:
    client, server = login(service="WSMAN", spn_host="srv.lab.test"), connection()
    log_on(client, server)
    assert server.identity.target_name == "WSMAN/srv.lab.test"


def test_policy_is_asked_about_wsman() -> None:
    allowed = DelegationPolicy.for_target("WSMAN/srv")
    log_on(login(policy=allowed), connection())
    client, server = login(policy=DelegationPolicy.for_target("HTTP/srv")), connection()
    with pytest.raises(LoginError) as caught:
        log_on(client, server)
    assert isinstance(caught.value.__cause__, PolicyError)
    assert caught.value.__cause__.spn == "WSMAN/srv"


def test_other_credentials_can_be_delegated() -> None:
    other = PasswordCredentials("svc", "pw", domain="LAB")
    client, server = login(delegated_credentials=other), connection()
    log_on(client, server)
    assert server.delegated_credentials == other


def test_nothing_is_delegated_if_not_wanted() -> None:
    client, server = login(delegate=False), connection()
    log_on(client, server)
    assert server.delegated_credentials == PasswordCredentials.empty()


def test_nt_hash_logs_on_and_delegates_an_empty_set() -> None:
    client = login(credentials=NTHashCredentials("alice", nt_hash("correct horse battery staple"), domain="LAB"))
    server = connection()
    log_on(client, server)
    assert server.delegated_credentials == PasswordCredentials.empty()


def test_observer_of_the_caller_sees_every_message() -> None:
    seen: list[Direction] = []
    log_on(login(observer=lambda direction, message, data: seen.append(direction)), connection())
    assert seen == [Direction.SENT, Direction.RECEIVED, Direction.SENT, Direction.RECEIVED, Direction.SENT]


@pytest.mark.parametrize("status", [200, 204, 400, 404, 500])
def test_last_leg_may_be_answered_by_the_application(status: int) -> None:
    client, server = login(), connection()
    leg(server, advance(client, server, Leg.CREDENTIALS))
    assert client.receive(status, []) is None
    assert client.ready


# The offer


@pytest.mark.parametrize("challenges", [[], ["Negotiate"], ["Negotiate, Kerberos", "Basic realm=x"]])
def test_a_server_without_credssp_is_named_with_what_it_offers(challenges: list[str]) -> None:
    with pytest.raises(NotOfferedError) as caught:
        check_offer(401, challenges)
    assert "Enable-WSManCredSSP" in str(caught.value)
    assert ("Negotiate" in str(caught.value)) == bool(challenges)


@pytest.mark.parametrize(("status", "advice"), [(404, "/wsman"), (407, "proxy"), (200, "wants a login")])
def test_other_statuses_say_what_to_try(status: int, advice: str) -> None:
    with pytest.raises(HTTPStatusError) as caught:
        check_offer(status, [])
    assert caught.value.http_status == status
    assert advice in str(caught.value)


def test_an_offer_passes() -> None:
    check_offer(401, ["Negotiate", "credssp"])


# Refusals


def test_wrong_password_names_leg_http_status_and_ntstatus() -> None:
    client, server = login(credentials=PasswordCredentials("alice", "wrong", domain="LAB")), connection()
    with pytest.raises(LoginError) as caught:
        log_on(client, server)
    error = caught.value
    assert (error.leg, error.http_status, error.ntstatus) == (Leg.KEY, 401, NTStatus.STATUS_LOGON_FAILURE)
    assert isinstance(error.__cause__, PeerRefusedError)
    text = str(error)
    assert "HTTP 401" in text
    assert "STATUS_LOGON_FAILURE 0xC000006D" in text
    assert "wrong" not in text.replace("wrong;", "")
    assert server.failures == 1


def test_a_refusal_of_a_version_without_error_code_is_an_alert() -> None:
    client, server = login(credentials=PasswordCredentials("alice", "wrong", domain="LAB")), connection(max_version=5)
    # A server of version 5 cannot know that the client could read an errorCode of version 6.
    with pytest.raises(LoginError) as caught:
        log_on(client, server)
    assert isinstance(caught.value.__cause__, TLSAlertError)
    assert caught.value.alert
    assert caught.value.alert in str(caught.value)


@pytest.mark.parametrize("challenges", [[], ["CredSSP"], ["Negotiate"]])
def test_a_refusal_without_a_word_is_explained(challenges: list[str]) -> None:
    client, server = login(), connection()
    advance(client, server, Leg.KEY)
    with pytest.raises(LoginError) as caught:
        client.receive(401, challenges)
    assert caught.value.leg is Leg.KEY
    assert "password is wrong" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_delegation_is_an_error_of_its_own(status: int) -> None:
    client, server = login(), connection()
    advance(client, server, Leg.CREDENTIALS)
    with pytest.raises(DelegationRefusedError) as caught:
        client.receive(status, ["CredSSP"] if status == 401 else [])
    assert (caught.value.leg, caught.value.http_status) == (Leg.CREDENTIALS, status)
    assert not client.ready


def test_error_code_behind_the_last_leg_is_read() -> None:
    client, server = login(), connection()
    header = advance(client, server, Leg.CREDENTIALS)
    assert header.startswith("CredSSP ")
    # As a server says it that cannot open authInfo.
    from credssp.wire.ts_request import TSRequest

    context = server._context
    assert context is not None
    context._channel.write(TSRequest(6, error_code=NTStatus.STATUS_ACCESS_DENIED).encode())
    token = context._channel.data_to_send()
    with pytest.raises(DelegationRefusedError) as caught:
        client.receive(401, [format_token(token)])
    assert caught.value.ntstatus == NTStatus.STATUS_ACCESS_DENIED


def test_alert_behind_the_last_leg_is_read() -> None:
    client, server = login(), connection()
    advance(client, server, Leg.CREDENTIALS)
    context = server._context
    assert context is not None
    with pytest.raises(DelegationRefusedError) as caught:
        client.receive(401, [format_token(context._channel.abort())])
    assert caught.value.alert


@pytest.mark.parametrize("status", [302, 407, 413, 431, 502, 503])
@pytest.mark.parametrize("until", [Leg.AUTHENTICATION, Leg.CREDENTIALS])
def test_other_statuses_in_the_middle_are_no_refusal(status: int, until: Leg) -> None:
    client, server = login(), connection()
    advance(client, server, until)
    with pytest.raises(HTTPStatusError) as caught:
        client.receive(status, [])
    assert (caught.value.leg, caught.value.http_status) == (until, status)


@pytest.mark.parametrize("until", [Leg.TLS, Leg.AUTHENTICATION, Leg.KEY])
def test_success_before_the_end_is_no_success(until: Leg) -> None:
    client, server = login(), connection()
    advance(client, server, until)
    with pytest.raises(LoginError, match="before the login was over"):
        client.receive(200, [])
    assert not client.ready


@pytest.mark.parametrize("challenge", ["CredSSP AQI", "CredSSP " + base64.b64encode(b"no TLS at all").decode()])
def test_a_token_that_is_none_fails_the_login(challenge: str) -> None:
    client, server = login(), connection()
    advance(client, server, Leg.AUTHENTICATION)
    with pytest.raises(LoginError) as caught:
        client.receive(401, [challenge])
    assert caught.value.leg is Leg.AUTHENTICATION


def test_a_server_with_another_key_than_its_certificate_is_refused_or_refuses() -> None:
    client, server = login(), connection()
    result = leg(server, client.start())
    assert server._context is not None
    # What a relay would have: its own certificate towards the client, the real server's key behind it.
    server._context._prepared._public_key = b"another key"
    answer = client.receive(401, [format_token(result.token)])
    with pytest.raises(LoginError) as caught:
        while answer is not None:
            answer = tell(client, server, answer)
    assert caught.value.leg is Leg.KEY
    assert not server.ready


def test_version_that_is_too_low_is_our_own_check() -> None:
    client, server = login(), connection(max_version=4, min_version=2)
    with pytest.raises(LoginError) as caught:
        log_on(client, server)
    assert isinstance(caught.value.__cause__, VersionError)


def test_tls_without_a_common_version_names_the_alert() -> None:
    client = login(settings=ClientTLS(maximum="1.2"))
    server = connection(tls=ServerTLS(minimum="1.3"))
    with pytest.raises(LoginError) as caught:
        log_on(client, server)
    assert (caught.value.leg, caught.value.alert) == (Leg.TLS, "protocol_version")


def test_a_server_that_never_ends_the_handshake_meets_a_limit() -> None:
    client = login(limits=Limits(max_legs=3))
    client.start()
    with pytest.raises(LoginError) as caught:
        for _ in range(50):
            # One byte of a TLS record at a time keeps the client waiting.
            client.receive(401, [format_token(b"\x16\x03\x03\x3f\xff" if client.legs == 1 else b"\0")])
    assert isinstance(caught.value.__cause__, LimitExceededError)


def test_legs_cannot_be_received_before_they_are_sent_or_after_the_end() -> None:
    with pytest.raises(LocalProtocolError):
        login().receive(401, [])
    client, _ = pair()
    with pytest.raises(LocalProtocolError):
        client.receive(200, [])


def test_texts_of_errors_hold_no_password() -> None:
    settings = ClientSettings(credentials=PasswordCredentials("alice", "very-secret", domain="LAB"))
    client, server = ClientLogin(settings, "srv"), connection()
    assert "very-secret" not in repr(settings)
    with pytest.raises(LoginError) as caught:
        log_on(client, server)
    assert "very-secret" not in f"{caught.value} {caught.value!r} {server!r}"


# The server


def test_token_that_is_no_tls_is_refused() -> None:
    server = connection()
    result = server.receive(b"GET / HTTP/1.1")
    assert result.error is not None
    assert server.state is LoginState.EXPECT_LOGIN
    assert server.failures == 1


def test_legs_out_of_order_are_refused() -> None:
    headers = log_on(login(), connection())
    server = connection()
    leg(server, headers[0])
    for header in reversed(headers):
        assert not leg(server, header).complete
    assert not server.ready


def test_replayed_legs_are_refused() -> None:
    server = connection()
    headers = log_on(login(), server)
    results = [leg(server, header) for header in headers]
    assert not any(result.complete for result in results)
    assert any(result.error for result in results)
    assert not server.ready


def test_a_replayed_leg_ends_the_login_that_was_there() -> None:
    _, server = pair()
    leg(server, format_token(b"\x17\x03\x03\x00\x01x"))
    assert not server.ready
    with pytest.raises(LocalProtocolError):
        _ = server.identity


def test_a_second_login_replaces_the_first() -> None:
    _, server = pair()
    client = login(credentials=PasswordCredentials("bob", "hunter2"))
    log_on(client, server)
    assert server.identity.username == "bob"


def test_empty_tokens_for_ever_meet_a_limit() -> None:
    server = connection(max_legs=3)
    results = [server.receive(b"") for _ in range(8)]
    assert isinstance(results[-1].error, LimitExceededError)


def test_octets_behind_the_last_message_are_refused() -> None:
    client, server = login(tls="1.3"), connection()
    header = advance(client, server, Leg.CREDENTIALS)
    extra = client.context.wrap(b"early")
    result = server.receive(base64.b64decode(header.split()[1]) + extra)
    assert result.error is not None
    assert not result.complete


def test_authorization_must_be_decided_first() -> None:
    client, server = login(), connection()
    assert leg(server, advance(client, server, Leg.CREDENTIALS)).complete
    assert server.state is LoginState.DECIDE
    with pytest.raises(LocalProtocolError):
        server.receive(b"")
    server.refuse()
    assert not server.ready
    with pytest.raises(LocalProtocolError):
        server.authorize()


def test_a_login_dropped_in_the_middle_of_a_step_is_no_login() -> None:
    client, server = login(), connection()
    header = advance(client, server, Leg.CREDENTIALS)
    context = server._context
    assert context is not None
    step = context.step

    def late(token: bytes) -> object:
        server.reset()  # by a deadline, in another thread
        return step(token)

    context.step = late  # type: ignore[method-assign, assignment]
    assert leg(server, header).error is not None
    assert server.state is LoginState.EXPECT_LOGIN

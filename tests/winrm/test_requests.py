"""The class for requests, over real connections."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

requests = pytest.importorskip("requests")

from credssp import (  # noqa: E402
    ClientTLS,
    LocalProtocolError,
    NTHashCredentials,
    PasswordCredentials,
    ServerTLS,
)
from credssp.drivers.winrm_asgi import Login, WinRMApplication, WinRMRequest, WinRMResponse  # noqa: E402
from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402
from credssp.errors import LimitExceededError, RemoteProtocolError  # noqa: E402
from credssp.nt_hash import nt_hash  # noqa: E402
from credssp.testing.soap import identify  # noqa: E402
from credssp.winrm import DelegationRefusedError, HTTPStatusError, Leg, LoginError, NotOfferedError  # noqa: E402
from credssp.winrm.encryption import encrypt  # noqa: E402
from tests.winrm import proxies, servers  # noqa: E402

USER = "LAB\\alice"
OFFER = "WWW-Authenticate: Negotiate, CredSSP"


def echo(request: WinRMRequest) -> WinRMResponse:
    return WinRMResponse(request.data)


@pytest.fixture
def logins() -> list[Login]:
    return []


@pytest.fixture
def app(logins: list[Login]) -> WinRMApplication:
    return servers.application(echo, on_login=logins.append)


@pytest.fixture
def url(app: WinRMApplication) -> Iterator[str]:
    with servers.running(app) as running:
        yield running


def auth(**options: Any) -> HTTPCredSSPAuth:
    return HTTPCredSSPAuth(USER, servers.PASSWORD, **options)


@pytest.fixture
def session() -> Iterator[Any]:
    with requests.Session() as made:
        made.trust_env = False
        made.auth = auth()
        yield made


def test_one_login_serves_many_requests_of_any_size(session: Any, url: str, logins: list[Login]) -> None:
    for size in (1, 16384, 16385, 300_000):
        response = session.post(url, data=b"x" * size, headers={"X-Own": "yes"})
        assert response.content == b"x" * size
        assert response.headers["Content-Length"] == str(size)
        assert response.request.headers["X-Own"] == "yes"
        assert "Authorization" not in response.request.headers
    assert len(logins) == 1


def test_history_and_elapsed_are_there(session: Any, url: str) -> None:
    response = session.post(url, data=b"x")
    assert [r.status_code for r in response.history] == [401, 401, 401, 401, 401, 200]
    assert response.elapsed.total_seconds() > 0
    assert not session.post(url, data=b"x").history


@pytest.mark.parametrize("body", ["text", bytearray(b"text"), io.BytesIO(b"text"), iter([b"te", b"xt"])])
def test_bodies_of_every_kind_are_encrypted(session: Any, url: str, body: Any) -> None:
    assert session.post(url, data=body).content == b"text"


def test_a_body_that_is_none_is_refused(session: Any, url: str) -> None:
    class Body:
        def __iter__(self) -> Any:
            return iter([object()])

    with pytest.raises(LocalProtocolError):
        session.post(url, data=Body())


def test_empty_body_logs_on_and_that_is_all(session: Any, url: str, logins: list[Login]) -> None:
    assert session.post(url).status_code == 200
    assert len(logins) == 1
    assert session.post(url).status_code == 200
    assert len(logins) == 1


def test_nothing_leaves_unencrypted(url: str) -> None:
    sent: list[bytes] = []

    class Adapter(requests.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **options: Any) -> Any:
            sent.append(request.body or b"")
            return super().send(request, **options)

    with requests.Session() as session:
        session.mount("http://", Adapter())
        session.auth = auth()
        session.post(url, data=b"<secret/>")
    assert len(sent) == 7
    assert all(not body for body in sent[:-1])
    assert b"<secret/>" not in sent[-1]


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_message_without_a_content_type_is_soap(session: Any, secure: bool, tmp_path: Path) -> None:
    seen: list[str] = []
    app = servers.application(lambda request: seen.append(request.content_type) or WinRMResponse(b"yes"))
    certificate = servers.outer_certificate(tmp_path) if secure else None
    with servers.running(app, certificate) as url:
        session.verify = str(certificate) if secure else True
        assert session.post(url, data=identify()).content == b"yes"
    assert seen == [servers.SOAP_TYPE]


def test_https_outside_and_nothing_encrypted_inside(app: WinRMApplication, session: Any, tmp_path: Path) -> None:
    certificate = servers.outer_certificate(tmp_path)
    with servers.running(app, certificate) as url:
        session.verify = str(certificate)
        response = session.post(url, data=b"hello", headers={"Content-Type": servers.SOAP_TYPE})
        assert response.content == b"hello"
        assert response.request.body == b"hello"


def test_https_outside_and_encrypted_inside(app: WinRMApplication, session: Any, tmp_path: Path) -> None:
    certificate = servers.outer_certificate(tmp_path)
    with servers.running(app, certificate) as url:
        session.verify = str(certificate)
        session.auth = auth(encryption="always")
        response = session.post(url, data=b"hello")
        assert response.content == b"hello"
        assert b"hello" not in response.request.body


def test_a_server_that_forgot_the_login_gets_another(
    session: Any, url: str, app: WinRMApplication, logins: list[Login]
) -> None:
    session.post(url, data=b"one")
    for connection in app.connections:
        connection.reset()
    response = session.post(url, data=b"two")
    assert response.content == b"two"
    # The message that could not be read, four legs and the last one, and only then the message again.
    assert [bool(r.request.body) for r in response.history] == [True, False, False, False, False, False]
    assert len(logins) == 2


def test_a_connection_that_was_closed_is_replaced(session: Any, url: str, logins: list[Login]) -> None:
    session.post(url, data=b"one")
    session.close()
    assert session.post(url, data=b"two").content == b"two"
    assert len(logins) == 2


def test_threads_that_share_a_session_get_their_own_answers(session: Any, url: str) -> None:
    answers: dict[int, bytes] = {}

    def work(number: int) -> None:
        for _ in range(3):
            answers[number] = session.post(url, data=f"{number}").content

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert set(answers.items()) <= {(0, b"0"), (1, b"1")}
    assert session.post(url, data=b"after").content == b"after"


# Proxies


def test_a_proxy_that_keeps_connections_is_fine(session: Any, url: str) -> None:
    with proxies.proxy() as (proxy, seen):
        session.proxies = {"http": proxy}
        assert session.post(url, data=b"hello").content == b"hello"
        assert session.post(url, data=b"hello").content == b"hello"
    assert seen == [f"POST {url}"] * 8


def test_a_proxy_that_closes_connections_is_named(session: Any, url: str) -> None:
    with proxies.proxy(keeps=False) as (proxy, _):
        session.proxies = {"http": proxy}
        with pytest.raises(LoginError, match="proxy"):
            session.post(url, data=b"hello")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_proxy_that_forgets_its_server_connection_is_named_with_keep_alive(
    session: Any, url: str, version: Any
) -> None:
    session.auth = auth(tls=ClientTLS(minimum=version, maximum=version))
    with proxies.proxy(forgets=True) as (proxy, _):
        session.proxies = {"http": proxy.replace("//", "//user:hunter2@")}
        with pytest.raises(LoginError) as caught:
            session.post(url, data=b"hello")
    text = str(caught.value)
    assert f"the proxy {proxy.removeprefix('http://')}" in text
    assert "keep-alive" in text
    assert "hunter2" not in text
    assert "RDP" not in text


def test_https_through_connect(app: WinRMApplication, session: Any, tmp_path: Path) -> None:
    certificate = servers.outer_certificate(tmp_path)
    with servers.running(app, certificate) as url, proxies.proxy() as (proxy, seen):
        session.proxies, session.verify = {"https": proxy}, str(certificate)
        session.auth = auth(encryption="always")
        assert session.post(url, data=b"hello").content == b"hello"
        session.close()
    assert len(seen) == 1
    assert seen[0].startswith("CONNECT")


# Refusals


def test_wrong_password_says_everything(url: str) -> None:
    with pytest.raises(LoginError) as caught:
        requests.post(url, data=b"x", auth=HTTPCredSSPAuth(USER, "very-wrong"))
    text = str(caught.value)
    assert all(part in text for part in ("HTTP 401", "STATUS_LOGON_FAILURE", "0xC000006D", "Check name"))
    assert "very-wrong" not in text
    assert "very-wrong" not in repr(HTTPCredSSPAuth(USER, "very-wrong"))


def test_refused_delegation_is_an_error_of_its_own() -> None:
    app = servers.application(echo, authorize=lambda identity, credentials: False)
    with servers.running(app) as url, pytest.raises(DelegationRefusedError) as caught:
        requests.post(url, data=b"x", auth=auth())
    assert (caught.value.leg, caught.value.http_status) == (Leg.CREDENTIALS, 403)


def test_a_server_without_credssp_is_named() -> None:
    offer = proxies.response(401, "WWW-Authenticate: Negotiate")
    with proxies.scripted(offer) as (url, _), pytest.raises(NotOfferedError, match="Negotiate"):
        requests.post(url, data=b"x", auth=auth())


def test_a_server_that_wants_no_login_does_not_get_the_message() -> None:
    always = [proxies.response(200)] * 2  # to an empty message, and to a login that it did not ask for
    with proxies.scripted(*always) as (url, seen), pytest.raises(HTTPStatusError, match="not sent"):
        requests.post(url, data=b"<secret/>", auth=auth())
    assert b"<secret/>" not in b"".join(seen)


def test_other_statuses_go_to_the_caller() -> None:
    with proxies.scripted(proxies.response(503)) as (url, _):
        assert requests.post(url, data=b"x", auth=auth()).status_code == 503


def test_a_server_that_forgets_at_once_is_named(url: str, app: WinRMApplication) -> None:
    def forget(login: Login) -> None:
        for connection in app.connections:
            connection.reset()

    app.config = dataclasses.replace(app.config, on_login=forget)
    with pytest.raises(LoginError, match="forgot the login") as caught:
        requests.post(url, data=b"x", auth=auth())
    assert caught.value.leg is Leg.MESSAGE


def test_a_redirect_to_another_server_gets_no_login(url: str, session: Any, logins: list[Login]) -> None:
    with proxies.scripted(proxies.response(307, f"Location: {url}")) as (elsewhere, _):
        assert session.post(elsewhere, data=b"").status_code == 401
    assert not logins


def test_a_hostile_body_beside_a_leg_is_not_read_to_its_end() -> None:
    body = b"x" * 100_000
    with proxies.scripted(proxies.response(401, OFFER, body=body)) as (url, _), pytest.raises(LimitExceededError):
        requests.post(url, data=b"x", auth=auth())


def test_a_response_over_the_limit_is_refused(session: Any, url: str) -> None:
    session.auth = auth(max_body=1000)
    with pytest.raises(LimitExceededError):
        session.post(url, data=b"x" * 2000)


def test_a_response_that_lies_about_its_length_is_refused(session: Any, url: str, app: WinRMApplication) -> None:
    session.post(url, data=b"one")
    (connection,) = app.connections
    original = connection.encrypt

    def lie(data: bytes, content_type: str = "") -> Any:
        sealed = original(data, content_type)
        return type(sealed)(sealed.content_type, sealed.body.replace(b"Length=3", b"Length=4"))

    connection.encrypt = lie  # type: ignore[method-assign]
    with pytest.raises(RemoteProtocolError, match="Length=4"):
        session.post(url, data=b"two")
    connection.encrypt = original  # type: ignore[method-assign]
    assert session.post(url, data=b"three").content == b"three"


# Arguments


def test_arguments_are_those_of_requests_credssp() -> None:
    credssp = pytest.importorskip("requests_credssp")
    import inspect

    theirs = list(inspect.signature(credssp.HttpCredSSPAuth).parameters)
    assert list(inspect.signature(HTTPCredSSPAuth).parameters)[: len(theirs)] == theirs


def test_old_tls_is_not_spoken() -> None:
    with pytest.warns(UserWarning, match="for a server without TLS 1.2 give tls=ClientTLS"):
        HTTPCredSSPAuth(USER, "x", disable_tlsv1_2=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HTTPCredSSPAuth(USER, "x", disable_tlsv1_2=False)


def test_encryption_is_one_of_three() -> None:
    with pytest.raises(LocalProtocolError):
        auth(encryption="sometimes")


@pytest.mark.parametrize("mechanism", ["auto", "negotiate", "ntlm"])
def test_mechanism_can_be_forced(mechanism: str, url: str, logins: list[Login]) -> None:
    requests.post(url, data=b"x", auth=HTTPCredSSPAuth(USER, servers.PASSWORD, mechanism))
    assert logins[0].identity is not None
    assert logins[0].identity.mechanism == "ntlm"


def test_spn_is_apart_from_the_transport(logins: list[Login]) -> None:
    app = servers.application(echo, on_login=logins.append, spn="WSMAN/srv.lab.test")
    with servers.running(app) as url:
        chosen = auth(service="WSMAN", spn_host="srv.lab.test")
        assert requests.post(url, data=b"x", auth=chosen).content == b"x"
        with pytest.raises(LoginError):
            requests.post(url, data=b"x", auth=auth())


def test_minimum_version_is_demanded(url: str) -> None:
    app = servers.application(echo, min_version=2, max_version=4)
    with servers.running(app) as old:
        with pytest.raises(LoginError, match="version 4"):
            requests.post(old, data=b"x", auth=auth())
        assert requests.post(old, data=b"x", auth=auth(minimum_version=2)).content == b"x"


def test_other_credentials_are_delegated_or_none(url: str, logins: list[Login]) -> None:
    other = PasswordCredentials("svc", "pw")
    requests.post(url, data=b"x", auth=auth(delegated_credentials=other))
    requests.post(url, data=b"x", auth=auth(delegate=False))
    assert [login.credentials for login in logins] == [other, PasswordCredentials.empty()]


def test_credentials_of_another_kind_are_taken(url: str, logins: list[Login]) -> None:
    chosen = HTTPCredSSPAuth(credentials=NTHashCredentials("alice", nt_hash(servers.PASSWORD), domain="LAB"))
    assert requests.post(url, data=b"x", auth=chosen).content == b"x"
    assert logins[0].credentials == PasswordCredentials.empty()


# What pywinrm and pypsrp use


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_contexts_encrypt_and_decrypt_for_callers(url: str, tls: Any, session: Any) -> None:
    chosen = session.auth = auth(tls=ClientTLS(minimum=tls, maximum=tls))
    session.post(url)
    context = chosen.contexts["127.0.0.1"]
    header, _data, padding = context.wrap_winrm(b"hello")
    assert (len(header), padding) == (17 if tls == "1.3" else 16, 0)
    assert context.tls_connection.get_cipher_name()
    live = chosen.session(url).context
    assert live is not None
    sealed = encrypt(live, b"hello")
    # The first records were never sent, so that the server's session is out of step.
    with pytest.raises(LoginError, match="send it again"):
        session.post(url, data=sealed.body, headers={"Content-Type": sealed.content_type})


def test_contexts_need_a_login(url: str) -> None:
    chosen = auth()
    chosen.session(url)
    context = chosen.contexts["127.0.0.1"]
    assert context.get_cipher_name() == ""
    for call in (context.wrap, context.unwrap, context.wrap_winrm, lambda data: context.unwrap_winrm(data, data)):
        with pytest.raises(LocalProtocolError):
            call(b"hello")


def body_of(records: bytes, size: int) -> bytes:
    return (
        b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-CredSSP-session-encrypted\r\n"
        b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n"
        b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
        % size
        + bytes(4)
        + records
        + b"--Encrypted Boundary--\r\n"
    )


def test_a_message_that_the_caller_encrypted_is_encrypted_again(session: Any, url: str, app: WinRMApplication) -> None:
    from credssp.winrm.encryption import ENCRYPTED

    session.post(url)
    context = session.auth.contexts["127.0.0.1"]
    body = body_of(context.wrap(b"hello"), 5)
    for connection in app.connections:
        connection.reset()
    response = session.post(url, data=body, headers={"Content-Type": ENCRYPTED})
    assert response.status_code == 200
    records = response.content.split(b"octet-stream\r\n")[1][4:].partition(b"--Encrypted")[0]
    assert context.unwrap(records) == b"hello"


def test_a_message_that_was_encrypted_elsewhere_cannot_be_encrypted_again(
    session: Any, url: str, app: WinRMApplication
) -> None:
    session.post(url)
    live = session.auth.session(url).context
    sealed = encrypt(live, b"hello")
    for connection in app.connections:
        connection.reset()
    with pytest.raises(LoginError, match="send it again"):
        session.post(url, data=sealed.body)


def test_what_is_remembered_is_bounded(session: Any, url: str) -> None:
    session.post(url)
    context = session.auth.contexts["127.0.0.1"]
    for _ in range(400):
        context.wrap(b"x" * 100)
    assert len(session.auth.session(url)._wrapped) <= 256


def test_a_prepared_request_can_be_sent_twice(session: Any, url: str) -> None:
    request = session.prepare_request(requests.Request("POST", url, data=b"hello"))
    assert session.send(request).content == b"hello"
    assert session.send(request).content == b"hello"


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_both_tls_versions_inside(tls: Any) -> None:
    app = servers.application(echo, tls=ServerTLS(minimum=tls, maximum=tls))
    with servers.running(app) as url:
        assert requests.post(url, data=b"x" * 50_000, auth=auth()).content == b"x" * 50_000


def test_another_auth_object_logs_on_over_a_connection_that_has_a_login(session: Any, url: str) -> None:
    bob = HTTPCredSSPAuth("bob", "hunter2", "ntlm")
    for who in (auth(), auth(), bob, auth()):
        assert session.post(url, data=b"<x/>", auth=who).content == b"<x/>"


def test_users_do_not_share_a_connection_whose_messages_are_plain(
    app: WinRMApplication, session: Any, tmp_path: Path
) -> None:
    certificate = servers.outer_certificate(tmp_path)
    session.verify = str(certificate)
    alice, bob = auth(), HTTPCredSSPAuth("bob", "hunter2", "ntlm")
    with servers.running(app, certificate) as url:
        assert session.post(url, data=b"<x/>", auth=alice).content == b"<x/>"
        with pytest.raises(HTTPStatusError, match="take a session or client for each"):
            session.post(url, data=b"<x/>", auth=bob)
        assert session.post(url, data=b"<x/>", auth=alice).content == b"<x/>"


def test_an_exchange_keeps_its_connection_to_itself(session: Any, url: str, logins: list[Login]) -> None:
    """As long as the legs are exchanged, the pool has nothing for another thread; then the connection is back."""
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=1, pool_block=True))
    session.auth = auth()
    barrier = threading.Barrier(4)

    def post(number: int) -> None:
        barrier.wait()
        assert session.post(url, data=b"<%d/>" % number, timeout=30).content == b"<%d/>" % number

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(post, range(4)))
    assert len(logins) == 1

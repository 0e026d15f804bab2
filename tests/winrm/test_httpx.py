"""The class for httpx, over real connections and over scripted ones."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx")

from credssp import ClientTLS, LocalProtocolError, PasswordCredentials  # noqa: E402
from credssp.drivers.winrm_asgi import Login, WinRMApplication, WinRMRequest, WinRMResponse  # noqa: E402
from credssp.drivers.winrm_httpx import CredSSPAuth  # noqa: E402
from credssp.errors import LimitExceededError, RemoteProtocolError  # noqa: E402
from credssp.testing.soap import identify  # noqa: E402
from credssp.winrm import DelegationRefusedError, HTTPStatusError, LoginError, NotOfferedError  # noqa: E402
from tests.winrm import proxies, servers  # noqa: E402
from tests.winrm.memory import ALICE  # noqa: E402


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


Post = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def post(request: pytest.FixtureRequest) -> Iterator[Post]:
    """A function that posts with one client, of either kind."""
    clients: list[Any] = []
    if request.param == "sync":

        def post(url: str, content: Any = b"", *, auth: Any = None, **options: Any) -> Any:
            if not clients:
                clients.append(httpx.Client(auth=auth or CredSSPAuth(ALICE), trust_env=False, **options))
            return clients[0].post(url, content=content)

        yield post
        for client in clients:
            client.close()
        return
    with asyncio.Runner() as runner:

        def post_async(url: str, content: Any = b"", *, auth: Any = None, **options: Any) -> Any:
            if not clients:
                clients.append(httpx.AsyncClient(auth=auth or CredSSPAuth(ALICE), trust_env=False, **options))
            return runner.run(clients[0].post(url, content=content))

        yield post_async
        for client in clients:
            runner.run(client.aclose())


def test_one_login_serves_many_requests_of_any_size(post: Post, url: str, logins: list[Login]) -> None:
    for size in (1, 16384, 16385, 300_000):
        response = post(url, b"x" * size)
        assert response.content == b"x" * size
        assert response.headers["Content-Length"] == str(size)
        assert response.headers["Content-Type"] == servers.SOAP_TYPE
    assert len(logins) == 1


def test_history_is_there(post: Post, url: str) -> None:
    assert [r.status_code for r in post(url, b"x").history] == [401, 401, 401, 401, 401, 200]
    assert not post(url, b"x").history


def test_empty_body_logs_on_and_that_is_all(post: Post, url: str, logins: list[Login]) -> None:
    assert post(url).status_code == 200
    assert len(logins) == 1


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_message_without_a_content_type_is_soap(post: Post, secure: bool, tmp_path: Path) -> None:
    import ssl

    seen: list[str] = []
    app = servers.application(lambda request: seen.append(request.content_type) or WinRMResponse(b"yes"))
    certificate = servers.outer_certificate(tmp_path) if secure else None
    with servers.running(app, certificate) as url:
        verify = ssl.create_default_context(cafile=str(certificate)) if secure else True
        assert post(url, identify(), verify=verify).content == b"yes"
    assert seen == [servers.SOAP_TYPE]


def test_https_outside(app: WinRMApplication, post: Post, tmp_path: Path) -> None:
    import ssl

    certificate = servers.outer_certificate(tmp_path)
    with servers.running(app, certificate) as url:
        context = ssl.create_default_context(cafile=str(certificate))
        response = post(url, b"hello", auth=CredSSPAuth(ALICE, encryption="always"), verify=context)
        assert response.content == b"hello"
        assert b"hello" not in response.request.content


def test_a_server_that_forgot_the_login_gets_another(
    post: Post, url: str, app: WinRMApplication, logins: list[Login]
) -> None:
    post(url, b"one")
    for connection in app.connections:
        connection.reset()
    response = post(url, b"two")
    assert response.content == b"two"
    assert [bool(r.request.content) for r in response.history] == [True, False, False, False, False, False]
    assert len(logins) == 2


def test_a_proxy_that_keeps_connections_is_fine(post: Post, url: str) -> None:
    with proxies.proxy() as (proxy, seen):
        assert post(url, b"hello", proxy=proxy).content == b"hello"
        assert post(url, b"hello").content == b"hello"
    assert seen == [f"POST {url}"] * 8


def test_a_proxy_that_closes_connections_is_named(post: Post, url: str) -> None:
    with proxies.proxy(keeps=False) as (proxy, _), pytest.raises(LoginError, match="proxy"):
        post(url, b"hello", proxy=proxy)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_proxy_that_forgets_its_server_connection_is_named_with_keep_alive(
    post: Post, url: str, version: Any
) -> None:
    settings = ClientTLS(minimum=version, maximum=version)
    with proxies.proxy(forgets=True) as (proxy, _), pytest.raises(LoginError) as caught:
        post(url, b"hello", auth=CredSSPAuth(ALICE, tls=settings), proxy=proxy.replace("//", "//user:hunter2@"))
    text = str(caught.value)
    assert f"the proxy {proxy.removeprefix('http://')}" in text
    assert "keep-alive" in text
    assert "hunter2" not in text
    assert "RDP" not in text


def test_https_through_connect_keeps_the_bindings(post: Post, tmp_path: Path) -> None:
    certificate = servers.outer_certificate(tmp_path)
    app = servers.application(echo, cbt_hardening="strict")
    with servers.running(app, certificate) as url, proxies.proxy() as (proxy, seen):
        trust = ssl.create_default_context(cafile=certificate)
        answer = post(url, b"hello", auth=CredSSPAuth(ALICE, encryption="always"), proxy=proxy, verify=trust)
        assert answer.content == b"hello"
    assert [line.partition(" ")[0] for line in seen] == ["CONNECT"]


def test_wrong_password_says_everything(post: Post, url: str) -> None:
    with pytest.raises(LoginError) as caught:
        post(url, b"x", auth=CredSSPAuth(PasswordCredentials("alice", "very-wrong", domain="LAB")))
    text = str(caught.value)
    assert all(part in text for part in ("HTTP 401", "STATUS_LOGON_FAILURE", "0xC000006D", "Check name"))
    assert "very-wrong" not in text
    # The lock is free again.
    with pytest.raises(LoginError):
        post(url, b"x")


def test_refused_delegation_is_an_error_of_its_own(post: Post) -> None:
    app = servers.application(echo, authorize=lambda identity, credentials: False)
    with servers.running(app) as url, pytest.raises(DelegationRefusedError):
        post(url, b"x")


def test_a_server_without_credssp_is_named(post: Post) -> None:
    offer = proxies.response(401, "WWW-Authenticate: Negotiate", 'WWW-Authenticate: Basic realm="x"')
    with proxies.scripted(offer) as (url, _), pytest.raises(NotOfferedError, match="Negotiate, Basic"):
        post(url, b"x")


def test_a_server_that_wants_no_login_does_not_get_the_message(post: Post) -> None:
    always = [proxies.response(200)] * 2  # to an empty message, and to a login that it did not ask for
    with proxies.scripted(*always) as (url, seen), pytest.raises(HTTPStatusError, match="not sent"):
        post(url, b"<secret/>")
    assert b"<secret/>" not in b"".join(seen)


def test_other_statuses_go_to_the_caller(post: Post) -> None:
    with proxies.scripted(proxies.response(503, body=b"later")) as (url, _):
        assert post(url, b"x").text == "later"


def test_a_redirect_to_another_server_gets_no_login(post: Post, url: str, logins: list[Login]) -> None:
    with proxies.scripted(proxies.response(307, f"Location: {url}")) as (elsewhere, _):
        assert post(elsewhere, b"", follow_redirects=True).status_code == 401
    assert not logins


def test_a_hostile_body_beside_a_leg_is_not_read_to_its_end(post: Post) -> None:
    offer = proxies.response(401, "WWW-Authenticate: CredSSP", body=b"x" * 100_000)
    with proxies.scripted(offer) as (url, _), pytest.raises(LimitExceededError):
        post(url, b"x")


def test_a_response_over_the_limit_is_refused(post: Post, url: str) -> None:
    with pytest.raises(LimitExceededError):
        post(url, b"x" * 2000, auth=CredSSPAuth(ALICE, max_body=1000))


@pytest.mark.parametrize(
    ("old", "new", "why"), [(b"Length=3", b"Length=4", "Length=4"), (b"UTF-8", b"UTF-\xe9", "OriginalContent")]
)
def test_a_response_that_lies_about_its_length_or_type_is_refused(
    post: Post, url: str, app: WinRMApplication, old: bytes, new: bytes, why: str
) -> None:
    post(url, b"one")
    (connection,) = app.connections
    original = connection.encrypt

    def lie(data: bytes, content_type: str = "") -> Any:
        sealed = original(data, content_type)
        return type(sealed)(sealed.content_type, sealed.body.replace(old, new))

    connection.encrypt = lie  # type: ignore[method-assign]
    with pytest.raises(RemoteProtocolError, match=why):
        post(url, b"two")
    connection.encrypt = original  # type: ignore[method-assign]
    assert post(url, b"three").content == b"three"


def test_tasks_that_share_a_client_wait_for_each_other(url: str, logins: list[Login]) -> None:
    async def run(auth: Any) -> None:
        async with httpx.AsyncClient(auth=auth, trust_env=False) as client:
            answers = await asyncio.gather(*(client.post(url, content=b"%d" % n) for n in range(10)))
        assert [answer.content for answer in answers] == [b"%d" % n for n in range(10)]

    auth = CredSSPAuth(ALICE)
    asyncio.run(run(auth))
    assert len(logins) == 1
    # The same object in another event loop, with the connection gone.
    asyncio.run(run(auth))
    assert len(logins) == 2


def test_options_are_those_of_the_settings(url: str, logins: list[Login]) -> None:
    auth = CredSSPAuth(
        ALICE, service="WSMAN", spn_host="srv", mechanism="ntlm", delegate=False, tls=ClientTLS(maximum="1.2")
    )
    with httpx.Client(auth=auth, trust_env=False) as client:
        assert client.post(url, content=b"x").content == b"x"
    assert logins[0].identity is not None
    assert logins[0].identity.target_name == "WSMAN/srv"
    assert logins[0].credentials == PasswordCredentials.empty()


def test_encryption_is_one_of_three() -> None:
    with pytest.raises(LocalProtocolError):
        CredSSPAuth(ALICE, encryption="sometimes")  # type: ignore[arg-type]

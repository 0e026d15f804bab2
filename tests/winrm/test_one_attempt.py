"""One attempt costs one proof, and one message is acted on once: every client over http and https."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

requests = pytest.importorskip("requests")
httpx = pytest.importorskip("httpx")

from credssp import CallbackAccounts, ClientTLS, NTStatus  # noqa: E402
from credssp.cli import main  # noqa: E402
from credssp.config import ServerLimits  # noqa: E402
from credssp.drivers.winrm import WinRMConnection  # noqa: E402
from credssp.drivers.winrm_asgi import WinRMRequest, WinRMResponse  # noqa: E402
from credssp.drivers.winrm_httpx import CredSSPAuth  # noqa: E402
from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402
from credssp.winrm import ClientLogin, HTTPStatusError, Leg, LoginError  # noqa: E402
from tests.winrm import servers  # noqa: E402

USER = "LAB\\alice"
Answer: TypeAlias = tuple[int, bytes]
Post: TypeAlias = Callable[..., Answer]
Alter: TypeAlias = Callable[[int, dict[str, str], dict[str, Any]], None]


def with_requests(url: str, body: bytes, password: str, certificate: Path | None) -> Answer:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = True if certificate is None else str(certificate)
        answer = session.post(url, data=body, auth=HTTPCredSSPAuth(USER, password), timeout=20)
        return answer.status_code, answer.content


def with_httpx(url: str, body: bytes, password: str, certificate: Path | None) -> Answer:
    verify = True if certificate is None else ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(auth=CredSSPAuth(USER, password), verify=verify, trust_env=False) as client:
        answer = client.post(url, content=body)
        return answer.status_code, answer.content


def with_httpx_async(url: str, body: bytes, password: str, certificate: Path | None) -> Answer:
    async def run() -> Answer:
        verify = True if certificate is None else ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(auth=CredSSPAuth(USER, password), verify=verify, trust_env=False) as client:
            answer = await client.post(url, content=body)
            return answer.status_code, answer.content

    return asyncio.run(run())


def with_login(url: str, body: bytes, password: str, certificate: Path | None) -> Answer:
    """As ``credssp login`` does."""
    parts = httpx.URL(url)
    https = None if certificate is None else ClientTLS(cafile=str(certificate))
    login = ClientLogin(CredSSPAuth(USER, password).config, parts.host)
    with WinRMConnection(parts.host, parts.port or 0, path=parts.path, https=https) as connection:
        connection.log_on(login)
        status, message = connection.send(login, body)
        return status, message.data


LIBRARIES = pytest.mark.parametrize("post", [with_requests, with_httpx, with_httpx_async])
CLIENTS = pytest.mark.parametrize("post", [with_requests, with_httpx, with_httpx_async, with_login])


@pytest.fixture(params=["http", "https"])
def certificate(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return servers.outer_certificate(tmp_path) if request.param == "https" else None


def echo(request: WinRMRequest) -> WinRMResponse:
    return WinRMResponse(request.data)


@CLIENTS
def test_one_wrong_password_is_judged_once_though_the_connection_ends(post: Post, certificate: Path | None) -> None:
    judged: list[str] = []
    accounts = CallbackAccounts(lambda domain, user: judged.append(user) or servers.PASSWORD)
    app = servers.application(echo, accounts=accounts, limits=ServerLimits(failures=1))
    with servers.running(app, certificate) as url, pytest.raises(LoginError) as caught:
        post(url, b"<x/>", "wrong", certificate)
    assert caught.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
    assert len(judged) == 1


@CLIENTS
def test_a_refusal_by_the_service_is_heard_once_though_the_connection_ends(
    post: Post, certificate: Path | None
) -> None:
    asked: list[None] = []
    app = servers.application(echo, authorize=lambda *_: asked.append(None), limits=ServerLimits(failures=1))
    with servers.running(app, certificate) as url, pytest.raises(LoginError) as caught:
        post(url, b"<x/>", servers.PASSWORD, certificate)
    assert (caught.value.leg, caught.value.http_status) == (Leg.CREDENTIALS, 403)
    assert len(asked) == 1


def closing(number: int, status: int) -> Alter:
    """Answer a request with a status, and end its connection with that."""

    def alter(count: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        if count == number:
            answer["status"] = status
            servers.add_header(answer, b"connection", b"close")

    return alter


@CLIENTS
@pytest.mark.parametrize("status", [400, 414, 431, 502, 504])
@pytest.mark.parametrize("leg", [1, 2, 3, 4])
def test_an_error_status_that_ends_the_connection_is_reported_at_once(post: Post, status: int, leg: int) -> None:
    app = servers.Altered(servers.application(echo), closing(1 + leg, status))
    with servers.running(app) as url, pytest.raises(HTTPStatusError) as caught:
        post(url, b"<x/>", servers.PASSWORD, None)
    assert caught.value.http_status == status
    assert len(app.requests) == 1 + leg


@CLIENTS
def test_nothing_is_started_again_after_a_proof(post: Post) -> None:
    """The answer to the proof ends the connection, so that the next leg cannot follow it."""
    judged: list[str] = []
    accounts = CallbackAccounts(lambda domain, user: judged.append(user) or servers.PASSWORD)
    app = servers.Altered(servers.application(echo, accounts=accounts), closing(5, 401))
    with servers.running(app) as url, pytest.raises(LoginError, match="connection"):
        post(url, b"<x/>", servers.PASSWORD, None)
    assert len(judged) == 1


@LIBRARIES
def test_a_connection_that_ends_before_the_proof_costs_nothing(post: Post) -> None:
    app = servers.Altered(servers.application(echo), closing(3, 401))
    with servers.running(app) as url:
        assert post(url, b"<x/>", servers.PASSWORD, None) == (200, b"<x/>")


def test_login_on_the_command_line_reports_the_refusal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    app = servers.application(echo, limits=ServerLimits(failures=1))
    with servers.running(app) as url:
        assert main(["login", url, "-u", USER]) == 1
    assert "STATUS_LOGON_FAILURE" in "".join(capsys.readouterr())


def test_probe_names_a_connection_that_ends_with_each_answer(capsys: pytest.CaptureFixture[str]) -> None:
    def close(count: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        servers.add_header(answer, b"connection", b"close")

    with servers.running(servers.Altered(servers.application(echo), close)) as url:
        assert main(["probe", url]) == 1
    assert "closed with the answer" in "".join(capsys.readouterr())


@LIBRARIES
@pytest.mark.parametrize("end", [False, True], ids=["keep-alive", "close"])
@pytest.mark.parametrize("status", [400, 409, 500, 503])
def test_a_message_that_was_acted_on_is_not_sent_again(post: Post, status: int, end: bool) -> None:
    acted: list[bytes] = []

    def act(request: WinRMRequest) -> WinRMResponse:
        acted.append(request.data)
        return WinRMResponse(b"<fault/>", status=status)

    def close(count: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        if acted and end:
            servers.add_header(answer, b"connection", b"close")

    with servers.running(servers.Altered(servers.application(act), close)) as url:
        assert post(url, b"<transfer/>", servers.PASSWORD, None) == (status, b"<fault/>")
    assert acted == [b"<transfer/>"]


@LIBRARIES
def test_a_message_that_is_always_refused_costs_one_login(post: Post) -> None:
    """The server asks for a login again after one that it took."""
    judged: list[str] = []
    accounts = CallbackAccounts(lambda domain, user: judged.append(user) or servers.PASSWORD)

    def forget(count: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        if headers.get("content-length") != "0":
            answer["status"] = 401
            servers.add_header(answer, b"www-authenticate", b"CredSSP")
            answer["headers"] = [pair for pair in answer["headers"] if pair[0] != b"content-type"]

    app = servers.Altered(servers.application(echo, accounts=accounts), forget)
    with servers.running(app) as url, pytest.raises(LoginError, match="forgot the login"):
        post(url, b"<x/>", servers.PASSWORD, None)
    assert len(judged) == 1


# Cookies (RFC 6265) and schemes


@CLIENTS
def test_cookies_of_a_leg_are_returned_with_the_next_legs_and_the_message(post: Post, certificate: Path | None) -> None:
    def set_cookies(count: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        servers.add_header(answer, b"set-cookie", b"node=%d; Path=/" % min(count, 3))
        servers.add_header(answer, b"set-cookie", b"other=x; Path=/elsewhere")
        if count == 3:
            servers.add_header(answer, b"set-cookie", b"once=; Path=/; Max-Age=0")
        elif count == 1:
            servers.add_header(answer, b"set-cookie", b"once=y; Path=/")

    app = servers.Altered(servers.application(echo), set_cookies)
    with servers.running(app, certificate) as url:
        post(url, b"<x/>", servers.PASSWORD, certificate)
    seen = [sorted(headers.get("cookie", "").split("; ")) for headers in app.requests[:6]]
    assert seen == [[""], ["node=1", "once=y"], ["node=2", "once=y"], ["node=3"], ["node=3"], ["node=3"]]


def test_cookies_of_a_caller_stay() -> None:
    app = servers.Altered(servers.application(echo), lambda _, __, a: servers.add_header(a, b"set-cookie", b"node=7"))
    with servers.running(app) as url:
        with requests.Session() as session:
            session.trust_env = False
            session.cookies.set("own", "1")
            session.post(url, data=b"<x/>", auth=HTTPCredSSPAuth(USER, servers.PASSWORD))
            assert session.cookies.get_dict() == {"own": "1", "node": "7"}
            session.post(url, data=b"<x/>", auth=HTTPCredSSPAuth(USER, servers.PASSWORD), headers={"Cookie": "a=b"})
        cookies = [headers.get("cookie") for headers in app.requests]
        assert cookies[:7] == ["own=1", *["own=1; node=7"] * 6]
        assert set(cookies[7:]) == {"a=b"}
        app.requests.clear()
        with httpx.Client(auth=CredSSPAuth(USER, servers.PASSWORD), trust_env=False) as client:
            client.cookies.set("own", "1")
            client.post(url, content=b"<x/>")
            assert dict(client.cookies) == {"own": "1", "node": "7"}
        assert [headers.get("cookie") for headers in app.requests] == ["own=1", *["own=1; node=7"] * 6]


@CLIENTS
@pytest.mark.parametrize("password", [servers.PASSWORD, "wrong"])
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_schemes_that_are_uris_are_skipped(post: Post, password: str, first: bool) -> None:
    uri = b"http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"

    def offer(count: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        if answer["status"] == 401:
            own = list(answer["headers"])
            more = [(b"www-authenticate", b"Negotiate, " + uri), (b"www-authenticate", b"X-Odd a:b c")]
            answer["headers"] = more + own if first else own + more

    with servers.running(servers.Altered(servers.application(echo), offer)) as url:
        if password == servers.PASSWORD:
            assert post(url, b"<x/>", password, None) == (200, b"<x/>")
            return
        with pytest.raises(LoginError) as caught:
            post(url, b"<x/>", password, None)
    assert caught.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE


# What a server does with a long message


@LIBRARIES
def test_a_message_that_is_too_long_gets_413(post: Post, certificate: Path | None) -> None:
    """Over https it is not encrypted inside; both ways the client gets the answer, and not a connection that broke."""
    app = servers.application(echo, limits=ServerLimits(max_body=1_000_000))
    with servers.running(app, certificate) as url:
        assert post(url, b"x" * 1_000_001, servers.PASSWORD, certificate)[0] == 413
    assert app.budget.held == 0


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("late", [False, True], ids=["first request", "message"])
def test_a_redirect_within_a_server_is_followed_with_a_login(status: int, late: bool) -> None:
    """The library decides what follows: the message, or a GET without it, which the application here refuses."""
    seen: list[bytes] = []

    def note(request: WinRMRequest) -> WinRMResponse:
        seen.append(request.data)
        return WinRMResponse(request.data)

    app = servers.application(note)

    async def redirecting(scope: Any, receive: Any, send: Any) -> None:
        size = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if scope["path"] == "/old" and (size != b"0" or not late):
            while (await receive())["more_body"]:
                pass
            moved = [(b"location", b"/wsman"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": status, "headers": moved})
            await send({"type": "http.response.body", "body": b""})
        else:
            await app({**scope, "path": "/wsman"}, receive, send)

    with servers.running(redirecting) as url, requests.Session() as session:
        session.trust_env = False
        session.auth = HTTPCredSSPAuth(USER, servers.PASSWORD)
        answer = session.post(url.replace("/wsman", "/old"), data=b"<x/>", timeout=20)
    if status in (307, 308):
        assert (answer.status_code, answer.content, seen) == (200, b"<x/>", [b"<x/>"])
    else:
        assert (answer.status_code, answer.request.method, seen) == (405, "GET", [])

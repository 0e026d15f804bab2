"""The ASGI application, without a server: every request is a call, every connection an object."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, field
from typing import Any

import pytest

from credssp import CredSSPError, LocalProtocolError, NTStatus, PasswordCredentials
from credssp.drivers.winrm_asgi import Login, WinRMApplication, WinRMLimits, WinRMRequest, WinRMResponse
from credssp.drivers.winrm_connections import CONNECTION, connection_object
from credssp.winrm import ClientLogin, ServerConnection, format_token
from credssp.winrm.encryption import ENCRYPTED, SOAP, decrypt, encrypt
from tests.winrm.memory import login
from tests.winrm.servers import ACCOUNTS, application


class Peer:
    """A TCP connection."""


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def challenges(self) -> list[str]:
        value = self.headers.get("www-authenticate")
        return [] if value is None else [value]


@dataclass
class Client:
    """Calls an application over one connection."""

    app: WinRMApplication
    peer: Any = field(default_factory=Peer)
    scheme: str = "http"

    async def post(
        self,
        body: bytes | list[bytes] = b"",
        *,
        headers: list[tuple[str, str]] | None = None,
        content_type: str | None = None,
        authorization: str | None = None,
        **scope: Any,
    ) -> Response:
        pieces = [body] if isinstance(body, bytes) else body
        messages = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
            for number, piece in enumerate(pieces)
        ]
        sent: list[Any] = []
        lines = list(headers or [])
        if content_type is not None:
            lines.append(("Content-Type", content_type))
        if authorization is not None:
            lines.append(("Authorization", authorization))

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(
            {
                "type": "http",
                "http_version": "1.1",
                "method": "POST",
                "path": "/wsman",
                "scheme": self.scheme,
                "headers": [(n.encode().lower(), v.encode("latin-1")) for n, v in lines],
                "client": ("192.0.2.1", 1234),
                "extensions": {CONNECTION: self.peer},
            }
            | scope,
            receive,
            send,
        )
        start = sent[0]
        return Response(
            start["status"], {n.decode(): v.decode() for n, v in start["headers"]}, sent[1].get("body", b"")
        )

    async def log_on(self, client: ClientLogin | None = None) -> ClientLogin:
        client = client or login()
        header: str | None = client.start()
        while header is not None:
            response = await self.post(authorization=header)
            header = client.receive(response.status, response.challenges)
        return client

    async def send(self, client: ClientLogin, data: bytes) -> Response:
        sealed = encrypt(client.context, data)
        response = await self.post(sealed.body, content_type=sealed.content_type)
        if "multipart" in response.headers.get("content-type", ""):
            opened = decrypt(client.context, response.headers["content-type"], response.body)
            response.body = opened.data
            response.headers["content-type"] = opened.content_type
        return response

    @property
    def connection(self) -> ServerConnection:
        return self.app.connections.of(self.peer)


def echo(request: WinRMRequest) -> WinRMResponse:
    name = request.identity.username.encode()
    return WinRMResponse(name + b":" + request.data)


def make(**options: Any) -> WinRMApplication:
    return application(options.pop("handler", echo), **options)


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


# What works


@pytest.mark.parametrize("size", [0, 1, 16385, 100_000])
def test_messages_of_any_size_are_answered_encrypted(size: int) -> None:
    async def test() -> None:
        client = Client(make())
        response = await client.send(await client.log_on(), bytes(size))
        assert (response.status, response.body) == (200, b"alice:" + bytes(size))
        assert response.headers["content-type"] == SOAP

    run(test())


def test_a_coroutine_function_may_handle_and_says_status_and_type() -> None:
    class Handler:
        async def __call__(self, request: WinRMRequest) -> WinRMResponse:
            assert request.content_type == SOAP
            assert request.client == ("192.0.2.1", 1234)
            assert isinstance(request.credentials, PasswordCredentials)
            return WinRMResponse(b"fault", status=500, content_type="text/xml")

    async def test() -> None:
        client = Client(make(handler=Handler()))
        response = await client.send(await client.log_on(), b"hello")
        assert (response.status, response.body, response.headers["content-type"]) == (500, b"fault", "text/xml")

    run(test())


def test_body_may_ride_on_the_last_leg() -> None:
    async def test() -> None:
        client, side = Client(make(), scheme="https"), login()
        header: str | None = side.start()
        while header is not None:
            response = await client.post(b"hello", authorization=header, content_type=SOAP)
            header = side.receive(response.status, response.challenges)
        assert (response.status, response.body) == (200, b"alice:hello")

    run(test())


def test_empty_body_after_the_login_is_answered_empty() -> None:
    async def test() -> None:
        client = Client(make())
        await client.log_on()
        assert (await client.post()).status == 200

    run(test())


def test_body_in_pieces_is_put_together() -> None:
    async def test() -> None:
        client = Client(make(), scheme="https")
        await client.log_on()
        response = await client.post([b"a", b"", b"bc"], content_type=SOAP)
        assert response.body == b"alice:abc"

    run(test())


def test_every_login_is_told() -> None:
    told: list[Login] = []

    async def test() -> None:
        app = make(on_login=told.append)
        await Client(app).log_on()
        with pytest.raises(CredSSPError):
            await Client(app).log_on(login(credentials=PasswordCredentials("alice", "wrong", domain="LAB")))

    run(test())
    good, bad = told
    assert good.identity is not None
    assert (good.identity.username, good.error, good.version, good.client) == ("alice", None, 6, ("192.0.2.1", 1234))
    assert bad.identity is None
    assert bad.error is not None
    assert bad.error.ntstatus == NTStatus.STATUS_LOGON_FAILURE


def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def listener(event: Login) -> None:
        raise ValueError("secret text")

    run(Client(make(on_login=listener)).log_on())
    assert "ValueError" in caplog.text
    assert "secret text" not in caplog.text


# Who may


@pytest.mark.parametrize("awaits", [True, False])
@pytest.mark.parametrize("verdict", [True, False, 1, None, ValueError("secret text")])
def test_only_a_plain_yes_authorizes(verdict: Any, awaits: bool, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Login] = []

    def decide(identity: Any, credentials: Any) -> Any:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def decide_later(identity: Any, credentials: Any) -> Any:
        return decide(identity, credentials)

    async def test() -> None:
        client = Client(make(authorize=decide_later if awaits else decide, on_login=told.append))
        if verdict is True:
            await client.log_on()
            return
        with pytest.raises(CredSSPError) as caught:
            await client.log_on()
        assert caught.value.http_status == 403  # type: ignore[attr-defined]
        assert not client.connection.ready
        assert told[0].error is not None
        assert told[0].error.ntstatus == NTStatus.STATUS_ACCESS_DENIED

    run(test())
    assert "secret text" not in caplog.text


# What is refused


def test_nobody_gets_in_without_a_login() -> None:
    async def test() -> None:
        client = Client(make(), scheme="https")
        for options in (
            {},
            {"body": b"hello", "content_type": SOAP},
            {"body": b"hello", "content_type": ENCRYPTED},
            {"authorization": "Basic YWxpY2U6c2VjcmV0"},
        ):
            response = await client.post(**options)  # type: ignore[arg-type]
            assert (response.status, response.challenges) == (401, ["CredSSP"])

    run(test())


def test_another_connection_does_not_have_the_login() -> None:
    async def test() -> None:
        app = make()
        first, second = Client(app, scheme="https"), Client(app, scheme="https")
        side = await first.log_on()
        sealed = encrypt(side.context, b"hello")
        assert (await second.post(sealed.body, content_type=sealed.content_type)).status == 401
        assert (await second.post(b"hello", content_type=SOAP)).status == 401
        assert (await first.post(sealed.body, content_type=sealed.content_type)).status == 200

    run(test())


def test_another_connection_cannot_go_on_with_a_login() -> None:
    async def test() -> None:
        app = make()
        first, second, side = Client(app), Client(app), login()
        header: str | None = side.start()
        for _ in range(3):
            response = await first.post(authorization=header)
            header = side.receive(response.status, response.challenges)
        stolen = await second.post(authorization=header)
        assert stolen.status == 401
        assert second.connection.failures == 1
        response = await first.post(authorization=header)
        assert side.receive(response.status, response.challenges)

    run(test())


def test_replayed_legs_are_refused_and_the_server_goes_on() -> None:
    async def test() -> None:
        app = make(limits=WinRMLimits(failures=100))
        headers: list[str] = []
        side, client = login(), Client(app)
        header: str | None = side.start()
        while header is not None:
            headers.append(header)
            response = await client.post(authorization=header)
            header = side.receive(response.status, response.challenges)
        for again in (client, Client(app)):
            for replayed in headers:
                assert (await again.post(authorization=replayed)).status == 401
            assert not again.connection.ready
        await Client(app).log_on()

    run(test())


@pytest.mark.parametrize("value", ["CredSSP AQI", "CredSSP A", "CredSSP !!!!", "CredSSP " + "A" * 200_000])
def test_headers_that_are_no_token_get_400(value: str) -> None:
    async def test() -> None:
        client = Client(make())
        response = await client.post(authorization=value)
        assert response.status == 400
        assert response.headers["connection"] == "close"
        await Client(client.app).log_on()

    run(test())


def test_two_authorization_headers_get_400() -> None:
    async def test() -> None:
        lines = [("Authorization", "CredSSP AQID"), ("Authorization", "CredSSP AQID")]
        assert (await Client(make()).post(headers=lines)).status == 400

    run(test())


def test_failed_logins_close_the_connection_after_a_few() -> None:
    async def test() -> None:
        client, no_tls = Client(make(limits=WinRMLimits(failures=2))), format_token(b"GET / HTTP/1.1")
        assert "connection" not in (await client.post(authorization=no_tls)).headers
        assert (await client.post(authorization=no_tls)).headers["connection"] == "close"

    run(test())


@pytest.mark.parametrize(
    ("scheme", "encryption", "status"),
    [
        ("http", "auto", 403),
        ("https", "auto", 200),
        ("http", "always", 403),
        ("https", "always", 403),
        ("http", "never", 200),
        ("https", "never", 200),
    ],
)
def test_unencrypted_messages(scheme: str, encryption: str, status: int) -> None:
    async def test() -> None:
        client = Client(make(encryption=encryption), scheme=scheme)
        side = await client.log_on()
        assert (await client.post(b"hello", content_type=SOAP)).status == status
        assert (await client.send(side, b"hello")).status == 200

    run(test())


@pytest.mark.parametrize("content_type", ["text/plain", "", "multipart/encrypted", "application/json"])
def test_other_content_types_get_415(content_type: str) -> None:
    async def test() -> None:
        client = Client(make(), scheme="https")
        await client.log_on()
        assert (await client.post(b"hello", content_type=content_type)).status == 415

    run(test())


def test_a_body_that_does_not_decrypt_ends_the_login_with_400() -> None:
    async def test() -> None:
        client = Client(make())
        side = await client.log_on()
        sealed = encrypt(side.context, b"hello")
        body = sealed.body.replace(b"Length=5", b"Length=6")
        response = await client.post(body, content_type=sealed.content_type)
        assert (response.status, response.headers["connection"]) == (400, "close")
        assert (await client.send(side, b"hello")).status == 401
        await client.log_on()

    run(test())


def test_tls_close_inside_a_body_gets_400() -> None:
    async def test() -> None:
        client = Client(make())
        side = await client.log_on()
        sealed = encrypt(side.context, b"hello")
        body = sealed.body.replace(b"--Encrypted Boundary--", side.context.shutdown() + b"--Encrypted Boundary--")
        assert (await client.post(body, content_type=sealed.content_type)).status == 400

    run(test())


@pytest.mark.parametrize("announced", ["1001", "9" * 5000, None])
def test_a_body_over_the_limit_gets_413(announced: str | None) -> None:
    async def test() -> None:
        client = Client(make(limits=WinRMLimits(body_size=1000)), scheme="https")
        await client.log_on()
        headers = [("Content-Length", announced)] if announced else []
        response = await client.post([b"x" * 600, b"x" * 401], headers=headers, content_type=SOAP)
        assert (response.status, response.headers["connection"]) == (413, "close")

    run(test())


@pytest.mark.parametrize(("size", "status", "close"), [(4096, 401, False), (5000, 401, False), (600_000, 413, True)])
@pytest.mark.parametrize("announced", [True, False])
def test_bodies_before_the_login_are_forgotten(size: int, status: int, close: bool, announced: bool) -> None:
    async def test() -> None:
        client = Client(make())
        headers = [("Content-Length", str(size))] if announced else []
        response = await client.post([b"x" * 4000, b"x" * (size - 4000)], headers=headers, content_type=SOAP)
        assert (response.status, "connection" in response.headers) == (status, close)
        assert client.app.budget.held == 0

    run(test())


def test_a_body_that_was_forgotten_beside_the_last_leg_gets_413() -> None:
    async def test() -> None:
        client = Client(make(encryption="never"))
        side = login()
        header: str | None = side.start()
        while (response := await client.post(b"x" * 5000, content_type=SOAP, authorization=header)).status == 401:
            header = side.receive(response.status, response.challenges)
        assert response.status == 413
        assert client.connection.ready

    run(test())


def test_all_bodies_together_have_a_budget() -> None:
    async def test() -> None:
        client = Client(make(limits=WinRMLimits(max_memory=1000), encryption="never"))
        await client.log_on()
        response = await client.post(b"x" * 1001, content_type=SOAP)
        assert (response.status, response.headers["connection"]) == (503, "close")
        assert (await client.post(b"x" * 999, content_type=SOAP)).status == 200
        assert client.app.budget.held == 0

    run(test())


def test_a_login_that_was_dropped_ends_the_connection_with_the_next_answer() -> None:
    async def test() -> None:
        client = Client(make(limits=WinRMLimits(deadline=0.02)))
        await client.post(authorization=login().start())
        await asyncio.sleep(0.1)
        assert (await client.post()).headers["connection"] == "close"

    run(test())


def test_a_body_that_does_not_come_gets_408() -> None:
    async def test() -> None:
        app = make(limits=WinRMLimits(body_timeout=0.01))
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.sleep(10)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/wsman", "headers": [], "extensions": {CONNECTION: Peer()}}
        await app(scope, receive, send)
        assert sent[0]["status"] == 408

    run(test())


def test_a_client_that_goes_away_in_a_body_is_forgotten() -> None:
    async def test() -> None:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/wsman", "headers": [], "extensions": {CONNECTION: Peer()}}
        await make()(scope, receive, send)
        assert not sent

    run(test())


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"path": "/"}, 404),
        ({"path": "/wsman/x"}, 404),
        ({"path": "/wsman/"}, 401),
        ({"path": "/WSMan"}, 401),
        ({"path": "http://srv.lab.test:5985/wsman"}, 401),
        ({"path": "HTTPS://srv/WSMAN/"}, 401),
        ({"path": "http://srv"}, 404),
        ({"path": "http://wsman"}, 404),
        ({"path": "ftp://srv/wsman"}, 404),
        ({"method": "GET"}, 405),
        ({"http_version": "2"}, 400),
        ({"extensions": {}}, 500),
        ({"extensions": None}, 500),
        ({"headers": [("a", "b")] * 101}, 431),
    ],
)
def test_requests_that_cannot_be_meant(scope: dict[str, Any], status: int) -> None:
    async def test() -> None:
        client = Client(make())
        assert (await client.post(**scope)).status == status

    run(test())


def test_an_unknown_server_is_complained_about_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        client = Client(make())
        for _ in range(2):
            await client.post(extensions={})

    run(test())
    assert len([r for r in caplog.records if "does not identify connections" in r.message]) == 1


def test_a_handler_that_fails_gets_500_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    def handler(request: WinRMRequest) -> WinRMResponse:
        raise ValueError("secret text")

    async def test() -> None:
        client = Client(make(handler=handler))
        side = await client.log_on()
        assert (await client.send(side, b"hello")).status == 500

    run(test())
    assert "ValueError" in caplog.text
    assert "secret text" not in caplog.text


def test_a_login_that_ends_while_the_handler_works_is_not_answered() -> None:
    async def test() -> None:
        def handler(request: WinRMRequest) -> WinRMResponse:
            client.connection.reset()
            return WinRMResponse(b"late")

        client = Client(make(handler=handler))
        side = await client.log_on()
        assert (await client.send(side, b"hello")).status == 400

    run(test())


# What it costs


def test_what_is_kept_goes_with_the_connection() -> None:
    async def test() -> None:
        app = make()
        client = Client(app)
        await client.log_on()
        assert len(app.connections) == 1
        client.peer = None
        gc.collect()
        assert len(app.connections) == 0

    run(test())


def test_half_open_logins_are_bounded_and_the_oldest_goes_first() -> None:
    async def test() -> None:
        app = make(limits=WinRMLimits(half_open=2))
        clients = [Client(app) for _ in range(3)]
        sides = [login() for _ in clients]
        headers = []
        for client, side in zip(clients, sides, strict=True):
            response = await client.post(authorization=side.start())
            headers.append(side.receive(response.status, response.challenges))
        assert app.connections.half_open == 2
        assert [bool(client.connection._context) for client in clients] == [False, True, True]
        response = await clients[2].post(authorization=headers[2])
        assert sides[2].receive(response.status, response.challenges)

    run(test())


def test_a_login_that_takes_too_long_is_dropped() -> None:
    async def test() -> None:
        client = Client(make(limits=WinRMLimits(deadline=0.02)))
        await client.post(authorization=login().start())
        assert client.app.connections.half_open == 1
        await asyncio.sleep(0.1)
        assert client.app.connections.half_open == 0
        assert client.connection._context is None

    run(test())


def test_a_login_that_is_done_has_no_deadline() -> None:
    async def test() -> None:
        client = Client(make(limits=WinRMLimits(deadline=5)))
        await client.log_on()
        assert client.app.connections.half_open == 0
        assert [c.ready for c in client.app.connections] == [True]

    run(test())


# Settings and the server around


def test_lifespan_is_answered() -> None:
    async def test() -> list[str]:
        incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent: list[Any] = []

        async def receive() -> Any:
            return incoming.pop(0)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await make()({"type": "lifespan"}, receive, send)
        return sent

    assert run(test()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_websockets_are_not_spoken() -> None:
    with pytest.raises(LocalProtocolError):
        run(make()({"type": "websocket"}, None, None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"encryption": "sometimes"},
        {"half_open": 0},
        {"certificate": "/nonexistent"},
        {"min_version": 7},
    ],
)
def test_settings_that_make_no_sense_show_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        WinRMApplication(echo, accounts=ACCOUNTS, **options)


def test_objects_of_unknown_servers_are_not_taken_for_connections() -> None:
    class Fake:
        transport = object()

        async def receive(self) -> None: ...

        async def send(self) -> None: ...

    fake = Fake()
    assert connection_object({}, fake.receive, fake.send) is None
    assert connection_object({}, None, None) is None

"""Both sides of a login without HTTP."""

from __future__ import annotations

from typing import Any

from credssp import ClientTLS, PasswordCredentials, ServerTLS
from credssp.winrm import ClientLogin, ClientSettings, ServerConnection, format_token, request_token
from credssp.winrm.server import LegAnswer
from tests.winrm.servers import ACCOUNTS, DOMAIN, PASSWORD, USER

ALICE = PasswordCredentials(USER, PASSWORD, domain=DOMAIN)


def login(tls: str | None = None, settings: ClientTLS | None = None, **options: Any) -> ClientLogin:
    if tls is not None:
        settings = ClientTLS(minimum=tls, maximum=tls)  # type: ignore[arg-type]
    return ClientLogin(ClientSettings(**({"credentials": ALICE, "tls": settings} | options)), "srv")


def connection(**options: Any) -> ServerConnection:
    return ServerConnection(accounts=ACCOUNTS, **options)


def leg(server: ServerConnection, header: str) -> LegAnswer:
    token = request_token([header])
    assert token is not None
    return server.receive(token)


def log_on(client: ClientLogin, server: ServerConnection) -> list[str]:
    """Run all legs; returns the client's headers."""
    headers = [client.start()]
    while True:
        result = leg(server, headers[-1])
        if result.complete:
            server.authorize()
            assert client.receive(200, []) is None
            return headers
        header = client.receive(401, [format_token(result.token)])
        assert header is not None
        headers.append(header)


def pair(**options: Any) -> tuple[ClientLogin, ServerConnection]:
    """Return two sides that are done."""
    settings = options.get("settings")
    tls = None if settings is None else ServerTLS(ciphers=settings.ciphers)
    client, server = login(**options), connection(tls=tls)
    log_on(client, server)
    return client, server

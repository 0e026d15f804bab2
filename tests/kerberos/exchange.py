"""A login between two contexts in memory, to its good or bad end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from credssp import ClientContext, CredSSPError, LogonCredentials, MemoryAccounts, ServerContext
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.engine import ServerEngine
from credssp.wire.ts_request import TSRequest

TARGET = "TERMSRV/localhost"


@dataclass
class Outcome:
    """How it ended; an error of each side, or None."""

    client_error: CredSSPError | None = None
    server_error: CredSSPError | None = None


def log_on(client: ClientContext, server: ServerContext) -> Outcome:
    """Exchange tokens until both are complete or one fails, and tell the other what was sent on the way out."""
    outcome = Outcome()
    try:
        token = client.step().token
    except CredSSPError as error:
        outcome.client_error = error
        return outcome
    while True:
        try:
            token = server.step(token).token
        except CredSSPError as error:
            outcome.server_error = error
            token = error.token
        if client.complete:
            return outcome
        try:
            token = client.step(token).token
        except CredSSPError as error:
            outcome.client_error = error
            return outcome


class Watch:
    """An observer that keeps the messages one side sent and received, decoded."""

    def __init__(self) -> None:
        self.messages: list[TSRequest] = []

    def __call__(self, direction: Any, message: TSRequest, data: bytes) -> None:
        self.messages.append(message)

    @property
    def first_token(self) -> bytes:
        tokens = self.messages[0].nego_tokens
        assert tokens
        return tokens[0]


def present(token: bytes, **arguments: Any) -> tuple[CredSSPError | None, int | None]:
    """Give a server a client's first token; return its error, and the errorCode that the client gets."""
    engine = ServerEngine(create_acceptor(MemoryAccounts({}), **arguments), public_key=b"key")
    try:
        engine.receive(TSRequest(6, nego_tokens=(token,)).encode())
    except CredSSPError as error:
        return error, TSRequest.decode(error.token).error_code
    return None, None


def first_token(credentials: LogonCredentials, *, target_name: str = TARGET) -> bytes:
    """Return an AP-REQ in SPNEGO."""
    token = create_initiator(credentials, target_name=target_name, mechanism="kerberos").step(None)
    assert token
    return token

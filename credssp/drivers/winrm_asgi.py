"""A WinRM server as an ASGI application, for uvicorn and hypercorn.

::

    from credssp import MemoryAccounts
    from credssp.drivers.winrm_asgi import WinRMApplication, WinRMRequest, WinRMResponse

    def handle(request: WinRMRequest) -> WinRMResponse:
        return WinRMResponse(b"<soap/>")

    app = WinRMApplication(handle, accounts=MemoryAccounts({("LAB", "alice"): "secret"}))

A login counts for one TCP connection (`credssp.drivers.winrm_connections`), so the application must be the end of it:
no proxy in front that shares connections among clients. Workers need nothing in common.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, Unpack

from credssp.config import ServerConfig, ServerLimits, WinRMServiceOptions, server_config
from credssp.context.server import loaded_once
from credssp.drivers._winrm_http import Budget, Call, Disconnected, HTTPAnswer, HTTPRefusal, Receive, Scope, Sender
from credssp.drivers.authorization import AuthorizationRequest, Authorizer
from credssp.drivers.faults import fault
from credssp.drivers.gate import Gate
from credssp.drivers.guard import Guard
from credssp.drivers.handshake import DeadlineError
from credssp.drivers.winrm_connections import Connections, HTTPConnection, connection_object
from credssp.drivers.winrm_outcomes import CloseObserver, ConnectionClosed, Login, LoginObserver, Outcomes
from credssp.errors import AuthenticationError, CredSSPError, LocalProtocolError, PeerClosedError
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.status import NTStatus
from credssp.winrm.encryption import ContentType
from credssp.winrm.handler import Handler, WinRMRequest, WinRMResponse
from credssp.winrm.header import format_token, request_token
from credssp.winrm.server import LoginState
from credssp.winrm.session import encrypts

__all__ = [
    "CloseObserver",
    "ConnectionClosed",
    "Login",
    "LoginObserver",
    "WinRMApplication",
    "WinRMLimits",
    "WinRMRequest",
    "WinRMResponse",
]

logger = logging.getLogger("credssp.winrm")

_A = TypeVar("_A")
_R = TypeVar("_R")

_DISCARD: Final = 4
"""What is read of a message that is too long, in multiples of what it may have, so that its user gets 413."""

_MAX_HEADERS: Final = 100
_LOGIN_THREADS: Final = 16
"""A leg is some milliseconds of CPU, unless an account store or a KDC is slow."""

_PLAIN_TYPES: Final = frozenset({"application/soap+xml", "text/xml", "application/xml"})


WinRMLimits = ServerLimits
"""The name of release 0.1.0."""


class WinRMApplication:
    """Lets clients log on over HTTP and hands their messages to a handler.

    Attributes:
        config: the options; the certificate is loaded once and for all.
        connections: the connections, with how far their logins are.
        gate: failures, and who may connect where `credssp.drivers.winrm_serving` listens.
        budget: what all bodies may hold.
        heads: the same of headers that are not complete.
        outcomes: tells what becomes of logins and connections.
    """

    def __init__(
        self, handler: Handler, *, config: ServerConfig | None = None, **options: Unpack[WinRMServiceOptions]
    ) -> None:
        """Prepare.

        Args:
            handler: answers messages; a coroutine function is awaited, a function is called in a thread: at most
                `Limits.handlers` at one time, and never one that logins need.
            config: the options; None for the defaults.
            options: fields of `credssp.ServerConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError, TypeError: settings that make no sense, or a certificate that cannot be used.
        """
        config = server_config("WinRMApplication", WinRMServiceOptions, config, options)
        self.config = loaded_once(config)
        self.gate = Gate(config.limits)
        self.budget = Budget(config.limits.max_memory)
        self.heads = Budget(config.limits.max_memory // 4)
        self._guard = Guard(self.config, self.gate)
        self._authorizer = Authorizer(self.config.authorize)
        self._guarded = self._guard.guarded(self.config)
        self.outcomes = Outcomes(lambda: self.config, self._guard)
        self._handler = handler
        self._complained = False
        # Whatever is wrong with the settings shows now and not when the first client comes.
        self._make(None).receive(b"")
        limits = config.limits
        # Not the event loop's own executor, which slow handlers would fill: logins have another one.
        self._handlers = ThreadPoolExecutor(limits.handlers, "credssp handler")
        self._logins = ThreadPoolExecutor(_LOGIN_THREADS, "credssp login")
        self.connections = Connections(
            self._make,
            half_open=limits.half_open,
            deadline=limits.deadline,
            failed=self.outcomes.failed,
            closed=self.outcomes.closed,
        )

    def _make(self, key: object) -> HTTPConnection:
        config = self._guarded
        bindings = getattr(key, "channel_bindings", None)  # of the certificate that this connection has
        if bindings is not None and config.channel_bindings is None:
            hardening = config.cbt_hardening or "relaxed"
            config = dataclasses.replace(config, channel_bindings=bindings, cbt_hardening=hardening)
        return HTTPConnection(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Sender) -> None:
        """Serve; called by the ASGI server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise LocalProtocolError(f"this application accepts HTTP, not {scope['type']}")
        call, key = Call(scope, receive), connection_object(scope, receive, send)
        try:
            answer = await self._serve(call, key)
        except HTTPRefusal as refusal:
            answer = refusal.answer
        except Disconnected:
            return
        finally:
            self.budget.give_back(call.held)
        tell = getattr(key, "note_login", None)
        if tell is not None:
            tell(self.connections.of(key))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers()})
        await send({"type": "http.response.body", "body": answer.body})

    async def _lifespan(self, receive: Receive, send: Sender) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.connections.shut_down()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _serve(self, call: Call, key: object | None) -> HTTPAnswer:
        if len(call.scope["headers"]) > _MAX_HEADERS:
            raise HTTPRefusal(431, f"at most {_MAX_HEADERS} headers", close=True)
        if call.scope.get("http_version", "1.1") not in ("1.0", "1.1"):
            raise HTTPRefusal(400, "a login is valid for one connection: HTTP/1.1 is needed", close=True)
        if key is None:
            if not self._complained:
                self._complained = True
                logger.error("this ASGI server does not identify connections: see credssp.drivers.winrm_connections")
            raise HTTPRefusal(500, "the server is not set up for CredSSP", close=True)
        if "content-length" in call.headers and "transfer-encoding" in call.headers:
            raise HTTPRefusal(400, "Content-Length and Transfer-Encoding in one request", close=True)
        limits, connection = self.config.limits, self.connections.of(key)
        if connection.lost is not None:
            raise Disconnected
        connection.client = call.client
        if call.forwarded() and not self.config.allow_proxies:
            raise HTTPRefusal(403, "requests through a proxy are not taken here", close=True)
        stranger = not connection.ready or "authorization" in call.headers
        max_size = min(limits.max_discard, limits.max_body) if stranger else limits.max_body
        body = await call.body(
            keep=limits.max_body_before_login if stranger else limits.max_body,
            max_size=max_size,
            discard=max_size if stranger else _DISCARD * max_size,
            timeout=limits.body_timeout,
            budget=self.budget,
        )
        if call.path() != self.config.path.rstrip("/").lower():
            raise HTTPRefusal(404, f"the path of the service is {self.config.path}")
        if call.scope["method"] != "POST":
            raise HTTPRefusal(405, "only POST")
        try:
            token = request_token(call.headers.get("authorization", ()))
        except CredSSPError as error:
            connection.refuse()
            self.connections.note(connection)
            connection.pending = True
            self.outcomes.failed(connection, error)
            raise HTTPRefusal(400, error.message, close=True) from None
        if token is not None:
            answer = await self._leg(connection, token)
            if answer is not None or not (body or call.truncated):
                return answer or HTTPAnswer(200)
        if not connection.ready:
            return HTTPAnswer(401, challenge=format_token(b""), close=self.connections.is_expired(connection))
        if call.truncated:
            raise HTTPRefusal(413, f"at most {limits.max_body_before_login} bytes before the login")
        return await self._message(call, connection, body) if body else HTTPAnswer(200)

    # The login

    async def _leg(self, connection: HTTPConnection, token: bytes) -> HTTPAnswer | None:
        """Take a leg; returns None when the client is in."""
        connection.pending = True
        connection.busy += 1
        try:
            # In a thread: an account store may ask a database, and Kerberos its files.
            result = await _in_thread(self._logins, connection.receive, token)
            if result.question is not None:
                # In threads of its own: those of here are for everybody's logins.
                answer = await self._guard.ask_async(result.question)
                result = await _in_thread(self._logins, connection.answer, answer)
            if connection.state is LoginState.DECIDE:
                return await self._decide(connection)
            self.connections.note(connection)
            if result.error is not None:
                self.outcomes.failed(connection, result.error)
                return self._refused(401, connection, result.token)
            return HTTPAnswer(401, challenge=format_token(result.token))
        finally:
            connection.busy -= 1
            self.connections.settle(connection)

    async def _decide(self, connection: HTTPConnection) -> HTTPAnswer | None:
        identity, credentials, facts = connection.identity, connection.delegated_credentials, connection.facts
        login = Login(connection.client, identity, credentials, version=facts.version, id=connection.id, facts=facts)
        error: CredSSPError | None = None
        if not await self._is_authorized(connection):
            error = _not_authorized()
        elif connection.lost is not None:
            error = PeerClosedError("the client closed the connection before its authorization was decided")
        elif connection.state is not LoginState.DECIDE:
            error = DeadlineError("the login was dropped before its authorization was decided")
        if error is None:
            connection.authorize()
        else:
            connection.refuse()
        self.connections.note(connection)
        self.outcomes.tell(connection, dataclasses.replace(login, error=error))
        return None if error is None else self._refused(403, connection, b"")

    async def _is_authorized(self, connection: HTTPConnection) -> bool:
        result = self._authorizer.ask(
            AuthorizationRequest(
                identity=connection.identity, credentials=connection.delegated_credentials, peer=connection.client
            )
        )
        if not isinstance(result, EarlyUserAuthorization):
            result = await result
        return result is EarlyUserAuthorization.AUTHZ_SUCCESS

    def _refused(self, status: int, connection: HTTPConnection, token: bytes) -> HTTPAnswer:
        challenge = format_token(token) if status == 401 else None
        return HTTPAnswer(status, challenge=challenge, close=connection.failures >= self.config.limits.failures)

    # Messages

    async def _message(self, call: Call, connection: HTTPConnection, body: bytes) -> HTTPAnswer:
        content_type = call.header("content-type")
        parsed = ContentType.parse(content_type)
        encrypted = parsed.boundary is not None
        if encrypted:
            try:
                message = connection.decrypt(parsed, body)
            except CredSSPError as error:
                raise HTTPRefusal(400, error.message, close=True) from None
            data, content_type = message.data, message.content_type
        else:
            if connection.encrypted:
                # Whoever shares this connection with the client, at a proxy or as a man in the middle, has no key.
                raise HTTPRefusal(403, "messages of this connection are encrypted", close=True)
            if encrypts(self.config.encryption, call.scope.get("scheme", "http")):
                raise HTTPRefusal(403, "unencrypted messages are not accepted")
            if parsed.media not in _PLAIN_TYPES:
                raise HTTPRefusal(415, "the content type must be application/soap+xml, or encrypted with CredSSP")
            data = body
        request = WinRMRequest(connection.identity, connection.delegated_credentials, data, content_type, call.client)
        response = await self._handle(request)
        if not encrypted:
            return HTTPAnswer(response.status, response.data, response.content_type)
        try:
            sealed = connection.encrypt(response.data, response.content_type)
        except CredSSPError as error:
            raise HTTPRefusal(400, error.message, close=True) from None
        return HTTPAnswer(response.status, sealed.body, sealed.content_type)

    async def _handle(self, request: WinRMRequest) -> WinRMResponse:
        try:
            if inspect.iscoroutinefunction(self._handler) or inspect.iscoroutinefunction(
                getattr(self._handler, "__call__", None)  # noqa: B004  # an object with an async __call__
            ):
                response = self._handler(request)
            else:
                response = await _in_thread(self._handlers, self._handler, request)
            return await response if inspect.isawaitable(response) else response
        except Exception as error:  # noqa: BLE001  # by its kind alone, as for authorize
            logger.error("the handler failed %s", fault(error))
            raise HTTPRefusal(500, "the handler failed", close=True) from None


def _in_thread(executor: ThreadPoolExecutor, work: Callable[[_A], _R], argument: _A) -> asyncio.Future[_R]:
    """Call a function in an executor, with the context variables of here as `asyncio.to_thread` does."""
    context = contextvars.copy_context()
    return asyncio.get_running_loop().run_in_executor(executor, lambda: context.run(work, argument))


def _not_authorized() -> CredSSPError:
    return AuthenticationError(
        "the user was authenticated, but is not authorized to use the service",
        ntstatus=NTStatus.STATUS_ACCESS_DENIED,
    )

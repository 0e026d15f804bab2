"""A server's side of one TCP connection ([MS-WSMV] 3.1.4.1.28), without any HTTP library.

================  ===============================================================================================
state             what is taken
================  ===============================================================================================
EXPECT_LOGIN      a token: a new login begins. Anything else: 401 that offers CredSSP
EXPECT_LEG        the next token; `max_legs` of them, then the login is dropped
AWAIT_ANSWER      nothing: the owner asks a logon authority and calls `answer`
DECIDE            nothing: the owner calls `authorize` or `refuse`
READY             messages, decrypted and encrypted with this connection's TLS session. A token begins a new login,
                  and what was set up is gone whether that works out or not
================  ===============================================================================================

A failure of any kind leads to EXPECT_LOGIN: nothing of a login that failed can be used again.
"""

from __future__ import annotations

import dataclasses
import enum
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, Unpack

from credssp.authority import LogonAnswer, LogonQuestion
from credssp.config import ServerConfig, WinRMConnectionOptions, server_config
from credssp.context import ServerContext, StepResult
from credssp.credentials import DelegatedCredentials
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError, RemoteProtocolError
from credssp.identity import Identity
from credssp.tls.settings import ServerTLS
from credssp.winrm.encryption import SOAP, ContentType, Encrypted, Plaintext, decrypt, encrypt

__all__ = ["ExchangeFacts", "LegAnswer", "LoginState", "ServerConnection"]

T = TypeVar("T")


class LoginState(enum.Enum):
    """How far a connection is."""

    EXPECT_LOGIN = "expect a login"
    EXPECT_LEG = "expect the next leg"
    AWAIT_ANSWER = "await the answer of the logon authority"
    DECIDE = "decide about the authorisation"
    READY = "ready for messages"


@dataclass(frozen=True, slots=True)
class LegAnswer:
    """What a leg came to.

    Attributes:
        token: what goes back, with HTTP 401 as long as `complete` is False; may be empty.
        complete: whether the client is authenticated and its credentials are here.
        error: why the login failed, or None.
        question: what a logon authority has to be asked, or None; nothing goes back before `answer` was called.
    """

    token: bytes = field(repr=False)
    complete: bool = False
    error: CredSSPError | None = None
    question: LogonQuestion | None = None


@dataclass(frozen=True, slots=True)
class ExchangeFacts:
    """What was negotiated in a login, as far as it came.

    Attributes:
        version: the CredSSP version that was used, or None.
        peer_version: the version that the client says it has, or None.
        tls: the TLS version inside CredSSP, or an empty string.
        cipher: its cipher suite in OpenSSL's spelling, or an empty string.
    """

    version: int | None = None
    peer_version: int | None = None
    tls: str = ""
    cipher: str = ""


class ServerConnection:
    """One TCP connection.

    Attributes:
        config: the options.
        id: the same for all events of this connection, and of no other.
        state: how far it is.
        failures: how many logins failed on it.
        encrypted: whether a message of this login was encrypted: no other may come in plaintext then.
    """

    def __init__(self, *, config: ServerConfig | None = None, **options: Unpack[WinRMConnectionOptions]) -> None:
        """Prepare; a context is made when a login begins.

        Args:
            config: the options; None for the defaults.
            options: fields of `credssp.ServerConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        config = server_config("ServerConnection", WinRMConnectionOptions, config, options)
        tls = config.tls or ServerTLS()
        if not tls.tickets:
            # A session ticket answers the client's last flight of TLS 1.3: clients built on pyspnego take a token of no
            # bytes for a refusal.
            config = dataclasses.replace(config, tls=dataclasses.replace(tls, tickets=True))
        self.config = config
        self.id = secrets.token_hex(8)
        self.state = LoginState.EXPECT_LOGIN
        self.failures = 0
        self.encrypted = False
        self._context: ServerContext | None = None
        self._facts = ExchangeFacts()
        self._legs = 0

    def __repr__(self) -> str:
        return f"<ServerConnection to {self.state.value}>"

    def _make_context(self) -> ServerContext:
        return ServerContext(config=self.config)

    def receive(self, token: bytes) -> LegAnswer:
        """Take the token of a leg.

        Raises:
            LocalProtocolError: the authorisation is to be decided first, or a question to be answered.
        """
        if self.state is LoginState.DECIDE:
            raise LocalProtocolError("authorize() or refuse() is due")
        if self.state is LoginState.AWAIT_ANSWER:
            raise LocalProtocolError("answer() is due")
        context = self._context
        if context is None or self.state is not LoginState.EXPECT_LEG:
            self.reset()
            context = self._context = self._make_context()
            self.state = LoginState.EXPECT_LEG
        self._legs += 1
        return self._leg(context, context.step, token)

    def answer(self, answer: LogonAnswer) -> LegAnswer:
        """Continue with the answer of a logon authority; returns as `receive`.

        Raises:
            LocalProtocolError: it is not due.
        """
        context = self._context
        if self.state is LoginState.EXPECT_LOGIN and self._legs == 0:  # a deadline passed meanwhile
            return LegAnswer(b"", error=LimitExceededError("the login took too long and was dropped"))
        if self.state is not LoginState.AWAIT_ANSWER or context is None:
            raise LocalProtocolError(f"answer() is not due: this connection is to {self.state.value}")
        self.state = LoginState.EXPECT_LEG
        return self._leg(context, context.answer, answer)

    def _leg(self, context: ServerContext, operation: Callable[[T], StepResult], argument: T) -> LegAnswer:
        try:
            if self._legs > self.config.limits.max_tokens:
                raise LimitExceededError(f"more than {self.config.limits.max_tokens} legs without an end")
            result = operation(argument)
            if self._context is not context:  # a deadline passed meanwhile, in another thread
                raise LimitExceededError("the login took too long and was dropped")
            if context.unused_data or context.peer_closed:
                raise RemoteProtocolError("bytes after the last message of the login", section="[MS-CSSP] 3.1.5")
        except CredSSPError as error:
            self._fail()
            return LegAnswer(error.token, error=error)
        if context.question is not None:
            self.state = LoginState.AWAIT_ANSWER
            return LegAnswer(result.token, question=context.question)
        if not context.complete:
            return LegAnswer(result.token)
        self.state = LoginState.DECIDE
        return LegAnswer(result.token, complete=True)

    def authorize(self) -> None:
        """Say that who logged on may use the service.

        Raises:
            LocalProtocolError: it is not due.
        """
        if self.state is not LoginState.DECIDE:
            raise LocalProtocolError(f"authorize() is not due: this connection is to {self.state.value}")
        self.state = LoginState.READY

    def refuse(self) -> None:
        """Say that who logged on may not use the service."""
        self._fail()

    def _fail(self) -> None:
        self.failures += 1
        self.reset()

    def reset(self) -> None:
        """Forget login, keys and credentials."""
        if self._context is not None:
            self._facts = self.facts
            self._context.forget_credentials()
        self._context = None
        self._legs = 0
        self.encrypted = False
        self.state = LoginState.EXPECT_LOGIN

    @property
    def facts(self) -> ExchangeFacts:
        """What was negotiated in this login, or in the last one."""
        context = self._context
        if context is None:
            return self._facts
        return ExchangeFacts(context.version, context.peer_version, context.tls_version, context.tls_cipher)

    @property
    def in_tls(self) -> bool:
        """Whether the TLS of a login is set up."""
        return self._context is not None and bool(self._context.tls_cipher)

    @property
    def under_way(self) -> bool:
        """Whether a login has begun and waits for the client's next leg."""
        return self.state is LoginState.EXPECT_LEG

    @property
    def ready(self) -> bool:
        """Whether messages can go both ways."""
        return self.state is LoginState.READY

    def _completed(self) -> ServerContext:
        if self._context is None or self.state not in {LoginState.DECIDE, LoginState.READY}:
            raise _not_logged_on()
        return self._context

    @property
    def identity(self) -> Identity:
        """Who logged on."""
        identity = self._completed().identity
        if identity is None:
            raise _not_logged_on()
        return identity

    @property
    def delegated_credentials(self) -> DelegatedCredentials:
        """What was delegated; three empty strings are an empty set."""
        credentials = self._completed().delegated_credentials
        if credentials is None:
            raise _not_logged_on()
        return credentials

    @property
    def version(self) -> int | None:
        """The CredSSP version that was used."""
        return self._completed().version

    def decrypt(self, content_type: str | ContentType, body: bytes) -> Plaintext:
        """Decrypt a request.

        Raises:
            CredSSPError: it does not decrypt; the login is gone, for the TLS session cannot go on.
        """
        context = self._completed()
        try:
            message = decrypt(context, content_type, body, max_size=self.config.limits.max_body)
            if context.peer_closed:
                raise RemoteProtocolError("the client closed the TLS session inside the login")
        except CredSSPError:
            self.reset()
            raise
        self.encrypted = True
        return message

    def encrypt(self, data: bytes, content_type: str = SOAP) -> Encrypted:
        """Encrypt a response.

        Raises:
            LocalProtocolError: no user is logged on.
        """
        return encrypt(self._completed(), data, content_type)


def _not_logged_on() -> LocalProtocolError:
    return LocalProtocolError("no user is logged on over this connection")

"""The server's context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Final, Unpack

from credssp.authority import LogonAnswer, LogonQuestion
from credssp.binding import subject_public_key
from credssp.config import ServerConfig, ServerOptions, server_config
from credssp.context.acceptor import create_acceptor
from credssp.context.exchange import Context, StepResult
from credssp.credentials import DelegatedCredentials
from credssp.engine.events import Authenticated, CredentialsReceived, Event
from credssp.engine.server import ServerEngine
from credssp.errors import LocalProtocolError
from credssp.identity import Identity
from credssp.tls.certificate import ServerCertificate, load_certificate, process_certificate
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import ServerTLS, level_of, server_context, sessionless_context
from credssp.watched_file import WatchedFile

__all__ = ["LoginFacts", "ServerContext", "certificate_of", "loaded_once"]

# Made once: nothing of it depends on the login.
_TLS: Final = ServerTLS()


@dataclass(frozen=True, slots=True)
class LoginFacts:
    """What a server knows after a login.

    Attributes:
        identity: who logged on.
        delegated_credentials: what the client delegated. Three empty strings are an empty set.
    """

    identity: Identity
    delegated_credentials: DelegatedCredentials


class ServerContext(Context):
    """The server: lets a client log on and receives its credentials.

    Attributes:
        config: the options.
        identity: who logged on, or None before the client's binding was verified.
        delegated_credentials: what the client delegated, or None before that. Three empty strings are an empty set.
    """

    def __init__(self, *, config: ServerConfig | None = None, **options: Unpack[ServerOptions]) -> None:
        """Prepare to serve one client.

        Args:
            config: the options; None for the defaults.
            options: fields of `credssp.ServerConfig`, in place of those of `config`: `accounts`, `certificate`, ...

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense, or a certificate that cannot be used.
        """
        self.config = config = server_config("ServerContext", ServerOptions, config, options)
        self._certificate = certificate_of(config)
        tls = config.tls or _TLS
        super().__init__(
            TLSChannel(
                server_context(tls, self._certificate), server_side=True, without_sessions=sessionless_context(tls)
            )
        )
        self.identity: Identity | None = None
        self.delegated_credentials: DelegatedCredentials | None = None
        # Made now, so that arguments that make no sense show here and not in the middle of a login.
        self._prepared: ServerEngine | None = self._make_engine()

    def _make_engine(self) -> ServerEngine:
        return ServerEngine(
            create_acceptor(config=self.config),
            public_key=subject_public_key(self._certificate.der),
            config=self.config,
        )

    def restart(self, config: ServerConfig | None = None) -> None:
        """Begin another exchange in the same TLS channel (`Context.restart`); the identity is unknown again.

        Args:
            config: other options than before, such as `accounts`. `certificate` and `tls` stay what they are.
        """
        super().restart()
        if config is not None:
            self.config = config
        self.identity = self.delegated_credentials = None

    def _start(self) -> ServerEngine:
        engine, self._prepared = self._prepared, None
        return self._make_engine() if engine is None else engine

    def forget_credentials(self) -> None:
        """Let go of what the client delegated: credentials, forwarded tickets, and the account that it logged on with.

        The servers of `credssp.rdp` do so when the handler of a connection ends. It is possible at any time, by any
        thread; `delegated_credentials` is None then. SECURITY.md says what freed memory may still hold.
        """
        self.delegated_credentials = None
        if self.identity is not None:
            self.identity = replace(self.identity, account=None, forwarded=None)

    @property
    def question(self) -> LogonQuestion | None:
        """What a logon authority (`ServerConfig.authority`) has to say before the exchange goes on, or None.

        `answer` is due then. What the client sends meanwhile may be given to `step`, and waits.
        """
        engine = self._engine
        return engine.question if isinstance(engine, ServerEngine) else None

    def answer(self, answer: LogonAnswer) -> StepResult:
        """Continue with the answer to `question`; returns and raises as `step`.

        Raises:
            LocalProtocolError: there is no question.
        """
        if self.question is None:
            self._check_alive()
            raise LocalProtocolError("no question waits for an answer")
        return self._move(self._answer, answer)

    def _answer(self, answer: LogonAnswer) -> StepResult:
        engine = self._engine
        assert isinstance(engine, ServerEngine)  # noqa: S101  # there was a question
        self._take(engine, engine.answer, answer)
        return self._result()

    @property
    def login(self) -> LoginFacts:
        """Who logged on, and what was delegated.

        Raises:
            LocalProtocolError: the context is not complete.
        """
        if not self.complete or self.identity is None or self.delegated_credentials is None:
            raise LocalProtocolError(
                "no client has logged on: the context is not complete"
                if not self.complete
                else "what the client delegated was forgotten (forget_credentials)"
            )
        return LoginFacts(self.identity, self.delegated_credentials)

    @property
    def client_certificate(self) -> bytes | None:
        """The client's certificate in DER, where `ServerTLS.client_ca` demands one; None before the handshake."""
        return self._channel.peer_certificate

    def _note(self, event: Event) -> None:
        if isinstance(event, Authenticated):
            self.identity = event.identity
        elif isinstance(event, CredentialsReceived):
            self.delegated_credentials = event.credentials


def certificate_of(config: ServerConfig) -> ServerCertificate:
    """Return the certificate of a configuration, loaded.

    Raises:
        LocalProtocolError: it cannot be used.
    """
    source = config.certificate
    if source is None:
        return process_certificate(level_of(config.tls or _TLS))
    return load_certificate(Path(source) if isinstance(source, str | PathLike) else source)


def loaded_once(config: ServerConfig) -> ServerConfig:
    """Return a configuration whose certificate no connection has to load, for a service; a watched one stays watched.

    Raises:
        LocalProtocolError: it cannot be used.
    """
    if isinstance(config.certificate, WatchedFile):
        return config
    return replace(config, certificate=certificate_of(config))

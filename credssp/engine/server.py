"""The server's side of the exchange ([MS-CSSP] 3.1.5)."""

from __future__ import annotations

from typing import ClassVar, NoReturn, Unpack

from credssp import binding
from credssp.authority import LogonAnswer, LogonQuestion
from credssp.config import ServerConfig, ServerOptions, server_config
from credssp.credentials import RemoteGuardCredentials, from_wire
from credssp.engine.base import Engine
from credssp.engine.events import AnswerRequired, Authenticated, CredentialsReceived, Direction, Event
from credssp.engine.state import Role, Step
from credssp.errors import BindingError, Claim, CredSSPError, LocalProtocolError, RemoteProtocolError
from credssp.kerberos.remote_guard_buffers import check_logon_buffer
from credssp.mechanism import Mechanism
from credssp.protocol_version import has_error_code, has_hashed_binding
from credssp.status import describe
from credssp.wire.ts_credentials import TSCredentials
from credssp.wire.ts_request import TSRequest

__all__ = ["ServerEngine"]


class ServerEngine(Engine):
    """Lets a client log on and receives its credentials."""

    role: ClassVar[Role] = Role.SERVER
    config: ServerConfig

    def __init__(
        self,
        mechanism: Mechanism,
        *,
        public_key: bytes,
        config: ServerConfig | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        """Prepare to serve one client.

        Args:
            mechanism: an acceptor from `credssp.context.acceptor`.
            public_key: SubjectPublicKey of the certificate of this TLS connection.
            config: the options; None for the defaults.
            options: fields of `ServerConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError: arguments that make no sense.
        """
        super().__init__(mechanism, server_config("ServerEngine", ServerOptions, config, options), public_key)

    _nonce = b""  # the client's, once it has sent one
    _held_key: bytes | None = None  # pubKeyAuth that came with the token about which somebody has to be asked

    @property
    def question(self) -> LogonQuestion | None:
        """What a logon authority has to say before the exchange goes on, or None; `answer` is due then."""
        return self.mechanism.question if self._waits else None

    def answer(self, answer: LogonAnswer) -> list[Event]:
        """Continue with the answer to `question`; returns and raises as `receive`.

        Raises:
            LocalProtocolError: there is no question.
        """
        if not self._waits:
            raise LocalProtocolError("no question waits for an answer")
        self._waits = False
        events: list[Event] = []
        try:
            key, self._held_key = self._held_key, None
            token = self.mechanism.resume(answer)
            self._advance(Step.ANSWER_GIVEN)
            self._go_on(token, key, events)
            self._consume(events)
        except CredSSPError as error:
            self._fail(error)
        return events

    def _note_nonce(self, nonce: bytes | None) -> None:
        """Hold the client to its nonce; FreeRDP sends it in every message, others only beside pubKeyAuth."""
        if nonce is None or not has_hashed_binding(self._effective):
            return
        if len(nonce) != binding.NONCE_SIZE:
            raise RemoteProtocolError(
                f"clientNonce has {len(nonce)} bytes, not {binding.NONCE_SIZE}",
                section="[MS-CSSP] 2.2.1 clientNonce",
            )
        if not self._nonce:
            self._nonce = nonce
        elif nonce != self._nonce:
            raise RemoteProtocolError("clientNonce changed in the exchange", section="[MS-CSSP] 2.2.1 clientNonce")

    def _receive_nego(self, token: bytes, events: list[Event]) -> None:
        self._go_on(self.mechanism.step(token), None, events)

    def _receive_nego_and_key(self, token: bytes, key: bytes, events: list[Event]) -> None:
        """Step 3: the client's last token and its pubKeyAuth in one message."""
        answer = None if self.mechanism.complete else self.mechanism.step(token)
        self._go_on(answer, key, events)

    def _go_on(self, answer: bytes | None, key: bytes | None, events: list[Event]) -> None:
        """Send what the mechanism answers, and look at pubKeyAuth if it is here; or ask first."""
        question, ready = self.mechanism.question, self.mechanism.can_wrap
        if question is not None:
            self._advance(Step.ASK_AUTHORITY)
            self._held_key, self._waits = key, True
            events.append(AnswerRequired(question))
        elif key is not None:
            if not ready:
                raise RemoteProtocolError(
                    "pubKeyAuth came before the mechanism is ready", section="[MS-CSSP] 3.1.5 step 3"
                )
            self._advance(Step.MECHANISM_READY)
            self._bind(key, answer, events)
        elif answer:
            step = Step.SEND_LAST_NEGO if ready else Step.SEND_NEGO
            self._send(step, TSRequest(self._own_version, nego_tokens=(answer,)), events)
        elif ready:
            self._advance(Step.WAIT_FOR_KEY)
        else:
            raise RemoteProtocolError("the mechanism has no answer and is not complete")

    def _receive_key(self, key: bytes, events: list[Event]) -> None:
        self._bind(key, None, events)

    def _bind(self, key: bytes, token: bytes | None, events: list[Event]) -> None:
        """Step 4: check the client's binding, answer with ours."""
        if has_hashed_binding(self._effective) and not self._nonce:
            raise RemoteProtocolError(
                f"pubKeyAuth of version {self._effective} without clientNonce", section="[MS-CSSP] 2.2.1 clientNonce"
            )
        who = self.mechanism.identity
        try:
            self._verify(key)
        except BindingError as error:
            if who is not None:  # authenticated, over a channel that is not this one
                error.claim = Claim(who.domain, who.username, who.workstation, who.mechanism)
            raise
        self._advance(Step.CLIENT_KEY_VERIFIED)
        events.append(Authenticated(self._effective, self.mechanism.name, self.mechanism.identity))
        answer = self.mechanism.wrap(self._own_proof())
        self._send(
            Step.SEND_NEGO_AND_KEY if token else Step.SEND_KEY,
            TSRequest(self._own_version, nego_tokens=(token,) if token else None, pub_key_auth=answer),
            events,
        )

    def _own_proof(self) -> bytes:
        """Return what this side's pubKeyAuth holds before encryption."""
        return binding.server_value(self._effective, self._nonce, self._public_key)

    def _verify(self, key: bytes) -> None:
        try:
            received = self.mechanism.unwrap(key)
        except RemoteProtocolError as error:
            raise BindingError(
                f"pubKeyAuth of the client does not open with the session key: {error.message}", status=error.status
            ) from None
        binding.verify(received, binding.client_value(self._effective, self._nonce, self._public_key), whose="client")

    def _receive_auth_info(self, auth_info: bytes, events: list[Event]) -> None:
        credentials = from_wire(TSCredentials.decode(self.mechanism.unwrap(auth_info)))
        if isinstance(credentials, RemoteGuardCredentials):
            check_logon_buffer(credentials.package_name, credentials.buffer)
            if self.mechanism.name != "kerberos":
                raise RemoteProtocolError(
                    f"Remote Credential Guard needs a login with Kerberos; this one is with {self.mechanism.name}",
                    section="[MS-CSSP] 2.2.1.2.3",
                )
        self._advance(Step.CREDENTIALS_OPENED)
        events.append(CredentialsReceived(credentials))

    def _failure_message(self, error_code: int) -> bytes:
        """Fill errorCode where the version has one; not to versions 2 and 5, whose implementations choke on it."""
        version = self.version
        if version is None or not has_error_code(version):
            return b""
        # Made from nothing: no field of the client's message is echoed.
        message = TSRequest(self._own_version, error_code=error_code)
        data = message.encode()
        if self._observer is not None:
            self._observer(Direction.SENT, message, data)
        return data

    def _peer_failed(self, error_code: int) -> NoReturn:
        raise RemoteProtocolError(f"the client gave up with errorCode {describe(error_code).summary}")

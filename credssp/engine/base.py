"""What both roles share: the state, the peer's version, messages in and out, and how an exchange fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NoReturn

from credssp.config import ClientConfig, ServerConfig
from credssp.engine.events import Direction, Event, ExchangeObserver, Send
from credssp.engine.state import INITIAL, TRANSITIONS, Role, State, Step
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError, RemoteProtocolError, VersionError
from credssp.mechanism import Mechanism
from credssp.next_step import NextStep
from credssp.policy.configured import lowest_version
from credssp.protocol_version import LOWEST_VERSION, effective_version, has_hashed_binding
from credssp.secret import forget_locals
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.ts_request import TSRequest

__all__ = ["Engine"]


class Engine(ABC):
    """One CredSSP exchange above TLS: plaintext in, events out.

    Threads: one at a time; a context sees to that.

    A failed engine stays failed. The error that `receive` raises carries in `.token` the TSRequest, if any, that must
    still go to the peer.

    Attributes:
        config: the options.
        mechanism: the inner authentication.
        peer_version: the version that the peer says it has, or None before its first message.
        version: the effective protocol version, or None before the peer's first message.
        complete: whether the exchange is over and went well.
        unused_data: what followed the last message of the exchange in the stream; it belongs to the application.
    """

    role: ClassVar[Role]
    config: ClientConfig | ServerConfig

    def __init__(self, mechanism: Mechanism, config: ClientConfig | ServerConfig, public_key: bytes) -> None:
        self.config = config
        self.mechanism = mechanism
        self.peer_version: int | None = None
        self.version: int | None = None
        self.complete = False
        self.unused_data = b""
        self._state = INITIAL[self.role]
        self._table = TRANSITIONS[self.role]
        self._public_key = public_key
        self._min_version = lowest_version(config)
        self._own_version = config.max_version
        observer = config.observer
        if observer is not None and isinstance(observer, ExchangeObserver):
            observer = observer.for_exchange(public_key)
        self._observer = observer
        self._buffer = TSRequestBuffer(config.limits.max_message_size)
        self._legs = 0
        self._waits = False

    @property
    def state(self) -> State:
        """What is awaited."""
        return self._state

    @property
    def missing(self) -> int:
        """Bytes still needed for a message that has begun; 0 between messages."""
        return self._buffer.missing if len(self._buffer) else 0

    def receive(self, data: bytes) -> list[Event]:
        """Take plaintext from the peer, split anywhere, and return what follows from it.

        Raises:
            CredSSPError: the exchange failed; `.token` holds what must still be sent. Events of messages before the
                failure are lost with it: nothing of a failed exchange counts.
        """
        if self._state is State.FAILED:
            raise LocalProtocolError("this exchange has failed already")
        if self.complete:
            self.unused_data += data
            return []
        return self._exchange(data)

    def _exchange(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        try:
            self._buffer.feed(data)
            self._consume(events)
        except CredSSPError as error:
            self._fail(error)
        return events

    def _consume(self, events: list[Event]) -> None:
        """Take the messages that are here, up to one after which somebody has to be asked."""
        while not self.complete and not self._waits and (message := self._buffer.next_message()) is not None:
            self._message(message, events)
        if self.complete:
            self.unused_data = self._buffer.take_rest()
        elif self._waits and len(self._buffer) > self.config.limits.max_message_size:
            raise LimitExceededError("the client sends on while its last message is not answered")

    def _message(self, data: bytes, events: list[Event]) -> None:
        self._legs += 1
        limits = self.config.limits
        if self._legs > limits.max_legs:
            raise LimitExceededError(f"more than {limits.max_legs} messages without an end")
        message = TSRequest.decode(data, max_size=limits.max_message_size)
        if self._observer is not None:
            self._observer(Direction.RECEIVED, message, data)
        # First of all: servers echo fields of ours beside an errorCode.
        if message.error_code is not None:
            self._advance(Step.RECV_ERROR_CODE)
            self._peer_failed(message.error_code)
        self._note_version(message.version)
        self._note_nonce(message.client_nonce)
        self._take(message, events)

    def _take(self, message: TSRequest, events: list[Event]) -> None:
        """Tell the step from the fields of a message, and act on it if it is legal now."""
        tokens, key, auth_info = message.nego_tokens, message.pub_key_auth, message.auth_info
        if auth_info is not None:
            if key is not None or tokens is not None:
                raise RemoteProtocolError(
                    "authInfo together with negoTokens or pubKeyAuth in one TSRequest",
                    section="[MS-CSSP] 3.1.5 step 5",
                )
            self._advance(Step.RECV_AUTH_INFO)
            self._receive_auth_info(auth_info, events)
        elif tokens is not None:
            if not tokens:
                raise RemoteProtocolError("negoTokens is there but holds no token", section="[MS-CSSP] 2.2.1.1")
            if key is None:
                self._advance(Step.RECV_NEGO)
                self._receive_nego(tokens[0], events)
            else:
                self._advance(Step.RECV_NEGO_AND_KEY)
                self._receive_nego_and_key(tokens[0], key, events)
        elif key is not None:
            self._advance(Step.RECV_KEY)
            self._receive_key(key, events)
        else:
            raise RemoteProtocolError(
                "a TSRequest without negoTokens, pubKeyAuth, authInfo or errorCode", section="[MS-CSSP] 2.2.1"
            )

    @abstractmethod
    def _receive_nego(self, token: bytes, events: list[Event]) -> None:
        """Act on negoTokens, which are legal now."""

    @abstractmethod
    def _receive_nego_and_key(self, token: bytes, key: bytes, events: list[Event]) -> None:
        """Act on negoTokens and pubKeyAuth in one message."""

    @abstractmethod
    def _receive_key(self, key: bytes, events: list[Event]) -> None:
        """Act on pubKeyAuth."""

    @abstractmethod
    def _receive_auth_info(self, auth_info: bytes, events: list[Event]) -> None:
        """Act on authInfo."""

    @abstractmethod
    def _note_nonce(self, nonce: bytes | None) -> None:
        """Look at clientNonce, with which any message may come."""

    @abstractmethod
    def _peer_failed(self, error_code: int) -> NoReturn:
        """Raise what the peer's errorCode means on this side."""

    def _failure_message(self, error_code: int) -> bytes:  # noqa: ARG002  # a client has none
        """Return the TSRequest that tells the peer, or nothing."""
        return b""

    def _fail(self, error: CredSSPError) -> NoReturn:
        forget_locals(error)  # keys, and what was opened with them
        self._waits = False
        if self._state is not State.FAILED:
            self._advance(Step.FAIL)
            error.token = self._failure_message(error.error_code)
        raise error

    def _advance(self, step: Step) -> None:
        following = self._table[self._state].get(step)
        if following is None:
            if step.name.startswith("RECV"):
                raise RemoteProtocolError(
                    f"the peer sent a message out of order: no step {step.value!r} from state {self._state.value!r}",
                    section="[MS-CSSP] 3.1.5",
                )
            raise LocalProtocolError(f"there is no step {step.value!r} from state {self._state.value!r}")
        self._state = following
        self.complete = following is State.COMPLETE

    def _note_version(self, version: int) -> None:
        """Remember the peer's version, which may be higher than ours but must not change ([MS-CSSP] 2.2.1)."""
        if self.peer_version is None:
            self.peer_version = version
            self.version = effective = effective_version(self._own_version, version)
            if version < LOWEST_VERSION:
                raise VersionError(f"the peer says CredSSP version {version}, which does not exist")
            if effective < self._min_version:
                hint = "" if has_hashed_binding(effective) else ", which is open to CVE-2018-0886"
                raise VersionError(
                    f"the peer speaks CredSSP version {version}{hint}; at least {self._min_version} is demanded "
                    "(min_version, or the encryption-oracle policy, can allow it)",
                    section="[MS-CSSP] 3.1.5",
                    advice=NextStep.VERSION_OLD,
                )
        elif version != self.peer_version:
            raise VersionError(
                f"the peer changed its CredSSP version from {self.peer_version} to {version} in the exchange",
                section="[MS-CSSP] 2.2.1",
            )

    @property
    def _effective(self) -> int:
        version = self.version
        if version is None:  # pragma: no cover  # every caller runs after a message of the peer
            raise LocalProtocolError("the peer's version is not known yet")
        return version

    def _send(self, step: Step, message: TSRequest, events: list[Event]) -> None:
        data = message.encode()
        self._advance(step)
        if self._observer is not None:
            self._observer(Direction.SENT, message, data)
        events.append(Send(data))

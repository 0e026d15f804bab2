"""What both roles share: the exchange in steps, application data after it, and how both of them fail."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from credssp._quick_init import quick_init
from credssp.context.tls_facts import TLSFacts
from credssp.engine.driven import DrivenEngine
from credssp.engine.events import Event, Send
from credssp.errors import CredSSPError, LocalProtocolError, PeerClosedError, PeerRefusedError, TLSError
from credssp.secret import forget_locals
from credssp.status import SecurityStatus
from credssp.tls.channel import TLSChannel

__all__ = ["Context", "StepResult"]

T = TypeVar("T")


@quick_init
@dataclass(frozen=True, slots=True)
class StepResult:
    """What one call of `step` came to.

    Attributes:
        status: SEC_E_OK, the context is complete; SEC_I_CONTINUE_NEEDED, the peer's next token is needed;
            SEC_E_INCOMPLETE_MESSAGE, the input ended inside a TLS record or a TSRequest, and more of it is needed.
        token: bytes that must go to the peer, with every status; may be empty.
    """

    status: SecurityStatus
    token: bytes = field(repr=False)


class Context(TLSFacts, ABC):
    """What both roles share.

    Threads: one at a time moves the exchange on (`step`, `restart`, `receive_eof`); a second one is refused
    (LocalProtocolError). `wrap`, `unwrap`, `data_to_send` and `shutdown` may be called from any threads and take turns:
    one thread may encrypt while another decrypts. The peer needs the records in the order in which they were made, so
    several threads that `wrap` hold a lock of their own until the records are sent, and feed `unwrap` likewise.

    Attributes:
        complete: whether the exchange is over and went well; then `wrap` and `unwrap` work.
        mechanism: ``ntlm`` or ``kerberos``: the one at work, also in an exchange that failed; empty before it is known.
            `complete` says whether it proved anything.
        wire_form: ``spnego``, ``ntlm`` or ``kerberos``: what the tokens look like, inside SPNEGO or bare; empty before
            it is known, and where an agent makes them.
        version: the effective CredSSP version, or None before the peer's first message.
        peer_version: the version that the peer says it has, or None.
        unused_data: plaintext that came after the last message of the exchange; the application's first bytes.
            `unwrap` does not return them again.
    """

    def __init__(self, channel: TLSChannel) -> None:
        self._channel = channel
        self._turn = threading.Lock()  # held by the thread that moves the exchange on
        self._engine: DrivenEngine | None = None
        self._failure: LocalProtocolError | None = None
        self._shut_down = False
        self._flights_alone = False
        self.complete = False
        self.mechanism = self.wire_form = ""
        self.version: int | None = None
        self.peer_version: int | None = None
        self.unused_data = b""

    # The exchange

    def step(self, token: bytes = b"") -> StepResult:
        """Take the next bytes from the peer and return what must go back.

        Args:
            token: what was received, split anywhere; an empty one is always legal and starts a client.

        Raises:
            CredSSPError: the exchange failed, now and for good. `.token` holds what should still be sent: a TSRequest
                with errorCode where the peer's version has it, else a TLS alert.
        """
        return self._move(self._step, token)

    def _move(self, operation: Callable[[T], StepResult], argument: T) -> StepResult:
        """Move the exchange on; what goes wrong ends it."""
        self._take_turn()
        try:
            self._check_alive()
            try:
                return operation(argument)
            except BaseException as error:
                forget_locals(error)
                if isinstance(error, CredSSPError):
                    self._fail(error)
                raise
        finally:
            self._turn.release()

    def restart(self) -> None:
        """Begin another exchange in the same TLS channel: re-authentication, on demand of either application.

        The next `step` of a client makes the first token. [MS-CSSP] does not describe it; the messages are those of
        the first exchange, bound to the same TLS key, between records of application data.

        Raises:
            LocalProtocolError: the context is not complete, has failed or was shut down.
        """
        self._take_turn()
        try:
            self._check_open()
            self.complete = False
            self.mechanism = self.wire_form = ""
            self.version = self.peer_version = None
        finally:
            self._turn.release()

    def receive_eof(self) -> None:
        """Say that the transport ended, where it ends without a close of TLS.

        Raises:
            PeerClosedError: the exchange was not complete.
        """
        self._take_turn()
        try:
            self._check_alive()
            if not self.complete:
                error = PeerClosedError("the connection ended in the middle of the exchange")
                self._end(error)
                raise error
        finally:
            self._turn.release()

    def _take_turn(self) -> None:
        """Claim the exchange for this thread. Another one is refused: to wait would put tokens out of order."""
        if not self._turn.acquire(blocking=False):
            raise LocalProtocolError(
                f"another thread is moving the exchange of this {type(self).__name__} on; one at a time",
                status=SecurityStatus.SEC_E_OUT_OF_SEQUENCE,
            )

    def _step(self, token: bytes) -> StepResult:
        channel = self._channel
        channel.receive(token)
        if not channel.handshake():
            return self._result()
        engine = self._engine
        if engine is None and not self.complete:
            if self._flights_alone and (flight := channel.data_to_send()):
                return StepResult(SecurityStatus.SEC_I_CONTINUE_NEEDED, flight)
            engine = self._engine = self._start()
            self.mechanism, self.wire_form = engine.mechanism.name, engine.mechanism.wire_form
        plaintext = channel.read()
        if engine is None:
            # Late bytes of a stream that was read beyond the last message.
            self.unused_data += plaintext
        elif plaintext:
            self._take(engine, engine.receive, plaintext)
        if channel.peer_closed and not self.complete:
            raise PeerClosedError("the peer closed the TLS channel in the middle of the exchange")
        return self._result()

    def _take(self, engine: DrivenEngine, operation: Callable[[T], list[Event]], argument: T) -> None:
        try:
            self._handle(operation(argument))
        finally:
            self.version = engine.version
            self.peer_version = engine.peer_version
            self.mechanism, self.wire_form = engine.mechanism.name, engine.mechanism.wire_form
        if engine.complete:
            self.complete = True
            self.unused_data = engine.unused_data
            # The keys of the inner mechanism have done their work.
            self._engine = None

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                # One TSRequest, one TLS write: Windows servers take no fragments ([MS-CSSP] note <8>).
                self._channel.write(event.data)
            else:
                self._note(event)

    def _result(self) -> StepResult:
        token = self._channel.data_to_send()
        if self.complete:
            return StepResult(SecurityStatus.SEC_E_OK, token)
        if not token and self.missing:
            return StepResult(SecurityStatus.SEC_E_INCOMPLETE_MESSAGE, token)
        return StepResult(SecurityStatus.SEC_I_CONTINUE_NEEDED, token)

    @property
    def missing(self) -> int:
        """Bytes, at least, that complete the TLS record or the TSRequest whose beginning was received; else 0."""
        record = self._channel.records.missing
        if record or self._engine is None:
            return record
        return self._engine.missing

    def _check_alive(self) -> None:
        failure = self._failure
        if failure is not None:
            raise LocalProtocolError(failure.message, status=failure.status, ntstatus=failure.ntstatus)

    def _fail(self, error: CredSSPError) -> None:
        error.token = self._last_words(error)
        error.mechanism = self.mechanism
        # Errors of other libraries may hold what the peer sent; ours say all that is safe to say.
        error.__context__ = error.__cause__ = None
        self._end(error)

    def _end(self, error: CredSSPError) -> None:
        # Not the error itself: its traceback refers to this context, and keys would wait for the garbage collector.
        self._failure = LocalProtocolError(
            f"this context has failed before: {error.message}", status=error.status, ntstatus=error.ntstatus
        )
        self._engine = None

    def _last_words(self, error: CredSSPError) -> bytes:
        """Return what the peer is told about a failure."""
        channel = self._channel
        if error.token:
            try:
                channel.write(error.token)
            except TLSError:  # the channel died with it
                return b""
            return channel.data_to_send()
        if isinstance(error, TLSError):
            return channel.data_to_send()  # OpenSSL's own alert, if it has one
        if isinstance(error, PeerClosedError | PeerRefusedError):
            return channel.close()  # nothing to tell that it does not know
        return channel.abort()

    @abstractmethod
    def _start(self) -> DrivenEngine:
        """Make the engine; the TLS handshake is done."""

    @abstractmethod
    def _note(self, event: Event) -> None:
        """Remember what an event says."""

    # Application data

    def wrap(self, data: bytes) -> bytes:
        """Encrypt application data; returns TLS records.

        Raises:
            LocalProtocolError: the context is not complete, has failed or was shut down.
        """
        if not self.complete or self._shut_down or self._failure is not None:
            self._check_open()  # raises; not called for every message
        return self._channel.encrypt(data)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt application data and return what could be decrypted, perhaps nothing; partial records are kept.

        The plaintext that came with the last message of the exchange is not repeated here: see `unused_data`.

        Raises:
            LocalProtocolError: the context is not complete or has failed.
            TLSError, TLSAlertError: a record was bad, or the peer sent a fatal alert.
        """
        if not self.complete or self._failure is not None:
            self._check_complete()  # raises
        try:
            return self._channel.decrypt(data)
        except CredSSPError as error:
            forget_locals(error)
            self._fail(error)
            raise

    def take_channel(self) -> TLSChannel:
        """Give away the TLS channel: a relay decrypts and encrypts application data itself from now on.

        Raises:
            LocalProtocolError: the context is not complete, has failed or was shut down.
        """
        self._check_open()
        return self._channel

    def data_to_send(self) -> bytes:
        """Return what TLS itself wants sent after an `unwrap`, such as the answer to a key update; mostly nothing."""
        return self._channel.data_to_send()

    def shutdown(self) -> bytes:
        """Say goodbye: return close_notify, after which `wrap` is over. `unwrap` works until the peer closes too."""
        if self._failure is not None or not self._channel.handshake_complete or self._shut_down:
            return b""
        self._shut_down = True
        return self._channel.close()

    def _check_complete(self) -> None:
        self._check_alive()
        if not self.complete:
            raise LocalProtocolError("the context is not complete: there is no key to protect application data with")

    def _check_open(self) -> None:
        self._check_complete()
        if self._shut_down:
            raise LocalProtocolError("the context was shut down: nothing can be sent any more")

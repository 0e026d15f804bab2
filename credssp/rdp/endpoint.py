"""What both ends share: bytes in, bytes out, an end that stays an end, and the stream after the login."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from credssp.context import ClientContext, ServerContext
from credssp.errors import CredSSPError, LocalProtocolError, PeerClosedError
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import Approach, Completed, Event, Negotiated, RDPState
from credssp.rdp.negotiation import Protocol
from credssp.rdp.tpkt import TPKTBuffer
from credssp.tls.channel import TLSChannel

__all__ = ["Endpoint"]

Context = TypeVar("Context", ClientContext, ServerContext)


class Endpoint(ABC, Generic[Context]):
    """One end of network level authentication, without a socket.

    Feed what was received to `receive`, send what `data_to_send` returns, until `complete`. After that, `wrap` and
    `unwrap` are the application's, and `unused_data` holds its first bytes.

    Threads: one at a time until `complete`. Then `wrap`, `unwrap` and `data_to_send` are as those of a context
    (`credssp.ClientContext`): one thread may encrypt while another decrypts.

    Attributes:
        negotiated: what was negotiated, or None before.
        authorization: the Early User Authorization Result, or None where there is none (yet).
        unused_data: plaintext after the login's last message; `unwrap` does not return it again.
    """

    _closed: str | None = None
    """What to do where the peer closes now."""

    def __init__(self) -> None:
        self.negotiated: Negotiated | None = None
        self.authorization: EarlyUserAuthorization | None = None
        self.unused_data = b""
        self._state = RDPState.START
        self._approach = Approach.NEGOTIATED
        self._buffer = TPKTBuffer()
        self._early = b""
        self._output: list[bytes] = []

    @property
    def state(self) -> RDPState:
        """What is awaited."""
        return self._state

    @property
    def awaited(self) -> str:
        """What is awaited, for people."""
        return self._state.value

    @property
    def complete(self) -> bool:
        """Whether the login is over and went well."""
        return self._state is RDPState.COMPLETE

    @property
    def selected_protocol(self) -> Protocol:
        """The negotiated protocol.

        Raises:
            LocalProtocolError: nothing has been negotiated yet.
        """
        if self.negotiated is None:
            raise LocalProtocolError("no protocol has been negotiated yet")
        return self.negotiated.selected

    @property
    @abstractmethod
    def context(self) -> Context | None:
        """The CredSSP context, or None where there is none yet."""

    def data_to_send(self) -> bytes:
        """Return, once, what must go to the peer."""
        output = self._output
        if not output:
            # Left in the context until now: a `wrap` of another thread puts it in front of its own records.
            return self.context.data_to_send() if self.complete and self.context is not None else b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the peer, split anywhere, and return what follows from them.

        Raises:
            CredSSPError: the login failed, now and for good. `.token` holds what must still be sent.
        """
        if self._state in (RDPState.FAILED, RDPState.COMPLETE, RDPState.START):
            raise LocalProtocolError(f"nothing can be received: this end is {self._state.value!r}")
        events: list[Event] = []
        try:
            self._receive(data, events)
        except CredSSPError as error:
            raise self._failed(error) from None
        return events

    def receive_eof(self) -> None:
        """Say that the transport ended.

        Raises:
            PeerClosedError: the login was not over; the text says how far it was.
        """
        if not self.complete:
            raise self._failed(
                PeerClosedError(
                    f"the peer closed the connection; the next step was to {self._state.value}", advice=self._closed
                )
            )

    @abstractmethod
    def _receive(self, data: bytes, events: list[Event]) -> None:
        """Act on bytes of the peer."""

    def _complete(self, unused: bytes, events: list[Event]) -> None:
        self.unused_data = unused
        self._early = b""
        self._state = RDPState.COMPLETE
        events.append(Completed(self.authorization))

    def _explain(self, error: CredSSPError) -> CredSSPError:
        """Return the error, or a better one where more is known here than below."""
        return error

    def _failed(self, error: CredSSPError) -> CredSSPError:
        """Fail for good and return what to raise."""
        better = self._explain(error)
        # What was produced before the failure goes out first.
        better.token = self.data_to_send() + error.token
        better.mechanism = "" if self.context is None else self.context.mechanism
        self._state = RDPState.FAILED
        return better

    def _inside_tls(self, context: Context, data: bytes) -> bytes | None:
        """Take data of a completed context and return the plaintext, None if the peer closed and sent nothing more."""
        if data:
            self._early += context.unwrap(data)
            reply = context.data_to_send()
            if reply:
                self._output.append(reply)
        return None if context.peer_closed else self._early

    # The stream

    def wrap(self, data: bytes) -> bytes:
        """Encrypt application data. Raises LocalProtocolError before the end of the login."""
        return self._completed().wrap(data)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt what was received after the login; may return nothing. Raises as `credssp.ClientContext.unwrap`."""
        return self._completed().unwrap(data)

    def take_channel(self) -> TLSChannel | None:
        """Give away the TLS channel of the stream to a relay, which decrypts and encrypts itself from now on.

        Returns:
            The channel; None as long as this end still has to see what comes.

        Raises:
            LocalProtocolError: the login is not complete, has failed, or the channel is closed.
        """
        return self._completed().take_channel()

    def shutdown(self) -> bytes:
        """Return close_notify, or nothing where there is no TLS to close."""
        context = self.context
        return b"" if context is None else context.shutdown()

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""
        return self.context is not None and self.context.peer_closed

    def _completed(self) -> Context:
        context = self.context
        if context is None or not self.complete:
            raise LocalProtocolError("the login is not complete: no application data yet")
        return context

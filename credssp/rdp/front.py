"""A server's end that is asked what a client gets once its Connection Request is there: NLA, TLS alone, or nothing.

A relay routes by what the client says before anything is encrypted: the Preconnection PDU, the routing token or the
cookie. So this end reads these, tells them (`ConnectionRequested`), and waits for `select` or `refuse`; from then on it
is that end. Whether the client asked for a protocol is checked in `select`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from credssp.authority import LogonAnswer
from credssp.config import ServerConfig
from credssp.context.server import certificate_of
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError, PeerClosedError
from credssp.next_step import NextStep
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import Event
from credssp.rdp.negotiation import (
    CREDSSP_PROTOCOLS,
    FailureCode,
    NegotiationError,
    NegotiationFailure,
    Protocol,
    ResponseFlags,
    protocol_names,
)
from credssp.rdp.preconnection import PreconnectionPDU
from credssp.rdp.server import NLAServer
from credssp.rdp.tpkt import TPKTBuffer, frame
from credssp.rdp.transport import TransportServer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import ServerTLS

__all__ = ["ConnectionRequested", "FrontServer"]

_MAX_EARLY: Final = 16384
"""Bytes that a client may send before it has an answer: none is usual."""


@dataclass(frozen=True, slots=True)
class ConnectionRequested:
    """A client has said what it wants; `FrontServer.select` or `refuse` is due.

    Attributes:
        request: its Connection Request.
        preconnection: its Preconnection PDU, or None.
    """

    request: ConnectionRequest
    preconnection: PreconnectionPDU | None

    @property
    def requested(self) -> Protocol:
        """requestedProtocols; RDP where the client sent no RDP_NEG_REQ."""
        asked = self.request.negotiation
        return Protocol.RDP if asked is None else asked.protocols

    @property
    def token(self) -> str:
        """What there is to route by: the preconnection blob, else the routing token, else the cookie, else nothing."""
        if self.preconnection is not None and self.preconnection.blob:
            return self.preconnection.blob
        if self.request.routing_token is not None:
            return self.request.routing_token.decode("latin-1")
        return self.request.cookie or ""


class FrontServer:
    """One client, whatever it gets.

    Attributes:
        config: the options of the end with NLA; certificate and TLS settings are those of TLS alone too.
        requested: what the client said, or None before.
        end: the end that was selected, or None before.
    """

    def __init__(self, *, config: ServerConfig) -> None:
        self.config = config
        self.requested: ConnectionRequested | None = None
        self.end: NLAServer | TransportServer | None = None
        self._head = b""
        self._preconnection: PreconnectionPDU | None = None
        self._looked = False
        self._buffer = TPKTBuffer()
        self._tpdu = self._early = b""
        self._failed = False

    def start(self) -> None:
        """Do nothing: the client speaks first."""

    def receive(self, data: bytes) -> list[Event | ConnectionRequested]:
        """Take bytes from the peer, split anywhere, and return what follows from them.

        Raises:
            CredSSPError: it failed, now and for good. `.token` holds what must still be sent.
        """
        if self.end is not None:
            return list(self.end.receive(data))
        if self._failed:
            raise LocalProtocolError("nothing can be received: this end is 'failed'")
        try:
            return self._receive(data)
        except CredSSPError:
            self._failed = True
            raise

    def _receive(self, data: bytes) -> list[Event | ConnectionRequested]:
        if self.requested is not None:
            self._early += data
            if len(self._early) > _MAX_EARLY:
                raise LimitExceededError(f"more than {_MAX_EARLY} bytes before the Connection Request was answered")
            return []
        if not self._looked:
            self._head += data
            size = PreconnectionPDU.size_of(self._head)
            if size is None or len(self._head) < size:
                return []
            if size:
                self._preconnection = PreconnectionPDU.decode(self._head[:size])
            self._looked = True
            data, self._head = self._head[size:], b""
        tpdu = self._buffer.feed(data)
        if tpdu is None:
            return []
        self._tpdu, self._early = tpdu, self._buffer.take_rest()
        self.requested = ConnectionRequested(ConnectionRequest.decode(tpdu), self._preconnection)
        return [self.requested]

    def select(self, protocol: Protocol, *, flags: ResponseFlags | None = None) -> list[Event | ConnectionRequested]:
        """Give the client a protocol; due after `ConnectionRequested`.

        Args:
            protocol: one that it asked for; of HYBRID and HYBRID_EX both may be given, and the stronger is taken.
            flags: RDP_NEG_RSP.flags about the session after the login; None for those of the configuration.

        Raises:
            LocalProtocolError: it is not due.
            NegotiationError: the client did not ask for it.
            CredSSPError: what it sent meanwhile failed.
        """
        requested = self._due()
        common = protocol & requested.requested
        if not common and (protocol or requested.requested & CREDSSP_PROTOCOLS):
            wanted = FailureCode.HYBRID_REQUIRED_BY_SERVER
            if not protocol & CREDSSP_PROTOCOLS:
                wanted = FailureCode.SSL_REQUIRED_BY_SERVER if protocol else FailureCode.SSL_NOT_ALLOWED_BY_SERVER
            self.refuse(wanted)
        config = self.config
        if common & CREDSSP_PROTOCOLS:
            flags = config.response_flags if flags is None else flags
            protocols = common & CREDSSP_PROTOCOLS
            self.end = NLAServer(config=replace(config, protocols=protocols, response_flags=flags, direct=False))
            early = frame(self._tpdu) + self._early
        else:
            self.end = TransportServer(
                requested.request,
                protocol=common,
                certificate=certificate_of(config) if common else None,
                tls=config.tls or ServerTLS(),
                flags=ResponseFlags.EXTENDED_CLIENT_DATA_SUPPORTED if flags is None else flags,
            )
            early = self._early
        self._tpdu = self._early = b""
        self.end.start()
        events: list[Event | ConnectionRequested] = [] if self.end.negotiated is None else [self.end.negotiated]
        if self.end.complete:
            self.end.unused_data = early
        elif early:
            events += self.end.receive(early)
        return events

    def refuse(self, failure: FailureCode) -> None:
        """Refuse the client; due after `ConnectionRequested`.

        Raises:
            NegotiationError: always; its `.token` tells the client.
            LocalProtocolError: it is not due.
        """
        requested = self._due()
        self._failed = True
        told = NegotiationFailure(failure)
        raise NegotiationError(
            f"the client asked for {protocol_names(requested.requested)} and is refused: {told.summary}",
            failure=failure,
            advice=NextStep.RDP_CLIENT,
            token=b"" if requested.request.negotiation is None else ConnectionConfirm(told).encode(),
        )

    def _due(self) -> ConnectionRequested:
        if self.requested is None or self.end is not None or self._failed:
            raise LocalProtocolError("select() and refuse() are due once, after the Connection Request")
        return self.requested

    def authorize(self, result: EarlyUserAuthorization) -> list[Event]:
        """Say whether the user may log on; as `credssp.rdp.NLAServer.authorize`."""
        if not isinstance(self.end, NLAServer):
            raise LocalProtocolError("authorize() is not due: there is no login")
        return self.end.authorize(result)

    def answer(self, answer: LogonAnswer) -> list[Event]:
        """Give the authority's answer; as `credssp.rdp.NLAServer.answer`."""
        if not isinstance(self.end, NLAServer):
            raise LocalProtocolError("answer() is not due: there is no login")
        return self.end.answer(answer)

    def forget_credentials(self) -> None:
        """Let go of what the client delegated."""
        if isinstance(self.end, NLAServer):
            self.end.forget_credentials()

    # As the end that was selected

    @property
    def request(self) -> ConnectionRequest | None:
        """The client's Connection Request, or None before."""
        return None if self.requested is None else self.requested.request

    @property
    def context(self) -> Any:
        """The CredSSP context; None before, and without NLA."""
        return self.end.context if isinstance(self.end, NLAServer) else None

    @property
    def complete(self) -> bool:
        """Whether the stream is the application's."""
        return self.end is not None and self.end.complete

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""
        return self.end is not None and self.end.peer_closed

    @property
    def awaited(self) -> str:
        """What is awaited, for people."""
        if self.end is not None:
            return self.end.awaited
        return "expect the Connection Request" if self.requested is None else "decide what the client gets"

    @property
    def selected_protocol(self) -> Protocol:
        """The negotiated protocol. Raises LocalProtocolError before."""
        return self._selected().selected_protocol

    @property
    def unused_data(self) -> bytes:
        """Plaintext after the last message; `unwrap` does not return it again."""
        return b"" if self.end is None else self.end.unused_data

    @unused_data.setter
    def unused_data(self, data: bytes) -> None:
        self._selected().unused_data = data

    def data_to_send(self) -> bytes:
        """Return, once, what must go to the peer."""
        return b"" if self.end is None else self.end.data_to_send()

    def receive_eof(self) -> None:
        """Say that the transport ended. Raises PeerClosedError if that was too early."""
        if self.end is not None:
            self.end.receive_eof()
            return
        self._failed = True
        raise PeerClosedError(f"the peer closed the connection; the next step was to {self.awaited}")

    def wrap(self, data: bytes) -> bytes:
        """Encrypt application data."""
        return self._selected().wrap(data)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt application data."""
        return self._selected().unwrap(data)

    def take_channel(self) -> TLSChannel | None:
        """Give away the TLS channel to a relay (`credssp.rdp.NLAServer.take_channel`)."""
        return self._selected().take_channel()

    def shutdown(self) -> bytes:
        """Return close_notify, or nothing where there is no TLS to close."""
        return b"" if self.end is None else self.end.shutdown()

    def _selected(self) -> NLAServer | TransportServer:
        if self.end is None:
            raise LocalProtocolError("the Connection Request was not answered yet")
        return self.end

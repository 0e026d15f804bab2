"""The two ends of RDP without network level authentication: TLS alone (PROTOCOL_SSL), or nothing around the stream.

They are for relays that have NLA on one side only. The client is not authenticated here at all, and the server, with
TLS, by its certificate, as far as `credssp.ClientTLS` says. Both have the methods of `credssp.rdp.NLAClient` and
`NLAServer` that a driver needs (`credssp.drivers.handshake.Handshake`).

===================== ===================================================================================
state                 what happens
===================== ===================================================================================
START                 client: `start` sends the Connection Request
EXPECT_X224           client: Connection Confirm with the protocol that was asked for, and no other
EXPECT_CREDSSP        the TLS handshake; the name is that of the ends with CredSSP
COMPLETE              the stream is the application's
===================== ===================================================================================
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

from credssp.config import ClientConfig
from credssp.errors import CredSSPError, LocalProtocolError, PeerClosedError
from credssp.next_step import NextStep
from credssp.rdp.events import Approach, Completed, Event, Negotiated, RDPState
from credssp.rdp.negotiation import (
    NegotiationError,
    NegotiationFailure,
    NegotiationRequest,
    NegotiationResponse,
    Protocol,
    ResponseFlags,
    protocol_names,
)
from credssp.rdp.tpkt import TPKTBuffer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.tls.certificate import ServerCertificate
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import CertificateCheck, ClientTLS, ServerTLS, client_context, server_context

__all__ = ["TransportClient", "TransportServer"]


class _Transport(ABC):
    """What both ends share.

    Attributes:
        negotiated: what was negotiated, or None before.
        unused_data: plaintext after the handshake; `unwrap` does not return it again.
    """

    def __init__(self) -> None:
        self.negotiated: Negotiated | None = None
        self.unused_data = b""
        self._state = RDPState.START
        self._channel: TLSChannel | None = None
        self._output: list[bytes] = []

    @property
    def awaited(self) -> str:
        """What is awaited, for people."""
        return "expect TLS" if self._state is RDPState.EXPECT_CREDSSP else self._state.value

    @property
    def complete(self) -> bool:
        """Whether the stream is the application's."""
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
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""
        return self._channel is not None and self._channel.peer_closed

    @property
    def tls_version(self) -> str | None:
        """The version of TLS; None before the handshake, and without TLS."""
        channel = self._channel
        return channel.protocol if channel is not None and channel.handshake_complete else None

    def data_to_send(self) -> bytes:
        """Return, once, what must go to the peer."""
        if self.complete and self._channel is not None:
            self._output.append(self._channel.data_to_send())
        data = b"".join(self._output)
        self._output.clear()
        return data

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the peer, split anywhere, and return what follows from them.

        Raises:
            CredSSPError: it failed, now and for good. `.token` holds what must still be sent.
        """
        if self._state in (RDPState.FAILED, RDPState.COMPLETE, RDPState.START):
            raise LocalProtocolError(f"nothing can be received: this end is {self._state.value!r}")
        events: list[Event] = []
        try:
            self._receive(data, events)
        except CredSSPError as error:
            alert = b"" if self._channel is None else self._channel.data_to_send()
            error.token = b"".join(self._output) + alert + error.token
            self._output.clear()
            self._state = RDPState.FAILED
            raise
        return events

    def receive_eof(self) -> None:
        """Say that the transport ended. Raises PeerClosedError if that was too early."""
        if not self.complete:
            awaited = self.awaited
            self._state = RDPState.FAILED
            raise PeerClosedError(f"the peer closed the connection; the next step was to {awaited}")

    @abstractmethod
    def _receive(self, data: bytes, events: list[Event]) -> None:
        """Act on bytes of the peer."""

    def _shake(self, channel: TLSChannel, data: bytes) -> bool:
        channel.receive(data)
        done = channel.handshake()
        if not done and channel.peer_closed:
            raise PeerClosedError("the peer closed the TLS channel in its handshake")
        self._output.append(channel.data_to_send())
        return done

    def _complete(self, unused: bytes, events: list[Event]) -> None:
        self.unused_data = unused
        self._state = RDPState.COMPLETE
        events.append(Completed(None))

    def wrap(self, data: bytes) -> bytes:
        """Return what to send for application data. Raises LocalProtocolError before the end of the handshake."""
        self._check_complete()
        return data if self._channel is None else self._channel.encrypt(data)

    def unwrap(self, data: bytes) -> bytes:
        """Return the application data in what was received; may return nothing. Raises TLSError."""
        self._check_complete()
        return data if self._channel is None else self._channel.decrypt(data)

    def take_channel(self) -> TLSChannel | None:
        """Give away the TLS channel to a relay (`credssp.rdp.NLAServer.take_channel`); None without TLS."""
        self._check_complete()
        return self._channel

    def shutdown(self) -> bytes:
        """Return close_notify, or nothing where there is no TLS to close."""
        return b"" if self._channel is None else self._channel.close()

    def _check_complete(self) -> None:
        if not self.complete:
            raise LocalProtocolError("the handshake is not complete: no application data yet")


class TransportClient(_Transport):
    """Connects to a server without NLA, or to one with NLA as far as TLS goes: to look at its certificate.

    Attributes:
        config: the options; `tls`, `cookie` and `routing_token` count.
        host: the server as the user typed it, whose name the certificate must have.
        certificate_check: what is known about the server's certificate.
    """

    def __init__(self, *, host: str, protocol: Protocol = Protocol.SSL, config: ClientConfig | None = None) -> None:
        """Prepare; nothing happens before `start`.

        Args:
            host: name or address of the server.
            protocol: SSL for TLS, RDP for nothing at all; HYBRID ends before the login, with TLS set up. The server
                must select it: there is no falling back.
            config: the options; None for the defaults.

        Raises:
            LocalProtocolError: another protocol.
        """
        super().__init__()
        if protocol not in (Protocol.SSL, Protocol.RDP, Protocol.HYBRID):
            raise LocalProtocolError(f"protocol is SSL, RDP or HYBRID, not {protocol_names(protocol)}")
        self.config = config = ClientConfig() if config is None else config
        self.host = host
        self.certificate_check = CertificateCheck.NOT_CHECKED
        self._protocol = protocol
        self._tls = config.tls or ClientTLS()
        self._buffer = TPKTBuffer()
        self._request = ConnectionRequest(
            cookie=config.cookie, routing_token=config.routing_token, negotiation=NegotiationRequest(protocol)
        )

    @property
    def requested_protocols(self) -> Protocol:
        """What the Connection Request asks for."""
        return self._protocol

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the server's certificate, 64 hex digits; empty before there is one, and without TLS."""
        channel = self._channel
        if channel is None or not channel.handshake_complete:
            return ""
        return hashlib.sha256(channel.server_certificate).hexdigest()

    def start(self) -> None:
        """Begin; `data_to_send` has the first bytes. Raises LocalProtocolError if it has begun before."""
        if self._state is not RDPState.START:
            raise LocalProtocolError("this connection was started before")
        self._output.append(self._request.encode())
        self._state = RDPState.EXPECT_X224

    def _receive(self, data: bytes, events: list[Event]) -> None:
        if self._state is RDPState.EXPECT_X224:
            tpdu = self._buffer.feed(data)
            if tpdu is None:
                return
            self._confirmed(ConnectionConfirm.decode(tpdu), events)
            data = self._buffer.take_rest()
            if self._protocol is Protocol.RDP:
                self._complete(data, events)
                return
            name = self._tls.server_hostname or self.host
            self._channel = TLSChannel(client_context(self._tls), server_side=False, server_hostname=name)
            self._state = RDPState.EXPECT_CREDSSP
        channel = self._channel
        if channel is not None and self._shake(channel, data):
            self.certificate_check = self._tls.check(channel.server_certificate)
            self._complete(channel.read(), events)

    def _confirmed(self, confirm: ConnectionConfirm, events: list[Event]) -> None:
        answer = confirm.negotiation
        if isinstance(answer, NegotiationFailure):
            raise NegotiationError.from_failure(answer)
        selected = Protocol.RDP if answer is None else answer.selected
        if selected != self._protocol:
            raise NegotiationError(
                f"the server selected {protocol_names(selected)}, and {protocol_names(self._protocol)} is what it must",
                selected=selected,
                advice=NextStep.RDP_UNASKED,
            )
        flags = ResponseFlags.NONE if answer is None else answer.flags
        self.negotiated = Negotiated(selected, Approach.NEGOTIATED, flags)
        events.append(self.negotiated)


class TransportServer(_Transport):
    """Takes a client that asked for TLS without NLA, or for nothing; its Connection Request was read before.

    Attributes:
        request: the Connection Request.
    """

    def __init__(
        self,
        request: ConnectionRequest,
        *,
        protocol: Protocol = Protocol.SSL,
        certificate: ServerCertificate | None = None,
        tls: ServerTLS | None = None,
        flags: ResponseFlags = ResponseFlags.EXTENDED_CLIENT_DATA_SUPPORTED,
    ) -> None:
        """Prepare to serve one client.

        Args:
            request: the client's Connection Request.
            protocol: SSL or RDP, which the client must have asked for.
            certificate: of the server; needed for SSL.
            tls: settings of TLS; None for the defaults.
            flags: RDP_NEG_RSP.flags.

        Raises:
            LocalProtocolError: another protocol, or TLS without a certificate.
        """
        super().__init__()
        if protocol not in (Protocol.SSL, Protocol.RDP):
            raise LocalProtocolError(f"protocol is SSL or RDP, not {protocol_names(protocol)}")
        if protocol is Protocol.SSL:
            if certificate is None:
                raise LocalProtocolError("TLS needs a certificate")
            self._channel = TLSChannel(server_context(tls or ServerTLS(), certificate), server_side=True)
        self.request = request
        self._protocol = protocol
        self._flags = flags

    def start(self) -> None:
        """Answer the Connection Request."""
        self._output.append(
            ConnectionConfirm(
                NegotiationResponse(self._protocol, self._flags) if self.request.negotiation is not None else None
            ).encode()
        )
        self.negotiated = Negotiated(self._protocol, Approach.NEGOTIATED, self._flags, self.request)
        self._state = RDPState.COMPLETE if self._channel is None else RDPState.EXPECT_CREDSSP

    def _receive(self, data: bytes, events: list[Event]) -> None:
        channel = self._channel
        if channel is not None and self._shake(channel, data):
            self._complete(channel.read(), events)

"""What a relay does with an RDP session before the stream is free: two filters, one for each direction.

===================== ========================================== ==================================================
direction             before the stream is free                  then
===================== ========================================== ==================================================
client to server      Connect Initial, rewritten; Erect Domain,  every byte as it comes, after the Client Info PDU
                      Attach User and Channel Join requests;
                      the Client Info PDU, rewritten
server to client      Connect Response, rewritten                every frame, but for redirections
===================== ========================================== ==================================================

Anything else before the Client Info PDU ends the session: it has no place there ([MS-RDPBCGR] 1.3.1.1), and would pass
unread. A redirection by the server would lead past the relay at any time, so it ends the session
(`credssp.rdp.redirection_watch`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from credssp.errors import LocalProtocolError, RemoteProtocolError
from credssp.next_step import NextStep
from credssp.rdp.client_info import ClientInfo, is_client_info
from credssp.rdp.negotiation import Protocol
from credssp.rdp.redirection_watch import IO_CHANNEL, RedirectionWatch
from credssp.rdp.session_pdus import ConnectInitial, ConnectResponse, DomainPDU, FrameBuffer, data_frame, domain_pdu

__all__ = ["FromClient", "FromServer", "StandardSecurityError"]

_EARLY: Final = frozenset(
    {DomainPDU.ERECT_DOMAIN_REQUEST, DomainPDU.ATTACH_USER_REQUEST, DomainPDU.CHANNEL_JOIN_REQUEST}
)

_ERECT_DOMAIN: Final = data_frame(bytes.fromhex("0401000100"))
"""Erect Domain Request with two zeros, as in PER. rdesktop 1.9 writes four other bytes, which FreeRDP 2.11's server
refuses; no server uses the numbers."""

_CHANNEL_AT: Final = 10
"""Where a frame with an MCS SendDataRequest has channelId."""


class StandardSecurityError(RemoteProtocolError):
    """The server encrypts with standard RDP security (RC4), which cannot be relayed."""

    default_advice = NextStep.RDP_RELAYED


class FromClient:
    """The direction from the client to the server.

    Attributes:
        initial: the client's Connect Initial, or None before.
        info: the Client Info PDU as it came, without the password; or None before.
    """

    def __init__(
        self,
        selected: Protocol,
        *,
        negotiated: Protocol | None = None,
        rewrite: Callable[[ClientInfo], ClientInfo | None],
        deny_channels: Collection[str] = (),
        io_channel: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            selected: what the server selected.
            negotiated: what the relay selected for the client; None where it is not compared with what the client says.
            rewrite: returns what the server gets in place of a Client Info PDU; None for the PDU as it came.
            deny_channels: names of static channels that the server must not see.
            io_channel: returns the MCS id of the server's I/O channel, or None as long as it is not known.
        """
        self.initial: ConnectInitial | None = None
        self.info: ClientInfo | None = None
        self._selected = selected
        self._negotiated = negotiated
        self._rewrite: Callable[[ClientInfo], ClientInfo | None] | None = rewrite
        self._deny = frozenset(deny_channels)
        self._io_channel = io_channel
        self._frames: FrameBuffer | None = FrameBuffer()

    @property
    def free(self) -> bool:
        """Whether every byte passes as it comes."""
        return self._frames is None

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client and return those for the server.

        Raises:
            RemoteProtocolError: the client sent something that has no place here, or that does not decode.
        """
        frames = self._frames
        if frames is None:
            return data
        frames.feed(data)
        out: list[bytes] = []
        while self._frames is not None and (frame := frames.next_frame()) is not None:
            out.append(self._frame(frame))
        if self._frames is None:
            out.append(frames.take_rest())
        return b"".join(out)

    def _frame(self, frame: bytes) -> bytes:
        if self.initial is None:
            self.initial = ConnectInitial.decode(frame)
            self.initial.check(self._negotiated)
            return self.initial.rewritten(self._selected, deny_channels=self._deny)
        if is_client_info(frame):
            self._check_channel(frame)
            info = ClientInfo.decode(frame)
            rewrite, self._rewrite, self._frames = self._rewrite, None, None
            changed = None if rewrite is None else rewrite(info)
            self.info = info.without_credentials()
            return frame if changed is None else changed.encode()
        pdu = domain_pdu(frame)
        if pdu not in _EARLY:
            raise RemoteProtocolError(
                f"the client sent {pdu.name} before its Client Info PDU", section="[MS-RDPBCGR] 1.3.1.1"
            )
        return _ERECT_DOMAIN if pdu is DomainPDU.ERECT_DOMAIN_REQUEST else frame

    def _check_channel(self, frame: bytes) -> None:
        """Refuse a Client Info PDU on another channel: a server may ignore it, and take a second one, unseen."""
        channel = int.from_bytes(frame[_CHANNEL_AT : _CHANNEL_AT + 2], "big")
        due = self._io_channel() or IO_CHANNEL
        if channel != due:
            raise RemoteProtocolError(
                f"the client sent its Client Info PDU on channel {channel}, and the I/O channel is {due}",
                section="[MS-RDPBCGR] 2.2.1.11",
            )


class FromServer:
    """The direction from the server to the client.

    Attributes:
        response: the server's Connect Response, or None before.
    """

    def __init__(self, requested: Protocol, *, asked: Protocol | None = None) -> None:
        """Prepare.

        Args:
            requested: what the client requested of the relay.
            asked: what the relay requested of the server; None where it is not compared with what the server says.
        """
        self.response: ConnectResponse | None = None
        self._requested = requested
        self._asked = asked
        self._frames = FrameBuffer()
        self._watch: RedirectionWatch | None = None

    @property
    def free(self) -> bool:
        """Whether bytes may pass unseen: never, since the server may redirect the client at any time."""
        return False

    @property
    def unchanged(self) -> bool:
        """Whether every byte passes as it comes, and `look` is enough: after the Connect Response."""
        return self._watch is not None

    def look(self, data: bytes | memoryview) -> None:
        """Look at bytes of the server, which pass as they are; due after the Connect Response. Raises as `feed`."""
        if self._watch is None:
            raise LocalProtocolError("look() is due after the Connect Response")
        self._watch.look(data)

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the server and return those for the client.

        Raises:
            StandardSecurityError: the session would be encrypted with RC4.
            RedirectedError: the server redirects the client.
            RemoteProtocolError: it did not begin with a Connect Response, or with one that does not decode; or what
                followed is not a frame; or it heard another request than the relay made.
        """
        if self._watch is not None:
            self._watch.look(data)
            return data
        frames = self._frames
        frames.feed(data)
        frame = frames.next_frame()
        if frame is None:
            return b""
        response = self.response = ConnectResponse.decode(frame)
        response.check(self._asked)
        if response.encryption_method or response.encryption_level:
            raise StandardSecurityError(
                "the server wants standard RDP security (encryptionMethod "
                f"{response.encryption_method}, encryptionLevel {response.encryption_level})",
                section="[MS-RDPBCGR] 2.2.1.4.3",
            )
        self._watch = RedirectionWatch(response.io_channel)
        rest = frames.take_rest()
        self._watch.look(rest)
        return response.rewritten(self._requested) + rest

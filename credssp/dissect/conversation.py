"""What a connection speaks, detected from its first bytes on any port, and the layers that read it.

::

    proxy    HTTP CONNECT, SOCKS, PROXY protocol, then any of the following
    RDP      X.224 in clear, then TLS, then TSRequests
    TLS      TSRequests (RDP's direct approach), or HTTP as below (WinRM over HTTPS)
    HTTP     headers with TLS records, in them TSRequests (WinRM)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from credssp.dissect.credssp_layer import CredSSPLayer
from credssp.dissect.http_layer import HTTPLayer, is_request, is_response
from credssp.dissect.model import Conversation, Event, Sender
from credssp.dissect.proxy import ENOUGH, MAX_DEPTH, ProxyHead, begins_proxied
from credssp.dissect.streams import Piece
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.tls.session import TLSReader
from credssp.dissect.x224_layer import X224Layer

__all__ = ["ConversationReader", "recognise"]

_ENOUGH: Final = ENOUGH
"""Bytes that tell the protocol: the longest HTTP method, and type and message type of TLS and X.224."""

_MAX_LOOKED: Final = 1000
"""Segments of a connection without a beginning that are looked at: the body of an HTTP message may come first."""

MAX_LOGINS: Final = 100
"""Logins on one connection (WinRM, through a proxy)."""

_MAX_PIECE: Final = 16 * 1024
"""Bytes that are handed to the layers at once, of a packet that may have megabytes (IP's length field is 0 where the
network card was to cut it)."""

_MAX_OPENED: Final = 64
"""Pieces of plaintext that are looked at in a TLS connection that is not known to be CredSSP."""


def recognise(data: bytes) -> tuple[str, Sender | None]:
    """Tell from the first bytes of one direction what is spoken, and who sends it if that can be told.

    Returns:
        ``rdp``, ``tls``, ``http`` or ``proxy``, ``?`` where more bytes are needed, or an empty string for others.
    """
    if data == b"\x03" or data[:2] == b"\x03\0":
        if len(data) < 6:
            return "?", None
        sender: Sender | None = {0xE0: "client", 0xD0: "server"}.get(data[5] & 0xF0)  # type: ignore[assignment]
        return ("rdp", sender) if sender else ("", None)
    if data[:1] and 20 <= data[0] <= 23 and data[1:2] in (b"", b"\x03"):
        if len(data) < 6:
            return "?", None
        if data[2] > 4:
            return "", None
        speaker: dict[int, Sender] = {1: "client", 2: "server"}
        return "tls", speaker.get(data[5]) if data[0] == 22 else None
    if data and (proxied := begins_proxied(data)) is not False:
        return ("proxy", "client") if proxied else ("?", None)
    if is_request(data):
        return ("http", "client") if len(data) >= _ENOUGH else ("?", None)
    if is_response(data):
        return ("http", "server") if len(data) >= _ENOUGH else ("?", None)
    return "", None


class ConversationReader:
    """Reads one TCP connection.

    Attributes:
        done: whether further bytes are of no interest.
    """

    def __init__(self, endpoints: tuple[str, str], secrets: Secrets, *, client: int | None) -> None:
        """Wait for bytes.

        Args:
            endpoints: addresses and ports of the two directions' senders.
            secrets: for TLS.
            client: which of the two is the client, 0 or 1; None where the capture does not have the SYN.
        """
        self._endpoints = endpoints
        self._client = client
        self._secrets = secrets
        self._waiting: list[tuple[int, Piece]] = []
        self._first = [b"", b""]
        self._logins = [_Login(Conversation(*endpoints), secrets)]
        self.done = False
        self._began_late = client is None
        self._looked = 0
        self._decided = False
        self._head: ProxyHead | None = None
        self._x224: X224Layer | None = None
        self._tls: TLSReader | None = None
        self._http: HTTPLayer | None = None
        self._full = False
        self._opened = 0

    def feed(self, direction: int, piece: Piece) -> None:
        """Take the next bytes of one direction, or the news that some are missing."""
        if len(piece.data) > _MAX_PIECE:
            # The layers take apart what they hold from its front, which copies the rest each time.
            missing = piece.missing
            for start in range(0, len(piece.data), _MAX_PIECE):
                self.feed(direction, Piece(missing, piece.data[start : start + _MAX_PIECE], piece.time))
                missing = 0
                if self.done:
                    return
            return
        if self._decided:
            self._dispatch(direction, piece)
            return
        if self._head is not None:
            self._take_head(self._head, direction, piece)
            return
        self._waiting.append((direction, piece))
        self._first[direction] += piece.data[:_ENOUGH]
        self._began_late |= bool(piece.missing)
        kind, sender = recognise(self._first[direction])
        if kind == "?" and len(self._waiting) < _ENOUGH:
            return
        if kind in ("", "?") or (self._looked and kind == "tls" and sender is None):
            self._look_further()
            return
        if kind == "proxy":
            self._begin_head(direction)
            return
        if self._looked:
            self.conversation.note("the capture does not have the beginning of this connection")
        self._decide(kind, direction, sender)

    def _begin_head(self, direction: int) -> None:
        """A proxy comes first; what follows its head is looked at anew."""
        conversation = self.conversation
        self._client = direction
        conversation.client, conversation.server = self._endpoints[direction], self._endpoints[1 - direction]
        waiting, self._waiting = self._waiting, []
        head = self._head = ProxyHead(self._first[direction])
        self._first = [b"", b""]
        if len(conversation.proxies) >= MAX_DEPTH:
            head.fail(f"more than {MAX_DEPTH} proxies one after another")
        for place, piece in waiting:
            # The head may end with any of these; the others belong to what follows it.
            self.feed(place, piece)

    def _take_head(self, head: ProxyHead, direction: int, piece: Piece) -> None:
        sender: Sender = "client" if direction == self._client else "server"
        if piece.missing:
            head.fail(f"{piece.missing} bytes are missing in the capture")
        else:
            head.feed(sender, piece.data)
        if not head.done:
            return
        self._end_head(head)
        if head.problem:
            return
        self.conversation.add(Event("client", "proxy", sum(head.size.values()), piece.time, head.summary))
        for place in (0, 1):
            if rest := head.rest("client" if place == self._client else "server"):
                self.feed(place, Piece(0, rest, piece.time))

    def _end_head(self, head: ProxyHead) -> None:
        self._head = None
        if head.problem:
            self.done = True
        if head.is_certain:
            self.conversation.proxies.append(head.problem or head.summary)
            if head.problem:
                self.conversation.note(head.problem)

    def _look_further(self) -> None:
        """Where the beginning is missing, what there is may be the middle of a message; the next begins a segment."""
        self._looked += 1
        self.done = not self._began_late or self._looked >= _MAX_LOOKED
        self._waiting.clear()
        self._first = [b"", b""]

    @property
    def conversation(self) -> Conversation:
        """What was found; where there are several logins on the connection, the last of them."""
        return self._logins[-1].conversation

    @property
    def conversations(self) -> list[Conversation]:
        """What was found, all logins."""
        return [login.conversation for login in self._logins]

    @property
    def waits(self) -> bool:
        """Whether a secret that is read later could still open something."""
        sessions = (self._tls, *(login.inner for login in self._logins))
        return any(session is not None and session.waits for session in sessions)

    def finish(self) -> None:
        """Say that the connection is over, and that no further secret will come."""
        if self._head is not None:
            self._head.fail("the connection ends before anything was let through")
            self._end_head(self._head)
        if self._tls is not None:
            self._tls.finish()  # may deliver its last records, and more logins with them
        for login in self._logins:
            login.finish()

    def _decide(self, kind: str, direction: int, sender: Sender | None) -> None:
        if sender is not None:
            # Content beats the SYN: with two captures merged, or an address that was translated, it is what counts.
            self._client = direction if sender == "client" else 1 - direction
        elif self._client is None:
            self._client = direction
        conversation = self.conversation
        conversation.client, conversation.server = self._endpoints[self._client], self._endpoints[1 - self._client]
        if kind == "rdp":
            conversation.transport = "rdp"
            self._x224 = X224Layer(conversation, self._take_tls)
        elif kind == "http":
            self._http = HTTPLayer(conversation, self._take_token, self._renew)
        self._decided = True
        waiting, self._waiting = self._waiting, []
        for place, piece in waiting:
            self._dispatch(place, piece)

    def _dispatch(self, direction: int, piece: Piece) -> None:
        sender: Sender = "client" if direction == self._client else "server"
        if piece.missing:
            self._gap(sender, piece)
        if piece.data:
            if self._x224 is not None:
                self._x224.feed(sender, piece.data, piece.time)
            elif self._http is not None and self._tls is None:
                self._http.feed(sender, piece.data, piece.time)
            else:
                self._take_tls(sender, piece.data, piece.time)
        self._judge_end()

    def _gap(self, sender: Sender, piece: Piece) -> None:
        self.conversation.add(Event(sender, "gap", piece.missing, piece.time, f"{piece.missing} bytes are missing"))
        if self._x224 is not None:
            self._x224.gap(sender)
        if self._tls is not None:
            self._tls.gap(sender, piece.missing)
        elif self._http is not None:
            self._http.gap(sender, piece.missing)
        if self._http is None and (credssp := self._logins[-1].credssp) is not None:
            credssp.gap(sender)

    def _judge_end(self) -> None:
        # The TLS connection outlives its login; what is in it then belongs to others.
        # One with HTTP may go on to another login.
        if self._http is not None:
            self.done = self._http.complete
        elif (credssp := self._logins[-1].credssp) is not None:
            self.done = credssp.complete
        elif (self._x224 is not None and self._x224.refused) or self._opened > _MAX_OPENED:
            self.done = True
        elif self._tls is not None:
            self.done = self._tls.dead

    # From layer to layer

    def _take_tls(self, sender: Sender, data: bytes, time: int | None) -> None:
        if self._tls is None:
            self._tls = TLSReader(self._secrets, self._take_plaintext, self._notify)
            self.conversation.tls.append(self._tls.info)
        self._tls.feed(sender, data, time)

    def _notify(self, sender: Sender, what: str, size: int, time: int | None) -> None:
        outer = self._tls is not None and self._tls.info.place == "outer"
        self.conversation.add(Event(sender, "tls", size, time, f"outer TLS: {what}" if outer else what))

    def _label_outer(self) -> None:
        """There is HTTP in TLS, and if it is WinRM, another TLS in that: from here on the two are told apart."""
        if self._tls is None:
            return
        self._tls.info.place = "outer"
        self.conversation.events = [
            replace(event, summary=f"outer TLS: {event.summary}") if event.layer == "tls" else event
            for event in self.conversation.events
        ]

    def _take_plaintext(self, sender: Sender, data: bytes, time: int | None) -> None:
        """What was inside the (outer) TLS connection."""
        if self._http is not None:
            self._http.feed(sender, data, time)
        elif self._logins[-1].credssp is not None or data[0] == 0x30:
            self._logins[-1].take_requests(sender, data, time)
        elif self._opened == 0 and (is_request(data) or is_response(data)):
            self._http = HTTPLayer(self.conversation, self._take_token, self._renew)
            self._label_outer()
            self._http.feed(sender, data, time)
        elif self.conversation.transport == "rdp" and self._opened < 2:
            self.conversation.add(Event(sender, "application", len(data), time, "application data, no TSRequest"))
        self._opened += 1

    def _take_token(self, sender: Sender, token: bytes, time: int | None) -> None:
        """TLS records out of an HTTP header."""
        if not self._full:
            self._logins[-1].take_token(sender, token, time)

    def _renew(self) -> Conversation:
        """Begin another login on the same connection (HTTP)."""
        before = self.conversation
        if len(self._logins) >= MAX_LOGINS:
            before.note(f"more than {MAX_LOGINS} logins on one connection; the rest is not shown")
            self._full = True
            return before
        conversation = Conversation(before.client, before.server, transport=before.transport)
        if self._tls is not None:
            conversation.tls.append(self._tls.info)
        self._logins.append(_Login(conversation, self._secrets))
        return conversation


class _Login:
    """One login: its conversation, the TLS connection inside HTTP where there is one, and the TSRequests."""

    def __init__(self, conversation: Conversation, secrets: Secrets) -> None:
        self.conversation = conversation
        self.inner: TLSReader | None = None
        self.credssp: CredSSPLayer | None = None
        self._secrets = secrets

    def take_token(self, sender: Sender, token: bytes, time: int | None) -> None:
        """Take TLS records."""
        if self.inner is None:
            self.inner = TLSReader(self._secrets, self.take_requests, self._notify)
            self.inner.info.place = "inner"
            self.conversation.tls.append(self.inner.info)
        self.inner.feed(sender, token, time)

    def take_requests(self, sender: Sender, data: bytes, time: int | None) -> None:
        """Take plaintext."""
        if self.credssp is None:
            self.credssp = CredSSPLayer(self.conversation)
        self.credssp.feed(sender, data, time)

    def finish(self) -> None:
        """Say that nothing more comes."""
        if self.inner is not None:
            self.inner.finish()
        if self.credssp is not None:
            self.credssp.finish()
        self.conversation.sort()

    def _notify(self, sender: Sender, what: str, size: int, time: int | None) -> None:
        self.conversation.add(Event(sender, "tls", size, time, f"inner TLS: {what}"))

"""HTTP/1.1 of both directions, as far as its headers contain CredSSP tokens ([MS-WSMV] 3.1.4.1.28).

``Authorization: CredSSP <base64>`` carries the TLS records of the client, ``WWW-Authenticate: CredSSP <base64>`` those
of the server. h11 reads start line, headers and chunks. Bodies are skipped by their length and never held: a capture
may have lost some of theirs.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from credssp.dissect.errors import MISSING, CaptureError
from credssp.dissect.model import Conversation, Event, Sender
from credssp.dissect.tls.handshake import client_hello_random

if TYPE_CHECKING:
    import h11

__all__ = ["HTTPLayer", "is_request", "is_response"]

MAX_HEAD: Final = 64 * 1024
"""Bytes of start line and headers; http.sys takes 16 KiB."""

_MAX_UNRELATED: Final = 32
"""Messages without a CredSSP header after which a connection is not looked at any more."""

_MAX_LATER: Final = 40
"""Messages after a login that are shown; a session of WinRM has thousands, all of them encrypted."""

_METHODS: Final = (b"POST ", b"GET ", b"OPTIONS ", b"HEAD ", b"PUT ")
_TOKEN: Final = re.compile(rb"(?:^|,)[ \t]*credssp(?:[ \t]+([A-Za-z0-9+/]*=*))?[ \t]*(?:,|$)", re.IGNORECASE)
_END: Final = re.compile(rb"\n\r?\n")
_HEADERS: Final[dict[Sender, bytes]] = {"client": b"authorization", "server": b"www-authenticate"}

Deliver = Callable[[Sender, bytes, int | None], None]
Renew = Callable[[], Conversation]


def is_request(data: bytes) -> bool:
    """Whether this begins like a request; bytes that are too few may still become one."""
    return any(method.startswith(data[: len(method)]) for method in _METHODS)


def is_response(data: bytes) -> bool:
    """Whether this begins like a response."""
    return b"HTTP/1.".startswith(data[:7])


class _Side:
    def __init__(self) -> None:
        self.data = b""
        self.skip = 0
        self.chunks: h11.Connection | None = None  # reads the body that is coming
        self.searched = 0  # so far there is no end of the headers
        self.lost = False


class HTTPLayer:
    """Hands out the tokens of one connection.

    Attributes:
        complete: whether this is certainly not (any more) a connection with CredSSP.
    """

    def __init__(self, conversation: Conversation, deliver: Deliver, renew: Renew) -> None:
        """Wait for bytes.

        Args:
            conversation: takes the events.
            deliver: is called with each token.
            renew: is called where another login begins on the connection; returns the conversation to continue.

        Raises:
            CaptureError: h11 is missing.
        """
        try:
            import h11
        except ModuleNotFoundError:
            raise CaptureError(MISSING.format("h11", "HTTP")) from None
        self._h11 = h11
        self._method = b"POST"
        self._conversation = conversation
        self._deliver = deliver
        self._renew = renew
        self._client_random = b""
        self._later = 0
        self._sides: dict[Sender, _Side] = {"client": _Side(), "server": _Side()}
        self._unrelated = 0
        self.complete = False

    def feed(self, sender: Sender, data: bytes, time: int | None) -> None:
        """Take the next bytes of one direction."""
        side = self._sides[sender]
        if side.lost:
            return
        if side.skip >= len(data) and not side.data:
            side.skip -= len(data)
            return
        side.data += data
        while side.data and not side.lost:
            if side.skip:
                step = min(side.skip, len(side.data))
                side.data, side.skip = side.data[step:], side.skip - step
            elif side.chunks is not None:
                self._chunks(side, side.chunks)
            elif not self._head(sender, side, time):
                return

    def gap(self, sender: Sender, size: int) -> None:
        """Say that bytes are missing; reading continues after them inside a body, else at the next message."""
        side = self._sides[sender]
        if side.skip >= size and not side.data:
            side.skip -= size
            return
        self._conversation.note(f"{size} bytes of the {sender} are missing, and with them HTTP headers")
        self._sides[sender] = _Side()

    def _chunks(self, side: _Side, reader: h11.Connection) -> None:
        """Skip chunks and trailers (RFC 9112 7.1); what is malformed is taken for the end of the body."""
        reader.receive_data(side.data)
        side.data = b""
        try:
            while (event := reader.next_event()) is not self._h11.NEED_DATA:
                if isinstance(event, self._h11.EndOfMessage):
                    break
            else:
                return
        except self._h11.RemoteProtocolError:
            pass
        side.data, side.chunks = reader.trailing_data[0], None

    def _head(self, sender: Sender, side: _Side, time: int | None) -> bool:
        """Read start line and headers; returns whether they were whole."""
        begins_well = is_request if sender == "client" else is_response
        if not begins_well(side.data):
            # Behind a gap, or a message whose length was not understood: wait for the next one.
            self._resynchronise(sender, side)
            return bool(side.data)
        end = _END.search(side.data, side.searched)
        if end is None:
            side.searched = max(0, len(side.data) - 3)
            if len(side.data) > MAX_HEAD:
                self._conversation.note(f"HTTP headers of the {sender} have more than {MAX_HEAD} bytes")
                side.lost, side.data = True, b""
            return False
        head, side.data, side.searched = side.data[: end.end()], side.data[end.end() :], 0
        try:
            reader, event = self._read(sender, head)
        except self._h11.RemoteProtocolError as error:
            self._conversation.note(f"an HTTP message of the {sender} cannot be read: {error}")
            return True
        if isinstance(event, self._h11.Request):
            self._method = event.method
            title = event.method + b" " + event.target
        else:
            title = b"%d %s" % (event.status_code, event.reason)
        fields = dict(event.headers)
        if isinstance(reader.next_event(), self._h11.EndOfMessage):
            pass  # no body, whatever Content-Length says: the answer to HEAD
        elif b"transfer-encoding" in fields:
            side.chunks = reader
        else:
            # A response without a length ends with the connection; captures go on with the next message.
            side.skip = int(fields.get(b"content-length", b"0"))
        self._message(sender, title.decode("ascii", "replace"), event.headers, len(head) + side.skip, time)
        return True

    def _read(self, sender: Sender, head: bytes) -> tuple[h11.Connection, Any]:
        """Return what reads the body, and start line and headers. Raises h11.RemoteProtocolError."""
        reader = self._h11.Connection(
            self._h11.SERVER if sender == "client" else self._h11.CLIENT, max_incomplete_event_size=MAX_HEAD
        )
        if sender == "client" and b"\nhost:" not in head.lower():
            head = head.rstrip(b"\r\n") + b"\r\nHost: unknown\r\n\r\n"  # h11 wants one, and tokens come without
        elif sender == "server":
            reader.send(self._h11.Request(method=self._method, target=b"/", headers=[(b"Host", b"unknown")]))
            reader.send(self._h11.EndOfMessage())
        reader.receive_data(head)
        return reader, reader.next_event()

    def _resynchronise(self, sender: Sender, side: _Side) -> None:
        marks = _METHODS if sender == "client" else (b"HTTP/1.",)
        found = [position for mark in marks if (position := side.data.find(b"\n" + mark)) >= 0]
        side.data = side.data[min(found) + 1 :] if found else b""

    def _message(
        self, sender: Sender, title: str, headers: Iterable[tuple[bytes, bytes]], size: int, time: int | None
    ) -> None:
        tokens = [
            match.group(1) for name, value in headers if name == _HEADERS[sender] and (match := _TOKEN.search(value))
        ]
        if not tokens and self._conversation.transport != "winrm":
            self._unrelated += 1
            self.complete = self._unrelated >= _MAX_UNRELATED
            return
        self._conversation.transport = "winrm"
        token, error = _decode(tokens[0] or b"") if tokens else (b"", "")
        if not self._is_shown(token):
            return
        if sender == "client":
            self._look_for_login(token)
        what = f"CredSSP token of {len(token)} bytes" if token else ("offers CredSSP" if tokens else "")
        if not tokens and any(b"credssp-session-encrypted" in value.lower() for _, value in headers):
            what = "body encrypted with the inner TLS session"
        self._conversation.add(Event(sender, "http", size, time, f"{title}: {what}" if what else title, error=error))
        if token:
            self._deliver(sender, token, time)

    def _is_shown(self, token: bytes) -> bool:
        """Whether a message is worth an event: the login is, and the beginning of what follows it."""
        self._later = 0 if token else self._later + 1
        if self._later > _MAX_LATER:
            self._conversation.note(f"more than {_MAX_LATER} HTTP messages after the login; the rest is not shown")
        return self._later <= _MAX_LATER

    def _look_for_login(self, token: bytes) -> None:
        """A connection is kept alive: a ClientHello with another random begins another login on it."""
        # With the same random it is the answer to a HelloRetryRequest (RFC 8446 4.1.2).
        random = client_hello_random(token)
        if random and self._client_random and random != self._client_random:
            self._conversation = self._renew()
        self._client_random = random or self._client_random


def _decode(token: bytes) -> tuple[bytes, str]:
    try:
        return base64.b64decode(token + b"=" * (-len(token) % 4), validate=True), ""
    except binascii.Error:
        return b"", "the token is not base64"

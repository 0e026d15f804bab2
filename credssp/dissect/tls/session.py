"""One TLS connection seen from the outside: bytes of both directions in, plaintext out.

Each direction has its queue of records. The queues move on as far as keys are there: a record that needs the
ServerHello or a secret that has not been read yet (a secrets block further down in the file) waits, and is tried again
at the end. Nothing that is wrong with one direction stops the other.
"""

from __future__ import annotations

import itertools
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from credssp.dissect.model import Sender, TLSInfo
from credssp.dissect.tls import handshake as hs
from credssp.dissect.tls.alert_names import alert_text
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.tls.master import find_master_secret
from credssp.dissect.tls.protection import Opener, RecordError, make_opener
from credssp.dissect.tls.schedule import DirectionKeys, key_block, next_secret, traffic_keys
from credssp.dissect.tls.suites import Suite, find_suite, suite_name
from credssp.errors import DecodeError

__all__ = ["Notify", "TLSReader"]

CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23

_HEADER: Final = 5
_TLS13: Final = 0x0304
_RECORD: Final = struct.Struct(">BHH")
_MAX_RECORD: Final = 16384 + 2048
"""Bytes of a protected record (RFC 5246 6.2.3); TLS 1.3 allows 256 above the plaintext."""
_MAX_QUEUE: Final = 64 * 1024
"""Bytes of a connection that wait for keys; a login has less than 20 KiB."""
MAX_WAITING: Final = 64 << 20
"""Bytes of all connections that wait for keys."""
_MAX_FLIGHTS: Final = 20
"""Packets with encrypted records of one direction that are shown; a login has five."""
_MAX_TRANSCRIPT: Final = 256 * 1024
_MAX_SKIP: Final = 64
"""Records that may be missing in a gap before the next one opens again."""

Deliver = Callable[[Sender, bytes, int | None], None]
Notify = Callable[[Sender, str, int, int | None], None]
"""Called with what was sent (handshake messages, an alert), its size and its time."""


class _Record(NamedTuple):
    order: int
    kind: int
    version: int
    body: bytes
    time: int | None


class _Side:
    """One direction."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.data = b""
        self.queue: deque[_Record] = deque()
        self.queued = 0
        self.messages = hs.HandshakeBuffer()
        self.protected = False
        self.opener: Opener | None = None
        self.secret = b""
        self.label = ""
        self.probing = False
        self.after_gap = False
        self.dead = False

    def close(self) -> None:
        """Give up: nothing more of this direction can be opened."""
        self.dead = True
        self.data = b""
        self.queue.clear()


class TLSReader:
    """Opens a connection if a key for it is there.

    Attributes:
        info: what is known of it; `info.problems` says what could not be opened.
    """

    def __init__(self, secrets: Secrets, deliver: Deliver, notify: Notify) -> None:
        self.info = TLSInfo()
        self._secrets = secrets
        self._deliver = deliver
        self._notify = notify
        self._sides: dict[Sender, _Side] = {"client": _Side("client"), "server": _Side("server")}
        self._client_hello: hs.ClientHello | None = None
        self._server_hello: hs.ServerHello | None = None
        self._transcript = b""
        self._key_exchange = b""
        self._suite: Suite  # from the first opener on
        self._block: dict[Sender, DirectionKeys] | None = None
        self._pumping = False
        self._order = 0

    # What comes in

    def feed(self, sender: Sender, data: bytes, time: int | None) -> None:
        """Take the next bytes of one direction."""
        side = self._sides[sender]
        if side.dead:
            return
        side.data += data
        self._cut(side, time)
        self._pump()

    def gap(self, sender: Sender, size: int) -> None:
        """Say that bytes of one direction are missing."""
        side = self._sides[sender]
        if not side.dead:
            self._problem(f"{size} bytes of the {sender} are missing; what was in them is lost")
            side.data = b""
            side.messages = hs.HandshakeBuffer()
            side.after_gap = True

    def finish(self) -> None:
        """Say that nothing more comes; whatever still waits is tried once more, and given up."""
        self._pump()
        for side in self._sides.values():
            if side.queue:
                self._problem(self._why_not())
                self._show_encrypted(side)
            elif side.data and not side.dead:
                self._problem(f"the capture ends inside a TLS record of the {side.sender}")
            self._close(side)

    @property
    def waits(self) -> bool:
        """Whether records wait for a key that may still come."""
        return any(side.queue for side in self._sides.values())

    @property
    def dead(self) -> bool:
        """Whether nothing more can be opened in either direction."""
        return all(side.dead for side in self._sides.values())

    # Records

    def _cut(self, side: _Side, time: int | None) -> None:
        """Cut whole records out of what was received."""
        if side.after_gap:
            side.data = _next_record(side.data)
        while len(side.data) >= _HEADER:
            if not _is_header(side.data, 0):
                self._problem(f"the {side.sender} sends something other than TLS records")
                self._close(side)
                return
            kind, version, size = _RECORD.unpack_from(side.data)
            if len(side.data) < _HEADER + size:
                return
            body, side.data = side.data[_HEADER : _HEADER + size], side.data[_HEADER + size :]
            side.queue.append(_Record(self._order, kind, version, body, time))
            self._order += 1
            self._hold(side, _HEADER + size)

    def _hold(self, side: _Side, size: int) -> None:
        """Count what waits, headers included: a record without bytes costs memory too."""
        side.queued += size
        self._secrets.waiting += size

    def _check_limits(self) -> None:
        sides = self._sides.values()
        if self._secrets.waiting > MAX_WAITING or sum(side.queued for side in sides) > _MAX_QUEUE:
            self._problem(self._why_not())
            for side in sides:
                self._show_encrypted(side)
                self._close(side)

    def _close(self, side: _Side) -> None:
        self._hold(side, -side.queued)
        side.close()

    def _show_encrypted(self, side: _Side) -> None:
        """Tell when and how much was sent that could not be opened: even that shows how far a login went."""
        flights = itertools.groupby(side.queue, key=lambda record: record.time)
        for time, records in itertools.islice(flights, _MAX_FLIGHTS):
            sizes = [len(record.body) for record in records]
            what = "encrypted record" if len(sizes) == 1 else f"{len(sizes)} encrypted records"
            self._notify(side.sender, what, sum(sizes), time)

    def _pump(self) -> None:
        """Read both directions until neither has a whole record."""
        if self._pumping:  # a delivery that comes back here
            return
        self._pumping = True
        try:
            while any(self._advance(side) for side in self._waiting()):
                pass
            self._check_limits()
        finally:
            self._pumping = False

    def _waiting(self) -> list[_Side]:
        """Return the directions in which a record waits, the one that was captured first in front."""
        return sorted((side for side in self._sides.values() if side.queue), key=lambda side: side.queue[0].order)

    def _advance(self, side: _Side) -> bool:
        """Handle the record at the head of a queue; returns whether it could be handled."""
        record = side.queue[0]
        opener = None
        if self._is_protected(side, record):
            opener = self._find_opener(side)
            if opener is None:
                return False
        side.queue.popleft()
        self._hold(side, -_HEADER - len(record.body))
        opened = (record.kind, record.body) if opener is None else self._open(side, opener, record)
        if opened is not None:
            try:
                self._handle(side, *opened, record)
            except DecodeError as error:
                self._problem(f"a handshake message of the {side.sender} does not decode: {error}")
                side.messages = hs.HandshakeBuffer()
        return True

    def _is_protected(self, side: _Side, record: _Record) -> bool:
        if record.kind == CHANGE_CIPHER_SPEC:
            return False
        if side.protected and self.info.version < _TLS13:
            return True
        # Before the ServerHello nobody can say what this is; with TLS 1.3 all that is protected looks like this.
        return record.kind == APPLICATION_DATA

    def _open(self, side: _Side, opener: Opener, record: _Record) -> tuple[int, bytes] | None:
        tries = _MAX_SKIP if side.after_gap else 1
        start = opener.sequence
        for skip in range(tries):
            opener.sequence = start + skip
            try:
                opened = opener.open(record.kind, record.version, record.body)
            except RecordError:
                continue
            side.after_gap = side.probing = False
            self.info.opened = True
            return opened
        opener.sequence = start
        if side.probing:
            return None  # still the handshake, for which there is no key
        if side.after_gap:
            self._problem(f"a record of the {side.sender} after the missing bytes does not open")
        else:
            self._problem(
                f"a record of the {side.sender} does not open with the keys given: they belong to another connection, "
                "or the record was altered"
            )
            self._close(side)
        return None

    # Content

    def _handle(self, side: _Side, kind: int, data: bytes, record: _Record) -> None:
        if kind == HANDSHAKE:
            self._handshake(side, data, record.time)
        elif kind == APPLICATION_DATA:
            if data:
                self._deliver(side.sender, data, record.time)
        elif kind == ALERT:
            self._notify(side.sender, alert_text(data), len(data), record.time)
        elif kind == CHANGE_CIPHER_SPEC and self.info.version < _TLS13:
            side.protected = True
            side.opener = None

    def _handshake(self, side: _Side, data: bytes, time: int | None) -> None:
        messages = side.messages.feed(data)
        if messages:
            names = ", ".join(hs.message_name(kind) for kind, _ in messages)
            self._notify(side.sender, names, sum(len(message) for _, message in messages), time)
        for kind, message in messages:
            self._message(side, kind, message)

    def _message(self, side: _Side, kind: int, message: bytes) -> None:
        if len(self._transcript) < _MAX_TRANSCRIPT and not self._key_exchange:
            self._transcript += message
        if kind == hs.CLIENT_HELLO and side.sender == "client":
            if side.opener is not None:
                self._problem("TLS is renegotiated inside the connection; decryption ends here")
                self._close(side)
                return
            self._client_hello = hello = hs.ClientHello.decode(message)
            self.info.client_random, self.info.server_name = hello.random, hello.server_name
        elif kind == hs.SERVER_HELLO and side.sender == "server":
            self._take_server_hello(hs.ServerHello.decode(message))
        elif kind == hs.CERTIFICATE and side.sender == "server":
            self.info.certificate = hs.read_certificate(message, self.info.version)
        elif kind == hs.CLIENT_KEY_EXCHANGE:
            self._key_exchange = message[4:]
        elif kind == hs.FINISHED and self.info.version >= _TLS13:
            side.label = f"{side.sender.upper()}_TRAFFIC_SECRET_0"
            side.opener = None
        elif kind == hs.KEY_UPDATE and side.opener is not None:
            self._use_secret(side, next_secret(self._suite, side.secret))

    def _take_server_hello(self, hello: hs.ServerHello) -> None:
        if hello.is_retry:
            return
        self._server_hello = hello
        self.info.version, self.info.suite = hello.version, hello.suite
        if hello.version >= _TLS13:
            for side in self._sides.values():
                side.label = f"{side.sender.upper()}_HANDSHAKE_TRAFFIC_SECRET"

    # Keys

    def _find_opener(self, side: _Side) -> Opener | None:
        """Return what opens the records of a direction; finds its keys, if they are not there yet."""
        if side.opener is not None:
            return side.opener
        hello, client = self._server_hello, self._client_hello
        suite = None if hello is None else find_suite(hello.suite)
        if hello is None or client is None or suite is None:
            return None
        self._suite = suite
        if hello.version >= _TLS13:
            self._find_traffic_secret(side, client.random)
            return side.opener
        if self._block is None:
            master = find_master_secret(
                self._secrets, client, hello, suite, self._key_exchange, self._transcript, self.info.certificate
            )
            if isinstance(master, str):
                return None
            own, peer = key_block(hello.version, suite, master, client.random, hello.random)
            self._block = {"client": own, "server": peer}
        side.opener = make_opener(
            hello.version, suite, self._block[side.sender], encrypt_then_mac=hello.encrypt_then_mac
        )
        return side.opener

    def _find_traffic_secret(self, side: _Side, random: bytes) -> None:
        secret = self._secrets.find(random, side.label)
        if secret is None and "HANDSHAKE" in side.label:
            # Some key logs leave the handshake out: the first record that opens is then the first of the application.
            secret = self._secrets.find(random, f"{side.sender.upper()}_TRAFFIC_SECRET_0")
            side.probing = secret is not None
        if secret is not None:
            self._use_secret(side, secret)

    def _use_secret(self, side: _Side, secret: bytes) -> None:
        side.secret = secret
        side.opener = make_opener(_TLS13, self._suite, traffic_keys(self._suite, secret), encrypt_then_mac=False)

    # What goes wrong

    def _problem(self, text: str) -> None:
        if text not in self.info.problems:
            self.info.problems.append(text)

    def _why_not(self) -> str:
        """Say why records could not be opened."""
        client, hello = self._client_hello, self._server_hello
        if client is None or hello is None:
            lost = [name for name, found in (("ClientHello", client), ("ServerHello", hello)) if found is None]
            verb = "is" if len(lost) == 1 else "are"
            return f"encrypted, and cannot be decrypted: {' and '.join(lost)} {verb} not in the capture"
        suite = find_suite(hello.suite)
        if suite is None:
            return f"encrypted, and cannot be decrypted: {suite_name(hello.suite)} is not supported here"
        if hello.version < _TLS13:
            master = find_master_secret(
                self._secrets, client, hello, suite, self._key_exchange, self._transcript, self.info.certificate
            )
            if isinstance(master, str):
                return f"encrypted, and cannot be decrypted: {master}"
        if self._secrets.knows(client.random):
            return "encrypted, and only partly decrypted: the key log lacks a secret of this connection"
        if self._secrets.rsa_key is not None and not self._secrets.count:
            return "encrypted, and cannot be decrypted: TLS 1.3 has no RSA key exchange, so a key log is needed"
        return f"encrypted, and cannot be decrypted: {self._secrets.why_not(client.random)}"


def _is_header(data: bytes, at: int) -> bool:
    if not (20 <= data[at] <= 24 and data[at + 1] == 3 and data[at + 2] <= 4):
        return False
    return int.from_bytes(data[at + 3 : at + 5], "big") <= _MAX_RECORD


def _next_record(data: bytes) -> bytes:
    """Drop bytes until what looks like a record whose successor looks like one too."""
    start = data.find(3, 1) - 1
    while 0 <= start <= len(data) - _HEADER:
        if _is_header(data, start):
            following = start + _HEADER + int.from_bytes(data[start + 3 : start + 5], "big")
            if following > len(data) - _HEADER or _is_header(data, following):
                return data[start:]
        start = data.find(3, start + 2) - 1
    return data[-(_HEADER - 1) :]

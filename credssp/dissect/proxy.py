"""What precedes a stream that went through a proxy: HTTP CONNECT, SOCKS 4, 4a and 5, and the PROXY protocol.

Each is a generator that says which bytes of which side it wants next, exactly so many or up to a mark; `ProxyHead`
brings them, and keeps what arrives early. What follows the head is an ordinary stream, and perhaps another head.
Passwords for the proxy are skipped.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable, Generator
from typing import Final

from credssp.dissect.model import Sender

__all__ = ["ENOUGH", "MAX_DEPTH", "ProxyHead", "begins_proxied"]

ENOUGH: Final = 8
"""Bytes that tell whether this is a head."""

MAX_DEPTH: Final = 4
"""Heads one after another: a load balancer's PROXY header, then a proxy, then another one."""

_MAX_HEAD: Final = 16 * 1024  # what http.sys takes; also what may arrive early
_MAX_LINE: Final = 107  # the PROXY protocol's own bound of a version 1 header
_MAX_BODY: Final = 1 << 20
_MAX_ROUNDS: Final = 8  # a proxy that authenticates with NTLM or Negotiate takes three

_SOCKS: Final = (4, 5)
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_CONNECT: Final = b"CONNECT "
_V1: Final = b"PROXY "

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_LENGTH: Final = re.compile(rb"\r?\ncontent-length:[ \t]*([0-9]{1,7})[ \t]*\r?\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r?\ntransfer-encoding:", re.IGNORECASE)

_SOCKS5_REPLIES: Final = {
    1: "general failure",
    2: "not allowed by the rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}

Want = tuple[Sender, int | bytes]
Steps = Generator[Want, bytes, str]


class _RefusedError(Exception):
    """The proxy refused, or the head is one that is not read here; the text says what."""


def begins_proxied(data: bytes) -> bool | None:
    """Tell from a client's first bytes whether a head begins; None where more are needed (at most `ENOUGH`)."""
    for mark in (_CONNECT, _V1, _V2):
        if data.startswith(mark[:ENOUGH]):
            return True
        if mark.startswith(data):
            return None
    if data[0] == 5:
        # A client waits after its list of methods, so the list is all there is.
        size = 2 + data[1] if len(data) > 1 else ENOUGH
        if not 3 <= size <= ENOUGH or len(data) > size:
            return None if len(data) == 1 else False
        return True if len(data) == size else None
    if data[0] == 4 and data[1:2] in (b"", b"\1"):
        return True if len(data) >= ENOUGH else None
    return False


class _MisfitError(_RefusedError):
    """It looked like a head, and is something else."""


class ProxyHead:
    """Reads one head.

    Attributes:
        done: whether it was read, or cannot be.
        summary: what it was, such as ``SOCKS5 to srv.lab.test:3389``.
        problem: why what follows cannot be read, or an empty string.
        size: bytes of the head, by side.
    """

    _sure: bool

    def __init__(self, data: bytes) -> None:
        """Choose by the client's first bytes, which `begins_proxied`."""
        steps, self._title = _find(data)
        self._sure = data[0] not in _SOCKS
        self._steps = steps()
        self._want = next(self._steps)
        self._held: dict[Sender, bytearray] = {"client": bytearray(), "server": bytearray()}
        self.done = False
        self.summary = self._title
        self.problem = ""
        self.size: dict[Sender, int] = {"client": 0, "server": 0}

    def feed(self, sender: Sender, data: bytes) -> None:
        """Take the next bytes of one side."""
        self._held[sender] += data
        while not self.done:
            wanted = self._next()
            if wanted is None:
                if len(self._held[sender]) > _MAX_HEAD:
                    self.fail("does not end")
                return
            try:
                self._want = self._steps.send(wanted)
            except StopIteration as end:
                self.done = True
                self.summary = f"{self._title}{end.value}"
            except _MisfitError as error:
                self._sure = False
                self.size["server"] = 0
                self.fail(str(error))
            except _RefusedError as error:
                self.fail(str(error))

    def fail(self, why: str) -> None:
        """Give up."""
        self.done = True
        self.problem = f"{self._title}: {why}"

    @property
    def is_certain(self) -> bool:
        """Whether this is a proxy: two or three bytes of SOCKS may be anything until the server answers to them."""
        return self._sure or self.size["server"] > 0

    def rest(self, sender: Sender) -> bytes:
        """Return the bytes of a side after the head."""
        return bytes(self._held[sender])

    def _next(self) -> bytes | None:
        """Take what is wanted from what is there, or None."""
        sender, what = self._want
        held = self._held[sender]
        if isinstance(what, int):
            if len(held) < what:
                return None
            end = what
        else:
            found = held.find(what)
            if found < 0:
                return None
            end = found + len(what)
        taken = bytes(held[:end])
        del held[:end]
        self.size[sender] += end
        return taken


def _find(data: bytes) -> tuple[Callable[[], Steps], str]:
    if data.startswith(_CONNECT):
        return _connect, "HTTP proxy"
    if data.startswith(_V1):
        return _proxy_v1, "PROXY protocol version 1"
    if data.startswith(_V2[:ENOUGH]):
        return _proxy_v2, "PROXY protocol version 2"
    return (_socks5, "SOCKS5 proxy") if data[0] == 5 else (_socks4, "SOCKS4 proxy")


def _text(data: bytes) -> str:
    return data.decode("ascii", "backslashreplace")


def _address(data: bytes) -> str:
    address = ipaddress.ip_address(data)
    return f"[{address}]" if address.version == 6 else str(address)


def _port(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _connect() -> Steps:
    """CONNECT until it is granted (RFC 9110 9.3.6); a proxy may ask for authentication first."""
    answer = b""
    for _ in range(_MAX_ROUNDS):
        request = yield "client", b"\r\n\r\n"
        if not request.startswith(_CONNECT):
            raise _RefusedError(f"refused with HTTP status {_text(answer)}" if answer else "no CONNECT")
        target = request.split(b" ", 2)[1]
        response = yield "server", b"\r\n\r\n"
        status = _STATUS.match(response)
        if status is None:
            raise _RefusedError("the answer to CONNECT is not HTTP/1.1")
        answer = status[1]
        if answer.startswith(b"2"):
            return f", CONNECT {_text(target)}"
        length = _LENGTH.search(response)
        size = int(length[1]) if length else 0
        if _CHUNKED.search(response) or size > _MAX_BODY:
            raise _RefusedError(f"refused with HTTP status {_text(answer)}")
        while size:
            size -= len((yield "server", min(size, 4096)))
        if answer != b"407":
            break
    raise _RefusedError(f"refused with HTTP status {_text(answer)}")


def _socks4() -> Steps:
    """SOCKS4 and 4a: version, command, port, address, user, and the name where the address is 0.0.0.x."""
    head = yield "client", 8
    yield "client", b"\0"
    target = _address(head[4:8])
    if head[4:7] == b"\0\0\0" and head[7]:
        name = yield "client", b"\0"
        target = _text(name[:-1])
    reply = yield "server", 8
    if reply[0] != 0:
        raise _MisfitError("the answer is not SOCKS4")
    if reply[1] != 0x5A:
        raise _RefusedError(f"refused with code {reply[1]}")
    return f" to {target}:{_port(head[2:4])}"


def _socks5() -> Steps:
    """SOCKS5 (RFC 1928) without authentication or with user and password (RFC 1929)."""
    yield "client", (yield "client", 2)[1]
    version, method = yield "server", 2
    if version != 5:
        raise _MisfitError("the answer is not SOCKS5")
    if method == 2:
        yield "client", (yield "client", 2)[1]
        yield "client", (yield "client", 1)[0]
        if (yield "server", 2)[1]:
            raise _RefusedError("refused user and password")
    elif method:
        what = "refused every method of authentication" if method == 0xFF else f"method {method} is not read here"
        raise _RefusedError(what)
    _, target = yield from _socks5_message("client")
    reply, _ = yield from _socks5_message("server")
    if reply[1]:
        raise _RefusedError(f"refused with code {reply[1]} ({_SOCKS5_REPLIES.get(reply[1], 'not assigned')})")
    return f" to {target}"


def _socks5_message(sender: Sender) -> Generator[Want, bytes, tuple[bytes, str]]:
    head = yield sender, 4
    if head[0] != 5 or head[3] not in (1, 3, 4):
        raise _RefusedError("a message is not SOCKS5")
    if head[3] == 3:
        host = _text((yield sender, (yield sender, 1)[0]))
    else:
        host = _address((yield sender, 4 if head[3] == 1 else 16))
    return head, f"{host}:{_port((yield sender, 2))}"


def _proxy_v1() -> Steps:
    line = yield "client", b"\r\n"
    words = line.split()
    if len(line) > _MAX_LINE:
        raise _RefusedError(f"the line has more than {_MAX_LINE} bytes")
    if len(words) != 6:
        return ", without addresses"
    _, _, source, target, source_port, target_port = map(_text, words)
    return f" from {source}:{source_port} to {target}:{target_port}"


_V2_SIZES: Final = {0x11: 4, 0x21: 16}
_V2_REST: Final = struct.Struct(">H")


def _proxy_v2() -> Steps:
    head = yield "client", 16
    if not head.startswith(_V2):
        raise _RefusedError("the signature is not that of version 2")
    (size,) = _V2_REST.unpack_from(head, 14)
    body = yield "client", size
    wide = _V2_SIZES.get(head[13])
    if not head[12] & 0x0F or wide is None or size < 2 * wide + 4:
        return ", without addresses"  # LOCAL, or a socket of another family
    source, target = _address(body[:wide]), _address(body[wide : 2 * wide])
    ports = body[2 * wide : 2 * wide + 4]
    return f" from {source}:{_port(ports[:2])} to {target}:{_port(ports[2:])}"

"""HTTP requests and responses of the suite, and how they are shown as evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from credssp.conformance.rule import SHOWN, Evidence
from credssp.errors import CredSSPError
from credssp.exchange.recorded_login import Sender
from credssp.winrm.encryption import is_encrypted_type
from credssp.winrm.header import challenge_token, request_token

__all__ = ["HttpAnswer", "HttpEvidence", "HttpRequest"]

_SECRET_FIELDS: Final = ("authorization", "proxy-authorization", "cookie", "set-cookie")
_TOKEN: Final = 32
"""Characters of a CredSSP token that are shown: 24 bytes of a TLS record."""
_VALUE: Final = 200
"""Characters of a header's value that are shown: the longest of [MS-WSMV] has about 120."""
_FIELDS: Final = 20
_METADATA: Final = 256
"""Bytes of an encrypted message that are shown: about 220 are MIME, and then there is the trailer's length."""

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class HttpEvidence(Evidence):
    """An HTTP message.

    Attributes:
        brief: what is shown of it: its head, with long values cut, and the beginning of its body.
    """

    brief: bytes = field(default=b"", repr=False)

    def shown(self, *, reveal: bool = False) -> bytes:
        """Return what may be shown: `brief`, or all with `reveal`."""
        return self.data if reveal else self.brief

    def lines(self, *, reveal: bool = False) -> list[str]:
        """Return it as text: a line for each line of the message, with what cannot be seen as an escape."""
        shown = self.shown(reveal=reveal).removesuffix(b"\r\n\r\n")
        lines = ["".join(map(_visible, line)) for line in shown.split(b"\r\n")]
        return lines if len(shown) >= len(self.data) - 4 else [*lines, f"... ({len(self.data)} bytes)"]


def _visible(octet: int) -> str:
    return chr(octet) if 0x20 <= octet < 0x7F else "\\t" if octet == 9 else f"\\x{octet:02x}"


def _evidence(sender: Sender, start: str, fields: Fields, body: bytes, content_type: str) -> HttpEvidence:
    fields = tuple((name, _without_secret(name, value)) for name, value in fields)
    head, brief = _head(start, fields), _head(start, ((name, _cut(name, value)) for name, value in fields[:_FIELDS]))
    size = _METADATA if is_encrypted_type(content_type) else SHOWN
    return HttpEvidence(sender, head + body, "HTTP", brief + body[:size])


def _head(start: str, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"


def _without_secret(name: str, value: str) -> str:
    """Leave out what gives a password or a session away; a token of CredSSP is TLS, and does not."""
    scheme, blank, rest = value.partition(" ")
    if name.lower() not in _SECRET_FIELDS or scheme.lower() == "credssp" or not value:
        return value
    return f"{scheme} (not shown)" if blank and rest and "authorization" in name.lower() else "(not shown)"


def _cut(name: str, value: str) -> str:
    scheme, blank, rest = value.partition(" ")
    if name.lower() in ("authorization", "www-authenticate") and scheme.lower() == "credssp" and len(rest) > _TOKEN:
        return f"{scheme}{blank}{rest[:_TOKEN]}... ({len(rest)} characters)"
    return value if len(value) <= _VALUE else f"{value[:_VALUE]}... ({len(value)} characters)"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response.

    Attributes:
        status: its status; 0 where the connection ended.
        challenges: values of WWW-Authenticate.
        content_type: Content-Type.
        body: the body.
    """

    status: int
    challenges: tuple[str, ...] = ()
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def token(self) -> bytes | None:
        """The CredSSP token; None without one, and for a scheme without a token."""
        try:
            return challenge_token(self.challenges) or None
        except CredSSPError:
            return None

    @property
    def offers(self) -> bool:
        """Whether the CredSSP scheme is there."""
        try:
            return challenge_token(self.challenges) is not None
        except CredSSPError:
            return False

    @property
    def evidence(self) -> Evidence:
        """What is known of it, as evidence."""
        if not self.status:
            return Evidence("server", b"", "closed")
        challenges = tuple(("WWW-Authenticate", value) for value in self.challenges)
        kind = (("Content-Type", self.content_type),) if self.content_type else ()
        fields = (*challenges, *kind, ("Content-Length", str(len(self.body))))
        return _evidence("server", f"HTTP/1.1 {self.status}", fields, self.body, self.content_type)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request.

    Attributes:
        authorization: value of Authorization, or empty.
        content_type: Content-Type.
        body: the body.
        line: the request line.
        fields: all header fields, where they are known.
    """

    authorization: str = ""
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    line: str = "POST /wsman HTTP/1.1"
    fields: Fields = field(default=(), repr=False)

    @property
    def token(self) -> bytes:
        """The CredSSP token, empty without one."""
        try:
            return request_token([self.authorization] if self.authorization else []) or b""
        except CredSSPError:
            return b""

    @property
    def evidence(self) -> Evidence:
        """What is known of it, as evidence."""
        told = (
            ("Authorization", self.authorization),
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
        )
        names = {name.lower() for name, _ in told}
        others = tuple((name, value) for name, value in self.fields if name.lower() not in names)
        fields = (*others, *((name, value) for name, value in told if value))
        return _evidence("client", self.line, fields, self.body, self.content_type)

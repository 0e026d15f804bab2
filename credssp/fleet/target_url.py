"""Where a server is: ``rdp://HOST:PORT``, ``http://HOST:PORT/PATH``, ``https://...``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from credssp.errors import LocalProtocolError

__all__ = ["DEFAULT_PORTS", "TargetURL", "parse_target", "plain_zone"]

DEFAULT_PORTS: Final = {"rdp": 3389, "http": 5985, "https": 5986}
"""By URL scheme."""

_ZONE: Final = r"(?:%[^\s/:@\[\]?#]+)?"

_URL: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    rf"(?:\[(?P<v6>[0-9A-Fa-f:.]+{_ZONE})\]|(?P<host>[^\s/:@\[\]?#]+)|"
    rf"(?P<bare6>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*{_ZONE}))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^\s?#]*)?"
)


@dataclass(frozen=True, slots=True)
class TargetURL:
    """A server.

    Attributes:
        scheme: of `DEFAULT_PORTS`.
        host: name or address, without brackets; an IPv6 address may have a zone (``fe80::1%eth0``).
        port: TCP port.
        path: what follows the port, with its slash; may be empty.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        host = self.host if self.scheme == "rdp" else self.host.replace("%", "%25")  # RFC 6874
        host = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_target(text: str, *, default_scheme: str = "rdp") -> TargetURL:
    """Read ``scheme://host:port``, ``host:port`` or ``host``.

    Raises:
        LocalProtocolError: it is not a target, or its scheme is not supported.
    """
    text = text.strip()
    if not text.isprintable():
        raise LocalProtocolError(f"{text!r} is not a target: there is a control character in it")
    match = _URL.fullmatch(text)
    if match is None and "@" in text:  # there may be a password in front of it, which is not repeated
        raise LocalProtocolError("not a target: leave out '@' and what is in front of it; the user is given by -u")
    if match is None:
        raise LocalProtocolError(f"{text!r} is not a target: use rdp://HOST or rdp://HOST:PORT")
    scheme = (match["scheme"] or default_scheme).lower()
    if scheme not in DEFAULT_PORTS:
        raise LocalProtocolError(f"scheme {scheme!r} is not supported; use one of {', '.join(sorted(DEFAULT_PORTS))}")
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise LocalProtocolError(f"{port} is not a TCP port: use 1 to 65535")
    path = match["path"] or ""
    host = match["host"] or plain_zone(match["v6"] or match["bare6"])
    return TargetURL(scheme, host, port, "" if path == "/" else path)


def plain_zone(address: str) -> str:
    """Return an address with its zone after ``%``, as the system's functions take it, not after ``%25`` as URLs do."""
    host, percent, zone = address.partition("%")
    return f"{host}{percent}{zone[2:] if zone.startswith('25') and zone != '25' else zone}"

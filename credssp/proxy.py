"""A proxy between us and the server: what its URL says, and which one the environment names, as curl reads both."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast, get_args
from urllib.parse import unquote

from credssp.errors import LocalProtocolError
from credssp.secret import Secret, private

__all__ = ["Proxy", "ProxyScheme", "proxy_from_environment"]

ProxyScheme: TypeAlias = Literal["http", "socks5", "socks5h"]
"""``http`` is asked to CONNECT; ``socks5`` gets an address that we look up, ``socks5h`` looks the name up itself."""

_SCHEMES: Final = get_args(ProxyScheme)
_DEFAULT_PORT: Final = 1080
"""As in curl, whatever the scheme."""

_URL: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?:(?P<user>[^:@/?#\s]*)(?::(?P<password>[^@/?#\s]*))?@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[^\s\]/?#]+)?)\]|(?P<host>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
_WRONG: Final = (
    "the proxy is not a URL such as http://HOST:PORT, socks5://HOST:PORT or socks5h://USER:PASSWORD@HOST:PORT"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy.

    Attributes:
        scheme: how to speak with it.
        host: its name or address.
        port: its TCP port.
        username: for its own login, Basic with ``http``, RFC 1929 with SOCKS; empty for none.
        password: the password for it.

    Raises:
        LocalProtocolError: a field that makes no sense. The text does not repeat user name or password.
    """

    scheme: ProxyScheme
    host: str
    port: int = _DEFAULT_PORT
    username: str = field(default="", repr=False)
    password: Secret[str] = field(default_factory=lambda: Secret(""))

    def __post_init__(self) -> None:
        if self.scheme not in _SCHEMES:
            raise LocalProtocolError(f"a proxy's scheme is one of {', '.join(_SCHEMES)}, not {self.scheme!r}")
        if not 0 < self.port < 65536:
            raise LocalProtocolError(f"the proxy's port {self.port} is not a TCP port: use 1 to 65535")
        self._check_login()

    @private
    def _check_login(self) -> None:
        password = self.password.reveal()
        if not self.username and password:
            raise LocalProtocolError("the proxy's password is given without a user name")
        if self.scheme == "http":
            if ":" in self.username:
                raise LocalProtocolError("the user name for an HTTP proxy must not hold a colon (RFC 7617)")
            if not _is_text(self.username + password, "latin-1"):
                raise LocalProtocolError(
                    "user name and password for an HTTP proxy are Latin-1 without control characters"
                )
        elif self.username:
            if not password:
                raise LocalProtocolError("a SOCKS proxy takes a user name with a password only (RFC 1929)")
            if not all(_is_text(each, "ascii") and len(each) < 256 for each in (self.username, password)):
                raise LocalProtocolError(
                    "user name and password for a SOCKS proxy are at most 255 ASCII characters each"
                )

    @classmethod
    @private
    def parse(cls, url: str) -> Proxy:
        """Read ``scheme://user:password@host:port``; the scheme is ``http`` and the port 1080 where they are missing.

        User name and password may be percent-encoded.

        Raises:
            LocalProtocolError: it is not the URL of a proxy. The text does not repeat it: it may hold a password.
        """
        match = _URL.fullmatch(url.strip())
        if match is None:
            raise LocalProtocolError(_WRONG)
        scheme = (match["scheme"] or "http").lower()
        return cls(
            scheme=cast(ProxyScheme, scheme),
            host=match["v6"] or match["host"],
            port=int(match["port"] or _DEFAULT_PORT),
            username=unquote(match["user"] or ""),
            password=Secret(unquote(match["password"] or "")),
        )

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """The URL without user name and password."""
        return f"{self.scheme}://{self.address}"


def _is_text(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return not any(c < " " or c == "\x7f" for c in text)


@private
def proxy_from_environment(scheme: str, host: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy that the environment names for a URL, or None.

    ``rdp_proxy``, ``http_proxy`` or ``https_proxy`` by the scheme, else ``all_proxy``; ``no_proxy`` lists hosts,
    domains and ranges of addresses that are reached directly, ``*`` all. In capitals they count as well, and less, but
    for HTTP_PROXY, which a web server sets from what a client sends.

    Args:
        scheme: ``rdp``, ``http`` or ``https``.
        host: name or address of the server.
        environ: the variables; None for those of the process.

    Raises:
        LocalProtocolError: the variable does not hold the URL of a proxy; the text names the variable.
    """
    variables = os.environ if environ is None else environ
    url, name = "", ""
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        url = "" if name == "HTTP_PROXY" else variables.get(name, "").strip()
        if url:
            break
    if not url or _is_direct(host, variables.get("no_proxy") or variables.get("NO_PROXY") or ""):
        return None
    try:
        return Proxy.parse(url)
    except LocalProtocolError as error:
        raise LocalProtocolError(f"{name}: {error.message}") from None


def _is_direct(host: str, exceptions: str) -> bool:
    host = host.lower().strip("[]").rstrip(".")
    address = _address(host)
    for entry in re.split(r"[\s,]+", exceptions.lower()):
        name = entry.strip("[]").strip(".")
        if entry == "*":
            return True
        if not name:
            continue
        if address is not None:
            try:
                if address in ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False):
                    return True
            except ValueError:
                continue  # a name
        elif host == name or host.endswith("." + name):
            return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None

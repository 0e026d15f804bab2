"""``[listen]`` of a gateway's configuration: where it listens, and who may log on."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias

from credssp.rdp.negotiation import CREDSSP_PROTOCOLS, Protocol
from credssp.toml_table import Table

__all__ = ["Front", "Listen", "is_loopback", "read_listen", "socket_path"]

FrontSecurity: TypeAlias = Literal["nla", "tls", "nla+tls"]
Front: Final[dict[str, Protocol]] = {
    "nla": CREDSSP_PROTOCOLS,
    "tls": Protocol.SSL,
    "nla+tls": CREDSSP_PROTOCOLS | Protocol.SSL,
}
"""What each `security` of the front accepts."""

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_SOCKET_PATH: Final = 107
"""Bytes of sun_path, with a null character after them (unix(7))."""


@dataclass(frozen=True, slots=True)
class Listen:
    """``[listen]``.

    Attributes:
        address: host and port; empty and 0 for a Unix-domain socket.
        certificate: PEM file with chain and key.
        key: PEM file with the key, if `certificate` has none.
        security: what clients get.
        users_file: accounts for NTLM, or None.
        keytab: keys for Kerberos, or None.
        winbind: whether users of the domain that this machine has joined log on, by way of winbindd.
        allow_from: networks that may connect; empty for all.
        path: of a Unix-domain socket, or empty.
        socket_mode: permissions of that socket.
        workers: number of processes.
    """

    address: tuple[str, int]
    certificate: str
    key: str | None = None
    security: FrontSecurity = "nla"
    users_file: str | None = None
    keytab: str | None = None
    winbind: bool = False
    allow_from: tuple[Network, ...] = ()
    path: str = ""
    socket_mode: int = 0o600
    workers: int = 1

    def allows(self, host: str) -> bool:
        """Whether a client of this address may connect."""
        if not self.allow_from:
            return True
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.allow_from)

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine reach it."""
        return bool(self.path) or is_loopback(self.address[0])


_LISTEN_KEYS: Final = frozenset({each.name for each in fields(Listen)} - {"path"})


def read_listen(table: Table) -> Listen:
    """Take the table apart. Raises LocalProtocolError."""
    table.check(_LISTEN_KEYS)
    address, path = _listen_place(table)
    certificate = table.path("certificate")
    if certificate is None:
        raise table.error("certificate", "is missing")
    listen = Listen(
        address=address,
        certificate=certificate,
        key=table.path("key"),
        security=table.choice("security", FrontSecurity, "nla"),
        users_file=table.path("users_file"),
        keytab=table.path("keytab"),
        winbind=table.flag("winbind"),
        allow_from=tuple(_network(table, each) for each in table.texts("allow_from")),
        path=path,
        socket_mode=_socket_mode(table, path),
        workers=table.number("workers", 1),
    )
    if path and listen.allow_from:
        raise table.error(
            "allow_from", "does not go with a Unix socket, whose clients have no address: use socket_mode"
        )
    has_users = bool(listen.users_file or listen.keytab or listen.winbind)
    if listen.security == "tls" and has_users:
        raise table.error("security", "tls authenticates no user, so users_file, keytab and winbind have no effect")
    if listen.security != "tls" and not has_users:
        raise table.error("users_file", "or keytab or winbind is missing: no user could log on")
    return listen


def _listen_place(table: Table) -> tuple[tuple[str, int], str]:
    text = table.text("address")
    if text.startswith("unix:"):
        return ("", 0), socket_path(table, text)
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise table.error("address", f"is HOST:PORT or unix:/PATH, not {text!r}")
    return (host.strip("[]") or "0.0.0.0", int(port)), ""  # noqa: S104  # ":3389" says so in so many words


def socket_path(table: Table, text: str) -> str:
    """Return the path of ``unix:/PATH``. Raises LocalProtocolError."""
    path = text.removeprefix("unix:")
    if not path.startswith("/"):
        raise table.error("address", "is unix: with a whole path")
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        raise table.error("address", f"is too long: the path of a Unix socket has at most {_MAX_SOCKET_PATH} bytes")
    return path


def _socket_mode(table: Table, path: str) -> int:
    text = table.text("socket_mode", "0600")
    if "socket_mode" in table and not path:
        raise table.error("socket_mode", "is for a Unix socket (address = unix:/PATH)")
    if not re.fullmatch("0?[0-7]{3}", text):
        raise table.error("socket_mode", f'is text such as "0660", not {text!r}')
    return int(text, 8)


def _network(table: Table, text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise table.error("allow_from", f"has networks such as 192.0.2.0/24, not {text!r}") from None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone, as far as its name or address says so."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False

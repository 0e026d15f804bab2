"""The configuration of a gateway, a TOML file, read strictly: what is unknown or unsafe is refused before it runs."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from credssp.config import Limits
from credssp.credentials import PasswordCredentials
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.private_file import first_line, open_to_others
from credssp.rdp.negotiation import CREDSSP_PROTOCOLS, Protocol
from credssp.tls.settings import ClientTLS
from credssp.tls.trust import read_roots
from credssp.toml_table import Table

__all__ = ["Front", "GatewaySettings", "Listen", "SessionLimits", "TargetSettings", "read_settings"]

FrontSecurity: TypeAlias = Literal["nla", "tls", "nla+tls"]
BackSecurity: TypeAlias = Literal["nla", "tls", "rdp"]
CredentialMode: TypeAlias = Literal["delegated", "mapped", "client-info", "none"]

Front: Final[dict[str, Protocol]] = {
    "nla": CREDSSP_PROTOCOLS,
    "tls": Protocol.SSL,
    "nla+tls": CREDSSP_PROTOCOLS | Protocol.SSL,
}
"""What each `security` of the front accepts."""

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Listen:
    """``[listen]``.

    Attributes:
        address: host and port.
        certificate: PEM file with chain and key.
        key: PEM file with the key, if `certificate` has none.
        security: what clients get.
        users_file: accounts for NTLM, or None.
        keytab: keys for Kerberos, or None.
        allow_from: networks that may connect; empty for all.
    """

    address: tuple[str, int]
    certificate: str
    key: str | None = None
    security: FrontSecurity = "nla"
    users_file: str | None = None
    keytab: str | None = None
    allow_from: tuple[Network, ...] = ()

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
        """Whether it listens on loopback only."""
        return _is_loopback(self.address[0])


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Of ``[limits]``, what is about sessions after the login.

    Attributes:
        sessions_per_user: sessions that a user may have at once; 0 for any number.
        idle: seconds without a byte in either direction, after which a session ends; 0 for no limit.
        total: seconds after which it ends in any case; 0 for no limit.
    """

    sessions_per_user: int = 0
    idle: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """``[[target]]``: which server, for whom, and as whom.

    Attributes:
        name: for events and errors.
        host: of the server; empty for a Unix-domain socket.
        port: its port.
        path: of a Unix-domain socket, or empty.
        users: ``DOMAIN\\user``, ``*`` as a wildcard, or ``group:SID``.
        tokens: routing tokens, cookies or preconnection blobs, ``*`` as a wildcard; empty for any.
        security: what the server speaks.
        tls: how its certificate is checked.
        credentials: what the user is logged on with there.
        mapped: the credentials of the configuration, for `mapped`.
        other_user: whether another user than the one that logged on may be delegated.
        deny_channels: static virtual channels that the server does not see.
        mechanism: of NLA towards the server.
    """

    name: str
    host: str
    port: int
    path: str
    users: tuple[str, ...] = ("*",)
    tokens: tuple[str, ...] = ()
    security: BackSecurity = "nla"
    tls: ClientTLS = field(default_factory=ClientTLS)
    credentials: CredentialMode = "delegated"
    mapped: PasswordCredentials | None = None
    other_user: bool = False
    deny_channels: tuple[str, ...] = ()
    mechanism: Literal["auto", "ntlm", "kerberos", "negotiate"] = "auto"

    @property
    def address(self) -> str:
        """Where it is, for people."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """A whole configuration.

    Attributes:
        listen: where and how clients are accepted.
        limits: what strangers may cost.
        sessions: limits of sessions.
        targets: the first that fits is used.
    """

    listen: Listen
    targets: tuple[TargetSettings, ...]
    limits: Limits = field(default_factory=Limits)
    sessions: SessionLimits = field(default_factory=SessionLimits)


def read_settings(path: str | os.PathLike[str]) -> GatewaySettings:
    """Read a file.

    Raises:
        LocalProtocolError: it cannot be read, holds what is unknown, or what is not safe; the text names file and key.
    """
    try:
        if open_to_others(path) == "written":
            raise LocalProtocolError(f"{os.fspath(path)} can be written by every user of this machine")
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise LocalProtocolError(f"{os.fspath(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LocalProtocolError(f"{os.fspath(path)} is not UTF-8 text") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LocalProtocolError(f"{os.fspath(path)} is not TOML: {error}") from None
    try:
        return parse_settings(table, folder=Path(path).parent)
    except LocalProtocolError as error:
        raise LocalProtocolError(f"{os.fspath(path)}: {error.message}") from None


def parse_settings(table: Mapping[str, Any], *, folder: Path) -> GatewaySettings:
    """Take a table apart; paths in it are relative to `folder`. Raises LocalProtocolError."""
    Table(table, "", folder).check({"listen", "limits", "target"})
    listen = _listen(Table(_section(table, "listen"), "listen", folder))
    limits, sessions = _limits(Table(_section(table, "limits", default={}), "limits", folder))
    entries = table.get("target")
    if not isinstance(entries, list) or not entries:
        raise LocalProtocolError("there is no [[target]]")
    targets = tuple(_target(Table(each, f"target {number}", folder), listen) for number, each in enumerate(entries, 1))
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise LocalProtocolError(f"two targets have the name {name}")
    return GatewaySettings(listen, targets, limits, sessions)


def _section(table: Mapping[str, Any], name: str, *, default: Any = None) -> Any:
    found = table.get(name, default)
    if found is None:
        raise LocalProtocolError(f"[{name}] is missing")
    return found


def _listen(table: Table) -> Listen:
    table.check({each.name for each in fields(Listen)})
    text = table.text("address")
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise table.error("address", f"is HOST:PORT, not {text!r}")
    certificate = table.path("certificate")
    if certificate is None:
        raise table.error("certificate", "is missing")
    listen = Listen(
        address=(host.strip("[]") or "0.0.0.0", int(port)),  # noqa: S104  # ":3389" says so in so many words
        certificate=certificate,
        key=table.path("key"),
        security=table.choice("security", FrontSecurity, "nla"),
        users_file=table.path("users_file"),
        keytab=table.path("keytab"),
        allow_from=tuple(_network(table, each) for each in table.texts("allow_from")),
    )
    if listen.security == "tls" and (listen.users_file or listen.keytab):
        raise table.error("security", "tls authenticates no user, so users_file and keytab have no effect")
    if listen.security != "tls" and not listen.users_file and not listen.keytab:
        raise table.error("users_file", "or keytab is missing: no user could log on")
    return listen


def _network(table: Table, text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise table.error("allow_from", f"has networks such as 192.0.2.0/24, not {text!r}") from None


def _limits(table: Table) -> tuple[Limits, SessionLimits]:
    own = {each.name: each.default for each in fields(SessionLimits)}
    shared = {each.name: each.default for each in fields(Limits) if isinstance(each.default, int | float)}
    table.check(own.keys() | shared.keys())
    given = {key: table.number(key, shared[key]) for key in table.keys if key in shared}
    mine = {key: table.number(key, own[key]) for key in table.keys if key in own}
    try:
        return Limits(**given), SessionLimits(**mine)
    except CredSSPError as error:
        raise LocalProtocolError(f"limits: {error.message}") from None


_TARGET_KEYS: Final = frozenset(
    {
        *("name", "users", "tokens", "address", "security", "fingerprint", "cacert", "server_name", "credentials"),
        *("as", "deny_channels", "other_user", "mechanism"),
    }
)


def _target(table: Table, listen: Listen) -> TargetSettings:
    table.check(_TARGET_KEYS)
    name = table.text("name")
    table.name = f"target {name}"
    host, port, path = _place(table)
    security = table.choice("security", BackSecurity, "nla")
    mapped = _mapped(table)
    users = table.texts("users", ("*",))
    if listen.security == "tls" and set(users) != {"*"}:
        raise table.error("users", 'is "*" only: with security = "tls" in [listen] no user is authenticated')
    default = "mapped" if mapped is not None else "delegated" if listen.security == "nla" else "none"
    credentials = table.choice("credentials", CredentialMode, default)
    _check_credentials(table, listen, credentials, mapped, security)
    tls = _tls(table, security, local=bool(path) or _is_loopback(host))
    return TargetSettings(
        name, host, port, path, users, table.texts("tokens"), security, tls, credentials, mapped,
        table.flag("other_user"), table.texts("deny_channels"),
        table.choice("mechanism", Literal["auto", "ntlm", "kerberos", "negotiate"], "auto"),
    )  # fmt: skip


def _place(table: Table) -> tuple[str, int, str]:
    text = table.text("address")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise table.error("address", "is unix: with a whole path")
        return "", 0, path
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise table.error("address", f"is HOST:PORT or unix:/PATH, not {text!r}")
    return host.strip("[]"), int(port), ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _mapped(table: Table) -> PasswordCredentials | None:
    entry = table.table("as")
    if entry is None:
        return None
    if "password" in entry:
        raise entry.error("password", "is not written here: name a password_file")
    entry.check({"user", "domain", "password_file"})
    file = entry.path("password_file")
    if file is None:
        raise entry.error("password_file", "is missing")
    try:
        password = first_line("password file", file)
    except LocalProtocolError as error:
        raise entry.error("password_file", f"cannot be used: {error.message}") from None
    if not password:
        raise entry.error("password_file", f"{file} holds no line of UTF-8 text")
    return PasswordCredentials(entry.text("user"), password, domain=entry.optional("domain") or "")


def _check_credentials(
    table: Table, listen: Listen, mode: str, mapped: PasswordCredentials | None, security: str
) -> None:
    if (mode == "mapped") != (mapped is not None):
        raise table.error("credentials", "mapped needs as = {...}, and as is for mapped alone")
    if mode == "delegated" and listen.security != "nla":
        raise table.error("credentials", "delegated needs NLA in front; without it no client delegates")
    if mode == "client-info" and (listen.security != "tls" or security != "nla"):
        raise table.error(
            "credentials", 'client-info is for a server with NLA and security = "tls" in [listen]; elsewhere use none'
        )
    if mode == "none" and security == "nla":
        raise table.error("credentials", "none cannot log on to a server with NLA")
    if mode == "mapped" and listen.security != "nla" and not listen.allow_from and not listen.is_local:
        raise table.error(
            "as",
            "makes everybody who reaches the port this user: use allow_from in [listen], loopback, or NLA",
        )


def _tls(table: Table, security: str, *, local: bool) -> ClientTLS:
    fingerprint, cacert = table.optional("fingerprint"), table.path("cacert")
    if security == "rdp":
        if not local:
            raise table.error("security", "rdp has no encryption: only for a Unix socket or loopback")
        if fingerprint or cacert:
            raise table.error("security", "rdp has no certificate to check")
        return ClientTLS(key_log=False)
    if fingerprint is None and cacert is None:
        raise table.error(
            "fingerprint", "or cacert is missing: a password goes to no server whose certificate is not checked"
        )
    try:
        read_roots(cacert)  # now, and not with the first connection
    except CredSSPError as error:
        raise table.error("cacert", f"cannot be used: {error.message}") from None
    try:
        return ClientTLS(
            fingerprint=fingerprint, cafile=cacert, server_hostname=table.optional("server_name"), key_log=False
        )
    except CredSSPError as error:
        raise table.error("fingerprint", f"is not valid: {error.message}") from None

"""``[[target]]`` of a gateway's configuration: which server, for whom, and as whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from credssp.credentials import PasswordCredentials
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.gateway.listen import Listen, is_loopback, socket_path
from credssp.private_file import first_line
from credssp.sid import is_sid
from credssp.tls.settings import ClientTLS
from credssp.tls.trust import read_roots
from credssp.toml_table import Table

__all__ = ["GROUP", "TargetSettings", "groups_of", "read_target"]

BackSecurity: TypeAlias = Literal["nla", "tls", "rdp"]
CredentialMode: TypeAlias = Literal["delegated", "mapped", "client-info", "none"]

GROUP: Final = "group:"
"""In front of a group in `users`."""


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """``[[target]]``: which server, for whom, and as whom.

    Attributes:
        name: for events and errors.
        host: of the server; empty for a Unix-domain socket.
        port: its port.
        path: of a Unix-domain socket, or empty.
        users: ``DOMAIN\\user``, ``*`` as a wildcard, ``group:SID`` or ``group:DOMAIN\\name``.
        tokens: routing tokens, cookies or preconnection blobs, ``*`` as a wildcard; empty for any.
        security: what the server speaks.
        tls: how its certificate is checked.
        credentials: what the user is logged on with there.
        mapped: the credentials of the configuration, for `mapped`.
        other_user: whether another user than the one that logged on may be delegated.
        deny_channels: static virtual channels that the server does not see.
        mechanism: of NLA towards the server.
        group_sids: the SIDs of groups in `users` that are given by name, by that name; see `credssp.gateway.groups`.
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
    group_sids: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where it is, for people."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_TARGET_KEYS: Final = frozenset(
    {
        *("name", "users", "tokens", "address", "security", "fingerprint", "cacert", "server_name", "credentials"),
        *("as", "deny_channels", "other_user", "mechanism"),
    }
)


def read_target(table: Table, listen: Listen) -> TargetSettings:
    """Take a table apart. Raises LocalProtocolError."""
    table.check(_TARGET_KEYS)
    name = table.text("name")
    table.name = f"target {name}"
    host, port, path = _place(table)
    security = table.choice("security", BackSecurity, "nla")
    mapped = _mapped(table)
    users = table.texts("users", ("*",))
    _check_groups(table, users, listen)
    if listen.security == "tls" and set(users) != {"*"}:
        raise table.error("users", 'is "*" only: with security = "tls" in [listen] no user is authenticated')
    default = "mapped" if mapped is not None else "delegated" if listen.security == "nla" else "none"
    credentials = table.choice("credentials", CredentialMode, default)
    _check_credentials(table, listen, credentials, mapped, security)
    tls = _tls(table, security, local=bool(path) or is_loopback(host))
    return TargetSettings(
        name, host, port, path, users, table.texts("tokens"), security, tls, credentials, mapped,
        table.flag("other_user"), table.texts("deny_channels"),
        table.choice("mechanism", Literal["auto", "ntlm", "kerberos", "negotiate"], "auto"),
    )  # fmt: skip


def _check_groups(table: Table, users: Sequence[str], listen: Listen) -> None:
    """Check what is known of groups before their domain is asked."""
    for name in groups_of(users):
        if is_sid(name):
            continue
        if not name or "*" in name or name.upper().startswith("S-1-"):
            raise table.error("users", f"has group:DOMAIN\\NAME or group:SID, and no wildcards there, not group:{name}")
        if not listen.winbind:
            raise table.error(
                "users", f"group:{name} is a name, which only winbind = true in [listen] knows: give the group's SID"
            )


def groups_of(users: Sequence[str]) -> list[str]:
    """Return the groups among what `users` of a target has, as they are written there."""
    return [each.removeprefix(GROUP) for each in users if each.startswith(GROUP)]


def _place(table: Table) -> tuple[str, int, str]:
    text = table.text("address")
    if text.startswith("unix:"):
        return "", 0, socket_path(table, text)
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise table.error("address", f"is HOST:PORT or unix:/PATH, not {text!r}")
    return host.strip("[]"), int(port), ""


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
        raise LocalProtocolError(f"{entry.name}: {error.message}") from None
    if not password:
        raise entry.error("password_file", f"{file} is empty: its first line is the password")
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

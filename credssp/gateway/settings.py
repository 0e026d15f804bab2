"""The configuration of a gateway, a TOML file, read strictly: what is unknown or unsafe is refused before it runs."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from credssp.config import Limits
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.gateway.listen import Listen, read_listen
from credssp.gateway.target import TargetSettings, read_target
from credssp.private_file import open_to_others
from credssp.toml_table import Table

__all__ = ["GatewaySettings", "SessionLimits", "parse_settings", "read_settings"]

_MAX_WORKERS: Final = 256


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
    listen = read_listen(Table(_section(table, "listen"), "listen", folder))
    limits, sessions = _limits(Table(_section(table, "limits", default={}), "limits", folder))
    entries = table.get("target")
    if not isinstance(entries, list) or not entries:
        raise LocalProtocolError("there is no [[target]]")
    targets = tuple(
        read_target(Table(each, f"target {number}", folder), listen) for number, each in enumerate(entries, 1)
    )
    _check_workers(listen, sessions, targets)
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


def _check_workers(listen: Listen, sessions: SessionLimits, targets: Sequence[TargetSettings]) -> None:
    """Refuse several processes where what one of them knows matters to the others."""
    if listen.workers < 1:
        raise LocalProtocolError("listen: workers is a number of 1 or more")
    if listen.workers > _MAX_WORKERS:
        raise LocalProtocolError(f"listen: workers is at most {_MAX_WORKERS}")
    picked_up = [target.name for target in targets if target.credentials == "client-info"]
    if picked_up and listen.path:
        raise LocalProtocolError(
            f"target {picked_up[0]}: client-info sends the client back to the address that it connected to, and a Unix "
            "socket has none"
        )
    if listen.workers == 1:
        return
    if picked_up:
        raise LocalProtocolError(
            f"listen: workers is 1 with client-info (target {picked_up[0]}): the client's second connection may reach "
            "another process, which does not know the ticket"
        )
    if sessions.sessions_per_user:
        raise LocalProtocolError(
            "listen: workers is 1 with sessions_per_user: each process counts the sessions of its own clients alone"
        )

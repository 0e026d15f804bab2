"""Which target a client gets: the first whose users and tokens fit."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from credssp.errors import CredSSPError
from credssp.gateway.settings import TargetSettings
from credssp.identity import Identity
from credssp.status import NTStatus, SecurityStatus

__all__ = ["Choice", "NoRuleError", "candidates", "choose", "user_name"]

_GROUP = "group:"


class NoRuleError(CredSSPError):
    """No target is meant for this user and token."""

    default_status = SecurityStatus.SEC_E_LOGON_DENIED
    default_ntstatus = NTStatus.STATUS_ACCESS_DENIED


@dataclass(frozen=True, slots=True)
class Choice:
    """What `choose` says of one target.

    Attributes:
        target: the target.
        user: whether the user fits.
        token: whether the token fits.
    """

    target: TargetSettings
    user: bool
    token: bool

    @property
    def fits(self) -> bool:
        """Whether both fit."""
        return self.user and self.token


def user_name(identity: Identity) -> str:
    """Return ``DOMAIN\\user``, or the name alone without a domain."""
    return f"{identity.domain}\\{identity.username}" if identity.domain else identity.username


def candidates(
    targets: Sequence[TargetSettings], *, user: str | None, groups: Collection[str] = (), token: str = ""
) -> list[Choice]:
    """Judge all targets.

    Args:
        targets: in the order of the configuration.
        user: who logged on, as ``DOMAIN\\user``; None where no user did.
        groups: the SIDs of the user's groups, where the user's authority knows them.
        token: what the client gave to route by.
    """
    return [
        Choice(target, _is_user(target.users, user, groups), not target.tokens or _matches(target.tokens, token))
        for target in targets
    ]


def choose(
    targets: Sequence[TargetSettings], *, user: str | None, groups: Collection[str] = (), token: str = ""
) -> TargetSettings:
    """Return the first target that fits; arguments as `candidates`. Raises NoRuleError."""
    for choice in candidates(targets, user=user, groups=groups, token=token):
        if choice.fits:
            return choice.target
    raise NoRuleError("no target is meant for this user and this token")


def _is_user(patterns: Sequence[str], user: str | None, groups: Collection[str]) -> bool:
    held = {sid.casefold() for sid in groups}
    names = [pattern for pattern in patterns if not pattern.startswith(_GROUP)]
    if any(pattern.removeprefix(_GROUP).casefold() in held for pattern in patterns if pattern.startswith(_GROUP)):
        return True
    if user is None:
        return "*" in names
    return _matches(names, user)


def _matches(patterns: Sequence[str], text: str) -> bool:
    return any(_expression(pattern).fullmatch(text) for pattern in patterns)


@functools.lru_cache(1024)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.DOTALL)

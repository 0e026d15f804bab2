"""Which target a client gets: the first whose users and tokens fit."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from credssp.errors import CredSSPError
from credssp.gateway.target import GROUP, TargetSettings
from credssp.identity import Identity
from credssp.status import NTStatus, SecurityStatus

__all__ = ["Choice", "NoRuleError", "NotRelayedError", "candidates", "choose", "user_name"]


class NoRuleError(CredSSPError):
    """No target is meant for this user and token."""

    default_status = SecurityStatus.SEC_E_LOGON_DENIED
    default_ntstatus = NTStatus.STATUS_ACCESS_DENIED


class NotRelayedError(CredSSPError):
    """What a client wants, or has delegated, is not passed on to a server."""

    default_status = SecurityStatus.SEC_E_LOGON_DENIED
    default_ntstatus = NTStatus.STATUS_ACCESS_DENIED


@dataclass(frozen=True, slots=True)
class Choice:
    """What `choose` says of one target.

    Attributes:
        target: the target.
        by: the first of its `users` that fits, or an empty string.
        token: whether the token fits.
    """

    target: TargetSettings
    by: str
    token: bool

    @property
    def user(self) -> bool:
        """Whether the user fits."""
        return bool(self.by)

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
        Choice(target, _fitting(target, user, groups), not target.tokens or _matches(target.tokens, token))
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


def _fitting(target: TargetSettings, user: str | None, groups: Collection[str]) -> str:
    """Return the first pattern that a user fits, or an empty string."""
    held = {sid.casefold() for sid in groups}
    for pattern in target.users:
        if pattern.startswith(GROUP):
            group = pattern.removeprefix(GROUP)
            fits = target.group_sids.get(group, group).casefold() in held
        elif user is None:  # no user logged on
            fits = pattern == "*"
        else:
            fits = _matches((pattern,), user)
        if fits:
            return pattern
    return ""


def _matches(patterns: Sequence[str], text: str) -> bool:
    return any(_expression(pattern).fullmatch(text) for pattern in patterns)


@functools.lru_cache(1024)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.DOTALL)

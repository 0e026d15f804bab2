"""Groups that the rules give by name: their SIDs, which are what is compared with those of a user.

Names are looked up at the start and at every reload, so that no login waits for it, and a name that the domain does
not know is noticed before it refuses everybody, or lets in the members of a group that is made under that name later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from credssp.errors import LocalProtocolError
from credssp.gateway.settings import GatewaySettings
from credssp.gateway.target import TargetSettings, groups_of
from credssp.sid import is_sid

__all__ = ["with_group_sids"]


def with_group_sids(settings: GatewaySettings, find: Callable[[str], str] | None) -> GatewaySettings:
    """Return a configuration that knows the SIDs of its groups.

    Args:
        settings: the configuration.
        find: returns the SID of a group by name, or raises LocalProtocolError (`WinbindAuthority.group_sid`); it may
            take its time. None where no domain is asked.

    Raises:
        LocalProtocolError: a group is not known.
    """
    known: dict[str, str] = {}
    return replace(settings, targets=tuple(_with_sids(target, find, known) for target in settings.targets))


def _with_sids(target: TargetSettings, find: Callable[[str], str] | None, known: dict[str, str]) -> TargetSettings:
    names = [name for name in groups_of(target.users) if not is_sid(name)]
    for name in names:
        if find is None:
            raise LocalProtocolError(f"target {target.name}: users: group:{name}: no domain is asked for groups")
        if name not in known:
            try:
                known[name] = find(name)
            except LocalProtocolError as error:
                raise LocalProtocolError(f"target {target.name}: users: {error.message}") from None
    return replace(target, group_sids={name: known[name] for name in names})

"""Puts the lists of the operating system that a policy file names in place of those we know.

A list that the file has replaces the known one, because an export shows what the machine has; what the file does not
have stays. Where it has a list but not its twin for machines in a domain, both are the same, unless the twin is
known to differ (AllowSavedCredentialsWhenNTLMOnly). No source describes this; it is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping

from credssp.policy.lists import LIST_SETTINGS, WINDOWS_DEFAULTS, OSDefaultList
from credssp.policy.spn import SPNPattern

__all__ = ["DEFAULT_LIST_NAMES", "merge_os_defaults"]

DEFAULT_LIST_NAMES = frozenset(setting.default_name + twin for setting in LIST_SETTINGS for twin in ("", "Domain"))
"""The names below ``PolicyDefaults``, twins included."""


def merge_os_defaults(given: Mapping[str, tuple[SPNPattern, ...]]) -> tuple[OSDefaultList, ...]:
    """Return the lists of Windows with the given ones (by the names of `DEFAULT_LIST_NAMES`) in place of theirs."""
    known = {default.setting: default for default in WINDOWS_DEFAULTS}
    merged = []
    for setting in LIST_SETTINGS:
        default = known.get(setting.name, OSDefaultList(setting.name, (), ()))
        servers = given.get(setting.default_name, default.servers)
        twin = servers if default.servers == default.domain_servers else default.domain_servers
        if setting.default_name not in given:
            twin = default.domain_servers
        merged.append(OSDefaultList(setting.name, servers, given.get(setting.default_name + "Domain", twin)))
    return tuple(merged)

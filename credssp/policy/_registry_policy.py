"""Reads the policy out of the keys of a registry export.

Sources: Policy CSP "ADMX_CredSsp" and "CredentialsDelegation" for the policy key; public administration scripts for
``PolicyDefaults``; KB4093492 for AllowEncryptionOracle; "Remote Credential Guard" for DisableRestrictedAdmin.

What has no effect is listed, not silently dropped. What is known but cannot be meant (a number out of range, a
REG_SZ where a REG_DWORD belongs) is an error: it may be the setting that was to forbid something. For the same
reason an invalid pattern is left out of an Allow list, and is an error in a Deny list. All of this is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from credssp.errors import LocalProtocolError
from credssp.policy._registry_text import RegistryKey, RegistryValue
from credssp.policy.delegation import DelegationPolicy
from credssp.policy.encryption_oracle import EncryptionOracle
from credssp.policy.lists import LIST_SETTINGS, DelegationList, ListSetting, ListState
from credssp.policy.os_defaults import merge_os_defaults
from credssp.policy.settings import IgnoredValue, PolicyFileError, PolicySettings
from credssp.policy.spn import SPNPattern
from credssp.policy.terms import DelegationRestriction

__all__ = ["read_registry_policy"]

_POLICY = r"hkey_local_machine\software\policies\microsoft\windows\credentialsdelegation"
_DEFAULTS = r"hkey_local_machine\system\currentcontrolset\control\lsa\credssp\policydefaults"
_ORACLE = r"hkey_local_machine\software\microsoft\windows\currentversion\policies\system\credssp\parameters"
_LSA = r"hkey_local_machine\system\currentcontrolset\control\lsa"

_BY_NAME = {setting.name.lower(): setting for setting in LIST_SETTINGS}
_BY_CONCATENATE = {setting.concatenate.lower(): setting for setting in LIST_SETTINGS}
_BY_DEFAULT_NAME = {setting.default_name.lower(): setting for setting in LIST_SETTINGS}

_SWITCH = range(2)
_TYPES = range(1, 4)


def read_registry_policy(keys: Sequence[RegistryKey], *, source: str, domain_joined: bool) -> PolicySettings:
    """Return what the keys of an export say.

    Args:
        keys: from `parse_registry`.
        source: the name of the file, for errors.
        domain_joined: whether the machine is in a domain, which these keys do not tell.

    Raises:
        PolicyFileError: if a known value cannot be meant.
    """
    reader = _Reader(source)
    for key in keys:
        reader.read_key(key)
    return reader.settings(domain_joined=domain_joined)


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._numbers: dict[str, int] = {}
        self._servers: dict[str, tuple[SPNPattern, ...]] = {}
        self._defaults: dict[str, tuple[SPNPattern, ...]] = {}
        self._ignored: list[IgnoredValue] = []

    def read_key(self, key: RegistryKey) -> None:
        path = key.path.lower()
        if path.startswith("hklm\\"):
            path = "hkey_local_machine" + path[4:]
        parent, _, last = path.rpartition("\\")
        if path == _POLICY:
            self._read_numbers(key, self._policy_ranges())
        elif parent == _POLICY and (setting := _BY_NAME.get(last)):
            self._add(self._servers, setting.name, self._read_patterns(key, setting))
        elif parent == _DEFAULTS and (setting := _default_setting(last)):
            name = setting.default_name + ("Domain" if last.endswith("domain") else "")
            self._add(self._defaults, name, self._read_patterns(key, setting))
        elif path == _ORACLE:
            self._read_numbers(key, {"allowencryptionoracle": range(len(EncryptionOracle))})
        elif path == _LSA:
            self._read_numbers(key, {"disablerestrictedadmin": _SWITCH})
        elif key.values or parent in (_POLICY, _DEFAULTS):
            self._ignored.append(IgnoredValue(key.path, "", key.line, "no key of the delegation policy"))

    def settings(self, *, domain_joined: bool) -> PolicySettings:
        lists: dict[str, Any] = {setting.attribute: self._list(setting) for setting in LIST_SETTINGS}
        restriction = DelegationRestriction.NONE
        if self._numbers.get("restrictedremoteadministration"):
            # Windows 8.1 had no type, and the policy meant Restricted Admin: what a missing type means to us.
            restriction = DelegationRestriction(self._numbers.get("restrictedremoteadministrationtype", 1))
        oracle = self._numbers.get("allowencryptionoracle")
        return PolicySettings(
            DelegationPolicy(
                **lists,
                restriction=restriction,
                domain_joined=domain_joined,
                os_defaults=merge_os_defaults(self._defaults),
            ),
            encryption_oracle=None if oracle is None else EncryptionOracle(oracle),
            disable_restricted_admin=self._switch("disablerestrictedadmin"),
            allow_protected_creds=self._switch("allowprotectedcreds"),
            ignored=tuple(self._ignored),
        )

    def _list(self, setting: ListSetting) -> DelegationList:
        state = self._switch(setting.name.lower())
        concatenate = self._switch(setting.concatenate.lower())
        if concatenate is None:
            # The policy editor writes 1 or 0. Where an enabled list has neither, nothing is added to it (our choice).
            concatenate = not state
        return DelegationList(
            ListState.UNSET if state is None else ListState.ENABLED if state else ListState.DISABLED,
            self._servers.get(setting.name, ()),
            concatenate,
        )

    def _switch(self, name: str) -> bool | None:
        number = self._numbers.get(name)
        return None if number is None else bool(number)

    @staticmethod
    def _policy_ranges() -> dict[str, range]:
        ranges = dict.fromkeys([*_BY_NAME, *_BY_CONCATENATE], _SWITCH)
        ranges |= dict.fromkeys(["restrictedremoteadministration", "allowprotectedcreds"], _SWITCH)
        return ranges | {"restrictedremoteadministrationtype": _TYPES}

    def _read_numbers(self, key: RegistryKey, known: dict[str, range]) -> None:
        for name, value in key.values.items():
            permitted = known.get(name)
            if permitted is None:
                self._ignore(key, value, _unknown(name))
            elif not isinstance(value.data, int) or value.data not in permitted:
                raise self._error(
                    value, f"{value.name} must be a REG_DWORD from {permitted.start} to {permitted.stop - 1}"
                )
            else:
                self._numbers[name] = value.data

    @staticmethod
    def _add(lists: dict[str, tuple[SPNPattern, ...]], name: str, patterns: Sequence[SPNPattern]) -> None:
        # A key may stand in a file twice, as HKLM and as HKEY_LOCAL_MACHINE: neither may hide what the other denies.
        lists[name] = (*lists.get(name, ()), *patterns)

    def _read_patterns(self, key: RegistryKey, setting: ListSetting) -> list[SPNPattern]:
        patterns = []
        for name, value in key.values.items():
            if not name and not value.data:
                continue  # the default value of the key, which many tools write without data
            try:
                patterns.append(_pattern(value))
            except LocalProtocolError as error:
                if setting.attribute.startswith("deny"):
                    raise self._error(
                        value, f"{setting.name} would not forbid what was meant: {error.message}"
                    ) from error
                self._ignore(key, value, error.message)
        return patterns

    def _ignore(self, key: RegistryKey, value: RegistryValue, reason: str) -> None:
        self._ignored.append(IgnoredValue(key.path, value.name or "@", value.line, reason))

    def _error(self, value: RegistryValue, message: str) -> PolicyFileError:
        return PolicyFileError(message, source=self._source, line=value.line)


def _default_setting(name: str) -> ListSetting | None:
    name = name.removesuffix("domain")
    return _BY_DEFAULT_NAME.get(name) or _BY_NAME.get(name)


def _pattern(value: RegistryValue) -> SPNPattern:
    if not isinstance(value.data, str):
        raise LocalProtocolError("an SPN pattern must be a REG_SZ")
    return SPNPattern(value.data)


def _unknown(name: str) -> str:
    setting = _BY_DEFAULT_NAME.get(name)
    if setting is None:
        return "no setting of that name is known"
    return f"no setting of that name is known: the policy is spelled {setting.name}"

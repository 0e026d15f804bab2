"""Reads our own form of a policy file: TOML with the names of the registry.

Stricter than the reader of exports, since no other program writes this form: an unknown name is an error, so that a
slip in the name of a Deny list does not open what it was to close.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from credssp.errors import LocalProtocolError
from credssp.policy.delegation import DelegationPolicy
from credssp.policy.encryption_oracle import EncryptionOracle
from credssp.policy.lists import LIST_SETTINGS, DelegationList, ListState
from credssp.policy.os_defaults import DEFAULT_LIST_NAMES, merge_os_defaults
from credssp.policy.settings import PolicyFileError, PolicySettings
from credssp.policy.spn import SPNPattern
from credssp.policy.terms import DelegationRestriction

__all__ = ["read_toml_policy"]

_ATTRIBUTES = {setting.name: setting.attribute for setting in LIST_SETTINGS}
_LIST_KEYS = ("state", "servers", "concatenate_defaults")
_NUMBERS = {
    "AllowEncryptionOracle": range(len(EncryptionOracle)),
    "DisableRestrictedAdmin": range(2),
    "AllowProtectedCreds": range(2),
    "RestrictedRemoteAdministration": range(2),
    "RestrictedRemoteAdministrationType": range(1, 4),
}
_MAX_LINE = 1024
"""The longest line that is read, in characters; longer than any SPN.

tomllib takes more than quadratic time for a key of many dotted parts, which cannot go on in the next line: 32768
characters took 3 seconds, a whole file of lines this long takes 5.
"""
_LINE = re.compile(r"at line (\d{1,9}),")


def read_toml_policy(text: str, *, source: str, domain_joined: bool | None) -> PolicySettings:
    """Return what a TOML policy file says.

    Args:
        text: the whole file.
        source: its name, for errors.
        domain_joined: whether the machine is in a domain; None to take the word of the file, and False if it is silent.

    Raises:
        PolicyFileError: if it is not TOML, or says something unknown.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > _MAX_LINE:
            raise PolicyFileError(
                f"longer than {_MAX_LINE} characters: write one pattern per line", source=source, line=number
            )
    try:
        document = tomllib.loads(text)
    except ValueError as error:
        raise PolicyFileError(f"no TOML: {error}", source=source, line=_line(str(error), text)) from error
    except RecursionError as error:
        raise PolicyFileError("no policy file: it is nested too deeply", source=source) from error
    return _Reader(text, source).read(document, domain_joined=domain_joined)


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source

    def read(self, document: dict[str, Any], *, domain_joined: bool | None) -> PolicySettings:
        lists: dict[str, Any] = {}
        numbers: dict[str, int] = {}
        defaults: dict[str, tuple[SPNPattern, ...]] = {}
        in_domain = False
        for name, value in document.items():
            if attribute := _ATTRIBUTES.get(name):
                lists[attribute] = self._list(name, value)
            elif permitted := _NUMBERS.get(name):
                numbers[name] = self._number(name, value, permitted)
            elif name == "domain_joined":
                in_domain = self._truth(value, name)
            elif name == "PolicyDefaults":
                defaults = self._defaults(value)
            else:
                raise self._error(f"{name!r} is not a setting; the lists are {', '.join(_ATTRIBUTES)}", name)
        restriction = DelegationRestriction.NONE
        if numbers.get("RestrictedRemoteAdministration"):
            restriction = DelegationRestriction(numbers.get("RestrictedRemoteAdministrationType", 1))
        oracle = numbers.get("AllowEncryptionOracle")
        return PolicySettings(
            DelegationPolicy(
                **lists,
                restriction=restriction,
                domain_joined=in_domain if domain_joined is None else domain_joined,
                os_defaults=merge_os_defaults(defaults),
            ),
            encryption_oracle=None if oracle is None else EncryptionOracle(oracle),
            disable_restricted_admin=_switch(numbers.get("DisableRestrictedAdmin")),
            allow_protected_creds=_switch(numbers.get("AllowProtectedCreds")),
        )

    def _list(self, name: str, value: object) -> DelegationList:
        table = self._table(value, name)
        for key in table:
            if key not in _LIST_KEYS:
                raise self._error(f"{name} has {key!r}, which is not one of {', '.join(_LIST_KEYS)}", name, key)
        try:
            state = ListState(table.get("state", "enabled"))
        except ValueError:
            raise self._error(f"state of {name} must be enabled, disabled or unset", name, "state") from None
        return DelegationList(
            state,
            self._patterns(table.get("servers", []), name, "servers"),
            self._truth(table.get("concatenate_defaults", True), name, "concatenate_defaults"),
        )

    def _defaults(self, value: object) -> dict[str, tuple[SPNPattern, ...]]:
        defaults = {}
        for name, servers in self._table(value, "PolicyDefaults").items():
            if name not in DEFAULT_LIST_NAMES:
                raise self._error(f"{name!r} is not a list of the operating system", "PolicyDefaults", name)
            defaults[name] = self._patterns(servers, "PolicyDefaults", name)
        return defaults

    def _patterns(self, value: object, *path: str) -> tuple[SPNPattern, ...]:
        if not isinstance(value, list):
            raise self._error(f"{path[-1]} must be an array of SPN patterns", *path)
        patterns = []
        for text in value:
            if not isinstance(text, str):
                raise self._error(f"{path[-1]} must hold nothing but strings", *path)
            try:
                patterns.append(SPNPattern(text))
            except LocalProtocolError as error:
                raise self._error(error.message, *path) from error
        return tuple(patterns)

    def _table(self, value: object, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._error(f"{name} must be a table", name)
        return value

    def _truth(self, value: object, *path: str) -> bool:
        if not isinstance(value, bool):
            raise self._error(f"{path[-1]} must be true or false", *path)
        return value

    def _number(self, name: str, value: object, permitted: range) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value not in permitted:
            raise self._error(f"{name} must be a number from {permitted.start} to {permitted.stop - 1}", name)
        return value

    def _error(self, message: str, *path: str) -> PolicyFileError:
        """Return the error with the line that most likely holds the name: tomllib does not tell where a value is."""
        at = -1
        for name in path:
            found = re.compile(rf"^[ \t]*+\[?[ \t]*+[\"']?{re.escape(name)}\b", re.MULTILINE).search(
                self._text, max(at, 0)
            )
            at = found.start() if found else at
        line = 0 if at < 0 else self._text.count("\n", 0, at) + 1
        return PolicyFileError(message, source=self._source, line=line)


def _line(message: str, text: str) -> int:
    """Return the line that an error of tomllib names, or 0; before Python 3.14 it is in the text alone."""
    if "at end of document" in message:
        return text.count("\n") + 1
    named = _LINE.search(message)
    return int(named[1]) if named else 0


def _switch(number: int | None) -> bool | None:
    return None if number is None else bool(number)

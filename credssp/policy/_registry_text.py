"""Takes the text of a ``.reg`` export apart: keys, value names, REG_SZ and REG_DWORD data, line numbers.

Source: the format that regedit and ``reg export`` write ("How to add, modify, or delete registry subkeys and values
by using a .reg file", Microsoft support 310516). Every pattern below matches without going back (``*+``), so that no
input takes more than linear time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from credssp.policy.settings import PolicyFileError

__all__ = ["HEADERS", "RegistryKey", "RegistryValue", "parse_registry"]

HEADERS = ("Windows Registry Editor Version 5.00", "REGEDIT4")
"""The first line of an export; the second form is that of Windows NT 4.0."""

_SKIP = re.compile(r"(?:[ \t\n]++|;[^\n]*+)*+")
_KEY = re.compile(r"\[([^\n]*)\][ \t]*+(?=\n|\Z)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ASSIGN = re.compile(r"[ \t]*+=[ \t]*+")
_DWORD = re.compile(r"dword:([0-9a-f]{1,8})(?![0-9a-f])", re.IGNORECASE)
_HEX = re.compile(r"hex(?:\([0-9a-f]{1,8}\))?:(?:[0-9a-f]{1,2}|[, \t]|\\[ \t]*+\n)*+", re.IGNORECASE)
_END_OF_LINE = re.compile(r"[ \t]*+(?:;[^\n]*+)?(?=\n|\Z)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RegistryValue:
    """One value: text for REG_SZ, a number for REG_DWORD, None for every other type."""

    name: str
    data: str | int | None
    line: int


@dataclass(slots=True)
class RegistryKey:
    """One key, with its values by their names in lower case; of a value written twice the last one counts."""

    path: str
    line: int
    values: dict[str, RegistryValue] = field(default_factory=dict)


def parse_registry(text: str, *, source: str) -> list[RegistryKey]:
    """Return the keys of an export in their order; a key written twice is there once.

    Args:
        text: the whole file, lines ended by ``\\n`` alone.
        source: the name of the file, for errors.

    Raises:
        PolicyFileError: if the text is not such a file, or a script that deletes.
    """
    return _Reader(text, source).read()


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._at = 0
        self._line = 1
        self._keys: dict[str, RegistryKey] = {}

    def read(self) -> list[RegistryKey]:
        self._skip()
        header, _, _ = self._text[self._at :].partition("\n")
        if header.strip() not in HEADERS:
            raise self._error(f'this is not a registry export: the first line must be "{HEADERS[0]}"')
        self._move(self._at + len(header))
        key: RegistryKey | None = None
        self._skip()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                key = self._read_key()
            elif key is None:
                raise self._error("a value must follow a key, such as [HKEY_LOCAL_MACHINE\\SOFTWARE]")
            else:
                value = self._read_value()
                key.values[value.name.lower()] = value
            self._skip()
        return list(self._keys.values())

    def _read_key(self) -> RegistryKey:
        match = _KEY.match(self._text, self._at)
        if match is None:
            raise self._error("the line of a key must end with ]")
        path = match[1]
        if path.startswith("-"):
            raise self._error("this script deletes keys: give an export of the registry instead")
        key = self._keys.setdefault(path.lower(), RegistryKey(path, self._line))
        self._move(match.end())
        return key

    def _read_value(self) -> RegistryValue:
        line = self._line
        if self._text[self._at] == "@":
            name = ""
            self._move(self._at + 1)
        else:
            name = self._read_quoted('a value must start with a name in quotation marks or with @, a key with "["')
        assign = _ASSIGN.match(self._text, self._at)
        if assign is None:
            raise self._error("= is missing after the name of the value")
        self._move(assign.end())
        data = self._read_data()
        end = _END_OF_LINE.match(self._text, self._at)
        if end is None:
            raise self._error("there is something after the data of the value")
        self._move(end.end())
        return RegistryValue(name, data, line)

    def _read_data(self) -> str | int | None:
        if self._text.startswith('"', self._at):
            return self._read_quoted("")
        if self._text.startswith("-", self._at):
            raise self._error("this script deletes values: give an export of the registry instead")
        if match := _DWORD.match(self._text, self._at):
            self._move(match.end())
            return int(match[1], 16)
        if match := _HEX.match(self._text, self._at):
            self._move(match.end())
            return None
        raise self._error("the data must be text in quotation marks, dword: with up to 8 hexadecimal digits, or hex:")

    def _read_quoted(self, otherwise: str) -> str:
        if not self._text.startswith('"', self._at):
            raise self._error(otherwise)
        match = _QUOTED.match(self._text, self._at)
        if match is None:
            raise self._error("the quotation mark is never closed")
        self._move(match.end())
        return _ESCAPED.sub(r"\1", match[1])

    def _skip(self) -> None:
        match = _SKIP.match(self._text, self._at)
        self._move(match.end() if match else self._at)

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _error(self, message: str) -> PolicyFileError:
        return PolicyFileError(message, source=self._source, line=self._line)

"""A table of a TOML file whose values are taken by type, with errors that name the key."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

from credssp.errors import LocalProtocolError

__all__ = ["Lines", "Table", "sections"]

Lines: TypeAlias = Sequence[tuple[int, str]]
"""Lines of a file with their numbers, from 1."""

_HEADER: Final = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?\s*(?:#.*)?")


def sections(text: str) -> list[tuple[str, Lines]]:
    """Return the names of the tables of a file in order, each with its lines; the part before the first has no name.

    The standard library does not tell where a key is. The result is for messages: a header inside a text of several
    lines is taken for one.
    """
    found: list[tuple[str, list[tuple[int, str]]]] = [("", [])]
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        if header:
            found.append((header[1], []))
        found[-1][1].append((number, line))
    return list(found)


class Table:
    """A table.

    Args:
        values: what the file holds there.
        name: of the table, for errors.
        folder: what paths are relative to.
        lines: where it is in the file, so that errors name the line.
    """

    def __init__(self, values: object, name: str, folder: Path, lines: Lines = ()) -> None:
        if not isinstance(values, Mapping):
            raise LocalProtocolError(f"{name} is not a table")
        self._values: Mapping[str, Any] = values
        self.name = name
        self._folder = folder
        self._lines = lines

    def check(self, known: Collection[str]) -> None:
        """Refuse keys that are not known."""
        unknown = sorted(set(self._values) - set(known))
        if unknown:
            place = f"{self.name}: " if self.name else ""
            keys = ", ".join(sorted(known))
            raise LocalProtocolError(
                f"{place}{unknown[0]} is not a key here; the keys are {keys}{self._at(unknown[0])}"
            )

    def error(self, key: str, what: str) -> LocalProtocolError:
        """Make an error that names table and key, and the line if it is known."""
        return LocalProtocolError(f"{self.name}: {key} {what}{self._at(key)}")

    def _at(self, key: str) -> str:
        place = re.compile(rf"""(?:^|[{{,\s])["']?{re.escape(key)}["']?\s*=""")
        number = next((number for number, line in self._lines if place.search(line)), 0)
        number = number or next((number for number, _ in self._lines), 0)
        return f" (line {number})" if number else ""

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty."""
        value = self._values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.error(key, "is a text that is not empty, without null characters")
        return value

    def optional(self, key: str) -> str | None:
        """Return a text, or None where the key is missing."""
        return self.text(key) if key in self._values else None

    def choice(self, key: str, choices: Any, default: str) -> Any:
        """Return one of the values of a Literal type."""
        value = self.text(key, default)
        allowed = get_args(choices)
        if value not in allowed:
            raise self.error(key, f"is one of {', '.join(allowed)}, not {value!r}")
        return value

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._values.get(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each for each in value):
            raise self.error(key, f"is a list of texts, not {value!r}")
        return tuple(value)

    def flag(self, key: str) -> bool:
        """Return true or false; false where the key is missing."""
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"is true or false, not {value!r}")
        return value

    def path(self, key: str) -> str | None:
        """Return a path, relative to the folder of the file, or None."""
        value = self.optional(key)
        return None if value is None else os.fspath(self._folder / value)

    def table(self, key: str) -> Table | None:
        """Return a table inside, or None."""
        if key not in self._values:
            return None
        return Table(self._values[key], f"{self.name}: {key}", self._folder, self._lines)

    def number(self, key: str, default: Any) -> Any:
        """Return a number that is not negative, of the type of the default."""
        value = self._values.get(key, default)
        kind = (int, float) if isinstance(default, float) else int
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 <= value < math.inf:
            raise self.error(key, f"is a number that is not negative, not {value!r}")
        return value

    def numbers(self, key: str) -> tuple[int, ...] | None:
        """Return a list of whole numbers that are not negative, or None."""
        value = self._values.get(key)
        if value is None:
            return None
        whole = isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
        if not whole or any(each < 0 for each in value):
            raise self.error(key, f"is a list of whole numbers that are not negative, not {value!r}")
        return tuple(value)

    @property
    def keys(self) -> Collection[str]:
        """The keys that are given."""
        return self._values.keys()

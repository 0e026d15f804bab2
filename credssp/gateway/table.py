"""A table of a TOML file whose values are taken by type, with errors that name the key."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from credssp.errors import LocalProtocolError

__all__ = ["Table"]


class Table:
    """A table.

    Args:
        values: what the file holds there.
        name: of the table, for errors.
        folder: what paths are relative to.
    """

    def __init__(self, values: object, name: str, folder: Path) -> None:
        if not isinstance(values, Mapping):
            raise LocalProtocolError(f"{name} is not a table")
        self._values: Mapping[str, Any] = values
        self.name = name
        self._folder = folder

    def check(self, known: Collection[str]) -> None:
        """Refuse keys that are not known."""
        unknown = sorted(set(self._values) - set(known))
        if unknown:
            place = f"{self.name}: " if self.name else ""
            raise LocalProtocolError(f"{place}{unknown[0]} is not a key here; the keys are {', '.join(sorted(known))}")

    def error(self, key: str, what: str) -> LocalProtocolError:
        """Make an error that names table and key."""
        return LocalProtocolError(f"{self.name}: {key} {what}")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty."""
        value = self._values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, str) or not value:
            raise self.error(key, "is a text that is not empty")
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
        return Table(self._values[key], f"{self.name}: {key}", self._folder) if key in self._values else None

    def number(self, key: str, default: Any) -> Any:
        """Return a number that is not negative, of the type of the default."""
        value = self._values.get(key, default)
        kind = (int, float) if isinstance(default, float) else int
        if isinstance(value, bool) or not isinstance(value, kind) or value < 0:
            raise self.error(key, f"is a number that is not negative, not {value!r}")
        return value

    @property
    def keys(self) -> Collection[str]:
        """The keys that are given."""
        return self._values.keys()

"""Patterns over command lines, scripts and input: globs, exact texts and regular expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from credssp.errors import LocalProtocolError

__all__ = ["Pattern"]

_WILD = {"*": ".*", "?": "."}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern; upper and lower case are the same to it, as they are to Windows.

    Attributes:
        text: a glob with ``*`` and ``?``, which fits the whole text; with ``=`` in front of it the text itself; between
            two slashes a regular expression, which is searched for.

    Raises:
        LocalProtocolError: what is between the slashes is not a regular expression.
    """

    text: str
    _expression: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_expression", _compile(self.text))

    @property
    def fits_all(self) -> bool:
        """Whether every text fits."""
        return self.text == "*"

    def match(self, text: str) -> tuple[str, ...] | None:
        """Return the groups of the regular expression, which a glob has none of; or None if the text does not fit."""
        found = self._expression.search(text)
        return None if found is None else tuple(group or "" for group in found.groups())


def _compile(text: str) -> re.Pattern[str]:
    flags = re.IGNORECASE
    if text.startswith("="):
        return re.compile(rf"\A{re.escape(text[1:])}\Z", flags)
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        try:
            return re.compile(text[1:-1], flags)
        except re.error as error:
            raise LocalProtocolError(f"pattern {text!r}: not a regular expression: {error}") from None
    parts = (_WILD.get(part, re.escape(part)) for part in re.split(r"([*?])", text))
    return re.compile(rf"\A{''.join(parts)}\Z", flags | re.DOTALL)

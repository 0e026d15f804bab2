"""The patterns of a delegation list: one service principal name, with at most one ``*``.

Sources: win32 "CredSSP Group Policy Settings" and CredSsp.admx ("the use of a single wildcard character is permitted
when specifying the SPN"; ``TERMSRV/host.humanresources.example``, ``TERMSRV/*``, ``TERMSRV/*.humanresources.example``).
No source describes the matcher inside Windows. Our choices, none of them confirmed:

* The whole target is compared, without regard to case.
* ``*`` stands for any text, the empty one included, and for ``/`` and ``.`` as well.
* A pattern with two or more ``*`` is an error here. `credssp.policy.files` says what becomes of one in an export.
* Blanks around a pattern and around a target do not count.
* Nothing else is made equal: not a short name and its full one, not a name with and without a port or a final dot.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Final

from credssp.errors import LocalProtocolError

__all__ = ["SPNPattern", "clean_target", "fold", "fold_target"]

_BLANKS: Final = " \t\r\n"

# Control characters and lone surrogates.
_NOT_PLAIN: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class SPNPattern:
    """One entry of a delegation list, such as ``WSMAN/*.example.com``.

    Attributes:
        text: the pattern as written, without the blanks around it.

    Raises:
        LocalProtocolError: for an empty pattern, one with two or more ``*``, and one with control characters.
    """

    text: str
    # The folded text around the wildcard, and the wildcard: patterns are made once and matched at every login.
    _parts: tuple[str, str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = self.text.strip(_BLANKS)
        if not text:
            raise LocalProtocolError("an SPN pattern must not be empty: write TERMSRV/host, WSMAN/*.domain or *")
        if (wildcards := text.count("*")) > 1:
            raise LocalProtocolError(
                f"the SPN pattern {text!r} has {wildcards} wildcards, one is permitted: write one pattern per case",
                section="win32 CredSSP Group Policy Settings",
            )
        if not _is_plain_text(text):
            raise LocalProtocolError(f"the SPN pattern {text!r} holds control characters or lone surrogates")
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "_parts", fold(text).partition("*"))

    def matches(self, target: str | None) -> bool:
        """Whether the target, such as ``TERMSRV/host.example.com``, is one that this pattern means.

        A target that is None, empty or holds control characters matches nothing, not even ``*``.
        """
        name = fold_target(target)
        return name is not None and self.means(name)

    def means(self, name: str) -> bool:
        """Whether a target that `fold_target` returned is one that this pattern means."""
        prefix, wildcard, suffix = self._parts
        if not wildcard:
            return name == prefix
        # The length keeps prefix and suffix from sharing characters: ``ab*ba`` does not mean ``aba``.
        return len(name) >= len(prefix) + len(suffix) and name.startswith(prefix) and name.endswith(suffix)

    def __str__(self) -> str:
        return self.text


@functools.lru_cache(maxsize=128)
def clean_target(target: str | None) -> str | None:
    """Return the target as it is compared, without the blanks around it; None if it cannot name a server.

    Blanks count on neither side, or a trailing one would take a target past a Deny list and through a wildcard.
    """
    if target is None:
        return None
    name = target.strip(_BLANKS)
    return name if name and _is_plain_text(name) else None


@functools.lru_cache(maxsize=128)  # the same name is looked for in several lists, twice in every login
def fold_target(target: str | None) -> str | None:
    """Return the target in the form that `SPNPattern.means` takes; None if it cannot name a server."""
    name = clean_target(target)
    return None if name is None else fold(name)


def fold(text: str) -> str:
    """Return the text with the differences of case removed, one character at a time.

    Upper case as Windows compares names, but no character outside ASCII ever becomes one inside it: Python turns
    U+017F (long s) into ``S``, and a name with it would pass for another host.
    """
    return text.upper() if text.isascii() else "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    upper = character.upper()
    if character.isascii() or (len(upper) == 1 and not upper.isascii()):
        return upper
    return character


def _is_plain_text(text: str) -> bool:
    return _NOT_PLAIN.search(text) is None

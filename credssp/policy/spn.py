"""The patterns of a delegation list: one service principal name, with at most one ``*``.

Sources: win32 "CredSSP Group Policy Settings" and CredSsp.admx ("the use of a single wildcard character is permitted
when specifying the SPN"; ``TERMSRV/host.humanresources.example``, ``TERMSRV/*``, ``TERMSRV/*.humanresources.example``).
No source describes the matcher inside Windows. Our choices, none of them confirmed:

* Pattern and target are taken apart into service class, host, port and the rest (`credssp.target`), and compared part
  by part, without regard to case. What Kerberos and TLS are asked about is the host, so a final dot makes no
  difference, and a port or third part of the target matters only to a pattern that has one.
* ``*`` stands for any text within its part, the empty one and dots included; never for ``/`` or the ``:`` of a port.
* A pattern without ``/``: ``*`` is every target, ``*.example.com`` every service of these hosts, ``TERM*`` every host
  of these services; without ``*`` it is the service ``host``, as in a target name.
* A pattern with two or more ``*`` is an error here. `credssp.policy.files` says what becomes of one in an export.
* Blanks around a pattern and around a target do not count.
* Nothing else is made equal: not a short name and its full one, not a name and its address.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from credssp.errors import LocalProtocolError
from credssp.target import Target, split_name

__all__ = ["SPNParts", "SPNPattern", "fold", "target_parts"]

SPNParts: TypeAlias = tuple[str, str, str, str]
"""Service class, host, port and the rest, folded."""

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
    # By part, the folded text around its wildcard: patterns are made once and matched at every login.
    _parts: tuple[tuple[str, str, str], ...] = field(init=False, repr=False, compare=False)

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
        object.__setattr__(self, "_parts", tuple(fold(part).partition("*") for part in _pattern_parts(text)))

    def matches(self, target: str | None) -> bool:
        """Whether the target, such as ``TERMSRV/host.example.com``, is one that this pattern means.

        A target that is None or not a target name (`credssp.target.Target.parse`) matches nothing, not even ``*``.
        """
        parts = target_parts(target)
        return parts is not None and self.means(parts)

    def means(self, target: SPNParts) -> bool:
        """Whether a target that `target_parts` returned is one that this pattern means."""
        service, host, port, rest = self._parts
        name, machine, number, third = target
        return (
            _fits(host, machine)
            and _fits(service, name)
            and (port == _ANY or _fits(port, number))
            and (rest == _ANY or _fits(rest, third))
        )

    def __str__(self) -> str:
        return self.text


_ANY: Final = ("", "*", "")


def _pattern_parts(text: str) -> SPNParts:
    service, slash, name = text.partition("/")
    if not slash:
        before, wildcard, after = text.partition("*")
        return (before + "*", "*" + after.rstrip("."), "*", "*") if wildcard else ("host", *_named(text))
    return (service, *_named(name))


def _named(name: str) -> tuple[str, str, str]:
    host, port, rest = split_name(name)
    return host, port or "*", rest or "*"


def _fits(part: tuple[str, str, str], text: str) -> bool:
    prefix, wildcard, suffix = part
    if not wildcard:
        return text == prefix
    # The length keeps prefix and suffix from sharing characters: ``ab*ba`` does not mean ``aba``.
    return len(text) >= len(prefix) + len(suffix) and text.startswith(prefix) and text.endswith(suffix)


@functools.lru_cache(maxsize=128)  # the same name is looked for in several lists, twice in every login
def target_parts(target: str | None) -> SPNParts | None:
    """Return the target in the form that `SPNPattern.means` takes; None if it cannot name a server.

    Blanks around it do not count, or a trailing one would take a target past a Deny list and through a wildcard.
    """
    if target is None:
        return None
    try:
        parsed = Target.parse(target.strip(_BLANKS))
    except LocalProtocolError:
        return None
    host, port, rest = split_name(parsed.name)
    return fold(parsed.service), fold(host), fold(port), fold(rest)


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

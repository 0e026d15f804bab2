"""Every meaning of a number or text that a user may have in hand: statuses, and what else is shown as a number.

`credssp.status.lookup` answers for NTSTATUS and SECURITY_STATUS. Users also have Win32 errors (``1326``), codes of
WinRM (``2150858770``), mstsc (``0x904``) and FreeRDP (``ERRCONNECT_LOGON_FAILURE``), and they paste whole lines. The
same number may mean several things (5 has five meanings), so all of them are returned, the statuses first.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from credssp._code_table import TABLES
from credssp.status import NTStatus, StatusInfo, all_statuses, describe, lookup, win32_errors

__all__ = ["KINDS", "Meaning", "find", "meanings", "search"]

WIN32: Final = "Win32 error"
UNNAMED: Final = "no published name"
AUDIT: Final = "logon audit message"
KINDS: Final = ("NTSTATUS", "SECURITY_STATUS", "HRESULT", *TABLES)
"""The kinds of numbers."""

_MAX_TEXT: Final = 4096
_WIN32_BASE: Final = 0x80070000
_ERROR_INFO_BASE: Final = 0x10000  # FreeRDP's class of the numbers of the Set Error Info PDU

# Numbers as people and programs write them; the names of headers, with at least one underscore.
_TOKEN: Final = re.compile(
    r"%%[0-9]{1,5}|-?0[Xx][0-9A-Fa-f]{1,16}|\b[0-9A-Fa-f]{8}[Hh]\b|-?\b[0-9]+\b|\b[0-9A-Fa-f]{8}\b"
    r"|\b[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+\b"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a number may mean.

    Attributes:
        kind: of `KINDS`.
        code: the number, unsigned.
        name: its name in the headers.
        meaning: what it says.
        cause: what usually leads to it in an RDP or WinRM login.
        advice: what to look at or to change next.
    """

    kind: str
    code: int
    name: str
    meaning: str
    cause: str
    advice: str

    @property
    def number(self) -> str:
        """The number in the form in which this kind is usually shown."""
        if self.kind == "mstsc disconnect reason":
            return f"0x{self.code:X}"
        if self.kind == AUDIT:
            return f"%%{self.code}"
        return f"0x{self.code:08X}" if self.code > 0xFFFF or self.kind in KINDS[:3] else str(self.code)

    @property
    def summary(self) -> str:
        """Name and number, such as ``ERROR_LOGON_FAILURE 1326``."""
        return self.number if self.name == self.number else f"{self.name} {self.number}"


def find(text: str) -> tuple[Meaning, ...]:
    """Return every meaning of a number or name, or of those in a pasted line; empty if none is known.

    Args:
        text: ``0x8009030C``, ``8009030Ch``, ``-2146893044``, ``0xFFFFFFFF8009030C``, ``1326``, ``%%2313``, a name in
            any case (statuses also without their prefix), or a text with such numbers and names in it.
    """
    text = text[:_MAX_TEXT].strip()
    found = [*_named(text.upper())] or [*_numbered(text)]
    if not found:
        for token in _TOKEN.findall(text):
            found += _named(token.upper()) if "_" in token else _numbered(token)
    return tuple(dict.fromkeys(found))


def search(text: str) -> tuple[Meaning, ...]:
    """Return the entries whose name or meaning has all words of a text, in any order."""
    words = text[:_MAX_TEXT].upper().replace("_", " ").split()
    if not any(len(word) > 2 for word in words):
        return ()
    return tuple(each for each in meanings() if all(word in _words_of(each) for word in words))


@functools.cache
def meanings() -> tuple[Meaning, ...]:
    """Return everything that is known, by kind and number."""
    statuses = (_of_status(info) for info in all_statuses())
    others = (_of_table(kind, code) for kind in TABLES for code in sorted(_codes(kind)))
    return tuple(sorted(statuses, key=lambda each: KINDS.index(each.kind))) + tuple(others)


def _words_of(each: Meaning) -> str:
    return f"{each.name} {each.meaning}".upper().replace("_", " ")


def _codes(kind: str) -> Iterable[int]:
    return {*TABLES[kind], *win32_errors()} if kind == WIN32 else TABLES[kind]


@functools.cache
def _names() -> dict[str, list[Meaning]]:
    """Return the entries of the tables by name, in capitals."""
    names: dict[str, list[Meaning]] = {}
    for kind in TABLES:
        for code in _codes(kind):
            each = _of_table(kind, code)
            names.setdefault(each.name.upper(), []).append(each)
    return names


def _named(name: str) -> Iterator[Meaning]:
    info = lookup(name) if not _TOKEN.fullmatch(name) or "_" in name else None
    if info is not None and not info.name.startswith("0x"):
        yield _of_status(info)
    yield from _names().get(name, ()) if name != UNNAMED.upper() else ()


def _numbered(text: str) -> Iterator[Meaning]:
    """Yield the meanings of one number, in every base that it may be written in."""
    if text.startswith("%%"):
        if text[2:].isdecimal() and int(text[2:]) in TABLES[AUDIT]:
            yield _of_table(AUDIT, int(text[2:]))
        return
    for code in dict.fromkeys(_readings(text)):
        info = describe(code)
        if not info.name.startswith("0x"):
            yield _of_status(info)
        elif code & 0xFFFF0000 == _WIN32_BASE and code & 0xFFFF in TABLES[WIN32]:
            same = _of_table(WIN32, code & 0xFFFF)
            name = f"HRESULT_FROM_WIN32({same.name})"
            yield Meaning("HRESULT", code, name, same.meaning, same.cause, same.advice)
        for kind in TABLES:
            if kind == AUDIT:
                continue  # these are written with %%
            own = code - _ERROR_INFO_BASE if kind == "RDP error info" and code > _ERROR_INFO_BASE else code
            if own in _codes(kind):
                yield _of_table(kind, own)


def _readings(text: str) -> Iterator[int]:
    """Yield the unsigned 32-bit numbers that a text may be."""
    text = text.strip("()[]{}<>,.;:'\" \t").upper()
    sign = -1 if text.startswith("-") else 1
    digits = text.removeprefix("-")
    numbers = []
    if match := re.fullmatch("0X([0-9A-F]{1,16})|([0-9A-F]{8})H?", digits):
        numbers.append(int(match[1] or match[2], 16))
    if re.fullmatch("[0-9]{1,20}", digits):
        numbers.append(int(digits))
    for number in numbers:
        value = sign * number
        if value >> 32 == 0xFFFFFFFF and value & 0x80000000:
            value &= 0xFFFFFFFF  # sign-extended to 64 bits
        if -0x80000000 <= value <= 0xFFFFFFFF:
            yield value & 0xFFFFFFFF


def _of_status(info: StatusInfo) -> Meaning:
    nt = info.name in NTStatus.__members__ or info.name.startswith("NTSTATUS_")
    kind = "NTSTATUS" if nt else "HRESULT" if "(" in info.name else "SECURITY_STATUS"
    return Meaning(kind, info.code, info.name, info.meaning, info.cause, info.advice)


@functools.cache
def _of_table(kind: str, code: int) -> Meaning:
    if kind == WIN32 and code in (logon := win32_errors()):
        name, status = logon[code]
        same = describe(status)
        return Meaning(kind, code, name, same.meaning, same.cause, same.advice)
    name, meaning, more = TABLES[kind][code]
    if isinstance(more, str):
        same_as = lookup(more)
        if same_as is None:  # pragma: no cover  # a test looks each up
            raise LookupError(more)
        more = same_as.cause, same_as.advice
    return Meaning(kind, code, name, meaning, *more)

"""Answers from a TOML file, for ``credssp serve winrm --answers FILE`` and tests in any language.

::

    [[answer]]
    command = "Get-Service*"
    stdout = "Running  WinRM  for {user} as {delegated_user}\\r\\n"

The keys are the attributes of `credssp.testing.answers.Answer`, without ``function``. A table ``[faults]`` has the name
of a fault by request.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from credssp.errors import LocalProtocolError
from credssp.testing.answers import Answer, Answers

__all__ = ["parse_answers", "read_answers"]

_KEYS: Final = tuple(each.name for each in fields(Answer) if each.init and each.name != "function")
_NUMBERS: Final = {"exit_code": int, "delay": float}
_TABLES: Final = ("arguments", "result")


def read_answers(path: str | Path) -> Answers:
    """Read a file.

    Raises:
        LocalProtocolError: it cannot be read, is not TOML, or has keys or values that make no sense; the text names the
            file.
    """
    try:
        return parse_answers(Path(path).read_bytes())
    except OSError as error:
        raise LocalProtocolError(f"{path}: it cannot be read: {error.strerror}") from None
    except LocalProtocolError as error:
        raise LocalProtocolError(f"{path}: {error.message}") from None


def parse_answers(data: bytes) -> Answers:
    """Read TOML in UTF-8. Raises LocalProtocolError where it makes no sense."""
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise LocalProtocolError(f"not TOML: {error}") from None
    for name in document.keys() - {"answer", "faults"}:
        raise LocalProtocolError(f"{name}: not a key of answers; expected [[answer]] and [faults]")
    answers, faults = document.get("answer", []), document.get("faults", {})
    if not isinstance(answers, list) or not all(isinstance(each, dict) for each in answers):
        raise LocalProtocolError("answer: not a list of tables; write [[answer]]")
    if not isinstance(faults, dict) or not all(isinstance(each, str) for each in faults.values()):
        raise LocalProtocolError("faults: not a table of names")
    made = []
    for number, table in enumerate(answers, 1):
        try:
            made.append(_answer(table))
        except LocalProtocolError as error:
            raise LocalProtocolError(f"answer {number}: {error.message}") from None
    return Answers(tuple(made), faults)


def _answer(table: dict[str, Any]) -> Answer:
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _KEYS:
            raise LocalProtocolError(f"{key}: not a key of an answer; they are {', '.join(_KEYS)}")
        if key in _TABLES:
            values[key] = _table(key, value)
            continue
        kind = _NUMBERS.get(key, str)
        if key == "stdout" and isinstance(value, list) and all(isinstance(piece, str) for piece in value):
            values[key] = tuple(value)
        elif isinstance(value, kind) or (kind is float and isinstance(value, int)):
            if isinstance(value, bool):
                raise LocalProtocolError(f"{key}: not a number")
            values[key] = value
        else:
            raise LocalProtocolError(f"{key}: not a {'text' if kind is str else 'number'}")
    try:
        return Answer(**values)
    except TypeError as error:  # a date, of which TOML has several kinds
        raise LocalProtocolError(f"{error}; write it as a text") from None


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise LocalProtocolError(f"{key}: not a table; write {key} = {{ name = value }}")
    if key == "arguments" and not all(isinstance(each, str) for each in value.values()):
        raise LocalProtocolError("arguments: a pattern that is not a text; write true as 'true' and 8 as '8'")
    return value

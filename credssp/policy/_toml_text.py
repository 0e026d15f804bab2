"""Writes the little TOML that a policy file needs; the standard library only reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["Scalar", "Table", "dump_toml"]

Scalar: TypeAlias = bool | int | str
Value: TypeAlias = Scalar | list[str]
Table: TypeAlias = dict[str, Value]


def dump_toml(table: Mapping[str, Scalar | Table]) -> str:
    """Return a TOML document of scalars, followed by one level of tables."""
    lines = [f"{name} = {_value(value)}" for name, value in table.items() if not isinstance(value, dict)]
    for name, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_value(entry)}" for key, entry in value.items())]
    return "\n".join(lines) + "\n"


def _value(value: Value) -> str:
    # A JSON string, number or truth value is a TOML one too. The exceptions are DEL and lone surrogates, which no
    # SPN pattern holds. One pattern per line: the reader bounds the length of a line, and a diff shows what changed.
    if isinstance(value, list) and value:
        return "\n".join(["[", *(f"    {_value(entry)}," for entry in value), "]"])
    return json.dumps(value, ensure_ascii=False)

"""Writes the little TOML that policy files and fixtures need; the standard library only reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["Scalar", "Table", "dump_toml"]

Scalar: TypeAlias = bool | int | str
Table: TypeAlias = dict[str, Scalar | list[str]]


def dump_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Return TOML: scalars and lists of scalars, then the tables, whose names begin with `prefix`."""
    text = "".join(f"{name} = {_value(value)}\n" for name, value in table.items() if not isinstance(value, dict))
    for name, value in table.items():
        if isinstance(value, dict):
            text += f"\n[{prefix}{name}]\n{dump_toml(value, f'{prefix}{name}.')}"
    return text


def _value(value: object) -> str:
    # A JSON string, number or truth value is a TOML one too. The exceptions are DEL and lone surrogates, which neither
    # SPN patterns nor fixtures hold. One entry per line: readers bound the length of a line, and a diff shows what
    # changed.
    if isinstance(value, list | tuple) and value:
        return "\n".join(["[", *(f"    {_value(entry)}," for entry in value), "]"])
    return json.dumps(value, ensure_ascii=False)

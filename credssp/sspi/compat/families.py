"""Families of constants of the headers as enumerations: ``ISC_REQ_...``, ``SECBUFFER_...`` and so on.

The numbers have one home, `credssp.sspi.constants` and `credssp.sspi.buffers`; the enumerations are made of them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["enumeration", "flags", "numbers"]

_WORD = 1 << 32
"""The functions that these interfaces wrap take flags of 32 bits."""


def numbers(prefix: str, *modules: ModuleType) -> dict[str, int]:
    """Return the constants of a family, by name, in the order of the modules."""
    return {
        name: int(value)
        for module in modules
        for name, value in vars(module).items()
        if name.startswith(prefix) and isinstance(value, int) and 0 <= value < _WORD
    }


def flags(name: str, module: str, members: Mapping[str, int]) -> type[enum.IntFlag]:
    """Return a set of flags; bits without a name are kept."""
    make: Any = enum.IntFlag  # the name is not a literal, which type checkers would want
    made: type[enum.IntFlag] = make(name, dict(members), module=module)
    return made


def enumeration(name: str, module: str, members: Mapping[str, int]) -> type[enum.IntEnum]:
    """Return an enumeration."""
    make: Any = enum.IntEnum
    made: type[enum.IntEnum] = make(name, dict(members), module=module)
    return made

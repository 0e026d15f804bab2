"""What a message may show of itself in a repr: names and sizes, no contents."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

__all__ = ["show"]


def _sketch(name: str, value: object) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        return f"<{len(value)} characters>"
    if isinstance(value, tuple):
        return f"({', '.join(_sketch(name, item) for item in value)})"
    return f"0x{value:08X}" if name == "error_code" and isinstance(value, int) else repr(value)


def show(message: Any) -> str:
    """Return the repr of a message dataclass; members that are absent are left out."""
    values = ((field.name, getattr(message, field.name)) for field in fields(message))
    shown = (
        f"{name}={_sketch(name, value)}"
        for name, value in values
        if value is not None and not (name == "deviations" and not value)
    )
    return f"{type(message).__name__}({', '.join(shown)})"

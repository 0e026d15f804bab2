"""TLS alerts as text (RFC 8446 6)."""

from __future__ import annotations

from typing import Final

from credssp.tls.alerts import ALERTS

__all__ = ["alert_text"]

_BY_NUMBER: Final = {number: name for name, number in ALERTS.items()}
_LEVELS: Final = {1: "warning", 2: "fatal"}


def alert_text(data: bytes) -> str:
    """Return level, name and number of an alert, such as ``fatal alert access_denied (49)``."""
    if len(data) != 2:
        return "alert that cannot be read (encrypted, or damaged)"
    name = _BY_NUMBER.get(data[1], "unknown")
    return f"{_LEVELS.get(data[0], f'level {data[0]}')} alert {name} ({data[1]})"

"""What the statuses of `credssp.status` mean: (meaning, usual cause in a login, next step), by header name."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, tuple[str, str, str]]] = {}

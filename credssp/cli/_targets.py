"""Where ``login`` and ``probe`` go: URLs, and the module that speaks each scheme.

A further transport is one more line in `TRANSPORTS` and in `credssp.fleet.target_url.DEFAULT_PORTS`, and one module
with ``log_on(target, request) -> LoginOutcome`` for ``login``.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

from credssp.fleet.target_url import TargetURL, parse_target, plain_zone

__all__ = ["TRANSPORTS", "TargetURL", "parse_target", "plain_zone", "transport_of"]

TRANSPORTS: Final = {"rdp": "credssp.cli._rdp", "http": "credssp.cli._winrm", "https": "credssp.cli._winrm"}
"""Modules by URL scheme."""


def transport_of(target: TargetURL) -> ModuleType:
    """Return the module that speaks the target's scheme."""
    return importlib.import_module(TRANSPORTS[target.scheme])

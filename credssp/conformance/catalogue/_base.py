"""The catalogue that all areas declare into, and short names for what they write."""

from __future__ import annotations

from typing import Final

from credssp.conformance.rule import Catalogue, Level, Role

__all__ = ["BOTH", "CATALOGUE", "CLIENT", "MAY", "MUST", "ROBUSTNESS", "SECURITY", "SERVER", "SHOULD"]

CATALOGUE: Final = Catalogue()

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
ROBUSTNESS, SECURITY = Level.ROBUSTNESS, Level.SECURITY
CLIENT, SERVER, BOTH = Role.CLIENT, Role.SERVER, Role.BOTH

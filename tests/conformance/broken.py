"""Which rules a test breaks that makes its wrong peer itself; the other wrong peers are rows of tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from credssp.conformance.rule import Role

Test = TypeVar("Test", bound=Callable[..., object])

BROKEN: set[tuple[str, Role]] = set()
"""Id and side of these rules, once the modules with the tests are loaded."""


def breaks(side: Role, rules: str) -> Callable[[Test], Test]:
    """Note that a test is about peers that break these rules (``"WINRM-03 WINRM-13"``)."""
    BROKEN.update((f"CSSP-{rule}", side) for rule in rules.split())
    return lambda test: test

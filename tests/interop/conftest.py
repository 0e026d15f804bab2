"""What the peers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop import x11


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """An X display, such as ``:99``."""
    with x11.xvfb() as name:
        yield name

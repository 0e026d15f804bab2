"""Tests with the domain live in its realm; see `tests.domain.lab`."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _live_in_the_domain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point libkrb5 to the domain. The keytab and the cache of the environment do not exist."""
    if "domain" in request.fixturenames:
        for name, value in request.getfixturevalue("domain").environment.items():
            monkeypatch.setenv(name, value)

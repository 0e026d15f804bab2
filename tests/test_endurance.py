"""Logins one after the other leave nothing behind; ``python -m benchmarks endurance`` has 100,000 of them."""

from __future__ import annotations

import sys

import pytest

from benchmarks.endurance import measure

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize(("way", "logins"), [("memory", 1500), ("sockets", 300)])
def test_memory_descriptors_and_threads_stay_as_they_were(way: str, tls: str, logins: int) -> None:
    growth = measure(way, tls, logins=logins)
    assert growth.more_kib < 4096
    assert growth.more_descriptors <= 2  # of a connection that is being closed
    assert growth.more_threads <= 0

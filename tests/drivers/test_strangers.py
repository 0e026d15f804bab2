"""Strangers at ``credssp serve``, in short; ``python -m benchmarks strangers`` has the full length."""

from __future__ import annotations

import functools
import sys

import pytest

from benchmarks.strangers import KINDS, LINES_OF_LOGIN, Server, few_descriptors, flood, strangers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    if request.param != "rdp":
        pytest.importorskip("uvicorn")
    return str(request.param)


@pytest.mark.parametrize("case", range(3))
def test_150_strangers_cost_little_and_a_user_gets_in(kind: str, case: int) -> None:
    mebibytes, seconds, _ = strangers(kind, KINDS[kind][case], count=150, patience=0)
    assert mebibytes < 32
    # Strangers are there for 10 s and more: a login that waited for them to go would take so long.
    assert seconds < 8 + 10 * alone(kind)


@functools.cache
def alone(kind: str) -> float:
    """Return the seconds of a login to a server without strangers."""
    with Server(kind) as server:
        return server.log_on()


def test_a_user_gets_in_during_a_flood_from_one_address(kind: str) -> None:
    succeeded, reached = flood(kind, logins=8, seconds=1.0, rate=500)
    assert succeeded == 8
    assert reached > 50


def test_without_descriptors_a_server_goes_on_and_writes_little(kind: str) -> None:
    succeeded, tried, lines = few_descriptors(kind, count=120, seconds=1.5)
    assert succeeded == tried
    assert 0 <= lines < 50


def test_a_login_has_as_many_lines_as_the_benchmark_subtracts(kind: str) -> None:
    with Server(kind) as server:
        server.log_on()
    assert server.lines == LINES_OF_LOGIN[kind]

"""How fast connections are made."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from credssp.errors import LocalProtocolError
from credssp.fleet.pace import Pace
from credssp.fleet.probing import ProbeRequest
from credssp.fleet.run import probe_all
from credssp.fleet.targets import parse_range
from credssp.testing import RDPServer


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(rate: float) -> None:
    with pytest.raises(LocalProtocolError, match="rate"):
        Pace(rate)


def test_turns_are_evenly_spaced_and_unused_ones_are_lost() -> None:
    now = 100.0
    pace = Pace(4, lambda: now)
    assert [pace() for _ in range(4)] == [0, 0.25, 0.5, 0.75]
    now = 200.0
    assert [pace() for _ in range(3)] == [0, 0.25, 0.5]


def test_every_thread_gets_another_turn() -> None:
    pace = Pace(10, lambda: 0.0)
    with ThreadPoolExecutor(8) as threads:
        turns = list(threads.map(lambda _: pace(), range(200)))
    assert sorted(turns) == pytest.approx([number / 10 for number in range(200)])


def test_the_rate_is_that_of_connections_and_waiting_for_it_is_not_the_servers_time() -> None:
    with RDPServer({("LAB", "alice"): "x"}) as server:
        found: list[dict[str, object]] = []
        connections = 0
        pace = Pace(25)

        def counted() -> float:
            nonlocal connections
            connections += 1
            return pace()

        begin = time.monotonic()
        # Less than the connections to one server need at this rate.
        request = ProbeRequest(timeout=5, pace=counted)
        targets = parse_range(f"127.0.0.1-3:{server.port}")
        asyncio.run(probe_all(targets, request=request, done=found.append))
        took = time.monotonic() - begin
    assert len(found) == 3
    assert sum(bool(each["credssp"]) for each in found) == 1
    assert connections == 7 + 2
    assert took >= (connections - 1) / 25
    assert all(each["error"] is None for each in found if each["answered"])

"""Many servers: a few at a time, however many there are, and none of them stops the others."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from credssp.errors import LocalProtocolError
from credssp.fleet.pace import Pace
from credssp.fleet.probing import ProbeRequest, not_probed, probe_target
from credssp.fleet.spread import Lost, check_sendable, in_batches, spread
from credssp.fleet.target_url import TargetURL

__all__ = ["Probe", "probe_all", "probe_over"]

Probe = Callable[[TargetURL, ProbeRequest], Awaitable[dict[str, Any]]]


async def probe_all(
    targets: Iterable[TargetURL],
    *,
    request: ProbeRequest,
    done: Callable[[dict[str, Any]], object],
    concurrency: int = 64,
    probe: Probe = probe_target,
) -> None:
    """Probe all targets.

    Args:
        targets: taken one by one, so that a large range costs nothing.
        request: how to probe each.
        done: called with the facts of each, in the order in which they are done.
        concurrency: how many at once.
        probe: what asks one server.

    Raises:
        Exception: what `done` or the iterator of `targets` raised.
    """
    source = iter(targets)

    async def work() -> None:
        for target in source:
            done(await probe(target, request))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except BaseExceptionGroup as group_error:
        # What `done` raised, such as a pipe that was closed; the others were cancelled for it.
        raise group_error.exceptions[0] from None


_BATCH: Final = 64
"""Targets that a worker gets at a time: so many that the way there costs little, and that little is lost with it."""


def probe_over(
    executor: concurrent.futures.Executor,
    targets: Iterable[TargetURL],
    *,
    request: ProbeRequest,
    done: Callable[[dict[str, Any]], object],
    rate: float | None = None,
    concurrency: int = 64,
    batch: int = _BATCH,
    ahead: int = 16,
    retries: int = 2,
) -> None:
    """Probe all targets with the workers of an executor.

    Args:
        executor: threads, processes, or a cluster (`credssp.fleet.dask_cluster`).
        targets: taken a batch at a time.
        request: how to probe each; its `pace` is None, since a pace is that of one process.
        done: called, here, with the facts of each, as batches are done.
        rate: connections per second of all workers together; it is divided evenly among the batches that are out.
        concurrency: servers at once, for each worker.
        batch: targets for a worker at a time.
        ahead: batches that are out at a time.
        retries: how many more times a batch is tried that was lost with its worker.

    Raises:
        LocalProtocolError: the request has a pace or a proxy with a password, which does not leave this process.
    """
    if request.pace is not None:
        raise LocalProtocolError("a pace is that of one process: give probe_over a rate")
    share = None if rate is None else rate / ahead
    work = functools.partial(_probe_batch, request=request, rate=share, concurrency=concurrency)
    check_sendable(executor, work, "the way to the servers")
    for targets_of_batch, result in spread(in_batches(targets, batch), work, executor, ahead=ahead, retries=retries):
        if isinstance(result, Lost):
            name = type(result.error).__name__
            text = f"every worker was lost that had this target in its batch: {name}: {result.error}"
            advice = "Look at the logs of the workers, and probe the target again, alone."
            result = [not_probed(target, text, advice=advice) for target in targets_of_batch]
        for facts in result:
            done(facts)


def _probe_batch(
    targets: Iterable[TargetURL], *, request: ProbeRequest, rate: float | None, concurrency: int
) -> list[dict[str, Any]]:
    """What a worker does."""
    found: list[dict[str, Any]] = []
    pace = None if rate is None else Pace(rate)
    paced = ProbeRequest(request.timeout, request.way, pace)
    asyncio.run(probe_all(targets, request=paced, done=found.append, concurrency=concurrency))
    return found

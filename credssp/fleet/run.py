"""Many servers: a few at a time, however many there are, and none of them stops the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from credssp.fleet.probing import ProbeRequest, probe_target
from credssp.fleet.target_url import TargetURL

__all__ = ["Probe", "probe_all"]

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

"""Probing many servers: a few at a time, however many there are, and none of them stops the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from credssp.cli._targets import TargetURL, transport_of

__all__ = ["Counts", "probe_all"]

logger = logging.getLogger("credssp.cli")


@dataclass(slots=True)
class Counts:
    """What it came to.

    Attributes:
        answered: servers that said anything.
        with_credssp: servers that offer CredSSP.
    """

    answered: int = 0
    with_credssp: int = 0


async def probe_all(
    targets: Iterable[TargetURL], *, concurrency: int, timeout: float, done: Callable[[dict[str, Any]], object]
) -> Counts:
    """Probe all targets.

    Args:
        targets: taken one by one, so that a large range costs nothing.
        concurrency: how many at once.
        timeout: seconds for each answer.
        done: called with the facts of each, in the order in which they are done.
    """
    counts = Counts()
    source = iter(targets)

    async def work() -> None:
        for target in source:
            facts = await _probe(target, timeout)
            counts.answered += facts["answered"]
            counts.with_credssp += facts["credssp"] is not None
            done(facts)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    return counts


async def _probe(target: TargetURL, timeout: float) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = await transport_of(target).probe(target, timeout)
    except Exception as error:
        # One bad host never stops the rest: this is a bug of ours, and the report says so.
        logger.exception("probing %s failed", target)
        return {
            "target": str(target),
            "answered": False,
            "credssp": None,
            "error": {"name": type(error).__name__, "text": "this is a bug in credssp"},
        }
    return facts

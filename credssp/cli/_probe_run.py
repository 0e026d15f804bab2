"""Probing many servers: a few at a time, however many there are, and none of them stops the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from credssp.cli._targets import TargetURL, transport_of
from credssp.cli._ways import Way
from credssp.config import Timeouts

__all__ = ["Counts", "ProbeRequest", "probe_all"]

logger = logging.getLogger("credssp.cli")


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """How to probe.

    Attributes:
        timeout: seconds for each answer.
        way: how servers are reached.
    """

    timeout: float
    way: Way

    @property
    def timeouts(self) -> Timeouts:
        """Those of all connections to one server: ten at most, each with a few answers."""
        return Timeouts(connect=self.timeout, leg=self.timeout, login=10 * self.timeout)


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
    targets: Iterable[TargetURL], *, concurrency: int, request: ProbeRequest, done: Callable[[dict[str, Any]], object]
) -> Counts:
    """Probe all targets.

    Args:
        targets: taken one by one, so that a large range costs nothing.
        concurrency: how many at once.
        request: how to probe each.
        done: called with the facts of each, in the order in which they are done.

    Raises:
        Exception: what `done` raised.
    """
    counts = Counts()
    source = iter(targets)

    async def work() -> None:
        for target in source:
            facts = await _probe(target, request)
            counts.answered += facts["answered"]
            counts.with_credssp += facts["credssp"] is not None
            done(facts)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except BaseExceptionGroup as group_error:
        # What `done` raised, such as a pipe that was closed; the others were cancelled for it.
        raise group_error.exceptions[0] from None
    return counts


async def _probe(target: TargetURL, request: ProbeRequest) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = await transport_of(target).probe(target, request)
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

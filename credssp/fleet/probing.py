"""One server, asked without credentials: a `TargetURL` in, plain data out."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.config import Timeouts
from credssp.diagnosis.judge import judge_rdp, judge_winrm
from credssp.drivers import rdp_probe, winrm_probe
from credssp.fleet.facts import certificate_facts, probe_facts
from credssp.fleet.target_url import TargetURL
from credssp.fleet.way import Way
from credssp.status import SecurityStatus, describe

__all__ = ["ProbeRequest", "not_probed", "probe_rdp", "probe_target", "probe_winrm"]

logger = logging.getLogger("credssp.fleet")

_PATH: Final = "/wsman"
_PROBES: Final = 64
"""Threads for WinRM: as many as ``credssp probe`` asks at once by default."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """How to probe.

    Attributes:
        timeout: seconds for each answer.
        way: how servers are reached.
        pace: called before each connection; returns the seconds to wait until it may be made. See `Pace`.
    """

    timeout: float = 5.0
    way: Way = field(default_factory=Way)
    pace: Callable[[], float] | None = None

    @property
    def timeouts(self) -> Timeouts:
        """Those of all connections to one server: ten as a rule, each with a few answers."""
        return Timeouts(connect=self.timeout, leg=self.timeout, login=10 * self.timeout)


async def probe_target(target: TargetURL, request: ProbeRequest) -> dict[str, Any]:
    """Return what a server offers (docs/reference/fleet-formats.md). Whatever the server does becomes facts."""
    try:
        return await (probe_rdp if target.scheme == "rdp" else probe_winrm)(target, request)
    except Exception as error:
        # One bad host never stops the rest: this is a bug of ours, and the report says so.
        logger.exception("probing %s failed", target)
        return not_probed(
            target,
            f"{type(error).__name__}: this is a bug in credssp",
            advice="Report it, with what the logger credssp.fleet says.",
        )


def not_probed(target: object, text: str, *, advice: str) -> dict[str, Any]:
    """Return the facts of a target about which nothing was found out for a reason of our own."""
    error = describe(SecurityStatus.SEC_E_INTERNAL_ERROR).to_dict(text=text, advice=advice)
    return {"target": str(target), "answered": False, "credssp": None, "error": error}


async def probe_rdp(target: TargetURL, request: ProbeRequest) -> dict[str, Any]:
    """Return what an RDP server offers."""
    report = await rdp_probe.probe(
        target.host, target.port, timeouts=request.timeouts, pace=request.pace, **request.way.options(target)
    )
    return probe_facts(target, report, judge_rdp(report))


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(_PROBES, thread_name_prefix="credssp probe")


async def probe_winrm(target: TargetURL, request: ProbeRequest) -> dict[str, Any]:
    """Return what a WinRM server offers."""
    report = await asyncio.get_running_loop().run_in_executor(
        _threads(),
        functools.partial(
            winrm_probe.probe,
            target.host,
            target.port,
            path=target.path or _PATH,
            https=target.scheme == "https",
            timeouts=request.timeouts,
            proxy=request.way.proxy(target),
            pace=request.pace,
        ),
    )
    https: dict[str, Any] | None = None
    if report.https_certificate is not None:
        https = {
            "version": report.https_version,
            "certificate": certificate_facts(report.https_certificate),
            "tls_old": report.https_old,
            "tls_weak_cipher": report.https_weak_cipher or None,
        }
    findings = judge_winrm(report, https=target.scheme == "https")
    return probe_facts(target, report, findings) | {"server": report.server or None, "https": https}

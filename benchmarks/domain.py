"""Logins of users of a domain beside the same logins with accounts in memory: what asking a domain controller costs.

Both servers are ``credssp serve rdp`` on a member of a domain of Samba's own programs (`tests.domain.lab`), which needs
root and Debian's packages. CPU is that of the server's process alone; winbindd and the controller are others.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from credssp import PasswordCredentials, rdp
from tests.domain.lab import MEMBER_ADDRESS, Domain, password
from tests.domain.service import Service, serving

__all__ = ["AT_ONCE", "Measured", "measure"]

AT_ONCE = 100
_ALICE = PasswordCredentials("alice", password("alice"), domain="LAB")
_TICKS = os.sysconf("SC_CLK_TCK")


class Measured:
    """Ratios and times of a run.

    Attributes:
        cpu: CPU of the server for `AT_ONCE` logins at once, with the domain over with accounts in memory; the median
            of the rounds.
        added: seconds that a login alone takes longer with the domain, median less median.
        plain: seconds that it takes with accounts in memory.
    """

    def __init__(self, cpu: float, added: float, plain: float) -> None:
        self.cpu = cpu
        self.added = added
        self.plain = plain


async def _log_on(port: int) -> None:
    session = await rdp.open_connection(MEMBER_ADDRESS, port, credentials=_ALICE, mechanism="ntlm")
    session.close()
    await session.wait_closed()


async def _burst(port: int) -> None:
    await asyncio.gather(*(_log_on(port) for _ in range(AT_ONCE)))


async def _one_by_one(port: int, count: int) -> list[float]:
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        await _log_on(port)
        times.append(time.perf_counter() - begin)
    return times


def _cpu(service: Service) -> float:
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _cost(domain: Domain, service: Service) -> float:
    before = _cpu(service)
    domain.call(asyncio.run, _burst(service.port))
    return _cpu(service) - before


def measure(*, rounds: int = 5, logins: int = 40) -> Measured:
    """Make a domain, and compare."""
    with tempfile.TemporaryDirectory() as folder, Domain(Path(folder)) as domain:
        local = ("--user", f"LAB\\alice:{password('alice')}")
        with serving(domain, "rdp") as asking, serving(domain, "rdp", *local, winbind=False) as knowing:
            for service in (asking, knowing):  # everything is imported, and winbindd knows its controller
                domain.call(asyncio.run, _burst(service.port))
            ratios = [_cost(domain, asking) / _cost(domain, knowing) for _ in range(rounds)]
            times: dict[int, list[float]] = {asking.port: [], knowing.port: []}
            for _ in range(4):
                for port, found in times.items():
                    found += domain.call(asyncio.run, _one_by_one(port, logins // 4))
            with_domain, plain = (statistics.median(found) for found in times.values())
    return Measured(statistics.median(ratios), with_domain - plain, plain)

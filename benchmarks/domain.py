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
from collections.abc import Sequence
from pathlib import Path

from credssp import PasswordCredentials, rdp
from credssp.authority import LogonQuestion, LogonVerdict
from credssp.drivers.winbind import WinbindAuthority
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.av_pairs import filetime
from credssp.ntlm.proof import make_response
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
        added: seconds that a login alone takes longer with the domain, the median of logins in turn.
        plain: seconds that it takes with accounts in memory.
        question: seconds that winbindd takes for one question, as the median.
    """

    def __init__(self, cpu: float, added: float, plain: float, question: float) -> None:
        self.cpu = cpu
        self.added = added
        self.plain = plain
        self.question = question


async def _log_on(port: int) -> None:
    session = await rdp.open_connection(MEMBER_ADDRESS, port, credentials=_ALICE, mechanism="ntlm")
    session.close()
    await session.wait_closed()


async def _burst(port: int) -> None:
    await asyncio.gather(*(_log_on(port) for _ in range(AT_ONCE)))


async def _in_turn(ports: Sequence[int], count: int) -> list[list[float]]:
    """Log on to the servers in turn: what else the machine does hits both alike."""
    times: list[list[float]] = [[] for _ in ports]
    for _ in range(count):
        for port, found in zip(ports, times, strict=True):
            begin = time.perf_counter()
            await _log_on(port)
            found.append(time.perf_counter() - begin)
    return times


def _cpu(service: Service) -> float:
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _cost(domain: Domain, service: Service) -> float:
    before = _cpu(service)
    domain.call(asyncio.run, _burst(service.port))
    return _cpu(service) - before


def _questions(count: int) -> list[float]:
    """Ask winbindd about right responses of alice, as the server does."""
    authority = WinbindAuthority()
    key = crypto.ntowfv2(nt_hash(password("alice")), "ALICE", "LAB")
    names = authority.target.encoded_av_pairs + bytes(4)
    times = []
    for _ in range(count):
        challenge, when = os.urandom(8), filetime(time.time_ns()).to_bytes(8, "little")
        temp = b"\1\1" + bytes(6) + when + os.urandom(8) + bytes(4) + names + bytes(4)
        response, _ = make_response(key, challenge, temp)
        question = LogonQuestion(
            domain="LAB", username="alice", workstation="", server_challenge=challenge, nt_response=response
        )
        begin = time.perf_counter()
        answer = authority.verify(question)
        times.append(time.perf_counter() - begin)
        assert isinstance(answer, LogonVerdict)
    return times


def measure(*, rounds: int = 5, logins: int = 40) -> Measured:
    """Make a domain, and compare."""
    with tempfile.TemporaryDirectory() as folder, Domain(Path(folder)) as domain:
        local = ("--user", f"LAB\\alice:{password('alice')}")
        with serving(domain, "rdp") as asking, serving(domain, "rdp", *local, winbind=False) as knowing:
            for service in (asking, knowing):  # everything is imported, and winbindd knows its controller
                domain.call(asyncio.run, _burst(service.port))
            ratios = [_cost(domain, asking) / _cost(domain, knowing) for _ in range(rounds)]
            asked, known = domain.call(asyncio.run, _in_turn((asking.port, knowing.port), logins))
            added = statistics.median(one - other for one, other in zip(asked, known, strict=True))
            question = statistics.median(domain.call(_questions, logins))
    return Measured(statistics.median(ratios), added, statistics.median(known), question)

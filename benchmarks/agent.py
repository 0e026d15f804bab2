"""What a login through the agent takes longer than a direct one, and many programs at once.

Server, agent and programs are processes of their own, as in use. Logins take turns, one direct and one through the
agent, and the medians are compared: what disturbs the machine disturbs both.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import credssp
from benchmarks.login import DOMAIN, PASSWORD, USER
from benchmarks.rdp import HOST, Server, forked, serve_rdp
from credssp import rdp
from credssp.lsa.caller import Caller
from credssp.lsa.opened import CertificateRule, OpenedCredential
from credssp.lsa.service import AgentService
from credssp.tls.certificate import process_certificate

PROGRAMS = 50
"""Programs that log on at once."""

ALICE = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)


class _Store:
    """One credential, for every caller and target."""

    def __init__(self, opened: OpenedCredential) -> None:
        self._opened = opened

    def open(self, name: str, *, caller: Caller, target: str, mechanism: str) -> OpenedCredential:  # noqa: ARG002
        return self._opened


async def _serve(listener: socket.socket, service: AgentService) -> None:
    loop = asyncio.get_running_loop()
    tasks = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        task = asyncio.create_task(service.serve(connection, Caller(uid, pid, "")))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


@contextmanager
def _agent() -> Iterator[credssp.AgentCredentials]:
    """Run an agent in a process of its own."""
    fingerprint = hashlib.sha256(process_certificate().der).hexdigest()
    opened = OpenedCredential(
        name="bench",
        credentials=ALICE,
        mechanisms=("kerberos", "ntlm"),
        certificate=CertificateRule(fingerprint=fingerprint),
    )
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder, "s"))
        listener.bind(path)
        listener.listen(128)
        listener.setblocking(False)
        service = AgentService(_Store(opened), audit=lambda _: None)
        pid = forked(lambda: asyncio.run(_serve(listener, service)))
        try:
            yield credssp.AgentCredentials("bench", path)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _log_on(port: int, credentials: credssp.LogonCredentials) -> float:
    began = time.perf_counter()
    rdp.connect(HOST, port, credentials=credentials, mechanism="ntlm").close()
    return time.perf_counter() - began


def measure(*, logins: int, each: int) -> tuple[float, float, float, int]:
    """Return what logins cost.

    Args:
        logins: of each kind, in turns.
        each: logins of each of the programs.

    Returns:
        Medians of a direct login and one through the agent, in seconds; logins through the agent per second of
        `PROGRAMS` programs at once, and how many programs failed.
    """
    server = Server(serve_rdp)
    try:
        with _agent() as agent:
            _log_on(server.port, ALICE)
            _log_on(server.port, agent)
            direct, through = [], []
            for _ in range(logins):
                direct.append(_log_on(server.port, ALICE))
                through.append(_log_on(server.port, agent))

            def program() -> None:
                for _ in range(each):
                    _log_on(server.port, agent)

            began = time.perf_counter()
            pids = [forked(program) for _ in range(PROGRAMS)]
            failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)
            rate = PROGRAMS * each / (time.perf_counter() - began)
    finally:
        server.stop()
    return statistics.median(direct), statistics.median(through), rate, failed

"""``credssp probe`` over a network: its time beside nmap's scripts, and the memory of a million targets.

4,096 addresses of the loopback network, 200 of them with an RDP server of ours on the same port, which all run in one
process. Both programs ask the same targets in turns; nmap has its names off (``-n``), no ping and its fast timing.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import credssp
from benchmarks.login import DOMAIN, PASSWORD, USER
from credssp.tls.certificate import process_certificate

__all__ = ["NMAP", "Taken", "live_servers", "measure", "peak_memory"]

NETWORK = "127.77.0.0/20"
TARGETS, LIVE = 4096, 200
NMAP = "nmap"
_SCRIPTS = "+rdp-enum-encryption,+rdp-ntlm-info"


@contextmanager
def live_servers(count: int = LIVE) -> Iterator[int]:
    """Serve at every twentieth address; yields the port."""
    process_certificate()
    first = socket.create_server(("127.77.0.0", 0))
    port: int = first.getsockname()[1]
    sockets = [first]
    for number in range(1, count):
        place = number * (TARGETS // count)
        sockets.append(socket.create_server((f"127.77.{place >> 8}.{place & 255}", port), backlog=128))
    pid = os.fork()
    if not pid:
        try:
            asyncio.run(_serve(sockets))
        finally:
            os._exit(1)
    for sock in sockets:
        sock.close()
    try:
        yield port
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def _serve(sockets: list[socket.socket]) -> None:
    from credssp import rdp

    accounts = credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD})
    servers = [await rdp.start_server(None, sock=sock, accounts=accounts) for sock in sockets]
    await asyncio.Event().wait()
    del servers


class Taken(NamedTuple):
    """What a run took.

    Attributes:
        seconds: wall time, which counts.
        cpu: CPU seconds of the program, without those of the servers; they depend less on other jobs.
    """

    seconds: float
    cpu: float


def _run(command: list[str]) -> tuple[Taken, str]:
    # Installed programs are compiled; without this, a clone would be compiled in every run.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environment)
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), done.stdout


def measure(rounds: int) -> tuple[list[Taken], list[Taken]]:
    """Return what each round took, ours and nmap's; the latter are missing where nmap is.

    Raises:
        RuntimeError: one of the two did not find every server.
    """
    ours: list[Taken] = []
    theirs: list[Taken] = []
    nmap = shutil.which(NMAP)
    with live_servers() as port:
        for _ in range(rounds):
            probe = [sys.executable, "-m", "credssp", "probe", NETWORK, "--port", str(port), "--json"]
            taken, out = _run([*probe, "--concurrency", "256"])
            if (found := out.count('"answered": true')) != LIVE:
                raise RuntimeError(f"credssp probe found {found} of {LIVE} servers")
            ours.append(taken)
            if nmap is None:
                continue
            taken, out = _run([nmap, "-n", "-Pn", "-T4", "-p", str(port), "--script", _SCRIPTS, NETWORK])
            if (found := out.count("CredSSP (NLA): SUCCESS")) != LIVE:
                raise RuntimeError(f"nmap found {found} of {LIVE} servers")
            theirs.append(taken)
    return ours, theirs


_MEASURED = """
import sys
from credssp.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")), file=sys.stderr)
sys.exit(code)
"""


def peak_memory(targets: int, *arguments: str, command: str = "probe") -> float:
    """Return the MB that a command had at most, for so many targets without a server (Linux).

    The process says so itself: what wait4 tells is at least what the parent had when it started the process.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:  # nothing else can listen there meanwhile
        port = taken.getsockname()[1]
        last = (127 << 24) + (1 << 16) + targets - 1
        text = f"127.1.0.0-{'.'.join(str(last >> shift & 255) for shift in (24, 16, 8, 0))}"
        words = [sys.executable, "-c", _MEASURED, command, text, "--port", str(port), "--yes", *arguments]
        done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 3:
        raise RuntimeError(f"credssp {command} ended with exit code {done.returncode}: {done.stderr}")
    return int(done.stderr.split()[-1]) * 1024 / 1_000_000

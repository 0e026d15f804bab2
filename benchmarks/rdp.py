"""The asyncio RDP server: CPU per login beside a bare asyncio TLS server, and what a second worker brings.

The server runs in processes of its own and its CPU time is theirs alone, so that the clients, which cost more than
the server, don't count. The bare server does the same TLS handshakes with the same certificate, and nothing else.

Two workers: the clients run on the same machine and need more of it than the server does. So one worker **and** its
clients get one core, then two workers and twice the clients get two: whatever the second worker does not bring shows
as a ratio below 2. This one is measured by the wall clock, and whoever else uses the machine spoils it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import credssp
from benchmarks.login import DOMAIN, PASSWORD, USER
from credssp.drivers.workers import bind
from credssp.tls.certificate import process_certificate
from credssp.tls.settings import ServerTLS, client_context, server_context

HOST = "127.0.0.1"
CONCURRENCY = 16

Serve = Callable[[socket.socket], Awaitable[None]]


async def serve_bare(sock: socket.socket) -> None:
    """asyncio's own TLS server."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    context = server_context(ServerTLS(), process_certificate())
    async with await asyncio.start_server(handle, sock=sock, ssl=context, backlog=1024):
        await asyncio.Event().wait()


async def serve_rdp(sock: socket.socket) -> None:
    """Ours; after a login it closes."""
    from credssp import rdp

    accounts = credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD})
    async with await rdp.start_server(None, sock=sock, accounts=accounts):
        await asyncio.Event().wait()


class Server:
    """A service in processes of its own."""

    def __init__(self, serve: Serve, workers: int = 1) -> None:
        process_certificate()  # one for all
        sockets = bind(HOST, 0, workers)
        self.port: int = sockets[0].getsockname()[1]
        for sock in sockets:  # accepted ones have what a listening one has; asyncio forgets it where it is given one
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clocks: list[int] = []
        self.pids: list[int] = []
        for sock in sockets:
            reading, writing = os.pipe()
            pid = os.fork()
            if not pid:
                os.close(reading)
                for other in sockets:
                    if other is not sock:
                        other.close()
                _child(serve, sock, writing)
            os.close(writing)
            self._clocks.append(reading)
            self.pids.append(pid)
        for sock in sockets:
            sock.close()

    def cpu(self) -> float:
        """CPU seconds of all processes so far."""
        total = 0.0
        for pid, clock in zip(self.pids, self._clocks, strict=True):
            os.kill(pid, signal.SIGUSR1)
            total += float(os.read(clock, 64))
        return total

    def stop(self) -> None:
        for pid, clock in zip(self.pids, self._clocks, strict=True):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(clock)


def _child(serve: Serve, sock: socket.socket, clock: int) -> None:
    async def main() -> None:
        def tell() -> None:
            os.write(clock, f"{time.process_time():.9f}".ljust(64).encode())

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
        await serve(sock)

    try:
        asyncio.run(main())
    finally:
        os._exit(1)


async def _many(times: int, one: Callable[[], Awaitable[None]]) -> None:
    left = iter(range(times))

    async def work() -> None:
        for _ in left:
            await one()

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


def log_on(port: int, times: int) -> None:
    from credssp import rdp

    credentials = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)

    async def one() -> None:
        session = await rdp.open_connection(HOST, port, credentials=credentials, mechanism="ntlm")
        session.close()

    asyncio.run(_many(times, one))


def shake_hands(port: int, times: int) -> None:
    context: ssl.SSLContext = client_context(credssp.ClientTLS())

    async def one() -> None:
        _, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost")
        writer.close()

    asyncio.run(_many(times, one))


@dataclass
class Measured:
    """CPU seconds per handshake of the bare server and per login of ours; logins per second on one core and on two."""

    bare: float
    login: float
    one_worker: float
    two_workers: float


def measure(*, rounds: int, logins: int) -> Measured:
    """Take turns; of each the best round counts."""
    bare, ours = Server(serve_bare), Server(serve_rdp)
    best = {bare: float("inf"), ours: float("inf")}
    cases = ((bare, shake_hands), (ours, log_on))
    try:
        for server, drive in cases:
            drive(server.port, 40)  # warm up
        for _ in range(rounds):
            for server, drive in cases:
                before = server.cpu()
                drive(server.port, logins)
                best[server] = min(best[server], (server.cpu() - before) / logins)
    finally:
        bare.stop()
        ours.stop()
    cores = sorted(os.sched_getaffinity(0))[:2]
    one = two = 0.0
    for _ in range(max(2, rounds // 2)):
        # Long enough that the kernel's distribution among the workers evens out.
        one = max(one, _throughput(cores[:1], 3 * logins))
        two = max(two, _throughput(cores, 3 * logins))
    return Measured(best[bare], best[ours], one, two)


def _throughput(cores: list[int], logins: int) -> float:
    """Return logins per second of as many workers as there are cores, with a client process for each of them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    server = Server(serve_rdp, workers=len(cores))
    try:
        log_on(server.port, 20)
        begin = time.perf_counter()
        clients = [forked(lambda: log_on(server.port, logins)) for _ in cores]
        for pid in clients:
            _, status = os.waitpid(pid, 0)
            assert status == 0
        return len(cores) * logins / (time.perf_counter() - begin)
    finally:
        server.stop()
        os.sched_setaffinity(0, before)


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid

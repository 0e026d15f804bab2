"""An agent for tests, in a thread of this process: the service on a socket of its own, and a store of a few lines."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import credssp
from credssp.lsa.caller import Caller
from credssp.lsa.opened import AgentRefusedError, OpenedCredential, Reason
from credssp.lsa.record import LoginRecord
from credssp.lsa.service import AgentLimits, AgentService
from credssp.tls.certificate import ServerCertificate, load_certificate

__all__ = [
    "ACCOUNTS",
    "PASSWORD",
    "RunningAgent",
    "Store",
    "fingerprint",
    "opened",
    "running_agent",
    "server_certificate",
]

PASSWORD = "Tr0ub4dor&3 through the agent"
ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): PASSWORD})


def server_certificate(name: str = "127.0.0.1") -> ServerCertificate:
    """A certificate for a server on loopback."""
    made = credssp.generate_certificate("p256", common_name=name, dns_names=(name,))
    return load_certificate((made.chain, made.private_key.reveal()))


def fingerprint(certificate: ServerCertificate) -> str:
    return hashlib.sha256(certificate.der).hexdigest()


def opened(name: str = "lab", **changes: Any) -> OpenedCredential:
    """A password of LAB\\alice for Kerberos and NTLM."""
    values: dict[str, Any] = {
        "credentials": credssp.PasswordCredentials("alice", PASSWORD, domain="LAB"),
        "mechanisms": ("kerberos", "ntlm"),
    }
    return OpenedCredential(name=name, **(values | changes))


class Store:
    """Opens what it was given, for targets by pattern.

    Attributes:
        asked: caller, name, target and mechanism of every call.
    """

    def __init__(self, *credentials: OpenedCredential, targets: str = "*") -> None:
        self._credentials = {each.name: each for each in credentials}
        self._targets = targets
        self.asked: list[tuple[Caller, str, str, str]] = []

    def open(self, name: str, *, caller: Caller, target: str, mechanism: str) -> OpenedCredential:
        self.asked.append((caller, name, target, mechanism))
        if name not in self._credentials:
            raise AgentRefusedError(Reason.UNKNOWN, "no such credential")
        if not fnmatchcase(target, self._targets):
            raise AgentRefusedError(Reason.TARGET, "not for this target")
        return self._credentials[name]


class RunningAgent:
    """What tests know of an agent.

    Attributes:
        path: its socket.
        records: what the audit was told.
        service: the service; its loop is another thread's.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.records: list[LoginRecord] = []
        self.service: AgentService | None = None
        self._changed = threading.Condition()

    def audit(self, record: LoginRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def last(self, count: int = 1) -> LoginRecord:
        """Wait for so many records and return the last."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.records) >= count, 30)
            return self.records[-1]

    def credentials(self, name: str = "lab") -> credssp.AgentCredentials:
        return credssp.AgentCredentials(name, self.path)

    def connections(self) -> int:
        return 0 if self.service is None else self.service.connections


@contextmanager
def running_agent(
    *credentials: OpenedCredential, store: Any = None, limits: AgentLimits | None = None, targets: str = "*"
) -> Iterator[RunningAgent]:
    """Run an agent with these credentials."""
    with tempfile.TemporaryDirectory(prefix="credssp-agent-") as folder:
        agent = RunningAgent(str(Path(folder, "s")))
        ready = threading.Event()
        stop: list[Callable[[], object]] = []

        async def accept(listener: socket.socket, service: AgentService) -> None:
            loop = asyncio.get_running_loop()
            tasks = set()
            while True:
                connection, _ = await loop.sock_accept(listener)
                pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                task = asyncio.create_task(service.serve(connection, Caller(uid, pid, "")))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        async def main() -> None:
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(agent.path)
                listener.listen(1024)
                listener.setblocking(False)
                used = Store(*credentials, targets=targets) if store is None else store
                service = agent.service = AgentService(used, audit=agent.audit, limits=limits)
                accepting = asyncio.create_task(accept(listener, service))
                stop.append(lambda: loop.call_soon_threadsafe(accepting.cancel))
                ready.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await accepting
                await service.close()

        thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield agent
        finally:
            stop[0]()
            thread.join(10)

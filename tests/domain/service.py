"""``credssp serve`` on the member, and logins to it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import credssp
from credssp import rdp
from credssp.errors import PeerRefusedError
from tests.domain.lab import MEMBER, MEMBER_ADDRESS, Domain, password

__all__ = ["Service", "log_on", "running", "serving", "status_of", "user"]


@dataclass
class Service:
    """A server on the member.

    Attributes:
        port: where it listens.
        pid: its process.
        events: what it told so far.
    """

    port: int
    pid: int
    events: list[dict[str, Any]] = field(default_factory=list)

    def wait(self, event: str, count: int = 1, seconds: float = 20) -> dict[str, Any]:
        """Return the last event of this name once there are so many."""
        end = time.monotonic() + seconds
        while len(found := [each for each in list(self.events) if each["event"] == event]) < count:
            assert time.monotonic() < end, f"no {event} in {self.events}"
            time.sleep(0.01)
        return found[-1]


@contextmanager
def serving(domain: Domain, protocol: str, *options: str, winbind: bool = True, **popen: Any) -> Iterator[Service]:
    """Run a server while the block runs."""
    command = ["serve", protocol, "--listen", "127.0.0.10:0", *(["--winbind"] if winbind else []), *options]
    with running(domain, *command, **popen) as service:
        yield service


@contextmanager
def running(domain: Domain, *command: str, **popen: Any) -> Iterator[Service]:
    """Run a command that listens while the block runs, with its events as JSON."""
    process = domain.popen([sys.executable, "-m", "credssp", *command, "--json"], stdout=-1, **popen)
    assert process.stdout is not None
    try:
        listening = json.loads(process.stdout.readline() or "null")
        assert listening, f"the server did not start: {process.wait(10)}"
        service = Service(int(listening["address"].rpartition(":")[2]), process.pid)
        lines = process.stdout

        def read() -> None:
            service.events.extend(map(json.loads, lines))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        yield service
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def user(name: str, text: str | None = None) -> credssp.PasswordCredentials:
    """Return the credentials of a user, written as a person would: ``LAB\\alice``, ``alice@lab.test``."""
    domain_name, backslash, account = name.rpartition("\\")
    known = {"carol.jones": "carol"}.get(account.partition("@")[0], account.partition("@")[0])
    secret = password(known) if text is None else text
    return credssp.PasswordCredentials(account, secret, domain=domain_name if backslash else "")


def log_on(domain: Domain, service: Service, credentials: Any, mechanism: str = "ntlm", **options: Any) -> None:
    """Log on to an RDP server on the member, from there. For NTLM by its address, which Kerberos does not know."""
    host = MEMBER if mechanism == "kerberos" else MEMBER_ADDRESS

    def connect() -> None:
        rdp.connect(host, service.port, credentials=credentials, mechanism=mechanism, **options).close()

    domain.call(connect)


def status_of(domain: Domain, service: Service, credentials: Any, mechanism: str = "ntlm", **options: Any) -> int:
    """Log on and return the NTSTATUS of the refusal, or 0."""
    try:
        log_on(domain, service, credentials, mechanism, **options)
    except PeerRefusedError as error:
        return error.ntstatus
    return 0

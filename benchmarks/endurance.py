"""Logins one after the other, in a process of their own: memory, descriptors, threads and credentials must stay
as they were.

Both sides in memory, where every tenth login has a wrong password; an RDP client and server over loopback; or an RDP
client, a gateway and a server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

WARM = 0.05
"""The part of the logins that fills caches: 5,000 of 100,000."""


@dataclass(frozen=True)
class Growth:
    """What a process held when it was warm, and what it held more at the end."""

    rss_kib: int
    more_kib: int
    more_descriptors: int
    more_threads: int
    more_credentials: int


def measure(way: str, tls: str, *, logins: int) -> Growth:
    """Run `logins` logins (``memory``, ``sockets``, or ``relay``: sessions through a gateway) over TLS 1.2 or 1.3."""
    command = [sys.executable, "-m", "benchmarks.endurance", way, tls, str(logins)]
    output = subprocess.run(command, capture_output=True, check=True, text=True, timeout=3600).stdout
    return Growth(**json.loads(output))


def _held() -> tuple[int, int, int]:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]), len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def _memory(tls: str) -> Callable[[int], None]:
    import credssp
    from benchmarks.login import DOMAIN, PASSWORD, TARGET, USER
    from credssp.config import ClientConfig, ServerConfig
    from credssp.tls.settings import ServerTLS

    accounts = credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD})
    server_config = ServerConfig(accounts=accounts, tls=ServerTLS(minimum=tls, maximum=tls))
    client_config = ClientConfig(target_name=TARGET, mechanism="negotiate")
    right = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)
    wrong = credssp.PasswordCredentials(USER, "another one", domain=DOMAIN)

    def log_on(number: int) -> None:
        client = credssp.ClientContext(right if number % 10 else wrong, config=client_config)
        server = credssp.ServerContext(config=server_config)
        try:
            token = client.step().token
            while not server.complete:
                token = client.step(server.step(token).token).token
        except credssp.AuthenticationError:
            if number % 10:
                raise

    return log_on


def _sockets(tls: str) -> Callable[[int], None]:
    import credssp
    from benchmarks.login import DOMAIN, PASSWORD, USER
    from credssp import rdp
    from credssp.testing import RDPServer
    from credssp.tls.settings import ServerTLS

    server = RDPServer({(DOMAIN, USER): PASSWORD}, hold=0.0, tls=ServerTLS(minimum=tls, maximum=tls)).start()
    right = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)

    def log_on(_: int) -> None:
        rdp.connect(*server.address, credentials=right).close()
        server.delegations.clear()

    return log_on


def _relay(tls: str) -> Callable[[int], None]:  # noqa: ARG001  # that of the defaults
    from benchmarks.relay import endurance

    return endurance()


def _credentials() -> int:
    """Return how many delegated credentials are alive, in reference cycles too."""
    import gc

    from credssp import PasswordCredentials

    return sum(isinstance(each, PasswordCredentials) for each in gc.get_objects())


def _child(way: str, tls: str, logins: int) -> Growth:
    log_on = {"memory": _memory, "sockets": _sockets, "relay": _relay}[way](tls)
    warm = max(50, int(logins * WARM))
    for number in range(warm):
        log_on(number)
    before, credentials = _held(), _credentials()
    for number in range(warm, logins):
        log_on(number)
    time.sleep(1)  # the server's side of the last one
    after = _held()
    more = _credentials() - credentials
    return Growth(before[0], after[0] - before[0], after[1] - before[1], after[2] - before[2], more)


if __name__ == "__main__":
    print(json.dumps(asdict(_child(sys.argv[1], sys.argv[2], int(sys.argv[3])))))

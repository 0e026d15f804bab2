"""``credssp serve`` among strangers: what they cost, and whether a user still gets in."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import credssp
from credssp import rdp
from credssp.config import Timeouts
from credssp.drivers.winrm import WinRMConnection
from credssp.tls.settings import ClientTLS
from credssp.winrm import ClientLogin

ALICE: Final = credssp.PasswordCredentials("alice", "secret", domain="LAB")
HEAD: Final = b"POST /wsman HTTP/1.1\r\nHost: x\r\n"
X224: Final = bytes.fromhex("030000130ee00000000000010008000b000000")
KINDS: Final = {
    "rdp": ("nothing", "request", "silent TLS"),
    "winrm": ("nothing", "body", "headers"),
    "https": ("nothing", "silent TLS", "body"),
}
"""Servers, and what strangers do to them."""

LINES_OF_LOGIN: Final = {"rdp": 3, "winrm": 2, "https": 2}
"""Lines that a server writes about a login: negotiated (RDP alone), delegated, closed."""


class Server:
    """A server in a process of its own."""

    def __init__(self, kind: str, *, descriptors: int | None = None) -> None:
        self.kind = kind
        self._folder = tempfile.TemporaryDirectory()
        command = [sys.executable, "-m", "credssp", "serve", "rdp" if kind == "rdp" else "winrm"]
        command += ["--listen", "127.0.0.1:0", "--json", "--user", "LAB\\alice:secret"]
        if kind == "https":
            certificate = credssp.generate_certificate("p256")
            path = Path(self._folder.name, "https.pem")
            path.touch(mode=0o600)
            path.write_bytes(certificate.chain + certificate.private_key.reveal())
            command += ["--tls-cert", str(path)]
        limit = "" if descriptors is None else f"ulimit -n {descriptors}; "
        self._errors = Path(self._folder.name, "errors").open("w+b")  # noqa: SIM115  # closed by __exit__
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f'{limit}exec "$@"', "sh", *command], stdout=subprocess.PIPE, stderr=self._errors
        )
        assert self._process.stdout is not None
        self.port = int(json.loads(self._process.stdout.readline())["address"].rpartition(":")[2])
        self.lines = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            self.lines += 1

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.seek(0)
        self.lines += len(self._errors.read().splitlines())
        self._errors.close()
        self._folder.cleanup()

    def memory(self) -> int:
        """Resident bytes."""
        statm = Path(f"/proc/{self._process.pid}/statm").read_text()
        return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/fd").iterdir())

    def log_on(self, *, timeout: float = 60.0) -> float:
        """Log on once; returns the seconds that it took, or raises."""
        begin = time.monotonic()
        timeouts = Timeouts(connect=timeout, leg=timeout, login=timeout)
        if self.kind == "rdp":
            rdp.connect("127.0.0.1", self.port, credentials=ALICE, timeouts=timeouts).close()
        else:
            https = ClientTLS() if self.kind == "https" else None
            with WinRMConnection("127.0.0.1", self.port, https=https, timeouts=timeouts) as connection:
                # An address, as with RDP: for a name it would look for a KDC, and wait for a resolver.
                connection.log_on(ClientLogin(None, "127.0.0.1", credentials=ALICE))
        return time.monotonic() - begin


def come(server: Server, what: str, number: int) -> socket.socket:
    """Be one stranger, from one of many addresses."""
    source = f"127.0.{1 + number // 250}.{1 + number % 250}", 0
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10, source_address=source)
    with contextlib.suppress(OSError):
        if what == "request":
            connection.sendall(X224)
        elif what == "silent TLS":
            if server.kind == "rdp":
                connection.sendall(X224)
                connection.recv(100)
            hello = ssl.MemoryBIO()
            context = ssl._create_unverified_context()  # noqa: S323  # it is not to go on
            with contextlib.suppress(ssl.SSLWantReadError):
                context.wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
            connection.sendall(hello.read())
        elif what in ("body", "headers"):
            data = HEAD + b"X: " + b"x" * 100_000
            if what == "body":
                data = HEAD + b"Content-Length: 500000\r\n\r\n" + b"x" * 499_999
            if server.kind == "https":
                context = ssl._create_unverified_context()  # noqa: S323  # as above
                connection = context.wrap_socket(connection)
            connection.sendall(data)
    return connection


def strangers(kind: str, what: str, *, count: int, patience: float = 60.0) -> tuple[float, float, float]:
    """Return MiB above idle with so many strangers, seconds of a login meanwhile, and until all are gone."""
    with Server(kind) as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            server.log_on()
        time.sleep(0.3)
        before, files = server.memory(), server.descriptors()
        peak = 0
        for number in range(count):
            stack.enter_context(come(server, what, number))
            if not number % 50:
                peak = max(peak, server.memory())
        begin = time.monotonic()
        seconds = server.log_on()
        peak = max(peak, server.memory())
        while server.descriptors() > files + 2 and time.monotonic() - begin < patience:
            time.sleep(0.1)
        return (peak - before) / 2**20, seconds, time.monotonic() - begin


FLOOD: Final = """
import collections, os, signal, socket, sys, time
port, rate = int(sys.argv[1]), float(sys.argv[2])
held, tried, made, begin = collections.deque(), 0, 0, time.monotonic()
def tell(*_):
    os.write(1, b"%f" % (made / (time.monotonic() - begin)))
    os._exit(0)
signal.signal(signal.SIGTERM, tell)
while True:
    while tried < (time.monotonic() - begin) * rate:
        tried += 1
        one = socket.socket()
        one.settimeout(2)
        # The port is chosen by connect: bind would not take one that an earlier server's flood used a minute ago.
        one.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        one.bind(("127.0.0.2", 0))
        try: one.connect(("127.0.0.1", port))
        except OSError: one.close()
        else:
            held.append(one)
            made += 1
        if len(held) > 300: held.popleft().close()
    time.sleep(0.001)
"""
"""Connects from another address, in a process of its own; ended by SIGTERM, writes how many times a second it did."""


def flood(kind: str, *, logins: int, seconds: float, rate: int = 2000) -> tuple[int, float]:
    """Return how many of so many logins, spread over so many seconds, succeed in a flood of connections.

    And how many connections there were in a second.
    """
    succeeded = 0
    with Server(kind) as server:
        server.log_on()
        command = [sys.executable, "-c", FLOOD, str(server.port), str(rate)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as flooding:
            try:
                time.sleep(1)
                begin = time.monotonic()
                for number in range(logins):
                    time.sleep(max(0.0, begin + number * seconds / logins - time.monotonic()))
                    with contextlib.suppress(credssp.CredSSPError):
                        server.log_on()
                        succeeded += 1
            finally:
                flooding.terminate()
                reached, _ = flooding.communicate()
    return succeeded, float(reached)


def few_descriptors(kind: str, *, count: int, seconds: float) -> tuple[int, int, int]:
    """Return how many logins of how many succeed with ``ulimit -n 64`` and so many connections, and the other lines."""
    tried = succeeded = 0
    with Server(kind, descriptors=64) as server, contextlib.ExitStack() as stack:
        for number in range(count):
            stack.enter_context(come(server, "nothing", number))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            tried += 1
            with contextlib.suppress(credssp.CredSSPError):
                server.log_on()
                succeeded += 1
            time.sleep(seconds / 10)
        stack.close()
        time.sleep(0.3)
    return succeeded, tried, server.lines - succeeded * LINES_OF_LOGIN[kind]

"""FreeRDP's shadow server, versions 2 and 3, and our command against it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.interop import x11
from tests.kdc import free_port
from tests.peers import require_program

__all__ = ["PASSWORD", "login", "shadow"]

PASSWORD = "Pa55-w0rd"


@contextmanager
def shadow(
    version: int, display: str, folder: Path, *more: str, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a shadow server whose SAM file knows LABDOM\\alice; yields its port."""
    suffix, options = {2: ("", ("-auth",)), 3: ("3", ())}[version]  # "-auth" turns NLA off in version 3
    arguments = ("-u", "alice", "-d", "LABDOM", "-p", PASSWORD, "-f", "sam")
    made = x11.run([require_program(f"winpr-hash{suffix}"), *arguments], environment={})
    sam = folder / "sam"
    sam.write_text(made.output.splitlines()[-1] + "\n")
    sam.chmod(0o600)
    port = free_port()
    command = [require_program(f"freerdp-shadow-cli{suffix}"), f"/port:{port}", "/bind-address:127.0.0.1", "/sec:nla"]
    with x11.running(
        [*command, f"/sam-file:{sam}", *options, *more],
        environment={"DISPLAY": display, "HOME": str(folder)} | dict(environment or {}),
    ) as log:
        x11.wait_for_port(port, log, seconds=20)
        yield port


def login(
    port: int,
    *options: str,
    password: str = PASSWORD,
    host: str = "127.0.0.1",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Run ``credssp login``; its exit code and what it reports."""
    command = [sys.executable, "-m", "credssp", "login", f"rdp://{host}:{port}", "--json", "--timeout", "20"]
    outcome = x11.run([*command, *options], environment={"CREDSSP_PASSWORD": password} | dict(environment or {}))
    return outcome.code, json.loads(outcome.output)

"""Another process's memory, as whoever may debug it reads it (``/proc/PID/mem``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["needles", "scan"]

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r\S+) \S+ \S+ \S+\s*(.*)")
_CHUNK = 1 << 20


def _chunks(pid: int, overlap: int) -> Iterator[bytes]:
    mappings = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in mappings.splitlines():
            found = _MAPPING.match(line)
            if found is None or found[4] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            at, end = int(found[1], 16), int(found[2], 16)
            while at < end:
                try:
                    memory.seek(at)
                    data = memory.read(min(_CHUNK, end - at))
                except (OSError, OverflowError, ValueError):
                    break  # a mapping that cannot be read, of a device say
                if not data:
                    break
                yield data
                if len(data) <= overlap:
                    break
                at += len(data) if at + len(data) >= end else len(data) - overlap


def needles(password: str, nt_hash: bytes) -> dict[str, bytes]:
    """What to look for."""
    return {"UTF-8": password.encode(), "UTF-16LE": password.encode("utf-16-le"), "NT hash": nt_hash}


def scan(pid: int, wanted: dict[str, bytes]) -> dict[str, int]:
    """Return how often each was found in all of a process's memory; and, as ``bytes``, how much was read."""
    found = dict.fromkeys(wanted, 0) | {"bytes": 0}
    for data in _chunks(pid, max(map(len, wanted.values())) - 1):
        found["bytes"] += len(data)
        for name, needle in wanted.items():
            found[name] += data.count(needle)
    return found

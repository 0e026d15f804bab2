"""The results of a run on disk: a JSON object per line, as ``credssp probe --json`` prints them.

Reports go through them as often as they need, so that a million servers are never in memory. A record that was cut off
in the middle of a line, by an interrupt or a full disk, is taken up again without that line.
"""

from __future__ import annotations

import array
import bisect
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, Self, TypeAlias

from credssp.errors import LocalProtocolError

__all__ = ["Facts", "Record", "SavedRun", "TargetSet", "are_of", "read_facts"]

Facts: TypeAlias = dict[str, Any]
"""What is known about one server (docs/reference/fleet-formats.md)."""

_MAX_LINE: Final = 4 << 20
"""Bytes of a line; the facts of a server with a large certificate and every finding have some 10,000."""


class TargetSet:
    """Which targets a record has, eight bytes for each: 64 bits of a hash.

    Of a million targets, one is taken for another with a probability of 1 to 30 million.
    """

    def __init__(self, targets: Iterable[str] = ()) -> None:
        self._sums = array.array("Q", sorted(map(self._sum, targets)))

    def __len__(self) -> int:
        return len(self._sums)

    def __contains__(self, target: object) -> bool:
        wanted = self._sum(str(target))
        place = bisect.bisect_left(self._sums, wanted)
        return place < len(self._sums) and self._sums[place] == wanted

    @staticmethod
    def _sum(target: str) -> int:
        return int.from_bytes(hashlib.blake2b(target.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def are_of(facts: Facts, types: Mapping[str, type | tuple[type, ...]]) -> bool:
    """Return whether members have the types given for them, or are null or absent: files may be damaged, or made up."""
    return all(isinstance(facts[name], kind) for name, kind in types.items() if facts.get(name) is not None)


def read_facts(stream: IO[bytes], name: str, *, cut_off: bool = True) -> Iterator[Facts]:
    """Yield what each line holds.

    Args:
        stream: a record, from its beginning.
        name: of the file, for errors.
        cut_off: whether a last line without its end is left out; otherwise it is an error like any other.

    Raises:
        LocalProtocolError: a line is not an object with a member ``target``; number and name are in the text.
        OSError: the file cannot be read.
    """
    number = 0
    while line := stream.readline(_MAX_LINE):
        number += 1
        if not line.strip():
            continue
        facts = _parsed(line)
        if facts is None:
            if cut_off and line.startswith(b"{") and not line.endswith(b"\n") and len(line) < _MAX_LINE:
                return
            raise LocalProtocolError(
                f"{name}, line {number}: not an object as `credssp probe --json` prints one for each server"
            )
        yield facts


def _parsed(line: bytes) -> Facts | None:
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and isinstance(facts.get("target"), str) else None


class Record:
    """Results that are kept in a file: a temporary one, or one that outlives the run.

    Args:
        path: where it is kept, and taken up again if it is there; None for a temporary file.

    Attributes:
        done: the targets that it had when it was opened.

    Raises:
        LocalProtocolError: the file holds something else.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._name = "the record" if path is None else str(path)
        # Not a "with": it is open as long as the object.
        self._file: IO[bytes] = (
            tempfile.TemporaryFile("w+b") if path is None else open(path, "a+b")  # noqa: SIM115, PTH123
        )
        try:
            self.done = TargetSet(facts["target"] for facts in self)
            self._end_last_line()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what is in it can no longer be read."""
        self._file.close()

    def add(self, facts: Facts) -> None:
        """Append the facts of a server."""
        self._file.write(json.dumps(facts).encode("ascii") + b"\n")

    def flush(self) -> None:
        """Write what is still in memory."""
        self._file.flush()

    def __iter__(self) -> Iterator[Facts]:
        self._file.flush()
        self._file.seek(0)
        yield from read_facts(self._file, self._name)
        self._file.seek(0, 2)

    def _end_last_line(self) -> None:
        """Cut off a line without its end, or give a whole one its end."""
        size = self._file.seek(0, 2)
        begin = max(0, size - _MAX_LINE)
        self._file.seek(begin)
        tail = self._file.read()
        if not tail or tail.endswith(b"\n"):
            return
        last = tail[tail.rfind(b"\n") + 1 :]
        if _parsed(last) is None:
            self._file.truncate(size - len(last))
        else:
            self._file.write(b"\n")
        self._file.seek(0, 2)


class SavedRun:
    """A record that is only read, as often as needed.

    Args:
        path: the file. It has to stay as it is while it is read.
        check: raises LocalProtocolError for a line that is of another command.
    """

    def __init__(self, path: str | Path, check: Callable[[Facts], object] | None = None) -> None:
        self._path = Path(path)
        self._check = check

    def __iter__(self) -> Iterator[Facts]:
        """Yield the results. Raises LocalProtocolError: the file cannot be read, holds none, or is something else."""
        facts = None
        try:
            with self._path.open("rb") as stream:
                for facts in read_facts(stream, str(self._path)):
                    if self._check is not None:
                        self._check(facts)
                    yield facts
        except OSError as error:
            raise LocalProtocolError(f"{self._path} cannot be read: {error.strerror}") from None
        if facts is None:
            raise LocalProtocolError(f"{self._path} holds no result of `credssp probe --json`")

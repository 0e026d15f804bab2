"""``python -m tests.fuzz.coverage_guided [--seconds 60] [--keep] [TARGET ...]``: fuzzing that follows the coverage.

Needs atheris (the extra `fuzz`), which has wheels for Linux alone. Each target runs in a process of its own, for its
part of the time, beginning with its corpus. An input that breaks a promise is written to a file, and its traceback
shown; with ``--keep``, inputs that reach code which the corpus does not reach are added to it.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

Line: TypeAlias = tuple[str, int, int]

CORPUS = Path(__file__).with_name("corpus")
MAX_SIZE = 4096
"""Bytes of an input: longer ones find nothing more, more slowly."""


def fuzz(target: str, arguments: list[str]) -> None:
    """Run libFuzzer; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["credssp"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS

    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def run(target: str, seconds: int, *, keep: bool, found: Path) -> int:
    """Fuzz one target in another process; returns its exit code."""
    corpus = CORPUS / target
    command = [sys.executable, "-m", "tests.fuzz.coverage_guided", "--run", target, "--"]
    options = [f"-max_len={MAX_SIZE}", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={found}/{target}-"]
    with tempfile.TemporaryDirectory() as new:
        # libFuzzer writes into the first folder and only reads the others.
        done = subprocess.run(
            [*command, *options, f"-max_total_time={seconds}", "-print_final_stats=1", new, str(corpus)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        executed = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{target:<14} {executed[0] if executed else '?':>9} executions, exit code {done.returncode}", flush=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
        elif keep:
            print(f"{target:<14} {add_to_corpus(target, Path(new)):>9} inputs more in the corpus", flush=True)
    return done.returncode


def add_to_corpus(target: str, folder: Path) -> int:
    """Copy what reaches lines that the corpus does not reach, the smallest first; returns how many that were."""
    corpus = CORPUS / target
    corpus.mkdir(parents=True, exist_ok=True)
    reached: set[Line] = set()
    for file in corpus.iterdir():
        reached |= lines_of(target, file.read_bytes())
    count = 0
    for file in sorted(folder.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        data = file.read_bytes()
        if lines := lines_of(target, data) - reached:
            reached |= lines
            (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            count += 1
    return count


def lines_of(target: str, data: bytes) -> set[Line]:
    """Return the pairs of lines of the library that run one after the other."""
    from tests.fuzz.targets import TARGETS

    found: set[Line] = set()
    before = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal before
        if "/credssp/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            found.add((frame.f_code.co_filename, before, frame.f_lineno))
            before = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        TARGETS[target](data)
    finally:
        sys.settrace(None)
    return found


def main() -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.coverage_guided", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (default: 60)")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the corpus")
    parser.add_argument("--found", type=Path, default=Path(), metavar="FOLDER", help="where inputs go that fail")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"unknown target: {', '.join(sorted(unknown))}")
    chosen = options.targets or list(TARGETS)
    each = max(1, options.seconds // len(chosen))
    codes = [run(target, each, keep=options.keep, found=options.found.absolute()) for target in chosen]
    return int(any(codes))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        fuzz(sys.argv[2], sys.argv[4:])
    sys.exit(main())

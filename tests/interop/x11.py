"""Programs that want an X display get one that nobody sees; all of them are stopped by their pid, and in time."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers import require_program

__all__ = ["Outcome", "count_pixels", "run", "run_for", "running", "stop", "wait_for_port", "xvfb"]


@dataclass(frozen=True)
class Outcome:
    """How a program ended: exit code, and what it printed on both streams."""

    code: int
    output: str


@contextmanager
def xvfb(folder: Path | None = None) -> Iterator[str]:
    """A display of its own number, chosen by the X server; its pixels are in `folder`, for `count_pixels`."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as numbers:
        server = subprocess.Popen(
            [
                require_program("Xvfb"),
                *("-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"),
                *(() if folder is None else ("-fbdir", str(folder))),
            ],
            pass_fds=[writing],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        try:
            number = numbers.readline().strip()
            assert number, "Xvfb did not start"
            yield f":{number}"
        finally:
            stop(server)


def count_pixels(folder: Path, color: int) -> int:
    """Count the pixels of a colour, 0xRRGGBB, on the display of `xvfb`; the file is that of xwd (XWDFile.h)."""
    data = (folder / "Xvfb_screen0").read_bytes()
    header = struct.unpack_from(">25I", data)
    size, bits, colors = header[0], header[11], header[19]
    assert (bits, header[7]) == (32, 0), "32 bits, the least significant byte first"
    pixels = data[size + 12 * colors :]
    planes = (pixels[at::4] for at in range(3))
    wanted = color.to_bytes(3, "little")
    return sum(pixel == tuple(wanted) for pixel in zip(*planes, strict=False))


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a program, by force if it does not listen."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: float = 30,
    text: str | None = None,
    cwd: Path | None = None,
) -> Outcome:
    """Run a program to its end."""
    done = subprocess.run(
        list(command),
        cwd=cwd,
        env=dict(os.environ) | dict(environment),
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    return Outcome(done.returncode, done.stdout)


def run_for(
    command: Sequence[str], *, environment: Mapping[str, str], seconds: float = 4, text: str | None = None
) -> Outcome:
    """Run a program to its end, or stop it after a while; the exit code is that of the signal then."""
    try:
        return run(command, environment=environment, timeout=seconds, text=text)
    except subprocess.TimeoutExpired as error:
        # In octets, whatever mode was asked for (https://github.com/python/cpython/issues/87597).
        output = error.output or b""
        return Outcome(-9, output if isinstance(output, str) else output.decode("utf-8", "replace"))


@contextmanager
def running(command: Sequence[str], *, environment: Mapping[str, str]) -> Iterator[Path]:
    """Run a program in the background; yields the file with what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                list(command),
                env=dict(os.environ) | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        try:
            yield log
        finally:
            stop(process)


def wait_for_port(port: int, log: Path, *, seconds: float) -> None:
    """Wait until a program takes connections on loopback; fail with its log if that takes longer."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, log.read_text(errors="replace")
            time.sleep(0.05)

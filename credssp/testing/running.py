"""A command that runs in a shell of the WinRM double: its input, and the output that its client has not got yet."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from credssp.testing.answers import CommandCall, CommandOutput
from credssp.testing.command_lines import clixml, is_encoded
from credssp.testing.known_commands import known_output, unknown_output
from credssp.testing.soap import Fault

__all__ = ["CTRL_C", "Changes", "OutputPiece", "RunningCommand", "codec_of"]

CTRL_C: Final = 0xC000013A
"""STATUS_CONTROL_C_EXIT: the exit code of a program that was interrupted."""

_CODECS: Final = {65001: "utf-8", 1200: "utf-16-le", 1201: "utf-16-be", 20127: "ascii", 28591: "latin-1"}


def codec_of(codepage: int) -> str | None:
    """Return Python's name of a Windows code page; None if it has none."""
    name = _CODECS.get(codepage, f"cp{codepage}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


@dataclass(slots=True)
class OutputPiece:
    """Output that belongs together.

    Attributes:
        ready: when it is there, in seconds of the clock.
        stdout: what is left of its standard output.
        stderr: and of its standard error.
    """

    ready: float
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class RunningCommand:
    """A command.

    Attributes:
        line: the command line.
        codec: Python's name of the code page.
        script: the script in it, where that is not to be read from the line.
        complete: whether the whole command line is here.
        words: the name of the command and its arguments.
        piped: whether the client announced input, so that the command waits for it.
        started: whether it has an answer, which may still be on its way.
        stdin: the input so far.
        input_ended: whether the client ended it.
        pieces: the output that the client has not got.
        ends: when it ends; None while that is not known.
        exit_code: its exit code.
        fault: what a Receive gets instead.
        gone: whether the client ended it.
    """

    line: str = field(repr=False)
    codec: str
    script: str = field(default="", repr=False)
    complete: bool = True
    words: Sequence[str] = field(default=(), repr=False)
    piped: bool = False
    started: bool = False
    stdin: bytearray = field(default_factory=bytearray, repr=False)
    input_ended: bool = False
    pieces: deque[OutputPiece] = field(default_factory=deque)
    ends: float | None = None
    exit_code: int = 0
    fault: Fault | None = None
    gone: bool = False

    @property
    def size(self) -> int:
        """Bytes that are kept for it."""
        return len(self.stdin) + sum(len(piece.stdout) + len(piece.stderr) for piece in self.pieces)

    def ended(self, now: float) -> bool:
        """Whether its program has ended; the client may not have got everything."""
        return self.ends is not None and self.ends <= now

    @property
    def input_may_come(self) -> bool:
        """Whether the client has begun to send input, or announced it, and not ended it."""
        return not self.input_ended and (self.piped or bool(self.stdin))

    def encode(self, text: str | bytes) -> bytes:
        """Return output in the code page; what that does not have becomes a question mark, as on Windows."""
        return text if isinstance(text, bytes) else text.encode(self.codec, "replace")

    def write(self, stdout: str | bytes, ready: float) -> None:
        """Note standard output of a command that goes on, and when it is there."""
        self.pieces.append(OutputPiece(ready, self.encode(stdout)))

    def finish(self, output: CommandOutput, ready: float) -> None:
        """Note the last output of a command, with which it ends, and when that is."""
        error = self.encode(self._errors(output))
        self.pieces.append(OutputPiece(ready, self.encode(output.stdout), error))
        self.exit_code = output.exit_code
        self.ends = ready

    def _errors(self, output: CommandOutput) -> str | bytes:
        """Return standard error as the program writes it: PowerShell with an encoded command writes CLIXML."""
        error = output.stderr
        if isinstance(error, bytes) or error.startswith("#<") or not is_encoded(self.line):
            return error
        streams = {"verbose": output.verbose, "debug": output.debug, "warning": output.warning}
        written = error or output.progress or any(streams.values())
        return clixml(error, output.progress, **streams) if written else ""

    def finish_unknown(self, call: CommandCall, now: float) -> None:
        """End a command that has no answer: one of those that the double knows itself, or one that Windows does not."""
        output = known_output(call, self.words) or unknown_output(call, self.words)
        self.finish(output, now)

    def interrupt(self, now: float) -> None:
        """End it as Ctrl-C does, unless it has ended: what it printed stays."""
        if self.ended(now):
            return
        self.started, self.input_ended, self.fault = True, True, None
        self.pieces.clear()
        self.exit_code, self.ends = CTRL_C, now

    def take(self, size: int, now: float) -> tuple[bytes, bytes]:
        """Return the next output that is there: standard output and error of one piece, at most `size` bytes in all."""
        while self.pieces and not self.pieces[0].stdout and not self.pieces[0].stderr:
            self.pieces.popleft()
        if not self.pieces or self.pieces[0].ready > now:
            return b"", b""
        piece = self.pieces[0]
        out, piece.stdout = piece.stdout[:size], piece.stdout[size:]
        left = size - len(out)
        error, piece.stderr = piece.stderr[:left], piece.stderr[left:]
        if not piece.stdout and not piece.stderr:
            self.pieces.popleft()
        return out, error

    def done(self, now: float) -> bool:
        """Whether the client has got everything and the command has ended."""
        return not self.pieces and self.ended(now)

    def waits(self, now: float) -> float:
        """Return the seconds until the next output or the end; infinity while that is not known."""
        due = self.pieces[0].ready if self.pieces else self.ends
        return float("inf") if due is None else max(0.0, due - now)


class Changes:
    """Wakes coroutines of any event loop when something has changed; `tell` may be called in any thread."""

    def __init__(self) -> None:
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def tell(self) -> None:
        """Wake everyone who waits."""
        for loop, event in tuple(self._waiting):
            with contextlib.suppress(RuntimeError):  # a loop that was closed meanwhile
                loop.call_soon_threadsafe(event.set)

    @contextlib.contextmanager
    def waiter(self) -> Iterator[asyncio.Event]:
        """Yield an event that `tell` sets from now on."""
        place = asyncio.get_running_loop(), asyncio.Event()
        self._waiting.add(place)
        try:
            yield place[1]
        finally:
            self._waiting.discard(place)

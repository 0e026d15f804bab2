"""A pipeline: a command of the WinRM double whose output is messages ([MS-PSRP] 3.2.4)."""

from __future__ import annotations

import re
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.errors import RemoteProtocolError
from credssp.testing.answers import CommandCall, CommandOutput
from credssp.testing.known_commands import known_output
from credssp.testing.psrp import records
from credssp.testing.psrp.fragments import HEADER_SIZE, Cutter, Reassembly
from credssp.testing.psrp.messages import MessageType, PSRPMessage, read_message, write_message
from credssp.testing.psrp.scripts import Script, read_script
from credssp.testing.running import CTRL_C, RunningCommand

__all__ = ["NO_ID", "MessageStream", "Pipeline"]

NO_ID: Final = uuid.UUID(int=0)
"""The id of no pool and of no pipeline."""

# PSInvocationState ([MS-PSRP] 2.2.3.5)
_STOPPED: Final = 3
_COMPLETED: Final = 4
_FAILED: Final = 5

_STOPS: Final = re.compile(r"\$ErrorActionPreference\s*=\s*['\"]?Stop", re.IGNORECASE)

_MIN_FRAGMENT: Final = 4 * HEADER_SIZE
"""An answer that has less room left than this gets no further fragment."""


@dataclass(slots=True)
class MessageStream(RunningCommand):
    """Messages that wait for their client: those of a pipeline, or of the pool itself.

    Attributes:
        pool: the id of the runspace pool.
        pipeline: the id of the pipeline; None for the pool.
        next_object: makes ObjectIds, which are those of the whole pool.
        messages: what the client has not got, and when it is there.
    """

    pool: uuid.UUID = NO_ID
    pipeline: uuid.UUID | None = None
    next_object: Callable[[], int] = field(default=lambda: 0, repr=False)
    messages: deque[tuple[float, Cutter]] = field(default_factory=deque, repr=False)

    @property
    def size(self) -> int:
        """Bytes that are kept for it."""
        return len(self.stdin) + sum(cutter.left for _, cutter in self.messages)

    def put(self, kind: MessageType, value: object, ready: float) -> None:
        """Add a message."""
        message = write_message(kind, self.pool, self.pipeline, value)
        self.messages.append((ready, Cutter(self.next_object(), message)))

    def take(self, size: int, now: float) -> tuple[bytes, bytes]:
        """Return the next whole fragments that are there, at most `size` bytes of them."""
        taken = bytearray()
        while self.messages and self.messages[0][0] <= now and size - len(taken) >= _MIN_FRAGMENT:
            cutter = self.messages[0][1]
            taken += cutter.cut(size - len(taken))
            if not cutter.left:
                self.messages.popleft()
        return bytes(taken), b""

    def done(self, now: float) -> bool:
        """Whether the client has got everything and the pipeline has ended."""
        return not self.messages and self.ended(now)

    def waits(self, now: float) -> float:
        """Return the seconds until the next message or the end; infinity while that is not known."""
        due = self.messages[0][0] if self.messages else self.ends
        return float("inf") if due is None else max(0.0, due - now)


@dataclass(slots=True)
class Pipeline(MessageStream):
    """A pipeline.

    Attributes:
        runs: what it runs, when that is known.
    """

    runs: Script | None = None
    _incoming: Reassembly = field(default_factory=Reassembly, repr=False)
    _urgent: Reassembly = field(default_factory=Reassembly, repr=False)
    _lines: int = 0

    @property
    def size(self) -> int:
        """Bytes that are kept for it."""
        kept = self._incoming.size + self._urgent.size + len(self.stdin) + len(self.line) + len(self.script)
        return kept + sum(cutter.left for _, cutter in self.messages)

    # What comes

    def feed(self, data: bytes, now: float, *, urgent: bool = False) -> None:
        """Take fragments.

        Args:
            data: the fragments.
            now: seconds of the clock.
            urgent: whether they came in the stream ``pr``.

        Raises:
            RemoteProtocolError: they are malformed, or out of turn.
        """
        for whole in (self._urgent if urgent else self._incoming).feed(data):
            message = read_message(whole)
            if message.pool != self.pool or message.pipeline != self.pipeline:
                raise RemoteProtocolError("a message of another pipeline", section="[MS-PSRP] 3.2.5.4")
            handler = _HANDLERS.get(message.kind)
            if handler is None:
                raise RemoteProtocolError(f"a pipeline got {message.kind.name}", section="[MS-PSRP] 3.2.5.4")
            handler(self, message, now)

    def _create(self, message: PSRPMessage, now: float) -> None:  # noqa: ARG002
        if self.complete:
            raise RemoteProtocolError("a second CREATE_PIPELINE", section="[MS-PSRP] 3.2.5.4.10")
        values = message.values()
        self.runs = read_script(values)
        self.line, self.script = self.runs.line, self.runs.script
        self.input_ended = values.flag("NoInput")
        self.piped = not self.input_ended
        self.complete = True

    def _metadata(self, message: PSRPMessage, now: float) -> None:
        """Refuse GET_COMMAND_METADATA: there are no cmdlets here that have any."""
        if self.complete:
            raise RemoteProtocolError("GET_COMMAND_METADATA after a pipeline began", section="[MS-PSRP] 3.2.5.4.13")
        message.values()
        self.complete = self.started = self.input_ended = True
        self._end(_FAILED, now, records.error("This server has no metadata of commands."))

    def _input(self, message: PSRPMessage, now: float) -> None:  # noqa: ARG002
        if not self.complete:
            raise RemoteProtocolError("PIPELINE_INPUT before CREATE_PIPELINE", section="[MS-PSRP] 3.2.5.4.16")
        if self.input_ended:
            return
        values = message.values()
        # Joined by line breaks, as a program would get them from the pipeline.
        text = ("\n" if self._lines else "") + values.text(values.root)
        self._lines += 1
        self.stdin += text.encode("utf-8", "replace")

    def _end_input(self, message: PSRPMessage, now: float) -> None:  # noqa: ARG002
        if not self.complete:
            raise RemoteProtocolError("END_OF_PIPELINE_INPUT before CREATE_PIPELINE", section="[MS-PSRP] 3.2.5.4.17")
        self.input_ended = True

    def _host_response(self, message: PSRPMessage, now: float) -> None:  # noqa: ARG002
        """Read an answer of the client's host, and forget it: nothing here asks it for anything."""
        message.values()

    # What goes

    def write(self, stdout: str | bytes, ready: float) -> None:
        """Send each line of output as a string."""
        text = stdout.decode("utf-8", "replace") if isinstance(stdout, bytes) else stdout
        for line in _lines(text):
            self.put(MessageType.PIPELINE_OUTPUT, line, ready)

    def finish(self, output: CommandOutput, ready: float) -> None:
        """Send the last output, errors, and the state in which the pipeline ended.

        With exit code 1, standard error is the error that ended it. With another exit code, each line of it is an error
        that did not, and ``exit CODE`` was the end.
        """
        self._write_streams(output, ready)
        self.write(output.stdout, ready)
        error = output.stderr.decode("utf-8", "replace") if isinstance(output.stderr, bytes) else output.stderr
        if error and output.exit_code == 1:
            return self._end(_FAILED, ready, records.error(error.rstrip("\r\n")), exit_code=1)
        for line in _lines(error):
            self.put(MessageType.ERROR_RECORD, records.error(line), ready)
        if output.exit_code:
            self.put(MessageType.PIPELINE_HOST_CALL, records.exit_call(output.exit_code), ready)
        return self._end(_COMPLETED, ready, exit_code=output.exit_code)

    def _write_streams(self, output: CommandOutput, ready: float) -> None:
        if output.progress:
            self.put(MessageType.PROGRESS_RECORD, records.progress(output.progress), ready)
        for kind, text in (("verbose", output.verbose), ("debug", output.debug), ("warning", output.warning)):
            for line in _lines(text):
                self.put(MessageType[f"{kind.upper()}_RECORD"], records.informational(kind, line), ready)
        for line in _lines(output.information):
            self.put(MessageType.INFORMATION_RECORD, records.information(line), ready)

    def finish_unknown(self, call: CommandCall, now: float) -> None:
        """Answer with what the double knows itself, or say that there is no such command."""
        output = known_output(call, self.words)
        if output is not None:
            return self.finish(output, now)
        name = next(iter(self.script.split(None, 1)), "")
        record = records.not_found(name, self.runs.through if self.runs is not None else "")
        if self.runs is not None and self.runs.is_script and not _STOPS.search(self.script):
            # A script goes on after such an error, and has nothing more to do.
            self.put(MessageType.ERROR_RECORD, record, now)
            return self._end(_COMPLETED, now)
        return self._end(_FAILED, now, record)

    def interrupt(self, now: float) -> None:
        """Stop it, unless it has ended: output that the client has not got is lost."""
        if self.ended(now):
            return
        self.started = self.complete = self.input_ended = True
        self.fault = None
        # A message whose first fragments the client has got is sent to its end.
        self.messages = deque(each for each in self.messages if each[1].begun)
        self._end(_STOPPED, now, records.stopped(), exit_code=CTRL_C)

    def _end(self, state: int, ready: float, record: Any = None, *, exit_code: int = 0) -> None:
        self.put(MessageType.PIPELINE_STATE, records.pipeline_state(state, record), ready)
        self.exit_code, self.ends = exit_code, ready


_HANDLERS: Final = {
    MessageType.CREATE_PIPELINE: Pipeline._create,
    MessageType.GET_COMMAND_METADATA: Pipeline._metadata,
    MessageType.PIPELINE_INPUT: Pipeline._input,
    MessageType.END_OF_PIPELINE_INPUT: Pipeline._end_input,
    MessageType.PIPELINE_HOST_RESPONSE: Pipeline._host_response,
}


def _lines(text: str) -> list[str]:
    r"""Return the lines of a text; what ends with a line break has no empty line after it."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if not lines[-1] else lines

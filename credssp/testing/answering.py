"""How a command of the WinRM double gets its answer: at once, later, from a function, or from what the double knows."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

from credssp.drivers.faults import fault as described
from credssp.testing.ansible import runs_module
from credssp.testing.ansible_files import takes_file
from credssp.testing.answers import Answer, Answers, CommandCall, CommandOutput
from credssp.testing.faults import fault_named
from credssp.testing.running import RunningCommand
from credssp.testing.shells import Shell
from credssp.testing.soap import Fault
from credssp.winrm.handler import WinRMRequest

__all__ = ["Answering"]

# The log's name is that of the responder, whose part this is.
logger = logging.getLogger("credssp.testing.wsman")

_R = TypeVar("_R")
_REMEMBERED: Final = 10_000
_REMEMBERED_CHARACTERS: Final = 64 * 1024 * 1024


class Answering:
    """Answers commands.

    Attributes:
        answers: the answers.
        calls: the commands that were answered, the last 10,000 of them; fewer where their texts are longer than 64
            million characters in all.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        hostname: str,
        clock: Callable[[], float],
        lock: AbstractContextManager[object],
        changed: Callable[[], None],
        bound: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            answers: the answers.
            hostname: the name of the server.
            clock: seconds.
            lock: held while a command is changed.
            changed: called, without the lock, when a function has answered.
            bound: called, with the lock, when there is more output.
        """
        self.answers = answers
        self.calls: list[CommandCall] = []
        self._hostname = hostname
        self._clock = clock
        self._lock = lock
        self._changed = changed
        self._bound = bound

    def start(self, command: RunningCommand, shell: Shell, request: WinRMRequest, *, asked: bool) -> None:
        """Let a command run if its answer is known; with `asked` the client waits for output."""
        if command.started or not command.complete:
            return
        ended = command.input_ended or (asked and not command.input_may_come)
        call = CommandCall(
            command.line,
            command.stdin.decode(command.codec, "replace"),
            request.identity,
            request.credentials,
            host=self._hostname,
            codepage=shell.codepage,
            directory=shell.directory,
            environment=shell.environment,
            script=command.script,
        )
        found = self.answers.find(call, input_ended=ended)
        if isinstance(found, Answer):
            return
        if found is not None and found[0].function is not None and not ended:
            return
        if found is None and not ended and (runs_module(call.script) or takes_file(call.script)):
            return
        if found is None:
            command.finish_unknown(call, self._clock())
        else:
            self._run(command, call, *found)
        command.started = True
        self._remember(call)

    def _remember(self, call: CommandCall) -> None:
        self.calls.append(call)
        del self.calls[:-_REMEMBERED]
        left, kept = _REMEMBERED_CHARACTERS, 0
        for each in reversed(self.calls):
            left -= len(each.command) + len(each.script) + len(each.stdin)
            kept += left >= 0
        del self.calls[: -max(1, kept)]

    def _run(self, command: RunningCommand, call: CommandCall, answer: Answer, groups: tuple[str, ...]) -> None:
        if answer.fault:
            if answer.fault_at == "command":
                raise fault_named(answer.fault)
            command.fault = fault_named(answer.fault)
        elif answer.function is not None:
            threading.Thread(target=self._call, args=(command, call, answer), daemon=True).start()
        else:
            ready = self._clock()
            *pieces, last = answer.output(call, groups)
            for piece in pieces:
                ready += answer.delay
                command.write(piece, ready)
            streams = {name: call.fill(text, groups) for name, text in answer.streams.items()}
            output = CommandOutput(last, call.fill(answer.stderr, groups), answer.exit_code, **streams)
            command.finish(output, ready + answer.delay)

    def _call(self, command: RunningCommand, call: CommandCall, answer: Answer) -> None:
        """Let a function answer, in a thread of its own."""
        fault, output = None, CommandOutput()
        try:
            assert answer.function is not None  # noqa: S101  # for type checkers
            result = answer.function(call)
            if inspect.isawaitable(result):
                result = asyncio.run(_await(result))
            if isinstance(result, str | bytes):
                result = CommandOutput(result)
            if not isinstance(result, CommandOutput):
                raise TypeError(f"the function for {answer.command!r} returned {type(result).__name__}")
            output = result
        except Fault as error:
            fault = error
        except Exception as error:  # noqa: BLE001  # the client gets an answer, and the log says what it was
            logger.error("the function for the command %r failed %s", answer.command, described(error))
            fault = fault_named("internal-error")
        with self._lock:
            if command.ends is None:  # nothing interrupted it
                command.finish(output, self._clock())
                command.fault = fault
                self._bound()
        self._changed()


async def _await(result: Awaitable[_R]) -> _R:
    return await result

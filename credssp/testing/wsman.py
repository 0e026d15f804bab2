"""A small WS-Management responder: Identify, and a shell in which nothing runs ([MS-WSMV] 3.1.4).

The shell answers commands from what it has: the answers that it was given (`credssp.testing.answers`), and a few
commands of its own. No process is ever started, no file opened.

* ``hostname`` prints the name of the server as it was given,
* ``whoami`` prints who was delegated, which proves a double hop; it fails where an empty set was delegated,
* ``echo`` prints its arguments, of any length,
* of all others it says what cmd.exe or PowerShell says of a command that it does not know.

A command runs when it is started. One whose answer depends on standard input, and a function, waits until the client
has ended that; where the client asks for output first and has sent nothing, the input is empty. Receive waits for
output until its OperationTimeout, and then fails with the fault of Windows, upon which clients ask again.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar
from xml.sax.saxutils import escape, quoteattr

from credssp.drivers.faults import fault as described
from credssp.errors import LocalProtocolError, RemoteProtocolError
from credssp.identity import Identity
from credssp.testing.answers import Answer, Answers, CommandCall, CommandOutput, Commands, answers_of
from credssp.testing.command_lines import clixml, is_encoded
from credssp.testing.faults import fault_named
from credssp.testing.known_commands import COMMANDS, known_output
from credssp.testing.running import Changes, OutputPiece, RunningCommand, codec_of
from credssp.testing.soap import ACTION, NS, Envelope, Fault, parse_envelope, render, render_fault
from credssp.winrm.handler import WinRMRequest, WinRMResponse

__all__ = ["COMMANDS", "CommandOutput", "WSManResponder"]

logger = logging.getLogger(__name__)

_R = TypeVar("_R")

CMD: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"
_SHELL: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_CONFIG: Final = "http://schemas.microsoft.com/wbem/wsman/1/config"
_STATE: Final = f"{_SHELL}/CommandState"

_MIN_CHUNK: Final = 4096
_ENVELOPE_ROOM: Final = 2048
"""Bytes for everything around the output in an answer."""

_OPERATION_TIMEOUT: Final = 60.0
"""MaxTimeoutms of Windows by default, which counts where the client names no time, and where it names a longer one."""

_REMEMBERED: Final = 10_000

# winerror.h
_SHELL_NOT_FOUND: Final = 2150858843
_NOT_SUPPORTED: Final = 2150858752
_INVALID: Final = 2150858817


@dataclass(slots=True)
class _Shell:
    owner: Identity
    used: float
    codepage: int
    codec: str
    directory: str
    environment: dict[str, str]
    commands: OrderedDict[str, RunningCommand] = field(default_factory=OrderedDict)

    @property
    def size(self) -> int:
        return sum(command.size for command in self.commands.values())


@dataclass(frozen=True, slots=True)
class _Later:
    """A Receive that has to wait."""

    seconds: float
    command: RunningCommand


def _new_id() -> str:
    return str(uuid.uuid4()).upper()


class WSManResponder:
    """A handler for `credssp.drivers.winrm_asgi.WinRMApplication`.

    Shells belong to who made them; another user finds none of them. `respond` is the handler that lets many clients
    wait at the same time; the responder itself is one, too, and keeps a thread while it waits.

    Attributes:
        calls: the commands that were answered, the last 10,000 of them; they may hold secrets.
    """

    def __init__(
        self,
        *,
        hostname: str = "localhost",
        commands: Commands | Answers = (),
        max_shells: int = 1024,
        max_shells_per_user: int = 1024,
        max_commands: int = 16,
        max_output: int = 64 * 1024 * 1024,
        max_envelope_kb: int = 500,
        codepage: int = 65001,
        idle_timeout: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        """Prepare.

        Args:
            hostname: what ``hostname`` prints.
            commands: what is answered to commands, as `answers_of` takes it; before the commands that it knows itself.
            max_shells: shells at one time; one more is refused.
            max_shells_per_user: those of one user (MaxShellsPerUser, which is 30 on Windows).
            max_commands: commands of a shell at one time: one more, and the oldest that has ended is gone; while all of
                them run it is refused.
            max_output: bytes of input and output that are kept in all; one more, and the user who keeps the most loses
                the oldest.
            max_envelope_kb: longest message, in units of 1024 bytes (MaxEnvelopeSizekb).
            codepage: that of shells whose clients name none.
            idle_timeout: seconds after which an unused shell is gone.
            clock: seconds, for tests.
            new_id: makes the ids of shells, commands and messages, for tests.

        Raises:
            LocalProtocolError: an unknown code page.
            TypeError: `commands` is of no known form.
        """
        self.hostname = hostname
        self.calls: list[CommandCall] = []
        self._answers = answers_of(commands)
        self._max_shells = max_shells
        self._max_shells_per_user = max_shells_per_user
        self._max_commands = max_commands
        self._max_output = max_output
        self._max_envelope = max_envelope_kb * 1024
        if codec_of(codepage) is None:
            raise LocalProtocolError(f"codepage {codepage}: not a code page that Python knows")
        self._codepage = codepage
        self._idle_timeout = idle_timeout
        self._clock = clock
        self._new_id = new_id
        self._shells: OrderedDict[str, _Shell] = OrderedDict()
        self._lock = threading.Lock()
        self._changes = Changes()

    def __len__(self) -> int:
        return len(self._shells)

    def __call__(self, request: WinRMRequest) -> WinRMResponse:
        """Answer one message; this thread waits where the answer has to."""
        answer = self._attempt(request)
        return asyncio.run(self.respond(request)) if isinstance(answer, _Later) else answer

    async def respond(self, request: WinRMRequest) -> WinRMResponse:
        """Answer one message, which is read again while its answer has to wait."""
        began = time.monotonic()
        with self._changes.waiter() as changed:
            answer = self._attempt(request)
            while isinstance(answer, _Later):
                left = began + self._patience(request) - time.monotonic()
                if left <= 0:
                    return self._refuse(request, fault_named("timed-out"))
                try:
                    async with asyncio.timeout(min(answer.seconds, left)):
                        await changed.wait()
                except TimeoutError:
                    pass
                changed.clear()
                if answer.command.gone:
                    return self._refuse(request, fault_named("aborted"))
                answer = self._attempt(request)
        return answer

    def _patience(self, request: WinRMRequest) -> float:
        timeout = parse_envelope(request.data).timeout
        return _OPERATION_TIMEOUT if timeout is None else min(timeout, _OPERATION_TIMEOUT)

    def _refuse(self, request: WinRMRequest, fault: Fault) -> WinRMResponse:
        envelope = parse_envelope(request.data)
        return WinRMResponse(render_fault(envelope, fault, message_id=self._new_id()), status=500)

    def _attempt(self, request: WinRMRequest) -> WinRMResponse | _Later:
        envelope: Envelope | None = None
        try:
            if len(request.data) > self._max_envelope:
                raise fault_named("request-size")
            envelope = parse_envelope(request.data)
            with self._lock:
                answer = self._answer(envelope, request)
                return answer if isinstance(answer, _Later) else WinRMResponse(answer)
        except RemoteProtocolError as error:
            fault = Fault("w:SchemaValidationError", _INVALID, error.message)
        except Fault as found:
            fault = found
        return WinRMResponse(render_fault(envelope, fault, message_id=self._new_id()), status=500)

    def _answer(self, envelope: Envelope, request: WinRMRequest) -> bytes | _Later:
        if envelope.action in self._answers.faults:
            raise fault_named(self._answers.faults[envelope.action])
        if envelope.action == "Identify":
            return render(None, "", _IDENTITY)
        body: str | _Later
        if envelope.action == "Create":
            body = self._create(envelope, request)
        elif envelope.action == "Get":
            body = self._get(envelope, request)
        else:
            handler = _SHELL_ACTIONS.get(envelope.action)
            if handler is None:
                raise Fault("a:ActionNotSupported", _NOT_SUPPORTED, "this responder knows no such action")
            shell_id, shell = self._shell(envelope, request.identity)
            body = handler(self, envelope, request, shell_id, shell)
        if isinstance(body, _Later):
            return body
        return render(envelope, f"{ACTION[envelope.action]}Response", body, message_id=self._new_id())

    # Shells

    def _create(self, envelope: Envelope, request: WinRMRequest) -> str:
        if envelope.resource != CMD:
            raise Fault("w:InvalidResourceURI", _NOT_SUPPORTED, f"there is one kind of shell here: {CMD}")
        self._forget_idle()
        if len(self._shells) >= self._max_shells:
            raise fault_named("shells-quota")
        if sum(shell.owner == request.identity for shell in self._shells.values()) >= self._max_shells_per_user:
            raise fault_named("shells-quota")
        named = envelope.options.get("WINRS_CODEPAGE", "")
        codepage = int(named) if named.isascii() and named.isdigit() and len(named) < 6 else self._codepage
        codec = codec_of(codepage)
        if codec is None:
            raise Fault("w:InvalidOptions", _INVALID, f"there is no code page {codepage} here")
        variables = envelope.body.iterfind("rsp:Shell/rsp:Environment/rsp:Variable", NS)
        environment = {variable.get("Name", ""): variable.text or "" for variable in variables}
        directory = "".join(envelope.texts("rsp:Shell/rsp:WorkingDirectory"))
        shell_id = self._new_id()
        self._shells[shell_id] = _Shell(request.identity, self._clock(), codepage, codec, directory, environment)
        selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>'
        return (
            f"<x:ResourceCreated><a:Address>http://localhost/wsman</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{CMD}</w:ResourceURI>{selector}</a:ReferenceParameters></x:ResourceCreated>"
            f"{self._describe(shell_id, request)}"
        )

    def _describe(self, shell_id: str, request: WinRMRequest) -> str:
        owner = request.identity
        name = f"{owner.domain}\\{owner.username}" if owner.domain else owner.username
        client = "" if request.client is None else f"<rsp:ClientIP>{escape(request.client[0])}</rsp:ClientIP>"
        return (
            f"<rsp:Shell><rsp:ShellId>{shell_id}</rsp:ShellId><rsp:ResourceUri>{CMD}</rsp:ResourceUri>"
            f"<rsp:Owner>{escape(name)}</rsp:Owner>{client}<rsp:IdleTimeOut>PT{self._idle_timeout:.3f}S"
            "</rsp:IdleTimeOut><rsp:InputStreams>stdin</rsp:InputStreams>"
            "<rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>"
        )

    def _get(self, envelope: Envelope, request: WinRMRequest) -> str:
        if envelope.resource == _CONFIG:
            size = self._max_envelope // 1024
            return f"<cfg:Config><cfg:MaxEnvelopeSizekb>{size}</cfg:MaxEnvelopeSizekb></cfg:Config>"
        if envelope.resource not in {_SHELL, CMD}:
            raise Fault("w:InvalidResourceURI", _NOT_SUPPORTED, "this responder has no such resource")
        return self._describe(self._shell(envelope, request.identity)[0], request)

    def _shell(self, envelope: Envelope, identity: Identity) -> tuple[str, _Shell]:
        shell_id = envelope.selectors.get("ShellId", "").upper()
        shell = self._shells.get(shell_id)
        if shell is None or shell.owner != identity or self._clock() - shell.used > self._idle_timeout:
            raise Fault("w:InvalidSelectors", _SHELL_NOT_FOUND, "there is no such shell, or it is not yours")
        shell.used = self._clock()
        self._shells.move_to_end(shell_id)
        return shell_id, shell

    def _forget_idle(self) -> None:
        # In the order of use, so that the first one in use ends the search.
        while self._shells:
            shell_id, shell = next(iter(self._shells.items()))
            if self._clock() - shell.used <= self._idle_timeout:
                return
            self._forget(shell_id)

    def _forget(self, shell_id: str) -> None:
        for command in self._shells.pop(shell_id).commands.values():
            command.gone = True
        self._changes.tell()

    # Commands

    def _command(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        line = envelope.find("rsp:CommandLine")
        texts = "".join(envelope.texts("rsp:CommandLine/rsp:Command")), *envelope.texts("rsp:CommandLine/rsp:Arguments")
        words = [*texts[0].split(), *texts[1:]]
        if line is None or not words:
            raise Fault("w:SchemaValidationError", _INVALID, "a CommandLine without a Command")
        command_id = line.get("CommandId") or self._new_id()
        if len(command_id) > 64 or command_id in shell.commands:
            raise Fault("w:SchemaValidationError", _INVALID, "this CommandId cannot be used")
        if len(shell.commands) >= self._max_commands:
            now = self._clock()
            over = next((name for name, each in shell.commands.items() if each.ended(now)), None)
            if over is None:
                raise fault_named("operations-quota")
            del shell.commands[over]
        piped = envelope.options.get("WINRS_CONSOLEMODE_STDIN", "").upper() == "FALSE"
        command = RunningCommand(" ".join([texts[0].strip(), *texts[1:]]), codec=shell.codec, words=words, piped=piped)
        self._start(command, shell, request, asked=False)
        shell.commands[command_id] = command
        self._bound_output()
        return f"<rsp:CommandResponse><rsp:CommandId>{escape(command_id)}</rsp:CommandId></rsp:CommandResponse>"

    def _start(self, command: RunningCommand, shell: _Shell, request: WinRMRequest, *, asked: bool) -> None:
        """Let a command run if its answer is known; with `asked` the client waits for output."""
        ended = command.input_ended or (asked and not command.input_may_come)
        call = CommandCall(
            command.line,
            command.stdin.decode(command.codec, "replace"),
            request.identity,
            request.credentials,
            host=self.hostname,
            codepage=shell.codepage,
            directory=shell.directory,
            environment=shell.environment,
        )
        found = self._answers.find(call, input_ended=ended)
        if isinstance(found, Answer):
            return
        if found is not None and found[0].function is not None and not ended:
            return
        if found is None:
            command.finish(known_output(call, command.words), self._clock())
        else:
            self._run(command, call, *found)
        command.started = True
        self.calls.append(call)
        del self.calls[:-_REMEMBERED]

    def _run(self, command: RunningCommand, call: CommandCall, answer: Answer, groups: tuple[str, ...]) -> None:
        if answer.fault:
            if answer.fault_at == "command":
                raise fault_named(answer.fault)
            command.fault = fault_named(answer.fault)
        elif answer.function is not None:
            threading.Thread(target=self._call, args=(command, call, answer), daemon=True).start()
        else:
            error = call.fill(answer.stderr, groups)
            if (error or answer.progress) and is_encoded(call.command) and not error.startswith("#<"):
                error = clixml(error, answer.progress)
            ready = self._clock()
            for number, piece in enumerate(answer.pieces, 1):
                ready += answer.delay
                last = error if number == len(answer.pieces) else ""
                command.pieces.append(
                    OutputPiece(ready, command.encode(call.fill(piece, groups)), command.encode(last))
                )
            command.exit_code, command.ends = answer.exit_code, ready

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
                self._bound_output()
        self._changes.tell()

    def _bound_output(self) -> None:
        kept: dict[tuple[str, str], int] = {}
        for shell in self._shells.values():
            owner = shell.owner.domain, shell.owner.username
            kept[owner] = kept.get(owner, 0) + shell.size
        total = sum(kept.values())
        while total > self._max_output:
            owner = max(kept, key=lambda name: kept[name])
            # The shells are in the order of use.
            shell = next(s for s in self._shells.values() if s.size and (s.owner.domain, s.owner.username) == owner)
            _, command = shell.commands.popitem(last=False)
            command.gone = True
            kept[owner] -= command.size
            total -= command.size

    def _receive(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str | _Later:  # noqa: ARG002
        stream = envelope.find("rsp:Receive/rsp:DesiredStream")
        command_id = "" if stream is None else stream.get("CommandId", "")
        command = self._of(shell, command_id)
        if not command.started:
            self._start(command, shell, request, asked=True)
        if command.fault is not None:
            raise command.fault
        now = self._clock()
        limit = min(envelope.max_size or self._max_envelope, self._max_envelope)
        out, error = command.take(max(_MIN_CHUNK, (limit - _ENVELOPE_ROOM) // 4 * 3), now)
        # What is not there yet is not waited for where there is something to say.
        attribute = quoteattr(command_id)
        streams = _stream("stdout", attribute, out) + _stream("stderr", attribute, error)
        if command.done(now):
            return (
                f"<rsp:ReceiveResponse>{streams}"
                f'<rsp:Stream Name="stdout" CommandId={attribute} End="true"/>'
                f'<rsp:Stream Name="stderr" CommandId={attribute} End="true"/>'
                f'<rsp:CommandState CommandId={attribute} State="{_STATE}/Done">'
                f"<rsp:ExitCode>{command.exit_code}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
            )
        if not streams:
            return _Later(command.waits(now), command)
        return (
            f"<rsp:ReceiveResponse>{streams}"
            f'<rsp:CommandState CommandId={attribute} State="{_STATE}/Running"/></rsp:ReceiveResponse>'
        )

    def _of(self, shell: _Shell, command_id: str) -> RunningCommand:
        command = shell.commands.get(command_id)
        if command is None:
            raise Fault("w:InvalidParameter", _INVALID, "there is no such command in this shell")
        return command

    def _send(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        for stream in envelope.body.iterfind("rsp:Send/rsp:Stream", NS):
            command = shell.commands.get(stream.get("CommandId", ""))
            if command is None or command.input_ended or stream.get("Name") != "stdin":
                continue  # its program has ended, or closed its input
            try:
                command.stdin += base64.b64decode(stream.text or "")
            except (binascii.Error, ValueError):
                raise Fault("w:SchemaValidationError", _INVALID, "a Stream that is not base64") from None
            command.input_ended = stream.get("End", "").lower() in {"true", "1"}
            if not command.started:
                self._start(command, shell, request, asked=False)
        self._bound_output()
        self._changes.tell()
        return "<rsp:SendResponse/>"

    def _signal(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        signal = envelope.find("rsp:Signal")
        if signal is None:
            raise Fault("w:SchemaValidationError", _INVALID, "a Signal without a Signal element")
        command_id = signal.get("CommandId", "")
        command = shell.commands.get(command_id)
        for code in envelope.texts("rsp:Signal/rsp:Code"):
            name = code.strip().lower().rpartition("/")[2]
            if command is not None and name == "terminate":
                command.gone = True
                shell.commands.pop(command_id, None)
            elif command is not None and name in {"ctrl_c", "ctrl_break"}:
                command.interrupt(self._clock())
        self._changes.tell()
        return "<rsp:SignalResponse/>"

    def _delete(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        self._forget(shell_id)
        return ""


_SHELL_ACTIONS: Final = {
    "Command": WSManResponder._command,
    "Receive": WSManResponder._receive,
    "Send": WSManResponder._send,
    "Signal": WSManResponder._signal,
    "Delete": WSManResponder._delete,
}


def _stream(name: str, command_id: str, data: bytes) -> str:
    if not data:
        return ""
    return f'<rsp:Stream Name="{name}" CommandId={command_id}>{base64.b64encode(data).decode("ascii")}</rsp:Stream>'


async def _await(result: Awaitable[_R]) -> _R:
    return await result


_IDENTITY: Final = (
    "<wsmid:IdentifyResponse><wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
    "</wsmid:ProtocolVersion><wsmid:ProductVendor>credssp for Python</wsmid:ProductVendor>"
    "<wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse>"
)

"""A small WS-Management responder: Identify, and shells in which nothing runs ([MS-WSMV] 3.1.4).

A shell is one of cmd.exe (`credssp.testing.shells`), or a runspace pool of PowerShell (`credssp.testing.psrp`). Both
answer commands from what they have: the answers that the responder was given (`credssp.testing.answers`), and a few
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
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from credssp.errors import LocalProtocolError, RemoteProtocolError
from credssp.identity import Identity
from credssp.testing.answering import Answering
from credssp.testing.answers import Answers, CommandCall, CommandOutput, Commands, answers_of
from credssp.testing.faults import fault_named
from credssp.testing.known_commands import COMMANDS
from credssp.testing.running import Changes, RunningCommand, codec_of
from credssp.testing.shells import CMD, Shell, decoded, open_shell
from credssp.testing.soap import ACTION, NS, Envelope, Fault, parse_envelope, render, render_fault
from credssp.winrm.handler import WinRMRequest, WinRMResponse

__all__ = ["COMMANDS", "CommandOutput", "WSManResponder"]

_SHELL: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_CONFIG: Final = "http://schemas.microsoft.com/wbem/wsman/1/config"
_STATE: Final = f"{_SHELL}/CommandState"

_STOP: Final = "crtl_c"
"""The end of ``powershell/signal/crtl_c``, as [MS-PSRP] 3.1.5.3.9 and PowerShell spell it. pypsrp spells it ctrl_c."""

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
        calls: the commands that were answered, the last 10,000 of them, or fewer long ones; they may hold secrets.
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
        self._shells: OrderedDict[str, Shell] = OrderedDict()
        self._lock = threading.Lock()
        self._changes = Changes()
        self._answering = Answering(
            answers_of(commands),
            hostname=hostname,
            clock=clock,
            lock=self._lock,
            changed=self._changes.tell,
            bound=self._bound_output,
        )
        self.calls: list[CommandCall] = self._answering.calls

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
        faults = self._answering.answers.faults
        if envelope.action in faults:
            raise fault_named(faults[envelope.action])
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
            body = handler(self, envelope, request, self._shell(envelope, request.identity))
        if isinstance(body, _Later):
            return body
        return render(envelope, f"{ACTION[envelope.action]}Response", body, message_id=self._new_id())

    # Shells

    def _create(self, envelope: Envelope, request: WinRMRequest) -> str:
        self._forget_idle()
        if len(self._shells) >= self._max_shells:
            raise fault_named("shells-quota")
        if sum(shell.owner == request.identity for shell in self._shells.values()) >= self._max_shells_per_user:
            raise fault_named("shells-quota")
        shell = open_shell(
            envelope,
            request.identity,
            self._clock(),
            codepage=self._codepage,
            new_id=self._new_id,
            taken=self._shells.__contains__,
        )
        self._shells[shell.shell_id] = shell
        selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell.shell_id}</w:Selector></w:SelectorSet>'
        return (
            f"<x:ResourceCreated><a:Address>http://localhost/wsman</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{escape(shell.resource)}</w:ResourceURI>{selector}</a:ReferenceParameters>"
            f"</x:ResourceCreated>{self._describe(shell, request)}"
        )

    def _describe(self, shell: Shell, request: WinRMRequest) -> str:
        owner = request.identity
        name = f"{owner.domain}\\{owner.username}" if owner.domain else owner.username
        client = "" if request.client is None else f"<rsp:ClientIP>{escape(request.client[0])}</rsp:ClientIP>"
        return (
            f"<rsp:Shell><rsp:ShellId>{shell.shell_id}</rsp:ShellId>"
            f"<rsp:ResourceUri>{escape(shell.resource)}</rsp:ResourceUri>"
            f"<rsp:Owner>{escape(name)}</rsp:Owner>{client}<rsp:IdleTimeOut>PT{self._idle_timeout:.3f}S"
            f"</rsp:IdleTimeOut><rsp:InputStreams>{shell.input_streams}</rsp:InputStreams>"
            f"<rsp:OutputStreams>{shell.output_streams}</rsp:OutputStreams></rsp:Shell>"
        )

    def _get(self, envelope: Envelope, request: WinRMRequest) -> str:
        if envelope.resource == _CONFIG:
            size = self._max_envelope // 1024
            return f"<cfg:Config><cfg:MaxEnvelopeSizekb>{size}</cfg:MaxEnvelopeSizekb></cfg:Config>"
        if envelope.resource not in {_SHELL, CMD}:
            raise Fault("w:InvalidResourceURI", _NOT_SUPPORTED, "this responder has no such resource")
        return self._describe(self._shell(envelope, request.identity), request)

    def _shell(self, envelope: Envelope, identity: Identity) -> Shell:
        shell_id = envelope.selectors.get("ShellId", "").upper()
        shell = self._shells.get(shell_id)
        if shell is None or shell.owner != identity or self._clock() - shell.used > self._idle_timeout:
            raise Fault("w:InvalidSelectors", _SHELL_NOT_FOUND, "there is no such shell, or it is not yours")
        shell.used = self._clock()
        self._shells.move_to_end(shell_id)
        return shell

    def _forget_idle(self) -> None:
        # In the order of use, so that the first one in use ends the search.
        while self._shells:
            shell_id, shell = next(iter(self._shells.items()))
            if self._clock() - shell.used <= self._idle_timeout:
                return
            self._forget(shell_id)

    def _forget(self, shell_id: str) -> None:
        self._shells.pop(shell_id).close()
        self._changes.tell()

    # Commands

    def _command(self, envelope: Envelope, request: WinRMRequest, shell: Shell) -> str:
        line = envelope.find("rsp:CommandLine")
        if line is None:
            raise Fault("w:SchemaValidationError", _INVALID, "a Command without a CommandLine")
        command_id = line.get("CommandId") or self._new_id()
        if len(command_id) > 64 or command_id in shell.commands:
            raise Fault("w:SchemaValidationError", _INVALID, "this CommandId cannot be used")
        command = shell.new_command(envelope, command_id, self._clock())
        if len(shell.commands) >= self._max_commands:
            now = self._clock()
            over = next((name for name, each in shell.commands.items() if each.ended(now)), None)
            if over is None:
                raise fault_named("operations-quota")
            del shell.commands[over]
        self._answering.start(command, shell, request, asked=False)
        shell.commands[command_id] = command
        self._bound_output()
        return f"<rsp:CommandResponse><rsp:CommandId>{escape(command_id)}</rsp:CommandId></rsp:CommandResponse>"

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

    def _receive(self, envelope: Envelope, request: WinRMRequest, shell: Shell) -> str | _Later:
        stream = envelope.find("rsp:Receive/rsp:DesiredStream")
        command_id = "" if stream is None else stream.get("CommandId", "")
        command = self._of(shell, command_id)
        if not command.started:
            self._answering.start(command, shell, request, asked=True)
        if command.fault is not None:
            raise command.fault
        now = self._clock()
        limit = min(envelope.max_size or self._max_envelope, self._max_envelope)
        out, error = command.take(max(_MIN_CHUNK, (limit - _ENVELOPE_ROOM) // 4 * 3), now)
        # What is not there yet is not waited for where there is something to say.
        attribute = f" CommandId={quoteattr(command_id)}" if command_id else ""
        streams = _stream("stdout", attribute, out) + _stream("stderr", attribute, error)
        if command.done(now):
            return (
                f"<rsp:ReceiveResponse>{streams}"
                f'<rsp:Stream Name="stdout"{attribute} End="true"/>'
                f'<rsp:Stream Name="stderr"{attribute} End="true"/>'
                f'<rsp:CommandState{attribute} State="{_STATE}/Done">'
                f"<rsp:ExitCode>{command.exit_code}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
            )
        if not streams:
            return _Later(command.waits(now), command)
        # A runspace pool, which has messages of its own, is not a command that has a state.
        state = f'<rsp:CommandState{attribute} State="{_STATE}/Running"/>' if command_id else ""
        return f"<rsp:ReceiveResponse>{streams}{state}</rsp:ReceiveResponse>"

    def _of(self, shell: Shell, command_id: str) -> RunningCommand:
        command = shell.find(command_id)
        if command is None:
            raise Fault("w:InvalidParameter", _INVALID, "there is no such command in this shell")
        return command

    def _send(self, envelope: Envelope, request: WinRMRequest, shell: Shell) -> str:
        for stream in envelope.body.iterfind("rsp:Send/rsp:Stream", NS):
            command_id, end = stream.get("CommandId", ""), stream.get("End", "").lower() in {"true", "1"}
            shell.send(command_id, stream.get("Name", ""), decoded(stream.text or ""), self._clock(), end=end)
            command = shell.commands.get(command_id)
            if command is not None and not command.started:
                self._answering.start(command, shell, request, asked=False)
        self._bound_output()
        self._changes.tell()
        return "<rsp:SendResponse/>"

    def _signal(self, envelope: Envelope, request: WinRMRequest, shell: Shell) -> str:  # noqa: ARG002
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
            elif command is not None and name in {"ctrl_c", "ctrl_break", _STOP}:
                command.interrupt(self._clock())
        self._changes.tell()
        return "<rsp:SignalResponse/>"

    def _delete(self, envelope: Envelope, request: WinRMRequest, shell: Shell) -> str:  # noqa: ARG002
        self._forget(shell.shell_id)
        return ""


_SHELL_ACTIONS: Final = {
    "Command": WSManResponder._command,
    "Receive": WSManResponder._receive,
    "Send": WSManResponder._send,
    "Signal": WSManResponder._signal,
    "Delete": WSManResponder._delete,
}


def _stream(name: str, attribute: str, data: bytes) -> str:
    if not data:
        return ""
    return f'<rsp:Stream Name="{name}"{attribute}>{base64.b64encode(data).decode("ascii")}</rsp:Stream>'


_IDENTITY: Final = (
    "<wsmid:IdentifyResponse><wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
    "</wsmid:ProtocolVersion><wsmid:ProductVendor>credssp for Python</wsmid:ProductVendor>"
    "<wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse>"
)

"""A small WS-Management responder: Identify, and a shell in which nothing runs ([MS-WSMV] 3.1.4).

The shell knows a fixed set of commands and answers them from what it has: no process is ever started, no file opened.

* ``hostname`` prints the name of the server as it was given,
* ``whoami`` prints who was delegated, which proves a double hop; it fails where an empty set was delegated,
* ``echo`` prints its arguments, of any length.
"""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.errors import RemoteProtocolError
from credssp.identity import Identity
from credssp.testing.soap import ACTION, Envelope, Fault, parse_envelope, render, render_fault
from credssp.winrm.handler import WinRMRequest, WinRMResponse

__all__ = ["COMMANDS", "CommandOutput", "WSManResponder"]

CMD: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"
_SHELL: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_CONFIG: Final = "http://schemas.microsoft.com/wbem/wsman/1/config"
_STATE: Final = f"{_SHELL}/CommandState"

_MAX_ENVELOPE_KB: Final = 500
"""MaxEnvelopeSizekb of Windows by default."""

_MIN_CHUNK: Final = 4096
_ENVELOPE_ROOM: Final = 2048
"""Bytes for everything around the output in an answer."""

# winerror.h
_SHELL_NOT_FOUND: Final = 2150858843
_NOT_SUPPORTED: Final = 2150858752
_INVALID: Final = 2150858817
_QUOTA: Final = 2150859173


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a command printed.

    Attributes:
        stdout: standard output.
        stderr: standard error.
        exit_code: 0 for success.
    """

    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)
    exit_code: int = 0


@dataclass(slots=True)
class _Command:
    output: CommandOutput
    sent: int = 0

    @property
    def size(self) -> int:
        return len(self.output.stdout) + len(self.output.stderr)


@dataclass(slots=True)
class _Shell:
    owner: Identity
    used: float
    commands: OrderedDict[str, _Command] = field(default_factory=OrderedDict)

    @property
    def size(self) -> int:
        return sum(command.size for command in self.commands.values())


Command = Callable[["WSManResponder", list[str], DelegatedCredentials], CommandOutput]


def _hostname(responder: WSManResponder, arguments: list[str], credentials: DelegatedCredentials) -> CommandOutput:  # noqa: ARG001
    return CommandOutput(f"{responder.hostname}\r\n".encode())


def _whoami(responder: WSManResponder, arguments: list[str], credentials: DelegatedCredentials) -> CommandOutput:  # noqa: ARG001
    if not isinstance(credentials, PasswordCredentials) or credentials.is_empty:
        return CommandOutput(stderr=b"no password was delegated\r\n", exit_code=1)
    domain = f"{credentials.domain}\\" if credentials.domain else ""
    return CommandOutput(f"{domain}{credentials.username}\r\n".encode("utf-8", "replace"))


def _echo(responder: WSManResponder, arguments: list[str], credentials: DelegatedCredentials) -> CommandOutput:  # noqa: ARG001
    return CommandOutput(f"{' '.join(arguments)}\r\n".encode("utf-8", "replace"))


COMMANDS: Final[Mapping[str, Command]] = {"hostname": _hostname, "whoami": _whoami, "echo": _echo}
"""The commands that the shell knows."""


def _new_id() -> str:
    return str(uuid.uuid4()).upper()


class WSManResponder:
    """A handler for `credssp.drivers.winrm_asgi.WinRMApplication`.

    Shells belong to who made them; another user finds none of them.
    """

    def __init__(
        self,
        *,
        hostname: str = "localhost",
        max_shells: int = 1024,
        max_commands: int = 16,
        max_output: int = 64 * 1024 * 1024,
        idle_timeout: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        """Prepare.

        Args:
            hostname: what ``hostname`` prints.
            max_shells: shells at one time; one more is refused.
            max_commands: commands whose output is kept, for each shell; one more, and the oldest is gone.
            max_output: bytes of output that are kept in all; one more, and the user who keeps the most loses the
                oldest.
            idle_timeout: seconds after which an unused shell is gone.
            clock: seconds, for tests.
            new_id: makes the ids of shells, commands and messages, for tests.
        """
        self.hostname = hostname
        self._max_shells = max_shells
        self._max_commands = max_commands
        self._max_output = max_output
        self._idle_timeout = idle_timeout
        self._clock = clock
        self._new_id = new_id
        self._shells: OrderedDict[str, _Shell] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._shells)

    def __call__(self, request: WinRMRequest) -> WinRMResponse:
        """Answer one message."""
        envelope: Envelope | None = None
        try:
            envelope = parse_envelope(request.data)
            with self._lock:
                return WinRMResponse(self._answer(envelope, request))
        except RemoteProtocolError as error:
            fault = Fault("w:SchemaValidationError", _INVALID, error.message)
        except Fault as found:
            fault = found
        return WinRMResponse(render_fault(envelope, fault, message_id=self._new_id()), status=500)

    def _answer(self, envelope: Envelope, request: WinRMRequest) -> bytes:
        if envelope.action == "Identify":
            return render(None, "", _IDENTITY)
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
        return render(envelope, f"{ACTION[envelope.action]}Response", body, message_id=self._new_id())

    # Shells

    def _create(self, envelope: Envelope, request: WinRMRequest) -> str:
        if envelope.resource != CMD:
            raise Fault("w:InvalidResourceURI", _NOT_SUPPORTED, f"there is one kind of shell here: {CMD}")
        self._forget_idle()
        if len(self._shells) >= self._max_shells:
            raise Fault("w:QuotaLimit", _QUOTA, f"{self._max_shells} shells are open already")
        shell_id = self._new_id()
        self._shells[shell_id] = _Shell(request.identity, self._clock())
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
            return f"<cfg:Config><cfg:MaxEnvelopeSizekb>{_MAX_ENVELOPE_KB}</cfg:MaxEnvelopeSizekb></cfg:Config>"
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
            del self._shells[shell_id]

    # Commands

    def _command(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        line = envelope.find("rsp:CommandLine")
        words = "".join(envelope.texts("rsp:CommandLine/rsp:Command")).split()
        words += envelope.texts("rsp:CommandLine/rsp:Arguments")
        if line is None or not words:
            raise Fault("w:SchemaValidationError", _INVALID, "a CommandLine without a Command")
        command_id = line.get("CommandId") or self._new_id()
        if len(command_id) > 64 or command_id in shell.commands:
            raise Fault("w:SchemaValidationError", _INVALID, "this CommandId cannot be used")
        name = words[0].strip('"').lower().removesuffix(".exe")
        command = COMMANDS.get(name)
        if command is None:
            known = ", ".join(sorted(COMMANDS))
            output = CommandOutput(stderr=f"there is no such command; known are {known}\r\n".encode(), exit_code=1)
        else:
            output = command(self, words[1:], request.credentials)
        shell.commands[command_id] = _Command(output)
        if len(shell.commands) > self._max_commands:
            shell.commands.popitem(last=False)
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
            kept[owner] -= command.size
            total -= command.size

    def _receive(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        stream = envelope.find("rsp:Receive/rsp:DesiredStream")
        command_id = "" if stream is None else stream.get("CommandId", "")
        command = shell.commands.get(command_id)
        if command is None:
            raise Fault("w:InvalidParameter", _INVALID, "there is no such command in this shell")
        attribute = quoteattr(command_id)
        room = min(envelope.max_size or _MAX_ENVELOPE_KB * 1024, _MAX_ENVELOPE_KB * 1024) - _ENVELOPE_ROOM
        chunk = max(_MIN_CHUNK, room // 4 * 3)
        out, error = command.output.stdout, command.output.stderr
        streams = ""
        if piece := out[command.sent : command.sent + chunk]:
            streams += _stream("stdout", attribute, piece)
        command.sent += len(piece)
        if command.sent < len(out):
            return (
                f"<rsp:ReceiveResponse>{streams}"
                f'<rsp:CommandState CommandId={attribute} State="{_STATE}/Running"/></rsp:ReceiveResponse>'
            )
        if error:
            streams += _stream("stderr", attribute, error)
        return (
            f"<rsp:ReceiveResponse>{streams}"
            f'<rsp:Stream Name="stdout" CommandId={attribute} End="true"/>'
            f'<rsp:Stream Name="stderr" CommandId={attribute} End="true"/>'
            f'<rsp:CommandState CommandId={attribute} State="{_STATE}/Done">'
            f"<rsp:ExitCode>{command.output.exit_code}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
        )

    def _send(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        return "<rsp:SendResponse/>"  # no command here reads its input

    def _signal(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        signal = envelope.find("rsp:Signal")
        if signal is None:
            raise Fault("w:SchemaValidationError", _INVALID, "a Signal without a Signal element")
        if any(code.lower().endswith("/terminate") for code in envelope.texts("rsp:Signal/rsp:Code")):
            shell.commands.pop(signal.get("CommandId", ""), None)
        return "<rsp:SignalResponse/>"

    def _delete(self, envelope: Envelope, request: WinRMRequest, shell_id: str, shell: _Shell) -> str:  # noqa: ARG002
        del self._shells[shell_id]
        return ""


_SHELL_ACTIONS: Final = {
    "Command": WSManResponder._command,
    "Receive": WSManResponder._receive,
    "Send": WSManResponder._send,
    "Signal": WSManResponder._signal,
    "Delete": WSManResponder._delete,
}


def _stream(name: str, command_id: str, data: bytes) -> str:
    return f'<rsp:Stream Name="{name}" CommandId={command_id}>{base64.b64encode(data).decode("ascii")}</rsp:Stream>'


_IDENTITY: Final = (
    "<wsmid:IdentifyResponse><wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
    "</wsmid:ProtocolVersion><wsmid:ProductVendor>credssp for Python</wsmid:ProductVendor>"
    "<wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse>"
)

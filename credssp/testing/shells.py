"""Shells of the WinRM double: what a client makes with Create, and what it is like inside.

`credssp.testing.wsman` keeps shells, and lets their commands run; a shell says what a command is, and what is sent to
it. `open_shell` makes the kind that the ResourceURI names.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from credssp.identity import Identity
from credssp.testing.running import RunningCommand, codec_of
from credssp.testing.soap import NS, Envelope, Fault

__all__ = ["CMD", "CommandShell", "Shell", "decoded", "open_shell"]

logger = logging.getLogger(__name__)

CMD: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"
"""ResourceURI of shells of cmd.exe."""

_POWERSHELL: Final = "http://schemas.microsoft.com/powershell/"

# winerror.h
_NOT_SUPPORTED: Final = 2150858752
_INVALID: Final = 2150858817


def decoded(text: str) -> bytes:
    """Return what base64 in a request says. Raises Fault where it is not base64."""
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        raise Fault("w:SchemaValidationError", _INVALID, "a Stream that is not base64") from None


@dataclass(slots=True)
class Shell:
    """A shell of any kind.

    Attributes:
        owner: who made it.
        used: when it was used, in seconds of the clock.
        shell_id: its id.
        resource: its ResourceURI.
        codepage: its code page.
        directory: the working directory that the client chose.
        environment: the variables that the client set.
        commands: the commands in it, by their ids, the oldest first.
    """

    owner: Identity
    used: float
    shell_id: str
    resource: str = CMD
    codepage: int = 65001
    directory: str = ""
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    commands: OrderedDict[str, RunningCommand] = field(default_factory=OrderedDict)

    input_streams: ClassVar = "stdin"
    output_streams: ClassVar = "stdout stderr"

    @property
    def size(self) -> int:
        """Bytes that are kept for its commands."""
        return sum(command.size for command in self.commands.values())

    def close(self) -> None:
        """End its commands: clients that wait for their output are told."""
        for command in self.commands.values():
            command.gone = True

    def find(self, command_id: str) -> RunningCommand | None:
        """Return what a Receive asks for."""
        return self.commands.get(command_id)

    def new_command(self, envelope: Envelope, command_id: str, now: float) -> RunningCommand:
        """Make the command of a Command request. Raises Fault, or RemoteProtocolError, where it makes none."""
        raise NotImplementedError

    def send(self, command_id: str, stream: str, data: bytes, now: float, *, end: bool) -> None:
        """Take what a client sent to a command, or to the shell itself. Raises as `new_command`."""
        raise NotImplementedError


@dataclass(slots=True)
class CommandShell(Shell):
    """A shell of cmd.exe.

    Attributes:
        codec: Python's name of the code page.
    """

    codec: str = "utf-8"

    def new_command(self, envelope: Envelope, command_id: str, now: float) -> RunningCommand:  # noqa: ARG002
        """Make a command of the name and the arguments."""
        texts = (
            "".join(envelope.texts("rsp:CommandLine/rsp:Command")),
            *envelope.texts("rsp:CommandLine/rsp:Arguments"),
        )
        words = [*texts[0].split(), *texts[1:]]
        if not words:
            raise Fault("w:SchemaValidationError", _INVALID, "a CommandLine without a Command")
        piped = envelope.options.get("WINRS_CONSOLEMODE_STDIN", "").upper() == "FALSE"
        line = " ".join([texts[0].strip(), *texts[1:]])
        return RunningCommand(line, codec=self.codec, words=words, piped=piped)

    def send(self, command_id: str, stream: str, data: bytes, now: float, *, end: bool) -> None:  # noqa: ARG002
        """Add standard input. What comes for a program that has ended, or closed its input, is dropped."""
        command = self.commands.get(command_id)
        if command is not None and not command.input_ended and stream == "stdin":
            command.stdin += data
            command.input_ended = end


def open_shell(
    envelope: Envelope,
    owner: Identity,
    now: float,
    *,
    codepage: int,
    new_id: Callable[[], str],
    taken: Callable[[str], bool],
) -> Shell:
    """Make the shell that a Create asks for.

    Args:
        envelope: the request.
        owner: who asks.
        now: seconds of the clock.
        codepage: that of shells whose clients name none.
        new_id: makes the ids of shells whose clients name none.
        taken: whether there is a shell of an id.

    Raises:
        Fault: there is no such kind of shell here, or it cannot be made.
        RemoteProtocolError: what the request brings for it is malformed.
    """
    if envelope.resource.startswith(_POWERSHELL):
        try:
            from credssp.testing.psrp.pool import open_pool
        except ModuleNotFoundError as error:
            logger.error("%s", error)
            raise Fault("w:InvalidResourceURI", _NOT_SUPPORTED, str(error)) from None
        return open_pool(envelope, owner, now, taken=taken)
    if envelope.resource != CMD:
        reason = f"there are two kinds of shells here: {CMD} and {_POWERSHELL}Microsoft.PowerShell"
        raise Fault("w:InvalidResourceURI", _NOT_SUPPORTED, reason)
    named = envelope.options.get("WINRS_CODEPAGE", "")
    codepage = int(named) if named.isascii() and named.isdigit() and len(named) < 6 else codepage
    codec = codec_of(codepage)
    if codec is None:
        raise Fault("w:InvalidOptions", _INVALID, f"there is no code page {codepage} here")
    variables = envelope.body.iterfind("rsp:Shell/rsp:Environment/rsp:Variable", NS)
    return CommandShell(
        owner,
        now,
        new_id(),
        codepage=codepage,
        codec=codec,
        directory="".join(envelope.texts("rsp:Shell/rsp:WorkingDirectory")),
        environment={variable.get("Name", ""): variable.text or "" for variable in variables},
    )

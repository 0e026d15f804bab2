"""The commands that the WinRM double knows without answers of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from credssp.credentials import PasswordCredentials
from credssp.testing.answers import CommandCall, CommandOutput
from credssp.testing.command_lines import unknown_cmdlet, unknown_command

__all__ = ["COMMANDS", "known_output"]


def _hostname(call: CommandCall, arguments: Sequence[str]) -> CommandOutput:  # noqa: ARG001
    return CommandOutput(f"{call.host}\r\n")


def _whoami(call: CommandCall, arguments: Sequence[str]) -> CommandOutput:  # noqa: ARG001
    credentials = call.credentials
    if not isinstance(credentials, PasswordCredentials) or credentials.is_empty:
        return CommandOutput(stderr="no password was delegated\r\n", exit_code=1)
    domain = f"{credentials.domain}\\" if credentials.domain else ""
    return CommandOutput(f"{domain}{credentials.username}\r\n")


def _echo(call: CommandCall, arguments: Sequence[str]) -> CommandOutput:  # noqa: ARG001
    return CommandOutput(f"{' '.join(arguments)}\r\n")


COMMANDS: Final[Mapping[str, Callable[[CommandCall, Sequence[str]], CommandOutput]]] = {
    "hostname": _hostname,
    "whoami": _whoami,
    "echo": _echo,
}
"""The commands that the shell knows: ``whoami`` prints who was delegated, and fails where an empty set was."""


def known_output(call: CommandCall, words: Sequence[str]) -> CommandOutput:
    """Return what a command of `COMMANDS` prints, or what Windows says of one that it does not know.

    Args:
        call: the command.
        words: its name and its arguments.
    """
    if len(words) > 2 and words[0].lower() in {"cmd", "cmd.exe"} and words[1].lower() == "/c":
        words = words[2:]
    name = words[0].strip('"').lower().removesuffix(".exe")
    if name in COMMANDS:
        return COMMANDS[name](call, words[1:])
    if not call.script:
        return CommandOutput(stderr=unknown_command(words[0]), exit_code=1)
    return CommandOutput(stderr=unknown_cmdlet(call.script), exit_code=1)

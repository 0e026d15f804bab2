"""The commands that the WinRM double knows without answers of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from credssp.credentials import PasswordCredentials
from credssp.testing.ansible import known_result
from credssp.testing.ansible_files import file_output
from credssp.testing.answers import CommandCall, CommandOutput
from credssp.testing.command_lines import unknown_cmdlet, unknown_command, without_exit

__all__ = ["COMMANDS", "known_output", "unknown_output"]


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

_ONE_COMMAND: Final = re.compile(r"[^\r\n;|&(){}$<>`\"'#@]+")
"""A script that is one command with plain words."""


def known_output(call: CommandCall, words: Sequence[str]) -> CommandOutput | None:
    """Return what a module of Ansible or a command of `COMMANDS` prints; None for another one.

    Args:
        call: the command.
        words: its name and its arguments.
    """
    if call.ansible is not None:
        result = known_result(call.ansible, host=call.host, user=call.delegated_user)
        return CommandOutput(json.dumps(result), exit_code=int("failed" in result))
    if call.script and (printed := file_output(call.script, call.stdin)) is not None:
        return CommandOutput(printed)
    if call.script:
        script = without_exit(call.script)
        words = script.split() if _ONE_COMMAND.fullmatch(script) else ()
    elif len(words) > 2 and words[0].lower() in {"cmd", "cmd.exe"} and words[1].lower() == "/c":
        words = words[2:]
    name = words[0].strip('"').lower().removesuffix(".exe") if words else ""
    if name not in COMMANDS:
        return None
    if name == "echo" and call.script:  # an alias of Write-Output there
        return CommandOutput("".join(f"{word}\r\n" for word in words[1:]))
    return COMMANDS[name](call, words[1:])


def unknown_output(call: CommandCall, words: Sequence[str]) -> CommandOutput:
    """Return what cmd.exe or PowerShell says of a command that it does not know."""
    if call.script:
        return CommandOutput(stderr=unknown_cmdlet(without_exit(call.script)), exit_code=1)
    if len(words) > 2 and words[0].lower() in {"cmd", "cmd.exe"} and words[1].lower() == "/c":
        words = words[2:]
    return CommandOutput(stderr=unknown_command(words[0]), exit_code=1)

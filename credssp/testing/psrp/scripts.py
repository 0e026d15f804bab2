"""What a pipeline is to run, as text, which answers are matched with ([MS-PSRP] 2.2.3.11 to 2.2.3.13).

A pipeline is a list of commands with parameters. As text it is written as one would type it::

    Get-Service -Name WinRM | Select-Object -First 1

Statements are joined by ``;``, commands by ``|``. Names and values have a space between them; a value is in single
quotes where it needs them, ``$true`` and ``$null`` are written so, and a parameter without a value is a switch. A
script is written as it came, with its arguments after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element

from credssp.errors import DecodeError
from credssp.testing.psrp.objects import Values

__all__ = ["Script", "read_script"]

_EVALUATES: Final = ("invoke-expression", "iex")


@dataclass(frozen=True, slots=True)
class Script:
    """What a pipeline runs.

    Attributes:
        line: the whole pipeline as text.
        script: the scripts in it (also those that Invoke-Expression gets), a line break between two of them; `line`
            where it has none.
        is_script: whether its first command is a script, rather than a cmdlet.
        through: the cmdlet that runs the script: ``Invoke-Expression``, or empty.
    """

    line: str = field(repr=False)
    script: str = field(repr=False)
    is_script: bool
    through: str


def read_script(values: Values) -> Script:
    """Read the pipeline of a CREATE_PIPELINE message.

    Raises:
        DecodeError: it has no pipeline, or one without commands, or values that are too long.
    """
    pipeline = values.property("PowerShell")
    statements = [list(_commands(values, statement)) for statement in _statements(values, pipeline)]
    commands = [command for statement in statements for command in statement]
    if not commands:
        raise DecodeError("a pipeline without commands", field="CREATE_PIPELINE")
    scripts = [command.script for command in commands if command.script]
    line = "; ".join(" | ".join(command.line for command in statement) for statement in statements)
    evaluates = next((command.name for command in commands if command.script and not command.is_script), "")
    return Script(line, "\n".join(scripts) or line, commands[0].is_script, evaluates)


@dataclass(frozen=True, slots=True)
class _Command:
    name: str
    line: str
    script: str
    is_script: bool


def _statements(values: Values, pipeline: Element | None) -> Iterator[Element | None]:
    """Yield the list of commands of each statement. All of them are in ExtraCmds where there are several."""
    if pipeline is None:
        return
    extra = list(values.items(values.property("ExtraCmds", pipeline)))
    if not extra:
        yield values.property("Cmds", pipeline)
    for each in extra:
        statement = values.target(each)
        if statement is not None:
            yield values.property("Cmds", statement)


def _commands(values: Values, commands: Element | None) -> Iterator[_Command]:
    for each in values.items(commands):
        command = values.target(each)
        if command is not None:
            yield _command(values, command)


def _command(values: Values, command: Element) -> _Command:
    name = values.text(values.property("Cmd", command))
    is_script = values.flag("IsScript", command)
    words, script = [name], name if is_script else ""
    for each in values.items(values.property("Args", command)):
        argument = values.target(each)
        if argument is None:
            continue
        parameter = values.text(values.property("N", argument)).lstrip("-").rstrip(":")
        value = values.property("V", argument)
        if not is_script and name.lower() in _EVALUATES and parameter.lower() in {"", "command"} and not script:
            script = values.text(value)
        words += _words(values, parameter, value)
    return _Command(name, " ".join(words), script, is_script)


def _words(values: Values, parameter: str, value: Element | None) -> Iterator[str]:
    if not parameter:
        yield values.literal(value)
    elif value is None:
        yield f"-{parameter}"
    elif value.tag == "B":
        yield f"-{parameter}:{values.literal(value)}"
    else:
        yield f"-{parameter}"
        yield values.literal(value)

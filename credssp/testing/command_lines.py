"""Command lines as a Windows shell reads them, and what Windows says about those that it does not know.

Sources: ``powershell -?`` for the options, [MS-PSRP] 2.2.5 and the output of Windows PowerShell 5.1 for CLIXML.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from xml.sax.saxutils import escape

__all__ = ["clixml", "is_encoded", "script_of", "unknown_cmdlet", "unknown_command", "without_exit"]

_HOSTS: Final = re.compile(r"(?:.*[\\/])?(?:powershell|pwsh)(?:\.exe)?", re.IGNORECASE | re.DOTALL)
_WORD: Final = re.compile(r'"[^"]*"?|[^\s"]+(?:"[^"]*"?[^\s"]*)*')
_ENCODED: Final = ("encodedcommand", "ec")
_COMMAND: Final = "command"
# Options without a value; every other one has one.
_FLAGS: Final = ("noprofile", "noninteractive", "nologo", "noexit", "sta", "mta", "login", "interactive")
_MAX_NESTED: Final = 3
"""Ansible 2.18 and earlier encode the command line of their wrapper once more over the connection ``winrm``."""
_EXIT: Final = re.compile(r"^\s*exit \$LASTEXITCODE\s*\Z", re.IGNORECASE | re.MULTILINE)
_NAMESPACE: Final = "http://schemas.microsoft.com/powershell/2004/04"


def script_of(line: str) -> str:
    """Return the script that PowerShell is to run; empty if the command line starts another program.

    A script that is itself a command line with an encoded script stands for that one.

    Args:
        line: the command line. ``-EncodedCommand`` is base64 of UTF-16LE; like PowerShell, this takes every beginning
            of an option's name, and ``/`` for ``-``.
    """
    _, script = _read(line)
    for _ in range(_MAX_NESTED):
        how, inner = _read(script.strip())
        if how != "encoded":
            break
        script = inner
    return script


def without_exit(script: str) -> str:
    """Return a script without the line ``exit $LASTEXITCODE`` that programs add to a command that they run in it."""
    return _EXIT.sub("", script).strip()


def is_encoded(line: str) -> bool:
    """Return whether it is PowerShell with ``-EncodedCommand``, which then writes errors as CLIXML."""
    return _read(line)[0] == "encoded"


def _read(line: str) -> tuple[str, str]:
    """Return how the script is given (``encoded``, ``plain`` or an empty string), and the script."""
    words = list(_WORD.finditer(line))
    if len(words) > 2 and words[0][0].lower() in {"cmd", "cmd.exe"} and words[1][0].lower() == "/c":
        words = words[2:]
    if not words or not _HOSTS.fullmatch(words[0][0].strip('"')):
        return "", ""
    text_output = False
    position = 1
    while position < len(words):
        word = words[position][0]
        name = word[1:].lower() if word[0] in "-/" else ""
        value = words[position + 1][0].strip('"') if position + 1 < len(words) else ""
        if not name or _COMMAND.startswith(name):
            rest = words[position + bool(name) :]
            return ("plain", line[rest[0].start() :]) if rest else ("", "")
        if any(option.startswith(name) for option in _ENCODED):
            script = _decode(value)
            return ("plain" if text_output else "encoded") if script else "", script
        text_output |= len(name) > 1 and "outputformat".startswith(name) and value.lower() == "text"
        position += 1 if any(flag.startswith(name) for flag in _FLAGS) and len(name) > 2 else 2
    return "", ""


def _decode(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("utf-16-le")
    except (binascii.Error, ValueError):
        return ""


def unknown_command(name: str) -> str:
    """Return what cmd.exe writes to standard error about a command that it does not know; the exit code is 1."""
    return f"'{name}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"


def unknown_cmdlet(script: str) -> str:
    """Return what Windows PowerShell writes about a command that it does not know; the exit code is 1."""
    first = next((line for line in script.splitlines() if line.strip()), "")
    name = next(iter(first.split()), "")
    return (
        f"{name} : The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable "
        "program. Check the spelling of the name, or if a path was included, verify that the path is correct and try "
        f"again.\r\nAt line:1 char:1\r\n+ {first}\r\n+ {'~' * len(name)}\r\n    + CategoryInfo          : "
        f"ObjectNotFound: ({name}:String) [], CommandNotFoundException\r\n    + FullyQualifiedErrorId : "
        "CommandNotFoundException\r\n \r\n"
    )


def clixml(error: str, progress: str = "", *, verbose: str = "", debug: str = "", warning: str = "") -> str:
    """Return errors, and what other streams have, as PowerShell writes them to what is not a console.

    Args:
        error: lines; an empty string for none.
        progress: such as ``Preparing modules for first use.``, which PowerShell writes at its first start.
        verbose: lines of Write-Verbose.
        debug: lines of Write-Debug.
        warning: lines of Write-Warning.
    """
    streams = {"verbose": verbose, "debug": debug, "warning": warning}
    lines = "".join(
        f'<S S="{name}">{_text(line)}</S>' for name, text in streams.items() for line in text.splitlines()
    ) + "".join(f'<S S="Error">{_text(line)}</S>' for line in error.splitlines(keepends=True))
    record = ""
    if progress:
        record = (
            '<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T>'
            '<T>System.Object</T></TN><MS><I64 N="SourceId">1</I64><PR N="Record">'
            f"<AV>{_text(progress)}</AV><AI>0</AI><Nil /><PI>-1</PI><PC>-1</PC><T>Completed</T><SR>-1</SR><SD> </SD>"
            "</PR></MS></Obj>"
        )
    return f'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="{_NAMESPACE}">{record}{lines}</Objs>'


def _text(text: str) -> str:
    """Escape for CLIXML: control characters, and ``_x`` where it would be read as one, are ``_xHHHH_``."""
    text = re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", text)
    return escape(re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"_x{ord(found[0]):04X}_", text))

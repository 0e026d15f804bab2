"""The command line of a run, as it can be typed again; passwords in it are hidden."""

from __future__ import annotations

import argparse
import shlex
from typing import Final

__all__ = ["command_line"]

_HIDDEN: Final = "********"
_WORDS: Final = {
    "user": "-u",
    "domain": "-d",
    "password_file": "--password-file",
    "password_command": "--password-command",
    "command": "--exec",
    "exec_variant": "--exec-variant",
    "exec_reports": "--exec-reports",
    "cacert_file": "--cacert-file",
    "kerberos": "--kerberos",
    "ccache": "--ccache",
    "spn": "--spn",
    "keytab": "--keytab",
    "server_exec": "--server-exec",
    "expected": "--expected",
}


def command_line(arguments: argparse.Namespace, *, seed: str, hidden: str = "") -> str:
    """Return what a shell takes, without rules, reports and repetitions.

    Args:
        arguments: as parsed.
        seed: the seed of the run, or empty.
        hidden: the password, which may be in command lines of programs.
    """
    words = ["credssp", "conformance", arguments.what]
    if arguments.target:
        words.append(arguments.target)
    for name, option in _WORDS.items():
        value = getattr(arguments, name)
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                words.append(option)
            elif each:
                words += [option, str(each)]
    if arguments.transport != "rdp":
        words += ["--transport", arguments.transport]
    if arguments.timeout != 5.0:
        words += ["--timeout", f"{arguments.timeout:g}"]
    if seed:
        words += ["--seed", seed]
    return shlex.join(_without(word, hidden) for word in words)


def _without(word: str, hidden: str) -> str:
    """Take the password out of a word, however a command line in it quotes it."""
    if not hidden:
        return word
    try:
        parts = shlex.split(word)
    except ValueError:
        parts = []
    if hidden not in word and any(hidden in part for part in parts):
        word = shlex.join(part.replace(hidden, _HIDDEN) for part in parts)
    return word.replace(hidden, _HIDDEN)

"""How a command gets a secret: from a file, a program, the environment, or by asking; never as an argument if possible.

Arguments are in the process list and in the shell's history.
"""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
import sys
from typing import Final

from credssp import private_file
from credssp.errors import LocalProtocolError
from credssp.private_file import decoded_line, read_line
from credssp.secret import Secret

__all__ = ["PASSWORD_VARIABLE", "ask", "first_line", "given_line", "output_of", "password"]

PASSWORD_VARIABLE: Final = "CREDSSP_PASSWORD"

_MAX_FILE: Final = 64 * 1024


def password(file: str | None, command: str | None = None, *, prompt: str) -> Secret[str]:
    """Return the password: of `file`, of what `command` prints, else of CREDSSP_PASSWORD, else as typed.

    Raises:
        LocalProtocolError: there is nothing to read it from, file and command were both given, or one of them failed.
    """
    if file is not None and command is not None:
        raise LocalProtocolError("give a file with the password or a command that prints it, not both")
    if file is not None:
        return first_line(file)
    if command is not None:
        return output_of(command)
    if PASSWORD_VARIABLE in os.environ:
        return Secret(os.environ[PASSWORD_VARIABLE])
    if not sys.stdin.isatty():
        raise LocalProtocolError(
            f"no password: give --password-file FILE or --password-command CMD, set {PASSWORD_VARIABLE}, "
            "or run it on a terminal and type it"
        )
    return ask(prompt)


def ask(prompt: str) -> Secret[str]:
    """Ask the person at the terminal. Raises LocalProtocolError."""
    try:
        return Secret(getpass.getpass(prompt))
    except EOFError:
        raise LocalProtocolError("nothing was typed") from None


def first_line(file: str) -> Secret[str]:
    """Return the first line of a file (``-`` for standard input), without its end.

    Raises:
        LocalProtocolError: it cannot be read, or is not UTF-8.
    """
    if file != "-":
        return private_file.first_line("file with the secret", file)
    try:
        secret = read_line(sys.stdin.buffer)
    except OSError as error:
        raise LocalProtocolError(f"standard input cannot be read: {error.strerror}") from None
    if secret is None:
        raise LocalProtocolError("the secret on standard input is not UTF-8 text")
    return secret


def given_line(file: str, what: str) -> Secret[str]:
    """Return the first line of a file as `first_line` does, and refuse an empty one.

    Args:
        file: the file.
        what: what is in it, for people: ``PIN``.

    Raises:
        LocalProtocolError: as `first_line`, or the line is empty.
    """
    secret = first_line(file)
    if not secret:
        raise LocalProtocolError(f"the {what} in {file} is empty: the first line of the file has none")
    return secret


def output_of(command: str) -> Secret[str]:
    """Return the first line that a program prints, without its end.

    The program is run without a shell, and may ask on the terminal: its standard input and standard error are ours.
    There is no deadline, as there is none for a person who types.

    Args:
        command: program and arguments, quoted as in a POSIX shell: ``pass show rdp/alice``.

    Raises:
        LocalProtocolError: it cannot be run, ends with another code than 0, or prints no line of UTF-8 text.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise LocalProtocolError(f"the password command is not quoted as in a shell: {error}") from None
    if not words:
        raise LocalProtocolError("the password command is empty")
    try:
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:  # noqa: S603  # the user's own command
            data = Secret(process.stdout.read(_MAX_FILE) if process.stdout else b"")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LocalProtocolError(f"the password command {words[0]} cannot be run: {reason}") from None
    secret = decoded_line(Secret(data.reveal().partition(b"\n")[0]))
    if process.returncode:
        how = (
            f"failed with exit code {process.returncode}"
            if process.returncode > 0
            else (f"was ended by signal {-process.returncode}")
        )
        raise LocalProtocolError(f"the password command {words[0]} {how}")
    if not secret:
        raise LocalProtocolError(f"the password command {words[0]} printed no line of UTF-8 text")
    return secret

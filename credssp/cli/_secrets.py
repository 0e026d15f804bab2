"""How a command gets a secret: from a file, from the environment, or by asking; never as an argument if it can help it.

Arguments are in the process list and in the shell's history.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Final

from credssp.errors import LocalProtocolError
from credssp.private_file import check_private_file
from credssp.secret import Secret

__all__ = ["PASSWORD_VARIABLE", "ask", "first_line", "password"]

PASSWORD_VARIABLE: Final = "CREDSSP_PASSWORD"

_MAX_FILE: Final = 64 * 1024


def password(file: str | None, *, prompt: str) -> Secret[str]:
    """Return the password: of `file`, else of CREDSSP_PASSWORD, else as typed.

    Raises:
        LocalProtocolError: there is nothing to read it from.
    """
    if file is not None:
        return first_line(file)
    if PASSWORD_VARIABLE in os.environ:
        return Secret(os.environ[PASSWORD_VARIABLE])
    if not sys.stdin.isatty():
        raise LocalProtocolError(
            f"no password: give --password-file FILE, set {PASSWORD_VARIABLE}, or run it on a terminal and type it"
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
    try:
        if file == "-":
            data = sys.stdin.buffer.readline(_MAX_FILE)
        else:
            check_private_file("file with the secret", file)
            with Path(file).open("rb") as stream:
                data = stream.readline(_MAX_FILE)
    except OSError as error:
        raise LocalProtocolError(f"the file with the secret cannot be read: {error.strerror}") from None
    try:
        return Secret(data.decode("utf-8-sig").rstrip("\r\n"))
    except UnicodeDecodeError:
        del data  # the error below would show it
    raise LocalProtocolError("the file with the secret is not UTF-8 text")

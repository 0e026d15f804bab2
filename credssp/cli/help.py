"""``credssp help``: the arguments of a command, and manual pages of all of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from credssp.__about__ import __version__

__all__ = ["configure", "manual_pages", "run"]

_SECTION = 1
_DESCRIPTION = "CredSSP ([MS-CSSP]): client, server and tools for RDP (NLA) and WinRM"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="which: login, say, or gateway run")
    parser.add_argument(
        "--man", metavar="FOLDER", help="write a manual page for each command (needs the extra shell), for MANPATH/man1"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from credssp.cli import main

    if arguments.man is None:
        return main([*arguments.words, "--help"])
    return _write(Path(arguments.man))


def _write(folder: Path) -> int:
    from credssp.errors import LocalProtocolError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in manual_pages():
            (folder / f"{name}.{_SECTION}").write_text(text, encoding="utf-8")
    except OSError as error:
        raise LocalProtocolError(f"--man {folder}: it cannot be written: {error.strerror}") from None
    return 0


def manual_pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text (roff) of the page of ``credssp``, and of every command.

    Raises:
        LocalProtocolError: the library that writes them is not installed.
    """
    from credssp.errors import LocalProtocolError

    try:
        from argparse_manpage.manpage import Manpage
    except ImportError:
        raise LocalProtocolError(
            "manual pages need argparse-manpage: pip install 'credssp[shell]' (in a clone: '.[shell]')"
        ) from None

    from credssp.cli import COMMANDS, _parser

    def page(parser: argparse.ArgumentParser, summary: str) -> str:
        about = {"version": __version__, "project_name": "credssp", "description": summary}
        body = str(Manpage(parser, _data=about, format="single-commands-section")).split("\n", 3)[3]
        # One word for mandb, and no date: the same version gives the same pages.
        name = parser.prog.replace(" ", "\\-")
        title = f'.TH "{name.upper()}" "{_SECTION}" "" "credssp {__version__}" "Commands"'
        return f"{title}\n.SH NAME\n{name} \\- {summary}\n{body}"

    yield "credssp", page(_parser(), _DESCRIPTION)
    for command, summary in COMMANDS.items():
        (below,) = (
            action.choices[command]
            for action in _parser(command)._actions
            if isinstance(action, argparse._SubParsersAction)
        )
        yield f"credssp-{command}", page(below, summary)

"""``credssp completion``: a script that lets a shell complete commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["SHELLS", "configure", "run"]

SHELLS: Final = {
    "bash": "~/.local/share/bash-completion/completions/credssp",
    "zsh": "_credssp, in a folder of $fpath",
    "fish": "~/.config/fish/completions/credssp.fish",
}
"""Those that it can be printed for, and the file that each reads it from."""

_INSTALL: Final = "pip install 'credssp[shell]' (in a clone: '.[shell]')"

_FILES: Final = ("FILE", "F", "FOLDER", "PATH", "CACHE", "LIST", "LOG", "PEM", "TOML", "A.jsonl", "B.jsonl")
"""What an argument is called where it is a file."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=list(SHELLS), help="which shell")
    places = "".join(f"\n  {shell:5} {place}" for shell, place in SHELLS.items())
    parser.epilog = f"Needs the extra shell: {_INSTALL}. Where each shell reads it from:{places}"


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    from credssp.errors import LocalProtocolError

    try:
        import shtab
    except ImportError:
        raise LocalProtocolError(f"completion needs shtab: {_INSTALL}") from None

    from credssp.cli import COMMANDS, _parser
    from credssp.schemas import names

    parser = _parser(*COMMANDS)
    _complete_files(parser, shtab.FILE)
    _complete_words(parser, {"help": COMMANDS, "schema": names()})
    print(shtab.complete(parser, arguments.shell))
    return 0


def _complete_files(parser: argparse.ArgumentParser, files: object) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _complete_files(below, files)
        elif action.metavar in _FILES:
            action.complete = files  # type: ignore[attr-defined]  # shtab's own


def _complete_words(parser: argparse.ArgumentParser, words: Mapping[str, Iterable[str]]) -> None:
    """Offer words for the argument of some commands, which take others too: ``help gateway run``."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for command, offered in words.items():
        (argument,) = (action for action in commands.choices[command]._actions if not action.option_strings)
        argument.choices = list(offered)

"""Writes the tables of arguments in docs/reference/cli.md from the parsers.

``python docs/_ext/cli_docs.py`` writes them; tests/docs/test_cli_reference.py checks that they are up to date. A table
is between two comments, ``<!-- arguments: login -->`` and ``<!-- end -->``; the text around them is not generated.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent.parent
sys.path[:0] = [str(DOCS.parent)]

from credssp.cli import COMMANDS, _parser  # noqa: E402

PAGE = DOCS / "reference" / "cli.md"
REGION = re.compile(r"(?<=<!-- arguments: )([a-z ]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command, and of every sub-command of those that have some, by its words."""
    found: dict[str, argparse.ArgumentParser] = {}
    for command in COMMANDS:
        parser = dict(sub_parsers(_parser(command)))[command]
        nested = dict(sub_parsers(parser))
        found |= {f"{command} {name}": each for name, each in nested.items()} or {command: parser}
    return found


def sub_parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def tables(parser: argparse.ArgumentParser) -> str:
    """Return a table of the arguments, and one for each group of them that has a title of its own."""
    head = ["| argument | meaning |", "|---|---|"]
    lines = list(head)
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if group.title not in ("positional arguments", "options"):  # those are argparse's: an option looks like one
            lines += ["", f"{group.title[0].upper()}{group.title[1:]}:", "", *head] if group.title else []
        lines += rows(parser, actions)
    return "\n".join(lines) + "\n"


def rows(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> list[str]:
    return [f"| {names(action)} | {meaning(parser, action)} |" for action in actions]


def names(action: argparse.Action) -> str:
    choices = ", ".join(f"`{choice}`" for choice in action.choices or ()) if action.metavar is None else ""
    if not action.option_strings:
        return choices or f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 or choices else f" {action.metavar or action.dest.upper()}"
    shown = ", ".join(f"`{name}{value}`" for name in action.option_strings)
    return f"{shown} {choices}".strip()


def meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return text.replace("|", "\\|")


def page(text: str) -> str:
    """Return the page with its tables made anew."""
    known = parsers()
    return REGION.sub(lambda match: f"{match[1]}{match[2]}\n{tables(known[match[1]])}\n", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""What a misspelt command or option was probably meant to be."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator

__all__ = ["with_suggestion"]

_CHOICE = re.compile(r"invalid choice: '([^']+)'")
_OPTIONS = "unrecognized arguments: "


def with_suggestion(parser: argparse.ArgumentParser, message: str) -> str:
    """Return a message of argparse with what its reader may have meant, if something is close.

    Args:
        parser: what complains.
        message: what it says.
    """
    if (found := _CHOICE.search(message)) is not None:
        meant = _closest(found[1], _choices(parser))
    elif message.startswith(_OPTIONS):
        unknown = [word.partition("=")[0] for word in message.removeprefix(_OPTIONS).split() if word.startswith("--")]
        meant = _closest(unknown[0], _options(parser)) if unknown else None
    else:
        meant = None
    return message if meant is None else f"{message}; did you mean {meant}?"


def _closest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)


def _choices(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from map(str, action.choices or ())


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a parser and of all below it: it is the outermost one that complains."""
    for action in parser._actions:
        yield from (name for name in action.option_strings if name.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _options(below)

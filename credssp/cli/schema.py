"""``credssp schema``: what the JSON of a command looks like."""

from __future__ import annotations

import argparse
import sys

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "For example: credssp schema probe; credssp schema serve rdp. Without COMMAND, lists all of them. "
        "Draft 2020-12; later versions may add members."
    )
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="the command that prints the JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    from credssp.cli._output import print_json, print_table
    from credssp.errors import LocalProtocolError
    from credssp.schemas import names, schema, source

    if not arguments.words:
        print_table(("name", "what"), [(name, source(name)["title"]) for name in names()])
        return 0
    try:
        print_json(schema("-".join(arguments.words)))
    except LocalProtocolError as error:
        print(f"credssp schema: {error.message}", file=sys.stderr)
        return 2
    return 0

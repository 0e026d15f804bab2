"""How sub-commands print: aligned ASCII, or tables of rich where it is installed and a terminal looks on.

Everything that came from a peer goes through `printable` first: a user name may hold an escape sequence.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from credssp.secret import MASK

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["MASK", "print_facts", "print_json", "print_table", "printable"]


def printable(text: str) -> str:
    """Return the text with everything that is not plainly visible as a backslash escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def print_json(value: object) -> None:
    """Print one JSON value, ASCII only."""
    print(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print rows under a heading.

    Args:
        columns: the names of the columns.
        rows: their cells, one for each column.
        right: the columns aligned to the right: numbers.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    console = _console()
    if console is not None:
        _rich_table(console, columns, cells, right)
        return
    widths = [max(len(row[i]) for row in (columns, *cells)) for i in range(len(columns))]
    for row in (columns, ["-" * width for width in widths], *cells):
        padded = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        print("  ".join(padded).rstrip())


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print a heading, and a name and a value on each line below it."""
    title = printable(title)
    shown = {name: printable(value) for name, value in facts.items()}
    console = _console()
    if console is not None:
        _rich_facts(console, title, shown)
        return
    print(title)
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        print(f"  {name.ljust(width)}  {value}".rstrip())


def _console() -> Console | None:
    """Return rich's console if there is a terminal and a rich to write to it with."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=sys.stdout, highlight=False)


def _rich_table(console: Console, columns: Sequence[str], rows: list[list[str]], right: Sequence[str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    # The first column says what a row is about: a narrow terminal folds the others, unless it takes half of the width.
    whole = max(map(len, [columns[0], *(row[0] for row in rows)])) <= console.width // 2
    for number, name in enumerate(columns):
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=whole and number == 0)
    for row in rows:
        table.add_row(*map(Text, row))  # Text: what looks like markup in it is not
    console.print(table)


def _rich_facts(console: Console, title: str, facts: Mapping[str, str]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(Text(f"  {name}"), Text(value))
    console.print(Text(title, style="bold"))
    console.print(grid)

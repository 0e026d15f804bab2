"""What the pages about many servers have in common: bars, and a table that is filtered by style alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

from credssp.pages import escape

__all__ = [
    "FilterButtons",
    "bars",
    "classes_of",
    "fieldsets",
    "filter_style",
    "report_style",
    "table_head",
    "table_row",
]


class FilterButtons(NamedTuple):
    """A group of buttons, one of which is pressed.

    Attributes:
        title: what the values are.
        name: one letter, for classes and ids.
        values: the values, plain text.
    """

    title: str
    name: str
    values: Sequence[str]


def report_style() -> str:
    """Return the style of these pages."""
    return files("credssp.fleet").joinpath("report.css").read_text(encoding="utf-8")


def bars(counts_by_name: Iterable[tuple[str, Mapping[str, int]]], kind: Callable[[str], str]) -> Iterator[str]:
    """Yield a section with a group of bars for each name.

    Args:
        counts_by_name: names and counts; those of a Counter are shown the largest first, others in their order.
        kind: returns ``good``, ``poor``, ``bad`` or an empty string for a value.
    """
    yield '<section><h2>Totals</h2><div class="groups">'
    for name, counts in counts_by_name:
        yield f'<div><h3>{name}</h3><table class="bars"><tbody>'
        most = max(counts.values(), default=1)
        shown = list(counts.items())
        if isinstance(counts, Counter):
            shown.sort(key=lambda item: (-item[1], item[0]))
        for value, count in shown:
            bar = f'<div class="bar"><i class="{kind(value)}" style="width: {100 * count / most:.1f}%"></i></div>'
            yield f'<tr><td>{escape(value)}</td><td class="count">{count:,}</td><td>{bar}</td></tr>'
        yield "</tbody></table></div>"
    yield "</div></section>"


def fieldsets(filters: Iterable[FilterButtons]) -> Iterator[str]:
    """Yield the buttons of all groups."""
    for title, name, values in filters:
        yield f"<fieldset><legend>{title}</legend>"
        for number, value in enumerate(("all", *values)):
            checked = " checked" if number == 0 else ""
            yield f'<label><input type="radio" name="{name}" id="{name}-{number}"{checked}> {escape(value)}</label>'
        yield "</fieldset>"


def filter_style(filters: Iterable[FilterButtons]) -> str:
    """Return the style that leaves the servers of what is checked in each group."""
    return "".join(
        f"body:has(#{name}-{number}:checked) .servers tbody tr:not(.{name}{number}) {{ display: none; }}\n"
        for _, name, values in filters
        for number in range(1, len(values) + 1)
    )


def classes_of(filters: Iterable[FilterButtons], values_of: Callable[[str], set[str]]) -> list[str]:
    """Return the classes of a row.

    Args:
        filters: all groups.
        values_of: returns the values that the server has in a group, by its name.
    """
    return [
        f"{name}{number}"
        for _, name, values in filters
        for number, value in enumerate(values, 1)
        if value in values_of(name)
    ]


def table_head(columns: Iterable[str]) -> str:
    """Return the beginning of a table of servers."""
    heads = "".join(f'<th scope="col">{name}</th>' for name in columns)
    return f'<table class="servers"><thead><tr>{heads}</tr></thead><tbody>'


def table_row(columns: Iterable[str], cells: Iterable[str], *, classes: Iterable[str], nowrap: str = "") -> str:
    """Return a row of it.

    Args:
        columns: their names, which a phone shows in front of each cell.
        cells: HTML.
        classes: of `classes_of`.
        nowrap: the column that is never broken.
    """
    row = "".join(
        f'<td data-name="{name}"{" class=nowrap" if name == nowrap else ""}>{cell}</td>'
        for name, cell in zip(columns, cells, strict=True)
    )
    return f'<tr class="{" ".join(classes)}">{row}</tr>'

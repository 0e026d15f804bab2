"""Trees of plain data (`credssp.dissect.views` makes them), as indented text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Final

from credssp.cli._output import printable

__all__ = ["render"]

_WIDTH: Final = 100
_WORDS: Final = {None: "absent", True: "yes", False: "no"}


def render(tree: Mapping[str, Any]) -> list[str]:
    """Return the lines of a tree.

    A mapping's ``type`` and ``octets`` are in its first line, the rest below it, indented.
    """
    return _branch("", tree, 0)


def _branch(name: str, value: Any, depth: int) -> list[str]:
    label = "  " * depth + (f"{printable(name)}: " if name else "")
    if isinstance(value, Mapping) and "what" in value:  # a deviation: one line is enough
        return [label + printable(f"{value['field']} at byte {value['offset']}: {value['what']}")]
    if isinstance(value, Mapping):
        head = str(value.get("type", ""))
        if "octets" in value:
            head += f" ({value['octets']} bytes)"
        lines = [(label + printable(head)).rstrip()]
        for key, item in value.items():
            if key not in ("type", "octets"):
                lines += _branch(key, item, depth + 1)
        return lines
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [line for number, item in enumerate(value) for line in _branch(f"{name}[{number}]", item, depth)]
    if isinstance(value, list):
        text = ", ".join(printable(str(item)) for item in value) or "none"
        return textwrap.wrap(label + text, _WIDTH, subsequent_indent=" " * len(label), break_long_words=False)
    if value is None or isinstance(value, bool):
        return [label + _WORDS[value]]
    return [label + printable(str(value))]

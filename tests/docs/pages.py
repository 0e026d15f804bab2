"""What the pages of the manual show: fenced blocks, and the comments that say what a line prints."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTS = re.compile(r"print\(.*\)  # (?P<output>.*)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, the line of the page on which that begins, and where it ends."""

    language: str
    text: str
    line: int
    end: int


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the blocks of a page, in order; all of them, or those in the languages that are named."""
    return [
        Block(match[1], match[2], page.count("\n", 0, match.start(2)) + 1, match.end())
        for match in _FENCE.finditer(page)
        if not languages or match[1] in languages
    ]


def output_below(page: str, block: Block) -> str | None:
    """Return the ``text`` block that follows a block with nothing in between: what it prints."""
    match = re.match(r"\n\n```text\n(.*?)^```$", page[block.end :], re.MULTILINE | re.DOTALL)
    return None if match is None else match[1]


def run(page: str, name: str, namespace: dict[str, object]) -> None:
    """Run the Python blocks of a page in one namespace, and hold what they print against what the page says.

    A comment behind `print`, on its line, is the output of that line (all that comes before a final ``...``); a
    ``text`` block right below is that of the block.
    """
    for block in blocks(page, "python"):
        printed: list[tuple[int, str]] = []

        def record(*values: object, printed: list[tuple[int, str]] = printed) -> None:
            printed.append((sys._getframe(1).f_lineno, " ".join(map(str, values))))
            print(*values)

        namespace["print"] = record
        # Blank lines in front keep the line numbers of a traceback those of the page.
        exec(compile("\n" * (block.line - 1) + block.text, name, "exec"), namespace)  # noqa: S102
        for line, expected in _promised(block):
            found = [text for number, text in printed if number == line]
            shown = [text[: len(expected) - 3] + "..." for text in found] if expected.endswith("...") else found
            assert shown == [expected], f"{name}, line {line}, prints {found}"
        if (below := output_below(page, block)) is not None:
            assert "\n".join(text for _, text in printed) + "\n" == below, f"{name}, below line {block.line}"


def _promised(block: Block) -> Iterator[tuple[int, str]]:
    for offset, line in enumerate(block.text.splitlines()):
        if match := _PRINTS.fullmatch(line.strip()):
            yield block.line + offset, match["output"]

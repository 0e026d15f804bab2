"""The picture of a terminal on the first page, ``docs/_static/demo.svg``: what ``credssp demo`` prints, drawn by rich.

``python docs/_ext/terminal_picture.py`` runs the command and draws; tests/docs/test_pictures.py checks that the command
prints what the picture shows, but for numbers: sizes and times are those of one run. The picture has no address of
anything else: its letters are those of the reader's own monospaced font.
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "_static" / "demo.svg"
COMMAND = "credssp demo"
WIDTH = 112

# That of rich without the web font, and with a title.
_FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title"
xmlns="http://www.w3.org/2000/svg">
<title id="title">A terminal: credssp demo prints the messages of a login, what was negotiated, and what arrived</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def output() -> str:
    """Return what the command writes to a terminal of `WIDTH` columns, colours included."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    command = [sys.executable, "-m", *COMMAND.split()]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as running:  # noqa: S603  # our own
        os.close(theirs)
        written = bytearray()
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:  # the other side is closed
            pass
        os.close(ours)
    if running.returncode:
        raise SystemExit(f"{COMMAND} ended with exit code {running.returncode}")
    return written.decode().replace("\r\n", "\n")


def draw(written: str) -> str:
    """Return the picture of what a command wrote."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(Text.from_ansi(f"$ {COMMAND}\n{written}"))
    return console.export_svg(title="credssp", code_format=_FORMAT, unique_id="terminal")


if __name__ == "__main__":
    PICTURE.write_text(draw(output()), encoding="utf-8")

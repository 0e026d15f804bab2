"""The frame of every page that ``--html`` writes: one file, no script, no request to anywhere.

A page opens from a mail attachment, in light and dark, on a phone and on paper. It forbids itself everything but its
own style (Content-Security-Policy), so that what a peer chose stays text. What is to be filtered is filtered by style.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Final

from credssp.__about__ import __version__

__all__ = ["badge", "document", "escape", "escape_lines", "scrolling", "visible"]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(title: str, body: Iterable[str], *, style: str = "", note: str = "") -> Iterator[str]:
    """Yield the page in parts; what this adds is ASCII, whatever encoding it is written in.

    Args:
        title: of the browser's tab, plain text.
        body: what is between header and footer, HTML.
        style: what the page has beyond the style that all have in common.
        note: a sentence for the footer, plain text.
    """
    base = files("credssp.pages").joinpath("base.css").read_text(encoding="utf-8")
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>"
    yield f"<style>{base}{style}</style></head><body><main>"
    yield from body
    yield f"</main><footer>Made by credssp {__version__}. {escape(note)}</footer>"
    yield "</body></html>"


def visible(text: str) -> str:
    """Return text in which what is not plainly visible, the end of a line too, is a backslash escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def escape(value: object) -> str:
    """Return text for HTML; what is not plainly visible becomes a backslash escape."""
    return html.escape(visible(str(value))).encode("ascii", "xmlcharrefreplace").decode()


def escape_lines(text: str) -> str:
    """Return a text of several lines for HTML, such as for ``<pre>``."""
    return "\n".join(map(escape, text.split("\n")))


def badge(level: str) -> str:
    """Return a level, coloured: ``error``, ``danger``, ``failed``, ``warning``, ``ok``, ``note``."""
    return f'<b class="level {escape(level)}">{escape(level)}</b>'


def scrolling(name: str, content: str) -> str:
    """Return content that is wider than a phone, in a box that can be scrolled, with the keyboard too.

    Args:
        name: for those who hear the page, plain text.
        content: HTML.
    """
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{content}</div>'

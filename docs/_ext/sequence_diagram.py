"""The directive ``sequence-diagram``: a recorded login as ``credssp dissect --html`` draws it, at build time.

Its argument is a folder in ``fixtures`` with a capture and a key log; its content names the picture for people who hear
the page.
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from credssp.dissect.diagram import sequence_diagram
from credssp.dissect.dissector import examine
from credssp.fleet.captures import KeyFiles
from credssp.pages import escape, scrolling

FIXTURES = Path(__file__).parents[2] / "fixtures"


def draw(folder: Path, name: str) -> str:
    """Return the picture, in a box that can be scrolled where it is wider than the screen."""
    keys = KeyFiles((str(folder / "keys.log"),))
    (conversation,) = examine(folder / "capture.pcapng", tls=keys.tls_secrets())["conversations"]
    return scrolling(name, sequence_diagram(conversation, escape, name=name, linked=False))


class SequenceDiagram(Directive):
    """Draws the login that was recorded in the folder that is the argument."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        folder = FIXTURES / self.arguments[0]
        for file in folder.iterdir():
            self.state.document.settings.env.note_dependency(str(file))
        return [nodes.raw("", draw(folder, " ".join(self.content)), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("sequence-diagram", SequenceDiagram)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

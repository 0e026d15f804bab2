"""The directive ``state-diagram``: the transition table of one role as a graph, at build time.

Its argument is ``client`` or ``server``. The ways to FAILED are left out of the picture: every state has one.
"""

from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.ext.graphviz import graphviz

from credssp.engine.state import INITIAL, TRANSITIONS, Role, State


def dot(role: Role) -> str:
    """Return the graph in Graphviz' language."""
    lines = ["digraph {", "rankdir=TB;", 'node [shape=box style=rounded fontname="sans-serif"];']
    lines.append('edge [fontname="sans-serif" fontsize=11];')
    for state, steps in TRANSITIONS[role].items():
        if state is State.FAILED:
            continue
        shape = " peripheries=2" if state is State.COMPLETE else " penwidth=2" if state is INITIAL[role] else ""
        awaits_peer = state.name.startswith("EXPECT")
        fill = ' style="rounded,filled" fillcolor="#e8f0fe"' if awaits_peer else ""
        lines.append(f'{state.name} [label="{state.value}"{shape}{fill}];')
        lines += [
            f'{state.name} -> {following.name} [label="{step.value}"];'
            for step, following in steps.items()
            if following is not State.FAILED
        ]
    return "\n".join([*lines, "}"])


class StateDiagram(Directive):
    """Draws the table of the role that is the argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        role = Role(self.arguments[0])
        node = graphviz()
        node["code"] = dot(role)
        node["options"] = {"docname": self.state.document.settings.env.docname}
        node["alt"] = f"The states of the {role.value} and the steps between them"
        return [node]


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.graphviz")
    app.add_directive("state-diagram", StateDiagram)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The directive ``status-table``: what `credssp.status` knows, at build time, so that the page can't go stale.

Its argument is ``SEC_E``, ``SEC_I`` or ``STATUS``, the prefix of the names to list.
"""

from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from credssp.status import StatusInfo, all_statuses


def _text(label: str, text: str) -> nodes.paragraph:
    return nodes.paragraph("", "", nodes.strong("", f"{label}: "), nodes.Text(text))


def _item(info: StatusInfo) -> nodes.definition_list_item:
    term = nodes.term("", "", nodes.literal("", f"0x{info.code:08X}"), nodes.Text(" "), nodes.literal("", info.name))
    term["ids"].append(info.name.lower().replace("_", "-"))
    definition = nodes.definition("", nodes.paragraph("", info.meaning))
    definition += [_text("Usual cause", info.cause), _text("Next step", info.advice)]
    return nodes.definition_list_item("", term, definition)


class StatusTable(Directive):
    """Lists the statuses whose names begin with the argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        prefix = f"{self.arguments[0]}_"
        infos = [info for info in all_statuses() if info.name.startswith(prefix)]
        if not infos:
            raise self.error(f"no status begins with {prefix}")
        return [nodes.definition_list("", *(_item(info) for info in infos))]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("status-table", StatusTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

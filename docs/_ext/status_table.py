"""The directives ``status-table`` and ``code-table``: what `credssp.status` and `credssp.status_search` know.

At build time, so that the page can't go stale. The argument of ``status-table`` is ``SEC_E``, ``SEC_I`` or ``STATUS``,
the prefix of the names to list; that of ``code-table`` is a kind of `credssp.status_search.KINDS`.
"""

from __future__ import annotations

from collections.abc import Sequence

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from credssp.status import StatusInfo, all_statuses
from credssp.status_search import Meaning, meanings


def _text(label: str, text: str) -> nodes.paragraph:
    return nodes.paragraph("", "", nodes.strong("", f"{label}: "), nodes.Text(text))


def _item(info: StatusInfo | Meaning, number: str) -> nodes.definition_list_item:
    term = nodes.term("", "", nodes.literal("", number), nodes.Text(" "), nodes.literal("", info.name))
    term["ids"].append(nodes.make_id(info.name))
    definition = nodes.definition("", nodes.paragraph("", info.meaning))
    definition += [_text("Usual cause", info.cause), _text("Next step", info.advice)]
    return nodes.definition_list_item("", term, definition)


class _Table(Directive):
    required_arguments = 1
    final_argument_whitespace = True

    def list_of(self, items: Sequence[nodes.Node]) -> list[nodes.Node]:
        if not items:
            raise self.error(f"nothing is known as {self.arguments[0]}")
        return [nodes.definition_list("", *items)]


class StatusTable(_Table):
    """Lists the statuses whose names begin with the argument."""

    def run(self) -> list[nodes.Node]:
        prefix = f"{self.arguments[0]}_"
        return self.list_of(
            [_item(info, f"0x{info.code:08X}") for info in all_statuses() if info.name.startswith(prefix)]
        )


class CodeTable(_Table):
    """Lists the numbers of the kind that the argument names."""

    def run(self) -> list[nodes.Node]:
        return self.list_of([_item(each, each.number) for each in meanings() if each.kind == self.arguments[0]])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("status-table", StatusTable)
    app.add_directive("code-table", CodeTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Writes a page for each conformance rule, docs/reference/rules/ID.md, before the manual is read.

They are not committed: the catalogue and `credssp.conformance.explained` are. The index of them is
docs/reference/conformance-rules.md. No table of contents has them: the sidebar of every page would. Theirs is the same
for all of them, and made once: making it takes most of the time of a page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from credssp.conformance.catalogue import CATALOGUE
from credssp.conformance.explained import Example, examples_of
from credssp.conformance.rule import AREAS, Rule

FOLDER = Path("reference", "rules")


def plain(text: str) -> str:
    """Return Markdown that shows a text as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text)


def page(rule: Rule) -> str:
    """Return the page of a rule."""
    area = f"{rule.area}: {AREAS[rule.area]}"
    facts = (
        ("level", rule.level.value),
        ("judges", "clients and servers" if rule.role.value == "both" else f"{rule.role.value}s"),
        ("section", f"[MS-CSSP] {rule.section}" if rule.section[0].isdigit() else rule.section),
        ("area", area),
        ("stimulus", rule.stimulus),
        ("expected", rule.expected),
    )
    lines = ["---", "orphan: true", "---", "", f"# {rule.id}: {plain(rule.title)}", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {plain(text)} |" for name, text in facts]
    if rule.rationale:
        lines += ["", "## Why", "", plain(rule.rationale)]
    for example in examples_of(rule.id):
        lines += ["", f"## A {example.side} that breaks it", "", *example_of(example)]
    lines += [
        "",
        "## Try it",
        "",
        f"`--rule {rule.id}` tries this rule alone ([how](../../how-to/conformance.md)); `credssp conformance rule",
        f"{rule.id}` prints this page. All rules: [](../conformance-rules.md).",
    ]
    return "\n".join(lines) + "\n"


def example_of(example: Example) -> list[str]:
    """Return the lines about a peer that breaks a rule."""
    lines = [
        f"A {example.side} of this project's tests that is right but for one thing: *{plain(example.fault)}*.",
        f"The suite says **{example.verdict}**: {plain(example.detail)}.",
    ]
    for message in example.messages:
        heading = f"{message.sender}, {message.note}" if message.note else message.sender
        lines += ["", f"{plain(heading)}{':' if message.start else ''}"]
        if message.start:
            lines += ["", "```text", message.describe(), *message.tree, "```"]
    return lines


def write(app: Sphinx) -> None:
    """Write what has changed, and remove the pages of rules that are gone."""
    folder = Path(app.srcdir, FOLDER)
    folder.mkdir(exist_ok=True)
    pages = {f"{rule.id}.md": page(rule) for rule in CATALOGUE.rules}
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        file = folder / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


class Sidebar:
    """The table of contents of the pages of rules."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def share(self, _app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
        """Give a page of a rule the table of the first one."""
        if not pagename.startswith(f"{FOLDER.as_posix()}/"):
            return
        make = context["toctree"]

        def once(**options: Any) -> Any:
            key = repr(sorted(options.items()))
            if key not in self._made:
                self._made[key] = make(**options)
            return self._made[key]

        context["toctree"] = once


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write)
    app.connect("html-page-context", Sidebar().share, priority=400)  # before the theme, which asks for it
    return {"parallel_read_safe": True, "parallel_write_safe": True}

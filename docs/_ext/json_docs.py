"""Writes the tables of docs/reference/json.md from `credssp.schemas`.

``python docs/_ext/json_docs.py`` writes them; tests/docs/test_json_reference.py checks that they are up to date. What
is between two comments is generated; the text around it is not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent
sys.path[:0] = [str(DOCS.parent)]

from credssp.schemas import names, source  # noqa: E402

PAGE = DOCS / "reference" / "json.md"
REGION = re.compile(r"(?<=<!-- )(outputs|schemas|shared)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
SHARED = ("common", "events", "messages")

Part = dict[str, Any]


def anchor(heading: str) -> str:
    """Return the anchor that MyST gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


class File:
    """One schema and its definitions."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.whole = source(name)
        self.definitions: dict[str, Part] = self.whole.get("$defs", {})

    def found(self, reference: str) -> tuple[File, str, Part]:
        """Return where a reference leads: file, name and definition."""
        other, _, name = reference.partition("#/$defs/")
        home = FILES[other.removesuffix(".json")] if other else self
        return home, name, home.definitions[name]

    def heading(self, name: str) -> str:
        return name if self.name == "common" else f"{self.name}: {name}"


FILES = {name: File(name) for name in (*names(), *SHARED)}


def outputs() -> str:
    rows = [(f"`{name}`", f"[{FILES[name].whole['title']}](#{anchor(FILES[name].whole['title'])})") for name in names()]
    return table(("name", "what"), rows)


def schemas() -> str:
    return "".join(f"## {FILES[name].whole['title']}\n\n{described(FILES[name])}" for name in names())


def shared() -> str:
    return "".join(f"## {FILES[name].whole['title']}\n\n{definitions(FILES[name])}" for name in SHARED)


def described(file: File) -> str:
    """Return the text about an output."""
    whole = file.whole
    text = f"{whole['description']}\n\n"
    if whole.get("type") == "object":
        text += members(file, whole)
    elif "items" in whole:
        text += members(file, whole["items"])
    elif references := whole.get("oneOf"):
        text += table(("kind", "what"), (kind(file.found(each["$ref"])) for each in references))
    return text + definitions(file)


def kind(found: tuple[File, str, Part]) -> tuple[str, str]:
    home, name, part = found
    return f"[`{value_of(part) or name}`](#{anchor(home.heading(name))})", part["description"]


def value_of(part: Part) -> str:
    """Return the event or type that a definition is about."""
    properties = part.get("properties", {})
    return str(next((properties[key]["const"] for key in ("event", "type") if "const" in properties.get(key, {})), ""))


def definitions(file: File) -> str:
    text = ""
    for name, part in file.definitions.items():
        text += f"### {file.heading(name)}\n\n{part.get('description', '')}\n\n"
        text += choices(file, part) if "oneOf" in part else members(file, part)
    return text


def choices(file: File, part: Part) -> str:
    return table(("kind", "what"), (kind(file.found(each["$ref"])) for each in part["oneOf"]))


def members(file: File, part: Part) -> str:
    """Return the table of an object; those that it has in common with others are named by a link."""
    if "anyOf" in part and "properties" not in part:
        return "".join(members(file, each) for each in part["anyOf"] if each.get("type") != "null")
    text = ""
    links = []
    for each in part.get("allOf", ()):
        home, name, _ = file.found(each["$ref"])
        links.append(f"[{home.heading(name)}](#{anchor(home.heading(name))})")
    if links:
        text += f"With the members of {', '.join(links)}.\n\n"
    rows = list(flat(file, part))
    return text + (table(("member", "type", "meaning"), rows) if rows else "")


def flat(file: File, part: Part, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield a row for every member, and for every member of those that are described in place."""
    required = part.get("required", ())
    for name, member in part.get("properties", {}).items():
        absent = "" if name in required else ", may be absent"
        yield f"`{path}{name}`", shown_type(file, member) + absent, meaning(member)
        inner, mark = (member["items"], "[]") if isinstance(member.get("items"), dict) else (member, "")
        for each in (inner, *inner.get("anyOf", ())):
            yield from flat(file, each, f"{path}{name}{mark}/")


def meaning(member: Part) -> str:
    text = str(member.get("description", ""))
    items = member.get("items")
    values = member.get("enum") or (items.get("enum") if isinstance(items, dict) else None)
    if values:
        shown = ", ".join(f"`{value}`" if value != "" else "empty" for value in values if value is not None)
        text = f"{shown}: {text}"
    return text


def shown_type(file: File, member: Part) -> str:
    if "$ref" in member:
        home, name, part = file.found(member["$ref"])
        if part.get("type") in ("object", None) or "properties" in part:
            return f"[{name}](#{anchor(home.heading(name))})"
        return shown_type(home, part)
    for key in ("anyOf", "oneOf"):
        if key in member and "type" not in member:
            return " or ".join(shown_type(file, each) for each in member[key])
    if "const" in member:
        return f"`{member['const']}`"
    types = member.get("type", "string")
    if isinstance(member.get("items"), dict):
        return f"array of {shown_type(file, member['items'])}" + (" or null" if "null" in types else "")
    shown = " or ".join(types) if isinstance(types, list) else str(types)
    if isinstance(member.get("additionalProperties"), dict) and "properties" not in member:
        shown = shown.replace("object", f"object of {shown_type(file, member['additionalProperties'])}")
    return shown


def table(head: tuple[str, ...], rows: Any) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n\n"


def page(text: str) -> str:
    """Return the page with its tables made anew."""
    made = {"outputs": outputs, "schemas": schemas, "shared": shared}
    return REGION.sub(lambda match: f"{match[1]}{match[2]}\n{made[match[1]]()}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

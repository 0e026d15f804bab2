"""README, manual, docstrings and messages are plain, current English: none of the wording that english.toml lists."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import DOCS

ROOT = DOCS.parent
RULES = tomllib.loads(Path(__file__).with_name("english.toml").read_text(encoding="utf-8"))
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for page in sorted(DOCS.rglob("*.md")) if not {"adr", "_build", "rules"} & set(page.parts)),
    *sorted((ROOT / "fixtures").glob("*.toml")),  # notes of pages that are generated
    *sorted((DOCS / "_ext").glob("*.toml")),
    *sorted((ROOT / "credssp").rglob("*.toml")),
]
MODULES = sorted((ROOT / "credssp").rglob("*.py"))


@dataclass(frozen=True, slots=True)
class Pattern:
    """Wording to avoid: its name, how it is found, what to write, and the phrases in which it is right."""

    name: str
    regex: re.Pattern[str]
    write: str
    allow: tuple[str, ...] = ()

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        for match in self.regex.finditer(text):
            around = text[max(0, match.start() - 40) : match.end() + 40]
            if not any(phrase in around for phrase in self.allow):
                yield match


PATTERNS = [
    Pattern(each["name"], re.compile(each["regex"], re.IGNORECASE), each["write"], tuple(each.get("allow", ())))
    for each in RULES["pattern"]
]


MARKED = re.compile(r"^```.*?^```$|<!--.*?-->|``.+?``|`[^`]+`|\]\([^)\n]*\)|https?://\S+", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    [^\n]*$", re.MULTILINE)  # code in a page; in a docstring, most of the text


def findings(text: str, first: int = 1) -> list[str]:
    """Return what is found in a text that begins on a line: where, what, and what to write."""
    flat, lines = "", []
    line = first
    for piece in re.findall(r"\s+|\S+", text):  # a match may go over the end of a line
        word = " " if piece.isspace() else piece
        line += piece.count("\n")
        flat += word
        lines += [line] * len(word)
    return [
        f"{lines[match.start()]}: {match[0]!r}: write {pattern.write}"
        for pattern in PATTERNS
        for match in pattern.matches(flat)
    ]


def blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", "`", match[0])


def prose(text: str) -> str:
    """Return a text with its marked code, comments and addresses blanked, line by line as it was."""
    return MARKED.sub(blank, text)


def strings(module: Path) -> Iterator[ast.Constant]:
    """Return the texts of a module: docstrings, and literals of two words or more."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node


def in_module(module: Path) -> list[str]:
    return [each for node in strings(module) for each in findings(prose(node.value), node.lineno)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_is_plain_english(page: Path) -> None:
    found = findings(INDENTED.sub(blank, prose(page.read_text(encoding="utf-8"))))
    assert not found, "\n".join(found)


def test_messages_and_docstrings_are_plain_english() -> None:
    found = [f"{module}:{each}" for module in MODULES for each in in_module(module)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("octets behind the header", "behind"),
        ("awaited was an answer", "awaited was"),
        ("rdp is no target", "is no X"),
        ("nobody knows", "nobody, anybody, whoever"),
        ("leave the flag\n  away", "leave away"),
        ("which it is, is told from the first byte", "told from"),
        ("one octet", "octets"),
    ],
)
def test_wording_is_found(text: str, name: str) -> None:
    assert next(each.write for each in PATTERNS if each.name == name) in "\n".join(findings(text))


@pytest.mark.parametrize(
    "text",
    ["there is no such thing", "an OCTET STRING", "`octets` is a member", "is no longer", "* stands for any text"],
)
def test_plain_wording_is_left_alone(text: str) -> None:
    assert not findings(prose(text))


def test_the_indented_part_of_a_docstring_is_read(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('def f(x):\n    """Do it.\n\n    Args:\n        x: what stands behind it.\n    """\n')
    assert len(in_module(module)) == 2

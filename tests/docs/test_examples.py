"""The manual's Python examples run, page by page, each page in one namespace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Pages that work on files or need a KDC have tests of their own (tests/policy/test_policy_explain.py,
# tests/kerberos/test_docs.py).
ELSEWHERE = {DOCS / "how-to" / name for name in ("delegation-policy.md", "kerberos.md", "remote-credential-guard.md")}
PAGES = [
    page
    for page in sorted(DOCS.glob("*/*.md"))
    if page not in ELSEWHERE and BLOCK.search(page.read_text(encoding="utf-8"))
]


def test_there_are_pages_with_examples() -> None:
    assert len(PAGES) >= 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_examples_of_the_page_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "example"}
    for block in BLOCK.finditer(text):
        # Blank lines in front keep the line numbers of a traceback those of the page.
        source = "\n" * text.count("\n", 0, block.start(1)) + block.group(1)
        exec(compile(source, str(page), "exec"), namespace)  # noqa: S102

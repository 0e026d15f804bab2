"""Every dotted name of this library that README and manual mention is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS

# The records of decisions tell what was turned down, too, and field results what was found on some day.
PAGES = [
    *DOCS.parent.glob("*.md"),
    *(
        page
        for page in sorted(DOCS.rglob("*.md"))
        if page.parent.name not in ("adr", "rules") and page.name != "field-results.md"
    ),
]
_NO_MODULES = {"credssp.security_packages", "credssp.ansible.login"}
"""Names of another kind: the group of entry points, and a plugin of Ansible."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS.parent).as_posix())
def test_names_exist(page: Path) -> None:
    names = set(re.findall(r"\bcredssp(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8")))
    assert not [name for name in sorted(names - _NO_MODULES) if not _exists(name)]


def _exists(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        try:
            for attribute in parts[length:]:
                found = getattr(found, attribute)
        except AttributeError:
            return False
        return True
    return False

"""Writes the table of docs/reference/findings.md from `credssp.diagnosis.catalogue`.

``python docs/_ext/findings_docs.py`` writes it; tests/diagnosis/test_catalogue.py checks that it is up to date. The
table is between two comments; the text around it is not generated.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent
sys.path[:0] = [str(DOCS.parent)]

from credssp.diagnosis.catalogue import KINDS  # noqa: E402

PAGE = DOCS / "reference" / "findings.md"
REGION = re.compile(r"(?<=<!-- findings -->\n).*?(?=<!-- end -->)", re.DOTALL)

_SOURCES = {"way": "probe, doctor", "server": "probe, doctor", "kerberos": "doctor", "here": "doctor"}


def cell(text: str) -> str:
    """Return text for a table; what looks like markup is shown as it is."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("$", "\\$")


def table() -> str:
    lines = ["", "| id | severity | what | why it matters | what to do | from |", "|---|---|---|---|---|---|"]
    for kind in KINDS.values():
        source = "doctor" if kind.id == "cert-untrusted" else _SOURCES[kind.place]
        cells = (f"`{kind.id}`", kind.level.value, kind.title, kind.why, kind.advice, source)
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    return "\n".join([*lines, "", ""])


def page(text: str) -> str:
    """Return the page with its table made anew."""
    return REGION.sub(lambda _: table(), text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

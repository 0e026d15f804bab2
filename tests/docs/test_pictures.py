"""The manual's pictures show what the program does now."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path

import pytest

from credssp.dissect.dissector import examine
from credssp.dissect.html import page
from credssp.fleet.captures import KeyFiles
from tests.modules import DOCS, load_generator

FIXTURES = DOCS.parent / "fixtures"


def lines_of(picture: str) -> list[str]:
    """Return the lines that a picture shows."""
    rows: dict[float, list[str]] = {}
    for text in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314  # our own
        if "clip-path" not in text.attrib:
            continue  # the title of the window
        row = rows.setdefault(float(text.attrib["y"]), [])
        # Units of the picture for each column, in rich.
        column = round(float(text.attrib["x"]) / 12.2)
        row += [" "] * (column - len(row)) + list((text.text or "").replace("\N{NO-BREAK SPACE}", " "))
    return ["".join(rows[y]).rstrip() for y in sorted(rows)]


def masked(lines: list[str]) -> str:
    """Without numbers, which are those of one run and one machine, and without what they move."""
    return " ".join(re.sub(r"\d+", "#", " ".join(lines)).split())


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")
def test_the_terminal_shows_what_the_command_prints_now() -> None:
    generator = load_generator("terminal_picture")
    picture = generator.PICTURE.read_text(encoding="utf-8")
    shown = masked(lines_of(picture))
    now = masked(lines_of(generator.draw(generator.output())))
    assert "OK: the server received exactly the credentials that the client sent, in # ms" in now
    assert shown == now, "run python docs/_ext/terminal_picture.py"


def test_the_terminal_needs_nothing_from_elsewhere() -> None:
    picture = load_generator("terminal_picture").PICTURE.read_text(encoding="utf-8")
    assert set(re.findall(r"\bhttps?:[^\"')\s]+", picture)) == {"http://www.w3.org/2000/svg"}
    assert set(re.findall(r"url\(([^)]*)\)", picture)) == set(re.findall(r"url\((#[^)]*)\)", picture))
    assert not re.search(r"@import|@font-face|<image|<script|href", picture)


def drawn(fixture: Path) -> str:
    pytest.importorskip("sphinx", reason="the extra docs")
    return str(load_generator("sequence_diagram").draw(fixture, "a login"))


def test_the_protocol_page_has_the_diagram_of_dissect() -> None:
    text = (DOCS / "explanation" / "protocol.md").read_text(encoding="utf-8")
    (name,) = re.findall(r"^```\{sequence-diagram\} (\S+)$", text, re.MULTILINE)
    fixture = FIXTURES / name
    keys = KeyFiles((str(fixture / "keys.log"),))
    report = page(examine(fixture / "capture.pcapng", tls=keys.tls_secrets()))
    (theirs,) = re.findall(r'<svg class="sequence".*?</svg>', report, re.DOTALL)
    (ours,) = re.findall(r'<svg class="sequence".*?</svg>', drawn(fixture), re.DOTALL)
    assert ours == re.sub(r"</?a\b[^>]*>", "", theirs).replace("sequence diagram", "a login")
    labels = re.findall(r'<text class="label"[^>]*>(\d): ([a-zA-Z]+)', ours)
    assert labels == [
        ("1", "negoTokens"),
        ("2", "negoTokens"),
        ("3", "negoTokens"),
        ("4", "pubKeyAuth"),
        ("5", "authInfo"),
    ]


def test_the_manual_has_every_colour_of_the_diagram() -> None:
    needed = set(re.findall(r"var\((--\w+)\)", files("credssp.dissect").joinpath("sequence.css").read_text("utf-8")))
    style = (DOCS / "_static" / "manual.css").read_text(encoding="utf-8")
    (own,) = re.findall(r"^\.sequence \{(.*?)\}", style, re.MULTILINE | re.DOTALL)
    assert needed == set(re.findall(r"(--\w+):", own))

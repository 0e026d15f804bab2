"""The page of a run, and what changed between two."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from credssp.fleet import html_report as module
from credssp.fleet.compare import compare
from credssp.fleet.expiry import Expiry
from credssp.fleet.html_report import html_report
from tests.fleet.samples import BAD, FLEET, HEALTHY, SILENT, WINRM, facts, finding
from tests.pages.browser import browse

NOW = datetime(2026, 11, 29, tzinfo=UTC)
HOSTILE = "<script>document.title='owned'</script>\"'\x1b\u202e"


def page(fleet: list[dict[str, Any]], **options: Any) -> str:
    return "\n".join(html_report(fleet, now=NOW, **options))


def test_totals_findings_servers_and_those_that_did_not_answer() -> None:
    text = page(FLEET)
    assert "<h1>3 of 4 targets answered</h1>" in text
    assert "0 expired, 0 end within 30 days, 3 later." in text
    assert re.search(r'<td>6</td><td class="count">2</td>.*width: 100.0%', text)
    assert re.search(r'<td>4</td><td class="count">1</td>.*width: 50.0%', text)
    assert "nla-off: 1 server</summary>\n<div><p>because</p><p>this</p>" in text
    assert re.findall(r'<td data-name="server">([^<]*)<', text) == [
        "rdp://192.0.2.2:3389",  # the worst first
        "rdp://192.0.2.1:3389",
        "http://192.0.2.4:5985",
    ]
    assert '<td class="name">1</td><td>no connection: refused</td>' in text
    assert "What changed" not in text


def test_every_filter_leaves_the_rows_that_it_names() -> None:
    text = page(FLEET)
    rows = re.findall(r'<tr class="([^"]*)"><td data-name="server">([^<]*)<', text)
    kept = {
        label: {target for classes, target in rows if f"{name}{number}" in classes.split()}
        for name, number, label in re.findall(r'id="(\w)-(\d+)"(?: checked)?> ([^<]+)</label>', text)
        if label != "all"
    }
    assert kept["error"] == kept["nla-off"] == kept["4"] == kept["optional"] == {"rdp://192.0.2.2:3389"}
    assert kept["none"] == {"rdp://192.0.2.1:3389", "http://192.0.2.4:5985"}
    assert kept["offered"] == {"http://192.0.2.4:5985"}
    for name, number, label in re.findall(r'id="(\w)-(\d+)"(?: checked)?> ([^<]+)</label>', text):
        rule = f"body:has(#{name}-{number}:checked) .servers tbody tr:not(.{name}{number})"
        assert (rule in text) == (label != "all")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.outside += [str(value) for name, value in attributes if name in ("src", "href", "srcset", "onerror")]


def test_whatever_servers_say_stays_text_and_leads_nowhere() -> None:
    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key) + HOSTILE: poison(item) for key, item in value.items()} | {
                key: poison(item) for key, item in value.items()
            }
        if isinstance(value, list):
            return [poison(item) for item in value]
        return value + HOSTILE if isinstance(value, str) and value not in ("accepted", "error") else value

    text = page([poison(each) for each in FLEET], earlier=[poison(BAD) | {"target": HEALTHY["target"] + HOSTILE}])
    tags = _Tags()
    tags.feed(text)
    assert not tags.found & {"script", "img", "a", "link", "iframe", "form", "object", "embed", "base"}
    assert tags.outside == []
    assert text.isascii()
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "odd",
    [
        {"target": "x"},
        {"target": "x", "answered": True},
        {"target": "x", "answered": True, "certificate": "y", "ntlm": [], "findings": ["z", {}], "credssp": 1},
        {"target": "x", "answered": True, "certificate": {"not_after": "never"}, "error": "text"},
        {"target": "x", "answered": True, "certificate": {"not_after": "0001-01-01T00:00:00"}},
        {"target": "x", "answered": True, "certificate": {"not_after": 5}},
    ],
)  # fmt: skip
def test_facts_that_are_not_there_or_of_another_kind(odd: dict[str, Any]) -> None:
    assert page([odd, HEALTHY], earlier=[odd]).endswith("</html>")
    assert page([odd]).endswith("</html>")
    assert page([]).endswith("</html>")


def test_a_page_has_so_many_rows_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    text = page([facts(f"rdp://h{number}:1") for number in range(30)] + [BAD])
    assert text.count('<td data-name="server">') == 10
    assert "10 of 31 servers are shown" in text
    assert "rdp://192.0.2.2:3389" in text


def test_certificates_are_counted_by_month() -> None:
    expiry = Expiry(NOW)
    for end in (
        "2026-11-28T00:00:00+00:00",
        "2026-12-01T00:00:00",
        "2030-12-01T00:00:00+00:00",
        "9999-12-31T23:59:59+00:00",
        "1980-01-01T00:00:00+00:00",
    ):
        expiry.add({"certificate": {"not_after": end}})
    assert (expiry.expired, expiry.soon, expiry.later) == (2, 1, 2)
    drawn = expiry.svg(str)
    assert re.findall(r"<title>([^<]*)</title>", drawn) == ["earlier: 1", "2026-11: 1", "2026-12: 1", "later: 2"]
    assert Expiry(NOW).svg(str) == ""


def test_what_changed() -> None:
    now = [
        BAD | {"findings": [finding("nla-off"), finding("new-one")], "credssp": {"version": 5, "mechanisms": ["ntlm"]}},
        HEALTHY | {"seconds": 9.9},
        SILENT | {"target": WINRM["target"]},
        facts("rdp://new:1"),
        SILENT | {"target": "rdp://silent:1"},
    ]
    before = [*FLEET, SILENT | {"target": "rdp://new:1"}, facts("rdp://left-out:1")]
    changed, gone, new, left_out = compare(before, now)
    assert (changed.target, changed.kind) == (BAD["target"], "changed")
    assert changed.facts == {"credssp_version": ("4", "5")}
    assert (changed.appeared, changed.disappeared) == (("new-one",), ("old-credssp", "self-signed"))
    assert (gone.target, gone.kind) == (WINRM["target"], "gone")
    assert (new.target, new.kind) == ("rdp://new:1", "new")
    assert (left_out.target, left_out.kind) == ("rdp://left-out:1", "gone")
    assert list(compare(FLEET, FLEET)) == []
    assert [row[2:] for row in changed.rows()] == [
        ("finding", "", "new-one"),
        ("finding", "old-credssp", ""),
        ("finding", "self-signed", ""),
        ("credssp_version", "4", "5"),
    ]
    text = page(now, earlier=before)
    assert "What changed" in text
    assert 'credssp_version: <span class="was">4</span> &rarr; 5' in text
    assert "<p>Nothing.</p>" in page(FLEET, earlier=FLEET)


@pytest.mark.interop
def test_a_filter_works_in_a_browser(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(FLEET), encoding="ascii")
    plain, filtered = tmp_path / "a.png", tmp_path / "b.png"
    text = file.read_text()
    browse(tmp_path, "--window-size=1000,1500", f"--screenshot={plain}", file.as_uri())
    file.write_text(text.replace('id="w-0" checked', 'id="w-0"').replace('id="w-1"', 'id="w-1" checked'))
    browse(tmp_path, "--window-size=1000,1500", f"--screenshot={filtered}", file.as_uri())
    assert plain.stat().st_size > filtered.stat().st_size > 10_000

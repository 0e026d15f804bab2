"""Every page that ``--html`` writes: one frame, and nothing that axe-core or a narrow screen has against it."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credssp.conformance.expected import load_expected
from credssp.conformance.report import as_html
from credssp.conformance.runner import check_exchanges, exchanges_in
from credssp.dissect.dissector import dissect
from credssp.dissect.html import page
from credssp.fleet.html_report import html_report
from credssp.fleet.logins.html import login_report
from credssp.pages import badge, document, escape, escape_lines, scrolling
from tests.dissect.captures import Connection, pcapng
from tests.dissect.logins import log_on
from tests.fleet.logins import LOGINS, REFUSED
from tests.fleet.samples import FLEET, facts, finding
from tests.pages.browser import WIDTHS, look_at

FIXTURES = Path(__file__).parents[2] / "fixtures"


def fleet_page() -> str:
    many = [
        facts(
            f"rdp://192.0.2.{number}:3389",
            certificate={"not_after": f"{2025 + number % 9}-06-01T00:00:00+00:00"},
            findings=[finding(f"kind-{number % 5}", ("error", "warning", "note")[number % 3])],
        )
        for number in range(60)
    ]
    now = datetime(2027, 1, 1, tzinfo=UTC)
    return "\n".join(html_report([*FLEET, *many], earlier=[*many[:50], FLEET[2]], now=now))


def dissect_page() -> str:
    logins = [log_on(mechanism="negotiate"), log_on(password="wrong")]
    packets = [
        packet for n, login in enumerate(logins) for packet in Connection(client_port=50000 + n).packets(login.rdp())
    ]
    return page(dissect(io.BytesIO(pcapng(packets, log=b"".join(login.keylog for login in logins)))))


def conformance_page() -> str:
    expected = load_expected(FIXTURES / "expected.toml")
    return as_html(check_exchanges(exchanges_in(FIXTURES), expected=expected).by_peer())


def login_page() -> str:
    many = [REFUSED | {"target": f"http://srv{number}.lab.test:5985/wsman"} for number in range(40)]
    return "\n".join(login_report([*LOGINS, *many]))


@pytest.mark.interop
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("make", [fleet_page, login_page, dissect_page, conformance_page])
def test_a_page_is_for_everybody_at_every_width(make: Callable[[], str], dark: bool, tmp_path: Path) -> None:
    found = look_at(make(), tmp_path, dark=dark)
    assert [each["width"] for each in found] == list(WIDTHS)
    assert {each["dark"] for each in found} == {dark}
    assert min(each["checked"] for each in found) > 10
    assert {each["width"]: each["violations"] for each in found if each["violations"]} == {}
    assert {each["width"]: each["overflow"] for each in found if each["overflow"]} == {}


def test_the_frame_forbids_everything_but_its_own_style() -> None:
    text = "\n".join(document("<b>&", ["<h1>x</h1>"], style="p { color: red }", note="<i>"))
    assert text.startswith("<!DOCTYPE html>\n")
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert "<title>&lt;b&gt;&amp;</title>" in text
    assert "p { color: red }" in text
    assert "&lt;i&gt;" in text
    assert "<script" not in text


def test_text_stays_text() -> None:
    assert escape("<&\"'>\x1b\u202e\u20ac\ud800\n") == "&lt;&amp;&quot;&#x27;&gt;\\x1b\\u202e&#8364;\\ud800\\n"
    assert escape_lines("<\n>") == "&lt;\n&gt;"
    assert badge("error") == '<b class="level error">error</b>'
    assert scrolling('"', "<p>").startswith('<div class="scroll" tabindex="0" role="region" aria-label="&quot;">')

"""What went over HTTP is shown: request line, header fields and the beginning of bodies, and no secret."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from credssp.conformance import CATALOGUE, check_client
from credssp.conformance.explained import examples_of
from credssp.conformance.http_messages import HttpAnswer, HttpRequest
from credssp.conformance.links import Link
from credssp.conformance.report import as_text
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.winrm.encryption import ENCRYPTED
from tests.conformance.http_peers import MemoryWinRMClientTarget


def text_of(message: HttpRequest | HttpAnswer, *, reveal: bool = False) -> str:
    return "\n".join(message.evidence.lines(reveal=reveal))


def test_a_request_is_shown_with_the_beginning_of_its_token() -> None:
    request = HttpRequest(
        "CredSSP " + "FgMB" * 100, "application/soap+xml", b"", "POST /wsman HTTP/1.1", (("Host", "a"),)
    )
    assert text_of(request).split("\n") == [
        "POST /wsman HTTP/1.1",
        "Host: a",
        f"Authorization: CredSSP {'FgMB' * 8}... (400 characters)",
        "Content-Type: application/soap+xml",
        "Content-Length: 0",
        f"... ({len(request.evidence.data)} bytes)",
    ]
    assert "FgMB" * 100 in text_of(request, reveal=True)


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Basic YWxpY2U6c2VjcmV0", "Authorization: Basic (not shown)"),
        ("authorization", "YWxpY2U6c2VjcmV0", "Authorization: (not shown)"),
        ("Proxy-Authorization", "Negotiate YWxpY2U6c2VjcmV0", "Proxy-Authorization: Negotiate (not shown)"),
        ("Cookie", "WSMID=YWxpY2U6c2VjcmV0", "Cookie: (not shown)"),
    ],
)
def test_what_gives_a_password_or_a_session_away_is_never_shown(
    name: str, value: str, shown: str, reveal: bool
) -> None:
    authorization = value if name.lower() == "authorization" else ""
    text = text_of(HttpRequest(authorization, fields=((name, value),)), reveal=reveal)
    assert shown in text.split("\n")
    assert "YWxp" not in text


def test_a_body_in_clear_text_is_shown_as_far_as_other_messages() -> None:
    text = text_of(HttpAnswer(200, (), "text/plain", b"x" * 64 + b"y" * 36))
    assert text.split("\n") == [
        "HTTP/1.1 200",
        "Content-Type: text/plain",
        "Content-Length: 100",
        "",
        "x" * 64,
        f"... ({len(HttpAnswer(200, (), 'text/plain', b'x' * 100).evidence.data)} bytes)",
    ]


def test_the_metadata_of_an_encrypted_message_are_shown_and_tabs_are_visible() -> None:
    metadata = b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-CredSSP-session-encrypted\r\n"
    text = text_of(HttpAnswer(200, (), ENCRYPTED, metadata + b"\0\x1b[2J" + b"z" * 1000))
    assert "\\tContent-Type: application/HTTP-CredSSP-session-encrypted" in text
    assert "\\x00\\x1b[2J" in text
    assert text.count("z") < 300


def test_what_a_peer_makes_long_is_cut() -> None:
    many = tuple((f"X-{number}", "v" * 100_000) for number in range(1000))
    assert len(text_of(HttpRequest(fields=many))) < 10_000
    assert len(text_of(HttpAnswer(401, ("Negotiate " + "v" * 100_000,) * 1000))) < 10_000


def test_an_end_is_shown_as_elsewhere() -> None:
    assert text_of(HttpAnswer(0)) == "  (closed)"


def changed(change: Callable[[HttpRequest], HttpRequest]) -> Any:
    class Wrong(MemoryWinRMClientTarget):
        def start(self, setup: Setup, answer: RdpAnswer) -> Link:
            link: Any = super().start(setup, answer)
            following = link.source.next

            def next_changed(timeout: float) -> HttpRequest | None:
                request = following(timeout)
                return None if request is None else change(request)

            link.source.next = next_changed
            return link  # type: ignore[no-any-return]

    return Wrong()


def test_a_finding_shows_the_request_that_it_is_about() -> None:
    other = changed(lambda each: dataclasses.replace(each, authorization=each.authorization.replace("C", "c", 1)))
    (result,) = check_client(other, rules=["CSSP-WINRM-02"]).findings
    lines = result.describe()
    at = lines.index("  client    POST /wsman HTTP/1.1")
    assert lines[at + 1].startswith("            Authorization: credSSP FgMB")


def test_a_report_has_the_answer_and_what_the_client_made_of_it() -> None:
    hasty = changed(lambda each: dataclasses.replace(each, body=b"<Envelope/>", content_type="text/xml"))
    report = check_client(hasty, rules=["CSSP-WINRM-22"])
    assert "            <Envelope/>\n" in as_text(report)


def test_every_example_of_a_rule_has_bytes() -> None:
    without = [
        (example.rule, example.side)
        for rule in CATALOGUE.rules
        for example in examples_of(rule.id)
        if not any(message.size for message in example.messages)
    ]
    assert without == []

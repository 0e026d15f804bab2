"""The report as one HTML page: no script, no request to anywhere, opens from a mail attachment.

The page forbids itself everything but its own style (Content-Security-Policy), so that what a capture holds stays text.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

from credssp.dissect.diagram import sequence_diagram

__all__ = ["escape", "page", "page_parts"]

Tree = Mapping[str, Any]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def escape(value: object) -> str:
    """Return text for HTML; what is not plainly visible becomes a backslash escape."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(value))
    return html.escape(text).encode("ascii", "xmlcharrefreplace").decode()


def page(report: Tree) -> str:
    """Return the page."""
    return "\n".join(page_parts(report))


def page_parts(report: Tree) -> Iterator[str]:
    """Yield the page in parts, conversation by conversation. All of it is ASCII, whatever encoding it is written in."""
    style = files("credssp.dissect").joinpath("report.css").read_text(encoding="utf-8")
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>CredSSP: {escape(report['file'])}</title>"
    yield f"<style>{style}</style></head><body>"
    yield from _head(report)
    for tree in report["conversations"]:
        yield from _conversation(tree)
    yield from _not_opened(report)
    yield "</body></html>"


def _head(report: Tree) -> Iterator[str]:
    count = len(report["conversations"])
    packets = f", {report['packets']} packets" if report["packets"] else ""
    yield f"<header><h1>{escape(report['file'])}</h1>"
    yield f"<p>{escape(report['kind'])}{packets}, CredSSP conversations: {count}</p>"
    yield from _list("problems", report["problems"])
    if count > 1:
        yield "<nav><ol>"
        for tree in report["conversations"]:
            title = escape(f"{tree['client']} to {tree['server']}")
            yield f'<li><a href="#c{tree["number"]}">{title}</a></li>'
        yield "</ol></nav>"
    yield "</header>"


def _conversation(tree: Tree) -> Iterator[str]:
    number = tree["number"]
    yield f'<section id="c{number}"><h2>{number}. {escape(tree["protocol"])}</h2>'
    yield f'<p class="who">{escape(tree["client"])} &rarr; {escape(tree["server"])}</p>'
    yield "<dl>"
    for name, value in _facts(tree):
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"
    yield from _judgement(tree)
    if tree["timeline"]:
        yield f"<h3>Sequence</h3>{sequence_diagram(tree, escape)}"
    if tree["checks"]:
        yield "<h3>Verified</h3><table><tbody>"
        for check in tree["checks"]:
            yield f'<tr class="{escape(check["verdict"])}"><td>{escape(check["verdict"])}</td>'
            yield f"<td>{escape(check['name'])}</td><td>{escape(check['text'])}</td></tr>"
        yield "</tbody></table>"
    if tree["problems"]:
        yield "<h3>Missing or not opened</h3>"
        yield from _list("problems", tree["problems"])
    yield "<h3>Messages</h3>"
    for entry in tree["timeline"]:
        if entry["leg"] is not None:
            yield from _message(number, entry)
    yield "</section>"


def _facts(tree: Tree) -> Iterator[tuple[str, object]]:
    said = tree["negotiated"]
    if tree["started"]:
        yield "started", tree["started"]
    if tree["recorded_outcome"]:
        yield "recorded outcome", tree["recorded_outcome"]
    for info in tree["tls"]:
        yield "TLS", ", ".join(str(part) for part in (info["version"], info["cipher"], info["server_name"]) if part)
        certificate = info["certificate"]
        if certificate is not None:
            what = [certificate.get("subject"), certificate.get("key"), certificate["sha256"]]
            yield "certificate", ", ".join(part for part in what if part)
    client, server = said["client_version"], said["server_version"]
    yield "CredSSP version", f"client {client}, server {server}, effective {said['version']}"
    if said["mechanism"]:
        yield "mechanism", f"{said['mechanism']} ({said['wire_form']})"
    if said["user_name"] is not None:
        yield "account", f"{said['domain']}\\{said['user_name']}" if said["domain"] else said["user_name"]
    if said["target_name"]:
        yield "target", said["target_name"]
    if tree["session_key"] is not None:
        yield "session key", tree["session_key"]


def _judgement(tree: Tree) -> Iterator[str]:
    if not tree["judgement"]:
        return
    yield '<h3>Judgement</h3><ul class="judgement">'
    for finding in tree["judgement"]:
        section = f" <cite>{escape(finding['section'])}</cite>" if finding["section"] else ""
        level = escape(finding["level"])
        yield f'<li class="{level}"><b>{level}</b> {escape(finding["topic"])}: {escape(finding["text"])}{section}</li>'
    yield "</ul>"


def _message(number: int, entry: Tree) -> Iterator[str]:
    arrow = "client &rarr; server" if entry["sender"] == "client" else "server &rarr; client"
    yield f'<details id="c{number}-leg{entry["leg"]}"><summary>Leg {entry["leg"]}, {arrow}: '
    yield f"{escape(entry['summary'])} ({entry['octets']} octets)</summary>"
    if entry["error"]:
        yield f'<p class="problems">{escape(entry["error"])}</p>'
    if "message" in entry:
        yield _value(entry["message"])
    if "data" in entry:
        yield f'<pre class="octets">{escape(entry["data"])}</pre>'
    yield "</details>"


def _value(value: object) -> str:
    """Return the HTML of a tree of plain data."""
    if isinstance(value, Mapping):
        head = escape(value.get("type", ""))
        if "octets" in value:
            head += f" <small>{escape(value['octets'])} octets</small>"
        rows = "".join(
            f"<li><span>{escape(key)}</span> {_value(item)}</li>"
            for key, item in value.items()
            if key not in ("type", "octets")
        )
        return f"{head}<ul>{rows}</ul>" if rows else head
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return f"<ol>{''.join(f'<li>{_value(item)}</li>' for item in value)}</ol>"
    if isinstance(value, list):
        return escape(", ".join(map(str, value)) or "none")
    return f"<code>{escape('absent' if value is None else value)}</code>"


def _list(kind: str, texts: list[str]) -> Iterator[str]:
    if texts:
        yield f'<ul class="{kind}">{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>'


def _not_opened(report: Tree) -> Iterator[str]:
    if not report["not_opened"]:
        return
    yield "<section><h2>TLS connections that could not be looked into</h2>"
    for tree in report["not_opened"]:
        yield f"<p>{escape(tree['client'])} &rarr; {escape(tree['server'])}</p>"
        yield from _list("problems", tree["problems"])
    if report["not_opened_more"]:
        yield f"<p>{report['not_opened_more']} more are not listed.</p>"
    yield "</section>"

"""The report as one HTML page (`credssp.pages`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

from credssp.dissect.diagram import sequence_diagram
from credssp.pages import badge, document, escape, scrolling

__all__ = ["page", "page_parts"]

Tree = Mapping[str, Any]

_SHORT: Final = 48
"""Characters of a name in the overview; the whole name is shown with the conversation."""


def page(report: Tree) -> str:
    """Return the page."""
    return "\n".join(page_parts(report))


def page_parts(report: Tree) -> Iterator[str]:
    """Yield the page in parts, conversation by conversation. All of it is ASCII, whatever encoding it is written in."""
    here = files("credssp.dissect")
    style = "".join(here.joinpath(f"{name}.css").read_text(encoding="utf-8") for name in ("report", "sequence"))
    note = "Bytes are counted on the layer they belong to."
    yield from document(f"CredSSP: {report['file']}", _body(report), style=style, note=note)


def _body(report: Tree) -> Iterator[str]:
    yield from _head(report)
    for tree in report["conversations"]:
        yield from _conversation(tree)
    yield from _not_opened(report)


def _head(report: Tree) -> Iterator[str]:
    count = len(report["conversations"])
    facts = [str(report["kind"])]
    if report["packets"]:
        facts.append(f"{report['packets']} packets, {report['octets']} bytes")
    facts.append("1 CredSSP conversation" if count == 1 else f"{count or 'no'} CredSSP conversations")
    if report["tls_secrets"]:
        facts.append(f"TLS secrets of {report['tls_secrets']} connections")
    yield f'<header><p class="kind">CredSSP, taken apart</p><h1>{escape(report["file"])}</h1>'
    yield f'<p class="meta">{" &middot; ".join(map(escape, facts))}</p>'
    if report["revealed"]:
        yield '<p class="secret">This page shows passwords and keys (--reveal). Keep it like a password file.</p>'
    yield from _list("problems", report["problems"])
    if count > 1:
        yield from _overview(report)
    yield "</header>"


def _overview(report: Tree) -> Iterator[str]:
    """A line for each conversation."""
    yield '<nav><h2 class="small">Conversations</h2>'
    yield scrolling("table of conversations", "".join(_overview_table(report)))
    yield "</nav>"


def _overview_table(report: Tree) -> Iterator[str]:
    yield "<table><thead><tr>"
    yield "".join(f"<th>{name}</th>" for name in ("level", "from, to", "protocol", "account", "version", "outcome"))
    yield "</tr></thead><tbody>"
    for tree in report["conversations"]:
        said = tree["negotiated"]
        cells = [
            badge(_worst(tree)),
            f'{tree["number"]}. <a href="#c{tree["number"]}">{escape(tree["client"])}</a><br>'
            f"&rarr; {escape(tree['server'])}",
            escape(tree["transport"]),
            escape(_shortened(_account(said)) or "-"),
            escape("-" if said["version"] is None else said["version"]),
            escape(_outcome(tree)),
        ]
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</tbody></table>"


def _worst(tree: Tree) -> str:
    """Return the level of the worst finding; a login that was refused is not ``ok``, however well it was protected."""
    levels = {finding["level"] for finding in tree["judgement"]}
    if any("errorCode" in entry.get("message", ()) for entry in tree["timeline"]):
        levels.discard("ok")
    return next((level for level in ("danger", "warning", "ok") if level in levels), "note")


def _outcome(tree: Tree) -> str:
    found = [finding["text"] for finding in tree["judgement"] if finding["topic"] == "outcome"]
    if found:
        return str(found[0])
    return str(tree["recorded_outcome"] or (tree["problems"] or ["no TSRequest was seen"])[0])


def _account(said: Tree) -> str:
    if said["user"] is None:
        return ""
    name = f"{said['domain']}\\{said['user']}" if said["domain"] else said["user"]
    return name or "anonymous"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


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
        yield f"<h3>Sequence</h3>{scrolling(f'sequence {number}', sequence_diagram(tree, escape))}"
    if tree["checks"]:
        yield '<h3>Verified</h3><table class="plain"><tbody>'
        for check in tree["checks"]:
            yield f'<tr><td>{badge(check["verdict"])}</td><td class="name">{escape(check["name"])}</td>'
            yield f"<td>{escape(check['text'])}</td></tr>"
        yield "</tbody></table>"
    if tree["problems"]:
        yield "<h3>Missing or not decrypted</h3>"
        yield from _list("problems", tree["problems"])
    if any(entry["leg"] is not None for entry in tree["timeline"]):
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
        name = info["server_name"] and f"server name {info['server_name']}"
        state = "opened" if info["opened"] else "not opened"
        yield "TLS", ", ".join(str(part) for part in (info["version"], info["cipher"], name, state) if part)
        certificate = info["certificate"]
        if certificate is not None:
            sha256 = f"SHA-256 {certificate['sha256']}"
            what = [certificate["subject"] or "cannot be read in whole", certificate["key_type"], sha256]
            yield "certificate", ", ".join(part for part in what if part)
    numbers = (("client", said["client_version"]), ("server", said["server_version"]), ("effective", said["version"]))
    if any(number is not None for _, number in numbers):
        yield "CredSSP version", ", ".join(f"{who} {'?' if number is None else number}" for who, number in numbers)
    if said["mechanism"]:
        name = "NTLM" if said["mechanism"] == "ntlm" else "Kerberos"
        yield "mechanism", f"{name} in SPNEGO" if said["wire_form"] == "spnego" else name
    if account := _account(said):
        yield "account", account + (f", from {said['workstation']}" if said["workstation"] else "")
    if said["target_name"]:
        yield "target", said["target_name"]
    if tree["session_key"] is not None:
        yield "session key", tree["session_key"]


def _judgement(tree: Tree) -> Iterator[str]:
    if not tree["judgement"]:
        return
    yield '<h3>Judgement</h3><table class="plain"><tbody>'
    for finding in tree["judgement"]:
        section = f" <cite>{escape(finding['section'])}</cite>" if finding["section"] else ""
        yield f'<tr><td>{badge(finding["level"])}</td><td class="name">{escape(finding["topic"])}</td>'
        yield f"<td>{escape(finding['text'])}{section}</td></tr>"
    yield "</tbody></table>"


def _message(number: int, entry: Tree) -> Iterator[str]:
    arrow = "client &rarr; server" if entry["sender"] == "client" else "server &rarr; client"
    # The name is inside, since a browser opens what it has to open to show it.
    yield f"<details><summary>Leg {entry['leg']}, {arrow}: "
    yield f"{escape(entry['summary'])} ({entry['octets']} bytes)</summary>"
    yield f'<div id="c{number}-leg{entry["leg"]}">'
    if entry["error"]:
        yield f'<p class="problems">{escape(entry["error"])}</p>'
    if "message" in entry:
        yield _value(entry["message"])
    if "data" in entry:
        yield f'<pre class="bytes">{escape(entry["data"])}</pre>'
    yield "</div></details>"


def _value(value: object) -> str:
    """Return the HTML of a tree of plain data."""
    if isinstance(value, Mapping):
        head = escape(value.get("type", ""))
        if "octets" in value:
            head += f" <small>{escape(value['octets'])} bytes</small>"
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
    yield "<section><h2>TLS connections that could not be decrypted</h2>"
    for tree in report["not_opened"]:
        yield f"<p>{escape(tree['client'])} &rarr; {escape(tree['server'])}</p>"
        yield from _list("problems", tree["problems"])
    if report["not_opened_more"]:
        yield f"<p>{report['not_opened_more']} more are not listed.</p>"
    yield "</section>"

"""The report of ``credssp dissect`` as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Final

from credssp.cli._output import print_table, printable
from credssp.cli._tree import render

__all__ = ["print_report"]

Tree = dict[str, Any]

_ARROWS: Final = {"client": "client ->", "server": "<- server"}
_WIDTH: Final = 100
_LEVELS: Final = {"danger": "DANGER", "warning": "WARNING", "note": "note", "ok": "ok"}
_MECHANISMS: Final = {"ntlm": "NTLM", "kerberos": "Kerberos"}
_VERDICTS: Final = {"ok": "ok", "failed": "FAILED", "unknown": "-"}


def print_report(report: Tree) -> None:
    """Print everything."""
    count = len(report["conversations"])
    read = f", {report['packets']} packets" if report["kind"] == "capture" or report["packets"] else ""
    conversations = "1 CredSSP conversation" if count == 1 else f"{count or 'no'} CredSSP conversations"
    print(printable(f"{report['file']}: {report['kind']}{read}, {conversations}"))
    _lines("  ! ", report["problems"])
    for conversation in report["conversations"]:
        print()
        _conversation(conversation)
    if report["not_opened"]:
        print()
        _not_opened(report)


def _conversation(tree: Tree) -> None:
    started = f", {tree['started']}" if tree["started"] else ""
    print(
        printable(f"Conversation {tree['number']}: {tree['protocol']}, {tree['client']} -> {tree['server']}{started}")
    )
    if tree["recorded_outcome"]:
        print(printable(f"  recorded outcome: {tree['recorded_outcome']}"))
    for proxy in tree["proxies"]:
        print(printable(f"  through: {proxy}"))
    for info in tree["tls"]:
        _tls(info)
    _negotiated(tree["negotiated"])
    if tree["timeline"]:
        print()
        _timeline(tree["timeline"])
    for entry in tree["timeline"]:
        if "message" in entry:
            print()
            print(f"Leg {entry['leg']}, {_ARROWS[entry['sender']]}")
            print("\n".join("  " + line for line in render(entry["message"])))
            if "data" in entry:
                _lines("  bytes: ", [entry["data"]])
    _results(tree)


def _tls(info: Tree) -> None:
    state = "opened" if info["opened"] else "not opened"
    parts = [info["version"] or "TLS of unknown version", info["cipher"], state]
    if info["server_name"]:
        parts.append(f"server name {info['server_name']}")
    place = f"{info['place']} " if info["place"] else ""
    print(printable(f"  {place}TLS: {', '.join(part for part in parts if part)}"))
    certificate = info["certificate"]
    if certificate is not None:
        what = [certificate["subject"] or "cannot be read in whole", certificate["key_type"]]
        print(printable(f"  certificate: {', '.join(part for part in what if part)}, SHA-256 {certificate['sha256']}"))


def _negotiated(tree: Tree) -> None:
    versions = f"client {_or_unknown(tree['client_version'])}, server {_or_unknown(tree['server_version'])}"
    effective = "" if tree["version"] is None else f", effective {tree['version']}"
    print(f"  CredSSP version: {versions}{effective}")
    mechanism, form = tree["mechanism"], tree["wire_form"]
    if mechanism or form:
        inside = " in SPNEGO" if form == "spnego" else ""
        print(f"  mechanism: {_MECHANISMS.get(mechanism, 'not known')}{inside}")
    if tree["user"] is None and tree["target_name"]:
        print(printable(f"  target: {tree['target_name']}"))
    if tree["user"] is not None:
        account = f"{tree['domain']}\\{tree['user']}" if tree["domain"] else tree["user"]
        workstation = f", from {tree['workstation']}" if tree["workstation"] else ""
        target = f", to {tree['target_name']}" if tree["target_name"] else ""
        print(printable(f"  account: {account or 'anonymous'}{workstation}{target}"))


def _or_unknown(value: object) -> str:
    return "not seen" if value is None else str(value)


def _timeline(timeline: Sequence[Tree]) -> None:
    rows = []
    for entry in timeline:
        text = entry["summary"] if entry["error"] is None else f"{entry['summary']}: {entry['error']}"
        leg = "" if entry["leg"] is None else str(entry["leg"])
        time = "" if entry["time"] is None else f"{entry['time']:.6f}"
        rows.append((time, _ARROWS[entry["sender"]], entry["layer"], leg, str(entry["octets"]), text))
    print_table(("seconds", "direction", "layer", "leg", "bytes", "content"), rows, right=("seconds", "leg", "bytes"))


def _results(tree: Tree) -> None:
    if tree["checks"]:
        print("\nVerified")
        for check in tree["checks"]:
            leg = "" if check["leg"] is None else f" (leg {check['leg']})"
            _lines(f"  {_VERDICTS[check['verdict']]:<8}", [f"{check['name']}{leg}: {check['text']}"])
    if tree["session_key"] is not None:
        print(f"  session key: {tree['session_key']}")
    if tree["judgement"]:
        print("\nJudgement")
        for finding in tree["judgement"]:
            section = f" ({finding['section']})" if finding["section"] else ""
            _lines(f"  {_LEVELS[finding['level']]:<8}", [f"{finding['topic']}: {finding['text']}{section}"])
    if tree["problems"]:
        print("\nMissing or not decrypted")
        _lines("  ! ", tree["problems"])


def _not_opened(report: Tree) -> None:
    more = f", {report['not_opened_more']} more not listed" if report["not_opened_more"] else ""
    print(f"TLS connections that could not be decrypted ({len(report['not_opened'])}{more})")
    for tree in report["not_opened"]:
        started = f", {tree['started']}" if tree["started"] else ""
        print(printable(f"  {tree['client']} -> {tree['server']}{started}"))
        for info in tree["tls"]:
            _tls(info)
        _lines("  ! ", tree["problems"])


def _lines(prefix: str, texts: Sequence[str]) -> None:
    """Print texts, wrapped, and indented by the width of the prefix."""
    for text in texts:
        print("\n".join(textwrap.wrap(prefix + printable(text), _WIDTH, subsequent_indent=" " * len(prefix))))

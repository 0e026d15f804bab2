"""The sequence diagram of a conversation, as SVG inside a page that has the rules of ``sequence.css``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

__all__ = ["sequence_diagram"]

_WIDTH: Final = 900
_CLIENT: Final = 90
_SERVER: Final = 810
_TOP: Final = 62
_ROW: Final = 38
_LABEL: Final = 88
"""Characters that fit between the lifelines at the size of the labels."""


def sequence_diagram(
    tree: Mapping[str, Any],
    escape: Callable[[object], str],
    *,
    name: str = "sequence diagram",
    linked: bool = True,
) -> str:
    """Return the SVG: two lifelines, and an arrow for each event of the timeline.

    Args:
        tree: a conversation of the report.
        escape: makes text fit for HTML.
        name: what the picture shows, for people who hear it.
        linked: whether arrows lead to the messages, which a page of `credssp.dissect.html` has.
    """
    timeline = _together(tree["timeline"])
    bottom = _TOP + _ROW * len(timeline) + 20
    parts = [
        f'<svg class="sequence" role="group" aria-label="{escape(name)}" viewBox="0 0 {_WIDTH} {bottom}" '
        f'xmlns="http://www.w3.org/2000/svg">'
    ]
    for x, role, peer in ((_CLIENT, "client", tree["client"]), (_SERVER, "server", tree["server"])):
        anchor = "start" if x == _CLIENT else "end"
        edge = 8 if x == _CLIENT else _WIDTH - 8
        parts.append(f'<text class="role" x="{edge}" y="18" text-anchor="{anchor}">{role}</text>')
        parts.append(f'<text class="name" x="{edge}" y="34" text-anchor="{anchor}">{escape(peer)}</text>')
        parts.append(f'<line class="life" x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{bottom - 6}"/>')
    parts.append(f'<text class="time" x="8" y="{_TOP - 6}">after</text>')
    parts.append(f'<text class="time" x="{_WIDTH - 8}" y="{_TOP - 6}" text-anchor="end">bytes</text>')
    for index, entry in enumerate(timeline):
        arrow = _arrow(entry, _TOP + _ROW * index + 24, escape)
        if linked and entry["leg"] is not None:
            arrow = f'<a href="#c{tree["number"]}-leg{entry["leg"]}">{arrow}</a>'
        parts.append(arrow)
    parts.append("</svg>")
    return "".join(parts)


def _together(timeline: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Put handshake messages that one side sent in a row on one arrow."""
    rows: list[Mapping[str, Any]] = []
    for entry in timeline:
        last = rows[-1] if rows else None
        if (
            last is not None
            and last["layer"] == entry["layer"] == "tls"
            and last["sender"] == entry["sender"]
            and not (last["error"] or entry["error"] or "alert" in last["summary"] + entry["summary"])
        ):
            together = {"summary": f"{last['summary']}, {entry['summary']}", "octets": last["octets"] + entry["octets"]}
            rows[-1] = {**last, **together}
        else:
            rows.append(entry)
    return rows


def _arrow(entry: Mapping[str, Any], y: int, escape: Callable[[object], str]) -> str:
    start, end = (_CLIENT, _SERVER) if entry["sender"] == "client" else (_SERVER, _CLIENT)
    tip = -9 if end > start else 9
    label = f"{entry['leg']}: {entry['summary']}" if entry["leg"] is not None else entry["summary"]
    if entry["error"]:
        label += f" ({entry['error']})"
    if len(label) > _LABEL:
        label = label[: _LABEL - 3] + "..."
    whole = f"{entry['summary']}, {entry['octets']} bytes" + (f": {entry['error']}" if entry["error"] else "")
    kind = "broken" if entry["error"] else entry["layer"]
    time = "" if entry["time"] is None else f"{entry['time']:.3f} s"
    return (
        f'<g class="{escape(kind)}">'
        f"<title>{escape(whole)}</title>"
        f'<text class="label" x="{(_CLIENT + _SERVER) // 2}" y="{y - 6}" text-anchor="middle">{escape(label)}</text>'
        f'<text class="time" x="8" y="{y + 4}">{time}</text>'
        f'<text class="time" x="{_WIDTH - 8}" y="{y + 4}" text-anchor="end">{entry["octets"]}</text>'
        f'<line class="arrow" x1="{start}" y1="{y}" x2="{end}" y2="{y}"/>'
        f'<path class="tip" d="M {end} {y} l {tip} -4 v 8 z"/></g>'
    )

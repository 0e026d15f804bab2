"""A diagnosis as one HTML page (`credssp.pages`), to attach to a ticket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.resources import files

from credssp.diagnosis.catalogue import KINDS
from credssp.diagnosis.step import Diagnosis, DiagnosisStep, StepState
from credssp.finding import Finding, ServerFinding, Severity
from credssp.pages import badge, document, escape, scrolling

__all__ = ["diagnosis_page", "machine_page"]

_SECONDS = 0.0005
"""A step that took less was done while another was looked at; its time is not shown."""

_BADGES = {Severity.OK: "ok", Severity.NOTE: "note", Severity.BAD: "failed"}


def diagnosis_page(diagnosis: Diagnosis, *, now: datetime | None = None) -> Iterator[str]:
    """Yield the page in parts.

    Args:
        diagnosis: what was found out.
        now: the time to put on it, with its zone; by default the present.
    """
    now = now or datetime.now(UTC)
    ending = diagnosis.conclusion
    body = ['<header><p class="kind">CredSSP, what is wrong</p>', f"<h1>{escape(diagnosis.target)}</h1>"]
    body.append(f'<p class="meta">{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC &middot; {diagnosis.seconds:.1f} s</p>')
    body.append(f'</header><section class="conclusion {"failed" if ending.id else "ok"}"><h2>Conclusion</h2>')
    body.append(f"<p>{badge('failed' if ending.id else 'ok')} {escape(ending.text)}</p>")
    if ending.id:
        kind = KINDS[ending.id]
        body.append(f"<p>{escape(kind.why)}</p><p>{escape(ending.advice)}</p>")
        body.append(f'<p class="meta">Finding <code>{escape(ending.id)}</code>, exit code {ending.exit_code}</p>')
    body.append(f"<p>Next: <code>{escape(ending.command)}</code></p></section>")
    body += _steps(diagnosis.steps)
    body += _problems(diagnosis.problems)
    body += _local(diagnosis.local)
    yield from document(f"CredSSP: {diagnosis.target}", body, style=_style(), note="Times are in UTC.")


def machine_page(findings: Sequence[Finding], *, now: datetime | None = None) -> Iterator[str]:
    """Yield the page of an examination without a server, in parts.

    Args:
        findings: what was found.
        now: the time to put on it, with its zone; by default the present.
    """
    now = now or datetime.now(UTC)
    bad = sum(found.severity is Severity.BAD for found in findings)
    text = f"{bad} of {len(findings)} findings are bad." if bad else "Nothing is wrong."
    body = ['<header><p class="kind">CredSSP, what is wrong</p><h1>This machine</h1>']
    body.append(f'<p class="meta">{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC</p></header>')
    body.append(f'<section class="conclusion {"failed" if bad else "ok"}"><h2>Conclusion</h2>')
    body.append(f"<p>{badge('failed' if bad else 'ok')} {escape(text)}</p></section>")
    body += _local(findings)
    yield from document("CredSSP: this machine", body, style=_style(), note="Times are in UTC.")


def _style() -> str:
    return files("credssp.diagnosis").joinpath("page.css").read_text(encoding="utf-8")


def _steps(steps: Sequence[DiagnosisStep]) -> Iterator[str]:
    yield "<section><h2>Steps</h2>"
    rows = []
    for step in steps:
        seconds = f"{step.seconds:.3f} s" if step.seconds >= _SECONDS else ""
        advice = f'<p class="advice">{escape(step.advice)}</p>' if step.advice else ""
        links = " ".join(f'<a href="#{escape(found.id)}">{escape(found.id)}</a>' for found in step.findings)
        links = f'<p class="advice">{links}</p>' if links else ""
        cells = (_state(step.state), escape(step.name), f"{escape(step.text)}{advice}{links}", seconds)
        classes = ("", ' class="name"', "", ' class="seconds"')
        row = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(classes, cells, strict=True))
        rows.append(f"<tr>{row}</tr>")
    head = "".join(f'<th scope="col">{name}</th>' for name in ("state", "step", "what was seen", "time"))
    table = f'<table class="steps"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    yield f"{scrolling('steps', table)}</section>"


def _state(state: StepState) -> str:
    return badge(state.value)


def _problems(problems: Sequence[ServerFinding]) -> Iterator[str]:
    if not problems:
        return
    yield "<section><h2>Findings</h2>"
    seen: set[str] = set()
    for found in problems:
        # Several findings of a kind have one place to link to.
        anchor = "" if found.id in seen else f' id="{escape(found.id)}"'
        seen.add(found.id)
        yield f'<article{anchor}><h3 class="finding">{badge(found.level.value)} {escape(found.id)}</h3>'
        yield f"<p>{escape(found.seen)}</p><dl><dt>why it matters</dt><dd>{escape(found.why)}</dd>"
        yield f"<dt>what to do</dt><dd>{escape(found.advice)}</dd></dl></article>"
    yield "</section>"


def _local(findings: Sequence[Finding]) -> Iterator[str]:
    yield "<section><h2>This machine</h2>"
    rows = []
    for found in findings:
        advice = f'<p class="advice">{escape(found.advice)}</p>' if found.advice else ""
        cells = (badge(_BADGES[found.severity]), escape(found.area), f"{escape(found.text)}{advice}")
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f'<th scope="col">{name}</th>' for name in ("state", "area", "what was found"))
    table = f'<table class="steps"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    yield f"{scrolling('findings about this machine', table)}</section>"

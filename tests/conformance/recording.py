"""Compares what the suite says of peers that break a rule with the examples in the manual, and records new ones.

Each example (`credssp.conformance.explained`) names the test that made it. In that test the suite has to say the same
again. With ``CREDSSP_EXAMPLES=FOLDER``, as ``python -m fixtures.record_examples`` sets it, every result that could be
an example is written to that folder too, and the suite has one seed.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.cli._tree import render
from credssp.conformance import runner
from credssp.conformance.explained import examples_of
from credssp.conformance.http_messages import HttpEvidence
from credssp.conformance.result import Result
from credssp.conformance.rule import SHOWN, Evidence, Verdict
from credssp.dissect.views import Views
from credssp.dissect.x224_layer import confirm_in_words, request_in_words
from credssp.errors import CredSSPError
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest

__all__ = ["SEED", "hold_against_examples"]

SEED = "examples"
MESSAGES = 3
"""The last messages of an exchange: what the verdict is about, and what it answers."""
LINES = 40
UNDECODED = ("TLS handshake", "Client Core Data up to serverSelectedProtocol")
"""Bytes that ``credssp decode`` does not know."""


@pytest.fixture(autouse=True)
def hold_against_examples(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Watch the results of one test."""
    seen: list[Result] = []
    make = Result.__init__

    def made(self: Result, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        if self.verdict not in (Verdict.PASS, Verdict.SKIP):
            seen.append(self)

    folder = os.environ.get("CREDSSP_EXAMPLES")
    if folder:
        monkeypatch.setattr(runner, "new_seed", lambda: SEED)
    with monkeypatch.context() as patch:
        patch.setattr(Result, "__init__", made)
        yield
    if folder:
        for result in seen:
            text = json.dumps(recorded(request.node, result), indent=1)
            Path(folder, f"{uuid.uuid4().hex}.json").write_text(text, encoding="utf-8")
        return
    for example in {each for result in seen for each in examples_of(result.rule.id)}:
        said = [
            (result.verdict.value, without_chance(result.outcome.detail))
            for result in seen
            if (result.rule.id, result.side.value, request.node.nodeid) == (example.rule, example.side, example.test)
        ]
        again = "run python -m fixtures.record_examples, and look at what it changes"
        assert not said or (example.verdict, without_chance(example.detail)) in said, again


def without_chance(detail: str) -> str:
    """Return a text without sequence numbers that were drawn."""
    return re.sub(r"\d{6,}", "N", detail)


def recorded(node: Any, result: Result) -> dict[str, Any]:
    """Return a result as an example, but for what only the generator knows."""
    return {
        "rule": result.rule.id,
        "side": result.side.value,
        "fault": fault(node),
        "verdict": result.verdict.value,
        "detail": result.outcome.detail,
        "test": node.nodeid,
        "messages": [message(item) for item in result.outcome.evidence[-MESSAGES:]],
    }


def fault(node: Any) -> str:
    """Return what the peer of a test does wrong: its parameter, or else the name of the test."""
    callspec = getattr(node, "callspec", None)
    if callspec is not None:
        return str(callspec.id)
    name = node.name.removeprefix("test_").removesuffix("_is_caught").replace("_", " ")
    name = re.sub("^an? (rdp |winrm )?(server|client) (that )?", "", name)
    return re.sub("^(winrm |recorded )?(peers|clients|servers) ", "", name).replace("that do not", "does not")


def decoded(data: bytes) -> list[str]:
    """Return the lines of ``credssp decode``; an X.224 frame, which is not one of its messages, is in one line."""
    if data[:1] != b"\x03":
        return render(Views().any_message(data))
    if data[5:6] == b"\xe0":
        return [request_in_words(ConnectionRequest.decode(data[4:]))]
    return [confirm_in_words(ConnectionConfirm.decode(data[4:]))]


def message(item: Evidence) -> dict[str, Any]:
    shown = {"sender": item.sender, "start": item.data[:SHOWN].hex(), "size": len(item.data), "note": item.note}
    if isinstance(item, HttpEvidence) or item.note in UNDECODED:
        return shown | {"tree": item.lines() if isinstance(item, HttpEvidence) else []}
    try:
        tree = decoded(item.data) if item.data else []
    except CredSSPError as error:
        tree = [f"not decoded: {error.message}"]
    if len(tree) > LINES:
        tree = [*tree[:LINES], f"... ({len(tree) - LINES} more lines)"]
    return shown | {"tree": tree}

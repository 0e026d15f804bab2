"""docs/reference/agent-messages.md has every message, field and reason, in the order of the wire."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from credssp.lsa import management
from credssp.lsa.messages import KINDS, MAX_SIZE, VERSION, AgentMessage
from credssp.lsa.opened import STATUS_OF, Reason
from credssp.lsa.service import AgentLimits

assert management.manage  # its messages are among the kinds once it is imported
PAGE = Path(__file__).parents[2].joinpath("docs", "reference", "agent-messages.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("message", KINDS.values(), ids=lambda each: each.__name__)
def test_each_message_is_described_with_its_fields_in_their_order(message: type[AgentMessage]) -> None:
    found = re.search(rf"^## {message.kind}: {message.__name__}$(.*?)(?=^## )", PAGE, re.M | re.S)
    assert found is not None
    assert tuple(re.findall(r"^\| `(\w+)` \|", found[1], re.M)) == message.names
    assert f"Sent by the {'program' if message.kind < 128 else 'agent'}." in found[1]


def test_the_page_says_the_limits_that_hold() -> None:
    limits = AgentLimits()
    assert f"from 1 to {MAX_SIZE:,}" in PAGE
    assert f"describes version {VERSION}" in PAGE
    assert f"{limits.login:g} seconds after it began" in PAGE
    assert f"more than {limits.message:g} seconds to arrive" in PAGE
    assert f"no `Hello` came for {limits.greeting:g} seconds" in PAGE


def test_each_reason_has_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (SEC_E_\w+) \|", PAGE, re.M)
    assert rows == [(reason.value, STATUS_OF[reason].name) for reason in Reason]

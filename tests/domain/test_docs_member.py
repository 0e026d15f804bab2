"""The page of the manual about members of a domain does what it says."""

from __future__ import annotations

from typing import Any

import pytest

import credssp
from tests.docs.pages import DOCS, run
from tests.domain.lab import Domain
from tests.domain.service import user

pytestmark = pytest.mark.interop


def test_examples_run(domain: Domain) -> None:
    namespace: dict[str, Any] = {"__name__": "example"}

    def example() -> credssp.ServerContext:
        run((DOCS / "how-to/domain-member.md").read_text(encoding="utf-8"), "domain-member.md", namespace)
        server = credssp.ServerContext(config=namespace["config"])
        client = credssp.ClientContext(user("LAB\\alice"), target_name="TERMSRV/member", mechanism="ntlm")
        token = client.step().token
        while not server.complete:
            token = namespace["step"](server, token)
            token = client.step(token).token
        return server

    server = domain.call(example)
    assert server.identity is not None
    assert (server.identity.domain, server.identity.username) == ("LAB", "alice")
    assert domain.attribute("RDP Users", "objectSid") in server.identity.groups

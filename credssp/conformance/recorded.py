"""Fixtures as exchanges to judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from credssp.conformance.exchange import Exchange
from credssp.conformance.fixture import Fixture, load_all
from credssp.conformance.ntlm import Account
from credssp.conformance.rule import Role

__all__ = ["exchange_of", "exchanges_in"]


def exchange_of(fixture: Fixture) -> Exchange:
    """Return a fixture as an exchange."""
    account = fixture.manifest["account"]
    exchange = fixture.manifest["exchange"]
    return Exchange(
        tuple((message.sender, message.data) for message in fixture.messages if message.layer == "tsrequest"),
        fixture.public_key,
        Account(account["username"], account["password"], account["domain"]),
        name=fixture.name,
        outcome=fixture.manifest["outcome"],
        target_name=exchange["target_name"],
        tls=exchange["tls"],
        client_application=b"".join(
            message.data
            for message in fixture.messages
            if message.layer == "application" and message.sender == "client"
        ),
    )


def exchanges_in(folder: Path) -> Sequence[tuple[Exchange, tuple[Role, ...]]]:
    """Return all fixtures below a folder, both sides of each.

    Raises:
        FixtureError: one does not keep to the format.
    """
    return [(exchange_of(fixture), (Role.CLIENT, Role.SERVER)) for fixture in load_all(folder)]

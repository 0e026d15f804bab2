"""Tickets of clients that were sent back."""

from __future__ import annotations

import pytest

from credssp import PasswordCredentials
from credssp.errors import LimitExceededError
from credssp.gateway.tickets import LIFETIME, TicketError, Tickets

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def issue(tickets: Tickets, address: str = HERE) -> str:
    return tickets.issue(address, ALICE, token="office", connection="1234")


@pytest.mark.parametrize("form", ["{}", "Cookie: msts={}"])
def test_a_ticket_stands_for_what_the_client_said_once(form: str) -> None:
    tickets = Tickets()
    name = issue(tickets)
    ticket = tickets.redeem(form.format(name), HERE)
    assert ticket is not None
    assert (ticket.credentials, ticket.token, ticket.connection) == (ALICE, "office", "1234")
    assert len(tickets) == 0
    with pytest.raises(TicketError, match="spent or expired"):
        tickets.redeem(name, HERE)


@pytest.mark.parametrize("token", ["", "office", "Cookie: msts=3640205228.15629.0000", "alice"])
def test_other_tokens_are_not_tickets(token: str) -> None:
    assert Tickets().redeem(token, HERE) is None


def test_a_made_up_ticket_is_refused() -> None:
    tickets = Tickets()
    issue(tickets)
    with pytest.raises(TicketError, match="spent or expired"):
        tickets.redeem("pickup." + "0" * 32, HERE)
    assert len(tickets) == 1


def test_a_ticket_of_another_address_is_refused_and_spent() -> None:
    tickets = Tickets()
    name = issue(tickets)
    with pytest.raises(TicketError, match="another address"):
        tickets.redeem(name, ELSEWHERE)
    with pytest.raises(TicketError, match="spent or expired"):
        tickets.redeem(name, HERE)


def test_a_ticket_expires_and_its_credentials_with_it() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    name = issue(tickets)
    clock.now = LIFETIME - 1
    tickets.expire()
    assert len(tickets) == 1
    clock.now = LIFETIME + 1
    with pytest.raises(TicketError, match="spent or expired"):
        tickets.redeem(name, HERE)
    issue(tickets)
    clock.now = 2 * LIFETIME + 1
    tickets.expire()
    assert len(tickets) == 0


def test_tickets_are_bounded_for_an_address_and_in_all() -> None:
    tickets = Tickets()
    for _ in range(32):
        issue(tickets)
    with pytest.raises(LimitExceededError, match="32 clients of this address"):
        issue(tickets)
    for number in range(1024 - 32):
        issue(tickets, f"192.0.2.{number // 8}.{number}")
    with pytest.raises(LimitExceededError, match="1024 clients"):
        issue(tickets, ELSEWHERE)


def test_no_two_tickets_are_the_same_and_none_shows_a_password() -> None:
    tickets = Tickets()
    names = {issue(tickets) for _ in range(32)}
    assert len(names) == 32
    assert "secret" not in repr(tickets.redeem(names.pop(), HERE))

"""Peers without sockets, given as a function that makes one for a set-up."""

from __future__ import annotations

import pytest

from credssp.conformance import Account, Setup, Skipped, Verdict, check_client, check_server
from credssp.conformance.links import MemoryPeer
from credssp.conformance.memory import TEST_ACCOUNT
from tests.conformance.peers import own_client, own_server

RULES = ["CSSP-VER-03", "CSSP-PKA56-04", "CSSP-PKA56-05", "CSSP-PKA24-08"]


def only_as_it_is(setup: Setup) -> MemoryPeer:
    if setup != Setup():
        raise Skipped("this server has one set-up only")
    return own_server().make(setup)


def test_a_function_is_enough() -> None:
    server = check_server(only_as_it_is, account=TEST_ACCOUNT, rules=RULES)
    assert server.ok, server.explain()
    assert server.peer == "only_as_it_is"
    assert server.verdict_of("CSSP-PKA56-04") is Verdict.PASS
    assert server.verdict_of("CSSP-PKA24-08") is Verdict.SKIP  # needs another key
    client = check_client(own_client().make, rules=RULES)
    assert client.ok, client.explain()
    assert client.verdict_of("CSSP-PKA56-05") is Verdict.PASS


@pytest.mark.parametrize("name", ["nobody", "alice"])
def test_the_account_is_that_of_the_caller(name: str) -> None:
    account = Account(name, "another password", "LAB")
    assert check_server(only_as_it_is, account=account, rules=RULES).trouble
    assert check_client(own_client().make, account=account, rules=RULES).trouble

"""Delegated credentials are those of the user who logged on, however the name is written."""

from __future__ import annotations

import pytest

from credssp import PasswordCredentials
from credssp.gateway.back import are_of
from credssp.identity import Identity


def who(domain: str, user: str, *, sent_domain: str = "", sent: str = "") -> Identity:
    return Identity(
        username=user, domain=domain, mechanism="ntlm", sent_username=sent or user, sent_domain=sent_domain or domain
    )


ALICE = who("LAB", "alice")
KERBEROS = who("LAB", "alice", sent_domain="LAB.TEST")
REALM = who("LAB.TEST", "alice")
UPN = Identity(username="carol", domain="LAB", mechanism="ntlm", sent_username="carol.jones@corp.example")
STANDALONE = who("", "alice")


@pytest.mark.parametrize(
    ("identity", "domain", "user"),
    [
        (ALICE, "LAB", "alice"),
        (ALICE, "lab", "ALICE"),
        (ALICE, "", "alice"),
        (ALICE, "", "LAB\\alice"),
        (KERBEROS, "LAB", "alice"),
        (KERBEROS, "lab.test", "alice"),
        (KERBEROS, "", "alice@LAB.TEST"),
        (REALM, "LAB", "alice"),
        (UPN, "", "carol.jones@corp.example"),
        (UPN, "LAB", "carol"),
        (STANDALONE, "", "alice"),
        (who("", "alice", sent_domain="HOST"), "HOST", "alice"),
    ],
)
def test_these_are_the_users_own(identity: Identity, domain: str, user: str) -> None:
    assert are_of(identity, PasswordCredentials(user, "secret", domain=domain))


@pytest.mark.parametrize(
    ("identity", "domain", "user"),
    [
        (ALICE, "LAB", "bob"),
        (ALICE, "OTHER", "alice"),
        (ALICE, "", "alice@other.test"),
        (ALICE, "", "OTHER\\alice"),
        (ALICE, "lab.other", "alice"),
        (KERBEROS, "lab.other", "alice"),
        (REALM, "TEST", "alice"),
        (UPN, "corp.example", "carol"),
        (UPN, "other.example", "carol.jones"),
        (STANDALONE, "OTHER", "alice"),
        (ALICE, "LAB", "alice2"),
    ],
)
def test_these_may_be_anothers(identity: Identity, domain: str, user: str) -> None:
    assert not are_of(identity, PasswordCredentials(user, "secret", domain=domain))

"""Which target a user and a token lead to."""

from __future__ import annotations

import pytest

from credssp.gateway.rules import NoRuleError, candidates, choose
from credssp.gateway.target import TargetSettings


def target(name: str, users: tuple[str, ...] = ("*",), tokens: tuple[str, ...] = ()) -> TargetSettings:
    return TargetSettings(name, "192.0.2.1", 3389, "", users, tokens)


TARGETS = [
    target("own", ("LAB\\alice",)),
    target("group", ("group:S-1-5-32-555",), ("office",)),
    target("domain", ("LAB\\b*",)),
    target("any", tokens=("public*",)),
]


@pytest.mark.parametrize(
    ("user", "groups", "token", "name"),
    [
        ("LAB\\alice", (), "", "own"),
        ("lab\\ALICE", (), "office", "own"),
        ("LAB\\bob", (), "", "domain"),
        ("OTHER\\carol", ("s-1-5-32-555",), "office", "group"),
        ("OTHER\\carol", (), "public-1", "any"),
        (None, (), "public", "any"),
        ("LAB\\alice2", (), "public", "any"),
    ],
)
def test_the_first_that_fits_is_chosen(user: str | None, groups: tuple[str, ...], token: str, name: str) -> None:
    assert choose(TARGETS, user=user, groups=groups, token=token).name == name


@pytest.mark.parametrize(
    ("user", "groups", "token"),
    [
        ("OTHER\\alice", (), ""),
        ("alice", (), ""),
        ("OTHER\\carol", ("S-1-5-32-555",), ""),
        ("OTHER\\carol", ("S-1-5-32-5555",), "office"),
        (None, (), ""),
        ("x.*", (), ""),
    ],
)
def test_nothing_fits(user: str | None, groups: tuple[str, ...], token: str) -> None:
    with pytest.raises(NoRuleError):
        choose(TARGETS, user=user, groups=groups, token=token)


def test_a_target_for_named_users_is_for_nobody_without_a_login() -> None:
    assert [choice.user for choice in candidates(TARGETS, user=None)] == [False, False, False, True]


def test_a_group_by_name_is_compared_by_its_sid() -> None:
    named = TargetSettings(
        "office", "192.0.2.1", 3389, "", ("group:LAB\\Staff",), group_sids={"LAB\\Staff": "S-1-5-21-1-2-3-1116"}
    )
    (choice,) = candidates([named], user="LAB\\alice", groups=("S-1-5-21-1-2-3-1116",))
    assert (choice.fits, choice.by) == (True, "group:LAB\\Staff")
    for groups in ((), ("LAB\\Staff",), ("S-1-5-21-1-2-3-11160",)):
        (choice,) = candidates([named], user="LAB\\alice", groups=groups)
        assert (choice.fits, choice.by) == (False, "")

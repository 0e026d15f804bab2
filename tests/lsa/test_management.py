"""What the owner of an agent asks of it, as messages."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any

import pytest

from credssp.errors import DecodeError, LocalProtocolError
from credssp.lsa.audit import change_event
from credssp.lsa.caller import Caller
from credssp.lsa.management import (
    AddCredential,
    ListCredentials,
    ListedCredentials,
    LockAgent,
    RemoveCredential,
    UnlockAgent,
    infos_of,
    manage,
)
from credssp.lsa.messages import MAX_SIZE, AgentMessage, Done, decode
from credssp.lsa.opened import AgentRefusedError, Reason
from credssp.lsa.store import CredentialStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the agent needs Unix-domain sockets")

OWNER = Caller(os.geteuid() if hasattr(os, "geteuid") else 0, 4711, "/usr/bin/credssp")
STRANGER = dataclasses.replace(OWNER, uid=OWNER.uid + 1)
ENTRY: dict[str, Any] = {"name": "prod-admin", "user": "LAB\\alice", "targets": ["TERMSRV/*"]}
REQUESTS: list[AgentMessage] = [
    AddCredential(json.dumps(ENTRY), b"hunter2"),
    RemoveCredential("prod-admin"),
    ListCredentials("a"),
    LockAgent(b"phrase"),
    UnlockAgent(b"phrase"),
]


@pytest.fixture
def store() -> CredentialStore:
    return CredentialStore()


@pytest.mark.parametrize("message", [*REQUESTS, ListedCredentials("[]", 1)])
def test_messages_cross_as_they_are(message: AgentMessage) -> None:
    assert decode(message.encode()) == message


@pytest.mark.parametrize("message", REQUESTS)
def test_no_repr_shows_a_secret(message: AgentMessage) -> None:
    assert "hunter2" not in repr(message)
    assert "phrase" not in repr(message).replace("LockAgent", "")


@pytest.mark.parametrize("message", REQUESTS)
def test_other_users_learn_nothing_and_change_nothing(store: CredentialStore, message: AgentMessage) -> None:
    manage(store, REQUESTS[0], OWNER)
    with pytest.raises(AgentRefusedError) as caught:
        manage(store, message, STRANGER)
    assert caught.value.reason is Reason.UNKNOWN
    assert [info.name for info in store.list()] == ["prod-admin"]


def test_what_is_added_is_listed_until_it_is_removed(store: CredentialStore) -> None:
    assert manage(store, AddCredential(json.dumps(ENTRY), b"hunter2"), OWNER) == Done()
    listed = manage(store, ListCredentials(), OWNER)
    assert isinstance(listed, ListedCredentials)
    assert infos_of(listed) == store.list()
    assert "hunter2" not in listed.entries
    assert manage(store, RemoveCredential("prod-admin"), OWNER) == Done()
    assert manage(store, ListCredentials(), OWNER) == ListedCredentials("[]", 0)


def test_a_long_list_comes_in_pages_that_fit_into_a_message(store: CredentialStore) -> None:
    targets = [f"TERMSRV/{'ü' * 200}{number}.lab.test" for number in range(90)]
    for number in range(30):
        entry = ENTRY | {"name": f"c{number:02}", "targets": targets}
        manage(store, AddCredential(json.dumps(entry, ensure_ascii=False), b"hunter2"), OWNER)
    names: list[str] = []
    pages = 0
    more = 1
    while more:
        listed = manage(store, ListCredentials(names[-1] if names else ""), OWNER)
        assert isinstance(listed, ListedCredentials)
        assert len(listed.encode()) <= MAX_SIZE
        names += [info.name for info in infos_of(listed)]
        more = listed.more
        pages += 1
    assert names == [f"c{number:02}" for number in range(30)]
    assert pages > 1


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("", DecodeError),
        ("[]", DecodeError),
        ("[" * 100_000, DecodeError),
        ("{}", LocalProtocolError),
        (json.dumps(ENTRY | {"colour": "red"}), LocalProtocolError),
        (json.dumps(ENTRY | {"targets": 1}), LocalProtocolError),
        (json.dumps(ENTRY | {"source": {"password_file": "/etc/shadow", "keytab": "x"}}), LocalProtocolError),
        (json.dumps(ENTRY | {"name": "a" * 100}), LocalProtocolError),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(store: CredentialStore, settings: str, error: type) -> None:
    with pytest.raises(error) as caught:
        manage(store, AddCredential(settings, b"hunter2"), OWNER)
    assert "hunter2" not in str(caught.value)
    assert store.list() == []


def test_a_secret_that_is_no_text_is_refused_and_not_shown(store: CredentialStore) -> None:
    with pytest.raises(LocalProtocolError, match="not UTF-8 text") as caught:
        manage(store, AddCredential(json.dumps(ENTRY), b"\xffhunter2"), OWNER)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("entries", ["", "{}", "[1]", '[{"name": "a"}]', "null"])
def test_a_list_that_makes_no_sense_is_refused(entries: str) -> None:
    with pytest.raises(DecodeError):
        infos_of(ListedCredentials(entries))


def test_members_of_a_later_version_are_ignored(store: CredentialStore) -> None:
    manage(store, REQUESTS[0], OWNER)
    listed = manage(store, ListCredentials(), OWNER)
    assert isinstance(listed, ListedCredentials)
    entries = [each | {"colour": "red"} for each in json.loads(listed.entries)]
    assert infos_of(ListedCredentials(json.dumps(entries))) == store.list()


def test_messages_of_logins_are_not_answered_here(store: CredentialStore) -> None:
    with pytest.raises(DecodeError, match="Done is not for the agent"):
        manage(store, Done(), OWNER)


def test_changes_are_events_and_lists_are_not() -> None:
    actions = []
    for message in REQUESTS:
        event = change_event(message, OWNER, None)
        actions.append(None if event is None else (event["action"], event["credential"], event["outcome"]))
        assert "hunter2" not in str(event)
    assert actions == [
        ("add", "prod-admin", "success"),
        ("remove", "prod-admin", "success"),
        None,
        ("lock", "", "success"),
        ("unlock", "", "success"),
    ]
    refused = change_event(REQUESTS[2], STRANGER, AgentRefusedError(Reason.UNKNOWN, "no"))
    assert refused is not None
    assert (refused["action"], refused["outcome"], refused["rule"]) == ("list", "failure", "unknown")
    assert (refused["uid"], refused["pid"], refused["executable"]) == (STRANGER.uid, 4711, "/usr/bin/credssp")


@pytest.mark.parametrize("settings", ["", "[]", "{}", '{"name": 1}', "[" * 100_000])
def test_a_change_without_a_name_is_an_event_too(settings: str) -> None:
    event = change_event(AddCredential(settings), OWNER, LocalProtocolError("no"))
    assert event is not None
    assert event["credential"] == ""

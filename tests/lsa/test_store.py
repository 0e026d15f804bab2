"""Which login may use which credential: every rule with its refusal."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.credentials import CCacheCredentials, KeytabCredentials, PasswordCredentials
from credssp.errors import LocalProtocolError
from credssp.lsa.caller import Caller
from credssp.lsa.confirmation import Question
from credssp.lsa.opened import AgentRefusedError, Reason
from credssp.lsa.settings import CredentialSettings, parse_credential
from credssp.lsa.sources import PasswordFile
from credssp.lsa.store import MAX_CREDENTIALS, CredentialStore
from credssp.secret import Secret

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the agent needs Unix-domain sockets")

ME = Caller(os.geteuid() if hasattr(os, "geteuid") else 0, 4711, "/usr/bin/ansible-playbook")
STRANGER = dataclasses.replace(ME, uid=ME.uid + 1)
TARGET = "TERMSRV/srv.lab.test"
PIN = "ab" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def settings(name: str = "prod-admin", *, secret: str = "Grüße", **more: Any) -> CredentialSettings:
    values = {"name": name, "user": "LAB\\alice", "targets": ["TERMSRV/*.lab.test"], "fingerprint": PIN} | more
    return parse_credential(values, secret=Secret(secret))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> CredentialStore:
    made = CredentialStore(clock=clock)
    made.add(settings())
    return made


def refusal(store: CredentialStore, name: str = "prod-admin", **more: Any) -> AgentRefusedError:
    with pytest.raises(AgentRefusedError) as caught:
        store.open(name, **{"caller": ME, "target": TARGET} | more)
    return caught.value


def test_a_login_that_fits_gets_what_it_needs(store: CredentialStore) -> None:
    opened = store.open("prod-admin", caller=ME, target=TARGET)
    assert opened.credentials == PasswordCredentials("alice", "Grüße", domain="LAB")
    assert opened.mechanisms == ("kerberos", "ntlm")
    assert opened.certificate is not None
    assert opened.certificate.fingerprint == PIN
    assert (opened.delegate, opened.delegated_credentials) == ("password", None)


@pytest.mark.parametrize("target", ["termsrv/SRV.LAB.TEST", "TERMSRV/a.b.lab.test", "TERMSRV/srv.lab.test:3390"])
def test_targets_are_compared_without_case_and_with_dots_under_the_wildcard(
    store: CredentialStore, target: str
) -> None:
    assert store.open("prod-admin", caller=ME, target=target)


@pytest.mark.parametrize(
    "target", ["TERMSRV/srv.other.test", "HTTP/srv.lab.test", "TERMSRV/lab.test", "", "TERMSRV/", "srv.lab.test"]
)
def test_a_target_outside_the_patterns_is_refused(store: CredentialStore, target: str) -> None:
    assert refusal(store, target=target).reason is Reason.TARGET


def test_an_unknown_name_and_one_of_another_user_are_refused_alike(store: CredentialStore) -> None:
    store.configure([settings("theirs", uids=[STRANGER.uid])])
    answers = [refusal(store, "nothing"), refusal(store, "theirs"), refusal(store, caller=STRANGER)]
    assert {(type(each), each.reason, each.message, each.status, each.advice) for each in answers} == {
        (AgentRefusedError, Reason.UNKNOWN, answers[0].message, answers[0].status, answers[0].advice)
    }
    # Not even a target or a mechanism that would be refused tells them apart.
    for answer in (refusal(store, "theirs", target="x"), refusal(store, "theirs", mechanism="ntlm")):
        assert (answer.reason, answer.message) == (Reason.UNKNOWN, answers[0].message)


def test_users_of_the_configuration_may_use_a_credential_and_the_owner_may_not(store: CredentialStore) -> None:
    store.configure([settings("theirs", uids=[STRANGER.uid])])
    assert store.open("theirs", caller=STRANGER, target=TARGET)
    assert refusal(store, "theirs", caller=ME).reason is Reason.UNKNOWN


@pytest.mark.parametrize("source", ["keytab", "ccache"])
def test_a_mechanism_that_is_not_allowed_is_refused(store: CredentialStore, source: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    where = f"FILE:{tmp_path}/file"
    store.add(settings("kerberos-only", secret="", user="alice@LAB.TEST", source={source: where}))
    assert refusal(store, "kerberos-only", mechanism="ntlm").reason is Reason.MECHANISM
    for choice in ("auto", "negotiate", "kerberos"):
        opened = store.open("kerberos-only", caller=ME, target=TARGET, mechanism=choice)
        assert opened.mechanisms == ("kerberos",)
        assert opened.certificate is None, "Kerberos needs no certificate"
        kind = {"keytab": KeytabCredentials, "ccache": CCacheCredentials}[source]
        assert opened.credentials == kind(where, "alice@LAB.TEST")


def test_a_program_that_asks_for_one_mechanism_gets_no_other(store: CredentialStore) -> None:
    assert store.open("prod-admin", caller=ME, target=TARGET, mechanism="ntlm").mechanisms == ("ntlm",)
    assert store.open("prod-admin", caller=ME, target=TARGET, mechanism="kerberos").mechanisms == ("kerberos",)


def test_an_expired_credential_is_refused_by_its_own_reason(store: CredentialStore, clock: Clock) -> None:
    store.add(settings("brief", lifetime="1h"))
    clock.now += 3599.0
    assert store.open("brief", caller=ME, target=TARGET)
    clock.now += 1.0
    assert refusal(store, "brief").reason is Reason.EXPIRED
    assert refusal(store, "brief", caller=STRANGER).reason is Reason.UNKNOWN
    assert store.open("prod-admin", caller=ME, target=TARGET), "the others stay"


def test_the_secret_of_an_expired_credential_is_let_go_of(clock: Clock) -> None:
    secret = Secret("a password that nothing else holds")

    def holders() -> int:
        return sys.getrefcount(secret.reveal())

    store = CredentialStore(clock=clock)
    values = {"name": "brief", "user": "u", "targets": ["*"], "lifetime": "1h"}
    before = holders()
    store.add(parse_credential(values, secret=secret))
    assert holders() > before
    assert store.expire() == 3600.0
    clock.now += 3600.0
    assert store.expire() is None
    assert holders() == before
    (left,) = store.list()
    assert left.expires == 0.0


def test_a_new_lifetime_begins_when_the_configuration_is_read_again(store: CredentialStore, clock: Clock) -> None:
    brief = settings("brief", lifetime="1h")
    store.configure([brief])
    clock.now += 4000.0
    assert refusal(store, "brief").reason is Reason.EXPIRED
    store.configure([brief])
    assert store.open("brief", caller=ME, target=TARGET)


def test_a_login_has_to_be_confirmed(clock: Clock) -> None:
    questions: list[Question] = []
    answers: Iterator[bool] = iter([True, False])

    def ask(question: Question) -> bool:
        questions.append(question)
        return next(answers)

    store = CredentialStore(confirm=ask, clock=clock)
    store.add(settings(confirm=True))
    assert store.open("prod-admin", caller=ME, target=TARGET)
    assert refusal(store).reason is Reason.DECLINED
    assert questions == [Question("prod-admin", "LAB\\alice", TARGET, ME)] * 2
    # Nobody is asked about what is refused anyway.
    assert refusal(store, target="x").reason is Reason.TARGET
    assert refusal(store, caller=STRANGER).reason is Reason.UNKNOWN
    assert len(questions) == 2


def test_without_a_program_that_asks_the_answer_is_no(store: CredentialStore) -> None:
    store.add(settings("asked", confirm=True))
    assert refusal(store, "asked").reason is Reason.DECLINED


def test_a_credential_that_was_removed_or_expired_while_the_person_thought_is_refused(clock: Clock) -> None:
    acts: list[Callable[[], bool]] = []
    store = CredentialStore(confirm=lambda _: acts.pop()(), clock=clock)

    def remove() -> bool:
        store.remove("prod-admin")
        return True

    def wait() -> bool:
        clock.now += 3600.0
        return True

    def lock() -> bool:
        store.lock(Secret("phrase"))
        return True

    for act, reason in ((remove, Reason.UNKNOWN), (wait, Reason.EXPIRED), (lock, Reason.LOCKED)):
        acts.append(act)
        store.add(settings(confirm=True, lifetime="1h"))
        assert refusal(store).reason is reason


def test_a_credential_that_was_replaced_by_another_while_the_person_thought_is_not_used(clock: Clock) -> None:
    def replace(_: Question) -> bool:
        store.add(settings(user="LAB\\root", confirm=True))
        return True

    store = CredentialStore(confirm=replace, clock=clock)
    store.add(settings(confirm=True))
    assert refusal(store).reason is Reason.UNKNOWN


def test_the_configuration_replaces_its_own_credentials_and_leaves_added_ones(store: CredentialStore) -> None:
    store.configure([settings("one"), settings("two")])
    store.configure([settings("two")])
    assert [(each.name, each.origin) for each in store.list()] == [("prod-admin", "added"), ("two", "file")]
    with pytest.raises(LocalProtocolError, match="two is in the configuration"):
        store.add(settings("two"))


def test_a_source_that_cannot_be_read_changes_nothing(store: CredentialStore, tmp_path: Path) -> None:
    missing = dataclasses.replace(settings("bad"), source=PasswordFile(str(tmp_path / "none")))
    with pytest.raises(LocalProtocolError, match="credential bad: the password file .*none cannot be read"):
        store.configure([settings("good"), missing])
    with pytest.raises(LocalProtocolError, match="credential bad"):
        store.add(missing)
    assert [each.name for each in store.list()] == ["prod-admin"]


def test_the_number_of_credentials_is_bounded(store: CredentialStore) -> None:
    one = settings("one")
    with pytest.raises(LocalProtocolError, match="at most 1000 credentials"):
        store.configure([dataclasses.replace(one, name=f"c{number}") for number in range(MAX_CREDENTIALS)])
    assert [each.name for each in store.list()] == ["prod-admin"]


def test_what_was_removed_is_unknown(store: CredentialStore) -> None:
    store.remove("prod-admin")
    assert refusal(store).reason is Reason.UNKNOWN
    with pytest.raises(AgentRefusedError) as caught:
        store.remove("prod-admin")
    assert caught.value.reason is Reason.UNKNOWN


def test_the_list_holds_no_secret(store: CredentialStore, clock: Clock) -> None:
    store.add(settings("brief", secret="hunter2", lifetime="1h", confirm=True))
    clock.now += 60.0
    brief, admin = store.list()
    assert (brief.name, brief.user, brief.source, brief.expires, brief.confirm) == (
        "brief", "LAB\\alice", "password", 3540.0, True,
    )  # fmt: skip
    assert (admin.targets, admin.mechanisms, admin.certificate) == (("TERMSRV/*.lab.test",), ("kerberos", "ntlm"), PIN)
    assert "hunter2" not in repr(store.list())


def test_a_locked_agent_refuses_everything_until_the_same_phrase(store: CredentialStore) -> None:
    store.lock(Secret("phrase"))
    assert store.is_locked
    assert refusal(store).reason is Reason.LOCKED
    assert refusal(store, "nothing").reason is Reason.UNKNOWN
    for call in (store.list, lambda: store.add(settings("x")), lambda: store.remove("prod-admin")):
        with pytest.raises(AgentRefusedError) as caught:
            call()
        assert caught.value.reason is Reason.LOCKED
    with pytest.raises(AgentRefusedError):
        store.lock(Secret("another"))
    with pytest.raises(AgentRefusedError) as caught:
        store.unlock(Secret("another"))
    assert caught.value.reason is Reason.LOCKED
    assert store.is_locked
    store.unlock(Secret("phrase"))
    assert store.open("prod-admin", caller=ME, target=TARGET)
    with pytest.raises(LocalProtocolError, match="is not locked"):
        store.unlock(Secret("phrase"))


def test_an_empty_phrase_does_not_lock(store: CredentialStore) -> None:
    with pytest.raises(LocalProtocolError, match="pass phrase is empty"):
        store.lock(Secret(""))


def test_an_empty_password_is_refused(store: CredentialStore, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "empty").chmod(0o600)
    with pytest.raises(LocalProtocolError, match="the password in .*empty is empty"):
        store.add(dataclasses.replace(settings("x"), source=PasswordFile(str(tmp_path / "empty"))))

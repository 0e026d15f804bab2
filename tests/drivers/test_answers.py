"""Logons that an authority judges: the questions, in all servers, and what happens where it does not answer."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest

import credssp
import credssp.winrm
from credssp import sspi
from credssp.authority import NO_LOGON_SERVERS, LogonQuestion, LogonRefusal, LogonVerdict
from credssp.config import Limits, ServerConfig
from credssp.drivers.answers import BoundedAuthority
from credssp.drivers.rdp_service import Delegated, Refused
from credssp.drivers.winrm_asgi import Login
from credssp.errors import CredSSPError, LocalProtocolError, PeerRefusedError
from credssp.secret import Secret
from credssp.status import NTStatus
from credssp.winrm import LoginError
from tests.authorities import GROUPS, SID, Authority
from tests.drivers import test_rdp_drivers as drivers
from tests.drivers.test_rdp_drivers import kind, log_on_blocking, until
from tests.sspi import pair
from tests.sspi.test_inner_packages import inner, run, ts_run, tsssp
from tests.winrm import memory
from tests.winrm.servers import application
from tests.winrm.test_asgi import Client

__all__ = ["kind"]

ALICE = credssp.PasswordCredentials("alice", "secret", domain="LAB")
WRONG = credssp.PasswordCredentials("alice", "wrong", domain="LAB")
BOB = credssp.PasswordCredentials("bob", "of the store", domain="LOCAL")
STORE = credssp.MemoryAccounts({("LOCAL", "bob"): "of the store"})
QUESTION = LogonQuestion(
    domain="LAB", username="alice", workstation="", server_challenge=bytes(8), nt_response=bytes(44)
)


def refusal(ntstatus: int, *, authoritative: bool = True) -> Callable[[Any], LogonRefusal]:
    return lambda answer: LogonRefusal(ntstatus, authoritative)


def refused(address: tuple[str, int], credentials: Any = ALICE) -> PeerRefusedError:
    with pytest.raises(PeerRefusedError) as error:
        log_on_blocking(address, credentials)
    return error.value


def running(kind: str, **options: Any) -> AbstractContextManager[drivers.Running]:
    return drivers.running(kind, **{"accounts": None, **options})


# The servers


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
def test_a_user_of_the_authority_logs_on(kind: str, mechanism: str) -> None:
    authority = Authority()
    with running(kind, authority=authority) as server:
        assert log_on_blocking(server.address, ALICE, mechanism=mechanism, workstation="PC1") == b"HELLO"
    (event,) = server.told(Delegated)
    who = event.identity
    assert (who.domain, who.username, who.sid, who.authority) == ("LAB", "alice", SID, "domain")
    assert who.groups == tuple(sorted(GROUPS))
    (question,) = authority.asked
    assert (question.domain, question.username, question.workstation) == ("LAB", "alice", "PC1")


def test_the_challenge_has_the_names_of_the_authority() -> None:
    seen: list[Any] = []

    def observe(direction: Any, message: Any, data: bytes) -> None:
        seen.append(data)

    with running("asyncio", authority=Authority(), observer=observe) as server:
        log_on_blocking(server.address, ALICE, mechanism="ntlm")
    assert any("member.lab.test".encode("utf-16-le") in data for data in seen)


def test_a_wrong_password_is_asked_about_once_and_refused(kind: str) -> None:
    authority = Authority()
    with running(kind, authority=authority) as server:
        assert refused(server.address, WRONG).ntstatus == NTStatus.STATUS_LOGON_FAILURE
        until(lambda: server.told(Refused))
    assert len(authority.asked) == 1
    assert server.told(Refused)[0].error.claim.username == "alice"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (NTStatus.STATUS_NO_SUCH_USER, NTStatus.STATUS_LOGON_FAILURE),
        (NTStatus.STATUS_ACCOUNT_DISABLED, NTStatus.STATUS_ACCOUNT_DISABLED),
        (NTStatus.STATUS_PASSWORD_MUST_CHANGE, NTStatus.STATUS_PASSWORD_MUST_CHANGE),
        (NTStatus.STATUS_INVALID_LOGON_HOURS, NTStatus.STATUS_INVALID_LOGON_HOURS),
        (NTStatus.STATUS_IO_TIMEOUT, NTStatus.STATUS_NO_LOGON_SERVERS),
        (0x12345678, NTStatus.STATUS_NO_LOGON_SERVERS),
        (0, NTStatus.STATUS_NO_LOGON_SERVERS),
    ],
)
def test_what_a_client_is_told(said: int, told: int) -> None:
    with running("asyncio", authority=Authority(edit=refusal(said))) as server:
        assert refused(server.address).ntstatus == told


@pytest.mark.parametrize("reveal", [False, True])
def test_a_lockout_is_told_only_if_it_shall_be(kind: str, reveal: bool) -> None:
    locked = Authority(edit=refusal(NTStatus.STATUS_ACCOUNT_LOCKED_OUT))
    with running(kind, authority=locked, reveal_lockout=reveal) as server:
        told = refused(server.address).ntstatus
        until(lambda: server.told(Refused))
    assert told == (NTStatus.STATUS_ACCOUNT_LOCKED_OUT if reveal else NTStatus.STATUS_LOGON_FAILURE)
    assert server.told(Refused)[0].locked is not reveal


def test_accounts_are_next_where_the_answer_is_not_authoritative(kind: str) -> None:
    authority = Authority(edit=refusal(NTStatus.STATUS_NO_SUCH_USER, authoritative=False))
    with running(kind, authority=authority, accounts=STORE) as server:
        assert log_on_blocking(server.address, BOB) == b"HELLO"
        assert refused(server.address, ALICE).ntstatus == NTStatus.STATUS_LOGON_FAILURE
    assert server.told(Delegated)[0].identity.authority == "accounts"


def test_accounts_are_not_asked_where_the_answer_is_authoritative() -> None:
    with running("asyncio", authority=Authority(), accounts=STORE) as server:
        assert refused(server.address, BOB).ntstatus == NTStatus.STATUS_LOGON_FAILURE


def test_accounts_work_while_the_authority_cannot_be_asked(kind: str) -> None:
    authority = Authority(edit=refusal(NTStatus.STATUS_IO_TIMEOUT))
    with running(kind, authority=authority, accounts=STORE) as server:
        assert log_on_blocking(server.address, BOB) == b"HELLO"
        assert refused(server.address, ALICE).ntstatus == NTStatus.STATUS_NO_LOGON_SERVERS


@pytest.mark.parametrize("domain", [".", "member", "MEMBER.lab.test"])
def test_names_of_this_machine_are_not_asked_about(kind: str, domain: str) -> None:
    authority = Authority()
    authority.release.clear()
    accounts = credssp.MemoryAccounts({("", "bob"): "of the store"})
    with running(kind, authority=authority, accounts=accounts) as server:
        local = credssp.PasswordCredentials("bob", "of the store", domain=domain)
        assert log_on_blocking(server.address, local) == b"HELLO"
        wrong = credssp.PasswordCredentials("bob", "wrong", domain=domain)
        assert refused(server.address, wrong).ntstatus == NTStatus.STATUS_LOGON_FAILURE
    assert not authority.asked


def test_names_of_this_machine_need_accounts() -> None:
    with running("asyncio", authority=Authority()) as server:
        own = credssp.PasswordCredentials("alice", "secret", domain="MEMBER")
        assert refused(server.address, own).ntstatus == NTStatus.STATUS_LOGON_FAILURE


@pytest.mark.parametrize("answer", [ValueError("the password is hunter2"), "yes", None])
def test_an_authority_that_fails_refuses(kind: str, caplog: pytest.LogCaptureFixture, answer: Any) -> None:
    def edit(right: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with running(kind, authority=Authority(edit=edit)) as server:
        assert refused(server.address).ntstatus == NTStatus.STATUS_NO_LOGON_SERVERS
    assert "the logon authority" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_verdict_for_another_user_is_refused(kind: str) -> None:
    swapped = Authority(edit=lambda verdict: dataclasses.replace(verdict, username="bob"))
    with running(kind, authority=swapped) as server:
        assert refused(server.address).ntstatus == NTStatus.STATUS_LOGON_FAILURE
        until(lambda: server.told(Refused))
    assert "another user" in server.told(Refused)[0].error.message


def test_a_verdict_with_the_key_of_another_login_is_refused(kind: str) -> None:
    swapped = Authority(edit=lambda verdict: dataclasses.replace(verdict, session_base_key=Secret(bytes(16))))
    with running(kind, authority=swapped) as server:
        refused(server.address)
        until(lambda: server.told(Refused))
    assert not server.told(Delegated)
    assert "MIC does not match" in server.told(Refused)[0].error.message


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "alice@lab.test"},
        {"username": ""},
        {"domain": "LAB\\x"},
        {"session_base_key": Secret(bytes(15))},
        {"session_base_key": bytes(16)},
        {"sid": "S-1-5-21-x"},
        {"groups": ("S-1-5-32-544", "Administrators")},
    ],
)
def test_a_verdict_is_checked_when_it_is_made(wrong: dict[str, Any]) -> None:
    right = LogonVerdict(domain="LAB", username="alice", session_base_key=Secret(bytes(16)))
    with pytest.raises(LocalProtocolError):
        dataclasses.replace(right, **wrong)


def test_an_empty_password_is_not_asked_about() -> None:
    authority = Authority({"alice": ""})
    empty = credssp.PasswordCredentials("alice", "", domain="LAB")
    with running("asyncio", authority=authority) as server:
        with pytest.raises(PeerRefusedError) as error:
            log_on_blocking(server.address, empty, allow_empty_password=True)
        assert error.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        assert not authority.asked
    with running("asyncio", authority=authority, allow_empty_password=True) as server:
        assert log_on_blocking(server.address, empty, allow_empty_password=True) == b"HELLO"


def test_guessing_stops_before_the_domain_locks_the_account(kind: str) -> None:
    authority = Authority()
    with running(kind, authority=authority, account_failures=2) as server:
        for _ in range(3):
            refused(server.address, WRONG)
        until(lambda: len(server.told(Refused)) == 3)
        assert refused(server.address).ntstatus == NTStatus.STATUS_LOGON_FAILURE  # the password is right
        assert len(authority.asked) == 3
        until(lambda: len(server.told(Refused)) == 4)
        assert [event.locked for event in server.told(Refused)] == [False] * 3 + [True]


def test_the_lockout_function_is_asked_before_the_authority(kind: str) -> None:
    authority = Authority()
    names = []

    def lockout(domain: str, username: str) -> bool:
        names.append((domain, username))
        return True

    with running(kind, authority=authority, lockout=lockout) as server:
        assert refused(server.address).ntstatus == NTStatus.STATUS_LOGON_FAILURE
    assert (names, authority.asked) == ([("LAB", "alice")], [])


# An authority that does not answer


def test_an_answer_that_does_not_come_delays_nobody_else(kind: str) -> None:
    authority = Authority()
    authority.release.clear()
    accounts = credssp.MemoryAccounts({("LOCAL", "bob"): "of the store"})
    options: dict[str, Any] = {"answer_deadline": 100, "leg": 100, "deadline": 100, "answers": 1, "waiting_answers": 1}
    with (
        running(kind, authority=authority, **options) as asked,
        running(kind, accounts=accounts, **options) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        waiting = [pool.submit(log_on_blocking, asked.address, ALICE) for _ in range(2)]
        until(lambda: authority.asked)
        assert log_on_blocking(other.address, BOB) == b"HELLO"
        until(lambda: asked.half_open() == 2)
        assert refused(asked.address).ntstatus == NTStatus.STATUS_NO_LOGON_SERVERS
        assert not any(each.done() for each in waiting)
        authority.release.set()
        assert {each.result(60) for each in waiting} == {b"HELLO"}


def test_an_answer_that_does_not_come_is_a_refusal_after_its_deadline(kind: str) -> None:
    authority = Authority()
    authority.release.clear()
    options: dict[str, Any] = {"answer_deadline": 0.5, "leg": 100, "deadline": 100, "answers": 1, "waiting_answers": 1}
    with running(kind, authority=authority, **options) as asked, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(refused, asked.address) for _ in range(2)]
        assert {each.result(60).ntstatus for each in waiting} == {NTStatus.STATUS_NO_LOGON_SERVERS}
        assert not authority.release.is_set()
        authority.release.set()
        until(lambda: len(authority.asked) >= 1)
        assert log_on_blocking(asked.address, ALICE) == b"HELLO"


def bounded(authority: Any, **limits: Any) -> BoundedAuthority:
    return BoundedAuthority(authority, Limits(**limits))


def test_a_full_line_is_answered_at_once() -> None:
    authority = Authority()
    authority.release.clear()
    asking = bounded(authority, answers=1, waiting_answers=2, answer_deadline=100.0)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(asking.verify, QUESTION) for _ in range(3)]
        until(lambda: asking._asked == 3)
        assert asking.verify(QUESTION) is NO_LOGON_SERVERS
        assert asyncio.run(asking.verify_async(QUESTION)) is NO_LOGON_SERVERS
        assert not any(each.done() for each in waiting)
        authority.release.set()
        assert [each.result(10).ntstatus for each in waiting] == [NTStatus.STATUS_WRONG_PASSWORD] * 3


def test_questions_that_waited_too_long_are_not_asked_and_make_room() -> None:
    authority = Authority()
    authority.release.clear()
    asking = bounded(authority, answers=1, waiting_answers=1, answer_deadline=0.05)
    assert asking.verify(QUESTION) is NO_LOGON_SERVERS  # this one stays with its thread
    for _ in range(3):
        assert asking.verify(QUESTION) is NO_LOGON_SERVERS
        assert asyncio.run(asking.verify_async(QUESTION)) is NO_LOGON_SERVERS
    authority.release.set()
    until(lambda: asking._asked == 0)
    assert len(authority.asked) == 1


def test_questions_run_side_by_side_and_no_more_threads_than_allowed() -> None:
    authority = Authority()
    authority.release.clear()
    asking = bounded(authority, answers=3)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(asking.verify, QUESTION) for _ in range(8)]
        until(lambda: asking._asked == 8 and len(authority.asked) == 3)
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("credssp authority") >= 3
        assert asking._threads == 3
        authority.release.set()
        assert len([each.result(10) for each in answers]) == 8


# Contexts, WinRM, SSPI


def test_a_context_stops_with_the_question_and_goes_on_with_the_answer() -> None:
    authority = Authority()
    server = credssp.ServerContext(authority=authority)
    client = credssp.ClientContext(ALICE, target_name="TERMSRV/srv", mechanism="ntlm")
    token = client.step().token
    while server.question is None:
        result = server.step(token)
        if server.question is None:
            token = client.step(result.token).token
    assert result.token == b""
    assert not server.complete
    with pytest.raises(LocalProtocolError, match="no question"):
        credssp.ServerContext(authority=authority).answer(NO_LOGON_SERVERS)
    assert server.step(b"").token == b""  # nothing new, and the question remains
    token = server.answer(authority.verify(server.question)).token
    assert server.question is None
    server.step(client.step(token).token)
    assert server.complete
    assert server.identity is not None
    assert server.identity.groups == tuple(sorted(GROUPS))


def test_an_authority_goes_with_no_other_names() -> None:
    with pytest.raises(LocalProtocolError, match="target"):
        ServerConfig(authority=Authority(), target=dataclasses.replace(Authority.target, nb_domain="OTHER"))
    with pytest.raises(LocalProtocolError, match="authority"):
        ServerConfig(authority=STORE)  # type: ignore[arg-type]


def test_a_winrm_connection_stops_with_the_question() -> None:
    authority = Authority()
    server = credssp.winrm.ServerConnection(authority=authority)
    client = memory.login(credentials=ALICE, mechanism="ntlm")
    header: str | None = client.start()
    while header is not None:
        result = memory.leg(server, header)
        if result.question is not None:
            with pytest.raises(LocalProtocolError, match="answer"):
                server.receive(b"x")
            result = server.answer(authority.verify(result.question))
        if result.complete:
            break
        header = client.receive(401, [credssp.winrm.format_token(result.token)])
    server.authorize()
    assert server.identity.sid == SID
    with pytest.raises(LocalProtocolError, match="not due"):
        server.answer(NO_LOGON_SERVERS)


def sspi_pair(package: str, authority: Authority) -> Any:
    machine: dict[str, Any] = {"accounts": None, "server": ServerConfig(authority=BoundedAuthority(authority))}
    return pair.make(authority=pair.lsa(**machine)) if package == sspi.CREDSSP_NAME else inner(package, **machine)


def test_winrm_logins_that_wait_for_an_answer_delay_no_others() -> None:
    """More of them than there are threads for logins."""
    authority = Authority()
    authority.release.clear()
    seen: list[Login] = []
    app = application(
        authority=authority,
        accounts=credssp.MemoryAccounts({("", "bob"): "of the store"}),
        answer_deadline=8.0,
        deadline=100.0,
        answers=2,
        on_login=seen.append,
    )

    async def test() -> None:
        asking = [
            asyncio.ensure_future(Client(app).log_on(memory.login(credentials=ALICE, mechanism="ntlm")))
            for _ in range(24)
        ]
        while len(authority.asked) < 2:
            await asyncio.sleep(0.01)
        local = credssp.PasswordCredentials("bob", "of the store", domain="MEMBER")
        await Client(app).log_on(memory.login(credentials=local, mechanism="ntlm"))
        assert not any(each.done() for each in asking)
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(each) for each in ended} == {LoginError}

    asyncio.run(test())
    authority.release.set()
    assert [login.identity.username for login in seen if login.error is None and login.identity] == ["bob"]
    assert {login.error.ntstatus for login in seen if login.error is not None} == {NTStatus.STATUS_NO_LOGON_SERVERS}


@pytest.mark.parametrize("package", [sspi.CREDSSP_NAME, sspi.NTLMSP_NAME, sspi.NEGOSSP_NAME])
def test_accept_security_context_asks_the_authority(package: str) -> None:
    authority = Authority({"alice": pair.PASSWORD})
    both = sspi_pair(package, authority)
    both.run() if package == sspi.CREDSSP_NAME else run(both)
    assert both.server.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"
    assert len(authority.asked) == 1


@pytest.mark.parametrize("package", [sspi.CREDSSP_NAME, sspi.NTLMSP_NAME, sspi.NEGOSSP_NAME])
def test_accept_security_context_says_what_the_authority_said(package: str) -> None:
    both = sspi_pair(package, Authority(edit=refusal(NTStatus.STATUS_ACCOUNT_DISABLED)))
    with pytest.raises(sspi.SSPIError) as error:
        both.run() if package == sspi.CREDSSP_NAME else run(both)
    assert "STATUS_ACCOUNT_DISABLED" in str(error.value) or "disabled" in str(error.value)


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_tsssp_asks_the_authority(answer: str) -> None:
    edit = (lambda verdict: verdict) if answer == "yes" else refusal(NTStatus.STATUS_ACCOUNT_DISABLED)
    authority = Authority({"alice": pair.PASSWORD}, edit)
    both = tsssp(accounts=None, server=ServerConfig(authority=BoundedAuthority(authority)))
    if answer == "yes":
        ts_run(both)
        assert both.server.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"
    else:
        with pytest.raises(sspi.SSPIError, match="disabled"):
            ts_run(both)
    assert len(authority.asked) == 1


def test_no_key_is_seen_in_an_error() -> None:
    from tests.test_tracebacks import shown

    key = b"0123456789abcdef"
    swapped = Authority(edit=lambda verdict: dataclasses.replace(verdict, session_base_key=Secret(key)))
    server = credssp.ServerContext(authority=swapped)
    client = credssp.ClientContext(ALICE, target_name="TERMSRV/srv", mechanism="ntlm")
    token = client.step().token
    while server.question is None:
        token = server.step(token).token
        if server.question is None:
            token = client.step(token).token
    with pytest.raises(CredSSPError) as error:
        server.answer(swapped.verify(server.question))
    assert repr(key)[2:-1] not in shown(error.value)
    assert repr(key)[2:-1] not in repr(swapped.verify(swapped.asked[0]))

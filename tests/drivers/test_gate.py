"""Who may connect: the books of a service, and both RDP servers with them."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.account import Account
from credssp.config import Limits, ServerConfig
from credssp.drivers import gate as gates
from credssp.drivers.gate import Gate
from credssp.drivers.guard import Guard, GuardedAccounts
from credssp.drivers.rdp_service import Refused
from credssp.errors import AuthenticationError, LimitExceededError, PeerRefusedError
from credssp.identity import Identity
from credssp.status import NTStatus
from tests.drivers.test_rdp_drivers import ACCOUNTS, ALICE, WRONG, kind, log_on_blocking, running, until

__all__ = ["kind"]

LOGON_FAILURE = AuthenticationError("no", ntstatus=NTStatus.STATUS_LOGON_FAILURE)


class Books:
    """A gate whose time and chance are given, and who was dropped."""

    def __init__(self, *, chance: float = 0.0, **limits: Any) -> None:
        self.now = 0.0
        self.dropped: list[str] = []
        self.gate = Gate(Limits(**limits), clock=lambda: self.now, chance=lambda: chance)

    def enter(self, name: str, host: str = "192.0.2.1", progress: int = 0) -> gates.Place | None:
        place = self.gate.enter((host, 1), lambda why: self.dropped.append(name))
        if place is not None and progress:
            self.gate.advance(place, progress)
        return place


def test_a_connection_that_has_sent_nothing_goes_first() -> None:
    books = Books(half_open=3)
    for name, progress in (("moving", 1), ("bare", 0), ("in TLS", 2)):
        books.enter(name, progress=progress)
    assert books.enter("new", progress=1) is not None
    assert books.dropped == ["bare"]
    books.enter("another", progress=1)
    assert books.dropped[1:] != ["in TLS"]
    assert len(books.gate.half_open) == 3


def test_a_source_takes_the_places_of_its_own() -> None:
    books = Books(half_open=100, half_open_per_source=2)
    books.enter("other", "198.51.100.1")
    for number in range(5):
        books.enter(f"{number}", progress=number == 0)
    assert books.dropped == ["1", "2", "3"]


def test_connections_that_are_logged_on_are_never_dropped_for_a_new_one() -> None:
    for limits in ({"connections": 4, "half_open": 3}, {"connections_per_source": 4}):
        books = Books(**limits)
        for number in range(4):
            place = books.enter(f"{number}")
            assert place is not None
            books.gate.opened(place)
        assert books.enter("new") is None
        books.gate.leave(place)
        books.gate.leave(place)
        assert books.gate.total == 3
        assert books.enter("new") is not None
        assert not books.dropped


def test_a_lost_login_counts_as_half_open_again() -> None:
    books = Books(half_open=2)
    place = books.enter("a", progress=1)
    assert place is not None
    books.gate.opened(place)
    assert not books.gate.half_open
    books.gate.reopened(place, print)
    assert books.gate.half_open == (place,)


@pytest.mark.parametrize(("chance", "dropped"), [(0.99, False), (0.01, True)])
def test_above_three_quarters_others_are_dropped_by_chance(chance: float, dropped: bool) -> None:
    books = Books(chance=chance, half_open=400, half_open_per_source=400)
    for number in range(300):
        books.enter(f"{number}")
    assert not books.dropped
    for number in range(10):
        books.enter(f"late {number}")
    assert bool(books.dropped) is dropped


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_what_one_source_is(one: str, other: str, same: bool) -> None:
    gate = Gate(Limits())
    assert (gate.source(one) == gate.source(other)) is same


def test_an_ipv4_network_can_be_a_source() -> None:
    gate = Gate(Limits(ipv4_prefix=24))
    assert gate.source("192.0.2.1") == gate.source("192.0.2.200") != gate.source("192.0.3.1")


def test_connections_stay_below_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "descriptors", lambda: 64)
    books = Books()
    for number in range(100):
        books.enter(f"{number}", f"192.0.2.{number}")
    assert len(books.gate.half_open) == 30


def test_failures_of_an_address_make_its_next_connections_wait_longer_and_longer() -> None:
    books = Books(source_failures=2, source_delay=4.0, failure_window=100.0)
    holds = []
    for _ in range(7):
        books.gate.failed("192.0.2.1", LOGON_FAILURE)
        place = books.enter("a")
        assert place is not None
        holds.append(place.hold)
    assert holds == [0.0, 0.0, 1.0, 2.0, 4.0, 4.0, 4.0]
    place = books.enter("b", "192.0.2.2")
    assert place is not None
    assert place.hold == 0.0
    books.now = 200.0
    books.gate.failed("192.0.2.1", LOGON_FAILURE)
    place = books.enter("a")
    assert place is not None
    assert place.hold == 0.0


def test_only_wrong_names_and_passwords_are_failures() -> None:
    books = Books(source_failures=1)
    for _ in range(9):
        books.gate.failed("192.0.2.1", LimitExceededError("no"))
    place = books.enter("a")
    assert place is not None
    assert place.hold == 0.0


def test_books_of_failures_are_bounded() -> None:
    books = Books(source_failures=1)
    for number in range(10_000):
        books.gate.failed(f"2001:db8:{number:x}::1", LOGON_FAILURE)
    assert len(books.gate._addresses._all) == 4096


def test_a_locked_account_is_not_found_and_its_failures_do_not_count() -> None:
    books = Books(account_failures=1)
    guard = Guard(ServerConfig(accounts=ACCOUNTS), books.gate)
    accounts = guard.accounts
    assert accounts is not None
    error = AuthenticationError("no", ntstatus=NTStatus.STATUS_LOGON_FAILURE)
    error.claim = credssp.errors.Claim("lab", "ALICE", "", "ntlm")
    seen = []
    for _ in range(4):
        seen.append(bool(accounts.find("lab", "ALICE")))
        guard.failed("192.0.2.1", error)
    assert seen == [True, True, False, False]
    books.now = 1.1
    (alice,) = accounts.find("LAB", "alice")
    guard.succeeded(Identity(username="alice", domain="LAB", mechanism="ntlm", account=alice))
    accounts.find("lab", "ALICE")
    guard.failed("192.0.2.1", error)
    assert accounts.find("LAB", "alice")


@pytest.mark.parametrize("hook", [True, False])
def test_a_right_password_of_a_locked_account_gets_the_answer_of_a_wrong_one(kind: str, hook: bool) -> None:
    locked = threading.Event()
    options: dict[str, Any] = {"lockout": lambda domain, username: locked.is_set()} if hook else {"account_failures": 2}
    with running(kind, **options) as server:
        assert log_on_blocking(server.address) == b"HELLO"
        for _ in range(3):
            with pytest.raises(PeerRefusedError) as wrong:
                log_on_blocking(server.address, WRONG)
        locked.set()
        with pytest.raises(PeerRefusedError) as right:
            log_on_blocking(server.address)
        assert str(right.value) == str(wrong.value)
        until(lambda: len(server.told(Refused)) == 4)
        assert [event.locked for event in server.told(Refused)] == [False] * 3 + [True]
        assert server.told(Refused)[0].error.claim.username == "alice"
        locked.clear()
        time.sleep(0 if hook else 1.1)
        assert log_on_blocking(server.address) == b"HELLO"


def test_an_address_with_failures_waits_and_gets_in(kind: str) -> None:
    with running(kind, source_failures=1) as server:
        begin = time.monotonic()
        for _ in range(3):  # a failure may be noted after the client was told, so the first wait is for one of two
            with pytest.raises(PeerRefusedError):
                log_on_blocking(server.address, WRONG)
        assert log_on_blocking(server.address) == b"HELLO"
        assert time.monotonic() - begin > 0.5


def test_a_lockout_hook_that_raises_refuses(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken(domain: str, username: str) -> bool:
        raise ValueError(f"the password of {username} is hunter2")

    with running(kind, lockout=broken) as server, pytest.raises(PeerRefusedError):
        log_on_blocking(server.address)
    assert "hunter2" not in caplog.text


def test_the_store_is_asked_although_the_account_is_locked() -> None:
    asked = []

    class Store:
        def find(self, domain: str, username: str) -> list[Account]:
            asked.append(username)
            return [Account(domain, username, credssp.Secret(b"\0" * 16))]

    accounts = GuardedAccounts(Store(), Gate(Limits()), lambda domain, username: True)
    assert accounts.find("LAB", "alice") == ()
    assert asked == ["alice"]


def test_a_flood_from_one_address_does_not_lock_another_out(kind: str) -> None:
    with running(kind, on_event=None) as server, ExitStack() as stack:
        stop = threading.Event()

        def flood() -> None:
            held: list[socket.socket] = []
            while not stop.is_set():
                with suppress(OSError):
                    held.append(socket.create_connection(server.address, timeout=1, source_address=("127.0.0.2", 0)))
                if len(held) > 400:
                    held.pop(0).close()
                time.sleep(0.0005)
            for connection in held:
                connection.close()

        thread = threading.Thread(target=flood)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        time.sleep(0.3)
        for _ in range(20):
            assert log_on_blocking(server.address) == b"HELLO"
        assert server.half_open() <= 257


def test_the_listener_pauses_without_descriptors_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with await rdp.start_server(None, "127.0.0.1", 0, accounts=ACCOUNTS) as server:
            loop = asyncio.get_running_loop()
            real, failures = loop.sock_accept, [OSError(24, "Too many open files")] * 3

            async def accept(listener: socket.socket) -> Any:
                if failures:
                    raise failures.pop()
                return await real(listener)

            loop.sock_accept = accept  # type: ignore[method-assign]
            listener = server._listening()
            for _ in range(2):  # the accept that is under way is the real one
                async with await rdp.open_connection(*server.address, credentials=ALICE):
                    pass
                while failures:
                    listener.note_room()
                    await asyncio.sleep(0.01)

    asyncio.run(main())
    assert caplog.text.count("accept failed: Too many open files") == 1

"""What logins leave in the process: no credential caches, no keytabs, no open files, however they end."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from credssp import (
    CCacheCredentials,
    ClientContext,
    KeytabCredentials,
    LogonCredentials,
    PasswordCredentials,
    Secret,
    ServerContext,
)
from credssp.kerberos import acceptor_key, tickets
from credssp.target import Target
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab
from tests.kerberos.exchange import TARGET, log_on

pytestmark = pytest.mark.interop

ALICE = PasswordCredentials("alice", PASSWORD, domain=REALM)
WRONG = PasswordCredentials("alice", "wrong", domain=REALM)


class Made:
    """Names of the caches and keytabs in memory that were made."""

    def __init__(self) -> None:
        self.caches: list[str] = []
        self.keytabs: list[str] = []

    def left(self) -> list[str]:
        """Those that still hold something."""
        import krb5

        gc.collect()
        context = krb5.init_context()
        caches = [name for name in self.caches if list(krb5.cc_resolve(context, name.encode()))]
        return caches + [name for name in self.keytabs if list(krb5.kt_resolve(context, name.encode()))]


@pytest.fixture
def made(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Made:
    found = Made()
    for kind, attribute, names in (
        (tickets.MemoryTickets, "ccache", found.caches),
        (acceptor_key.AcceptorKeys, "_name", found.keytabs),
    ):
        original: Callable[..., None] = kind.__init__

        def spy(
            self: Any, *arguments: Any, original: Any = original, attribute: str = attribute, names: Any = names
        ) -> None:
            original(self, *arguments)
            names.append(getattr(self, attribute))

        monkeypatch.setattr(kind, "__init__", spy)
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", ["password", "keytab", "ccache", "wrong password"])
@pytest.mark.parametrize("spn", [TARGET, None])
def test_logins(lab: Lab, made: Made, kind: str, spn: str | None) -> None:
    credentials: dict[str, LogonCredentials] = {
        "password": ALICE,
        "keytab": KeytabCredentials(str(lab.realm.keytab("alice.keytab", "alice"))),
        "ccache": CCacheCredentials(lab.ccache),
        "wrong password": WRONG,
    }
    before = 0
    for _ in range(6):
        client = ClientContext(credentials[kind], target_name=TARGET, mechanism="kerberos")
        server = ServerContext(keytab=lab.keytab, spn=spn)
        outcome = log_on(client, server)
        assert (outcome.client_error is None) is (kind != "wrong password")
        if kind in ("password", "keytab"):
            assert made.caches
            assert not [name for name in made.left() if name in made.caches]  # while the contexts are still there
        del client, server, outcome
        gc.collect()
        before = before or open_files()
    assert open_files() == before
    assert made.left() == []
    assert bool(made.keytabs) is (kind != "wrong password")


def test_login_that_is_given_up_in_the_middle(lab: Lab, made: Made) -> None:
    client = ClientContext(ALICE, target_name=TARGET, mechanism="kerberos")
    server = ServerContext(keytab=lab.keytab)
    token = client.step().token
    while not made.caches:
        token = client.step(server.step(token).token).token
    assert made.left() == made.caches
    del client, server
    assert made.left() == []


def test_tickets_of_a_password_live_as_long_as_what_names_them(lab: Lab, made: Made) -> None:
    granted = tickets.password_tickets(f"alice@{REALM}", Secret(PASSWORD))
    assert made.left() == [granted.ccache]
    granted.close()
    granted.close()
    assert made.left() == []
    granted = tickets.password_tickets("alice", Secret(PASSWORD))
    assert made.left() == [granted.ccache]
    del granted
    assert made.left() == []


def test_service_tickets_leave_no_file_open(lab: Lab) -> None:
    before = open_files()
    for _ in range(5):
        tickets.service_ticket(Target("TERMSRV", "localhost"), CCacheCredentials(lab.ccache))
    gc.collect()
    assert open_files() == before

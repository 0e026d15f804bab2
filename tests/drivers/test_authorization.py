"""Who of those that can authenticate may log on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import credssp
from credssp import rdp
from credssp.config import ServerConfig
from credssp.credentials import DelegatedCredentials
from credssp.drivers.authorization import AuthorizationRequest, Authorizer, all_of, allow_groups
from credssp.drivers.pam import PamAuthorizer
from credssp.drivers.rdp_service import Refused
from credssp.errors import LocalProtocolError, PeerRefusedError
from credssp.identity import Identity
from credssp.rdp.early_user_authorization import AuthorizationDeniedError, EarlyUserAuthorization
from credssp.status import NTStatus
from tests.drivers.test_rdp_drivers import ALICE, kind, log_on_blocking, running, until
from tests.peers import require_program

__all__ = ["kind"]

YES, NO = EarlyUserAuthorization.AUTHZ_SUCCESS, EarlyUserAuthorization.AUTHZ_ACCESS_DENIED
GROUP, OTHER = "S-1-5-21-1-2-3-1116", "S-1-5-21-1-2-3-1117"


def request(*groups: str, password: str = "secret", **who: Any) -> AuthorizationRequest:
    who = {"username": "alice", "domain": "LAB", "mechanism": "ntlm", **who}
    return AuthorizationRequest(
        identity=Identity(**who, groups=groups),
        credentials=credssp.PasswordCredentials("alice", password),
        peer=("192.0.2.1", 1),
    )


async def ask(authorizer: Authorizer, what: AuthorizationRequest) -> EarlyUserAuthorization:
    result = authorizer.ask(what)
    return result if isinstance(result, EarlyUserAuthorization) else await result


def decided(authorize: Any, what: AuthorizationRequest | None = None) -> EarlyUserAuthorization:
    """Return what both kinds of servers make of a function."""
    what = what or request()
    found = {Authorizer(authorize).decide(what), asyncio.run(ask(Authorizer(authorize), what))}
    (result,) = found
    return result


# The function


def test_both_forms_of_the_function_are_called() -> None:
    seen: list[Any] = []

    def whole(what: AuthorizationRequest) -> bool:
        seen.append((what.identity.username, what.groups, what.peer))
        return True

    def whole_with_default(what: AuthorizationRequest, allowed: bool = True) -> bool:
        return allowed

    def parts(identity: Identity, credentials: DelegatedCredentials) -> bool:
        seen.append((identity.username, type(credentials).__name__))
        return True

    class Function:
        def __call__(self, what: AuthorizationRequest) -> bool:
            return what.identity.username == "alice"

        def method(self, identity: Identity, credentials: DelegatedCredentials) -> bool:
            return identity.domain == "LAB"

    for function in (whole, whole_with_default, parts, Function(), Function().method):
        assert decided(function, request(GROUP)) is YES
    assert seen[0] == ("alice", (GROUP,), ("192.0.2.1", 1))
    assert seen[2] == ("alice", "PasswordCredentials")
    mock = Mock(return_value=True)  # takes anything: the form of release 0.1.0
    assert decided(mock) is YES
    assert len(mock.call_args.args) == 2


@pytest.mark.parametrize("verdict", [False, None, 1, "yes", NO, ValueError("the password is hunter2")])
def test_what_is_not_plainly_a_yes_is_a_no(verdict: Any, caplog: pytest.LogCaptureFixture) -> None:
    def authorize(what: AuthorizationRequest) -> Any:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    assert decided(authorize) is NO
    assert "hunter2" not in caplog.text


def test_no_function_lets_everybody_in() -> None:
    assert decided(None) is YES


def test_a_coroutine_function_is_for_asyncio() -> None:
    async def authorize(what: AuthorizationRequest) -> bool:
        return True

    assert asyncio.run(ask(Authorizer(authorize), request())) is YES
    assert Authorizer(authorize).decide(request()) is NO


def test_the_servers_tell_request_and_peer(kind: str) -> None:
    seen: list[AuthorizationRequest] = []

    def authorize(what: AuthorizationRequest) -> bool:
        seen.append(what)
        return True

    with running(kind, authorize=authorize) as server:
        assert log_on_blocking(server.address, cookie="of-the-client") == b"HELLO"
    (what,) = seen
    assert what.request is not None
    assert what.request.cookie == "of-the-client"
    assert what.peer is not None
    assert what.peer[0] == "127.0.0.1"
    assert what.credentials == ALICE


def test_a_function_that_blocks_delays_nobody_on_asyncio() -> None:
    entered, release = threading.Event(), threading.Event()

    class Slow:
        blocking = True

        def __call__(self, what: AuthorizationRequest) -> bool:
            if what.peer is not None and not entered.is_set():
                entered.set()
                assert release.wait(60)
            return True

    with running("asyncio", authorize=Slow()) as server:
        first = threading.Thread(target=log_on_blocking, args=(server.address,))
        first.start()
        assert entered.wait(30)
        assert log_on_blocking(server.address) == b"HELLO"
        assert first.is_alive()
        release.set()
        first.join(30)
        assert not first.is_alive()


# Groups


def test_members_of_any_of_the_groups_may_log_on() -> None:
    authorize = allow_groups(GROUP, OTHER)
    assert decided(authorize, request(OTHER)) is YES
    assert decided(authorize, request(GROUP, "S-1-5-32-544")) is YES
    assert decided(authorize, request("S-1-5-21-1-2-3-111")) is NO
    assert decided(authorize, request()) is NO


def test_names_of_groups_are_looked_up_at_once() -> None:
    asked = []

    def find(name: str) -> str:
        asked.append(name)
        return GROUP

    authorize = allow_groups("LAB\\RDP Users", OTHER, find=find)
    assert asked == ["LAB\\RDP Users"]
    assert decided(authorize, request(GROUP)) is YES


@pytest.mark.parametrize("groups", [(), (5,), ("",), ("no such group",)])
def test_groups_that_make_no_sense_are_named(groups: Any) -> None:
    def find(name: str) -> str:
        raise LocalProtocolError(f"there is no {name!r}")

    with pytest.raises(LocalProtocolError):
        allow_groups(*groups, find=find)


def test_accounts_of_the_server_may_have_groups(kind: str) -> None:
    member = credssp.accounts.Account(
        "LAB", "alice", bytes(16), sid="S-1-5-21-1-2-3-1104", groups=[OTHER, GROUP, OTHER]
    )
    assert member.groups == (GROUP, OTHER)
    with pytest.raises(LocalProtocolError, match="SIDs"):
        credssp.accounts.Account("LAB", "alice", bytes(16), groups=["Users"])
    accounts = credssp.MemoryAccounts(
        [credssp.accounts.Account("LAB", "alice", credssp.nt_hash.nt_hash(ALICE.password.reveal()), groups=[GROUP])]
    )
    with running(kind, accounts=accounts, authorize=allow_groups(GROUP)) as server:
        assert log_on_blocking(server.address) == b"HELLO"
    with running(kind, accounts=accounts, authorize=allow_groups(OTHER)) as server:
        with pytest.raises((AuthorizationDeniedError, PeerRefusedError)):
            log_on_blocking(server.address)
        until(lambda: server.told(Refused))
        assert server.told(Refused)[0].error.ntstatus == NTStatus.STATUS_ACCESS_DENIED


def test_all_of_asks_in_order_and_stops_at_a_no() -> None:
    asked: list[str] = []

    def first(what: AuthorizationRequest) -> bool:
        asked.append("first")
        return what.identity.username == "alice"

    def second(identity: Identity, credentials: DelegatedCredentials) -> bool:
        asked.append("second")
        return True

    assert Authorizer(all_of(first, second)).decide(request()) is YES
    assert Authorizer(all_of(first, second)).decide(request(username="bob")) is NO
    assert asked == ["first", "second", "first"]


# PAM


@pytest.mark.parametrize(
    "arguments",
    [{"service": ""}, {"service": "a/b"}, {"service": "x", "stages": ["auth"]}, {"service": "x", "stages": "account"}],
)
def test_pam_arguments_that_make_no_sense_are_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        PamAuthorizer(**arguments)


WRAPPER = Path("/usr/lib/x86_64-linux-gnu/libpam_wrapper.so")
MATRIX = Path("/usr/lib/x86_64-linux-gnu/pam_wrapper/pam_matrix.so")


@pytest.fixture
def pam(tmp_path: Path) -> dict[str, str]:
    """An environment with PAM services of our own: alice and LAB\\bob, whose account may not use `closed`."""
    if not (WRAPPER.exists() and MATRIX.exists()):
        pytest.skip("libpam-wrapper is not installed")
    services, users = tmp_path / "services", tmp_path / "users"
    services.mkdir()
    users.write_text("alice:right:rdp\nLAB\\bob:right:rdp\n")
    for name in ("rdp", "closed", "other"):
        stages = ("auth", "account", "session", "password")
        lines = (f"{stage} required {MATRIX} passdb={users} verbose\n" for stage in stages)
        (services / name).write_text("".join(lines))
    return {
        "LD_PRELOAD": str(WRAPPER),
        "PAM_WRAPPER": "1",
        "PAM_WRAPPER_SERVICE_DIR": str(services),
        "HOME": str(tmp_path),
    }


CALL = """
import sys
from tests.drivers.test_authorization import request
from credssp.drivers.pam import PamAuthorizer
service, stages, user, authority, password = sys.argv[1:]
authorize = PamAuthorizer(service, stages=stages.split(","))
print(authorize(request(username=user, authority=authority, password=password)))
"""


@pytest.mark.interop
@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("rdp", "auth,account", "alice", "accounts", "right"), True),
        (("rdp", "auth,account", "bob", "domain", "right"), True),
        (("rdp", "auth,account", "alice", "accounts", "wrong"), False),
        (("rdp", "auth,account", "alice", "accounts", ""), False),
        (("rdp", "auth,account", "nobody", "accounts", "right"), False),
        (("rdp", "auth,account", "a\x00", "accounts", "right"), False),
        (("closed", "auth,account", "alice", "accounts", "right"), False),
        (("rdp", "account", "alice", "accounts", ""), True),
        (("closed", "account", "alice", "accounts", ""), False),
        (("no-such-service", "account", "alice", "accounts", ""), False),
    ],
)
def test_pam_decides(pam: dict[str, str], arguments: tuple[str, ...], allowed: bool) -> None:
    if "\0" in "".join(arguments):
        assert not PamAuthorizer("rdp")(request(username="a\0"))
        return
    done = subprocess.run(
        [sys.executable, "-c", CALL, *arguments],
        env=os.environ | pam,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == [str(allowed)], done.stderr
    assert "right" not in done.stderr.replace("right owner", "")


@pytest.mark.interop
def test_a_smart_card_or_nothing_has_no_password_for_pam() -> None:
    what = request()
    for credentials in (credssp.SmartCardCredentials(pin="1234"), credssp.PasswordCredentials.empty()):
        assert not PamAuthorizer("rdp")(
            AuthorizationRequest(identity=what.identity, credentials=credentials, peer=what.peer)
        )


@pytest.mark.interop
def test_serve_asks_pam(pam: dict[str, str]) -> None:
    require_program(sys.executable)
    command = [sys.executable, "-m", "credssp", "serve", "rdp", "--listen", "127.0.0.1:0", "--json", "--pam", "rdp"]
    accounts = ["--user", "alice:right", "--user", "carol:right"]
    with subprocess.Popen(
        [*command, *accounts], env=os.environ | pam, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = int(line.partition('"address": "127.0.0.1:')[2].partition('"')[0])
            rdp.connect("127.0.0.1", port, credentials=credssp.PasswordCredentials("alice", "right")).close()
            with pytest.raises(AuthorizationDeniedError):
                rdp.connect("127.0.0.1", port, credentials=credssp.PasswordCredentials("carol", "right"))
        finally:
            process.terminate()


# The command line


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--allow-group", "LAB\\RDP Users"), "only --winbind knows names"),
        (("--uid", "nobody", "--pam", "rdp"), "--pam does not go with --uid"),
        (("--uid", "nobody", "--winbind"), "winbindd_priv"),
    ],
)
def test_serve_says_what_does_not_go_together(
    options: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from credssp.cli import main

    if "--uid" in options and os.geteuid():
        pytest.skip("only root becomes somebody else")
    for protocol in ("rdp", "winrm"):
        assert main(["serve", protocol, "--listen", "127.0.0.1:0", "--user", "a:b", *options]) == 2
        assert text in capsys.readouterr().err


def test_the_option_is_checked() -> None:
    with pytest.raises(LocalProtocolError, match="authorize"):
        ServerConfig(authorize="yes")  # type: ignore[arg-type]

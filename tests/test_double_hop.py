"""Double hops: the servers, the fixtures, the assertions, and each failure's text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")

import credssp
from credssp import CredSSPError, LocalProtocolError, NTStatus, PasswordCredentials, rdp
from credssp.credentials import RemoteGuardCredentials, SmartCardCredentials
from credssp.testing import DEFAULT_ACCOUNTS, RDPServer
from credssp.testing.answers import CommandCall, CommandOutput
from credssp.testing.double_hop import (
    DoubleHop,
    NothingDelegatedError,
    assert_double_hop,
    assert_no_double_hop,
    hop_options,
    use_delegated,
)
from credssp.testing.winrm import WinRMServer

PASSWORD = DEFAULT_ACCOUNTS["LAB", "alice"]
ALICE = PasswordCredentials("alice", PASSWORD, domain="LAB")
OTHER = {("LAB", "alice"): "other", ("LAB", "service"): PASSWORD}

Make = Callable[..., Any]


def log_on(server: RDPServer | WinRMServer, command: str = "hostname", **options: Any) -> CommandOutput:
    """Log on to the first server, as the client under test does, and run a command where there is a shell."""
    if isinstance(server, RDPServer):
        rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm", **options).close()
        return CommandOutput()
    return use_delegated(ALICE, server, command=command, mechanism="ntlm", **options)


@pytest.mark.parametrize(
    "credssp_double_hop", ["winrm-to-winrm", "winrm-to-rdp", "rdp-to-winrm", "rdp-to-rdp"], indirect=True
)
def test_what_is_delegated_to_the_first_logs_on_to_the_second(credssp_double_hop: DoubleHop) -> None:
    log_on(credssp_double_hop.first)
    credssp_double_hop.assert_double_hop(username="alice", domain="LAB", password=PASSWORD)
    assert credssp_double_hop.second.delegations[-1].identity.username == "alice"
    assert not credssp_double_hop.failures


@pytest.mark.parametrize("https", [False, True])
def test_a_command_runs_on_the_second_server(make_credssp_double_hop: Make, https: bool) -> None:
    answers = {"sort*": lambda call: CommandOutput(f"{call.user} on {call.host}: {'é' * 300_000}", "odd", 3)}
    hop = make_credssp_double_hop(second_options={"https": https, "commands": answers})
    output = log_on(hop.first, "sort <&'\" x")
    assert output.stdout == f"alice on second: {'é' * 300_000}".encode()
    assert (output.stderr, output.exit_code) == (b"odd", 3)
    assert hop.second.calls[-1].command == "sort <&'\" x"
    hop.assert_double_hop()


def test_standard_input_goes_to_the_second_server(make_credssp_double_hop: Make) -> None:
    text = "ä<&]]>\r\n" * 30_000
    hop = make_credssp_double_hop(second_options={"commands": {"sort": lambda call: call.stdin}})
    output = use_delegated(ALICE, hop.first, command="sort", stdin=text, mechanism="ntlm")
    assert output.stdout == text.encode()
    hop.assert_double_hop()


def test_a_slow_command_is_waited_for(make_credssp_double_hop: Make) -> None:
    from credssp.testing.answers import Answer

    hop = make_credssp_double_hop(second_options={"commands": [Answer(stdout=("one,", "two"), delay=0.05)]})
    assert log_on(hop.first).stdout == b"one,two"


@pytest.mark.parametrize("options", [{"delegate": False}, {"restricted_admin": True}])
def test_without_delegation_an_rdp_server_has_nothing_for_the_second(
    make_credssp_double_hop: Make, options: dict[str, Any]
) -> None:
    hop = make_credssp_double_hop(first="rdp", second="rdp")
    log_on(hop.first, **options)
    hop.assert_no_double_hop(username="")
    (failure,) = hop.failures
    assert isinstance(failure, NothingDelegatedError)
    assert "SEC_E_NO_CREDENTIALS 0x8009030E" in str(failure)
    assert "without Restricted Admin mode" in failure.advice
    with pytest.raises(AssertionError, match="no second hop is possible: the client delegated an empty set") as caught:
        hop.assert_double_hop()
    assert "at the second server no client connected" in str(caught.value)


def test_without_delegation_the_command_is_denied_as_on_windows(credssp_double_hop: DoubleHop) -> None:
    output = log_on(credssp_double_hop.first, delegate=False)
    assert output.exit_code == 5
    assert isinstance(output.stderr, bytes)
    first, reason, *_ = output.stderr.decode().split("\r\n")
    assert first == "Access is denied."
    assert "the client delegated an empty set" in reason
    credssp_double_hop.assert_no_double_hop(username="")
    with pytest.raises(
        AssertionError,
        match=r"first hop: delegated username is '', expected 'alice'; there was a login: "
        r"LAB\\alice, who delegated an empty set; the program on the first server got: there is nothing to log on",
    ):
        credssp_double_hop.assert_double_hop(username="alice")


@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        (PasswordCredentials.empty(), "the client delegated an empty set"),
        (SmartCardCredentials(pin=credssp.Secret("0000")), "a smart card, which works where the session redirects"),
        (
            RemoteGuardCredentials(package_name="Kerberos", buffer=credssp.Secret(b"x")),
            "Remote Credential Guard: it delegated tickets",
        ),
    ],
)
def test_what_does_not_log_on_anywhere_is_said(credentials: Any, text: str) -> None:
    with RDPServer() as server:
        with pytest.raises(NothingDelegatedError, match=text):
            use_delegated(credentials, server)
        assert not server.delegations
        assert not server.refusals


def test_a_smart_card_makes_no_second_hop(make_credssp_double_hop: Make) -> None:
    hop = make_credssp_double_hop(first="rdp")
    log_on(hop.first, delegated_credentials=SmartCardCredentials(pin=credssp.Secret("0000")))
    hop.assert_no_double_hop()
    with pytest.raises(AssertionError, match="no second hop is possible: the client delegated a smart card") as caught:
        hop.assert_double_hop()
    assert "0000" not in str(caught.value)


@pytest.mark.parametrize("second", ["winrm", "rdp"])
def test_the_second_server_refuses_the_password(make_credssp_double_hop: Make, second: str) -> None:
    hop = make_credssp_double_hop(second=second, second_options={"accounts": credssp.MemoryAccounts(OTHER)})
    output = log_on(hop.first)
    assert output.exit_code == 1326
    assert isinstance(output.stderr, bytes)
    assert output.stderr.startswith(b"The user name or password is incorrect.\r\n")
    hop.second.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
    hop.assert_no_double_hop()
    with pytest.raises(
        AssertionError, match=r"second hop: expected a login, and LAB\\alice was refused: wrong pas"
    ) as e:
        hop.assert_double_hop(timeout=0.1)
    assert r"delegated was LAB\alice; the program on the first server got: " in str(e.value)
    assert PASSWORD not in str(e.value)


def test_a_second_server_that_is_gone(make_credssp_double_hop: Make) -> None:
    hop = make_credssp_double_hop()
    hop.second.stop()
    output = log_on(hop.first)
    assert output.exit_code == 1
    assert b"no connection to 127.0.0.1" in output.stderr  # type: ignore[operator]


def test_a_fault_of_the_second_server(make_credssp_double_hop: Make) -> None:
    from credssp.testing.answers import Answer

    hop = make_credssp_double_hop(second_options={"commands": [Answer(fault="access-denied")]})
    output = log_on(hop.first)
    assert output.exit_code == 1
    assert b"answered Command with the fault 5: " in output.stderr  # type: ignore[operator]


# Programs of one's own


def test_a_program_of_ones_own(make_credssp_winrm_server: Make, make_credssp_rdp_server: Make) -> None:
    second = make_credssp_rdp_server()

    def program(call: CommandCall) -> str:
        use_delegated(call, second)
        return "done"

    first = make_credssp_winrm_server(DEFAULT_ACCOUNTS, commands=program)
    assert log_on(first).stdout == b"done"
    assert_double_hop(first, second, username="alice", domain="LAB", password=PASSWORD)
    with pytest.raises(AssertionError, match=r"second hop: expected no login, and there was a login: LAB\\alice"):
        assert_no_double_hop(first, second)


def test_a_program_that_uses_other_credentials(make_credssp_winrm_server: Make) -> None:
    accounts = {**DEFAULT_ACCOUNTS, ("LAB", "service"): "hidden"}
    second = make_credssp_winrm_server(accounts)
    service = PasswordCredentials("LAB\\service", "hidden")
    first = make_credssp_winrm_server(
        accounts, commands=lambda call: use_delegated(service, second, command=call.command)
    )
    log_on(first)
    with pytest.raises(
        AssertionError,
        match=r"second hop: LAB\\service logged on, and LAB\\alice was delegated .*, where the program uses other cred",
    ):
        assert_double_hop(first, second)


def test_a_program_that_does_not_go_on(make_credssp_winrm_server: Make) -> None:
    first, second = make_credssp_winrm_server(DEFAULT_ACCOUNTS), make_credssp_winrm_server(DEFAULT_ACCOUNTS)
    with pytest.raises(AssertionError, match="first hop: expected a login, and no client logged on within 0 s"):
        assert_double_hop(first, second, timeout=0)
    with pytest.raises(AssertionError, match="first hop: expected a login, and no client logged on within 0 s"):
        assert_no_double_hop(first, second, timeout=0)
    log_on(first)
    with pytest.raises(AssertionError, match=r"second hop: .* no client logged on within 0 s; delegated was LAB\\alic"):
        assert_double_hop(first, second, timeout=0)


@pytest.mark.parametrize(
    ("username", "domain", "same"),
    [
        ("ALICE", "lab", True),
        ("alice@lab", "", True),
        ("alice@lab.test", "", True),  # of a DNS name and a NetBIOS name, nobody here knows whether they are one
        ("alice", "", True),
        ("alice", "OTHER", False),
        ("bob", "LAB", False),
    ],
)
def test_who_is_the_same_user(username: str, domain: str, same: bool) -> None:
    from credssp.testing.double_hop import _same

    identity = credssp.Identity(username="alice", domain="LAB", mechanism="ntlm")
    assert _same(identity, PasswordCredentials(username, "x", domain=domain)) is same


def test_arguments_that_make_no_sense() -> None:
    for chosen in ("winrm", "smb-to-rdp", "rdp-to-"):
        with pytest.raises(LocalProtocolError, match=f"double hop '{chosen}': use rdp or winrm"):
            hop_options(chosen)
    assert hop_options({"first": "rdp"}) == {"first": "rdp"}
    with pytest.raises(LocalProtocolError, match="second='smb': not rdp or winrm"):
        DoubleHop(second="smb")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="colour"):
        DoubleHop(second_options={"colour": "red"})


def test_listeners_of_the_first_server_are_called(make_credssp_double_hop: Make) -> None:
    told: list[str] = []
    hop = make_credssp_double_hop(
        first="rdp", first_options={"on_event": lambda client, event: told.append(type(event).__name__)}
    )
    log_on(hop.first)
    hop.assert_double_hop()
    assert told[:2] == ["Negotiated", "Delegated"]


def test_a_handler_of_ones_own_is_kept(make_credssp_double_hop: Make) -> None:
    hop = make_credssp_double_hop(first_options={"commands": {"*": "canned"}})
    assert log_on(hop.first).stdout == b"canned"
    hop.assert_no_double_hop(username="alice")


def test_errors_are_ours() -> None:
    assert issubclass(NothingDelegatedError, CredSSPError)
    with RDPServer() as server:
        port = server.port
    gone = RDPServer(port=port)
    with pytest.raises(LocalProtocolError, match="not started"):
        use_delegated(ALICE, gone)

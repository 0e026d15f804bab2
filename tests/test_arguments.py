"""A wrong argument is refused where it is given, by its name: both roles, blocking and asyncio, both HTTP libraries."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credssp import (
    ClientConfig,
    ClientContext,
    LocalProtocolError,
    MemoryAccounts,
    NTHashCredentials,
    PasswordCredentials,
    ServerConfig,
    ServerContext,
    SmartCardCredentials,
    rdp,
)
from credssp.cli import main
from credssp.config import Limits, Timeouts
from credssp.credentials import CCacheCredentials
from credssp.drivers.rdp_service import Client, Refused, ServerEvent
from credssp.drivers.winrm import WinRMConnection
from credssp.target import Target
from credssp.testing import RDPServer
from credssp.tls.settings import ClientTLS

HOST = "127.0.0.1"
ALICE = PasswordCredentials("alice", "secret", domain="LAB")
ACCOUNTS = MemoryAccounts({("LAB", "alice"): "secret"})


# Credentials


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PasswordCredentials("alice", None), "password is a str, not a NoneType"),  # type: ignore[arg-type]
        (lambda: PasswordCredentials("alice", b"secret"), "password is a str, not a bytes"),  # type: ignore[arg-type]
        (lambda: PasswordCredentials("", "secret"), "username is empty"),
        (lambda: PasswordCredentials("LAB\\", "secret"), "username is empty"),
        (lambda: PasswordCredentials(None, "secret"), "username is a str, not a NoneType"),  # type: ignore[arg-type]
        (lambda: PasswordCredentials("alice", "secret", domain=None), "domain is a str"),  # type: ignore[arg-type]
        (lambda: PasswordCredentials("LAB\\alice", "secret", domain="LAB"), "the domain is given twice"),
        (lambda: NTHashCredentials("LAB\\alice", bytes(16), domain="LAB"), "the domain is given twice"),
        (lambda: NTHashCredentials("", bytes(16)), "username is empty"),
        (lambda: NTHashCredentials("alice", None), "an NT hash is 16"),  # type: ignore[arg-type]
        (lambda: SmartCardCredentials(pin=1234), "pin is a str, not a int"),  # type: ignore[arg-type]
        (lambda: CCacheCredentials(None), "a credential cache is named"),  # type: ignore[arg-type]
    ],
)
def test_credentials_name_what_is_wrong_and_no_secret(make: Callable[[], object], text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make()
    assert text in caught.value.message
    assert "secret" not in str(caught.value)


# Clients


def open_connection(**options: Any) -> Any:
    return asyncio.run(rdp.open_connection(HOST, **options))


def connect(**options: Any) -> Any:
    return rdp.connect(HOST, **options)


def context(**options: Any) -> Any:
    return ClientContext(**{"target_name": "TERMSRV/srv"} | options)


def http_requests(**options: Any) -> Any:
    return pytest.importorskip("credssp.drivers.winrm_requests").HTTPCredSSPAuth(**options)


def http_httpx(**options: Any) -> Any:
    return pytest.importorskip("credssp.drivers.winrm_httpx").CredSSPAuth(**options)


CLIENTS = [ClientConfig, context, connect, open_connection, http_requests, http_httpx]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"credentials": ("alice", "secret")}, "credentials takes PasswordCredentials(user, password)"),
        ({"credentials": "alice"}, "credentials takes PasswordCredentials(user, password)"),
        ({"credentials": PasswordCredentials.empty()}, "credentials: the user name is empty"),
        ({"delegated_credentials": ("alice", "secret")}, "delegated_credentials takes"),
        ({"mechanism": "ntml"}, "mechanism is one of auto, negotiate, ntlm, kerberos; not 'ntml'"),
        ({"wire_form": "kerberos"}, "wire_form"),
        ({"min_version": "5"}, "min_version '5'"),
        ({"min_version": 6, "max_version": 5}, "min_version 6 and max_version 5"),
        ({"target_name": ""}, "target_name is the SPN"),
        ({"target_name": 5}, "target_name is the SPN"),
        ({"limits": 5}, "limits takes credssp.config.Limits"),
    ],
)
def test_clients_refuse_options_by_name(client: Callable[..., Any], options: dict[str, Any], text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        client(**options)
    assert text in caught.value.message
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "value", "text"),
    [
        (ClientConfig, "tls", True, "tls takes a ClientTLS, not a bool"),
        (ClientConfig, "tls_session", "x", "tls_session takes a TLSSession, not a str"),
        (ClientConfig, "mutual_auth", "yes", "mutual_auth takes a bool, not a str"),
        (ClientConfig, "delegate", None, "delegate takes a bool, not a NoneType"),
        (ClientConfig, "channel_bindings", "tls-unique:", "channel_bindings takes a bytes, not a str"),
        (ClientConfig, "short_name_domain", 3, "short_name_domain takes a str, not a int"),
        (ClientConfig, "workstation", b"PC1", "workstation takes a str, not a bytes"),
        (ClientConfig, "observer", 3, "observer takes a callable, not a int"),
        (ClientConfig, "source", "fresh", "source takes a CredentialSource, not a str"),
        (ServerConfig, "tls", ClientTLS(), "tls takes a ServerTLS, not a ClientTLS"),
        (ServerConfig, "accounts", "alice", "accounts takes an account store"),
        (ServerConfig, "require_mic", None, "require_mic takes a bool, not a NoneType"),
        (ServerConfig, "authorize", 3, "authorize takes a callable, not a int"),
        (ServerConfig, "max_clock_skew", "5", "max_clock_skew takes a float, not a str"),
        (ServerConfig, "protocols", 2, "protocols takes a Protocol, not a int"),
        (ServerConfig, "path", 3, "path takes a str, not a int"),
        (ServerConfig, "spn", 3, "spn takes a str or a list of them"),
        (ServerConfig, "spn", ["TERMSRV/srv", None], "spn takes a str or a list of them"),
        (ServerConfig, "keytab", 3, "keytab takes a path or TYPE:residual, not a int"),
    ],
)
def test_an_option_of_another_type_is_refused_by_name(kind: Any, name: str, value: object, text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        kind(**{name: value})
    assert text in caught.value.message


@pytest.mark.parametrize("accounts", ["alice", {"alice": "secret"}, {("", "a", "b"): "secret"}, [("LAB", "alice")]])
def test_accounts_of_another_form_are_refused_by_name(accounts: Any) -> None:
    with pytest.raises(LocalProtocolError, match="accounts") as caught:
        MemoryAccounts(accounts)
    assert "secret" not in str(caught.value)


def test_a_certificate_is_a_pair_or_one_file() -> None:
    with pytest.raises(LocalProtocolError, match="certificate takes a pair"):
        ServerContext(certificate=(b"chain and key",))  # type: ignore[arg-type]


@pytest.mark.parametrize("client", [context, connect, open_connection, http_requests, http_httpx])
def test_a_policy_that_is_none_and_a_configuration_of_the_other_role(client: Callable[..., Any]) -> None:
    with pytest.raises(LocalProtocolError, match=r"\(config=...\) takes a ClientConfig, not a ServerConfig"):
        client(config=ServerConfig())
    if client in (context, connect, open_connection):
        with pytest.raises(LocalProtocolError, match="policy takes a DelegationPolicy or PolicySettings, not a str"):
            client(policy="all")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ClientContext(ALICE, target_name="TERMSRV/srv", mutal_auth=True), "ClientContext() has no option 'mu"),  # type: ignore[call-arg]
        (lambda: rdp.NLAClient(ALICE, host="srv", mutal_auth=True), "NLAClient() has no option 'mutal_auth'"),  # type: ignore[call-arg]
        (lambda: connect(mutal_auth=True), "connect() has no option 'mutal_auth'"),
        (lambda: open_connection(mutal_auth=True), "open_connection() has no option 'mutal_auth'"),
        (lambda: http_requests(mutal_auth=True), "HTTPCredSSPAuth() has no option 'mutal_auth'"),
        (lambda: http_httpx(mutal_auth=True), "CredSSPAuth() has no option 'mutal_auth'"),
        (lambda: ServerContext(requiremic=True), "ServerContext() has no option 'requiremic'"),  # type: ignore[call-arg]
        (lambda: rdp.NLAServer(requiremic=True), "NLAServer() has no option 'requiremic'"),  # type: ignore[call-arg]
        (lambda: rdp.serve(None, requiremic=True), "serve() has no option 'requiremic'"),  # type: ignore[call-arg]
        (lambda: asyncio.run(rdp.start_server(None, requiremic=True)), "start_server() has no option"),  # type: ignore[call-arg]
        (lambda: RDPServer(requiremic=True), "RDPServer() has no option 'requiremic'"),  # type: ignore[call-arg]
    ],
)
def test_an_unknown_keyword_names_what_was_called(call: Callable[[], object], name: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert name in str(caught.value)


@pytest.mark.parametrize("port", ["3389", 0, 65536, -1, True, None, 3389.0])
def test_a_port_is_a_number(port: Any) -> None:
    for call in (
        lambda: rdp.connect(HOST, port, credentials=ALICE),
        lambda: asyncio.run(rdp.open_connection(HOST, port, credentials=ALICE)),
        lambda: WinRMConnection(HOST, port),
    ):
        with pytest.raises(LocalProtocolError, match="port is an integer from 1 to 65535"):
            call()
    if port != 0:
        for listening in (lambda: rdp.serve(None, HOST, port), lambda: asyncio.run(rdp.start_server(None, HOST, port))):
            with pytest.raises(LocalProtocolError, match="port is an integer from 0 to 65535"):
                listening()


@pytest.mark.parametrize("auth", [http_requests, http_httpx])
class TestHTTP:
    """The classes for requests and httpx take the same forms of credentials."""

    def test_forms(self, auth: Callable[..., Any]) -> None:
        kind = type(auth())
        for made in (
            kind("LAB\\alice", "secret"),
            kind(username="LAB\\alice", password="secret"),
            kind(ALICE),
            kind(credentials=ALICE),
            kind(config=ClientConfig(credentials=ALICE)),
        ):
            assert made.config.credentials == ALICE
        assert kind().config.credentials is None
        assert kind(ALICE, encryption="always").config.encryption == "always"

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("alice",), "password is missing"),
            (("alice", b"secret"), "password is a str"),
            (("", "secret"), "username is empty"),
            ((None, "secret"), "password needs a username"),
            ((b"LAB\\alice", "secret"), "username is a str, not bytes"),
            ((ALICE, "secret"), "password needs a username"),
            ((("alice", "secret"),), "credentials takes PasswordCredentials"),
        ],
    )
    def test_mistakes(self, auth: Callable[..., Any], arguments: tuple[Any, ...], text: str) -> None:
        kind = type(auth())
        with pytest.raises(LocalProtocolError) as caught:
            kind(*arguments)
        assert text in caught.value.message
        assert "'secret'" not in str(caught.value)

    def test_credentials_twice(self, auth: Callable[..., Any]) -> None:
        kind = type(auth())
        with pytest.raises(LocalProtocolError, match="username and credentials are both given"):
            kind("alice", "secret", credentials=ALICE)
        with pytest.raises(LocalProtocolError, match="credentials are given twice"):
            kind(ALICE, credentials=ALICE)


def test_the_names_of_requests_credssp_are_options() -> None:
    auth = http_requests(auth_mechanism="ntlm", minimum_version=2)
    assert (auth.config.mechanism, auth.config.min_version) == ("ntlm", 2)
    with pytest.raises(LocalProtocolError, match="mechanism is one of"):
        http_requests(auth_mechanism="ntml")


# Servers


def start_server(**options: Any) -> None:
    async def run() -> None:
        async with await rdp.start_server(None, HOST, 0, **options):
            pass

    asyncio.run(run())


def serve(**options: Any) -> None:
    rdp.serve(None, HOST, 0, **options).close()


def winrm(**options: Any) -> None:
    from credssp.drivers.winrm_asgi import WinRMApplication

    WinRMApplication(lambda request: None, **options)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("server", [ServerConfig, ServerContext, rdp.NLAServer, serve, start_server, RDPServer, winrm])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"accounts": {("LAB", "alice"): "secret"}}, "accounts takes an account store"),
        ({"mechanisms": "ntlm"}, "mechanisms is a list of ntlm and kerberos"),
        ({"mechanisms": ["digest"]}, "mechanisms is a list of ntlm and kerberos"),
        ({"min_version": 7}, "min_version 7"),
        ({"max_version": None}, "max_version None"),
        ({"limits": Timeouts()}, "limits takes credssp.config.Limits"),
        ({"max_clock_skew": -1}, "max_clock_skew is a number of seconds, 0 or more, not -1"),
        ({"max_clock_skew": float("nan")}, "max_clock_skew is a number of seconds, 0 or more, not nan"),
        ({"policy": 3}, "policy takes a DelegationPolicy or PolicySettings, not a int"),
    ],
)
def test_servers_refuse_options_by_name(server: Callable[..., Any], options: dict[str, Any], text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        server(**options)
    assert text in caught.value.message
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ({"half_open": 0}, "half_open is an integer of 1 or more"),
        ({"max_legs": "5"}, "max_legs is an integer"),
        ({"deadline": 0}, "deadline is a positive number of seconds"),
        ({"deadline": float("inf")}, "deadline is a positive number of seconds"),
        ({"max_legs": True}, "max_legs is an integer of 1 or more"),
        ({"leg": None}, "leg is a positive number of seconds"),
        ({"connections": 10, "half_open": 100}, "half_open is 100, more than connections, which is 10"),
        ({"connections": 10, "connections_per_source": 11}, "connections_per_source is 11, more than connections"),
        ({"half_open": 10, "half_open_per_source": 11}, "half_open_per_source is 11, more than half_open"),
    ],
)
def test_limits_name_what_is_wrong(bounds: dict[str, Any], text: str) -> None:
    for make in (Limits, RDPServer):
        with pytest.raises(LocalProtocolError, match=text):
            make(**bounds)


# The command line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-u", "LAB\\alice", "-d", "LAB"], "the domain is given twice"),
        (["-u", ""], "username is empty"),
        (["-u", "LAB\\"], "username is empty"),
    ],
)
def test_the_command_line_names_it_too(
    arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "secret")
    assert main(["login", "rdp://127.0.0.1:1", *arguments]) == 2
    assert text in capsys.readouterr().err


# What is raised inside a login is raised to the caller


class Broken(Exception):
    """Of an application: raised by its callback in the middle of a login."""


def broken(*_: object) -> None:
    raise Broken("the disk of the transcripts is full")


@pytest.mark.parametrize("client", ["blocking", "asyncio", "asyncio, in a thread"])
def test_an_exception_inside_a_client_is_its_own(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RDPServer({("LAB", "alice"): "secret"}) as server, pytest.raises(Broken):
        if client == "blocking":
            rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm", observer=broken)
        else:
            monkeypatch.setattr("credssp.drivers.rdp.may_block", lambda _: client.endswith("thread"))
            asyncio.run(rdp.open_connection(*server.address, credentials=ALICE, mechanism="ntlm", observer=broken))


@contextlib.contextmanager
def serving(kind: str, **options: Any) -> Iterator[tuple[str, int]]:
    if kind == "blocking":
        with rdp.serve(None, HOST, 0, **options) as blocking:
            thread = threading.Thread(target=blocking.serve_forever, daemon=True)
            thread.start()
            yield blocking.address
            blocking.close()
            thread.join(5)
    else:
        with RDPServer(**options) as server:
            yield server.address


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_an_exception_inside_a_server_is_told_to_its_owner(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Refused] = []
    done = threading.Event()

    def on_event(client: Client, event: ServerEvent) -> None:
        if isinstance(event, Refused):
            told.append(event)
            done.set()

    with serving(kind, accounts=ACCOUNTS, observer=broken, on_event=on_event, mechanisms=["ntlm"]) as address:
        with pytest.raises(Exception, match="closed|refused"):
            rdp.connect(*address, credentials=ALICE, mechanism="ntlm")
        assert done.wait(5)
    (refusal,) = told
    assert isinstance(refusal.error.__cause__, Broken)
    line = broken.__code__.co_firstlineno + 1
    assert f"a login failed inside the server (Broken) in broken, test_arguments.py line {line}" in caplog.text
    assert "disk" not in caplog.text


def test_an_exception_before_the_first_octet_ends_an_asyncio_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.rdp.client.NLAClient.start", broken)
    with socket.create_server((HOST, 0)) as listener, pytest.raises(Broken):
        asyncio.run(rdp.open_connection(HOST, listener.getsockname()[1], credentials=ALICE))


def test_a_small_limit_needs_no_other_limits() -> None:
    assert Limits(connections=10).half_open > 10


@pytest.mark.parametrize("server", [ServerContext, rdp.NLAServer, serve, start_server, winrm])
def test_a_certificate_that_cannot_be_read_is_found_when_a_server_is_made(server: Callable[..., Any]) -> None:
    with pytest.raises(LocalProtocolError, match="/nonexistent"):
        server(accounts=MemoryAccounts({("LAB", "alice"): "secret"}), certificate="/nonexistent")


def test_the_path_of_a_service_begins_with_a_slash() -> None:
    with pytest.raises(LocalProtocolError, match="path begins with a slash, such as /wsman, not 'wsman'"):
        winrm(path="wsman")


def log_on(client_options: dict[str, Any], server_options: dict[str, Any]) -> None:
    alice = PasswordCredentials("alice", "secret", domain="LAB")
    accounts = MemoryAccounts({("LAB", "alice"): "secret"})
    client = ClientContext(alice, target_name="TERMSRV/srv", mechanism="ntlm", **client_options)
    server = ServerContext(accounts=accounts, **server_options)
    token = b""
    while not server.complete:
        token = server.step(client.step(token).token).token


@pytest.mark.parametrize("role", [0, 1], ids=["client", "server"])
@pytest.mark.parametrize(
    ("random", "what"), [(lambda n: b"", "0 bytes"), (lambda n: bytes(n + 1), "9 bytes"), (lambda n: "x" * n, "str")]
)
def test_a_source_of_random_bytes_that_returns_something_else_is_named(role: int, random: Any, what: str) -> None:
    options: list[dict[str, Any]] = [{}, {}]
    options[role] = {"random": random}
    with pytest.raises(LocalProtocolError, match=f"random was asked for 8 bytes and returned {what}"):
        log_on(*options)


@pytest.mark.parametrize("time", ["x", 1.5, -1])
def test_a_clock_that_returns_something_else_is_named(time: Any) -> None:
    with pytest.raises(LocalProtocolError, match="clock returns nanoseconds since 1970 as an int"):
        log_on({}, {"clock": lambda: time})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TERMSRV/[::", "not an IP address"),
        ("TERMSRV/[::1]3389", "not an IP address"),
        ("TERMSRV/[srv]", "not an IP address"),
        ("TERMSRV/ho st", "not a host name"),
        ("TERMSRV/a..b", "not a host name"),
        ("TERMSRV/" + "a" * 64, "not a host name"),
        ("host:99999", "not one of 1 to 65535"),
        ("TERMSRV/host:0", "not one of 1 to 65535"),
        ("TERMSRV/a\x85b", "must not hold"),
    ],
)
def test_a_target_name_that_no_host_can_have_is_refused(name: str, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        Target.of_a_host(name)


@pytest.mark.parametrize("name", ["TERMSRV/[::1]:3389", "TERMSRV/::1", "TERMSRV/host:65535", "MSSQLSvc/host:INSTANCE"])
def test_a_target_name_that_a_host_can_have_is_taken(name: str) -> None:
    assert str(Target.of_a_host(name)) == name


@pytest.mark.parametrize("name", ["@", "alice@", "@example.test", "LAB\\@", "ali\x85ce", "ali\x9fce"])
def test_a_user_name_that_nobody_has_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="username"):
        PasswordCredentials(name, "secret")

"""Every option is declared once (credssp/config.py) and can be given by keyword and by configuration, typed."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp import MemoryAccounts, PasswordCredentials, PolicySettings, rdp, sspi
from credssp import config as c
from credssp.config import ClientConfig, Limits, ServerConfig, Timeouts
from credssp.context import ClientContext, ServerContext
from credssp.credentials import CredentialSource, NTHashCredentials, SmartCardCredentials
from credssp.engine import ClientEngine, ServerEngine
from credssp.errors import LocalProtocolError
from credssp.lsa.remote import Agent
from credssp.policy import DelegationPolicy
from credssp.proxy import Proxy
from credssp.rdp import Approach, NLAClient, NLAServer, Protocol, ResponseFlags
from credssp.secret import Secret
from credssp.testing import RDPServer
from credssp.tls.certificate import process_certificate
from credssp.tls.settings import ClientTLS, ServerTLS
from credssp.winrm import ClientLogin, ClientSession, ServerConnection
from tests.authorities import Authority

ROOT = Path(credssp.__file__).parent
ALICE = PasswordCredentials("alice", "secret", domain="LAB")
TARGET = "TERMSRV/srv.lab.test"
FIELDS = {kind: {option.name: option for option in fields(kind)} for kind in (ClientConfig, ServerConfig, Limits)}

CLIENTS = (c.ContextOptions, c.RDPConnectOptions, c.WinRMClientOptions)
SERVERS = (c.RDPServiceOptions, c.WinRMServiceOptions)


# One declaration


@pytest.mark.parametrize(
    ("kind", "dictionaries", "apart"), [(ClientConfig, CLIENTS, {"credentials"}), (ServerConfig, SERVERS, set())]
)
def test_keywords_are_the_fields_with_their_types(kind: type, dictionaries: tuple[Any, ...], apart: set[str]) -> None:
    keywords = {name: hint for each in dictionaries for name, hint in each.__annotations__.items()}
    declared = FIELDS[kind] | {name: FIELDS[Limits][name] for name in keywords.keys() & FIELDS[Limits].keys()}
    # What both roles may have as `credentials` is a parameter of its own everywhere, the first where it can be.
    assert keywords.keys() == declared.keys() - apart
    assert {name: hint.__forward_arg__ for name, hint in keywords.items()} == {
        name: option.type for name, option in declared.items() if name not in apart
    }


def test_each_limit_is_a_keyword_somewhere() -> None:
    assert {name for each in CLIENTS + SERVERS for name in each.__annotations__} >= FIELDS[Limits].keys()


@pytest.mark.parametrize("kind", [ClientConfig, ServerConfig, Limits, Timeouts])
def test_each_option_is_documented_where_it_is_declared(kind: type) -> None:
    documented = "".join(inspect.getdoc(base) or "" for base in kind.__mro__[:-1])
    for option in fields(kind):
        assert f"\n    {option.name}: " in documented, option.name


@pytest.mark.parametrize("name", ["mutual_auth", "min_version", "max_legs"])
def test_an_option_is_declared_three_times_at_most(name: str) -> None:
    found = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            argument = isinstance(node, ast.arg) and node.arg == name
            annotated = isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name
            if argument or annotated:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert len(found) <= 3, found


def test_types_of_the_layers_above_are_names_for_type_checkers() -> None:
    below = {
        "account",
        "credentials",
        "errors",
        "mechanism",
        "mechanism_name",
        "protocol_version",
        "status",
        "target",
        "wire",
    }
    tree = ast.parse((ROOT / "config.py").read_text(encoding="utf-8"))
    at_run_time = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    assert {name.split(".")[1] for name in at_run_time if name.startswith("credssp.")} <= below


def test_configurations_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        ClientConfig().mutual_auth = True  # type: ignore[misc]


# One decision about what is delegated

CARD = SmartCardCredentials(pin=Secret("1234"))
HASH = NTHashCredentials("alice", bytes(16))
EMPTY = PasswordCredentials.empty()


@pytest.mark.parametrize(
    ("options", "delegated"),
    [
        ({"credentials": ALICE}, ALICE),
        ({"credentials": ALICE, "delegated_credentials": CARD}, CARD),
        ({"credentials": HASH, "delegated_credentials": ALICE}, ALICE),
        ({"credentials": HASH}, EMPTY),
        ({}, EMPTY),
        ({"credentials": ALICE, "delegate": False}, EMPTY),
        ({"credentials": ALICE, "delegated_credentials": CARD, "delegate": False}, EMPTY),
        ({"credentials": ALICE, "restricted_admin": True}, EMPTY),
    ],
)
def test_what_is_delegated(options: dict[str, Any], delegated: Any) -> None:
    config = ClientConfig(**options)
    assert config.delegation == delegated
    assert config.delegates is (delegated != EMPTY)


# Every option, everywhere it applies: as a keyword, in a configuration, and beside one


def client_session(**options: Any) -> ClientSession:
    return ClientSession(host="srv.lab.test", **options)


def client_login(**options: Any) -> ClientLogin:
    return ClientLogin(host="srv.lab.test", **options)


def http_requests(**options: Any) -> Any:
    return pytest.importorskip("credssp.drivers.winrm_requests").HTTPCredSSPAuth(**options)


def http_httpx(**options: Any) -> Any:
    return pytest.importorskip("credssp.drivers.winrm_httpx").CredSSPAuth(**options)


def nla_client(**options: Any) -> NLAClient:
    return NLAClient(ALICE, host="srv.lab.test", **options)


def context(**options: Any) -> ClientContext:
    return ClientContext(ALICE, **{"target_name": TARGET} | options)


def client_engine(**options: Any) -> ClientEngine:
    mechanism: Any = None
    return ClientEngine(mechanism, public_key=b"key", **{"target_name": TARGET} | options)


def server_engine(**options: Any) -> ServerEngine:
    mechanism: Any = None
    return ServerEngine(mechanism, public_key=b"key", **options)


class _Configured:
    """What a function of the drivers was called with: they connect or listen, so what they make is looked at."""

    def __init__(self, config: Any) -> None:
        self.config = config


def connecting(name: str) -> Callable[..., _Configured]:
    def call(**options: Any) -> _Configured:
        seen: list[Any] = []

        class Seen(Exception):
            pass

        def endpoint(**made: Any) -> Any:
            seen.append(made["config"])
            raise Seen

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("credssp.drivers.rdp.NLAClient", endpoint)
            with pytest.raises(Seen):
                outcome = getattr(rdp, name)("srv.lab.test", **options)
                if inspect.iscoroutine(outcome):
                    asyncio.run(outcome)
        return _Configured(seen[0])

    call.__name__ = name
    return call


def serve(**options: Any) -> _Configured:
    with rdp.serve(None, port=0, **options) as server:
        return _Configured(server.settings.config)


def start_server(**options: Any) -> _Configured:
    async def run() -> _Configured:
        async with await rdp.start_server(None, port=0, **options) as server:
            return _Configured(server.settings.config)

    return asyncio.run(run())


def winrm_application(**options: Any) -> Any:
    from credssp.drivers.winrm_asgi import WinRMApplication

    return WinRMApplication(lambda request: None, **options)  # type: ignore[arg-type, return-value]


def winrm_server(**options: Any) -> Any:
    server = pytest.importorskip("credssp.testing.winrm").WinRMServer(**options)
    return _Configured(server._application.config)


CLIENT_ENTRIES: dict[Callable[..., Any], Any] = {
    context: c.ContextOptions,
    client_engine: c.ClientOptions,
    nla_client: c.RDPClientOptions,
    connecting("connect"): c.RDPConnectOptions,
    connecting("open_connection"): c.RDPConnectOptions,
    client_login: c.WinRMClientOptions,
    client_session: c.WinRMClientOptions,
    http_requests: c.WinRMClientOptions,
    http_httpx: c.WinRMClientOptions,
}
SERVER_ENTRIES: dict[Callable[..., Any], Any] = {
    ServerContext: c.ServerOptions,
    server_engine: c.ServerOptions,
    NLAServer: c.RDPServerOptions,
    serve: c.RDPServiceOptions,
    start_server: c.RDPServiceOptions,
    RDPServer: c.RDPServiceOptions,
    ServerConnection: c.WinRMConnectionOptions,
    winrm_application: c.WinRMServiceOptions,
    winrm_server: c.WinRMServiceOptions,
}


def observe(*_: object) -> None: ...


def draw(size: int) -> bytes:
    return bytes(size)


# A value for each option that is not its default.
CLIENT_VALUES: dict[str, Any] = {
    "target_name": "TERMSRV/other.lab.test",
    "policy_target": "WSMAN/other.lab.test",
    "mechanism": "kerberos",
    "dns_canonicalize": True,
    "short_name_domain": "other.test",
    "allow_ntlm_downgrade": True,
    "allow_empty_password": True,
    "wire_form": "kerberos",
    "carrier": "tokens",
    "delegate": False,
    "delegated_credentials": CARD,
    "policy": PolicySettings(),
    "source": CredentialSource.SAVED,
    "agent": Agent(),
    "outer_certificate": b"DER",
    "workstation": "PC1",
    "mutual_auth": True,
    "tls": ClientTLS(maximum="1.2"),
    "tls_session": None,  # made by a login alone: tests/tls
    "timeouts": Timeouts(leg=3),
    "proxy": Proxy(scheme="http", host="proxy.lab.test"),
    "protocols": Protocol.HYBRID,
    "approach": Approach.DIRECT,
    "restricted_admin": True,
    "cookie": "other",
    "routing_token": b"token",
    "correlation_id": b"0123456789abcdef",
    "bind_https": False,
    "encryption": "always",
    "service": "WSMAN",
    "spn_host": "alias.lab.test",
    "policy_service": "HTTP",
}
SERVER_VALUES: dict[str, Any] = {
    "accounts": MemoryAccounts({}),
    "authority": Authority(),
    "certificate": process_certificate(),
    "mechanisms": ("ntlm",),
    "spn": "HTTP/srv.lab.test",
    "keytab": "FILE:/nonexistent",
    "cbt_hardening": "relaxed",
    "service_principal": "HTTP/srv.lab.test@LAB.TEST",
    "accept_forwarded": True,
    "accept_anonymous": True,
    "require_pac": True,
    "allow_empty_password": True,
    "require_mic": False,
    "tell_lockout": True,
    "reveal_lockout": True,
    "max_clock_skew": 60.0,
    "target": None,  # needs NTLM's own type: tests/ntlm
    "clock": lambda: 1,
    "policy": PolicySettings(delegation=DelegationPolicy.deny_all()),
    "tls": ServerTLS(maximum="1.2", tickets=True, key_log=True),
    "protocols": Protocol.HYBRID_EX,
    "restricted_admin": False,
    "remote_guard": True,
    "direct": False,
    "response_flags": ResponseFlags.NONE,
    "lockout": lambda domain, username: False,
    "authorize": lambda identity, credentials: True,
    "on_event": observe,
    "reuse_port": True,
    "allow_proxies": True,
    "path": "/other",
    "encryption": "never",
    "on_login": observe,
    "on_close": observe,
}
COMMON: dict[str, Any] = {
    "min_version": 6,
    "max_version": 5,
    "channel_bindings": b"tls-server-end-point:hash",
    "limits": Limits(max_legs=7),
    "random": draw,
    "observer": observe,
}
# Those that go together with another, and those that a part wraps into one of its own.
WITH = {"wire_form": {"mechanism": "kerberos"}}
WRAPPED = {(RDPServer, "on_event"), (winrm_server, "on_login")}


def _options(entry: Any, accepted: Any, values: dict[str, Any]) -> list[Any]:
    name = getattr(entry, "__name__", "entry")
    bounds = {limit: getattr(Limits(), limit) + 1 for limit in FIELDS[Limits]} | {"ipv4_prefix": 24}
    return [
        pytest.param(entry, option, (values | COMMON | bounds)[option], id=f"{name}-{option}")
        for option in accepted.__annotations__
    ]


@pytest.mark.parametrize(
    ("entry", "option", "value"),
    [
        *(each for entry, accepted in CLIENT_ENTRIES.items() for each in _options(entry, accepted, CLIENT_VALUES)),
        *(each for entry, accepted in SERVER_ENTRIES.items() for each in _options(entry, accepted, SERVER_VALUES)),
    ],
)
def test_an_option_can_be_given_by_keyword_and_by_configuration(
    entry: Callable[..., Any], option: str, value: Any
) -> None:
    kind: Any = ClientConfig if entry in CLIENT_ENTRIES else ServerConfig
    options = {option: value} | WITH.get(option, {})
    in_limits = option in FIELDS[Limits]
    configuration = kind(limits=Limits(**options)) if in_limits else kind(**options)

    def given(made: Any) -> Any:
        return getattr(made.config.limits if in_limits else made.config, option)

    for made in (entry(**options), entry(config=configuration), entry(config=kind(max_version=6), **options)):
        if option == "target_name" and entry in (context, client_engine) and given(made) == TARGET:
            continue  # the entry's own, beside the configuration
        assert (entry, option) in WRAPPED or given(made) == value


@pytest.mark.parametrize(
    ("entry", "accepted"), [*CLIENT_ENTRIES.items(), *SERVER_ENTRIES.items()], ids=lambda each: each.__name__
)
def test_an_option_of_another_part_is_no_keyword(entry: Callable[..., Any], accepted: Any) -> None:
    kind = ClientConfig if entry in CLIENT_ENTRIES else ServerConfig
    for other in sorted((FIELDS[kind].keys() | FIELDS[Limits].keys()) - accepted.__annotations__.keys()):
        if other != "credentials":
            with pytest.raises(TypeError, match=rf"\w+\(\) has no option '{other}'"):
                entry(**{other: None})


def test_sspi_takes_configurations_for_what_no_function_has_an_argument_for() -> None:
    machine = sspi.local_security_authority().machine
    client, server = ClientConfig(workstation="PC1"), ServerConfig(require_mic=False)
    try:
        sspi.configure(client=client, server=server)
        assert (machine.client, machine.serving(None)) == (client, server)
        with pytest.raises(LocalProtocolError, match=r"configure\(config=...\) takes a ClientConfig"):
            sspi.configure(client=server)  # type: ignore[arg-type]
    finally:
        sspi.configure()
    assert machine.client == ClientConfig()


# Type checkers know all of it

SNIPPET = """
import httpx
import requests

from credssp import ClientConfig, ClientContext, MemoryAccounts, PasswordCredentials, ServerConfig, ServerContext
from credssp import Limits, Timeouts, rdp
from credssp.drivers.winrm_asgi import WinRMApplication, WinRMRequest, WinRMResponse
from credssp.drivers.winrm_httpx import CredSSPAuth
from credssp.drivers.winrm_requests import HTTPCredSSPAuth
from credssp.testing import RDPServer
from credssp.winrm import ClientLogin, ClientSession, ServerConnection

alice = PasswordCredentials("alice", "secret", domain="LAB")
client = ClientConfig(mutual_auth=True, limits=Limits(max_legs=5))
server = ServerConfig(accounts=MemoryAccounts({}), require_mic=False)


def handle(request: WinRMRequest) -> WinRMResponse:
    return WinRMResponse(b"")


def good() -> None:
    ClientContext(alice, target_name="TERMSRV/srv", mutual_auth=True, wire_form="kerberos", mechanism="kerberos")
    ClientContext(alice, config=client, target_name="TERMSRV/srv", carrier="tokens", workstation="PC1")
    ServerContext(config=server, channel_bindings=b"", max_clock_skew=5, max_legs=4)
    rdp.NLAClient(alice, host="srv", config=client, max_message_size=1000)
    rdp.NLAServer(config=server, channel_bindings=b"", direct=False)
    rdp.connect("srv", credentials=alice, mechanism="kerberos", wire_form="kerberos", timeouts=Timeouts(leg=1))
    rdp.serve(None, config=server, half_open=3, authorize=lambda identity, credentials: True)
    RDPServer(config=server, channel_bindings=b"", leg=1.0)
    ClientLogin(client, "srv", credentials=alice, max_version=5, channel_bindings=b"")
    ClientSession(host="srv", config=client, max_body=1000)
    ServerConnection(config=server, max_body=1000)
    WinRMApplication(handle, config=server, body_timeout=3, path="/other")
    requests.post("http://srv", auth=HTTPCredSSPAuth("LAB\\\\alice", "secret", config=client, max_version=6))
    requests.post("http://srv", auth=HTTPCredSSPAuth(alice, encryption="always"))
    httpx.post("http://srv", auth=CredSSPAuth("LAB\\\\alice", "secret", spn_host="other"))
    httpx.post("http://srv", auth=CredSSPAuth(alice, config=client))


async def good_too() -> None:
    await rdp.open_connection("srv", credentials=alice, config=client, workstation="PC1")
    await rdp.start_server(None, config=server, reuse_port=True)


def bad() -> None:
    ClientContext(alice, target_name="TERMSRV/srv", cookie="x")  # error
    ClientContext(alice, config=server, target_name="TERMSRV/srv")  # error
    ServerContext(half_open=3)  # error
    rdp.connect("srv", mechanism="ntml")  # error
    rdp.connect("srv", credentials=("alice", "secret"))  # error
    rdp.connect("srv", 3389, require_mic=True)  # error
    WinRMApplication(handle, direct=False)  # error
    HTTPCredSSPAuth(alice, cookie="x")  # error
    ClientConfig(mutal_auth=True)  # error
"""


def test_type_checkers_take_every_option_and_refuse_others(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    for library in ("requests", "httpx", "uvicorn"):
        pytest.importorskip(library)
    page = tmp_path / "snippet.py"
    page.write_text(textwrap.dedent(SNIPPET), encoding="utf-8")
    output, trouble, _ = api.run([str(page), f"--config-file={ROOT.parent / 'pyproject.toml'}", "--no-pretty"])
    assert not trouble
    wrong = {int(line.split(":")[1]) for line in output.splitlines() if ": error: " in line and "snippet.py" in line}
    expected = {at for at, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1) if "# error" in line}
    assert wrong == expected, output

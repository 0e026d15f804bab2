"""pywinrm against our server, with requests-credssp and with our class in its place."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credssp.winrm import LoginError
from tests.cli.test_winrm import served
from tests.peers import require_module
from tests.winrm import servers

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pywinrm leaves a session behind that failed
]

require_module("winrm")
requests = require_module("requests")
requests_credssp = require_module("requests_credssp.exceptions")
import winrm.transport  # noqa: E402

from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402

USER = f"{servers.DOMAIN}\\{servers.USER}"


@pytest.fixture(scope="module", params=list(itertools.product(("http", "https"), ("1.2", "1.3"))), ids="-".join)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``credssp serve winrm``, over http and https, with TLS 1.2 and 1.3 inside."""
    scheme, tls = request.param
    options = ["--user", f"{USER}:{servers.PASSWORD}", "--nb-computer", "srv", "--tls", tls]
    if scheme == "https":
        options += ["--tls-cert", str(servers.outer_certificate(tmp_path_factory.mktemp("https")))]
    with served(*options) as (running, _):
        yield f"{running}/wsman"


@pytest.fixture(params=["requests-credssp", "ours"])
def auth_class(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "ours":
        monkeypatch.setattr(winrm.transport, "HttpCredSSPAuth", HTTPCredSSPAuth)
    return str(request.param)


def connect(url: str, password: str = servers.PASSWORD, **options: Any) -> Any:
    options = {"transport": "credssp", "message_encryption": "always", "proxy": None} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return winrm.Protocol(url, username=USER, password=password, server_cert_validation="ignore", **options)


@pytest.fixture
def protocol(url: str) -> Iterator[Callable[..., Any]]:
    clients = []

    def make(*arguments: str, **options: Any) -> Any:
        clients.append(connect(url, *arguments, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.transport.close_session()


def run(client: Any, command: str, *arguments: str) -> tuple[bytes, bytes, int]:
    shell = client.open_shell()
    command_id = client.run_command(shell, command, arguments)
    output: tuple[bytes, bytes, int] = client.get_command_output(shell, command_id)
    client.cleanup_command(shell, command_id)
    client.close_shell(shell)
    return output


@pytest.mark.parametrize("encryption", ["always", "auto"])
def test_commands_return_their_output(protocol: Callable[..., Any], auth_class: str, encryption: str) -> None:
    client = protocol(message_encryption=encryption)
    assert run(client, "whoami") == (f"{USER}\r\n".encode(), b"", 0)
    # It closed the session with the shell, so that this is a second login.
    assert run(client, "hostname") == (b"srv\r\n", b"", 0)
    assert run(client, "rm")[2] == 1


def test_messages_beyond_16_kib_both_ways(protocol: Callable[..., Any], auth_class: str) -> None:
    text = "x" * 100_000
    assert run(protocol(), "echo", text) == (f"{text}\r\n".encode(), b"", 0)


def test_our_class_logs_on_again_when_the_server_forgot_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winrm.transport, "HttpCredSSPAuth", HTTPCredSSPAuth)
    application = servers.application()
    with servers.running(application) as url:
        client = connect(url)
        shell = client.open_shell()
        for connection in application.connections:
            connection.reset()
        # requests-credssp fails here: it sends again what was encrypted for the login that is gone.
        command = client.run_command(shell, "hostname")
        assert client.get_command_output(shell, command)[0] == b"srv\r\n"
        client.close_shell(shell)


def test_wrong_password_fails_with_an_authentication_error(protocol: Callable[..., Any], auth_class: str) -> None:
    expected = LoginError if auth_class == "ours" else requests_credssp.NTStatusException
    with pytest.raises(expected) as caught:
        protocol("wrong").open_shell()
    assert "LOGON_FAILURE" in str(caught.value)


def test_our_class_in_a_session_of_the_caller_without_any_patching(protocol: Callable[..., Any]) -> None:
    client = protocol(message_encryption="never")
    session = client.transport.session = requests.Session()
    session.verify = False
    session.trust_env = False
    session.headers["Content-Type"] = servers.SOAP_TYPE
    session.auth = HTTPCredSSPAuth(USER, servers.PASSWORD, encryption="always")
    assert run(client, "echo", "x" * 20_000)[0] == b"x" * 20_000 + b"\r\n"

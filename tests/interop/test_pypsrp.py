"""pypsrp's WSMan and WinRS clients against our server, with requests-credssp and with our class in its place."""

from __future__ import annotations

import gc
import itertools
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from credssp.winrm import LoginError
from tests.cli.test_winrm import served
from tests.peers import require_module
from tests.winrm import servers

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
]

pypsrp_wsman = require_module("pypsrp.wsman")
pypsrp_shell = require_module("pypsrp.shell")
requests = require_module("requests")
requests_credssp = require_module("requests_credssp.exceptions")

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
        monkeypatch.setattr(pypsrp_wsman, "HttpCredSSPAuth", HTTPCredSSPAuth)
    return str(request.param)


def wsman(url: str, password: str = servers.PASSWORD, **options: Any) -> Any:
    parts = urlsplit(url)
    options = {"auth": "credssp", "encryption": "always", "cert_validation": False, "no_proxy": True} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pypsrp_wsman.WSMan(
            parts.hostname, port=parts.port, ssl=parts.scheme == "https", username=USER, password=password, **options
        )


def run(shell: Any, command: str, *arguments: str) -> tuple[bytes, bytes, int]:
    process = pypsrp_shell.Process(shell, command, list(arguments))
    process.invoke()
    process.signal(pypsrp_shell.SignalCode.TERMINATE)
    return process.stdout, process.stderr, process.rc


@pytest.mark.parametrize("encryption", ["always", "auto"])
def test_commands_return_their_output(url: str, auth_class: str, encryption: str) -> None:
    with wsman(url, encryption=encryption) as client, pypsrp_shell.WinRS(client) as shell:
        assert run(shell, "whoami") == (f"{USER}\r\n".encode(), b"", 0)
        assert run(shell, "hostname") == (b"srv\r\n", b"", 0)
        assert run(shell, "format", "c:")[2] == 1


def test_messages_beyond_16_kib_both_ways(url: str, auth_class: str) -> None:
    text = "x" * 300_000
    with wsman(url) as client, pypsrp_shell.WinRS(client) as shell:
        assert run(shell, "echo", text) == (f"{text}\r\n".encode(), b"", 0)


def test_what_is_no_shell_gets_a_fault(url: str, auth_class: str) -> None:
    with wsman(url) as client:
        client.update_max_payload_size()
        assert client.max_envelope_size == 500 * 1024
        with pytest.raises(pypsrp_wsman.WSManFaultError):
            client.get("http://schemas.microsoft.com/wbem/wsman/1/winrm/unknown")


def test_our_class_outlives_the_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypsrp_wsman, "HttpCredSSPAuth", HTTPCredSSPAuth)
    with wsman(url) as client, pypsrp_shell.WinRS(client) as shell:
        assert run(shell, "hostname")[0] == b"srv\r\n"
        client.transport.session.close()  # it keeps its context object for ever, whatever connection comes
        assert run(shell, "echo", "x" * 40_000)[0] == b"x" * 40_000 + b"\r\n"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pypsrp leaves a connection behind that failed
def test_wrong_password_fails_with_an_authentication_error(url: str, auth_class: str) -> None:
    expected = LoginError if auth_class == "ours" else requests_credssp.NTStatusException
    client = wsman(url, "wrong")
    with pytest.raises(expected) as caught:
        client.get_server_config()
    client.transport.session.close()
    assert "LOGON_FAILURE" in str(caught.value)
    del caught, client
    gc.collect()


def test_our_class_in_a_session_of_the_caller_without_any_patching(url: str) -> None:
    client = wsman(url, encryption="never")
    session = client.transport.session = requests.Session()
    session.verify = False
    session.trust_env = False
    session.auth = HTTPCredSSPAuth(USER, servers.PASSWORD, encryption="always")
    with client, pypsrp_shell.WinRS(client) as shell:
        assert run(shell, "echo", "x" * 20_000)[0] == b"x" * 20_000 + b"\r\n"

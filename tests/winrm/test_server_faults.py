"""Our own clients against each fault of the WinRM test server: requests, httpx (both ways), and ``credssp login``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")
requests = pytest.importorskip("requests")

from credssp import (  # noqa: E402
    BindingError,
    CredSSPError,
    LocalProtocolError,
    PasswordCredentials,
    PeerClosedError,
    SecurityStatus,
)
from credssp.config import ClientConfig, Timeouts  # noqa: E402
from credssp.drivers.handshake import ConnectError, DeadlineError  # noqa: E402
from credssp.drivers.winrm import WinRMConnection  # noqa: E402
from credssp.drivers.winrm_httpx import CredSSPAuth  # noqa: E402
from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402
from credssp.errors import CertificateError  # noqa: E402
from credssp.next_step import NextStep  # noqa: E402
from credssp.testing import DEFAULT_ACCOUNTS  # noqa: E402
from credssp.testing.scenarios import WINRM_SCENARIOS  # noqa: E402
from credssp.testing.server_faults import WINRM_LEGS, ClosedOnPurposeError, ServerFaults  # noqa: E402
from credssp.testing.winrm import WinRMServer  # noqa: E402
from credssp.tls.settings import ClientTLS  # noqa: E402
from credssp.winrm import Leg, LoginError, WinRMResponse  # noqa: E402

((DOMAIN, USER), PASSWORD) = next(iter(DEFAULT_ACCOUNTS.items()))
NAME = f"{DOMAIN}\\{USER}"
BODY = b"<hello/>"

Client = Callable[..., bytes]


def over_requests(server: WinRMServer, *, timeout: float = 30, **options: Any) -> bytes:
    verify = str(server.certificate) if server.certificate else True
    auth = HTTPCredSSPAuth(NAME, PASSWORD, **options)
    answer: bytes = requests.post(server.url, data=BODY, auth=auth, verify=verify, timeout=timeout).content
    return answer


def _verify(server: WinRMServer) -> Any:
    return ssl.create_default_context(cafile=server.certificate) if server.certificate else True


def over_httpx(server: WinRMServer, *, timeout: float = 30, **options: Any) -> bytes:
    with httpx.Client(verify=_verify(server), trust_env=False, timeout=timeout) as client:
        answer: bytes = client.post(server.url, content=BODY, auth=CredSSPAuth(NAME, PASSWORD, **options)).content
        return answer


def over_async_httpx(server: WinRMServer, *, timeout: float = 30, **options: Any) -> bytes:
    async def main() -> bytes:
        async with httpx.AsyncClient(verify=_verify(server), trust_env=False, timeout=timeout) as client:
            auth = CredSSPAuth(NAME, PASSWORD, **options)
            answer: bytes = (await client.post(server.url, content=BODY, auth=auth)).content
            return answer

    return asyncio.run(main())


CLIENTS = [over_requests, over_httpx, over_async_httpx]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__)
def client(request: pytest.FixtureRequest) -> Client:
    return request.param  # type: ignore[no-any-return]


def serving(faults: ServerFaults, **options: Any) -> WinRMServer:
    return WinRMServer(DEFAULT_ACCOUNTS, faults=faults, handler=lambda request: WinRMResponse(b"hello"), **options)


def connecting(server: WinRMServer, **options: Any) -> WinRMConnection:
    return WinRMConnection("127.0.0.1", server.port, **options)


@pytest.mark.parametrize("leg", [*WINRM_LEGS, 1, 3, 5])
@pytest.mark.parametrize("https", [False, True])
def test_lost_connection_is_the_http_librarys_error_and_nothing_is_sent_again(
    client: Client, leg: Any, https: bool
) -> None:
    """What the library raises for lost connections; both leave the retry to the caller, who would spend a proof."""
    with serving(ServerFaults(close_at=leg), https=https) as server:
        with pytest.raises((requests.ConnectionError, httpx.RemoteProtocolError)):
            client(server)
        if leg in ("credentials", 5):
            server.assert_delegated(username=USER, domain=DOMAIN)
            assert server.wait(delegations=1)
        else:
            refusal = server.assert_refused()
            assert isinstance(refusal.error, ClosedOnPurposeError)
    assert len(server.delegations) + len(server.refusals) == 1


@pytest.mark.parametrize("version", [2, 4, 5, 6])
def test_client_delegates_nothing_to_a_server_that_binds_to_another_key(client: Client, version: int) -> None:
    with serving(ServerFaults(wrong_key=True), max_version=version, min_version=2) as server:
        with pytest.raises(LoginError) as caught:
            client(server, min_version=2)
        server.assert_refused()
    assert caught.value.leg is Leg.KEY
    assert isinstance(caught.value.__cause__, BindingError)
    assert caught.value.advice == NextStep.BINDING


def test_client_waits_for_a_slow_server(client: Client) -> None:
    with serving(ServerFaults(delay=0.1)) as server:
        assert client(server) == b"hello"
        server.assert_delegated(username=USER)


def test_timeout_of_the_http_library_counts(client: Client) -> None:
    with serving(ServerFaults(delay=20)) as server:
        with pytest.raises((requests.Timeout, httpx.TimeoutException)):
            client(server, timeout=0.3)
        server.assert_refused()


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("expired", SecurityStatus.SEC_E_CERT_EXPIRED, "Renew the certificate on the server"),
        ("weak", SecurityStatus.SEC_E_ALGORITHM_MISMATCH, "Have that certificate replaced"),
        ("other-name", SecurityStatus.SEC_E_WRONG_PRINCIPAL, "a name that is in the certificate"),
    ],
)
def test_client_that_checks_the_certificate_inside_refuses_the_wrong_one(
    client: Client, kind: Any, status: SecurityStatus, words: str
) -> None:
    faults = ServerFaults(certificate=kind)
    with serving(faults) as server:
        with pytest.raises(LoginError) as caught:
            client(server, tls=ClientTLS(cadata=faults.authority.decode()))
        server.assert_refused()
    assert caught.value.leg is Leg.TLS
    assert caught.value.status == status
    assert words in caught.value.advice


@pytest.mark.parametrize(
    ("kind", "words"),
    [("expired", "certificate has expired"), ("weak", "key too weak"), ("other-name", "IP address mismatch")],
)
def test_http_library_refuses_the_wrong_certificate_of_https(client: Client, kind: Any, words: str) -> None:
    with serving(ServerFaults(certificate=kind), https=True) as server:
        with pytest.raises((requests.exceptions.SSLError, httpx.ConnectError), match=words):
            client(server)
        server.assert_refused()


@pytest.mark.parametrize("https", [False, True])
def test_clients_take_the_good_certificate(client: Client, https: bool) -> None:
    faults = ServerFaults(certificate="good")
    with serving(faults, https=https) as server:
        options = {} if https else {"tls": ClientTLS(cadata=faults.authority.decode())}
        assert client(server, **options) == b"hello"
        server.assert_delegated(username=USER)


@pytest.mark.parametrize("name", [name for name, each in WINRM_SCENARIOS.items() if "faults" in each.options])
def test_scenario_ends_as_it_says(name: str) -> None:
    scenario = WINRM_SCENARIOS[name]
    faults = scenario.options["faults"]
    with WinRMServer(DEFAULT_ACCOUNTS, **dict(scenario.options)) as server:
        https = ClientTLS(cafile=server.certificate) if faults.certificate else None
        with connecting(server, https=https) as connection:
            if not scenario.error:
                connection.log_on(login())
                server.assert_delegated(username=USER)
                return
            with pytest.raises(CredSSPError) as caught:
                connection.log_on(login())
        server.assert_refused()
    assert type(caught.value.__cause__ or caught.value).__name__ == scenario.error


# The client of ``credssp login`` and ``probe``


def login(**options: Any) -> Any:
    from credssp.winrm.client import ClientLogin

    config = ClientConfig(credentials=PasswordCredentials(USER, PASSWORD, domain=DOMAIN), mechanism="ntlm", **options)
    return ClientLogin(config, "127.0.0.1")


@pytest.mark.parametrize(
    ("leg", "under_way"),
    [
        ("tls", Leg.TLS),
        ("authentication", Leg.AUTHENTICATION),
        ("key", Leg.KEY),
        ("credentials", Leg.CREDENTIALS),
    ],
)
def test_own_client_names_the_leg_after_which_the_connection_was_lost(leg: Any, under_way: Leg) -> None:
    """And does not tell to check name and port, which are right."""
    with serving(ServerFaults(close_at=leg)) as server, connecting(server) as connection:
        with pytest.raises(LoginError) as caught:
            connection.log_on(login())
        assert server.wait(delegations=1) if leg == "credentials" else server.assert_refused()
    error = caught.value
    assert error.leg is under_way
    assert isinstance(error.__cause__, PeerClosedError)
    assert error.status == SecurityStatus.SEC_E_CONTEXT_EXPIRED
    assert error.advice == NextStep.CLOSED


def test_own_client_without_an_answer_at_all_has_no_connection() -> None:
    with (
        serving(ServerFaults(close_at="offer")) as server,
        connecting(server) as connection,
        pytest.raises(ConnectError),
    ):
        connection.log_on(login())


def test_own_client_has_a_deadline_for_a_slow_server() -> None:
    with (
        serving(ServerFaults(delay=20)) as server,
        connecting(server, timeouts=Timeouts(leg=0.3)) as connection,
        pytest.raises(DeadlineError),
    ):
        connection.log_on(login())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("expired", SecurityStatus.SEC_E_CERT_EXPIRED),
        ("weak", SecurityStatus.SEC_E_ALGORITHM_MISMATCH),
        ("other-name", SecurityStatus.SEC_E_WRONG_PRINCIPAL),
    ],
)
def test_own_client_has_the_status_of_what_is_wrong_with_https(kind: Any, status: SecurityStatus) -> None:
    with serving(ServerFaults(certificate=kind), https=True) as server:
        outer = ClientTLS(cafile=server.certificate)
        with connecting(server, https=outer) as connection, pytest.raises(CredSSPError) as caught:
            connection.log_on(login())
    assert isinstance(caught.value, CertificateError)
    assert caught.value.status == status


def test_leg_of_another_protocol_is_named() -> None:
    with pytest.raises(LocalProtocolError, match="close_at 'negotiation': not one of offer, tls"):
        serving(ServerFaults(close_at="negotiation"))

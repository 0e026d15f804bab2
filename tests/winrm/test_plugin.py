"""The pytest fixtures for WinRM, and a double hop tested with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")
requests = pytest.importorskip("requests")

from credssp import LocalProtocolError, NTStatus, PasswordCredentials  # noqa: E402
from credssp.credentials import SmartCardCredentials  # noqa: E402
from credssp.drivers.winrm_asgi import Login  # noqa: E402
from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402
from credssp.testing import DEFAULT_ACCOUNTS  # noqa: E402
from credssp.testing.scenarios import WINRM_SCENARIOS  # noqa: E402
from credssp.testing.winrm import WinRMServer  # noqa: E402
from credssp.winrm import LoginError, WinRMRequest, WinRMResponse  # noqa: E402

((DOMAIN, USER), PASSWORD) = next(iter(DEFAULT_ACCOUNTS.items()))


def post(server: WinRMServer, password: str = PASSWORD, **options: Any) -> Any:
    auth = HTTPCredSSPAuth(f"{DOMAIN}\\{USER}", password, **options)
    verify = str(server.certificate) if server.certificate else True
    return requests.post(server.url, data=b"<hello/>", auth=auth, verify=verify)


def test_double_hop(make_credssp_winrm_server: Callable[..., WinRMServer]) -> None:
    """The program under test runs on the first server and logs on to the second one as the user who came to it."""
    back_end = make_credssp_winrm_server(
        DEFAULT_ACCOUNTS, handler=lambda request: WinRMResponse(request.identity.username.encode())
    )

    def program(request: WinRMRequest) -> WinRMResponse:
        delegated = request.credentials
        assert isinstance(delegated, PasswordCredentials)
        auth = HTTPCredSSPAuth(f"{delegated.domain}\\{delegated.username}", delegated.password)
        answer = requests.post(back_end.url, data=request.data, auth=auth)
        return WinRMResponse(b"the back end knows " + answer.content)

    front_end = make_credssp_winrm_server(DEFAULT_ACCOUNTS, handler=program)

    assert post(front_end).content == b"the back end knows alice"
    front_end.assert_delegated(username=USER, domain=DOMAIN)
    back_end.assert_delegated(username=USER, domain=DOMAIN, password=PASSWORD)


def test_without_delegation_there_is_no_second_hop(make_credssp_winrm_server: Callable[..., WinRMServer]) -> None:
    server = make_credssp_winrm_server(DEFAULT_ACCOUNTS)
    post(server, delegate=False)
    server.assert_delegated(empty=True)


def test_fixture_has_the_accounts(credssp_winrm_server: WinRMServer) -> None:
    post(credssp_winrm_server)
    login = credssp_winrm_server.assert_delegated(username=USER, domain=DOMAIN, password=PASSWORD, empty=False)
    assert PASSWORD not in repr(login)
    credssp_winrm_server.clear()
    with pytest.raises(AssertionError, match="expected a login, and no client logged on within 0 s"):
        credssp_winrm_server.assert_delegated(timeout=0)


# The faults are tried in tests/winrm/test_server_faults.py.
@pytest.mark.parametrize(
    "credssp_winrm_server",
    [name for name, each in WINRM_SCENARIOS.items() if "faults" not in each.options],
    indirect=True,
)
def test_every_scenario_is_one_for_our_client(
    credssp_winrm_server: WinRMServer, request: pytest.FixtureRequest
) -> None:
    scenario = WINRM_SCENARIOS[request.node.callspec.params["credssp_winrm_server"]]
    encryption = scenario.options.get("encryption", "auto")
    if scenario.error:
        with pytest.raises(LoginError, match="CVE-2018-0886") as version:
            post(credssp_winrm_server)
        assert type(version.value.__cause__).__name__ == scenario.error
    elif scenario.refusal is not None:
        with pytest.raises(LoginError):
            post(credssp_winrm_server)
        credssp_winrm_server.assert_refused(scenario.refusal)
    elif scenario.options.get("authorize"):
        with pytest.raises(LoginError, match="HTTP 403"):
            post(credssp_winrm_server)
        credssp_winrm_server.assert_refused()
    else:
        assert (
            post(credssp_winrm_server, encryption=encryption).status_code == 500
        )  # a fault, since <hello/> is not SOAP
        credssp_winrm_server.assert_delegated(username=USER, domain=DOMAIN, password=PASSWORD)


def test_https(make_credssp_winrm_server: Callable[..., WinRMServer]) -> None:
    server = make_credssp_winrm_server(DEFAULT_ACCOUNTS, https=True)
    assert server.url.startswith("https://127.0.0.1:")
    assert post(server, encryption="always").status_code == 500  # a fault: <hello/> is no SOAP
    server.assert_delegated(username=USER)


def test_refusals(credssp_winrm_server: WinRMServer) -> None:
    with pytest.raises(LoginError):
        post(credssp_winrm_server, "wrong")
    refusal = credssp_winrm_server.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
    assert refusal.identity is None
    assert refusal.wrong == "password"
    with pytest.raises(AssertionError, match=r"LAB\\alice was refused: wrong password: "):
        credssp_winrm_server.assert_delegated(timeout=0)
    with pytest.raises(AssertionError, match="expected STATUS_ACCOUNT_LOCKED_OUT"):
        credssp_winrm_server.assert_refused(NTStatus.STATUS_ACCOUNT_LOCKED_OUT)
    with pytest.raises(AssertionError, match="LOGON_FAILURE"):
        credssp_winrm_server.assert_delegated(timeout=0)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ({"username": "bob"}, "username is 'alice', expected 'bob'"),
        ({"domain": "X"}, "domain is 'LAB'"),
        ({"empty": True}, "empty is False"),
        ({"password": "other"}, "not the expected one"),
    ],
)
def test_assertions_say_what_is_different_without_secrets(expected: dict[str, Any], text: str) -> None:
    server = WinRMServer(DEFAULT_ACCOUNTS)
    server.logins.append(Login(None, credentials=PasswordCredentials(USER, PASSWORD, domain=DOMAIN)))
    with pytest.raises(AssertionError, match=text) as caught:
        server.assert_delegated(**expected)
    assert PASSWORD not in str(caught.value)
    with pytest.raises(AssertionError, match=r"expected a refusal, and there was a login: LAB\\alice"):
        server.assert_refused(timeout=0)


def test_other_kinds_of_credentials_are_no_password() -> None:
    server = WinRMServer(DEFAULT_ACCOUNTS)
    server.logins.append(Login(None, credentials=SmartCardCredentials(pin="1")))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="SmartCardCredentials"):
        server.assert_delegated(password="1")


def test_a_server_that_was_not_started_has_no_port() -> None:
    server = WinRMServer(DEFAULT_ACCOUNTS)
    with pytest.raises(LocalProtocolError):
        _ = server.url
    server.stop()

"""Fixtures for the test suites of CredSSP clients; pytest finds them when this library is installed.

::

    def test_login(credssp_rdp_server):
        my_client.connect(*credssp_rdp_server.address, user="LAB\\\\alice", password="correct horse battery staple")
        credssp_rdp_server.assert_delegated(username="alice", domain="LAB")

Override `credssp_accounts` to choose who may log on, or use `make_credssp_rdp_server` for several servers or other
settings. `credssp_winrm_server` and `make_credssp_winrm_server` are the same for WinRM. Both servers can be
parametrised indirectly: by the name of a scenario (`credssp.testing.scenarios`), or by the keywords of the server::

    @pytest.mark.parametrize("credssp_rdp_server", ["tls-1.2", "hybrid-only", {"max_version": 5}], indirect=True)
    def test_login(credssp_rdp_server): ...

`credssp_double_hop` is two servers: what is delegated to the first logs on to the second
(`credssp.testing.double_hop`). Its parameter says which kinds they are, or is the keywords of `DoubleHop`::

    @pytest.mark.parametrize("credssp_double_hop", ["winrm-to-winrm", "rdp-to-winrm"], indirect=True)
    def test_hop(credssp_double_hop): ...

`credssp_domain` is an Active Directory domain with a joined member (`credssp.testing.domain`), where Samba and root are
there; it skips with the reason where they are not.

Nothing heavy is imported before a test asks for one of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from credssp.testing import RDPServer
    from credssp.testing.domain import Domain
    from credssp.testing.double_hop import DoubleHop
    from credssp.testing.winrm import WinRMServer

__all__ = [
    "credssp_accounts",
    "credssp_domain",
    "credssp_double_hop",
    "credssp_rdp_server",
    "credssp_winrm_server",
    "make_credssp_double_hop",
    "make_credssp_rdp_server",
    "make_credssp_winrm_server",
]


S = TypeVar("S", "RDPServer", "WinRMServer", "DoubleHop")


def _starting(kind: type[S]) -> Iterator[Callable[..., S]]:
    """Yield what starts servers of a kind; all are stopped after the test."""
    with contextlib.ExitStack() as running:
        yield lambda who=None, /, **options: running.enter_context(kind(who, **options))


@pytest.fixture
def credssp_accounts() -> Mapping[tuple[str, str], Any]:
    """Who may log on: ``{(domain, user): password}``. Override it in a module or a conftest."""
    from credssp.testing import DEFAULT_ACCOUNTS

    return DEFAULT_ACCOUNTS


@pytest.fixture
def make_credssp_rdp_server() -> Iterator[Callable[..., RDPServer]]:
    """A function that starts a `credssp.testing.RDPServer` with the arguments given; all are stopped after the test."""
    from credssp.testing import RDPServer

    yield from _starting(RDPServer)


@pytest.fixture
def credssp_rdp_server(
    request: pytest.FixtureRequest,
    make_credssp_rdp_server: Callable[..., RDPServer],
    credssp_accounts: Mapping[tuple[str, str], Any],
) -> RDPServer:
    """A running `credssp.testing.RDPServer` with the accounts of `credssp_accounts`, and a scenario if it has one."""
    from credssp.testing.scenarios import RDP_SCENARIOS, scenario_options

    accounts, options = scenario_options(RDP_SCENARIOS, getattr(request, "param", None), credssp_accounts)
    return make_credssp_rdp_server(accounts, **options)


@pytest.fixture
def make_credssp_winrm_server() -> Iterator[Callable[..., WinRMServer]]:
    """A function that starts a `credssp.testing.winrm.WinRMServer`; all of them are stopped after the test."""
    from credssp.testing.winrm import WinRMServer

    yield from _starting(WinRMServer)


@pytest.fixture
def credssp_winrm_server(
    request: pytest.FixtureRequest,
    make_credssp_winrm_server: Callable[..., WinRMServer],
    credssp_accounts: Mapping[tuple[str, str], Any],
) -> WinRMServer:
    """A running `credssp.testing.winrm.WinRMServer` with the accounts of `credssp_accounts`, and its scenario."""
    from credssp.testing.scenarios import WINRM_SCENARIOS, scenario_options

    accounts, options = scenario_options(WINRM_SCENARIOS, getattr(request, "param", None), credssp_accounts)
    return make_credssp_winrm_server(accounts, **options)


@pytest.fixture
def make_credssp_double_hop() -> Iterator[Callable[..., DoubleHop]]:
    """A function that starts a `credssp.testing.double_hop.DoubleHop`; all of them are stopped after the test."""
    from credssp.testing.double_hop import DoubleHop

    yield from _starting(DoubleHop)


@pytest.fixture
def credssp_double_hop(
    request: pytest.FixtureRequest,
    make_credssp_double_hop: Callable[..., DoubleHop],
    credssp_accounts: Mapping[tuple[str, str], Any],
) -> DoubleHop:
    """A running `credssp.testing.double_hop.DoubleHop` with the accounts of `credssp_accounts`; WinRM to WinRM."""
    from credssp.testing.double_hop import hop_options

    return make_credssp_double_hop(credssp_accounts, **hop_options(getattr(request, "param", None)))


@pytest.fixture(scope="session")
def _credssp_domain(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Domain]:
    """The domain of all tests of this process; it takes some ten seconds, and fewer when its data are in the cache."""
    from credssp.testing.domain import Domain, obstacle

    why = obstacle()
    if why:
        pytest.skip(f"there can be no domain here: {why}")
    kept = getattr(pytestconfig, "cache", None)
    with Domain(tmp_path_factory.mktemp("domain"), cache=kept.mkdir("domain") if kept else None) as domain:
        yield domain


@pytest.fixture
def credssp_domain(_credssp_domain: Domain, monkeypatch: pytest.MonkeyPatch) -> Domain:
    """A running `credssp.testing.domain.Domain`, one for all tests; the environment points libkrb5 to it."""
    for name, value in _credssp_domain.environment.items():
        monkeypatch.setenv(name, value)
    return _credssp_domain

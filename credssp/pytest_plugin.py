"""Fixtures for the test suites of CredSSP clients; pytest finds them when this library is installed.

::

    def test_login(credssp_rdp_server):
        my_client.connect(*credssp_rdp_server.address, user="LAB\\\\alice", password="correct horse battery staple")
        credssp_rdp_server.assert_delegated(username="alice", domain="LAB")

Override `credssp_accounts` to choose who may log on, or use `make_credssp_rdp_server` for several servers or other
settings. `credssp_winrm_server` and `make_credssp_winrm_server` are the same for WinRM. Nothing heavy is imported
before a test asks for one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from credssp.testing import RDPServer
    from credssp.testing.winrm import WinRMServer

__all__ = [
    "credssp_accounts",
    "credssp_rdp_server",
    "credssp_winrm_server",
    "make_credssp_rdp_server",
    "make_credssp_winrm_server",
]


@pytest.fixture
def credssp_accounts() -> Mapping[tuple[str, str], Any]:
    """Who may log on: ``{(domain, user): password}``. Override it in a module or a conftest."""
    from credssp.testing import DEFAULT_ACCOUNTS

    return DEFAULT_ACCOUNTS


@pytest.fixture
def make_credssp_rdp_server() -> Iterator[Callable[..., RDPServer]]:
    """A function that starts a `credssp.testing.RDPServer` with the arguments given; all are stopped after the test."""
    from credssp.testing import RDPServer

    running: list[RDPServer] = []

    def make(who: Mapping[tuple[str, str], Any] | None = None, /, **options: Any) -> RDPServer:
        server = RDPServer(who, **options)
        running.append(server)
        return server.start()

    yield make
    for server in running:
        server.stop()


@pytest.fixture
def credssp_rdp_server(
    make_credssp_rdp_server: Callable[..., RDPServer], credssp_accounts: Mapping[tuple[str, str], Any]
) -> RDPServer:
    """A running `credssp.testing.RDPServer` with the accounts of `credssp_accounts`."""
    return make_credssp_rdp_server(credssp_accounts)


@pytest.fixture
def make_credssp_winrm_server() -> Iterator[Callable[..., WinRMServer]]:
    """A function that starts a `credssp.testing.winrm.WinRMServer`; all of them are stopped after the test."""
    from credssp.testing.winrm import WinRMServer

    running: list[WinRMServer] = []

    def make(who: Mapping[tuple[str, str], Any] | None = None, /, **options: Any) -> WinRMServer:
        server = WinRMServer(who, **options)
        running.append(server)
        return server.start()

    yield make
    for server in running:
        server.stop()


@pytest.fixture
def credssp_winrm_server(
    make_credssp_winrm_server: Callable[..., WinRMServer], credssp_accounts: Mapping[tuple[str, str], Any]
) -> WinRMServer:
    """A running `credssp.testing.winrm.WinRMServer` with the accounts of `credssp_accounts`."""
    return make_credssp_winrm_server(credssp_accounts)

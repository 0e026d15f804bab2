"""pywinrm and pypsrp log on with this library in place of requests-credssp."""

from __future__ import annotations

import sys

import pytest

from credssp import AgentCredentials
from credssp.drivers.winrm_libraries import LibraryAuth, replace
from credssp.errors import CredSSPError
from credssp.testing.winrm import WinRMServer

pypsrp_shell = pytest.importorskip("pypsrp.shell")
pypsrp_wsman = pytest.importorskip("pypsrp.wsman")
transport = pytest.importorskip("winrm.transport")
protocol = pytest.importorskip("winrm.protocol")

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pywinrm leaves sessions behind

ACCOUNTS = {("LAB", "alice"): "secret"}


@pytest.fixture
def _replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HttpCredSSPAuth", None)
    monkeypatch.setattr(transport, "HAVE_CREDSSP", False)
    monkeypatch.setattr(pypsrp_wsman, "HttpCredSSPAuth", None)
    assert replace() == ("pywinrm", "pypsrp")


@pytest.mark.usefixtures("_replaced")
def test_both_log_on_without_requests_credssp() -> None:
    with WinRMServer(ACCOUNTS) as server:
        winrm = protocol.Protocol(
            server.url, transport="credssp", username="LAB\\alice", password="secret", proxy=None, ca_trust_path=None
        )
        winrm.close_shell(winrm.open_shell())
        wsman = pypsrp_wsman.WSMan(
            "127.0.0.1", port=server.port, ssl=False, auth="credssp", username="LAB\\alice", password="secret"
        )
        with wsman, pypsrp_shell.WinRS(wsman) as shell:
            process = pypsrp_shell.Process(shell, "whoami")
            process.invoke()
        assert process.stdout == b"LAB\\alice\r\n"
        assert len(server.delegations) >= 2


@pytest.mark.usefixtures("_replaced")
def test_old_servers_are_refused_unless_pypsrp_is_told_to_take_them() -> None:
    with WinRMServer(ACCOUNTS, min_version=4, max_version=4) as server:

        def connect(**options: int) -> None:
            wsman = pypsrp_wsman.WSMan(
                "127.0.0.1",
                port=server.port,
                ssl=False,
                auth="credssp",
                username="LAB\\alice",
                password="secret",
                **options,
            )
            with wsman, pypsrp_shell.WinRS(wsman):
                pass

        with pytest.raises(CredSSPError, match="version 4"):
            connect()
        connect(credssp_minimum_version=4)


def test_a_user_name_may_name_a_credential_of_the_agent() -> None:
    auth = LibraryAuth("agent:prod-admin", "-", auth_mechanism="auto", disable_tlsv1_2=False, minimum_version=2)
    assert auth.config.credentials == AgentCredentials("prod-admin")
    assert auth.config.min_version is None  # the default, which is 5
    assert LibraryAuth("LAB\\alice", "x", minimum_version=3).config.min_version == 3


@pytest.mark.usefixtures("_replaced")
@pytest.mark.parametrize(
    ("missing", "left"), [(["winrm.transport"], ("pypsrp",)), (["winrm.transport", "pypsrp.wsman"], ())]
)
def test_one_of_both_is_enough(missing: list[str], left: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    assert replace() == left

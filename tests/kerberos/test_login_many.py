"""``credssp login`` at several servers with Kerberos: the KDC is asked once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from credssp.cli import main
from credssp.testing import RDPServer
from tests.kdc import REALM
from tests.kerberos.conftest import PASSWORD, Lab

pytestmark = pytest.mark.interop


@pytest.fixture
def servers(lab: Lab) -> Iterator[list[RDPServer]]:
    with RDPServer(keytab=str(lab.keytab)) as first, RDPServer(keytab=str(lab.keytab)) as second:
        yield [first, second]


def targets(servers: list[RDPServer]) -> list[str]:
    return [f"rdp://localhost:{server.port}" for server in servers]


def asked(lab: Lab, kind: str) -> int:
    """Return how many requests of a kind the KDC has granted."""
    return len(re.findall(rf"{kind}_REQ .*ISSUE", (lab.realm.folder / "kdc.log").read_text()))


@pytest.mark.parametrize("how", ["password", "keytab", "ccache"])
def test_the_kdc_judges_once(
    how: str,
    lab: Lab,
    servers: list[RDPServer],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", PASSWORD)
    words = {
        "password": ["-u", f"alice@{REALM}", "--mechanism", "kerberos"],
        "keytab": ["--keytab", str(lab.realm.keytab("many.keytab", "alice")), "-u", f"alice@{REALM}"],
        "ccache": ["--ccache", lab.ccache],
    }[how]
    before = asked(lab, "AS")
    assert main(["login", "--json", *words, *targets(servers)]) == 0
    assert asked(lab, "AS") - before == (0 if how == "ccache" else 1)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["mechanism"] for line in lines] == ["kerberos", "kerberos"]
    assert {line["principal"] for line in lines} == {f"alice@{REALM}"}
    for server in servers:
        delegated = server.assert_delegated(empty=how != "password")
        if how == "password":
            server.assert_delegated(username=f"alice@{REALM}", password=PASSWORD)
            assert delegated.negotiated.request.cookie == f"alice@{REALM}"[:9]


def test_a_kdc_that_refuses_ends_the_run(
    lab: Lab, servers: list[RDPServer], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    for mechanism in ("kerberos", "auto"):
        words = ["--json", "-u", f"alice@{REALM}", "--mechanism", mechanism]
        assert main(["login", *words, *targets(servers)]) == 1
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["outcome"] for line in lines] == ["refused", "not_tried"]
        assert lines[0]["refused_by"] == "kdc"
        assert "STATUS_LOGON_FAILURE" in lines[1]["reason"]
    assert all(not server.delegations for server in servers)

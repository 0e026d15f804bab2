"""A few rules of the conformance suite against other people's peers; all of them are run by fixtures/judge_field.py."""

from __future__ import annotations

import pytest

from credssp.conformance import Verdict, check_client, check_server
from tests.peers import require_module, require_program

pytestmark = pytest.mark.interop

FEW = ["CSSP-VER-03", "CSSP-PKA56-04", "CSSP-PKA56-05", "CSSP-CRED-01", "CSSP-SPNEGO-02", "CSSP-SPNEGO-07"]


def test_pyspnego_in_both_roles() -> None:
    require_module("spnego")
    from fixtures import field_peers

    with field_peers.pyspnego_accounts():
        server = check_server(field_peers.pyspnego_server(), rules=[*FEW, "CSSP-PKA56-10"])
        client = check_client(field_peers.pyspnego_client(), rules=FEW)
    # Known, see docs/reference/field-results.md: the form of the binding goes by the presence of clientNonce.
    assert server.verdict_of("CSSP-PKA56-10") is Verdict.FAIL
    assert [r.rule.id for r in server.results if r.matters] == ["CSSP-PKA56-10"]
    assert client.ok, client.explain()
    assert client.verdict_of("CSSP-CRED-01") is Verdict.PASS


def test_freerdp_in_both_roles(display: str) -> None:
    require_program("xfreerdp")
    require_program("freerdp-shadow-cli")
    from fixtures import field_peers

    with field_peers.freerdp_server(display) as target:
        server = check_server(target, rules=FEW)
    client = check_client(field_peers.freerdp_client(display), rules=["CSSP-CRED-01", "CSSP-PKA56-02", "CSSP-NEG-01"])
    assert server.ok, server.explain()
    assert client.ok, client.explain()
    assert client.verdict_of("CSSP-CRED-01") is Verdict.PASS

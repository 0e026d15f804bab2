"""As tests/test_tracebacks.py, for Kerberos: a refusal of the KDC and one of the server show no password."""

from __future__ import annotations

import pytest

from credssp import CredSSPError, PasswordCredentials
from credssp.context.initiator import create_initiator
from tests.kdc import REALM
from tests.kerberos.conftest import Lab
from tests.kerberos.exchange import TARGET
from tests.test_tracebacks import PASSWORD, shown

pytestmark = pytest.mark.interop


@pytest.mark.parametrize(("user", "target"), [("alice", TARGET), ("stranger", TARGET), ("alice", "TERMSRV/nowhere")])
def test_refusals_of_the_kdc(lab: Lab, user: str, target: str) -> None:
    initiator = create_initiator(
        PasswordCredentials(user, PASSWORD, domain=REALM), target_name=target, mechanism="kerberos"
    )
    with pytest.raises(CredSSPError) as caught:
        initiator.step(None)
    assert PASSWORD not in shown(caught.value)

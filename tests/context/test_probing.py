"""What a probe makes of odd answers to a first token."""

from __future__ import annotations

import pytest

from credssp.context.probing import ProbeReport, first_requests
from credssp.ntlm.messages import Negotiate
from credssp.spnego.tokens import NegState, NegTokenInit, NegTokenResp
from credssp.wire.ts_request import TSRequest

REJECT = NegTokenResp(NegState.REJECT).encode()


@pytest.mark.parametrize(
    ("answer", "accepted", "error"),
    [
        (TSRequest(6, error_code=0xC000006D), False, "STATUS_LOGON_FAILURE 0xC000006D"),
        (TSRequest(6), False, None),
        (TSRequest(6, nego_tokens=(REJECT,)), False, None),
        (TSRequest(6, nego_tokens=(NegTokenResp(NegState.ACCEPT_INCOMPLETE).encode(),)), True, None),
        (TSRequest(6, nego_tokens=(b"AP-REP or so",)), True, None),
    ],
)
def test_answers_to_an_offer(answer: TSRequest, accepted: bool, error: str | None) -> None:
    report = ProbeReport("host", 3389)
    report.add_answer("ntlm", answer)
    assert report.mechanisms == ["ntlm"] * accepted
    assert report.credssp_error == error
    assert report.ntlm == {}


def test_first_tokens_hold_no_name() -> None:
    requests = {name: TSRequest.decode(data).nego_tokens[0] or b"" for name, data in first_requests().items()}
    assert requests["spnego/ntlm"].endswith(requests["ntlm"])
    assert NegTokenInit.decode(requests["spnego/kerberos"]).mech_token is None
    assert b"probe" not in b"".join(requests.values()).lower()
    Negotiate.decode(requests["ntlm"])

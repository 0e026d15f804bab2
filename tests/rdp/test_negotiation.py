"""The choice of a server, and what its answers mean."""

from __future__ import annotations

import pytest

from credssp.errors import DecodeError
from credssp.rdp import (
    CREDSSP_PROTOCOLS,
    EarlyUserAuthorization,
    FailureCode,
    NegotiationFailure,
    Protocol,
    choose_protocol,
    protocol_names,
)

P = Protocol


@pytest.mark.parametrize(
    ("requested", "allowed", "chosen"),
    [
        (P.SSL | P.HYBRID | P.HYBRID_EX, CREDSSP_PROTOCOLS, P.HYBRID_EX),
        (P.SSL | P.HYBRID | P.HYBRID_EX, P.HYBRID, P.HYBRID),
        (P.SSL | P.HYBRID, CREDSSP_PROTOCOLS, P.HYBRID),
        (P.HYBRID_EX, CREDSSP_PROTOCOLS, P.HYBRID_EX),
        (P.SSL | P.HYBRID, P.SSL | P.HYBRID, P.HYBRID),
        (P.SSL, P.SSL | P.HYBRID, P.SSL),
        # Recognised, and never chosen.
        (P.RDSTLS | P.RDSAAD | P.HYBRID, ~P.RDP, P.HYBRID),
    ],
)
def test_the_strongest_that_both_have(requested: P, allowed: P, chosen: P) -> None:
    assert choose_protocol(requested, allowed) == chosen


@pytest.mark.parametrize("requested", [None, P.RDP, P.SSL, P.RDSTLS, P.RDSAAD, P(0x40)])
def test_a_server_that_demands_credssp_says_so(requested: P | None) -> None:
    assert choose_protocol(requested) == NegotiationFailure(FailureCode.HYBRID_REQUIRED_BY_SERVER)


def test_a_server_with_tls_demands_tls() -> None:
    assert choose_protocol(P.RDP, P.SSL | P.HYBRID) == NegotiationFailure(FailureCode.SSL_REQUIRED_BY_SERVER)
    assert choose_protocol(P.HYBRID, P.SSL) == NegotiationFailure(FailureCode.SSL_REQUIRED_BY_SERVER)


def test_standard_rdp_security_only_where_it_is_allowed_in_so_many_words() -> None:
    assert choose_protocol(None, P.SSL, allow_rdp=True) is P.RDP
    assert choose_protocol(P.SSL, P.SSL, allow_rdp=True) is P.SSL


def test_every_failure_code_has_a_meaning() -> None:
    assert "RDSAAD" in NegotiationFailure(7).summary
    assert all(code.name in NegotiationFailure(code).summary for code in FailureCode)


def test_names() -> None:
    assert protocol_names(P.RDP) == "RDP"
    assert protocol_names(P.SSL | P.HYBRID_EX) == "SSL|HYBRID_EX"
    assert protocol_names(P(0x42)) == "HYBRID|0x40"


def test_early_user_authorization() -> None:
    assert EarlyUserAuthorization.AUTHZ_SUCCESS.encode() == bytes(4)
    assert EarlyUserAuthorization.AUTHZ_ACCESS_DENIED.encode() == b"\5\0\0\0"
    for result in EarlyUserAuthorization:
        assert EarlyUserAuthorization.decode(result.encode()) is result
    with pytest.raises(DecodeError, match="0x00000006"):
        EarlyUserAuthorization.decode(b"\6\0\0\0")
    for size in (0, 1, 3, 5):
        with pytest.raises(DecodeError, match=f"{size} bytes"):
            EarlyUserAuthorization.decode(bytes(size))

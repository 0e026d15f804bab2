"""What each CredSSP version changes ([MS-CSSP] 1.7, 2.2.1), and how far a server is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.protocol_version import (
    HIGHEST_VERSION,
    LOWEST_VERSION,
    effective_version,
    has_error_code,
    has_hashed_binding,
)
from credssp.server_authentication import ServerAuthentication

NONE, NTLM = ServerAuthentication.NONE, ServerAuthentication.NTLM
CERTIFICATE, KERBEROS = ServerAuthentication.CERTIFICATE, ServerAuthentication.KERBEROS


def test_versions_run_from_2_to_6() -> None:
    assert (LOWEST_VERSION, HIGHEST_VERSION) == (2, 6)


@pytest.mark.parametrize(
    ("own", "peer", "effective"),
    [(6, 6, 6), (6, 2, 2), (2, 6, 2), (5, 6, 5), (6, 5, 5), (3, 4, 3), (6, 7, 6), (6, 0xFFFFFFFF, 6), (2, 7, 2)],
)
def test_both_sides_use_the_lower_version(own: int, peer: int, effective: int) -> None:
    assert effective_version(own, peer) == effective


@given(st.integers(LOWEST_VERSION, HIGHEST_VERSION), st.integers(LOWEST_VERSION, 1 << 31))
def test_both_sides_find_the_same_version(own: int, peer: int) -> None:
    version = effective_version(own, peer)
    assert version == effective_version(min(peer, HIGHEST_VERSION), own)
    assert LOWEST_VERSION <= version <= HIGHEST_VERSION


@pytest.mark.parametrize(("version", "expected"), [(2, False), (3, True), (4, True), (5, False), (6, True)])
def test_error_code_is_sent_in_versions_3_4_and_6(version: int, expected: bool) -> None:
    assert has_error_code(version) is expected


@pytest.mark.parametrize(("version", "expected"), [(2, False), (3, False), (4, False), (5, True), (6, True)])
def test_binding_is_hashed_from_version_5(version: int, expected: bool) -> None:
    assert has_hashed_binding(version) is expected


@pytest.mark.parametrize(
    ("known", "strong"),
    [
        (NONE, False),
        (NTLM, False),
        (CERTIFICATE, True),
        (KERBEROS, True),
        (NTLM | CERTIFICATE, True),
        (NTLM | KERBEROS, True),
        (CERTIFICATE | KERBEROS, True),
    ],
)
def test_a_server_is_known_by_certificate_or_kerberos_and_not_by_ntlm_alone(
    known: ServerAuthentication, strong: bool
) -> None:
    assert known.is_strong is strong


def test_nothing_is_proved_by_none() -> None:
    assert not NONE
    assert NONE | NTLM == NTLM

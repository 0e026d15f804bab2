"""Authentication headers."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import CredSSPError, DecodeError, LimitExceededError, RemoteProtocolError
from credssp.winrm.header import MAX_TOKEN_SIZE, challenge_token, format_token, request_token, schemes

URI = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"


@pytest.mark.parametrize(
    "values",
    [
        ["CredSSP AQID"],
        ["credssp AQID"],
        ["CREDSSP   AQID  "],
        ["Negotiate, CredSSP AQID"],
        ['Negotiate, Kerberos, CredSSP AQID, Basic realm="WSMAN"'],
        ["Negotiate", "CredSSP AQID", 'Basic realm="WSMAN"'],
        ['Basic realm="x, CredSSP ZZZZ", CredSSP AQID'],
        ['Digest realm="a\\"b", qop=auth, CredSSP AQID'],
        ["Negotiate YWJjZA==, CredSSP AQID"],
        ["CredSSP", "CredSSP AQID"],
        [", ,CredSSP AQID,"],
        ["Negotiate", URI, "CredSSP AQID"],
        [f"Negotiate, {URI}, CredSSP AQID"],
        [f"CredSSP AQID, {URI}"],
        [f'CredSSP, {URI} realm="x", X-Odd a b:c, X-Odder (~), CredSSP AQID'],
    ],
)
def test_token_is_found_among_other_schemes(values: list[str]) -> None:
    assert challenge_token(values) == b"\x01\x02\x03"


@pytest.mark.parametrize(
    "values",
    [
        ["CredSSP"],
        ["CredSSP "],
        ["Negotiate, credssp"],
        ["CredSSP, Basic realm=x"],
        [f"CredSSP, {URI}"],
        [URI, "CredSSP"],
    ],
)
def test_scheme_alone_is_an_empty_token(values: list[str]) -> None:
    assert challenge_token(values) == b""


@pytest.mark.parametrize("values", [[], ["Negotiate"], ['Basic realm="CredSSP"'], ["CredSSPish AQID"], [""]])
def test_no_offer_is_none(values: list[str]) -> None:
    assert challenge_token(values) is None


@pytest.mark.parametrize("value", ["CredSSP AQI", "CredSSP AQID=", "CredSSP A===", "CredSSP AQ_D", 'CredSSP "AQID"'])
def test_truncated_or_foreign_base64_is_refused(value: str) -> None:
    with pytest.raises(DecodeError):
        challenge_token([value])
    with pytest.raises(DecodeError):
        request_token([value])


def test_a_token_that_is_no_ascii_does_not_travel_in_the_error() -> None:
    """A UnicodeEncodeError, also one that is only the context of ours, holds the whole text."""
    with pytest.raises(DecodeError) as caught:
        request_token(["CredSSP QUJD\u00e9QUI"])
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_two_tokens_are_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        challenge_token(["CredSSP AQID", "CredSSP AQIE"])


def test_too_many_schemes_are_refused() -> None:
    with pytest.raises(LimitExceededError):
        challenge_token([", ".join(["Negotiate"] * 40)])


@pytest.mark.parametrize("size", [MAX_TOKEN_SIZE + 1, MAX_TOKEN_SIZE * 2])
def test_a_token_beyond_the_limit_is_refused(size: int) -> None:
    value = format_token(bytes(size))
    with pytest.raises(LimitExceededError):
        challenge_token([value])
    with pytest.raises(LimitExceededError):
        request_token([value])


def test_a_token_at_the_limit_is_taken() -> None:
    assert request_token([format_token(bytes(MAX_TOKEN_SIZE))]) == bytes(MAX_TOKEN_SIZE)


def test_what_is_no_list_of_challenges_is_refused() -> None:
    with pytest.raises(DecodeError):
        challenge_token(['"CredSSP AQID"'])


def test_request_has_one_authorization() -> None:
    assert request_token([]) is None
    assert request_token(["Basic AQID"]) is None
    assert request_token(["credssp AQID"]) == b"\x01\x02\x03"
    assert request_token(["CredSSP"]) == b""
    with pytest.raises(RemoteProtocolError):
        request_token(["CredSSP AQID", "CredSSP AQID"])


def test_schemes_for_texts_leave_out_what_does_not_parse() -> None:
    assert schemes(["Negotiate, CredSSP AQID", '"', 'Basic realm="a, b"']) == ("Negotiate", "CredSSP", "Basic")


@given(st.binary(max_size=300))
def test_tokens_come_back(token: bytes) -> None:
    assert challenge_token([f"Negotiate, {format_token(token)}"]) == token
    assert request_token([format_token(token)]) == token


@given(st.lists(st.text(max_size=60), max_size=4))
def test_any_text_is_read_or_refused(values: list[str]) -> None:
    for read in (challenge_token, request_token, schemes):
        with contextlib.suppress(CredSSPError):
            read(values)


@given(st.text(alphabet='CredSP ,="\\a/+AQID\t', max_size=80))
def test_anything_like_a_header_is_read_or_refused(value: str) -> None:
    try:
        token = challenge_token([value])
    except CredSSPError:
        return
    assert token is None or base64.b64encode(token).decode() in value

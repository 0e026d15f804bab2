"""The codec of the agent's messages: what goes in comes out, and everything else is refused before it is believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp import errors
from credssp.errors import CredSSPError, DecodeError, LimitExceededError, LocalProtocolError
from credssp.lsa.faults import failed, pack_skipped, raised, unpack_skipped
from credssp.lsa.framing import frame, size_of
from credssp.lsa.messages import (
    MAX_SIZE,
    AgentMessage,
    Bind,
    Close,
    Done,
    Failed,
    Hello,
    Open,
    Progress,
    Token,
    Welcome,
    decode,
)
from credssp.lsa.opened import STATUS_OF, AgentRefusedError, Reason
from credssp.lsa.packed import unpack
from credssp.next_step import NextStep
from credssp.spnego import SkippedCandidate
from credssp.status import NTStatus, SecurityStatus

MESSAGES: list[AgentMessage] = [
    Hello(),
    Welcome(),
    Open(credential="prod-admin", target="TERMSRV/srv.lab.test", chain=(b"leaf", b"issuer")),
    Open(
        credential="ä" * 1024,
        package="TSSSP",
        target="HTTP/srv",
        policy_target="WSMAN/srv",
        mechanism="kerberos",
        wire_form="kerberos",
        delegate=0,
        lowest_version=5,
        workstation="PC",
        channel_bindings=b"tls-server-end-point:x",
    ),
    Token(2**63, 1, b"0\x03" + b"x" * 60000),
    Bind(1, (b"leaf",)),
    Close(7),
    Done(),
    Failed(error="PolicyError", message="no", status=0x8009035E, details=(b"spn=TERMSRV/x",)),
    Progress(
        context=9,
        leg=2,
        complete=1,
        peer_version=6,
        version=6,
        mechanism="ntlm",
        proved=3,
        messages=(b"one", b"two"),
        authenticated=1,
        delegated=1,
    ),
    Progress(context=9, complete=1, mechanism="kerberos", messages=(b"token",), packed=b"\2context"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_a_message_comes_out_as_it_went_in(message: AgentMessage) -> None:
    assert decode(message.encode()) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_a_message_that_is_cut_off_anywhere_or_has_more_is_refused(message: AgentMessage) -> None:
    data = message.encode()
    for end in {*range(min(len(data), 300)), len(data) - 1}:
        with pytest.raises(DecodeError):
            decode(data[:end])
    with pytest.raises(DecodeError, match="after the last field"):
        decode(data + b"\0")


@given(st.binary(max_size=400))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        message = decode(data)
    except DecodeError:
        return
    assert decode(message.encode()) == message


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mechanism": "ntlmv1"}, "mechanism"),
        ({"package": "SSH"}, "package"),
        ({"wire_form": "ntlm"}, "wire_form"),
        ({"chain": ()}, "no certificate"),
        ({"target": ""}, "no target"),
        ({"credential": ""}, "no name"),
    ],
)
def test_an_open_that_makes_no_sense_is_refused(changes: dict[str, Any], text: str) -> None:
    values: dict[str, Any] = {"credential": "x", "target": "TERMSRV/x", "chain": (b"leaf",)}
    with pytest.raises(DecodeError, match=text):
        decode(Open(**(values | changes)).encode())


def test_what_is_longer_than_the_agent_takes_is_not_even_written() -> None:
    with pytest.raises(LocalProtocolError, match="takes 65536"):
        Token(1, 1, b"x" * 65537).encode()
    with pytest.raises(LocalProtocolError, match="takes 10"):
        Bind(1, (b"",) * 11).encode()


def test_the_length_of_a_message_is_bounded_before_anything_is_read() -> None:
    assert size_of(frame(b"x" * 5)[:4]) == 5
    assert size_of(MAX_SIZE.to_bytes(4, "big")) == MAX_SIZE
    for size in (0, MAX_SIZE + 1, 0xFFFFFFFF):
        with pytest.raises(LimitExceededError):
            size_of(size.to_bytes(4, "big"))


def test_every_message_of_the_greatest_size_fits_into_a_frame() -> None:
    chain = (b"c" * 16384,) * 10
    size_of(frame(Open(credential="x", target="x", chain=chain).encode())[:4])
    size_of(frame(Token(1, 1, b"x" * 65536).encode())[:4])


ERRORS = [
    errors.AuthenticationError("the KDC says no", ntstatus=NTStatus.STATUS_WRONG_PASSWORD),
    errors.BindingError("not the key", section="[MS-CSSP] 3.1.5"),
    errors.DecodeError("bad", field="TSRequest.version", offset=7),
    errors.LocalRestrictionError("no MD5", restriction="MD5"),
    errors.PeerRefusedError(NTStatus.STATUS_LOGON_FAILURE),
    errors.PolicyError("no", status=SecurityStatus.SEC_E_POLICY_NLTM_ONLY, spn="TERMSRV/x", setting="AllowFresh"),
    errors.VersionError("too old", advice=NextStep.VERSION_OLD),
    *(AgentRefusedError(reason, "no") for reason in Reason),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
def test_an_error_is_raised_by_the_program_as_it_was_by_the_agent(error: CredSSPError) -> None:
    message = decode(failed(error, context=5).encode())
    assert isinstance(message, Failed)
    assert message.context == 5
    again = raised(message)
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("status", "ntstatus", "section", "advice", "refused", "reason", "spn", "setting", "field", "offset"):
        assert getattr(again, name, None) == getattr(error, name, None)


def test_an_error_of_a_class_that_does_not_cross_becomes_its_nearest_base() -> None:
    class Special(errors.PolicyError):
        pass

    assert type(raised(failed(Special("no", status=SecurityStatus.SEC_E_DELEGATION_POLICY)))) is errors.PolicyError


def test_no_detail_of_an_error_sets_another_attribute_than_those_of_its_class() -> None:
    message = Failed(error="PolicyError", message="no", status=1, details=(b"token=x", b"__class__=y", b"spn=z"))
    error = raised(message)
    assert error.token == b""
    assert error.spn == "z"
    assert type(error) is errors.PolicyError


@pytest.mark.parametrize(
    "message",
    [
        Failed(error="SystemExit", message="", status=0),
        Failed(error="AgentRefusedError", message="", status=0),
        Failed(error="AgentRefusedError", message="", status=0, details=(b"reason=because",)),
        Failed(error="DecodeError", message="", status=0, details=(b"offset=x",)),
    ],
)
def test_an_error_that_is_none_of_ours_is_refused(message: Failed) -> None:
    with pytest.raises(DecodeError):
        raised(message)


def test_mechanisms_that_were_not_used_cross_with_their_reasons() -> None:
    skipped = (SkippedCandidate("kerberos", errors.AuthenticationError("no ticket")),)
    (again,) = unpack_skipped(pack_skipped(skipped))
    assert again.name == "kerberos"
    assert str(again.error) == str(skipped[0].error)
    with pytest.raises(DecodeError):
        unpack_skipped((Done().encode(),))


def test_each_reason_to_refuse_has_a_status_of_its_own() -> None:
    assert set(STATUS_OF) == set(Reason)
    assert len(set(STATUS_OF.values())) == len(Reason)


@pytest.mark.parametrize("packed", [b"", b"\0", b"\1", b"\1" + bytes(22), b"\1" + bytes(24), b"\3key"])
def test_a_packed_context_that_is_none_is_refused(packed: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack(packed)

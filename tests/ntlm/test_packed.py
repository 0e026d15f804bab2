"""NTLM contexts as bytes: the same session elsewhere, and what cannot be packed or unpacked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from credssp.errors import DecodeError, LocalProtocolError
from credssp.ntlm.session import SESSION_FLAGS, NTLMSession
from credssp.ntlm.unpacked import UnpackedNTLM

KEY = bytes(range(16))


def session(role: Literal["initiator", "acceptor"] = "initiator") -> NTLMSession:
    return NTLMSession(KEY, role=role)


@pytest.mark.parametrize("mic", [False, True])
def test_an_unpacked_session_goes_on_where_the_packed_one_was(mic: bool) -> None:
    client, server = session(), session("acceptor")
    if mic:
        server.verify_mech_list_mic(b"list", client.make_mech_list_mic(b"list"))
        client.verify_mech_list_mic(b"list", server.make_mech_list_mic(b"list"))
    client, server = NTLMSession.unpack(client.pack()), NTLMSession.unpack(server.pack())
    for number in range(3):
        assert server.unwrap(client.wrap(b"to the server %d" % number)) == b"to the server %d" % number
        assert client.unwrap(server.wrap(b"to the client %d" % number)) == b"to the client %d" % number
    assert client.exported_session_key == KEY


def test_a_session_that_has_protected_messages_is_not_packed() -> None:
    client = session()
    client.wrap(b"one")
    client.wrap(b"two")
    with pytest.raises(LocalProtocolError, match="RC4"):
        client.pack()


@pytest.mark.parametrize(
    "change",
    [
        lambda packed: packed[:-1],
        lambda packed: packed + b"\0",
        lambda packed: b"\2" + packed[1:],
        lambda packed: packed[:-1] + b"\2",
        lambda packed: packed[:17] + bytes(4) + packed[21:],
    ],
)
def test_bytes_that_are_no_session_are_refused(change: Callable[[bytes], bytes]) -> None:
    packed = session().pack()
    assert SESSION_FLAGS.to_bytes(4, "big") == packed[17:21]
    with pytest.raises(DecodeError):
        NTLMSession.unpack(change(packed))


def test_an_unpacked_context_takes_no_token_and_can_be_packed_again() -> None:
    context = UnpackedNTLM(b"\1" + session().pack())
    assert UnpackedNTLM(context.pack()).session_key == KEY
    assert context.complete
    with pytest.raises(LocalProtocolError):
        context.step(b"token")
    assert not context.complete

"""What passes a relay before the stream is free, and how it is changed."""

from __future__ import annotations

import pytest

from credssp import PasswordCredentials
from credssp.errors import CredSSPError, RemoteProtocolError
from credssp.rdp.client_info import ClientInfo
from credssp.rdp.negotiation import Protocol
from credssp.rdp.relayed import FromClient, FromServer, StandardSecurityError
from credssp.rdp.session_pdus import ConnectInitial, ConnectResponse, FrameBuffer, data_frame
from tests.rdp import session as pdus

ALICE = PasswordCredentials("alice", "for the server", domain="LAB")
UP = pdus.connect_initial() + pdus.ERECT_DOMAIN + pdus.ATTACH_USER + pdus.CHANNEL_JOIN + pdus.client_info()


def frames(data: bytes) -> list[bytes]:
    buffer = FrameBuffer()
    buffer.feed(data)
    found = []
    while (frame := buffer.next_frame()) is not None:
        found.append(frame)
    assert buffer.take_rest() == b""
    return found


@pytest.mark.parametrize("step", [1, 10, 1 << 16])
def test_the_stream_is_free_after_client_info(step: int) -> None:
    way = FromClient(Protocol.SSL, rewrite=lambda info: info.with_credentials(ALICE), deny_channels=["cliprdr"])
    sent = b"".join(way.feed(UP[at : at + step]) for at in range(0, len(UP), step))
    initial, erect, attach, join, info = frames(sent)
    assert ConnectInitial.decode(initial).selected_protocol == Protocol.SSL
    assert ConnectInitial.decode(initial).channels == ("rdpdr", "denied1")
    assert [erect, attach, join] == [pdus.ERECT_DOMAIN, pdus.ATTACH_USER, pdus.CHANNEL_JOIN]
    assert ClientInfo.decode(info).password.reveal() == "for the server"
    assert way.free
    assert way.feed(b"anything") == b"anything"


def test_the_erect_domain_request_of_rdesktop_is_written_as_others_do() -> None:
    way = FromClient(Protocol.SSL, rewrite=lambda info: None)
    way.feed(pdus.connect_initial())
    assert way.feed(data_frame(bytes.fromhex("0400010001"))) == pdus.ERECT_DOMAIN


def test_what_follows_client_info_at_once_is_not_lost() -> None:
    way = FromClient(Protocol.SSL, rewrite=lambda info: None)
    assert way.feed(UP + b"\x44\x04fast path").endswith(pdus.client_info() + b"\x44\x04fast path")


def test_the_password_does_not_stay() -> None:
    way = FromClient(Protocol.SSL, rewrite=lambda info: None)
    way.feed(UP)
    assert way.info is not None
    assert (way.info.username, way.info.password.reveal()) == ("", "")


@pytest.mark.parametrize(
    "data",
    [
        pdus.ERECT_DOMAIN,
        pdus.client_info(),
        pdus.connect_initial() + pdus.connect_initial(),
        pdus.connect_initial() + data_frame(b"\x64\x00\x06\x03\xeb\x70\x04\x00\x00\x00\x00"),
        pdus.connect_initial() + data_frame(b"\x21\x80"),
        pdus.connect_initial() + b"\x44\x04fast path",
        pdus.connect_initial() + pdus.client_info(security=0x48),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_has_no_place_before_client_info_ends_the_session(data: bytes) -> None:
    way = FromClient(Protocol.SSL, rewrite=lambda info: None)
    with pytest.raises(CredSSPError):
        way.feed(data)


@pytest.mark.parametrize(("known", "sent"), [(None, 1004), (1003, 1004), (1009, 1003)])
def test_client_info_on_another_channel_is_refused(known: int | None, sent: int) -> None:
    """A server could ignore it and take a second one, with credentials that were not rewritten."""
    info = pdus.client_info()
    way = FromClient(Protocol.SSL, rewrite=lambda info: info.with_credentials(ALICE), io_channel=lambda: known)
    way.feed(pdus.connect_initial() + pdus.ATTACH_USER)
    with pytest.raises(RemoteProtocolError, match=f"on channel {sent}, and the I/O channel is {known or 1003}"):
        way.feed(info[:10] + sent.to_bytes(2, "big") + info[12:])
    assert not way.free


@pytest.mark.parametrize("step", [1, 1 << 16])
def test_the_server_may_send_frames_after_its_first(step: int) -> None:
    way = FromServer(Protocol.HYBRID)
    more = pdus.fast_path(b"and more")
    data = pdus.connect_response() + more
    sent = b"".join(way.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert ConnectResponse.decode(sent[: -len(more)]).requested_protocols == Protocol.HYBRID
    assert sent.endswith(more)
    assert way.response is not None


def test_standard_security_is_refused_with_what_to_do() -> None:
    way = FromServer(Protocol.HYBRID)
    with pytest.raises(StandardSecurityError) as refused:
        way.feed(pdus.connect_response(pdus.sc_core() + pdus.sc_security(2, 3)))
    assert "encryptionMethod 2, encryptionLevel 3" in str(refused.value)
    assert "crypt_level=none" in refused.value.advice


def test_a_server_that_says_something_else_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        FromServer(Protocol.HYBRID).feed(pdus.ATTACH_USER + bytes(20))

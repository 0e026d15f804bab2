"""The server's side of a session's beginning."""

from __future__ import annotations

import struct

import pytest

from credssp.errors import CredSSPError, LocalProtocolError, RemoteProtocolError
from credssp.rdp.negotiation import Protocol
from credssp.rdp.redirection import ServerRedirection, is_redirection
from credssp.rdp.session_pdus import ConnectResponse, DomainPDU, FrameBuffer, data_frame, domain_pdu
from credssp.rdp.session_start import IO_CHANNEL, USER, SessionStart, connect_response, valid_client
from tests.rdp import session as pdus


def join(channel: int, user: int = USER) -> bytes:
    return data_frame(struct.pack(">BHH", 0x38, user - 1001, channel))


JOINS = b"".join(join(channel) for channel in (USER, IO_CHANNEL, IO_CHANNEL + 1, IO_CHANNEL + 2))
BEFORE = pdus.connect_initial() + pdus.ERECT_DOMAIN + pdus.ATTACH_USER
UP = BEFORE + JOINS + pdus.client_info()


def frames(data: bytes) -> list[bytes]:
    buffer = FrameBuffer()
    buffer.feed(data)
    found = []
    while (frame := buffer.next_frame()) is not None:
        found.append(frame)
    assert buffer.take_rest() == b""
    return found


@pytest.mark.parametrize("step", [1, 10, 1 << 16])
def test_a_client_is_led_to_its_client_info(step: int) -> None:
    start = SessionStart(Protocol.SSL)
    response, attach, *joins = frames(b"".join(start.feed(UP[at : at + step]) for at in range(0, len(UP), step)))
    assert ConnectResponse.decode(response).requested_protocols == Protocol.SSL
    assert ConnectResponse.decode(response).encryption_level == 0
    assert attach[7:] == bytes.fromhex("2e000001")
    assert [frame[7:] for frame in joins] == [
        bytes.fromhex(text)
        for text in ("3e000001 03ea03ea", "3e000001 03eb03eb", "3e000001 03ec03ec", "3e000001 03ed03ed")
    ]
    assert start.info is not None
    assert (start.info.domain, start.info.username, start.info.password.reveal()) == ("LAB", "alice", "secret")
    start.forget_info()
    assert start.info is None


@pytest.mark.parametrize("count", [0, 1, 2, 31])
def test_the_response_names_a_channel_for_each_that_was_asked_for(count: int) -> None:
    frame = connect_response(Protocol.SSL | Protocol.HYBRID, channels=count)
    response = ConnectResponse.decode(frame)
    assert (response.requested_protocols, response.encryption_method) == (3, 0)
    net = struct.pack("<HHHH", 0x0C03, 8 + 2 * (count + count % 2), IO_CHANNEL, count)
    ids = struct.pack(f"<{count}H", *range(1004, 1004 + count))
    security = struct.pack("<HHII", 0x0C02, 12, 0, 0)
    assert frame.endswith(net + ids + bytes(2 * (count % 2)) + security)


def test_the_licence_is_that_of_the_specification() -> None:
    # [MS-RDPBCGR] 4.1.12, LICENSE_ERROR_MESSAGE with STATUS_VALID_CLIENT
    assert valid_client()[-20:] == bytes.fromhex("80000000 ff031000 07000000 02000000 04000000")
    assert domain_pdu(valid_client()) is DomainPDU.SEND_DATA_INDICATION


def test_a_client_is_sent_away_after_its_client_info() -> None:
    start = SessionStart(Protocol.SSL)
    where = ServerRedirection(target="192.0.2.1", load_balance_info=b"Cookie: msts=x\r\n", username="x", domain="")
    start.feed(BEFORE)
    with pytest.raises(LocalProtocolError, match="due after the Client Info PDU"):
        start.redirect(where)
    start.feed(pdus.client_info())
    licence, redirection = frames(start.redirect(where))
    assert licence == valid_client()
    assert is_redirection(redirection)
    assert ServerRedirection.decode(redirection) == where


def test_what_follows_client_info_is_not_read() -> None:
    start = SessionStart(Protocol.SSL)
    start.feed(UP + b"\x44\x04 fast path")
    assert start.feed(b"anything") == b""


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (pdus.ERECT_DOMAIN, "where 7f65 is due"),
        (pdus.connect_initial() + join(USER), "CHANNEL_JOIN_REQUEST, which is not due"),
        (pdus.connect_initial() + pdus.client_info(), "Client Info PDU before it attached"),
        (BEFORE + pdus.ATTACH_USER, "ATTACH_USER_REQUEST, which is not due"),
        (BEFORE + pdus.ERECT_DOMAIN, "ERECT_DOMAIN_REQUEST, which is not due"),
        (BEFORE + pdus.connect_initial(), "an MCS PDU 31"),
        (BEFORE + data_frame(b"\x21\x80"), "DISCONNECT_PROVIDER_ULTIMATUM, which is not due"),
        (BEFORE + data_frame(bytes.fromhex("64000103eb7000")), "SEND_DATA_REQUEST, which is not due"),
        (BEFORE + join(USER, 1007), "user 1007, which is not the client's"),
        (BEFORE + join(IO_CHANNEL + 3), "channel 1006, which there is not"),
        (BEFORE + join(1), "channel 1, which there is not"),
        (BEFORE + join(IO_CHANNEL) * 2, "channel 1003 a second time"),
        (BEFORE + pdus.client_info(security=0x48), "it is encrypted"),
        (BEFORE + pdus.client_info(sizes=(6, 10, 1100, 0, 0)), "at most 1024 are read"),
        (BEFORE + b"\x02", "expected a TPKT frame"),
        (BEFORE + b"\x03\0\xff\xff", "at most 16384"),
    ],
)
def test_what_has_no_place_ends_the_session(sent: bytes, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        SessionStart(Protocol.SSL).feed(sent)


def test_every_changed_byte_ends_in_an_error_of_ours_or_is_taken() -> None:
    for at in range(len(UP)):
        for value in (0, 0xFF, UP[at] ^ 0x80, UP[at] ^ 0x01):
            start = SessionStart(Protocol.SSL)
            try:
                start.feed(UP[:at] + bytes([value]) + UP[at + 1 :])
            except CredSSPError as error:
                assert isinstance(error, RemoteProtocolError)

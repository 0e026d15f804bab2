"""Connect Initial and Response, domain PDUs, Client Info, redirection and preconnection: read strictly, rewritten."""

from __future__ import annotations

import contextlib
import struct
import traceback

import pytest

from credssp import PasswordCredentials
from credssp.errors import CredSSPError, DecodeError, LimitExceededError, LocalProtocolError, RemoteProtocolError
from credssp.rdp.client_info import ClientInfo, InfoFlags, is_client_info
from credssp.rdp.negotiation import Protocol
from credssp.rdp.preconnection import PreconnectionPDU
from credssp.rdp.redirection import ServerRedirection, is_redirection
from credssp.rdp.session_pdus import (
    MAX_FRAME,
    ConnectInitial,
    ConnectResponse,
    DomainPDU,
    FrameBuffer,
    data_frame,
    domain_pdu,
)
from tests.rdp import session as pdus

INITIAL = pdus.connect_initial()
RESPONSE = pdus.connect_response()
INFO = pdus.client_info()


def test_connect_initial_tells_who_the_client_is() -> None:
    initial = ConnectInitial.decode(INITIAL)
    assert (initial.client_name, initial.client_build, initial.desktop) == ("LAPTOP", 19041, (1024, 768))
    assert (initial.channels, initial.selected_protocol) == (("rdpdr", "cliprdr"), 1)


def test_connect_initial_gets_what_the_server_selected_and_no_udp() -> None:
    frame = ConnectInitial.decode(INITIAL).rewritten(Protocol.HYBRID)
    assert ConnectInitial.decode(frame).selected_protocol == 2
    assert len(frame) == len(INITIAL)
    differing = [at for at in range(len(frame)) if frame[at] != INITIAL[at]]
    flags_at = INITIAL.index(pdus.CS_MULTITRANSPORT) + 4
    assert differing == [INITIAL.index(pdus.cs_core()) + 212 + 4 - 4, flags_at, flags_at + 1]


def test_denied_channels_get_names_that_nobody_has() -> None:
    frame = ConnectInitial.decode(INITIAL).rewritten(Protocol.SSL, deny_channels=["CLIPRDR", "rdpsnd"])
    assert ConnectInitial.decode(frame).channels == ("rdpdr", "denied1")
    assert len(frame) == len(INITIAL)


def test_a_client_without_selected_protocol_stays_without() -> None:
    frame = pdus.connect_initial(pdus.cs_core(selected=None))
    initial = ConnectInitial.decode(frame)
    assert (initial.selected_protocol, initial.channels) == (None, ())
    assert initial.rewritten(Protocol.SSL) == frame


def test_short_and_long_ber_lengths_are_read() -> None:
    response = bytearray(RESPONSE)
    assert ConnectResponse.decode(bytes(response)).requested_protocols == 3
    assert ConnectInitial.decode(pdus.connect_initial(long=True)).selected_protocol == 1


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        (b"", "there is no CS_CORE"),
        (pdus.cs_net([]), "there is no CS_CORE"),
        (pdus.block(0xC001, bytes(100)), "CS_CORE has 104 bytes, at least 132"),
        (pdus.cs_core() + pdus.cs_core(), "block 0xC001 occurs twice"),
        (pdus.cs_core() + b"\x03\xc0\x03\x00", "a block of 3 bytes"),
        (pdus.cs_core() + b"\x03\xc0\xff\x00", "251 bytes wanted, 0 are left"),
        (pdus.cs_core() + pdus.cs_net(["c"] * 32), "32 channels; at most 31"),
        (pdus.cs_core() + pdus.block(0xC003, struct.pack("<I", 2) + bytes(12)), "12 bytes wanted, 0 are left"),
        (pdus.cs_core() + b"".join(pdus.block(n, b"") for n in range(40)), "more than 32 blocks"),
    ],
)
def test_blocks_that_lie_are_refused(blocks: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        ConnectInitial.decode(pdus.connect_initial(blocks))


def test_as_many_channels_as_are_allowed() -> None:
    names = [f"chan{number}" for number in range(31)]
    assert len(ConnectInitial.decode(pdus.connect_initial(pdus.cs_core() + pdus.cs_net(names))).channels) == 31


@pytest.mark.parametrize("frame", [INITIAL, RESPONSE, INFO], ids=["initial", "response", "info"])
def test_every_truncation_and_every_changed_byte_ends_in_an_error_of_ours_or_decodes(frame: bytes) -> None:
    readers = (ConnectInitial.decode, ConnectResponse.decode, ClientInfo.decode, ServerRedirection.decode)
    for size in range(len(frame)):
        for reader in readers:
            with pytest.raises(CredSSPError):
                reader(frame[:size])
    for position in range(4, len(frame)):
        for value in (0x00, 0x7F, 0x80, 0xFF, frame[position] ^ 1):
            changed = frame[:position] + bytes([value]) + frame[position + 1 :]
            for reader in (*readers, domain_pdu):
                with contextlib.suppress(CredSSPError):
                    reader(changed)


def test_connect_response_gets_what_the_client_requested() -> None:
    response = ConnectResponse.decode(RESPONSE)
    assert (response.requested_protocols, response.encryption_method, response.encryption_level) == (3, 0, 0)
    frame = response.rewritten(Protocol.HYBRID_EX | Protocol.SSL)
    assert ConnectResponse.decode(frame).requested_protocols == 9
    assert len(frame) == len(RESPONSE)
    assert pdus.SC_MULTITRANSPORT not in frame


def test_a_server_that_refuses_is_named() -> None:
    with pytest.raises(RemoteProtocolError, match=r"refused the connection \(MCS result 14\)"):
        ConnectResponse.decode(pdus.connect_response(result=14))


def test_standard_security_is_seen() -> None:
    response = ConnectResponse.decode(pdus.connect_response(pdus.sc_core() + pdus.sc_security(2, 3)))
    assert (response.encryption_method, response.encryption_level) == (2, 3)


@pytest.mark.parametrize(
    ("frame", "pdu"),
    [
        (pdus.ERECT_DOMAIN, DomainPDU.ERECT_DOMAIN_REQUEST),
        (data_frame(bytes.fromhex("0400010001")), DomainPDU.ERECT_DOMAIN_REQUEST),
        (pdus.ATTACH_USER, DomainPDU.ATTACH_USER_REQUEST),
        (pdus.CHANNEL_JOIN, DomainPDU.CHANNEL_JOIN_REQUEST),
        (INFO, DomainPDU.SEND_DATA_REQUEST),
        (data_frame(b"\x21\x80"), DomainPDU.DISCONNECT_PROVIDER_ULTIMATUM),
    ],
)
def test_domain_pdus(frame: bytes, pdu: DomainPDU) -> None:
    assert domain_pdu(frame) is pdu


@pytest.mark.parametrize("body", [b"\xff", b"\x28\x00", b"\x38\x00\x06", b"\x04", b"\x04" * 12, b""])
def test_domain_pdus_of_a_wrong_kind_or_size_are_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        domain_pdu(data_frame(body))


def test_frames_are_cut_wherever_the_stream_is_split() -> None:
    stream = INITIAL + pdus.ERECT_DOMAIN + pdus.ATTACH_USER + b"\x03\0"
    for step in (1, 2, 7, len(stream)):
        buffer, frames = FrameBuffer(), []
        for start in range(0, len(stream), step):
            buffer.feed(stream[start : start + step])
            while (frame := buffer.next_frame()) is not None:
                frames.append(frame)
        assert frames == [INITIAL, pdus.ERECT_DOMAIN, pdus.ATTACH_USER]
        assert buffer.take_rest() == b"\x03\0"


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"\x04\0\0\x10", RemoteProtocolError),
        (b"\x03\0\0\x07", RemoteProtocolError),
        (b"\x03\0" + (MAX_FRAME + 1).to_bytes(2, "big"), LimitExceededError),
    ],
)
def test_frames_are_refused_by_their_header(head: bytes, error: type[Exception]) -> None:
    buffer = FrameBuffer()
    buffer.feed(head)
    with pytest.raises(error):
        buffer.next_frame()


def test_client_info_holds_what_the_client_typed() -> None:
    assert is_client_info(INFO)
    info = ClientInfo.decode(INFO)
    assert (info.domain, info.username, info.password.reveal()) == ("LAB", "alice", "secret")
    assert info.flags == 0x13B
    assert info.encode() == INFO


def test_client_info_without_unicode_is_written_with_it() -> None:
    info = ClientInfo.decode(pdus.client_info(("LAB", "m\u00fcller", "s", "", ""), wide=False))
    assert info.username == "m\u00fcller"
    again = ClientInfo.decode(info.encode())
    assert (again.username, again.flags & InfoFlags.INFO_UNICODE) == ("m\u00fcller", InfoFlags.INFO_UNICODE)


def test_credentials_are_replaced_and_the_rest_stays() -> None:
    info = ClientInfo.decode(pdus.client_info(("OLD", "other", "old", "shell.exe", "C:\\"), flags=0x140133))
    to = PasswordCredentials("alice", "p\u00e4ss" * 50, domain="LAB")
    frame = info.with_credentials(to).encode()
    changed = ClientInfo.decode(frame)
    assert (changed.domain, changed.username, changed.password.reveal()) == ("LAB", "alice", "p\u00e4ss" * 50)
    assert (changed.shell, changed.directory) == ("shell.exe", "C:\\")
    assert changed.flags == 0x13B  # AUTOLOGON is set; saved credentials and smart card PIN are not
    assert frame.endswith(b"\x02\0more")
    assert int.from_bytes(frame[2:4], "big") == len(frame)


def test_a_server_that_has_the_password_by_nla_gets_the_name_alone() -> None:
    info = ClientInfo.decode(INFO).with_credentials(PasswordCredentials("bob", "secret"), password=False)
    assert (info.domain, info.username, info.password.reveal()) == ("", "bob", "")
    assert not info.flags & InfoFlags.INFO_AUTOLOGON
    assert b"s\0e\0c\0r\0e\0t" not in info.encode()


def test_blank_credentials() -> None:
    info = ClientInfo.decode(INFO).without_credentials()
    assert (info.domain, info.username, info.password.reveal(), info.flags) == ("", "", "", 0x133)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (pdus.client_info(security=0x48), "standard RDP security"),
        (pdus.client_info(security=0x80), "no SEC_INFO_PKT"),
        (pdus.client_info(sizes=(6, 10, 2000, 0, 0)), "2000 bytes; at most 1024"),
        (pdus.client_info(sizes=(5, 10, 12, 0, 0)), "an odd number"),
        (pdus.client_info(sizes=(4, 10, 12, 0, 0)), "Domain.terminator"),
        (pdus.client_info(sizes=(6, 1000, 12, 0, 0)), "bytes wanted"),
        (INFO + b"x", "1 bytes too many"),
        (pdus.ATTACH_USER, "6 bytes wanted"),
    ],
)
def test_client_info_that_lies_is_refused(frame: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        ClientInfo.decode(frame)


def test_the_password_of_client_info_is_in_no_traceback_and_no_repr() -> None:
    frame = pdus.client_info(("LAB", "alice", "S3cr3tPass", "", ""), sizes=(6, 10, 20, 5, 0))
    with pytest.raises(DecodeError) as refused:
        ClientInfo.decode(frame)
    found = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    text = "".join(line for line in found.format() if "credssp/rdp" in line)
    assert "S\\x003" not in text
    assert "S3cr3tPass" not in repr(ClientInfo.decode(pdus.client_info(("", "a", "S3cr3tPass", "", ""))))


def test_a_string_that_does_not_fit_is_a_local_error() -> None:
    info = ClientInfo.decode(INFO).with_credentials(PasswordCredentials("a" * 1000, "secret"))
    with pytest.raises(LocalProtocolError, match="longer than 1024 bytes"):
        info.encode()


def test_redirection_is_read_as_written() -> None:
    redirection = ServerRedirection(
        target="192.0.2.1", load_balance_info=b"Cookie: msts=abc\r\n", username="abc", domain="LAB"
    )
    frame = redirection.encode(initiator=1002, channel=1003)
    assert is_redirection(frame)
    assert not is_redirection(INFO)
    assert ServerRedirection.decode(frame) == redirection
    for size in range(len(frame)):
        with pytest.raises(CredSSPError):
            ServerRedirection.decode(frame[:size])


def test_a_redirection_with_a_password_is_seen_and_never_written() -> None:
    with pytest.raises(LocalProtocolError):
        ServerRedirection(password=True).encode(initiator=1002, channel=1003)
    frame = bytearray(ServerRedirection(domain="-").encode(initiator=1002, channel=1003))
    at = frame.index(struct.pack("<I", 8))
    frame[at : at + 4] = struct.pack("<I", 16)
    assert ServerRedirection.decode(bytes(frame)).password


@pytest.mark.parametrize("pdu", [PreconnectionPDU(7), PreconnectionPDU(0, "vm-42"), PreconnectionPDU(1, "")])
def test_preconnection_is_read_as_written(pdu: PreconnectionPDU) -> None:
    data = pdu.encode()
    for size in range(4):
        assert PreconnectionPDU.size_of(data[:size]) is None
    assert PreconnectionPDU.size_of(data + b"\x03\0") == len(data)
    assert PreconnectionPDU.decode(data) == pdu


@pytest.mark.parametrize("data", [b"\x03", b"\x03\0\0\x13\x0e\xe0", b"\x16\x03\x01\x02\0", b"GET / HTTP/1.1"])
def test_what_is_no_preconnection_pdu_is_left_to_others(data: bytes) -> None:
    assert PreconnectionPDU.size_of(data) == 0


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<IIII", 17, 0, 1, 0) + b"\0",
        struct.pack("<IIII", 16, 0, 2, 0),
        struct.pack("<IIII", 16, 0, 3, 0),
        struct.pack("<IIIIH", 20, 0, 2, 0, 9) + b"\0\0",
        struct.pack("<IIII", 99, 0, 1, 0),
        b"short",
    ],
)
def test_preconnection_that_lies_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        PreconnectionPDU.decode(data)


def test_a_preconnection_pdu_that_is_too_long_is_refused_by_its_size() -> None:
    with pytest.raises(DecodeError, match="at most 2048"):
        PreconnectionPDU.size_of(struct.pack("<I", 5000))
    with pytest.raises(LocalProtocolError):
        PreconnectionPDU(0, "x" * 2000).encode()


def test_the_length_of_the_connect_pdu_is_not_relied_on() -> None:
    # IronRDP leaves two bytes out; the blocks have a length of their own, and nothing may follow them.
    assert ConnectInitial.decode(pdus.connect_initial(short_by=2)).channels == ("rdpdr", "cliprdr")
    whole = pdus.connect_initial()
    longer = whole[:2] + (len(whole) + 1).to_bytes(2, "big") + whole[4:] + b"\0"
    with pytest.raises(DecodeError):
        ConnectInitial.decode(longer)

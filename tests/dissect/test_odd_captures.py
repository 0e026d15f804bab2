"""Captures as real machines make them: appended, begun late, with jumbo packets, several logins on a connection."""

from __future__ import annotations

import gzip
import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.dissect import conversation as conversation_module
from credssp.dissect import http_layer
from credssp.dissect.conversation import ConversationReader
from credssp.dissect.dissector import dissect, examine
from credssp.dissect.errors import CaptureError
from credssp.dissect.http_layer import HTTPLayer
from credssp.dissect.model import Conversation
from credssp.dissect.streams import Piece, Stream
from credssp.dissect.tls.handshake import client_hello_random
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.tls.session import _is_header, _next_record
from credssp.exchange.opening import LogonSecrets
from credssp.secret import Secret
from tests.dissect.captures import (
    ETHERNET,
    RAW,
    RST,
    Connection,
    Said,
    block,
    interface,
    pcap,
    pcapng,
    secrets_block,
    section_header,
)
from tests.dissect.logins import PASSWORD, Login, log_on
from tests.growth import Work, assert_linear, compared

LOGON = LogonSecrets((Secret(PASSWORD),))
ALL_OK = {"NTProofStr", "MIC", "pubKeyAuth of the client", "pubKeyAuth of the server", "authInfo"}


def take_apart(capture: bytes, *logins: Login) -> dict[str, Any]:
    secrets = Secrets()
    for login in logins:
        secrets.add_log(login.keylog.splitlines())
    return dissect(io.BytesIO(capture), tls=secrets, logon=LOGON)


def opened(conversation: dict[str, Any]) -> bool:
    return {check["name"] for check in conversation["checks"] if check["verdict"] == "ok"} >= ALL_OK


# The container


@pytest.mark.parametrize("second", [{}, {"endian": ">"}, {"nano": True}, {"nano": True, "endian": ">"}])
def test_a_capture_that_was_appended_to_another_is_read_too(second: dict[str, Any]) -> None:
    login = log_on()
    first = pcap(Connection().packets(login.rdp()))
    link = Connection(client_port=50001, link_type=RAW)
    report = take_apart(first + pcap(link.packets(login.rdp()), link_type=RAW, **second), login)
    assert report["problems"] == []
    assert [opened(each) for each in report["conversations"]] == [True, True]
    assert len({each["started"] for each in report["conversations"]}) == 1


def test_a_file_header_that_was_appended_and_cut_off_is_told() -> None:
    login = log_on()
    capture = pcap(Connection().packets(login.rdp()))
    report = take_apart(capture + pcap([])[:20], login)
    assert opened(report["conversations"][0])
    assert "cut off" in report["problems"][0]


def test_compressed_captures_that_were_appended() -> None:
    login = log_on()
    both = [gzip.compress(pcap(Connection(client_port=port).packets(login.rdp()))) for port in (50000, 50001)]
    assert len(take_apart(b"".join(both), login)["conversations"]) == 2


def test_a_compressed_capture_that_ends_early_is_told_in_words() -> None:
    login = log_on()
    packed = gzip.compress(pcap(Connection().packets(login.rdp())))
    (problem,) = take_apart(packed[:-200], login)["problems"]
    assert problem.startswith("the capture is cut off at byte ")
    assert problem.endswith("the compressed file ends early")


def test_a_packet_with_as_many_octets_as_a_record_header_is_a_packet() -> None:
    login = log_on()
    odd = bytes(8) + b"\xff" * 8  # read as a header, it would announce gigabytes
    capture = pcap([odd, *Connection().packets(login.rdp())])
    assert opened(take_apart(capture, login)["conversations"][0])


def test_a_packet_that_announces_gigabytes_is_told() -> None:
    login = log_on()
    huge = struct.pack("<IIII", 1, 1, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(1000)
    report = take_apart(pcap(Connection().packets(login.rdp())) + huge, login)
    assert opened(report["conversations"][0])
    assert "it announces a packet or block of 4294967295 bytes" in report["problems"][0]


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_packets_beyond_64_kib_are_whole(form: str) -> None:
    # Loopback has an MTU of 65,536; with the headers a packet has more bytes than scapy takes by itself.
    login = log_on(mechanism="negotiate")
    body: list[Said] = [("client", b"POST /a HTTP/1.1\r\nContent-Length: 65443\r\n\r\n" + bytes(65443))]
    connection = Connection(mss=65483)
    # As segmentation offload leaves them: the IP header says 0.
    packets = [p[:16] + b"\0\0" + p[18:] if len(p) > 65535 else p for p in connection.packets(body + login.winrm())]
    assert max(map(len, packets)) > 65535
    capture = pcap(packets) if form == "pcap" else pcapng(packets)
    report = take_apart(capture, login)
    assert report["octets"] == sum(map(len, packets))
    assert opened(report["conversations"][0])


def test_simple_packets_of_an_interface_without_a_limit() -> None:
    login = log_on()
    unlimited = block(1, struct.pack("<HHI", ETHERNET, 0, 0))
    packets = [block(3, struct.pack("<I", len(p)) + p) for p in Connection().packets(login.rdp())]
    capture = section_header() + secrets_block(login.keylog) + unlimited + b"".join(packets)
    assert opened(take_apart(capture)["conversations"][0])
    assert interface() != unlimited


def test_a_pipe_may_give_less_than_is_asked_for() -> None:
    class Pipe(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7))

    login = log_on()
    secrets = Secrets()
    secrets.add_log(login.keylog.splitlines())
    report = dissect(Pipe(pcap(Connection().packets(login.rdp()))), tls=secrets, logon=LOGON)
    assert report["problems"] == []
    assert opened(report["conversations"][0])


@pytest.mark.parametrize(
    ("start", "advice"),
    [
        (b"snoop\0\0\0\0\0\0\2", "editcap"),
        (b"\x34\xcd\xb2\xa1", "editcap"),
        (b"GMBU", "editcap"),
        (b"\x28\xb5\x2f\xfd", "unpack"),
        (b"PK\3\4", "unpack"),
    ],
)
def test_it_is_said_what_to_do_about_other_formats(start: bytes, advice: str) -> None:
    with pytest.raises(CaptureError, match=advice):
        dissect(io.BytesIO(start + bytes(40)))


def test_packets_that_were_cut_off_are_told_with_what_to_do() -> None:
    capture = pcap([])
    for packet in Connection().packets(log_on().rdp()):
        kept = packet[:120]
        capture += struct.pack("<IIII", 1, 1, len(kept), len(packet)) + kept
    report = take_apart(capture)
    assert "snapshot length" in report["problems"][0]
    assert "tcpdump -s 0" in report["problems"][0]


def test_key_logs_as_editors_leave_them() -> None:
    login = log_on()
    secrets = Secrets()
    secrets.add_log(b"\xef\xbb\xbf" + line.replace(b" ", b" \t") + b"\r\n" for line in login.keylog.splitlines())
    assert secrets.lines_ignored == 0
    report = dissect(io.BytesIO(pcap(Connection().packets(login.rdp()))), tls=secrets, logon=LOGON)
    assert opened(report["conversations"][0])


# TCP


def test_a_fin_that_overtakes_data_does_not_end_the_connection() -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    fins, packets = packets[-2:], packets[:-2]
    (conversation,) = take_apart(pcap([*packets[:6], *fins, *packets[6:]]), login)["conversations"]
    assert opened(conversation)


def test_what_is_missing_before_the_end_is_told() -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    (conversation,) = take_apart(pcap([*packets[:8], *packets[-2:]]), login)["conversations"]
    assert any("bytes of the client are missing" in problem for problem in conversation["problems"])


def test_a_reset_ends_the_connection_where_it_stands_behind_all_data() -> None:
    login = log_on()
    connection = Connection()
    packets = list(connection.packets(login.rdp(), fin=False))
    early = Connection(client_seq=5_000_000).packet("client", b"", RST)
    (conversation,) = take_apart(pcap([*packets[:8], early, *packets[8:]]), login)["conversations"]
    assert opened(conversation)
    reset = connection.packet("client", b"", RST)
    again = list(Connection(client_seq=77_000, server_seq=88_000).packets(login.rdp(), fin=False))
    report = take_apart(pcap([*packets, reset, *again]), login)
    assert [opened(each) for each in report["conversations"]] == [True, True]


def test_the_end_of_a_stream() -> None:
    stream = Stream()
    assert stream.reaches(99)  # nothing is known of it
    stream.start(0xFFFFFFFE)
    stream.end(3)
    assert not stream.over
    stream.feed(0xFFFFFFFE, b"abcde", 0, None)
    assert stream.over
    assert stream.flush() == []
    late = Stream()
    late.start(0)
    late.end(7)
    assert late.flush() == [Piece(7, b"", None)]
    assert late.over


def test_octets_may_come_one_by_one() -> None:
    for said in (log_on().rdp(), log_on(mechanism="negotiate").winrm()):
        login = log_on(mechanism="negotiate") if said[0][1][:4] == b"POST" else log_on()
        (conversation,) = take_apart(pcap(Connection(mss=1).packets(said)), login)["conversations"]
        assert opened(conversation)


# Connections that were begun before the capture


BODY: list[Said] = [
    ("client", b"POST /a HTTP/1.1\r\nContent-Length: 9000\r\n\r\n" + b"<soap>" * 1500),
    ("server", b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + b"<soap>" * 2000),
]


@pytest.mark.parametrize("first", [3, 5, 10, 14])
def test_a_capture_may_begin_in_the_body_of_an_http_message(first: int) -> None:
    login = log_on(mechanism="negotiate")
    packets = list(Connection().packets(BODY + login.winrm()))
    (conversation,) = take_apart(pcap(packets[first:]), login)["conversations"]
    assert opened(conversation)
    assert "the capture does not have the beginning of this connection" in conversation["problems"]


def test_the_first_packet_may_be_missing() -> None:
    login = log_on(mechanism="negotiate")
    packets = list(Connection().packets(BODY + login.winrm()))
    (conversation,) = take_apart(pcap(packets[:2] + packets[3:]), login)["conversations"]
    assert opened(conversation)


def test_other_traffic_that_was_begun_before_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_module, "_MAX_LOOKED", 20)
    late = ConversationReader(("a:1", "b:2"), Secrets(), client=None)
    for _ in range(19):
        late.feed(0, Piece(0, b"whatever it is", 1))
        assert not late.done
    late.feed(0, Piece(0, b"whatever it is", 1))
    assert late.done
    # Records in the middle of a TLS connection tell nothing: it is not one more that could not be opened.
    middle = ConversationReader(("a:1", "b:2"), Secrets(), client=None)
    middle.feed(0, Piece(0, b"in the middle of a record", 1))
    middle.feed(0, Piece(0, b"\x17\x03\x03\0\x10" + bytes(16), 1))
    assert middle.conversation.tls == []
    whole = ConversationReader(("a:1", "b:2"), Secrets(), client=0)
    whole.feed(0, Piece(0, b"SSH-2.0-OpenSSH", 1))
    assert whole.done


# Several logins on one connection


def test_each_login_on_a_connection_that_is_kept_alive_is_a_conversation() -> None:
    good, bad = log_on(mechanism="negotiate"), log_on(mechanism="negotiate", password="wrong")
    other = log_on(mechanism="negotiate", version=5)
    said = good.winrm() + bad.winrm() + other.winrm()
    report = take_apart(pcap(Connection().packets(said)), good, bad, other)
    assert [opened(each) for each in report["conversations"]] == [True, False, True]
    assert [each["negotiated"]["version"] for each in report["conversations"]] == [6, 6, 5]
    assert [each["problems"] for each in report["conversations"]] == [[], [], []]
    assert all("errorCode" in str(each["timeline"]) for each in report["conversations"][1:2])


def test_secrets_that_come_last_open_each_login_of_a_connection() -> None:
    first, second = log_on(mechanism="negotiate"), log_on(mechanism="negotiate", version=5)
    capture = pcapng(Connection().packets(first.winrm() + second.winrm()))
    report = take_apart(capture + secrets_block(first.keylog + second.keylog))
    assert [opened(each) for each in report["conversations"]] == [True, True]


def test_a_hello_that_answers_a_retry_is_no_other_login() -> None:
    login = log_on(mechanism="negotiate")
    said = login.winrm()
    assert client_hello_random(login.said[0][1])
    # The same ClientHello once more: the same random.
    report = take_apart(pcap(Connection().packets(said[:3] + said[2:])), login)
    assert len(report["conversations"]) == 1


def test_logins_of_a_connection_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_module, "MAX_LOGINS", 2)
    logins = [log_on(mechanism="negotiate", version=version) for version in (2, 3, 4, 5)]
    said = [piece for login in logins for piece in login.winrm()]
    report = take_apart(pcap(Connection().packets(said)), *logins)
    assert [opened(each) for each in report["conversations"]] == [True, True]
    assert "more than 2 logins" in report["conversations"][1]["problems"][0]


def test_what_follows_a_login_over_http_is_shown_in_part() -> None:
    login = log_on(mechanism="negotiate")
    later: list[Said] = [
        ("client", b"POST /wsman HTTP/1.1\r\nContent-Length: 2\r\n\r\nxx"),
        ("server", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nyy"),
    ] * 400
    again = log_on(mechanism="negotiate", version=5)
    report = take_apart(pcap(Connection().packets(login.winrm() + later + again.winrm())), login, again)
    assert [opened(each) for each in report["conversations"]] == [True, True]
    assert len(report["conversations"][0]["timeline"]) < 40 + http_layer._MAX_LATER
    assert "the rest is not shown" in report["conversations"][0]["problems"][0]


# Many conversations


def test_the_trees_of_a_report_are_made_one_by_one() -> None:
    login = log_on()
    packets = [p for port in (50000, 50001, 50002) for p in Connection(client_port=port).packets(login.rdp())]
    capture = pcap(packets)
    trees = examine(io.BytesIO(capture), logon=LOGON)["conversations"]
    assert len(trees) == 3
    assert list(trees) == dissect(io.BytesIO(capture), logon=LOGON)["conversations"]
    assert trees[-1]["number"] == 3
    assert [tree["number"] for tree in trees[1:]] == [2, 3]
    assert trees[0] is not trees[0]


# Time and memory


def naive_next_record(data: bytes) -> bytes:
    for start in range(len(data) - 4):
        if _is_header(data, start):
            following = start + 5 + int.from_bytes(data[start + 3 : start + 5], "big")
            if following > len(data) - 5 or _is_header(data, following):
                return data[start:]
    return data[-4:]


@given(st.lists(st.sampled_from([b"\x17\x03\x03\0\2", b"\x17\x03", b"\x03", b"ab", b"\x16\3\1\0\1x"]), max_size=12))
def test_the_next_record_is_the_first_that_another_follows(parts: list[bytes]) -> None:
    assert _next_record(b"".join(parts)) == naive_next_record(b"".join(parts))


def test_captures_that_lost_half_of_a_connection_are_read_in_time() -> None:
    login = log_on()
    bulk: list[Said] = [("server", b"\x17\x03\x03\x05\0" + bytes(0x500))] * 2000
    packets = list(Connection(mss=100).packets(login.rdp()[:4] + bulk))
    whole, half = pcap(packets), pcap(packets[:6] + packets[6::2])
    # 1.7 times as long; 8 times when the nearest segment was searched among all that wait.
    assert compared(reading(half), reading(whole), rounds=3) < 4


def reading(capture: bytes) -> Work:
    return lambda: take_apart(capture)


def test_junk_behind_missing_octets_is_read_in_time() -> None:
    login = log_on()

    def lacking(size: int) -> Work:
        junk: list[Said] = [("server", bytes(range(256)) * (size // 256))]
        packets = list(Connection(mss=60_000).packets(login.rdp()[:4] + junk))
        return reading(pcap(packets[:6] + packets[7:]))

    # 0.05 s for 5 MB, and 3.5 s when every byte was looked at with a copy of the rest
    assert_linear(lacking, 20 << 20)


def test_headers_that_never_end_cost_no_memory() -> None:
    layer = HTTPLayer(Conversation("c", "s"), lambda *_: None, lambda: Conversation("c", "s"))
    layer.feed("client", b"POST / HTTP/1.1\r\nX: ", None)
    for _ in range(1000):
        layer.feed("client", b"y" * 1000, None)
    assert layer._sides["client"].data == b""


def test_an_encrypted_login_shows_when_and_how_much_was_said() -> None:
    (conversation,) = take_apart(pcap(Connection().packets(log_on().rdp())))["conversations"]
    said = [(each["sender"], each["octets"]) for each in conversation["timeline"] if "encrypted" in each["summary"]]
    assert [sender for sender, _ in said[:6]] == ["server", "client", "server", "client", "server", "client"]
    assert all(size > 0 for _, size in said)
    assert len({each["time"] for each in conversation["timeline"]}) > 6

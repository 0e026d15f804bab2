"""Whole captures: what is found in them, opened, verified, judged, and what is said where something is missing."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from credssp.dissect.connections import TCPConnections
from credssp.dissect.container import MAX_BLOCK
from credssp.dissect.dissector import dissect
from credssp.dissect.errors import CaptureError
from credssp.dissect.tls.keylog import Secrets
from credssp.exchange.opening import LogonSecrets
from credssp.nt_hash import nt_hash
from credssp.secret import Secret
from tests.dissect.captures import (
    ETHERNET,
    NULL,
    RAW,
    SLL,
    SLL2,
    Connection,
    Said,
    block,
    enhanced_packet,
    interface,
    interleave,
    pcap,
    pcapng,
    secrets_block,
    section_header,
)
from tests.dissect.logins import DOMAIN, PASSWORD, TARGET, USER, Login, log_on

LOGON = LogonSecrets((Secret(PASSWORD),))


def keylog(*logins: Login) -> Secrets:
    secrets = Secrets()
    for login in logins:
        secrets.add_log(login.keylog.splitlines())
    return secrets


def take_apart(capture: bytes, *logins: Login, logon: LogonSecrets = LOGON, **options: Any) -> dict[str, Any]:
    return dissect(io.BytesIO(capture), tls=keylog(*logins), logon=logon, **options)


def only(report: dict[str, Any]) -> dict[str, Any]:
    (conversation,) = report["conversations"]
    return conversation


def checks(conversation: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in conversation["checks"]}


def findings(conversation: dict[str, Any], topic: str) -> list[tuple[str, str]]:
    return [(each["level"], each["text"]) for each in conversation["judgement"] if each["topic"] == topic]


def legs(conversation: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in conversation["timeline"] if entry["leg"] is not None]


ALL_OK = {
    "NTProofStr": "ok",
    "MIC": "ok",
    "pubKeyAuth of the client": "ok",
    "pubKeyAuth of the server": "ok",
    "authInfo": "ok",
}


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
@pytest.mark.parametrize("transport", ["rdp", "direct", "winrm"])
@pytest.mark.parametrize("version", [2, 4, 5, 6])
def test_logins_are_found_opened_and_verified(tls: str, mechanism: str, transport: str, version: int) -> None:
    login = log_on(tls=tls, mechanism=mechanism, version=version)
    said = {"rdp": login.rdp, "winrm": login.winrm, "direct": lambda: list(login.said)}[transport]()
    conversation = only(take_apart(pcap(Connection(server_port=40001).packets(said)), login))
    assert conversation["transport"] == {"rdp": "rdp", "winrm": "winrm", "direct": "tls"}[transport]
    assert conversation["client"] == "192.0.2.10:50000"
    assert conversation["server"] == "192.0.2.20:40001"
    assert checks(conversation) == ALL_OK | (
        {} if mechanism == "ntlm" else {"mechListMIC of the client": "ok", "mechListMIC of the server": "ok"}
    )
    assert conversation["problems"] == []
    assert [entry["message"]["octets"] for entry in legs(conversation)] == [len(each) for each in login.requests[::1]][
        : len(legs(conversation))
    ] or sorted(entry["octets"] for entry in legs(conversation)) == sorted({len(each) for each in login.requests})
    said_of = conversation["negotiated"]
    assert said_of["version"] == version
    assert said_of["mechanism"] == "ntlm"
    assert said_of["wire_form"] == ("ntlm" if mechanism == "ntlm" else "spnego")
    assert (said_of["domain"], said_of["user"], said_of["target_name"]) == (DOMAIN, USER, TARGET)
    level, text = findings(conversation, "version")[0]
    assert (level == "danger") == (version < 5)
    assert text.startswith(f"v{version} binding" + (": open to CVE-2018-0886" if version < 5 else ""))
    credentials = legs(conversation)[-1]["message"]["authInfo"]["opened"]["credentials"]
    assert credentials == {"type": "TSPasswordCreds", "domainName": DOMAIN, "userName": USER, "password": "********"}


@pytest.mark.parametrize("key", ["p256", "ed25519"])
def test_keys_of_every_kind_are_bound_to(key: str) -> None:
    login = log_on(key=key)
    conversation = only(take_apart(pcap(Connection().packets(login.rdp())), login))
    assert checks(conversation) == ALL_OK
    assert conversation["tls"][0]["certificate"]["key_type"] == {"p256": "EC secp256r1", "ed25519": "Ed25519"}[key]


@pytest.mark.parametrize("link_type", [ETHERNET, RAW, NULL, SLL, SLL2])
@pytest.mark.parametrize("addresses", [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")])
def test_link_layers(link_type: int, addresses: tuple[str, str]) -> None:
    login = log_on()
    packets = list(Connection(*addresses, link_type=link_type).packets(login.rdp()))
    for capture in (pcap(packets, link_type=link_type), pcapng(packets, link_type=link_type)):
        assert checks(only(take_apart(capture, login))) == ALL_OK


@pytest.mark.parametrize("endian", ["<", ">"])
def test_containers(endian: str, tmp_path: Path) -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    captures = [
        pcap(packets, endian=endian),
        pcap(packets, endian=endian, nano=True),
        pcapng(packets, endian=endian),
        gzip.compress(pcapng(packets, endian=endian)),
    ]
    for capture in captures:
        file = tmp_path / "capture"
        file.write_bytes(capture)
        report = dissect(file, tls=keylog(login), logon=LOGON)
        assert report["problems"] == []
        assert report["packets"] == len(packets)
        conversation = only(report)
        assert checks(conversation) == ALL_OK
        assert conversation["started"].startswith("2026-01-01T00:00:00.002")
        assert legs(conversation)[0]["time"] == pytest.approx(0.004)


@pytest.mark.parametrize("where", ["front", "end"])
def test_secrets_in_the_capture_itself(where: str) -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    capture = pcapng(packets, log=login.keylog) if where == "front" else pcapng(packets) + secrets_block(login.keylog)
    assert checks(only(take_apart(capture))) == ALL_OK


def test_sections_and_interfaces_are_kept_apart() -> None:
    login = log_on()
    raw = list(Connection(link_type=RAW).packets(login.rdp()))
    wire = list(Connection(client="192.0.2.11").packets(login.rdp()))
    first = section_header() + interface(RAW) + interface(ETHERNET)
    first += b"".join(enhanced_packet(packet, n, 0) for n, packet in enumerate(raw))
    # In the second section, of other byte order, interface 0 is another one.
    second = section_header(">") + interface(ETHERNET, ">")
    second += b"".join(enhanced_packet(packet, n, 0, ">") for n, packet in enumerate(wire))
    report = take_apart(first + second, login)
    assert [checks(each) for each in report["conversations"]] == [ALL_OK, ALL_OK]


def test_blocks_that_are_of_no_interest_are_passed_over() -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    odd = block(5, bytes(12)) + block(0x0BAD, b"private") + block(10, b"\1\2\3\4" + bytes(4)) + block(10, b"")
    capture = section_header() + interface() + odd + b"".join(enhanced_packet(p, n) for n, p in enumerate(packets))
    report = take_apart(capture, login)
    assert checks(only(report)) == ALL_OK
    assert report["problems"] == []


def test_simple_packets_have_no_time() -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    body = b"".join(block(3, len(p).to_bytes(4, "little") + p) for p in packets)
    head = section_header() + block(1, b"\1\0\0\0" + (1 << 18).to_bytes(4, "little"))
    conversation = only(take_apart(head + body, login))
    assert checks(conversation) == ALL_OK
    assert conversation["started"] is None


def test_several_conversations_at_the_same_time() -> None:
    logins = [log_on(), log_on(tls="1.2"), log_on(mechanism="negotiate"), log_on(version=2)]
    connections = [
        Connection(client="192.0.2.1").packets(logins[0].rdp()),
        Connection(client="192.0.2.2", mss=100).packets(logins[1].rdp()),
        Connection(client="2001:db8::1", server="2001:db8::2", server_port=5985).packets(logins[2].winrm()),
        Connection(client="192.0.2.3", server_port=2179).packets(logins[3].said),
    ]
    report = take_apart(pcap(interleave(*connections)), *logins)
    assert len(report["conversations"]) == 4
    assert all(ALL_OK.items() <= checks(each).items() for each in report["conversations"])


@pytest.mark.parametrize("disorder", ["swapped", "twice", "reversed by threes"])
def test_disorder_does_not_matter(disorder: str) -> None:
    login = log_on()
    packets = list(Connection(mss=90).packets(login.rdp()))
    head, body = packets[:2], packets[2:]
    if disorder == "swapped":
        for index in range(0, len(body) - 1, 2):
            body[index], body[index + 1] = body[index + 1], body[index]
    elif disorder == "twice":
        body = [packet for packet in body for _ in range(2)]
    else:
        body = [packet for at in range(0, len(body), 3) for packet in reversed(body[at : at + 3])]
    assert checks(only(take_apart(pcap(head + body), login))) == ALL_OK


def test_a_capture_without_the_beginning_of_tcp() -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp(), syn=False, fin=False))
    assert checks(only(take_apart(pcap(packets), login))) == ALL_OK


@pytest.mark.parametrize("lost", range(2, 17))
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_any_packet_may_be_missing(tls: str, lost: int) -> None:
    login = log_on(tls=tls)
    packets = list(Connection().packets(login.rdp()))
    report = take_apart(pcap(packets[:lost] + packets[lost + 1 :]), login)
    everything = report["conversations"] + report["not_opened"]
    assert len(everything) == 1
    text = json.dumps(report)
    # It is said what is missing, unless it was the last thing that was sent.
    assert "missing" in text or "not in the capture" in text or lost >= len(packets) - 4


def test_a_tsrequest_that_is_missing_leaves_the_others() -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    lost = next(n for n, packet in enumerate(packets) if login.said[3][1][:40] in packet)
    conversation = only(take_apart(pcap(packets[:lost] + packets[lost + 1 :]), login))
    names = [entry["summary"] for entry in legs(conversation)]
    assert names[0] == "negoTokens (NTLM NEGOTIATE)"
    assert names[-1] == "authInfo"
    assert len(names) == 4
    assert any(entry["layer"] == "gap" for entry in conversation["timeline"])
    assert "missing" in conversation["problems"][0]
    assert "NTLM's CHALLENGE is not in the capture" in conversation["checks"][0]["text"]


@pytest.mark.parametrize("form", ["pcap", "pcapng", "gzip"])
def test_a_capture_that_was_cut_off_anywhere(form: str) -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    whole = pcap(packets) if form == "pcap" else pcapng(packets)
    whole = gzip.compress(whole) if form == "gzip" else whole
    seen = 0
    for size in range(60, len(whole), 97):
        try:
            report = take_apart(whole[:size], login)
        except CaptureError:
            assert form == "gzip"  # nothing comes out of it yet
            continue
        seen = max(seen, len(report["conversations"]))
    assert seen == 1


def test_a_cut_in_the_middle_of_a_packet_is_told() -> None:
    login = log_on()
    for whole in (pcap(Connection().packets(login.rdp())), pcapng(Connection().packets(login.rdp()))):
        report = take_apart(whole[:-40], login)
        assert report["problems"] == [f"the capture is cut off in the middle of a packet, at byte {len(whole) - 40}"]


def test_only_the_beginning_of_packets_was_kept() -> None:
    login = log_on()
    whole = pcap(Connection().packets(login.rdp()))
    out, position = [whole[:24]], 24
    while position < len(whole):
        size = int.from_bytes(whole[position + 8 : position + 12], "little")
        packet = whole[position + 16 : position + 16 + size]
        kept = packet[:200]
        out.append(
            whole[position : position + 8] + len(kept).to_bytes(4, "little") + whole[position + 12 : position + 16]
        )
        out.append(kept)
        position += 16 + size
    conversation = only(take_apart(b"".join(out), login))
    assert any("are missing" in entry["summary"] for entry in conversation["timeline"])


def test_an_encrypted_capture_still_tells_who_and_how() -> None:
    login = log_on(tls="1.2")
    conversation = only(take_apart(pcap(Connection().packets(login.rdp()))))
    assert conversation["transport"] == "rdp"
    assert "selects HYBRID" in conversation["timeline"][1]["summary"]
    tls = conversation["tls"][0]
    assert tls["version"] == "TLS 1.2"
    assert not tls["opened"]
    assert tls["certificate"]["subject"] == "CN=srv.lab.test"
    assert "no key was given" in conversation["problems"][0]
    report = take_apart(pcap(Connection().packets(login.said)))
    assert report["conversations"] == []
    assert report["not_opened"][0]["tls"][0]["server_name"].startswith("srv")
    assert "no key" in report["not_opened"][0]["problems"][0]


def test_what_could_not_be_opened_is_counted_beyond_a_hundred() -> None:
    login = log_on()
    packets = [
        packet for number in range(105) for packet in Connection(client_port=10000 + number).packets(login.said[:4])
    ]
    report = take_apart(pcap(packets))
    assert len(report["not_opened"]) == 100
    assert report["not_opened_more"] == 5


def test_other_traffic_is_passed_over() -> None:
    login = log_on()
    other: list[list[Said]] = [
        [("client", b"SSH-2.0-OpenSSH_9.0\r\n"), ("server", b"SSH-2.0-x\r\n")],
        [
            ("client", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("server", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ]
        * 40,
        [("client", b"\x03\x00\x00\x0b\x06\xc0\x00\x00\x00\x00\x00")],
        [("client", b"\x16\x03\x09\x00\x01\x01")],
        [("client", b"\x16")],
        [("server", b"220 mail.example ESMTP\r\n")],
        [("client", bytes(range(256)) * 20)],
    ]
    packets = [Connection(client_port=1000 + n).packets(said) for n, said in enumerate(other)]
    packets.append(Connection().packets(login.rdp()))
    report = take_apart(pcap(interleave(*packets)), login)
    assert checks(only(report)) == ALL_OK
    assert report["not_opened"] == []


def test_a_port_that_is_used_again() -> None:
    first, second = log_on(), log_on(tls="1.2")
    connection = Connection()
    packets = list(connection.packets(first.rdp()))
    packets += Connection(client_seq=77777, server_seq=5).packets(second.rdp())
    report = take_apart(pcap(packets), first, second)
    assert [checks(each) for each in report["conversations"]] == [ALL_OK, ALL_OK]
    # The same where nobody said goodbye.
    packets = list(Connection().packets(first.rdp()[:9], fin=False))
    packets += Connection(client_seq=77777, server_seq=5).packets(second.rdp())
    report = take_apart(pcap(packets), first, second)
    assert len(report["conversations"]) == 2


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.dissect.connections.MAX_ACTIVE", 3)
    monkeypatch.setattr("credssp.dissect.connections.MAX_KNOWN", 8)
    login = log_on()
    many = [Connection(client_port=2000 + n).packets(login.rdp(), fin=False) for n in range(10)]
    report = take_apart(pcap(interleave(*many)), login)
    assert len(report["conversations"]) >= 10
    assert any("more than 3 connections" in problem for each in report["conversations"] for problem in each["problems"])
    assert isinstance(TCPConnections(Secrets(), lambda _: None), TCPConnections)


@pytest.mark.parametrize(
    "logon",
    [
        LogonSecrets(hashes=(Secret(nt_hash(PASSWORD)),)),
        LogonSecrets((Secret("wrong"), Secret(PASSWORD), Secret("wrong too"))),
    ],
)
def test_other_ways_to_the_session_key(logon: LogonSecrets) -> None:
    login = log_on(mechanism="negotiate")
    capture = pcap(Connection().packets(login.rdp()))
    conversation = only(take_apart(capture, login, logon=logon, reveal=True))
    assert ALL_OK.items() <= checks(conversation).items()
    key = Secret(bytes.fromhex(conversation["session_key"]))
    by_key = only(take_apart(capture, login, logon=LogonSecrets(session_keys=(Secret(bytes(16)), key))))
    expected = checks(conversation)
    del expected["NTProofStr"]
    assert checks(by_key) == expected


def test_a_wrong_password_is_told_and_the_rest_stays_readable() -> None:
    login = log_on(mechanism="negotiate")
    capture = pcap(Connection().packets(login.rdp()))
    conversation = only(take_apart(capture, login, logon=LogonSecrets((Secret("wrong"),))))
    assert checks(conversation)["NTProofStr"] == "failed"
    assert checks(conversation)["authInfo"] == "unknown"
    assert len(legs(conversation)) == 5
    conversation = only(take_apart(capture, login, logon=LogonSecrets(session_keys=(Secret(bytes(16)),))))
    # The key of another login says nothing about this one: nothing failed, and nobody is in danger.
    assert set(checks(conversation).values()) == {"unknown"}
    assert "none of the session keys given" in conversation["checks"][0]["text"]
    assert conversation["session_key"] is None
    assert not [each for each in conversation["judgement"] if each["level"] in ("danger", "warning")]


def test_without_any_secret_it_is_said_what_to_give() -> None:
    login = log_on()
    conversation = only(take_apart(pcap(Connection().packets(login.rdp())), login, logon=LogonSecrets()))
    assert "give --password, --hash or --session-key" in conversation["checks"][0]["text"]


@pytest.mark.parametrize("version", [2, 6])
def test_a_refused_login(version: int) -> None:
    login = log_on(password="wrong", version=version)
    conversation = only(take_apart(pcap(Connection().packets(login.rdp())), login))
    outcome = " ".join(text for _, text in findings(conversation, "outcome"))
    assert ("STATUS_LOGON_FAILURE" in outcome) == (version == 6)
    assert ("without authInfo or errorCode" in outcome and "fatal alert" in outcome) == (version == 2)


def test_secrets_are_masked_until_they_are_asked_for() -> None:
    login = log_on()
    capture = pcap(Connection().packets(login.rdp()))
    masked = json.dumps(take_apart(capture, login))
    revealed = json.dumps(take_apart(capture, login, reveal=True))
    assert PASSWORD not in masked
    assert PASSWORD in revealed
    assert login.requests[2].hex() in revealed
    assert login.requests[2].hex() not in masked


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"PK\3\4", "neither"),
        (b"\x0a\x0d\x0d\x0a" + bytes(8), "header"),
        (b"\xd4\xc3\xb2\xa1" + bytes(8), "header"),
        (b"\x1f\x8b" + bytes(30), "neither"),
        (gzip.compress(b"not a capture at all", mtime=0), "neither"),
    ],
)
def test_files_that_are_no_captures(data: bytes, what: str) -> None:
    with pytest.raises(CaptureError, match=what):
        dissect(io.BytesIO(data))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be read"):
        dissect(tmp_path / "nothing")
    with pytest.raises(CaptureError, match="not a readable fixture"):
        dissect(tmp_path)


def test_a_block_that_announces_gigabytes_is_not_read() -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    huge = (6).to_bytes(4, "little") + (MAX_BLOCK + 100).to_bytes(4, "little") + bytes(100)
    report = take_apart(pcapng(packets) + huge, login)
    assert checks(only(report)) == ALL_OK
    assert "it announces" in report["problems"][0]


def test_damage_in_the_middle_is_told() -> None:
    login = log_on()
    packets = list(Connection().packets(login.rdp()))
    report = take_apart(pcapng(packets) + b"\1\2\3\4\5\0\0\0" + bytes(100), login)
    assert "damaged" in report["problems"][0]
    report = take_apart(pcapng(packets) + section_header()[:20], login)
    assert report["problems"]
    report = take_apart(pcapng(packets) + block(0x0A0D0D0A, bytes(20)) + bytes(50), login)
    assert report["problems"]


def test_scapy_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scapy.utils", None)
    with pytest.raises(CaptureError, match=r"pip install 'credssp\[dissect\]'"):
        dissect(io.BytesIO(pcap([])))


def test_h11_may_be_missing_where_there_is_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    login = log_on()
    assert take_apart(pcap(Connection().packets(login.rdp())))["conversations"]
    with pytest.raises(CaptureError, match=r"h11 is missing.*pip install 'credssp\[dissect\]' \(in a clone"):
        take_apart(pcap(Connection().packets(login.winrm())))


def test_scapy_says_nothing_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    login = log_on()
    take_apart(pcapng(Connection().packets(login.rdp()), log=login.keylog)[:-30])
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


def test_no_ip_at_all_is_told() -> None:
    report = take_apart(pcap([bytes(60)] * 3))
    assert report["problems"] == ["no packet contains IP, or the link layer is not supported (LINKTYPE 1)"]


def test_fragments_are_counted() -> None:
    packet = bytearray(Connection(link_type=RAW).packet("client", b"x", 16))
    packet[6] = 0x20
    report = take_apart(pcap([bytes(packet)], link_type=RAW))
    assert report["problems"] == ["1 fragments of IP packets were ignored"]


def test_key_logs_with_junk_are_told() -> None:
    secrets = Secrets()
    secrets.add_log([b"junk"])
    secrets.overflow = True
    report = dissect(io.BytesIO(pcap([])), tls=secrets)
    assert report["problems"] == [
        "1 lines of the key log are not valid and were ignored",
        "the key log has more connections than are kept; some secrets were dropped",
    ]

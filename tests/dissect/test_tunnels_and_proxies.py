"""Logins that came through tunnels and proxies are opened, and what they came through is named."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.cli import main
from credssp.dissect.credssp_layer import CredSSPLayer
from credssp.dissect.dissector import dissect
from credssp.dissect.judgement import judge
from credssp.dissect.model import Conversation, recorded_login
from credssp.dissect.proxy import ENOUGH, ProxyHead, begins_proxied
from credssp.dissect.tls.keylog import Secrets
from credssp.exchange.binding_check import Key
from credssp.exchange.opening import LogonSecrets, open_login
from credssp.secret import Secret
from tests.dissect.captures import Connection, Said, pcap
from tests.dissect.logins import PASSWORD, log_on

LOGON = LogonSecrets((Secret(PASSWORD),))


def take_apart(capture: bytes) -> dict[str, Any]:
    secrets = Secrets()
    secrets.add_log(log_on().keylog.splitlines())
    return dissect(io.BytesIO(capture), tls=secrets, logon=LOGON)


def is_opened(report: dict[str, Any]) -> bool:
    (conversation,) = report["conversations"]
    return "authInfo" in {check["name"] for check in conversation["checks"] if check["verdict"] == "ok"}


# Tunnels


def outer(protocol: int, payload: bytes, *, version: int = 4) -> bytes:
    if version == 6:
        head = struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + bytes(15) + b"\1" + bytes(15) + b"\2"
        return bytes(12) + b"\x86\xdd" + head + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + b"\x0a\0\0\1\x0a\0\0\2"
    return bytes(12) + b"\x08\0" + head + payload


def udp(port: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", 5555, port, 8 + len(payload), 0) + payload


def ip_of(frame: bytes) -> bytes:
    size = int.from_bytes(frame[16:18], "big")
    return frame[14 : 14 + size]


TUNNELS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gre": ("GRE", lambda frame: outer(47, b"\0\0\x08\0" + ip_of(frame))),
    "gre with checksum, key and number": (
        "GRE",
        lambda frame: outer(47, b"\xb0\0\x08\0" + bytes(12) + ip_of(frame)),
    ),
    "bridged gre over IPv6": ("GRE", lambda frame: outer(47, b"\0\0\x65\x58" + frame, version=6)),
    "erspan I": ("ERSPAN", lambda frame: outer(47, b"\0\0\x88\xbe" + frame)),
    "erspan II": ("ERSPAN", lambda frame: outer(47, b"\x10\0\x88\xbe" + bytes(4) + b"\x10\1" + bytes(6) + frame)),
    "erspan III": (
        "ERSPAN",
        lambda frame: outer(47, b"\x10\0\x22\xeb" + bytes(4) + b"\x20\1" + bytes(9) + b"\1" + bytes(8) + frame),
    ),
    "vxlan": ("VXLAN", lambda frame: outer(17, udp(4789, b"\x08" + bytes(7) + frame))),
    "geneve": ("Geneve", lambda frame: outer(17, udp(6081, b"\1\0\x65\x58" + bytes(8) + frame))),
    "ip in ip": ("IP in IP", lambda frame: outer(4, ip_of(frame))),
    "mpls": ("MPLS", lambda frame: bytes(12) + b"\x88\x47\0\1\0\x40\0\1\1\x40" + ip_of(frame)),
}


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_what_is_in_a_tunnel_is_opened_and_the_tunnel_is_named(tunnel: str) -> None:
    name, wrap = TUNNELS[tunnel]
    packets = [wrap(packet) for packet in Connection().packets(log_on().rdp())]
    report = take_apart(pcap(packets))
    assert is_opened(report)
    assert report["problems"] == [f"in tunnels: {len(packets)} packets in {name}"]


def test_tunnels_in_tunnels_are_all_named() -> None:
    _, gre = TUNNELS["gre"]
    _, vxlan = TUNNELS["vxlan"]
    packets = [vxlan(gre(packet)) for packet in Connection().packets(log_on().rdp())]
    report = take_apart(pcap(packets))
    assert is_opened(report)
    assert report["problems"] == [f"in tunnels: {len(packets)} packets in VXLAN, {len(packets)} packets in GRE"]


def test_a_tunnel_of_something_else_is_named_and_not_opened() -> None:
    report = take_apart(pcap([outer(47, b"\x30\x01\x88\x0b" + bytes(40))] * 3))  # PPTP
    assert report["problems"] == ["in tunnels: 3 packets in GRE (not opened)"]


@pytest.mark.parametrize(
    ("packet", "named"),
    [
        (outer(50, bytes(80)), "ESP (IPsec)"),
        (outer(17, udp(2152, bytes(80))), "UDP to port 2152"),
        (outer(47, b"\0\0"), "GRE, cut off"),
        (outer(17, udp(4789, b"\x08" + bytes(7))), "VXLAN without IP"),
        (outer(4, ip_of(outer(50, bytes(8)))), "ESP (IPsec)"),
    ],
)
def test_a_capture_without_tcp_says_what_is_in_it(packet: bytes, named: str) -> None:
    problems = take_apart(pcap([packet] * 2))["problems"]
    assert problems[-1] == f"no packet contains TCP, which logins use: 2 packets of {named}"


def test_too_many_tunnels_are_given_up_and_named() -> None:
    packet = ip_of(outer(6, bytes(20)))
    for _ in range(5):
        packet = ip_of(outer(4, packet))
    problems = take_apart(pcap([outer(4, packet)]))["problems"]
    assert "more than 4 tunnels in one another (not opened)" in problems[0]


@given(st.binary(max_size=120), st.sampled_from([4, 17, 41, 47]))
def test_any_bytes_in_a_tunnel_are_taken(data: bytes, protocol: int) -> None:
    payload = udp(4789, data) if protocol == 17 else data
    assert take_apart(pcap([outer(protocol, payload)]))["conversations"] == []


# Proxies

CONNECT = b"CONNECT srv.lab.test:3389 HTTP/1.1\r\nHost: srv.lab.test:3389\r\n\r\n"
GRANTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\1\x0a\0\0\2\xc3\x50\x0d\x3d"

HEADS: dict[str, tuple[list[Said], str]] = {
    "connect": ([("client", CONNECT), ("server", GRANTED)], "HTTP proxy, CONNECT srv.lab.test:3389"),
    "connect with authentication": (
        [
            ("client", CONNECT),
            ("server", b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 5\r\n\r\nfirst"),
            ("client", CONNECT[:-2] + b"Proxy-Authorization: Basic c2VjcmV0\r\n\r\n"),
            ("server", GRANTED),
        ],
        "HTTP proxy, CONNECT srv.lab.test:3389",
    ),
    "socks4": (
        [("client", b"\4\1\x0d\x3d\x7f\0\0\1user\0"), ("server", b"\0\x5a" + bytes(6))],
        "SOCKS4 proxy to 127.0.0.1:3389",
    ),
    "socks4a": (
        [("client", b"\4\1\x0d\x3d\0\0\0\1\0srv.lab.test\0"), ("server", b"\0\x5a" + bytes(6))],
        "SOCKS4 proxy to srv.lab.test:3389",
    ),
    "socks5": (
        [
            ("client", b"\5\1\0"),
            ("server", b"\5\0"),
            ("client", b"\5\1\0\3\x0csrv.lab.test\x0d\x3d"),
            ("server", b"\5\0\0\1" + bytes(6)),
        ],
        "SOCKS5 proxy to srv.lab.test:3389",
    ),
    "socks5 with a password": (
        [
            ("client", b"\5\2\0\2"),
            ("server", b"\5\2"),
            ("client", b"\1\4user\7hunter2"),
            ("server", b"\1\0"),
            ("client", b"\5\1\0\4" + bytes(15) + b"\1\x0d\x3d"),
            ("server", b"\5\0\0\4" + bytes(18)),
        ],
        "SOCKS5 proxy to [::1]:3389",
    ),
    "proxy v1": (
        [("client", b"PROXY TCP4 10.0.0.1 10.0.0.2 50000 3389\r\n")],
        "PROXY protocol version 1 from 10.0.0.1:50000 to 10.0.0.2:3389",
    ),
    "proxy v1 of a health check": ([("client", b"PROXY UNKNOWN\r\n")], "PROXY protocol version 1, without addresses"),
    "proxy v2": ([("client", V2)], "PROXY protocol version 2 from 10.0.0.1:50000 to 10.0.0.2:3389"),
    "proxy v2 of a health check": (
        [("client", V2[:12] + b"\x20\0\0\0")],
        "PROXY protocol version 2, without addresses",
    ),
}


@pytest.mark.parametrize("mss", [1, 1400])
@pytest.mark.parametrize("head", HEADS)
def test_what_went_through_a_proxy_is_opened_and_the_proxy_is_named(head: str, mss: int) -> None:
    said, summary = HEADS[head]
    report = take_apart(pcap(Connection(server_port=8080, mss=mss).packets([*said, *log_on().rdp()])))
    assert is_opened(report)
    (conversation,) = report["conversations"]
    assert conversation["proxies"] == [summary]
    first = conversation["timeline"][0]
    assert (first["layer"], first["summary"], first["octets"]) == ("proxy", summary, sum(len(data) for _, data in said))


@pytest.mark.parametrize("login", ["winrm", "direct"])
def test_other_logins_go_through_proxies_too(login: str) -> None:
    said = log_on().winrm() if login == "winrm" else list(log_on().said)
    report = take_apart(pcap(Connection().packets([*HEADS["socks5"][0], *said])))
    assert is_opened(report)
    assert report["conversations"][0]["transport"] == ("winrm" if login == "winrm" else "tls")


def test_a_head_and_the_first_message_may_be_one_segment() -> None:
    first, *rest = log_on().rdp()
    report = take_apart(pcap(Connection().packets([("client", V2 + first[1]), *rest])))
    assert is_opened(report)


def test_proxies_one_after_another_are_all_named() -> None:
    said = [*HEADS["proxy v2"][0], *HEADS["connect"][0], *HEADS["socks5"][0], *log_on().rdp()]
    report = take_apart(pcap(Connection().packets(said)))
    assert is_opened(report)
    assert [each.split()[0] for each in report["conversations"][0]["proxies"]] == ["PROXY", "HTTP", "SOCKS5"]


def test_too_many_proxies_are_given_up() -> None:
    report = take_apart(pcap(Connection().packets([*HEADS["proxy v2"][0] * 6, *log_on().rdp()])))
    assert report["conversations"] == []
    assert report["problems"] == [
        "192.0.2.10:50000 -> 192.0.2.20:3389: PROXY protocol version 2: more than 4 proxies one after another"
    ]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([("client", CONNECT), ("server", b"HTTP/1.1 403 No\r\n\r\n")], "HTTP proxy: refused with HTTP status 403"),
        ([("client", CONNECT), ("server", b"HTTP/1.1 407 No\r\n\r\n")], "HTTP proxy: the connection ends before"),
        ([("client", CONNECT), ("server", b"nonsense\r\n\r\n")], "HTTP proxy: the answer to CONNECT is not HTTP/1.1"),
        (
            [("client", b"\4\1\x0d\x3d\x7f\0\0\1\0"), ("server", b"\0\x5b" + bytes(6))],
            "SOCKS4 proxy: refused with code 91",
        ),
        ([("client", b"\5\1\0"), ("server", b"\5\xff")], "SOCKS5 proxy: refused every method"),
        ([("client", b"\5\1\1"), ("server", b"\5\1")], "SOCKS5 proxy: method 1 is not read here"),
        (
            [
                *HEADS["socks5"][0][:3],
                ("server", b"\5\5\0\1" + bytes(6)),
            ],
            "SOCKS5 proxy: refused with code 5 (connection refused)",
        ),
        ([("client", CONNECT[:-2] + b"x" * 20000)], "HTTP proxy: does not end"),
    ],
)
def test_a_proxy_that_lets_nothing_through_is_named(said: list[Said], problem: str) -> None:
    report = take_apart(pcap(Connection().packets(said)))
    assert report["conversations"] == []
    (line,) = report["problems"]
    assert line.startswith(f"192.0.2.10:50000 -> 192.0.2.20:3389: {problem}")


@pytest.mark.parametrize(
    "said",
    [
        [("client", b"\5\1\0"), ("server", b"hello")],
        [("client", b"\4\1\0\0\0\0\0\0"), ("server", b"\1\2\3\4\5\6\7\x08")],
        [("client", b"\5\1\0")],
    ],
)
def test_what_only_looks_like_socks_is_not_told(said: list[Said]) -> None:
    report = take_apart(pcap(Connection().packets(said)))
    assert (report["conversations"], report["problems"]) == ([], [])


def test_the_password_for_a_proxy_is_not_in_the_report() -> None:
    for head in ("socks5 with a password", "connect with authentication"):
        report = take_apart(pcap(Connection().packets([*HEADS[head][0], *log_on().rdp()])))
        assert "hunter2" not in str(report)
        assert "c2VjcmV0" not in str(report)


def test_the_text_says_what_a_login_went_through(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(pcap(Connection().packets([*HEADS["socks5"][0], *log_on().rdp()])))
    assert main(["dissect", str(tmp_path / "file")]) == 0
    assert "  through: SOCKS5 proxy to srv.lab.test:3389\n" in capsys.readouterr().out


@given(st.binary(max_size=64), st.lists(st.tuples(st.sampled_from(["client", "server"]), st.binary(max_size=40))))
def test_any_bytes_are_taken_for_a_head_or_not(first: bytes, said: list[Any]) -> None:
    for start in (b"", CONNECT, b"\5\1\0", b"\4\1\0\1\0\0\0\1", V2, b"PROXY "):
        data = start + first
        if not data or not begins_proxied(data[:ENOUGH]):
            continue
        head = ProxyHead(data[:ENOUGH])
        for sender, each in [("client", data), *said]:
            if not head.done:
                head.feed(sender, each)
        assert head.done or not head.problem


# What else is told apart


def test_outer_and_inner_tls_are_labelled() -> None:
    report = take_apart(pcap(Connection().packets(log_on().winrm())))
    (conversation,) = report["conversations"]
    assert [info["place"] for info in conversation["tls"]] == ["inner"]
    told = [entry["summary"] for entry in conversation["timeline"] if entry["layer"] == "tls"]
    assert told
    assert all(summary.startswith("inner TLS: ") for summary in told)
    folder = Path(__file__).parents[2] / "fixtures" / "pywinrm-0.5.0-https-capture"
    (https,) = dissect(folder)["conversations"]
    assert [info["place"] for info in https["tls"]] == ["outer", "inner"]
    told = [entry["summary"] for entry in https["timeline"] if entry["layer"] == "tls"]
    assert {summary.partition(":")[0] for summary in told} == {"outer TLS", "inner TLS"}
    (rdp,) = take_apart(pcap(Connection().packets(log_on().rdp())))["conversations"]
    assert [info["place"] for info in rdp["tls"]] == [None]


@pytest.mark.parametrize(("result", "denied"), [(b"\5\0\0\0", True), (b"\0\0\0\0", False)])
def test_an_access_denied_is_in_the_judgement(result: bytes, denied: bool) -> None:
    conversation = Conversation("client", "server")
    layer = CredSSPLayer(conversation)
    for number, message in enumerate(log_on().requests):
        layer.feed("server" if number % 2 else "client", message, None)
    layer.feed("server", result, None)
    login = recorded_login(conversation)
    remarks = judge(conversation, login, open_login(login, LOGON, Key(b"", "")))
    outcome = [remark.text for remark in remarks if remark.topic == "outcome"]
    assert outcome[0].startswith("the login reached authInfo")
    assert [text.partition(":")[0] for text in outcome[1:]] == (["the server refused"] if denied else [])
    assert denied == ("AUTHZ_ACCESS_DENIED 5" in outcome[-1])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_key_logs_that_powershell_wrote(encoding: str) -> None:
    text = log_on().keylog.decode()
    log = (b"\xfe\xff" if encoding == "utf-16-be" else b"") + text.replace("\n", "\r\n").encode(encoding)
    secrets, plain = Secrets(), Secrets()
    secrets.add_file(io.BytesIO(log))
    plain.add_log(text.encode().splitlines())
    assert (secrets.count, secrets.lines_ignored) == (plain.count, 0)
    assert dissect(io.BytesIO(pcap(Connection().packets(log_on().rdp()))), tls=secrets, logon=LOGON)["conversations"]


def test_long_lines_of_a_utf_16_key_log_are_counted_and_not_kept() -> None:
    secrets = Secrets()
    secrets.add_file(io.BytesIO(("x" * 500_000 + "\n" + "y" * 500_000).encode("utf-16")))
    assert (secrets.count, secrets.lines_ignored) == (0, 2)

"""The probe of RDP without a socket: against our own server, and against scripted answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import credssp
from credssp.context.probing import ProbeReport
from credssp.errors import CredSSPError, PeerClosedError, RemoteProtocolError
from credssp.rdp import (
    ConnectionConfirm,
    NegotiationFailure,
    NegotiationResponse,
    NLAServer,
    Protocol,
)
from credssp.rdp.probe import ProbeLeg, probe

CLOSED = PeerClosedError("the server closed the connection")
Peer = Callable[[bytes], bytes]
"""Takes what the probe sends; an empty answer is a close."""


def our_server(**options: Any) -> Peer:
    server = NLAServer(accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), **options)

    def answer(data: bytes) -> bytes:
        try:
            server.receive(data)
        except CredSSPError as error:
            return server.data_to_send() + error.token
        return server.data_to_send()

    return answer


def run(connect: Callable[[], Peer], *, piece: int = 1 << 20) -> tuple[ProbeReport, list[ProbeLeg]]:
    report = ProbeReport("srv.lab.test", 3389)
    steps = probe(report)
    legs: list[ProbeLeg] = []
    waiting = b""
    try:
        leg = next(steps)
        while True:
            legs.append(leg)
            if leg.fresh:
                peer, waiting = connect(), b""
            waiting += peer(leg.data) if leg.data else b""
            if not leg.awaited:
                leg = steps.send(b"")
            elif waiting:
                data, waiting = waiting[:piece], waiting[piece:]
                leg = steps.send(data)
            else:
                leg = steps.throw(CLOSED)
    except StopIteration:
        return report, legs


@pytest.mark.parametrize("piece", [1 << 20, 7])
def test_everything_is_found_out_however_the_answers_are_cut(piece: int) -> None:
    report, legs = run(our_server, piece=piece)
    assert {name for name, answer in report.protocols.items() if answer == "accepted"} == {"HYBRID", "HYBRID_EX"}
    assert list(report.tls) == ["TLSv1.2", "TLSv1.3"]
    assert report.certificate is not None
    assert report.credssp_version == 6
    assert {"ntlm", "spnego/ntlm"} <= set(report.mechanisms)
    assert report.ntlm["TargetName"]
    assert sum(leg.fresh for leg in legs) == 4 + 1 + 2


def requested(leg: ProbeLeg) -> int:
    """requestedProtocols of a Connection Request."""
    return int.from_bytes(leg.data[-4:], "little")


def test_what_is_refused_together_is_refused_each() -> None:
    report, legs = run(our_server)
    assert [requested(leg) for leg in legs if leg.data[:1] == b"\x03"][:4] == [
        Protocol.RDP,
        Protocol.HYBRID,
        Protocol.HYBRID_EX,
        Protocol.SSL | Protocol.RDSTLS | Protocol.RDSAAD,
    ]
    refused = {name for name, answer in report.protocols.items() if answer == "HYBRID_REQUIRED_BY_SERVER"}
    assert refused == {"RDP", "SSL", "RDSTLS", "RDSAAD"}
    assert list(report.protocols) == ["RDP", "SSL", "HYBRID", "HYBRID_EX", "RDSTLS", "RDSAAD"]


def scripted(accepted: Protocol, code: int) -> Callable[[], Peer]:
    """A server that takes one protocol, then keeps silent and closes."""

    def answer(data: bytes) -> bytes:
        if data[:1] != b"\x03":
            return b""
        asked = Protocol(int.from_bytes(data[-4:], "little"))
        choice = NegotiationResponse(accepted) if asked & accepted else NegotiationFailure(code)
        return ConnectionConfirm(choice).encode()

    return lambda: answer


@pytest.mark.parametrize("accepted", [Protocol.SSL, Protocol.RDSTLS, Protocol.RDSAAD])
def test_what_is_taken_of_several_is_told_from_the_others(accepted: Protocol) -> None:
    report, _ = run(scripted(accepted, 1))
    assert report.protocols.pop(str(accepted.name)) == "accepted"
    assert set(report.protocols.values()) == {"SSL_REQUIRED_BY_SERVER"}
    assert len(report.protocols) == 5


def test_a_deadline_in_tls_leaves_the_protocols_known() -> None:
    connect, report = scripted(Protocol.HYBRID, 5), ProbeReport("srv.lab.test", 3389)
    steps = probe(report)
    leg = next(steps)
    late = CredSSPError("the peer sent nothing")
    with pytest.raises(CredSSPError, match="sent nothing"):
        while True:
            leg = steps.send(connect()(leg.data)) if leg.data[:1] == b"\x03" else steps.throw(late)
    assert report.protocols["HYBRID"] == "accepted"
    assert report.protocols["SSL"] == report.protocols["HYBRID_EX"] == "HYBRID_REQUIRED_BY_SERVER"
    assert report.tls == {}


def test_a_tls_version_that_is_refused_is_left_out() -> None:
    report, _ = run(lambda: our_server(tls=credssp.ServerTLS(maximum="1.2")))
    assert list(report.tls) == ["TLSv1.2"]
    assert report.tls_error is None
    assert report.credssp_version == 6


def test_a_server_that_closes_in_place_of_tls_is_quoted() -> None:
    confirm = ConnectionConfirm(NegotiationResponse(Protocol.HYBRID)).encode()
    report, _ = run(lambda: lambda data: confirm if data[:1] == b"\x03" else b"")
    assert report.tls_error == "the server closed the connection"


def test_a_server_that_breaks_tls_is_sent_an_alert() -> None:
    confirm = ConnectionConfirm(NegotiationResponse(Protocol.HYBRID)).encode()
    nonsense = b"\x16\x03\x03\0\4\x63\0\0\0"  # a handshake message of a type that does not exist
    report, legs = run(lambda: lambda data: confirm if data[:1] == b"\x03" else nonsense)
    assert report.tls == {}
    assert report.tls_error is not None
    assert "TLS handshake" in report.tls_error
    assert [leg.data[:1] for leg in legs if not leg.awaited] == [b"\x15", b"\x15"]


def test_nothing_is_asked_inside_tls_where_only_rdp_security_is_taken() -> None:
    confirm = ConnectionConfirm(NegotiationResponse(Protocol.RDP)).encode()
    report, legs = run(lambda: lambda _: confirm)
    assert report.protocols["RDP"] == "accepted"
    assert report.protocols["HYBRID"] == "selected RDP"
    assert len(legs) == 4


def test_a_failure_code_without_a_name_and_a_close_are_answers() -> None:
    answers = iter([ConnectionConfirm(NegotiationFailure(99)).encode()])
    report, _ = run(lambda: lambda _: next(answers, b""))
    assert report.protocols["RDP"] == "failure 99"
    assert set(list(report.protocols.values())[1:]) == {"closed"}


def test_a_mechanism_that_ends_the_connection_is_not_there_and_the_next_is_asked() -> None:
    def connect() -> Peer:
        peer = our_server()
        return lambda data: b"" if data[:1] == b"\x17" else peer(data)

    report, _ = run(connect)
    assert report.mechanisms == []
    assert report.credssp_error == "ntlm: the server closed the connection"


def test_an_endless_handshake_ends() -> None:
    confirm = ConnectionConfirm(NegotiationResponse(Protocol.HYBRID)).encode()
    record = b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff" + bytes(0x4000 - 4)  # a ServerHello of 16 MiB
    report, _ = run(lambda: lambda data: confirm if data[:1] == b"\x03" else record * 20)
    assert report.tls == {}


def test_what_is_no_connection_confirm_is_an_error_of_the_probe() -> None:
    steps = probe(ProbeReport("srv", 3389))
    next(steps)
    with pytest.raises(RemoteProtocolError):
        steps.send(b"SSH-2.0-OpenSSH\r\n")


def test_a_goodbye_in_place_of_an_answer_is_a_close() -> None:
    goodbye = bytes.fromhex("0300000902f0802180")  # Disconnect Provider Ultimatum, as xrdp 0.9.21 sends it

    def connect() -> Peer:
        peer = our_server()
        return lambda data: goodbye if data[:1] == b"\x03" and data[-4] & Protocol.RDSAAD else peer(data)

    report, _ = run(connect)
    assert report.protocols["RDSAAD"] == "closed"
    assert report.protocols["SSL"] == report.protocols["RDSTLS"] == "HYBRID_REQUIRED_BY_SERVER"
    assert report.certificate is not None


def test_a_goodbye_to_the_first_protocol_does_not_end_the_probe() -> None:
    goodbye = bytes.fromhex("0300000902f0802180")

    def connect() -> Peer:
        peer = our_server()
        return lambda data: goodbye if data[-4:] == bytes(4) else peer(data)  # asked for standard RDP security

    report, _ = run(connect)
    assert report.protocols["RDP"] == "closed"
    assert report.protocols["HYBRID"] == "accepted"
    assert report.certificate is not None
    assert list(report.tls) == ["TLSv1.2", "TLSv1.3"]


def test_a_server_that_is_silent_to_old_tls_is_known_all_the_same() -> None:
    def connect() -> Peer:
        peer = our_server()
        old = (b"\x03\x02", b"\x03\x01")

        def answer(data: bytes) -> bytes:
            return b"" if data[:1] == b"\x16" and data[9:11] in old else peer(data)

        return answer

    report, _ = run(connect)
    assert report.old_tls == {}
    assert report.credssp_version == 6
    assert report.error is None


def test_flags_clock_and_build_are_kept() -> None:
    report, _ = run(our_server)
    assert report.negotiation_flags == 1
    assert report.clock_skew is not None
    assert abs(report.clock_skew) < 30
    assert report.os_build == 20348
    assert set(report.times) == {"negotiation", "tls", "credssp"}  # the last part is ended by the driver


def test_a_server_of_another_kind_is_told_at_once() -> None:
    with pytest.raises(CredSSPError):
        run(lambda: lambda data: bytes.fromhex("0300000902f0802180"))

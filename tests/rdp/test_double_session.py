"""The session of the RDP double: `credssp.testing.rdp_session`, without sockets."""

from __future__ import annotations

import struct
from typing import Literal

import pytest

from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError, RemoteProtocolError
from credssp.rdp.mcs import PROVIDER_INITIATED, USER_REQUESTED
from credssp.rdp.negotiation import Protocol
from credssp.rdp.session_pdus import DomainPDU, domain_pdu
from credssp.rdp.session_start import valid_client
from credssp.testing.rdp_session import (
    Desktop,
    Disconnect,
    ErrorInfo,
    NoSession,
    SessionMachine,
    SessionState,
    session_mode,
)
from tests.rdp import session as pdus

DEMAND_ACTIVE, DEACTIVATE_ALL = 1, 6
CONTROL, SYNCHRONIZE, SHUTDOWN_DENIED, SAVE_SESSION_INFO, FONT_MAP, SET_ERROR_INFO, UPDATE = 20, 31, 37, 38, 40, 47, 2
FAST_PATH = "fast path"
ULTIMATUM = "ultimatum"
LICENCE = "licence"


def frames(data: bytes) -> list[bytes]:
    """Cut what a server sends: TPKT frames and fast-path output."""
    out = []
    while data:
        size = int.from_bytes(data[2:4], "big") if data[0] == 3 else (data[1] & 0x7F) << 8 | data[2]
        assert data[0] in (0, 3)
        assert size <= len(data)
        out.append(data[:size])
        data = data[size:]
    return out


def kinds(data: bytes) -> list[object]:
    """Name what a server sends: an MCS PDU, the type of a PDU of the share as ``(1,)``, that of its data, or words."""
    found: list[object] = []
    for frame in frames(data):
        if frame[0] != 3:
            found.append(FAST_PATH)
            continue
        if frame == valid_client():
            found.append(LICENCE)
            continue
        if frame[7] == 0x7F:
            found.append("Connect Response")
            continue
        pdu = domain_pdu(frame)
        if pdu is not DomainPDU.SEND_DATA_INDICATION:
            found.append(ULTIMATUM if pdu is DomainPDU.DISCONNECT_PROVIDER_ULTIMATUM else pdu.name)
            continue
        share = frame[15:]
        total, kind = struct.unpack_from("<HH", share)
        assert total == len(share)
        found.append(share[14] if kind == 0x17 else (kind & 0xF,))
    return found


def feed(machine: SessionMachine, data: bytes) -> bytes:
    """What a driver sends: the answer, then the screen where it is due."""
    return machine.feed(data) + machine.draw()


def started(mode: Desktop | Disconnect | None = None, data: bytes = b"") -> SessionMachine:
    machine = SessionMachine(mode or Desktop(), Protocol.HYBRID)
    feed(machine, data or pdus.whole())
    return machine


@pytest.mark.parametrize("step", [1, 7, 100, 1 << 16])
def test_a_client_is_led_to_its_screen(step: int) -> None:
    machine = SessionMachine(Desktop(), Protocol.HYBRID)
    sent = pdus.whole()
    answer = b"".join(feed(machine, sent[at : at + step]) for at in range(0, len(sent), step))
    told = kinds(answer)
    joins = ["CHANNEL_JOIN_CONFIRM"] * 4
    assert told[:7] == ["Connect Response", "ATTACH_USER_CONFIRM", *joins, LICENCE]
    assert told[7:12] == [(DEMAND_ACTIVE,), SYNCHRONIZE, CONTROL, CONTROL, FONT_MAP]
    assert set(told[12:]) == {FAST_PATH}
    assert machine.active
    report = machine.report
    assert (report.state, report.activations, report.ended_by) == (SessionState.ACTIVE, 1, "")
    assert (report.client_name, report.desktop, report.color_depth) == ("LAPTOP", (1024, 768), 16)
    assert report.channels == ("rdpdr", "cliprdr")
    assert (report.domain, report.username, report.sent_password) == ("LAB", "alice", True)


def test_each_answer_comes_when_it_is_due() -> None:
    machine = SessionMachine(Desktop(), Protocol.HYBRID)
    machine.feed(pdus.beginning())
    assert kinds(machine.feed(pdus.confirm_active())) == [SYNCHRONIZE, CONTROL]
    assert machine.feed(pdus.SYNCHRONIZE) == b""
    assert machine.feed(pdus.COOPERATE) == b""
    granted = machine.feed(pdus.REQUEST_CONTROL)
    assert kinds(granted) == [CONTROL]
    assert granted[-8:] == struct.pack("<HHI", 2, 1002, 1002)
    assert machine.report.state is SessionState.EXPECT_FONT_LIST
    assert machine.draw() == b""
    assert kinds(machine.feed(pdus.FONT_LIST)) == [FONT_MAP]
    assert machine.screen_due
    assert set(kinds(machine.draw())) == {FAST_PATH}
    assert machine.draw() == b""


def test_a_client_that_wants_to_know_is_told_once_that_the_user_is_logged_on() -> None:
    asked = pdus.beginning(info=pdus.client_info(flags=0x13B | 0x40))
    machine = SessionMachine(Desktop(reactivations=1), Protocol.HYBRID)
    told = kinds(feed(machine, asked + pdus.confirm_active() + pdus.FINALIZATION))
    told += kinds(feed(machine, pdus.confirm_active() + pdus.FINALIZATION))
    assert told.count(SAVE_SESSION_INFO) == 1
    assert told.count(FONT_MAP) == 2


def test_a_client_without_fast_path_gets_its_screen_in_data_pdus() -> None:
    plain = pdus.confirm_active(pdus.general(extra=0), pdus.bitmap())
    machine = SessionMachine(Desktop(), Protocol.HYBRID)
    told = kinds(feed(machine, pdus.beginning() + plain + pdus.FINALIZATION))
    assert FAST_PATH not in told
    assert UPDATE in told


@pytest.mark.parametrize(
    ("core", "desktop", "depth"),
    [
        ({"desktop": (800, 600), "depth": 16}, (800, 600), 16),
        ({"desktop": (0, 0), "depth": 15}, (200, 200), 15),
        ({"desktop": (65535, 65535)}, (4096, 2304), 24),
        ({"supported": 15, "early": 3}, (1024, 768), 32),
        ({"supported": 7, "early": 3}, (1024, 768), 24),
        ({"depth": 4}, (1024, 768), 8),
        ({"depth": 77}, (1024, 768), 8),
        ({"selected": None}, (1024, 768), 8),
    ],
)
def test_size_and_depth_are_those_that_the_client_asks_for(
    core: dict[str, object], desktop: tuple[int, int], depth: int
) -> None:
    wanted = pdus.connect_initial(pdus.cs_core(**core) + pdus.cs_net(["rdpdr", "cliprdr"]))  # type: ignore[arg-type]
    machine = SessionMachine(Desktop(), Protocol.HYBRID)
    *_, demand = frames(machine.feed(pdus.beginning(wanted=wanted)))
    assert (machine.report.desktop, machine.report.color_depth) == (desktop, depth)
    # TS_BITMAP_CAPABILITYSET: its type and length, then the depth; the size eight bytes on.
    assert struct.pack("<3H", 2, 28, depth) + struct.pack("<3H2H", 1, 1, 1, *desktop) in demand


@pytest.mark.parametrize(
    "asked", [pdus.client_data(33, bytes(12)), pdus.client_data(35, b"\x01" + bytes(11))], ids=["refresh", "suppress"]
)
def test_a_client_that_asks_for_the_screen_gets_it_once(asked: bytes) -> None:
    machine = started()
    once = feed(machine, asked)
    assert set(kinds(once)) == {FAST_PATH}
    assert feed(machine, asked * 50) == once


def test_output_that_is_suppressed_is_not_sent() -> None:
    assert feed(started(), pdus.client_data(35, b"\x00" + bytes(3))) == b""


@pytest.mark.parametrize(
    "sent",
    [
        pdus.client_data(28, bytes(16)),
        pdus.client_data(43, bytes(30)),
        pdus.client_data(200, b"unknown"),
        pdus.request(b"a static channel", channel=1004),
        pdus.request(bytes.fromhex("0080 000000000000")),
        bytes.fromhex("0404 0000"),
        bytes.fromhex("00800400"),
        b"",
    ],
    ids=["input", "keys", "unknown", "channel", "flow", "fast-path", "long-fast-path", "nothing"],
)
def test_what_has_no_effect_is_read(sent: bytes) -> None:
    machine = started()
    assert feed(machine, sent) == b""
    assert machine.active
    assert machine.feed(pdus.client_data(36)) != b""


def test_a_shutdown_request_is_denied_and_the_client_decides() -> None:
    machine = started()
    assert kinds(machine.feed(pdus.client_data(36))) == [SHUTDOWN_DENIED]
    assert machine.active
    assert machine.feed(pdus.LEAVE + b"and more") == b""
    assert (machine.ended, machine.report.ended_by, machine.report.state) == (True, "client", SessionState.ACTIVE)
    assert machine.expire() == b""
    assert machine.feed(pdus.whole()) == b""


def test_a_shutdown_request_may_end_the_session() -> None:
    machine = started(Desktop(shutdown="disconnect"))
    told = machine.feed(pdus.client_data(36) * 3)
    assert kinds(told) == [SET_ERROR_INFO, ULTIMATUM]
    assert machine.report.ended_by == "server"


def test_a_session_is_deactivated_and_activated_again() -> None:
    machine = SessionMachine(Desktop(reactivations=2), Protocol.HYBRID)
    told = kinds(feed(machine, pdus.whole()))
    assert told[-2:] == [(DEACTIVATE_ALL,), (DEMAND_ACTIVE,)]
    assert not machine.active
    assert machine.feed(pdus.client_data(28, bytes(16))) == b"", "input of the old share"
    again = kinds(feed(machine, pdus.confirm_active() + pdus.FINALIZATION))
    assert again[:4] == [SYNCHRONIZE, CONTROL, CONTROL, FONT_MAP]
    assert again[-2:] == [(DEACTIVATE_ALL,), (DEMAND_ACTIVE,)]
    assert set(kinds(feed(machine, pdus.confirm_active() + pdus.FINALIZATION))[4:]) == {FAST_PATH}
    assert (machine.active, machine.report.activations) == (True, 3)


@pytest.mark.parametrize(
    ("error", "goodbye"),
    [
        (ErrorInfo.ERRINFO_LOGOFF_BY_USER, USER_REQUESTED),
        (ErrorInfo.ERRINFO_IDLE_TIMEOUT, PROVIDER_INITIATED),
        (0xABCD, PROVIDER_INITIATED),
    ],
)
def test_a_session_ends_with_its_reason(error: int, goodbye: bytes) -> None:
    machine = started(Desktop(error=error))
    told = machine.expire()
    assert kinds(told) == [SET_ERROR_INFO, ULTIMATUM]
    reason, last = frames(told)
    assert last == goodbye
    assert reason[-4:] == struct.pack("<I", error)
    assert reason[19:21] == b"\0\0", "pduSource ([MS-RDPBCGR] 2.2.5.1.1)"
    assert (machine.ended, machine.report.ended_by, machine.report.error_info) == (True, "server", error)


def test_no_reason_is_given_without_one_or_to_a_client_that_does_not_read_it() -> None:
    assert started(Desktop(error=0)).expire() == PROVIDER_INITIATED
    deaf = pdus.connect_initial(pdus.cs_core(early=0) + pdus.cs_net(["rdpdr", "cliprdr"]))
    machine = started(Desktop(error=3), pdus.beginning(wanted=deaf))
    assert machine.expire() == PROVIDER_INITIATED
    assert machine.report.error_info is None


def test_disconnect_ends_after_the_licence() -> None:
    machine = SessionMachine(Disconnect(ErrorInfo.ERRINFO_LICENSE_NO_LICENSE), Protocol.HYBRID)
    told = kinds(machine.feed(pdus.whole()))
    assert told[-3:] == [LICENCE, SET_ERROR_INFO, ULTIMATUM]
    assert (machine.report.state, machine.report.error_info) == (SessionState.EXPECT_CLIENT_INFO, 0x102)


UP = pdus.beginning()
CONFIRM = pdus.confirm_active()


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"MCS", "expected a TPKT frame"),
        (UP + b"\x07\x04", "first byte is 0x07"),
        (UP + b"\x03\x00\xff\xff", "at most 16384"),
        (UP + b"\x04\xff\xff", "at most 16384"),
        (UP + b"\x04\x02", "a frame of 2 bytes"),
        (UP + b"\x03\x00\x00\x04", "a frame of 4 bytes"),
        (UP + pdus.ATTACH_USER, "ATTACH_USER_REQUEST, which is not due"),
        (UP + CONFIRM * 2, "Confirm Active, which is not due"),
        (UP + pdus.request(pdus.share(0x11, bytes(4))), "a PDU of type 1"),
        (UP + pdus.request(pdus.share(0x17, b"", total=3)), "a PDU of 3 bytes"),
        (UP + pdus.request(pdus.share(0x17, b"")), "shareId"),
        (UP + pdus.client_data(31, bytes(4), flags=0x20), "compressed"),
        (UP + pdus.confirm_active(share_id=7), "share 0x00000007"),
        (UP + pdus.confirm_active(count=65), "65 capability sets"),
        (UP + pdus.confirm_active(count=3), "capabilitySets"),
        (UP + pdus.confirm_active(b"\x01\x00\x03\x00"), "a capability set of 3 bytes"),
        (UP + CONFIRM + pdus.client_data(20), "action"),
        (UP + CONFIRM + pdus.FINALIZATION + pdus.client_data(35), "allowDisplayUpdates"),
    ],
)
def test_what_has_no_place_ends_in_an_error_that_names_it(sent: bytes, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        SessionMachine(Desktop(), Protocol.HYBRID).feed(sent)


def test_a_frame_that_is_too_long_is_refused_by_its_header() -> None:
    machine = started()
    with pytest.raises(LimitExceededError):
        machine.feed(b"\x03\x00\x40\x01")


def test_capability_sets_that_are_missing_or_short_are_not_needed() -> None:
    machine = SessionMachine(Desktop(), Protocol.HYBRID)
    sets = (pdus.capability(1, b""), pdus.capability(2, bytes(4)), pdus.capability(99, bytes(100)))
    machine.feed(UP + pdus.confirm_active(*sets) + pdus.FINALIZATION)
    assert (machine.active, machine.report.color_depth) == (True, 24)


def test_every_changed_byte_ends_in_an_error_of_ours_or_is_taken() -> None:
    sent = CONFIRM + pdus.FINALIZATION + pdus.client_data(33, bytes(12)) + bytes.fromhex("04040000") + pdus.LEAVE
    for at in range(len(sent)):
        for value in (0, 0xFF, sent[at] ^ 0x80, sent[at] ^ 0x01):
            machine = SessionMachine(Desktop(), Protocol.HYBRID)
            machine.feed(UP)
            try:
                machine.feed(sent[:at] + bytes([value]) + sent[at + 1 :])
            except CredSSPError as error:
                assert isinstance(error, RemoteProtocolError)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("desktop", Desktop()),
        ("desktop:2.5", Desktop(seconds=2.5)),
        ("disconnect", Disconnect()),
        ("disconnect:idle-timeout", Disconnect(3)),
        ("disconnect:0x10EA", Disconnect(0x10EA)),
        ("none", NoSession()),
    ],
)
def test_modes_are_read(text: str, mode: object) -> None:
    assert session_mode(text) == mode


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not one of desktop, disconnect, none"),
        ("screen", "not one of"),
        ("desktop:soon", "'soon' is not a number of seconds"),
        ("desktop:nan", "seconds is nan"),
        ("desktop:-1", "seconds is -1.0"),
        ("disconnect:why", "error info 'why'"),
        ("none:1", "takes no argument"),
    ],
)
def test_other_modes_are_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        session_mode(text)


def test_settings_that_make_no_sense_are_refused_by_name() -> None:
    wrong: Literal["deny"] = "maybe"  # type: ignore[assignment]
    for settings, why in (
        (lambda: Desktop(color=0x1000000), "color is 0x1000000"),
        (lambda: Desktop(reactivations=-1), "reactivations is -1"),
        (lambda: Desktop(shutdown=wrong), "shutdown is 'maybe'"),
        (lambda: Desktop(error=-1), "32 bits"),
        (lambda: Disconnect(1 << 32), "32 bits"),
    ):
        with pytest.raises(LocalProtocolError, match=why):
            settings()

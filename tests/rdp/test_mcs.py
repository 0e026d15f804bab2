"""MCS Connect Initial and Disconnect Provider Ultimatum against the layout of [MS-RDPBCGR]."""

from __future__ import annotations

import pytest

from credssp.rdp import Protocol
from credssp.rdp.mcs import PROVIDER_INITIATED, USER_REQUESTED, connect_initial


def core_data(pdu: bytes) -> bytes:
    at = pdu.index(b"Duca") + 4
    assert int.from_bytes(pdu[at : at + 2], "big") & 0x7FFF == len(pdu) - at - 2
    core = pdu[at + 2 :]
    assert core[:2] == b"\x01\xc0"
    return core[: int.from_bytes(core[2:4], "little")]


@pytest.mark.parametrize("selected", [Protocol.HYBRID, Protocol.HYBRID_EX])
def test_every_length_is_that_of_what_follows(selected: Protocol) -> None:
    pdu = connect_initial(selected)
    assert pdu[:2] == b"\x03\x00"
    assert int.from_bytes(pdu[2:4], "big") == len(pdu)
    assert pdu[4:9] == bytes.fromhex("02f0807f65")
    assert pdu[9] == 0x82
    assert int.from_bytes(pdu[10:12], "big") == len(pdu) - 12
    key = pdu.index(bytes.fromhex("000500147c0001"))
    assert pdu[key - 4 : key - 2] == b"\x04\x82"
    assert int.from_bytes(pdu[key - 2 : key], "big") == len(pdu) - key
    assert int.from_bytes(pdu[key + 7 : key + 9], "big") & 0x7FFF == len(pdu) - key - 9


@pytest.mark.parametrize("selected", [Protocol.HYBRID, Protocol.HYBRID_EX])
def test_core_data_repeats_the_negotiated_protocol(selected: Protocol) -> None:
    core = core_data(connect_initial(selected))
    assert len(core) == 216  # TS_UD_CS_CORE up to serverSelectedProtocol
    assert int.from_bytes(core[212:216], "little") == selected


@pytest.mark.parametrize(("name", "sent"), [("", ""), ("PC-17", "PC-17"), ("X" * 20, "X" * 15)])
def test_the_name_of_the_client_has_15_characters_at_most(name: str, sent: str) -> None:
    field = core_data(connect_initial(Protocol.HYBRID, name=name))[24:56]
    assert field == sent.encode("utf-16-le").ljust(32, b"\0")


def test_a_name_beyond_the_basic_plane_leaves_the_field_whole() -> None:
    core = core_data(connect_initial(Protocol.HYBRID, name="\N{GRINNING FACE}" * 20))
    assert len(core) == 216


def test_the_goodbyes_differ_in_their_reason_alone() -> None:
    # T.125: the choice 8 in six bits, then the reason in three.
    for pdu, reason in ((PROVIDER_INITIATED, 1), (USER_REQUESTED, 3)):
        assert pdu[:7] == bytes.fromhex("0300000902f080")
        bits = int.from_bytes(pdu[7:], "big")
        assert (bits >> 10, bits >> 7 & 7) == (8, reason)

"""The reasons of the Set Error Info PDU."""

from __future__ import annotations

import pytest

from credssp._code_table import TABLES
from credssp.errors import LocalProtocolError
from credssp.rdp.error_info import ErrorInfo, describe_error_info, error_info


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("ERRINFO_IDLE_TIMEOUT", 3),
        ("idle-timeout", 3),
        ("License_No_License", 0x102),
        ("0x10EA", 0x10EA),
        ("12", 12),
        ("0xFFFFFFFF", 0xFFFFFFFF),
        (7, 7),
        (ErrorInfo.ERRINFO_SERVER_REBOOT, 0x1A),
    ],
)
def test_numbers_and_names_are_read(text: str | int, number: int) -> None:
    assert error_info(text) == number


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("idle", "not a number, and not one of NONE, RPC_INITIATED_DISCONNECT"),
        ("", "not a number"),
        ("0x100000000", "does not fit into 32 bits"),
        (-1, "does not fit into 32 bits"),
    ],
)
def test_anything_else_is_refused_by_name(text: str | int, why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        error_info(text)


def test_every_reason_has_a_name_and_a_meaning() -> None:
    for member in ErrorInfo:
        told = describe_error_info(member)
        assert told.name == member.name
        assert told.meaning != describe_error_info(0xABCD).meaning
    assert set(TABLES["RDP error info"]) <= set(ErrorInfo)


def test_a_number_without_a_name_is_shown_as_one() -> None:
    assert str(describe_error_info(0xABCD)) == "There is no text for this number. [ERRINFO_0x0000ABCD 0x0000ABCD]"
    assert describe_error_info(3).as_json() == {
        "code": 3,
        "hex": "0x00000003",
        "name": "ERRINFO_IDLE_TIMEOUT",
        "text": "The session was idle for too long.",
    }


@pytest.mark.interop
def test_names_are_those_of_aardwolf() -> None:
    module = pytest.importorskip("aardwolf.protocol.T128.seterrorinfopdu")
    assert {
        f"ERRINFO_{member.name}": member.value for member in module.ERRINFO if member.value != "blabla"
    }.items() >= {(member.name, member.value) for member in ErrorInfo}

from __future__ import annotations

import ctypes
import ctypes.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp._code_table import TABLES
from credssp.rdp.negotiation import FailureCode
from credssp.status import all_statuses
from credssp.status_search import KINDS, UNNAMED, find, meanings, search


def test_every_entry_says_what_it_is_why_and_what_next() -> None:
    for each in meanings():
        assert each.kind in KINDS
        assert all((each.name, each.meaning, each.cause, each.advice)), each
        assert each.meaning.isascii()


@pytest.mark.parametrize("each", meanings(), ids=lambda each: f"{each.kind} {each.code:X}")
def test_every_printed_form_is_found_again(each: object) -> None:
    from credssp.status_search import Meaning

    assert isinstance(each, Meaning)
    forms = [each.summary, each.number]
    if each.name != UNNAMED:
        forms.append(each.name)
    for text in forms:
        assert each in find(text), text


def test_an_ntstatus_made_of_a_win32_error_is_an_ntstatus() -> None:
    assert [each.kind for each in find("0xC00700EA")] == ["NTSTATUS"]
    assert [each.kind for each in find("0xC007052E")] == ["NTSTATUS"]
    assert [each.kind for each in find("0x8007052E")] == ["HRESULT"]


def test_every_status_is_among_the_meanings() -> None:
    assert {info.code for info in all_statuses()} <= {each.code for each in meanings()}


def test_names_of_the_negotiation_are_those_of_the_protocol() -> None:
    assert {code: entry[0] for code, entry in TABLES["RDP_NEG_FAILURE"].items()} == {
        int(code): code.name for code in FailureCode
    }


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(find(text), tuple)
    assert isinstance(search(text), tuple)


def test_a_number_beyond_32_bits_is_not_cut() -> None:
    assert find("0x18009030C") == ()


@pytest.mark.interop
@pytest.mark.parametrize("library", ["libfreerdp2.so.2", "libfreerdp3.so.3"])
def test_names_of_freerdp_are_those_of_its_library(library: str) -> None:
    try:
        freerdp = ctypes.CDLL(library)
    except OSError:
        pytest.skip(f"{library} is not installed")
    for function, kind in (("last_error", "FreeRDP error"), ("error_info", "RDP error info")):
        name = getattr(freerdp, f"freerdp_get_{function}_name")
        name.restype = ctypes.c_char_p
        for code, entry in TABLES[kind].items():
            own = name(code).decode()
            newer = {0x2001C: "ERRCONNECT_UNKNOWN", 0x19: "ERRINFO_UNKNOWN", 0x1A: "ERRINFO_UNKNOWN"}
            assert own in (entry[0], newer.get(code, entry[0]))

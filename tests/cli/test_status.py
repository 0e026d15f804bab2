from __future__ import annotations

import json

import pytest

from credssp.cli import main


@pytest.mark.parametrize("code", ["0xC000006D", "c000006d", "3221225581", "-1073741715", "logon_failure", "0xD000006D"])
def test_every_form_of_a_status_is_explained(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", code]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    head, number, *rest = out.splitlines()
    assert head == "STATUS_LOGON_FAILURE 0xC000006D"
    assert number.split(None, 1) == ["number", "0xC000006D, 3221225581, -1073741715"]
    assert [line.split()[0] for line in rest] == ["meaning", "cause", "advice"]
    assert out.isascii()


def test_success_has_no_negative_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "0"]) == 0
    assert "0x00000000, 0\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("LOGON_FALURE", "STATUS_LOGON_FAILURE 0xC000006D"),
        ("SEC_E_LOGON_DENYED", "SEC_E_LOGON_DENIED 0x8009030C"),
        ("LOCKED", "STATUS_ACCOUNT_LOCKED_OUT 0xC0000234"),
        ("1326", "HRESULT_FROM_WIN32(ERROR_LOGON_FAILURE) 0x8007052E"),
        ("0xC0000060", "STATUS_LOGON_FAILURE 0xC000006D"),
    ],
)
def test_unknown_status_exits_with_2_and_names_what_was_meant(
    text: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", text]) == 2
    err = capsys.readouterr().err
    assert "is not a known status" in err
    assert f"{meant}?" in err


def test_nonsense_gets_a_hint_about_the_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "xyzzy\x1b[31m"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "SEC_E_LOGON_DENIED" in err
    assert "\x1b" not in err


def test_unknown_number_is_explained_in_general_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "0xDEADBEEF"]) == 2
    assert capsys.readouterr().out.startswith("0xDEADBEEF\n")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "SEC_E_LOGON_DENIED"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["known"] is True
    assert known["status"]["code"] == 0x8009030C
    assert known["status"]["hex"] == "0x8009030C"
    assert set(known["status"]) == {"code", "hex", "name", "meaning", "cause", "advice"}

    assert main(["status", "--json", "LOGON_FALURE"]) == 2
    unknown = json.loads(capsys.readouterr().out)
    assert (unknown["known"], unknown["status"]) == (False, None)
    assert "STATUS_LOGON_FAILURE" in [each["name"] for each in unknown["near"]]

from __future__ import annotations

import json

import pytest

from credssp.cli import main


@pytest.mark.parametrize("code", ["0xC000006D", "c000006d", "3221225581", "-1073741715", "logon_failure", "0xD000006D"])
def test_every_form_of_a_status_is_explained(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", code]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    head, kind, number, *rest = out.splitlines()
    assert head == "STATUS_LOGON_FAILURE 0xC000006D"
    assert kind.split() == ["kind", "NTSTATUS"]
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
    assert set(known["status"]) == {"code", "hex", "name", "text", "cause", "advice"}

    assert main(["status", "--json", "LOGON_FALURE"]) == 2
    unknown = json.loads(capsys.readouterr().out)
    assert (unknown["known"], unknown["status"]) == (False, None)
    assert "STATUS_LOGON_FAILURE" in [each["name"] for each in unknown["near"]]


@pytest.mark.parametrize(
    ("text", "summaries"),
    [
        ("8009030Ch", ["SEC_E_LOGON_DENIED 0x8009030C"]),
        ("SEC_E_LOGON_DENIED (0x8009030C)", ["SEC_E_LOGON_DENIED 0x8009030C"]),
        ("[SEC_E_LOGON_DENIED 0x8009030C]", ["SEC_E_LOGON_DENIED 0x8009030C"]),
        ("0x8009030C, 2148074252, -2146893044", ["SEC_E_LOGON_DENIED 0x8009030C"]),
        ("0xFFFFFFFF8009030C", ["SEC_E_LOGON_DENIED 0x8009030C"]),
        ("18446744071562658572", ["SEC_E_LOGON_DENIED 0x8009030C"]),
        ("0xC000006D/0xC000006A", ["STATUS_LOGON_FAILURE 0xC000006D", "STATUS_WRONG_PASSWORD 0xC000006A"]),
        ("1326", ["ERROR_LOGON_FAILURE 1326"]),
        ("0x8007052E", ["HRESULT_FROM_WIN32(ERROR_LOGON_FAILURE) 0x8007052E"]),
        ("0x80070035", ["HRESULT_FROM_WIN32(ERROR_BAD_NETPATH) 0x80070035"]),
        ("%%2313", ["%%2313"]),
        ("2150858770", ["ERROR_WSMAN_DESTINATION_UNREACHABLE 0x80338012"]),
        ("0x803381a2", ["ERROR_WSMAN_CLIENT_CREDSSP_AUTHENTICATION_DISABLED 0x803381A2"]),
        ("0x904", ["disconnectReasonAtClientWinsockFDCLOSE 0x904"]),
        ("0x507", ["no published name 0x507"]),
        ("Error code: 0x2407", ["no published name 0x2407"]),
        ("SSL_ERR_PASSWORD_EXPIRED", ["SSL_ERR_PASSWORD_EXPIRED 0xF07"]),
        ("ERRCONNECT_LOGON_FAILURE [0x00020014]", ["ERRCONNECT_LOGON_FAILURE 0x00020014"]),
        ("ERRINFO_LOGOFF_BY_USER (0x0001000C):", ["ERRINFO_LOGOFF_BY_USER 12"]),
        ("132", ["XF_EXIT_AUTH_FAILURE 132"]),
        ("hybrid_required_by_server", ["HYBRID_REQUIRED_BY_SERVER 5"]),
    ],
)
def test_every_form_that_is_shown_somewhere_is_found(
    text: str, summaries: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--", text]) == 0
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if line and not line.startswith(" ")] == summaries
    assert err == ""


def test_all_matches_of_a_number_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "5"]) == 0
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if line and not line.startswith(" ")] == [
        "ERROR_ACCESS_DENIED 5",
        "HYBRID_REQUIRED_BY_SERVER 5",
        "AUTHZ_ACCESS_DENIED 5",
        "ERRINFO_DISCONNECTED_BY_OTHER_CONNECTION 5",
        "XF_EXIT_CONN_REPLACED 5",
    ]
    assert err == ""


def test_a_pasted_line_need_not_be_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "SEC_E_LOGON_DENIED", "0x8009030C:", "The", "logon", "failed."]) == 0
    assert capsys.readouterr().out.startswith("SEC_E_LOGON_DENIED 0x8009030C\n")


def test_words_are_searched_in_names_and_meanings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "locked", "out"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["name", "number", "kind", "meaning"]
    assert "STATUS_ACCOUNT_LOCKED_OUT" in out
    assert "XF_EXIT_ACCOUNT_LOCKED_OUT" in out
    assert err == ""


def test_json_has_all_matches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "5"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["known"] is True
    assert [each["kind"] for each in tree["matches"]] == [
        "Win32 error",
        "RDP_NEG_FAILURE",
        "Early User Authorization Result",
        "RDP error info",
        "FreeRDP exit code",
    ]
    assert tree["status"]["name"] == "ERROR_ACCESS_DENIED"


def test_json_of_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "smart", "card", "blocked"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert (tree["known"], tree["matches"]) == (False, [])
    assert "SSL_ERR_SMARTCARD_CARD_BLOCKED" in [each["name"] for each in tree["found"]]

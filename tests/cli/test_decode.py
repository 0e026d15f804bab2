from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp import RemoteGuardCredentials, Secret, SmartCardCredentials
from credssp.cli import main
from credssp.cli._pasted import read_pasted
from credssp.cli._tree import render
from credssp.dissect.views import Views, fields_of, token_name
from credssp.errors import RemoteProtocolError
from credssp.spnego.tokens import NegHints, NegState, NegTokenInit, NegTokenResp
from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds
from credssp.wire.ts_request import TSRequest
from tests.cli.samples import PASSWORD, exchange

PASSWORD_CREDS = TSCredentials(TSPasswordCreds("LAB", "alice", Secret(PASSWORD))).encode()
ERROR = bytes.fromhex("300da003020106a4060204c000006d")


def _json(capsys: pytest.CaptureFixture[str], data: bytes, *options: str) -> Any:
    assert main(["decode", "--json", data.hex(), *options]) == 0
    return json.loads(capsys.readouterr().out)


# What goes in


@pytest.mark.parametrize(
    "text",
    [
        ERROR.hex(),
        ERROR.hex().upper(),
        f"0x{ERROR.hex()}",
        ERROR.hex(":"),
        f"  {ERROR.hex(' ')}\n",
        ", ".join(f"0x{octet:02x}" for octet in ERROR),
        "".join(f"\\x{octet:02x}" for octet in ERROR),
        base64.b64encode(ERROR).decode(),
        base64.b64encode(ERROR).decode().rstrip("="),
        base64.encodebytes(ERROR).decode(),
        f"CredSSP {base64.b64encode(ERROR).decode()}",
        f"Authorization: Negotiate {base64.b64encode(ERROR).decode()}",
        f"www-authenticate:NTLM {base64.b64encode(ERROR).decode()}",
    ],
)
def test_all_ways_to_write_octets(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", text]) == 0
    out = capsys.readouterr().out
    assert out.startswith("TSRequest (15 bytes)\n  version: 6\n  errorCode: STATUS_LOGON_FAILURE 0xC000006D\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [("\u00e9", "neither hexadecimal nor base64"), ("300", "3 hexadecimal digits: a byte has two")],
)
def test_what_stands_for_no_octets_is_wrong_usage(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", text]) == 2
    assert said in capsys.readouterr().err


def test_name_of_a_file_in_place_of_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "messages").write_bytes(ERROR)  # eight letters are base64 as well
    monkeypatch.chdir(tmp_path)
    assert main(["decode", "messages"]) == 1
    assert "credssp decode < FILE" in capsys.readouterr().err


@given(st.binary(min_size=1))
def test_octets_come_back_from_every_form(data: bytes) -> None:
    assert read_pasted(data.hex()).data == data
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(data).decode()
        # Base64 that is hexadecimal as well, perhaps after 0x, is read as hexadecimal: it is what people paste.
        if set(text.lower().removeprefix("0x")) - set("0123456789abcdef"):
            assert read_pasted(text).data == data


@pytest.mark.parametrize("piece", ['"\\', "/* ", "/*/", "[ ", "Authorization: "])
@pytest.mark.parametrize("filler", ["", " " * 1_000_000])
def test_long_texts_are_read_in_linear_time(piece: str, filler: str) -> None:
    # Where the time grows with the square of the size, or faster, this takes longer than any test may.
    text = piece + filler + "?" if filler else piece * (1_000_000 // len(piece)) + "?"
    with pytest.raises(ValueError, match="neither hexadecimal nor base64"):
        read_pasted(text)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r"""'it' + "s" // "no" """, b"its"),
        ('/* "no" */ "yes" /* "open"', b"yesopen"),
        ('/*/ "no" */ "yes!"', b"yes!"),
        (r'"? \\\\" "\x41', b"? \\\\"),
        ("{ 1, 2, 0x1f, };", b"\x01\x02\x1f"),
        ("f([1,2]);  ", b"\x01\x02"),
    ],
)
def test_literals_and_comments(text: str, data: bytes) -> None:
    assert read_pasted(text).data == data


@pytest.mark.parametrize("raw", [ERROR, ERROR.hex().encode(), base64.b64encode(ERROR) + b"\n"])
@pytest.mark.parametrize("arguments", [["decode"], ["decode", "-"]])
def test_standard_input_may_be_text_or_binary(
    raw: bytes, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw), isatty=lambda: False))
    assert main(arguments) == 0
    assert "STATUS_LOGON_FAILURE" in capsys.readouterr().out


def test_a_terminal_is_told_what_is_awaited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(ERROR.hex().encode()), isatty=lambda: True))
    assert main(["decode"]) == 0
    assert "end with Ctrl-D" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "nothing to decode"), (" 0x ", "nothing to decode"), ("abc", "3 hexadecimal digits"), ("?!", "neither")],
)
def test_what_is_no_data_exits_with_2(text: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", text]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("credssp decode: ")
    assert reason in err


def test_endless_input_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO(bytes(1 << 23))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer, isatty=lambda: False))
    assert main(["decode"]) == 2
    assert buffer.tell() < 1 << 23
    assert "not a single message" in capsys.readouterr().err


# What comes out


def test_bare_ntlm_messages_are_named_with_their_fields(capsys: pytest.CaptureFixture[str]) -> None:
    negotiate, challenge, authenticate, key, auth_info = (_json(capsys, data) for data in exchange("ntlm"))
    assert negotiate["negoTokens"][0]["type"] == "NTLM NEGOTIATE"
    assert {"UNICODE", "SIGN", "SEAL", "KEY_EXCH"} <= set(negotiate["negoTokens"][0]["flagNames"])
    assert challenge["negoTokens"][0]["type"] == "NTLM CHALLENGE"
    assert "MsvAvTimestamp" in challenge["negoTokens"][0]["targetInfo"]
    token = authenticate["negoTokens"][0]
    assert (token["type"], token["userName"], token["domainName"]) == ("NTLM AUTHENTICATE", "alice", "LAB")
    assert token["ntChallengeResponse"]["type"] == "NTLMv2_RESPONSE"
    assert token["ntChallengeResponse"]["avPairs"]["MsvAvTargetName"] == "TERMSRV/srv.lab.test"
    assert len(authenticate["clientNonce"]) == 64
    assert key["pubKeyAuth"]["type"] == "encrypted key binding"
    assert auth_info["authInfo"]["type"] == "encrypted TSCredentials"
    assert not any("deviations" in message for message in (negotiate, challenge, authenticate, key, auth_info))


def test_spnego_tokens_are_named_with_what_is_inside(capsys: pytest.CaptureFixture[str]) -> None:
    init, incomplete, authenticate, *_ = (_json(capsys, data)["negoTokens"][0] for data in exchange("negotiate")[:4])
    assert (init["type"], init["mechToken"]["type"]) == ("SPNEGO NegTokenInit", "NTLM NEGOTIATE")
    assert init["mechTypes"] == ["1.3.6.1.4.1.311.2.2.10 NTLM"]
    assert incomplete["negState"] == "accept-incomplete"
    assert incomplete["supportedMech"] == "1.3.6.1.4.1.311.2.2.10 NTLM"
    assert incomplete["responseToken"]["type"] == "NTLM CHALLENGE"
    assert authenticate["responseToken"]["type"] == "NTLM AUTHENTICATE"
    assert "mechListMIC" in authenticate


def test_bare_tokens_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    for mechanism, names in (
        ("ntlm", ["NTLM NEGOTIATE", "NTLM CHALLENGE", "NTLM AUTHENTICATE"]),
        ("negotiate", ["SPNEGO NegTokenInit", "SPNEGO NegTokenResp", "SPNEGO NegTokenResp"]),
    ):
        for data, name in zip(exchange(mechanism), names, strict=False):  # type: ignore[arg-type]
            (token,) = TSRequest.decode(data).nego_tokens or ()
            assert _json(capsys, token)["type"] == name


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("6e03020100", "Kerberos AP-REQ"),
        ("6f03020100", "Kerberos AP-REP"),
        ("600d06092a864886f71201020201000000", "Kerberos AP-REQ"),
        ("600d06092a864882f71201020202000000", "Kerberos AP-REP"),
        ("60810d06092a864886f71201020203000000", "Kerberos KRB-ERROR"),
        ("600b06092a864886f712010202ffff", "Kerberos token"),
        ("30", "undecodable token"),
        ("", "undecodable token"),
    ],
)
def test_names_of_tokens(token: str, name: str) -> None:
    assert token_name(bytes.fromhex(token)) == name


def test_old_ntlm_response_is_shown_as_octets() -> None:
    session_base = bytes.fromhex("4e544c4d53535000 03000000")
    fields = b"".join(size.to_bytes(2, "little") * 2 + (64).to_bytes(4, "little") for size in (24, 24, 0, 0, 0, 0))
    tree = Views().any_message(session_base + fields + bytes(4) + bytes(24))
    assert tree["ntChallengeResponse"] == "******** (24 bytes)"
    assert tree["MIC"] is None
    assert tree["deviations"][0]["what"].startswith("payload fields overlap")


def test_deviations_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rdesktop_like = "300ea00402020006a4060204c000006d"  # the version in two bytes
    assert main(["decode", rdesktop_like]) == 0
    out = capsys.readouterr().out
    assert "  deviations[0]: TSRequest.version at byte 6: " in out
    (deviation,) = _json(capsys, bytes.fromhex(rdesktop_like))["deviations"]
    assert list(deviation) == ["field", "offset", "what"]


def test_undecodable_token_does_not_hide_the_message_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    data = TSRequest(6, nego_tokens=(b"NTLMSSP\0\x09\0\0\0", b"")).encode()
    first, second = _json(capsys, data)["negoTokens"]
    assert first["type"] == second["type"] == "undecodable token"
    assert "MessageType" in first["error"]


def test_server_that_speaks_first_is_shown_without_a_token_inside() -> None:
    hints = NegTokenInit(("1.3.6.1.4.1.311.2.2.10", "1.2.3.4"), neg_hints=NegHints(), framed=False).encode()
    tree = Views().any_message(hints)
    assert tree["mechTypes"] == ["1.3.6.1.4.1.311.2.2.10 NTLM", "1.2.3.4"]
    assert "without the GSS-API framing" in tree["framing"]
    assert "mechToken" not in tree


def test_answers_of_a_server_are_named() -> None:
    fields = fields_of(TSRequest(6, error_code=0xC000006D, auth_info=b""))
    assert fields == ["authInfo", "errorCode STATUS_LOGON_FAILURE 0xC000006D"]
    assert Views().any_message(NegTokenResp(NegState.REJECT).encode())["negState"] == "reject"
    assert Views().any_message(NegTokenResp(mech_list_mic=b"x").encode())["mechListMIC"] == "******** (1 bytes)"


# Secrets


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_password_is_masked_unless_revealed(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", PASSWORD_CREDS.hex(), *options]) == 0
    masked = capsys.readouterr().out
    assert PASSWORD not in masked
    assert "********" in masked
    assert "alice" in masked
    assert main(["decode", PASSWORD_CREDS.hex(), "--reveal", *options]) == 0
    assert PASSWORD in capsys.readouterr().out


def test_pin_and_buffers_are_masked_unless_revealed(capsys: pytest.CaptureFixture[str]) -> None:
    card = SmartCardCredentials(pin=Secret("123456"), card_name="card").to_wire().encode()
    guard = RemoteGuardCredentials(
        package_name="Kerberos", buffer=Secret(b"\xaa\xbb"), supplemental=(("NTLM", Secret(b"\xcc\xdd")),)
    )
    masked = _json(capsys, card)["credentials"]
    assert (masked["pin"], masked["cspData"]["cardName"], masked["userHint"]) == ("********", "card", None)
    assert _json(capsys, card, "--reveal")["credentials"]["pin"] == "123456"
    data = guard.to_wire().encode()
    assert _json(capsys, data)["credentials"]["logonCred"]["credBuffer"] == "******** (2 bytes)"
    shown = _json(capsys, data, "--reveal")["credentials"]
    assert shown["logonCred"]["credBuffer"] == "aabb"
    assert shown["supplementalCreds"][0]["credBuffer"] == "ccdd"


def test_proofs_that_passwords_can_be_guessed_against_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    data = exchange("ntlm")[2]
    token = _json(capsys, data)["negoTokens"][0]
    for value in (
        token["ntChallengeResponse"]["NTProofStr"],
        token["encryptedRandomSessionKey"],
        token["MIC"],
    ):
        assert value == "******** (16 bytes)"
    revealed = _json(capsys, data, "--reveal")["negoTokens"][0]
    assert len(revealed["ntChallengeResponse"]["NTProofStr"]) == 32


def test_empty_credentials_show_as_empty(capsys: pytest.CaptureFixture[str]) -> None:
    data = TSCredentials(TSPasswordCreds("", "", Secret(""))).encode()
    assert _json(capsys, data)["credentials"]["password"] == ""


def test_control_characters_of_the_peer_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    data = TSCredentials(TSPasswordCreds("LAB", "a\x1b[31m\nb\u202e", Secret(""))).encode()
    assert main(["decode", data.hex()]) == 0
    assert "userName: a\\x1b[31m\\nb\\u202e\n" in capsys.readouterr().out


# Failures


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ("3003a00102", ["TSRequest.version at byte 4", "[MS-CSSP] 2.2.1"]),
        ("160303", ["TLS record"]),
        ("00", ["begins like this"]),
        ("4e544c4d5353500009000000", ["NTLMSSP.MessageType at byte 8"]),
        ("300ea003020101a10704053003020107", ["TSPasswordCreds"]),
        ("300ba003020109a10404023000", ["TSCredentials.credType", "9 is not one of 1, 2 and 6"]),
        (PASSWORD_CREDS[:-1].hex(), ["at byte 0: cut short"]),
    ],
)
def test_what_does_not_decode_exits_with_1_and_says_where(
    data: str, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decode", data]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("credssp decode: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


@given(st.sampled_from([*exchange("ntlm"), *exchange("negotiate"), PASSWORD_CREDS]), st.data())
def test_damaged_messages_decode_or_are_refused_by_our_errors(message: bytes, data: st.DataObject) -> None:
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        tree = Views().any_message(bytes(damaged[:cut] if data.draw(st.booleans()) else damaged))
    except RemoteProtocolError:
        return
    json.dumps(tree)
    assert all("\n" not in line for line in render(tree))

"""``credssp dissect --keytab``: logins with Kerberos are opened with the key of the service."""

from __future__ import annotations

import io
import json
import random
import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.cli import main
from credssp.dissect.dissector import dissect
from credssp.errors import LocalProtocolError
from credssp.exchange.opening import LogonSecrets
from credssp.kerberos.keytab_file import read_keytab_file
from credssp.kerberos.tickets import ServiceKey
from credssp.kerberos.values import EncryptionKey
from credssp.secret import MASK, Secret
from tests.fuzz.test_fuzz_core import mutate
from tests.kdc import REALM, Realm

FOLDER = Path(__file__).parents[2] / "fixtures"
FIXTURES = sorted(path.parent for path in FOLDER.glob("*/manifest.toml") if "[kerberos]" in path.read_text())
ACCEPTED = [folder for folder in FIXTURES if not folder.name.endswith("refused")]
CHECKS = ["ticket", "authenticator", "AP-REP", "pubKeyAuth of the client", "pubKeyAuth of the server", "authInfo"]


def counted(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def entry(key: ServiceKey, *, wide: bool = True) -> bytes:
    parts = key.service.split("/")
    body = struct.pack(">H", len(parts)) + counted(key.realm.encode()) + b"".join(counted(p.encode()) for p in parts)
    body += struct.pack(">IIB", 1, 1_767_225_600, key.kvno & 0xFF)
    body += struct.pack(">H", key.key.etype) + counted(key.key.value.reveal())
    body += struct.pack(">I", key.kvno) if wide else b""
    return struct.pack(">i", len(body)) + body


def key_of(folder: Path) -> ServiceKey:
    table = tomllib.loads((folder / "manifest.toml").read_text())["kerberos"]
    value = Secret(bytes.fromhex(table["key"]))
    return ServiceKey(table["service"], EncryptionKey(table["etype"], value), table["realm"], 2)


def keytab_for(folder: Path, tmp_path: Path) -> str:
    (tmp_path / "keytab").write_bytes(b"\x05\x02" + entry(key_of(folder)))
    return str(tmp_path / "keytab")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["dissect", "--json", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    conversation: dict[str, Any] = report["conversations"][0]
    return conversation


@pytest.mark.parametrize("folder", ACCEPTED, ids=lambda folder: folder.name)
def test_a_keytab_opens_everything(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conversation = run(capsys, str(folder), "--keytab", keytab_for(folder, tmp_path))
    assert [(check["name"], check["verdict"]) for check in conversation["checks"]] == [(name, "ok") for name in CHECKS]
    assert "alice@EXAMPLE.TEST" in conversation["checks"][0]["text"]
    (sealed,) = [e["message"]["authInfo"] for e in conversation["timeline"] if e.get("message", {}).get("authInfo")]
    assert sealed["opened"]["type"].startswith("TSCredentials")
    tokens = [e["message"]["kerberos"] for e in conversation["timeline"] if "kerberos" in e.get("message", {})]
    assert [token["type"] for token in tokens] == ["AP-REQ", "AP-REP"]
    assert tokens[0]["ticket"]["client"] == tokens[0]["authenticator"]["client"] == "alice@EXAMPLE.TEST"
    assert tokens[0]["ticket"]["key"]["value"] == MASK
    assert any("received the password" in r["text"] or "Guard" in r["text"] for r in conversation["judgement"])


def test_keys_and_the_password_are_shown_on_request_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = FOLDER / "pyspnego-0.12.4-client-v6-kerberos"
    arguments = [str(folder), "--keytab", keytab_for(folder, tmp_path)]
    masked = run(capsys, *arguments)
    assert "Made-up for this capture 1" not in json.dumps(masked)
    assert masked["session_key"] == MASK
    revealed = run(capsys, *arguments, "--reveal")
    assert "Made-up for this capture 1" in json.dumps(revealed)
    assert len(bytes.fromhex(revealed["session_key"])) == 32


def test_the_text_shows_what_the_tokens_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = FOLDER / "pywinrm-0.5.0-http-kerberos"
    assert main(["dissect", str(folder), "--keytab", keytab_for(folder, tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "kerberos: AP-REQ" in out
    assert "client: alice@EXAMPLE.TEST" in out


def test_without_a_keytab_it_says_what_opens_it(capsys: pytest.CaptureFixture[str]) -> None:
    conversation = run(capsys, str(ACCEPTED[0]))
    assert all("--keytab" in check["text"] for check in conversation["checks"])


def test_another_key_opens_nothing_and_says_which_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ACCEPTED[0]
    wrong = ServiceKey("TERMSRV/localhost", EncryptionKey(18, Secret(bytes(32))), "EXAMPLE.TEST", 2)
    (tmp_path / "keytab").write_bytes(b"\x05\x02" + entry(wrong))
    conversation = run(capsys, str(folder), "--keytab", str(tmp_path / "keytab"))
    assert {check["verdict"] for check in conversation["checks"]} == {"unknown"}
    assert conversation["checks"][0]["name"] == "ticket"
    assert "TERMSRV/localhost@EXAMPLE.TEST" in conversation["checks"][0]["text"]


def test_several_keytabs_are_all_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ACCEPTED[0]
    (tmp_path / "other").write_bytes(
        b"\x05\x02" + entry(ServiceKey("HTTP/other", EncryptionKey(17, Secret(bytes(16))), "OTHER.TEST", 1))
    )
    keytab = keytab_for(folder, tmp_path)
    conversation = run(capsys, str(folder), "--keytab", str(tmp_path / "other"), "--keytab", f"FILE:{keytab}")
    assert [check["verdict"] for check in conversation["checks"]] == ["ok"] * len(CHECKS)


@given(st.sampled_from(ACCEPTED), st.randoms(use_true_random=False))
def test_a_login_that_was_changed_is_reported(folder: Path, source: random.Random) -> None:
    head = b'{"credssp_transcript": 1, "role": "client", "program": "p", "peer": "q"}\n'
    data = mutate((folder / "messages.jsonl").read_bytes(), source)
    report = dissect(io.BytesIO(head + data), logon=LogonSecrets(service_keys=(key_of(folder),)))
    assert report["kind"] == "transcript"


# The file


def test_keys_holes_and_both_widths_of_the_version_are_read() -> None:
    one = ServiceKey("host/srv.lab.test", EncryptionKey(18, Secret(bytes(range(32)))), "LAB.TEST", 300)
    two = ServiceKey("alice", EncryptionKey(23, Secret(bytes(16))), "LAB.TEST", 7)
    data = b"\x05\x02" + entry(one) + struct.pack(">i", -20) + bytes(20) + entry(two, wide=False) + bytes(8)
    read = read_keytab_file(data)
    assert [(k.service, k.realm, k.kvno, k.key.etype, k.key.value.reveal()) for k in read] == [
        ("host/srv.lab.test", "LAB.TEST", 300, 18, bytes(range(32))),
        ("alice", "LAB.TEST", 7, 23, bytes(16)),
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not begin with 0502"),
        (b"\x05\x01rest", "does not begin with 0502"),
        (b"\x05\x02", "has no key"),
        (b"\x05\x02\0\0\0\x20short", "the entry at byte 6 is cut off"),
        (b"\x05\x02\0\0\0\x04\xff\xff\0\0", "the entry at byte 6 is cut off or malformed"),
        (b"\x05\x02" + bytes(1 << 20), "more than 1048576 bytes"),
    ],
)
def test_what_is_not_a_keytab_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        read_keytab_file(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_keytab_or_refused(data: bytes) -> None:
    try:
        assert read_keytab_file(b"\x05\x02" + data)
    except LocalProtocolError as error:
        assert error.message


@pytest.mark.interop
def test_keytabs_of_mit_are_read_as_libkrb5_reads_them(tmp_path: Path) -> None:
    pytest.importorskip("krb5")
    from credssp.kerberos.tickets import service_keys

    with Realm(tmp_path) as realm:
        for principal in ("TERMSRV/localhost", "HTTP/localhost"):
            realm.add(principal)
        keytab = realm.keytab("server.keytab", "TERMSRV/localhost", "HTTP/localhost")
        own = read_keytab_file(keytab.read_bytes())
        theirs = service_keys(str(keytab))
    assert [(k.service, k.realm, k.kvno, k.key) for k in own] == [(k.service, k.realm, k.kvno, k.key) for k in theirs]
    assert {k.realm for k in own} == {REALM}

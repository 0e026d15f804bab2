"""What ``credssp decode`` and ``credssp dissect`` print, and the transcripts that others write."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from credssp.conformance.samples import remote_guard, whole_smart_card
from credssp.credentials import PasswordCredentials
from credssp.spnego import OID, NegTokenInit
from credssp.testing import RDPServer
from credssp.wire.ts_request import TSRequest
from tests.cli.samples import PASSWORD, exchange
from tests.dissect.captures import Connection, pcap
from tests.dissect.logins import log_on
from tests.dissect.test_keytab import keytab_for
from tests.schemas.checking import check, lines

FIXTURES = Path(__file__).parents[2] / "fixtures"
PASSWORDS = PasswordCredentials("alice", PASSWORD, domain="LAB").to_wire().encode()
GOOD = "pyspnego-0.12.4-client-v6-kerberos"
_U16 = struct.Struct("<HHI")


def spnego(token: bytes, *, mic: bytes | None = None) -> bytes:
    return NegTokenInit((OID.NTLM,), mech_token=token, mech_list_mic=mic).encode()


def odd() -> Iterator[bytes]:
    """Messages that are wrong, or rare."""
    yield bytes.fromhex("300da003020106a4060204c000006d")  # an errorCode
    yield bytes.fromhex("308105a003020106")  # a length that is not minimal
    yield b"\x30\x81" + PASSWORDS[1:]  # the same in TSCredentials
    yield b"\x6e\x05junk!"  # begins like AP-REQ
    members = "a003020105a10302011ea411180f32303236303130313030303030305aa505020300ffffa603020125"
    members += "a90a1b084c41422e54455354aa163014a003020102a10d300b1b04485454501b03737276"
    yield bytes.fromhex(f"7e{len(members) // 2 + 2:02x}30{len(members) // 2:02x}{members}")  # KRB-ERROR
    names = _U16.pack(3, 3, 32) + _U16.pack(2, 2, 35)
    yield b"NTLMSSP\0" + struct.pack("<II", 1, 0x00003201) + names + b"LABPC"  # NEGOTIATE with names
    yield (
        b"NTLMSSP\0"
        + struct.pack("<I", 2)
        + _U16.pack(0, 0, 48)
        + struct.pack("<I", 0x00800205)
        + bytes(16)
        + (_U16.pack(6, 6, 48) + struct.pack("<HH2s", 1, 2, b"S\0"))
    )  # CHALLENGE whose AV_PAIRs have no end
    message = bytearray(TSRequest.decode(exchange("ntlm")[2]).nego_tokens[0])  # type: ignore[index]
    message[44:52] = message[36:44]  # Workstation is where UserName is
    yield bytes(message)
    yield spnego(b"NTLMSSP\0junk", mic=bytes(16))
    framed = spnego(b"NTLMSSP\0junk")
    yield framed[framed.index(b"\xa0") :]  # without the framing of GSS-API


def run(*words: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        main(words)
    return out.getvalue()


def decoded() -> Iterator[Any]:
    for mechanism in ("ntlm", "negotiate"):
        for message in exchange(mechanism):  # type: ignore[arg-type]
            yield json.loads(run("decode", "--json", message.hex()))
    for data in (PASSWORDS, whole_smart_card(), remote_guard(2), TSRequest(6, nego_tokens=(b"junk",)).encode()):
        yield json.loads(run("decode", "--json", data.hex()))
    for data in odd():
        yield json.loads(run("decode", "--json", data.hex()))


def dissected(folder: Path) -> Iterator[Any]:
    yield json.loads(run("dissect", "--json", str(FIXTURES / GOOD), "--keytab", keytab_for(FIXTURES / GOOD, folder)))
    capture = FIXTURES / "pywinrm-0.5.0-https-capture"
    yield json.loads(run("dissect", "--json", str(capture / "capture.pcapng"), "--keylog", str(capture / "keys.log")))
    others = (
        "xfreerdp-2.11.7-capture-accepted",
        "freerdp-2.11.7-client-wrong-password",
        "rdesktop-1.9.0-kerberos-refused",
    )
    yield from lines(run("dissect", "--json", *(str(FIXTURES / name) for name in others), "--reveal"))
    closed = folder / "closed.pcap"
    closed.write_bytes(pcap(Connection().packets(log_on(tls="1.2").said)))
    yield json.loads(run("dissect", "--json", str(closed)))


def test_decode_dissect_and_transcripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "correct horse")
    transcript = tmp_path / "login.jsonl"
    with RDPServer({("LAB", "alice"): "correct horse"}) as server:
        run("login", f"rdp://127.0.0.1:{server.port}", "-u", "LAB\\alice", "--transcript", str(transcript))
    written = lines(transcript.read_text(encoding="utf-8"))
    others = tmp_path / "other.jsonl"
    number = {"exchange": 1}
    head, *facts = [line | number if "credssp_transcript" not in line else line for line in written]
    facts.append({"from": "server", "layer": "tsrequest", "data": "30", "time": 1767225600.25, **number})
    others.write_text("".join(json.dumps(line) + "\n" for line in (head, *facts)), encoding="utf-8")
    reports = [*dissected(tmp_path), *lines(run("dissect", "--json", str(transcript), str(others)))]
    check(decode=decoded(), dissect=reports, transcript=[*written, head, *facts])

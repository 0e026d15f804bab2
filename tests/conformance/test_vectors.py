"""The vectors, computed anew from docs/reference/conformance-formats.md, with nothing of this project's code."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from credssp.conformance.vectors import all_vectors

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance-formats.md"
MAGIC = {
    "client": b"CredSSP Client-To-Server Binding Hash\0",
    "server": b"CredSSP Server-To-Client Binding Hash\0",
}


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    return all_vectors()


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def hmac_md5(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, "md5").digest()


class RC4:
    def __init__(self, key: bytes) -> None:
        self.state, j = list(range(256)), 0
        for i in range(256):
            j = (j + self.state[i] + key[i % len(key)]) & 0xFF
            self.state[i], self.state[j] = self.state[j], self.state[i]
        self.i = self.j = 0

    def __call__(self, data: bytes) -> bytes:
        out = bytearray()
        for octet in data:
            self.i = (self.i + 1) & 0xFF
            self.j = (self.j + self.state[self.i]) & 0xFF
            self.state[self.i], self.state[self.j] = self.state[self.j], self.state[self.i]
            out.append(octet ^ self.state[(self.state[self.i] + self.state[self.j]) & 0xFF])
        return bytes(out)

    def copy(self) -> RC4:
        other = RC4(b"x")
        other.state, other.i, other.j = list(self.state), self.i, self.j
        return other


def test_bindings(vectors: dict[str, Any]) -> None:
    for entry in vectors["binding"]:
        key, nonce = octets(entry["subjectPublicKey"]), octets(entry["nonce"])
        for side in ("client", "server"):
            if entry["version"] >= 5:
                expected = hashlib.sha256(MAGIC[side] + nonce + key).digest()
            else:
                expected = key if side == "client" else bytes([(key[0] + 1) & 0xFF]) + key[1:]
            assert octets(entry[side]) == expected, entry["name"]


def test_ntlm_logins(vectors: dict[str, Any]) -> None:
    for entry in vectors["ntlm"]:
        key = hmac_md5(octets(entry["ntHash"]), (entry["userName"].upper() + entry["domain"]).encode("utf-16-le"))
        assert octets(entry["ntowfv2"]) == key
        proof = hmac_md5(key, octets(entry["serverChallenge"]) + octets(entry["temp"]))
        assert octets(entry["ntProofStr"]) == proof
        base_key = hmac_md5(key, proof)
        assert octets(entry["sessionBaseKey"]) == base_key
        exported = octets(entry["exportedSessionKey"])
        assert RC4(base_key)(exported) == octets(entry["encryptedRandomSessionKey"])
        message = octets(entry["authenticate"])
        assert proof + octets(entry["temp"]) in message
        blank = message[:72] + bytes(16) + message[88:]
        mic = hmac_md5(exported, octets(entry["negotiate"]) + octets(entry["challenge"]) + blank)
        assert octets(entry["mic"]) == mic == message[72:88]


def test_sealed_messages(vectors: dict[str, Any]) -> None:
    for entry in vectors["ntlm_session"]:
        streams = {}
        for side in ("client", "server"):
            way = "client-to-server" if side == "client" else "server-to-client"
            for use in ("signing", "sealing"):
                magic = f"session key to {way} {use} key magic constant\0".encode()
                derived = hashlib.md5(octets(entry["exportedSessionKey"]) + magic).digest()  # noqa: S324
                assert octets(entry[f"{side}{use.capitalize()}Key"]) == derived
            streams[side] = RC4(octets(entry[f"{side}SealingKey"]))
        for step in entry["steps"]:
            side, data = step["from"], octets(step["input"])
            number = step["sequence"].to_bytes(4, "little")
            checksum = hmac_md5(octets(entry[f"{side}SigningKey"]), number + data)[:8]
            stream = streams[side] if step["operation"] == "wrap" else streams[side].copy()
            sealed = stream(data) if step["operation"] == "wrap" else b""
            assert octets(step["output"]) == b"\1\0\0\0" + stream(checksum) + number + sealed, step["about"]


def test_every_entry_has_a_name_of_its_own_and_says_what_it_is(vectors: dict[str, Any]) -> None:
    for section, entries in vectors.items():
        if isinstance(entries, list) and section != "rules":
            assert all(entry["about"] for entry in entries)
            assert len({entry["name"] for entry in entries}) == len(entries)


def test_every_member_is_documented(vectors: dict[str, Any]) -> None:
    page = PAGE.read_text(encoding="utf-8")

    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(names, value.values())) if value else set()
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    documented = names({name: value for name, value in vectors.items() if name != "rules"})
    assert {name for name in documented if f"`{name}`" not in page} == set()
    assert f"`format` is {vectors['format']};" in " ".join(page.split())

"""The vectors, computed anew from docs/reference/conformance-formats.md by other code; and then read by ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from spnego._ntlm_raw import crypto as spnego_crypto
from spnego._ntlm_raw import messages as spnego_messages
from spnego.channel_bindings import GssChannelBindings

from credssp.conformance.catalogue.winrm import client_message
from credssp.conformance.client_run import ClientRun
from credssp.conformance.http import HttpAnswer
from credssp.conformance.scripted_client import bindings_hash
from credssp.conformance.vectors import all_vectors
from credssp.errors import RemoteProtocolError
from credssp.kerberos.pac import vouched
from credssp.kerberos.values import EncryptionKey
from credssp.ntlm.messages import Authenticate, Challenge
from credssp.rdp.negotiation import Protocol
from credssp.rdp.relayed import FromClient, FromServer
from credssp.secret import Secret
from credssp.winrm.header import challenge_token
from tests.conformance.http_peers import MemoryWinRMClientTarget

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


@pytest.mark.parametrize("section", ["ntlm", "ntlm_without_version"])
def test_ntlm_logins(vectors: dict[str, Any], section: str) -> None:
    for entry in vectors[section]:
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
        at = entry["micOffset"]
        blank = message[:at] + bytes(16) + message[at + 16 :]
        mic = hmac_md5(exported, octets(entry["negotiate"]) + octets(entry["challenge"]) + blank)
        assert octets(entry["mic"]) == mic == message[at : at + 16]


# Where the payload of the three messages begins, and Version, if it is there.
LAYOUTS = {"Version is zero": (40, 56, 88), "Version is left out": (32, 48, 80)}


def test_ntlm_messages_without_version(vectors: dict[str, Any]) -> None:
    for entry in vectors["ntlm_without_version"]:
        layout = LAYOUTS[entry["name"]]
        negotiate, challenge, authenticate = (
            octets(entry[name]) for name in ("negotiate", "challenge", "authenticate")
        )
        for message, flags_at in ((negotiate, 12), (challenge, 20), (authenticate, 60)):
            assert not int.from_bytes(message[flags_at : flags_at + 4], "little") & 0x02000000
        assert len(negotiate) == layout[0]
        assert struct.unpack_from("<I", challenge, 16) == (layout[1],)
        assert min(struct.unpack_from("<I", authenticate, at)[0] for at in range(16, 57, 8)) == layout[2]
        assert entry["micOffset"] == layout[2] - 16
        if entry["name"] == "Version is zero":
            assert negotiate[32:40] == challenge[48:56] == authenticate[64:72] == bytes(8)
        # Ours reads both.
        decoded = Authenticate.decode(authenticate)
        assert (decoded.mic, decoded.mic_offset) == (octets(entry["mic"]), entry["micOffset"])
        assert (decoded.username, decoded.domain) == (entry["userName"], entry["domain"])
        assert Challenge.decode(challenge).version is None
        # pyspnego has no bytes for Version where the flag is absent, in either direction.
        if entry["name"] == "Version is left out":
            theirs = spnego_messages.Authenticate.unpack(authenticate)
            assert (theirs.mic, theirs.user_name) == (decoded.mic, entry["userName"])


# Windows' capitals, by hand.
CAPITALS = {
    "alice": "ALICE",
    "jürgen-žofie-ДМИТРИЙ-дмитрий": "JÜRGEN-ŽOFIE-ДМИТРИЙ-ДМИТРИЙ",
    "strauß": "STRAUß",
    "ŉkosi": "ŉKOSI",
    "ǰan": "ǰAN",
    "ﬁona": "ﬁONA",
    "ΐris": "ΐRIS",
    "\u0131\u015f\u0131k": "\u0131\u015e\u0131K",
    "\u017fara": "\u017fARA",
    "\u00b5-user": "\u00b5-USER",
    "\U00010428x": "\U00010428X",
}


def test_capitals(vectors: dict[str, Any]) -> None:
    assert {entry["userName"]: entry["upperCase"] for entry in vectors["ntowfv2"]} == CAPITALS
    for entry in vectors["ntowfv2"]:
        upper = CAPITALS[entry["userName"]]
        assert len(upper.encode("utf-16-le")) == len(entry["userName"].encode("utf-16-le"))
        key = hmac_md5(octets(entry["ntHash"]), (upper + entry["domain"]).encode("utf-16-le"))
        assert key == octets(entry["ntowfv2"])
    first = vectors["ntowfv2"][0]
    theirs = spnego_crypto.ntowfv2(first["userName"], octets(first["ntHash"]), first["domain"])
    assert theirs == octets(first["ntowfv2"])


def test_channel_bindings(vectors: dict[str, Any]) -> None:
    hashes = {"ECDSA with SHA-256": "sha256", "ECDSA with SHA-384": "sha384", "Ed25519": ""}
    assert [entry["name"] for entry in vectors["channel_bindings"]] == list(hashes)
    for entry in vectors["channel_bindings"]:
        algorithm, expected = hashes[entry["name"]], bytes(16)
        if algorithm:
            digest = hashlib.new(algorithm, octets(entry["certificate"])).digest()
            assert octets(entry["applicationData"]) == b"tls-server-end-point:" + digest
            packed = GssChannelBindings(application_data=octets(entry["applicationData"])).pack()
            assert octets(entry["bindings"]) == packed
            expected = hashlib.md5(packed).digest()  # noqa: S324
        assert octets(entry["hash"]) == expected
        assert octets(entry["avPair"]) == b"\x0a\0\x10\0" + expected
        assert octets(entry["bnd"]) == b"\x10\0\0\0" + expected
        assert bindings_hash(octets(entry["certificate"])) == expected


def test_pacs(vectors: dict[str, Any]) -> None:
    krb5 = pytest.importorskip("impacket.krb5.crypto")
    for entry in vectors["pac"]:
        pac, key = octets(entry["pac"]), octets(entry["key"])
        spans = {}
        for kind, size, offset in struct.iter_unpack("<IIQ", pac[8 : 8 + 16 * int.from_bytes(pac[:4], "little")]):
            spans[kind] = offset, pac[offset : offset + size]
        blank = pac
        for kind in (6, 7):
            offset, signature = spans[kind]
            blank = blank[: offset + 4] + bytes(len(signature) - 4) + blank[offset + len(signature) :]
        # HMAC-SHA1-96 with key usage 17, by impacket ([MS-PAC] 2.8.1).
        signed = spans[6][1][4:] == krb5.make_checksum(16, krb5.Key(entry["etype"], key), 17, blank)
        when, size = struct.unpack_from("<QH", spans[10][1])
        logged_on = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=when // 10)
        named = spans[10][1][10 : 10 + size].decode("utf-16-le")
        theirs = (named, logged_on.isoformat()) == (entry["client"], entry["authtime"])
        assert (entry["expected"] == "take") is (signed and theirs), entry["name"]
        arguments: Any = {"client": entry["client"], "authtime": datetime.fromisoformat(entry["authtime"])}
        service = EncryptionKey(entry["etype"], Secret(key))
        if entry["expected"] == "refuse":
            with pytest.raises(RemoteProtocolError):
                vouched(pac, service, **arguments)
            continue
        fields, found = entry["fields"], vouched(pac, service, **arguments)
        assert found is not None
        assert (found.username, found.domain, found.sid) == (fields["userName"], fields["domain"], fields["sid"])
        assert list(found.groups) == fields["groups"]
        assert fields["userName"].encode("utf-16-le") in spans[1][1]
        assert fields["sid"] == "S-1-5-21-1-2-3-1104"
        assert "S-1-5-21-1-2-3-513" in fields["groups"]


def test_http_headers(vectors: dict[str, Any]) -> None:
    for entry in vectors["http_headers"]:
        values, token = entry["wwwAuthenticate"], octets(entry["token"])
        lines = ", ".join(re.sub(r'"[^"]*"', "", value) for value in values)
        assert bool(re.search(r"(?i)(^|[, ])credssp([, ]|$)", lines)) is entry["offered"], entry["name"]
        assert bool(token) is (base64.b64encode(token).decode() in lines and token != b"")
        assert challenge_token(values) == (token if entry["offered"] else None), entry["name"]


def test_http_sequences(vectors: dict[str, Any]) -> None:
    for entry in vectors["http_sequences"]:
        target = MemoryWinRMClientTarget()
        run = ClientRun(target, {})
        answer = HttpAnswer(entry["answer"]["status"], tuple(entry["answer"]["wwwAuthenticate"]))
        link: Any
        if entry["at"] == "request":
            link = run.start()
            link.source.next(1.0)
            link.source.answer(answer)
        elif entry["at"] == "proof":
            link = run.try_serve(refuses=lambda _, message, __: b"" if message.pub_key_auth else None).connection.link
            link.finish(answer)
        else:
            link = client_message(run, b"")[1].connection.link
            link.source.answer(answer)
        following = link.source.next(1.0)
        run.close()
        if entry["then"] == "stop":
            assert following is None, entry["name"]
        elif entry["then"] == "token":
            assert following is not None, entry["name"]
        assert following is None or following.token[:1] == b"\x16", entry["name"]


def test_relayed_negotiations(vectors: dict[str, Any]) -> None:
    for entry in vectors["rdp_relay"]:
        request, confirm = octets(entry["connectionRequest"]), octets(entry["connectionConfirm"])
        for frame, kind, name in ((request, 1, "requestedProtocols"), (confirm, 2, "selectedProtocol")):
            assert int.from_bytes(frame[2:4], "big") == len(frame)
            assert (frame[-8], frame[-6:-4]) == (kind, b"\x08\0")
            assert int.from_bytes(frame[-4:], "little") == entry[name]
        initial, rewritten = octets(entry["connectInitial"]), octets(entry["connectInitialToServer"])
        core = initial.index(b"\x01\xc0", initial.index(b"Duca"))
        at = core + 212
        assert initial[at : at + 4] == entry["selectedProtocol"].to_bytes(4, "little")
        assert rewritten == initial[:at] + entry["serverSelectedProtocol"].to_bytes(4, "little") + initial[at + 4 :]
        response, answered = octets(entry["connectResponse"]), octets(entry["connectResponseToClient"])
        at = response.index(b"\x01\x0c", response.index(b"McDn")) + 8
        assert response[at : at + 4] == entry["serverRequestedProtocols"].to_bytes(4, "little")
        assert answered == response[:at] + entry["requestedProtocols"].to_bytes(4, "little") + response[at + 4 :]
        # Ours does the same, and refuses what was not negotiated with it.
        back, selected = Protocol(entry["serverSelectedProtocol"]), Protocol(entry["selectedProtocol"])
        asked, requested = Protocol(entry["serverRequestedProtocols"]), Protocol(entry["requestedProtocols"])
        assert FromClient(back, negotiated=selected, rewrite=lambda info: info).feed(initial) == rewritten
        assert FromServer(requested, asked=asked).feed(response) == answered
        with pytest.raises(RemoteProtocolError, match="serverSelectedProtocol"):
            FromClient(back, negotiated=selected ^ Protocol.RDSTLS, rewrite=lambda info: info).feed(initial)
        with pytest.raises(RemoteProtocolError, match="clientRequestedProtocols"):
            FromServer(requested, asked=asked ^ Protocol.RDSTLS).feed(response)


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

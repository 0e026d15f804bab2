"""An NTLMv2 client for tests that can get everything wrong.

Written from [MS-NLMP] with hmac and hashlib alone, so that it shares no code with what it tests (RC4 is its own, too).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable

WINDOWS_FLAGS = 0xE20882B7
MECH_TYPES = bytes.fromhex("300c060a2b06010401823702020a")

AvList = list[tuple[int, bytes]]


def rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for octet in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(octet ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def hmac_md5(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.md5).digest()


def av_list(data: bytes) -> AvList:
    pairs = []
    at = 0
    while True:
        av_id, size = struct.unpack_from("<HH", data, at)
        if av_id == 0:
            return pairs
        pairs.append((av_id, data[at + 4 : at + 4 + size]))
        at += 4 + size


def encode_av_list(pairs: AvList, *, eol: bool = True) -> bytes:
    return b"".join(struct.pack("<HH", i, len(v)) + v for i, v in pairs) + (bytes(4) if eol else b"")


def target_info(challenge: bytes) -> AvList:
    size, offset = struct.unpack_from("<H2xI", challenge, 40)
    return av_list(challenge[offset : offset + size])


class ScriptedClient:
    def __init__(
        self,
        user: str = "User",
        domain: str = "Domain",
        nt_hash: bytes = bytes.fromhex("a4f49c406510bdcab6824ee7c30fd852"),  # "Password"
        flags: int = WINDOWS_FLAGS,
    ) -> None:
        self.user, self.domain, self.nt_hash, self.flags = user, domain, nt_hash, flags
        self.exported_session_key = bytes.fromhex("55" * 16)

    def negotiate(self) -> bytes:
        self.sent_negotiate = (
            b"NTLMSSP\0" + struct.pack("<II", 1, self.flags) + bytes(16) + bytes.fromhex("0a00614a0000000f")
        )
        return self.sent_negotiate

    def authenticate(
        self,
        challenge: bytes,
        *,
        flags: int | None = None,
        mic: bool = True,
        altered_mic: bool = False,
        edit_av: Callable[[AvList], AvList] = lambda pairs: pairs,
        eol: bool = True,
        tail: bytes = bytes(4),
        upper: str | None = None,
        proof_domain: str | None = None,
        nt_response: bytes | None = None,
        encrypted_session_key: bytes | None = None,
        spn: str | None = "TERMSRV/server",
        bindings: bytes = bytes(16),
        header_size: int = 88,
        edit: Callable[[bytearray], None] | None = None,
    ) -> bytes:
        pairs = target_info(challenge)
        timestamp = dict(pairs).get(7, bytes(8))
        if mic:
            pairs.append((6, struct.pack("<I", 2)))
        if spn is not None:
            pairs.append((9, spn.encode("utf-16-le")))
        pairs.append((10, bindings))
        av = encode_av_list(edit_av(pairs), eol=eol)
        temp = b"\1\1" + bytes(6) + timestamp + b"\xaa" * 8 + bytes(4) + av + tail
        upper = self.user.upper() if upper is None else upper
        proof_domain = self.domain if proof_domain is None else proof_domain
        key = hmac_md5(self.nt_hash, (upper + proof_domain).encode("utf-16-le"))
        proof = hmac_md5(key, challenge[24:32] + temp)
        if nt_response is None:
            nt_response = proof + temp
        if encrypted_session_key is None:
            encrypted_session_key = rc4(hmac_md5(key, proof), self.exported_session_key)
        fields = [
            bytes(24),
            nt_response,
            self.domain.encode("utf-16-le"),
            self.user.encode("utf-16-le"),
            "CLIENT".encode("utf-16-le"),
            encrypted_session_key,
        ]
        message = bytearray(b"NTLMSSP\0" + struct.pack("<I", 3))
        payload = b""
        for field in fields:
            message += struct.pack("<HHI", len(field), len(field), header_size + len(payload))
            payload += field
        negotiated = struct.unpack_from("<I", challenge, 20)[0]
        message += struct.pack("<I", negotiated if flags is None else flags) + bytes.fromhex("0a00614a0000000f")
        message = message.ljust(header_size, b"\0")[:header_size] + payload
        if edit is not None:
            edit(message)
        if mic and header_size >= 88:
            value = hmac_md5(self.exported_session_key, self.sent_negotiate + challenge + bytes(message))
            message[72:88] = value[::-1] if altered_mic else value
        return bytes(message)

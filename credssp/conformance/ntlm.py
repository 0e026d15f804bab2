"""An NTLMv2 client driven by hand: every part of its messages can be got wrong ([MS-NLMP] 2.2.1, 3.1.5.1.2, 3.3.2).

The initiator of `credssp.nego` cannot do this, and must not. The arithmetic (NTOWFv2, RC4, session keys) is the
project's own, which is held against the specification's values elsewhere.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Final, Literal

from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.av_pairs import AV_FLAGS, AV_TARGET_NAME, AV_TIMESTAMP, encode_av_pair
from credssp.ntlm.messages import SIGNATURE, Challenge
from credssp.ntlm.session import NTLMSession
from credssp.secret import Secret

__all__ = ["NTLM_FLAGS", "Account", "NTLMClient"]

NTLM_FLAGS: Final = 0xE2088237
"""What current Windows and pyspnego ask for, without LM_KEY: 56, KEY_EXCH, 128, VERSION, ESS, ALWAYS_SIGN, NTLM,
SEAL, SIGN, REQUEST_TARGET, OEM, UNICODE ([MS-NLMP] 2.2.2.5)."""

_VERSION: Final = bytes.fromhex("0a00614a0000000f")
_FIELDS: Final = struct.Struct("<HHI")
_AV_MIC: Final = 2


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the peer under test.

    Attributes:
        username: its name.
        password: its password.
        domain: its domain.
    """

    username: str
    password: Secret[str]
    domain: str = ""

    def __init__(self, username: str, password: str | Secret[str], domain: str = "") -> None:
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "password", Secret(password))
        object.__setattr__(self, "domain", domain)


@dataclass(slots=True, kw_only=True)
class NTLMClient:
    """One NTLM login.

    Attributes:
        account: who logs on.
        target_name: MsvAvTargetName, empty for none.
        flags: NegotiateFlags of NEGOTIATE.
        size: octets of NEGOTIATE: 32 (Windows NT, no Version), 40, or more for padding.
        mic: ``good``, ``bad`` (a wrong one), ``none``.
        tail: what follows MsvAvEOL in the response.
        clear_flags: flags that AUTHENTICATE leaves out although they were negotiated.
        anonymous: send empty names and responses.
        v1: send an NTLMv1-sized response.
        spoil_proof: send a wrong NTProofStr.
        spoil_timestamp: return another MsvAvTimestamp than the server's.
        timestamp: TimeStamp of the response, None for the server's.
        without_domain: compute the response with an empty domain, and send the domain all the same.
        without_key: leave EncryptedRandomSessionKey away, and use KeyExchangeKey in its place.
        session: the keys, after `authenticate`.
    """

    account: Account
    target_name: str = ""
    flags: int = NTLM_FLAGS
    size: int = 40
    mic: Literal["good", "bad", "none"] = "good"
    tail: bytes = bytes(4)
    clear_flags: int = 0
    anonymous: bool = False
    v1: bool = False
    spoil_proof: bool = False
    spoil_timestamp: bool = False
    timestamp: bytes | None = None
    without_domain: bool = False
    without_key: bool = False
    session: NTLMSession | None = None
    _negotiate: bytes = b""

    def negotiate(self) -> bytes:
        """Return NEGOTIATE."""
        message = SIGNATURE + struct.pack("<II", 1, self.flags) + bytes(16)
        self._negotiate = (message + _VERSION)[: self.size].ljust(self.size, b"\0")
        return self._negotiate

    def authenticate(self, token: bytes) -> bytes:
        """Return AUTHENTICATE for a CHALLENGE, and set `session`. Raises DecodeError for what is none."""
        challenge = Challenge.decode(token)
        pairs = list(challenge.target_info.pairs) if challenge.target_info is not None else []
        timestamp = dict(pairs).get(AV_TIMESTAMP, bytes(8)) if self.timestamp is None else self.timestamp
        if self.spoil_timestamp:
            pairs = [(i, bytes(8) if i == AV_TIMESTAMP else value) for i, value in pairs]
        if self.mic != "none":
            pairs.append((AV_FLAGS, struct.pack("<I", _AV_MIC)))
        if self.target_name:
            pairs.append((AV_TARGET_NAME, self.target_name.encode("utf-16-le")))
        pairs.append((10, bytes(16)))
        av = b"".join(encode_av_pair(av_id, value) for av_id, value in pairs) + bytes(4)
        temp = b"\1\1" + bytes(6) + timestamp + os.urandom(8) + bytes(4) + av + self.tail
        user = "" if self.anonymous else self.account.username
        domain = "" if self.anonymous else self.account.domain
        hashed = nt_hash(self.account.password.reveal())
        key = crypto.ntowfv2(hashed, crypto.upper_forms(user)[0], "" if self.without_domain else domain)
        proof = crypto.hmac_md5(key, challenge.server_challenge + temp)
        base_key = crypto.hmac_md5(key, proof)
        exported = base_key if self.without_key else os.urandom(16)
        encrypted = b"" if self.without_key else crypto.rc4(base_key, exported)
        if self.spoil_proof:
            proof = bytes(16)
        response = b"" if self.anonymous else bytes(24) if self.v1 else proof + temp
        flags = challenge.flags & ~self.clear_flags
        if self.anonymous:
            flags |= 0x800
        message = self._authenticate(flags, response, domain, user, encrypted)
        if self.mic != "none":
            value = crypto.hmac_md5(exported, self._negotiate + token + message)
            message = message[:72] + (value if self.mic == "good" else bytes(16)) + message[88:]
        self.session = NTLMSession(exported, role="initiator")
        return message

    @staticmethod
    def _authenticate(flags: int, response: bytes, domain: str, user: str, encrypted: bytes) -> bytes:
        fields = (
            bytes(24),
            response,
            domain.encode("utf-16-le"),
            user.encode("utf-16-le"),
            "CONFORMANCE".encode("utf-16-le"),
            encrypted,
        )
        header, payload = SIGNATURE + struct.pack("<I", 3), b""
        for field in fields:
            header += _FIELDS.pack(len(field), len(field), 88 + len(payload))
            payload += field
        return header + struct.pack("<I", flags) + _VERSION + bytes(16) + payload

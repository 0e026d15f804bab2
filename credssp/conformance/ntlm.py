"""An NTLMv2 client of our own: every part of its messages can be made wrong ([MS-NLMP] 2.2.1, 3.1.5.1.2, 3.3.2).

The initiator of `credssp.nego` cannot do this, and must not. The arithmetic (NTOWFv2, RC4, session keys) is the
project's own, which is held against the specification's values elsewhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from credssp.account import upper_case
from credssp.conformance.chance import octets
from credssp.exchange.account import LogonAccount
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm import flags as f
from credssp.ntlm.av_pairs import (
    AV_CHANNEL_BINDINGS,
    AV_FLAG_MIC_PRESENT,
    AV_FLAGS,
    AV_TARGET_NAME,
    AV_TIMESTAMP,
    encode_av_pair,
)
from credssp.ntlm.initiator import CLIENT_FLAGS
from credssp.ntlm.messages import MIC_OFFSET, MIC_SIZE, Challenge, Version, encode_authenticate, encode_negotiate
from credssp.ntlm.proof import make_mic, make_response
from credssp.ntlm.session import NTLMSession
from credssp.spnego import OID

__all__ = ["NO_BINDINGS", "NTLM_FLAGS", "NTLMClient", "ProbeSession", "unversioned", "without_version"]

NTLM_FLAGS: Final = CLIENT_FLAGS
"""NegotiateFlags of the suite's client: those of our own initiator, and pyspnego's."""

CLIENT_VERSION: Final = Version(10, 0, 19041).encode()
WORKSTATION: Final = "CONFORMANCE"
NO_BINDINGS: Final = bytes(16)
"""MsvAvChannelBindings of a client that has none."""

_VERSION_AT: Final = {2: 48, 3: 64}
"""Where Version begins in CHALLENGE and AUTHENTICATE."""
_OFFSETS_AT: Final = {2: (16, 44), 3: (16, 24, 32, 40, 48, 56)}
"""Where the offsets of their payload are."""


_FLAGS_AT: Final = 20
"""Where NegotiateFlags of CHALLENGE are."""


def unversioned(challenge: bytes) -> bytes:
    """Take NEGOTIATE_VERSION out of CHALLENGE, and make its Version zero."""
    flags = int.from_bytes(challenge[_FLAGS_AT : _FLAGS_AT + 4], "little") & ~f.NTLMSSP_NEGOTIATE_VERSION
    head = challenge[:_FLAGS_AT] + flags.to_bytes(4, "little") + challenge[_FLAGS_AT + 4 : _VERSION_AT[2]]
    return head + bytes(8) + challenge[_VERSION_AT[2] + 8 :]


def without_version(message: bytes) -> bytes:
    """Take the 8 bytes of Version out of CHALLENGE or AUTHENTICATE; what follows moves up, and so does the MIC."""
    kind = message[8]
    at = _VERSION_AT[kind]
    out = bytearray(message[:at] + message[at + 8 :])
    for place in _OFFSETS_AT[kind]:
        (offset,) = struct.unpack_from("<I", out, place)
        struct.pack_into("<I", out, place, offset - 8 if offset > at else offset)
    return bytes(out)


class ProbeSession:
    """The client's side of a session, in which a message of the server that does not verify ends nothing.

    `NTLMSession` is over after such a message, as it must be. The suite goes on and looks at what comes next. Each
    direction has keys and numbers of its own, so that two sessions, one for each direction, are the same as one.
    """

    def __init__(self, exported_session_key: bytes) -> None:
        self.exported_session_key = exported_session_key
        self._sending = NTLMSession(exported_session_key, role="initiator")
        self._receiving = NTLMSession(exported_session_key, role="initiator")

    def wrap(self, data: bytes) -> bytes:
        """Encrypt."""
        return self._sending.wrap(data)

    def unwrap(self, token: bytes) -> bytes:
        """Decrypt. Raises CredSSPError, also for all messages after one that did not verify."""
        return self._receiving.unwrap(token)

    def get_mic(self, data: bytes) -> bytes:
        """Sign."""
        return self._sending.get_mic(data)

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign SPNEGO's MechTypeList."""
        return self._sending.make_mech_list_mic(mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the server's signature over it. Raises as `unwrap` does."""
        self._receiving.verify_mech_list_mic(mech_types, mic)


@dataclass(slots=True, kw_only=True)
class NTLMClient:
    """One NTLM login; a `credssp.conformance.inner.Inner`.

    Attributes:
        account: who logs on.
        target_name: MsvAvTargetName, empty for none.
        flags: NegotiateFlags of NEGOTIATE.
        size: bytes of NEGOTIATE: 32 (Windows NT, no Version), 40, or more for padding.
        mic: ``good``, ``bad`` (a wrong one), ``none``.
        tail: what follows MsvAvEOL in the response.
        clear_flags: flags that AUTHENTICATE leaves out although they were negotiated.
        anonymous: send empty names and responses.
        v1: send an NTLMv1-sized response.
        spoil_proof: send a wrong NTProofStr.
        spoil_timestamp: return another MsvAvTimestamp than the server's.
        timestamp: TimeStamp of the response, None for the server's.
        without_domain: compute the response with an empty domain, and send the domain anyway.
        without_key: omit EncryptedRandomSessionKey, and use KeyExchangeKey in its place.
        version: ``set``; ``zero``: not negotiated, and 8 zero bytes in its place; ``absent``: not even those.
        workstation: Workstation.
        bindings: MsvAvChannelBindings, None for none at all.
        upper: makes the capitals of the user name.
        session: the keys, after `answer`.
    """

    mech_types: ClassVar[tuple[str, ...]] = (OID.NTLM,)

    account: LogonAccount
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
    version: Literal["set", "zero", "absent"] = "set"
    workstation: str = WORKSTATION
    bindings: bytes | None = NO_BINDINGS
    upper: Callable[[str], str] = upper_case
    session: ProbeSession = field(init=False)
    _negotiate: bytes = field(default=b"", init=False)

    def first(self) -> bytes:
        """Return NEGOTIATE."""
        flags, size = self.flags, self.size
        if self.version != "set":
            flags &= ~f.NTLMSSP_NEGOTIATE_VERSION
        if self.version == "absent":
            size = 32
        self._negotiate = encode_negotiate(flags, self._version)[:size].ljust(size, b"\0")
        return self._negotiate

    @property
    def _version(self) -> bytes:
        return CLIENT_VERSION if self.version == "set" else bytes(8)

    def answer(self, token: bytes) -> bytes:
        """Return AUTHENTICATE for a CHALLENGE, and set `session`. Raises DecodeError for anything else."""
        challenge = Challenge.decode(token)
        pairs = list(challenge.target_info.pairs) if challenge.target_info is not None else []
        timestamp = dict(pairs).get(AV_TIMESTAMP, bytes(8)) if self.timestamp is None else self.timestamp
        if self.spoil_timestamp:
            pairs = [(i, bytes(8) if i == AV_TIMESTAMP else value) for i, value in pairs]
        if self.mic != "none":
            pairs.append((AV_FLAGS, struct.pack("<I", AV_FLAG_MIC_PRESENT)))
        if self.target_name:
            pairs.append((AV_TARGET_NAME, self.target_name.encode("utf-16-le")))
        if self.bindings is not None:
            pairs.append((AV_CHANNEL_BINDINGS, self.bindings))
        av = b"".join(encode_av_pair(av_id, value) for av_id, value in pairs) + bytes(4)
        temp = b"\1\1" + bytes(6) + timestamp + octets(8) + bytes(4) + av + self.tail
        user = "" if self.anonymous else self.account.username
        domain = "" if self.anonymous else self.account.domain
        hashed = nt_hash(self.account.password.reveal())
        key = crypto.ntowfv2(hashed, self.upper(user), "" if self.without_domain else domain)
        response, base_key = make_response(key, challenge.server_challenge, temp)
        exported = base_key if self.without_key else octets(16)
        if self.spoil_proof:
            response = bytes(16) + temp
        flags = challenge.flags & ~self.clear_flags | (f.NTLMSSP_NEGOTIATE_ANONYMOUS if self.anonymous else 0)
        if self.version != "set":
            flags &= ~f.NTLMSSP_NEGOTIATE_VERSION
        message = encode_authenticate(
            flags=flags,
            nt_response=b"" if self.anonymous else bytes(24) if self.v1 else response,
            domain=domain,
            username=user,
            workstation=self.workstation,
            session_key=b"" if self.without_key else crypto.rc4(base_key, exported),
            version=self._version,
        )
        mic_at = MIC_OFFSET
        if self.version == "absent":
            message, mic_at = without_version(message), MIC_OFFSET - len(CLIENT_VERSION)
        if self.mic == "good":
            mic = make_mic(exported, self._negotiate, token, message, mic_at)
            message = message[:mic_at] + mic + message[mic_at + MIC_SIZE :]
        self.session = ProbeSession(exported)
        return message

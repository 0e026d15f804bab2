"""An NTLMv2 client of our own: every part of its messages can be made wrong ([MS-NLMP] 2.2.1, 3.1.5.1.2, 3.3.2).

The initiator of `credssp.nego` cannot do this, and must not. The arithmetic (NTOWFv2, RC4, session keys) is the
project's own, which is held against the specification's values elsewhere.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from credssp.account import upper_case
from credssp.conformance.chance import octets
from credssp.exchange.account import LogonAccount
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm import flags as f
from credssp.ntlm.av_pairs import AV_FLAG_MIC_PRESENT, AV_FLAGS, AV_TARGET_NAME, AV_TIMESTAMP, encode_av_pair
from credssp.ntlm.initiator import CLIENT_FLAGS
from credssp.ntlm.messages import Challenge, Version, encode_authenticate, encode_negotiate
from credssp.ntlm.proof import make_mic, make_response
from credssp.ntlm.session import NTLMSession
from credssp.spnego import OID

__all__ = ["NTLM_FLAGS", "NTLMClient", "ProbeSession"]

NTLM_FLAGS: Final = CLIENT_FLAGS
"""NegotiateFlags of the suite's client: those of our own initiator, and pyspnego's."""

CLIENT_VERSION: Final = Version(10, 0, 19041).encode()
WORKSTATION: Final = "CONFORMANCE"


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
    session: ProbeSession = field(init=False)
    _negotiate: bytes = field(default=b"", init=False)

    def first(self) -> bytes:
        """Return NEGOTIATE."""
        self._negotiate = encode_negotiate(self.flags, CLIENT_VERSION)[: self.size].ljust(self.size, b"\0")
        return self._negotiate

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
        pairs.append((10, bytes(16)))
        av = b"".join(encode_av_pair(av_id, value) for av_id, value in pairs) + bytes(4)
        temp = b"\1\1" + bytes(6) + timestamp + octets(8) + bytes(4) + av + self.tail
        user = "" if self.anonymous else self.account.username
        domain = "" if self.anonymous else self.account.domain
        hashed = nt_hash(self.account.password.reveal())
        key = crypto.ntowfv2(hashed, upper_case(user), "" if self.without_domain else domain)
        response, base_key = make_response(key, challenge.server_challenge, temp)
        exported = base_key if self.without_key else octets(16)
        if self.spoil_proof:
            response = bytes(16) + temp
        message = encode_authenticate(
            flags=challenge.flags & ~self.clear_flags | (f.NTLMSSP_NEGOTIATE_ANONYMOUS if self.anonymous else 0),
            nt_response=b"" if self.anonymous else bytes(24) if self.v1 else response,
            domain=domain,
            username=user,
            workstation=WORKSTATION,
            session_key=b"" if self.without_key else crypto.rc4(base_key, exported),
            version=CLIENT_VERSION,
        )
        if self.mic == "good":
            message = message[:72] + make_mic(exported, self._negotiate, token, message) + message[88:]
        self.session = ProbeSession(exported)
        return message

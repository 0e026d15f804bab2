"""NTLM's acceptor put together anew, so that a scripted server can leave out any of its checks."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from credssp.conformance import Account
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.scripted_server import NAMES, ScriptedServer
from credssp.errors import AuthenticationError, RemoteProtocolError
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.challenge import build_challenge
from credssp.ntlm.flags import NTLMSSP_NEGOTIATE_VERSION
from credssp.ntlm.messages import Authenticate, Negotiate, Version
from credssp.ntlm.proof import check_response, logon_failure, verify_mic
from credssp.ntlm.rules import check_flags, has_bindings
from credssp.ntlm.session import NTLMSession
from credssp.security_context import SecurityContext
from credssp.spnego import OID, Candidate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faults:
    """What is wrong with it; the defaults are nothing.

    Attributes:
        challenge: edits CHALLENGE.
        flags: whether flags of NEGOTIATE are looked at.
        mic: whether the MIC is.
        mech_list_mic: whether the mechListMIC is.
        domain: whether a response that was made with an empty domain is taken.
        key: whether a session key has to be there.
        unknown: what an unknown user is told.
        mic_behind_flags: whether the MIC is looked for at 64 where there is no NEGOTIATE_VERSION.
        account: whom it knows.
        upper: makes the capitals of the user name, where that is one way only.
        workstations: whether a workstation may be anything.
        bindings: whether channel bindings may be sent.
    """

    challenge: Callable[[bytes], bytes] = bytes
    flags: bool = True
    mic: bool = True
    mech_list_mic: bool = True
    domain: bool = True
    key: bool = True
    unknown: AuthenticationError | None = None
    mic_behind_flags: bool = False
    account: Account = TEST_ACCOUNT
    upper: Callable[[str], str] | None = None
    workstations: bool = True
    bindings: bool = True


class NTLMService(SecurityContext):
    """Serves one login of the test account; a `credssp.mechanism.SpnegoMechanism`."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.name = "ntlm"
        self.wire_form = "ntlm"
        self.session: NTLMSession | None = None
        self.mech_list_mic_required = False
        self._faults = faults
        self._messages: list[bytes] = []
        self._server_challenge = os.urandom(8)

    @property
    def session_key(self) -> bytes:
        return self._made.exported_session_key

    @property
    def _made(self) -> NTLMSession:
        assert self.session is not None
        return self.session

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        return self._made.make_mech_list_mic(mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        if not self._faults.mech_list_mic:
            mic = NTLMSession(self.session_key, role="initiator").make_mech_list_mic(mech_types)
        self._made.verify_mech_list_mic(mech_types, mic)

    def _step(self, token: bytes | None) -> bytes | None:
        self._messages.append(token or b"")
        if len(self._messages) > 1:
            self._authenticate(token or b"")
            return None
        flags = Negotiate.decode(token or b"").flags
        if self._faults.flags:
            check_flags(flags, "NEGOTIATE")
        challenge, _ = build_challenge(
            flags,
            NAMES,
            server_challenge=self._server_challenge,
            filetime=time.time_ns() // 100 + 116_444_736_000_000_000,
            version=Version(10, 0, 20348).encode(),
        )
        self._messages.append(self._faults.challenge(challenge))
        return self._messages[-1]

    def _authenticate(self, token: bytes) -> None:
        faults, message = self._faults, Authenticate.decode(token)
        hashed = nt_hash(faults.account.password.reveal())
        proved = check_response(message, self._server_challenge, hashed)
        if faults.upper is not None:
            key = crypto.ntowfv2(hashed, faults.upper(message.username), message.domain)
            if crypto.hmac_md5(key, self._server_challenge + message.nt_response[16:]) != message.nt_response[:16]:
                proved = None
        if not faults.workstations and not message.workstation.isascii():
            raise logon_failure()
        if not faults.bindings and message.ntlmv2 is not None and has_bindings(message.ntlmv2):
            raise logon_failure()
        if message.username.upper() != faults.account.username.upper():
            raise faults.unknown or logon_failure()
        if proved is None or (not faults.domain and proved.domain != message.domain):
            raise logon_failure()
        if not message.encrypted_session_key and faults.key:
            raise RemoteProtocolError("no session key")
        key = proved.session_base_key
        if message.encrypted_session_key:
            key = crypto.rc4(key, message.encrypted_session_key)
        if message.mic is not None:
            self.mech_list_mic_required = True
            if faults.mic:
                negotiate, challenge = self._messages[:2]
                behind = faults.mic_behind_flags and not message.flags & NTLMSSP_NEGOTIATE_VERSION
                verify_mic(key, negotiate, challenge, token, 64 if behind else message.mic_offset)
        self.session = NTLMSession(key, role="acceptor")
        self.complete = self.can_wrap = True

    def _wrap(self, data: bytes) -> bytes:
        return self._made.wrap(data)

    def _unwrap(self, data: bytes) -> bytes:
        return self._made.unwrap(data)


def ntlm(**faults: Any) -> Callable[[ScriptedServer], Sequence[Candidate]]:
    """Return what a scripted server accepts logins with: NTLM with these `Faults`."""
    return lambda _: [Candidate("ntlm", OID.NTLM, lambda: NTLMService(Faults(**faults)))]

"""The client side of an NTLMv2 login ([MS-NLMP] 3.1).

CredSSP sends a password through the session, so a server (or somebody between) must not talk us out of sealing:
`_check_challenge` refuses a CHALLENGE that offers less. There is no LM and no NTLMv1.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from credssp.account import upper_case
from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.config import asked, drawn
from credssp.credentials import NTHashCredentials, NTLMCredentials
from credssp.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError
from credssp.message_parts import MessagePart, OpenedMessage
from credssp.next_step import NextStep
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm import flags as f
from credssp.ntlm.av_pairs import (
    AV_CHANNEL_BINDINGS,
    AV_FLAG_MIC_PRESENT,
    AV_FLAG_UNTRUSTED_SPN,
    AV_FLAGS,
    AV_NB_COMPUTER_NAME,
    AV_NB_DOMAIN_NAME,
    AV_TARGET_NAME,
    AvPairs,
    encode_av_pairs,
    filetime,
)
from credssp.ntlm.context import NTLMContext
from credssp.ntlm.messages import (
    MIC_OFFSET,
    MIC_SIZE,
    VERSION,
    Challenge,
    Version,
    encode_authenticate,
    encode_negotiate,
)
from credssp.ntlm.proof import make_mic, make_response
from credssp.ntlm.session import SESSION_FLAGS, NTLMSession
from credssp.ntlm.unpacked import NTLM_SESSION
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus
from credssp.target import Target

__all__ = ["CLIENT_FLAGS", "NTLMInitiator"]

CLIENT_FLAGS: Final = 0xE2088237
"""What current Windows asks for, without LM_KEY: 56, KEY_EXCH, 128, VERSION, ESS, ALWAYS_SIGN, NTLM, SEAL, SIGN,
REQUEST_TARGET, OEM, UNICODE ([MS-NLMP] 2.2.2.5)."""

# Of what CHALLENGE says; UNICODE is chosen, so OEM is not.
_ANSWERED: Final = (CLIENT_FLAGS | f.NTLMSSP_NEGOTIATE_TARGET_INFO) & ~f.NTLMSSP_NEGOTIATE_OEM
_REQUIRED: Final = SESSION_FLAGS | f.NTLMSSP_NEGOTIATE_UNICODE | f.NTLMSSP_NEGOTIATE_TARGET_INFO
_NO_BINDINGS: Final = bytes(16)
_LONGEST_NAME: Final = 1024
"""UTF-16 units of a name; a message holds four, and acceptors refuse what is far larger than real ones."""


class NTLMInitiator(NTLMContext):
    """Logs on with NTLMv2; a `credssp.mechanism.SpnegoMechanism`.

    It is complete, and can wrap, as soon as AUTHENTICATE is made: NTLM has no answer to it. That the server knows the
    account's secret (or somebody who does) shows in the first message of it that verifies, and then
    `server_authentication` says so.

    Args:
        credentials: who logs on. Not kept after AUTHENTICATE is made.
        target: the server, for MsvAvTargetName.
        channel_bindings: application data of channel bindings, or None; CredSSP has none.
        workstation: the name of this machine to tell the server; empty tells none.
        version: what to call ourselves.
        clock: nanoseconds since 1970, as `time.time_ns`; asked where CHALLENGE has no timestamp.
        random: n random bytes, as `os.urandom`: 8 for ChallengeFromClient, then 16 for ExportedSessionKey.

    Raises:
        LocalProtocolError: a name is longer than 1024 characters.
        LocalRestrictionError: there is no MD5.
    """

    def __init__(
        self,
        credentials: NTLMCredentials,
        target: Target,
        *,
        channel_bindings: bytes | None = None,
        workstation: str = "",
        version: Version = VERSION,
        clock: Callable[[], int] = time.time_ns,
        random: Callable[[int], bytes] | None = None,
    ) -> None:
        super().__init__()
        crypto.check_md5()
        self.name = "ntlm"
        self.wire_form = "ntlm"
        if not isinstance(workstation, str):
            raise LocalProtocolError("workstation is a name, empty for none")
        self._credentials: NTLMCredentials | None = credentials
        self._target_name = str(target)
        for what, name in (
            ("user name", credentials.username),
            ("domain", credentials.domain),
            ("target name", self._target_name),
            ("workstation", workstation),
        ):
            if len(name) > _LONGEST_NAME:
                raise LocalProtocolError(f"the {what} has more than {_LONGEST_NAME} characters")
        self._bindings = ChannelBindings.of(channel_bindings)
        self._workstation = workstation
        self._version = version.encode()
        self._clock = clock
        self._random = os.urandom if random is None else random
        self._own_flags = 0
        self._negotiate = b""
        self._has_mic = False

    @property
    def mech_list_mic_required(self) -> bool:
        """Whether AUTHENTICATE carries a MIC; SPNEGO must then exchange mechListMICs ([MS-SPNG] 3.1.5.1, <8>)."""
        return self._has_mic

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the server's signature over it; see `NTLMSession.verify_mech_list_mic`."""
        super().verify_mech_list_mic(mech_types, mic)
        self.server_authentication = ServerAuthentication.NTLM

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:  # noqa: ARG002
        """Send these channel bindings in AUTHENTICATE."""
        if self._credentials is None:
            raise LocalProtocolError("AUTHENTICATE is made: it is too late for channel bindings")
        self._bindings = bindings

    def distrust_target(self) -> None:
        """Say in MsvAvFlags that MsvAvTargetName comes from a source that may lie ([MS-NLMP] 2.2.2.1)."""
        self._own_flags |= AV_FLAG_UNTRUSTED_SPN

    def _step(self, token: bytes | None) -> bytes | None:
        credentials = self._credentials
        if not self._negotiate:
            if token is not None:
                raise LocalProtocolError("an initiator's first step takes no token")
            if credentials is None or not credentials.username:
                raise LocalProtocolError(
                    "NTLM needs a user name; anonymous logins cannot protect credentials",
                    status=SecurityStatus.SEC_E_NO_CREDENTIALS,
                )
            self._negotiate = encode_negotiate(CLIENT_FLAGS, self._version)
            return self._negotiate
        if token is None or credentials is None:
            raise LocalProtocolError("an NTLM initiator needs the server's CHALLENGE")
        message, self._session = self._authenticate(token, credentials)
        self._credentials = None
        self.complete = self.can_wrap = True
        return message

    def _authenticate(self, token: bytes, credentials: NTLMCredentials) -> tuple[bytes, NTLMSession]:
        """Return AUTHENTICATE for this CHALLENGE, and the session that it begins ([MS-NLMP] 3.1.5.1.2)."""
        challenge, info = _check_challenge(token)
        timestamp = info.timestamp
        self._has_mic = timestamp is not None
        if timestamp is None:
            timestamp = filetime(asked(self._clock))
        temp = b"".join(
            (
                b"\1\1\0\0\0\0\0\0",
                timestamp.to_bytes(8, "little"),
                drawn(self._random, 8),
                bytes(4),
                self._target_info(info),
                bytes(4),
            )
        )
        key = crypto.ntowfv2(_hash_of(credentials), upper_case(credentials.username), credentials.domain)
        response, base_key = make_response(key, challenge.server_challenge, temp)
        exported_session_key = drawn(self._random, 16)
        flags = challenge.flags & _ANSWERED
        message = encode_authenticate(
            flags=flags,
            nt_response=response,
            domain=credentials.domain,
            username=credentials.username,
            workstation=self._workstation,
            session_key=crypto.rc4(base_key, exported_session_key),
            version=self._version if flags & f.NTLMSSP_NEGOTIATE_VERSION else bytes(8),
            with_mic=self._has_mic,
        )
        if self._has_mic:
            mic = make_mic(exported_session_key, self._negotiate, token, message)
            message = message[:MIC_OFFSET] + mic + message[MIC_OFFSET + MIC_SIZE :]
        return message, NTLMSession(exported_session_key, flags, role="initiator")

    def _target_info(self, info: AvPairs) -> bytes:
        """Return the server's list with our additions, which take the place of what the server says there."""
        flags = info.flags | self._own_flags | (AV_FLAG_MIC_PRESENT if self._has_mic else 0)
        own = {
            AV_FLAGS: flags.to_bytes(4, "little"),
            AV_CHANNEL_BINDINGS: _NO_BINDINGS
            if self._bindings is None
            else crypto.md5(self._bindings.encoded).digest(),
            AV_TARGET_NAME: self._target_name.encode("utf-16-le", "surrogatepass"),
        }
        if not flags and info.get(AV_FLAGS) is None:
            del own[AV_FLAGS]
        return encode_av_pairs([*[pair for pair in info.pairs if pair[0] not in own], *own.items()])

    def _verify(self, data: bytes, signature: bytes) -> None:
        super()._verify(data, signature)
        self.server_authentication = ServerAuthentication.NTLM

    def _unwrap(self, data: bytes) -> bytes:
        plain = super()._unwrap(data)
        self.server_authentication = ServerAuthentication.NTLM
        return plain

    def _unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes) -> OpenedMessage:
        opened = super()._unwrap_parts(signature, parts, padding)
        self.server_authentication = ServerAuthentication.NTLM
        return opened

    def _pack(self) -> bytes:
        return NTLM_SESSION + self._session.pack()

    def _fail(self) -> None:
        super()._fail()
        self._credentials = None

    def __repr__(self) -> str:
        return f"NTLMInitiator(complete={self.complete}, failed={self._failed})"


def _hash_of(credentials: NTLMCredentials) -> bytes:
    if isinstance(credentials, NTHashCredentials):
        return credentials.nt_hash.reveal()
    return nt_hash(credentials.password.reveal())


def _check_challenge(token: bytes) -> tuple[Challenge, AvPairs]:
    """Read CHALLENGE and refuse one that offers less than CredSSP needs.

    Raises:
        DecodeError: it is not a CHALLENGE.
        RemoteProtocolError: SEC_E_UNSUPPORTED_FUNCTION, it offers too little.
        AuthenticationError: its target information lacks both mandatory names ([MS-NLMP] 3.1.5.1.2).
    """
    challenge = Challenge.decode(token)
    info = challenge.target_info
    missing = _REQUIRED & ~challenge.flags
    if missing or info is None:
        names = ", ".join(f.flag_names(missing)) or "TARGET_INFO"
        raise RemoteProtocolError(
            f"CHALLENGE does not offer {names}, which CredSSP needs: an old server, or an attacker weakens the login",
            status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
            section="[MS-NLMP] 2.2.2.5",
            advice=NextStep.NTLM_SERVER,
        )
    if not info.terminated:
        raise RemoteProtocolError("CHALLENGE: TargetInfo does not end with MsvAvEOL", section="[MS-NLMP] 2.2.2.1")
    ids = {av_id for av_id, _ in info.pairs}
    if len(ids) != len(info.pairs):
        raise RemoteProtocolError("CHALLENGE: an AvId occurs twice in TargetInfo", section="[MS-NLMP] 2.2.2.1")
    if not ids & {AV_NB_COMPUTER_NAME, AV_NB_DOMAIN_NAME}:
        raise AuthenticationError(
            "CHALLENGE names neither the server nor its domain, so the login cannot be protected by a MIC",
            section="[MS-NLMP] 3.1.5.1.2",
            advice=NextStep.NTLM_SERVER,
        )
    return challenge, info

"""NTLMv2 for clients: pyspnego writes the messages, our own session protects what follows ([MS-NLMP] 3.1).

pyspnego answers whatever CHALLENGE it is given. CredSSP sends a password through the session, so a server (or whoever
stands in between) must not talk us out of sealing: the CHALLENGE is read and checked here before pyspnego sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from credssp.credentials import NTHashCredentials, NTLMCredentials
from credssp.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError
from credssp.kerberos import pyspnego
from credssp.nt_hash import nt_hash
from credssp.ntlm import flags as f
from credssp.ntlm.av_pairs import AV_NB_COMPUTER_NAME, AV_NB_DOMAIN_NAME
from credssp.ntlm.messages import Challenge
from credssp.ntlm.session import SESSION_FLAGS, NTLMSession
from credssp.security_context import SecurityContext
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus
from credssp.target import Target

if TYPE_CHECKING:
    import spnego

__all__ = ["NTLMInitiator"]

_REQUIRED: Final = SESSION_FLAGS | f.NTLMSSP_NEGOTIATE_UNICODE | f.NTLMSSP_NEGOTIATE_TARGET_INFO

# An NTLMv1 response has 24 octets; NTLMv2 is what is longer ([MS-NLMP] 2.2.1.3).
_NTLMV1_SIZE: Final = 24


class NTLMInitiator(SecurityContext):
    """Logs on with NTLMv2; a `credssp.mechanism.SpnegoMechanism`.

    It is complete, and can wrap, as soon as AUTHENTICATE is made: NTLM has no answer to it. That the server knows the
    account's secret (or somebody who does) shows in the first message of it that verifies, and then
    `server_authentication` says so.

    Args:
        credentials: who logs on.
        target: the server, for MsvAvTargetName.
        channel_bindings: application data of channel bindings, or None; CredSSP has none.
    """

    def __init__(self, credentials: NTLMCredentials, target: Target, *, channel_bindings: bytes | None = None) -> None:
        super().__init__()
        self.name = "ntlm"
        self.wire_form = "ntlm"
        self._credentials = credentials
        self._target = target
        self._channel_bindings = channel_bindings
        self._context: spnego.ContextProxy | None = None
        self._session: NTLMSession | None = None
        self._has_mic = False

    @property
    def session_key(self) -> bytes:
        """ExportedSessionKey, 16 octets."""
        self._check_can_wrap()
        return self._established().exported_session_key

    @property
    def mech_list_mic_required(self) -> bool:
        """Whether AUTHENTICATE carries a MIC; SPNEGO must then exchange mechListMICs ([MS-SPNG] 3.1.5.1, <8>)."""
        return self._has_mic

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign SPNEGO's MechTypeList; see `NTLMSession.make_mech_list_mic`."""
        return self._run(self._established().make_mech_list_mic, mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the server's signature over it; see `NTLMSession.verify_mech_list_mic`."""
        self._run(self._established().verify_mech_list_mic, mech_types, mic)
        self.server_authentication = ServerAuthentication.NTLM

    def _established(self) -> NTLMSession:
        if self._session is None:
            raise LocalProtocolError("no NTLM session before AUTHENTICATE is made")
        return self._session

    def _step(self, token: bytes | None) -> bytes | None:
        if self._context is None:
            if token is not None:
                raise LocalProtocolError("an initiator's first step takes no token")
            return self._negotiate()
        if token is None:
            raise LocalProtocolError("an NTLM initiator needs the server's CHALLENGE")
        return self._authenticate(token, self._context)

    def _negotiate(self) -> bytes:
        credentials = self._credentials
        if isinstance(credentials, NTHashCredentials):
            secret = credentials.nt_hash.reveal()
        else:
            secret = nt_hash(credentials.password.reveal())
        if not credentials.username:
            raise LocalProtocolError(
                "NTLM needs a user name; anonymous logins cannot protect credentials",
                status=SecurityStatus.SEC_E_NO_CREDENTIALS,
            )
        self._context, token = pyspnego.call(
            "starting NTLM",
            pyspnego.ntlm_client,
            _qualified(credentials.domain, credentials.username),
            secret,
            service=self._target.service,
            host=self._target.name,
            application_data=self._channel_bindings,
        )
        return token

    def _authenticate(self, challenge: bytes, context: spnego.ContextProxy) -> bytes:
        self._has_mic = _check_challenge(challenge)
        token = pyspnego.call("answering NTLM CHALLENGE", context.step, challenge) or b""
        if int.from_bytes(token[20:22], "little") <= _NTLMV1_SIZE:
            raise LocalProtocolError(
                "pyspnego answered with NTLMv1, which CredSSP must not use: unset LM_COMPAT_LEVEL in the environment",
                status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
            )
        flags = int.from_bytes(token[60:64], "little")
        self._session = NTLMSession(context.session_key, flags, role="initiator")
        self._context = None  # it holds the account's hash, and nobody needs that any more
        self.complete = self.can_wrap = True
        return token

    def _sign(self, data: bytes) -> bytes:
        return self._established().get_mic(data)

    def _verify(self, data: bytes, signature: bytes) -> None:
        self._established().verify_mic(data, signature)
        self.server_authentication = ServerAuthentication.NTLM

    def _wrap(self, data: bytes) -> bytes:
        return self._established().wrap(data)

    def _unwrap(self, data: bytes) -> bytes:
        plain = self._established().unwrap(data)
        self.server_authentication = ServerAuthentication.NTLM
        return plain

    def __repr__(self) -> str:
        return f"NTLMInitiator(complete={self.complete}, failed={self._failed})"


def _qualified(domain: str, username: str) -> str:
    """Return ``DOMAIN\\user``, which pyspnego splits at the first backslash."""
    return f"{domain}\\{username}" if domain or "\\" in username else username


def _check_challenge(token: bytes) -> bool:
    """Refuse a CHALLENGE that offers less than CredSSP needs; return whether AUTHENTICATE will carry a MIC.

    Raises:
        DecodeError: it is no CHALLENGE.
        RemoteProtocolError: SEC_E_UNSUPPORTED_FUNCTION, it offers too little.
        AuthenticationError: its target information lacks both mandatory names ([MS-NLMP] 3.1.5.1.2).
    """
    challenge = Challenge.decode(token)
    info = challenge.target_info
    missing = _REQUIRED & ~challenge.flags
    if missing or info is None:
        names = ", ".join(f.flag_names(missing)) or "TARGET_INFO"
        raise RemoteProtocolError(
            f"CHALLENGE does not offer {names}, which CredSSP needs: an old server, or somebody weakens the login",
            status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
            section="[MS-NLMP] 2.2.2.5",
        )
    if not info.terminated:
        raise RemoteProtocolError("CHALLENGE: TargetInfo does not end with MsvAvEOL", section="[MS-NLMP] 2.2.2.1")
    ids = {av_id for av_id, _ in info.pairs}
    if len(ids) != len(info.pairs):
        raise RemoteProtocolError("CHALLENGE: an AvId occurs twice in TargetInfo", section="[MS-NLMP] 2.2.2.1")
    if not ids & {AV_NB_COMPUTER_NAME, AV_NB_DOMAIN_NAME}:
        raise AuthenticationError(
            "CHALLENGE names neither the server nor its domain, so integrity cannot be had",
            section="[MS-NLMP] 3.1.5.1.2",
        )
    # A timestamp obliges the client to send a MIC, and pyspnego does.
    return info.timestamp is not None

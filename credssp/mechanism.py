"""What the engine sees of the inner authentication: one small protocol, whichever mechanism runs.

[MS-CSSP] 3.1.5 needs three things of the security context inside negoTokens: tokens to exchange until it is complete,
a way to encrypt pubKeyAuth and authInfo, and (on the server) who logged on. Two properties say how far it is:
with SPNEGO and NTLM a context can wrap (`Mechanism.can_wrap`) before the last mechListMIC arrived
(`Mechanism.complete`), and MS-CSSP 3.1.5 step 3 wants pubKeyAuth sent as soon as it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from credssp.authority import LogonAnswer, LogonQuestion
from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.identity import Identity
from credssp.mechanism_name import MechanismName, WireForm
from credssp.message_parts import MessagePart, OpenedMessage, SealedMessage
from credssp.server_authentication import ServerAuthentication

__all__ = ["MAX_LEGS", "Mechanism", "SpnegoMechanism"]

MAX_LEGS: Final = 10
"""Tokens that are taken from a peer. NTLM needs two, three where it is not the first choice in SPNEGO; Kerberos one or
two. CredSSP adds a message for the credentials."""


class Mechanism(Protocol):
    """A security context in the making, initiator or acceptor ([MS-CSSP] 3.1.5; GSS-API, RFC 2743).

    Whatever fails raises `credssp.errors.AuthenticationError`, `RemoteProtocolError` or `DecodeError`, and the
    context stays failed: every later call raises.
    """

    @property
    def name(self) -> MechanismName:
        """The mechanism at work, once known."""

    @property
    def wire_form(self) -> WireForm:
        """How the tokens look on the wire, once known."""

    @property
    def complete(self) -> bool:
        """Whether no further token is expected."""

    @property
    def can_wrap(self) -> bool:
        """Whether `wrap` and `unwrap` work; may hold before `complete` does."""

    @property
    def server_authentication(self) -> ServerAuthentication:
        """What the mechanism proved about the server; NONE until it proved something."""

    @property
    def identity(self) -> Identity | None:
        """Who logged on (acceptor), or None: on the initiator and before the logon succeeded."""

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:
        """Use channel bindings, before the token that proves them; see `credssp.security_context`."""

    def distrust_target(self) -> None:
        """Tell the server that its name comes from a source that may lie (initiator); before the first step."""

    @property
    def session_key(self) -> bytes:
        """The session key. Raises LocalProtocolError before there is one."""

    def step(self, token: bytes | None) -> bytes | None:
        """Take the peer's token (None for an initiator's first call) and return the one to send, if any."""

    @property
    def question(self) -> LogonQuestion | None:
        """What a logon authority has to say before anything else (acceptor); `resume` is due then, and no token."""

    def resume(self, answer: LogonAnswer) -> bytes | None:
        """Continue with the answer to `question`; returns the token to send, if any, as `step` would have."""

    def finish(self) -> None:
        """Say that the peer sends no further token although one was possible (SPNEGO's last mechListMIC).

        Does nothing if the context is `complete`. Raises RemoteProtocolError if the exchange may not end here, and
        LocalProtocolError if it is not that far.
        """

    def wrap(self, data: bytes) -> bytes:
        """Encrypt and sign; returns signature, then ciphertext."""

    def unwrap(self, data: bytes) -> bytes:
        """Check and decrypt what the peer's `wrap` made."""


class SpnegoMechanism(Mechanism, Protocol):
    """A mechanism as SPNEGO needs it: it can also sign the list of mechanisms (RFC 4178 section 5)."""

    @property
    def mech_list_mic_required(self) -> bool:
        """Whether the mechListMIC exchange must take place although nothing else asks for it.

        So it is for NTLM whose AUTHENTICATE carries a MIC ([MS-SPNG] 3.1.5.1, note <8>).
        """

    def sign(self, data: bytes) -> bytes:
        """Return a signature over `data` (GSS_GetMIC)."""

    def verify(self, data: bytes, signature: bytes) -> None:
        """Check the peer's signature over `data` (GSS_VerifyMIC). Raises RemoteProtocolError."""

    def wrap_parts(self, parts: Sequence[MessagePart], *, encrypt: bool = True) -> SealedMessage:
        """Protect a message that has several parts, some of which are signed alone (GSS_WrapEx)."""

    def unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes = b"") -> OpenedMessage:
        """Open one of the peer (GSS_UnwrapEx). Raises RemoteProtocolError."""

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign the DER of MechTypeList as the initiator sent it."""

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the peer's signature over it. Raises RemoteProtocolError."""

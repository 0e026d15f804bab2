"""The server side of an NTLMv2 login, for a server that can be trusted with a port ([MS-NLMP] 3.2).

Two tokens come in, one goes out: NEGOTIATE is answered with CHALLENGE, AUTHENTICATE with nothing, and the login is
complete. Anything that goes wrong on the way ends it for good (`credssp.security_context.SecurityContext`).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from credssp.account import Account, AccountStore
from credssp.authority import LogonAnswer, LogonAuthority, LogonQuestion, LogonRefusal
from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.config import CbtHardening, asked, drawn
from credssp.errors import AuthenticationError, CredSSPError, LocalProtocolError
from credssp.identity import Identity
from credssp.ntlm import crypto
from credssp.ntlm.av_pairs import filetime
from credssp.ntlm.challenge import NTLMTarget, build_challenge
from credssp.ntlm.context import NTLMContext
from credssp.ntlm.messages import VERSION, Authenticate, Negotiate, NTLMv2Response, Version
from credssp.ntlm.proof import claim_of, has_empty_password, logon_failure, prove, verify_mic
from credssp.ntlm.rules import Rules, check_authenticate, check_bindings, check_flags, has_bindings
from credssp.ntlm.session import NTLMSession
from credssp.ntlm.verdict import check_verdict, refusal, what_was_wrong
from credssp.server_authentication import ServerAuthentication
from credssp.status import NTStatus, describe, security_status_from_ntstatus

__all__ = ["NTLMAcceptor"]

_log = logging.getLogger("credssp.ntlm")


class NTLMAcceptor(NTLMContext):
    """Accepts one NTLMv2 login; a `credssp.mechanism.SpnegoMechanism`.

    Args:
        accounts: who may log on; None for no accounts.
        authority: who judges the response before the accounts are looked at. It is not asked here: the acceptor stops
            with a `question`, and `resume` goes on. The accounts are next where an answer is not authoritative, and
            judge alone what a client logs on to this very machine with (``.\\bob``, ``MEMBER\\bob``).
        target: the server's names; by default those of the authority, or of this host.
        spn: the SPN, or those, of which the client must name one (``TERMSRV/host``, any case). None takes any.
        channel_bindings: application data of the channel bindings that the client must use
            (``tls-server-end-point:`` and a hash). None takes any.
        cbt_hardening: ``relaxed`` lets clients in that send none. The bindings are judged after the proof, which covers
            them, so that an operator can tell a right password on a wrong channel from a wrong password.
        require_mic: refuse a login without MIC. Our CHALLENGE always carries a timestamp, so every client newer
            than Windows XP sends one; impacket and asyauth (aardwolf) do not. A MIC that is there is always verified.
        tell_lockout: judge the password of a locked account too, and tell who knows it that the account is locked.
            Otherwise its password is not judged, and the answer is that of a wrong one.
        reveal_lockout: tell that the authority says that the account is locked, which it says of any password.
        max_clock_skew: seconds that the client's timestamp may differ from ours, or None for any. The server
            challenge is fresh for every login, so age proves nothing more, and clients with a wrong clock are common;
            Windows stopped looking after 2008 R2 ([MS-NLMP] <39>).
        version: what to call ourselves in CHALLENGE.
        clock: nanoseconds since 1970, as `time.time_ns`.
        random: n random bytes, as `os.urandom`.
    """

    def __init__(
        self,
        accounts: AccountStore | None,
        *,
        authority: LogonAuthority | None = None,
        target: NTLMTarget | None = None,
        spn: str | Iterable[str] | None = None,
        channel_bindings: bytes | None = None,
        cbt_hardening: CbtHardening = "strict",
        require_mic: bool = True,
        tell_lockout: bool = False,
        reveal_lockout: bool = False,
        max_clock_skew: float | None = None,
        allow_empty_password: bool = False,
        version: Version = VERSION,
        clock: Callable[[], int] = time.time_ns,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        super().__init__()
        crypto.check_md5()
        self.name = "ntlm"
        self.wire_form = "ntlm"
        self._accounts = accounts
        self._asks = authority is not None
        self._held: _Proof | None = None
        if target is None:
            target = NTLMTarget.of_this_host() if authority is None else authority.target
        self._target = target
        self._reveal_lockout = reveal_lockout
        self._bindings = ChannelBindings.of(channel_bindings)
        self._demand: BindingDemand = "match_if_sent" if cbt_hardening == "relaxed" else "match"
        self._rules = Rules(
            spn=spn,
            require_mic=require_mic,
            tell_lockout=tell_lockout,
            max_clock_skew=max_clock_skew,
        )
        self._allow_empty_password = allow_empty_password
        self._version = version
        self._clock = clock
        self._random = random
        self._negotiate = b""
        self._challenge = b""
        self._server_challenge = b""
        self._filetime = 0
        self._flags = 0
        self._mic_received = False

    @property
    def mech_list_mic_required(self) -> bool:
        """Whether AUTHENTICATE carried a MIC; SPNEGO must then exchange mechListMICs ([MS-SPNG] 3.1.5.1)."""
        return self._mic_received

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:
        """Demand these channel bindings of AUTHENTICATE."""
        if self.complete or self._failed or self.question is not None:
            raise LocalProtocolError("AUTHENTICATE was taken: it is too late for channel bindings")
        self._bindings, self._demand = bindings, demand

    def _step(self, token: bytes | None) -> bytes | None:
        """Take NEGOTIATE and return CHALLENGE; take AUTHENTICATE and return None.

        Raises:
            DecodeError: the message does not decode.
            RemoteProtocolError: it breaks the protocol, lacks a flag that CredSSP needs, or its MIC does not match.
            AuthenticationError: unknown user or wrong password (always the same text and STATUS_LOGON_FAILURE), an
                account that must not log on, or a login that our settings forbid.
        """
        if token is None:
            raise LocalProtocolError("an NTLM acceptor needs the client's token")
        if not self._challenge:
            return self._accept_negotiate(token)
        self._accept_authenticate(token)
        return None

    def _accept_negotiate(self, token: bytes) -> bytes:
        client_flags = Negotiate.decode(token).flags
        check_flags(client_flags, "NEGOTIATE")
        self._negotiate = token
        self._server_challenge = drawn(self._random, 8)
        self._filetime = filetime(asked(self._clock))
        self._challenge, self._flags = build_challenge(
            client_flags,
            self._target,
            server_challenge=self._server_challenge,
            filetime=self._filetime,
            version=self._version.encode(),
        )
        return self._challenge

    def _accept_authenticate(self, token: bytes) -> None:
        message = Authenticate.decode(token)
        try:
            self._check_authenticate(message, token)
        except CredSSPError as error:
            error.claim = error.claim or claim_of(message)
            raise

    def _check_authenticate(self, message: Authenticate, token: bytes) -> None:
        # What holds is what both said; a client must not drop in AUTHENTICATE what it asked for in NEGOTIATE.
        check_flags(message.flags, "AUTHENTICATE")
        flags = message.flags & self._flags
        response = check_authenticate(message, target=self._target, filetime=self._filetime, rules=self._rules)
        proof = _Proof(message, token, flags, response)
        if not self._asks or self._target.is_own(message.domain):
            self._judge(proof)
            return
        if not self._allow_empty_password and has_empty_password(message, self._server_challenge):
            raise logon_failure()
        self._held = proof
        self.question = LogonQuestion(
            domain=message.domain,
            username=message.username,
            workstation=message.workstation,
            server_challenge=self._server_challenge,
            nt_response=message.nt_response,
        )

    def _resume(self, answer: LogonAnswer) -> bytes | None:
        proof, self._held = self._held, None
        if proof is None:  # pragma: no cover  # there was a question
            raise LocalProtocolError("no question waits for an answer")
        try:
            if isinstance(answer, LogonRefusal):
                self._refused(proof, answer)
            else:
                message = proof.message
                check_verdict(message.username, answer)
                self._conclude(
                    proof,
                    answer.session_base_key.reveal(),
                    self._identity(
                        proof,
                        username=answer.username,
                        domain=answer.domain,
                        authority="domain",
                        sid=answer.sid,
                        groups=tuple(sorted(set(answer.groups))),
                    ),
                )
        except CredSSPError as error:
            error.claim = error.claim or claim_of(proof.message)
            raise
        return None

    def _refused(self, proof: _Proof, answer: LogonRefusal) -> None:
        """Ask the accounts where the authority leaves it to them; they may know the user, or its answer remains."""
        error = refusal(answer, reveal_lockout=self._reveal_lockout)
        error.claim = claim_of(proof.message, what_was_wrong(answer))
        judged = answer.authoritative and error.ntstatus != NTStatus.STATUS_NO_LOGON_SERVERS
        if judged or self._accounts is None:
            raise error
        try:
            self._judge(proof)
        except AuthenticationError as unknown:
            raise (error if unknown.ntstatus == NTStatus.STATUS_LOGON_FAILURE else unknown) from None

    def _judge(self, proof: _Proof) -> None:
        """Judge a response by the accounts."""
        message = proof.message
        account, session_base_key = prove(
            message,
            self._find(message.domain, message.username),
            self._server_challenge,
            judge_locked=self._rules.tell_lockout,
            judge_empty=self._allow_empty_password,
        )
        self._conclude(
            proof,
            session_base_key,
            self._identity(
                proof,
                username=account.username,
                domain=account.domain,
                account=account,
                authority="accounts",
                sid=account.sid,
                groups=account.groups,
            ),
        )

    def _conclude(self, proof: _Proof, session_base_key: bytes, identity: Identity) -> None:
        """Check what the key of the session opens, and end the login."""
        message = proof.message
        exported_session_key = crypto.rc4(session_base_key, message.encrypted_session_key)
        if message.mic is not None:
            verify_mic(exported_session_key, self._negotiate, self._challenge, proof.token, message.mic_offset)
            self._mic_received = True
        check_bindings(proof.response, self._bindings, self._demand)
        if identity.account is not None:
            _check_status(identity.account, message)
        self._session = NTLMSession(exported_session_key, proof.flags, role="acceptor")
        self.identity = identity
        self.server_authentication = ServerAuthentication.NTLM
        self.complete = self.can_wrap = True

    @staticmethod
    def _identity(proof: _Proof, **facts: Any) -> Identity:
        message = proof.message
        return Identity(
            mechanism="ntlm",
            sent_username=message.username,
            sent_domain=message.domain,
            workstation=message.workstation,
            target_name=proof.response.target_info.target_name,
            channel_bindings=has_bindings(proof.response),
            ntlm_mic=message.mic is not None,  # verified before this is told to anyone
            **facts,
        )

    def _find(self, domain: str, username: str) -> Sequence[Account]:
        """Ask the store; whatever goes wrong in there looks to the client like an unknown user.

        The store is the application's code: its exceptions may quote names or hashes, so only their type is logged.
        """
        if self._accounts is None:
            return ()
        try:
            return tuple(self._accounts.find(domain, username))
        except Exception as error:  # noqa: BLE001  the application's code may raise anything
            _log.error("the account store raised %s; the login is refused", type(error).__name__)
            return ()

    def __repr__(self) -> str:
        return f"NTLMAcceptor(complete={self.complete}, failed={self._failed})"


@dataclass(frozen=True, slots=True)
class _Proof:
    """AUTHENTICATE, and what was read of it; flags are those that both sides said."""

    message: Authenticate = field(repr=False)
    token: bytes = field(repr=False)
    flags: int
    response: NTLMv2Response = field(repr=False)


def _check_status(account: Account, message: Authenticate) -> None:
    """Refuse a locked, disabled or expired account, now that the client has proved to know its password."""
    if account.status is not None:
        error = AuthenticationError(
            f"the password is right, but the account may not log on: {describe(account.status).meaning}",
            status=security_status_from_ntstatus(account.status),
            ntstatus=account.status,
            section="[MS-NLMP] 3.2.5.1.2",
        )
        error.claim = claim_of(message, "account")
        raise error

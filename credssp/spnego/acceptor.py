"""SPNEGO for servers (RFC 4178 4, 5; [MS-SPNG] 3.1, 3.3).

::

    NegTokenInit(mechTypes, mechToken)               ->
                      <-  NegTokenResp(accept-incomplete | request-mic, supportedMech, [responseToken])
    NegTokenResp(responseToken, [mechListMIC])       ->          as often as the mechanism needs
                      <-  NegTokenResp(accept-completed, [mechListMIC])

The acceptor's own order decides between the mechanisms both sides have. The optimistic mechToken is used only if it
belongs to the mechanism chosen; otherwise it is dropped, the answer is request-mic, and the mechListMIC must prove that
the client's list was not changed on the way.

Nothing is unwrapped before the client's mechListMIC is verified: `can_wrap` and `complete` are one thing here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from credssp.authority import LogonAnswer
from credssp.errors import AuthenticationError, LimitExceededError, LocalProtocolError, RemoteProtocolError
from credssp.mechanism import MAX_LEGS, SpnegoMechanism
from credssp.mechanism_name import MechanismName
from credssp.next_step import NextStep
from credssp.security_context import OuterContext
from credssp.spnego.candidate import Candidate
from credssp.spnego.first_token import wire_form_of
from credssp.spnego.mech_types import mechanism_of
from credssp.spnego.tokens import NegState, NegTokenInit, NegTokenResp
from credssp.status import SecurityStatus

__all__ = ["SpnegoAcceptor"]

_REPLY: Final = "RFC 4178 4.2.2"
_MIC: Final = "RFC 4178 5"


class SpnegoAcceptor(OuterContext):
    """Negotiates one of several mechanisms with a client.

    Args:
        candidates: what to accept, best first.
        require_mic: insist on the client's mechListMIC where NTLM's AUTHENTICATE carries a MIC ([MS-SPNG] <8>).
            Windows 2000 to 2003 neither send nor check it; False takes such clients, but only where NTLM was their
            first choice: after request-mic the mechListMIC is never optional.
        bare: mechanisms that a client may also speak without SPNEGO; its first token shows which it does.
        kerberos_missing: why Kerberos is not among the candidates, for a client that speaks it without SPNEGO.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        require_mic: bool = True,
        bare: Collection[MechanismName] = (),
        kerberos_missing: str | None = None,
    ) -> None:
        super().__init__()
        self._candidates = tuple(candidates)
        self._require_mic = require_mic
        self._bare = bare
        self._kerberos_missing = kerberos_missing
        self._mech_types = b""
        self._legs = 0
        self._first_choice = True
        self._mic_sent = False
        self._mic_received = False
        self._held_mic: bytes | None = None

    def _step(self, token: bytes | None) -> bytes | None:
        if token is None:
            raise LocalProtocolError("an acceptor needs the client's token")
        mechanism = self._mechanism
        if mechanism is None:
            form = self.wire_form = wire_form_of(bytes(token)) if self._bare else "spnego"
            if form == "spnego":
                return self._first(NegTokenInit.decode(token))
            mechanism = self._mechanism = self._make_bare(form)
        if self.wire_form == "spnego":
            self._legs += 1
            if self._legs >= MAX_LEGS:
                raise LimitExceededError(f"the client did not come to an end in {MAX_LEGS} tokens", section=_REPLY)
            reply = self._later(NegTokenResp.decode(token), mechanism)
            return None if reply is None else reply.encode()
        answer = mechanism.step(token)
        self.name = mechanism.name
        self.question = mechanism.question
        if mechanism.complete:
            self._establish(mechanism)
        return answer

    def _resume(self, answer: LogonAnswer) -> bytes | None:
        mechanism = self._chosen()
        token = mechanism.resume(answer)
        if self.wire_form == "spnego":
            return self._reply(mechanism, token, self._held_mic).encode()
        if mechanism.complete:
            self._establish(mechanism)
        return token

    def _make_bare(self, name: MechanismName) -> SpnegoMechanism:
        why = self._kerberos_missing if name == "kerberos" and self._kerberos_missing else "it is not accepted here"
        for candidate in self._candidates:
            if candidate.name == name and name in self._bare:
                obstacle = candidate.obstacle()
                if obstacle is None:
                    return self._make(candidate.make)
                why = obstacle.message
        raise AuthenticationError(
            f"the client speaks {name} without SPNEGO: {why}",
            status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND,
            advice=NextStep.MECHANISM_MISSING,
        )

    def _first(self, init: NegTokenInit) -> bytes:
        # negHints of a client that sends NegTokenInit2 is ignored ([MS-SPNG] 3.2.5).
        candidate, oid = self._choose(init.mech_types)
        self._mech_types = init.mech_types_der
        mechanism = self._mechanism = self._make(candidate.make)
        self.name = candidate.name
        self._first_choice = mechanism_of(init.mech_types[0]) == candidate.name
        if not self._first_choice:
            if init.mech_list_mic is not None:
                raise RemoteProtocolError("mechListMIC before a mechanism was chosen", section=_MIC)
            return NegTokenResp(NegState.REQUEST_MIC, oid).encode()
        token = mechanism.step(init.mech_token) if init.mech_token else None
        return self._reply(mechanism, token, init.mech_list_mic, supported_mech=oid).encode()

    def _choose(self, offered: tuple[str, ...]) -> tuple[Candidate, str]:
        """Return the first of our mechanisms that the client has, and the OID by which it calls it.

        The answer must repeat that very OID: Windows lists Kerberos twice, its own OID first, and fails if it gets
        the other one back ([MS-SPNG] 3.2.5, note <10>).
        """
        passed_over = ""
        for candidate in self._candidates:
            for oid in offered:
                if mechanism_of(oid) == candidate.name:
                    obstacle = candidate.obstacle()
                    if obstacle is None:
                        return candidate, oid
                    passed_over += f"; {candidate.name}: {obstacle.message}"
                    break
        raise AuthenticationError(
            f"none of the {len(offered)} mechanisms the client offers is available here; "
            f"we have {', '.join(candidate.name for candidate in self._candidates) or 'none'}{passed_over}",
            status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND,
            section="RFC 4178 4.2.1",
            advice=NextStep.MECHANISM_MISSING,
        )

    def _later(self, resp: NegTokenResp, mechanism: SpnegoMechanism) -> NegTokenResp | None:
        if resp.neg_state is NegState.REJECT:
            raise AuthenticationError(
                "the client gives up (negState reject)", section=_REPLY, advice=NextStep.MECHANISM_REJECTED
            )
        if resp.supported_mech is not None and mechanism_of(resp.supported_mech) != self.name:
            raise RemoteProtocolError("supportedMech is the acceptor's to choose", section=_REPLY)
        token = None
        if not mechanism.complete:
            if not resp.response_token:
                raise RemoteProtocolError(f"no token for {self.name}, which is not complete", section=_REPLY)
            token = mechanism.step(resp.response_token)
            if mechanism.question is not None:
                self.question, self._held_mic = mechanism.question, resp.effective_mic()
                return None
        elif resp.response_token and resp.response_token != resp.mech_list_mic:
            raise RemoteProtocolError(f"a token for {self.name}, which is complete", section=_REPLY)
        return self._reply(mechanism, token, resp.effective_mic())

    def _reply(
        self, mechanism: SpnegoMechanism, token: bytes | None, mic: bytes | None, *, supported_mech: str | None = None
    ) -> NegTokenResp:
        """Verify the client's mechListMIC, decide whether that is all, and make the reply."""
        if not mechanism.complete:
            if mic is not None:
                raise RemoteProtocolError(f"mechListMIC before {self.name} is complete", section=_MIC)
            return NegTokenResp(NegState.ACCEPT_INCOMPLETE, supported_mech, token)
        if mic is not None:
            mechanism.verify_mech_list_mic(self._mech_types, mic)
            self._mic_received = True
        own = None
        if self._mic_received or self._mic_demanded(mechanism):
            if not self._mic_received and (token is None or self._mic_sent):
                raise RemoteProtocolError(
                    "the client's last token comes without mechListMIC: somebody may have changed its list",
                    status=SecurityStatus.SEC_E_MESSAGE_ALTERED,
                    section="RFC 4178 5; [MS-SPNG] 3.1.5.1",
                )
            if not self._mic_sent:
                own = mechanism.make_mech_list_mic(self._mech_types)
                self._mic_sent = True
            if not self._mic_received:
                # The mechanism's last token is ours: our MIC goes with it, the client's comes alone.
                return NegTokenResp(NegState.ACCEPT_INCOMPLETE, supported_mech, token, own)
        self._establish(mechanism)
        return NegTokenResp(NegState.ACCEPT_COMPLETED, supported_mech, token, own)

    def _mic_demanded(self, mechanism: SpnegoMechanism) -> bool:
        return not self._first_choice or (self._require_mic and mechanism.mech_list_mic_required)

    def _establish(self, mechanism: SpnegoMechanism) -> None:
        self.complete = self.can_wrap = True
        identity = mechanism.identity
        if identity is not None and self.wire_form == "spnego":
            identity = replace(identity, mech_list_mic=self._mic_received)
        self.identity = identity
        self.server_authentication = mechanism.server_authentication

    def __repr__(self) -> str:
        return f"SpnegoAcceptor({self.name or 'not started'}, complete={self.complete}, failed={self._failed})"

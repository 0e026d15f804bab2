"""SPNEGO for clients (RFC 4178 4, 5; [MS-SPNG] 3.2).

::

    step(None)   NegTokenInit(mechTypes, the first mechanism's token)                     ->
                                         <-  NegTokenResp(negState, supportedMech, token)
    step(token)  NegTokenResp(token, mechListMIC)             as often as the mechanism needs  ->
                                         <-  NegTokenResp(accept-completed, mechListMIC)
    step(token)  verifies it and returns None: `complete`

`can_wrap` holds as soon as the mechanism is through with its tokens, so that pubKeyAuth can go along with the last of
them ([MS-CSSP] 3.1.5 step 3). For NTLM that is one message before `complete`: the server's accept-completed comes
beside its pubKeyAuth, if it comes. `unwrap` before that means that it did not come, see `SpnegoInitiator.finish`.

When the mechListMIC is exchanged (RFC 4178 5, [MS-SPNG] 3.1.5.1 and <8>): the server chose another mechanism than our
first, or said request-mic, or the mechanism itself asks for it (NTLM whose AUTHENTICATE carries a MIC), or the server
sent one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from credssp.errors import (
    AuthenticationError,
    CredSSPError,
    LimitExceededError,
    LocalProtocolError,
    PolicyError,
    RemoteProtocolError,
)
from credssp.mechanism import MAX_LEGS, SpnegoMechanism
from credssp.mechanism_name import MechanismName
from credssp.message_parts import MessagePart, OpenedMessage
from credssp.next_step import NextStep
from credssp.security_context import OuterContext, SecurityContext
from credssp.spnego.candidate import Candidate, SkippedCandidate
from credssp.spnego.mech_types import mechanism_of
from credssp.spnego.tokens import NegState, NegTokenInit, NegTokenResp
from credssp.status import SecurityStatus

__all__ = ["SpnegoInitiator"]

_REPLY = "RFC 4178 4.2.2"
_MIC = "RFC 4178 5"


class SpnegoInitiator(OuterContext):
    """Negotiates one of several mechanisms with a server.

    Args:
        candidates: what to offer, best first. The first one that starts gives the optimistic token; those before it
            that fail to start are not offered, see `skipped`; those after it are made when the server wants them.
        bare: mechanisms that are spoken without SPNEGO if nothing else is left to offer. Windows does so with NTLM
            ([MS-SPNG] <8>), and some servers (FreeRDP 2) understand nothing else.
        skipped: what was ruled out before.
        follow: whether a server may choose another mechanism than the first, although that one has started.

    Attributes:
        skipped: the candidates that could not start, and why.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        bare: Collection[MechanismName] = (),
        skipped: Sequence[SkippedCandidate] = (),
        follow: bool = True,
    ) -> None:
        super().__init__()
        self._follow = follow
        self.skipped = tuple(skipped)
        self._candidates = tuple(candidates)
        self._bare = bare
        self._offered: tuple[Candidate, ...] = ()
        self._mech_types = b""
        self._legs = 0
        self._mic_required = False
        self._mic_sent = False
        self._mic_received = False

    def _step(self, token: bytes | None) -> bytes | None:
        if self._mechanism is None:
            if token is not None:
                raise LocalProtocolError("an initiator's first step takes no token")
            return self._start()
        if token is None:
            raise LocalProtocolError("the server's token is due")
        if self.wire_form != "spnego":
            return self._after(self._mechanism.step(token))
        self._legs += 1
        if self._legs > MAX_LEGS:
            raise LimitExceededError(f"the server did not come to an end in {MAX_LEGS} tokens", section=_REPLY)
        return self._after(self._reply(NegTokenResp.decode(token)))

    def _after(self, token: bytes | None) -> bytes | None:
        """Take over how far the mechanism is."""
        mechanism = self._chosen()
        self.can_wrap = mechanism.can_wrap
        if self.wire_form != "spnego":
            self.complete = mechanism.complete
        self.server_authentication = mechanism.server_authentication
        self.client_name = mechanism.client_name if isinstance(mechanism, SecurityContext) else ""
        return token

    # The first token

    def _start(self) -> bytes | None:
        candidates = list(self._candidates)
        skipped = list(self.skipped)
        while candidates:
            candidate = candidates[0]
            try:
                mechanism = self._make(candidate.make)
                token = mechanism.step(None)
                break
            except CredSSPError as error:
                skipped.append(SkippedCandidate(candidate.name, error))
                self.skipped = tuple(skipped)
                if isinstance(error, AuthenticationError) and error.judged:
                    raise  # a second attempt would count against the account
                candidates.pop(0)
        if not candidates:
            # What we would not have is worse than what did not work.
            by_policy = [skip.error for skip in skipped if isinstance(skip.error, PolicyError)]
            raise (by_policy[0] if by_policy else skipped[-1].error if skipped else LocalProtocolError("no mechanism"))
        self._mechanism = mechanism
        self.name = candidate.name
        self._offered = tuple(candidates)
        if len(candidates) == 1 and candidate.name in self._bare:
            self.wire_form = mechanism.wire_form
            return self._after(token)
        self.wire_form = "spnego"
        init = NegTokenInit(tuple(candidate.oid for candidate in candidates), token)
        self._mech_types = init.mech_types_der
        return init.encode()

    # Replies

    def _reply(self, reply: NegTokenResp) -> bytes | None:
        state = reply.neg_state
        if state is NegState.REJECT:
            raise self._rejected(reply)
        own = self._choose(reply)
        mechanism = self._chosen()
        if own is None:
            own = self._advance(mechanism, reply)
        self._take_mic(mechanism, reply)
        if state is NegState.ACCEPT_COMPLETED:
            if own is not None or not mechanism.complete:
                raise RemoteProtocolError(f"the server is content before {self.name} is complete", section=_REPLY)
            self._check_mic_not_missing()
            self.complete = True
            return None
        mic = self._make_mic(mechanism, waiting=own is None)
        if mechanism.complete and self._mic_received and self._mic_sent:
            self.complete = True
        if own is None and mic is None:
            if self.complete:
                return None
            raise RemoteProtocolError("the server waits for a token although there is none to send", section=_REPLY)
        state = NegState.ACCEPT_COMPLETED if self.complete else NegState.ACCEPT_INCOMPLETE
        return NegTokenResp(state, response_token=own, mech_list_mic=mic).encode()

    def _rejected(self, reply: NegTokenResp) -> CredSSPError:
        """Make the error for negState reject; a Kerberos error token says more than that."""
        if reply.response_token and self.name == "kerberos":
            try:
                self._chosen().step(reply.response_token)
            except CredSSPError as error:
                return error
        refusal = AuthenticationError(
            "the server rejects the negotiation (negState reject)", section=_REPLY, advice=NextStep.MECHANISM_REJECTED
        )
        refusal.refused = True
        return refusal

    def _choose(self, reply: NegTokenResp) -> bytes | None:
        """Look at what the server chose; return the first token of another mechanism than our first."""
        first = self._legs == 1
        if reply.neg_state is NegState.REQUEST_MIC:
            if not first:
                raise RemoteProtocolError("request-mic after the server's first reply", section=_REPLY)
            self._mic_required = True
        if reply.supported_mech is None or not first:
            # Some peers repeat it in later replies: to be taken, and never to be followed ([MS-SPNG] 3.3.5).
            return None
        name = mechanism_of(reply.supported_mech)
        chosen = next((candidate for candidate in self._offered if candidate.name == name), None)
        if chosen is None:
            raise RemoteProtocolError("supportedMech is not one of the mechanisms we offered", section=_REPLY)
        if chosen.name == self.name:
            return None
        if not self._follow:
            raise PolicyError(
                f"the server selects {chosen.name} although there is a {self.name} ticket for it: it lacks its key, or "
                "somebody in between wants a proof of the password (allow_ntlm_downgrade is not set)",
                status=SecurityStatus.SEC_E_DOWNGRADE_DETECTED,
                setting="allow_ntlm_downgrade",
                advice=NextStep.DOWNGRADE,
            )
        if reply.response_token:
            raise RemoteProtocolError("the server answers a mechanism that has not started", section=_REPLY)
        # The optimistic token was for nobody; from here on only the MIC proves that nobody changed our list.
        self._mic_required = True
        self._mechanism = self._make(chosen.make)
        self.name = chosen.name
        return self._mechanism.step(None)

    def _advance(self, mechanism: SpnegoMechanism, reply: NegTokenResp) -> bytes | None:
        token = reply.response_token
        if mechanism.complete:
            # Ours went out with the token before; nothing but the MIC may come (or its copy, see effective_mic).
            if token and token != reply.mech_list_mic:
                raise RemoteProtocolError(f"a token for {self.name}, which is complete", section=_REPLY)
            return None
        if not token:
            raise RemoteProtocolError(f"no token for {self.name}, which is not complete", section=_REPLY)
        return mechanism.step(token)

    # mechListMIC

    def _take_mic(self, mechanism: SpnegoMechanism, reply: NegTokenResp) -> None:
        """Verify the server's mechListMIC if it is there."""
        mic = reply.effective_mic()
        if mic is None:
            return
        if not mechanism.complete:
            raise RemoteProtocolError(f"mechListMIC before {self.name} is complete", section=_MIC)
        if self._mic_received:
            raise RemoteProtocolError("a second mechListMIC", section=_MIC)
        mechanism.verify_mech_list_mic(self._mech_types, mic)
        self._mic_received = True

    def _make_mic(self, mechanism: SpnegoMechanism, *, waiting: bool) -> bytes | None:
        """Return our mechListMIC if it is due.

        Args:
            mechanism: the mechanism.
            waiting: whether the mechanism has nothing to send: then it is our MIC that the server waits for.
        """
        if self._mic_sent or not mechanism.complete:
            return None
        if not (self._mic_required or self._mic_received or mechanism.mech_list_mic_required or waiting):
            return None
        self._mic_sent = True
        return mechanism.make_mech_list_mic(self._mech_types)

    def _finish(self) -> None:
        """Go on without the server's last token.

        A MIC that was required must come (RFC 4178 5), with one exception: where we offered a single mechanism there
        was nothing to be talked into, and the server's pubKeyAuth will prove the same session key. So servers that
        omit their last token are accepted then; a last token without the MIC never is.
        """
        if self.complete:
            return
        if not self.can_wrap:
            raise LocalProtocolError("the authentication is not over")
        if len(self._offered) > 1:
            self._check_mic_not_missing()
        self.complete = True

    def _check_mic_not_missing(self) -> None:
        demanded = self._mic_required or self._mic_sent or self._chosen().mech_list_mic_required
        if demanded and not self._mic_received:
            raise RemoteProtocolError(
                "the server ended without its mechListMIC: somebody may have changed the list of mechanisms",
                status=SecurityStatus.SEC_E_MESSAGE_ALTERED,
                section=_MIC,
            )

    # Messages

    def unwrap(self, data: bytes) -> bytes:
        """Check and decrypt what the server wrapped; before `complete` this is `finish` first."""
        if self.can_wrap and not self.complete:
            self.finish()
        return super().unwrap(data)

    def unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes = b"") -> OpenedMessage:
        """Open a message in parts; before `complete` this is `finish` first."""
        if self.can_wrap and not self.complete:
            self.finish()
        return super().unwrap_parts(signature, parts, padding)

    def _unwrap(self, data: bytes) -> bytes:
        plain = super()._unwrap(data)
        self.server_authentication = self._chosen().server_authentication
        return plain

    def _unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes) -> OpenedMessage:
        opened = super()._unwrap_parts(signature, parts, padding)
        self.server_authentication = self._chosen().server_authentication
        return opened

    def __repr__(self) -> str:
        return f"SpnegoInitiator({self.name or 'not started'}, complete={self.complete}, failed={self._failed})"

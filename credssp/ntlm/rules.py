"""What the acceptor demands of a client before it looks any account up ([MS-NLMP] 3.2.5.1.2).

All of it can be seen without knowing a password, so these refusals may say what is wrong: they tell nothing about
accounts, and they come before the proof so that they do not tell a right password from a wrong one either.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.errors import AuthenticationError, DecodeError, LocalProtocolError, RemoteProtocolError
from credssp.next_step import NextStep
from credssp.ntlm import flags as f
from credssp.ntlm.av_pairs import (
    AV_CHANNEL_BINDINGS,
    AV_FLAG_MIC_PRESENT,
    AV_FLAG_UNTRUSTED_SPN,
    AV_TIMESTAMP,
    AvPairs,
)
from credssp.ntlm.challenge import NTLMTarget
from credssp.ntlm.crypto import md5
from credssp.ntlm.messages import Authenticate, NTLMv2Response
from credssp.ntlm.session import SESSION_FLAGS
from credssp.status import NTStatus, SecurityStatus

__all__ = ["Rules", "check_authenticate", "check_bindings", "check_flags", "has_bindings"]

REQUIRED_FLAGS: Final = SESSION_FLAGS | f.NTLMSSP_NEGOTIATE_UNICODE

_SECTION: Final = "[MS-NLMP] 3.2.5.1.2"


@dataclass(frozen=True, slots=True, init=False)
class Rules:
    """The settings of an acceptor.

    Attributes:
        spns: SPNs of which the client must name one, in lower case, or None to take any.
        require_mic: whether AUTHENTICATE must carry a MIC.
        tell_lockout: whether a client that knows the password of a locked account learns that it is locked.
        max_clock_skew: greatest age in 100 ns of the client's timestamp, either way, or None to take any.
    """

    spns: frozenset[str] | None
    require_mic: bool
    tell_lockout: bool
    max_clock_skew: int | None

    def __init__(
        self,
        *,
        spn: str | Iterable[str] | None = None,
        require_mic: bool = True,
        tell_lockout: bool = False,
        max_clock_skew: float | None = None,
    ) -> None:
        spns = None
        if spn is not None:
            spns = frozenset(name.lower() for name in ((spn,) if isinstance(spn, str) else spn))
            if not spns or "" in spns:
                raise LocalProtocolError("spn: give at least one name, or None to take any")
        set_ = object.__setattr__
        set_(self, "spns", spns)
        set_(self, "require_mic", require_mic)
        set_(self, "tell_lockout", tell_lockout)
        set_(self, "max_clock_skew", None if max_clock_skew is None else int(max_clock_skew * 10_000_000))


def check_flags(flags: int, message: str) -> None:
    """Refuse a client that cannot do, or does not want, what CredSSP needs.

    Raises:
        RemoteProtocolError: SEC_E_INVALID_TOKEN without any character set, else SEC_E_UNSUPPORTED_FUNCTION.
    """
    missing = REQUIRED_FLAGS & ~flags
    if not missing:
        return
    if not flags & (f.NTLMSSP_NEGOTIATE_UNICODE | f.NTLMSSP_NEGOTIATE_OEM):
        raise RemoteProtocolError(f"{message}: neither UNICODE nor OEM is set", section="[MS-NLMP] 3.2.5.1.1")
    raise RemoteProtocolError(
        f"{message}: the client does not negotiate {', '.join(f.flag_names(missing))}, which CredSSP needs",
        status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
        section="[MS-NLMP] 2.2.2.5",
        advice=NextStep.NTLM_CLIENT,
    )


def check_authenticate(message: Authenticate, *, target: NTLMTarget, filetime: int, rules: Rules) -> NTLMv2Response:
    """Return the response to prove, after everything that needs no account is checked.

    Args:
        message: AUTHENTICATE.
        target: the names in our CHALLENGE.
        filetime: the timestamp in our CHALLENGE.
        rules: the acceptor's settings.

    Raises:
        RemoteProtocolError: the message breaks the protocol (DecodeError among them).
        AuthenticationError: it is well formed, and we do not take such logins.
    """
    if message.overlapping:
        raise DecodeError(
            "payload fields overlap", field="AUTHENTICATE", offset=message.payload_offset, section="[MS-NLMP] 2.2.1.3"
        )
    if not message.username or message.flags & f.NTLMSSP_NEGOTIATE_ANONYMOUS:
        raise _refused("anonymous logins are not accepted")
    response = message.ntlmv2
    if response is None:
        raise _refused("the client answers with LM or NTLMv1 (NtChallengeResponse of 24 bytes or fewer)")
    if len(message.encrypted_session_key) != 16:
        raise DecodeError(
            f"{len(message.encrypted_session_key)} bytes although KEY_EXCH is negotiated",
            field="AUTHENTICATE.EncryptedRandomSessionKey",
            offset=52,
            section=_SECTION,
        )
    pairs = response.target_info
    _check_target_info(pairs, target, filetime)
    if rules.require_mic and not pairs.flags & AV_FLAG_MIC_PRESENT:
        raise _refused("no MIC although CHALLENGE had a timestamp; require_mic=False admits such old clients")
    if rules.spns is not None:
        _check_spn(pairs, rules.spns)
    if rules.max_clock_skew is not None and abs(response.timestamp - filetime) > rules.max_clock_skew:
        raise AuthenticationError(
            "the client's timestamp is outside max_clock_skew",
            status=SecurityStatus.SEC_E_TIME_SKEW,
            section=_SECTION,
            advice=NextStep.CLOCKS,
        )
    return response


def has_bindings(response: NTLMv2Response) -> bool:
    """Whether the client sent channel bindings; zeros say that it has none."""
    return any(response.target_info.get(AV_CHANNEL_BINDINGS) or b"")


def check_bindings(response: NTLMv2Response, own: ChannelBindings | None, demand: BindingDemand) -> None:
    """Refuse a client that was authenticated over another TLS channel than this.

    Args:
        response: with MsvAvChannelBindings.
        own: the bindings of this channel; None where they are not known, and not compared.
        demand: whether the client must have sent any.

    Raises:
        AuthenticationError: SEC_E_BAD_BINDINGS.
    """
    sent, bound = response.target_info.get(AV_CHANNEL_BINDINGS) or b"", has_bindings(response)
    if own is None:
        wrong = demand == "sent" and not bound
    else:
        wrong = not hmac.compare_digest(sent, md5(own.encoded).digest()) and (bound or demand != "match_if_sent")
    if wrong:
        what = "are not those of this TLS channel" if bound else "are missing"
        raise AuthenticationError(
            f"the client's channel bindings {what}",
            status=SecurityStatus.SEC_E_BAD_BINDINGS,
            ntstatus=NTStatus.STATUS_BAD_BINDINGS,
            section=_SECTION,
            advice=NextStep.BINDING,
        )


def _check_target_info(pairs: AvPairs, target: NTLMTarget, filetime: int) -> None:
    """The client returns our list with its own additions; a list that is not ours answers another server."""
    field = "AUTHENTICATE.NtChallengeResponse.AvPairs"
    if not pairs.terminated:
        raise DecodeError("no MsvAvEOL at its end", field=field, section="[MS-NLMP] 2.2.2.1")
    found = dict(pairs.pairs)
    if len(found) != len(pairs.pairs):
        raise DecodeError("an AvId occurs twice", field=field, section="[MS-NLMP] 2.2.2.1")
    if any(found.get(av_id) != value for av_id, value in target.av_pairs):
        raise _refused("the response is made for another server: it lacks names of our CHALLENGE, or changes them")
    if AV_TIMESTAMP in found and pairs.timestamp != filetime:
        raise _refused("the response is made for another CHALLENGE: MsvAvTimestamp differs from ours")


def _check_spn(pairs: AvPairs, spns: frozenset[str]) -> None:
    name = pairs.target_name
    if not name or name.lower() not in spns or pairs.flags & AV_FLAG_UNTRUSTED_SPN:
        raise AuthenticationError(
            "the client meant another server: MsvAvTargetName is absent, untrusted or no SPN of ours",
            status=SecurityStatus.SEC_E_WRONG_PRINCIPAL,
            section=_SECTION,
            advice=NextStep.SERVER_NAME,
        )


def _refused(why: str) -> AuthenticationError:
    return AuthenticationError(why, section=_SECTION, advice=NextStep.NTLM_CLIENT)

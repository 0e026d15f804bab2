"""Who knows the secret: NTProofStr, the keys and the MIC, made and checked ([MS-NLMP] 3.1.5.1.2, 3.2.5.1.2, 3.3.2).

Nothing here tells an unknown user from a wrong password: both compute the same HMACs over the same bytes, with a
random hash standing in where there is no account, and leave through the same exception.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from credssp.account import Account
from credssp.errors import AuthenticationError, Claim, RemoteProtocolError, Wrong
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.messages import MIC_OFFSET, MIC_SIZE, Authenticate
from credssp.status import NTStatus, SecurityStatus

__all__ = [
    "Proved",
    "check_response",
    "claim_of",
    "has_empty_password",
    "logon_failure",
    "make_mic",
    "make_response",
    "prove",
    "verify_mic",
]

_NO_ACCOUNT: Final = Account("", "", os.urandom(16), NTStatus.STATUS_ACCOUNT_LOCKED_OUT)
"""In place of an account that does not exist: made once, and judged as a locked one is."""

_NO_PASSWORD: Final = nt_hash("")  # known to everyone: not compared in constant time
_SECTION: Final = "[MS-NLMP] 3.2.5.1.2"


def claim_of(message: Authenticate, wrong: Wrong = "") -> Claim:
    """Return who the client says to be, and what is wrong with that."""
    return Claim(message.domain, message.username, message.workstation, "ntlm", wrong)


def logon_failure() -> AuthenticationError:
    """Return the one error for an unknown user and for a wrong password."""
    return AuthenticationError(
        "unknown user name or wrong password", ntstatus=NTStatus.STATUS_LOGON_FAILURE, section=_SECTION
    )


def make_response(ntowfv2: bytes, server_challenge: bytes, temp: bytes) -> tuple[bytes, bytes]:
    """Return NtChallengeResponse and SessionBaseKey ([MS-NLMP] 3.3.2).

    Args:
        ntowfv2: the key, see `credssp.ntlm.crypto.ntowfv2`.
        server_challenge: ServerChallenge.
        temp: NTLMv2_CLIENT_CHALLENGE ([MS-NLMP] 2.2.2.7) and four zero bytes.
    """
    proof = crypto.hmac_md5(ntowfv2, server_challenge + temp)
    return proof + temp, crypto.hmac_md5(ntowfv2, proof)


class Proved(NamedTuple):
    """What a response was made with.

    Attributes:
        session_base_key: SessionBaseKey.
        domain: the domain that went into NTOWFv2: that of the message, or an empty one.
    """

    session_base_key: bytes
    domain: str


def check_response(message: Authenticate, server_challenge: bytes, nt_hash: bytes) -> Proved | None:
    """Return what follows if NTProofStr was made with this NT hash, else None.

    It is checked over the bytes as received, with the client's own spelling of user and domain, and then with an
    empty domain, which some clients use instead of the one they send. A failure takes all forms, whatever was wrong.
    """
    received, covered = message.nt_response[:16], server_challenge + message.nt_response[16:]
    domains = (message.domain, "") if message.domain else ("",)
    for upper in crypto.upper_forms(message.username):
        for domain in domains:
            key = crypto.ntowfv2(nt_hash, upper, domain)
            if hmac.compare_digest(crypto.hmac_md5(key, covered), received):
                return Proved(crypto.hmac_md5(key, received), domain)
    return None


def has_empty_password(message: Authenticate, server_challenge: bytes) -> bool:
    """Whether the response was made with an empty password."""
    return check_response(message, server_challenge, _NO_PASSWORD) is not None


def prove(
    message: Authenticate,
    candidates: Sequence[Account],
    server_challenge: bytes,
    *,
    judge_locked: bool = False,
    judge_empty: bool = False,
) -> tuple[Account, bytes]:
    """Return the account whose secret the client knows, and the SessionBaseKey.

    An account that is locked, or has an empty password, is refused before its password is judged, in the words and the
    time of a wrong password: a lock that told the right password from others would not keep anyone from guessing, and
    every stranger knows the empty password.

    Raises:
        AuthenticationError: no candidate fits (`logon_failure`).
    """
    found: tuple[Account, bytes] | None = None
    wrong: Wrong = "account"
    # All of them even after a match: how long it takes says how many accounts share a name, not which one it was.
    for account in candidates or (_NO_ACCOUNT,):
        locked = account.status == NTStatus.STATUS_ACCOUNT_LOCKED_OUT and (account is _NO_ACCOUNT or not judge_locked)
        empty = account.nt_hash.reveal() == _NO_PASSWORD and not judge_empty
        secret = _NO_ACCOUNT.nt_hash if locked or empty else account.nt_hash
        proved = check_response(message, server_challenge, secret.reveal())
        if account is _NO_ACCOUNT:
            wrong = "name"
        elif secret is account.nt_hash:
            wrong = "password"  # of one account at least, which is not locked
        if proved is not None and secret is account.nt_hash and account is not _NO_ACCOUNT and found is None:
            found = account, proved.session_base_key
    if found is None:
        error = logon_failure()
        # For the server's owner. Found in the same steps whatever it is, so that the time does not tell.
        error.claim = claim_of(message, wrong)
        raise error
    return found


def make_mic(
    exported_session_key: bytes, negotiate: bytes, challenge: bytes, authenticate: bytes, offset: int = MIC_OFFSET
) -> bytes:
    """Return the MIC over the three messages as they go over the wire ([MS-NLMP] 3.1.5.1.2).

    Args:
        exported_session_key: ExportedSessionKey.
        negotiate: NEGOTIATE.
        challenge: CHALLENGE.
        authenticate: AUTHENTICATE; what is in place of its MIC does not matter.
        offset: where the MIC begins.
    """
    covered = b"".join(
        (negotiate, challenge, authenticate[:offset], bytes(MIC_SIZE), authenticate[offset + MIC_SIZE :])
    )
    return crypto.hmac_md5(exported_session_key, covered)


def verify_mic(
    exported_session_key: bytes, negotiate: bytes, challenge: bytes, authenticate: bytes, offset: int = MIC_OFFSET
) -> None:
    """Check the MIC; the arguments are those of `make_mic`.

    Raises:
        RemoteProtocolError: SEC_E_MESSAGE_ALTERED.
    """
    expected = make_mic(exported_session_key, negotiate, challenge, authenticate, offset)
    if not hmac.compare_digest(expected, authenticate[offset : offset + MIC_SIZE]):
        raise RemoteProtocolError(
            "the MIC does not match: NEGOTIATE, CHALLENGE or AUTHENTICATE was altered on the way",
            status=SecurityStatus.SEC_E_MESSAGE_ALTERED,
            section=_SECTION,
        )

"""Who knows the secret: NTProofStr, the keys and the MIC ([MS-NLMP] 3.2.5.1.2, 3.3.2).

Nothing here tells an unknown user from a wrong password: both compute the same HMACs over the same octets, with a
random hash standing in where there is no account, and leave through the same exception.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from typing import Final

from credssp.account import Account
from credssp.errors import AuthenticationError, RemoteProtocolError
from credssp.ntlm import crypto
from credssp.ntlm.messages import MIC_END, MIC_OFFSET, Authenticate, NTLMv2Response
from credssp.status import NTStatus, SecurityStatus

__all__ = ["logon_failure", "prove", "verify_mic"]

_DUMMY_HASH: Final = os.urandom(16)
_SECTION: Final = "[MS-NLMP] 3.2.5.1.2"


def logon_failure() -> AuthenticationError:
    """Return the one error for an unknown user and for a wrong password."""
    return AuthenticationError(
        "unknown user name or wrong password", ntstatus=NTStatus.STATUS_LOGON_FAILURE, section=_SECTION
    )


def prove(
    message: Authenticate, response: NTLMv2Response, candidates: Sequence[Account], server_challenge: bytes
) -> tuple[Account, bytes]:
    """Return the account whose secret the client knows, and the SessionBaseKey.

    The proof is checked over the octets as received, with the client's own spelling of user and domain, and once more
    with an empty domain, which some clients use instead of the one they send.

    Raises:
        AuthenticationError: no candidate fits (`logon_failure`).
    """
    covered = server_challenge + message.nt_response[16:]
    received = response.proof
    domains = (message.domain, "") if message.domain else ("",)
    forms = [(upper, domain) for upper in crypto.upper_forms(message.username) for domain in domains]
    proved: tuple[Account, bytes] | None = None
    # All of them even after a match: how long it takes says how many accounts share a name, not which one it was.
    for account in candidates or (None,):
        nt_hash = _DUMMY_HASH if account is None else account.nt_hash.reveal()
        for upper, domain in forms:
            key = crypto.ntowfv2(nt_hash, upper, domain)
            matches = hmac.compare_digest(crypto.hmac_md5(key, covered), received)
            if matches and account is not None and proved is None:
                proved = account, key
    if proved is None:
        raise logon_failure()
    account, key = proved
    return account, crypto.hmac_md5(key, received)


def verify_mic(exported_session_key: bytes, negotiate: bytes, challenge: bytes, authenticate: bytes) -> None:
    """Check the MIC over the three messages as they went over the wire ([MS-NLMP] 3.1.5.1.2).

    Raises:
        RemoteProtocolError: SEC_E_MESSAGE_ALTERED.
    """
    covered = b"".join(
        (negotiate, challenge, authenticate[:MIC_OFFSET], bytes(MIC_END - MIC_OFFSET), authenticate[MIC_END:])
    )
    expected = crypto.hmac_md5(exported_session_key, covered)
    if not hmac.compare_digest(expected, authenticate[MIC_OFFSET:MIC_END]):
        raise RemoteProtocolError(
            "the MIC does not match: NEGOTIATE, CHALLENGE or AUTHENTICATE was altered on the way",
            status=SecurityStatus.SEC_E_MESSAGE_ALTERED,
            section=_SECTION,
        )

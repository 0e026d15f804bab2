"""SCHANNEL_CRED.dwFlags (schannel.h): which are done, which are true here anyway, and which are refused by name.

A flag that asks for more than this library does (revocation, for example) must not be ignored: the program would rely
on a check that is not made.
"""

from __future__ import annotations

from typing import Final

from credssp.sspi import constants as c
from credssp.sspi.constants import flag_names
from credssp.sspi.errors import bad_auth_data, unsupported

__all__ = ["ALWAYS", "DONE", "check_schannel_flags"]

DONE: Final = (
    c.SCH_CRED_MANUAL_CRED_VALIDATION
    | c.SCH_CRED_AUTO_CRED_VALIDATION
    | c.SCH_CRED_NO_SERVERNAME_CHECK
    | c.SCH_CRED_DISABLE_RECONNECTS
    | c.SCH_CRED_RESTRICTED_ROOTS
    | c.SCH_USE_STRONG_CRYPTO
)
"""Flags that change what a credential does."""

ALWAYS: Final = (
    # There is no certificate store: a certificate comes in paCred or not at all, and lives in memory.
    c.SCH_CRED_NO_DEFAULT_CREDS
    | c.SCH_CRED_MEMORY_STORE_CERT
    # A client's certificate is not mapped to an account.
    | c.SCH_CRED_NO_SYSTEM_MAPPER
    # Nothing is asked about revocation, so nothing is asked over the network, and missing answers are no error.
    | c.SCH_CRED_IGNORE_NO_REVOCATION_CHECK
    | c.SCH_CRED_IGNORE_REVOCATION_OFFLINE
    | c.SCH_CRED_REVOCATION_CHECK_CACHE_ONLY
    | c.SCH_CRED_CACHE_ONLY_URL_RETRIEVAL
    | c.SCH_CRED_CACHE_ONLY_URL_RETRIEVAL_ON_CREATE
    # Against a weakness of TLS 1.0, which does not exist in TLS 1.2 and 1.3.
    | c.SCH_SEND_AUX_RECORD
)
"""Flags for what is the case here with or without them."""


def check_schannel_flags(flags: object, *, has_roots: bool) -> None:
    """Refuse flags that cannot be met.

    Args:
        flags: dwFlags.
        has_roots: whether hRootStore is given.

    Raises:
        SSPIError: SEC_E_UNKNOWN_CREDENTIALS, they contradict each other, or are not a number;
            SEC_E_UNSUPPORTED_FUNCTION, they ask for what is not done here; the text names them.
    """
    if not isinstance(flags, int) or flags < 0:
        raise bad_auth_data("dwFlags is a number")
    refused = flags & ~(DONE | ALWAYS)
    if refused:
        names = " | ".join(
            name if name.startswith("0x") else f"SCH_{name}" for name in flag_names(refused, "SCH").split("|")
        )
        raise unsupported("pAuthData", f"dwFlags: not done here: {names}")
    both = c.SCH_CRED_MANUAL_CRED_VALIDATION | c.SCH_CRED_AUTO_CRED_VALIDATION
    if flags & both == both:
        raise bad_auth_data("dwFlags: SCH_CRED_MANUAL_CRED_VALIDATION or SCH_CRED_AUTO_CRED_VALIDATION, not both")
    if flags & c.SCH_CRED_RESTRICTED_ROOTS and not has_roots:
        raise bad_auth_data("dwFlags: SCH_CRED_RESTRICTED_ROOTS needs hRootStore")

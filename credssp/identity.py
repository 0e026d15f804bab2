"""Who logged on, as the server has proved it."""

from __future__ import annotations

from dataclasses import dataclass

from credssp._quick_init import quick_init
from credssp.account import Account
from credssp.mechanism_name import MechanismName
from credssp.secret import Secret

__all__ = ["Identity"]


@quick_init
@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who logged on, as the acceptor has proved it.

    Attributes:
        username: the account's name in the spelling of the account store (NTLM) or of the principal (Kerberos).
        domain: the account's domain in that spelling, or the Kerberos realm; may be empty.
        mechanism: ``ntlm`` or ``kerberos``.
        sent_username: the user name exactly as the client sent it; a UPN stays whole.
        sent_domain: the domain exactly as the client sent it.
        workstation: the name the client gives itself ([MS-NLMP] 2.2.1.3); **not** proved, anyone can say anything.
        target_name: the SPN that the client thinks it talks to (MsvAvTargetName), or None where it says nothing.
        account: the account whose secret the client knew, or None for Kerberos.
        forwarded: Kerberos tickets that the client forwarded to a server that accepts them (`accept_forwarded`), as a
            KRB-CRED whose encrypted part is readable (encryption type 0), which other tools import; or None.
    """

    username: str
    domain: str
    mechanism: MechanismName
    sent_username: str = ""
    sent_domain: str = ""
    workstation: str = ""
    target_name: str | None = None
    account: Account | None = None
    forwarded: Secret[bytes] | None = None

"""Who logged on, as the server has proved it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from credssp._quick_init import quick_init
from credssp.account import Account
from credssp.mechanism_name import MechanismName
from credssp.secret import Secret

__all__ = ["Identity", "VouchedBy"]

VouchedBy: TypeAlias = Literal["", "domain", "accounts", "realm"]
"""Who says who a user is: the domain, by its verdict on an NTLM response or the PAC of a ticket; the account store; a
realm, by a ticket without a PAC, which has nothing but the name that the client asked for. Empty: SSPI of Windows."""


@quick_init
@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who logged on, as the acceptor has proved it.

    Attributes:
        username: the account's name as in `authority`: of the domain, of the account store, or of the principal.
        domain: the account's domain in that spelling (of a Windows domain the NetBIOS name), or the Kerberos realm;
            may be empty.
        mechanism: ``ntlm`` or ``kerberos``.
        sent_username: the user name exactly as the client sent it; a UPN stays whole.
        sent_domain: the domain exactly as the client sent it.
        workstation: the name the client gives itself ([MS-NLMP] 2.2.1.3); **not** proved, anyone can say anything.
        target_name: the SPN that the client thinks it talks to (NTLM's MsvAvTargetName, or the service of its Kerberos
            ticket, which is not protected: what counts is the key that opens it), or None where it says nothing.
        account: the account whose secret the client knew, or None for Kerberos.
        authority: who says that it is this user.
        sid: the account's SID; empty where the authority knows none.
        groups: the SIDs of its groups, sorted, each once.
        forwarded: Kerberos tickets that the client forwarded to a server that accepts them (`accept_forwarded`), as a
            KRB-CRED whose encrypted part is readable (encryption type 0), which other tools import; or None.
        ntlm_mic: whether the client's AUTHENTICATE had a MIC, which was verified; None without NTLM.
        mech_list_mic: whether the client sent a mechListMIC, which was verified; None without SPNEGO.
        channel_bindings: whether the client sent channel bindings. They are those of the server where it knows its own.
    """

    username: str
    domain: str
    mechanism: MechanismName
    sent_username: str = ""
    sent_domain: str = ""
    workstation: str = ""
    target_name: str | None = None
    account: Account | None = None
    authority: VouchedBy = ""
    sid: str = ""
    groups: tuple[str, ...] = ()
    forwarded: Secret[bytes] | None = None
    ntlm_mic: bool | None = None
    mech_list_mic: bool | None = None
    channel_bindings: bool = False

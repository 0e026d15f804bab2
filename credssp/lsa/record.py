"""What the agent's audit is told: one record for each login, refused ones included. Never a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from credssp.lsa.caller import Caller
from credssp.status import SecurityStatus

__all__ = ["LoginRecord", "Outcome"]

Outcome: TypeAlias = Literal["success", "refused", "failed", "abandoned"]
"""``refused`` by the agent's own rules, ``failed`` by the server or the protocol, ``abandoned`` by the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRecord:
    """One login through the agent.

    Attributes:
        caller: the program that asked for it.
        credential: the name that it gave, which may be that of no credential.
        target: SPN of the server, as it was given.
        package: ``CREDSSP``, or the security package that was asked for.
        mechanism: ``ntlm`` or ``kerberos``; empty where none was at work.
        outcome: how it ended.
        status: SEC_E_OK, or why it did not succeed.
        reason: the rule that refused it (`credssp.lsa.opened.Reason`), or the name of the error; empty for a success.
        delegated: whether the server was given credentials.
        seconds: how long it took.
        proof_sent: whether what the program got may hold a proof of the password: with NTLM, one to guess at.
    """

    caller: Caller
    credential: str
    target: str
    package: str
    mechanism: str
    outcome: Outcome
    status: SecurityStatus | int
    reason: str
    delegated: bool
    seconds: float
    proof_sent: bool = False

"""What is told about the connections of a server: one form for all events of all commands.

Every event is a JSON object whose first members are those of `AuditEvent`, in this order, followed by members of its
own. A later release adds events and members, and removes none. What the client chose comes after what we know, and
JSON escapes it, so that a regular expression that is anchored at the beginning cannot be deceived
(``docs/examples/fail2ban/``).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from credssp.drivers.handshake import DeadlineError
from credssp.errors import (
    AuthenticationError,
    BindingError,
    CredSSPError,
    LimitExceededError,
    LocalProtocolError,
    PeerClosedError,
    PolicyError,
    RemoteProtocolError,
    TLSError,
    VersionError,
    Wrong,
)
from credssp.identity import Identity
from credssp.status import NTStatus

__all__ = ["REASONS", "AuditEvent", "Outcome", "Reason", "TargetError", "reason_of", "wrong_of"]

Outcome: TypeAlias = Literal["", "success", "failure"]
"""How a login ended; empty where an event is not the end of one."""

Reason: TypeAlias = Literal[
    "",
    "logon_failure",
    "locked",
    "account_restricted",
    "bad_bindings",
    "key_mismatch",
    "not_authorized",
    "version",
    "policy",
    "timeout",
    "closed",
    "limit",
    "tls",
    "protocol",
    "target",
    "internal",
]
"""Why a login failed, in one word.

``logon_failure``: unknown user or wrong password. ``locked``: the account was locked, and its password not judged.
``account_restricted``: the password is right, and the account disabled, expired or otherwise not to log on.
``bad_bindings``: the password is right, and the client proved another certificate of https than ours; ``key_mismatch``:
the same for the key inside CredSSP. Both mean that somebody relays logins, or a proxy that opens https.
``not_authorized``: authenticated, and the `authorize` callback said no. ``version``: a CredSSP version that is not
accepted. ``policy``: our own policy. ``timeout``, ``closed``, ``limit``: the client was too slow, went away, or cost
too much. ``tls``, ``protocol``: what it sent makes no sense. ``target``: of a gateway, its target, for which the
client is not to blame. ``internal``: a fault of the server.
"""

REASONS: Final = frozenset(get_args(Reason))


class TargetError(CredSSPError):
    """A gateway could not log on to its target, for a reason that is not the client's; the cause is why."""


_BY_CLASS: Final[tuple[tuple[type[CredSSPError], Reason], ...]] = (
    (TargetError, "target"),
    (BindingError, "key_mismatch"),
    (VersionError, "version"),
    (PolicyError, "policy"),
    (DeadlineError, "timeout"),
    (PeerClosedError, "closed"),
    (LimitExceededError, "limit"),
    (TLSError, "tls"),
    (RemoteProtocolError, "protocol"),
    (LocalProtocolError, "internal"),
)
_BY_STATUS: Final[dict[int | None, Reason]] = {
    NTStatus.STATUS_BAD_BINDINGS: "bad_bindings",
    NTStatus.STATUS_ACCESS_DENIED: "not_authorized",
    NTStatus.STATUS_LOGON_FAILURE: "logon_failure",
}


def reason_of(error: CredSSPError, *, locked: bool = False) -> Reason:
    """Return why a login failed, in one word."""
    if locked:
        return "locked"
    for kind, reason in _BY_CLASS:
        if isinstance(error, kind):
            return reason
    known = _BY_STATUS.get(error.ntstatus)
    if known is not None:
        return known
    return "account_restricted" if isinstance(error, AuthenticationError) else "protocol"


def wrong_of(error: CredSSPError, *, locked: bool = False) -> Wrong:
    """Return which of name, password and state of the account was wrong, where a server knows it."""
    if locked:
        return "account"
    return "" if error.claim is None else error.claim.wrong


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """What all events have. Members that do not apply are empty strings.

    Attributes:
        event: its name.
        time: when, in UTC, as in RFC 3339.
        id: the same for all events of one connection, and of no other.
        address: the client's address without the port; of ``listening``, where the server listens.
        outcome: how the login ended.
        reason: why it failed.
        user: who logged on; of a login that failed, who the client said to be.
        domain: the domain of `user`.
        workstation: what the client calls its machine; not proved.
        mechanism: ``ntlm`` or ``kerberos``.
    """

    event: str
    time: str = field(default_factory=_now)
    id: str = ""
    address: str = ""
    outcome: Outcome = ""
    reason: Reason = ""
    user: str = ""
    domain: str = ""
    workstation: str = ""
    mechanism: str = ""

    @classmethod
    def of_login(cls, event: str, identity: Identity, *, id: str, address: str) -> Self:  # noqa: A002  # its name
        """Make the event of a login that went well."""
        return cls(
            event=event,
            id=id,
            address=address,
            outcome="success",
            user=identity.username,
            domain=identity.domain,
            workstation=identity.workstation,
            mechanism=identity.mechanism,
        )

    @classmethod
    def of_failure(
        cls,
        event: str,
        error: CredSSPError,
        *,
        id: str,  # noqa: A002  # its name
        address: str,
        locked: bool = False,
        identity: Identity | None = None,
    ) -> Self:
        """Make the event of a login that failed; `identity` where the client was authenticated all the same."""
        who = error.claim if identity is None else identity
        return cls(
            event=event,
            id=id,
            address=address,
            outcome="failure",
            reason=reason_of(error, locked=locked),
            user="" if who is None else who.username,
            domain="" if who is None else who.domain,
            workstation="" if who is None else who.workstation,
            mechanism="" if who is None else who.mechanism,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the members in order."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

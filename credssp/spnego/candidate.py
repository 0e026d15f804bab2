"""A mechanism that SPNEGO may use, before it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from credssp._quick_init import quick_init
from credssp.errors import CredSSPError
from credssp.mechanism import SpnegoMechanism
from credssp.mechanism_name import MechanismName

__all__ = ["Candidate", "SkippedCandidate"]


@quick_init
@dataclass(frozen=True, slots=True)
class Candidate:
    """One mechanism to offer or to accept.

    Attributes:
        name: ``ntlm`` or ``kerberos``.
        oid: how it is called in mechTypes.
        make: makes the security context; called when the mechanism is chosen and not before.
        obstacle: for an acceptor, asked when the client offers the mechanism: why it is skipped nevertheless, or
            None. The client is not told.
    """

    name: MechanismName
    oid: str
    make: Callable[[], SpnegoMechanism]
    obstacle: Callable[[], CredSSPError | None] = lambda: None


@dataclass(frozen=True, slots=True)
class SkippedCandidate:
    """A mechanism that could not start.

    Attributes:
        name: which.
        error: why; ``str(error)`` is fit to be shown.
    """

    name: MechanismName
    error: CredSSPError

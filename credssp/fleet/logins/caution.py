"""When the next login of many may be made, so that a wrong password does not lock the account.

A wrong password counts at the domain for every server that it is tried at, and domains lock an account after a few. So:

* Until one login was accepted, one is made at a time. Servers are looked for in the meantime, which costs no account
  anything: those that are not there are found at once, and the others wait for their turn.
* After that, a few are made at a time: fewer than the wrong passwords after which a domain locks an account, since the
  same name may be another account, with another password, on some of the servers.
* After the first refusal that judged the password, no login is begun any more. The same goes for a proof without an
  answer, as long as it is not known that the password is right.

What a server says about itself, about its domain controller, or about what the user may do there judges no password.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Final

from credssp.fleet.logins.outcome import LoginOutcome, refused_by
from credssp.fleet.logins.turn import NotTriedError
from credssp.fleet.target_url import TargetURL
from credssp.status import NTStatus, SecurityStatus, describe
from credssp.winrm.errors import WinRMError

__all__ = ["AT_ONCE", "Admittance", "Caution", "judged_password"]

AT_ONCE: Final = 4
"""Logins at a time once one was accepted. Domains that lock accounts do it after 5 wrong passwords, or more."""

_NOT_THE_PASSWORD: Final = frozenset(
    {
        # The user may not log on there; the password is right.
        NTStatus.STATUS_ACCESS_DENIED,
        NTStatus.STATUS_LOGON_NOT_GRANTED,
        NTStatus.STATUS_LOGON_TYPE_NOT_GRANTED,
        NTStatus.STATUS_AUTHENTICATION_FIREWALL_FAILED,
        # The server, or its way to the domain, is in trouble.
        NTStatus.STATUS_NO_LOGON_SERVERS,
        NTStatus.STATUS_DOMAIN_CONTROLLER_NOT_FOUND,
        NTStatus.STATUS_NETLOGON_NOT_STARTED,
        NTStatus.STATUS_NO_TRUST_LSA_SECRET,
        NTStatus.STATUS_NO_TRUST_SAM_ACCOUNT,
        NTStatus.STATUS_TRUSTED_DOMAIN_FAILURE,
        NTStatus.STATUS_TRUSTED_RELATIONSHIP_FAILURE,
        NTStatus.STATUS_TRUST_FAILURE,
        NTStatus.STATUS_CTX_LOGON_DISABLED,
        NTStatus.STATUS_INSUFFICIENT_RESOURCES,
        NTStatus.STATUS_NO_MEMORY,
        NTStatus.STATUS_NOT_SUPPORTED,
        NTStatus.STATUS_NTLM_BLOCKED,
        NTStatus.STATUS_BAD_BINDINGS,
        SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
        SecurityStatus.SEC_E_BAD_BINDINGS,
    }
)
"""Codes of refusals that say nothing about the password; whatever is not here is taken for a judgement."""

_FORBIDDEN: Final = 403

_WHO: Final = {"kdc": "the KDC", "card": "the card"}


def judged_password(outcome: LoginOutcome) -> bool:
    """Whether somebody refused the password, the PIN or the account, so that one more attempt may count against it."""
    error = outcome.error
    if error is None or refused_by(error) is None or error.error_code in _NOT_THE_PASSWORD:
        return False
    return not (isinstance(error, WinRMError) and error.http_status == _FORBIDDEN)


class Caution:
    """Decides for all logins of a run. Any thread may call it.

    Args:
        at_once: logins at a time, once one was accepted.
        keep_going: make so many from the beginning, and stop for no refusal.
        pace: called before each connection; returns the seconds to wait until it may be made. See `Pace`.

    Attributes:
        reason: why no login is begun any more; None as long as they are.
    """

    def __init__(
        self, *, at_once: int = AT_ONCE, keep_going: bool = False, pace: Callable[[], float] | None = None
    ) -> None:
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._at_once = at_once
        self._keep_going = keep_going
        self._proved = keep_going
        self._pace = pace
        self._under_way = self._waiting = 0
        self.reason: str | None = None

    def stop(self, reason: str) -> None:
        """Let no login begin any more."""
        with self._changed:
            if self.reason is None:
                self.reason = reason
            self._ended.set()
            self._changed.notify_all()

    def wait_for_pace(self) -> None:
        """Return once a connection may be made. Raises NotTriedError."""
        if self._pace is not None:
            self._ended.wait(self._pace())
        if self.reason is not None:
            raise NotTriedError(self.reason)

    def enter(self, *, wait: bool) -> bool:
        """Take a turn, which `leave` gives back; returns whether there was one. Raises NotTriedError."""
        with self._changed:
            if not wait:
                return not self._waiting and self._enter()
            self._waiting += 1
            try:
                while not self._enter():
                    self._changed.wait()
            finally:
                self._waiting -= 1
            return True

    def leave(self, reason: str, *, proved: bool) -> None:
        """Give back a turn.

        Args:
            reason: why no login should be begun any more; empty where there is no reason.
            proved: whether this login was accepted.
        """
        with self._changed:
            self._proved = self._proved or proved
            if reason:
                self.stop(reason)  # before another login takes the turn
            self._under_way -= 1
            self._changed.notify_all()

    def why_stop(self, target: TargetURL, outcome: LoginOutcome | None) -> str:
        """Return why no login should be begun after this one; an empty string where there is no reason.

        Args:
            target: the server.
            outcome: what came of it; None where it ended by a fault of ours.
        """
        if self._keep_going:
            return ""
        if outcome is None:
            return "" if self._proved else f"the login to {target} ended by a bug in credssp"
        error = outcome.error
        if error is None:
            return ""
        name = describe(error.error_code).summary
        by = refused_by(error)
        if judged_password(outcome):
            return f"{_WHO.get(by or '', target)} refused the login: {name}"
        if by is None and outcome.proof_sent and not self._proved:
            return f"{target} has a proof of the password, and did not say whether it is right: {name}"
        return ""

    def _enter(self) -> bool:
        if self.reason is not None:
            raise NotTriedError(self.reason)
        if self._under_way >= (self._at_once if self._proved else 1):
            return False
        self._under_way += 1
        return True


class Admittance:
    """The turn of one login (`credssp.fleet.logins.turn.Turn`).

    Attributes:
        entered: whether the login may have begun.
        over: whether it has ended since then.
    """

    def __init__(self, caution: Caution) -> None:
        self._caution = caution
        self._has_turn = False
        self.entered = self.over = False

    def enter_now(self) -> None:
        """Take a turn if there is one, and no other server waits for it."""
        with contextlib.suppress(NotTriedError):
            self._has_turn = self._caution.enter(wait=False)

    def __call__(self, look: Callable[[], object]) -> None:
        """Wait. Raises NotTriedError, and what `look` raises."""
        self._caution.wait_for_pace()
        if not self._has_turn:
            look()
            self._has_turn = self._caution.enter(wait=True)
            self._caution.wait_for_pace()
        self.entered = True

    def leave(self, reason: str, *, proved: bool = False) -> None:
        """Give the turn back; nothing happens without one."""
        if self._has_turn:
            self._has_turn, self.over = False, self.entered
            self._caution.leave(reason, proved=proved)

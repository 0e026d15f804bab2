"""Logins to many servers, a few at a time, as `credssp.fleet.logins.caution` allows."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from credssp.config import ClientConfig
from credssp.errors import CredSSPError
from credssp.fleet.logins.caution import AT_ONCE, Admittance, Caution
from credssp.fleet.logins.legs import LoginLeg
from credssp.fleet.logins.login import log_on, login_facts, no_login, not_begun, who
from credssp.fleet.logins.tickets import with_shared_tickets
from credssp.fleet.logins.turn import NotTriedError
from credssp.fleet.record import Facts
from credssp.fleet.target_url import TargetURL
from credssp.status import describe

__all__ = ["log_on_all"]

logger = logging.getLogger("credssp.fleet")

_DUE: Final = 1.0
"""Seconds for the result of a login that is over: its thread has to run once more."""

_NOTICED: Final = 0.5
"""Seconds after which an interrupt is noticed at the latest."""

_INTERRUPTED: Final = "the run was interrupted; whether the server had a proof of the password is not known"


def log_on_all(
    targets: Iterable[TargetURL],
    *,
    config: ClientConfig,
    done: Callable[[Facts], object],
    adapt: Callable[[ClientConfig, TargetURL], ClientConfig] | None = None,
    concurrency: int = 64,
    at_once: int = AT_ONCE,
    keep_going: bool = False,
    pace: Callable[[], float] | None = None,
    on_leg: Callable[[TargetURL, LoginLeg], object] | None = None,
) -> str | None:
    """Log on to all targets, until a refusal judges the password.

    Args:
        targets: taken one by one, so that a large range costs nothing.
        config: who logs on and how.
        done: called, in this thread, with the facts of each, in the order in which they are done; at the end with those
            of targets that were not tried. An interrupt (KeyboardInterrupt) is raised after it was called with what was
            under way.
        adapt: returns the configuration for one target, with its proxy, say. It is called in a thread, and may raise
            CredSSPError.
        concurrency: how many servers are connected to at a time.
        at_once: how many logins are made at a time, once one was accepted; before, it is one.
        keep_going: make as many as `concurrency` at a time from the beginning, and stop for no refusal.
        pace: called before each connection; returns the seconds to wait until it may be made. See `Pace`.
        on_leg: called, in a thread, with everything that goes over the wire.

    Returns:
        Why no login was begun any more, or None where there was no reason.

    Raises:
        Exception: what `done` or the iterator of `targets` raised.
    """
    at_once = concurrency if keep_going else min(at_once, concurrency)
    caution = Caution(at_once=at_once, keep_going=keep_going, pace=pace)
    run = _Run(config, adapt, caution, on_leg)
    source = iter(targets)
    try:
        for facts in run.get_tickets(source):
            done(facts)
        for facts in run.results(source, concurrency):
            done(facts)
        if caution.reason is not None:
            for target in source:
                done(not_begun(target, run.user, caution.reason))
    except KeyboardInterrupt:
        caution.stop("the run was interrupted")
        for facts in run.interrupted():
            done(facts)
        raise
    finally:
        caution.stop("the run is over")
    return run.reason


class _Run:
    """The threads of a run. They are daemons, so that an interrupt does not wait for a server."""

    def __init__(
        self,
        config: ClientConfig,
        adapt: Callable[[ClientConfig, TargetURL], ClientConfig] | None,
        caution: Caution,
        on_leg: Callable[[TargetURL, LoginLeg], object] | None,
    ) -> None:
        self.user = who(config.credentials)
        self.reason: str | None = None
        self._config = config
        self._adapt = adapt
        self._caution = caution
        self._on_leg = on_leg
        self._results: queue.SimpleQueue[tuple[int, Facts]] = queue.SimpleQueue()
        self._under_way: dict[int, tuple[TargetURL, Admittance]] = {}

    def get_tickets(self, source: Iterator[TargetURL]) -> Iterator[Facts]:
        """Get the tickets for all logins; yield the facts of the first target where there are none."""
        try:
            self._config = with_shared_tickets(self._config)
        except CredSSPError as error:
            self._caution.stop(f"there is no Kerberos ticket: {describe(error.error_code).summary}")
            for target in itertools.islice(source, 1):
                yield no_login(target, self.user, error)

    def results(self, source: Iterator[TargetURL], concurrency: int) -> Iterator[Facts]:
        """Yield facts until nothing is under way, and there is nothing more to begin."""
        number = 0
        more = True
        while True:
            while more and self._caution.reason is None and len(self._under_way) < concurrency:
                target = next(source, None)
                if target is None:
                    more = False
                    break
                number += 1
                admission = Admittance(self._caution)
                admission.enter_now()  # here, so that the first target is the first one that is tried
                self._under_way[number] = target, admission
                name = f"credssp login {number}"
                threading.Thread(target=self._work, args=(number, target, admission), name=name, daemon=True).start()
            if not self._under_way:
                self.reason = self._caution.reason
                return
            which, facts = self._next()
            del self._under_way[which]
            yield facts

    def _next(self) -> tuple[int, Facts]:
        """Wait for a result. An interrupt that comes just before a wait is noticed after it, so none is long."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._results.get(timeout=_NOTICED)

    def interrupted(self) -> Iterator[Facts]:
        """Yield what is done by now, and the logins that were under way."""
        with contextlib.suppress(queue.Empty):
            while True:
                due = any(admission.over for _, admission in self._under_way.values())
                which, facts = self._results.get(timeout=_DUE if due else 0)
                if self._under_way.pop(which, None) is not None:
                    yield facts
        for target, admission in self._under_way.values():
            if admission.entered:
                yield not_begun(target, self.user, _INTERRUPTED, outcome="interrupted")
        self._under_way.clear()

    def _work(self, number: int, target: TargetURL, admission: Admittance) -> None:
        """Log on; whatever happens becomes a result, for which the other thread waits."""
        try:
            facts = self._log_on(target, admission)
        except NotTriedError as stopped:
            facts = not_begun(target, self.user, str(stopped))
        except CredSSPError as error:
            facts = no_login(target, self.user, error)
        except Exception as error:
            # One bad host never stops the rest: this is a bug of ours, and the report says so.
            logger.exception("the login to %s failed", target)
            admission.leave(self._caution.why_stop(target, None))
            facts = not_begun(target, self.user, f"this is a bug in credssp: {type(error).__name__}", outcome="local")
        admission.leave("")
        self._results.put((number, facts))

    def _log_on(self, target: TargetURL, admission: Admittance) -> dict[str, Any]:
        config = self._config if self._adapt is None else self._adapt(self._config, target)
        told = self._on_leg
        on_leg = None if told is None else lambda leg: told(target, leg)
        outcome = log_on(target, config, turn=admission, on_leg=on_leg)
        admission.leave(self._caution.why_stop(target, outcome), proved=outcome.error is None)
        return login_facts(target, self.user, outcome)

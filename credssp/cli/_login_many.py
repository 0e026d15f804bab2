"""``credssp login`` to many servers."""

from __future__ import annotations

import argparse

from credssp.cli._legs import leg_printer
from credssp.cli._login_config import LoginPlan
from credssp.cli._login_output import login_forms
from credssp.cli._many import ManyServers
from credssp.cli._results import Output
from credssp.cli._target_source import TargetSource
from credssp.fleet.logins.caution import AT_ONCE
from credssp.fleet.logins.login import who
from credssp.fleet.logins.run import log_on_all
from credssp.fleet.pace import Pace
from credssp.fleet.record import Facts

__all__ = ["log_on_to_all"]


def log_on_to_all(arguments: argparse.Namespace, source: TargetSource, plan: LoginPlan) -> int:
    """Log on, and print what comes of it. Raises LocalProtocolError."""
    output = Output(arguments, source.total, login_forms(who(plan.config.credentials)))
    keep_going = arguments.keep_going
    show = leg_printer() if arguments.verbose else None
    with ManyServers(output, source) as servers:
        log_on_all(
            servers.left(),
            config=plan.config,
            adapt=plan.adapt,
            done=lambda facts: servers.done(facts, keep=_is_kept(facts, keep_going=keep_going)),
            concurrency=arguments.concurrency,
            at_once=min(AT_ONCE, arguments.concurrency),
            keep_going=keep_going,
            pace=None if arguments.rate is None else Pace(arguments.rate),
            on_leg=None if show is None else lambda target, leg: show(leg, str(target)),
        )
    return output.totals.exit_code


def _is_kept(facts: Facts, *, keep_going: bool) -> bool:
    """Return whether the next run leaves the server out: whether this would come of it once more.

    What may be about a wrong password would not, with the right one: a refusal, and no answer to a proof, which is sent
    once the server's version is known. Nor would what was missing on this machine.
    """
    outcome = facts["outcome"]
    if outcome in ("not_tried", "interrupted", "local"):
        return False
    unanswered = outcome == "no_login" and facts.get("credssp") is not None
    return keep_going or (facts["refused_by"] is None and not unanswered)

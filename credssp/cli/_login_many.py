"""``credssp login`` to many servers."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from credssp.cli._legs import leg_printer
from credssp.cli._login_config import LoginPlan
from credssp.cli._login_output import login_forms
from credssp.cli._progress import ProgressLine
from credssp.cli._results import Output
from credssp.cli._target_source import TargetSource
from credssp.fleet.logins.caution import AT_ONCE
from credssp.fleet.logins.login import who
from credssp.fleet.logins.run import log_on_all
from credssp.fleet.logins.totals import LoginTotals
from credssp.fleet.pace import Pace
from credssp.fleet.record import Facts
from credssp.fleet.target_url import TargetURL

__all__ = ["log_on_to_all"]


def log_on_to_all(arguments: argparse.Namespace, source: TargetSource, plan: LoginPlan) -> int:
    """Log on, and print what comes of it. Raises LocalProtocolError."""
    output = Output(arguments, source.total, login_forms(who(plan.config.credentials)))
    begin = time.monotonic()
    try:
        _log_on(arguments, source, plan, output)
    except KeyboardInterrupt:
        _end(output, begin, source.total)
        raise
    _end(output, begin, source.total)
    return output.totals.exit_code


def _log_on(arguments: argparse.Namespace, source: TargetSource, plan: LoginPlan, output: Output[LoginTotals]) -> None:
    keep_going = arguments.keep_going
    show = leg_printer() if arguments.verbose else None
    with ProgressLine(source.total) as progress:

        def left() -> Iterator[TargetURL]:
            for target in source:
                if str(target) in output.done:
                    progress.advance()
                else:
                    yield target

        def done(facts: Facts) -> None:
            # A refusal that may be about a wrong password is not kept: the next run, with the right one, tries again.
            keep = facts["outcome"] not in ("not_tried", "interrupted") and (keep_going or facts["refused_by"] is None)
            with progress.hidden():
                output.add(facts, keep=keep)
            progress.advance()

        log_on_all(
            left(),
            config=plan.config,
            adapt=plan.adapt,
            done=done,
            concurrency=arguments.concurrency,
            at_once=min(AT_ONCE, arguments.concurrency),
            keep_going=keep_going,
            pace=None if arguments.rate is None else Pace(arguments.rate),
            on_leg=None if show is None else lambda target, leg: show(leg, str(target)),
        )


def _end(output: Output[LoginTotals], begin: float, total: int) -> None:
    """Print what comes at the end, after an interrupt too."""
    output.totals.seconds = time.monotonic() - begin
    output.finish()
    if total > 1:
        earlier = f"; {output.resumed:,} are from an earlier run" if output.resumed else ""
        print(f"{output.totals.summary()}{earlier}", file=sys.stderr)

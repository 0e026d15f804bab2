"""``credssp probe``: what servers offer, without credentials."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from credssp.cli import _fleet_arguments, _legs, _ways

if TYPE_CHECKING:
    from credssp.cli._many import ManyServers
    from credssp.fleet.probing import ProbeRequest
    from credssp.fleet.totals import Totals

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 at least one server offers CredSSP; 1 none does; 2 wrong usage; 3 no server answered. "
        "With --json, one JSON object per line and server, in the order in which they are done."
    )
    _fleet_arguments.add_target_arguments(parser)
    _fleet_arguments.add_form_arguments(parser)
    _fleet_arguments.add_run_arguments(parser, again="probe", concurrency="servers at once (default: 64)")
    _legs.add_argument(parser)
    parser.add_argument(
        "--dask", metavar="SCHEDULER", help="let the workers of a Dask cluster probe: tcp://HOST:PORT (extra dask)"
    )
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="for each answer (default: 5)")
    _ways.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Probe and print."""
    from credssp.cli._many import ManyServers
    from credssp.cli._output import printable
    from credssp.cli._probe_output import PROBES
    from credssp.cli._results import Output
    from credssp.cli._target_source import TargetSource, is_meant
    from credssp.errors import LocalProtocolError

    try:
        request = _request(arguments)
        source = TargetSource(arguments, request.way.options, command="probe")
        if not is_meant(source.total, "Probe {} targets?", yes=arguments.yes):
            return 2
        output = Output(arguments, source.total, PROBES)
        if arguments.verbose:
            _legs.show_probe_legs()
        with ManyServers(output, source) as servers:
            _probe(arguments, servers, request)
    except LocalProtocolError as error:
        print(f"credssp probe: {printable(error.message)}", file=sys.stderr)
        return 2
    if output.totals.with_credssp:
        return 0
    return 1 if output.totals.answered else 3


def _request(arguments: argparse.Namespace) -> ProbeRequest:
    from credssp.errors import LocalProtocolError
    from credssp.fleet.probing import ProbeRequest

    if not 0 < arguments.timeout < 3600:
        raise LocalProtocolError("--timeout is a positive number of seconds")
    _fleet_arguments.check_rate(arguments.rate)
    return ProbeRequest(arguments.timeout, _ways.way_of(arguments))


def _probe(arguments: argparse.Namespace, servers: ManyServers[Totals], request: ProbeRequest) -> None:
    import asyncio
    import dataclasses

    from credssp.fleet.dask_cluster import dask_executor
    from credssp.fleet.pace import Pace
    from credssp.fleet.run import probe_all, probe_over

    if arguments.dask is None:
        pace = None if arguments.rate is None else Pace(arguments.rate)
        paced = dataclasses.replace(request, pace=pace)
        asyncio.run(probe_all(servers.left(), request=paced, done=servers.done, concurrency=arguments.concurrency))
        return
    with dask_executor(arguments.dask) as (executor, ahead):
        probe_over(
            executor,
            servers.left(),
            request=request,
            done=servers.done,
            rate=arguments.rate,
            concurrency=arguments.concurrency,
            ahead=ahead,
        )

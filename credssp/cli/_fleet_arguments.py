"""The arguments about many servers, which ``probe``, ``login`` and ``report`` share."""

from __future__ import annotations

import argparse
from typing import Final

from credssp.cli._arguments import count

__all__ = ["UNASKED", "add_form_arguments", "add_run_arguments", "add_target_arguments", "check_rate"]

UNASKED: Final = 4096
"""Targets that are taken without a question."""


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="HOST, HOST:PORT, a URL (rdp://, http://, https://), a range (192.0.2.0/24, 192.0.2.10-20)",
    )
    parser.add_argument(
        "--file", metavar="LIST", help="file with a target per line; # begins a comment; - for standard input"
    )
    parser.add_argument("--port", metavar="N", help="ports for targets without one: 3389, 3389,3390 or 3389-3399")
    parser.add_argument("--yes", action="store_true", help=f"do not ask before more than {UNASKED:,} targets")


def add_form_arguments(
    parser: argparse.ArgumentParser,
    *,
    table: str = "print a line for each server that answered (default)",
    json: str = "print one JSON object per line and server",
    html: str = "write one HTML page: totals, certificates, findings, servers",
) -> None:
    """Declare the forms in which results are printed and written.

    Args:
        parser: of the command.
        table: what ``--table`` does.
        json: what ``--json`` does.
        html: what ``--html`` does.
    """
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--text", action="store_true", help="print a block for each server (default for one server)")
    form.add_argument("--table", action="store_true", help=table)
    form.add_argument("--json", action="store_true", help=json)
    form.add_argument("--csv", action="store_true", help="print comma-separated values, with all facts")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML: a test for each server")
    parser.add_argument("--html", metavar="FILE", help=html)


def add_run_arguments(to: argparse._ActionsContainer, *, again: str, concurrency: str) -> None:
    """Declare how a run over many servers is made.

    Args:
        to: a parser, or a group of one.
        again: what ``--resume`` leaves out.
        concurrency: what ``--concurrency`` means.
    """
    to.add_argument(
        "--resume",
        metavar="FILE",
        help=f"keep the results in this file (JSON lines), and do not {again} again what it has already",
    )
    to.add_argument("--concurrency", type=count(4096), default=64, metavar="N", help=concurrency)
    to.add_argument(
        "--rate", type=float, metavar="N", help="connections per second at most (default: no limit but --concurrency)"
    )


def check_rate(rate: float | None) -> None:
    """Refuse a ``--rate`` that no run can keep. Raises LocalProtocolError."""
    from credssp.errors import LocalProtocolError

    if rate is not None and not 0.01 <= rate <= 1_000_000:
        raise LocalProtocolError("--rate is a number of connections per second from 0.01 to 1000000")

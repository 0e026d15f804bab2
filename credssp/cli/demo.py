"""``credssp demo``: a whole login over loopback, with nothing needed around it."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from credssp.protocol_version import HIGHEST_VERSION, UPDATED_VERSION, VERSIONS

__all__ = ["configure", "run"]

_KEYS: Final = ("rsa", "ec", "ed25519")
_MECHANISMS: Final = ("auto", "negotiate", "ntlm")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "The server has a certificate made on the spot and one account with a random password. "
        "Exit code 0 means that it received exactly the credentials that the client sent."
    )
    parser.add_argument("--tls", choices=("1.2", "1.3"), help="the TLS version (default: the highest)")
    parser.add_argument(
        "--version", type=int, choices=VERSIONS, default=HIGHEST_VERSION, help="the CredSSP version (default: 6)"
    )
    parser.add_argument("--key", choices=_KEYS, default="rsa", help="the server's key (default: rsa)")
    parser.add_argument("--mechanism", choices=_MECHANISMS, default="auto", help="how to authenticate (default: auto)")
    parser.add_argument("--reveal", action="store_true", help="show the password that was delegated")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Log on, show it, and tell whether all went as it must."""
    from credssp.cli._demo_report import print_report
    from credssp.cli._demo_run import log_on

    warnings = []
    if arguments.version < UPDATED_VERSION:
        warnings.append(
            f"CredSSP version {arguments.version} is open to CVE-2018-0886; the lowest version accepted was brought "
            f"down from {UPDATED_VERSION} to {arguments.version} for this demonstration"
        )
    for warning in warnings:
        print(f"credssp demo: warning: {warning}", file=sys.stderr)
    outcome = log_on(tls=arguments.tls, version=arguments.version, key=arguments.key, mechanism=arguments.mechanism)
    print_report(outcome, warnings, reveal=arguments.reveal, as_json=arguments.json)
    if outcome.transcript.failures:
        raise outcome.transcript.failures[0]
    return 0 if outcome.ok else 1

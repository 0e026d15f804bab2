"""``credssp login``: try a login as mstsc or winrs would, up to the authorization result, at one server or many."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from credssp.cli import _fleet_arguments, _legs, _login_credentials, _transcript, _ways
from credssp.cli._arguments import seconds
from credssp.protocol_version import VERSIONS

if TYPE_CHECKING:
    from credssp.cli._login_config import LoginWay
    from credssp.fleet.target_url import TargetURL

__all__ = ["configure", "run"]

_NAME: Final = "credssp login: "


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 accepted; 1 refused by the server or a KDC; 2 wrong usage; 3 no connection, or no CredSSP "
        "offered; 4 one of our own checks failed (key mismatch, certificate, version, policy). Of several targets the "
        "worst counts: 4, 1, 2, 3, and 0 if every login was accepted.\n"
        "Several targets are tried until a refusal judges the password (--keep-going tries all), one at a time until a "
        "login was accepted.\n"
        "The password comes from --password-file or --password-command, else from CREDSSP_PASSWORD, else you are asked."
    )
    _fleet_arguments.add_target_arguments(parser)
    _login_credentials.add_arguments(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--mechanism",
        choices=("auto", "negotiate", "ntlm", "kerberos"),
        default="auto",
        help="how to authenticate (default: auto, as Windows chooses)",
    )
    how.add_argument(
        "--allow-ntlm-downgrade",
        action="store_true",
        help="follow a server that selects NTLM although there is a Kerberos ticket for it (as attackers do)",
    )
    how.add_argument(
        "--min-version", type=int, choices=VERSIONS, metavar="N", help="lowest CredSSP version to accept, 2 to 6"
    )
    check = how.add_mutually_exclusive_group()
    check.add_argument("--cacert", metavar="F", help="PEM file with the root certificates to trust")
    check.add_argument("--fingerprint", metavar="SHA256", help="expected SHA-256 fingerprint of the certificate")
    how.add_argument(
        "--legacy-tls",
        action="store_true",
        help="allow TLS 1.0, 1.1 and old ciphers for this host: attackers may then read and change what is sent",
    )
    how.add_argument("--timeout", type=seconds, default=30.0, metavar="S", help="for a whole login (default: 30)")
    _ways.add_arguments(parser)
    parser.add_argument(
        "--transcript", metavar="FILE", help="write all messages to this file, for `credssp dissect`; keep it private"
    )
    _legs.add_argument(parser)
    _fleet_arguments.add_form_arguments(
        parser,
        table="print a line for each server (default for several)",
        json="print one JSON object; of several servers, one per line",
        html="write one HTML page: totals, statuses, servers",
    )
    many = parser.add_argument_group("several targets")
    many.add_argument(
        "--keep-going",
        action="store_true",
        help="try every target, whatever the first ones say: with a wrong password, this locks the account",
    )
    _fleet_arguments.add_run_arguments(
        many,
        again="try",
        concurrency="servers to connect to at once (default: 64); logins are made one at a time, then 4",
    )


def run(arguments: argparse.Namespace) -> int:
    """Try it and say what came of it."""
    from credssp.cli._login_config import LoginPlan, LoginWay
    from credssp.cli._output import printable
    from credssp.cli._target_source import TargetSource, is_meant
    from credssp.errors import LocalProtocolError

    try:
        way = LoginWay.of(arguments)
        source = TargetSource(arguments, way.check, command="login")
        if source.total == 1 and not _is_run(arguments):
            return _log_on_to_one(arguments, next(iter(source)), way)
        if arguments.transcript:
            raise LocalProtocolError(
                "--transcript is about one login: give one target, and none of --file, --table, --csv, --junit, --html "
                "and --resume"
            )
        if not is_meant(source.total, "Log on to {} targets?", yes=arguments.yes):
            return 2
        from credssp.cli._login_many import log_on_to_all

        return log_on_to_all(arguments, source, LoginPlan.of(way))
    except LocalProtocolError as error:
        print(f"credssp login: {printable(error.message)}", file=sys.stderr)
        return 2


def _is_run(arguments: argparse.Namespace) -> bool:
    """Whether one login has the forms of many: from a list, which may have one target today and two tomorrow."""
    files = (arguments.file, arguments.junit, arguments.html, arguments.resume)
    return arguments.table or arguments.csv or any(file is not None for file in files)


def _log_on_to_one(arguments: argparse.Namespace, target: TargetURL, way: LoginWay) -> int:
    """Log on, and print all about it. Raises LocalProtocolError."""
    from credssp.cli._login_config import LoginPlan
    from credssp.cli._login_print import print_login, print_why
    from credssp.cli._output import print_json
    from credssp.errors import CredSSPError, LocalProtocolError
    from credssp.fleet.logins.login import log_on, login_facts, no_login, who
    from credssp.fleet.logins.outcome import exit_code, verdict_on

    user = ""
    try:
        with _transcript.recording(arguments.transcript, str(target)) as transcript:
            plan = LoginPlan.of(way, transcript)
            user = who(plan.config.credentials)
            on_leg = _legs.leg_printer() if arguments.verbose else None
            outcome = log_on(target, plan.adapt(plan.config, target), on_leg=on_leg)
            _transcript.record(transcript, outcome)
    except LocalProtocolError:
        raise
    except CredSSPError as error:
        # No ticket for what is to be delegated: there is not even a connection yet.
        print_why(no_login(target, user, error), sys.stderr, name=_NAME)
        return exit_code(error)
    facts = login_facts(target, user, outcome)
    if arguments.json:
        print_json(facts)
    else:
        print_login(facts, verdict_on(outcome.error))
        print_why(facts, sys.stderr, name=_NAME)
    return exit_code(outcome.error)

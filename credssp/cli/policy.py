"""``credssp policy check TARGET``: may credentials go to this server, and which setting says so?"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from credssp.policy import PolicySettings

__all__ = ["configure", "run"]

_LEVELS = ("none", "ntlm", "certificate", "kerberos")
_SOURCES = ("fresh", "saved", "default")
_MODES = ("plain", "restricted-admin", "remote-guard", "none")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="explain one decision",
        description="Explain one decision: every setting that applies, what it lists, and what matched.",
        epilog="Exit codes: 0 allowed, 1 refused, 2 wrong usage or a policy file that cannot be read.",
        formatter_class=parser.formatter_class,
    )
    check.add_argument("target", metavar="TARGET", help="the server's SPN, such as TERMSRV/host.example.com")
    check.add_argument("--level", choices=_LEVELS, default="ntlm", help="what authenticated the server (default: ntlm)")
    check.add_argument(
        "--source", choices=_SOURCES, default="fresh", help="where credentials come from (default: fresh)"
    )
    check.add_argument("--mode", choices=_MODES, default="plain", help="what would be handed over (default: plain)")
    check.add_argument(
        "--policy", metavar="FILE", help="a TOML or .reg file (default: the policy of a fresh Windows installation)"
    )
    check.add_argument("--domain-joined", action="store_true", default=None, help="decide as for a machine in a domain")
    check.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Explain the decision."""
    from credssp.cli._output import print_json, printable
    from credssp.policy import PolicyFileError, check

    try:
        settings = _settings(arguments)
    except PolicyFileError as error:
        print(f"credssp policy: {printable(error.message)}", file=sys.stderr)
        return 2
    level = "cert" if arguments.level == "certificate" else arguments.level
    explanation = check(
        settings.delegation, arguments.target, level=level, source=arguments.source, mode=arguments.mode
    )
    if arguments.json:
        print_json(explanation.to_dict() | {"ignored": [str(entry) for entry in settings.ignored]})
    else:
        for line in explanation.text.splitlines():
            print(printable(line))
        for entry in settings.ignored:
            print(printable(f"without effect: {entry}"), file=sys.stderr)
    return 0 if explanation.decision.allowed else 1


def _settings(arguments: argparse.Namespace) -> PolicySettings:
    from credssp.policy import DelegationPolicy, PolicySettings, load_policy

    if arguments.policy is not None:
        return load_policy(arguments.policy, domain_joined=arguments.domain_joined)
    return PolicySettings(DelegationPolicy.windows_defaults(domain_joined=bool(arguments.domain_joined)))

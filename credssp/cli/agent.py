"""``credssp agent``: an LSA in a process of its own, which logs on for programs that never see the secret."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["configure", "rewritten", "run"]

_ACTIONS: Final = {
    "run": "hold credentials and log on for programs, until SIGTERM",
    "exec": "start an agent for a command, and end with it: credssp agent -- COMMAND",
    "add": "give a credential to the agent",
    "list": "print what the agent holds, without secrets",
    "remove": "let the agent drop a credential",
    "lock": "let the agent refuse every login until it is unlocked",
    "unlock": "end that",
}


def rewritten(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``exec`` where a command follows two dashes and no action was named."""
    words = list(arguments)
    if "--" not in words or words[0] != "agent":
        return words
    options = words[1 : words.index("--")]
    named = any(word in _ACTIONS for word in options if not word.startswith("-")) and options[0] in _ACTIONS
    return words if named else ["agent", "exec", *words[1:]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "%(prog)s [-h] ACTION ...\n       %(prog)s [--config FILE] [--audit WHERE] -- COMMAND [ARGUMENT ...]"
    parser.epilog = (
        "Exit codes: 0 done or stopped; 1 refused, or no agent answers; 2 wrong usage or a refused file; with a "
        "command that of the command, 126 or 127 where it cannot be run."
    )
    # prog: argparse takes it from the usage, which has two lines here.
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, prog=parser.prog)
    made = {
        name: actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=parser.formatter_class,
        )
        for name, summary in _ACTIONS.items()
    }
    for name in ("run", "exec"):
        made[name].add_argument("--config", metavar="FILE", help="credentials and their rules, a TOML file")
        made[name].add_argument(
            "--audit",
            metavar="WHERE",
            help="where events go: stdout, stderr, journal or a file (default: the configuration's; "
            + ("stdout)" if name == "run" else "the journal if there is one, else stderr)"),
        )
    made["exec"].add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="program and arguments")
    for name in _ACTIONS:
        if name != "exec":
            made[name].add_argument(
                "--socket",
                metavar="PATH",
                help="the agent's socket (default: the configuration's, else credssp/agent.sock in XDG_RUNTIME_DIR)"
                if name == "run"
                else "the agent's socket (default: CREDSSP_AGENT_SOCK, else credssp/agent.sock in XDG_RUNTIME_DIR)",
            )
    _configure_add(made["add"])
    made["list"].add_argument("--json", action="store_true", help="print JSON")
    made["remove"].add_argument("names", metavar="NAME", nargs="+", help="which")
    for name in ("lock", "unlock"):
        made[name].add_argument(
            "--phrase-file", metavar="F", help="file whose first line is the pass phrase; - for standard input"
        )


def _configure_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="by which programs ask for it")
    parser.add_argument("-u", "--user", metavar="USER", help="who logs on: DOMAIN\\NAME or NAME@REALM")
    rules = parser.add_argument_group("rules")
    rules.add_argument(
        "--target",
        metavar="SPN",
        action="append",
        default=[],
        help="servers that it may log on to, such as 'TERMSRV/*.lab.test', or '*' for all; may be given several times",
    )
    rules.add_argument(
        "--mechanism",
        metavar="NAME",
        action="append",
        default=[],
        help="kerberos or ntlm; may be given twice (default: kerberos, and ntlm where it is possible)",
    )
    rules.add_argument(
        "--cacert", metavar="F", help="NTLM: authorities of the servers' certificates (PEM), or 'system'"
    )
    rules.add_argument("--fingerprint", metavar="X", help="NTLM: SHA-256 of the server's certificate")
    rules.add_argument("--lifetime", metavar="TIME", help="drop it after this time: 8h, 30m, 1d")
    rules.add_argument(
        "--confirm", action="store_true", help="ask about every login, by the program in CREDSSP_ASKPASS or SSH_ASKPASS"
    )
    rules.add_argument(
        "--delegate",
        metavar="WHAT",
        help="what servers are given: password, smartcard, remote-guard or nothing (default: what the source has)",
    )
    source = parser.add_argument_group("source (default: CREDSSP_PASSWORD, else the password is asked for)")
    source.add_argument(
        "--password-file", metavar="F", help="file whose first line is the password; - for standard input"
    )
    source.add_argument("--password-command", metavar="CMD", help="program that prints it: 'pass show rdp/alice'")
    source.add_argument("--password-fd", metavar="N", type=int, help="number of an open file to read it from")
    source.add_argument("--systemd", metavar="NAME", help="credential that systemd passed to this process")
    source.add_argument("--keytab", metavar="F", help="keytab with the key of the user")
    source.add_argument("--ccache", metavar="CACHE", help="Kerberos tickets: TYPE:residual, or a file")
    source.add_argument(
        "--pkinit",
        metavar="IDENTITY",
        help="certificate: PKCS11:module_name=M[:token=LABEL], FILE:CERT,KEY or PKCS12:F",
    )
    source.add_argument("--pkinit-anchors", metavar="PLACE", help="authorities of the KDC's certificate: FILE:PEM")
    source.add_argument("--smartcard-pin", metavar="SOURCE", help="the PIN for --pkinit: ask, file:F, env:NAME or fd:N")


def run(arguments: argparse.Namespace) -> int:
    """Serve, or talk to an agent."""
    from credssp.errors import CredSSPError, LocalProtocolError

    if not hasattr(__import__("socket"), "AF_UNIX"):
        print("credssp agent: this system has no Unix-domain sockets, over which the agent is reached", file=sys.stderr)
        return 2
    try:
        if arguments.action == "run":
            from credssp.cli._agent_run import serve

            return serve(arguments)
        if arguments.action == "exec":
            from credssp.cli._agent_run import serve_command

            return serve_command(arguments)
        from credssp.cli import _agent_client

        return _agent_client.run(arguments)
    except LocalProtocolError as error:
        print(f"credssp agent: {error.message}", file=sys.stderr)
        return 2
    except CredSSPError as error:
        print(f"credssp agent: {error}", file=sys.stderr)
        return 1

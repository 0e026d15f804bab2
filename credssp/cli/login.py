"""``credssp login URL``: try a login as mstsc or winrs would, up to the authorization result."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from credssp.cli import _legs, _login_credentials, _transcript, _ways
from credssp.cli._arguments import seconds
from credssp.protocol_version import VERSIONS

if TYPE_CHECKING:
    from credssp.cli._login import LoginOutcome
    from credssp.cli._targets import TargetURL
    from credssp.config import ClientConfig
    from credssp.engine.events import Observer
    from credssp.errors import CredSSPError

__all__ = ["configure", "run"]

_SESSION: Final = {
    "session": "the server answered",
    "closed": "the server closed the connection when it was to begin",
    "none": "no answer, and no refusal either",
}
"""What came of the RDP session with HYBRID, which shows whether the login was accepted."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 accepted; 1 refused by the server or a KDC; 2 wrong usage; 3 no connection, or no CredSSP "
        "offered; 4 one of our own checks failed (key mismatch, certificate, version, policy).\n"
        "The password comes from --password-file or --password-command, else from CREDSSP_PASSWORD, else you are asked."
    )
    parser.add_argument("target", metavar="URL", help="rdp://HOST[:PORT]; http://HOST[:PORT] or https://... for WinRM")
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
    how.add_argument("--timeout", type=seconds, default=30.0, metavar="S", help="for the whole login (default: 30)")
    _ways.add_arguments(parser)
    parser.add_argument(
        "--transcript", metavar="FILE", help="write all messages to this file, for `credssp dissect`; keep it private"
    )
    _legs.add_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Try it and say what came of it."""
    from credssp.cli._login import exit_code
    from credssp.cli._targets import parse_target, transport_of
    from credssp.errors import CredSSPError, LocalProtocolError

    try:
        target = parse_target(arguments.target)
        with _transcript.recording(arguments.transcript, str(target)) as transcript:
            observer = _legs.observing(transcript) if arguments.verbose else transcript
            request = _request(arguments, target, observer)
            outcome = transport_of(target).log_on(target, request)
            _transcript.record(transcript, outcome)
    except LocalProtocolError as error:
        print(f"credssp login: {error.message}", file=sys.stderr)
        return 2
    except CredSSPError as error:
        # No ticket for what is to be delegated: there is not even a connection yet.
        _explain(error)
        return exit_code(error)
    code = exit_code(outcome.error)
    if arguments.json:
        _print_json(target, request, outcome)
    else:
        _print(target, request, outcome, code)
    return code


def _request(arguments: argparse.Namespace, target: TargetURL, observer: Observer | None) -> ClientConfig:
    from credssp.config import ClientConfig, Timeouts
    from credssp.tls.settings import ClientTLS

    credentials = _login_credentials.logon(arguments)
    _login_credentials.check_files(arguments)
    delegated = _login_credentials.delegated(arguments, target, credentials)
    return ClientConfig(
        credentials=credentials,
        delegated_credentials=delegated,
        mechanism="kerberos" if arguments.remote_guard else arguments.mechanism,
        allow_ntlm_downgrade=arguments.allow_ntlm_downgrade,
        allow_empty_password=arguments.empty_password,
        delegate=not arguments.no_delegate,
        restricted_admin=arguments.restricted_admin,
        bind_https=not arguments.no_channel_bindings,
        min_version=arguments.min_version,
        tls=ClientTLS(cafile=arguments.cacert, fingerprint=arguments.fingerprint, legacy=arguments.legacy_tls),
        timeouts=Timeouts(connect=arguments.timeout, leg=arguments.timeout, login=arguments.timeout),
        observer=observer,
        **_ways.way_of(arguments).options(target),
    )


def _print_json(target: TargetURL, request: ClientConfig, outcome: LoginOutcome) -> None:
    from credssp.cli._login import refused_by
    from credssp.cli._output import print_json
    from credssp.fleet.facts import status_facts

    error = outcome.error
    head: dict[str, object] = {"target": str(target), "user": _login_credentials.who(request.credentials)}
    head |= {"accepted": error is None, "refused_by": refused_by(error), "status": status_facts(error)}
    print_json(head | outcome.facts | {"seconds": round(outcome.seconds, 3)})


def _print(target: TargetURL, request: ClientConfig, outcome: LoginOutcome, code: int) -> None:
    from credssp.cli._output import print_facts

    facts = outcome.facts
    shown: dict[str, str] = {}
    shown["user"] = _login_credentials.who(request.credentials)
    if (rdp := facts.get("rdp")) and rdp["selected_protocol"]:
        shown["protocol"] = rdp["selected_protocol"]
    if winrm := facts.get("winrm"):
        if https := winrm["https"]:
            shown["https"] = f"{https['version']}, {https['key_type']}"
            shown["  certificate"] = f"{https['sha256']} ({https['certificate_check']})"
        if winrm["leg"]:
            shown["failed at"] = f"{winrm['leg']}, HTTP {winrm['http_status']}"
        if winrm["identity"]:
            shown["service"] = ", ".join(winrm["identity"].values())
    if tls := facts["tls"]:
        shown["TLS"] = f"{tls['version']}, {tls['cipher']}, {tls['key_type']}"
        shown["certificate"] = f"{tls['certificate_sha256']} ({tls['certificate_check']})"
    if version := facts["credssp"]:
        shown["CredSSP"] = f"version {version['version']} (the server says {version['peer_version']})"
    if facts["mechanism"]:
        shown["mechanism"] = facts["mechanism"]
    if facts["principal"]:
        shown["principal"] = facts["principal"]
    for skip in facts["skipped"]:
        shown["not used"] = f"{skip['mechanism']}: {skip['text']}"
    if outcome.error is None:
        proved = ", ".join(facts["server_authentication"]) or "nothing"
        shown["server proved by"] = proved if facts["server_authenticated"] else f"{proved} (not which server it is)"
        shown["delegated"] = "yes" if facts["delegated"] else "an empty set"
        if facts.get("early_user_authorization"):
            shown["authorization"] = facts["early_user_authorization"]
        elif rdp:
            shown["session"] = _SESSION[rdp["answer"]]
    shown["time"] = f"{outcome.seconds:.3f} s"
    print_facts(f"{_verdict(outcome.error, code)}: {target}", shown)
    if outcome.error is not None:
        _explain(outcome.error)


def _verdict(error: CredSSPError | None, code: int) -> str:
    from credssp.cli._login import refused_by
    from credssp.rdp.client import LoginRefusedError

    if isinstance(error, LoginRefusedError):
        return "refused after the proof"
    names = {"server": "the server", "kdc": "the KDC", "card": "the card"}
    if (who := refused_by(error)) is not None:
        return f"refused by {names[who]}"
    return ("accepted", "refused", "no login", "no login", "stopped by our own check")[code]


def _explain(error: CredSSPError) -> None:
    from credssp.cli._output import printable
    from credssp.fleet.facts import status_facts

    status = status_facts(error)
    advice = "" if status["advice"] in error.message else f": {status['advice']}"
    print(f"credssp login: {printable(error.message)}", file=sys.stderr)
    print(f"  {status['name']} {status['hex']}{advice}", file=sys.stderr)

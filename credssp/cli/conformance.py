"""``credssp conformance``: judge servers, clients and recorded exchanges by the catalogue of rules."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from credssp.conformance import Account, CommandTarget, Report, Result, Rule
    from credssp.conformance.kerberos import TicketSource
    from credssp.conformance.setup import ServerTarget
    from credssp.kerberos.tickets import ServiceKey

__all__ = ["configure", "run"]

_LONGEST = 3600
_LIVE = ("server", "client")
_JUDGING = (*_LIVE, "fixtures")
_SERVER_ONLY = dict.fromkeys(("server_exec", "kerberos", "ccache"), ("server",))
_CLIENT_ONLY = dict.fromkeys(("command", "exec_variant", "exec_reports", "cacert_file"), ("client",))
_BELONGS = {
    **_SERVER_ONLY,
    **_CLIENT_ONLY,
    **dict.fromkeys(("user", "domain", "password_file", "password_command", "spn", "seed"), _LIVE),
    **dict.fromkeys(("expected", "junit", "html", "rule", "verbose", "reveal"), _JUDGING),
    "target": ("server", "fixtures", "rule"),
    "keytab": _LIVE,
}
"""Options, by the names of their values, and what they are for: one that has no effect is refused, not ignored."""

_EPILOG = """Examples:
  credssp conformance server rdp://127.0.0.1:3389 -u alice -d LAB
  credssp conformance server http://127.0.0.1:5985/wsman -u alice -d LAB --rule 'CSSP-PKA*'
  credssp conformance client -u alice -d LAB --exec 'xfreerdp +auth-only /v:{host}:{port} /u:alice ...'
  credssp conformance server rdp://srv.example.test -u alice -d EXAMPLE.TEST --kerberos
  credssp conformance server rdp://127.0.0.1:3390 -u alice -d LAB --server-exec 'my-server --port {port}' --repeat 3
  credssp conformance client -u alice -d EXAMPLE.TEST --keytab F --exec 'rdesktop -u alice {host}:{port}'
  credssp conformance fixtures fixtures --html report.html
  credssp conformance vectors > vectors.json
  credssp conformance rule CSSP-PKA56-11

Test accounts only: the suite logs on dozens of times, with wrong passwords too. The password is read as in
`credssp login`. Exit codes: 0 nothing to act on, 1 findings, 2 wrong usage or a peer that takes no good login."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.set_defaults(account=None)
    parser.add_argument(
        "what", nargs="?", choices=("server", "client", "fixtures", "vectors", "rule"),
        help="what to judge; rule explains rules"
    )  # fmt: skip
    parser.add_argument(
        "target", nargs="?", help="server: rdp:// or http(s):// URL; fixtures: folder; rule: id or pattern"
    )
    parser.add_argument("--list", action="store_true", help="list the rules and stop")
    parser.add_argument("--rule", action="append", default=[], metavar="GLOB", help="only these rules; may be repeated")
    parser.add_argument("-u", "--user", help="account that the peer knows")
    parser.add_argument("-d", "--domain", default="", help="its domain")
    parser.add_argument("--password-file", metavar="F", help="file with its password, - for standard input")
    parser.add_argument("--password-command", metavar="CMD", help="program that prints it")
    parser.add_argument("--exec", dest="command", metavar="CMD", help="client: command line with {host} and {port}")
    parser.add_argument(
        "--exec-variant", action="append", default=[], metavar="NAME=CMD",
        help="client: command line for another set-up, such as spnego or large-message; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--exec-reports", action="store_true",
        help="client: it exits with 0 after a good login alone, and says why not in its last line on stderr",
    )  # fmt: skip
    parser.add_argument(
        "--cacert-file", metavar="F",
        help="client: write the certificates of the suite's endpoints to this file, for it to trust",
    )  # fmt: skip
    parser.add_argument("--transport", choices=("rdp", "http"), default="rdp", help="client: what it speaks")
    parser.add_argument("--kerberos", action="store_true", help="server: with Kerberos too; -d is the realm then")
    parser.add_argument("--ccache", metavar="CACHE", help="server: likewise, with the tickets of this cache")
    parser.add_argument("--spn", metavar="SPN", help="name of the service, if not TERMSRV/HOST or HTTP/HOST")
    parser.add_argument(
        "--keytab",
        metavar="F",
        help="keys of the service: client: with Kerberos too; server: with PACs, too",
    )
    parser.add_argument(
        "--server-exec", metavar="CMD",
        help="server: command line that starts it, {host} and {port} replaced; started again if it ends",
    )  # fmt: skip
    parser.add_argument("--seed", default="", metavar="TEXT", help="the random values of an earlier run")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="try all N times, and list what varies")
    parser.add_argument("--expected", metavar="TOML", help="expected failures with reasons")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="for each answer (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    parser.add_argument("--html", metavar="FILE", help="write one HTML page")
    parser.add_argument("--verbose", action="store_true", help="show every rule, with reasons for skips")
    parser.add_argument("--reveal", action="store_true", help="show whole messages, proofs included")


def run(arguments: argparse.Namespace) -> int:
    """Judge, and report."""
    from credssp.errors import AuthenticationError, LocalProtocolError

    try:
        _check(arguments)
        if arguments.list:
            return _list(arguments)
        if arguments.what == "vectors":
            return _vectors()
        if arguments.what == "rule":
            return _explain(arguments)
        progress = _Progress(quiet=arguments.json, verbose=arguments.verbose)
        begun = datetime.now(UTC)
        with _ended_by_sigterm(), progress:
            report = _judge(arguments, progress)
        return _write(_described(report, arguments, begun), arguments)
    except (LocalProtocolError, AuthenticationError) as error:
        print(f"credssp conformance: {error.message}", file=sys.stderr)
        return 2


def _described(report: Report, arguments: argparse.Namespace, begun: datetime) -> Report:
    """Add when and how the report was made."""
    from dataclasses import replace

    from credssp.cli._conformance_command import command_line

    hidden = "" if arguments.account is None else arguments.account.password.reveal()
    command = command_line(arguments, seed=report.facts.get("seed", ""), hidden=hidden)
    return replace(report, facts=report.facts | {"date": f"{begun:%Y-%m-%d %H:%M:%S} UTC", "command": command})


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as an interrupt would, and stop all programs that were started."""
    from credssp.conformance.program import stop_programs

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        stop_programs()
        signal.signal(signal.SIGTERM, before)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is tried. Raises LocalProtocolError."""
    import math

    from credssp.conformance.runner import select
    from credssp.errors import LocalProtocolError

    for pattern in arguments.rule:
        if not select([pattern]):
            raise LocalProtocolError(f"--rule {pattern}: no rule matches; --list shows all rules")
    if not (math.isfinite(arguments.timeout) and 0 < arguments.timeout <= _LONGEST):
        raise LocalProtocolError(f"--timeout is a number of seconds above 0, up to {_LONGEST}")
    _check_effect(arguments)
    if arguments.repeat < 1:
        raise LocalProtocolError("--repeat is a number of runs, 1 or more")
    for name in (arguments.junit, arguments.html):
        # Now, and not after minutes of logins.
        if name and (Path(name).is_dir() or not Path(name).absolute().parent.is_dir()):
            raise LocalProtocolError(f"the report cannot be written: {name} is a folder, or its folder does not exist")


def _check_effect(arguments: argparse.Namespace) -> None:
    """Refuse options that have no effect. Raises LocalProtocolError."""
    from credssp.errors import LocalProtocolError

    for name, kinds in _BELONGS.items():
        given = getattr(arguments, name) not in (None, False, "", [])
        if not given or arguments.what is None or arguments.what in kinds:
            continue
        option = {"target": "a target", "command": "--exec", "user": "-u", "domain": "-d"}.get(name)
        option = option or f"--{name.replace('_', '-')}"
        raise LocalProtocolError(f"{option} has no effect with {arguments.what}: it is for {', '.join(kinds)}")


def _list(arguments: argparse.Namespace) -> int:
    from credssp.cli._output import print_json, print_table
    from credssp.conformance.runner import select

    rules = dict.fromkeys(case.rule for case in select(arguments.rule))
    if arguments.json:
        print_json(
            [
                {"id": r.id, "title": r.title, "level": r.level.value, "role": r.role.value, "section": r.section,
                 "stimulus": r.stimulus, "expected": r.expected}
                for r in rules
            ]
        )  # fmt: skip
    else:
        print_table(("rule", "level", "role", "title"), [(r.id, r.level.value, r.role.value, r.title) for r in rules])
    return 0 if rules else 2


def _explain(arguments: argparse.Namespace) -> int:
    from credssp.cli._conformance_rule import as_object, as_text
    from credssp.cli._output import print_json
    from credssp.conformance.runner import select
    from credssp.errors import LocalProtocolError

    if arguments.target is None:
        raise LocalProtocolError("rule needs the id of a rule, such as CSSP-PKA56-11, or a pattern; --list shows all")
    rules = dict.fromkeys(case.rule for case in select([arguments.target]))
    if not rules:
        raise LocalProtocolError(f"{arguments.target}: no rule matches; --list shows all rules")
    if arguments.json:
        print_json([as_object(rule) for rule in rules])
    else:
        print("\n\n".join("\n".join(as_text(rule)) for rule in rules))
    return 0


def _vectors() -> int:
    from credssp.cli._output import print_json
    from credssp.conformance.vectors import all_vectors

    print_json(all_vectors())
    return 0


def _judge(arguments: argparse.Namespace, progress: _Progress) -> Report:
    from credssp.conformance.expected import load_expected
    from credssp.conformance.runner import check_client, check_exchanges, check_server, exchanges_in
    from credssp.errors import LocalProtocolError

    how: dict[str, Any] = {
        "rules": arguments.rule,
        "expected": load_expected(Path(arguments.expected)) if arguments.expected else {},
        "on_result": progress.result,
    }
    if arguments.what == "fixtures":
        folder = Path(arguments.target or "fixtures")
        exchanges = exchanges_in(folder)
        if not exchanges:
            raise LocalProtocolError(f"no fixtures in {folder.name}")
        return check_exchanges(exchanges, **how)
    how |= {"on_case": progress.case, "seed": arguments.seed, "repeat": arguments.repeat}
    if arguments.what == "server":
        with contextlib.ExitStack() as stack:
            return check_server(_server(arguments, stack), **how)
    if arguments.what == "client":
        return check_client(_client(arguments), **how)
    raise LocalProtocolError("what to judge is missing: give server, client, fixtures, vectors, or --list")


def _client(arguments: argparse.Namespace) -> CommandTarget:
    from credssp.conformance.rdp import CommandTarget
    from credssp.conformance.scripted_server import endpoint_certificates
    from credssp.errors import LocalProtocolError

    variants = dict(text.partition("=")[::2] for text in arguments.exec_variant)
    for command in (arguments.command or "", *variants.values()):
        if "{port}" not in command:
            raise LocalProtocolError("client needs --exec with a command line that has {host} and {port} in it")
    if arguments.cacert_file is not None:
        try:
            Path(arguments.cacert_file).write_bytes(endpoint_certificates())
        except OSError as error:
            raise LocalProtocolError(f"--cacert-file {arguments.cacert_file}: {error.strerror}") from None
    return CommandTarget(
        arguments.command,
        _account(arguments),
        timeout=arguments.timeout,
        transport=arguments.transport,
        target_name=arguments.spn or "",
        service_keys=_service_keys(arguments),
        features=("x224", "report") if arguments.exec_reports else ("x224",),
        variants=variants,
    )


def _server(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> ServerTarget:
    from urllib.parse import urlsplit

    from credssp.conformance.http import HttpServerTarget
    from credssp.conformance.rdp import RdpServerTarget
    from credssp.conformance.server_program import ServerProgram
    from credssp.errors import LocalProtocolError

    text = arguments.target or ""
    parts = urlsplit(text if "://" in text else f"rdp://{text}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("rdp", "http", "https"):
        raise LocalProtocolError("server needs a target such as rdp://HOST:3389 or http://HOST:5985/wsman")
    port = port or {"rdp": 3389, "http": 5985, "https": 5986}[parts.scheme]
    account = _account(arguments)
    program = None
    if arguments.server_exec is not None:
        hidden = account.password.reveal()
        program = stack.enter_context(ServerProgram(arguments.server_exec, host, port, hidden=hidden))
    given: dict[str, Any] = {
        "timeout": arguments.timeout,
        "target_name": arguments.spn or "",
        "tickets": _tickets(arguments, account),
        "program": program,
        "service_keys": _service_keys(arguments),
    }
    if parts.scheme == "rdp":
        return RdpServerTarget(host, port, account, **given)
    return HttpServerTarget(text, account, **given)


def _tickets(arguments: argparse.Namespace, account: Account) -> TicketSource | None:
    from credssp.conformance.kerberos import TicketSource

    if not arguments.kerberos and arguments.ccache is None:
        return None
    return TicketSource(account, ccache=arguments.ccache)


def _service_keys(arguments: argparse.Namespace) -> tuple[ServiceKey, ...]:
    from credssp.conformance.kerberos import read_service_keys
    from credssp.errors import LocalProtocolError

    if arguments.keytab is not None and arguments.what == "server" and not arguments.kerberos and not arguments.ccache:
        raise LocalProtocolError("--keytab of a server has no effect without --kerberos or --ccache")
    return () if arguments.keytab is None else read_service_keys(arguments.keytab)


def _account(arguments: argparse.Namespace) -> Account:
    from credssp.cli._secrets import password
    from credssp.conformance import Account
    from credssp.errors import LocalProtocolError

    if not arguments.user:
        raise LocalProtocolError("-u is missing: name an account that the peer knows")
    secret = password(arguments.password_file, arguments.password_command, prompt="password: ")
    if not secret:
        where = f" in {arguments.password_file}" if arguments.password_file else ""
        raise LocalProtocolError(f"the password{where} is empty: the suite needs an account with one")
    account = Account(arguments.user, secret, arguments.domain)
    arguments.account = account
    return account


class _Progress:
    """Shows what is tried on a terminal, in a line that is erased at the end, or all results with ``--verbose``."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._verbose = verbose
        self._live = not quiet and not verbose and sys.stderr.isatty()
        self._findings = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._show("")

    def case(self, rule: Rule, number: int, count: int) -> None:
        """Show what is tried now."""
        found = f", {self._findings} finding{'s' if self._findings != 1 else ''}" if self._findings else ""
        self._show(f"{number}/{count} {rule.id} {rule.title}{found}")

    def result(self, result: Result) -> None:
        """Take note of what it came to."""
        self._findings += result.matters
        if self._verbose:
            from credssp.cli._output import printable

            detail = printable(result.outcome.detail)
            print(f"{result.verdict.value:<8} {result.rule.id:<16} {detail}", file=sys.stderr, flush=True)

    def _show(self, text: str) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]}\x1b[K", end="", file=sys.stderr, flush=True)


def _write(report: Report, arguments: argparse.Namespace) -> int:
    from credssp.conformance.report import as_html, as_json, as_junit, as_text
    from credssp.errors import LocalProtocolError

    reveal = arguments.reveal
    try:
        if arguments.junit:
            Path(arguments.junit).write_text(as_junit(report, reveal=reveal), encoding="utf-8")
        if arguments.html:
            Path(arguments.html).write_text(as_html(report.by_peer(), reveal=reveal), encoding="utf-8")
    except OSError as error:
        raise LocalProtocolError(f"the report {error.filename} cannot be written: {error.strerror}") from None
    print(as_json(report, reveal=reveal) if arguments.json else as_text(report, reveal=reveal))
    if report.trouble:
        return 2
    return 0 if report.ok else 1

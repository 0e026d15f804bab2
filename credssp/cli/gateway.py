"""``credssp gateway``: NLA in front of RDP servers that have none, and for clients that have none."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

    from credssp.drivers.rdp_service import Client
    from credssp.gateway.settings import GatewaySettings

__all__ = ["configure", "run"]

_ACTIONS: Final = {
    "run": "serve, by a configuration file",
    "check": "read a configuration file, contact each target, and print the fingerprint of its certificate",
    "explain": "say which target a user and a token lead to, and why",
    "front": "NLA in front of a server with TLS",
    "back": "TLS in front of a server that demands NLA",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 stopped, checked, found; 1 a target is not what the file says, or there is none; 2 wrong usage "
        "or a file that is refused."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    made: dict[str, argparse.ArgumentParser] = {}
    for name, summary in _ACTIONS.items():
        made[name] = actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=parser.formatter_class,
        )
    for name in ("run", "check", "explain"):
        made[name].add_argument("file", metavar="FILE", help="configuration, a TOML file")
    made["explain"].add_argument("--user", metavar="USER", help="who logged on, as DOMAIN\\NAME")
    made["explain"].add_argument("--group", metavar="SID", action="append", default=[], help="a group of the user")
    made["explain"].add_argument("--token", metavar="TEXT", default="", help="routing token, cookie or blob")
    for name in ("front", "back"):
        own = made[name]
        own.add_argument("--listen", metavar="ADDRESS:PORT", required=True, help="where to listen")
        own.add_argument("--to", metavar="ADDRESS", required=True, help="the server: HOST:PORT or unix:/PATH")
        own.add_argument("--cert", metavar="F", help="PEM file with certificate and key (default: a new one)")
        own.add_argument("--fingerprint", metavar="X", help="SHA-256 of the server's certificate")
        own.add_argument("--cacert", metavar="F", help="authorities that the server's certificate comes from (PEM)")
        own.add_argument("--server-name", metavar="NAME", help="name in the server's certificate (default: HOST)")
    made["front"].add_argument(
        "--users-file", metavar="F", help="accounts: smbpasswd, SAM, or DOMAIN:NAME:PASSWORD lines"
    )
    made["front"].add_argument("--keytab", metavar="F", help="Kerberos keytab")
    made["front"].add_argument(
        "--plain", action="store_true", help="the server has no TLS: Unix socket or loopback only"
    )
    made["back"].add_argument(
        "-u", "--user", metavar="USER", help="who logs on at the server (default: the user that the client names)"
    )
    made["back"].add_argument("-d", "--domain", metavar="DOMAIN", default="", help="domain of the user")
    made["back"].add_argument("--password-file", metavar="F", help="with --user: file whose first line is the password")
    made["back"].add_argument(
        "--allow-from", metavar="NETWORK", action="append", default=[], help="who may connect (default: loopback only)"
    )
    for name in ("run", "front", "back"):
        made[name].add_argument("--json", action="store_true", help="print JSON lines on a terminal too")


def run(arguments: argparse.Namespace) -> int:
    """Serve, check or explain."""
    from credssp.errors import CredSSPError, LocalProtocolError

    action = {"check": _check, "explain": _explain}.get(arguments.action, _run)
    try:
        return action(arguments)
    except LocalProtocolError as error:
        print(f"credssp gateway: {error.message}", file=sys.stderr)
        return 2
    except CredSSPError as error:
        print(f"credssp gateway: {error}", file=sys.stderr)
        return 1


def _settings(arguments: argparse.Namespace) -> GatewaySettings:
    from pathlib import Path

    from credssp.gateway.settings import parse_settings, read_settings

    if arguments.action in ("run", "check", "explain"):
        return read_settings(arguments.file)
    listen: dict[str, Any] = {"address": arguments.listen, "security": "nla" if arguments.action == "front" else "tls"}
    target: dict[str, Any] = {"name": "server", "address": arguments.to}
    for key, value in (
        ("fingerprint", arguments.fingerprint),
        ("cacert", arguments.cacert),
        ("server_name", arguments.server_name),
    ):
        if value is not None:
            target[key] = value
    listen["certificate"] = arguments.cert or _made_certificate()
    if arguments.action == "front":
        target["security"] = "rdp" if arguments.plain else "tls"
        for key, value in (("users_file", arguments.users_file), ("keytab", arguments.keytab)):
            if value is not None:
                listen[key] = value
    else:
        target["security"] = "nla"
        target |= _who(arguments)
        listen["allow_from"] = arguments.allow_from or ["127.0.0.0/8", "::1/128"]
    return parse_settings({"listen": listen, "target": [target]}, folder=Path.cwd())


def _who(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what says who logs on at a server with NLA."""
    from credssp.errors import LocalProtocolError

    if (arguments.user is None) != (arguments.password_file is None):
        raise LocalProtocolError("--user and --password-file go together; without both the client names the user")
    if arguments.user is None:
        return {"credentials": "client-info"}
    who = {"user": arguments.user, "password_file": arguments.password_file}
    return {"as": who | ({"domain": arguments.domain} if arguments.domain else {})}


def _made_certificate() -> str:
    """Return the path of a certificate that is made now, and gone with this process."""
    import atexit
    import os
    import tempfile
    from pathlib import Path

    from credssp.tls.certificate import process_certificate

    made = process_certificate()
    number, name = tempfile.mkstemp(prefix="credssp-gateway-", suffix=".pem")
    with os.fdopen(number, "wb") as file:  # mode 0600
        file.write(made.chain + made.private_key.reveal())
    atexit.register(Path(name).unlink, missing_ok=True)
    return name


def _explain(arguments: argparse.Namespace) -> int:
    from credssp.gateway.rules import candidates

    settings = _settings(arguments)
    found = False
    for choice in candidates(settings.targets, user=arguments.user, groups=arguments.group, token=arguments.token):
        missing = [what for what, fits in (("user", choice.user), ("token", choice.token)) if not fits]
        verdict = f"no: the {' and the '.join(missing)} does not fit" if missing else "not reached"
        if choice.fits and not found:
            found, verdict = True, f"chosen: {choice.target.address}, credentials {choice.target.credentials}"
        print(f"{choice.target.name}: {verdict}")
    if not found:
        print("refused: no target fits")
    return 0 if found else 1


def _check(arguments: argparse.Namespace) -> int:
    import asyncio

    from credssp.gateway.service import server_config_of

    settings = _settings(arguments)
    server_config_of(settings)  # reads certificate, accounts and keytab
    print(f"{arguments.file}: {len(settings.targets)} target{'s' if len(settings.targets) > 1 else ''}")
    return asyncio.run(_check_targets(settings))


async def _check_targets(settings: GatewaySettings) -> int:
    from credssp.errors import CredSSPError
    from credssp.gateway.back import look

    code = 0
    for target in settings.targets:
        try:
            fingerprint = await look(target)
        except CredSSPError as error:
            code = 1
            print(f"{target.name}: {target.address}: {error.message}")
            continue
        print(
            f"{target.name}: {target.address}: {target.security}" + (f", sha256:{fingerprint}" if fingerprint else "")
        )
    return code


def _run(arguments: argparse.Namespace) -> int:
    import asyncio

    from credssp.cli import _serve_events as events
    from credssp.cli import _serve_options as common
    from credssp.drivers.workers import bind

    settings = _settings(arguments)
    host, port = settings.listen.address
    (listener,) = bind(host, port, 1)
    as_json = arguments.json or not sys.stdout.isatty()
    events.emit(
        "listening",
        {
            "address": common.shown_address(listener),
            "protocol": "rdp",
            "security": settings.listen.security,
            "targets": [target.name for target in settings.targets],
        },
        as_json=as_json,
    )
    with events.queued_events(as_json=as_json):
        asyncio.run(_serve(listener, settings, arguments, as_json=as_json))
    return 0


async def _serve(
    listener: socket.socket, settings: GatewaySettings, arguments: argparse.Namespace, *, as_json: bool
) -> None:
    import asyncio
    import signal

    from credssp.cli import _serve_events as events
    from credssp.drivers.rdp_service import Refused
    from credssp.errors import CredSSPError
    from credssp.gateway.service import Gateway
    from credssp.watched_file import reload_all

    silent = events.SilentClients(as_json=as_json)

    def on_event(client: Client, event: Any) -> None:
        if client.silent:
            if isinstance(event, Refused):
                silent.note(event.error)
            return
        audit, facts = _facts(client, event)
        head = {"connection": client.number, "peer": "{}:{}".format(*client.address)}
        events.emit(audit.event, audit.as_json() | head | facts, as_json=as_json)

    gateway = Gateway(settings, on_event=on_event)

    def reload() -> None:
        reload_all()
        if arguments.action != "run":
            return
        try:
            gateway.reload(_settings(arguments))
        except CredSSPError as error:
            print(f"credssp gateway: {error.message}; what was read before stays in use", file=sys.stderr)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await gateway.start(None, 0, sock=listener)
    await stop.wait()
    await gateway.drain(_DRAIN)
    silent.tell()


_DRAIN: Final = 30.0
"""Seconds that sessions have to end by themselves after SIGTERM."""


def _facts(client: Client, event: Any) -> tuple[Any, dict[str, Any]]:
    from dataclasses import asdict

    from credssp.cli import _serve_rdp
    from credssp.drivers.audit import AuditEvent
    from credssp.gateway.events import Connected, Ended, PickedUp, SessionStarted

    names = {Connected: "connected", PickedUp: "picked-up", SessionStarted: "session", Ended: "closed"}
    name = names.get(type(event))
    if name is None:
        return _serve_rdp._facts(client, event, reveal=False)
    facts = asdict(event)
    if name == "connected":
        facts["as"] = facts.pop("user")
        facts["address_of_target"] = facts.pop("address")
    return AuditEvent(event=name, id=client.id, address=client.address[0]), facts

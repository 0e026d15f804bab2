"""``credssp gateway``: NLA in front of RDP servers that have none, and for clients that have none."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

    from credssp.config import ServerConfig
    from credssp.drivers.rdp_service import Client
    from credssp.drivers.winbind import WinbindAuthority
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
    made["explain"].add_argument(
        "--group",
        metavar="NAME",
        action="append",
        default=[],
        help="a group of the user, as SID or (with winbind) as DOMAIN\\NAME; with winbind, --user brings its own",
    )
    made["explain"].add_argument("--token", metavar="TEXT", default="", help="routing token, cookie or blob")
    for name in ("front", "back"):
        own = made[name]
        own.add_argument("--listen", metavar="ADDRESS:PORT", required=True, help="where to listen, or unix:/PATH")
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
        "--winbind", action="store_true", help="users of the domain that this machine has joined, by way of winbindd"
    )
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
        listen["winbind"] = arguments.winbind
    else:
        target["security"] = "nla"
        target |= _who(arguments)
        if arguments.allow_from or not arguments.listen.startswith("unix:"):
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
    from credssp.gateway.groups import with_group_sids
    from credssp.gateway.rules import candidates
    from credssp.gateway.target import GROUP

    settings = _settings(arguments)
    domain = _domain(settings)
    settings = with_group_sids(settings, None if domain is None else domain.group_sid)
    user, groups = arguments.user, _groups(arguments.group, domain)
    if domain is not None and user is not None:
        found_user = domain.find_user(user)
        user, groups = f"{found_user.domain}\\{found_user.username}", [*groups, *found_user.groups]
        print(f"{user}: {found_user.sid}, in {len(found_user.groups)} groups")
    found = False
    for choice in candidates(settings.targets, user=user, groups=groups, token=arguments.token):
        missing = [what for what, fits in (("user", choice.user), ("token", choice.token)) if not fits]
        verdict = f"no: the {' and the '.join(missing)} does not fit" if missing else "not reached"
        if choice.fits and not found:
            found, verdict = True, f"chosen: {choice.target.address}, credentials {choice.target.credentials}"
        if choice.by.startswith(GROUP):
            verdict += f" (the user is in {choice.by})"
        print(f"{choice.target.name}: {verdict}")
    if not found:
        print("refused: no target fits")
    return 0 if found else 1


def _domain(settings: GatewaySettings) -> WinbindAuthority | None:
    from credssp.drivers.winbind import WinbindAuthority

    return WinbindAuthority() if settings.listen.winbind else None


def _groups(names: Sequence[str], domain: WinbindAuthority | None) -> list[str]:
    """Return the SIDs of groups. Raises LocalProtocolError."""
    from credssp.errors import LocalProtocolError
    from credssp.sid import is_sid

    found = []
    for name in names:
        if not is_sid(name) and domain is None:
            raise LocalProtocolError(
                f"--group {name}: only winbind = true in [listen] knows names of groups; give a SID"
            )
        found.append(name if domain is None or is_sid(name) else domain.group_sid(name))
    return found


def _check(arguments: argparse.Namespace) -> int:
    import asyncio

    settings, _ = _ready(arguments)
    print(f"{arguments.file}: {len(settings.targets)} target{'s' if len(settings.targets) > 1 else ''}")
    return asyncio.run(_check_targets(settings))


def _ready(arguments: argparse.Namespace) -> tuple[GatewaySettings, ServerConfig]:
    """Return the configuration, and what its files hold: everything is read before a port is opened."""
    from credssp.gateway.groups import with_group_sids
    from credssp.gateway.service import server_config_of

    settings = _settings(arguments)
    config = server_config_of(settings)
    return with_group_sids(settings, getattr(config.authority, "group_sid", None)), config


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
    import functools
    import signal

    from credssp.cli import _serve_events as events
    from credssp.drivers.workers import run_workers

    settings, config = _ready(arguments)
    as_json = arguments.json or not sys.stdout.isatty()
    hangups: list[int] = []  # SIGHUP until a worker is ready for it
    signal.signal(signal.SIGHUP, lambda number, frame: hangups.append(number))  # noqa: ARG005  # as signal wants it
    work = functools.partial(
        _work, settings=settings, config=config, arguments=arguments, hangups=hangups, as_json=as_json
    )
    with _listening(settings) as (sockets, address):
        events.emit(
            "listening",
            {
                "address": address,
                "protocol": "rdp",
                "security": settings.listen.security,
                "targets": [target.name for target in settings.targets],
                "workers": len(sockets),
            },
            as_json=as_json,
        )
        if len(sockets) > 1:
            return run_workers(sockets, work)
        work(sockets[0], 0)
    return 0


@contextlib.contextmanager
def _listening(settings: GatewaySettings) -> Iterator[tuple[list[socket.socket], str]]:
    """Listen while the block runs: a socket for each worker, and the address as it is shown."""
    from credssp.cli import _serve_options as common
    from credssp.drivers.unix_socket import listening_on
    from credssp.drivers.workers import bind

    listen = settings.listen
    with contextlib.ExitStack() as stack:
        if listen.path:
            first = stack.enter_context(listening_on(listen.path, mode=listen.socket_mode))
            # One queue, from which all workers take.
            sockets = [first, *(stack.enter_context(first.dup()) for _ in range(listen.workers - 1))]
            yield sockets, f"unix:{listen.path}"
        else:
            sockets = [stack.enter_context(each) for each in bind(*listen.address, listen.workers)]
            yield sockets, common.shown_address(sockets[0])


def _work(
    listener: socket.socket,
    worker: int,
    *,
    settings: GatewaySettings,
    config: ServerConfig,
    arguments: argparse.Namespace,
    hangups: Sequence[int],
    as_json: bool,
) -> None:
    import asyncio

    from credssp.cli import _serve_events as events

    with events.queued_events(as_json=as_json):
        asyncio.run(_serve(listener, worker, settings, config, arguments, hangups, as_json=as_json))


async def _serve(
    listener: socket.socket,
    worker: int,
    settings: GatewaySettings,
    config: ServerConfig,
    arguments: argparse.Namespace,
    hangups: Sequence[int],
    *,
    as_json: bool,
) -> None:
    import asyncio
    import os
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
        head: dict[str, Any] = {"worker": worker} if worker else {}
        host, port = client.address
        head |= {"connection": client.number, "peer": f"{host}:{port}" if host else ""}
        events.emit(audit.event, audit.as_json() | head | facts, as_json=as_json)

    gateway = Gateway(settings, config=config, on_event=on_event)

    async def reload() -> None:
        await asyncio.to_thread(reload_all)
        if arguments.action != "run":
            return
        try:
            await gateway.reload(_settings(arguments))
        except CredSSPError as error:
            print(f"credssp gateway: {error.message}; what was read before stays in use", file=sys.stderr)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    had_terminal = os.isatty(0)

    def on_hangup() -> None:
        if had_terminal and not os.isatty(0):
            stop.set()
        else:
            gateway.spawn(reload())

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    if hangups:
        on_hangup()
    elif worker:  # it may take the place of one that has read the file again
        gateway.spawn(reload())
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

"""``credssp serve rdp``."""

from __future__ import annotations

import argparse
import contextlib
import enum
import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from credssp.cli import _serve_events as events
from credssp.cli import _serve_faults as wrong
from credssp.cli import _serve_options as common
from credssp.cli._arguments import count, seconds
from credssp.cli._serve_trial import Trial, write_port

if TYPE_CHECKING:
    import socket

    from credssp.config import ServerConfig
    from credssp.drivers.aio import AsyncSession
    from credssp.drivers.audit import AuditEvent
    from credssp.drivers.rdp_service import Client, ServerEvent
    from credssp.rdp.server import NLAServer
    from credssp.testing.rdp_session import SessionMode
    from credssp.testing.server_faults import ServerFaults

__all__ = ["configure", "run"]

_HOLD: Final = 0.2
"""Seconds to read a client that does not have a session."""
_PROTOCOLS: Final = ("both", "hybrid", "hybrid_ex")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Events: listening, negotiated, delegated, refused, closed, silent. Stop it with SIGTERM or Ctrl-C. "
        "xfreerdp 2.11 with /sec:ext needs --protocols hybrid."
    )
    common.add_account_arguments(parser, port=3389)
    parser.add_argument(
        "--authorize",
        choices=("success", "denied"),
        default="success",
        help="the Early User Authorization Result of every login (default: success)",
    )
    parser.add_argument("--tls", choices=("1.2", "1.3"), help="the TLS version (default: both)")
    parser.add_argument("--protocols", choices=_PROTOCOLS, default="both", help="protocols to accept (default: both)")
    parser.add_argument(
        "--session",
        type=_session,
        default="desktop",
        metavar="MODE",
        help="what a client gets after the login: desktop[:SECONDS], a screen of one colour; disconnect[:ERROR], the "
        "end with a reason (Set Error Info), by number or name; none, no answer (default: desktop, for a second)",
    )
    parser.add_argument("--workers", type=count(65536), default=1, metavar="N", help="number of processes (default: 1)")
    parser.add_argument(
        "--half-open", type=count(65536), default=512, metavar="N", help="logins in progress at once (default: 512)"
    )
    parser.add_argument("--deadline", type=seconds, default=20.0, metavar="S", help="for a whole login (default: 20)")
    wrong.add_arguments(parser, wrong.RDP_LEGS)


def _session(text: str) -> SessionMode:
    from credssp.errors import LocalProtocolError
    from credssp.testing.rdp_session import session_mode

    try:
        return session_mode(text)
    except LocalProtocolError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    from credssp.drivers.handshake import ConnectError
    from credssp.drivers.workers import bind, run_workers
    from credssp.errors import LocalProtocolError

    as_json = arguments.json or not sys.stdout.isatty()
    try:
        host, port = common.address(arguments.listen)
        common.check_versions(arguments)
        trial = Trial.of(arguments)
        faults = wrong.faults(arguments)
        config = _config(arguments)
        sockets = bind(host, port, arguments.workers)
        write_port(arguments.port_file, *sockets)
    except LocalProtocolError as error:
        print(f"credssp serve: {error.message}", file=sys.stderr)
        return 2
    except ConnectError as error:  # 1 is for clients that fail
        print(f"credssp serve: {error.message}. {error.advice}", file=sys.stderr)
        return 2
    common.reload_on_sighup()
    common.confine(arguments)
    events.emit(
        "listening",
        {"address": common.shown_address(sockets[0]), "protocol": "rdp", "workers": arguments.workers},
        as_json=as_json,
    )
    work = functools.partial(_work, arguments=arguments, config=config, faults=faults, trial=trial, as_json=as_json)
    if arguments.workers > 1:
        return run_workers(sockets, work)
    work(sockets[0], 0)
    return 0 if trial is None else trial.report()


def _config(arguments: argparse.Namespace) -> ServerConfig:
    from credssp.config import ServerConfig
    from credssp.rdp.negotiation import CREDSSP_PROTOCOLS, Protocol
    from credssp.tls.certificate import process_certificate
    from credssp.tls.settings import ServerTLS

    protocols = {"both": CREDSSP_PROTOCOLS, "hybrid": Protocol.HYBRID, "hybrid_ex": Protocol.HYBRID_EX}
    domain = common.authority(arguments)
    return ServerConfig(
        accounts=common.accounts(arguments),
        authority=domain,
        # Made before the workers are forked: they must all have the same.
        certificate=common.certificate(arguments) or process_certificate(),
        target=common.ntlm_target(arguments),
        keytab=common.keytab(arguments),
        spn=arguments.spn or None,
        allow_empty_password=arguments.empty_password,
        require_mic=not arguments.allow_no_mic,
        min_version=arguments.min_version,
        max_version=arguments.max_version,
        protocols=protocols[arguments.protocols],
        # A test endpoint takes everything that may be delegated, and tells.
        remote_guard=True,
        authorize=common.authorization(arguments, domain),
        require_pac=arguments.require_pac or None,
        limits=common.limits(arguments),
        tls=ServerTLS(
            minimum=arguments.tls or "1.2", maximum=arguments.tls or "1.3", key_log=common.key_log(arguments)
        ),
        observer=common.observer(arguments),
    )


def _work(
    sock: socket.socket,
    worker: int,
    *,
    arguments: argparse.Namespace,
    config: ServerConfig,
    faults: ServerFaults | None,
    trial: Trial | None,
    as_json: bool,
) -> None:
    import asyncio

    with events.queued_events(as_json=as_json):
        asyncio.run(
            _serve(sock, worker, arguments=arguments, config=config, faults=faults, trial=trial, as_json=as_json)
        )


async def _serve(
    sock: socket.socket,
    worker: int,
    *,
    arguments: argparse.Namespace,
    config: ServerConfig,
    faults: ServerFaults | None,
    trial: Trial | None,
    as_json: bool,
) -> None:
    import asyncio
    import dataclasses
    import signal

    from credssp.drivers.rdp import start_server
    from credssp.drivers.rdp_service import Closed, Delegated, Refused
    from credssp.testing.rdp_session import SessionReport
    from credssp.testing.rdp_sessions import conduct

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def end() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: a signal was first
            loop.call_soon_threadsafe(stop.set)

    silent = events.SilentClients(as_json=as_json)
    sessions: dict[NLAServer, SessionReport] = {}

    async def handle(session: AsyncSession[NLAServer]) -> None:
        await conduct(session, arguments.session, hold=_HOLD, report=sessions.get(session.endpoint))

    def on_event(client: Client, event: ServerEvent) -> None:
        if client.silent:
            if isinstance(event, Refused):
                silent.note(event.error)
            return
        audit, facts = _facts(client, event, reveal=arguments.reveal)
        if isinstance(event, Delegated):
            sessions[client.endpoint] = SessionReport()
        elif isinstance(event, Refused):
            sessions.pop(client.endpoint, None)
        elif isinstance(event, Closed):
            report = sessions.pop(client.endpoint, None)
            facts["session"] = None if report is None else report.as_json()
        head: dict[str, Any] = {"worker": worker} if worker else {}
        head |= {"connection": client.number, "peer": "{}:{}".format(*client.address)}
        events.emit(audit.event, audit.as_json() | head | facts, as_json=as_json)
        if trial is not None:
            trial.note(audit.event, audit.as_json() | facts)

    config = dataclasses.replace(config, on_event=on_event)
    if faults is None:
        server = await start_server(handle, sock=sock, config=config)
    else:
        from credssp.testing.faulty_rdp import start_faulty_server

        server = await start_faulty_server(faults, handle, sock=sock, config=config)
    async with server:
        if trial is not None:
            trial.begin(sock, "rdp", "", end)
        await stop.wait()
    silent.tell()


def _facts(client: Client, event: ServerEvent, *, reveal: bool) -> tuple[AuditEvent, dict[str, Any]]:
    from credssp.drivers.audit import AuditEvent
    from credssp.drivers.rdp_service import Delegated, Refused
    from credssp.rdp.events import Negotiated
    from credssp.rdp.negotiation import protocol_names

    if isinstance(event, Negotiated):
        request = event.request
        asked = None if request is None else request.negotiation
        return AuditEvent(event="negotiated", id=client.id, address=client.address[0]), {
            "protocol": protocol_names(event.selected),
            "approach": event.approach.value,
            "requested": None if asked is None else protocol_names(asked.protocols),
            "cookie": None if request is None else request.cookie,
            "requested_flags": [] if asked is None else _names(asked.flags),
            "flags": _names(event.flags),
        }
    if isinstance(event, Delegated):
        who = event.identity
        audit = AuditEvent.of_login("delegated", who, id=client.id, address=client.address[0])
        facts = events.delegated_facts(event.credentials, reveal=reveal) | events.identity_facts(who)
        return audit, facts | _exchange(client) | _modes(client)
    if isinstance(event, Refused):
        context = client.endpoint.context
        known = None if context is None else context.identity
        audit = AuditEvent.of_failure(
            "refused", event.error, id=client.id, address=client.address[0], locked=event.locked, identity=known
        )
        facts = events.status_facts(event.error, locked=event.locked)
        return audit, facts | _exchange(client) | _modes(client)
    return AuditEvent(event="closed", id=client.id, address=client.address[0]), {}


def _exchange(client: Client) -> dict[str, Any]:
    context = client.endpoint.context
    if context is None:
        return events.exchange_facts()
    return events.exchange_facts(context.version, context.peer_version, context.tls_version, context.tls_cipher)


def _modes(client: Client) -> dict[str, Any]:
    """Return which modes the client asked for in its Connection Request, as far as it came."""
    from credssp.rdp.negotiation import RequestFlags

    request = client.endpoint.request
    asked = None if request is None or request.negotiation is None else request.negotiation.flags
    return {
        "restricted_admin": None if asked is None else RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED in asked,
        "remote_guard": None if asked is None else RequestFlags.REDIRECTED_AUTHENTICATION_MODE_REQUIRED in asked,
    }


def _names(flags: enum.IntFlag) -> list[str]:
    """Return the names of the flags that are set, and the number of what has none."""
    return [flag.name or f"0x{flag.value:02X}" for flag in flags]

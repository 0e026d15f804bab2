"""``credssp serve winrm``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from credssp.cli import _serve_events as events
from credssp.cli import _serve_faults as wrong
from credssp.cli import _serve_options as common
from credssp.cli._arguments import count, seconds
from credssp.cli._serve_trial import Trial, write_port

if TYPE_CHECKING:
    from credssp.drivers.winrm_asgi import WinRMApplication
    from credssp.testing.server_faults import ServerFaults
    from credssp.testing.wsman import WSManResponder

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Events: listening, delegated, refused, closed, silent. Stop it with SIGTERM or Ctrl-C. The shell knows "
        "hostname, whoami, echo and --answers, and starts no process. --cert is the certificate inside CredSSP; "
        "--tls-cert is that of https."
    )
    common.add_account_arguments(parser, port=5985)
    parser.add_argument("--tls-cert", metavar="F", help="serve https: PEM file with the certificate chain")
    parser.add_argument("--tls-key", metavar="F", help="PEM file with its key, if --tls-cert does not contain it")
    parser.add_argument("--https", action="store_true", help="serve https with a certificate made now (--certificate)")
    parser.add_argument("--tls", choices=("1.2", "1.3"), help="the TLS version inside CredSSP (default: both)")
    parser.add_argument(
        "--encryption",
        choices=("auto", "always", "never"),
        default="auto",
        help="when messages must be encrypted: over http only, always, never (default: auto)",
    )
    parser.add_argument(
        "--channel-bindings",
        choices=("none", "relaxed", "strict"),
        default="relaxed",
        help="whether clients prove the certificate of https: none, those that can, all (default: relaxed)",
    )
    parser.add_argument("--allow-proxies", action="store_true", help="take requests that came through a proxy")
    parser.add_argument(
        "--authorize",
        choices=("success", "denied"),
        default="success",
        help="result of every login (default: success)",
    )
    parser.add_argument(
        "--answers", metavar="F", help="TOML file with what the shell answers to commands; [[answer]] and [faults]"
    )
    parser.add_argument("--path", default="/wsman", help="path of the service (default: /wsman)")
    parser.add_argument(
        "--half-open", type=count(65536), default=512, metavar="N", help="logins in progress at once (default: 512)"
    )
    parser.add_argument("--deadline", type=seconds, default=20.0, metavar="S", help="for a whole login (default: 20)")
    wrong.add_arguments(parser, wrong.WINRM_LEGS)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    with contextlib.ExitStack() as files:
        return _run(arguments, files)


def _run(arguments: argparse.Namespace, files: contextlib.ExitStack) -> int:
    import signal

    from credssp.errors import LocalProtocolError

    as_json = arguments.json or not sys.stdout.isatty()
    try:
        from credssp.drivers import winrm_serving as serving
    except ImportError as error:
        print(f"credssp serve: {error}", file=sys.stderr)
        return 2
    try:
        host, port = common.address(arguments.listen)
        common.check_versions(arguments)
        if arguments.tls_key is not None and arguments.tls_cert is None:
            raise LocalProtocolError("--tls-key needs --tls-cert")
        if arguments.https and arguments.tls_cert is not None:
            raise LocalProtocolError("--https and --tls-cert exclude each other")
        trial = Trial.of(arguments)
        silent = events.SilentClients(as_json=as_json)
        faults = wrong.faults(arguments)
        application = _application(arguments, silent, trial, faults, as_json=as_json)
        server = _server(application, arguments, faults, files)
        listener = serving.listen(host, port)
        write_port(arguments.port_file, listener)
    except LocalProtocolError as error:
        print(f"credssp serve: {error.message}", file=sys.stderr)
        return 2
    common.reload_on_sighup()
    common.confine(arguments)
    with listener:
        scheme = "https" if arguments.https or arguments.tls_cert is not None else "http"
        shown = common.shown_address(listener)
        url = f"{scheme}://{shown.replace('%', '%25')}{application.config.path}"  # RFC 6874
        facts = {"address": shown, "protocol": "winrm", "url": url}
        events.emit("listening", facts, as_json=as_json)
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn stops at them too once it runs, and raises them once more when it has.
            signal.signal(number, lambda *_: setattr(server, "should_exit", True))
        if trial is not None:
            trial.begin(listener, scheme, application.config.path, lambda: setattr(server, "should_exit", True))
        with events.queued_events(as_json=as_json):
            serving.serve(server, listener)
            silent.tell()
    return 0 if trial is None else trial.report()


def _server(
    application: WinRMApplication,
    arguments: argparse.Namespace,
    faults: ServerFaults | None,
    files: contextlib.ExitStack,
) -> Any:
    """Return what serves the application; over https where the arguments say so. Raises LocalProtocolError."""
    from credssp.drivers import winrm_serving as serving

    log = common.key_log(arguments)
    if faults is None or not arguments.https:
        return serving.uvicorn_server(application, certfile=arguments.tls_cert, keyfile=arguments.tls_key, key_log=log)
    from credssp.memory_file import named_file
    from credssp.testing.faulty_winrm import https_certificate, https_ciphers

    made, _ = https_certificate(faults)
    # Until the server ends: it looks for changes in them.
    chain = files.enter_context(named_file(made.chain))
    key = files.enter_context(named_file(made.private_key.reveal()))
    return serving.uvicorn_server(application, certfile=chain, keyfile=key, ciphers=https_ciphers(faults), key_log=log)


def _application(
    arguments: argparse.Namespace,
    silent: events.SilentClients,
    trial: Trial | None,
    faults: ServerFaults | None,
    *,
    as_json: bool,
) -> WinRMApplication:
    from credssp.drivers.audit import AuditEvent
    from credssp.drivers.winrm_asgi import ConnectionClosed, Login, WinRMApplication
    from credssp.tls.settings import ServerTLS

    def on_login(login: Login) -> None:
        if login.silent:
            if login.error is not None:
                silent.note(login.error)
            return
        who, credentials, facts = (
            login.identity,
            login.credentials,
            events.exchange_facts(*dataclasses.astuple(login.facts)),
        )
        if who is not None and credentials is not None:
            # Of one that is not authorized, too: what it was that is refused.
            facts = events.delegated_facts(credentials, reveal=arguments.reveal) | events.identity_facts(who) | facts
        address = "" if login.client is None else login.client[0]
        if login.error is not None:
            audit = AuditEvent.of_failure(
                "refused", login.error, id=login.id, address=address, locked=login.locked, identity=who
            )
            facts = events.status_facts(login.error, locked=login.locked) | facts
        elif who is not None:
            audit = AuditEvent.of_login("delegated", who, id=login.id, address=address)
        events.emit(audit.event, audit.as_json() | _peer(login.client) | facts, as_json=as_json)
        if trial is not None:
            trial.note(audit.event, audit.as_json() | facts)

    def on_close(closed: ConnectionClosed) -> None:
        if not closed.silent:
            address = "" if closed.client is None else closed.client[0]
            audit = AuditEvent(event="closed", id=closed.id, address=address)
            events.emit("closed", audit.as_json() | _peer(closed.client), as_json=as_json)
            if trial is not None:
                trial.note("closed", audit.as_json())

    domain = common.authority(arguments)
    tls = ServerTLS(minimum=arguments.tls or "1.2", maximum=arguments.tls or "1.3", key_log=common.key_log(arguments))
    make: Callable[..., WinRMApplication] = WinRMApplication
    if faults is not None:
        from credssp.testing.faulty_winrm import FaultyApplication, inside

        make = functools.partial(FaultyApplication, inside(faults, https=arguments.https))
    return make(
        _responder(arguments).respond,
        path=arguments.path,
        cbt_hardening=arguments.channel_bindings,
        allow_proxies=arguments.allow_proxies,
        spn=arguments.spn or None,
        encryption=arguments.encryption,
        authorize=common.authorization(arguments, domain),
        require_pac=arguments.require_pac or None,
        on_login=on_login,
        on_close=on_close,
        limits=common.limits(arguments),
        accounts=common.accounts(arguments),
        authority=domain,
        certificate=common.certificate(arguments),
        target=common.ntlm_target(arguments),
        keytab=common.keytab(arguments),
        allow_empty_password=arguments.empty_password,
        require_mic=not arguments.allow_no_mic,
        min_version=arguments.min_version,
        max_version=arguments.max_version,
        tls=tls,
        observer=common.observer(arguments),
    )


def _responder(arguments: argparse.Namespace) -> WSManResponder:
    import socket

    from credssp.testing.wsman import WSManResponder

    hostname = arguments.nb_computer or socket.gethostname()
    if arguments.answers is None:
        return WSManResponder(hostname=hostname)
    from credssp.testing.answers_file import read_answers

    return WSManResponder(hostname=hostname, commands=read_answers(arguments.answers))


def _peer(client: tuple[str, int] | None) -> dict[str, Any]:
    return {"peer": "" if client is None else "{}:{}".format(*client)}

"""Arguments that all endpoints of ``credssp serve`` take, what they mean, and the lines they print."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from credssp.cli import _serve_trial as trial
from credssp.cli._serve_events import emit as emit
from credssp.protocol_version import VERSIONS

if TYPE_CHECKING:
    import socket

    from credssp.account import Account, AccountStore
    from credssp.config import Limits
    from credssp.drivers.authorization import Authorize
    from credssp.drivers.confinement import User
    from credssp.drivers.winbind import WinbindAuthority
    from credssp.engine.events import Observer
    from credssp.ntlm.challenge import NTLMTarget
    from credssp.tls.certificate import ServerCertificate
    from credssp.watched_file import WatchedFile

__all__ = [
    "accounts",
    "add_account_arguments",
    "address",
    "authority",
    "authorization",
    "certificate",
    "check_versions",
    "confine",
    "key_log",
    "keytab",
    "limits",
    "ntlm_target",
    "observer",
    "reload_on_sighup",
    "shown_address",
]

_NAMES: Final = {
    "nb_computer": "NetBIOS name of the computer",
    "nb_domain": "NetBIOS name of the domain",
    "dns_computer": "DNS name of the computer",
    "dns_domain": "DNS name of the domain",
    "dns_tree": "DNS name of the forest",
}


def add_account_arguments(parser: argparse.ArgumentParser, *, port: int) -> None:
    """Declare them."""
    parser.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        default=f"127.0.0.1:{port}",
        help=f"where to listen (default: 127.0.0.1:{port}; port 0: any)",
    )
    parser.add_argument(
        "--user",
        metavar="DOMAIN\\NAME:PASSWORD",
        action="append",
        default=[],
        help="an account; may be repeated (test passwords only: others see them in the process list)",
    )
    parser.add_argument(
        "--winbind", action="store_true", help="users of the domain that this machine has joined, by way of winbindd"
    )
    parser.add_argument(
        "--allow-group",
        metavar="NAME",
        action="append",
        default=[],
        help="let only members of this group log on: DOMAIN\\NAME with --winbind, or a SID; may be repeated",
    )
    parser.add_argument(
        "--require-pac",
        action="store_true",
        help="refuse Kerberos tickets in which no domain says who the user is (default with --winbind)",
    )
    parser.add_argument(
        "--pam",
        metavar="SERVICE",
        help="ask PAM (auth, account) whether a user may log on, with the delegated password",
    )
    parser.add_argument("--users-file", metavar="F", help="accounts: smbpasswd, SAM, or DOMAIN:NAME:PASSWORD lines")
    parser.add_argument("--cert", metavar="F", help="PEM file with the certificate chain (default: a new one)")
    parser.add_argument("--key", metavar="F", help="PEM file with its key, if --cert does not contain it")
    parser.add_argument("--keytab", metavar="F", help="Kerberos keytab (default: the one KRB5_KTNAME names)")
    parser.add_argument("--empty-password", action="store_true", help="let accounts with an empty password log on")
    parser.add_argument(
        "--allow-no-mic",
        action="store_true",
        help="let NTLM clients log on that send no MIC, such as impacket and aardwolf; one that is sent is verified",
    )
    parser.add_argument(
        "--spn",
        action="append",
        default=[],
        metavar="SPN",
        help="a name that clients may believe they talk to, such as HTTP/srv.lab.test; may be repeated (default: any)",
    )
    parser.add_argument(
        "--min-version", type=int, choices=VERSIONS, metavar="N", help="lowest CredSSP version to accept"
    )
    parser.add_argument(
        "--max-version",
        type=int,
        choices=VERSIONS,
        default=VERSIONS[-1],
        metavar="N",
        help="highest CredSSP version to have, for tests of clients",
    )
    parser.add_argument(
        "--limit",
        metavar="NAME=N",
        action="append",
        default=[],
        help="a field of credssp.Limits, such as connections=500 or account_failures=5; may be repeated",
    )
    parser.add_argument("--reveal", action="store_true", help="print the secrets that were delegated")
    parser.add_argument(
        "--transcript", metavar="FILE", help="write all messages to this file, for `credssp dissect`; keep it private"
    )
    parser.add_argument(
        "--uid", metavar="USER", help="become this user once files and sockets are open, without a way back"
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines on a terminal too")
    trial.add_arguments(parser)
    names = parser.add_argument_group("names that NTLM sends to every client (default: those of this host)")
    for name, what in _NAMES.items():
        names.add_argument(f"--{name.replace('_', '-')}", metavar="NAME", help=what)


def check_versions(arguments: argparse.Namespace) -> None:
    """Refuse an old highest version that is not the lowest, too. Raises LocalProtocolError."""
    from credssp.errors import LocalProtocolError
    from credssp.policy.encryption_oracle import DEFAULT_ENCRYPTION_ORACLE

    lowest, highest = DEFAULT_ENCRYPTION_ORACLE.server_min_version, arguments.max_version
    if arguments.min_version is None and highest < lowest:
        raise LocalProtocolError(
            f"--max-version {highest}: add --min-version {highest}; versions below {lowest} are vulnerable to "
            "CVE-2018-0886, and accepted only if that is meant"
        )


def address(text: str) -> tuple[str, int]:
    """Take ``ADDRESS:PORT``, ``[V6]:PORT`` or ``:PORT`` apart. Raises LocalProtocolError."""
    from credssp.errors import LocalProtocolError
    from credssp.fleet.target_url import plain_zone

    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise LocalProtocolError(f"{text!r} is not an address to listen on: use 127.0.0.1:3389 or [::1]:3389")
    return plain_zone(host.strip("[]")) or "0.0.0.0", int(port)  # noqa: S104  # ":3389" says so in so many words


def key_log(arguments: argparse.Namespace) -> bool:
    """Decide whether the endpoint honours SSLKEYLOGFILE; a service (``--uid``) forgets that there is such a variable.

    Raises:
        LocalProtocolError: the file cannot be written.
    """
    import os

    from credssp.tls.key_log import VARIABLE, prepare_key_log

    if arguments.uid is None:
        prepare_key_log()  # before there are connections
        return True
    if os.environ.pop(VARIABLE, ""):
        print(f"credssp serve: {VARIABLE} has no effect with --uid", file=sys.stderr)
    return False


def shown_address(listener: socket.socket) -> str:
    """Return where a socket listens, as ``ADDRESS:PORT`` or ``[V6]:PORT``."""
    from credssp.drivers.listening import bound_to

    host, port = bound_to(listener)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Both:
    """Two account stores as one."""

    def __init__(self, stores: Sequence[AccountStore]) -> None:
        self._stores = stores

    def find(self, domain: str, username: str) -> Sequence[Account]:
        """Ask all of them, always, so that the time does not tell which one knows the name."""
        return [account for store in self._stores for account in store.find(domain, username)]


def accounts(arguments: argparse.Namespace) -> AccountStore:
    """Return the accounts. Raises LocalProtocolError."""
    from credssp.accounts import FileAccounts, MemoryAccounts
    from credssp.errors import LocalProtocolError

    given: dict[tuple[str, str], str] = {}
    for text in arguments.user:
        name, colon, password = text.partition(":")
        domain, backslash, user = name.rpartition("\\")
        if not colon or not user or (backslash and not domain):
            raise LocalProtocolError("--user must be DOMAIN\\NAME:PASSWORD or NAME:PASSWORD")
        if not password and not arguments.empty_password:
            raise LocalProtocolError(f"--user {name}: the password is empty; if that is meant, add --empty-password")
        given[domain, user] = password
    stores: list[AccountStore] = [MemoryAccounts(given)]
    if arguments.users_file is not None:
        found = FileAccounts(arguments.users_file, watch=True)
        stores.append(found)
        if not len(found) and not given and arguments.keytab is None and not arguments.winbind:
            print(f"credssp serve: {arguments.users_file} has no accounts, so no client can log on", file=sys.stderr)
    elif not given and arguments.keytab is None and not arguments.winbind:
        print("credssp serve: no account was given, so no client can log on (--user, --users-file)", file=sys.stderr)
    return stores[0] if len(stores) == 1 else _Both(stores)


def authority(arguments: argparse.Namespace) -> WinbindAuthority | None:
    """Return the domain that is asked, or None. Raises LocalProtocolError, where it cannot be."""
    _check_excluded(arguments)
    if not arguments.winbind:
        return None
    from credssp.drivers.winbind import WinbindAuthority
    from credssp.errors import LocalProtocolError

    if any(getattr(arguments, name) is not None for name in _NAMES):
        raise LocalProtocolError(
            "--winbind brings the names that NTLM sends: those under which this machine has joined"
        )
    return WinbindAuthority()


def authorization(arguments: argparse.Namespace, domain: WinbindAuthority | None) -> Authorize:
    """Return what decides who may log on. Raises LocalProtocolError."""
    from credssp.drivers.authorization import all_of, allow_groups
    from credssp.errors import LocalProtocolError
    from credssp.sid import is_sid

    allowed = arguments.authorize == "success"
    chosen: list[Authorize] = [lambda request: allowed]  # noqa: ARG005
    if arguments.allow_group:
        names = [group for group in arguments.allow_group if not is_sid(group)]
        if names and domain is None:
            raise LocalProtocolError(f"--allow-group {names[0]}: only --winbind knows names of groups; give a SID")
        chosen.append(allow_groups(*arguments.allow_group, find=None if domain is None else domain.group_sid))
    if arguments.pam is not None:
        from credssp.drivers.pam import PamAuthorizer

        chosen.append(PamAuthorizer(arguments.pam))
    return all_of(*chosen)


def _check_excluded(arguments: argparse.Namespace) -> None:
    """Refuse what the user of --uid could not do. Raises LocalProtocolError."""
    from credssp.drivers.winbind import may_ask
    from credssp.errors import LocalProtocolError

    owner = _user(arguments)
    if owner is None:
        return
    if arguments.pam is not None:
        raise LocalProtocolError(
            f"--pam does not go with --uid: PAM reads passwords as root, and user {owner.name} gets no privileges back"
        )
    if arguments.winbind and not may_ask(owner.gid, *owner.groups):
        raise LocalProtocolError(
            f"--winbind does not go with --uid {owner.name}: the privileged pipe of winbindd is for root and the group "
            f"winbindd_priv (usermod -aG winbindd_priv {owner.name})"
        )


def certificate(arguments: argparse.Namespace) -> WatchedFile[ServerCertificate] | None:
    """Return the certificate, watched, or None for one made now. Raises LocalProtocolError."""
    from credssp.errors import LocalProtocolError
    from credssp.tls.certificate import watch_certificate

    if arguments.cert is None:
        if arguments.key is not None:
            raise LocalProtocolError("--key needs --cert")
        return None
    return watch_certificate(arguments.cert, arguments.key)


def reload_on_sighup() -> None:
    """Let SIGHUP read the accounts and certificates again; where it says that the terminal is gone, let it end us."""
    import os
    import signal
    import threading

    from credssp.watched_file import reload_all

    had_terminal = os.isatty(0)

    def on_hangup(number: int, frame: object) -> None:  # noqa: ARG001  # as signal wants it
        if had_terminal and not os.isatty(0):
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            # In a thread: what runs here now may hold a lock of those files.
            threading.Thread(target=reload_all, name="credssp reload", daemon=True).start()

    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, on_hangup)


def keytab(arguments: argparse.Namespace) -> str | WatchedFile[Any] | None:
    """Return the keytab, or None for the default one. Raises LocalProtocolError if no client could log on with it."""
    from credssp.errors import CredSSPError, LocalProtocolError
    from credssp.kerberos.pyspnego import kerberos_missing

    name: str | None = arguments.keytab
    if name is None:
        return None
    if missing := kerberos_missing():
        raise LocalProtocolError(missing)
    # Other types than files (MEMORY:, say) are for libkrb5 to find.
    kind, colon, path = name.partition(":")
    if colon and kind != "FILE":
        return name
    from credssp.kerberos.watched_keytab import watch_keytab

    try:
        return watch_keytab(path if colon else name)
    except CredSSPError as error:
        raise LocalProtocolError(f"--keytab: {error.message}") from None


def _user(arguments: argparse.Namespace) -> User | None:
    from credssp.drivers.confinement import find_user

    return None if arguments.uid is None else find_user(arguments.uid)


_NOT_SERVED = ("cli", "conformance", "dissect", "exchange", "nego", "pytest_plugin", "testing", "__main__")
_CLIENTS = ("requests", "httpx")


def _import_early() -> None:
    """Import what is imported late otherwise: the user to become may not be able to read the files of Python."""
    import importlib
    import pkgutil

    import credssp
    from credssp.kerberos import pyspnego

    for found in pkgutil.walk_packages(credssp.__path__, "credssp."):
        room = found.name.split(".")[1]
        if room not in _NOT_SERVED and not found.name.endswith(_CLIENTS):
            with contextlib.suppress(ImportError):  # an extra that is not installed
                importlib.import_module(found.name)
    if pyspnego.kerberos_missing() is None:
        pyspnego.call("loading pyspnego", lambda: None)


def _rehearse() -> None:
    """Log on in memory, so that what libraries import late is there as well."""
    import asyncio  # noqa: F401
    import encodings.idna  # noqa: F401

    import credssp

    for password in ("made up", "wrong"):
        server = credssp.ServerContext(accounts=credssp.MemoryAccounts({("", "rehearsal"): password}))
        client = credssp.ClientContext(
            credssp.PasswordCredentials("rehearsal", "made up"), target_name="HTTP/rehearsal", mechanism="ntlm"
        )
        with contextlib.suppress(credssp.CredSSPError):  # a refusal needs modules of its own
            token = client.step().token
            while not server.complete:
                token = client.step(server.step(token).token).token


def confine(arguments: argparse.Namespace) -> None:
    """Become the user of --uid, now that everything is open, and say what that excludes. Raises LocalProtocolError."""
    owner = _user(arguments)
    if owner is None:
        return
    from credssp.drivers import confinement

    _import_early()
    _rehearse()
    for path in confinement.confine(owner):
        print(
            f"credssp serve: {path} is read once: user {owner.name} may not read it again when it changes",
            file=sys.stderr,
        )


def limits(arguments: argparse.Namespace) -> Limits:
    """Return the limits. Raises LocalProtocolError."""
    from dataclasses import fields, replace

    from credssp.config import Limits
    from credssp.errors import LocalProtocolError

    result = Limits(half_open=arguments.half_open, deadline=arguments.deadline)
    kinds: dict[str, Any] = {bound.name: type(bound.default) for bound in fields(Limits)}
    for text in arguments.limit:
        name, _, number = text.partition("=")
        if name not in kinds:
            raise LocalProtocolError(f"--limit {name}: there is no such limit; they are {', '.join(sorted(kinds))}")
        try:
            value = kinds[name](number)
        except ValueError:
            raise LocalProtocolError(f"--limit {name} takes a number, not {number!r}") from None
        result = replace(result, **{name: value})
    return result


def observer(arguments: argparse.Namespace) -> Observer | None:
    """Return what writes the transcript, or None if none is wanted. Raises LocalProtocolError."""
    if arguments.transcript is None:
        return None
    from credssp.__about__ import __version__
    from credssp.dissect.transcript import TranscriptWriter

    # Open until the process ends; each line is written at once.
    return TranscriptWriter(arguments.transcript, role="server", program=f"credssp {__version__}", peer="client")


def ntlm_target(arguments: argparse.Namespace) -> NTLMTarget | None:
    """Return the names for NTLM, or None for those of this host. Raises LocalProtocolError."""
    import dataclasses

    from credssp.ntlm.challenge import NTLMTarget

    given = {name: getattr(arguments, name) for name in _NAMES if getattr(arguments, name) is not None}
    if not given:
        return None
    target = dataclasses.replace(NTLMTarget.of_this_host(), **given)
    return dataclasses.replace(target, is_domain=target.nb_domain != target.nb_computer)

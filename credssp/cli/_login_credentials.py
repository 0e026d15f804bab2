"""Who logs on and what is delegated, from the arguments of ``credssp login``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from credssp.credentials import AgentCredentials, CertificateCredentials, DelegatedCredentials, LogonCredentials
    from credssp.fleet.target_url import TargetURL
    from credssp.secret import Secret

__all__ = ["PIN_VARIABLE", "add_arguments", "check_files", "delegated", "logon"]

PIN_VARIABLE: Final = "CREDSSP_PIN"


class _NoPassword(argparse.Action):
    """What people try first; the value is neither used nor repeated."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """End with the reason, and with what to use."""
        parser.error(
            "there is no -p or --password: other users of this machine can see a command line, and the shell keeps it. "
            "Use --password-file FILE (- for standard input), --password-command CMD or the variable CREDSSP_PASSWORD, "
            "or leave all of them out and type it"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    who = parser.add_argument_group("who")
    who.add_argument("-u", "--user", metavar="USER", help="NAME, DOMAIN\\NAME or NAME@REALM")
    who.add_argument("-d", "--domain", metavar="DOMAIN", default="", help="domain of the user")
    who.add_argument(
        "-p",
        "--password",
        metavar="PW",
        nargs="?",
        action=_NoPassword,
        help="refused: others can see the command line; use one of the following, or CREDSSP_PASSWORD",
    )
    who.add_argument("--password-file", metavar="F", help="file whose first line is the password; - for standard input")
    who.add_argument("--password-command", metavar="CMD", help="program that prints it: 'pass show rdp/alice'")
    who.add_argument("--empty-password", action="store_true", help="log on with an empty password, on purpose")
    who.add_argument("--hash", metavar="NT", help="NT hash instead of a password (others see it in the process list)")
    who.add_argument("--hash-file", metavar="F", help="file whose first line is the NT hash; - for standard input")
    who.add_argument(
        "--agent",
        metavar="NAME",
        help="credential of the agent, which logs on: no secret comes here",
    )
    who.add_argument("--ccache", metavar="CACHE", help="Kerberos tickets: TYPE:residual, or a file")
    who.add_argument("--keytab", metavar="F", help="keytab with the key of the user")
    who.add_argument(
        "--pkinit",
        metavar="IDENTITY",
        help="certificate of the user: PKCS11:module_name=M[:token=LABEL] for a card, FILE:CERT,KEY or PKCS12:F",
    )
    who.add_argument(
        "--pkinit-anchors", metavar="PLACE", help="authorities that it and the KDC's come from: FILE:PEM or DIR:FOLDER"
    )
    what = parser.add_argument_group("what is delegated (default: the password used to log on)")
    what.add_argument(
        "--no-channel-bindings",
        action="store_true",
        help="WinRM over https: do not prove which certificate the server has, where https ends at a proxy",
    )
    what.add_argument("--no-delegate", action="store_true", help="authenticate, but delegate an empty set")
    what.add_argument("--restricted-admin", action="store_true", help="ask for Restricted Admin mode")
    what.add_argument(
        "--remote-guard", action="store_true", help="ask for Remote Credential Guard: a ticket whose key stays here"
    )
    what.add_argument("--delegate-user", metavar="USER", help="delegate this user instead of the one that logs on")
    what.add_argument("--delegate-password-file", metavar="F", help="its password; - for standard input")
    what.add_argument("--delegate-password-command", metavar="CMD", help="program that prints its password")
    what.add_argument(
        "--smartcard-pin",
        metavar="SOURCE",
        help=f"delegate a smart card; its PIN, and that of --pkinit, from ask, file:F, env:NAME ({PIN_VARIABLE}, say)",
    )
    what.add_argument(
        "--key-spec",
        type=int,
        choices=(0, 1, 2),
        help="kind of the key: 1 key exchange, 2 signature, 0 for a key storage provider (default: by --csp, 0 or 1)",
    )
    what.add_argument("--reader", metavar="NAME", help="the smart card's reader")
    what.add_argument("--container", metavar="NAME", help="the key container on it")
    what.add_argument("--card", metavar="NAME", help="the name of the card")
    what.add_argument(
        "--csp",
        metavar="NAME",
        default="Microsoft Base Smart Card Crypto Provider",
        help="its cryptographic service provider (default: %(default)s)",
    )


def logon(arguments: argparse.Namespace) -> LogonCredentials | None:
    """Return what to authenticate with, or None for the default credential cache. Raises LocalProtocolError."""
    from credssp.cli import _secrets
    from credssp.credentials import CCacheCredentials, KeytabCredentials, NTHashCredentials, PasswordCredentials
    from credssp.errors import LocalProtocolError
    from credssp.secret import Secret

    user, domain = arguments.user, arguments.domain
    ways = [
        arguments.hash, arguments.hash_file, arguments.ccache, arguments.keytab, arguments.password_file,
        arguments.password_command, arguments.pkinit, arguments.agent,
    ]  # fmt: skip
    if sum(way is not None for way in ways) > 1:
        raise LocalProtocolError(
            "give only one of --password-file, --password-command, --hash, --hash-file, --ccache, --keytab, --pkinit "
            "and --agent"
        )
    if arguments.agent is not None:
        return _of_agent(arguments)
    if arguments.pkinit is not None:
        return _certificate(arguments)
    if arguments.pkinit_anchors is not None:
        raise LocalProtocolError("--pkinit-anchors needs --pkinit")
    if arguments.ccache is not None:
        return CCacheCredentials(arguments.ccache, _principal(user, domain))
    if arguments.keytab is not None:
        return KeytabCredentials(arguments.keytab, _principal(user, domain))
    if arguments.hash is not None or arguments.hash_file is not None:
        if user is None:
            raise LocalProtocolError("a hash needs a user name: add -u USER")
        if arguments.hash is not None:
            return NTHashCredentials(user, arguments.hash, domain=domain)
        try:
            nt_hash = _secrets.given_line(arguments.hash_file, "NT hash").reveal()
            return NTHashCredentials(user, nt_hash, domain=domain)
        except LocalProtocolError as error:
            problem = error.message
        raise LocalProtocolError(problem if arguments.hash_file in problem else f"{arguments.hash_file}: {problem}")
    if user is not None:
        password = Secret("")
        if not arguments.empty_password:
            password = _secrets.password(
                arguments.password_file, arguments.password_command, prompt=f"Password of {user}: "
            )
            if not password:
                where = f" in {arguments.password_file}" if arguments.password_file else ""
                raise LocalProtocolError(f"the password{where} is empty: use --empty-password if that is meant")
        return PasswordCredentials(user, password, domain=domain)
    if arguments.mechanism in ("kerberos", "negotiate") or arguments.remote_guard:
        return None
    raise LocalProtocolError(
        "no user was given: use -u USER, --agent, --ccache, --keytab, or --mechanism kerberos (default cache)"
    )


def _of_agent(arguments: argparse.Namespace) -> AgentCredentials:
    from credssp.credentials import AgentCredentials
    from credssp.errors import LocalProtocolError

    for option in ("user", "delegate_user", "smartcard_pin"):
        if getattr(arguments, option) is not None:
            raise LocalProtocolError(
                f"--{option.replace('_', '-')} does not go with --agent: who logs on, and what is delegated, is the "
                "agent's decision"
            )
    return AgentCredentials(arguments.agent, mode="remote-guard" if arguments.remote_guard else "")


def _certificate(arguments: argparse.Namespace) -> CertificateCredentials:
    from credssp.credentials import CertificateCredentials
    from credssp.errors import LocalProtocolError

    if arguments.user is None:
        raise LocalProtocolError("a certificate needs a user name: add -u USER")
    source = arguments.smartcard_pin
    if source is None and arguments.pkinit.startswith("PKCS11:"):
        source = "ask"
    return CertificateCredentials(
        arguments.user,
        arguments.pkinit,
        domain=arguments.domain,
        pin=None if source is None else pin_from(source),
        anchors=arguments.pkinit_anchors,
    )


def check_files(arguments: argparse.Namespace) -> None:
    """Look at the files of --pkinit now: libkrb5 says of those it cannot read only that there is no certificate.

    Raises:
        LocalProtocolError: one cannot be read, or is empty.
    """
    for place in (arguments.pkinit, arguments.pkinit_anchors):
        if place is not None:
            _check_place(place)


def _check_place(place: str) -> None:
    from pathlib import Path

    from credssp.errors import LocalProtocolError

    kind, colon, names = place.partition(":")
    if not colon or kind not in ("FILE", "PKCS12"):
        return
    for name in names.split(",") if kind == "FILE" else (names,):
        try:
            with Path(name).open("rb") as file:
                empty = not file.read(1)
        except OSError as error:
            raise LocalProtocolError(f"{name} cannot be read: {error.strerror}") from None
        if empty:
            raise LocalProtocolError(f"{name} is empty")


def _principal(user: str | None, domain: str) -> str | None:
    """Return ``user@REALM``; the default realm where none is given."""
    if user is None:
        return None
    if not domain and "\\" in user:
        domain, _, user = user.partition("\\")
    return f"{user}@{domain.upper()}" if domain else user


def delegated(
    arguments: argparse.Namespace, target: TargetURL | None, credentials: LogonCredentials | None = None
) -> DelegatedCredentials | None:
    """Return what to delegate in place of what logs on, or None. May ask a KDC. Raises CredSSPError.

    Args:
        arguments: those of the command line.
        target: the server; None to read what is the same for all, and to check the rest.
        credentials: what `logon` returned.
    """
    from credssp.cli import _secrets
    from credssp.credentials import (
        AgentCredentials,
        CCacheCredentials,
        CertificateCredentials,
        PasswordCredentials,
    )
    from credssp.errors import LocalProtocolError

    modes = {
        "--no-delegate": arguments.no_delegate,
        "--restricted-admin": arguments.restricted_admin,
        "--remote-guard": arguments.remote_guard,
        "--delegate-user": arguments.delegate_user is not None,
        "--smartcard-pin": arguments.smartcard_pin is not None and arguments.pkinit is None,
    }
    if sum(modes.values()) > 1:
        raise LocalProtocolError(f"{' and '.join(mode for mode, given in modes.items() if given)} cannot be combined")
    if arguments.delegate_user is not None:
        password = _secrets.password(
            arguments.delegate_password_file,
            arguments.delegate_password_command,
            prompt=f"Password of {arguments.delegate_user}, to be delegated: ",
        )
        if not password and not arguments.empty_password:
            where = f" in {arguments.delegate_password_file}" if arguments.delegate_password_file else ""
            raise LocalProtocolError(f"the password to delegate{where} is empty: use --empty-password if that is meant")
        return PasswordCredentials(arguments.delegate_user, password)
    if isinstance(credentials, CertificateCredentials):
        if arguments.remote_guard:
            raise LocalProtocolError("--remote-guard needs tickets: get them with kinit, and use --ccache")
        card = None if any(modes.values()) else credentials.card
        return None if card is None else _smart_card(arguments, card.pin, card.card_name)
    if arguments.smartcard_pin is not None:
        return _smart_card(arguments, pin_from(arguments.smartcard_pin))
    if arguments.reader is not None or arguments.container is not None:
        raise LocalProtocolError("--reader and --container need --smartcard-pin")
    if not arguments.remote_guard:
        return None
    if target is not None and target.scheme != "rdp":
        raise LocalProtocolError("Remote Credential Guard works with rdp:// only")
    if arguments.mechanism == "ntlm":
        raise LocalProtocolError("Remote Credential Guard needs Kerberos")
    if target is None or isinstance(credentials, AgentCredentials):
        return None  # the agent has the tickets
    from credssp.kerberos.remote_guard import remote_guard_credentials

    tickets = None if arguments.ccache is None else CCacheCredentials(arguments.ccache)
    return remote_guard_credentials(f"TERMSRV/{target.host}", tickets=tickets)


def _smart_card(arguments: argparse.Namespace, pin: Secret[str], card_name: str | None = None) -> DelegatedCredentials:
    from credssp.credentials import SmartCardCredentials

    user, domain = arguments.user, arguments.domain
    if user is not None and not domain and "\\" in user:
        domain, _, user = user.partition("\\")
    key_spec = arguments.key_spec
    if key_spec is None:
        key_spec = 0 if "key storage provider" in arguments.csp.lower() else 1
    return SmartCardCredentials(
        pin=pin,
        key_spec=key_spec,
        card_name=arguments.card or card_name,
        reader_name=arguments.reader,
        container_name=arguments.container,
        csp_name=arguments.csp,
        user_hint=user,
        domain_hint=domain or None,
    )


def pin_from(source: str) -> Secret[str]:
    """Return the PIN; never from the command line, where others see it."""
    from credssp.cli import _secrets
    from credssp.errors import LocalProtocolError
    from credssp.secret import Secret

    kind, _, name = source.partition(":")
    if kind == "file" and name:
        return _secrets.given_line(name, "PIN")
    if kind == "env" and name:
        if name in os.environ:
            return Secret(os.environ[name])
        raise LocalProtocolError(f"--smartcard-pin: the variable {name} is not set")
    if source == "ask":
        if not sys.stdin.isatty():
            raise LocalProtocolError("--smartcard-pin ask needs a terminal; use file:F or env:NAME without one")
        return _secrets.ask("PIN: ")
    # What was given may be the PIN itself, so it is not repeated.
    raise LocalProtocolError("--smartcard-pin must be ask, file:F or env:NAME: others can see a command line")

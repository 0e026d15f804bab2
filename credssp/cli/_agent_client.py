"""The owner's calls to an agent: add, list, remove, lock, unlock."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from credssp.cli import _secrets
from credssp.errors import LocalProtocolError
from credssp.lsa.hardening import hide_memory
from credssp.secret import Secret

if TYPE_CHECKING:
    from credssp.lsa.messages import AgentMessage
    from credssp.lsa.store import CredentialInfo

__all__ = ["entry_of", "run"]

_TIMEOUT: Final = 30.0
"""Seconds for an answer; to add a credential may mean to read a file on a slow disk."""


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says. Raises CredSSPError."""
    from credssp.lsa.management import AddCredential, LockAgent, RemoveCredential, UnlockAgent

    if arguments.action == "list":
        return _list(arguments)
    if arguments.action != "remove":
        hide_memory()  # before there is a secret in it
    if arguments.action == "add":
        entry, secret = entry_of(arguments)
        _call(arguments, AddCredential(json.dumps(entry), secret.reveal().encode("utf-8", "surrogatepass")))
    elif arguments.action == "remove":
        for name in arguments.names:
            _call(arguments, RemoveCredential(name))
    else:
        kind = LockAgent if arguments.action == "lock" else UnlockAgent
        phrase = _phrase(arguments)
        _call(arguments, kind(phrase.reveal().encode("utf-8", "surrogatepass")))
    return 0


def _call(arguments: argparse.Namespace, request: AgentMessage) -> AgentMessage:
    """Send a request to the agent. Raises CredSSPError."""
    from credssp.lsa.address import agent_socket
    from credssp.lsa.channel import AgentChannel
    from credssp.lsa.faults import raised
    from credssp.lsa.messages import Failed

    channel = AgentChannel(agent_socket(arguments.socket or ""), timeout=_TIMEOUT)
    try:
        channel.check_owner()
        answer = channel.call(request)
    finally:
        channel.close()
    if isinstance(answer, Failed):
        raise raised(answer)
    return answer


def _list(arguments: argparse.Namespace) -> int:
    from credssp.errors import DecodeError
    from credssp.lsa.management import ListCredentials, ListedCredentials, infos_of

    found: list[CredentialInfo] = []
    more = True
    while more:
        answer = _call(arguments, ListCredentials(found[-1].name if found else ""))
        if not isinstance(answer, ListedCredentials):
            raise DecodeError("an answer to List that is not ListedCredentials", field="Message")
        page = infos_of(answer)
        found += page
        more = bool(answer.more and page)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(info) for info in found], indent=2))
    else:
        _print(found)
    return 0


def _print(found: list[CredentialInfo]) -> None:
    from credssp.cli._output import print_table, printable

    if not found:
        print("the agent holds no credentials")
        return
    rows = []
    for info in found:
        source = f"{info.source} {info.place}".strip()
        delegate = f"{info.delegate}, confirmed" if info.confirm else info.delegate
        row = (info.name, info.user, source, " ".join(info.targets), "+".join(info.mechanisms), delegate, _left(info))
        rows.append([printable(cell) for cell in row])
    print_table(("name", "user", "source", "targets", "mechanisms", "delegates", "expires"), rows)


def _left(info: CredentialInfo) -> str:
    if info.expires is None:
        return "never"
    if info.expires <= 0:
        return "expired"
    minutes, seconds = divmod(int(info.expires), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def entry_of(arguments: argparse.Namespace) -> tuple[dict[str, Any], Secret[str]]:
    """Return the entry that ``add`` sends, with the keys of the configuration, and its secret, which may be empty.

    Raises:
        LocalProtocolError: options that do not go together, or a secret that cannot be had.
    """
    entry: dict[str, Any] = {"name": arguments.name}
    if not arguments.target:
        raise LocalProtocolError(
            "--target is missing: name the servers, as in --target 'TERMSRV/*.lab.test'; '*' is all of them"
        )
    entry["targets"] = arguments.target
    cacert = arguments.cacert
    if cacert is not None and cacert != "system":
        cacert = os.fspath(Path(cacert).absolute())
    for key, value in (
        ("user", arguments.user),
        ("cacert", cacert),
        ("fingerprint", arguments.fingerprint),
        ("lifetime", arguments.lifetime),
        ("delegate", arguments.delegate),
    ):
        if value is not None:
            entry[key] = value
    if arguments.mechanism:
        entry["mechanisms"] = arguments.mechanism
    if arguments.confirm:
        entry["confirm"] = True
    return entry, _source(arguments, entry)


def _source(arguments: argparse.Namespace, entry: dict[str, Any]) -> Secret[str]:
    """Add the source to the entry, and return its secret. Raises LocalProtocolError."""
    names = ("password_file", "password_command", "password_fd", "systemd", "keytab", "ccache", "pkinit")
    given = [name for name in names if getattr(arguments, name) is not None]
    if len(given) > 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise LocalProtocolError(f"{options} cannot be combined: a credential has one source")
    kind = given[0] if given else ""
    if kind != "pkinit" and (arguments.pkinit_anchors is not None or arguments.smartcard_pin is not None):
        raise LocalProtocolError("--pkinit-anchors and --smartcard-pin need --pkinit")
    if kind in ("keytab", "ccache"):
        entry["source"] = {kind: _absolute(getattr(arguments, kind))}
        return Secret("")
    if kind == "pkinit":
        entry["source"] = {"smartcard": arguments.pkinit}
        if arguments.pkinit_anchors is not None:
            entry["source"]["anchors"] = arguments.pkinit_anchors
        return _pin(arguments)
    if arguments.user is None:
        raise LocalProtocolError("a password needs a user: add -u USER")
    if kind == "password_fd":
        password = _from_descriptor(arguments.password_fd)
    elif kind == "systemd":
        from credssp.lsa.sources import SystemdCredential

        password = SystemdCredential(arguments.systemd).secret()
    else:
        prompt = f"Password of {arguments.user}: "
        password = _secrets.password(arguments.password_file, arguments.password_command, prompt=prompt)
    if not password:
        file = arguments.password_file
        raise LocalProtocolError("the password is empty" if file is None else f"the password in {file} is empty")
    return password


def _absolute(place: str) -> str:
    """Return where a keytab or a cache is for a process with another current folder."""
    from credssp.lsa.sources import has_type

    return place if has_type(place) else os.fspath(Path(place).absolute())


def _pin(arguments: argparse.Namespace) -> Secret[str]:
    from credssp.cli._login_credentials import pin_from

    source = arguments.smartcard_pin
    if source is None and arguments.pkinit.startswith("PKCS11:"):
        source = "ask"
    if source is None:
        return Secret("")
    kind, _, number = source.partition(":")
    if kind == "fd" and number.isdecimal():
        return _from_descriptor(int(number))
    return pin_from(source)


def _from_descriptor(number: int) -> Secret[str]:
    """Return the first line of an open file, such as the end of a pipe. Raises LocalProtocolError."""
    from credssp.private_file import read_line

    try:
        with os.fdopen(number, "rb", closefd=number > 2) as stream:
            secret = read_line(stream)
    except (OSError, OverflowError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise LocalProtocolError(f"descriptor {number} cannot be read: {why}") from None
    if secret is None:
        raise LocalProtocolError(f"what came by descriptor {number} is not UTF-8 text")
    return secret


def _phrase(arguments: argparse.Namespace) -> Secret[str]:
    if arguments.phrase_file is not None:
        return _secrets.given_line(arguments.phrase_file, "pass phrase")
    if not sys.stdin.isatty():
        raise LocalProtocolError("no pass phrase: give --phrase-file FILE, or run it on a terminal and type it")
    phrase = _secrets.ask("Pass phrase: ")
    if arguments.action == "lock" and _secrets.ask("The same again: ") != phrase:
        raise LocalProtocolError("the two pass phrases differ; the agent was not locked")
    return phrase

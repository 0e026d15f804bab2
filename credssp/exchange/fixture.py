"""A captured exchange on disk: who talked, with what keys and secrets, and every plaintext message in order.

A fixture is a folder::

    fixtures/<peer>-<version>-<scenario>/
        manifest.toml     who, what, how to regenerate it; every secret in it was made up for the capture
        messages.jsonl    one JSON object a line: {"from": "client" | "server", "layer": "tsrequest", "data": "<hex>"}
        capture.pcapng    optional: the packets, and
        keys.log          the secrets of their TLS connections; never one without the other

Layers: ``tsrequest`` (a TSRequest as it was inside TLS), ``x224`` (RDP negotiation in clear), ``http`` (headers and
body of one HTTP message), ``application`` (plaintext that followed the login). What the manifest holds:

    format = 1
    description = "..."
    outcome = "accepted" | "refused" | "failed"
    licence = "..."

    [programs]
    client = "pyspnego 0.12.4"   # name and version; what is below it may follow, after commas
    server = "credssp 0.1.0"

    [make]
    command = "python fixtures/make_pyspnego.py"

    [exchange]
    transport = "stream" | "rdp" | "winrm"
    tls = "TLSv1.3"
    client_version = 6         # the versions in the messages
    server_version = 6
    mechanism = "ntlm" | "kerberos"
    wire_form = "spnego" | "ntlm" | "kerberos"
    target_name = "TERMSRV/srv.lab.test"

    [server]
    public_key = "<hex>"       # SubjectPublicKey
    key_type = "rsa"

    [account]                  # what the client used; the server knew the same, unless refused
    username = "alice"
    domain = "LAB"
    password = "..."

    [delegated]                # optional: what the server received
    type = "password"
    username = ...

    [randomness]               # optional: what our side drew, in order, so that a replay comes out byte for byte
    draws = ["<hex>", ...]
    clock = 133000000000000000 # ns since 1970, for our server's challenge
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from credssp.errors import LocalProtocolError
from credssp.exchange.account import LogonAccount
from credssp.exchange.recorded_login import RecordedLogin, Sender
from credssp.toml_text import dump_toml

__all__ = [
    "MAX_SIZE",
    "Fixture",
    "FixtureError",
    "Layer",
    "Message",
    "account_of",
    "load",
    "load_all",
    "load_line",
    "login_of",
    "message_of",
    "read_folder",
    "save",
    "text_of",
]

Layer = Literal["tsrequest", "x224", "http", "application"]

_FORMAT: Final = 1
MAX_SIZE: Final = 16 << 20
"""Bytes of one file, and of a transcript; a login with the largest TSRequests has a tenth of it."""

_REQUIRED: Final = {
    "": ("format", "description", "outcome", "licence"),
    "programs": ("client", "server"),
    "make": ("command",),
    "exchange": ("transport", "tls", "client_version", "server_version", "mechanism", "wire_form", "target_name"),
    "server": ("public_key", "key_type"),
    "account": ("username", "domain", "password"),
}
_CHOICES: Final = {
    ("", "outcome"): ("accepted", "refused", "failed"),
    ("exchange", "transport"): ("stream", "rdp", "winrm"),
    ("exchange", "tls"): ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    ("exchange", "mechanism"): ("ntlm", "kerberos", ""),
    ("exchange", "wire_form"): ("spnego", "ntlm", "kerberos", ""),
}
# nmap says 96; what is larger than a byte is no version but a mistake.
_NUMBERS: Final = {
    ("exchange", "client_version"): 0xFF,
    ("exchange", "server_version"): 0xFF,
    ("randomness", "clock"): (1 << 63) - 1,
    ("kerberos", "etype"): 0xFF,
}
_MAY_BE_EMPTY: Final = (("exchange", "target_name"), ("account", "domain"), *_CHOICES)
_HEXADECIMAL: Final = (("server", "public_key"), ("kerberos", "key"), ("kerberos", "host_key"))
_SIDES: Final[tuple[Sender, ...]] = ("client", "server")
_LAYERS: Final[tuple[Layer, ...]] = ("tsrequest", "x224", "http", "application")


class FixtureError(LocalProtocolError):
    """A fixture that does not keep to the format."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the exchange.

    Attributes:
        sender: ``client`` or ``server``.
        data: its bytes.
        layer: what kind of bytes, see the module.
    """

    sender: Sender
    data: bytes = field(repr=False)
    layer: Layer = "tsrequest"


@dataclass(frozen=True, slots=True)
class Fixture:
    """A captured exchange.

    Attributes:
        name: name of its folder.
        manifest: the parsed manifest.
        messages: all messages in order.
    """

    name: str
    manifest: dict[str, Any]
    messages: tuple[Message, ...] = field(repr=False)

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKey of the server."""
        return bytes.fromhex(self.manifest["server"]["public_key"])

    @property
    def draws(self) -> list[bytes]:
        """What our side drew from its source of randomness, in order."""
        return [bytes.fromhex(draw) for draw in self.manifest.get("randomness", {}).get("draws", [])]

    def requests(self, sender: Sender | None = None) -> list[bytes]:
        """The TSRequests, of one side or of both."""
        return [m.data for m in self.messages if m.layer == "tsrequest" and sender in {None, m.sender}]


def load_line(line: str) -> dict[str, Any] | None:
    """Return the JSON object in a line of a fixture or a transcript, or None."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def text_of(entry: dict[str, Any], name: str) -> str:
    """Return a member that is a text; an empty one where it is absent or something else."""
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def message_of(entry: dict[str, Any] | None) -> Message | None:
    """Return the message in a line's object, or None where it is not one: without bytes, or of an unknown sender."""
    if entry is None:
        return None
    sender, layer = entry.get("from"), entry.get("layer", "tsrequest")
    try:
        data = bytes.fromhex(text_of(entry, "data"))
    except ValueError:
        return None
    return Message(sender, data, layer) if sender in _SIDES and layer in _LAYERS and data else None


def read_folder(folder: Path) -> tuple[dict[str, Any], list[Message | None]]:
    """Read both files as they are: the manifest, and each line's message, None where it is not one.

    Raises:
        FixtureError: a file cannot be read.
    """
    try:
        manifest = tomllib.loads(_read(folder / "manifest.toml"))
        lines = _read(folder / "messages.jsonl").splitlines()
    except (OSError, ValueError, RecursionError) as error:
        missing = isinstance(error, FileNotFoundError)
        what = "manifest.toml or messages.jsonl is missing" if missing else type(error).__name__
        raise FixtureError(what) from None
    return manifest, [message_of(load_line(line)) for line in lines]


def load(folder: Path) -> Fixture:
    """Read and check one fixture.

    Raises:
        FixtureError: a file is missing or does not keep to the format.
    """
    try:
        manifest, read = read_folder(folder)
    except FixtureError as error:
        raise FixtureError(f"fixture {folder.name} cannot be read: {error.message}") from None
    problems = _problems(manifest)
    if (folder / "capture.pcapng").exists() != (folder / "keys.log").exists():
        problems.append("of capture.pcapng and keys.log there is only one")
    if not read:
        problems.append("messages.jsonl has no message")
    problems += [
        f"messages.jsonl line {number} is not a message" for number, each in enumerate(read, 1) if each is None
    ]
    if problems:
        raise FixtureError(f"fixture {folder.name}: {'; '.join(problems)}")
    return Fixture(folder.name, manifest, tuple(message for message in read if message is not None))


def account_of(manifest: dict[str, Any]) -> LogonAccount | None:
    """Return the account in a manifest, or None where there is no password."""
    table = manifest.get("account")
    account = table if isinstance(table, dict) else {}
    if not text_of(account, "password"):
        return None
    return LogonAccount(text_of(account, "username"), text_of(account, "password"), text_of(account, "domain"))


def login_of(fixture: Fixture) -> RecordedLogin:
    """Return the login in a fixture."""
    return RecordedLogin(
        ((message.sender, message.data) for message in fixture.messages if message.layer == "tsrequest"),
        public_key=fixture.public_key,
        account=account_of(fixture.manifest),
        name=fixture.name,
        outcome=fixture.manifest["outcome"],
        client_application=b"".join(
            message.data for message in fixture.messages if (message.layer, message.sender) == ("application", "client")
        ),
        programs=fixture.manifest["programs"],
    )


def load_all(folder: Path) -> list[Fixture]:
    """Read all fixtures below a folder, by name.

    Raises:
        FixtureError: one of them does not keep to the format.
    """
    return [load(path.parent) for path in sorted(folder.glob("*/manifest.toml"))]


def save(folder: Path, manifest: dict[str, Any], messages: Sequence[Message]) -> None:
    """Write a fixture, replacing an older one of the same name.

    Raises:
        FixtureError: the manifest does not keep to the format.
    """
    manifest = {"format": _FORMAT} | manifest
    if problems := _problems(manifest):
        raise FixtureError(f"fixture {folder.name}: {'; '.join(problems)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.toml").write_text(dump_toml(manifest), encoding="utf-8")
    lines = (json.dumps({"from": m.sender, "layer": m.layer, "data": m.data.hex()}) for m in messages)
    (folder / "messages.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_SIZE:
        raise ValueError("too large")
    return path.read_text(encoding="utf-8")


def _problems(manifest: dict[str, Any]) -> list[str]:
    problems = []
    for section, names in _REQUIRED.items():
        table = manifest.get(section, {}) if section else manifest
        where = f"[{section}] " if section else ""
        if not isinstance(table, dict):
            problems.append(f"{where}is not a table")
            continue
        problems += [f"{where}{name} is missing" for name in names if name not in table]
        for name in names:
            if name in table and (problem := _value_problem((section, name), table[name])):
                problems.append(f"{where}{name} {problem}")
    return problems + _optional_problems(manifest)


def _value_problem(place: tuple[str, str], value: object) -> str:
    """Return what is wrong with a value of the manifest, or an empty string."""
    if place == ("", "format"):
        return "" if value == _FORMAT and not isinstance(value, bool) else f"is {value!r}, this reads {_FORMAT}"
    if place in _NUMBERS:
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _NUMBERS[place]
        return "" if fits else f"is {value!r}, no number up to {_NUMBERS[place]}"
    if not isinstance(value, str):
        return f"is {value!r}, no text"
    if place in _CHOICES and value not in _CHOICES[place]:
        return f"is {value!r}, none of {', '.join(filter(None, _CHOICES[place]))}"
    if not value and place not in _MAY_BE_EMPTY:
        return "is empty"
    if place[0] == "programs" and place[1] in _SIDES and len(value.split()) < 2:
        return f"is {value!r}, without a version"
    return "is not hexadecimal" if place in _HEXADECIMAL and not _is_hexadecimal(value) else ""


def _optional_problems(manifest: dict[str, Any]) -> list[str]:
    """What may be left out has its form as well."""
    problems = []
    for section in ("kerberos", "randomness", "delegated"):
        table = manifest.get(section, {})
        if not isinstance(table, dict):
            problems.append(f"[{section}] is not a table")
            continue
        for name in table:
            place = (section, name)
            if (place in _NUMBERS or place in _HEXADECIMAL) and (problem := _value_problem(place, table[name])):
                problems.append(f"[{section}] {name} {problem}")
        draws = table.get("draws", [])
        if not isinstance(draws, list) or not all(_is_hexadecimal(draw) for draw in draws):
            problems.append(f"[{section}] draws is not a list of hexadecimal strings")
    return problems


def _is_hexadecimal(value: object) -> bool:
    try:
        return isinstance(value, str) and bytes.fromhex(value) is not None
    except ValueError:
        return False

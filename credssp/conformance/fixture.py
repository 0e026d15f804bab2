"""A captured exchange on disk: who talked, with what keys and secrets, and every plaintext message in order.

A fixture is a folder::

    fixtures/<peer>-<version>-<scenario>/
        manifest.toml     who, what, how to make it again; every secret in it was made up for the capture
        messages.jsonl    one JSON object a line: {"from": "client" | "server", "layer": "tsrequest", "data": "<hex>"}

Layers: ``tsrequest`` (a TSRequest as it stood inside TLS), ``x224`` (RDP negotiation in clear), ``http`` (headers and
body of one HTTP message), ``application`` (plaintext that followed the login). What the manifest holds:

    format = 1
    description = "..."
    outcome = "accepted" | "refused" | "failed"
    licence = "..."

    [programs]
    client = "pyspnego 0.12.4"
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

    [randomness]               # optional: what our side drew, in order, so that a replay comes out octet for octet
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

__all__ = ["Fixture", "FixtureError", "Layer", "Message", "Side", "load", "load_all", "save"]

Side = Literal["client", "server"]
Layer = Literal["tsrequest", "x224", "http", "application"]

_FORMAT: Final = 1
_MAX_SIZE: Final = 16 << 20

_REQUIRED: Final = {
    "": ("format", "description", "outcome", "licence"),
    "programs": ("client", "server"),
    "make": ("command",),
    "exchange": ("transport", "tls", "client_version", "server_version", "mechanism", "wire_form", "target_name"),
    "server": ("public_key", "key_type"),
    "account": ("username", "domain", "password"),
}
_CHOICES: Final = {
    ("", "outcome"): {"accepted", "refused", "failed"},
    ("exchange", "transport"): {"stream", "rdp", "winrm"},
    ("exchange", "mechanism"): {"ntlm", "kerberos", ""},
    ("exchange", "wire_form"): {"spnego", "ntlm", "kerberos", ""},
}


class FixtureError(LocalProtocolError):
    """A fixture that does not keep to the format."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the exchange.

    Attributes:
        sender: ``client`` or ``server``.
        data: its octets.
        layer: what kind of octets, see the module.
    """

    sender: Side
    data: bytes
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

    def requests(self, sender: Side | None = None) -> list[bytes]:
        """The TSRequests, of one side or of both."""
        return [m.data for m in self.messages if m.layer == "tsrequest" and sender in {None, m.sender}]


def load(folder: Path) -> Fixture:
    """Read and check one fixture.

    Raises:
        FixtureError: a file is missing or does not keep to the format.
    """
    try:
        manifest = tomllib.loads(_read(folder / "manifest.toml"))
        lines = [json.loads(line) for line in _read(folder / "messages.jsonl").splitlines()]
    except (OSError, ValueError) as error:
        raise FixtureError(f"fixture {folder.name} cannot be read: {type(error).__name__}") from None
    problems = _problems(manifest)
    messages = []
    for number, line in enumerate(lines, 1):
        try:
            message = Message(line["from"], bytes.fromhex(line["data"]), line.get("layer", "tsrequest"))
        except (KeyError, TypeError, ValueError):
            problems.append(f"messages.jsonl line {number} is no message")
            continue
        if message.sender not in {"client", "server"} or message.layer not in {
            "tsrequest",
            "x224",
            "http",
            "application",
        }:
            problems.append(f"messages.jsonl line {number} has an unknown sender or layer")
        messages.append(message)
    if problems:
        raise FixtureError(f"fixture {folder.name}: {'; '.join(problems)}")
    return Fixture(folder.name, manifest, tuple(messages))


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
    (folder / "manifest.toml").write_text(_toml(manifest), encoding="utf-8")
    lines = (json.dumps({"from": m.sender, "layer": m.layer, "data": m.data.hex()}) for m in messages)
    (folder / "messages.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _read(path: Path) -> str:
    if path.stat().st_size > _MAX_SIZE:
        raise ValueError("too large")
    return path.read_text(encoding="utf-8")


def _problems(manifest: dict[str, Any]) -> list[str]:
    problems = []
    for section, names in _REQUIRED.items():
        table = manifest.get(section, {}) if section else manifest
        where = f"[{section}] " if section else ""
        if not isinstance(table, dict):
            problems.append(f"{where}is no table")
            continue
        problems += [f"{where}{name} is missing" for name in names if name not in table]
        problems += [
            f"{where}{name} is {table[name]!r}"
            for (of, name), choices in _CHOICES.items()
            if of == section and name in table and table[name] not in choices
        ]
    if manifest.get("format", _FORMAT) != _FORMAT:
        problems.append(f"format {manifest['format']!r}, this reads {_FORMAT}")
    for section, name in (("server", "public_key"),):
        try:
            bytes.fromhex(manifest.get(section, {}).get(name, ""))
        except (ValueError, TypeError, AttributeError):
            problems.append(f"[{section}] {name} is not hexadecimal")
    return problems


def _toml(table: dict[str, Any], prefix: str = "") -> str:
    """Write what a manifest holds: tables of scalars and lists of scalars."""
    plain = [f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    text = "".join(line + "\n" for line in plain)
    for key, value in table.items():
        if isinstance(value, dict):
            text += f"\n[{prefix}{key}]\n{_toml(value, f'{prefix}{key}.')}"
    return text


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + "".join(f"\n    {_value(item)}," for item in value) + ("\n]" if value else "]")
    # JSON strings are TOML basic strings, but for U+007F, which nobody puts into a manifest.
    return json.dumps(str(value))

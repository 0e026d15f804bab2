"""The configuration of the agent, a TOML file, and the one entry that ``credssp agent add`` sends: read strictly."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from credssp.errors import CredSSPError, LocalProtocolError
from credssp.lsa.opened import CertificateRule, DelegateRule
from credssp.lsa.sources import (
    CCache,
    Given,
    Keytab,
    PasswordFile,
    PinSource,
    SmartCard,
    Source,
    SystemdCredential,
    has_type,
)
from credssp.mechanism_name import MechanismName
from credssp.policy.spn import SPNPattern
from credssp.private_file import open_to_others
from credssp.secret import Secret
from credssp.tls.settings import ClientTLS
from credssp.tls.trust import roots_of
from credssp.toml_table import Lines, Table, sections

__all__ = ["SYSTEM_ROOTS", "AgentSettings", "CredentialSettings", "duration", "parse_credential", "read_settings"]

SYSTEM_ROOTS: Final = "system"
"""In place of a file of authorities: those that the system trusts."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_KEYS: Final = frozenset(
    {
        *("name", "user", "source", "targets", "mechanisms", "fingerprint", "cacert", "uids", "delegate", "lifetime"),
        "confirm",
    }
)
_PLACES: Final = ("password_file", "systemd", "keytab", "ccache", "smartcard")
_SOURCE_KEYS: Final = frozenset({*_PLACES, "anchors", "pin_file", "pin_systemd"})
_PASSWORDS: Final = ("password", "password_file", "systemd")

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"(?:\d{1,9}[smhdw])+")
_MAX_DURATION: Final = 10 * 365 * 86400
_MAX_UID: Final = 0xFFFFFFFE  # -1 means "no change" to setuid(2)
_MAX_UIDS: Final = 1000
_MAX_FILE: Final = 1 << 20
_MAX_TARGETS: Final = 100
_MAX_TARGET: Final = 300  # characters: a host has 255


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSettings:
    """What is configured of one credential; it holds no secret, except in a `source` of ``agent add``.

    Attributes:
        name: by which programs ask for it.
        source: where its secret comes from.
        user: who logs on, ``DOMAIN\\user`` or ``user@REALM``; None for the first entry of a keytab or the owner of a
            credential cache.
        targets: the servers that it may log on to.
        mechanisms: with which it may do so, best first.
        fingerprint: SHA-256 of the certificate that NTLM demands, or None.
        cacert: authorities that NTLM demands, ``system`` for those of the system, or None.
        uids: users whose programs may use it; None for the agent's own.
        delegate: what the server is given.
        lifetime: seconds after which it is dropped; None for no limit.
        confirm: whether a person is asked about every login.
    """

    name: str
    source: Source
    targets: tuple[SPNPattern, ...]
    mechanisms: tuple[MechanismName, ...]
    user: str | None = None
    fingerprint: str | None = None
    cacert: str | None = None
    uids: frozenset[int] | None = None
    delegate: DelegateRule = "password"
    lifetime: float | None = None
    confirm: bool = False

    def certificate(self) -> CertificateRule | None:
        """Return what NTLM demands of a server's certificate, with what the files hold now.

        Raises:
            LocalProtocolError: the authorities cannot be read.
        """
        if self.fingerprint is not None:
            return CertificateRule(fingerprint=self.fingerprint)
        if self.cacert is None:
            return None
        return CertificateRule(roots=None if self.cacert == SYSTEM_ROOTS else roots_of(self.cacert, None))


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """A whole configuration.

    Attributes:
        credentials: the credentials.
        socket: where to listen; None for the default.
        audit: where the events go: ``stdout``, ``stderr``, ``journal``, or a file; None for the default.
    """

    credentials: tuple[CredentialSettings, ...] = ()
    socket: str | None = None
    audit: str | None = None

    @property
    def other_users(self) -> frozenset[int]:
        """Users beside the agent's own that may use a credential."""
        return frozenset(uid for each in self.credentials for uid in each.uids or ()) - {os.geteuid()}


def read_settings(path: str | os.PathLike[str]) -> AgentSettings:
    """Read a file. The files that it names are not read yet.

    Raises:
        LocalProtocolError: it cannot be read, every user can write it, or it holds what is unknown or not safe; the
            text names the file, the key and the line.
    """
    name = os.fspath(path)
    try:
        if open_to_others(path) == "written":
            raise LocalProtocolError(f"{name} can be written by every user of this machine")
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise LocalProtocolError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LocalProtocolError(f"{name} is not UTF-8 text") from None
    if len(data) > _MAX_FILE:
        raise LocalProtocolError(f"{name} has more than {_MAX_FILE} bytes")
    try:
        return parse_settings(text, folder=Path(path).absolute().parent)
    except tomllib.TOMLDecodeError as error:
        raise LocalProtocolError(f"{name} is not TOML: {error}") from None
    except LocalProtocolError as error:
        raise LocalProtocolError(f"{name}: {error.message}") from None


def parse_settings(text: str, *, folder: Path) -> AgentSettings:
    """Take the text of a file apart; paths in it are relative to `folder`.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML.
        LocalProtocolError: it holds what is unknown or not safe.
    """
    values = tomllib.loads(text)
    places = sections(text)
    Table(values, "", folder, [line for _, lines in places for line in lines]).check({"agent", "credential"})
    entries = values.get("credential", [])
    if not isinstance(entries, list):
        raise LocalProtocolError("credential is a list of tables: write [[credential]]")
    where = [lines for name, lines in places if name == "credential"]
    found = tuple(
        _credential(entry, number, folder, where[number - 1] if number <= len(where) else ())
        for number, entry in enumerate(entries, 1)
    )
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise LocalProtocolError(f"two credentials have the name {name}")
    own = Table(values.get("agent", {}), "agent", folder, dict(places).get("agent", ()))
    own.check({"socket", "audit"})
    audit = own.optional("audit")
    if audit not in (None, "stdout", "stderr", "journal"):
        audit = own.path("audit")
    return AgentSettings(found, own.path("socket"), audit)


def _credential(entry: object, number: int, folder: Path, lines: Lines) -> CredentialSettings:
    table = Table(entry, f"credential {number}", folder, lines)
    return _parse(table, None)


def parse_credential(values: Mapping[str, Any], *, secret: Secret[str] | None = None) -> CredentialSettings:
    """Take one entry apart that ``credssp agent add`` sent; its keys are those of the file, its paths are absolute.

    Args:
        values: the entry.
        secret: the password; for a smart card its PIN; None where there is none.

    Raises:
        LocalProtocolError: it holds what is unknown or not safe.
    """
    return _parse(Table(values, "credential", Path("/")), Secret("") if secret is None else secret)


def _parse(table: Table, given: Secret[str] | None) -> CredentialSettings:
    """Take an entry apart; `given` is None for one of a file."""
    table.check(_KEYS)
    name = table.text("name")
    if not _NAME.fullmatch(name):
        raise table.error("name", f"has 1 to 64 letters, digits, and the characters _.@-, not {name!r}")
    table.name = f"credential {name}"
    source = _source(table, given)
    user = table.optional("user")
    if user is None and source.kind not in ("keytab", "ccache"):
        raise table.error("user", "is missing: DOMAIN\\NAME or NAME@REALM")
    fingerprint, cacert = _certificate(table)
    mechanisms = _mechanisms(table, source, verified=fingerprint is not None or cacert is not None)
    delegate = _delegate(table, source)
    if delegate == "remote-guard" and "kerberos" not in mechanisms:
        raise table.error("delegate", "remote-guard needs kerberos among the mechanisms")
    return CredentialSettings(
        name=name,
        source=source,
        user=user,
        targets=_targets(table),
        mechanisms=mechanisms,
        fingerprint=fingerprint,
        cacert=cacert,
        uids=_uids(table),
        delegate=delegate,
        lifetime=_lifetime(table),
        confirm=table.flag("confirm"),
    )


def _source(table: Table, given: Secret[str] | None) -> Source:
    entry = table.table("source")
    if entry is None:
        if given:
            return Given(given)
        raise table.error("source", f"is missing: {', '.join(_PLACES)}")
    for key in ("password", "pin"):
        if key in entry:
            raise entry.error(key, f"is not written here: use {key}_file, or {_systemd_key(key)}")
    entry.check(_SOURCE_KEYS)
    kinds = [key for key in _PLACES if key in entry]
    if len(kinds) != 1:
        raise table.error("source", f"has one of {', '.join(_PLACES)}")
    (kind,) = kinds
    if given is not None:
        _check_sent(entry)
    for key in ("anchors", "pin_file", "pin_systemd"):
        if key in entry and kind != "smartcard":
            raise entry.error(key, "is for a smartcard")
    try:
        return _made(entry, kind, given)
    except LocalProtocolError as error:
        if error.message.startswith(table.name):
            raise
        raise entry.error(kind, f"is not valid: {error.message}") from None


def _check_sent(entry: Table) -> None:
    """Refuse sources that the agent would read for a program: it could give a secret of ours other rules."""
    for key in ("password_file", "systemd", "pin_file", "pin_systemd"):
        if key in entry:
            raise entry.error(key, "is for the configuration: a program that adds a credential sends the secret itself")


def _systemd_key(key: str) -> str:
    return "systemd" if key == "password" else "pin_systemd"


def _made(entry: Table, kind: str, given: Secret[str] | None) -> Source:
    if kind == "password_file":
        return PasswordFile(entry.path(kind) or "")
    if kind == "systemd":
        return SystemdCredential(entry.text(kind))
    if kind == "keytab":
        return Keytab(_location(entry, kind))
    if kind == "ccache":
        return CCache(_location(entry, kind))
    pin: PinSource | None = Given(given) if given else None
    if "pin_file" in entry and "pin_systemd" in entry:
        raise entry.error("pin_file", "and pin_systemd cannot be combined")
    if "pin_file" in entry:
        pin = PasswordFile(entry.path("pin_file") or "")
    elif "pin_systemd" in entry:
        pin = SystemdCredential(entry.text("pin_systemd"))
    return SmartCard(entry.text(kind), entry.optional("anchors"), pin)


def _location(entry: Table, key: str) -> str:
    """Return a place of libkrb5's: ``TYPE:residual`` as it is, a path relative to the folder of the file."""
    text = entry.text(key)
    if has_type(text):
        return text
    return entry.path(key) or ""


def _certificate(table: Table) -> tuple[str | None, str | None]:
    fingerprint = table.optional("fingerprint")
    cacert = table.optional("cacert")
    if fingerprint is not None and cacert is not None:
        raise table.error("fingerprint", "and cacert cannot be combined: a pinned certificate needs no authority")
    try:
        fingerprint = ClientTLS(fingerprint=fingerprint).pinned
    except CredSSPError as error:
        raise table.error("fingerprint", f"is not valid: {error.message}") from None
    if cacert is None or cacert == SYSTEM_ROOTS:
        return fingerprint, cacert
    path = table.path("cacert")
    try:
        roots_of(path, None)  # now, and not with the first login
    except CredSSPError as error:
        raise table.error("cacert", f"cannot be used: {error.message}") from None
    return fingerprint, path


def _mechanisms(table: Table, source: Source, *, verified: bool) -> tuple[MechanismName, ...]:
    password = source.kind in _PASSWORDS
    default: tuple[MechanismName, ...] = ("kerberos", "ntlm") if password and verified else ("kerberos",)
    found: list[MechanismName] = []
    known: dict[str, MechanismName] = {"kerberos": "kerberos", "ntlm": "ntlm"}
    for text in table.texts("mechanisms", default):
        name = known.get(text)
        if name is None:
            raise table.error("mechanisms", f"has kerberos and ntlm, not {text!r}")
        if name in found:
            raise table.error("mechanisms", f"has {name} twice")
        found.append(name)
    if not found:
        raise table.error("mechanisms", "is empty: no login would be possible")
    if "ntlm" in found and not password:
        raise table.error("mechanisms", f"has ntlm, which needs a password; a {source.kind} is for kerberos")
    if "ntlm" in found and not verified:
        raise table.error(
            "mechanisms",
            "has ntlm, which needs fingerprint or cacert: a program that plays its own server could guess the password",
        )
    return tuple(found)


def _delegate(table: Table, source: Source) -> DelegateRule:
    fits: dict[str, tuple[str, ...]] = {
        "smartcard": ("smartcard", "nothing"),
        "keytab": ("nothing",),
        "ccache": ("nothing", "remote-guard"),
    }
    allowed = fits.get(source.kind, ("password", "nothing"))
    choice: DelegateRule = table.choice("delegate", DelegateRule, allowed[0])
    if choice not in allowed:
        raise table.error("delegate", f"is {' or '.join(allowed)} for a {source.kind}, not {choice}")
    return choice


def _targets(table: Table) -> tuple[SPNPattern, ...]:
    texts = table.texts("targets")
    if not texts:
        raise table.error("targets", 'is missing or empty: name servers as in "TERMSRV/*.lab.test"; "*" is all of them')
    if len(texts) > _MAX_TARGETS:
        raise table.error("targets", f"has more than {_MAX_TARGETS} patterns")
    if any(len(text) > _MAX_TARGET for text in texts):
        raise table.error("targets", f"has a pattern of more than {_MAX_TARGET} characters")
    try:
        return tuple(SPNPattern(text) for text in texts)
    except LocalProtocolError as error:
        raise table.error("targets", f"is not valid: {error.message}") from None


def _uids(table: Table) -> frozenset[int] | None:
    numbers = table.numbers("uids")
    if numbers is None:
        return None
    if not numbers:
        raise table.error("uids", "is empty: no program could use the credential")
    if len(numbers) > _MAX_UIDS:
        raise table.error("uids", f"has more than {_MAX_UIDS} users")
    if max(numbers) > _MAX_UID:
        raise table.error("uids", f"has numbers of users, not {max(numbers)}")
    return frozenset(numbers)


def _lifetime(table: Table) -> float | None:
    text = table.optional("lifetime")
    if text is None:
        return None
    try:
        return duration(text)
    except LocalProtocolError as error:
        raise table.error("lifetime", error.message) from None


def duration(text: str) -> float:
    """Read a time such as ``8h`` or ``1h30m``: whole numbers of s, m, h, d and w. Returns seconds.

    Raises:
        LocalProtocolError: it is something else, 0, or longer than ten years.
    """
    seconds = 0
    if _DURATION.fullmatch(text, 0) and text.isascii():
        seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhdw])", text))
    if not 0 < seconds <= _MAX_DURATION:
        raise LocalProtocolError(f"is a time such as 8h, 30m or 1h30m, at most ten years, not {text!r}")
    return float(seconds)

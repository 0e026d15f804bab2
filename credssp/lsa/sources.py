"""Where the secret of a credential comes from, and what it logs on with.

The source is asked when the agent starts, when a credential is added, and on SIGHUP. Of a keytab and a credential cache
only the place is kept: libkrb5 reads them at every login, so that new keys and tickets count at once.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from credssp.credentials import (
    CCacheCredentials,
    CertificateCredentials,
    KeytabCredentials,
    LogonCredentials,
    PasswordCredentials,
)
from credssp.errors import LocalProtocolError
from credssp.private_file import check_private_file, first_line
from credssp.secret import Secret

__all__ = [
    "CREDENTIALS_FOLDER",
    "CCache",
    "Given",
    "Keytab",
    "PasswordFile",
    "SmartCard",
    "Source",
    "SpentSource",
    "SystemdCredential",
    "has_type",
]

CREDENTIALS_FOLDER: Final = "CREDENTIALS_DIRECTORY"
"""The variable that names the folder in which systemd passes credentials (systemd.exec(5))."""

Kind: TypeAlias = Literal["password", "password_file", "systemd", "keytab", "ccache", "smartcard"]

_KEYTAB_FILE: Final = re.compile(r"(?:(?:WR)?FILE:)?(?P<path>[^:]+|/.*)", re.IGNORECASE | re.DOTALL)
_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]+:")
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,255}")


def has_type(place: str) -> bool:
    """Whether a keytab or a credential cache is named as ``TYPE:residual`` and not by the path of a file."""
    return _TYPE.match(place) is not None


class Source(Protocol):
    """Where a secret comes from."""

    @property
    def kind(self) -> Kind:
        """What it is, as in the configuration."""

    @property
    def place(self) -> str:
        """Where it is, for people; never a secret."""

    def load(self, user: str | None) -> LogonCredentials:
        """Return what logs on. Raises LocalProtocolError where it cannot be had."""


class PinSource(Protocol):
    """Where a PIN or a password comes from."""

    def secret(self) -> Secret[str]:
        """Return it. Raises LocalProtocolError."""


@dataclass(frozen=True, slots=True)
class Given:
    """A password that was typed, or came by a file descriptor: ``credssp agent add``.

    Attributes:
        value: the password.
        kind: ``password``.
        place: empty.
    """

    value: Secret[str] = field(repr=False)
    kind: Literal["password"] = "password"
    place: str = ""

    def secret(self) -> Secret[str]:
        """Return the password."""
        return self.value

    def load(self, user: str | None) -> LogonCredentials:
        """Return user and password."""
        return _password(user, self.value, "the password that was given")


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """The first line of a file.

    Attributes:
        place: the file.
        kind: ``password_file``.
    """

    place: str
    kind: Literal["password_file"] = "password_file"

    def secret(self) -> Secret[str]:
        """Return the line. Raises LocalProtocolError."""
        return first_line("password file", self.place)

    def load(self, user: str | None) -> LogonCredentials:
        """Return user and password. Raises LocalProtocolError."""
        return _password(user, self.secret(), f"the password in {self.place}")


@dataclass(frozen=True, slots=True)
class SystemdCredential:
    """A credential that systemd passes to the service (LoadCredential=, LoadCredentialEncrypted=), in memory.

    Attributes:
        place: its name.
        environ: the environment; None for that of this process.
        kind: ``systemd``.
    """

    place: str
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    kind: Literal["systemd"] = "systemd"

    def __post_init__(self) -> None:
        if not _CREDENTIAL_NAME.fullmatch(self.place) or self.place.startswith("."):
            raise LocalProtocolError(f"{self.place!r} is not the name of a credential of systemd")

    def secret(self) -> Secret[str]:
        """Return its first line. Raises LocalProtocolError."""
        variables = os.environ if self.environ is None else self.environ
        folder = variables.get(CREDENTIALS_FOLDER)
        if not folder:
            raise LocalProtocolError(
                f"systemd passes no credentials to this process ({CREDENTIALS_FOLDER} is not set): "
                f"start it as a unit with LoadCredential={self.place} or LoadCredentialEncrypted={self.place}"
            )
        return first_line("credential of systemd", Path(folder, self.place))

    def load(self, user: str | None) -> LogonCredentials:
        """Return user and password. Raises LocalProtocolError."""
        return _password(user, self.secret(), f"the credential {self.place} of systemd")


@dataclass(frozen=True, slots=True)
class Keytab:
    """A key in a keytab.

    Attributes:
        place: the keytab as ``TYPE:residual``, or a path.
        kind: ``keytab``.
    """

    place: str
    kind: Literal["keytab"] = "keytab"

    def load(self, user: str | None) -> LogonCredentials:
        """Return its name.

        Raises:
            LocalProtocolError: it is a file that cannot be read, or that others can write.
        """
        file = _KEYTAB_FILE.fullmatch(self.place)
        if file:
            path = file["path"]
            check_private_file("keytab", path)
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                raise LocalProtocolError(f"the keytab {path} cannot be read: {error.strerror}") from None
        return KeytabCredentials(self.place, _principal(user))


@dataclass(frozen=True, slots=True)
class CCache:
    """Tickets of a credential cache, which may be filled later.

    Attributes:
        place: the cache as ``TYPE:residual``, or a path.
        kind: ``ccache``.
    """

    place: str
    kind: Literal["ccache"] = "ccache"

    def load(self, user: str | None) -> LogonCredentials:
        """Return its name."""
        return CCacheCredentials(self.place, _principal(user))


@dataclass(frozen=True, slots=True)
class SmartCard:
    """A certificate and its key, on a smart card or in a file (PKINIT).

    Attributes:
        place: where, as in `credssp.credentials.CertificateCredentials`.
        anchors: the authorities of the KDC's certificate, or None for those of krb5.conf.
        pin: where the PIN comes from; None for a key without one.
        kind: ``smartcard``.
    """

    place: str
    anchors: str | None = None
    pin: PinSource | None = None
    kind: Literal["smartcard"] = "smartcard"

    def load(self, user: str | None) -> LogonCredentials:
        """Return certificate and PIN. Raises LocalProtocolError."""
        _check_module(self.place)
        pin = None if self.pin is None else self.pin.secret()
        if pin is not None and not pin:
            raise LocalProtocolError("the PIN is empty")
        return CertificateCredentials(_named(user), self.place, pin=pin, anchors=self.anchors)


@dataclass(frozen=True, slots=True)
class SpentSource:
    """What is left of a source once it was read: what `list` shows.

    Attributes:
        kind: what it was.
        place: where it was.
    """

    kind: Kind
    place: str

    def load(self, user: str | None) -> LogonCredentials:
        """Raise LocalProtocolError: the secret is not kept here."""
        raise LocalProtocolError(f"the {self.kind} of {user} was read already")


def _check_module(identity: str) -> None:
    """Look at the PKCS#11 module of a smart card: libkrb5 loads it, and its code then runs in the agent.

    A program of the same user could otherwise have the agent load its own code, and read every secret. So a module is
    one that only root can have written, or a plain name, which the loader looks for in the system's folders.

    Raises:
        LocalProtocolError: another user could have written it, or its path is relative.
    """
    kind, _, options = identity.partition(":")
    if kind != "PKCS11":
        return
    for option in options.split(":"):
        name, equals, value = option.partition("=")
        module = value if equals and name == "module_name" else "" if equals else name
        if "/" in module:
            _check_owner(module)


def _check_owner(module: str) -> None:
    path = Path(module)
    if not path.is_absolute():
        raise LocalProtocolError(f"the PKCS#11 module {module} is named by a whole path, or without a folder")
    try:
        resolved = path.resolve(strict=True)
        places = {path, *path.parents, resolved, *resolved.parents}
        unsafe = next((each for each in sorted(places) if _is_writable(each.lstat())), None)
    except OSError as error:
        raise LocalProtocolError(f"the PKCS#11 module {module} cannot be read: {error.strerror}") from None
    if unsafe is not None:
        raise LocalProtocolError(
            f"the PKCS#11 module {module} is not used, because others than root can write {unsafe}: its code would run "
            "in the agent and could read every secret"
        )


def _is_writable(found: os.stat_result) -> bool:
    """Whether another user than root can change a file, a folder, or what a link leads to."""
    if found.st_uid != 0:
        return True
    return not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _password(user: str | None, password: Secret[str], what: str) -> PasswordCredentials:
    if not password:
        raise LocalProtocolError(f"{what} is empty")
    return PasswordCredentials(_named(user), password)


def _named(user: str | None) -> str:
    if user is None:
        raise LocalProtocolError("a password or a certificate needs a user: DOMAIN\\NAME or NAME@REALM")
    return user


def _principal(user: str | None) -> str | None:
    """Return ``user@REALM``; the default realm where none is given."""
    if user is None or "\\" not in user:
        return user
    domain, _, name = user.partition("\\")
    return f"{name}@{domain.upper()}"

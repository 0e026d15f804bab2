"""What a user authenticates with and what is delegated to the server, as callers see it.

`credssp.wire.ts_credentials` holds the same things as they are on the wire.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from credssp.errors import LocalProtocolError
from credssp.secret import Secret, private_methods
from credssp.status import SecurityStatus
from credssp.wire.ts_credentials import TSCredentials, TSCspDataDetail, TSPasswordCreds, TSSmartCardCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardCreds, TSRemoteGuardPackageCred

__all__ = [
    "AgentCredentials",
    "CCacheCredentials",
    "CertificateCredentials",
    "CredentialSource",
    "DelegatedCredentials",
    "KerberosCredentials",
    "KeytabCredentials",
    "LogonCredentials",
    "NTHashCredentials",
    "NTLMCredentials",
    "PasswordCredentials",
    "RemoteGuardCredentials",
    "SmartCardCredentials",
]


MAX_NAME: Final = 1024
"""Characters of a user name or domain; Windows allows 104 and 255 for what can be logged on to."""

_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_PASSWORD_CONTROLS: Final = re.compile("[\x00-\x1f\x7f]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_UNREADABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # any of both: one look at most names


class CredentialSource(enum.Enum):
    """Where the credentials come from that are to be delegated."""

    __hash__ = object.__hash__  # Enum's own is a function in Python

    DEFAULT = "default"
    """Those of the first sign-on to the machine."""
    FRESH = "fresh"
    """Those that the user was asked for, or that the application supplied, for this connection."""
    SAVED = "saved"
    """Those kept in Credential Manager or another store."""


def _names(username: object, domain: object) -> tuple[str, str]:
    """Split ``DOMAIN\\user``; a UPN stays whole, with an empty domain. Raises LocalProtocolError."""
    if not isinstance(username, str):
        raise LocalProtocolError(f"username is a str, not a {type(username).__name__}")
    if not isinstance(domain, str):
        raise LocalProtocolError(f"domain is a str, empty for none, not a {type(domain).__name__}")
    if "\\" in username:
        if domain:
            raise LocalProtocolError("the domain is given twice: before the backslash in username, and as domain")
        domain, _, username = username.partition("\\")
    if not username:
        raise LocalProtocolError("username is empty")
    check_name("username", username)
    if username.startswith("@") or username.endswith("@"):
        raise LocalProtocolError("username has an @ with nothing before or after it: use user or user@realm")
    check_name("domain", domain)
    return username, domain


def check_name(what: str, name: str) -> None:
    """Raise LocalProtocolError for a name that no other program would read as it is written."""
    if len(name) > MAX_NAME:
        raise LocalProtocolError(f"the {what} has {len(name)} characters; at most {MAX_NAME} are taken")
    if not _UNREADABLE.search(name):
        return
    if _CONTROLS.search(name):
        raise LocalProtocolError(f"the {what} holds a control character")
    if _SURROGATES.search(name):
        raise LocalProtocolError(f"the {what} holds what is not a character in the encoding of this locale")


def _box(name: str, value: object) -> Secret[str]:
    """Box a text. Raises LocalProtocolError."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise LocalProtocolError(f"{name} is a str, not a {type(text).__name__}")
    return Secret(text)


@private_methods("__init__")
@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """A user name and a password (TSPasswordCreds, [MS-CSSP] 2.2.1.2.1).

    Attributes:
        username: the account; ``DOMAIN\\user`` is split, ``user@realm`` is left whole with an empty domain.
        password: the password; a plain `str` is boxed.
        domain: NetBIOS or DNS domain, empty for a local account or a UPN.

    Raises:
        LocalProtocolError: an empty user name, a domain in the user name and beside it, a control character, or a value
            of another type.
    """

    username: str
    password: Secret[str]
    domain: str

    def __init__(self, username: str, password: str | Secret[str], *, domain: str = "") -> None:
        username, domain = _names(username, domain)
        box = _box("password", password)
        text = box.reveal()
        # Random passwords of computer accounts hold everything but NUL; half surrogates tell them from those of people.
        if "\0" in text or (_PASSWORD_CONTROLS.search(text) and not _SURROGATES.search(text)):
            raise LocalProtocolError("the password holds a control character")
        self._fill(username, domain, box)

    def _fill(self, username: str, domain: str, password: Secret[str]) -> None:
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "password", password)
        object.__setattr__(self, "domain", domain)

    @classmethod
    def received(cls, username: str, password: Secret[str], domain: str) -> PasswordCredentials:
        """Return what a peer sent, taken apart already: a backslash belongs to the user name, which may be empty."""
        made = object.__new__(cls)
        made._fill(username, domain, password)
        return made

    @classmethod
    def empty(cls) -> PasswordCredentials:
        """Three empty strings: what goes over without DELEGATE and in Restricted Admin mode."""
        return cls.received("", Secret(""), "")

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was delegated."""
        return not (self.username or self.domain or self.password)

    def to_wire(self) -> TSCredentials:
        """Return the TSCredentials that delegates these."""
        return TSCredentials(TSPasswordCreds(self.domain, self.username, self.password))


@private_methods("__init__")
@dataclass(frozen=True, slots=True)
class NTHashCredentials:
    """A user name and the NT hash of the password: enough to log on with NTLM, nothing that can be delegated.

    Attributes:
        username: the account, as in `PasswordCredentials`.
        nt_hash: MD4 of the UTF-16LE password, 16 bytes or 32 hexadecimal digits.
        domain: NetBIOS or DNS domain, or empty.
    """

    username: str
    nt_hash: Secret[bytes]
    domain: str

    def __init__(self, username: str, nt_hash: bytes | str | Secret[bytes], *, domain: str = "") -> None:
        username, domain = _names(username, domain)
        if isinstance(nt_hash, str):
            # "LM:NT" as other tools print it; the LM half is of no use here.
            digits = nt_hash.rpartition(":")[2].strip()
            try:
                nt_hash = bytes.fromhex(digits)
            except ValueError:
                nt_hash = b""
        box = Secret(nt_hash)
        if not isinstance(box.reveal(), bytes) or len(box.reveal()) != 16:
            raise LocalProtocolError("an NT hash is 16 bytes, or 32 hexadecimal digits")
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "nt_hash", box)
        object.__setattr__(self, "domain", domain)


@dataclass(frozen=True, slots=True)
class CCacheCredentials:
    """Kerberos tickets of a credential cache: enough to log on with Kerberos, nothing that can be delegated.

    Attributes:
        ccache: the cache as ``TYPE:residual`` (``FILE:/tmp/krb5cc_1000``, ``KCM:1000``), or the path of a file.
        principal: whose tickets, ``user@REALM``, where the cache is a collection; None for its default.
    """

    ccache: str
    principal: str | None = None

    def __post_init__(self) -> None:
        _check_location("credential cache", self.ccache, self.principal)


@dataclass(frozen=True, slots=True)
class KeytabCredentials:
    """A user's key in a keytab, to get Kerberos tickets without a password; nothing that can be delegated.

    Attributes:
        keytab: the keytab as ``TYPE:residual``, or the path of a file. It holds secrets, this names it only.
        principal: who logs on, ``user@REALM``; None for the first entry.
    """

    keytab: str
    principal: str | None = None

    def __post_init__(self) -> None:
        _check_location("keytab", self.keytab, self.principal)


def _check_location(what: str, location: str, principal: str | None) -> None:
    # An empty one would stand for the default, which is a thing to ask for and not to slip into.
    if not isinstance(location, str) or not location:
        raise LocalProtocolError(f"a {what} is named as TYPE:residual or by the path of a file")
    check_name(f"name of the {what}", location)
    if principal is not None:
        check_name("principal", principal)


@private_methods("__init__")
@dataclass(frozen=True, slots=True, kw_only=True)
class SmartCardCredentials:
    """A smart card and its PIN (TSSmartCardCreds, [MS-CSSP] 2.2.1.2.2).

    Attributes:
        pin: the PIN; a plain `str` is boxed.
        key_spec: 1 AT_KEYEXCHANGE, 2 AT_SIGNATURE, 0 for a CNG key storage provider.
        card_name: name of the card, or None.
        reader_name: name of the reader, or None.
        container_name: name of the key container, or None.
        csp_name: name of the cryptographic service provider, or None.
        user_hint: what the user typed as user name, or None.
        domain_hint: what the user typed as domain, or None.
    """

    pin: Secret[str]
    key_spec: int = 1
    card_name: str | None = None
    reader_name: str | None = None
    container_name: str | None = None
    csp_name: str | None = None
    user_hint: str | None = None
    domain_hint: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "pin", _box("pin", self.pin)
        )  # a plain `str` from untyped code must not show in the repr

    def to_wire(self) -> TSCredentials:
        """Return the TSCredentials that delegates these."""
        detail = TSCspDataDetail(
            key_spec=self.key_spec,
            card_name=self.card_name,
            reader_name=self.reader_name,
            container_name=self.container_name,
            csp_name=self.csp_name,
        )
        return TSCredentials(
            TSSmartCardCreds(pin=self.pin, csp_data=detail, user_hint=self.user_hint, domain_hint=self.domain_hint)
        )


@private_methods("__init__")
@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteGuardCredentials:
    """Logon buffers for Remote Credential Guard (TSRemoteGuardCreds, [MS-CSSP] 2.2.1.2.3).

    Attributes:
        package_name: package of the main buffer, ``Kerberos`` on Windows.
        buffer: the main logon buffer (KERB_TICKET_LOGON); plain `bytes` are boxed.
        supplemental: further (package name, buffer) pairs, ``NTLM`` on Windows.
    """

    package_name: str
    buffer: Secret[bytes]
    supplemental: tuple[tuple[str, Secret[bytes]], ...] = field(default=())

    def __post_init__(self) -> None:
        # As for the PIN: boxed here, whatever untyped code passes.
        object.__setattr__(self, "buffer", Secret(self.buffer))
        object.__setattr__(self, "supplemental", tuple((name, Secret(buffer)) for name, buffer in self.supplemental))

    def to_wire(self) -> TSCredentials:
        """Return the TSCredentials that delegates these."""
        return TSCredentials(
            TSRemoteGuardCreds(
                logon_cred=TSRemoteGuardPackageCred(self.package_name, self.buffer),
                supplemental_creds=tuple(TSRemoteGuardPackageCred(name, buf) for name, buf in self.supplemental)
                or None,
            )
        )


_BASE_PROVIDER: Final = "Microsoft Base Smart Card Crypto Provider"
_IDENTITIES: Final = ("PKCS11:", "PKCS12:", "FILE:", "DIR:")


@private_methods("__init__")
@dataclass(frozen=True, slots=True)
class CertificateCredentials:
    """A certificate and its private key, on a smart card or in a file: Kerberos logs on with it (PKINIT, RFC 4556).

    What is delegated by default is the smart card (`card`). A certificate in a file delegates nothing.

    Attributes:
        username: the account, as in `PasswordCredentials`; in an Active Directory domain most often a UPN.
        identity: where the certificate and the key are, as MIT Kerberos writes it (pkinit_identities in krb5.conf):
            ``PKCS11:module_name=/usr/lib/opensc-pkcs11.so:token=LABEL``, ``FILE:CERT,KEY``, ``PKCS12:FILE`` or
            ``DIR:FOLDER``.
        domain: NetBIOS or DNS domain, or empty.
        pin: the PIN of the token, or the pass phrase of the file, boxed; None where the key is not protected.
        anchors: the authorities that the KDC's certificate, and this one, must come from: ``FILE:PEM`` or
            ``DIR:FOLDER``; None for pkinit_anchors in krb5.conf.

    Raises:
        LocalProtocolError: an empty or unreadable name, another kind of identity, or a value of another type.
    """

    username: str
    identity: str
    domain: str
    pin: Secret[str] | None
    anchors: str | None

    def __init__(
        self,
        username: str,
        identity: str,
        *,
        domain: str = "",
        pin: str | Secret[str] | None = None,
        anchors: str | None = None,
    ) -> None:
        username, domain = _names(username, domain)
        _check_place("identity", identity, _IDENTITIES)
        if anchors is not None:
            _check_place("anchors", anchors, ("FILE:", "DIR:"))
        box = None if pin is None else _box("pin", pin)
        if box is not None and (not box or "\0" in box.reveal()):
            raise LocalProtocolError("the pin is empty or holds U+0000; use None where the key is not protected")
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "identity", identity)
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "pin", box)
        object.__setattr__(self, "anchors", anchors)

    @property
    def is_token(self) -> bool:
        """Whether the key is on a smart card, or what else has a PKCS#11 module."""
        return self.identity.startswith("PKCS11:")

    @property
    def card(self) -> SmartCardCredentials | None:
        """What is delegated: the card with its PIN; None for a file.

        The label of the token, if the identity names it, is the name of the card. Windows looks for the key by reader
        and container, which PKCS#11 does not tell: give ``delegated_credentials`` where a server needs them.
        """
        if not self.is_token or self.pin is None:
            return None
        label = re.search(r":token=([^:]+)", self.identity)
        return SmartCardCredentials(
            pin=self.pin,
            card_name=label[1] if label else None,
            csp_name=_BASE_PROVIDER,
            user_hint=self.username,
            domain_hint=self.domain or None,
        )


def _check_place(name: str, place: object, kinds: tuple[str, ...]) -> None:
    if not isinstance(place, str) or not place.startswith(kinds) or place in kinds:
        raise LocalProtocolError(
            f"{name} names a place as {', '.join(kinds[:-1])} or {kinds[-1]}, such as {kinds[-2]}PATH"
        )
    check_name(name, place)


@dataclass(frozen=True, slots=True)
class AgentCredentials:
    """A credential of an agent (`credssp agent`), by its name: the agent logs on, and the secret never comes here.

    The drivers of RDP and WinRM open it; a context without a driver takes `credssp.lsa.remote.Agent` as its option
    `agent`.

    Attributes:
        name: its name in the agent.
        socket: path of the agent's socket; empty for ``CREDSSP_AGENT_SOCK``, or else the one in ``XDG_RUNTIME_DIR``.
        mode: ``remote-guard`` for a credential whose rule is Remote Credential Guard: an RDP client has to ask the
            server for that mode before it hears of the agent. Else empty.
    """

    name: str
    socket: str = ""
    mode: Literal["", "remote-guard"] = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise LocalProtocolError("a credential of an agent is named by a str that is not empty")
        check_name("name of the credential", self.name)
        if not isinstance(self.socket, str):
            raise LocalProtocolError(f"socket is a path, a str, not a {type(self.socket).__name__}")
        check_name("socket", self.socket)
        if self.mode not in ("", "remote-guard"):
            raise LocalProtocolError(f"mode is empty or remote-guard, not {self.mode!r}")


def needs_a_driver() -> LocalProtocolError:
    """Return what a context raises that is given `AgentCredentials` and cannot reach an agent."""
    return LocalProtocolError(
        "AgentCredentials are opened by a driver: credssp.rdp.connect or open_connection, HTTPCredSSPAuth for "
        "requests, CredSSPAuth for httpx, or SSPI by the name in pszPrincipal. A context of your own needs the option "
        "agent=credssp.lsa.remote.Agent()",
        status=SecurityStatus.SEC_E_NO_CREDENTIALS,
    )


NTLMCredentials: TypeAlias = PasswordCredentials | NTHashCredentials
"""What NTLM can authenticate with."""

KerberosCredentials: TypeAlias = PasswordCredentials | CCacheCredentials | KeytabCredentials | CertificateCredentials
"""What Kerberos can authenticate with."""

LogonCredentials: TypeAlias = NTLMCredentials | KerberosCredentials | AgentCredentials
"""What the inner mechanism can authenticate with."""

DelegatedCredentials: TypeAlias = PasswordCredentials | SmartCardCredentials | RemoteGuardCredentials
"""What a server can receive."""


def from_wire(message: TSCredentials) -> DelegatedCredentials:
    """Turn a decoded TSCredentials into what callers use."""
    creds = message.credentials
    if isinstance(creds, TSPasswordCreds):
        # rdesktop 1.9 counts the U+0000 at the end of its strings in (tests/interop/test_rdesktop.py).
        password = creds.password
        if password.reveal().endswith("\0"):
            password = Secret(password.reveal()[:-1])
        return PasswordCredentials.received(
            creds.user_name.removesuffix("\0"), password, creds.domain_name.removesuffix("\0")
        )
    if isinstance(creds, TSSmartCardCreds):
        csp = creds.csp_data
        return SmartCardCredentials(
            pin=creds.pin,
            key_spec=csp.key_spec,
            card_name=csp.card_name,
            reader_name=csp.reader_name,
            container_name=csp.container_name,
            csp_name=csp.csp_name,
            user_hint=creds.user_hint,
            domain_hint=creds.domain_hint,
        )
    return RemoteGuardCredentials(
        package_name=creds.logon_cred.package_name,
        buffer=creds.logon_cred.cred_buffer,
        supplemental=tuple((c.package_name, c.cred_buffer) for c in creds.supplemental_creds or ()),
    )

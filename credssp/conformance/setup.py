"""What a rule may ask of the peer's set-up, and what a peer under test must offer the suite."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, get_args

from credssp.conformance.kerberos import TicketSource
from credssp.conformance.links import Link
from credssp.exchange.account import LogonAccount
from credssp.kerberos.tickets import ServiceKey

__all__ = [
    "FEATURES",
    "FORMS",
    "KEY_TYPES",
    "VARIANTS",
    "ClientTarget",
    "KeyType",
    "RdpAnswer",
    "ServerTarget",
    "Setup",
    "WireForm",
]

WireForm: TypeAlias = Literal["", "ntlm", "spnego", "kerberos", "spnego-kerberos"]

KeyType: TypeAlias = Literal["", "rsa", "p256", "ed25519", "ed25519-ff"]
"""Kinds of a server's key: an Ed25519 key that begins with FF is one of them."""

KEY_TYPES: Final[tuple[KeyType, ...]] = tuple(kind for kind in get_args(KeyType) if kind)
"""All of them."""

FORMS: Final[dict[WireForm, str]] = {
    "ntlm": "bare NTLM",
    "spnego": "NTLM in SPNEGO",
    "kerberos": "bare Kerberos",
    "spnego-kerberos": "Kerberos in SPNEGO",
}
"""The content of negoTokens, in words."""

FEATURES: Final = {
    "x224": "an RDP connection: the negotiation in front of TLS",
    "http": "WinRM: HTTP around the tokens",
    "clock": "a deadline of its own: implementations without sockets have none",
    "report": "the error that it gives its caller",
    "service-keys": "the keys of the server's service, for tickets as a KDC makes them (--kerberos with --keytab)",
    "identity": "the user that it says has logged on, as `MemoryPeer.identity` does",
    "kerberos": "Kerberos: tickets for a server (--kerberos), the keys of its service for a client (--keytab)",
}
"""What a transport may offer beyond TLS and TSRequests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How the peer is to be set up. Peers that are found as they are refuse anything but the default.

    Attributes:
        min_version: lowest CredSSP version to take; 2 lets the suite try everything.
        key_type: kind of the server's key, empty for any.
        form: what a client is to speak, empty for any.
        restricted_admin: a client is to ask for Restricted Admin mode.
        deny: a client's policy is to allow delegation to no server.
        authorized: a server is to let the user in after the login.
        remote_guard: a server is to take Remote Credential Guard.
        large_message: a WinRM client is to send a message of more than 16384 bytes.
        hybrid_ex: an RDP client is to ask for HYBRID_EX.
    """

    min_version: int = 2
    key_type: KeyType = ""
    form: WireForm = ""
    restricted_admin: bool = False
    deny: bool = False
    authorized: bool = True
    remote_guard: bool = False
    large_message: bool = False
    hybrid_ex: bool = False


VARIANTS: Final = {
    "ntlm": Setup(form="ntlm"),
    "spnego": Setup(form="spnego"),
    "large-message": Setup(large_message=True),
    "min-version-5": Setup(min_version=5),
    "hybrid-ex": Setup(hybrid_ex=True),
    "restricted-admin": Setup(restricted_admin=True),
    "deny": Setup(deny=True),
}
"""Names of the set-ups that clients may have a command line of their own for, see `Setup`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RdpAnswer:
    """What a server says before TLS, where there is such a thing (RDP).

    Attributes:
        answer: the Connection Confirm, whole; None for one that selects `selected`.
        selected: selectedProtocol.
        flags: flags of RDP_NEG_RSP.
    """

    answer: bytes | None = None
    selected: int = 2
    flags: int = 0


class ServerTarget(Protocol):
    """A server under test.

    Attributes:
        name: for reports.
        account: an account it knows.
        features: of `FEATURES`.
        timeout: seconds to wait for an answer of it.
        target_name: the SPN under which it is spoken to.
        tickets: gives out Kerberos tickets for it, or None.
        settle: seconds in which it refuses authInfo, for one that does not show otherwise what it makes of it; None for
            one that does.
    """

    name: str
    account: LogonAccount
    features: Collection[str]
    timeout: float
    target_name: str
    tickets: TicketSource | None
    settle: float | None

    def open(self, setup: Setup) -> Link:
        """Open a connection at the point where TLS begins. Raises Skipped where the set-up is not to be had."""

    def open_raw(self, setup: Setup) -> Link:
        """Open a connection before anything was said. Raises Skipped where that makes no difference."""

    def accepted(self, link: Link) -> bool | None:
        """Whether the login on this connection went well, as far as the server shows it; None if it does not."""

    def obstacle(self) -> str:
        """Return why no login works, as far as the server says it without one; an empty string if it does not."""


class ClientTarget(Protocol):
    """A client under test.

    Attributes:
        name: for reports.
        account: the account it logs on with.
        features: of `FEATURES`.
        timeout: seconds to wait for an answer of it.
        target_name: the SPN it believes to talk to, or empty where that is not known.
    """

    name: str
    account: LogonAccount
    features: Collection[str]
    timeout: float
    target_name: str

    @property
    def service_keys(self) -> Sequence[ServiceKey]:
        """The keys of the services it gets Kerberos tickets for; none without Kerberos."""

    def start(self, setup: Setup, answer: RdpAnswer) -> Link:
        """Start a login and return the connection at the point where TLS begins, or where `answer` ended it.

        Raises:
            Skipped: the set-up is not to be had.
        """

    def request(self, link: Link) -> bytes:
        """Return what the client said before TLS (its Connection Request), or nothing."""

"""What is found in a connection: a list of events, and what is known beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from credssp.exchange.recorded_login import RecordedLogin, Sender

__all__ = ["MAX_EVENTS", "Conversation", "Event", "Layer", "Sender", "TLSInfo", "other", "recorded_login"]

Layer = Literal["proxy", "x224", "http", "tls", "tsrequest", "application", "gap"]
Transport = Literal["rdp", "winrm", "tls", "transcript"]

MAX_EVENTS: Final = 500
"""Events of one conversation; a login has about twenty, TLS handshake and HTTP included."""


def other(sender: Sender) -> Sender:
    """Return the other side."""
    return "server" if sender == "client" else "client"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that one side sent.

    Attributes:
        sender: who.
        layer: what kind of bytes.
        size: how many, on that layer.
        time: when the last of them was captured, nanoseconds since 1970, or None.
        summary: what it is, in a few words.
        data: the bytes of a TSRequest or an X.224 TPDU, else empty; not in the repr.
        error: why it could not be read, or an empty string.
        pieces: in how many TLS records (or HTTP messages) a TSRequest came; 0 where that is not known.
    """

    sender: Sender
    layer: Layer
    size: int
    time: int | None = None
    summary: str = ""
    data: bytes = field(default=b"", repr=False)
    error: str = ""
    pieces: int = 0


@dataclass(slots=True)
class TLSInfo:
    """What a TLS connection says of itself.

    Attributes:
        place: ``outer`` for HTTPS, ``inner`` for the TLS of CredSSP in HTTP, empty where there is one only (RDP).
        version: protocol version, or 0 while there is no ServerHello.
        suite: number of the cipher suite.
        server_name: host name that the client asked for, or an empty string.
        client_random: by which a key log names the connection; empty while there is no ClientHello.
        certificate: the server's leaf certificate, DER, or None where it was not seen.
        opened: whether records were decrypted.
        problems: what could not be opened, and why.
    """

    place: Literal["", "outer", "inner"] = ""
    version: int = 0
    suite: int = 0
    server_name: str = ""
    client_random: bytes = b""
    certificate: bytes | None = field(default=None, repr=False)
    opened: bool = False
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """One connection, or one transcript.

    Attributes:
        client: address and port of the client, or its name in a transcript.
        server: likewise.
        transport: what carried CredSSP, as far as it is known.
        events: what was sent, in the order of the capture.
        tls: the TLS connections, the outer one first (WinRM over HTTPS has two).
        problems: what is missing or could not be read, and why.
        public_key: SubjectPublicKey of the server, where it is known without a certificate (transcripts).
        proxies: what the stream went through, such as ``SOCKS5 proxy to srv:3389``.
        restricted_admin: whether the client asked for Restricted Admin mode (RDP_NEG_REQ).
        tls_version: name of the TLS version, where there is no `tls` (transcripts).
        outcome: what the record itself says came of it (transcripts), or an empty string.
        server_certificate: the certificate of the server, DER, where there is no `tls` (transcripts).
    """

    client: str
    server: str
    transport: Transport = "tls"
    events: list[Event] = field(default_factory=list)
    tls: list[TLSInfo] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    public_key: bytes = b""
    proxies: list[str] = field(default_factory=list)
    restricted_admin: bool = False
    tls_version: str = ""
    outcome: str = ""
    server_certificate: bytes | None = field(default=None, repr=False)

    def add(self, event: Event) -> None:
        """Append an event; beyond `MAX_EVENTS` it is dropped, and that is said once."""
        if len(self.events) < MAX_EVENTS:
            self.events.append(event)
        else:
            self.note(f"more than {MAX_EVENTS} events; the rest is not shown")

    def sort(self) -> None:
        """Bring the events into the order of their times; one without keeps its place after the one before it."""
        latest = 0
        keyed: list[tuple[int, int, Event]] = []
        for place, event in enumerate(self.events):
            latest = latest if event.time is None else event.time
            keyed.append((latest, place, event))
        self.events = [event for _, _, event in sorted(keyed, key=lambda entry: entry[:2])]

    def note(self, problem: str) -> None:
        """Add a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    @property
    def requests(self) -> list[Event]:
        """The TSRequests, readable or not."""
        return [event for event in self.events if event.layer == "tsrequest"]

    @property
    def is_credssp(self) -> bool:
        """Whether this is CredSSP for sure: TSRequests, an RDP negotiation, or HTTP with CredSSP headers."""
        return self.transport != "tls" or bool(self.requests)

    @property
    def certificate(self) -> bytes | None:
        """The certificate that CredSSP binds to: that of the innermost TLS connection."""
        return self.tls[-1].certificate if self.tls else self.server_certificate


def recorded_login(conversation: Conversation) -> RecordedLogin:
    """Return the TSRequests of a conversation as a login; those that could not be read keep their places, empty."""
    return RecordedLogin((event.sender, b"" if event.error else event.data) for event in conversation.requests)

"""What crosses the boundary between a program and the agent (docs/reference/agent-messages.md).

======= ============ ============ =================================================================
kind    message      sent by      meaning
======= ============ ============ =================================================================
1       `Hello`      program      the first message; answered with `Welcome`
2       `Open`       program      begin a login with a credential; answered with `Progress` or `Failed`
3       `Token`      program      a message of the server; answered with `Progress` or `Failed`
4       `Bind`       program      the server's certificates, where `Open` had none; answered with `Done`
5       `Close`      program      end a context; answered with `Done`
129     `Welcome`    agent        the version to speak
130     `Progress`   agent        what the login came to
131     `Failed`     agent        an error; the context, if there was one, is over
132     `Done`       agent        nothing more to say
======= ============ ============ =================================================================

A message is one byte, its kind, and its fields in the order of the class. There is no message that returns a secret,
and none that returns a credential.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, Self, TypeVar, cast, get_args

from credssp.errors import DecodeError
from credssp.lsa.codec import BlobField, BlobsField, Field, FieldReader, NumberField, TextField
from credssp.mechanism_name import MechanismChoice
from credssp.wire.tolerant import MAX_MESSAGE_SIZE

__all__ = [
    "HIGHEST_PEER_VERSION",
    "KINDS",
    "MAX_SIZE",
    "VERSION",
    "AgentMessage",
    "Bind",
    "Close",
    "Done",
    "Failed",
    "Hello",
    "Open",
    "Progress",
    "Token",
    "Welcome",
    "decode",
    "message",
]

VERSION: Final = 1
"""The version of these messages."""

MAX_SIZE: Final = 256 * 1024
"""Bytes of one message: a TSRequest has 64 KiB at most, a chain of certificates about as much."""

HIGHEST_PEER_VERSION: Final = 255
"""What `Progress.peer_version` has for this CredSSP version and all above it: the field is one byte."""

_SMALL: Final = NumberField(1)
_FLAG: Final = NumberField(1, highest=1)
_HANDLE: Final = NumberField(8)
_NAME: Final = TextField(4 * 1024)  # names have at most 1,024 characters, of four bytes each
_WORD: Final = TextField(64)
_PROSE: Final = TextField(16 * 1024)
_TS_REQUEST: Final = BlobField(MAX_MESSAGE_SIZE)
_CHAIN: Final = BlobsField(10, 32 * 1024)  # as many as are judged (credssp.tls.trust)

M = TypeVar("M", bound="type[AgentMessage]")
KINDS: Final[dict[int, type[AgentMessage]]] = {}


class AgentMessage:
    """Base of the messages.

    Attributes:
        kind: the first byte.
        names: of the fields, in their order.
        layout: how each of them is written.
    """

    __slots__ = ()
    kind: ClassVar[int]
    names: ClassVar[tuple[str, ...]]
    layout: ClassVar[tuple[Field[Any], ...]]

    def encode(self) -> bytes:
        """Return kind and fields. Raises LocalProtocolError for a value that does not fit."""
        parts = [bytes((self.kind,))]
        for each, how in zip(self.names, self.layout, strict=True):
            parts.append(how.write(getattr(self, each), each))
        return b"".join(parts)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Decode the fields that follow the kind. Raises DecodeError."""
        reader = FieldReader(data, name=cls.__name__)
        reader.take(1, "kind")
        values = {each: how.read(reader, each) for each, how in zip(cls.names, cls.layout, strict=True)}
        reader.end()
        message = cls(**values)
        message.check(reader)
        return message

    def check(self, reader: FieldReader) -> None:
        """Raise DecodeError where fields do not fit together."""


def message(kind: int, *layout: Field[Any]) -> Any:
    """Decorate a class of messages with its kind and its fields, so that `decode` knows it."""

    def declare(cls: M) -> M:
        cls.kind, cls.layout = kind, layout
        cls.names = tuple(each.name for each in fields(cast(Any, cls)))
        KINDS[kind] = cls
        return cls

    return declare


@message(1, NumberField(2))
@dataclass(frozen=True, slots=True)
class Hello(AgentMessage):
    """The program's first message.

    Attributes:
        version: the highest version that it speaks.
    """

    version: int = VERSION


@message(129, NumberField(2), NumberField(4))
@dataclass(frozen=True, slots=True)
class Welcome(AgentMessage):
    """The agent's answer.

    Attributes:
        version: the version that both speak: the lower of the two.
        max_size: bytes that the agent takes in one message.
    """

    version: int = VERSION
    max_size: int = MAX_SIZE


_PACKAGES: Final = ("CREDSSP", "TSSSP", "Negotiate", "NTLM", "Kerberos")
_CHOICES: Final = get_args(MechanismChoice)


@message(2, _NAME, _WORD, _NAME, _NAME, _WORD, _WORD, _FLAG, _SMALL, _SMALL, _NAME, BlobField(1024), _CHAIN, _CHAIN)
@dataclass(frozen=True, slots=True, kw_only=True)
class Open(AgentMessage):
    """Begin a login.

    Attributes:
        credential: name of the credential.
        package: ``CREDSSP``; ``TSSSP``, where the certificates come later (`Bind`); or ``Negotiate``, ``NTLM`` or
            ``Kerberos``, whose messages are tokens of the mechanism.
        target: SPN of the server, ``TERMSRV/host``.
        policy_target: SPN that the delegation policy is asked about, of the same host; empty for `target`.
        mechanism: ``auto``, ``negotiate``, ``ntlm`` or ``kerberos``, of those that the credential allows.
        wire_form: ``spnego`` or ``kerberos``; see `ClientConfig.wire_form`.
        delegate: whether the server may be given what the credential's rule says; 0 for nothing.
        lowest_version: the lowest CredSSP version to accept, where that is higher than what the agent accepts.
        highest_version: the version to say we have.
        workstation: what NTLM and Kerberos call this machine; empty for nothing.
        channel_bindings: application data of the channel bindings of an outer TLS channel; empty for none.
        chain: the server's certificates (DER), leaf first. The login is bound to the key of the first.
        outer: those of an outer TLS channel (https), whose channel bindings the agent makes itself; empty for none.
    """

    credential: str
    package: str = "CREDSSP"
    target: str
    policy_target: str = ""
    mechanism: str = "auto"
    wire_form: str = "spnego"
    delegate: int = 1
    lowest_version: int = 2
    highest_version: int = 6
    workstation: str = ""
    channel_bindings: bytes = field(default=b"", repr=False)
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    outer: tuple[bytes, ...] = field(default=(), repr=False)

    def check(self, reader: FieldReader) -> None:
        """Raise DecodeError for a word that is not one of those above."""
        if self.package not in _PACKAGES:
            raise reader.error("package", f"not one of {', '.join(_PACKAGES)}")
        if self.mechanism not in _CHOICES:
            raise reader.error("mechanism", f"not one of {', '.join(_CHOICES)}")
        if self.wire_form not in ("spnego", "kerberos"):
            raise reader.error("wire_form", "not spnego or kerberos")
        if not self.credential or not self.target:
            raise reader.error("credential", "no name, or no target")
        if not self.chain and self.package == "CREDSSP":
            raise reader.error("chain", "no certificate")


@message(3, _HANDLE, NumberField(4), _TS_REQUEST)
@dataclass(frozen=True, slots=True)
class Token(AgentMessage):
    """A message of the server.

    Attributes:
        context: number of the context.
        leg: number of the message; the first is 1.
        data: one TSRequest, or one token of the mechanism.
    """

    context: int
    leg: int
    data: bytes = field(repr=False)


@message(4, _HANDLE, _CHAIN)
@dataclass(frozen=True, slots=True)
class Bind(AgentMessage):
    """The server's certificates, which the program learns after the first token with TSSSP.

    Attributes:
        context: number of the context.
        chain: as in `Open`.
    """

    context: int
    chain: tuple[bytes, ...] = field(repr=False)


@message(5, _HANDLE)
@dataclass(frozen=True, slots=True)
class Close(AgentMessage):
    """End a context.

    Attributes:
        context: its number.
    """

    context: int


@message(132)
@dataclass(frozen=True, slots=True)
class Done(AgentMessage):
    """The agent has done what it was asked for."""


@message(131, _HANDLE, _WORD, _PROSE, NumberField(4), _FLAG, NumberField(4), _NAME, _PROSE, _FLAG, BlobsField(8, 4096))
@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(AgentMessage):
    """An error; `credssp.lsa.faults` turns errors into these and back.

    Attributes:
        context: number of the context, which is over; 0 where there is none.
        error: name of the class, such as ``PolicyError``.
        message: its text.
        status: SECURITY_STATUS.
        has_ntstatus: whether `ntstatus` counts.
        ntstatus: NTSTATUS.
        section: section of the specification; empty for none.
        advice: the next step; empty for what the status says.
        refused: whether the server refused the login.
        details: further attributes of the class, ``name=value`` in UTF-8.
    """

    context: int = 0
    error: str
    message: str
    status: int
    has_ntstatus: int = 0
    ntstatus: int = 0
    section: str = ""
    advice: str = ""
    refused: int = 0
    details: tuple[bytes, ...] = field(default=(), repr=False)


@message(
    130,
    _HANDLE,
    NumberField(4),
    _FLAG,
    _SMALL,
    _SMALL,
    _WORD,
    NumberField(1, highest=7),
    _NAME,
    BlobsField(4, MAX_MESSAGE_SIZE),
    _FLAG,
    NumberField(1, highest=2),
    BlobsField(4, 32 * 1024),
    BlobField(16 * 1024),
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(AgentMessage):
    """What a login came to.

    Attributes:
        context: number of the context: valid on this connection, until the login is over.
        leg: number of the server's message that was acted on; 0 for `Open`.
        complete: whether the login is over and went well.
        peer_version: the CredSSP version that the server says it has, 255 for any above; 0 before its first message.
        version: the effective version; 0 before.
        mechanism: ``ntlm`` or ``kerberos``; empty as long as it is not known.
        proved: what proved the server's identity so far (`credssp.server_authentication.ServerAuthentication`).
        client_name: whose Kerberos tickets are used; else empty.
        messages: TSRequests to send, each with one TLS write; or one token of the mechanism.
        authenticated: whether the server's key was verified in this step.
        delegated: 0 nothing was sent, 1 credentials, 2 an empty set; the last message of a login.
        skipped: mechanisms that were not used, each a `Failed` whose section is the name of the mechanism.
        packed: with ``Negotiate``, ``NTLM`` and ``Kerberos``, the context once it is complete: what protects its
            messages, session keys included (`SecurityContext.pack`).
    """

    context: int
    leg: int = 0
    complete: int = 0
    peer_version: int = 0
    version: int = 0
    mechanism: str = ""
    proved: int = 0
    client_name: str = ""
    messages: tuple[bytes, ...] = field(default=(), repr=False)
    authenticated: int = 0
    delegated: int = 0
    skipped: tuple[bytes, ...] = field(default=(), repr=False)
    packed: bytes = field(default=b"", repr=False)


def decode(data: bytes) -> AgentMessage:
    """Decode a message.

    Raises:
        DecodeError: it is not one.
    """
    if not data:
        raise DecodeError("no bytes", field="AgentMessage")
    kind = KINDS.get(data[0])
    if kind is None:
        raise DecodeError(f"kind {data[0]} is not known", field="AgentMessage")
    return kind.read(data)

"""A runspace pool: a shell of the WinRM double ([MS-PSRP] 3.2.1.3, 3.2.5.4)."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from pypsrp.messages import (
    ApplicationPrivateData,
    EncryptedSessionKey,
    RunspaceAvailability,
    RunspacePoolStateMessage,
    SessionCapability,
)
from pypsrp.serializer import TaggedValue

from credssp.errors import DecodeError, RemoteProtocolError
from credssp.identity import Identity
from credssp.testing.faults import fault_named
from credssp.testing.psrp.fragments import Reassembly
from credssp.testing.psrp.messages import MessageType, PSRPMessage, read_message
from credssp.testing.psrp.pipeline import NO_ID, MessageStream, Pipeline
from credssp.testing.psrp.session_key import encrypted_session_key
from credssp.testing.running import RunningCommand
from credssp.testing.shells import Shell, decoded
from credssp.testing.soap import NS, Envelope, Fault

__all__ = ["RunspacePool", "open_pool"]

PROTOCOL_VERSION: Final = "2.3"
_POWERSHELL_VERSION: Final = "2.0"
_SERIALIZATION_VERSION: Final = "1.1.0.1"
# The versions of Windows Server 2016 ($PSVersionTable).
_VERSIONS: Final = {
    "PSVersion": "5.1.14393.2248",
    "CLRVersion": "4.0.30319.42000",
    "BuildVersion": "10.0.14393.2248",
    "WSManStackVersion": "3.0",
    "PSRemotingProtocolVersion": PROTOCOL_VERSION,
    "SerializationVersion": _SERIALIZATION_VERSION,
}
_OPENED: Final = 2  # RunspacePoolState ([MS-PSRP] 2.2.3.4)

_MAX_RUNSPACES: Final = 1024
_MAX_MESSAGE: Final = 256 * 1024
"""Longest message to the pool in bytes. Its longest one, INIT_RUNSPACEPOOL, has 2 KiB and the client's arguments."""

_MAX_WAITING: Final = 1000
"""Messages of the pool that wait for a client that does not ask for them."""

_CREATION: Final = "rsp:Shell/{http://schemas.microsoft.com/powershell}creationXml"
_INVALID: Final = 2150858817  # winerror.h


@dataclass(slots=True)
class RunspacePool(Shell):
    """A runspace pool.

    Attributes:
        minimum: the fewest runspaces.
        maximum: the most of them, of which each pipeline that runs takes one.
        stream: the messages of the pool itself.
    """

    minimum: int = 0
    maximum: int = 0
    stream: MessageStream = field(default_factory=lambda: MessageStream("", "utf-8", started=True), repr=False)
    _capable: bool = False
    _incoming: Reassembly = field(default_factory=lambda: Reassembly(_MAX_MESSAGE), repr=False)
    _urgent: Reassembly = field(default_factory=lambda: Reassembly(_MAX_MESSAGE), repr=False)
    _objects: itertools.count[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    input_streams: ClassVar = "stdin pr"
    output_streams: ClassVar = "stdout"

    def __post_init__(self) -> None:
        self.stream.pool = self.pool_id
        self.stream.next_object = self._objects.__next__

    @property
    def pool_id(self) -> uuid.UUID:
        """RPID, which is the id of the shell."""
        return uuid.UUID(self.shell_id)

    @property
    def opened(self) -> bool:
        """Whether it was initialised."""
        return self.maximum > 0

    def close(self) -> None:
        """End its pipelines: clients that wait for their messages are told."""
        Shell.close(self)
        self.stream.gone = True

    def find(self, command_id: str) -> RunningCommand | None:
        """Return the pipeline, or the messages of the pool where no id is given."""
        return Shell.find(self, command_id) if command_id else self.stream

    def new_command(self, envelope: Envelope, command_id: str, now: float) -> RunningCommand:
        """Make a pipeline of its first fragments."""
        if not self.opened:
            raise RemoteProtocolError("a pipeline before the runspace pool was opened", section="[MS-PSRP] 3.2.5.4.10")
        try:
            pipeline_id = uuid.UUID(command_id)
        except ValueError:
            raise DecodeError("it is not a GUID", field="CommandId") from None
        pipeline = Pipeline(
            "",
            "utf-8",
            complete=False,
            piped=True,
            pool=self.pool_id,
            pipeline=pipeline_id,
            next_object=self._objects.__next__,
        )
        pipeline.feed(decoded("".join(envelope.texts("rsp:CommandLine/rsp:Arguments"))), now)
        return pipeline

    def send(self, command_id: str, stream: str, data: bytes, now: float, *, end: bool) -> None:  # noqa: ARG002
        """Take fragments for a pipeline, or for the pool where no id is given."""
        if stream not in {"stdin", "pr"}:
            raise Fault("w:InvalidParameter", _INVALID, "a runspace pool has the streams stdin and pr")
        if not command_id:
            self.feed(data, now, urgent=stream == "pr")
            return
        pipeline = self.commands.get(command_id)
        if isinstance(pipeline, Pipeline):
            pipeline.feed(data, now, urgent=stream == "pr")

    def feed(self, data: bytes, now: float, *, urgent: bool = False) -> None:
        """Take fragments for the pool. Raises RemoteProtocolError where they are malformed, or out of turn."""
        for whole in (self._urgent if urgent else self._incoming).feed(data):
            message = read_message(whole)
            # The first message may come before the client has chosen an id.
            if message.pool != self.pool_id and message.kind != MessageType.SESSION_CAPABILITY:
                raise RemoteProtocolError("a message of another runspace pool", section="[MS-PSRP] 3.2.5.4")
            handler = _HANDLERS.get(message.kind)
            if handler is None or (message.kind not in _OPENING and not self.opened):
                raise RemoteProtocolError(f"a runspace pool got {message.kind.name}", section="[MS-PSRP] 3.2.5.4")
            handler(self, message, now)

    def _capability(self, message: PSRPMessage, now: float) -> None:
        values = message.values()
        version = values.text(values.property("protocolversion"))
        if not re.fullmatch(r"2\.[0-9]{1,4}", version) or self._capable:
            raise RemoteProtocolError(
                f"protocolversion {version[:20]!r}, expected 2.x, once", section="[MS-PSRP] 2.2.2.1"
            )
        self._capable = True
        # Without an id, as Windows sends it.
        mine, self.stream.pool = self.stream.pool, NO_ID
        capability = SessionCapability(PROTOCOL_VERSION, _POWERSHELL_VERSION, _SERIALIZATION_VERSION)
        self.stream.put(MessageType.SESSION_CAPABILITY, capability, now)
        self.stream.pool = mine

    def _initialise(self, message: PSRPMessage, now: float) -> None:
        if not self._capable or self.opened:
            raise RemoteProtocolError("INIT_RUNSPACEPOOL out of turn", section="[MS-PSRP] 3.2.5.4.2")
        values = message.values()
        minimum, maximum = values.number("MinRunspaces"), values.number("MaxRunspaces")
        if not 1 <= minimum <= maximum <= _MAX_RUNSPACES:
            raise DecodeError(f"{minimum} to {maximum} runspaces", field="INIT_RUNSPACEPOOL")
        self.minimum, self.maximum = minimum, maximum
        self.stream.put(MessageType.APPLICATION_PRIVATE_DATA, _private_data(), now)
        self.stream.put(MessageType.RUNSPACEPOOL_STATE, RunspacePoolStateMessage(state=_OPENED), now)

    def _set_maximum(self, message: PSRPMessage, now: float) -> None:
        values = message.values()
        wanted = values.number("MaxRunspaces")
        done = self.minimum <= wanted <= _MAX_RUNSPACES
        self.maximum = wanted if done else self.maximum
        self._respond(values.number("CI"), done, now)

    def _set_minimum(self, message: PSRPMessage, now: float) -> None:
        values = message.values()
        wanted = values.number("MinRunspaces")
        done = 1 <= wanted <= self.maximum
        self.minimum = wanted if done else self.minimum
        self._respond(values.number("CI"), done, now)

    def _available(self, message: PSRPMessage, now: float) -> None:
        taken = sum(not pipeline.ended(now) for pipeline in self.commands.values())
        self._respond(message.values().number("ci"), TaggedValue("I64", max(0, self.maximum - taken)), now)

    def _reset(self, message: PSRPMessage, now: float) -> None:
        """Reset the variables of the runspace, of which there are none."""
        busy = any(not pipeline.ended(now) for pipeline in self.commands.values())
        self._respond(message.values().number("ci"), not busy, now)

    def _public_key(self, message: PSRPMessage, now: float) -> None:
        values = message.values()
        key = encrypted_session_key(values.text(values.property("PublicKey")))
        self._answer(MessageType.ENCRYPTED_SESSION_KEY, EncryptedSessionKey(session_key=key), now)

    def _host_response(self, message: PSRPMessage, now: float) -> None:  # noqa: ARG002
        message.values()

    def _respond(self, call: int, response: object, now: float) -> None:
        self._answer(MessageType.RUNSPACE_AVAILABILITY, RunspaceAvailability(response=response, ci=call), now)

    def _answer(self, kind: MessageType, value: object, now: float) -> None:
        if len(self.stream.messages) >= _MAX_WAITING:
            raise fault_named("operations-quota")
        self.stream.put(kind, value, now)


_OPENING: Final = (MessageType.SESSION_CAPABILITY, MessageType.INIT_RUNSPACEPOOL)
_HANDLERS: Final = {
    MessageType.SESSION_CAPABILITY: RunspacePool._capability,
    MessageType.INIT_RUNSPACEPOOL: RunspacePool._initialise,
    MessageType.SET_MAX_RUNSPACES: RunspacePool._set_maximum,
    MessageType.SET_MIN_RUNSPACES: RunspacePool._set_minimum,
    MessageType.GET_AVAILABLE_RUNSPACES: RunspacePool._available,
    MessageType.RESET_RUNSPACE_STATE: RunspacePool._reset,
    MessageType.PUBLIC_KEY: RunspacePool._public_key,
    MessageType.RUNSPACEPOOL_HOST_RESPONSE: RunspacePool._host_response,
}


def _private_data() -> ApplicationPrivateData:
    """Return what clients read the version of PowerShell from."""
    versions = {name: TaggedValue("Version", value) for name, value in _VERSIONS.items()}
    table = versions | {"PSEdition": "Desktop"}
    return ApplicationPrivateData(data={"PSVersionTable": table})


def open_pool(envelope: Envelope, owner: Identity, now: float, *, taken: Callable[[str], bool]) -> RunspacePool:
    """Make the pool that a Create asks for.

    Args:
        envelope: the request, with the client's first fragments in creationXml.
        owner: who asks.
        now: seconds of the clock.
        taken: whether there is a shell of an id.

    Raises:
        Fault: the id is in use.
        RemoteProtocolError: the fragments are malformed, or not those that open a pool.
    """
    shell = envelope.find("rsp:Shell")
    try:
        pool_id = uuid.UUID("" if shell is None else shell.get("ShellId", ""))
    except ValueError:
        raise DecodeError("it is not a GUID", field="ShellId of a runspace pool") from None
    shell_id = str(pool_id).upper()
    if taken(shell_id):
        raise Fault("w:InvalidParameter", _INVALID, "there is a shell of this id")
    variables = envelope.body.iterfind("rsp:Shell/rsp:Environment/rsp:Variable", NS)
    pool = RunspacePool(
        owner,
        now,
        shell_id,
        resource=envelope.resource,
        directory="".join(envelope.texts("rsp:Shell/rsp:WorkingDirectory")),
        environment={variable.get("Name", ""): variable.text or "" for variable in variables},
    )
    pool.feed(decoded("".join(envelope.texts(_CREATION))), now)
    return pool

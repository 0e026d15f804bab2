"""Peers that follow a script: the suite's own actors, handed to the suite in place of an implementation.

As its probes they go on whatever comes. Here they are careful, but for what a test leaves out: each check has a name.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from credssp import binding
from credssp.conformance import Account
from credssp.conformance.connection import Connection, Waiting
from credssp.conformance.links import Link, MemoryPeer
from credssp.conformance.memory import TARGET_NAME, TEST_ACCOUNT, MemoryClientTarget, MemoryServerTarget
from credssp.conformance.scripted_client import ClientScript, ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer, ServerScript, certificate_of
from credssp.conformance.setup import Setup
from credssp.credentials import PasswordCredentials
from credssp.errors import CredSSPError
from credssp.kerberos.tickets import ServiceKey, ServiceTicket
from credssp.protocol_version import has_error_code, has_hashed_binding
from credssp.rdp.negotiation import NegotiationFailure, NegotiationRequest, NegotiationResponse, Protocol
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.tls.channel import TLSChannel, TLSSession
from credssp.tls.settings import ClientTLS, client_context, server_context
from credssp.wire.ts_request import TSRequest

LOGON_FAILURE, NOT_SUPPORTED = 0xC000006D, 0xC00000BB
AUTHORIZED, DENIED = b"\0\0\0\0", b"\5\0\0\0"

Refusal = Callable[[TSRequest, int, int], bytes]
"""What a server answers to a message: takes the message, the effective version and the NTSTATUS."""


class Buffer:
    """The link of a peer that is resumed: what it sends waits to be fetched."""

    crash = ""
    report: BaseException | None = None

    def __init__(self) -> None:
        self.output = b""

    def send(self, data: bytes) -> None:
        self.output += data

    def receive(self, timeout: float) -> bytes | None:
        raise AssertionError("a scripted peer is resumed with what it receives")

    def close(self) -> None:
        pass


class ScriptedPeer:
    """A `MemoryPeer` that is a generator, resumed with what it receives; it closes where the generator ends.

    Attributes:
        complete: whether the login went well, by its own lights.
        identity: who has logged on at a server.
    """

    refusals = ()

    def __init__(self, act: Callable[[Link, ScriptedPeer], Waiting[None]], *, hangs: bool = False) -> None:
        self.complete = False
        self.identity = ""
        self._over = False
        self._hangs = hangs
        self._link = Buffer()
        self._acting = act(self._link, self)

    @property
    def ended(self) -> bool:
        return self._over and (self.complete or not self._hangs)

    def start(self) -> bytes:
        return self._resume(None)

    def step(self, data: bytes) -> bytes:
        return self._resume(data)

    def eof(self) -> None:
        self._resume(b"")

    def _resume(self, data: bytes | None) -> bytes:
        try:
            if not self._over:
                self._acting.send(data)  # type: ignore[arg-type]  # None only begins it
        except StopIteration:
            self._over = True
        output, self._link.output = self._link.output, b""
        return output


def fed(waiting: Waiting[Any], data: bytes) -> Waiting[Any]:
    """Begin what waits with bytes that are there already."""
    try:
        next(waiting)
        seconds = waiting.send(data)
        while True:
            seconds = waiting.send((yield seconds))
    except StopIteration as end:
        return end.value


# Servers


def error_code(message: TSRequest, version: int, status: int) -> bytes:
    """A refusal as the specification has it: errorCode where the version has one, else a close."""
    return TSRequest(6, error_code=status).encode() if has_error_code(version) else b""


SERVER_CHECKS: Mapping[str, Callable[[ScriptedServer, TSRequest], bool]] = {
    "version changes": lambda server, _: len({request.version for request in server.requests}) > 1,
    "nonce": lambda server, message: (
        server.key_message is message and has_hashed_binding(server.effective) and len(server.nonce) != 32
    ),
    "key": lambda server, message: server.key_message is message and not server.client_key_right,
    "credentials": lambda server, message: (
        server.key_message is not None and message is not server.key_message and server.delegated is None
    ),
}
"""What a careful server refuses, beside what the inner authentication does: whether this message is such a one."""


def _careful(
    min_version: int, without: frozenset[str], refusal: Refusal, stumbles: Callable[[ScriptedServer, TSRequest], bool]
) -> Callable[[ScriptedServer, TSRequest, CredSSPError | None], bytes | None]:
    def refuse(server: ScriptedServer, message: TSRequest, problem: CredSSPError | None) -> bytes | None:
        if stumbles(server, message):
            raise ZeroDivisionError
        status = getattr(problem, "ntstatus", None) or LOGON_FAILURE
        if message.version < min_version and "lowest version" not in without:
            return refusal(message, server.effective, NOT_SUPPORTED)
        at_the_end = message.auth_info is not None
        if problem is not None and not (at_the_end and "credentials" in without):
            return refusal(message, server.effective, status)
        if any(check(server, message) for name, check in SERVER_CHECKS.items() if name not in without):
            return refusal(message, server.effective, LOGON_FAILURE)
        return None

    return refuse


def confirm(frame: bytes) -> bytes:
    """Answer a Connection Request as a server that demands CredSSP, and knows HYBRID_EX."""
    asked = ConnectionRequest.decode(frame[4:]).negotiation
    if asked is None:
        return ConnectionConfirm(None).encode()
    for protocol in (Protocol.HYBRID_EX, Protocol.HYBRID):
        if protocol in asked.protocols:
            return ConnectionConfirm(NegotiationResponse(protocol)).encode()
    return ConnectionConfirm(NegotiationFailure(5)).encode()


def confirm_inside(frame: bytes) -> bytes:
    """Answer a Connection Request that comes inside TLS, in the direct approach."""
    asked = ConnectionRequest.decode(frame[4:]).negotiation
    hybrid = asked is not None and Protocol.HYBRID in asked.protocols
    answer = NegotiationResponse(Protocol.HYBRID) if hybrid else NegotiationFailure(4)  # INCONSISTENT_FLAGS
    return ConnectionConfirm(answer).encode()


def selected_in(frame: bytes) -> int:
    """Return the protocol that a Connection Confirm selects, or 0."""
    chosen = ConnectionConfirm.decode(frame[4:]).negotiation
    return int(chosen.selected) if isinstance(chosen, NegotiationResponse) else 0


def proved(server: ScriptedServer) -> str:
    """Whose ticket or password it was."""
    return server.kerberos.facts.client.partition("@")[0] if server.kerberos is not None else server.account.username


def server(
    *without: str,
    refusal: Refusal = error_code,
    account: Account = TEST_ACCOUNT,
    rdp: Callable[[bytes], bytes] | None = None,
    inside: Callable[[bytes], bytes] = confirm_inside,
    result: Callable[[int, bool], bytes] = lambda selected, authorized: (
        (AUTHORIZED if authorized else DENIED) if selected == Protocol.HYBRID_EX else b""
    ),
    keys: tuple[ServiceKey, ...] = (),
    hangs: bool = False,
    stumbles: Callable[[ScriptedServer, TSRequest], bool] = lambda _, __: False,
    context: Callable[[], ssl.SSLContext] | None = None,
    who: Callable[[ScriptedServer], str] = lambda server: proved(server),
    target: Mapping[str, Any] | None = None,
    **script: Any,
) -> MemoryServerTarget:
    """Return a server that follows a script.

    Args:
        without: names of the checks that it leaves out: ``lowest version``, and those of `SERVER_CHECKS`.
        refusal: how it refuses.
        account: whom it knows.
        rdp: how it answers a Connection Request, ``b""`` to close; None for a server without RDP's negotiation.
        inside: how it answers one inside TLS.
        result: the Early User Authorization Result, by the protocol selected and whether the user may log on.
        keys: keys of its services, for Kerberos.
        hangs: whether it waits after a refusal instead of closing.
        stumbles: messages at which it crashes.
        context: makes its TLS context in place of the project's.
        who: who it says has logged on.
        target: further attributes of the target.
        script: fields of `ServerScript`.
    """

    def make(setup: Setup) -> MemoryPeer:
        def act(link: Link, peer: ScriptedPeer) -> Waiting[None]:
            first = b""
            answer = b""
            if rdp is not None:
                first = (yield 1.0) or b""
            if first[:1] == b"\3":
                answer, first = rdp(first), b""  # type: ignore[misc]
                link.send(answer)
                if not selected_in(answer):
                    return
            refuses = _careful(setup.min_version, frozenset(without), refusal, stumbles)
            after = result(selected_in(answer) if answer else 0, setup.authorized)
            own = dataclasses.replace(ServerScript(**script), refuses=refuses, after=after)
            certificate = certificate_of(setup.key_type)
            made = server_context(own.tls, certificate) if context is None else context()
            channel = TLSChannel(made, server_side=True)
            connection = Connection(link, channel, side="server", timeout=1.0)
            shaken = connection.handshaking()
            if (yield from fed(shaken, first) if first else shaken) is not None:
                return
            key = binding.subject_public_key(certificate.der)
            scripted = ScriptedServer(connection, own, account, public_key=key, service_keys=keys)
            yield from scripted.serving()
            peer.complete = scripted.key_message is not None and scripted.end is None
            if peer.complete:
                peer.identity = who(scripted)
            if peer.complete and first and rdp is not None:  # the direct approach: the negotiation comes inside
                request = yield from connection.receiving()
                connection.send(inside(request.data))

        return ScriptedPeer(act, hangs=hangs)

    features = {"report", "identity"} | ({"x224"} if rdp else set()) | ({"kerberos", "service-keys"} if keys else set())
    return MemoryServerTarget(
        "scripted server",
        make,
        account,
        features=frozenset(features),
        rdp=rdp is not None,
        service_keys=keys,
        **(target or {}),
    )


# Clients


CLIENT_CHECKS: Mapping[str, Callable[[ScriptedClient, TSRequest], bool]] = {
    "version changes": lambda client, message: message.version != client.server_version,
    "key": lambda client, message: client.key_reply is message and not client.server_is_right,
}
"""What a careful client stops at."""

REQUEST = ConnectionRequest(negotiation=NegotiationRequest(Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX))


def takes(frame: bytes) -> bool:
    """Whether a careful client goes on after this Connection Confirm."""
    if len(frame) != int.from_bytes(frame[2:4], "big"):
        return False
    try:
        return selected_in(frame) in (Protocol.HYBRID, Protocol.HYBRID_EX)
    except CredSSPError:
        return False


def client(
    *without: str,
    accepts: Callable[[ScriptedClient, TSRequest], bool] = lambda _, __: False,
    account: Account = TEST_ACCOUNT,
    rdp: bytes | None = None,
    confirmed: Callable[[bytes], bool] = takes,
    ticket: Callable[[], ServiceTicket | None] = lambda: None,
    stumbles: Callable[[ScriptedClient, TSRequest], bool] = lambda _, __: False,
    tls: ClientTLS | None = None,
    content: bool = True,
    target: Mapping[str, Any] | None = None,
    **script: Any,
) -> MemoryClientTarget:
    """Return a client that follows a script.

    Args:
        without: names of the checks that it leaves out: ``lowest version``, and those of `CLIENT_CHECKS`.
        accepts: what pubKeyAuth of the server it takes beside the right one.
        account: who logs on.
        rdp: its Connection Request; None for a client without RDP's negotiation.
        confirmed: whether it goes on after a Connection Confirm.
        ticket: gets its Kerberos ticket.
        stumbles: messages at which it crashes.
        tls: its TLS settings; with resumption it comes back with the session of its last login.
        content: whether it is content with a login that went well.
        target: further attributes of the target.
        script: fields of `ClientScript`.
    """

    sessions: list[TLSSession] = []

    def make(setup: Setup) -> MemoryPeer:
        def refuses(scripted: ScriptedClient, message: TSRequest) -> bool:
            if stumbles(scripted, message):
                raise ZeroDivisionError
            if message.version < setup.min_version and "lowest version" not in without:
                return True
            taken = message.pub_key_auth is not None and accepts(scripted, message)
            return any(
                check(scripted, message)
                for name, check in CLIENT_CHECKS.items()
                if name not in without and not (name == "key" and taken)
            )

        def act(link: Link, peer: ScriptedPeer) -> Waiting[None]:
            if rdp is not None:
                link.send(rdp)
                if not confirmed((yield 1.0) or b""):
                    return
            empty = {"credentials": PasswordCredentials.empty().to_wire().encode()} if setup.restricted_admin else {}
            own = dataclasses.replace(ClientScript(**{"form": setup.form or "ntlm"} | script | empty), refuses=refuses)
            settings = tls or ClientTLS()
            last = sessions[-1] if sessions and settings.resumption else None
            channel = TLSChannel(
                client_context(settings), server_side=False, server_hostname="srv.lab.test", session=last
            )
            connection = Connection(link, channel, side="client", timeout=1.0)
            if (yield from connection.handshaking()) is not None:
                return
            key = binding.subject_public_key(channel.peer_certificate or b"")
            name = (target or {}).get("target_name", TARGET_NAME)
            scripted = ScriptedClient(connection, own, account, public_key=key, target_name=name, ticket=ticket())
            yield from scripted.logging_on()
            peer.complete = scripted.stage == "done" and content
            if channel.session is not None:
                sessions.append(channel.session)

        return ScriptedPeer(act)

    features = frozenset({"x224"} if rdp is not None else ())
    return MemoryClientTarget(
        "scripted client", make, account, **{"features": features, "rdp": rdp is not None} | dict(target or {})
    )

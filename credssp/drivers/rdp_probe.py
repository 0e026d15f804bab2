"""What an RDP server offers, found out without credentials.

Each question takes a connection of its own, since a server closes after most answers:

1. which protocols it takes: one Connection Request for each;
2. which TLS versions, and with which certificate;
3. which CredSSP version and which names: a TSRequest with NTLM's NEGOTIATE is answered with CHALLENGE, which has them;
4. which mechanisms inside CredSSP: NTLM without SPNEGO, and SPNEGO with NTLM or Kerberos alone.

Nothing that is sent proves or discloses anything: NEGOTIATE and an empty Kerberos offer hold no name and no secret.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from credssp.context.initiator import create_initiator
from credssp.credentials import PasswordCredentials
from credssp.drivers.blocking import reason
from credssp.drivers.handshake import ConnectError, DeadlineError, Timeouts, too_late
from credssp.errors import CredSSPError, LimitExceededError, PeerClosedError, RemoteProtocolError
from credssp.ntlm.messages import Challenge
from credssp.protocol_version import HIGHEST_VERSION
from credssp.rdp.negotiation import (
    CREDSSP_PROTOCOLS,
    FailureCode,
    NegotiationFailure,
    NegotiationRequest,
    NegotiationResponse,
    Protocol,
)
from credssp.rdp.tpkt import TPKTBuffer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.spnego import OID
from credssp.spnego.tokens import NegState, NegTokenInit, NegTokenResp
from credssp.status import describe
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import ClientTLS, TLSVersionName, client_context
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.ts_request import TSRequest

__all__ = ["ProbeReport", "accepts", "first_tokens", "probe"]

_PROTOCOLS: Final = (
    Protocol.RDP,
    Protocol.SSL,
    Protocol.HYBRID,
    Protocol.HYBRID_EX,
    Protocol.RDSTLS,
    Protocol.RDSAAD,
)
_TLS_VERSIONS: Final[tuple[TLSVersionName, ...]] = ("1.2", "1.3")
_MAX_HANDSHAKE: Final = 256 * 1024
"""Octets of a server's TLS handshake that are read; chains with a dozen certificates have a tenth of it."""


@dataclass(slots=True)
class ProbeReport:
    """What was found out; what was not stays empty.

    Attributes:
        host: as it was asked for.
        port: TCP port.
        error: why nothing (more) was found out, or None.
        protocols: by name: ``accepted``, the name of the failure code, or what else came.
        tls: version to cipher suite, of the versions that the server takes.
        certificate: the server's leaf certificate, DER.
        credssp_version: the version that the server says it has.
        credssp_error: what CredSSP came to, where it failed.
        mechanisms: ``ntlm``, ``spnego/ntlm``, ``spnego/kerberos``.
        ntlm: names and values of CHALLENGE's target information, TargetName, and the operating system's version.
        seconds: how long it took.
    """

    host: str
    port: int
    error: CredSSPError | None = None
    protocols: dict[str, str] = field(default_factory=dict)
    tls: dict[str, str] = field(default_factory=dict)
    certificate: bytes | None = None
    credssp_version: int | None = None
    credssp_error: str | None = None
    mechanisms: list[str] = field(default_factory=list)
    ntlm: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


async def probe(host: str, port: int, *, timeouts: Timeouts) -> ProbeReport:
    """Find out what a server offers. Whatever it does, it becomes a report."""
    report = ProbeReport(host, port)
    begin = time.monotonic()
    try:
        async with asyncio.timeout(timeouts.login):
            await _probe(report, timeouts)
    except TimeoutError:
        report.error = DeadlineError(f"the server was not done within {timeouts.login:g} s")
    except CredSSPError as error:
        report.error = error
    report.seconds = time.monotonic() - begin
    return report


async def _probe(report: ProbeReport, timeouts: Timeouts) -> None:
    for protocol in _PROTOCOLS:
        async with _connect(report, timeouts) as peer:
            report.protocols[protocol.name or ""] = await _offer(peer, protocol)
    accepted = [p for p in reversed(_PROTOCOLS) if report.protocols.get(p.name or "") == "accepted"]
    tls = [p for p in accepted if p & (CREDSSP_PROTOCOLS | Protocol.SSL)]
    if not tls:
        return
    for version in _TLS_VERSIONS:
        async with _connect(report, timeouts) as peer:
            await peer.negotiate(tls[0])
            try:
                channel = await peer.start_tls(report.host, ClientTLS(minimum=version, maximum=version))
            except RemoteProtocolError:
                continue  # this version is not taken
            report.tls[channel.protocol] = channel.cipher
            report.certificate = channel.peer_certificate
    if tls[0] & CREDSSP_PROTOCOLS and report.tls:
        await _credssp(report, timeouts, tls[0])


async def _offer(peer: _Peer, protocol: Protocol) -> str:
    try:
        answer = await peer.negotiate(protocol)
    except PeerClosedError:
        return "closed"
    if isinstance(answer, NegotiationFailure):
        try:
            return FailureCode(answer.code).name
        except ValueError:
            return f"failure {answer.code}"
    selected = Protocol.RDP if answer is None else answer.selected
    return "accepted" if selected == protocol else f"selected {selected.name or int(selected)}"


def first_tokens() -> dict[str, bytes]:
    """Return, by mechanism, a first security token that proves and discloses nothing."""
    nobody = PasswordCredentials("probe", "")  # goes into AUTHENTICATE only, which is never made
    negotiate = create_initiator(nobody, target_name="TERMSRV/probe", mechanism="ntlm").step(None)
    return {
        "ntlm": negotiate or b"",
        "spnego/ntlm": NegTokenInit((OID.NTLM,), mech_token=negotiate).encode(),
        "spnego/kerberos": NegTokenInit((OID.MS_KERBEROS, OID.KERBEROS)).encode(),
    }


async def _credssp(report: ProbeReport, timeouts: Timeouts, protocol: Protocol) -> None:
    for name, token in first_tokens().items():
        try:
            async with _connect(report, timeouts) as peer:
                await peer.negotiate(protocol)
                channel = await peer.start_tls(report.host, ClientTLS())
                answer = await peer.exchange(channel, TSRequest(HIGHEST_VERSION, nego_tokens=(token,)))
            report.credssp_version = answer.version
            if accepts(report, answer):
                report.mechanisms.append(name)
        except ConnectError:
            raise
        except CredSSPError as error:
            # A server that closes on a mechanism it does not have has answered.
            report.credssp_error = report.credssp_error or f"{name}: {error.message}"


def accepts(report: ProbeReport, answer: TSRequest) -> bool:
    """Whether the server goes on with what was offered; notes the names that it tells."""
    if answer.error_code is not None:
        report.credssp_error = report.credssp_error or describe(answer.error_code).summary
    if answer.error_code is not None or not answer.nego_tokens:
        return False
    token: bytes | None = answer.nego_tokens[0]
    if token is not None and token[:1] == b"\xa1":
        reply = NegTokenResp.decode(token)
        if reply.neg_state is NegState.REJECT:
            return False
        token = reply.response_token
    if token is not None and token.startswith(b"NTLMSSP\0") and not report.ntlm:
        challenge = Challenge.decode(token)
        report.ntlm = dict(challenge.target_info.described()) if challenge.target_info is not None else {}
        report.ntlm["TargetName"] = challenge.target_name
        if challenge.version is not None:
            report.ntlm["Version"] = str(challenge.version)
    return True


class _Peer:
    """One connection to the server; every wait ends after `Timeouts.leg`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeouts: Timeouts) -> None:
        self._reader = reader
        self._writer = writer
        self._timeouts = timeouts
        self._rest = b""

    async def negotiate(self, protocol: Protocol) -> NegotiationResponse | NegotiationFailure | None:
        """Ask for one protocol."""
        await self._send(ConnectionRequest(negotiation=NegotiationRequest(protocol)).encode())
        buffer = TPKTBuffer()
        while (tpdu := buffer.feed(await self._receive("expect the Connection Confirm"))) is None:
            pass
        self._rest = buffer.take_rest()
        return ConnectionConfirm.decode(tpdu).negotiation

    async def start_tls(self, host: str, settings: ClientTLS) -> TLSChannel:
        """Shake hands."""
        channel = TLSChannel(client_context(settings), server_side=False, server_hostname=host)
        channel.receive(self._rest)
        received = 0
        try:
            while not channel.handshake():
                await self._send(channel.data_to_send())
                data = await self._receive("expect TLS")
                received += len(data)
                if received > _MAX_HANDSHAKE:
                    raise LimitExceededError(f"a TLS handshake of more than {_MAX_HANDSHAKE} octets")
                channel.receive(data)
        finally:
            await self._send(channel.data_to_send())
        return channel

    async def exchange(self, channel: TLSChannel, message: TSRequest) -> TSRequest:
        """Send a TSRequest and return the answer."""
        channel.write(message.encode())
        await self._send(channel.data_to_send())
        buffer = TSRequestBuffer()
        while True:
            buffer.feed(channel.read())
            answer = buffer.next_message()
            if answer is not None:
                return TSRequest.decode(answer)
            if channel.peer_closed:
                raise PeerClosedError("the server closed the TLS channel")
            channel.receive(await self._receive("expect a TSRequest"))

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        try:
            self._writer.write(data)
            async with asyncio.timeout(self._timeouts.leg):
                await self._writer.drain()
        except TimeoutError:
            raise too_late(self._timeouts, "send", whole=False) from None
        except OSError:
            pass  # what came before it is still to be read

    async def _receive(self, awaited: str) -> bytes:
        try:
            async with asyncio.timeout(self._timeouts.leg):
                data = await self._reader.read(65536)
        except TimeoutError:
            raise too_late(self._timeouts, awaited, whole=False) from None
        except OSError:
            data = b""
        if not data:
            raise PeerClosedError(f"the server closed the connection; awaited was to {awaited}")
        return data


@asynccontextmanager
async def _connect(report: ProbeReport, timeouts: Timeouts) -> AsyncIterator[_Peer]:
    try:
        async with asyncio.timeout(timeouts.connect):
            reader, writer = await asyncio.open_connection(report.host, report.port)
    except TimeoutError:
        raise ConnectError(f"no connection within {timeouts.connect:g} s") from None
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConnectError(f"no connection: {reason(error)}") from None
    try:
        yield _Peer(reader, writer, timeouts)
    finally:
        # Without a word: a probe that says goodbye in TLS waits for an answer that many servers never send.
        writer.transport.abort()

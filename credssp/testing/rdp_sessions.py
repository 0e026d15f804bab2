"""Runs the session of a test endpoint over the stream after a login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from credssp.drivers.aio import AsyncSession
from credssp.errors import CredSSPError
from credssp.rdp.negotiation import Protocol
from credssp.rdp.server import NLAServer
from credssp.testing.rdp_session.machine import SessionMachine
from credssp.testing.rdp_session.modes import Desktop, NoSession, SessionMode
from credssp.testing.rdp_session.report import SessionReport

__all__ = ["MAX_RECEIVED", "conduct"]

MAX_RECEIVED: Final = 65536
"""Bytes of a client that are kept."""

_STEP: Final = 20.0
"""Seconds that a client may take for a step of the connection sequence. aardwolf needs some for the first one: it
compiles its ASN.1 between login and session."""
_NEVER: Final = float("inf")
_BEFORE_SCREEN: Final = 0.5
"""Seconds between the last PDU of the connection sequence and the first of the screen, which other servers make then.
IronRDP (ironrdp-wasm 1.1.0) loses what comes together with the former, and reads the rest as something else."""
_GOODBYE: Final = 1.0
"""Seconds for a client that was told the end to close first: a reset would overtake what was told. Some wait for us."""


async def conduct(
    session: AsyncSession[NLAServer],
    mode: SessionMode,
    *,
    hold: float,
    report: SessionReport | None = None,
    received: bytearray | None = None,
    settled: Callable[[], object] = lambda: None,
) -> None:
    """Serve a client until its session is over; the caller closes it.

    Args:
        session: the stream after the login.
        mode: what the server does.
        hold: seconds to read a client that does not have a session.
        report: a new report, which is filled while the session runs.
        received: gets what the client sends, up to `MAX_RECEIVED` bytes.
        settled: called once the client has its screen, or has said nothing for `hold` seconds.

    Raises:
        CredSSPError, OSError: the connection failed.
    """
    kept = bytearray() if received is None else received
    if not isinstance(mode, NoSession):
        endpoint = session.endpoint
        machine = SessionMachine(mode, _requested(endpoint), selected=endpoint.selected_protocol, report=report)
        if await _serve(session, machine, mode, hold, kept, settled):
            return
    await _read(session, hold, kept)


def _requested(endpoint: NLAServer) -> Protocol:
    request = endpoint.request
    return Protocol.HYBRID if request is None or request.negotiation is None else request.negotiation.protocols


async def _serve(
    session: AsyncSession[NLAServer],
    machine: SessionMachine,
    mode: SessionMode,
    hold: float,
    kept: bytearray,
    settled: Callable[[], object],
) -> bool:
    """Run the session; returns whether the connection is to be closed."""
    loop = asyncio.get_running_loop()
    quiet = loop.call_later(hold, settled)
    draws = ends = _NEVER
    seen = 0
    while not machine.ended:
        try:
            async with asyncio.timeout_at(min(draws, loop.time() + _STEP if ends == _NEVER else ends)):
                data = await session.read()
        except TimeoutError:
            now = loop.time()
            if now >= ends:
                session.write(machine.expire())
                break
            if now < draws or not await _write(session, machine.draw()):
                return True
            draws = _NEVER
            if seen != machine.report.activations and isinstance(mode, Desktop):
                seen, ends = machine.report.activations, now + mode.seconds
                settled()
            continue
        finally:
            quiet.cancel()
        if not data:
            machine.report.ended_by = machine.report.ended_by or "client"
            return True
        _keep(kept, data)
        try:
            answer = machine.feed(data)
        except CredSSPError as error:
            machine.report.fault = error.message
            return False
        if answer and not await _write(session, answer):
            return True
        if machine.screen_due and draws == _NEVER:
            draws = loop.time() + (_BEFORE_SCREEN if answer else 0.0)
    if machine.report.ended_by == "server":
        await _read(session, _GOODBYE, kept)
    return True


async def _write(session: AsyncSession[NLAServer], data: bytes) -> bool:
    """Send, and return whether the client takes it."""
    session.write(data)
    try:
        async with asyncio.timeout(_STEP):
            await session.drain()
    except TimeoutError:
        return False
    return True


async def _read(session: AsyncSession[NLAServer], seconds: float, kept: bytearray) -> None:
    try:
        async with asyncio.timeout(seconds):
            while data := await session.read():
                _keep(kept, data)
    except TimeoutError:
        pass


def _keep(kept: bytearray, data: bytes) -> None:
    kept += data[: MAX_RECEIVED - len(kept)]

"""User and password of a client without NLA, taken from its Client Info PDU; then it is sent back to where it is."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from credssp.credentials import PasswordCredentials
from credssp.drivers.aio import AsyncSession
from credssp.drivers.handshake import Timeouts, too_late
from credssp.errors import LocalProtocolError, PeerClosedError
from credssp.rdp.client_info import ClientInfo, InfoFlags
from credssp.rdp.negotiation import Protocol
from credssp.rdp.redirection import ServerRedirection
from credssp.rdp.session_start import SessionStart

__all__ = ["pick_up", "send_back"]

_GOODBYE: Final = 5.0
"""Seconds that a client has to leave after the redirection. It is not closed at once: what it still sends would make
that a reset, which may overtake the redirection."""


async def pick_up(
    session: AsyncSession[Any], requested: Protocol, *, selected: Protocol, timeouts: Timeouts
) -> tuple[SessionStart, PasswordCredentials]:
    """Be an RDP server until the client has named its user.

    Args:
        session: the stream after TLS.
        requested: what the client requested in its Connection Request.
        selected: what was selected for it.
        timeouts: `leg` and `login` count here.

    Returns:
        The session's beginning, for `send_back`, and what the client said.

    Raises:
        LocalProtocolError: it named no user, no password, or a smart card's PIN.
        CredSSPError: it broke the protocol, left, or took too long.
        OSError: the connection failed.
    """
    start = SessionStart(requested, selected=selected)
    try:
        async with asyncio.timeout(timeouts.login) as whole:
            while start.info is None:
                async with asyncio.timeout(timeouts.leg):
                    data = await session.read()
                if not data:
                    raise PeerClosedError("the client closed the connection before its Client Info PDU")
                answer = start.feed(data)
                if answer:
                    session.write(answer)
    except TimeoutError:
        raise too_late(timeouts, "expect the Client Info PDU", whole=whole.expired()) from None
    credentials = _credentials(start.info)
    start.forget_info()
    return start, credentials


def _credentials(info: ClientInfo) -> PasswordCredentials:
    if info.flags & InfoFlags.INFO_PASSWORD_IS_SC_PIN:
        raise LocalProtocolError("the client's password is the PIN of a smart card, which cannot be passed on")
    if not info.username or not info.password:
        raise LocalProtocolError(
            "the client named no user or no password, and the server needs both",
            advice="Give the client the user name and password before it connects.",
        )
    return PasswordCredentials(info.username, info.password, domain=info.domain)


async def send_back(session: AsyncSession[Any], start: SessionStart, *, ticket: str, host: str) -> None:
    """Send a client back to where it is, and wait until it left.

    FreeRDP and mstsc send LoadBalanceInfo back as their routing token. rdesktop does not: it takes address, domain and
    user name from the redirection, and sends the user name as its cookie, so that the ticket is the user name too.

    Args:
        session: the stream.
        start: its beginning.
        ticket: what the client brings back.
        host: the address that it is connected to.

    Raises:
        CredSSPError, OSError: the connection failed.
    """
    redirection = ServerRedirection(
        target=host, load_balance_info=f"Cookie: msts={ticket}\r\n".encode(), username=ticket, domain=""
    )
    session.write(start.redirect(redirection))
    try:
        async with asyncio.timeout(_GOODBYE):
            while await session.read():
                pass
    except TimeoutError:
        pass  # it stays; it is closed then
    session.close()

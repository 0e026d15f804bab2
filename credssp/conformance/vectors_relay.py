"""Vectors of RDP's negotiation and of what a relay changes where it is said again inside TLS ([MS-RDPBCGR] 2.2.1)."""

from __future__ import annotations

from typing import Any

from credssp.rdp.mcs import connect_initial
from credssp.rdp.negotiation import NegotiationRequest, NegotiationResponse, Protocol
from credssp.rdp.session_pdus import ConnectInitial, ConnectResponse
from credssp.rdp.session_start import connect_response
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest

__all__ = ["relayed"]

_SSL, _HYBRID, _HYBRID_EX = Protocol.SSL, Protocol.HYBRID, Protocol.HYBRID_EX


def relayed() -> list[dict[str, Any]]:
    """Return connections with a relay between client and server, by what both sides negotiate with it."""
    return [
        _relayed("NLA in front of TLS", _SSL | _HYBRID | _HYBRID_EX, _HYBRID_EX, _SSL, _SSL),
        _relayed("TLS in front of NLA", _SSL, _SSL, _SSL | _HYBRID | _HYBRID_EX, _HYBRID),
        _relayed("NLA on both sides", _SSL | _HYBRID, _HYBRID, _SSL | _HYBRID | _HYBRID_EX, _HYBRID_EX),
        _relayed("a client with a cookie", _SSL | _HYBRID, _HYBRID, _SSL, _SSL, cookie="alice"),
        _relayed("a client with a routing token", _SSL, _SSL, _SSL, _SSL, token=b"Cookie: msts=3640205228.15629.0000"),
    ]


def _relayed(
    name: str,
    requested: Protocol,
    selected: Protocol,
    asked: Protocol,
    server: Protocol,
    *,
    cookie: str | None = None,
    token: bytes | None = None,
) -> dict[str, Any]:
    """Return one.

    Args:
        name: its name.
        requested: what the client requests of the relay.
        selected: what the relay selects.
        asked: what the relay requests of the server.
        server: what the server selects.
        cookie: mstshash of the client.
        token: its routing token.
    """
    request = ConnectionRequest(cookie=cookie, routing_token=token, negotiation=NegotiationRequest(requested))
    initial, response = connect_initial(selected, name="CLIENT"), connect_response(asked, channels=0)
    return {
        "name": name,
        "about": "each side hears inside TLS what it negotiated with the relay, and nothing of the other side",
        "rule": "CSSP-NEG-23",
        "requestedProtocols": int(requested),
        "selectedProtocol": int(selected),
        "serverRequestedProtocols": int(asked),
        "serverSelectedProtocol": int(server),
        "connectionRequest": request.encode().hex(),
        "connectionConfirm": ConnectionConfirm(NegotiationResponse(selected)).encode().hex(),
        "connectInitial": initial.hex(),
        "connectInitialToServer": ConnectInitial.decode(initial).rewritten(server).hex(),
        "connectResponse": response.hex(),
        "connectResponseToClient": ConnectResponse.decode(response).rewritten(requested).hex(),
    }

"""The clear-text leg of an RDP connection, over any link."""

from __future__ import annotations

import time

from credssp.conformance.links import Link
from credssp.conformance.rule import Skipped
from credssp.conformance.setup import RdpAnswer
from credssp.errors import RemoteProtocolError
from credssp.rdp.negotiation import NegotiationRequest, NegotiationResponse, Protocol, RequestFlags, ResponseFlags
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest

__all__ = ["answer_request", "ask", "confirm", "request_tls", "take_frame"]


def take_frame(link: Link, timeout: float) -> bytes:
    """Read one TPKT frame; what came short where the peer ended or was silent."""
    data = b""
    end = time.monotonic() + timeout  # for all of it: a peer may send a byte now and then
    while len(data) < 4 or len(data) < int.from_bytes(data[2:4], "big"):
        piece = link.receive(max(0.0, end - time.monotonic()))
        if not piece:
            break
        data += piece
    return data


def ask(link: Link, protocols: int | None, timeout: float, *, flags: int = 0) -> ConnectionConfirm | bytes:
    """Send a Connection Request and return the answer: a Connection Confirm, or whatever bytes it was."""
    asked = None if protocols is None else NegotiationRequest(Protocol(protocols), RequestFlags(flags))
    link.send(ConnectionRequest(negotiation=asked).encode())
    data = take_frame(link, timeout)
    try:
        return ConnectionConfirm.decode(data[4:])
    except Exception:  # noqa: BLE001  # whatever it is, it is no Connection Confirm
        return data


def request_tls(link: Link, protocols: int, timeout: float) -> Protocol:
    """Negotiate, as a client; returns what was selected.

    Raises:
        Skipped: it selected something other than CredSSP.
        RemoteProtocolError: it does not answer as an RDP server does.
        TimeoutError: it is silent.
    """
    answer = ask(link, protocols, timeout)
    if not isinstance(answer, ConnectionConfirm):
        told = (
            f"the server answered the Connection Request with {len(answer)} bytes that are not a Connection Confirm"
            if answer
            else "the server did not answer the Connection Request: is that an RDP server?"
        )
        if not answer and not getattr(link, "ended", True):
            raise TimeoutError(told)
        raise RemoteProtocolError(told, section="[MS-RDPBCGR] 2.2.1.2")
    chosen = answer.negotiation
    if isinstance(chosen, NegotiationResponse):
        if chosen.selected in (Protocol.HYBRID, Protocol.HYBRID_EX):
            return chosen.selected
        told = f"PROTOCOL_{chosen.selected.name or int(chosen.selected)}"
    else:
        told = "without a negotiation response" if chosen is None else chosen.summary
    raise Skipped(f"the server selects no CredSSP: it answered {told}")


def confirm(rdp: RdpAnswer) -> bytes:
    """Return the answer to a Connection Request; empty for none."""
    if rdp.answer is not None:
        return rdp.answer
    return ConnectionConfirm(NegotiationResponse(Protocol(rdp.selected), ResponseFlags(rdp.flags))).encode()


def answer_request(link: Link, rdp: RdpAnswer) -> None:
    """Answer it."""
    if answer := confirm(rdp):
        link.send(answer)

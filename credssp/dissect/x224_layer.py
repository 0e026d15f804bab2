"""The clear-text beginning of an RDP connection: Connection Request and Confirm ([MS-RDPBCGR] 1.3.1.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from credssp.dissect.model import Conversation, Event, Sender
from credssp.errors import CredSSPError
from credssp.rdp.negotiation import CREDSSP_PROTOCOLS, NegotiationFailure, Protocol, RequestFlags, protocol_names
from credssp.rdp.tpkt import TPKTBuffer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest

__all__ = ["X224Layer", "confirm_in_words", "request_in_words"]

NO_NEGOTIATION: Final = "no negotiation (standard RDP security)"

Deliver = Callable[[Sender, bytes, int | None], None]


class X224Layer:
    """Reads one frame of each side and passes on what follows.

    Attributes:
        refused: whether no CredSSP can follow: the server refused, or chose something else than TLS.
    """

    def __init__(self, conversation: Conversation, deliver: Deliver) -> None:
        self._conversation = conversation
        self._deliver = deliver
        self._buffers: dict[Sender, TPKTBuffer | None] = {"client": TPKTBuffer(), "server": TPKTBuffer()}
        self.refused = False

    def feed(self, sender: Sender, data: bytes, time: int | None) -> None:
        """Take the next bytes of one direction."""
        buffer = self._buffers[sender]
        if buffer is None:
            self._deliver(sender, data, time)
            return
        if data[0] != 3 and not len(buffer):  # the frame itself is missing
            self._buffers[sender] = None
            self._deliver(sender, data, time)
            return
        try:
            tpdu = buffer.feed(data)
        except CredSSPError as error:
            self._conversation.note(f"the RDP negotiation cannot be read: {error}")
            self._buffers[sender] = None
            return
        if tpdu is None:
            return
        self._buffers[sender] = None
        self._take(sender, tpdu, time)
        if rest := buffer.take_rest():
            self._deliver(sender, rest, time)

    def gap(self, sender: Sender) -> None:
        """Say that bytes are missing: the frame of this side will not be found."""
        self._buffers[sender] = None

    def _take(self, sender: Sender, tpdu: bytes, time: int | None) -> None:
        error = ""
        try:
            summary = self._request(tpdu) if sender == "client" else self._confirm(tpdu)
        except CredSSPError as problem:
            summary, error = "X.224", str(problem)
        self._conversation.add(Event(sender, "x224", 4 + len(tpdu), time, summary, tpdu, error))

    def _request(self, tpdu: bytes) -> str:
        request = ConnectionRequest.decode(tpdu)
        if request.negotiation is not None:
            flags = request.negotiation.flags
            self._conversation.restricted_admin = RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED in flags
        return request_in_words(request)

    def _confirm(self, tpdu: bytes) -> str:
        confirm = ConnectionConfirm.decode(tpdu)
        negotiation = confirm.negotiation
        if negotiation is None or isinstance(negotiation, NegotiationFailure):
            self.refused = True
            why = NO_NEGOTIATION if negotiation is None else negotiation.summary
            self._conversation.note(f"no CredSSP can follow: {why}")
        elif not negotiation.selected & CREDSSP_PROTOCOLS:
            self._conversation.note(
                f"the server chose {protocol_names(negotiation.selected)}, which is not network level authentication"
            )
            self.refused = negotiation.selected == Protocol.RDP
        return confirm_in_words(confirm)


def request_in_words(request: ConnectionRequest) -> str:
    """Return a Connection Request in one line."""
    parts = ["X.224 Connection Request"]
    if request.cookie is not None:
        parts.append(f"cookie mstshash={request.cookie}")
    if request.routing_token is not None:
        parts.append("routing token")
    if request.negotiation is None:
        return ", ".join([*parts, NO_NEGOTIATION])
    parts.append(f"requests {protocol_names(request.negotiation.protocols)}")
    flags = request.negotiation.flags
    return ", ".join([*parts, *(flag.name for flag in RequestFlags if flag and flag in flags and flag.name)])


def confirm_in_words(confirm: ConnectionConfirm) -> str:
    """Return a Connection Confirm in one line."""
    negotiation = confirm.negotiation
    if negotiation is None or isinstance(negotiation, NegotiationFailure):
        return f"X.224 Connection Confirm, {NO_NEGOTIATION if negotiation is None else negotiation.summary}"
    return f"X.224 Connection Confirm, selects {protocol_names(negotiation.selected)}"

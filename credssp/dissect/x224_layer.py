"""The clear-text beginning of an RDP connection: Connection Request and Confirm ([MS-RDPBCGR] 1.3.1.1)."""

from __future__ import annotations

from collections.abc import Callable

from credssp.dissect.model import Conversation, Event, Sender
from credssp.errors import CredSSPError
from credssp.rdp.negotiation import CREDSSP_PROTOCOLS, NegotiationFailure, Protocol, RequestFlags, protocol_names
from credssp.rdp.tpkt import TPKTBuffer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest

__all__ = ["X224Layer"]

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
        parts = ["X.224 Connection Request"]
        if request.cookie is not None:
            parts.append(f"cookie mstshash={request.cookie}")
        if request.routing_token is not None:
            parts.append("routing token")
        if request.negotiation is None:
            return ", ".join([*parts, "no negotiation (standard RDP security)"])
        flags = request.negotiation.flags
        self._conversation.restricted_admin = RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED in flags
        parts.append(f"requests {protocol_names(request.negotiation.protocols)}")
        parts += [flag.name for flag in RequestFlags if flag and flag in flags and flag.name]
        return ", ".join(parts)

    def _confirm(self, tpdu: bytes) -> str:
        negotiation = ConnectionConfirm.decode(tpdu).negotiation
        if negotiation is None or isinstance(negotiation, NegotiationFailure):
            self.refused = True
            why = "no negotiation (standard RDP security)" if negotiation is None else negotiation.summary
            self._conversation.note(f"no CredSSP can follow: {why}")
            return f"X.224 Connection Confirm, {why}"
        if not negotiation.selected & CREDSSP_PROTOCOLS:
            self._conversation.note(
                f"the server chose {protocol_names(negotiation.selected)}, which is not network level authentication"
            )
            self.refused = negotiation.selected == Protocol.RDP
        return f"X.224 Connection Confirm, selects {protocol_names(negotiation.selected)}"

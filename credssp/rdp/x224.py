"""X.224 Connection Request and Confirm, the clear-text first leg.

[MS-RDPBCGR] 2.2.1.1, 2.2.1.2; ITU-T X.224 13.3, 13.4.

===== ================================ ================================
byte  Connection Request (``E0``)      Connection Confirm (``D0``)
===== ================================ ================================
0     LI: bytes that follow            LI: 6 or 14
1     ``E0``                           ``D0``
2-3   DST-REF 0                        DST-REF 0
4-5   SRC-REF 0                        SRC-REF, ``12 34`` from Windows
6     class and options 0              class and options 0
7-    cookie or routing token, CR LF   RDP_NEG_RSP or RDP_NEG_FAILURE
...   RDP_NEG_REQ, correlation info
===== ================================ ================================

Offsets in errors count from the first byte of the TPDU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from credssp.errors import DecodeError, LocalProtocolError
from credssp.rdp import tpkt
from credssp.rdp.negotiation import (
    CorrelationInfo,
    NegotiationFailure,
    NegotiationRequest,
    NegotiationResponse,
    RequestFlags,
)

__all__ = ["ConnectionConfirm", "ConnectionRequest", "mstshash"]

_REQUEST: Final = 0xE0
_CONFIRM: Final = 0xD0
_FIXED: Final = 7
_COOKIE: Final = b"Cookie: mstshash="
_CRLF: Final = b"\r\n"
_MAX_VARIABLE: Final = tpkt.MAX_SIZE - tpkt.HEADER_SIZE - _FIXED
_REQUEST_SECTION: Final = "[MS-RDPBCGR] 2.2.1.1"
_CONFIRM_SECTION: Final = "[MS-RDPBCGR] 2.2.1.2"

# Other TPDUs that a peer may answer with (ITU-T X.224 table 8).
_TPDUS: Final = {
    0xE0: "a Connection Request",
    0xD0: "a Connection Confirm",
    0x80: "a Disconnect Request",
    0xC0: "a Disconnect Confirm",
    0xF0: "Data",
    0x70: "an Error",
}


def mstshash(username: str) -> str:
    """Return the cookie identifier of a user: the name cut to nine characters, as Windows clients do (note <44>).

    What is not printable ASCII is left out: the field is ANSI in an unknown code page, and CR LF would end it.
    """
    return "".join(c for c in username if " " < c <= "~")[:9]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRequest:
    """Connection Request PDU.

    Attributes:
        cookie: IDENTIFIER of ``Cookie: mstshash=IDENTIFIER``, or None.
        routing_token: a load balancer's token (``Cookie: msts=...``, ``tsv://...``) without its CR LF, or None.
            Cookie and token exclude each other; a request that was received may have both ([MS-RDPBCGR] 3.3.5.3.1).
        negotiation: RDP_NEG_REQ, or None: the client knows nothing but standard RDP security.
        correlation: RDP_NEG_CORRELATION_INFO, or None.
    """

    cookie: str | None = None
    routing_token: bytes | None = None
    negotiation: NegotiationRequest | None = None
    correlation: CorrelationInfo | None = None

    def encode(self) -> bytes:
        """Write the frame.

        Raises:
            LocalProtocolError: cookie and token together, characters that are not allowed there, or too much of them.
        """
        text = self._text()
        parts = [text]
        if self.negotiation is not None:
            if (RequestFlags.CORRELATION_INFO_PRESENT in self.negotiation.flags) != (self.correlation is not None):
                raise LocalProtocolError("correlation info and its flag go together")
            parts.append(self.negotiation.encode())
            if self.correlation is not None:
                parts.append(self.correlation.encode())
        elif self.correlation is not None:
            raise LocalProtocolError("correlation info needs a negotiation request")
        variable = b"".join(parts)
        if len(variable) > _MAX_VARIABLE:
            raise LocalProtocolError(
                f"cookie or routing token too long: a Connection Request has {_MAX_VARIABLE} bytes for all of it"
            )
        return tpkt.frame(_tpdu(_REQUEST, b"\0\0\0\0", variable))

    def _text(self) -> bytes:
        if self.routing_token is not None:
            if self.cookie is not None:
                raise LocalProtocolError("a cookie and a routing token exclude each other")
            text = self.routing_token
        elif self.cookie is not None:
            try:
                text = _COOKIE + self.cookie.encode("ascii")
            except UnicodeEncodeError:
                raise LocalProtocolError("the cookie is not ASCII; see mstshash()") from None
        else:
            return b""
        if not text or text[0] < 0x20 or b"\r" in text or b"\n" in text:
            raise LocalProtocolError("cookie and routing token are one line of text")
        return text + _CRLF

    @classmethod
    def decode(cls, tpdu: bytes) -> ConnectionRequest:
        """Read a TPDU as `credssp.rdp.tpkt.TPKTBuffer` cuts it out.

        Raises:
            DecodeError: this is something else.
        """
        variable = _variable(tpdu, _REQUEST, "a Connection Request", _REQUEST_SECTION)
        cookie = token = None
        position = 0
        # RDP_NEG_REQ begins with 01: what is text begins with a printable byte.
        while position < len(variable) and variable[position] >= 0x20:
            end = variable.find(_CRLF, position)
            if end < 0:
                raise DecodeError(
                    "a cookie or routing token without CR LF",
                    field="routingToken",
                    offset=_FIXED + position,
                    section=_REQUEST_SECTION,
                )
            text = variable[position:end]
            if text.startswith(_COOKIE) and cookie is None:
                cookie = text[len(_COOKIE) :].decode("latin-1")
            elif token is None:
                token = text
            else:
                raise DecodeError(
                    "a cookie or routing token occurs twice",
                    field="routingToken",
                    offset=_FIXED + position,
                    section=_REQUEST_SECTION,
                )
            position = end + 2
        negotiation = correlation = None
        if position < len(variable):
            offset = _FIXED + position
            negotiation = NegotiationRequest.decode(variable[position : position + 8], offset=offset)
            rest = variable[position + 8 :]
            if negotiation.flags and RequestFlags.CORRELATION_INFO_PRESENT in negotiation.flags:
                correlation = CorrelationInfo.decode(rest, offset=offset + 8)
            elif rest:
                raise DecodeError(
                    f"{len(rest)} bytes after rdpNegReq, and no flag that announces them",
                    field="rdpCorrelationInfo",
                    offset=offset + 8,
                    section=_REQUEST_SECTION,
                )
        return cls(cookie=cookie, routing_token=token, negotiation=negotiation, correlation=correlation)


@dataclass(frozen=True, slots=True)
class ConnectionConfirm:
    """Connection Confirm PDU.

    Attributes:
        negotiation: RDP_NEG_RSP or RDP_NEG_FAILURE, or None: the server knows nothing but standard RDP security.
    """

    negotiation: NegotiationResponse | NegotiationFailure | None = None

    def encode(self) -> bytes:
        """Write the frame."""
        variable = b"" if self.negotiation is None else self.negotiation.encode()
        # The references that Windows sends ([MS-RDPBCGR] 4.1.2); nobody looks at them.
        return tpkt.frame(_tpdu(_CONFIRM, b"\0\0\x12\x34", variable))

    @classmethod
    def decode(cls, tpdu: bytes) -> ConnectionConfirm:
        """Read a TPDU as `credssp.rdp.tpkt.TPKTBuffer` cuts it out.

        Raises:
            DecodeError: this is something else.
        """
        variable = _variable(tpdu, _CONFIRM, "a Connection Confirm", _CONFIRM_SECTION)
        if not variable:
            return cls()
        if variable[0] == NegotiationFailure.TYPE:
            return cls(NegotiationFailure.decode(variable, offset=_FIXED))
        return cls(NegotiationResponse.decode(variable, offset=_FIXED))


def _tpdu(code: int, references: bytes, variable: bytes) -> bytes:
    return bytes((_FIXED - 1 + len(variable), code)) + references + b"\0" + variable


def _variable(tpdu: bytes, code: int, wanted: str, section: str) -> bytes:
    """Check the fixed part and return what follows it."""
    if len(tpdu) < _FIXED:
        raise DecodeError(f"{len(tpdu)} bytes, at least {_FIXED} wanted", field="x224", section=section)
    if tpdu[0] != len(tpdu) - 1:
        raise DecodeError(
            f"the length byte says {tpdu[0]}, but {len(tpdu) - 1} bytes follow it in the TPKT frame",
            field="x224.LI",
            section=section,
        )
    if tpdu[1] & 0xF0 != code:
        found = _TPDUS.get(tpdu[1] & 0xF0, f"an unknown TPDU 0x{tpdu[1]:02X}")
        raise DecodeError(f"{found} where {wanted} is due", field="x224.code", offset=1, section=section)
    # References and options are ignored; a class other than 0 is not ([MS-RDPBCGR] 3.3.5.3.1).
    if tpdu[6] & 0xF0:
        raise DecodeError(f"X.224 class {tpdu[6] >> 4}, RDP has class 0", field="x224.class", offset=6, section=section)
    return tpdu[_FIXED:]

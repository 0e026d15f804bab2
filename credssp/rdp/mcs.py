"""How an RDP session begins and ends right after the login ([MS-RDPBCGR] 2.2.1.3, 2.2.2.3; T.125).

With HYBRID a server that takes the credentials stays silent until the client sends MCS Connect Initial, which it
answers at once. So a client that must know whether the login was accepted continues with it, and a server that has no
session to offer sends MCS Disconnect Provider Ultimatum before it closes: a bare close is a refusal.
"""

from __future__ import annotations

import struct
from typing import Final

from credssp.rdp.negotiation import Protocol
from credssp.rdp.reading import per_length

__all__ = ["PROVIDER_INITIATED", "USER_REQUESTED", "connect_initial"]

PROVIDER_INITIATED: Final = bytes.fromhex("0300000902f0802080")
"""Disconnect Provider Ultimatum of a server that ends the session (rn-provider-initiated)."""

USER_REQUESTED: Final = bytes.fromhex("0300000902f0802180")
"""Disconnect Provider Ultimatum of a client that leaves (rn-user-requested)."""

_DATA: Final = b"\x02\xf0\x80"
"""X.224 Data."""

_NAME: Final = 15
"""Characters of clientName, which ends with U+0000."""

# calledDomainSelector, callingDomainSelector, upwardFlag, and the target, minimum and maximum of the domain's
# parameters as in [MS-RDPBCGR] 4.1.3.
_DOMAIN: Final = bytes.fromhex(
    "040101 040101 0101ff"
    "301a 020122 020102 020100 020101 020100 020101 020300ffff 020102"
    "3019 020101 020101 020101 020101 020100 020101 02020420 020102"
    "3020 020300ffff 020300fc17 020300ffff 020101 020100 020101 020300ffff 020102"
)

# GCC: the object identifier of T.124, and of the Conference Create Request what comes before the user data.
_T124: Final = bytes.fromhex("0005 00147c0001")
_CREATE: Final = bytes.fromhex("0008 0010 0001c000 44756361")


def connect_initial(selected: Protocol, *, name: str = "") -> bytes:
    """Return MCS Connect Initial in X.224 and TPKT, with the Client Core and Security Data and nothing optional.

    Args:
        selected: serverSelectedProtocol, the protocol that was negotiated.
        name: clientName; its first 15 characters are sent.
    """
    data = _core_data(selected, name) + struct.pack("<HHII", 0xC002, 12, 0, 0)  # encryption is that of TLS
    create = _CREATE + per_length(len(data)) + data
    user_data = _T124 + per_length(len(create)) + create
    body = _DOMAIN + b"\x04\x82" + len(user_data).to_bytes(2, "big") + user_data
    mcs = b"\x7f\x65\x82" + len(body).to_bytes(2, "big") + body
    return b"\x03\x00" + (4 + len(_DATA) + len(mcs)).to_bytes(2, "big") + _DATA + mcs


def _core_data(selected: Protocol, name: str) -> bytes:
    """Return TS_UD_CS_CORE: 1024 x 768, US keyboard, with RNS_UD_CS_SUPPORT_ERRINFO_PDU."""
    client = name[:_NAME].encode("utf-16-le", "replace")[: 2 * _NAME].ljust(2 * _NAME + 2, b"\0")
    fields = struct.pack("<IHHHHII", 0x00080004, 1024, 768, 0xCA01, 0xAA03, 0x0409, 2600)
    keyboard = struct.pack("<III", 4, 0, 12) + bytes(64)
    colours = struct.pack("<HHIHHH", 0xCA01, 1, 0, 24, 7, 0x0001)
    rest = bytes(64) + b"\0\0" + struct.pack("<I", selected)
    core = fields + client + keyboard + colours + rest
    return struct.pack("<HH", 0xC001, 4 + len(core)) + core

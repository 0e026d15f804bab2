"""The client's first token tells what it speaks.

======================================= ================================================================
first bytes                             what it is
======================================= ================================================================
``NTLMSSP\\0``                           NTLM without SPNEGO (Windows when it has no Kerberos, FreeRDP 2)
``60 len`` SPNEGO's OID, or ``a0``      SPNEGO; ``a0`` where a client leaves the GSS-API framing away
``60 len`` Kerberos' OID                Kerberos without SPNEGO (rdesktop)
======================================= ================================================================

A client is answered in the form it chose. Lengths in the GSS-API framing are read in any form here, since rdesktop
writes them longer than need be; the mechanism itself judges the rest.
"""

from __future__ import annotations

from typing import Final

from credssp.errors import RemoteProtocolError
from credssp.mechanism_name import WireForm
from credssp.spnego.mech_types import OID
from credssp.wire.der import write_oid

__all__ = ["wire_form_of"]

_NTLMSSP: Final = b"NTLMSSP\0"
_SPNEGO: Final = write_oid(OID.SPNEGO)
_KERBEROS: Final = (write_oid(OID.KERBEROS), write_oid(OID.MS_KERBEROS))


def wire_form_of(token: bytes) -> WireForm:
    """Tell from a client's first token how its tokens look on the wire.

    Raises:
        RemoteProtocolError: it begins like none of them.
    """
    if token.startswith(_NTLMSSP):
        return "ntlm"
    if token[:1] == b"\x60":
        oid_at = 2 + (token[1] & 0x7F if len(token) > 1 and token[1] & 0x80 else 0)
        if token.startswith(_SPNEGO, oid_at):
            return "spnego"
        if token.startswith(_KERBEROS, oid_at):
            return "kerberos"
        raise RemoteProtocolError(
            "the first token has the GSS-API framing of a mechanism that is neither SPNEGO nor Kerberos",
            section="[MS-CSSP] 2.2.1.1",
        )
    if token[:1] == b"\xa0":
        return "spnego"
    seen = f"begins with 0x{token[0]:02X}" if token else "is empty"
    raise RemoteProtocolError(
        f"the first token {seen}; SPNEGO begins with 0x60 or 0xA0, NTLM with NTLMSSP, Kerberos with 0x60",
        section="[MS-CSSP] 2.2.1.1",
    )

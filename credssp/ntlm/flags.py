"""NegotiateFlags ([MS-NLMP] 2.2.2.5).

Plain integers: `enum.Flag` arithmetic costs a microsecond per operation, and a login does a dozen.
"""

from __future__ import annotations

from typing import Final

NTLMSSP_NEGOTIATE_UNICODE: Final = 0x00000001
NTLMSSP_NEGOTIATE_OEM: Final = 0x00000002
NTLMSSP_REQUEST_TARGET: Final = 0x00000004
NTLMSSP_NEGOTIATE_SIGN: Final = 0x00000010
NTLMSSP_NEGOTIATE_SEAL: Final = 0x00000020
NTLMSSP_NEGOTIATE_DATAGRAM: Final = 0x00000040
NTLMSSP_NEGOTIATE_LM_KEY: Final = 0x00000080
NTLMSSP_NEGOTIATE_NTLM: Final = 0x00000200
NTLMSSP_NEGOTIATE_ANONYMOUS: Final = 0x00000800
NTLMSSP_NEGOTIATE_OEM_DOMAIN_SUPPLIED: Final = 0x00001000
NTLMSSP_NEGOTIATE_OEM_WORKSTATION_SUPPLIED: Final = 0x00002000
NTLMSSP_NEGOTIATE_ALWAYS_SIGN: Final = 0x00008000
NTLMSSP_TARGET_TYPE_DOMAIN: Final = 0x00010000
NTLMSSP_TARGET_TYPE_SERVER: Final = 0x00020000
NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY: Final = 0x00080000
NTLMSSP_NEGOTIATE_IDENTIFY: Final = 0x00100000
NTLMSSP_REQUEST_NON_NT_SESSION_KEY: Final = 0x00400000
NTLMSSP_NEGOTIATE_TARGET_INFO: Final = 0x00800000
NTLMSSP_NEGOTIATE_VERSION: Final = 0x02000000
NTLMSSP_NEGOTIATE_128: Final = 0x20000000
NTLMSSP_NEGOTIATE_KEY_EXCH: Final = 0x40000000
NTLMSSP_NEGOTIATE_56: Final = 0x80000000

_NAMES: Final = {
    number: name.removeprefix("NTLMSSP_").removeprefix("NEGOTIATE_")
    for name, number in tuple(globals().items())
    if name.startswith("NTLMSSP_")
}


def flag_names(flags: int) -> tuple[str, ...]:
    """Return the names of the bits set, lowest first; a bit without a name as its number."""
    return tuple(_NAMES.get(1 << bit, f"0x{1 << bit:08X}") for bit in range(32) if flags >> bit & 1)

"""Mechanisms by their object identifiers, and MechTypeList (RFC 4178 4.1, [MS-SPNG] 2.2)."""

from __future__ import annotations

import functools
from typing import Final

from credssp.wire.der import Reader, Span, decode_oid, write_oid, write_sequence

__all__ = [
    "MECHANISM_NAMES",
    "OID",
    "SPNEGO_OID",
    "encode_mech_types",
    "mechanism_of",
    "oid_tlv",
    "read_oid",
]


class OID:
    """Object identifiers of the mechanisms."""

    SPNEGO: Final = "1.3.6.1.5.5.2"
    NTLM: Final = "1.3.6.1.4.1.311.2.2.10"
    KERBEROS: Final = "1.2.840.113554.1.2.2"
    MS_KERBEROS: Final = "1.2.840.48018.1.2.2"
    """Kerberos through a historic 16-bit truncation; Windows lists it before the right one ([MS-SPNG] <9>)."""
    KERBEROS_USER_TO_USER: Final = "1.2.840.113554.1.2.2.3"
    NEGOEX: Final = "1.3.6.1.4.1.311.2.2.30"


MECHANISM_NAMES: Final = {
    OID.SPNEGO: "SPNEGO",
    OID.NTLM: "NTLM",
    OID.KERBEROS: "Kerberos",
    OID.MS_KERBEROS: "Kerberos (Microsoft OID)",
    OID.KERBEROS_USER_TO_USER: "Kerberos user-to-user",
    OID.NEGOEX: "NEGOEX",
}
"""Names for people; an OID that is not listed here is shown as it is."""

SPNEGO_OID: Final = write_oid(OID.SPNEGO)
"""The DER of SPNEGO's own identifier, as it is in the GSS-API framing."""

# The mechanism lists and OIDs we send are few and always the same.
_OID_TLV: Final = {oid: write_oid(oid) for oid in MECHANISM_NAMES}
_OID_BY_CONTENTS: Final = {tlv[2:]: oid for oid, tlv in _OID_TLV.items()}


def mechanism_of(oid: str) -> str:
    """Return the name in `credssp.mechanism.MechanismName` that the OID stands for, or an empty string."""
    if oid == OID.NTLM:
        return "ntlm"
    return "kerberos" if oid in (OID.KERBEROS, OID.MS_KERBEROS) else ""


def oid_tlv(oid: str) -> bytes:
    """Return the DER of an identifier given in dotted form."""
    return _OID_TLV.get(oid) or write_oid(oid)


@functools.lru_cache(maxsize=16)
def encode_mech_types(mech_types: tuple[str, ...]) -> bytes:
    """Write MechTypeList: what mechListMIC is made over, the SEQUENCE without the [0] around it (RFC 4178 5)."""
    return write_sequence(*map(oid_tlv, mech_types))


def read_oid(reader: Reader, contents: Span, field: str) -> str:
    """Return the dotted form of the identifier with these contents. Raises DecodeError."""
    octets = reader.data[contents[0] : contents[1]]
    # The known ones are looked up whole: that is the hot path, and DER has one encoding for each.
    known = _OID_BY_CONTENTS.get(octets)
    if known is not None:
        return known
    try:
        return decode_oid(octets)
    except ValueError as problem:
        message = str(problem)
    raise reader.error(message, field, contents[0])

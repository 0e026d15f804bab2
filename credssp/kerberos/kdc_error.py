"""Why a KDC refuses an account: the NTSTATUS in the e-data of its KRB-ERROR ([MS-KILE] 2.2.1, 2.2.2).

For a locked, a disabled and an expired account, and outside of logon hours, the code of a KRB-ERROR is the same
(KDC_ERR_CLIENT_REVOKED). The NTSTATUS says which it is. Windows sends it as KERB-ERROR-DATA, Samba (4.17) as an element
of METHOD-DATA that looks the same::

    KERB-ERROR-DATA ::= SEQUENCE { data-type [1] INTEGER (3), data-value [2] OCTET STRING }
    KERB_EXT_ERROR: status, reserved, flags; 4 bytes each, little endian

A KRB-ERROR is not authenticated, neither its code nor this.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from credssp.errors import CredSSPError
from credssp.status import NTStatus
from credssp.wire.der import Reader, Span, Tag

__all__ = ["KDCReason", "read_reason"]

_SECTION: Final = "[MS-KILE] 2.2.1"
_EXTENDED: Final = 3  # KERB_ERR_TYPE_EXTENDED, and PA-PW-SALT
_SIZE: Final = 12
_MAX_ELEMENTS: Final = 32
_SEQUENCE: Final = bytes([Tag.SEQUENCE])

_REFUSALS: Final = frozenset(
    {
        NTStatus.STATUS_ACCOUNT_RESTRICTION,
        NTStatus.STATUS_INVALID_LOGON_HOURS,
        NTStatus.STATUS_INVALID_WORKSTATION,
        NTStatus.STATUS_PASSWORD_EXPIRED,
        NTStatus.STATUS_ACCOUNT_DISABLED,
        NTStatus.STATUS_LOGON_TYPE_NOT_GRANTED,
        NTStatus.STATUS_ACCOUNT_EXPIRED,
        NTStatus.STATUS_NOLOGON_INTERDOMAIN_TRUST_ACCOUNT,
        NTStatus.STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT,
        NTStatus.STATUS_NOLOGON_SERVER_TRUST_ACCOUNT,
        NTStatus.STATUS_PASSWORD_MUST_CHANGE,
        NTStatus.STATUS_ACCOUNT_LOCKED_OUT,
        NTStatus.STATUS_SMARTCARD_LOGON_REQUIRED,
        NTStatus.STATUS_AUTHENTICATION_FIREWALL_FAILED,
    }
)
"""What is taken from there: reasons why an account that exists may not log on."""


class KDCReason(NamedTuple):
    """What e-data says.

    Attributes:
        ntstatus: why the account may not log on; None where it does not say.
        has_method_data: whether it lists ways of preauthentication.
    """

    ntstatus: NTStatus | None = None
    has_method_data: bool = False


def read_reason(e_data: bytes) -> KDCReason:
    """Read the e-data of a KRB-ERROR. What does not decode says nothing."""
    reader = Reader(e_data, _SECTION)
    try:
        start, stop = reader.only(reader.whole, Tag.SEQUENCE, "e-data")
        if e_data[start : start + 1] != _SEQUENCE:
            return KDCReason(_ntstatus(reader, (start, stop)))
        elements = reader.elements((start, stop), Tag.SEQUENCE, "METHOD-DATA", limit=_MAX_ELEMENTS)
        reasons = [_ntstatus(reader, element) for element in elements]
    except CredSSPError:
        return KDCReason()
    return KDCReason(next(filter(None, reasons), None), has_method_data=True)


def _ntstatus(reader: Reader, contents: Span) -> NTStatus | None:
    """Return the reason in a KERB-ERROR-DATA, or in an element of METHOD-DATA (RFC 4120 5.2.7)."""
    _, kind, value = reader.fields(contents, ("", "data-type", "data-value"), "KERB-ERROR-DATA")
    if reader.integer(kind, "data-type") != _EXTENDED or value is None:
        return None
    extended = reader.octet_string(value, "data-value")
    if len(extended) != _SIZE:
        return None
    number = int.from_bytes(extended[:4], "little")
    return next((reason for reason in _REFUSALS if reason == number), None)

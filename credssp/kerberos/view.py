"""What can be read of Kerberos tokens without keys: message types, realms, services, encryption types, errors.

RFC 4120 5.2, 5.4.2, 5.5.1, 5.9.1; RFC 4121 4.1 and 4.2 for the framing. Read with pyasn1's BER decoder without a
schema: what is wanted is picked out by tag, and a token that is odd shows less instead of failing.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["kerberos_fields", "kerberos_name"]

_MECHANISMS: Final = (bytes.fromhex("06092a864886f712010202"), bytes.fromhex("06092a864882f712010202"))
_USER_TO_USER: Final = bytes.fromhex("060a2a864886f71201020203")
_TOKENS: Final = {
    b"\x01\x00": "AP-REQ",
    b"\x02\x00": "AP-REP",
    b"\x03\x00": "KRB-ERROR",
    b"\x04\x00": "TGT-REQ",
    b"\x04\x01": "TGT-REP",
    b"\x04\x04": "MIC token",
    b"\x05\x04": "Wrap token",
}
_TAGS: Final = {0x6E: "AP-REQ", 0x6F: "AP-REP", 0x7E: "KRB-ERROR"}

_MAX_SIZE: Final = 65536
_ETYPES: Final = {
    3: "des-cbc-md5",
    17: "aes128-cts-hmac-sha1-96",
    18: "aes256-cts-hmac-sha1-96",
    19: "aes128-cts-hmac-sha256-128",
    20: "aes256-cts-hmac-sha384-192",
    23: "rc4-hmac",
}
_ERRORS: Final = {
    6: "KDC_ERR_C_PRINCIPAL_UNKNOWN",
    7: "KDC_ERR_S_PRINCIPAL_UNKNOWN",
    14: "KDC_ERR_ETYPE_NOSUPP",
    18: "KDC_ERR_CLIENT_REVOKED",
    24: "KDC_ERR_PREAUTH_FAILED",
    31: "KRB_AP_ERR_BAD_INTEGRITY",
    32: "KRB_AP_ERR_TKT_EXPIRED",
    33: "KRB_AP_ERR_TKT_NYV",
    34: "KRB_AP_ERR_REPEAT",
    35: "KRB_AP_ERR_NOT_US",
    36: "KRB_AP_ERR_BADMATCH",
    37: "KRB_AP_ERR_SKEW",
    41: "KRB_AP_ERR_MODIFIED",
    45: "KRB_AP_ERR_NOKEY",
    46: "KRB_AP_ERR_MUT_FAIL",
    60: "KRB_ERR_GENERIC",
}


def kerberos_name(data: bytes) -> str:
    """Return what kind of Kerberos token this is, such as ``Kerberos AP-REQ``; an empty string for other tokens."""
    inner = _unframed(data)
    if inner is not None:
        return f"Kerberos {_TOKENS.get(inner[:2], 'token')}"
    return f"Kerberos {_TAGS[data[0]]}" if data and data[0] in _TAGS else ""


def _unframed(data: bytes) -> bytes | None:
    """Return what follows the GSS-API framing and the mechanism's OID, or None."""
    if data[:1] != b"\x60":
        return None
    start = 2 + (data[1] & 0x7F if len(data) > 1 and data[1] & 0x80 else 0)
    for oid in (*_MECHANISMS, _USER_TO_USER):
        if data.startswith(oid, start):
            return data[start + len(oid) :]
    return None


def kerberos_fields(data: bytes) -> dict[str, Any]:
    """Return what the token says in clear; an empty mapping where nothing can be read."""
    inner = _unframed(data)
    message = data if inner is None else inner[2:]
    if not message or message[0] not in _TAGS or len(message) > _MAX_SIZE:
        return {}
    from pyasn1.codec.ber import decoder
    from pyasn1.error import PyAsn1Error

    try:
        value, _ = decoder.decode(message)
        members = _members(value)
        return _READERS[message[0]](members)
    except (PyAsn1Error, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        # pyasn1 has no single exception for input that is no BER; nothing here is worth failing for.
        return {"remark": "the token does not decode"}


def _members(value: Any) -> dict[int, Any]:
    """Return the members of a SEQUENCE by their context tags."""
    return {int(member.tagSet.superTags[-1].tagId): member for member in _items(value)}


def _items(value: Any) -> list[Any]:
    """Return the components of a SEQUENCE; to a decoder without schema it is a SEQUENCE OF where they are alike."""
    return list(value.values() if hasattr(value, "values") else value)


def _ap_req(members: dict[int, Any]) -> dict[str, Any]:
    ticket = _members(members[3])
    tree: dict[str, Any] = {"ticketRealm": str(ticket[1]), "ticketService": _principal(ticket[2])}
    options = members[2].asOctets()
    # RFC 4120 5.5.1: bit 2 from the left of the first byte.
    tree["mutualRequired"] = bool(options and options[0] & 0x20)
    tree["ticketEncryption"] = _etype(ticket[3])
    tree["authenticatorEncryption"] = _etype(members[4])
    return tree


def _ap_rep(members: dict[int, Any]) -> dict[str, Any]:
    return {"encryption": _etype(members[2])}


def _krb_error(members: dict[int, Any]) -> dict[str, Any]:
    code = int(members[6])
    tree: dict[str, Any] = {"errorCode": f"{_ERRORS.get(code, 'error')} ({code})"}
    if 9 in members and 10 in members:
        tree["service"] = f"{_principal(members[10])}@{members[9]}"
    return tree


_READERS: Final = {0x6E: _ap_req, 0x6F: _ap_rep, 0x7E: _krb_error}


def _principal(value: Any) -> str:
    return "/".join(str(part) for part in _items(_members(value)[1]))


def _etype(value: Any) -> str:
    number = int(_members(value)[0])
    return f"{_ETYPES.get(number, 'etype')} ({number})"

"""Credentials as the packed buffers of Windows (ntsecapi.h, sspi.h; 64-bit layout).

Pointers in a packed buffer are offsets from its start. Three layouts:

* KERB_INTERACTIVE_LOGON, a password, and KERB_CERTIFICATE_LOGON, a smart card's PIN: SECPKG_ATTR_CREDS_2;
* SEC_WINNT_AUTH_IDENTITY_EX2, which is one block by itself: SECPKG_ATTR_CREDS and SECBUFFER_PKG_PARAMS. Its password is
  in a block of its own, SEC_WINNT_AUTH_PACKED_CREDENTIALS: a header that names the kind of secret by a GUID, then the
  secret. Offsets in it count from its own start.
"""

from __future__ import annotations

import struct
import uuid
from types import MappingProxyType
from typing import Final

from credssp.credentials import PasswordCredentials, SmartCardCredentials
from credssp.next_step import NextStep
from credssp.secret import Secret
from credssp.sspi.errors import SSPIError, bad_token
from credssp.status import SecurityStatus

__all__ = [
    "SEC_WINNT_AUTH_DATA_TYPE_PASSWORD",
    "KerbCertificateLogon",
    "KerbInteractiveLogon",
    "pack_auth_identity_ex2",
    "pack_logon",
    "unpack_auth_identity_ex2",
    "unpack_logon",
]

KerbInteractiveLogon: Final = 2
KerbCertificateLogon: Final = 13
"""KERB_LOGON_SUBMIT_TYPE."""

_UNICODE_STRING: Final = struct.Struct("<HH4xQ")
_TYPE: Final = struct.Struct("<I4x")
_CERTIFICATE_TAIL: Final = struct.Struct("<IIQ")  # Flags, CspDataLength, CspData
_CSP: Final = struct.Struct("<IIQIIIIII")  # KERB_SMARTCARD_CSP_INFO up to bBuffer
_EX2: Final = struct.Struct("<IH2xIIH2xIH2xIH2xIIH2x")
_EX2_VERSION: Final = 0x201
_UNICODE: Final = 2
_ENCRYPTED: Final = 0x10 | 0x20 | 0x40 | 0x80
"""SEC_WINNT_AUTH_IDENTITY_FLAGS_..._ENCRYPTED and _PROTECTED: only the Windows that encrypted it can read it."""
_PACKED: Final = struct.Struct("<HH16sIH2x")  # SEC_WINNT_AUTH_PACKED_CREDENTIALS up to the secret
_LARGEST: Final = 0xFFFF
"""Lengths of the structure are 16-bit numbers of bytes."""

SEC_WINNT_AUTH_DATA_TYPE_PASSWORD: Final = uuid.UUID("28bfc32f-10f6-4738-98d1-1ac061df716a")
_KINDS: Final = MappingProxyType(
    {
        uuid.UUID("235f69ad-73fb-4dbc-8203-0629e739339b"): "a certificate",
        uuid.UUID("68fd9879-079c-4dfe-8281-578aadc1c100"): "a smart card",
        uuid.UUID("d587aae8-f78f-4455-a112-c934beee7ce1"): "a keytab",
    }
)


def _utf16(text: str | None) -> bytes:
    return (text or "").encode("utf-16-le", "surrogatepass")


def _text(data: bytes, offset: int, size: int) -> str:
    if offset + size > len(data) or size % 2:
        raise _bad("a string lies outside of the buffer")
    return data[offset : offset + size].decode("utf-16-le", "surrogatepass")


def _octets(data: object) -> bytes:
    """Return a packed buffer as bytes; a number is not a size here."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise _bad(f"bytes belong here, not a {type(data).__name__}")
    return bytes(data)


def _bad(message: str) -> Exception:
    return bad_token("packed credentials", message)


def pack_logon(credentials: PasswordCredentials | SmartCardCredentials) -> bytearray:
    """Return a packed KERB_INTERACTIVE_LOGON or KERB_CERTIFICATE_LOGON."""
    if isinstance(credentials, PasswordCredentials):
        strings = [credentials.domain, credentials.username, credentials.password.reveal()]
        csp = b""
        size = _TYPE.size + 3 * _UNICODE_STRING.size
        kind = KerbInteractiveLogon
    else:
        strings = [credentials.domain_hint or "", credentials.user_hint or "", credentials.pin.reveal()]
        csp = _csp_info(credentials)
        size = _TYPE.size + 3 * _UNICODE_STRING.size + _CERTIFICATE_TAIL.size
        kind = KerbCertificateLogon
    head = bytearray(_TYPE.pack(kind))
    tail = bytearray()
    for text in map(_utf16, strings):
        head += _UNICODE_STRING.pack(len(text), len(text), size + len(tail))
        tail += text
    if csp:
        head += _CERTIFICATE_TAIL.pack(0, len(csp), size + len(tail))
        tail += csp
    return head + tail


def _csp_info(credentials: SmartCardCredentials) -> bytes:
    offsets, tail = [], b""
    for name in (
        credentials.card_name,
        credentials.reader_name,
        credentials.container_name,
        credentials.csp_name,
    ):
        offsets.append(len(tail) // 2)
        tail += _utf16(name) + b"\0\0"
    return _CSP.pack(_CSP.size + len(tail), 1, 0, 0, credentials.key_spec, *offsets) + tail


def unpack_logon(data: bytes | bytearray) -> PasswordCredentials | SmartCardCredentials:
    """Read what `pack_logon` writes.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is neither.
    """
    data = _octets(data)
    try:
        (kind,) = _TYPE.unpack_from(data)
        at = _TYPE.size
        strings = []
        for _ in range(3):
            length, _, offset = _UNICODE_STRING.unpack_from(data, at)
            strings.append(_text(data, offset, length))
            at += _UNICODE_STRING.size
        if kind == KerbInteractiveLogon:
            return PasswordCredentials.received(strings[1], Secret(strings[2]), strings[0])
        if kind != KerbCertificateLogon:
            raise _bad(f"MessageType {kind} is neither KerbInteractiveLogon nor KerbCertificateLogon")
        _, size, offset = _CERTIFICATE_TAIL.unpack_from(data, at)
        csp = data[offset : offset + size]
        _, _, _, _, key_spec, *starts = _CSP.unpack_from(csp)
    except struct.error:
        raise _bad("the buffer is too short") from None
    names = []
    for start in starts:
        rest = csp[_CSP.size + 2 * start :].decode("utf-16-le", "replace")
        names.append(rest.partition("\0")[0] or None)
    return SmartCardCredentials(
        pin=Secret(strings[2]),
        key_spec=key_spec,
        card_name=names[0],
        reader_name=names[1],
        container_name=names[2],
        csp_name=names[3],
        user_hint=strings[1] or None,
        domain_hint=strings[0] or None,
    )


def pack_auth_identity_ex2(credentials: PasswordCredentials, package_list: str = "") -> bytearray:
    """Return a SEC_WINNT_AUTH_IDENTITY_EX2.

    Raises:
        SSPIError: SEC_E_CANNOT_PACK, a string is longer than the structure can hold.
    """
    secret = _utf16(credentials.password.reveal())
    parts = [_utf16(credentials.username), _utf16(credentials.domain)]
    packages = _utf16(package_list)
    if max(map(len, [*parts, packages])) > _LARGEST or _PACKED.size + len(secret) > _LARGEST:
        raise SSPIError(
            "a SEC_WINNT_AUTH_IDENTITY_EX2 holds strings of up to 64 KiB",
            status=SecurityStatus.SEC_E_CANNOT_PACK,
            advice=NextStep.SSPI_ARGUMENT,
        )
    kind = SEC_WINNT_AUTH_DATA_TYPE_PASSWORD.bytes_le
    size = _PACKED.size
    parts.append(_PACKED.pack(size, size + len(secret), kind, size, len(secret)) + secret)
    fields: list[int] = []
    at = _EX2.size
    for part in parts:
        fields += [at, len(part)]
        at += len(part)
    total = at + len(packages)
    head = _EX2.pack(_EX2_VERSION, _EX2.size, total, *fields, _UNICODE, at, len(packages))
    return bytearray(head + b"".join(parts) + packages)


def unpack_auth_identity_ex2(data: bytes | bytearray) -> tuple[PasswordCredentials, str]:
    """Read a SEC_WINNT_AUTH_IDENTITY_EX2; returns the credentials and the list of packages.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is not one.
    """
    data = _octets(data)
    try:
        version, _, total, *fields = _EX2.unpack_from(data)
    except struct.error:
        raise _bad("the buffer is too short for a SEC_WINNT_AUTH_IDENTITY_EX2") from None
    if version != _EX2_VERSION or total > len(data):
        raise _bad("this is not a SEC_WINNT_AUTH_IDENTITY_EX2")
    user, user_size, domain, domain_size, packed, packed_size, flags, packages, packages_size = fields
    if flags & _ENCRYPTED:
        raise _bad("the SEC_WINNT_AUTH_IDENTITY_EX2 is encrypted")
    if packed + packed_size > len(data):
        raise _bad("the packed credentials lie outside of the buffer")
    secret = _unpack_password(data[packed : packed + packed_size]) if packed_size else ""
    credentials = PasswordCredentials.received(
        _text(data, user, user_size), Secret(secret), _text(data, domain, domain_size)
    )
    return credentials, _text(data, packages, packages_size)


def _unpack_password(data: bytes) -> str:
    """Return the password in a SEC_WINNT_AUTH_PACKED_CREDENTIALS."""
    try:
        header, size, kind, offset, length = _PACKED.unpack_from(data)
    except struct.error:
        raise _bad("the buffer is too short for a SEC_WINNT_AUTH_PACKED_CREDENTIALS") from None
    if header < _PACKED.size or not header <= size <= len(data) or offset < header:
        raise _bad("this is not a SEC_WINNT_AUTH_PACKED_CREDENTIALS")
    guid = uuid.UUID(bytes_le=kind)
    if guid != SEC_WINNT_AUTH_DATA_TYPE_PASSWORD:
        raise _bad(f"the SEC_WINNT_AUTH_PACKED_CREDENTIALS hold {_KINDS.get(guid, f'{{{guid}}}')}, not a password")
    return _text(data[:size], offset, length)

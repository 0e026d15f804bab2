"""A ClientHello that no OpenSSL of today would send, and what a server answers: TLS 1.0, 1.1 and weak ciphers.

To find out whether a server still takes them, one has to offer them, and the OpenSSL of this machine may have been
built without. So the message is written here and the answer is read up to the cipher suite; the connection ends there,
and no key is ever agreed on (RFC 5246 7.4.1.2, 7.4.1.3; RFC 8996).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from credssp.errors import DecodeError, RemoteProtocolError
from credssp.tls.alerts import ALERTS

__all__ = ["OLD_SUITES", "TLS_1_0", "TLS_1_1", "TLS_1_2", "WEAK_SUITES", "HelloAnswer", "client_hello", "read_answer"]

TLS_1_0: Final = 0x0301
TLS_1_1: Final = 0x0302
TLS_1_2: Final = 0x0303

_VERSIONS: Final = {0x0300: "SSLv3", TLS_1_0: "TLSv1", TLS_1_1: "TLSv1.1", TLS_1_2: "TLSv1.2"}

WEAK_SUITES: Final = {
    0x0001: "TLS_RSA_WITH_NULL_MD5",
    0x0002: "TLS_RSA_WITH_NULL_SHA",
    0x003B: "TLS_RSA_WITH_NULL_SHA256",
    0xC006: "TLS_ECDHE_ECDSA_WITH_NULL_SHA",
    0xC010: "TLS_ECDHE_RSA_WITH_NULL_SHA",
    0x0003: "TLS_RSA_EXPORT_WITH_RC4_40_MD5",
    0x0006: "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5",
    0x0008: "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA",
    0x0009: "TLS_RSA_WITH_DES_CBC_SHA",
    0x0015: "TLS_DHE_RSA_WITH_DES_CBC_SHA",
    0x0018: "TLS_DH_anon_WITH_RC4_128_MD5",
    0x001B: "TLS_DH_anon_WITH_3DES_EDE_CBC_SHA",
    0x0034: "TLS_DH_anon_WITH_AES_128_CBC_SHA",
    0x003A: "TLS_DH_anon_WITH_AES_256_CBC_SHA",
    0x00A6: "TLS_DH_anon_WITH_AES_128_GCM_SHA256",
    0x00A7: "TLS_DH_anon_WITH_AES_256_GCM_SHA384",
    0xC018: "TLS_ECDH_anon_WITH_AES_128_CBC_SHA",
    0xC019: "TLS_ECDH_anon_WITH_AES_256_CBC_SHA",
    0x0004: "TLS_RSA_WITH_RC4_128_MD5",
    0x0005: "TLS_RSA_WITH_RC4_128_SHA",
    0xC007: "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    0xC011: "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    0x000A: "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    0x0016: "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0xC008: "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
    0xC012: "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
}
"""Names in IANA's registry, by number: without encryption or authentication, for export, DES, RC4, 3DES."""

OLD_SUITES: Final = {
    0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    0x0039: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
    0x0033: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
    0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA",
    0xC012: "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0x000A: "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    0x0005: "TLS_RSA_WITH_RC4_128_SHA",
    0x0004: "TLS_RSA_WITH_RC4_128_MD5",
}
"""What servers with TLS 1.0 and 1.1 take."""

_SCSV: Final = 0x00FF  # secure renegotiation (RFC 5746), which some servers demand
_ALERT, _HANDSHAKE, _CLIENT_HELLO, _SERVER_HELLO = 21, 22, 1, 2
_HEADER: Final = 5
_GROUPS: Final = (29, 23, 24, 25)  # x25519, secp256r1, secp384r1, secp521r1
_SIGNATURES: Final = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)
_MAX_RECORD: Final = 0x4000 + 256
_ALERT_NAMES: Final = {number: name for name, number in ALERTS.items()}


@dataclass(frozen=True, slots=True)
class HelloAnswer:
    """What a server chose.

    Attributes:
        version: ``TLSv1``, ``TLSv1.1`` or ``TLSv1.2``.
        cipher: the cipher suite's name in IANA's registry.
    """

    version: str
    cipher: str


def client_hello(version: int, suites: Sequence[int]) -> bytes:
    """Return a ClientHello in a record.

    Args:
        version: the highest version that is offered, `TLS_1_0` to `TLS_1_2`.
        suites: numbers of the cipher suites.
    """
    numbers = [*suites, _SCSV]
    extensions = _vectors(10, _GROUPS) + struct.pack(">HHBB", 11, 2, 1, 0)  # supported_groups, ec_point_formats
    if version == TLS_1_2:
        extensions += _vectors(13, _SIGNATURES)  # signature_algorithms
    body = struct.pack(">H", version) + os.urandom(32) + b"\0"
    body += struct.pack(f">H{len(numbers)}H", 2 * len(numbers), *numbers) + b"\x01\0"
    body += struct.pack(">H", len(extensions)) + extensions
    message = bytes((_CLIENT_HELLO,)) + len(body).to_bytes(3, "big") + body
    # 3.1 in the record of a first message, whatever is offered (RFC 5246 E.1).
    return struct.pack(">BHH", _HANDSHAKE, TLS_1_0, len(message)) + message


def _vectors(kind: int, values: Sequence[int]) -> bytes:
    return struct.pack(f">HHH{len(values)}H", kind, 2 * len(values) + 2, 2 * len(values), *values)


def read_answer(data: bytes) -> HelloAnswer | None:
    """Read what a server answers; None where more of it has to come.

    Raises:
        RemoteProtocolError: it refused.
        DecodeError: this is not TLS, or not a ServerHello.
    """
    if len(data) < _HEADER:
        return None
    kind, _, size = struct.unpack_from(">BHH", data)
    if kind not in (_ALERT, _HANDSHAKE) or data[1] != 3 or not 0 < size <= _MAX_RECORD:
        raise _broken("not a TLS record", 0)
    if kind == _ALERT:
        if len(data) < _HEADER + 2:
            return None
        number = data[_HEADER + 1]
        raise RemoteProtocolError(f"the server refused with TLS alert {number} ({_ALERT_NAMES.get(number, 'unknown')})")
    # Version, random and the length of the session id come first, then that id and the cipher suite.
    fixed = _HEADER + 4 + 2 + 32
    if len(data) <= fixed:
        return None
    if data[_HEADER] != _SERVER_HELLO:
        raise _broken(f"handshake message {data[_HEADER]} where a ServerHello belongs", _HEADER)
    at = fixed + 1 + data[fixed]
    if data[fixed] > 32:
        raise _broken("a session id of more than 32 bytes", fixed)
    if len(data) < at + 2:
        return None
    version, suite = int.from_bytes(data[_HEADER + 4 : _HEADER + 6], "big"), int.from_bytes(data[at : at + 2], "big")
    name = OLD_SUITES.get(suite) or WEAK_SUITES.get(suite) or f"0x{suite:04X}"
    return HelloAnswer(_VERSIONS.get(version, f"0x{version:04X}"), name)


def _broken(what: str, offset: int) -> DecodeError:
    return DecodeError(what, field="ServerHello", offset=offset, section="RFC 5246 7.4.1.3")

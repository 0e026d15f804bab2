"""A server's wish for a client certificate, and the issuers it names.

Schannel answers such a wish with SEC_I_INCOMPLETE_CREDENTIALS and lets the caller look at the issuers
(SECPKG_ATTR_ISSUER_LIST_EX) before the handshake goes on. Python's ssl has neither a callback for it nor the list:

* TLS 1.2: CertificateRequest travels in clear text. `find_in_clear` looks into the bytes before OpenSSL sees them.
* TLS 1.3: it is encrypted. `ssl.SSLContext._msg_callback`, there since Python 3.8 for debugging, shows handshake
  messages as OpenSSL reads them. `watch_requests` keeps the CertificateRequest of every connection of a context.
  Without that name (another Python implementation) nothing is noted, and the handshake goes on without a certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Final

from credssp.tls.record import HEADER_SIZE, measure_record

__all__ = ["CertificateRequest", "find_in_clear", "is_settled", "take_request", "watch_requests"]

_HANDSHAKE: Final = 22
_CERTIFICATE_REQUEST: Final = 13
_CERTIFICATE_AUTHORITIES: Final = 47  # the extension, RFC 8446 section 4.2.4

_CERTIFICATE: Final = 11
_TELLING: Final = (_CERTIFICATE_REQUEST, _CERTIFICATE)
_TLS13: Final = 0x0304

# The server's Certificate came, so CertificateRequest, whose place is in front of it, does not come any more.
_PASSED: Final = b""

# Where the callback leaves on the connection what it has noted, so that it goes with the connection.
_NOTED: Final = "_credssp_certificate_request"


class CertificateRequest:
    """CertificateRequest (RFC 5246 section 7.4.4, RFC 8446 section 4.3.2).

    Attributes:
        issuers: the distinguished names (DER) of the authorities that the server takes; empty for "any".
    """

    __slots__ = ("issuers",)

    def __init__(self, issuers: tuple[bytes, ...]) -> None:
        self.issuers = issuers

    def takes(self, authorities: Iterable[bytes]) -> bool:
        """Whether the server takes a certificate, by the names of the authorities of its chain (DER)."""
        return not self.issuers or not set(authorities).isdisjoint(self.issuers)

    @classmethod
    def parse(cls, body: bytes, *, tls13: bool) -> CertificateRequest:
        """Read the body of the message; what is not well formed counts as "any", OpenSSL refuses it in a moment."""
        try:
            names = _authorities13(body) if tls13 else _authorities12(body)
            return cls(tuple(_vectors(names)))
        except IndexError:
            return cls(())


def _vector(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """Return the vector whose length is in `size` bytes at `at`, and where it ends."""
    end = at + size + int.from_bytes(data[at : at + size], "big")
    if end > len(data) or at + size > len(data):
        raise IndexError
    return data[at + size : end], end


def _vectors(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        name, at = _vector(data, at, 2)
        found.append(name)
    return found


def _authorities12(body: bytes) -> bytes:
    _, at = _vector(body, 0, 1)  # certificate_types
    _, at = _vector(body, at, 2)  # supported_signature_algorithms
    return _vector(body, at, 2)[0]


def _authorities13(body: bytes) -> bytes:
    _, at = _vector(body, 0, 1)  # certificate_request_context
    extensions, _ = _vector(body, at, 2)
    at = 0
    while at < len(extensions):
        kind = int.from_bytes(extensions[at : at + 2], "big")
        content, at = _vector(extensions, at + 2, 2)
        if kind == _CERTIFICATE_AUTHORITIES:
            return _vector(content, 0, 2)[0]
    return b""


def find_in_clear(flight: bytes) -> CertificateRequest | None:
    """Look for a CertificateRequest in whole TLS records in clear text; None if there is none.

    Args:
        flight: the server's bytes before its ChangeCipherSpec. In TLS 1.3 nothing but ServerHello is clear.
    """
    messages = bytearray()
    at = 0
    while at < len(flight) and flight[at] == _HANDSHAKE:  # what follows anything else is encrypted
        size = measure_record(flight, at)
        if not size or at + size > len(flight):
            break
        messages += flight[at + HEADER_SIZE : at + size]
        at += size
    at = 0
    while at + 4 <= len(messages):
        end = at + 4 + int.from_bytes(messages[at + 1 : at + 4], "big")
        if messages[at] == _CERTIFICATE_REQUEST and end <= len(messages):
            return CertificateRequest.parse(bytes(messages[at + 4 : end]), tls13=False)
        at = end
    return None


def watch_requests(context: ssl.SSLContext) -> None:
    """Note the CertificateRequest that any connection of this context receives in TLS 1.3."""

    def note(
        connection: object, direction: str, version: int, content_type: int, message_type: int, data: bytes
    ) -> None:
        if (
            message_type in _TELLING
            and content_type == _HANDSHAKE
            and direction == "read"
            and version == _TLS13
            and isinstance(connection, ssl.SSLObject)
        ):
            if message_type == _CERTIFICATE_REQUEST:
                setattr(connection, _NOTED, bytes(data[4:]))
            elif not hasattr(connection, _NOTED):
                setattr(connection, _NOTED, _PASSED)

    # The property of ssl.SSLContext makes enums of the numbers, 30 times in a login; the one below it does not.
    for base in ssl.SSLContext.__mro__[1:]:
        if (below := vars(base).get("_msg_callback")) is not None:
            below.__set__(context, note)
            return


def take_request(connection: ssl.SSLObject) -> CertificateRequest | None:
    """Return, once, the CertificateRequest that was noted for a connection."""
    body: bytes = getattr(connection, _NOTED, _PASSED)
    if not body:
        return None
    setattr(connection, _NOTED, _PASSED)
    return CertificateRequest.parse(body, tls13=True)


def is_settled(connection: ssl.SSLObject) -> bool:
    """Whether no CertificateRequest of TLS 1.3 can come any more."""
    return hasattr(connection, _NOTED)

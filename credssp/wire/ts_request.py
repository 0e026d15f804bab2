"""TSRequest, the one message of the protocol ([MS-CSSP] 2.2.1)::

    TSRequest ::= SEQUENCE {
        version     [0] INTEGER,
        negoTokens  [1] NegoData     OPTIONAL,
        authInfo    [2] OCTET STRING OPTIONAL,
        pubKeyAuth  [3] OCTET STRING OPTIONAL,
        errorCode   [4] INTEGER      OPTIONAL,
        clientNonce [5] OCTET STRING OPTIONAL }

    NegoData ::= SEQUENCE OF SEQUENCE { negoToken [0] OCTET STRING }

Which members may occur together, which versions are welcome and how long clientNonce has to be is the engine's
business; here every well-formed message passes.
"""

from __future__ import annotations

import functools
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

from credssp._quick_init import quick_init
from credssp.errors import DecodeError, LocalProtocolError
from credssp.wire._show import show
from credssp.wire.der import (
    Member,
    Reader,
    Span,
    Tag,
    write_explicit,
    write_integer,
    write_member,
    write_sequence,
    write_tlv,
)
from credssp.wire.tolerant import MAX_MESSAGE_SIZE, Deviation, TolerantReader, check_size

__all__ = ["MAX_NEGO_TOKENS", "TSRequest"]

MAX_NEGO_TOKENS: Final = 16
"""Default limit of NegoData. Everybody sends one token and FreeRDP, pyspnego and we use the first; the rest is for
the conformance suite."""

# Tokens of NTLM have some hundred bytes, of Kerberos some thousand.
_USUAL_TOKEN: Final = 8192
_SECTION: Final = "[MS-CSSP] 2.2.1"
_MEMBERS: Final = (
    ("TSRequest.version", Tag.INTEGER),
    ("TSRequest.negoTokens", Tag.SEQUENCE),
    ("TSRequest.authInfo", Tag.OCTET_STRING),
    ("TSRequest.pubKeyAuth", Tag.OCTET_STRING),
    ("TSRequest.errorCode", Tag.INTEGER),
    ("TSRequest.clientNonce", Tag.OCTET_STRING),
)


@quick_init
@dataclass(frozen=True, slots=True, repr=False)
class TSRequest:
    """One message, in either direction.

    Attributes:
        version: the sender's highest version; any number from 0 up is read ([MS-CSSP] 2.2.1).
        nego_tokens: negoTokens, SPNEGO, NTLM or Kerberos tokens; an empty list is not the same as None.
        auth_info: authInfo, the encrypted TSCredentials.
        pub_key_auth: pubKeyAuth, the encrypted key or hash.
        error_code: errorCode, an NTSTATUS, 0 to 0xFFFFFFFF; on the wire it is a signed 32-bit number.
        client_nonce: clientNonce, 32 bytes if all is well.
        deviations: what `decode` had to forgive; does not count in comparisons and is not written.
    """

    version: int
    _: KW_ONLY
    nego_tokens: tuple[bytes, ...] | None = None
    auth_info: bytes | None = None
    pub_key_auth: bytes | None = None
    error_code: int | None = None
    client_nonce: bytes | None = None
    deviations: tuple[Deviation, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return show(self)

    def encode(self) -> bytes:
        """Write it as DER.

        Raises:
            LocalProtocolError: a number is out of range, or the message would be 16 MiB or more.
        """
        if self.version < 0:
            raise LocalProtocolError("TSRequest.version is not negative")
        members = [_version(self.version)]
        if self.nego_tokens is not None:
            items = [write_tlv(Tag.SEQUENCE, write_member(0, Tag.OCTET_STRING, token)) for token in self.nego_tokens]
            members.append(write_member(1, Tag.SEQUENCE, b"".join(items)))
        if self.auth_info is not None:
            members.append(write_member(2, Tag.OCTET_STRING, self.auth_info))
        if self.pub_key_auth is not None:
            members.append(write_member(3, Tag.OCTET_STRING, self.pub_key_auth))
        if self.error_code is not None:
            members.append(write_explicit(4, write_integer(_to_signed(self.error_code))))
        if self.client_nonce is not None:
            members.append(write_member(5, Tag.OCTET_STRING, self.client_nonce))
        return write_tlv(Tag.SEQUENCE, b"".join(members))

    @classmethod
    def decode(
        cls, data: bytes, *, max_size: int = MAX_MESSAGE_SIZE, max_nego_tokens: int = MAX_NEGO_TOKENS
    ) -> TSRequest:
        """Read one message that fills the bytes.

        Args:
            data: the bytes, such as `credssp.wire.framing.TSRequestBuffer` cuts them out.
            max_size: how many bytes there may be.
            max_nego_tokens: how many tokens negoTokens may have.

        Raises:
            DecodeError: this is not a TSRequest.
            LimitExceededError: there is too much of it; found before the tokens are read.
        """
        check_size(data, max_size, "TSRequest", _SECTION)
        octets = data if type(data) is bytes else bytes(data)  # slices of a bytearray would be bytearrays
        try:
            return _read(Reader(octets, _SECTION), max_nego_tokens)
        except DecodeError:
            reader = TolerantReader(octets, _SECTION)
        return _read(reader, max_nego_tokens)


@functools.lru_cache(maxsize=16)
def _version(number: int) -> bytes:
    return write_explicit(0, write_integer(number))


def _read(reader: Reader, max_nego_tokens: int) -> TSRequest:
    data = reader.data
    contents = reader.only((0, len(data)), Tag.SEQUENCE, "TSRequest")
    version, tokens, auth_info, pub_key_auth, error_code, nonce = reader.members(contents, _MEMBERS, "TSRequest")
    if version is None:
        version = reader.required(version, "TSRequest.version")  # raises
    number = reader.number(version, "TSRequest.version")
    if number < 0:
        raise reader.error("is negative", "TSRequest.version", version[0] - 2)  # at its tag
    code = None
    unsigned: tuple[Deviation, ...] = ()
    if error_code is not None:
        code, unsigned = _read_error_code(reader, error_code)
    nego_tokens = None if tokens is None else _read_nego_data(reader, tokens, max_nego_tokens)
    return TSRequest(
        number,
        nego_tokens=nego_tokens,
        auth_info=None if auth_info is None else data[auth_info[0] : auth_info[1]],
        pub_key_auth=None if pub_key_auth is None else data[pub_key_auth[0] : pub_key_auth[1]],
        error_code=code,
        client_nonce=None if nonce is None else data[nonce[0] : nonce[1]],
        deviations=reader.deviations + unsigned,
    )


def _read_nego_data(reader: Reader, span: Span, limit: int) -> tuple[bytes, ...]:
    # Every peer sends one token, and the bytes around one follow from the size: no need to look at each.
    start, stop = span
    around = _around_token(stop - start)
    if around and reader.data.startswith(around, start):
        return (reader.data[start + len(around) : stop],)
    tokens = []
    items = reader.elements(span, Tag.SEQUENCE, "TSRequest.negoTokens", limit=limit)
    for index, item in enumerate(items):
        path, member = _path_of(index)
        (token,) = reader.members(item, (member,), path)
        start, stop = reader.required(token, member[0])
        tokens.append(reader.data[start:stop])
    return tuple(tokens)


@functools.lru_cache(maxsize=128)
def _around_token(size: int) -> bytes:
    """Return what precedes a single token where NegoData has this many bytes; nothing where no token has that size."""
    for overhead in (6, 9, 12):  # with lengths of one, two and three bytes
        if overhead <= size <= _USUAL_TOKEN:
            token = bytes(size - overhead)
            data = write_sequence(write_member(0, Tag.OCTET_STRING, token))
            if len(data) == size:
                return data[:overhead]
    return b""


@functools.lru_cache(maxsize=MAX_NEGO_TOKENS)
def _path_of(index: int) -> tuple[str, Member]:
    path = f"TSRequest.negoTokens[{index}]"
    return path, (f"{path}.negoToken", Tag.OCTET_STRING)


def _read_error_code(reader: Reader, span: Span) -> tuple[int, tuple[Deviation, ...]]:
    """Read errorCode in both forms: ``02 04 c0 00 00 6d``, which all send, and ``02 05 00 c0 00 00 6d``."""
    path = "TSRequest.errorCode"
    code = reader.number(span, path)
    at = span[0] - 2  # its tag: a number has at most eight bytes, so its length has one
    if not -(1 << 31) <= code < 1 << 32:
        raise reader.error("has more than 32 bits", path, at)
    if code < 1 << 31:
        return code & 0xFFFFFFFF, ()
    # FreeRDP refuses this one: an NTSTATUS has 32 bits, so the number is meant to be signed.
    return code, (Deviation(path, reader.offset(at), "an NTSTATUS written unsigned, in five bytes"),)


def _to_signed(code: int) -> int:
    if not 0 <= code < 1 << 32:
        raise LocalProtocolError("TSRequest.error_code is an unsigned number of 32 bits")
    return code - (1 << 32) if code >> 31 else code

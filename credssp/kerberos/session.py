"""Per-message tokens of Kerberos with AES: Wrap and MIC tokens (RFC 4121 4.2), and every way to get them wrong.

A Wrap token is 16 bytes of header, then what was encrypted: the message, EC bytes of filler, and the header once
more with RRC zero; turned right by RRC bytes. Windows turns by RRC + EC ([MS-KILE] 3.4.5.4.1), which is the same only
where EC is zero.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Final, Literal

from credssp.errors import RemoteProtocolError
from credssp.kerberos import crypto
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.values import EncryptionKey

__all__ = ["KerberosSession", "WrapToken"]

_HEADER: Final = struct.Struct(">2sBBHHQ")
_WRAP: Final = b"\x05\x04"
_MIC: Final = b"\x04\x04"
_FILLER: Final = 0xFF
_NO_COUNTS: Final = 0xFFFF  # where a MIC token has no EC and RRC

SENT_BY_ACCEPTOR: Final = 0x01
SEALED: Final = 0x02
ACCEPTOR_SUBKEY: Final = 0x04


@dataclass(frozen=True, slots=True)
class WrapToken:
    """The header of a Wrap token.

    Attributes:
        flags: 1 sent by the acceptor, 2 sealed, 4 with the acceptor's subkey.
        ec: bytes of filler (or of checksum, where it is not sealed).
        rrc: bytes by which it is turned right.
        sequence: sequence number.
    """

    flags: int
    ec: int
    rrc: int
    sequence: int

    @property
    def sealed(self) -> bool:
        """Whether it is encrypted."""
        return bool(self.flags & SEALED)

    @property
    def acceptor_subkey(self) -> bool:
        """Whether it is protected with the key that the service chose."""
        return bool(self.flags & ACCEPTOR_SUBKEY)

    @classmethod
    def decode(cls, token: bytes) -> WrapToken:
        """Read the header. Raises RemoteProtocolError for anything but a Wrap token of RFC 4121."""
        if len(token) < _HEADER.size:
            raise _bad("shorter than a header")
        kind, flags, filler, ec, rrc, sequence = _HEADER.unpack_from(token)
        if kind != _WRAP or filler != _FILLER:
            raise _bad("no Wrap token of RFC 4121")
        return cls(flags, ec, rrc, sequence)

    def encode(self) -> bytes:
        """Write it."""
        return _HEADER.pack(_WRAP, self.flags, _FILLER, self.ec, self.rrc, self.sequence)


class KerberosSession:
    """Protects messages with the key of a context.

    Args:
        key: subkey of the service, else of the client, else the session key of the ticket (RFC 4121 2).
        role: ours.
        acceptor_subkey: whether it is the service's subkey.
        send: sequence number of our first token.
        receive: that of the peer's first token, or None where it is not known.
    """

    def __init__(
        self,
        key: EncryptionKey,
        *,
        role: Literal["initiator", "acceptor"],
        acceptor_subkey: bool,
        send: int,
        receive: int | None,
    ) -> None:
        self.key = key
        self.sequence = send
        self.expected = receive
        self._acceptor = role == "acceptor"
        self._base_flags = ACCEPTOR_SUBKEY if acceptor_subkey else 0

    def _flags(self, *, acceptor: bool) -> int:
        return self._base_flags | (SENT_BY_ACCEPTOR if acceptor else 0)

    def wrap(
        self,
        data: bytes,
        *,
        seal: bool = True,
        ec: int = 0,
        rrc: int = 28,
        sspi: bool = False,
        sequence: int | None = None,
        reflect: bool = False,
        flip_flags: int = 0,
    ) -> bytes:
        """Make a Wrap token; the defaults are a good one.

        Args:
            data: the message.
            seal: encrypt it.
            ec: bytes of filler.
            rrc: bytes to turn it by.
            sspi: turn it by `rrc` + `ec`, as Windows does.
            sequence: another sequence number than the next; the counter does not advance then.
            reflect: make it the way the peer would.
            flip_flags: flags to show in the header otherwise than they are.
        """
        number = self.sequence if sequence is None else sequence
        if sequence is None:
            self.sequence += 1
        acceptor = self._acceptor != reflect
        flags = (self._flags(acceptor=acceptor) | (SEALED if seal else 0)) ^ flip_flags
        etype, key = self.key.etype, self.key.value
        usage = KeyUsage.ACCEPTOR_SEAL if acceptor else KeyUsage.INITIATOR_SEAL
        if seal:
            inner = WrapToken(flags, ec, 0, number).encode()
            body = crypto.encrypt(etype, key, usage, data + bytes(ec) + inner)
        else:
            inner = WrapToken(flags, 0, 0, number).encode()
            check = crypto.checksum(etype, key, usage, data + inner)
            ec = len(check)
            body = data + check
        turn = (rrc + (ec if sspi else 0)) % len(body)
        return WrapToken(flags, ec, rrc, number).encode() + body[len(body) - turn :] + body[: len(body) - turn]

    def unwrap(self, token: bytes) -> bytes:
        """Open a Wrap token of the peer, turned in either way; an unsealed one, too.

        Raises:
            RemoteProtocolError: it does not verify, is not the peer's, or is out of turn.
        """
        header = WrapToken.decode(token)
        acceptor = not self._acceptor
        if bool(header.flags & SENT_BY_ACCEPTOR) != acceptor:
            raise _bad("it says that we sent it")
        if bool(header.flags & ACCEPTOR_SUBKEY) != bool(self._base_flags):
            raise _bad("it is for another key: the subkey of the service or not")
        if self.expected is not None:
            if header.sequence != self.expected:
                raise _bad(f"sequence number {header.sequence} where {self.expected} was expected")
            self.expected += 1
        turned = token[_HEADER.size :]
        if not turned:
            raise _bad("nothing after the header")
        problem: RemoteProtocolError | None = None
        for turn in dict.fromkeys((header.rrc, header.rrc + header.ec)):
            at = turn % len(turned)
            try:
                return self._open(header, turned[at:] + turned[:at], acceptor=acceptor)
            except RemoteProtocolError as error:
                problem = problem or error
        assert problem is not None  # noqa: S101  # one turn is tried at least
        raise problem

    def _open(self, header: WrapToken, body: bytes, *, acceptor: bool) -> bytes:
        etype, key = self.key.etype, self.key.value
        usage = KeyUsage.ACCEPTOR_SEAL if acceptor else KeyUsage.INITIATOR_SEAL
        if not header.sealed:
            data, check = body[: len(body) - header.ec], body[len(body) - header.ec :]
            inner = WrapToken(header.flags, 0, 0, header.sequence).encode()
            if not hmac.compare_digest(check, crypto.checksum(etype, key, usage, data + inner)):
                raise _bad("the checksum does not match")
            return data
        plain = crypto.decrypt(etype, key, usage, body)
        inner = WrapToken(header.flags, header.ec, 0, header.sequence).encode()
        if len(plain) < len(inner) + header.ec or not hmac.compare_digest(plain[-len(inner) :], inner):
            raise _bad("the header was changed")
        return plain[: len(plain) - len(inner) - header.ec]

    def sign(self, data: bytes) -> bytes:
        """Make a MIC token."""
        header = _HEADER.pack(
            _MIC, self._flags(acceptor=self._acceptor), _FILLER, _NO_COUNTS, _NO_COUNTS, self.sequence
        )
        self.sequence += 1
        usage = KeyUsage.ACCEPTOR_SIGN if self._acceptor else KeyUsage.INITIATOR_SIGN
        return header + crypto.checksum(self.key.etype, self.key.value, usage, data + header)

    def verify(self, data: bytes, token: bytes) -> None:
        """Check a MIC token of the peer. Raises RemoteProtocolError."""
        header = token[: _HEADER.size]
        if header[:2] != _MIC or len(header) < _HEADER.size:
            raise _bad("no MIC token of RFC 4121")
        if self.expected is not None:
            self.expected += 1
        usage = KeyUsage.INITIATOR_SIGN if self._acceptor else KeyUsage.ACCEPTOR_SIGN
        value = crypto.checksum(self.key.etype, self.key.value, usage, data + header)
        if not hmac.compare_digest(token[_HEADER.size :], value):
            raise _bad("the MIC does not match")

    make_mech_list_mic = sign
    verify_mech_list_mic = verify


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"Kerberos message: {what}", section="RFC 4121 4.2")

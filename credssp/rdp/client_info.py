"""The Client Info PDU, in which a client tells the server its user name, and without NLA its password too.

[MS-RDPBCGR] 2.2.1.11: an MCS SendDataRequest, a security header with SEC_INFO_PKT, and TS_INFO_PACKET.

Some clients put the password here after NLA as well (FreeRDP does), so a relay that does not replace it gives the
server the password that was meant for the relay.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field, replace
from typing import Final

from credssp.credentials import PasswordCredentials
from credssp.errors import LocalProtocolError
from credssp.rdp.reading import FrameReader, per_length
from credssp.rdp.session_pdus import DomainPDU, data_frame
from credssp.rdp.tpkt import HEADER_SIZE
from credssp.secret import Secret, private

__all__ = ["ClientInfo", "InfoFlags", "is_client_info"]

_SECTION: Final = "[MS-RDPBCGR] 2.2.1.11"
_SEC_INFO_PKT: Final = 0x0040
_SEC_ENCRYPT: Final = 0x0008
_PDU: Final = HEADER_SIZE + 3  # where the MCS PDU begins
_MAX_STRING: Final = 1024
"""Bytes of a string: the specification has 512, and clients exceed it with long passwords."""
_STRINGS: Final = ("Domain", "UserName", "Password", "AlternateShell", "WorkingDir")


class InfoFlags(enum.IntFlag):
    """TS_INFO_PACKET.flags, as far as a relay is concerned; the others are kept."""

    INFO_AUTOLOGON = 0x00000008
    INFO_UNICODE = 0x00000010
    INFO_LOGONNOTIFY = 0x00000040
    INFO_PASSWORD_IS_SC_PIN = 0x00040000
    INFO_USING_SAVED_CREDS = 0x00100000


_ABOUT_CREDENTIALS: Final = (
    InfoFlags.INFO_AUTOLOGON | InfoFlags.INFO_PASSWORD_IS_SC_PIN | InfoFlags.INFO_USING_SAVED_CREDS
)


def is_client_info(frame: bytes) -> bool:
    """Whether a frame is an MCS SendDataRequest with SEC_INFO_PKT; `ClientInfo.decode` looks further."""
    if len(frame) <= _PDU or frame[_PDU] >> 2 != DomainPDU.SEND_DATA_REQUEST:
        return False
    at = _PDU + 6
    at += 2 if len(frame) > at and frame[at] & 0x80 else 1
    return len(frame) >= at + 2 and bool(int.from_bytes(frame[at : at + 2], "little") & _SEC_INFO_PKT)


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Client Info PDU.

    Attributes:
        flags: flags; unknown bits are kept.
        domain: Domain.
        username: UserName.
        password: Password.
        shell: AlternateShell.
        directory: WorkingDir.
    """

    flags: int
    domain: str
    username: str
    password: Secret[str]
    shell: str
    directory: str
    _head: bytes = field(repr=False)
    _security: bytes = field(repr=False)
    _code_page: int = field(repr=False)
    _extra: bytes = field(repr=False)

    @classmethod
    @private
    def decode(cls, frame: bytes) -> ClientInfo:
        """Read a frame of `credssp.rdp.session_pdus.FrameBuffer`.

        Raises:
            DecodeError: it is something else, encrypted (standard RDP security), or a string does not fit.
        """
        reader = FrameReader(frame, _SECTION, position=_PDU)
        head = reader.take(6, "mcsSDrq")
        if head[0] >> 2 != DomainPDU.SEND_DATA_REQUEST:
            raise reader.error("not an MCS SendDataRequest", "mcsSDrq")
        body = reader.part(reader.per_length("mcsSDrq.length"), "mcsSDrq.userData")
        reader.finish("mcsSDrq.userData")
        security = body.take(4, "securityHeader")
        marks = int.from_bytes(security[:2], "little")
        if not marks & _SEC_INFO_PKT:
            raise body.error("no SEC_INFO_PKT", "securityHeader.flags")
        if marks & _SEC_ENCRYPT:
            raise body.error("it is encrypted: the client uses standard RDP security", "securityHeader.flags")
        code_page, flags = body.number(4, "CodePage"), body.number(4, "flags")
        sizes = [body.number(2, f"cb{name}") for name in _STRINGS]
        wide = bool(flags & InfoFlags.INFO_UNICODE)
        strings = [_string(body, size, name, wide=wide) for size, name in zip(sizes, _STRINGS, strict=True)]
        extra = body.take(body.left, "extraInfo")
        domain, username, password, shell, directory = strings
        return cls(
            flags, domain.reveal(), username.reveal(), password, shell.reveal(), directory.reveal(),
            head, security, code_page, extra,
        )  # fmt: skip

    def without_credentials(self) -> ClientInfo:
        """Return the same without user, password and what the flags say about them."""
        flags = self.flags & ~_ABOUT_CREDENTIALS
        return replace(self, flags=flags, domain="", username="", password=Secret(""))

    def with_credentials(self, credentials: PasswordCredentials, *, password: bool = True) -> ClientInfo:
        """Return the same with a user who is logged on without a question.

        Args:
            credentials: the user.
            password: whether the password goes along; a server that has it by NLA needs the name alone.
        """
        plain = replace(self.without_credentials(), domain=credentials.domain, username=credentials.username)
        if not password:
            return plain
        return replace(plain, flags=plain.flags | InfoFlags.INFO_AUTOLOGON, password=credentials.password)

    @private
    def encode(self) -> bytes:
        """Write the frame, in Unicode. Raises LocalProtocolError for strings that do not fit."""
        texts = [
            text.encode("utf-16-le", "surrogatepass")
            for text in (self.domain, self.username, self.password.reveal(), self.shell, self.directory)
        ]
        if max(map(len, texts)) > _MAX_STRING:
            raise LocalProtocolError(f"a string of the Client Info PDU is longer than {_MAX_STRING} bytes")
        flags = self.flags | InfoFlags.INFO_UNICODE
        body = self._security + struct.pack("<II5H", self._code_page, flags, *map(len, texts))
        body += b"".join(text + b"\0\0" for text in texts) + self._extra
        return data_frame(self._head + per_length(len(body)) + body)


def _string(reader: FrameReader, size: int, name: str, *, wide: bool) -> Secret[str]:
    """Read a string and the terminator that its size does not count."""
    if size > _MAX_STRING:
        raise reader.error(f"{size} bytes; at most {_MAX_STRING} are read", f"cb{name}")
    if wide and size % 2:
        raise reader.error(f"{size} bytes, an odd number, of UTF-16", f"cb{name}")
    raw = Secret(reader.take(size, name))
    reader.expect(b"\0\0" if wide else b"\0", f"{name}.terminator")
    return Secret(raw.reveal().decode("utf-16-le", "surrogatepass") if wide else raw.reveal().decode("latin-1"))

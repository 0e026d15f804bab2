"""The buffers of a message of Negotiate, NTLM and Kerberos, sorted by what happens to them.

==================================== =========================================================================
TOKEN                                the signature, or all that sealing adds in front of the message
DATA                                 the message; there may be several, and they are one message in their order
DATA with READONLY_WITH_CHECKSUM     signed in its place among the others, never encrypted
DATA with READONLY                   NTLM signs it likewise; Kerberos does not look at it
PADDING                              what an old cipher of Kerberos adds after the message; its count says how much
STREAM                               DecryptMessage: TOKEN, DATA and PADDING in one piece; one DATA becomes a view of it
EMPTY                                not looked at
==================================== =========================================================================

The page of EncryptMessage says that READONLY buffers are not processed. NTLM signs them all the same, and pyspnego 0.12
expects that: RPC passes its headers as READONLY where header signing was not negotiated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from credssp.message_parts import MessagePart
from credssp.sspi import buffers as b
from credssp.sspi.buffers import SecBuffer, buffer_type_name
from credssp.sspi.errors import bad_token

__all__ = ["MessageBuffers", "sort_buffers"]

_ONCE: Final = (b.SECBUFFER_TOKEN, b.SECBUFFER_PADDING, b.SECBUFFER_STREAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBuffers:
    """The buffers of a call.

    Attributes:
        token: TOKEN; with STREAM that one.
        token_name: which buffer that is, for errors.
        stream: whether it is a STREAM.
        data: DATA, in their order, with those that are only signed.
        views: the memory of each of `data`.
        padding: PADDING, or None.
        padding_name: which buffer that is, for errors.
    """

    token: SecBuffer
    token_name: str
    stream: bool
    data: tuple[SecBuffer, ...]
    views: tuple[memoryview, ...] = field(repr=False)
    padding: SecBuffer | None
    padding_name: str

    @property
    def parts(self) -> list[MessagePart]:
        """The message, as it is in the buffers."""
        return [
            MessagePart(bytes(view), sealed=not is_signed_only(buffer))
            for buffer, view in zip(self.data, self.views, strict=True)
        ]

    @property
    def message(self) -> bytes:
        """All of it in one piece."""
        return b"".join(self.views)

    def replace(self, contents: Sequence[bytes]) -> None:
        """Put what came out over what went in; a DATA may become shorter."""
        for buffer, view, content in zip(self.data, self.views, contents, strict=True):
            if not is_signed_only(buffer):
                view[: len(content)] = content
                buffer.size = len(content)


def is_signed_only(buffer: SecBuffer) -> bool:
    """Whether a DATA that is looked at is covered by the signature and stays as it is."""
    return bool(buffer.buffer_type & (b.SECBUFFER_READONLY_WITH_CHECKSUM | b.SECBUFFER_READONLY))


def sort_buffers(
    buffers: Sequence[SecBuffer], *, signs_readonly: bool, writes: bool, stream: bool = False
) -> MessageBuffers:
    """Sort the buffers of pMessage, which may be in any order.

    Args:
        buffers: pMessage.
        signs_readonly: whether READONLY is signed.
        writes: whether DATA is going to be written to.
        stream: whether there may be a STREAM in place of TOKEN.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, one is missing, or too many, or does not belong here.
    """
    single: dict[int, SecBuffer] = {}
    names: dict[int, str] = {}
    data: list[SecBuffer] = []
    views: list[memoryview] = []
    for number, buffer in enumerate(buffers):
        kind, name = buffer.kind, f"pMessage[{number}]"
        if kind == b.SECBUFFER_EMPTY:
            continue
        if kind == b.SECBUFFER_DATA:
            if signs_readonly or buffer.buffer_type & b.SECBUFFER_ATTRMASK != b.SECBUFFER_READONLY:
                data.append(buffer)
                views.append(buffer.writable(name) if writes and not is_signed_only(buffer) else buffer.view(name))
        elif kind in single or kind not in _ONCE or (kind == b.SECBUFFER_STREAM and not stream):
            again = "a second " if kind in single else ""
            raise bad_token(name, f"{again}{buffer_type_name(kind)} does not belong here: TOKEN, DATA and PADDING do")
        else:
            single[kind], names[kind] = buffer, name
    whole = single.get(b.SECBUFFER_STREAM)
    token = single.get(b.SECBUFFER_TOKEN) if whole is None else whole
    if whole is not None and (b.SECBUFFER_TOKEN in single or len(data) != 1 or is_signed_only(data[0])):
        raise bad_token("pMessage", "a STREAM comes with one DATA, which takes the message, and without TOKEN")
    if token is None or not data:
        raise bad_token("pMessage", "one TOKEN and at least one DATA are needed")
    return MessageBuffers(
        token=token,
        token_name=names[token.kind],
        stream=whole is not None,
        data=tuple(data),
        views=tuple(views),
        padding=single.get(b.SECBUFFER_PADDING),
        padding_name=names.get(b.SECBUFFER_PADDING, ""),
    )

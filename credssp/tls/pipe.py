"""Application data from one TLS channel to another: decrypted, encrypted, and nothing else.

`TLSChannel.decrypt` and `encrypt` return copies. Large ones cost a relay as much as the encryption, because the C
library gets their memory from the system and returns it each time; and with a record every 16 KiB, some calls of Python
are felt. So the loop of a relay is here, over pieces, between two buffers that all its channels share.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final

from credssp.tls.alerts import translate
from credssp.tls.channel import TLSChannel
from credssp.tls.record import MAX_PLAINTEXT

__all__ = ["PIECE", "PLAINTEXT", "pass_on"]

PIECE: Final = 112 * 1024
"""Bytes that are decrypted, encrypted and sent at a time. With what is read, queued and sent they fit into a
processor's cache, and what is allocated for them stays below what the C library asks the system for (128 KiB)."""

PLAINTEXT: Final = PIECE + MAX_PLAINTEXT
"""Bytes of plaintext that a piece yields at most: a part of the first record may have come before."""

_ZEROS: Final = memoryview(bytes(MAX_PLAINTEXT))
"""What replaces small plaintext, such as what people type. With large pieces, files and pictures, it would cost 6 %."""


def pass_on(
    source: TLSChannel,
    target: TLSChannel,
    data: memoryview,
    plaintext: memoryview,
    *,
    look: Callable[[memoryview], None] | None = None,
    send: Callable[[bytes], object],
) -> int:
    """Decrypt what one peer sent and encrypt it for the other.

    Args:
        source: decrypts; what it has to send itself, such as the answer to a key update, stays there.
        target: encrypts.
        data: ciphertext, split anywhere.
        plaintext: a buffer of `PLAINTEXT` bytes; up to `MAX_PLAINTEXT` bytes of a piece are not left in it.
        look: sees the plaintext before it is encrypted; what it raises ends this, and the piece is not sent.
        send: takes the records for the other peer, piece by piece.

    Returns:
        The number of bytes of plaintext.

    Raises:
        TLSError, TLSAlertError: a record was bad, or the peer sent a fatal alert; plaintext that came before it was
            sent. Or the target is closed or broken.
    """
    if source._error is not None:
        raise source._error
    decrypting, encrypting = source._tls, target._tls
    read, pending, write = decrypting.read, decrypting.pending, encrypting.write
    incoming, outgoing = source._incoming, target._outgoing
    total = start = 0
    more = False
    while start < len(data) or more:
        size = 0
        more = False
        with source._lock:
            try:
                incoming.write(data[start : start + PIECE])
                start += PIECE
                while incoming.pending or pending():
                    if size == len(plaintext):  # with what was left from before; a read into nothing looks like a close
                        more = True
                        break
                    got: Any = read(MAX_PLAINTEXT, plaintext[size:])  # a number, where there is a buffer
                    if not got:
                        source.peer_closed = True
                        break
                    size += got
            except ssl.SSLWantReadError:
                pass  # after nearly every piece
            except ssl.SSLError as error:
                source._is_short(error)
        if size:
            total += size
            try:
                if look is not None:
                    look(plaintext[:size])
                with target._lock:
                    try:
                        write(plaintext[:size])
                    except ssl.SSLError as error:
                        raise translate(error, during="TLS session") from None
                    records = outgoing.read()
            finally:
                if size <= MAX_PLAINTEXT:
                    plaintext[:size] = _ZEROS[:size]
            send(records)
        if source._error is not None:
            raise source._error
        if source.peer_closed:
            break
    return total

"""The file of MIT's keytabs, version 2, read without libkrb5: for tools that open recordings anywhere.

Servers leave their keytab to libkrb5 (`credssp.kerberos.tickets.service_keys`). The format is that of MIT's
documentation ("The Kerberos V5 keytab file format"): ``05 02``, then entries, each after its length; all numbers are
big-endian. An entry of negative length is a hole.
"""

from __future__ import annotations

import struct
from typing import Final

from credssp.errors import LocalProtocolError
from credssp.kerberos.tickets import ServiceKey
from credssp.kerberos.values import EncryptionKey
from credssp.secret import Secret

__all__ = ["MAX_SIZE", "read_keytab_file"]

MAX_SIZE: Final = 1 << 20
"""Bytes of a file: some 10,000 keys."""

_MAGIC: Final = b"\x05\x02"
_SIZE: Final = struct.Struct(">i")
_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")


def read_keytab_file(data: bytes) -> list[ServiceKey]:
    """Return the keys.

    Raises:
        LocalProtocolError: it is not a keytab of version 2, is cut off, or has no key.
    """
    if not data.startswith(_MAGIC):
        raise LocalProtocolError("not a keytab: it does not begin with 0502")
    if len(data) > MAX_SIZE:
        raise LocalProtocolError(f"more than {MAX_SIZE} bytes: not a keytab")
    keys = []
    at = len(_MAGIC)
    try:
        while at + _SIZE.size <= len(data):
            (size,) = _SIZE.unpack_from(data, at)
            at += _SIZE.size
            if size > 0:
                keys.append(_read_entry(_Cursor(data[at : at + size], size)))
            elif not size:
                break  # what follows is filler
            at += abs(size)
    except (struct.error, ValueError):
        raise LocalProtocolError(f"not a keytab: the entry at byte {at} is cut off or malformed") from None
    if not keys:
        raise LocalProtocolError("the keytab has no key")
    return keys


class _Cursor:
    """Reads an entry from its beginning. Raises ValueError and struct.error where it is too short."""

    def __init__(self, data: bytes, size: int) -> None:
        if len(data) != size:
            raise ValueError("cut off")
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def number(self, form: struct.Struct) -> int:
        (value,) = form.unpack_from(self._data, self._at)
        self._at += form.size
        return int(value)

    def counted(self) -> bytes:
        size = self.number(_U16)
        if size > self.left:
            raise ValueError("cut off")
        self._at += size
        return self._data[self._at - size : self._at]

    def skip(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError("cut off")
        self._at += size
        return self._data[self._at - size : self._at]


def _read_entry(entry: _Cursor) -> ServiceKey:
    count = entry.number(_U16)
    if count > entry.left:
        raise ValueError("more components than bytes")
    realm = entry.counted().decode("utf-8", "replace")
    service = "/".join(entry.counted().decode("utf-8", "replace") for _ in range(count))
    entry.skip(8)  # type of the name, time
    kvno = entry.skip(1)[0]
    etype = entry.number(_U16)
    value = entry.counted()
    if entry.left >= _U32.size:
        kvno = entry.number(_U32) or kvno  # 8 bits are not enough for computers that change their keys
    return ServiceKey(service, EncryptionKey(etype, Secret(value)), realm, kvno)

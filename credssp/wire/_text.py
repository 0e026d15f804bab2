"""Text on the wire ([MS-CSSP] 2.2.1.2.1 and notes 13 to 20).

UTF-16LE in an OCTET STRING, without byte order mark and without terminating NUL.
"""

from __future__ import annotations

from codecs import utf_16_le_decode

from credssp.wire.der import Reader, Span, write_octet_string

__all__ = ["read_optional_text", "read_text", "write_text"]


def read_text(reader: Reader, span: Span | None, field: str) -> str:
    """Read a string as it is; `span` is that of the contents of its OCTET STRING.

    Lone surrogates are kept, because Windows user names and passwords are sequences of 16-bit units; a U+0000 at the
    end, as rdesktop sends it, is kept too: whether it belongs to the name is not decided here.

    Raises:
        DecodeError: absent, or an odd number of bytes.
    """
    start, stop = reader.required(span, field)
    if (stop - start) % 2:
        raise reader.error(f"{stop - start} bytes are not UTF-16 text", field, start)
    return utf_16_le_decode(reader.data[start:stop], "surrogatepass", True)[0]


def read_optional_text(reader: Reader, span: Span | None, field: str) -> str | None:
    """Read a string that may be absent."""
    return None if span is None else read_text(reader, span, field)


def write_text(text: str) -> bytes:
    """Write a string as an OCTET STRING."""
    return write_octet_string(text.encode("utf-16-le", "surrogatepass"))

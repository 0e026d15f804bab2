"""``WWW-Authenticate`` and ``Authorization`` with CredSSP tokens ([MS-WSMV] 3.1.4.1.28, RFC 9110 11.6).

A server may list several schemes in one header line or in several, in any case and any order, with parameters whose
quoted values hold commas or the word CredSSP. Schemes that are URIs or unknown are skipped. A token is base64 with
padding; it may be empty, and as HTTP drops trailing spaces, ``CredSSP`` alone is an empty token as well as an offer:
the leg decides which.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Final

from credssp.errors import DecodeError, LimitExceededError, RemoteProtocolError
from credssp.wire.tolerant import MAX_MESSAGE_SIZE

__all__ = ["MAX_TOKEN_SIZE", "SCHEME", "challenge_token", "format_token", "request_token", "schemes"]

SCHEME: Final = "CredSSP"

MAX_TOKEN_SIZE: Final = MAX_MESSAGE_SIZE + 32 * 1024
"""Bytes of one token: a TSRequest at its limit in TLS records, and a handshake flight in front of it."""

_MAX_BASE64: Final = (MAX_TOKEN_SIZE + 2) // 3 * 4
_MAX_CHALLENGES: Final = 32
"""A server has half a dozen schemes at most."""

_SECTION: Final = "[MS-WSMV] 2.2.9.1.3.1"

# RFC 9110 5.6.1, 5.6.2 and 11.2: elements between commas, of which one begins with a scheme and may hold a token68 or a
# parameter; others are further parameters. Windows lists schemes that are URIs (secprofile), which RFC 9110 has not.
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_ELEMENT: Final = re.compile(r'[ \t,]*((?:"(?:[^"\\]|\\.)*"|[^",])+)')
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*|=+")
_PARAMETER: Final = re.compile(rf'{_TOKEN}[ \t]*=[ \t]*(?:"(?:[^"\\]|\\.)*"|{_TOKEN})')


def _challenges(value: str) -> Iterator[tuple[str, str]]:
    """Yield scheme and what follows it, up to the next comma, of every challenge in one header value."""
    position = found = 0
    while (element := _ELEMENT.match(value, position)) is not None:
        position, text = element.end(), element.group(1).strip(" \t")
        if not text or _PARAMETER.fullmatch(text):
            continue
        if text[0] == '"':
            break
        found += 1
        if found > _MAX_CHALLENGES:
            raise LimitExceededError(f"more than {_MAX_CHALLENGES} authentication schemes in one header")
        scheme, _, rest = text.replace("\t", " ").partition(" ")
        yield scheme, rest.strip(" ")
    if element is not None or value[position:].strip(" \t,"):
        raise DecodeError("this is not a list of challenges", field="WWW-Authenticate", offset=position)


def schemes(values: Iterable[str]) -> tuple[str, ...]:
    """Return the schemes that the values of ``WWW-Authenticate`` offer, in order; for texts and probes.

    A value that does not parse ends the list where it stops making sense.
    """
    found: list[str] = []
    for value in values:
        try:
            found.extend(scheme for scheme, _ in _challenges(value))
        except RemoteProtocolError:
            continue
    return tuple(found)


def challenge_token(values: Iterable[str]) -> bytes | None:
    """Return the CredSSP token in the values of ``WWW-Authenticate``.

    Args:
        values: the value of every such header line; lines that were joined with commas are fine.

    Returns:
        The token, empty for a scheme without a token; None where CredSSP is not offered.

    Raises:
        RemoteProtocolError: the header does not parse, there are two tokens, or a token is not base64 or too long.
    """
    tokens: list[str] = []
    offered = False
    for value in values:
        _check_size(value)
        for scheme, rest in _challenges(value):
            if scheme.lower() == SCHEME.lower():
                offered = True
                if _TOKEN68.fullmatch(rest):
                    tokens.append(rest)
                elif rest and not _PARAMETER.fullmatch(rest):
                    raise DecodeError("the CredSSP token is not base64", field="WWW-Authenticate", section=_SECTION)
    if len(tokens) > 1:
        raise RemoteProtocolError(f"{len(tokens)} CredSSP tokens in one response", section=_SECTION)
    if tokens:
        return _decode(tokens[0], "WWW-Authenticate")
    return b"" if offered else None


def request_token(values: Iterable[str]) -> bytes | None:
    """Return the CredSSP token in the values of ``Authorization``, or None where there is none of that scheme.

    Raises:
        RemoteProtocolError: more than one Authorization header, or a token that is not base64 or too long.
    """
    lines = list(values)
    if len(lines) > 1:
        raise RemoteProtocolError("more than one Authorization header", section="RFC 9110 11.6.2")
    if not lines:
        return None
    _check_size(lines[0])
    scheme, _, token = lines[0].strip(" \t").partition(" ")
    if scheme.lower() != SCHEME.lower():
        return None
    return _decode(token.strip(" \t"), "Authorization")


def format_token(token: bytes) -> str:
    """Return the value of either header; an empty token is the scheme alone."""
    return f"{SCHEME} {base64.b64encode(token).decode('ascii')}" if token else SCHEME


def _check_size(value: str) -> None:
    if len(value) > _MAX_BASE64 + 1024:
        raise LimitExceededError(f"an authentication header of {len(value)} characters", section=_SECTION)


def _decode(text: str, field: str) -> bytes:
    if len(text) > _MAX_BASE64:
        raise LimitExceededError(f"a token of {len(text)} base64 characters", section=_SECTION)
    try:
        # b64decode lets too much padding pass. Other characters than ASCII are looked for first, because an error about
        # them would carry the whole token with it.
        if len(text) % 4 == 0 and text.isascii():
            return base64.b64decode(text, validate=True)
    except binascii.Error:
        pass
    raise DecodeError("the CredSSP token is not base64", field=field, section=_SECTION)

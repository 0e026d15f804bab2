"""Bytes out of what people paste: hexadecimal, base64, literals of programming languages, and dumps with offsets.

A dump line has an offset, bytes in hexadecimal, and perhaps the same bytes as characters, which may look like
hexadecimal too. So nothing is taken from its place in the line: the next line's offset says how many bytes a line has,
and of the last line as many are taken as its characters confirm. A log's prefix (time, process, level) is skipped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Pasted", "read_pasted"]

# As in a log of HTTP: "Authorization: Negotiate TlRM...", or only what follows the colon.
_HEADER: Final = re.compile(
    r"\s*+(?:(?:(?:Proxy-)?Authorization|(?:WWW|Proxy)-Authenticate)\s*+:)?\s*+(?:CredSSP|Negotiate|NTLM|Kerberos)\s+",
    re.IGNORECASE,
)

_HEX_NOISE: Final = re.compile(r"0x|\\x|[\s:,]", re.IGNORECASE)
_COMMENT: Final = re.compile(r"/[*/]")

# Offset, then bytes alone or in groups of two or four (xxd and hexdump without -C), then what may be characters.
_LINE: Final = re.compile(
    r"(?:^|.*?[\s|])(?:0x)?(?P<offset>[0-9A-Fa-f]{4,16})(?P<colon>:?)(?P<gap>\s+|\Z)(?P<rest>(?:[0-9A-Fa-f]{2})*(?:\s.*)?)\Z"
)
_BYTES: Final = re.compile(r"[0-9A-Fa-f]{2}")
_MAX_WIDTH: Final = 64
_MAX_LINE: Final = 1000
_MAX_REPEATED: Final = 1 << 20
_BASES: Final = (16, 10, 8)

# The forms of one byte in a literal.
_NUMBER: Final = re.compile(r"0x[0-9A-Fa-f]{1,2}|[0-9]{1,3}", re.IGNORECASE)
_STRING: Final = re.compile(r"""(?P<quote>['"])(?P<text>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)""", re.DOTALL)
_QUOTE: Final = re.compile("['\"]")
_ESCAPE: Final = re.compile(r"\\(?:x(?P<hex>[0-9A-Fa-f]{2})|(?P<octal>[0-7]{1,3})|(?P<letter>.))", re.DOTALL)
_LETTERS: Final = {"n": 10, "r": 13, "t": 9, "0": 0, "a": 7, "b": 8, "f": 12, "v": 11, "\\": 92, "'": 39, '"': 34}


@dataclass(frozen=True, slots=True)
class Pasted:
    """What was recognised.

    Attributes:
        data: the bytes.
        form: how they were written, as a user would call it.
    """

    data: bytes
    form: str


def read_pasted(text: str) -> Pasted:
    """Return the bytes that a text represents, and in which form.

    Raises:
        ValueError: in none that is known; the text says what is wrong with the nearest.
    """
    if header := _HEADER.match(text):
        return Pasted(_base64(text[header.end() :]), "HTTP header")
    digits = _HEX_NOISE.sub("", text)
    if not digits:
        raise ValueError("there is nothing to decode")
    if (dump := _dump(text)) is not None:
        return dump
    if re.fullmatch("[0-9A-Fa-f]+", digits):
        if len(digits) % 2:
            raise ValueError(f"{len(digits)} hexadecimal digits: a byte has two, so one is missing or one is too many")
        return Pasted(bytes.fromhex(digits), "hexadecimal")
    if (literal := _literal(text)) is not None:
        return literal
    return Pasted(_base64(text), "base64")


def _base64(text: str) -> bytes:
    digits = _HEX_NOISE.sub("", text)
    if re.fullmatch("(?:[0-9A-Fa-f]{2})+", digits):
        return bytes.fromhex(digits)
    letters = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except ValueError:  # binascii.Error, or letters outside ASCII
        raise ValueError(
            "the data is neither hexadecimal nor base64, nor a dump of xxd, hexdump, Wireshark, tcpdump -X or FreeRDP"
        ) from None


# Literals of C, Python and their like


def _literal(text: str) -> Pasted | None:
    body = _without_comments(text)
    if strings := list(_strings(body)):
        if "fromhex" in body or "b64decode" in body or len(strings) == 1:
            content = "".join(strings)
            if "\\" not in content and re.fullmatch(r"[0-9A-Za-z+/=_\s:-]+", content):
                # A quoted value out of JSON, YAML or a program.
                return Pasted(_base64(content), "quoted text")
        return Pasted(b"".join(map(_unescape, strings)), "string literal")
    inner = re.search(r"[\[{(]([^\[\]{}()]*+)[\]})]\s*+[;)]*+\s*+\Z", body)
    if inner is None:
        return None
    numbers = [part for part in re.split(r"[,\s]+", inner[1]) if part]
    values = [int(number, 16 if number[:2].lower() == "0x" else 10) for number in numbers if _NUMBER.fullmatch(number)]
    if not values or len(values) != len(numbers) or max(values) > 0xFF:
        return None
    return Pasted(bytes(values), "array literal")


def _without_comments(text: str) -> str:
    """Return a text with a space in the place of each comment; what begins one and does not end it stays."""
    kept = []
    done = at = 0
    last = text.rfind("*/")
    while begin := _COMMENT.search(text, at):
        if begin[0] == "/*" and begin.end() > last:
            at = begin.start() + 1
            continue
        end = text.find("\n", begin.end()) if begin[0] == "//" else text.index("*/", begin.end()) + 2
        kept += [text[done : begin.start()], " "]
        done = at = len(text) if end < 0 else end
    return "".join([*kept, text[done:]])


def _strings(body: str) -> Iterator[str]:
    """Yield what is inside the string literals of a text."""
    at = 0
    unclosed = ""
    while quote := _QUOTE.search(body, at):
        if quote[0] in unclosed:
            match = None
        elif (match := _STRING.match(body, quote.start())) is None:
            # Nor is any later one closed: it was passed over as escaped, and what follows it is the same. Looking at
            # each would take time that grows with the square of the text.
            unclosed += quote[0]
        else:
            yield match["text"]
        at = quote.end() if match is None else match.end()


def _unescape(text: str) -> bytes:
    """Return the bytes of the inside of a string literal: C and Python have the same escapes for bytes."""
    out = bytearray()
    at = 0
    for match in _ESCAPE.finditer(text):
        out += text[at : match.start()].encode("latin-1", "replace")
        if match["hex"]:
            out.append(int(match["hex"], 16))
        elif match["octal"]:
            out.append(int(match["octal"], 8) & 0xFF)
        elif match["letter"] in _LETTERS:
            out.append(_LETTERS[match["letter"]])
        at = match.end()
    return bytes(out + text[at:].encode("latin-1", "replace"))


# Dumps


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a dump: the digits of its offset, and what follows; repeated where a line with ``*`` is next."""

    prefix: str
    offset: str
    colon: bool
    rest: str
    repeated: bool = False

    def most(self) -> int:
        """How many bytes there may be: all that looks like hexadecimal before something else."""
        return len(self._pairs())

    def _pairs(self) -> list[re.Match[str]]:
        pairs: list[re.Match[str]] = []
        at = 0
        while len(pairs) < _MAX_WIDTH:
            while self.rest[at : at + 1] in (" ", "\t", "-") and at < len(self.rest):
                at += 1
            match = _BYTES.match(self.rest, at)
            if match is None:
                break
            pairs.append(match)
            at = match.end()
        return pairs

    def take(self, count: int) -> tuple[bytes, str]:
        """Return so many bytes, and the text after them. Raises ValueError."""
        pairs = self._pairs()[:count]
        if len(pairs) < count:
            raise ValueError("too few")
        data = bytes(int(match[0], 16) for match in pairs)
        return data, self.rest[pairs[-1].end() :] if pairs else self.rest

    def last(self, width: int, *, shows: bool) -> bytes:
        """Return the bytes of the last line: as many as its characters confirm, else all that look like bytes.

        Args:
            width: bytes of a whole line.
            shows: whether there may be characters.
        """
        most = min(self.most(), width)
        for count in range(most, 0, -1) if shows else ():
            data, after = self.take(count)
            if after.strip(" |") and _shows(after, data):
                return data
        return self.take(most)[0]


def _shows(text: str, data: bytes) -> bool:
    """Whether a text is what dumps print for the bytes: the visible ones as they are, something else for the others."""
    for shown in (text.strip(), text.strip().strip("|"), text.lstrip(), text[1:], text.lstrip()[: len(data)]):
        if len(shown) == len(data) and all(
            character == chr(byte) if 32 < byte < 127 else character in ". " or not character.isascii()
            for character, byte in zip(shown, data, strict=True)
        ):
            return True
    # Blanks at the end may have been lost, and so may those in front.
    return text.strip() == "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data).strip()


def _dump(text: str) -> Pasted | None:
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    found: list[_Line] = []
    for text_line in lines:
        if text_line.strip() == "*" and found:  # hexdump and od: the same again, up to the next offset
            found[-1] = replace(found[-1], repeated=True)
        elif (each := _line(text_line)) is not None:
            found.append(each)
    # Log lines between, titles and the size at the end are no lines of a dump; but most are.
    if not found or len(found) * 2 < len(lines) or not any(each.rest.strip() for each in found):
        return None
    readings: list[tuple[int, int, int, list[tuple[bytes, int]]]] = []
    colons = all(each.colon for each in found)
    for base in _BASES:
        if base == 8 and colons:
            continue  # od writes none
        try:
            parts = list(_split([int(each.offset, base) for each in found], found))
        except ValueError:
            continue
        # With the wrong base, characters may pass for bytes: what shows its own bytes is right.
        readings.append((sum(confirmed for _, confirmed in parts), -len(readings), base, parts))
    if not readings:
        if colons and len(found) > 1:
            raise ValueError("the offsets of the dump do not follow one another: a line is missing or damaged")
        return None
    _, _, base, parts = max(readings)
    if len(parts) != 1:
        raise ValueError(f"the text has {len(parts)} dumps, each with an offset of 0; paste one of them")
    return Pasted(parts[0][0], _name(found, base))


def _line(text: str) -> _Line | None:
    match = _LINE.match(text.replace("\u00a0", " ")) if len(text) <= _MAX_LINE else None
    if match is None:
        return None
    return _Line(text[: match.start("offset")], match["offset"], bool(match["colon"]), match["rest"])


def _split(offsets: Sequence[int], lines: Sequence[_Line]) -> Iterator[tuple[bytes, int]]:
    """Yield the bytes of each dump, and how many lines show them as characters; an offset of 0 begins another.

    Raises:
        ValueError: the offsets do not fit.
    """
    if offsets[0] != 0:
        raise ValueError("does not begin at 0")
    data = bytearray()
    width = 0
    shows, confirmed = True, 0
    for place, line in enumerate(lines):
        following = offsets[place + 1] if place + 1 < len(lines) else 0
        if offsets[place] != len(data):
            raise ValueError("offset")
        if not line.rest.strip():
            if following:
                raise ValueError("an offset without bytes")
        elif following and line.repeated:
            count, size = following - offsets[place], width or 16
            if not 0 < count <= _MAX_REPEATED or count % size:
                raise ValueError("width")
            data += line.take(size)[0] * (count // size)
        elif following:
            count = following - offsets[place]
            if not 0 < count <= _MAX_WIDTH:
                raise ValueError("width")
            taken, after = line.take(count)
            data += taken
            confirmed += _shows(after, taken)
            shows = bool(after.strip())
            width = max(width, count)
        else:
            data += line.last(width or 16, shows=shows)
        if not following:
            yield bytes(data), confirmed
            data.clear()
            width, shows, confirmed = 0, True, 0


def _name(lines: Sequence[_Line], base: int) -> str:
    first = lines[0]
    if base == 10 or "com.freerdp" in first.prefix or "com.winpr" in first.prefix:
        return "dump of FreeRDP's log" if first.prefix.strip() else "dump with decimal offsets"
    if base == 8:
        return "dump of od"
    if first.colon:
        return "dump of tcpdump -X" if first.prefix.rstrip(" \t").endswith("0x") else "dump of xxd"
    if first.rest.rstrip().endswith("|"):
        return "dump of hexdump -C"
    return "dump of a log" if first.prefix.strip() else "hex dump (Wireshark)"

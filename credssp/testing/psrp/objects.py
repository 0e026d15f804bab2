"""Objects of PowerShell in XML ([MS-PSRP] 2.2.5): read within limits, and as text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree

from pypsrp.serializer import Serializer

from credssp.errors import DecodeError, RemoteProtocolError

__all__ = ["MAX_DEPTH", "MAX_ELEMENTS", "Values", "clean", "parse_object", "serialize"]

MAX_DEPTH: Final = 100
"""Elements within one another. PowerShell reads 50 objects within one another, of two or three elements each."""

MAX_ELEMENTS: Final = 50_000
"""Elements of one message. The longest messages of clients have a few hundred, and pieces of files, which are one."""

_LISTS: Final = ("LST", "IE", "QUE", "STK")
_MAX_TEXT: Final = 16 * 1024 * 1024
_MAX_VISITS: Final = 5 * MAX_ELEMENTS
_NUMBERS: Final = ("By", "SB", "U16", "I16", "U32", "I32", "U64", "I64", "Sg", "Db", "D")
# What needs no quotes in a command of PowerShell, and is no parameter's name.
_BARE: Final = re.compile(r"[\w.:\\/*?][\w.:\\/*?-]*")
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")


class _Limited(ElementTree.TreeBuilder):
    """Refuses document types, and with them all entities; and trees that are too deep or too large."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._elements = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:  # noqa: ARG002
        raise RemoteProtocolError("a document type declaration in an object of PowerShell", section="[MS-PSRP] 2.2.5")

    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise DecodeError(f"more than {MAX_DEPTH} levels or {MAX_ELEMENTS} elements", field="object of PowerShell")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)


def parse_object(data: bytes) -> ElementTree.Element:
    """Read an object's XML, in UTF-8, with or without a byte order mark.

    Raises:
        RemoteProtocolError: it is not well-formed, declares a document type, or is too deep or too large.
    """
    parser = ElementTree.XMLParser(target=_Limited(), encoding="utf-8")  # noqa: S314  # harmless without entities
    try:
        parser.feed(data)
        root = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError):
        raise DecodeError("it is not well-formed XML", field="object of PowerShell") from None
    assert isinstance(root, ElementTree.Element)  # noqa: S101  # for type checkers
    return root


def serialize(value: object) -> bytes:
    """Return the XML of an object: a text, or one that pypsrp has a class for."""
    element = Serializer().serialize(clean(value) if isinstance(value, str) else value)
    return b"" if element is None else ElementTree.tostring(element, encoding="utf-8")


def clean(text: str) -> str:
    """Return a text without what XML has no characters for, and the serializer no escapes."""
    return re.sub("[\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


class Values:
    """The values of one message, by the names of their properties.

    A reference may point at an object that has it within itself, and many references at one object. So the way through
    the objects is bounded, and so are their texts. All methods raise DecodeError when a bound is reached.
    """

    def __init__(self, root: ElementTree.Element) -> None:
        self.root = root
        self._objects = {each.get("RefId", ""): each for each in root.iter("Obj")}
        self._properties: dict[ElementTree.Element, dict[str, ElementTree.Element]] = {}
        self._left = _MAX_TEXT
        self._visits = _MAX_VISITS

    def property(self, name: str, of: ElementTree.Element | None = None) -> ElementTree.Element | None:
        """Return an extended property, of the message or of an object in it; None if there is none, or it is null."""
        place = self.root if of is None else of
        if place not in self._properties:
            self._properties[place] = {each.get("N", ""): each for each in place.iterfind("MS/*")}
        found = self._properties[place].get(name)
        return None if found is None else self.target(found)

    def target(self, element: ElementTree.Element) -> ElementTree.Element | None:
        """Return what an element refers to: itself, another object, or None for null."""
        found = self._objects.get(element.get("RefId", "")) if element.tag == "Ref" else element
        # What is there may be looked through by the caller.
        self._visits -= 1 + (0 if found is None else len(found))
        if self._visits < 0:
            raise DecodeError(f"more than {_MAX_VISITS} steps from object to object", field="object of PowerShell")
        return None if found is None or found.tag == "Nil" else found

    def number(self, name: str) -> int:
        """Return a property that is a whole number.

        Raises:
            DecodeError: there is none, or it is not between -2**63 and 2**63 - 1.
        """
        element = self.property(name)
        text = "" if element is None else (element.text or "").strip()
        if element is None or element.tag not in _NUMBERS or not re.fullmatch("-?[0-9]{1,18}", text):
            raise DecodeError("it is not a whole number", field=name)
        return int(text)

    def flag(self, name: str, of: ElementTree.Element | None = None) -> bool:
        """Return a property that is a truth value; False where there is none."""
        element = self.property(name, of)
        return element is not None and (element.text or "").strip().lower() == "true"

    def items(self, element: ElementTree.Element | None) -> Iterator[ElementTree.Element]:
        """Yield the elements of a list."""
        for each in () if element is None else element:
            if each.tag in _LISTS:
                yield from each

    def text(self, element: ElementTree.Element | None) -> str:
        """Return a value as a text, as PowerShell makes it of the object ("$value").

        Raises:
            DecodeError: the text is too long, or the objects are too deep.
        """
        return self._text(element, 0)

    def _text(self, element: ElementTree.Element | None, depth: int) -> str:
        element = None if element is None else self.target(element)
        if element is None:
            return ""
        if depth > MAX_DEPTH:
            raise DecodeError("objects that refer to one another too deeply", field="object of PowerShell")
        if element.tag != "Obj":
            return self._bounded(_primitive(element))
        described = element.find("ToString")
        if described is not None:
            return self._bounded(_unescape(described.text or ""))
        if any(each.tag in _LISTS for each in element):
            return self._bounded(" ".join(self._text(each, depth + 1) for each in self.items(element)))
        if element.find("DCT") is not None:
            return self._bounded("System.Collections.Hashtable")
        value = next((each for each in element if each.tag not in {"TN", "TNRef", "MS", "Props"}), None)
        return self._text(value, depth + 1)

    def _bounded(self, text: str) -> str:
        self._left -= len(text)
        if self._left < 0:
            raise DecodeError(f"more than {_MAX_TEXT} characters", field="object of PowerShell")
        return text

    def literal(self, element: ElementTree.Element | None) -> str:
        """Return a value as one writes it in a command: with quotes, where it needs them.

        Raises:
            DecodeError: as `text`.
        """
        element = None if element is None else self.target(element)
        if element is None:
            return "$null"
        if element.tag == "B":
            return f"${_primitive(element).lower()}"
        text = self.text(element)
        if element.tag in _NUMBERS or _BARE.fullmatch(text):
            return text
        return "'{}'".format(text.replace("'", "''"))


def _primitive(element: ElementTree.Element) -> str:
    text = element.text or ""
    if element.tag == "B":
        return "True" if text.strip().lower() == "true" else "False"
    if element.tag == "C":
        code = text.strip()
        return chr(int(code)) if re.fullmatch("[0-9]{1,5}", code) and int(code) < 0xD800 else "\ufffd"
    if element.tag == "BA":
        try:
            return " ".join(map(str, base64.b64decode(text)))
        except (binascii.Error, ValueError):
            raise DecodeError("it is not base64", field="object of PowerShell") from None
    if element.tag == "SS":
        return "System.Security.SecureString"
    return _unescape(text)


def _unescape(text: str) -> str:
    """Undo ``_xHHHH_``, a unit of UTF-16 each; a half of a pair alone becomes U+FFFD."""
    units = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

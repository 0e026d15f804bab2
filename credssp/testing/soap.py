"""SOAP 1.2 envelopes of WS-Management ([MS-WSMV] 2.2), as far as a small responder needs them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from credssp.errors import DecodeError, RemoteProtocolError

__all__ = [
    "ACTION",
    "NS",
    "Envelope",
    "Fault",
    "identify",
    "parse_envelope",
    "read_identity",
    "render",
    "render_fault",
]

NS: Final = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "p": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "cfg": "http://schemas.microsoft.com/wbem/wsman/1/config",
    "f": "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault",
    "wsmid": "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd",
}
"""Namespaces by the prefixes that are used here."""

_TRANSFER: Final = NS["x"]
_SHELL: Final = NS["rsp"]

ACTION: Final = {
    "Create": f"{_TRANSFER}/Create",
    "Get": f"{_TRANSFER}/Get",
    "Delete": f"{_TRANSFER}/Delete",
    "Command": f"{_SHELL}/Command",
    "Receive": f"{_SHELL}/Receive",
    "Send": f"{_SHELL}/Send",
    "Signal": f"{_SHELL}/Signal",
}
"""Actions by their short names; the action of the answer ends with ``Response``."""

_NAMES: Final = {uri: name for name, uri in ACTION.items()}
_ANONYMOUS: Final = f"{NS['a']}/role/anonymous"
_MAX_TEXT: Final = 2048
# Not str.isdigit, which takes digits that int() does not, such as a superscript two.
_NUMBER: Final = re.compile("[0-9]{1,9}")
_DURATION: Final = re.compile(
    r"P(?:([0-9]{1,5})D)?(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)S)?)?"
)
# DSP0226 section 14: those for which the service is to blame.
_OF_THE_SERVICE: Final = ("w:TimedOut", "w:InternalError")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request.

    Attributes:
        action: its short name; ``Identify`` has no action on the wire, others are as on the wire.
        message_id: its MessageID, or an empty string.
        resource: its ResourceURI, or an empty string.
        selectors: its SelectorSet.
        max_size: MaxEnvelopeSize of the answer, or None.
        body: the Body element.
        timeout: seconds of its OperationTimeout, or None.
        options: its OptionSet.
    """

    action: str
    message_id: str
    resource: str
    selectors: dict[str, str]
    max_size: int | None
    body: ElementTree.Element
    timeout: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def find(self, path: str) -> ElementTree.Element | None:
        """Return an element below the body, by the prefixes of `NS`."""
        return self.body.find(path, NS)

    def texts(self, path: str) -> list[str]:
        """Return the texts of elements below the body."""
        return [element.text or "" for element in self.body.findall(path, NS)]


class Fault(Exception):  # SOAP's word
    """A request that cannot be answered with yes.

    Attributes:
        subcode: the WS-Management subcode, such as ``w:InvalidSelectors``.
        code: WSManFault's number (``ERROR_WSMAN_`` in winerror.h).
    """

    def __init__(self, subcode: str, code: int, reason: str) -> None:
        super().__init__(reason)
        self.subcode = subcode
        self.code = code


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document types, and with them all entities: SOAP 1.2 (part 1, 5) allows none."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:  # noqa: ARG002
        raise RemoteProtocolError("a document type declaration in a SOAP message", section="SOAP 1.2 part 1, 5")


def parse_envelope(data: bytes) -> Envelope:
    """Read a request, in UTF-8 or UTF-16.

    Raises:
        RemoteProtocolError: it is not a SOAP envelope.
    """
    root, body = _parse(data)

    def header(path: str) -> str:
        text = root.findtext(f"s:Header/{path}", "", NS).strip()
        if len(text) > _MAX_TEXT:
            raise DecodeError(f"{len(text)} characters", field=f"SOAP header {path}")
        return text

    action = header("a:Action")
    size = header("w:MaxEnvelopeSize")
    return Envelope(
        action="Identify" if body.find("wsmid:Identify", NS) is not None else _NAMES.get(action, action),
        message_id=header("a:MessageID"),
        resource=header("w:ResourceURI"),
        selectors={
            selector.get("Name", ""): (selector.text or "").strip()
            for selector in root.findall("s:Header/w:SelectorSet/w:Selector", NS)
        },
        max_size=int(size) if _NUMBER.fullmatch(size) else None,
        body=body,
        timeout=_seconds(header("w:OperationTimeout")),
        options={
            option.get("Name", ""): (option.text or "").strip()
            for option in root.findall("s:Header/w:OptionSet/w:Option", NS)
        },
    )


def _seconds(duration: str) -> float | None:
    """Read a duration of days, hours, minutes and seconds (XML Schema part 2, 3.2.6); None for anything else."""
    found = _DURATION.fullmatch(duration)
    if found is None or duration.endswith(("P", "T")):
        return None
    return sum(float(found[n + 1] or 0) * unit for n, unit in enumerate((86400, 3600, 60, 1)))


def _parse(data: bytes) -> tuple[ElementTree.Element, ElementTree.Element]:
    """Return envelope and body."""
    # Whatever encoding the peer names would be looked up among all of Python's codecs, and tried out. WS-Management has
    # these two (DSP0226 section 5.2), and expat tells the byte orders of UTF-16 apart.
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    parser = ElementTree.XMLParser(target=_NoDoctype(), encoding=encoding)  # noqa: S314  # harmless without entities
    try:
        parser.feed(data)
        root = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError):
        raise DecodeError("it is not well-formed XML", field="SOAP message") from None
    body = root.find("s:Body", NS)
    if root.tag != f"{{{NS['s']}}}Envelope" or body is None:
        raise DecodeError("it is not a SOAP 1.2 envelope with a body", field="SOAP message")
    return root, body


def identify() -> bytes:
    """Return the request for the server's identity (DSP0226 section 11)."""
    return render(None, "", "<wsmid:Identify/>")


def read_identity(data: bytes) -> dict[str, str] | None:
    """Return what a server calls itself, or None where it answered otherwise."""
    try:
        _, body = _parse(data)
    except RemoteProtocolError:
        return None
    found = {
        name: (body.findtext(f"wsmid:IdentifyResponse/wsmid:Product{name.title()}", "", NS) or "").strip()[:200]
        for name in ("vendor", "version")
    }
    return found if found["vendor"] else None


def render(request: Envelope | None, action: str, body: str, *, message_id: str = "") -> bytes:
    """Return an envelope.

    Args:
        request: what it answers, or None where that could not be read.
        action: URI of the action; empty for none.
        body: what is in the Body, rendered already, with the prefixes of `NS`.
        message_id: MessageID of the answer.
    """
    prefixes = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
    header = ""
    if action:
        relates = (
            ""
            if request is None or not request.message_id
            else (f"<a:RelatesTo>{escape(request.message_id)}</a:RelatesTo>")
        )
        header = (
            f"<a:Action>{escape(action)}</a:Action><a:MessageID>uuid:{message_id}</a:MessageID>"
            f"{relates}<a:To>{_ANONYMOUS}</a:To>"
        )
    return (
        f'<s:Envelope xml:lang="en-US" {prefixes}><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
    ).encode()


def render_fault(request: Envelope | None, fault: Fault, *, message_id: str = "") -> bytes:
    """Return the envelope of a fault, with a WSManFault for those who look for its number."""
    reason = escape(str(fault))
    blamed = "Receiver" if fault.subcode in _OF_THE_SERVICE else "Sender"
    return render(
        request,
        f"{NS['w']}/fault",
        f"<s:Fault><s:Code><s:Value>s:{blamed}</s:Value><s:Subcode><s:Value>{fault.subcode}</s:Value></s:Subcode>"
        f'</s:Code><s:Reason><s:Text xml:lang="en-US">{reason}</s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault Code="{fault.code}" Machine="localhost"><f:Message>{reason}</f:Message></f:WSManFault>'
        "</s:Detail></s:Fault>",
        message_id=message_id,
    )

"""No octets of a message, a token or a ticket stand in the repr of anything (ARCHITECTURE.md, last section).

Every dataclass of the package, conformance and tools apart, with a canary in each of its fields that holds octets.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import credssp

CANARY = b"Canary in a coal mine"

# They hold what was made up, or what the user asked to see.
TOOLS = (
    "credssp.conformance",
    "credssp.dissect",
    "credssp.cli",
    "credssp.__main__",
    "credssp.pytest_plugin",
    "credssp.testing",
)

PUBLIC = {
    "APReqFacts.bindings": "a hash over a certificate",
    "AvPairs.pairs": "names of the server",
    "Challenge.server_challenge": "everybody on the wire can read it, and it alone is of no use",
    "NTLMv2Response.client_challenge": "the same",
    "CertContext.cert_encoded": "a certificate",
    "ProbeReport.certificate": "a certificate",
    "WinRMReport.certificate": "a certificate",
    "WinRMReport.https_certificate": "a certificate",
    "ServerCertificate.chain": "certificates",
    "SecPkgContext_IssuerListInfoEx.issuers": "names",
    "ConnectionRequest.routing_token": "an address",
    "CorrelationInfo.correlation_id": "a number for logs",
    "NegHints.hint_name": "a constant",
    "NegHints.hint_address": "never sent",
    "Rules.channel_bindings": "a hash over a certificate",
    "Checksum.value": "a hash over a certificate, and flags",
}


def _fields() -> list[tuple[type[Any], str]]:
    found = []
    for module_info in pkgutil.walk_packages(credssp.__path__, "credssp."):
        if module_info.name.startswith(TOOLS):
            continue
        module = importlib.import_module(module_info.name)
        for kind in vars(module).values():
            if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__:
                found += [
                    (kind, field.name) for field in dataclasses.fields(kind) if _octets(str(field.type)) is not None
                ]
    return found


def _octets(annotation: str) -> Any:
    """Return the canary in the form of an annotation, or None where it holds no octets."""
    if annotation.split(" |")[0] in ("bytes", "bytearray"):
        return CANARY
    return (CANARY,) if annotation.startswith(("tuple[bytes", "list[bytes")) else None


def _stand_in(annotation: str) -> Any:
    if "None" in annotation:
        return None
    return () if annotation.startswith("tuple[") else 0 if annotation.startswith("int") else ""


@pytest.mark.parametrize(("kind", "name"), _fields(), ids=lambda value: getattr(value, "__name__", value))
def test_octets_do_not_stand_in_reprs(kind: type[Any], name: str) -> None:
    instance = object.__new__(kind)
    for field in dataclasses.fields(kind):
        value = _octets(str(field.type)) if field.name == name else _stand_in(str(field.type))
        object.__setattr__(instance, field.name, value)
    shown = "Canary" in repr(instance)
    assert shown == (f"{kind.__name__}.{name}" in PUBLIC)

"""Facts as probes find them, for the tests of reports."""

from __future__ import annotations

import copy
from typing import Any

HEALTHY: dict[str, Any] = {
    "target": "rdp://192.0.2.1:3389",
    "answered": True,
    "error": None,
    "protocols": {"RDP": "HYBRID_REQUIRED_BY_SERVER", "HYBRID": "accepted", "HYBRID_EX": "accepted"},
    "tls": {"TLSv1.2": "ECDHE-RSA-AES256-GCM-SHA384", "TLSv1.3": "TLS_AES_256_GCM_SHA384"},
    "tls_error": None,
    "certificate": {
        "subject": "CN=srv1.lab.test",
        "issuer": "CN=LAB CA",
        "not_before": "2026-01-01T00:00:00+00:00",
        "not_after": "2027-01-01T00:00:00+00:00",
        "sha256": "ab" * 32,
        "key_type": "RSA 2048",
    },
    "credssp": {"version": 6, "mechanisms": ["ntlm", "spnego/ntlm"], "error": None},
    "credssp_error": None,
    "ntlm": {"MsvAvNbComputerName": "SRV1", "MsvAvNbDomainName": "LAB", "Version": "10.0 (build 20348)"},
    "seconds": 0.2,
    "findings": [],
}

SILENT: dict[str, Any] = {
    "target": "rdp://192.0.2.3:3389",
    "answered": False,
    "error": {"code": 1, "hex": "0x1", "name": "SEC_E_TARGET_UNKNOWN", "text": "no connection: refused", "advice": ""},
    "protocols": {},
    "tls": {},
    "certificate": None,
    "credssp": None,
    "ntlm": None,
    "seconds": 0.1,
}


def finding(name: str = "nla-off", severity: str = "error", **more: str) -> dict[str, str]:
    return {"id": name, "severity": severity, "seen": f"{name} was seen", "why": "because", "advice": "this", **more}


def facts(target: str = "rdp://192.0.2.2:3389", **more: Any) -> dict[str, Any]:
    """Return a server that is as `HEALTHY` but for some members."""
    return copy.deepcopy(HEALTHY) | {"target": target} | more


BAD = facts(
    protocols={"RDP": "accepted", "SSL": "accepted", "HYBRID": "accepted"},
    credssp={"version": 4, "mechanisms": ["ntlm"], "error": None},
    findings=[finding(), finding("old-credssp", "warning"), finding("self-signed", "note")],
)
WINRM = facts(
    "http://192.0.2.4:5985",
    protocols={"Negotiate": "accepted", "CredSSP": "accepted"},
    server="Microsoft-HTTPAPI/2.0",
    https=None,
)
FLEET = [HEALTHY, BAD, SILENT, WINRM]

"""Results of logins, for the tests of reports."""

from __future__ import annotations

from typing import Any

from credssp.fleet.logins.login import not_begun
from credssp.fleet.target_url import parse_target

_USER = "LAB\\alice"

ACCEPTED: dict[str, Any] = {
    "target": "rdp://192.0.2.1:3389",
    "user": _USER,
    "outcome": "accepted",
    "accepted": True,
    "refused_by": None,
    "status": {"code": 0, "hex": "0x00000000", "name": "SEC_E_OK", "text": "It went well.", "advice": ""},
    "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "certificate_check": "trusted"},
    "credssp": {"version": 6, "peer_version": 6},
    "mechanism": "ntlm",
    "delegated": True,
    "seconds": 0.25,
}


def failed(number: int, outcome: str, name: str, text: str, **more: Any) -> dict[str, Any]:
    """Return a login that was not accepted."""
    status = {"code": 1, "hex": "0xC000006D", "name": name, "text": text, "advice": "Check the name and the password."}
    target = f"rdp://192.0.2.{number}:3389"
    return ACCEPTED | {"target": target, "outcome": outcome, "accepted": False, "status": status} | more


REFUSED = failed(2, "refused", "STATUS_LOGON_FAILURE", "the server refused the login", refused_by="server")
UNSAFE = failed(3, "unsafe", "SEC_E_MESSAGE_ALTERED", "pubKeyAuth does not match the TLS key")
LOCAL = failed(4, "local", "SEC_E_NO_CREDENTIALS", "there are no tickets", tls=None, credssp=None, mechanism=None)
SILENT = failed(5, "no_login", "SEC_E_TARGET_UNKNOWN", "no connection", tls=None, credssp=None, mechanism=None)
NOT_TRIED = not_begun(parse_target("rdp://192.0.2.6"), _USER, "rdp://192.0.2.2:3389 refused the login")
WINRM = ACCEPTED | {
    "target": "http://192.0.2.7:5985",
    "mechanism": "kerberos",
    "credssp": {"version": 5, "peer_version": 5},
    "tls": {"version": "TLSv1.2"},
}
LOGINS = [ACCEPTED, REFUSED, UNSAFE, LOCAL, SILENT, NOT_TRIED, WINRM]

"""What is known about a server, as plain data: what ``--json`` prints and reports are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from credssp.context.probing import ProbeReport
from credssp.errors import CredSSPError
from credssp.finding import ServerFinding
from credssp.fleet.target_url import TargetURL
from credssp.rdp.negotiation import ResponseFlags
from credssp.status import SecurityStatus, describe
from credssp.tls.certificate_facts import read_certificate

__all__ = ["certificate_facts", "probe_facts", "status_facts"]


def status_facts(error: CredSSPError | None) -> dict[str, Any]:
    """Return number, name, text and advice of a status."""
    return describe(SecurityStatus.SEC_E_OK).to_dict() if error is None else error.as_status()


def probe_facts(target: TargetURL, report: ProbeReport, findings: Sequence[ServerFinding]) -> dict[str, Any]:
    """Return a report, and what it comes to, as facts to print."""
    credssp = None
    if report.credssp_version is not None:
        credssp = {
            "version": report.credssp_version,
            "mechanisms": report.mechanisms,
            "error": report.credssp_error,
        }
    return {
        "target": str(target),
        "answered": bool(report.protocols),
        "error": None if report.error is None else status_facts(report.error),
        "protocols": report.protocols,
        "hybrid_ex": report.protocols.get("HYBRID_EX") == "accepted",
        "negotiation_flags": _flags(report.negotiation_flags),
        "tls": report.tls,
        "tls_error": report.tls_error,
        "tls_old": report.old_tls,
        "tls_weak_cipher": report.weak_cipher or None,
        "certificate": None if report.certificate is None else certificate_facts(report.certificate),
        "credssp": credssp,
        "credssp_error": report.credssp_error,
        "ntlm": report.ntlm or None,
        "os_build": report.os_build,
        "clock_skew": None if report.clock_skew is None else round(report.clock_skew, 3),
        "findings": [found.to_dict() for found in findings],
        "seconds": round(report.seconds, 3),
    }


def _flags(flags: int | None) -> dict[str, Any] | None:
    if flags is None:
        return None
    return {"value": flags, "names": [flag.name for flag in ResponseFlags if flag and flag in ResponseFlags(flags)]}


def certificate_facts(certificate: bytes) -> dict[str, Any]:
    """Return what is to be said about a certificate in DER."""
    return read_certificate(certificate).to_dict()

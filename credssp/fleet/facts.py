"""What is known about a server, as plain data: what ``--json`` prints and reports are made of."""

from __future__ import annotations

import hashlib
from typing import Any

from credssp.context.probing import ProbeReport
from credssp.errors import CredSSPError
from credssp.fleet.target_url import TargetURL
from credssp.status import SecurityStatus, describe

__all__ = ["certificate_facts", "key_type", "probe_facts", "status_facts"]


def status_facts(error: CredSSPError | None) -> dict[str, Any]:
    """Return number, name and text of a status."""
    info = describe(SecurityStatus.SEC_E_OK if error is None else error.error_code)
    text, advice = (info.meaning, info.advice) if error is None else (error.message, error.advice)
    return {"code": info.code, "hex": f"0x{info.code:08X}", "name": info.name, "text": text, "advice": advice}


def probe_facts(target: TargetURL, report: ProbeReport) -> dict[str, Any]:
    """Return a report as facts to print."""
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
        "tls": report.tls,
        "tls_error": report.tls_error,
        "certificate": None if report.certificate is None else certificate_facts(report.certificate),
        "credssp": credssp,
        "credssp_error": report.credssp_error,
        "ntlm": report.ntlm or None,
        "seconds": round(report.seconds, 3),
    }


def certificate_facts(certificate: bytes) -> dict[str, Any]:
    """Return what is to be said about a certificate in DER."""
    from cryptography import x509

    from credssp.tls.parsing import UnreadableCertificateError, reading

    facts: dict[str, Any] = dict.fromkeys(("subject", "issuer", "not_before", "not_after"))
    facts |= {"sha256": hashlib.sha256(certificate).hexdigest(), "key_type": key_type(certificate)}
    try:
        with reading():
            parsed = x509.load_der_x509_certificate(certificate)
            facts["subject"] = parsed.subject.rfc4514_string()
            facts["issuer"] = parsed.issuer.rfc4514_string()
            facts["not_before"] = parsed.not_valid_before_utc.isoformat()
            facts["not_after"] = parsed.not_valid_after_utc.isoformat()
    except UnreadableCertificateError:
        pass  # certificates in the wild have names and dates that no standard knows
    return facts


def key_type(certificate: bytes) -> str | None:
    """Return the key's kind and size, such as ``RSA 2048``; None for a certificate that does not parse."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from credssp.tls.parsing import UnreadableCertificateError, reading

    try:
        with reading():
            key = x509.load_der_x509_certificate(certificate).public_key()
    except UnreadableCertificateError:
        return None
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")

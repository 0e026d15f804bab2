"""TLS alerts by name and number (RFC 8446 section 6), and what OpenSSL's error names say about them."""

from __future__ import annotations

import re
import ssl
from typing import Final

from credssp.errors import CertificateError, CredSSPError, TLSAlertError, TLSError
from credssp.next_step import NextStep
from credssp.status import NTStatus, SecurityStatus
from credssp.tls.restrictions import check_memory, handshake_refused, peer_certificate_refused

__all__ = ["ALERTS", "old_server", "translate"]

ALERTS: Final = {
    "close_notify": 0,
    "unexpected_message": 10,
    "bad_record_mac": 20,
    "decryption_failed": 21,
    "record_overflow": 22,
    "decompression_failure": 30,
    "handshake_failure": 40,
    "no_certificate": 41,
    "bad_certificate": 42,
    "unsupported_certificate": 43,
    "certificate_revoked": 44,
    "certificate_expired": 45,
    "certificate_unknown": 46,
    "illegal_parameter": 47,
    "unknown_ca": 48,
    "access_denied": 49,
    "decode_error": 50,
    "decrypt_error": 51,
    "export_restriction": 60,
    "protocol_version": 70,
    "insufficient_security": 71,
    "internal_error": 80,
    "inappropriate_fallback": 86,
    "user_cancelled": 90,
    "no_renegotiation": 100,
    "missing_extension": 109,
    "unsupported_extension": 110,
    "certificate_unobtainable": 111,
    "unrecognized_name": 112,
    "bad_certificate_status_response": 113,
    "bad_certificate_hash_value": 114,
    "unknown_psk_identity": 115,
    "certificate_required": 116,
    "no_application_protocol": 120,
}

# OpenSSL names an alert of the peer after the protocol that introduced it.
_ALERT_REASON: Final = re.compile(r"^(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)$")

# A few of OpenSSL's names leave out or change what the RFC says.
_OPENSSL_NAMES: Final = {
    "no_certificate_alert": "no_certificate",
    "decryption_failed": "decryption_failed",
    "missing_extension": "missing_extension",
}
# These come without the word ALERT.
_BARE_REASONS: Final = {
    "TLSV1_UNRECOGNIZED_NAME": "unrecognized_name",
    "TLSV1_UNSUPPORTED_EXTENSION": "unsupported_extension",
    "TLSV1_CERTIFICATE_UNOBTAINABLE": "certificate_unobtainable",
    "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE": "bad_certificate_status_response",
    "TLSV1_BAD_CERTIFICATE_HASH_VALUE": "bad_certificate_hash_value",
}

# What RDP servers mean by the alerts they end a CredSSP exchange with ([MS-RDPBCGR] 5.4.5.2.2).
_ALERT_STATUS: Final = {
    "access_denied": SecurityStatus.SEC_E_LOGON_DENIED,
    "unknown_ca": SecurityStatus.SEC_E_UNTRUSTED_ROOT,
    "certificate_expired": SecurityStatus.SEC_E_CERT_EXPIRED,
    "bad_certificate": SecurityStatus.SEC_E_CERT_UNKNOWN,
    "certificate_unknown": SecurityStatus.SEC_E_CERT_UNKNOWN,
    "certificate_required": SecurityStatus.SEC_E_INCOMPLETE_CREDENTIALS,
    "handshake_failure": SecurityStatus.SEC_E_ALGORITHM_MISMATCH,
    "insufficient_security": SecurityStatus.SEC_E_ALGORITHM_MISMATCH,
    "protocol_version": SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
    "bad_record_mac": SecurityStatus.SEC_E_MESSAGE_ALTERED,
    "decrypt_error": SecurityStatus.SEC_E_DECRYPT_FAILURE,
}

# Our own refusals, by OpenSSL's reason.
_REASON_STATUS: Final = {
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": SecurityStatus.SEC_E_MESSAGE_ALTERED,
    "NO_SHARED_CIPHER": SecurityStatus.SEC_E_ALGORITHM_MISMATCH,
    "UNSUPPORTED_PROTOCOL": SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
    "WRONG_VERSION_NUMBER": SecurityStatus.SEC_E_INVALID_TOKEN,
    "HTTP_REQUEST": SecurityStatus.SEC_E_INVALID_TOKEN,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": SecurityStatus.SEC_E_INCOMPLETE_CREDENTIALS,
}

# The next step, by the status that an alert or a reason has.
_ADVICE: Final = {
    SecurityStatus.SEC_E_LOGON_DENIED: NextStep.REFUSED,
    SecurityStatus.SEC_E_UNTRUSTED_ROOT: NextStep.TLS_REJECTED_CERTIFICATE,
    SecurityStatus.SEC_E_CERT_EXPIRED: NextStep.TLS_REJECTED_CERTIFICATE,
    SecurityStatus.SEC_E_CERT_UNKNOWN: NextStep.TLS_REJECTED_CERTIFICATE,
    SecurityStatus.SEC_E_INCOMPLETE_CREDENTIALS: NextStep.TLS_CLIENT_CERTIFICATE,
    SecurityStatus.SEC_E_ALGORITHM_MISMATCH: NextStep.TLS_CIPHER,
    SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION: NextStep.TLS_VERSION,
    SecurityStatus.SEC_E_MESSAGE_ALTERED: NextStep.TLS_DAMAGED,
    SecurityStatus.SEC_E_DECRYPT_FAILURE: NextStep.TLS_DAMAGED,
    SecurityStatus.SEC_E_INVALID_TOKEN: NextStep.TLS_NONE,
}

# X509_V_ERR_* that are about time or name; the rest is a matter of trust.
_CERT_EXPIRED: Final = frozenset({9, 10})
_TOO_WEAK: Final = {66: "EE_KEY_TOO_SMALL", 67: "CA_KEY_TOO_SMALL", 68: "CA_MD_TOO_WEAK"}
_NAME_MISMATCH: Final = frozenset({62, 63, 64})


_OLD_VERSIONS: Final = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1"}
_HANDSHAKE: Final = 22
_SERVER_HELLO: Final = 2


def old_server(reason: str, first: bytes | None) -> str:
    """Say what a server speaks that failed the handshake by its version; an empty string where that is not the cause.

    Args:
        reason: OpenSSL's name of the error.
        first: the first bytes of the server, as far as they are known; None where the server is not to blame.
    """
    if first is None or reason not in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"):
        return ""
    if len(first) > 10 and first[0] == _HANDSHAKE and first[5] == _SERVER_HELLO:
        version = int.from_bytes(first[9:11], "big")
        return f"the server speaks {_OLD_VERSIONS.get(version, f'version 0x{version:04X}')}, which is not allowed here"
    return "the server speaks none of the TLS versions that are allowed here"


def _alert_name(reason: str) -> str | None:
    match = _ALERT_REASON.match(reason)
    if match is None:
        return _BARE_REASONS.get(reason)
    name = match.group(1).lower()
    return _OPENSSL_NAMES.get(name, name)


def translate(
    error: ssl.SSLError,
    *,
    during: str,
    level: int = 0,
    first: bytes | None = None,
    whose: str = "the server's certificate",
) -> CredSSPError:
    """Turn an error of the ssl module into ours.

    Args:
        error: what OpenSSL raised.
        during: what was going on, for the text, such as ``TLS handshake``.
        level: OpenSSL's security level, for a handshake.
        first: on a client, the first bytes of the server.
        whose: which certificate is the peer's, for the text.

    Raises:
        TLSError: SEC_E_INSUFFICIENT_MEMORY, OpenSSL got no memory.
    """
    check_memory(error, during=during)
    if isinstance(error, ssl.SSLCertVerificationError):
        weak = peer_certificate_refused(_TOO_WEAK.get(error.verify_code, ""), level, whose=whose)
        if weak is not None:
            return weak
        if error.verify_code in _NAME_MISMATCH:
            status, advice = SecurityStatus.SEC_E_WRONG_PRINCIPAL, NextStep.CERTIFICATE_NAME
        elif error.verify_code in _CERT_EXPIRED:
            status, advice = SecurityStatus.SEC_E_CERT_EXPIRED, NextStep.CERTIFICATE_TIME
        else:
            status, advice = SecurityStatus.SEC_E_UNTRUSTED_ROOT, NextStep.CERTIFICATE_ROOT
        return CertificateError(f"{whose} was refused: {error.verify_message}", status=status, advice=advice)
    reason = getattr(error, "reason", None) or ""
    alert = _alert_name(reason)
    old = old_server(reason, first)
    if alert is not None:
        number = ALERTS.get(alert)
        status = _ALERT_STATUS.get(alert, SecurityStatus.SEC_E_ILLEGAL_MESSAGE)
        result = TLSAlertError(
            f"the peer ended the {during} with the TLS alert {alert} ({'?' if number is None else number})"
            + (f": {old}" if old else ""),
            alert=alert,
            description=number,
            reason=reason,
            status=status,
            advice=NextStep.TLS_OLD_SERVER if old else _ADVICE.get(status),
        )
        if alert == "access_denied":
            # How servers without errorCode say "bad credentials".
            result.ntstatus = NTStatus.STATUS_LOGON_FAILURE
        return result
    restricted = handshake_refused(reason, level)
    if restricted is not None:
        return restricted
    what = reason.lower().replace("_", " ") or type(error).__name__
    # The peer is not to blame for what goes wrong inside of OpenSSL, which has no name in Python.
    inside = not reason and "internal error" in str(error)
    default = SecurityStatus.SEC_E_INTERNAL_ERROR if inside else SecurityStatus.SEC_E_ILLEGAL_MESSAGE
    what = "OpenSSL failed inside" if inside else what
    status = _REASON_STATUS.get(reason, default)
    step = NextStep.TLS_OLD_SERVER if old else _ADVICE.get(status)
    return TLSError(f"the {during} failed: {old or what}", reason=reason, status=status, advice=step)

"""Are the algorithms there that NTLM is made of?"""

from __future__ import annotations

import hashlib

from credssp.finding import Finding, Severity
from credssp.ntlm import crypto

__all__ = ["check_algorithms"]


def check_algorithms() -> list[Finding]:
    """Say what OpenSSL does not have, and what that means."""
    findings = []
    try:
        hashlib.md5(b"")  # noqa: S324  # nothing is hashed
    except ValueError:
        findings.append(
            Finding(
                "ntlm",
                Severity.NOTE,
                "MD5 is not allowed for security on this machine (FIPS mode); NTLM asks for it otherwise, inside TLS",
                "Kerberos with AES needs neither MD5 nor RC4",
            )
        )
    if not crypto.has_rc4():
        findings.append(
            Finding(
                "ntlm",
                Severity.NOTE,
                "OpenSSL has no RC4 (no legacy provider, or FIPS mode); NTLM uses that of this library",
                "Kerberos tickets with RC4 keys cannot be read: give the accounts keys of AES",
            )
        )
    return findings

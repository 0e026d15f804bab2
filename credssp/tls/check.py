"""Can OpenSSL, as it is set up here, talk to the peers that CredSSP is used with? Nothing is sent."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from typing import Final

from credssp.errors import LocalRestrictionError
from credssp.finding import Finding, Severity
from credssp.tls.restrictions import RSA_BITS
from credssp.tls.settings import ClientTLS, client_context

__all__ = ["check_openssl", "check_peers"]

_AREA: Final = "openssl"

_ECDHE_GCM: Final = frozenset({"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"})
_ECDHE_CBC: Final = frozenset({"ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA"})
_TLS13: Final = frozenset({"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"})


@dataclass(frozen=True, slots=True)
class _Peer:
    """What a kind of peer offers with the RSA certificate that it makes for itself.

    Attributes:
        name: who.
        ciphers: what it takes, in OpenSSL's names.
        bits: of its key.
    """

    name: str
    ciphers: frozenset[str]
    bits: int = 2048


_PEERS: Final = (
    _Peer("Windows 11, Server 2022 and later", _TLS13 | _ECDHE_GCM | _ECDHE_CBC),
    _Peer("Windows 10, Server 2016 and 2019", _ECDHE_GCM | _ECDHE_CBC),
    # Its GCM suites are for ECDSA and DHE; for RSA certificates there is CBC (Schannel's list for Windows 8.1).
    _Peer("Windows 8.1, Server 2012 R2", _ECDHE_CBC),
    _Peer("FreeRDP, xrdp and rdesktop on Linux of today", _TLS13 | _ECDHE_GCM),
)

_NEVER: Final = Finding(
    _AREA,
    Severity.NOTE,
    "Windows XP to 7 and Server 2003 to 2008 R2 without updates speak TLS 1.0 only: there will be no login",
    "bring them to TLS 1.2 (on Windows 7 and 2008 R2 by KB3080079), or do not use CredSSP with them",
)


def check_openssl() -> list[Finding]:
    """Look at OpenSSL itself."""
    findings = [Finding(_AREA, Severity.OK, f"TLS is {ssl.OPENSSL_VERSION}")]
    if not ssl.HAS_TLSv1_3:
        findings.append(Finding(_AREA, Severity.NOTE, "there is no TLS 1.3", "TLS 1.2 does for every peer of today"))
    try:
        hashlib.md5(b"", usedforsecurity=False)  # what NTLM is made of, asked for as NTLM does
    except ValueError:
        findings.append(
            Finding(
                _AREA,
                Severity.BAD,
                "Python has no MD5 at all, and NTLM is made of it",
                "log on with Kerberos, or use a Python whose hashlib has MD5",
            )
        )
    return findings


def check_peers(context: ssl.SSLContext | None = None) -> list[Finding]:
    """Say which peers' ciphers and keys would fail.

    Args:
        context: settings of a client; by default those we use.
    """
    if context is None:
        try:
            context = client_context(ClientTLS(key_log=False))
        except LocalRestrictionError as error:
            return [Finding(_AREA, Severity.BAD, error.message, error.advice)]
    ours = {cipher["name"] for cipher in context.get_ciphers()}
    level = context.security_level
    bits = RSA_BITS.get(level, 0)
    findings = [Finding(_AREA, Severity.OK, f"security level {level}: RSA keys of servers need {bits} bits or more")]
    for setting, only, left in (
        ("MinProtocol", context.minimum_version == ssl.TLSVersion.TLSv1_3, ours & _TLS13),
        ("MaxProtocol", context.maximum_version == ssl.TLSVersion.TLSv1_2, ours - _TLS13),
    ):
        if only:
            ours = left
            findings.append(
                Finding(
                    _AREA,
                    Severity.NOTE,
                    f"OpenSSL takes TLS {'1.3' if setting == 'MinProtocol' else '1.2'} alone on this machine",
                    f"see {setting} in openssl.cnf",
                )
            )
    for peer in _PEERS:
        common = ours & peer.ciphers
        if not common:
            findings.append(
                Finding(
                    _AREA,
                    Severity.BAD,
                    f"{peer.name}: no cipher in common",
                    f"allow one of {', '.join(sorted(peer.ciphers - _TLS13))} in openssl.cnf (CipherString, "
                    "MinProtocol)",
                )
            )
        elif peer.bits < bits:
            findings.append(
                Finding(
                    _AREA,
                    Severity.BAD,
                    f"{peer.name}: its key of {peer.bits} bits is too small for security level {level}, where its "
                    "certificate is verified",
                    f"give the server a certificate with RSA of {bits} bits or more, or with an elliptic curve; the "
                    "level is in CipherString of openssl.cnf",
                )
            )
        else:
            findings.append(Finding(_AREA, Severity.OK, f"{peer.name}: {len(common)} ciphers in common"))
    return [*findings, _NEVER]

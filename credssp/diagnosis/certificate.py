"""What is wrong with a server's certificate."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from credssp.diagnosis.catalogue import finding
from credssp.finding import ServerFinding
from credssp.tls.certificate_facts import CertificateFacts

__all__ = ["judge_certificate", "names_host"]

_EXPIRING: Final = timedelta(days=30)
"""How long before its end a certificate should have been renewed: ACME clients renew at 30 days."""

_RSA_BITS: Final = 2048
_EC_BITS: Final = 224
"""Smallest keys that NIST SP 800-57 part 1 allows (112 bits of security)."""


def names_host(names: Collection[str], host: str) -> bool:
    """Whether one of the names means the host (RFC 9525: a wildcard is the whole left-most label)."""
    host = host.lower().rstrip(".").partition("%")[0]
    try:
        return str(ipaddress.ip_address(host)) in names
    except ValueError:
        parent = host.partition(".")[2]
        patterns = {name.lower() for name in names}
        return host in patterns or (parent.count(".") > 0 and f"*.{parent}" in patterns)


def judge_certificate(
    facts: CertificateFacts, host: str, *, also: Collection[str] = (), now: datetime | None = None
) -> Iterator[ServerFinding]:
    """Say what is wrong with a certificate.

    Args:
        facts: what it says.
        host: the name or address that was asked for.
        also: names that the server itself says it has. They count where an address was asked for, as a range of
            addresses is probed: a certificate for the server's own name is not wrong then.
        now: the time, by default now.
    """
    now = datetime.now(UTC) if now is None else now
    if facts.not_after is None or facts.not_before is None or facts.self_signed is None:
        yield finding("cert-unreadable", "The certificate cannot be read in whole.")
    if facts.not_after is not None and facts.not_before is not None:
        yield from _dates(datetime.fromisoformat(facts.not_before), datetime.fromisoformat(facts.not_after), now)
    yield from _strength(facts)
    if facts.self_signed is None:
        return
    if not _fits(facts, host, also):
        listed = ", ".join(facts.names[:5]) or f"no subjectAltName, subject {facts.subject}"
        yield finding("cert-name", f"The certificate is not for {host}: {listed}.")
    if facts.default_rdp:
        yield finding("cert-default-rdp", f"{facts.subject}, self-signed, {facts.key_type}, made by Windows itself.")
    elif facts.self_signed:
        yield finding("cert-self-signed", f"{facts.subject} is its own issuer.")


def _dates(begin: datetime, end: datetime, now: datetime) -> Iterator[ServerFinding]:
    day = f"{end:%Y-%m-%d}"
    if end < now:
        ago = (now - end).days
        yield finding("cert-expired", f"The certificate expired on {day}{f', {_days(ago)} ago' if ago else ''}.")
    elif begin > now:
        yield finding("cert-not-yet-valid", f"The certificate is valid from {begin:%Y-%m-%d %H:%M} UTC on.")
    elif end - now < _EXPIRING and end - begin > 2 * _EXPIRING:
        # Certificates that live for days are renewed by a program, whose business this is.
        yield finding("cert-expiring", f"The certificate expires on {day}, in {_days((end - now).days)}.")


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


def _strength(facts: CertificateFacts) -> Iterator[ServerFinding]:
    kind = (facts.key_type or "").partition(" ")[0]
    least = {"RSA": _RSA_BITS, "DSA": _RSA_BITS, "EC": _EC_BITS}.get(kind)
    if least is not None and facts.key_size is not None and facts.key_size < least:
        yield finding("cert-weak-key", f"The certificate's key has {facts.key_size} bits ({facts.key_type}).")
    # A signature of a certificate by itself proves nothing, whatever its hash.
    if facts.signature in ("md5", "sha1") and not facts.self_signed:
        yield finding("cert-weak-signature", f"The certificate is signed with {facts.signature.upper()}.")


def _fits(facts: CertificateFacts, host: str, also: Collection[str]) -> bool:
    names = facts.names or _common_name(facts.subject or "")
    if names_host(names, host):
        return True
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return any(names_host(names, other) for other in also if other)


def _common_name(subject: str) -> tuple[str, ...]:
    """Return the common name, which RDP clients take where there is no subjectAltName: Windows' own certificate."""
    found = [part[3:] for part in subject.split(",") if part.startswith("CN=")]
    return tuple(found[:1])
